"""Whom a set deletes: laws of replacing, of spreading, and of what is recorded."""

from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import Create, Delete, SetOwner
from kubenode.core.machineset.claims import counted
from kubenode.core.machineset.decide import decide
from kubenode.core.machineset.order import Standing, next_zone, standing, victims, zone_of
from kubenode.core.machineset.outdated import outdated, replaceable
from kubenode.core.model.condition import Condition
from kubenode.core.model.machineset import RECORD_LIMIT, TEMPLATE_ANNOTATION, Leaver, Strategy, StrategyType
from kubenode.core.policy import Policy
from tests.core.machineset.world import START, World, machine, owner, running

OLD = {TEMPLATE_ANNOTATION: "earlier"}


def one_of(name: str, *, old: bool, up: bool) -> m.Machine:
    """Give a machine: of an earlier template or not, available or not."""
    return running(machine(name, annotations=OLD if old else {}), ready=up)


MIXED = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=7).map(
    lambda kinds: tuple(one_of(f"m{at}", old=old, up=up) for at, (old, up) in enumerate(kinds))
)


@given(
    MIXED,
    st.integers(0, 7),
    st.integers(0, 3),
    st.sets(st.integers(0, 6)),
    st.sets(st.integers(0, 6), max_size=2),
)
def test_as_many_are_replaced_as_the_bounds_allow_and_no_more(
    live: tuple[m.Machine, ...], replicas: int, lacking: int, before: set[int], newer: set[int]
) -> None:
    """So many stay that are available, or wait themselves; the available only as far as they are spare; nobody is left out."""
    strategy = Strategy(type=StrategyType.REPLACE, max_unavailable=lacking)
    group = owner(replicas, strategy=strategy)
    recorded = frozenset(f"uid-m{at}" for at in before)
    known = [one for at, one in enumerate(live) if at not in newer]
    chosen = {one.metadata.uid for one in replaceable(group, known, live, recorded)}
    old = {one.metadata.uid for one in outdated(group, live)}
    up = {one.metadata.uid for one in live if standing(one) is Standing.AVAILABLE}
    candidates = old & {one.metadata.uid for one in known}
    floor = replicas - lacking

    def may(some: set[str]) -> bool:
        stay = len(up | old) - len(some) >= floor
        return not some or (stay and (not some & up or len(up - some) >= floor))

    assert chosen <= candidates
    assert may(chosen)
    assert not any(may({*chosen, other}) for other in candidates - chosen)
    for other in (candidates - chosen) & recorded:
        later = [one for one in chosen - recorded if (one in up) is (other in up)]
        assert not later


def test_on_delete_replaces_nobody() -> None:
    """Whatever the numbers of a strategy that does not apply."""
    group = owner(3, strategy=Strategy(max_unavailable=3))
    live = tuple(one_of(name, old=True, up=False) for name in "abc")
    assert replaceable(group, live, live, frozenset()) == ()


def test_an_outdated_machine_that_goes_is_counted_as_going_alone() -> None:
    """It is not taken from those that are up to date a second time."""
    members = (
        one_of("a", old=True, up=True),
        machine("b", annotations=OLD, deletion_timestamp=START),
        machine("c"),
    )
    status = counted(owner(3), members)
    assert (status.replicas, status.deleting, status.updated) == (3, 1, 1)


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=12),
    st.integers(0, 12),
    st.sampled_from(list(m.DeleteOrder)),
)
def test_each_goes_from_the_zone_that_then_has_the_most(
    zones: list[str], count: int, order: m.DeleteOrder
) -> None:
    """Counted anew after every one."""
    machines = [machine(f"m{at}", zone=zone) for at, zone in enumerate(zones)]
    gone = victims(machines, order, count)
    assert len(gone) == min(count, len(machines))
    crowd = Counter(zones)
    for one in gone:
        assert crowd[zone_of(one)] == max(crowd.values())
        crowd[zone_of(one)] -= 1


@pytest.mark.parametrize(
    ("counts", "zone"),
    [({}, "a"), ({"a": 0}, "a"), ({"b": 0}, "a"), ({"a": 1}, "b"), ({"a": 1, "b": 0}, "b")],
)
def test_a_zone_that_nobody_counted_is_empty(counts: dict[str, int], zone: str) -> None:
    """No emptier than one that was counted and is empty: of equals, the first."""
    assert next_zone(("a", "b"), counts) == zone


