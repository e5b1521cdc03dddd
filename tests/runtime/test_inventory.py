"""The inventory: what it keeps by single changes is what a recount finds, and no machine's change looks at the fleet."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.model.risk import LEDGER
from kubenode.runtime.controller import breakers as breakers_module
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.controller.remedy import RemedyController
from kubenode.runtime.controller.risk import RiskController
from kubenode.runtime.controller.wiring import controllers
from kubenode.runtime.engine import Engine, Event, Synced
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.cache import Cache, Change
from kubenode.runtime.store.contract import EventType, WatchEvent

RAN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = m.Now(wall=RAN, elapsed=0)
READY = m.NodeCondition(type="Ready", status=m.Switch.TRUE)
ZONE = "topology.kubernetes.io/zone"


def machine(
    name: str, pool: str = "a", *, phase: str = "Running", node: str = "", owner: str = "", gone: bool = False
) -> m.Machine:
    """A machine of a pool; in a phase other than Pending it has been Running."""
    ref = m.SetRef(name=owner, uid=f"uid-{owner}") if owner else None
    metadata = m.ObjectMeta(
        name=name, uid=f"uid-{name}", labels={"pool": pool}, deletion_timestamp=RAN if gone else None
    )
    status = m.MachineStatus(
        phase=phase, first_running=None if phase == "Pending" else RAN, agent=m.AgentStatus(node_name=node)
    )
    return m.Machine(metadata=metadata, spec=m.MachineSpec(set_ref=ref), status=status)


def node(name: str, *, zone: str = "z1", ready: bool = True) -> m.Node:
    """A Node of a zone."""
    metadata = m.ObjectMeta(name=name, uid=f"uid-{name}", labels={ZONE: zone})
    return m.Node(metadata=metadata, status=m.NodeStatus(conditions=(READY,) if ready else ()))


def machine_set(name: str, pool: str) -> m.MachineSet:
    """A set of all machines of a pool."""
    template = m.MachineTemplate(
        labels={"pool": pool}, spec=m.MachineTemplateSpec(infrastructure=m.Infrastructure(provider="memory"))
    )
    spec = m.MachineSetSpec(selector=m.Selector(match_labels={"pool": pool}), template=template)
    return m.MachineSet(metadata=m.ObjectMeta(name=name, uid=f"uid-{name}"), spec=spec)


def component_set(name: str, pool: str) -> m.MachineComponentSet:
    """A set that runs a component on a pool."""
    spec = m.MachineComponentSetSpec(
        selector=m.Selector(match_labels={"pool": pool}), name=name, component=f"{name}-1"
    )
    return m.MachineComponentSet(metadata=m.ObjectMeta(name=name, uid=f"uid-{name}"), spec=spec)


def served(obj: m.Object, version: int) -> m.Json:
    """The object as a server serves it."""
    return wire.dump(attrs.evolve(obj, metadata=attrs.evolve(obj.metadata, resource_version=str(version))))  # type: ignore[misc]


class World:
    """A cache and an inventory that follow a watch, as an engine's do."""

    def __init__(self) -> None:
        self.cache = Cache(m.WATCHED)
        self.inventory = Inventory(self.cache)
        self.version = 0

    def tell(self, obj: m.Object, *, gone: bool = False) -> Change | None:
        """Let the watch tell of an object."""
        self.version += 1
        told = WatchEvent(
            type=EventType.DELETED if gone else EventType.MODIFIED, object=served(obj, self.version)
        )
        change = self.cache.take(type(obj), told)
        if change is not None:
            self.inventory.fold(change)
        return change

    def counts(self) -> object:
        """What the risk decider weighs."""
        kept = self.inventory
        absent = {one: kept.absent(one) for one in ("x", "y") if kept.absent(one)}
        return kept.zones(), kept.up(), absent

    def crews(self) -> object:
        """The machines of each MachineSet, and which of them another set selects too."""
        crews = self.inventory.crews
        return {
            owner.metadata.name: {
                one.metadata.name: crews.is_selected_by_another(one, owner)
                for one in crews.machines(owner.metadata.name)
            }
            for owner in self.cache.all(m.MachineSet)
        }

    def recounted(self) -> "World":
        """A world that is told of all that is there now, and of nothing before."""
        fresh = World()
        for kind in (m.MachineComponentSet, m.MachineSet, m.Node, m.Machine):
            for obj in self.cache.all(kind):
                fresh.tell(obj)
        return fresh


