"""Whose clock is wrong: said once it is more than a minute off, taken back, and not said where it never was."""

from datetime import UTC, datetime, timedelta

import pytest

from kubenode.core.detect.clock import clock_conditions
from kubenode.core.model import Condition, Switch

WALL = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LATER = WALL + timedelta(hours=1)
TICK = timedelta(microseconds=1)
MOST_OFF = timedelta(minutes=1)


@pytest.mark.parametrize("ahead", [None, timedelta(), TICK, -TICK, MOST_OFF, -MOST_OFF])
def test_of_a_clock_that_is_right_nothing_is_said(ahead: timedelta | None) -> None:
    """Nor of one that nobody knows."""
    assert clock_conditions(ahead, (), WALL) == ()


@pytest.mark.parametrize(
    ("ahead", "reason", "where"),
    [(MOST_OFF + TICK, "ClockAhead", "ahead of"), (-MOST_OFF - TICK, "ClockBehind", "behind")],
)
def test_a_clock_that_is_wrong_is_told_until_it_is_right(ahead: timedelta, reason: str, where: str) -> None:
    """By the same text however far it is, since when it is; and what to do."""
    told = clock_conditions(ahead, (), WALL)
    text = (
        f"this host's clock is more than a minute {where} the API server's; set it: timedatectl set-ntp true"
    )
    assert told == (
        Condition(
            type="ClockWrong", status=Switch.TRUE, reason=reason, message=text, last_transition_time=WALL
        ),
    )
    assert clock_conditions(ahead * 2, told, LATER) == told
    assert clock_conditions(None, told, LATER) == told
    for right in (timedelta(), MOST_OFF, -MOST_OFF):
        over = clock_conditions(right, told, LATER)
        assert over == (
            Condition(type="ClockWrong", status=Switch.FALSE, reason="NoFault", last_transition_time=LATER),
        )
        assert clock_conditions(right, over, WALL) == over
    (other,) = clock_conditions(-ahead, told, LATER)
    assert (other.reason != reason, other.status, other.last_transition_time) == (True, Switch.TRUE, WALL)
