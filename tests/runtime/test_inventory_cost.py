"""What is gone through for one change, counted: not the fleet, not what is over."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core.model.risk import LEDGER
from kubenode.runtime.controller import risk as risk_module
from kubenode.runtime.controller.machine import MachineController
from kubenode.runtime.controller.risk import RiskController
from kubenode.runtime.controller.wiring import controllers
from kubenode.runtime.engine import Engine, Event, Synced
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.cache import Cache, Change
from kubenode.runtime.store.contract import EventType, WatchEvent
from tests.runtime.followed import NOW, World, component_set, episode, machine, machine_set, node, served


class Counting(Cache):
    """A cache that counts the objects that somebody goes through, by kind."""

    seen: Counter[type[m.Object]]

    def all(self, kind: Any) -> Iterator[Any]:
        """Count each object given."""
        for obj in super().all(kind):
            self.seen[kind] += 1
            yield obj


def fleet(size: int) -> Engine:
    """The controllers over a fleet in MachineSets of five, at rest but for the calls that nobody does."""
    engine = controllers(Plugins.discover())
    objects: list[m.Object] = [component_set("x", "p0")]
    for number in range(size):
        pool = f"p{number // 5}"
        if number % 5 == 0:
            objects.append(machine_set(pool, pool))
        objects.append(node(f"n{number}"))
        objects.append(machine(f"m{number}", pool, node=f"n{number}", owner=pool))
    raws = [(type(obj), served(obj, version)) for version, obj in enumerate(objects, start=1)]
    last = len(objects)
    engine.step(
        [
            Synced(kind=kind, items=tuple(raw for of, raw in raws if of is kind), version=last)
            for kind in engine.cache.kinds
        ],
        NOW,
    )
    return engine


def cost(size: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Counter[type[m.Object]], int]:
    """Objects gone through, and questions asked, for one machine that becomes NotReady and says so."""
    engine = fleet(size)
    asked: list[str] = []
    for controller in engine._controllers.values():
        question = controller.question

        def counted(key: str, now: m.Now, sightings: Any, question: Any = question) -> Any:
            asked.append(key)
            return question(key, now, sightings)

        monkeypatch.setattr(controller, "question", counted)
    monkeypatch.setattr(Counting, "seen", Counter(), raising=False)
    engine.cache.__class__ = Counting
    changed = machine("m7", "p1", node="n7", owner="p1", phase="Unknown")
    for version, obj in enumerate((node("n7", ready=False), changed), start=10 * size):
        event = WatchEvent(type=EventType.MODIFIED, object=served(obj, version))
        engine.step([Event(kind=type(obj), event=event)], NOW)
    return Counting.seen, len(asked)


def test_no_machines_change_looks_at_the_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    """All controllers: no machine and no set of either kind is gone through, and as much is asked in ten times the fleet."""
    (seen, asked), large = cost(20, monkeypatch), cost(200, monkeypatch)
    assert (seen, asked) == large
    assert seen == Counter()
    assert asked > 0


def test_going_through_the_fleet_would_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above can fail: a controller that looks at all machines for one machine's change."""

    def concerns(self: MachineController, change: Change) -> Iterator[str]:
        yield from (one.metadata.name for one in self._cache.all(m.Machine))

    monkeypatch.setattr(MachineController, "concerns", concerns)
    (few, _), (many, _) = cost(20, monkeypatch), cost(200, monkeypatch)
    assert 0 < few[m.Machine] < many[m.Machine]


@pytest.mark.parametrize("others", [10, 100])
def test_a_ledger_decision_goes_through_who_asks_alone(others: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not through episodes that are over, nor through sets without an open batch; what they have ended is known."""
    world = World()
    world.tell(component_set("x", "a", is_open=True))
    for number in range(others):
        world.tell(component_set(f"y{number}", "b"))
        world.tell(episode(f"m{number}", 0, m.AttemptState.SUCCEEDED, phase="Succeeded"))
    world.tell(machine("m1"))
    world.tell(episode("m1", 1, m.AttemptState.FAILED, m.AttemptState.WAITING))
    hold = m.Hold(
        op_id="m1-1-1", machine="m1", machine_uid="uid-m1", cause=m.Cause.REMEDY, scopes=("cluster",), since=1
    )
    status = m.RiskLedgerStatus(holds=(hold,), checkpoint=1)
    world.tell(m.RiskLedger(metadata=m.ObjectMeta(name=LEDGER, uid="uid-l"), status=status))
    looked: Counter[str] = Counter()
    for name in ("asks_of_set", "ended_of_set", "asks_of_job"):
        whole = getattr(risk_module, name)
        monkeypatch.setattr(
            risk_module,
            name,
            lambda *given, name=name, whole=whole, **more: looked.update([name]) or whole(*given, **more),
        )
    question = RiskController(world.cache, world.inventory).question(LEDGER, NOW, {})
    assert question is not None
    assert looked == {"asks_of_set": 1, "ended_of_set": 1, "asks_of_job": 1}
    assert [ask.op_id for ask in question.snapshot.asks] == ["m1-1-2"]
    assert question.snapshot.ended == {"m1-1-1"}
    assert len(question.snapshot.outcomes) == others + 1