def test_who_is_recorded_is_deleted_once_and_first() -> None:
    """One that was chosen and not deleted yet counts in the surplus, and is not chosen again."""
    world = World.of(1, 4)
    recorded = Leaver(name="old-2", uid="uid-old-2")
    world.set = attrs.evolve(world.set, status=attrs.evolve(world.set.status, going=(recorded,)))
    decision = decide(world.snapshot(), Policy())
    names = [effect.object.name for effect in decision.effects if isinstance(effect, Delete)]
    assert (names[0], len(names), len(set(names))) == ("old-2", 3, 3)
    assert decision.status is not None
    assert [leaver.name for leaver in decision.status.going] == names


@pytest.mark.parametrize(("under_way", "count"), [(497, 3), (499, 1), (500, 0), (502, 0)])
def test_no_more_go_than_can_be_recorded(under_way: int, count: int) -> None:
    """Whoever goes by our will is named in the status, or it would be taken for a loss; so a full record waits."""
    going = tuple(machine(f"g{number}", deletion_timestamp=START) for number in range(under_way))
    leavers = tuple(Leaver(name=one.metadata.name, uid=one.metadata.uid) for one in going)
    assert RECORD_LIMIT == 500
    for old, replicas in ((False, 1), (True, 4)):
        strategy = Strategy(type=StrategyType.REPLACE, max_unavailable=4, max_surge=0)
        world = World(set=owner(replicas, strategy=strategy))
        world.machines = {one.metadata.name: one for one in going}
        world.machines |= {name: one_of(name, old=old, up=True) for name in "wxyz"}
        world.set = attrs.evolve(world.set, status=attrs.evolve(world.set.status, going=leavers))
        effects = decide(world.snapshot(), Policy()).effects
        assert sum(isinstance(effect, Delete) for effect in effects) == min(count, 3 if not old else 4)


def test_a_set_that_goes_leaves_what_it_must() -> None:
    """A machine of a newer version stays, a stray is given up, and nobody joins what is going."""
    world = World.of(3, 2)
    world.machines["newer"] = machine("newer", unknown=("spec.x",))
    world.machines["stray"] = machine("stray", labels={})
    world.machines["free"] = machine("free", mine=False)
    world.set = attrs.evolve(world.set, metadata=attrs.evolve(world.set.metadata, deletion_timestamp=START))
    effects = decide(world.snapshot(), Policy()).effects
    assert [effect.object.name for effect in effects if isinstance(effect, Delete)] == ["old-0", "old-1"]
    assert [effect.machine.name for effect in effects if isinstance(effect, SetOwner)] == ["stray"]


def test_of_a_newer_versions_set_one_condition_changes() -> None:
    """Scaled is said anew; the others stay, and Scaled is there once."""
    stored = tuple(
        Condition(type=type, status=m.Switch.TRUE, reason="Said", last_transition_time=START)
        for type in ("MassDelete", "Scaled", "Canary")
    )
    world = World.of(1, 0)
    metadata = attrs.evolve(world.set.metadata, unknown=("spec.a",))
    newer = attrs.evolve(
        world.set, metadata=metadata, status=attrs.evolve(world.set.status, conditions=stored)
    )
    status = decide(world.snapshot(set=newer), Policy()).status
    assert status is not None
    assert [(one.type, one.reason) for one in status.conditions] == [
        ("Scaled", "NewerVersion"), ("MassDelete", "Said"), ("Canary", "Said"),
    ]  # fmt: skip


def test_who_is_available_is_spared_though_others_would_be_missed_less() -> None:
    """A sick machine of a newer version counts as waiting, and stays: the well one cannot go in its place."""
    group = owner(1, strategy=Strategy(type=StrategyType.REPLACE))
    sick, well = one_of("sick", old=True, up=False), one_of("well", old=True, up=True)
    assert replaceable(group, (well,), (sick, well), frozenset()) == ()
    assert replaceable(group, (sick, well), (sick, well), frozenset()) == (sick,)
    successor = one_of("next", old=False, up=True)
    assert replaceable(group, (well, successor), (sick, well, successor), frozenset()) == (well,)


def test_who_was_chosen_before_goes_first() -> None:
    """Where one of several alike may go, and of those that are worse off."""
    group = owner(3, strategy=Strategy(type=StrategyType.REPLACE, max_unavailable=1))
    live = tuple(one_of(name, old=True, up=True) for name in "abc")
    for one in live:
        assert replaceable(group, live, live, frozenset({one.metadata.uid})) == (one,)


def test_zones_fill_up_one_by_one() -> None:
    """Whoever is made counts in its zone at once: three for the empty one, then in turn."""
    world = World.of(9, 0, failure_domains=("a", "b"))
    world.machines = {name: machine(name, zone="a") for name in "xyz"}
    made_now = [
        effect.object for effect in decide(world.snapshot(), Policy()).effects if isinstance(effect, Create)
    ]
    assert "".join(zone_of(one) for one in made_now if isinstance(one, m.Machine)) == "bbbaba"
