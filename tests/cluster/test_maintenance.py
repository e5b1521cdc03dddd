"""Maintenance that a cloud has planned, on both clouds and a real API server: the workload goes before the event, and the event ends.

EC2 plans a reboot, which our restart makes needless; ECS plans one too, and on another instance waits for consent before
it replaces a disk. Limits of minutes are seconds here.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.instance.turn import SECOND
from kubenode.runtime.observe import events
from kubenode.runtime.testing import install
from kubenode.runtime.testing.controlplane import ControlPlane
from tests.cluster.test_instances import GRACE_S, LAX, LIMITS, Cluster, Pool, cluster
from tests.providers.aws.loopback import keys
from tests.providers.regions import EcsRegion, Region, calls, ec2, ecs

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

SHORT = {"dwell": "2s", "timeout": "1m"}
RULES = [
    {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "NodeRemedier", "metadata": {"name": name},
        "spec": {
            "condition": {"type": type, "reason": reason, "for": "0s"}, "verification": SHORT,
            "ladder": [{"action": action, "timeout": "1m"} for action in ladder],
        },
    }
    for name, type, reason, ladder in (
        ("maintenance", "CloudMaintenance", "RebootPlanned", ("reboot-instance",)),
        ("disks", "CloudFailure", "DiskFailing", ("confirm-event",)),
    )
]  # fmt: skip


@attrs.frozen
class Planned:
    """What a cloud has planned, and the machine that it is about.

    Attributes:
        call: by which it is answered.
    """

    region: Region
    machine: str
    node: str
    instance: str
    event: str
    condition: str
    reason: str
    call: str

    @property
    def own(self) -> str:
        """The cloud's own id of the instance."""
        return self.instance.rpartition(".")[2]


@pytest.fixture
def plane(control_plane_folder: Path) -> Iterator[ControlPlane]:
    """A control plane of its own: an engine acts on the whole of it."""
    with ControlPlane.start(control_plane_folder, node_grace_s=GRACE_S) as running:
        install(running)
        yield running


@pytest.fixture
def regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Region, ...]]:
    """Both clouds, and the credentials that they take."""
    keys(tmp_path, monkeypatch)
    for module, name, seconds in (*LIMITS, (events, "INTERVAL", 1)):
        monkeypatch.setattr(module, name, seconds * SECOND)
    with ExitStack() as stack:
        yield stack.enter_context(ec2()), stack.enter_context(ecs(tmp_path))


async def planned(world: Cluster, pools: list[Pool]) -> list[Planned]:
    """Plan maintenance of one instance on EC2, and of two on ECS."""
    found: list[Planned] = []
    for pool in pools:
        machines = sorted(await world.machines(pool), key=lambda one: one.metadata.name)
        is_ecs = isinstance(pool.region, EcsRegion)
        for number, one in enumerate(machines if is_ecs else machines[:1]):
            assert one.status.instance is not None
            assert one.status.node_ref is not None
            instance = one.status.instance.id
            own, fake = instance.rpartition(".")[2], pool.region.fake  # type: ignore[attr-defined]
            event = f"e-{number}" if is_ecs else f"instance-event-{own[2:]}"
            told = ("CloudFailure", "DiskFailing", "AcceptInquiredSystemEvent") if number else (
                "CloudMaintenance", "RebootPlanned", "RebootInstance" if is_ecs else "RebootInstances",
            )  # fmt: skip
            found.append(
                Planned(pool.region, one.metadata.name, one.status.node_ref.name, instance, event, *told)
            )
            if not is_ecs:
                fake.plan(own, "instance-reboot")
            elif number:
                fake.maintain(own, event, "SystemMaintenance.RebootAndReInitErrorDisk", "Inquiring")
            else:
                fake.maintain(own, event)
    return found


async def workload(world: Cluster, node: str) -> None:
    """Run a Pod on a Node, and say that it is ready."""
    name = f"web-{node[-12:]}"
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "i"}]},
    }  # fmt: skip
    await world.apply(pod)
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    await world.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps(ready))


