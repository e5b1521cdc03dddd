"""What the engine does a second, and what an idle machine holds: each measured once, in the process that asks.

The decider costs nothing itself, so that what is measured is the engine and the embedded store.
"""

import gc
import json
import tracemalloc
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

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
from kubenode.runtime.sim.process import Process
from kubenode.runtime.sim.story import Cast, Stage, examples
from kubenode.runtime.store.cache import Cache, Change
from kubenode.runtime.store.embedded import EmbeddedStore, now_or_never
from tests.benchmarks.meter import Meter, Sample

NOW = m.Now(wall=datetime(2026, 1, 1, tzinfo=UTC), elapsed=0)


class Toy:
    """A decider that wants one phase of every machine."""

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


def no_ops(count: int, rounds: int) -> Sample:
    """Decisions that change nothing, as fast as the engine makes them."""
    cache = Cache((m.Machine,))
    engine = Engine(cache, (Toy(cache, ""),), policy=Policy)
    listing = now_or_never(filled(count).find(m.Machine.KIND))
    synced = Synced(kind=m.Machine, items=listing.items, version=int(listing.resource_version))
    assert engine.step((synced,), NOW).calls == ()
    keys = [Stirred(key=Key("toy", f"m{number:05}")) for number in range(count)]
    with Meter() as meter:
        for _ in range(rounds):
            engine.step(keys, NOW)
    return meter.sample(count * rounds)


def steps(at_once: int, count: int, rounds: int) -> Sample:
    """Decide, write one status through the embedded store, see the event, decide again at rest; so many keys at once."""
    store = filled(count)
    toys: list[Toy] = []

    def build() -> Engine:
        cache = Cache((m.Machine,))
        toys.append(Toy(cache, ""))
        return Engine(cache, (toys[-1],), policy=Policy)

    process = Process(build, store, NoHands(), ())
    with Meter() as meter:
        for number in range(rounds):
            toys[-1].want(f"P{number}")
            for first in range(0, count, at_once):
                due = range(first, min(first + at_once, count))
                process.inputs += [Stirred(key=Key("toy", f"m{one:05}")) for one in due]
                while process.turn(NOW):
                    pass
    assert process.calls == count * rounds, process.calls
    return meter.sample(process.calls)


def memory(count: int) -> Sample:
    """What idle machines hold in the controller: cache, inventory, queue; each is Running and its agent has reported."""
    cast = Cast.read([examples() / "upgrade.yaml"]).with_machines(count)
    stage = Stage("memory", cast, seed=0, tell=lambda _: None)
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
    return Sample(operations=count, held=held)


def filled(count: int) -> EmbeddedStore:
    """An embedded store with that many machines, as a user writes them."""
    kinds = [(kind.KIND, schema_of(kind)) for kind in m.KINDS]
    store = EmbeddedStore([*kinds, (m.Node.KIND, None)], clock=lambda: NOW.wall, window=4 * count, cel=False)
    for number in range(count):
        now_or_never(store.create(m.Machine.KIND, wire.dump(_machine(number))))
    return store


def _machine(number: int) -> m.Machine:
    host = m.Host(address=f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
    metadata = m.ObjectMeta(name=f"m{number:05}", labels={"pool": "general"})
    return m.Machine(metadata=metadata, spec=m.MachineSpec(host=host))
