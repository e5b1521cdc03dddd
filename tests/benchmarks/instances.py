"""What machines on a cloud cost in calls: to create one, many under a limit, and to keep ten thousand for a quiet hour.

Calls are counted in virtual time, so that every run gives the same; only what the quiet hour takes of a processor is
measured, beside a loop that looks as often and does nothing else.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.hookspecs import Instance, Page
from kubenode.core.instance.seen import MACHINE_TAG, MACHINE_UID_TAG
from kubenode.core.model.quantity import nanoseconds
from kubenode.providers.memory import MemoryProvider
from kubenode.providers.pace import Budget, Pace
from kubenode.runtime.controller.wiring import controllers
from kubenode.runtime.embed.clouds import RESYNC
from kubenode.runtime.engine import Synced
from kubenode.runtime.engine.loop import Relist, Stirred
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.observe.calls import look
from kubenode.runtime.observe.events import Events
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.cloud import CloudFault
from kubenode.runtime.sim.run import Simulation
from kubenode.runtime.sim.virtualtime import START
from tests.benchmarks.meter import Meter
from tests.benchmarks.rows import Row, show

RATE: Final = 20
"""Calls a second that the cloud lets through, and as many at once after a quiet time."""
HOUR: Final = timedelta(hours=1)
PAGES: Final = {"ECS": 100, "EC2": 1000}
"""Instances on a page, at most, as our drivers ask for them."""
PROVIDER: Final = "memory"


@attrs.frozen(kw_only=True)
class Created:
    """What so many machines cost.

    Attributes:
        calls: by method, as they came to the cloud.
        throttled: how many of them the cloud refused.
        seconds: of virtual time, until each had its instance.
    """

    machines: int
    made: int
    calls: Mapping[str, int]
    throttled: int
    seconds: float


def created(count: int, *, limited: bool) -> Created:
    """Let machines be made until all run; `limited`: by a cloud that takes RATE calls a second, whose budget we keep."""
    sim = Simulation()
    born: list[int] = []
    bear = sim.cloud.born

    def note(one: Instance) -> None:
        born.append(sim.time.elapsed)
        bear(one)

    sim.cloud.born = note
    limit = _Limit(sim)
    if limited:
        sim.cloud.pace = Pace(Budget.full(rate=RATE, burst=RATE), lambda: sim.time.elapsed / 1e9)
        sim.cloud.choose = limit.choose
    lax = m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(count))
    sim.create(m.RiskPolicy(metadata=m.ObjectMeta(name="lax"), spec=m.RiskPolicySpec(limits=(lax,))))
    for number in range(count):
        sim.create(_machine(f"m{number:05}"))
    sim.rest(limit=timedelta(days=1))
    machines = [wire.read(raw, m.Machine) for raw in sim.objects(m.Machine)]
    assert all(one.status.phase == "Running" for one in machines)
    return Created(
        machines=count, made=len(sim.cloud.made), calls=dict(sim.cloud.calls), throttled=limit.refused, seconds=max(born) / 1e9
    )  # fmt: skip


@attrs.define
class _Limit:
    """The cloud's own limit, which knows nothing of our budget."""

    sim: Simulation
    refused: int = 0
    _budget: Budget = attrs.field(factory=lambda: Budget(rate=RATE, burst=RATE, reserved=0, level=RATE))

    def choose(self, _: str) -> CloudFault:
        """Refuse what comes too soon."""
        self._budget, wait = self._budget.take(self.sim.time.elapsed / 1e9, writes=True)
        self.refused += wait > 0
        return CloudFault.THROTTLED if wait > 0 else CloudFault.NONE


def _machine(name: str) -> m.Machine:
    spec = m.MachineSpec(infrastructure=m.Infrastructure(provider=PROVIDER))
    return m.Machine(metadata=m.ObjectMeta(name=name), spec=spec)


