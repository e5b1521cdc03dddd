"""Whose instance may not be terminated: losses that nobody acknowledged, and deletions that the set has not counted yet."""

from datetime import timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Delete
from kubenode.core.machineset.decide import EFFECT_LIMIT, decide
from kubenode.core.machineset.losses import BORNE, WINDOW, barred
from kubenode.core.model.machineset import RECORD_LIMIT
from kubenode.core.policy import Policy
from tests.core.machineset.world import START, World, machine, owner


def pool(live: int, *, gone: int, after: timedelta = timedelta(0)) -> list[m.Machine]:
    """Machines of which some are deleted, each `after` the one before."""
    members = [machine(f"live-{number}") for number in range(live)]
    return members + [
        machine(f"gone-{number}", deletion_timestamp=START + after * number) for number in range(gone)
    ]


def said(one: m.MachineSet, members: list[m.Machine]) -> set[str]:
    """Why those that are deleted may not be terminated."""
    return {barred(one, members, each) for each in members if each.metadata.deletion_timestamp is not None}


@pytest.mark.parametrize(
    ("live", "gone", "replicas", "free"),
    [
        (20, BORNE, 20 + BORNE, True), (20, BORNE + 1, 20 + BORNE + 1, False), (20, 9, 20, True), (20, 9, 24, True),
        (20, 9, 29, False), (0, 1, 1, True), (0, 2, 2, False), (0, 2, 1, True),
    ],
)  # fmt: skip
def test_too_many_at_once_wait_until_the_set_has_counted_them(
    live: int, gone: int, replicas: int, free: bool
) -> None:
    """By the same bounds as the set's own; lowered replicas ask for some."""
    reasons = said(owner(replicas), pool(live, gone=gone))
    assert (reasons == {""}) is free
    assert free or all("it has to count them first" in reason for reason in reasons)


def test_those_that_were_deleted_slowly_are_no_mass_delete() -> None:
    """Counted are those of the ten minutes before each."""
    slow = pool(20, gone=9, after=WINDOW / BORNE)
    assert said(owner(29), slow) == {""}
    fast = pool(20, gone=9, after=WINDOW / (BORNE + 2))
    assert [barred(owner(29), fast, one) != "" for one in fast[20:]] == [False] * BORNE + [True] * 4


def test_losses_that_nobody_acknowledged_bar_all_but_who_the_set_chose() -> None:
    """A person's word lets them go."""
    members = pool(20, gone=2)
    [ours, other] = members[20:]
    leaver = m.Leaver(name=ours.metadata.name, uid=ours.metadata.uid)
    one = owner(22)
    lost = attrs.evolve(
        one, status=attrs.evolve(one.status, lost=7, losing=(other.metadata.uid,), going=(leaver,))
    )
    assert barred(lost, members, ours) == ""
    assert "spec.acknowledgedLosses is 7" in barred(lost, members, other)
    spoken = attrs.evolve(lost, spec=attrs.evolve(lost.spec, acknowledged_losses=7))
    assert barred(spoken, members, other) == ""


def test_those_that_are_counted_do_not_count_again() -> None:
    """What was acknowledged is over; a new one is judged by itself."""
    members = pool(20, gone=9)
    counted = tuple(one.metadata.uid for one in members[20:28])
    one = owner(29, acknowledged_losses=8)
    one = attrs.evolve(one, status=attrs.evolve(one.status, lost=8, losing=counted))
    assert said(one, members) == {""}


def test_one_that_is_counted_goes_while_others_wait_to_be() -> None:
    """It was acknowledged with those that were lost with it; those that are deleted now are another loss."""
    members = pool(20, gone=9)
    one = owner(29, acknowledged_losses=1)
    one = attrs.evolve(one, status=attrs.evolve(one.status, lost=1, losing=(members[20].metadata.uid,)))
    assert [barred(one, members, each) == "" for each in members[20:]] == [True] + [False] * 8


def test_deletions_of_others_bar_nothing_of_one_that_nobody_deletes() -> None:
    """A person may still delete it, and then it is one of theirs."""
    members = pool(20, gone=9)
    assert barred(owner(29), members, members[0]) == ""


def test_one_of_a_set_that_leaves_waits_for_the_sets_word() -> None:
    """Its CRD may be what was deleted: the set records whom it deletes, and only those go."""
    members = pool(2, gone=2)
    [ours, other] = members[2:]
    one = owner(0)
    metadata = attrs.evolve(one.metadata, deletion_timestamp=START)
    leaver = m.Leaver(name=ours.metadata.name, uid=ours.metadata.uid)
    leaving = attrs.evolve(one, metadata=metadata, status=attrs.evolve(one.status, going=(leaver,)))
    assert barred(leaving, members, ours) == ""
    assert "has not said yet" in barred(leaving, members, other)
    known = attrs.evolve(leaving, status=attrs.evolve(leaving.status, losing=(other.metadata.uid,)))
    assert barred(known, members, other) == ""


def test_a_set_that_leaves_records_whom_it_deletes_before_it_does() -> None:
    """At most sixteen at a time, and no more than its record has room for."""
    members = [machine(f"m{number:03}") for number in range(EFFECT_LIMIT + 3)]
    one = owner(len(members))
    leaving = attrs.evolve(one, metadata=attrs.evolve(one.metadata, deletion_timestamp=START))
    world = World(set=leaving, machines={each.metadata.name: each for each in members})
    decision = decide(world.snapshot(), Policy())
    assert decision.status is not None
    deleted = [effect.object.uid for effect in decision.effects if isinstance(effect, Delete)]
    assert len(deleted) == EFFECT_LIMIT
    assert [leaver.uid for leaver in decision.status.going] == deleted
    there = tuple(m.Leaver(name=each.metadata.name, uid=each.metadata.uid) for each in members)
    stays = [
        attrs.evolve(each, metadata=attrs.evolve(each.metadata, uid=f"other-{number}"))
        for number, each in enumerate(members)
    ]
    for length in (RECORD_LIMIT, RECORD_LIMIT + 1):
        gone = [machine(f"x{number}", deletion_timestamp=START) for number in range(length)]
        full = tuple(m.Leaver(name=each.metadata.name, uid=each.metadata.uid) for each in gone)
        crowded = attrs.evolve(leaving, status=attrs.evolve(leaving.status, going=full))
        seen = attrs.evolve(world.snapshot(), set=crowded, machines=(*stays, *gone))
        assert decide(seen, Policy()).effects == ()
    again = attrs.evolve(leaving, status=attrs.evolve(leaving.status, going=there[:2]))
    repeat = decide(attrs.evolve(world.snapshot(), set=again), Policy())
    assert repeat.status is not None
    assert repeat.status.going == there[:EFFECT_LIMIT], "each once"
    assert len(repeat.effects) == EFFECT_LIMIT


def test_a_set_that_leaves_forgets_whom_it_recorded_when_they_are_gone() -> None:
    """The record names those that are there."""
    one = owner(1)
    gone = m.Leaver(name="m", uid="uid-of-before")
    leaving = attrs.evolve(
        one, metadata=attrs.evolve(one.metadata, deletion_timestamp=START), status=attrs.evolve(one.status, going=(gone,))
    )  # fmt: skip
    decision = decide(World(set=leaving, machines={"m": machine("m")}).snapshot(), Policy())
    assert decision.status is not None
    assert decision.status.going == (m.Leaver(name="m", uid="uid-m"),)
