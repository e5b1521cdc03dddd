"""From new kernel records to findings: what is wrong with this host, since when, in the kernel's words.

A log can only say that a fault appeared, never that it is gone; so a finding holds until the next boot,
and then its condition is False, not absent: who reads it can tell "no fault" from "nobody looks". The
cursor (boot id and sequence) survives a restart of the agent with its state: nothing is read twice.
"""

from collections.abc import Iterable

import attrs

from kubenode.core.decision import Decision, Note
from kubenode.core.detect.record import LogRecord
from kubenode.core.detect.rules import DetectRule
from kubenode.core.model.condition import Claim, Condition, stated
from kubenode.core.model.meta import Switch
from kubenode.core.model.now import Now, moment

LOOK_LIMIT = 1000
"""Most records looked at in one decision; more than that is a flood."""
NO_FAULT = "NoFault"
FLOOD = "LogFlood"
RECORDS_DROPPED = "RecordsDropped"
NOTHING_READ = -1


@attrs.frozen(kw_only=True)
class DetectState:
    """What a detector knows; kept over a restart of the agent.

    Attributes:
        boot_id: the boot that all the rest is about; empty before the first.
        sequence: the last record dealt with; `NOTHING_READ` before the first of a boot.
        conditions: one for each rule's condition, in the order of the rules, then LogFlood.
        dropped: records of this boot that nobody looked at.
    """

    boot_id: str = ""
    sequence: int = NOTHING_READ
    conditions: tuple[Condition, ...] = ()
    dropped: int = 0


@attrs.frozen(kw_only=True)
class DetectSnapshot:
    """New records, in any order and perhaps with old ones among them, and what was known before."""

    records: tuple[LogRecord, ...] = ()
    state: DetectState = DetectState()
    boot_id: str
    now: Now = attrs.field(converter=moment)


def decide(seen: DetectSnapshot, rules: tuple[DetectRule, ...]) -> Decision[DetectState]:
    """Judge the records after the cursor, oldest first.

    Returns:
        The next state, and no effects. The same state when nothing new was read. A condition that is
        True keeps its first line: a fault that repeats itself rewrites nothing. LogFlood is True when
        records were lost in this reading: more than `LOOK_LIMIT` came at once, or the kernel had
        overwritten some (a gap in the sequence). It says that the detector was blind, not what it missed.

    Invariant: looks at no more than `LOOK_LIMIT` records; the answer does not depend on their order.
    """
    old = seen.state
    booted = old.boot_id != seen.boot_id
    cursor = NOTHING_READ if booted else old.sequence
    known = {} if booted else {condition.type: condition for condition in old.conditions}
    fresh = _fresh(seen.records, cursor)
    looked = fresh[:LOOK_LIMIT]
    lost = len(fresh) - len(looked) + _gaps(fresh, cursor)
    flood = lost > 0 if fresh else known.get(FLOOD) is not None and known[FLOOD].status is Switch.TRUE
    claims = [_claim(rule_type, rules, known.get(rule_type), looked) for rule_type in _types(rules)]
    claims.append(_flood_claim(flood, lost, known.get(FLOOD)))
    state = DetectState(
        boot_id=seen.boot_id,
        sequence=fresh[-1].sequence if fresh else cursor,
        conditions=stated(old.conditions, claims, wall=seen.now.wall, generation=0),
        dropped=(0 if booted else old.dropped) + lost,
    )
    notes = (Note(code=FLOOD, text=f"{lost} kernel records were not looked at"),) if lost else ()
    return Decision(status=state, notes=notes)


def _fresh(records: Iterable[LogRecord], cursor: int) -> tuple[LogRecord, ...]:
    """Give the records after the cursor, each once, by sequence."""
    once: dict[int, LogRecord] = {}
    for record in sorted(records, key=_order):
        if record.sequence > cursor:
            once.setdefault(record.sequence, record)
    return tuple(once.values())


def _order(record: LogRecord) -> tuple[int, int, int, int, str]:
    # Two records of one sequence are a lie somewhere. Which one counts (the kernel's, if one is) must not
    # depend on their order.
    return (record.sequence, record.facility, record.level, record.microseconds, record.text)


def _gaps(fresh: tuple[LogRecord, ...], cursor: int) -> int:
    """Count the records that the kernel overwrote before we read them; before a first reading nobody knows."""
    if not fresh:
        return 0
    before = fresh[0].sequence - 1 if cursor == NOTHING_READ else cursor
    return fresh[-1].sequence - before - len(fresh)


def _types(rules: tuple[DetectRule, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(rule.condition for rule in rules))


def _claim(
    type: str, rules: tuple[DetectRule, ...], known: Condition | None, looked: tuple[LogRecord, ...]
) -> Claim:
    if known is not None and known.status is Switch.TRUE:
        return Claim.of(type, True, known.reason, known.message)
    for record in looked:
        for rule in rules:
            if rule.condition == type and rule.finds(record):
                return Claim.of(type, True, rule.reason, record.text)
    return Claim.of(type, False, NO_FAULT)


def _flood_claim(flood: bool, lost: int, known: Condition | None) -> Claim:
    if not flood:
        return Claim.of(FLOOD, False, NO_FAULT)
    if known is not None and known.status is Switch.TRUE:
        return Claim.of(FLOOD, True, known.reason, known.message)
    return Claim.of(FLOOD, True, RECORDS_DROPPED, f"{lost} kernel records were not looked at")
