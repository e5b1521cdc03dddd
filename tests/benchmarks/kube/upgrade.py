"""A component upgrade over a fleet, and faults of single machines, on the real server.

The whole controller is one process, the agents another, and the audit log of the server judges who wrote how often and when.
"""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import attrs

from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.benchmarks.kube.audit import Audit, Entry
from tests.benchmarks.kube.contest import python
from tests.benchmarks.kube.machines import name_of, spread
from tests.benchmarks.kube.process import Process
from tests.benchmarks.kube.raw import MACHINES, Server

GROUP: Final = "/apis/kubenode.dev/v1alpha1"
AGENTS: Final = "benchmark:agents"
SET: Final = f"{GROUP}/machinecomponentsets/exporter"
POLL_S: Final = 1.0
REST_S: Final = 15.0
"""How long nothing may be written after all is done."""
PATIENCE_S: Final = 7200.0
COMPONENTS: Final = ("exporter-1.8.2", "exporter-1.9.0")


def objects() -> Iterable[tuple[str, Any]]:
    """Give what stands on the server beside machines: two versions, a set of the first, limits that never bind, a remedy."""
    for name in COMPONENTS:
        spec = {
            "version": name.removeprefix("exporter-"), "driver": "package",
            "parameters": {"package": "exporter", "unit": "exporter.service"},
        }  # fmt: skip
        yield "machinecomponents", _object("MachineComponent", name, spec)
    rollout = {
        "batches": [1, 10, 100], "maxUnavailable": "50%", "minReadySeconds": 0, "progressDeadlineSeconds": 7200,
    }  # fmt: skip
    spec = {"name": "exporter", "component": COMPONENTS[0], "rollout": rollout}
    yield "machinecomponentsets", _object("MachineComponentSet", "exporter", spec)
    policy = {"limits": [{"scope": "cluster", "max": "50%"}], "repairWidth": {"first": 1000}}
    yield "riskpolicies", _object("RiskPolicy", "default", policy)
    ladder = [{"action": "restart-unit", "parameters": {"unit": "containerd.service"}, "timeout": "60s"}]
    spec = {
        "condition": {"type": "KernelDeadlock"}, "ladder": ladder, "verification": {"dwell": "1s", "timeout": "60s"},
    }  # fmt: skip
    yield "noderemediers", _object("NodeRemedier", "hung-task", spec)