class Cloud(MemoryProvider):
    """Instances in memory, so many a page, whose calls are counted."""

    def __init__(self, instances: Sequence[Instance], page: int) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._rows, self._page = sorted(instances, key=lambda one: one.id), page

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Give a page."""
        self.calls["find"] += 1
        first = int(cursor or 0)
        rows = self._rows[first : first + self._page]
        more = first + self._page < len(self._rows)
        return Page(items=tuple(rows), cursor=str(first + self._page) if more else None)

    def get(self, instance_id: str) -> Instance:
        """Give none."""
        self.calls["get"] += 1
        return super().get(instance_id)


@attrs.frozen(kw_only=True)
class Quiet:
    """What an hour costs in which nothing happens.

    Attributes:
        calls: of the provider, by method.
        decisions: that were made.
        writes: of decisions, to the API; nothing is read but by watches.
        seconds: of CPU.
        bare: seconds of CPU of a loop that looks as often, and does nothing with what it sees.
    """

    machines: int
    calls: Mapping[str, int]
    decisions: int
    writes: int
    seconds: float
    bare: float


def quiet(count: int, page: int) -> Quiet:
    """Keep machines that run, for an hour in which nobody does anything: looks go on, since no cloud tells of a loss."""
    objects, instances = fleet(count)
    cloud = Cloud(instances, page)
    plugins = attrs.evolve(Plugins.discover(), providers={PROVIDER: cloud})
    view, decided = Instances(plugins, resync=RESYNC), Counter[str]()
    engine = controllers(
        plugins, lambda one: decided.update([one.key.controller]), instances=view, events=Events(plugins)
    )
    version = 2**31
    inputs: list[Any] = [
        Synced(kind=kind, items=tuple(objects.get(kind, ())), version=version) for kind in engine.cache.kinds
    ]
    step = engine.step(inputs, _now(0))
    assert not step.calls, step.calls[:3]

    def turn(at: int) -> int:
        nonlocal step
        due = view.next_look(PROVIDER)
        names: tuple[str, ...] = ()
        if due is not None and due <= at:
            names = view.looked(PROVIDER, look(cloud, view.begin(PROVIDER, at), at), at)
        step = engine.step([Stirred(key=Key("machine", name)) for name in names], _now(at))
        return sum(1 if isinstance(call, Relist) else len(call.acts) for call in step.calls)

    assert turn(0) == 0  # the first look shows each machine its instance, and each is decided about
    decided.clear()
    cloud.calls.clear()
    writes, at, end = 0, 0, nanoseconds(HOUR)
    with Meter() as meter:
        while True:
            at = max(
                at, min(one for one in (view.next_look(PROVIDER), step.wake_at, end + 1) if one is not None)
            )
            if at > end:
                break
            writes += turn(at)
    calls = dict(cloud.calls)
    with Meter() as bare:
        while cloud.calls["find"] < 2 * calls["find"]:
            look(cloud, (), at)
    return Quiet(
        machines=count, calls=calls, decisions=decided.total(), writes=writes, seconds=meter.sample(1).seconds,
        bare=bare.sample(1).seconds,
    )  # fmt: skip


def _now(elapsed: int) -> m.Now:
    return m.Now(wall=START + HOUR + timedelta(microseconds=elapsed // 1000), elapsed=elapsed)


def fleet(count: int) -> tuple[Mapping[type[m.Object], list[m.Json]], list[Instance]]:
    """Give as many machines that run as are wanted, with their Nodes and instances: copies of one that was made."""
    sim = Simulation()
    sim.create(_machine("m-0"))
    sim.rest(limit=HOUR)
    (own,) = sim.cloud.alive
    objects = {kind: list(sim.objects(kind)) for kind in m.WATCHED}
    (machine,), (node,) = objects[m.Machine], objects[m.Node]
    text = json.dumps([machine, node])
    old = (machine["metadata"]["uid"], node["metadata"]["uid"], own.id, "m-0")
    machines, nodes, instances = [], [], []
    for number in range(count):
        new = (f"uid-m{number:05}", f"uid-n{number:05}", f"i-{number:08}", f"m-{number:05}")
        copied = text
        for before, after in zip(old, new, strict=True):
            copied = copied.replace(before, after)
        one, its = json.loads(copied)
        machines.append(one)
        nodes.append(its)
        tags = {**own.tags, MACHINE_TAG: new[3], MACHINE_UID_TAG: new[0]}
        provider_id = own.provider_id.replace(own.id, new[2])
        instances.append(attrs.evolve(own, id=new[2], tags=tags, provider_id=provider_id))
    return {**objects, m.Machine: machines, m.Node: nodes}, instances


def rows(made: Sequence[Created], hours: Mapping[str, Quiet]) -> list[Row]:
    """Give the table."""
    table = []
    for one, limited in zip(made, (False, True), strict=True):
        total = sum(one.calls.values())
        ratio, looks = total / one.machines, total - one.calls["create"]
        figure = (
            f"{one.calls['create']:,} creates and {looks:,} looks for {one.made:,} instances: {ratio:.3f} calls a machine;"
            f" the least is 1"
        )
        if limited:
            least = (one.machines - RATE) / RATE
            figure += f"; {one.throttled} refused by the cloud; {one.seconds:.0f} s, and the limit alone takes {least:.0f}"
        what = f"{one.machines:,} machines created" + (
            f" under a limit of {RATE} calls a second" if limited else ""
        )
        wasted = one.calls["create"] + one.throttled - one.machines
        numbers = {"calls": total, "ratio": ratio, "throttled": one.throttled, "seconds": one.seconds}
        table.append(
            Row(
                what=what,
                figure=figure,
                numbers=numbers,
                aim="no call is wasted",
                met=wasted == 0 and one.made == one.machines,
            )
        )
    for cloud, one in hours.items():
        ratio = one.seconds / one.bare
        figure = (
            f"{sum(one.calls.values()):,} calls of the provider, {one.writes} writes to the API, {one.decisions} decisions; "
            f"{one.seconds:.2f} CPU s, {ratio:.1f} times an empty loop that looks as often"
        )
        numbers = {
            "calls": sum(one.calls.values()),
            "writes": one.writes,
            "seconds": one.seconds,
            "ratio": ratio,
        }
        table.append(
            Row(
                what=f"a quiet hour of {one.machines:,} machines on {cloud}",
                figure=figure,
                numbers=numbers,
                aim="no write",
                met=one.writes == 0,
            )
        )
    return table


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.instances", description=__doc__)
    parser.add_argument("--machines", type=int, default=1000, help="how many are created")
    parser.add_argument("--kept", type=int, default=10_000, help="how many are kept for an hour")
    parser.add_argument("-o", dest="output", choices=["table", "json"], default="table")
    given = parser.parse_args(words)
    made = [created(given.machines, limited=limited) for limited in (False, True)]
    hours = {cloud: quiet(given.kept, page) for cloud, page in PAGES.items()}
    show(rows(made, hours), given.output)


if __name__ == "__main__":
    main()
