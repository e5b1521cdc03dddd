"""What must be true of a run on a real cluster: judged from the server's audit log and the hosts' own log.

Nothing that kubenode says of itself is asked: what was granted, when and by whom is what the server stored, and what
was done is what the hosts did. The laws are those by which simulated runs are judged (`kubenode.runtime.sim.check`).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.lease import CONTROLLER
from kubenode.runtime.sim.check import Check, all_of, done_once, limits_kept, one_at_a_time, permitted
from kubenode.runtime.sim.witness import Permit
from kubenode.runtime.testing.servers import CONTROLLER_USER, SECOND_USER
from tests.cluster.faults.plot import REFUSES, Acts, cast

USERS = (CONTROLLER_USER, SECOND_USER)
"""Of the controllers."""
WORDS = ("events", "selfsubjectaccessreviews")
WRITES = ("create", "update", "patch", "delete", "deletecollection")


@attrs.frozen(kw_only=True)
class Entry:
    """One request in the audit log.

    Attributes:
        at: when it was answered, in nanoseconds since 1970.
        left: the object that a write left, where the log has it.
    """

    user: str
    agent: str
    verb: str
    resource: str
    subresource: str
    name: str
    code: int
    at: int
    left: Mapping[str, Any] = attrs.field(repr=False)

    @property
    def wrote(self) -> bool:
        """Whether it was a write that was done."""
        return self.verb in WRITES and 200 <= self.code < 300


def audited(log: Path) -> list[Entry]:
    """Read the audit log, in the order of the file."""
    return [
        _entry(raw)
        for raw in map(json.loads, log.read_text().splitlines())
        if raw["stage"].startswith("Response")
    ]


def _entry(raw: Mapping[str, Any]) -> Entry:
    where = raw.get("objectRef") or {}
    answered = datetime.fromisoformat(raw["stageTimestamp"])
    left = raw.get("responseObject") or {}
    return Entry(
        user=raw["user"]["username"], agent=raw.get("userAgent", ""), verb=raw["verb"],
        resource=where.get("resource", ""), subresource=where.get("subresource", ""),
        name=where.get("name") or left.get("metadata", {}).get("name", ""), code=raw["responseStatus"]["code"],
        at=_nanoseconds(answered), left=left,
    )  # fmt: skip


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1000


class Seen:
    """What the audit log tells: the witness of a run that nobody watched."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = list(entries)
        self.permits: dict[str, Permit] = {}
        self.first_running: dict[str, int] = {}
        self.jobs: list[Entry] = []
        versions: dict[int, Entry] = {}
        for entry in self.entries:
            if not entry.wrote:
                continue
            if entry.resource == "riskledgers" and entry.left.get("kind") == "RiskLedger":
                versions.setdefault(int(entry.left["metadata"]["resourceVersion"]), entry)
            if entry.resource == "remedyoperationjobs" and entry.verb == "create":
                self.jobs.append(entry)
            if entry.resource == "machines" and entry.left.get("status", {}).get("firstRunning"):
                self.first_running.setdefault(entry.left["metadata"]["uid"], entry.at)
        for _, entry in sorted(versions.items()):
            self._ledger(wire.read(entry.left, m.RiskLedger).status.holds, entry.at)

    def _ledger(self, holds: Iterable[m.Hold], at: int) -> None:
        now = {hold.op_id: hold for hold in holds}
        for op_id, permit in self.permits.items():
            if permit.closed is None and op_id not in now:
                permit.closed = at
        for op_id, hold in now.items():
            self.permits.setdefault(op_id, Permit(hold=hold, opened=at))


def unled(entries: Iterable[Entry]) -> list[Entry]:
    """Give the writes that were done for somebody while the Lease was another one's, in the order of the answers.

    To ask for one's own rights and to tell of an event changes nothing.
    """
    holder, late = "", list[Entry]()
    for entry in sorted(entries, key=lambda entry: entry.at):
        if not entry.wrote:
            continue
        if entry.resource == "leases" and entry.name == CONTROLLER:
            holder = entry.user if entry.left["spec"].get("holderIdentity") else ""
        elif entry.user in USERS and entry.user != holder and entry.resource not in WORDS:
            late.append(entry)
    return late


def hosts_of(log: Path) -> dict[str, Any]:
    """Read the log of the hosts."""
    return {
        machine: SimpleNamespace(
            spec=SimpleNamespace(machine=machine, zone=told["zone"]), repeats=told["repeats"],
            spans=[_span(machine, one) for one in told["spans"]],
        )
        for machine, told in json.loads(log.read_text()).items()
    }  # fmt: skip


def _span(machine: str, told: Mapping[str, Any]) -> Any:
    disruption = m.Disruption(told["disruption"])
    return SimpleNamespace(
        machine=machine, op_id=told["op_id"], steps=tuple(told["steps"]), disruption=disruption,
        disruptive=disruption is not m.Disruption.NONE, began=told["began"], ended=told["ended"],
    )  # fmt: skip


def acts_of(hosts: Mapping[str, Any]) -> Acts:
    """Count what was done on the hosts."""
    return Counter((span.machine, span.steps) for host in hosts.values() for span in host.spans)


def judge(
    entries: Iterable[Entry], hosts: Mapping[str, Any], machines: Iterable[m.Json], expected: Acts
) -> list[Check]:
    """Ask all that must be true of every run, whatever went wrong in it.

    Args:
        entries: the audit log.
        hosts: what was done, by machine.
        machines: as they stand in the end.
        expected: what was done where nothing went wrong.
    """
    seen, whole, listed = Seen(entries), cast(), tuple(machines)
    no_cloud = SimpleNamespace(terminations=())  # all hosts are imported ones
    run: Any = SimpleNamespace(hosts=hosts, objects=lambda _: listed, cloud=no_cloud)
    return [
        permitted(run, seen),
        limits_kept(whole.last(m.RiskPolicy), seen, _sizes(whole)),
        one_at_a_time(run),
        done_once(run),
        all_of("each act done as often as without faults", _others(acts_of(hosts), expected)),
        all_of("one job an episode", _twice(seen)),
    ]


def _sizes(whole: Any) -> Callable[[str], int]:
    """Give how many machines a scope has; no limit of the cast is a percentage."""
    return lambda _: len(whole.of(m.Machine))


def _others(found: Acts, expected: Acts) -> Iterable[str]:
    """Compare; what a host refuses is tried again for ever, so of that only the machine and the steps count."""
    for act in sorted(found.keys() | expected.keys()):
        machine, steps = act
        versions = (text.partition("=")[2] for text in REFUSES.get(machine, ()))
        refused = any(version and version in str(steps) for version in versions)
        have, want = found[act], expected[act]
        if have != want and not (refused and have and want):
            yield f"{machine}: {steps} {have} times, {want} without faults"


def _twice(seen: Seen) -> Iterable[str]:
    episodes = Counter(
        (job.left["spec"]["machine"]["name"], job.left["spec"].get("remedier"), job.left["spec"]["episode"])
        for job in seen.jobs
    )
    yield from (f"{episode}: {count} jobs" for episode, count in episodes.items() if count > 1)