def _object(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "kubenode.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


@attrs.frozen(kw_only=True)
class Upgraded:
    """What one upgrade over a fleet took.

    Attributes:
        cpu: of our controller, seconds.
        writes: requests that write, of ours and of the agents, retries among them, Events and Leases not.
        events: that were written about it.
        at_rest: writes afterwards but for Leases, when nothing was to be done.
        by_verb: the writes, by who, verb and resource.
    """

    machines: int
    cpu: float
    writes: int
    events: int
    at_rest: int
    by_verb: Mapping[str, int]


@attrs.frozen(kw_only=True)
class Answered:
    """How long one fault waited for its first step, seconds.

    Attributes:
        whole: from the agent's write of the condition, stored, to our write of the step, stored.
        ours: of that, while none of our writes for it was under way at the server.
    """

    whole: float
    ours: float


class Fleet:
    """So many machines with their agents, and the controller on them; an async context manager."""

    def __init__(
        self, kubeconfigs: Mapping[str, Path], audit_log: Path, server: Server, folder: Path, count: int
    ) -> None:
        self._server = server
        self._count = count
        self._audit = Audit(audit_log)
        self._agents = Process(
            "agents", (*python("agents"), str(kubeconfigs[AGENTS]), str(count)), folder / "agents.log"
        )
        self._controller = Process(
            "controller",
            (*python("ours"), str(kubeconfigs[CONTROLLER_USER]), "all"),
            folder / "controller.log",
        )

    async def __aenter__(self) -> "Fleet":
        """Bring all machines up, at the first version, and wait until nothing is written any more."""
        for plural, made in objects():
            await self._server.call("POST", f"{GROUP}/{plural}", made)
        await spread(self._make, self._count)
        await self._agents.__aenter__()
        await self._agents.line()
        await (
            self._until_quiet()
        )  # what all agents say at once is one change to the controller, and not three
        await self._controller.__aenter__()
        await self._controller.line()
        await self._until_at(COMPONENTS[0])
        await self._until_quiet()
        return self

    async def __aexit__(self, *error: Any) -> None:
        """End both."""
        await self._controller.__aexit__(*error)
        await self._agents.__aexit__(*error)

    async def _make(self, number: int) -> None:
        spec = {"host": {"address": f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"}}
        await self._server.call("POST", MACHINES, _object("Machine", name_of(number), spec))

    async def upgrade(self) -> Upgraded:
        """Roll the second version out."""
        self._audit.entries()
        cpu = self._controller.cpu
        await self._server.merge(SET, {"spec": {"component": COMPONENTS[1]}})
        await self._until_at(COMPONENTS[1])
        await self._until_quiet()
        cpu = self._controller.cpu - cpu
        entries = self._ours()
        await asyncio.sleep(REST_S)
        at_rest = self._ours()
        writes = [one for one in entries if one.resource not in ("events", "leases")]
        return Upgraded(
            machines=self._count, cpu=cpu, writes=len(writes),
            events=sum(one.resource == "events" for one in entries),
            at_rest=sum(one.resource != "leases" for one in at_rest), by_verb=_by_verb(writes),
        )  # fmt: skip

    async def faults(self, count: int, pause: float) -> list[Answered]:
        """Let single machines hang, one after another, and give how each was answered."""
        self._audit.entries()
        step = max(1, self._count // count)
        hung = [name_of(number * step) for number in range(count)]
        for name in hung:
            await self._agents.tell(f"hang {name}")
            await asyncio.sleep(pause)
        await self._until_quiet(self._no_episode)
        entries = self._ours()
        return [answer for name in hung if (answer := answered(entries, name)) is not None]

    def _ours(self) -> list[Entry]:
        return self._audit.entries(lambda one: one.user in (CONTROLLER_USER, AGENTS))

    async def _no_episode(self) -> bool:
        jobs = await self._server.call("GET", f"{GROUP}/remedyoperationjobs")
        return all(
            job.get("status", {}).get("phase") in ("Succeeded", "HandedOver", "Cancelled")
            for job in jobs["items"]
        )

    async def _until_at(self, component: str) -> None:
        """Wait until every machine runs a version, and is Running."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self._server.call("GET", SET)
                status = found.get("status", {})
                if status.get("current", {}).get("component") == component and await self._all_at(component):
                    return
                await asyncio.sleep(POLL_S)

    async def _all_at(self, component: str) -> bool:
        async for items, _ in self._server.pages(MACHINES):
            if not all(_is_at(one, component) for one in items):
                return False
        return True

    async def _until_quiet(self, true: Any = None) -> None:
        """Wait until neither writes any more."""
        audit = Audit(self._audit.log)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await asyncio.sleep(3 * POLL_S)
                wrote = audit.entries(
                    lambda one: one.user in (CONTROLLER_USER, AGENTS) and one.resource != "leases"
                )
                if not wrote and (true is None or await true()):
                    return


def _is_at(machine: Any, component: str) -> bool:
    status = machine.get("status", {})
    report = status.get("agent", {}).get("components", {}).get("exporter", {})
    return bool(status.get("phase") == "Running" and report.get("component") == component)


def _by_verb(writes: Sequence[Entry]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in writes:
        who = "agent" if one.user == AGENTS else "controller"
        key = f"{who} {one.verb} {one.resource} {one.code}"
        found[key] = found.get(key, 0) + 1
    return dict(sorted(found.items()))


def answered(entries: Sequence[Entry], machine: str) -> Answered | None:
    """Find in the audit log how the first fault of a machine was answered; None when it was not."""
    about = {machine, f"node-{machine}"}
    jobs = {
        one.name for one in entries if one.resource.startswith("remedyoperationjobs") and machine in one.name
    }
    written = next(
        (
            one
            for one in entries
            if one.user == AGENTS and one.resource == "machines/status" and one.name == machine
        ),
        None,
    )
    if written is None:
        return None
    ours = [one for one in entries if one.user == CONTROLLER_USER and one.ended > written.ended]
    step = next(
        (one for one in ours if one.resource == "machines" and one.name == machine and one.code == 200), None
    )
    if step is None:
        return None
    chain = [
        one for one in ours
        if one.ended <= step.ended and (one.name in about | jobs or one.resource == "riskledgers/status")
    ]  # fmt: skip
    whole = (step.ended - written.ended).total_seconds()
    return Answered(whole=whole, ours=whole - _covered(chain, written.ended, step.ended))


def _covered(entries: Sequence[Entry], began: datetime, ended: datetime) -> float:
    """Give how many seconds of a span at least one of some requests was under way at the server."""
    total, at = 0.0, began
    for one in sorted(entries, key=lambda each: each.began):
        start, end = max(at, one.began), min(ended, one.ended)
        if end > start:
            total += (end - start).total_seconds()
            at = end
    return total


def percentile(values: Sequence[float], share: float) -> float:
    """Give the value that this share of all is not above."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
