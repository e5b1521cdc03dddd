"""The time axis that all charts of a run share, and how times and counts are spelled."""

from collections.abc import Iterable
from typing import Final

import attrs

from kubenode.runtime.report.data import ReportData
from kubenode.runtime.report.markup import Markup, tag

SECOND: Final = 1_000_000_000
WIDE: Final = 1000
"""Units of the drawing from left to right; stretched to whatever room there is."""
_STEPS: Final = (
    1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172_800, 604_800,
)  # fmt: skip
"""Distances of ticks, seconds."""
_TICKS: Final = 7
"""Most ticks, so that their labels do not touch on a small screen every second one is hidden there."""


@attrs.frozen(kw_only=True)
class Axis:
    """From when to when; nothing changed between `ends` and the end of the run."""

    begins: int
    ends: int

    @classmethod
    def of(cls, data: ReportData) -> "Axis":
        """Fit the axis to what happened: a long quiet end is left out."""
        last = max(_moments(data), default=data.ends)
        room = last + max((last - data.begins) // 20, SECOND)
        return cls(begins=data.begins, ends=max(min(room, data.ends), data.begins + SECOND))

    @property
    def length(self) -> int:
        """How long it is, nanoseconds."""
        return self.ends - self.begins

    def x(self, at: int | None) -> float:
        """Give the place of a moment, 0 to WIDE; None is the end."""
        inside = self.ends if at is None else min(max(at, self.begins), self.ends)
        return round((inside - self.begins) * WIDE / self.length, 2)

    def span(self, began: int, ended: int | None, least: float = 1.5) -> tuple[float, float]:
        """Give place and width of a span; a short one is widened so that it can be seen."""
        left = self.x(began)
        width = max(round(self.x(ended) - left, 2), least)
        return min(left, WIDE - width), width

    def percent(self, at: int | None) -> str:
        """Give the place of a moment as a percentage of the width."""
        return f"{self.x(at) / WIDE * 100:.2f}%"

    def ticks(self) -> list[int]:
        """Give round moments, oldest first."""
        step = next((one for one in _STEPS if self.length <= one * SECOND * _TICKS), _STEPS[-1]) * SECOND
        return list(range(self.begins, self.ends, step))

    def drawn(self) -> Markup:
        """Give the labels of the ticks, to stand under a plot."""
        return tag(
            "div",
            *(
                tag("span", clock(at - self.begins), style=f"left:{self.percent(at)}")
                for at in self.ticks() if self.x(at) < WIDE * 0.95
            ),
            class_="ticks", aria_hidden="true",
        )  # fmt: skip

    def grid(self, height: int) -> list[Markup]:
        """Give the vertical lines of the ticks, in units of the drawing."""
        return [tag("path", d=f"M{self.x(at):g} 0V{height}", class_="grid") for at in self.ticks()[1:]]


def _moments(data: ReportData) -> Iterable[int]:
    for lane in data.lanes:
        for stretch in lane.stretches:
            yield stretch.began
        for act in lane.acts:
            yield from (act.began, act.ended or act.began)
    for rollout in data.rollouts:
        for batch in rollout.batches:
            yield batch.passed or batch.opened
    for permit in data.permits:
        yield permit.closed or permit.opened
    for wait in data.waits:
        yield wait.ended or wait.began


def clock(length: int) -> str:
    """Spell a time since the beginning: `+4:05`, `+1:02:03`, `+1d 2:00`.

    >>> clock(245 * SECOND), clock(3723 * SECOND), clock(93_600 * SECOND)
    ('+4:05', '+1:02:03', '+1d 2:00')
    """
    minutes, seconds = divmod(_seconds(length), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"+{days}d {hours}:{minutes:02}"
    return f"+{hours}:{minutes:02}:{seconds:02}" if hours else f"+{minutes}:{seconds:02}"


def _seconds(length: int) -> int:
    """Round to whole seconds: deadlines lie a nanosecond or two beside them."""
    return (length + SECOND // 2) // SECOND


def spell(length: int) -> str:
    """Spell a duration: `40 s`, `12 min`, `1 h 5 min`, `2 d 3 h`.

    >>> [spell(n * SECOND) for n in (40, 95, 720, 3900, 180_000)]
    ['40 s', '1 min 35 s', '12 min', '1 h 5 min', '2 d 2 h']
    """
    total = _seconds(length)
    parts = (
        (total // 86_400, "d"), (total // 3600 % 24, "h"), (total // 60 % 60, "min"), (total % 60, "s"),
    )  # fmt: skip
    said = [f"{amount} {unit}" for amount, unit in parts if amount]
    return " ".join(said[:2]) or "0 s"


def count(number: int, noun: str, plural: str = "") -> str:
    """Spell a count with its noun.

    >>> count(1, "batch", "batches"), count(1200, "permit")
    ('1 batch', '1,200 permits')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
