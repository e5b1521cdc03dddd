"""What is remembered of the lines of each rule within a boot: how often, when last, about what; and when that is over."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import attrs

from kubenode.core.detect.facts import Facts
from kubenode.core.detect.record import LogRecord
from kubenode.core.detect.rules import Clears, DetectRule
from kubenode.core.model.quantity import nanoseconds

QUIET_FOR: Final = timedelta(minutes=10)
"""A fault that nothing has repeated for so long is over; the kernel looks for hung tasks every two minutes."""
WRITABLE_FOR: Final = timedelta(minutes=1)
"""A file system is believed to be writable again so long after the last line: the line comes before the change."""
MOST_SUBJECTS: Final = 16
_ANY: Final = ""
"""A subject that no look at the host can answer for."""
_DEVICE: Final = re.compile(r"\((?:device )?([\w!:.-]{1,64})(?: [^()]{0,64})?\)", re.ASCII)


@attrs.frozen(kw_only=True)
class Trace:
    """What is remembered of one rule.

    Attributes:
        fired: it is a fault, and not over.
        last: when a line repeated it last, or when nobody could tell, as `Now.elapsed`.
        hits: when its newest lines were written, microseconds since boot; as many as make the fault, at most.
        subjects: the devices that its lines name; the empty one for a line that names none.
    """

    fired: bool = False
    last: int = 0
    hits: tuple[int, ...] = ()
    subjects: tuple[str, ...] = ()

    def after(self, rule: DetectRule, record: LogRecord, now: int) -> "Trace":
        """Give what is remembered once a line of the rule was read.

        A line that is older than the reading counts from when it was written, if the clocks are one; a time that lies
        ahead is none.
        """
        hits = (*self.hits, record.microseconds)[-rule.times :]
        storms = len(hits) == rule.times and hits[-1] - hits[0] <= nanoseconds(rule.within) // 1000
        return Trace(
            fired=self.fired or storms, last=max(self.last, min(now, record.microseconds * 1000)), hits=hits,
            subjects=_with(self.subjects, _subject(record.text)),
        )  # fmt: skip


def _subject(text: str) -> str:
    found = _DEVICE.search(text)
    return found.group(1) if found is not None else _ANY


def _with(subjects: tuple[str, ...], one: str) -> tuple[str, ...]:
    """Add a subject; of too many none is known to be all right again."""
    more = tuple(dict.fromkeys((*subjects, one)))
    return more if len(more) <= MOST_SUBJECTS else (_ANY,)


@attrs.frozen(kw_only=True)
class Found:
    """What reading some lines makes of the traces.

    Attributes:
        traces: by the key of a rule.
        first: by condition; the reason of the rule that a line made a fault first, and that line.
    """

    traces: Mapping[str, Trace]
    first: Mapping[str, tuple[str, str]]


def traced(
    rules: tuple[DetectRule, ...], records: Sequence[LogRecord], before: Mapping[str, Trace], now: int
) -> Found:
    """Read some lines, the oldest first; what is over by now is not told as found."""
    traces = dict(before)
    first: dict[str, tuple[str, str]] = {}
    hits = sorted((place, which) for which, rule in enumerate(rules) for place in rule.found_in(records))
    for place, which in hits:
        rule, record = rules[which], records[place]
        held = traces.get(rule.key, Trace())
        after = traces[rule.key] = held.after(rule, record, now)
        if after.fired:
            first.setdefault(rule.condition, (rule.reason, record.text))
    return Found(traces=traces, first=first)


def counted(
    rules: tuple[DetectRule, ...], found: Found, before: int | None, after: int | None, now: int
) -> Found:
    """Add what the kernel's own counter of hung tasks tells.

    Args:
        rules: those that clear by it hear of it.
        found: what the lines told.
        before: what it was when it was read last; None before that, and in another boot.
        after: what it is; None when it cannot be read.
        now: `Now.elapsed`.
    """
    if before is None or after is None or after <= before:  # it can be set back
        return found
    traces, first = dict(found.traces), dict(found.first)
    for rule in rules:
        if rule.clears is Clears.COUNTED:
            traces[rule.key] = attrs.evolve(traces.get(rule.key, Trace()), fired=True, last=now)
            text = f"the kernel has counted {after - before} more hung tasks"
            first.setdefault(rule.condition, (rule.reason, text))
    return Found(traces=traces, first=first)


def kept(
    rules: tuple[DetectRule, ...], traces: Mapping[str, Trace], facts: Facts, *, blind: bool, now: int
) -> dict[str, Trace]:
    """Leave out what is over, be it a fault or half of one, and what no rule names any more.

    Args:
        rules: what is looked for.
        traces: by the key of a rule.
        facts: how the host is now.
        blind: lines were lost, so that nobody can say that there was quiet.
        now: `Now.elapsed`.
    """
    clears = {rule.key: rule.clears for rule in rules}
    left: dict[str, Trace] = {}
    for key, trace in traces.items():
        if key not in clears:
            continue
        held = attrs.evolve(trace, last=now) if blind else trace
        if not _is_over(clears[key], held, facts, now):
            left[key] = held
    return left


def _is_over(clears: Clears, trace: Trace, facts: Facts, now: int) -> bool:
    since = now - trace.last
    if clears is Clears.BOOT:
        return False
    if clears is Clears.WRITABLE:
        if facts.readonly is None or _ANY in trace.subjects:
            return False
        return since >= nanoseconds(WRITABLE_FOR) and facts.readonly.isdisjoint(trace.subjects)
    if clears is Clears.COUNTED and facts.hung is None:
        return False
    return since >= nanoseconds(QUIET_FOR)
