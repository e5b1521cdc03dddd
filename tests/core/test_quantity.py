"""Counts, shares and durations, as people write them."""

from datetime import timedelta
from typing import Any

import pytest

from kubenode.core.model.quantity import IntOrPercent, format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "total", "down", "up"),
    [(3, 200, 3, 3), ("10%", 200, 20, 20), ("10%", 205, 20, 21), ("1%", 5, 0, 1), ("100%", 7, 7, 7)],
)
def test_a_share_is_of_a_total(written: int | str, total: int, down: int, up: int) -> None:
    """It rounds down, or up where asked; a count is itself."""
    read = IntOrPercent.parse(written)
    assert (read.scaled(total), read.scaled(total, up=True)) == (down, up)
    assert (read.wire, str(read)) == (written, str(written))


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (True, "neither a number nor a percentage"), (None, "neither a number"), (0.5, "neither a number"),
        (-1, "-1 is negative"), ("0%", "is not a percentage from '1%' to '100%'"), ("101%", "is not a percentage"),
        ("10", "is not a percentage"), ("1e1%", "is not a percentage"),
    ],
)  # fmt: skip
def test_what_is_neither(written: Any, text: str) -> None:
    """Each is told what to write instead."""
    with pytest.raises(ValueError, match=r".") as refused:
        IntOrPercent.parse(written)
    assert text in str(refused.value)


@pytest.mark.parametrize("text", ["1h30m", "90s", "0s", "8760h"])
def test_durations_are_read_and_written(text: str) -> None:
    """What is written reads the same."""
    read = parse_duration(text)
    assert parse_duration(format_duration(read)) == read


@pytest.mark.parametrize(
    "text", ["", "1.5h", "PT1H", "1d", "h", "9000h", "99999999999999999999s", "-1s", "1s\n"]
)
def test_other_spellings_are_refused(text: str) -> None:
    """Go's fractions, ISO's, days, more than a year, less than nothing."""
    with pytest.raises(ValueError, match=r"."):
        parse_duration(text)


def test_half_a_second_is_no_duration_of_ours() -> None:
    """Whole seconds are written as they are read."""
    assert format_duration(timedelta(minutes=90)) == "1h30m"
