"""A set, row by row: what is counted, what is said and noted, who joins, and which names are next."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Create, Decision, Delete, SetOwner
from kubenode.core.instance.evidence import ABSENCE
from kubenode.core.machineset.claims import Reason, counted
from kubenode.core.machineset.crew import crew_of, handed_over, machine_name, made
from kubenode.core.machineset.decide import EFFECT_LIMIT, decide
from kubenode.core.machineset.losses import BORNE, BORNE_PERCENT, WINDOW, borne
from kubenode.core.machineset.order import victims
from kubenode.core.model.condition import find
from kubenode.core.model.machineset import DELETE_FIRST, MachineSetStatus, Strategy, StrategyType
from kubenode.core.policy import Policy
from tests.core.machineset.test_replace import template
from tests.core.machineset.world import START, World, machine, owner, running

REPLACE = Strategy(type=StrategyType.REPLACE)


def decided(world: World) -> Decision[MachineSetStatus]:
    """Decide, and write nothing."""
    return decide(world.snapshot(), Policy())


def deleting(one: m.Machine) -> m.Machine:
    """The machine after somebody asked for its deletion."""
    return attrs.evolve(one, metadata=attrs.evolve(one.metadata, deletion_timestamp=START))


def said(world: World, type: str) -> tuple[m.Switch, str, str]:
    """Give what a decision claims."""
    status = decided(world).status
    assert status is not None
    found = find(status.conditions, type)
    assert found is not None
    return found.status, found.reason, found.message


def test_the_limits_are_what_they_are() -> None:
    """Sixteen a decision; five or a tenth within ten minutes are borne."""
    assert (EFFECT_LIMIT, BORNE, BORNE_PERCENT, WINDOW.total_seconds()) == (16, 5, 10, 600)
    assert [borne(count) for count in (0, 59, 60, 69, 70, 99)] == [5, 5, 6, 6, 7, 9]


def test_ready_are_those_whose_node_is_ready_and_who_stay() -> None:
    """Who is being deleted is counted once, as that; who never ran may be ready, and starts."""
    members = (
        machine("a"), running(machine("b"), ready=False), deleting(machine("c")), deleting(machine("d")),
        machine("e", up=False), running(machine("f"), phase="Updating"),
    )  # fmt: skip
    status = counted(owner(4), members)
    assert (status.replicas, status.ready, status.available, status.unavailable) == (6, 2, 1, 2)
    assert (status.deleting, status.starting, status.updated) == (2, 1, 4)


def test_a_set_that_lost_nothing_says_so() -> None:
    """Also while machines that somebody deleted are borne."""
    world = World.of(8, 8)
    assert said(world, "MassDelete") == (m.Switch.FALSE, "NoneLost", "")
    world.slow = True
    world.delete("old-0")
    assert said(world, "MassDelete") == (m.Switch.FALSE, "NoneLost", "")


def test_losses_are_noted_with_what_would_acknowledge_them() -> None:
    """The note binds: observed is what is lost, the limit what a person knows of."""
    world = World.of(8, 8)
    world.slow = True
    for number in range(6):
        world.delete(f"old-{number}")
    holds, reason, text = said(world, "MassDelete")
    assert (holds, reason) == (m.Switch.TRUE, "MachinesLost")
    assert text.startswith(
        "6 machines were deleted by somebody else, more than the 5 within ten minutes that are borne"
    )
    (note,) = decided(world).notes
    assert (note.code, note.text, note.scope, note.observed, note.limit) == (
        "MassDelete", text, "machineset=pool", 6, 0,
    )  # fmt: skip


def test_waiting_for_deletions_is_noted_with_counts() -> None:
    """All machines, also those that go, against those that are wanted."""
    world = World.of(4, 4)
    world.slow = True
    world.delete("old-0")
    (note,) = decided(world).notes
    assert (note.code, note.observed, note.limit) == ("WaitingForDeletions", 4, 4)
    assert note.text == "1 to be made when those that are being deleted are gone"


@pytest.mark.parametrize(
    ("replicas", "free", "left"), [(2, 1, 1), (2, 3, 3), (3, 1, 0), (3, 3, 2), (1, 2, 2)]
)
def test_who_finds_no_room_is_noted(replicas: int, free: int, left: int) -> None:
    """Two machines are there; more than fit are not adopted, and a set that has too many adopts nobody."""
    world = World.of(replicas, 2)
    world.machines |= {name: machine(name, mine=False) for name in "xyz"[:free]}
    decision = decided(world)
    notes = [note for note in decision.notes if note.code == "NoRoom"]
    assert [note.text.split(" ")[0] for note in notes] == ([str(left)] if left else [])
    assert sum(isinstance(effect, SetOwner) for effect in decision.effects) == free - left


def test_nobody_is_taken_in_where_room_is_less_than_none() -> None:
    """However far beyond its replicas a set is."""
    world = World.of(1, 3)
    world.machines |= {name: machine(name, mine=False) for name in "xyz"}
    for room, count in ((-2, 0), (-1, 0), (0, 0), (1, 1), (2, 2), (9, 3)):
        assert len(list(handed_over(world.set, crew_of(world.snapshot()), room=room))) == count


@pytest.mark.parametrize(
    "metadata", [{"deletion_timestamp": START}, {"unknown": ("spec.x",)}, {"labels": {"pool": "gpu"}}]
)
def test_who_goes_is_newer_or_not_selected_does_not_join(metadata: dict[str, object]) -> None:
    """A free machine like any other but for one thing; nor is it said to be contested."""
    world = World.of(3, 0)
    world.machines = {"x": machine("x", mine=False, **metadata)}
    for world.contested in (frozenset[str](), frozenset({"x"})):
        crew = crew_of(world.snapshot())
        assert (crew.joiners, crew.contested, crew.taken) == ((), (), {"x"})


def test_every_machine_that_two_sets_select_is_counted_and_three_are_named() -> None:
    """The condition and its note say the same."""
    world = World.of(0, 0)
    world.machines = {name: machine(name, mine=False) for name in "abcde"}
    world.contested = frozenset("abcd")
    text = "4 machines are selected by another set too, and adopted by none: a, b, c"
    assert said(world, "Conflict") == (m.Switch.TRUE, "OtherSet", text)
    assert [(note.code, note.text) for note in decided(world).notes][-1] == ("OtherSet", text)


def test_the_next_names_are_the_lowest_that_are_free() -> None:
    """Number by number, whoever is gone."""
    world = World.of(5, 0)
    world.settle()
    names = [machine_name(world.set, number) for number in range(8)]
    assert sorted(world.machines) == sorted(names[:5])
    for number in (1, 3):
        del world.machines[names[number]]
    made_now = made(world.set, crew_of(world.snapshot()), 4)
    assert [effect.object.metadata.name for effect in made_now] == [names[at] for at in (1, 3, 5, 6)]
    assert list(made(world.set, crew_of(world.snapshot()), -1)) == []


def test_the_first_thing_that_is_not_known_is_named() -> None:
    """Of a newer version's set."""
    world = World.of(1, 0)
    metadata = attrs.evolve(world.set.metadata, unknown=("spec.a", "spec.b"))
    (note,) = decide(world.snapshot(set=attrs.evolve(world.set, metadata=metadata)), Policy()).notes
    assert (note.code, note.text.split(" ")[0]) == ("NewerVersion", "spec.a")


