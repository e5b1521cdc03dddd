"""Drift, row by row: what is of interest, what one word covers, how long a reason is, and when it thins."""

from datetime import timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import SetEntry
from kubenode.core.drift.count import VIEW_LIMIT, WINDOW, DriftView, Suspect, told
from kubenode.core.drift.decide import BORNE, BORNE_PERCENT, DriftSnapshot, decide
from kubenode.core.policy import Policy
from tests.core.drift.test_drift import SECOND, START, WHY, Fleet, owner, suspect

NOW = m.Now(wall=START, elapsed=0)


def test_the_limits_are_what_they_are() -> None:
    """Three or a twentieth within ten minutes; sixteen of a sort are seen."""
    assert (3, 5, 16, timedelta(minutes=10)) == (BORNE, BORNE_PERCENT, VIEW_LIMIT, WINDOW)
    empty = DriftView(component="kubelet-1", machines=1)
    assert (empty.recent, empty.drifting, empty.held) == (0, 0, 0)


def stampless(*, held: bool) -> Suspect:
    """A machine that drifts, of which nobody has said since when."""
    return attrs.evolve(suspect(1, held=held), drifting=True)


@pytest.mark.parametrize(
    ("one", "interest"),
    [
        (suspect(1), False), (suspect(1, after=0), True), (suspect(1, after=0, drifting=False), True), (suspect(1, held=True), True),
        (stampless(held=False), True), (stampless(held=True), True),
    ],
)  # fmt: skip
def test_who_drifts_drifted_or_is_held_is_of_interest(one: Suspect, interest: bool) -> None:
    """And is so no more when it is gone."""
    count = told([suspect(0), one])
    assert count.is_of_interest is interest
    count.moved(one.machine.name, None)
    assert not count.is_of_interest


@pytest.mark.parametrize(("drifting", "held"), [(1, 1), (2, 1), (2, 2)])
def test_a_hold_stands_while_one_machine_drifts(drifting: int, held: int) -> None:
    """However long ago it began, until nobody drifts; whoever drifts anew joins it."""
    fleet = Fleet.of(20)
    fleet.machines |= {
        one.machine.name: one for one in (suspect(n, after=-5000, held=n < held) for n in range(drifting))
    }
    fleet.settle()
    assert fleet.held() == list(range(drifting))
    fleet.mend(*range(drifting))
    fleet.settle()
    assert fleet.held() == []


def test_who_is_freed_has_no_word_left() -> None:
    """None, as in an entry that never had one."""
    fleet = Fleet.of(20)
    fleet.machines["n0000"] = suspect(0, held=True)
    (effect,) = fleet.decide().effects
    assert isinstance(effect, SetEntry)
    assert effect.expect is not None
    assert (effect.expect.held, effect.entry.held) == (WHY, None)


def test_a_reason_is_cut_as_the_server_would_refuse_it() -> None:
    """At 1,024 characters, whatever the names."""
    component = "k" * 300
    long = attrs.evolve(owner(), metadata=attrs.evolve(owner().metadata, name="s" * 253))
    suspects = [suspect(number, after=0, component=component) for number in range(4)]
    views = told(suspects).views(START, lambda _: 3)
    effects = decide(DriftSnapshot(set=long, views=views, now=NOW), Policy()).effects
    assert [len(effect.entry.held or "") for effect in effects if isinstance(effect, SetEntry)] == [1024] * 4


def test_it_thins_when_the_first_of_those_that_are_too_many_is_old() -> None:
    """To the second; the note says nothing of it while nobody's word covers who drifts."""
    fleet = Fleet.of(20)
    for at, number in enumerate((3, 1, 2, 0, 4)):
        fleet.at = at * 10
        fleet.drift(number)
    decision = fleet.decide()
    assert decision.wake_at == round((10 + 600) * SECOND)
    assert [note.frees_at for note in decision.notes] == [None]