POOLS = st.sampled_from("ab")
MACHINES = st.builds(
    machine, st.sampled_from(("s-1", "m1", "m2", "m3")), POOLS,
    phase=st.sampled_from(("Pending", "Running", "Unknown")), node=st.sampled_from(("", "n1", "n2")),
    owner=st.sampled_from(("", "s", "t")), gone=st.booleans(),
)  # fmt: skip
NODES = st.builds(
    node, st.sampled_from(("n1", "n2")), zone=st.sampled_from(("z1", "z2")), ready=st.booleans()
)
SETS = st.builds(machine_set, st.sampled_from("st"), POOLS) | st.builds(
    component_set, st.sampled_from("xy"), POOLS
)
MOVES = st.lists(
    st.tuples(MACHINES | NODES | SETS, st.integers(0, 3).map(lambda dice: dice == 0)), max_size=25
)


@given(MOVES)
def test_kept_by_single_changes_is_what_a_recount_finds(moves: list[tuple[m.Object, bool]]) -> None:
    """Whatever comes, changes and goes, in any order; and the number of changes moves when the counts do, only then."""
    world = World()
    for obj, gone in moves:
        before, changes = world.counts(), world.inventory.changes
        world.tell(obj, gone=gone)
        assert (world.inventory.changes != changes) == (world.counts() != before)
    fresh = world.recounted()
    assert world.counts() == fresh.counts()
    assert world.crews() == fresh.crews()
    assert world.inventory.ran == sum(
        one.status.first_running is not None for one in world.cache.all(m.Machine)
    )


def test_a_machine_of_two_sets_is_contested_until_one_lets_it_go() -> None:
    """A set knows of the other by the machine, and forgets it with the set."""
    world = World()
    for obj in (machine_set("s", "a"), machine_set("t", "a"), machine("m1"), machine("m2", "b")):
        world.tell(obj)
    assert world.crews() == {"s": {"m1": True}, "t": {"m1": True}}
    world.tell(machine_set("t", "a"), gone=True)
    assert world.crews() == {"s": {"m1": False}}


def test_the_ledger_is_looked_at_when_what_there_is_to_lose_has_changed() -> None:
    """Not for each word of each machine; and again when one is no longer available."""
    world = World()
    risk = RiskController(world.cache, world.inventory)

    def concerned(obj: m.Object) -> list[str]:
        change = world.tell(obj)
        assert change is not None
        return list(risk.concerns(change))

    world.tell(component_set("x", "a"))
    world.tell(node("n1"))
    assert concerned(machine("m1", node="n1")) == [LEDGER]
    assert concerned(machine("m1", node="n1")) == []
    assert concerned(node("n1")) == []
    assert concerned(node("n1", ready=False)) == [LEDGER]


def test_breakers_are_judged_again_when_a_count_or_the_policy_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not for each word of each machine, and yet before anybody is asked about the zone."""
    world = World()
    remedy = RemedyController(world.cache, world.inventory, Plugins())
    judged: list[str] = []
    monkeypatch.setattr(breakers_module, "open_breaker", lambda zone, *_: judged.append(zone))

    def concerned(obj: m.Object) -> list[str]:
        judged.clear()
        change = world.tell(obj)
        assert change is not None
        assert list(remedy.concerns(change)) is not None
        return judged

    concerned(node("n1"))
    assert concerned(machine("m1", node="n1")) == ["z1"]
    assert concerned(machine("m1", node="n1")) == []
    assert concerned(node("n1", ready=False)) == ["z1"]
    assert concerned(m.RiskPolicy(metadata=m.ObjectMeta(name="default"))) == ["z1"]


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
    """All seven controllers: no machine and no MachineSet is gone through, and as much is asked in ten times the fleet."""
    (seen, asked), large = cost(20, monkeypatch), cost(200, monkeypatch)
    assert (seen, asked) == large
    assert seen[m.Machine] == seen[m.MachineSet] == 0
    assert seen[m.MachineComponentSet] > 0  # there is one; so the count counts
    assert asked > 0


def test_a_set_that_a_machine_leaves_is_told_as_well() -> None:
    """By its labels, by its owner, or by its end: the set has one less, and has to know."""
    world = World()
    for obj in (machine_set("s", "a"), machine_set("t", "b"), machine_set("u", "c")):
        world.tell(obj)

    def touched(obj: m.Object, *, gone: bool = False) -> set[str]:
        change = world.tell(obj, gone=gone)
        assert change is not None
        return set(world.inventory.crews.touched(change))

    assert touched(machine("m1", "a")) == {"s"}
    assert touched(machine("m1", "a", phase="Unknown")) == {"s"}
    assert touched(machine("m1", "b")) == {"s", "t"}
    assert touched(machine("m1", "b", owner="u")) == {"t", "u"}
    assert touched(machine("m1", "b")) == {"t", "u"}
    assert touched(machine("m1", "b"), gone=True) == {"t"}