def test_a_set_that_has_too_few_replaces_the_sick_as_far_as_it_may() -> None:
    """Fewer than wanted are no surplus: two of three may lack, so one of two outdated and sick goes."""
    strategy = attrs.evolve(REPLACE, max_unavailable=2)
    world = World.of(3, 0, strategy=strategy)
    world.settle()
    world.start()
    world.ask(template=template())
    del world.machines[min(world.machines)]
    world.machines = {name: running(one, ready=False) for name, one in world.machines.items()}
    effects = decided(world).effects
    assert [type(effect) for effect in effects] == [Delete]


@pytest.mark.parametrize(
    ("strategy", "slow", "reason", "text"),
    [
        (Strategy(), False, Reason.OUTDATED_STAY, "; they stay until somebody deletes them (strategy OnDelete)"),
        (REPLACE, False, Reason.WAITING_FOR_SUCCESSORS, "; each is deleted when a successor is available"),
        (REPLACE, True, Reason.WAITING_FOR_DELETIONS, "; 1 are being deleted, each until its machine controller lets it go"),
    ],
)  # fmt: skip
def test_what_becomes_of_the_outdated_is_said(
    strategy: Strategy, slow: bool, reason: Reason, text: str
) -> None:
    """They stay, wait for a successor, or go; and where something is waited for, that is noted."""
    world = World.of(3, 0, strategy=strategy)
    world.settle()
    world.start()
    world.settle()
    world.ask(template=template())
    if slow:
        world.slow = True
        world.delete(min(world.machines))
    holds, why, message = said(world, "UpToDate")
    assert (holds, why) == (m.Switch.FALSE, reason.value)
    assert message.startswith(f"{2 if slow else 3} machines are of an earlier template{text}")
    noted = [note.code for note in decided(world).notes if note.text == message]
    assert noted == ([] if reason is Reason.OUTDATED_STAY else [reason.value])


