"""What kubenode costs as it grows: one command, one table. CPU seconds of this process, not wall time.

    python tests/benchmarks/scale.py [--sizes 1000,2000,5000,10000]

Rollout: the upgrade story at each size; growth is the exponent between neighbours (1.00 is linear).
Engine: no-op decisions a second with a decider that wants what stands, so the engine's own cost; and
decide-and-apply steps a second with a decider that wants one status more, through the embedded store:
decide, write, see the event, decide again at rest.
Memory: bytes a machine, Running and at rest, in the controller's cache, inventory and queue.
"""

import argparse
import gc
import json
import math
import sys
import time
import tracemalloc
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.crd import schema_of
from kubenode.core.decision import Decision
from kubenode.core.policy import Policy
from kubenode.runtime.controller.wiring import controllers
from kubenode.runtime.engine import Engine, Synced
from kubenode.runtime.engine.apply import NoHands
from kubenode.runtime.engine.loop import Question, Stirred
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.run import Process
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import ZONES, Cast, Stage, examples
from kubenode.runtime.store.cache import Cache, Change
from kubenode.runtime.store.embedded import EmbeddedStore, now_or_never

NOW = m.Now(wall=datetime(2026, 1, 1, tzinfo=UTC), elapsed=0)


@attrs.frozen
class Row:
    """One line of the table."""

    what: str
    figure: str
    aim: str = ""


class Toy:
    """A decider that wants one phase of every machine, and costs nothing itself."""

    name = "toy"

    def __init__(self, cache: Cache, phase: str) -> None:
        self._cache = cache
        self.want(phase)

    def want(self, phase: str) -> None:
        """Want a phase from now on."""
        self._status = m.MachineStatus(phase=phase)

    def concerns(self, change: Change) -> Iterable[str]:
        """The object itself."""
        return (change.name,)

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """The machine."""
        machine = self._cache.get(m.Machine, key)
        return None if machine is None else Question(snapshot=machine, subject=machine, stored=machine.status)

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Want the phase."""
        return Decision(status=self._status)


def machine(number: int) -> m.Machine:
    """A machine as a user writes it."""
    host = m.MachineSpec(host=m.Host(address=f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"))
    return m.Machine(metadata=m.ObjectMeta(name=f"m{number:05}", labels={"pool": "general"}), spec=host)


def filled(count: int) -> EmbeddedStore:
    """An embedded store with that many machines."""
    kinds = [(kind.KIND, schema_of(kind)) for kind in m.KINDS]
    store = EmbeddedStore([*kinds, (m.Node.KIND, None)], clock=lambda: NOW.wall, window=4 * count, cel=False)
    for number in range(count):
        now_or_never(store.create(m.Machine.KIND, wire.dump(machine(number))))
    return store


def listed(store: EmbeddedStore, kinds: Iterable[type[m.Object]]) -> list[Synced]:
    """Whole listings of some kinds."""
    found = {kind: now_or_never(store.find(kind.KIND)) for kind in kinds}
    return [
        Synced(kind=kind, items=one.items, version=int(one.resource_version)) for kind, one in found.items()
    ]


EXAMPLE = 200
"""For how many machines the example's limits are written."""


