"""The control group: its test by hand, its limits, and what a rollout does with it."""

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.model.condition import find
from kubenode.core.model.inspection import (
    ControlGroup,
    Inconclusive,
    Inspection,
)
from kubenode.core.policy import Policy
from kubenode.core.rollout.control import chance, compared, is_significant
from kubenode.core.rollout.decide import decide
from kubenode.core.rollout.tally import Rate
from tests.core.rollout.world import World, rolled_out

GROUP = ControlGroup(conditions=("Hung",))


def rate(updated: int, of_updated: int, waiting: int, of_waiting: int) -> Rate:
    """Give a rate of one condition."""
    return Rate(type="Hung", updated=updated, of_updated=of_updated, waiting=waiting, of_waiting=of_waiting)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (rate(0, 5, 0, 5), Fraction(1)),
        (rate(0, 1, 3, 9), Fraction(1)),
        (rate(1, 1, 0, 2), Fraction(1, 3)),
        (rate(1, 1, 0, 19), Fraction(1, 20)),
        (rate(2, 2, 0, 2), Fraction(1, 6)),
        (rate(3, 3, 0, 3), Fraction(1, 20)),
        (rate(3, 4, 1, 4), Fraction(17, 70)),  # Fisher's tea: 16/70 for three right of four, 1/70 for four
        (rate(4, 4, 0, 4), Fraction(1, 70)),
        (rate(2, 3, 1, 3), Fraction(1, 2)),
        (rate(5, 5, 5, 5), Fraction(1)),
    ],
)
def test_chance_by_hand(seen: Rate, expected: Fraction) -> None:
    """At least so many faults among the updated, if the update did nothing."""
    assert Fraction(*chance(seen)) == expected


@given(st.integers(0, 4), st.integers(0, 4), st.data())
def test_chance_is_a_count_of_all_ways(n: int, others: int, data: st.DataObject) -> None:
    """The fraction is what a count of all ways to spread the faults over the machines gives."""
    updated, waiting = data.draw(st.integers(0, n)), data.draw(st.integers(0, others))
    ways = list(combinations(range(n + others), updated + waiting))
    at_least = sum(sum(one < n for one in way) >= updated for way in ways)
    assert Fraction(*chance(rate(updated, n, waiting, others))) == Fraction(at_least, len(ways))


@pytest.mark.parametrize(
    ("seen", "group", "worse"),
    [
        (rate(1, 1, 0, 19), GROUP, True),  # exactly 5 %
        (rate(1, 1, 0, 18), GROUP, False),
        (rate(1, 1, 0, 99), ControlGroup(conditions=("Hung",), confidence=99), True),
        (rate(1, 1, 0, 98), ControlGroup(conditions=("Hung",), confidence=99), False),
        (rate(1, 1, 0, 39), ControlGroup(conditions=("Hung", "Ready")), True),  # half of the error each
        (rate(1, 1, 0, 38), ControlGroup(conditions=("Hung", "Ready")), False),
        (rate(0, 9, 9, 9), GROUP, False),  # better is not worse
        (rate(1000, 5000, 800, 5000), GROUP, True),
    ],
)
def test_significant_at_the_confidence_and_not_before(seen: Rate, group: ControlGroup, worse: bool) -> None:
    """The limit itself is enough; several conditions share the error."""
    assert is_significant(seen, group) is worse
    assert (compared((seen,), group) is not None) is worse


@pytest.mark.parametrize("pause", [True, False])
def test_nothing_is_compared_when_nobody_is_left(pause: bool) -> None:
    """At the end of a rollout no batch follows that could be held up."""
    group = ControlGroup(
        conditions=("Hung",), inconclusive=Inconclusive.PAUSE if pause else Inconclusive.CONTINUE
    )
    assert compared((rate(9, 9, 0, 0),), group) is None
    assert compared((rate(9, 9, 0, 0),), None) is None
    assert (compared((rate(0, 1, 0, 2),), group) is not None) is pause


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (rate(9, 9, 9, 9), "too few without it to tell at 95 %"),
        (rate(0, 9, 9, 9), "too few without it to tell at 95 %"),
        (rate(0, 2, 0, 2), "too few machines to tell at 95 %"),
        (rate(5, 9, 5, 9), None),  # all nine updated would have told
        (rate(0, 3, 0, 3), None),
    ],
)
def test_where_the_others_have_it_too_nothing_can_be_told(seen: Rate, words: str | None) -> None:
    """Whatever the updated machines had: the fault has come over all of them."""
    found = compared((seen,), ControlGroup(conditions=("Hung",), inconclusive=Inconclusive.PAUSE))
    assert (found is None) is (words is None)
    assert found is None or (not found.worse and found.text.endswith(f"; {words}"))


def said(world: World) -> tuple[str, str, str]:
    """Give phase, reason and message."""
    condition = find(world.owner.status.conditions, "Progressing")
    assert condition is not None
    return world.owner.status.phase, condition.reason, condition.message


def rolling(count: int, group: ControlGroup) -> World:
    """Give a world that has begun to roll out batches of three."""
    world = rolled_out(
        count,
        batches=(m.IntOrPercent(3),),
        max_unavailable=m.IntOrPercent(3),
        inspection=Inspection(control_group=group),
    )
    world.ask("kubelet-2")
    return world


def test_a_worse_rate_pauses_with_its_numbers() -> None:
    """Three of three updated are hung and none of seven others; when they are well again it goes on."""
    world = rolling(10, GROUP)
    while len(world.touched) < 3:
        world.rollout()
        world.risk()
    for name in world.touched:
        world.evolve(name, faults=frozenset({"Hung"}))
    decision = world.settle()
    text = "Hung: 3 of 3 updated machines, 0 of 7 not yet updated; more than by chance (95 %)"
    assert said(world) == ("Paused", "ControlGroupWorse", text)
    assert [(note.code, note.text) for note in decision.notes] == [("ControlGroupWorse", text)]
    assert (decision.deferred, decision.wake_at, len(world.touched)) == (True, None, 3)
    assert decide(world.snapshot(), Policy()).effects == ()
    for name in list(world.seats):
        world.evolve(name, faults=frozenset({"Hung"}))
    world.settle()
    assert said(world) == ("Complete", "Complete", "10 of 10 updated"), "all are hung: the update is not why"


def test_too_few_machines_pause_only_if_the_spec_says_so() -> None:
    """Of three machines nothing can be told; by default it goes on, with Pause it waits and says the numbers."""
    world = rolling(4, GROUP)
    world.settle()
    assert said(world)[1] == "Complete"
    world = rolling(4, ControlGroup(conditions=("Hung",), inconclusive=Inconclusive.PAUSE))
    decision = world.settle()
    text = "Hung: 0 of 3 updated machines, 0 of 1 not yet updated; too few machines to tell at 95 %"
    assert said(world) == ("Paused", "ControlGroupTooSmall", text)
    assert [note.code for note in decision.notes] == ["ControlGroupTooSmall"]
    world.ask(inspection=Inspection(control_group=GROUP))
    world.settle()
    assert said(world)[1] == "Complete"