def test_age_alone_decides_where_nothing_else_does() -> None:
    """A machine whose creation nobody stamped is the oldest."""
    young, old, ancient = (
        attrs.evolve(machine(name), metadata=attrs.evolve(machine(name).metadata, creation_timestamp=at))
        for name, at in (("y", START.replace(year=2030)), ("o", START), ("a", None))
    )
    for order, names in ((m.DeleteOrder.NEWEST, "yoa"), (m.DeleteOrder.OLDEST, "aoy")):
        gone = victims((old, ancient, young), order, 3)
        assert "".join(one.metadata.name for one in gone) == names


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (running(machine("b"), phase="Failed"), machine("a", up=False)),
        (running(machine("b"), ready=False), machine("a", up=False)),
        (machine("b", up=False), machine("a")),
    ],
)
def test_the_sick_go_before_the_new_and_those_before_the_well(first: m.Machine, then: m.Machine) -> None:
    """Whatever their zones and ages."""
    for machines in ((first, then), (then, first)):
        assert victims(machines, m.DeleteOrder.HASH, 1) == (first,)


def test_a_set_makes_what_lacks_and_no_more() -> None:
    """As many as one decision may."""
    for replicas, have, count in ((3, 3, 0), (3, 2, 1), (40, 2, 16), (2, 3, 0)):
        effects = decided(World.of(replicas, have)).effects
        assert sum(isinstance(effect, Create) for effect in effects) == count


def test_whom_a_person_names_goes_before_the_unhealthy() -> None:
    """By an annotation, whatever its value."""
    ill, well, named = (machine(f"m{number}") for number in range(3))
    ill = attrs.evolve(ill, status=attrs.evolve(ill.status, phase="Failed"))
    named = attrs.evolve(named, metadata=attrs.evolve(named.metadata, annotations={DELETE_FIRST: ""}))
    assert victims((ill, well, named), m.DeleteOrder.OLDEST, 2) == (named, ill)


def test_an_orphan_is_told_of_after_two_looks_and_nothing_is_done_to_it() -> None:
    """One look proves nothing; one that is not shown any more is forgotten."""
    world, begin = World(set=owner(0)), 7

    def looked(at: int, sightings: dict[str, int], *ids: str) -> Decision[m.MachineSetStatus]:
        seen = attrs.evolve(world.snapshot(), orphans=dict.fromkeys(ids, at), sightings=sightings)
        decision = decide(seen, Policy())
        assert decision.effects == ()
        return decision

    def told(decision: Decision[m.MachineSetStatus]) -> str:
        assert decision.status is not None
        return next((one.message for one in decision.status.conditions if one.type == "Orphans"), "")

    first = looked(begin, {}, "i-1")
    assert (told(first), dict(first.sightings)) == ("", {"orphan:i-1": begin})
    assert told(looked(begin + ABSENCE - 1, dict(first.sightings), "i-1")) == ""
    second = looked(begin + ABSENCE, dict(first.sightings), "i-1", "i-2")
    assert told(second).startswith("1 instances were made for machines of this set that are no more: i-1;")
    assert looked(begin + ABSENCE, dict(second.sightings)).sightings == {}
    many = {f"orphan:i-{number}": 0 for number in range(12)}
    names = [key.partition(":")[2] for key in many]
    assert " and 2 more;" in told(looked(ABSENCE, many, *names))
    assert "i-9; nothing is done" in told(looked(ABSENCE, many, *names[:10])), "all ten are named"