def scaled(cast: Cast) -> Cast:
    """Write the example's limits as shares of the fleet it is made for, so that every size has the same shape.

    As they stand, 80 an hour and zone, a rollout over 10,000 machines would take more than 41 hours. The batches stay as they are.
    """

    def share(limit: m.Limit) -> m.Limit:
        machines = EXAMPLE if limit.scope is m.Scope.CLUSTER else EXAMPLE // len(ZONES)
        percent = min(100, 100 * limit.max.amount // machines)
        return attrs.evolve(limit, max=m.IntOrPercent(percent, percent=True))

    def spread(one: m.Object) -> m.Object:
        if not isinstance(one, m.RiskPolicy):
            return one
        return attrs.evolve(one, spec=attrs.evolve(one.spec, limits=tuple(map(share, one.spec.limits))))

    return attrs.evolve(cast, objects=tuple(map(spread, cast.objects)))


@attrs.frozen(kw_only=True)
class Cost:
    """What the upgrade story took at one size."""

    size: int
    seconds: float
    operations: int

    def growth(self, before: "Cost") -> str:
        """Give the exponents between two sizes, of CPU and of operations."""
        times = math.log(self.size / before.size)
        cpu = math.log(self.seconds / before.seconds) / times
        counted = math.log(self.operations / before.operations) / times
        return f"; growth {cpu:.2f} in CPU and {counted:.2f} in operations"


def rollouts(sizes: list[int]) -> Iterator[Row]:
    """The upgrade story at each size; operations are decisions and effects."""
    before: Cost | None = None
    for size in sizes:
        cast = scaled(Cast.read([examples() / "upgrade.yaml"]).with_machines(size))
        gc.collect()
        began = time.process_time()
        told = STORIES["upgrade"](cast, 0, lambda _: None)
        cost = Cost(size=size, seconds=time.process_time() - began, operations=told.decisions + told.effects)
        assert told.passed, [check for check in told.checks if not check.passed]
        figure = f"{cost.seconds:.1f} CPU s, {told.decisions / size:.1f} decisions and {told.effects / size:.1f} effects a machine"
        yield Row(
            f"rollout over {size} machines",
            figure + (cost.growth(before) if before else ""),
            "growth <= 1.15",
        )
        before = cost


def no_ops(count: int = 10_000, rounds: int = 20) -> Row:
    """Decisions that change nothing, as fast as the engine makes them."""
    cache = Cache((m.Machine,))
    engine = Engine(cache, (Toy(cache, ""),), policy=Policy)
    assert engine.step(listed(filled(count), (m.Machine,)), NOW).calls == ()
    keys = [Stirred(key=Key("toy", f"m{number:05}")) for number in range(count)]
    began = time.process_time()
    for _ in range(rounds):
        engine.step(keys, NOW)
    rate = count * rounds / (time.process_time() - began)
    return Row("engine, no-op decisions", f"{rate:,.0f} a second", ">= 100,000")


def steps(at_once: int, count: int = 5_000, rounds: int = 4) -> Row:
    """Decide, write one status through the embedded store, see the event, decide again at rest; so many keys at once."""
    store = filled(count)
    toys: list[Toy] = []

    def build() -> Engine:
        cache = Cache((m.Machine,))
        toys.append(Toy(cache, ""))
        return Engine(cache, (toys[-1],), policy=Policy)

    process = Process(build, store, NoHands(), ())
    began = time.process_time()
    for number in range(rounds):
        toys[-1].want(f"P{number}")
        for first in range(0, count, at_once):
            due = range(first, first + at_once)
            process.inputs += [Stirred(key=Key("toy", f"m{one:05}")) for one in due]
            while process.turn(NOW):
                pass
    seconds = time.process_time() - began
    assert process.calls == count * rounds, process.calls
    return Row(
        f"engine, decide-and-apply steps, {at_once:,} keys at once",
        f"{count * rounds / seconds:,.0f} a second",
        ">= 10,000",
    )


def memory(count: int = 500) -> Row:
    """What one idle machine holds in the controller: cache, inventory, queue; it is Running and its agent has reported."""
    stage = Stage(
        "memory", Cast.read([examples() / "upgrade.yaml"]).with_machines(count), seed=0, tell=lambda _: None
    )
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=timedelta(hours=1))
    engine = controllers(Plugins.discover())
    told = {
        kind: json.dumps(now_or_never(stage.simulation.store.find(kind.KIND)).items)
        for kind in engine.cache.kinds
    }
    gc.collect()
    tracemalloc.start()
    # Read from text, as from a server: whatever of it the cache keeps is counted.
    inputs = [Synced(kind=kind, items=tuple(json.loads(text)), version=2**31) for kind, text in told.items()]
    step = engine.step(inputs, NOW)
    assert not step.calls, step.calls[:3]
    del inputs
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Row("memory of an idle machine in the controller", f"{held / count / 1024:.1f} KiB", "<= 8 KB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1000,2000,5000,10000", help="machines, rising, by commas")
    sizes = [int(size) for size in parser.parse_args().sizes.split(",")]

    def rows() -> Iterator[Row]:
        yield no_ops()
        yield steps(at_once=100)
        yield steps(at_once=5_000)
        yield memory()
        yield from rollouts(sizes)

    print("| what | measured | aim |\n|---|---|---|")
    for row in rows():
        print(f"| {row.what} | {row.figure} | {row.aim} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
