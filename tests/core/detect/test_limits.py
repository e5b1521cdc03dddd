"""Where a record is cut, how many are looked at, and what is said after a flood."""

import pytest

from kubenode.core import model as m
from kubenode.core.detect.decide import LOOK_LIMIT, NOTHING_READ, DetectState
from kubenode.core.detect.record import TEXT_LIMIT, parse
from tests.core.detect.test_decide import LATER, OLD, kernel, read, shown


def test_the_limits_are_what_they_are() -> None:
    """2,048 characters of a text, 1,000 records a decision; the first record of a boot is number 0."""
    assert (TEXT_LIMIT, LOOK_LIMIT, NOTHING_READ) == (2048, 1000, -1)
    assert (DetectState().sequence, DetectState().dropped) == (-1, 0)


@pytest.mark.parametrize("length", [2047, 2048, 2049])
def test_a_text_is_cut_at_its_limit(length: int) -> None:
    """Not a character earlier, wherever in the line it begins."""
    for head in ("3,1,2,-;", f"999999999,{'9' * 19},{'9' * 19},{'c' * 256};"):
        record = parse(head + "x" * length)
        assert record is not None
        assert len(record.text) == min(length, 2048)


@pytest.mark.parametrize(("place", "found"), [(999, True), (1000, False)])
def test_the_thousandth_record_is_looked_at(place: int, found: bool) -> None:
    """And the next is not."""
    records = [kernel(OLD if number == place else "x", number) for number in range(1001)]
    state = read(*records)
    assert (shown(state).status is m.Switch.TRUE) is found
    assert state.dropped == 1


def test_record_0_is_the_first_of_a_boot() -> None:
    """It is read, and nothing is missing before it."""
    state = read(kernel(OLD, 0), boot="b2", state=read(kernel("x", 900)))
    assert shown(state).status is m.Switch.TRUE
    assert (state.sequence, state.dropped) == (0, 0)
    assert read(kernel("x", 2), state=state, boot="b2").dropped == 1


def test_a_flood_after_quiet_is_told_as_a_new_one() -> None:
    """With its own words, not those of the quiet."""
    quiet = read(kernel("x", 1))
    assert shown(quiet, "LogFlood").reason == "NoFault"
    blind = shown(read(kernel("x", 4), state=quiet, now=LATER), "LogFlood")
    assert (blind.reason, blind.message) == ("RecordsDropped", "2 records were not looked at")
    assert blind.last_transition_time == LATER.wall


def test_what_an_agent_finds_is_of_no_generation() -> None:
    """No spec asked for it."""
    assert {one.observed_generation for one in read(kernel(OLD)).conditions} == {0}
