"""The inventory: what it keeps by single changes is what a recount finds."""

from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.model.risk import LEDGER
from kubenode.core.risk.asks import asks_of_job, ended_of_job
from kubenode.core.risk.success import outcomes_of_job
from kubenode.runtime.controller import breakers as breakers_module
from kubenode.runtime.controller.remedy import RemedyController
from kubenode.runtime.controller.risk import RiskController
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.plugins import Plugins
from tests.runtime.followed import World, component_set, episode, machine, machine_set, node

POOLS = st.sampled_from("ab")
MACHINES = st.builds(
    machine, st.sampled_from(("s-1", "m1", "m2", "m3")), POOLS,
    phase=st.sampled_from(("Pending", "Running", "Unknown")), node=st.sampled_from(("", "n1", "n2")),
    owner=st.sampled_from(("", "s", "t")), gone=st.booleans(),
)  # fmt: skip
NODES = st.builds(
    node,
    st.sampled_from(("n1", "n2")),
    zone=st.sampled_from(("z1", "z2")),
    region=st.sampled_from(("r1", "r2")),
    ready=st.booleans(),
)
SETS = st.builds(machine_set, st.sampled_from("st"), POOLS) | st.builds(
    component_set, st.sampled_from("xy"), POOLS, is_open=st.booleans()
)
MOVES = st.lists(
    st.tuples(MACHINES | NODES | SETS, st.integers(0, 3).map(lambda dice: dice == 0)), max_size=25
)


@example(
    [(machine("m1", node="n1"), False), (node("n1", region="r1"), False), (node("n1", region="r2"), False)],
)  # up counts by region too
@given(MOVES)
def test_kept_by_single_changes_is_what_a_recount_finds(moves: list[tuple[m.Object, bool]]) -> None:
    """Whatever comes, changes and goes, in any order; and the number of changes moves when the counts do, only then."""
    world = World()
    for obj, gone in moves:
        before, changes, sets = world.counts(), world.inventory.changes, world.compared()
        change = world.tell(obj, gone=gone)
        assert (world.inventory.changes != changes) == (world.counts() != before)
        assert world.sets() == world.compared()
        if change is not None and isinstance(obj, m.Machine):
            sides = {
                one.metadata.name for of in (sets, world.compared()) for one in of[0].get(change.name, ())
            }
            assert sorted(world.inventory.sets.touched(change)) == sorted(sides)
    fresh = world.recounted()
    assert world.counts() == fresh.counts()
    assert world.crews() == fresh.crews()
    assert world.inventory.ran == sum(
        one.status.first_running is not None for one in world.cache.all(m.Machine)
    )


STATES = st.lists(st.sampled_from(m.AttemptState), max_size=3)
PHASES = st.sampled_from(("Waiting", "Acting", "Succeeded", "Cancelled", "SomethingNew"))
EPISODES = st.builds(
    lambda machine, number, states, phase: episode(machine, number, *states, phase=phase),
    st.sampled_from(("m1", "m2")), st.integers(0, 2), STATES, PHASES,
)  # fmt: skip


@given(st.lists(st.tuples(EPISODES, st.integers(0, 3).map(lambda dice: dice == 0)), max_size=20))
def test_of_episodes_it_is_known_who_asks_and_what_has_ended(
    moves: list[tuple[m.RemedyOperationJob, bool]],
) -> None:
    """What an index of single changes says is what a walk through all of them finds."""
    world = World()
    for obj, gone in moves:
        world.tell(obj, gone=gone)
        jobs = sorted(world.cache.all(m.RemedyOperationJob), key=lambda job: job.metadata.name)
        kept = world.inventory.episodes
        ended = frozenset(op_id for job in jobs for op_id in ended_of_job(job))
        assert kept.asking() == tuple(job for job in jobs if asks_of_job(job, "", ()))
        assert kept.ended([*ended, "another"]) == ended
        assert Counter(kept.outcomes()) == Counter(one for job in jobs for one in outcomes_of_job(job))
        for name in ("m1", "m2"):
            assert kept.of(f"uid-{name}") == tuple(job for job in jobs if job.spec.machine.name == name)


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
    remedy = RemedyController(world.cache, world.inventory, Plugins(), Instances(Plugins()))
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
