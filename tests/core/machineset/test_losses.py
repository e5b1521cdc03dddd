"""Who is lost, case by case: what is remembered, for how long, and that each is counted once."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.machineset.losses import Losses, judge_losses
from kubenode.core.model.machineset import RECORD_LIMIT, Leaver, MachineSetStatus
from tests.core.machineset.world import START, machine, owner

SPAN = 600_000_000_000
AT = 10 * SPAN
NOW = m.Now(wall=START, elapsed=AT)


def members(live: int, going: Iterable[str] = ()) -> tuple[m.Machine, ...]:
    """Give so many machines, and those that are being deleted."""
    stay = tuple(machine(f"live-{number}") for number in range(live))
    return stay + tuple(machine(name, deletion_timestamp=START) for name in going)


def judged(
    machines: tuple[m.Machine, ...], seen: Mapping[str, int] | None = None, *, replicas: int = 20,
    acknowledged: int = 0, elapsed: int = AT, **status: Any,
) -> Losses:  # fmt: skip
    """Judge the losses of a set with this status."""
    one = attrs.evolve(owner(replicas, acknowledged_losses=acknowledged), status=MachineSetStatus(**status))
    return judge_losses(one, machines, attrs.evolve(NOW, elapsed=elapsed), seen or {})


def gone(count: int, since: int = AT) -> dict[str, int]:
    """Give the sightings of so many deletions of machines that are gone."""
    return {f"deleting:uid-gone-{number}": since for number in range(count)}


def test_a_deletion_is_remembered_from_when_it_was_first_seen() -> None:
    """Now, where nobody has seen it; never later than now."""
    found = judged(members(18, "ab"), {"deleting:uid-a": AT - 5, "deleting:uid-gone": AT + 7})
    assert found.sightings == {"deleting:uid-a": AT - 5, "deleting:uid-b": AT, "deleting:uid-gone": AT}
    assert (found.lost, found.losing, found.held) == (0, (), False)


@pytest.mark.parametrize(
    ("age", "remembered"), [(0, True), (SPAN - 1, True), (SPAN, False), (SPAN + 1, False)]
)
def test_who_is_gone_is_remembered_for_ten_minutes(age: int, remembered: bool) -> None:
    """To the nanosecond, and it wakes then; who is still being deleted is remembered while it is there."""
    found = judged(members(18, "a"), {"deleting:uid-a": AT - 9 * SPAN, **gone(1, AT - age)})
    assert ("deleting:uid-gone-0" in found.sightings) is remembered
    assert found.wake_at == (AT - age + SPAN if remembered else None)
    assert found.sightings["deleting:uid-a"] == AT - 9 * SPAN


def test_the_first_to_be_forgotten_wakes() -> None:
    """Of those that are gone; a machine that is there wakes nobody."""
    seen = {"deleting:uid-a": AT - SPAN + 1, "deleting:uid-x": AT - 5, "deleting:uid-y": AT - 9}
    assert judged(members(18, "a"), seen).wake_at == AT - 9 + SPAN


@pytest.mark.parametrize(("there", "away", "lost"), [(5, 0, 0), (6, 0, 6), (0, 6, 6), (3, 3, 6), (2, 3, 0)])
def test_more_than_five_at_once_are_lost_whether_gone_or_going(there: int, away: int, lost: int) -> None:
    """Those that are there are recorded by name, so that none is counted again; the gone are not."""
    going = [f"g{number}" for number in range(there)]
    found = judged(members(20 - there - away, going), gone(away))
    assert (found.lost, found.held) == (lost, lost > 0)
    assert found.losing == (tuple(f"uid-{name}" for name in going) if lost else ())
    marks = {key for key in found.sightings if key.startswith("counted:")}
    assert len(marks) == lost
    assert all(found.sightings[key] == lost for key in marks)
    assert len(found.sightings) == there + away
    assert found.wake_at == (AT + SPAN if away and not lost else None)


@pytest.mark.parametrize(("stored", "lost"), [(0, 6), (5, 11), (6, 6), (7, 7)])
def test_who_is_in_the_stored_count_is_not_counted_again(stored: int, lost: int) -> None:
    """A mark says in which count; before that is stored it is counted anew, after it is forgotten."""
    marks = {f"counted:uid-gone-{number}": 6 for number in range(6)}
    found = judged(members(14), marks, lost=stored, acknowledged=stored)
    assert (found.lost, len(found.sightings)) == (lost, 6 if lost > stored else 0)


def test_who_is_recorded_as_lost_is_not_counted_again_and_forgotten_when_it_is_gone() -> None:
    """The record holds those that are there."""
    found = judged(members(14, ["a", "b"]), lost=6, acknowledged=6, losing=("uid-b", "uid-x", "uid-a"))
    assert (found.lost, found.losing, found.sightings) == (6, ("uid-b", "uid-a"), {})


def test_what_the_set_deletes_itself_is_no_loss() -> None:
    """Whom its status names as going, however many."""
    going = [f"g{number}" for number in range(9)]
    leavers = tuple(Leaver(name=name, uid=f"uid-{name}") for name in going)
    assert judged(members(11, going), going=leavers).sightings == {}
    assert judged(members(11, going), going=leavers[3:]).lost == 0
    assert judged(members(11, going), going=leavers[:3]).lost == 6


@pytest.mark.parametrize(
    ("replicas", "held", "lost"), [(20, False, 6), (19, False, 0), (14, False, 0), (15, True, 7), (14, True, 1), (13, True, 1)]
)  # fmt: skip
def test_what_lower_replicas_ask_for_is_no_loss(replicas: int, held: bool, lost: int) -> None:
    """Six go of twenty: as many as are then too many were asked for. While held, one more than asked is lost with all."""
    found = judged(
        members(14, "abcdef"), replicas=replicas, lost=int(held), acknowledged=0 if held else 9,
    )  # fmt: skip
    assert found.lost == lost


def test_a_tenth_of_those_that_were_there_is_borne() -> None:
    """Also of those that are gone: nine of ninety, not nine of eighty-one."""
    assert judged(members(81), gone(9), replicas=90).lost == 0
    assert judged(members(80), gone(10), replicas=90).lost == 10


@pytest.mark.parametrize(("recorded", "room"), [(498, 2), (499, 1), (500, 0), (501, 0)])
def test_no_more_are_counted_than_the_record_has_room_for(recorded: int, room: int) -> None:
    """Who is there and not recorded would be counted again; who is gone needs no place."""
    assert RECORD_LIMIT == 500
    names = [f"r{number:03}" for number in range(recorded)]
    losing = tuple(f"uid-{name}" for name in names)
    found = judged(
        members(10, [*names, "x", "y", "z"]), gone(1), replicas=600, lost=recorded, losing=losing,
    )  # fmt: skip
    assert found.lost == recorded + room + 1
    assert len(found.losing) == recorded + room


def test_a_window_of_ten_minutes_is_what_it_is() -> None:
    """Five early and one late are six only within it."""
    for age, lost in ((timedelta(minutes=10), 0), (timedelta(minutes=10, microseconds=-1), 6)):
        early = AT - age // timedelta(microseconds=1) * 1000
        seen = {f"deleting:uid-{name}": early for name in "abcde"}
        assert judged(members(14, "abcdef"), seen).lost == lost


def test_an_old_sighting_of_one_that_is_recorded_counts_nothing() -> None:
    """Another process may have seen its deletion before this one counted it."""
    found = judged(members(14, ["a"]), {"deleting:uid-a": AT - 5}, lost=6, acknowledged=6, losing=("uid-a",))
    assert (found.lost, found.losing, found.sightings) == (6, ("uid-a",), {})


@pytest.mark.parametrize(
    ("live", "going", "replicas", "lost"),
    [
        (0, 1, 1, 0), (0, 2, 2, 2), (0, 5, 5, 5), (1, 4, 5, 0), (1, 5, 6, 0), (0, 3, 1, 0), (0, 3, 2, 3), (0, 2, 0, 0),
    ],
)  # fmt: skip
def test_when_none_of_several_is_left_it_is_a_mass_delete_however_few_they_were(
    live: int, going: int, replicas: int, lost: int
) -> None:
    """As when the CRD of Machines is deleted. Not of one machine alone, nor where one is left, nor as lower replicas want it."""
    found = judged(members(live, (f"old-{number}" for number in range(going))), replicas=replicas)
    assert (found.lost, found.held) == (lost, lost > 0)


@pytest.mark.parametrize(("apart", "lost"), [(SPAN - 1, 2), (SPAN, 0)])
def test_within_ten_minutes_is_exact_for_all_of_a_set_too(apart: int, lost: int) -> None:
    """Of two machines, the second deleted so long after the first."""
    assert judged(members(0, ("a", "b")), {"deleting:uid-a": AT - apart}, replicas=2).lost == lost
