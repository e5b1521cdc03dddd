"""Amounts: a number or a percentage, and durations as people write them."""

import re
from datetime import timedelta

import attrs

PERCENT_PATTERN = "^([1-9][0-9]?|100)%$"
DURATION_PATTERN = "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
_DURATION = re.compile(r"(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?", re.ASCII)
_PERCENT = re.compile(r"([1-9][0-9]?|100)%", re.ASCII)
MAX_DURATION = timedelta(days=366)


@attrs.frozen
class IntOrPercent:
    """A count, or a percentage of something that the reader names.

    >>> IntOrPercent.parse("10%").scaled(25, up=True), IntOrPercent.parse(3).scaled(25)
    (3, 3)
    """

    amount: int
    percent: bool = False

    @classmethod
    def parse(cls, value: int | str) -> "IntOrPercent":
        """Read `3` or `"10%"`.

        Raises:
            ValueError: neither a non-negative integer nor 1% to 100%.

        >>> str(IntOrPercent.parse("5%")), str(IntOrPercent.parse(5))
        ('5%', '5')
        >>> IntOrPercent.parse("0%")
        Traceback (most recent call last):
            ...
        ValueError: '0%' is not a percentage from '1%' to '100%'
        """
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"{value!r} is neither a number nor a percentage like '10%'")
        if isinstance(value, int):
            if value < 0:
                raise ValueError(f"{value} is negative")
            return cls(value)
        match = _PERCENT.fullmatch(value)
        if match is None:
            raise ValueError(f"{value[:40]!r} is not a percentage from '1%' to '100%'")
        return cls(int(match[1]), percent=True)

    def scaled(self, total: int, *, up: bool = False) -> int:
        """Give the count out of `total`; a percentage rounds down, or up where asked."""
        if not self.percent:
            return self.amount
        return -(-self.amount * total // 100) if up else self.amount * total // 100

    def __str__(self) -> str:
        return f"{self.amount}%" if self.percent else str(self.amount)

    @property
    def wire(self) -> int | str:
        """The value as it stands on the wire."""
        return f"{self.amount}%" if self.percent else self.amount


def parse_duration(text: str) -> timedelta:
    """Read `1h30m`, `90s`, `0s`.

    Raises:
        ValueError: any other spelling (Go's `1.5h`, ISO's `PT1H`, `1d`), or beyond a year.

    >>> parse_duration("1h30m").total_seconds()
    5400.0
    >>> parse_duration("1.5h")
    Traceback (most recent call last):
        ...
    ValueError: '1.5h' is not a duration like '1h30m' or '90s'
    """
    match = _DURATION.fullmatch(text) if text else None
    if match is None:
        raise ValueError(f"{text!r} is not a duration like '1h30m' or '90s'")
    # Ten digits are more than a year in every unit, and Python reads no number of thousands of digits.
    hours, minutes, seconds = (int((part or "").lstrip("0")[:10] or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total > MAX_DURATION.total_seconds():
        raise ValueError(f"{text[:40]!r} is more than a year")
    return timedelta(seconds=total)


def format_duration(value: timedelta) -> str:
    """Write a duration as `parse_duration` reads it; parts of a second are dropped.

    >>> format_duration(timedelta(seconds=5400)), format_duration(timedelta(0))
    ('1h30m', '0s')
    """
    total = value.days * 86_400 + value.seconds
    hours, rest = divmod(total, 3600)
    minutes, seconds = divmod(rest, 60)
    text = (
        (f"{hours}h" if hours else "")
        + (f"{minutes}m" if minutes else "")
        + (f"{seconds}s" if seconds else "")
    )
    return text or "0s"


def nanoseconds(value: timedelta) -> int:
    """Give a duration in integer nanoseconds, exactly."""
    return (value.days * 86_400 + value.seconds) * 1_000_000_000 + value.microseconds * 1_000