async def differs(world: Cluster, wanted: list[Planned], seen: dict[str, set[str]]) -> str:
    """Say what is not over yet; note what Nodes say meanwhile."""
    nodes = {one.metadata.name: one for one in await world.all(m.Node)}
    odd: list[str] = []
    for one in wanted:
        node = nodes[one.node]
        (said,) = [it for it in node.status.conditions if it.type == one.condition] or [None]
        if said is not None:
            seen.setdefault(one.node, set()).add(f"{said.status.value} {said.reason} {said.message}")
        if said is None or said.status is not m.Switch.FALSE or node.spec.unschedulable or not node.ready:
            odd.append(f"{one.machine}: {said}, unschedulable {node.spec.unschedulable}, ready {node.ready}")
    jobs = await world.all(m.RemedyOperationJob)
    odd += [
        f"{one.metadata.name} {one.status.phase} {one.status.attempts}"
        for one in jobs
        if one.status.closed_at is None
    ]
    return "; ".join(odd) if odd or len(jobs) == len(wanted) else f"{len(jobs)} jobs"


def evicted(plane: ControlPlane) -> dict[str, float]:
    """Give when each Pod was asked to go, by its name."""
    entries = [json.loads(line) for line in plane.audit_log.read_text().splitlines()]
    return {
        one["objectRef"]["name"]: datetime.fromisoformat(one["requestReceivedTimestamp"]).timestamp()
        for one in entries
        if one.get("objectRef", {}).get("subresource") == "eviction" and one["responseStatus"]["code"] == 201
    }  # fmt: skip


def test_the_workload_goes_before_the_event_and_the_event_ends(
    plane: ControlPlane, regions: tuple[Region, ...]
) -> None:
    """Condition with id, kind and time; cordon, drain, restart or consent, evidence, un-cordon; nothing is made or ended."""
    pools = [Pool(region) for region in regions]
    seen: dict[str, set[str]] = {}

    async def story() -> tuple[list[Planned], list[m.RemedyOperationJob]]:
        async with cluster(plane, regions) as world:
            await world.apply(LAX)
            await world.scaled(pools, 2)
            for node in await world.all(m.Node):
                await workload(world, node.metadata.name)
            wanted = await planned(world, pools)
            for rule in RULES:
                await world.apply(rule)
            await world.until("the end of all events", partial(differs, world, wanted, seen))
            for pool in pools:
                await world.until(f"2 of {pool.name}", partial(world.differs, pool, 2))
            pods = json.loads(await world.kubectl("get", "pods", "-o", "json"))["items"]
            moved = {one.node for one in wanted}
            assert len(pods) == 1
            assert pods[0]["spec"]["nodeName"] not in moved
            return wanted, await world.all(m.RemedyOperationJob)

    wanted, jobs = asyncio.run(story())
    assert len(wanted) == 3
    assert {one.status.phase for one in jobs} == {"Succeeded"}
    gone = evicted(plane)
    for one in wanted:
        opened = [text for text in seen[one.node] if text.startswith(f"True {one.reason} ")]
        assert opened, seen[one.node]
        assert all(f"event {one.event}, " in text and ", not before 2026-03-0" in text for text in opened)
        assert any(text.startswith("False EventOver ") for text in seen[one.node])
        ((_, when),) = [it for it in one.region.hands.restarted if it[0] == one.own]
        assert gone[f"web-{one.node[-12:]}"] < when, "the workload is gone before"
        asked = [params for params in one.region.heard() if params["Action"] == one.call]
        assert len(asked) == 1, "once"
    for region in regions:
        counts = calls(region)
        assert (counts["create"], counts["delete"], region.made(), len(region.there())) == (2, 0, 2, 2)
        acts = [
            params["Action"]
            for params in region.heard()
            if params["Action"].startswith(("Reboot", "Accept", "Stop", "Redeploy"))
        ]
        assert sorted(acts) == sorted(one.call for one in wanted if one.region is region)
