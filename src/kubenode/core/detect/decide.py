"""From new records to findings: what is wrong with this host, since when, in the log's own words.

A condition that is False is there, not absent: who reads it can tell "no fault" from "nobody looks". The cursor (boot
id and sequence) survives a restart of the agent with its state: nothing is read twice, and nothing is forgotten.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

import attrs

from kubenode.core.decision import Decision, Note
from kubenode.core.detect.facts import Facts, Service, counts, service_claims
from kubenode.core.detect.record import LogRecord
from kubenode.core.detect.rules import NO_FAULT, DetectRule, types_of
from kubenode.core.detect.traces import Trace, counted, kept, traced
from kubenode.core.model.condition import Claim, Condition, stated
from kubenode.core.model.meta import Switch
from kubenode.core.model.now import Now, moment
from kubenode.core.model.quantity import nanoseconds

LOOK_LIMIT = 1000
"""Most records looked at in one decision; more than that is a flood."""
FLOOD_FOR = timedelta(minutes=1)
"""A flood is over so long after the last loss: one that loses a little now and then is one, and one write to the server."""
FLOOD = "LogFlood"
RECORDS_DROPPED = "RecordsDropped"
LOG_UNREADABLE = "LogUnreadable"
NOTHING_READ = -1
_WORSE = (Switch.TRUE, Switch.UNKNOWN, Switch.FALSE)


@attrs.frozen(kw_only=True)
class DetectState:
    """What a detector knows; kept over a restart of the agent.

    Attributes:
        boot_id: the boot that all the rest is about; empty before the first.
        sequence: the last record dealt with; `NOTHING_READ` before the first of a boot.
        conditions: one for each rule's condition, in the order of the rules, then the services', then LogFlood.
        dropped: records of this boot that nobody looked at.
        missed: when some were dropped last, as `Now.elapsed`; None where none was in this boot.
        traces: by the key of a rule; what is remembered of its lines.
        hung: the kernel's counter of hung tasks as it was read last; None before that.
        ill: by the condition of a service; in how many looks in a row it was ill.
    """

    boot_id: str = ""
    sequence: int = NOTHING_READ
    conditions: tuple[Condition, ...] = ()
    dropped: int = 0
    missed: int | None = None
    traces: Mapping[str, Trace] = attrs.field(factory=dict)
    hung: int | None = None
    ill: Mapping[str, int] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class DetectSnapshot:
    """New records, in any order and perhaps with old ones among them, what was known before, and how the host is.

    Attributes:
        lost: records that were lost before anybody numbered them, as who reads them says.
        blind: why the log cannot be read at all now; empty while it can.
    """

    records: tuple[LogRecord, ...] = ()
    state: DetectState = DetectState()
    facts: Facts = Facts()
    lost: int = 0
    blind: str = ""
    boot_id: str
    now: Now = attrs.field(converter=moment)


def decide(
    seen: DetectSnapshot, rules: tuple[DetectRule, ...], services: tuple[Service, ...] = ()
) -> Decision[DetectState]:
    """Judge the records after the cursor, oldest first.

    Returns:
        The next state, and no effects. The same state when nothing new was read and nothing is over. A condition that is
        True keeps its first line: a fault that repeats itself rewrites nothing. It is over when every rule that made it
        so is. LogFlood is True when records were lost in this reading: more than `LOOK_LIMIT` came at once, or the
        kernel had overwritten some (a gap in the sequence); and Unknown while the log cannot be read. It says that the
        detector was blind, not what it missed; and after a minute of whole readings how many records of this boot it has
        missed.

    Invariant: looks at no more than `LOOK_LIMIT` records; the answer does not depend on their order.
    """
    old = seen.state
    before = old if old.boot_id == seen.boot_id else DetectState(boot_id=seen.boot_id)
    known = {condition.type: condition for condition in before.conditions}
    fresh = _fresh(seen.records, before.sequence)
    looked = fresh[:LOOK_LIMIT]
    lost = len(fresh) - len(looked) + _gaps(fresh, before.sequence) + seen.lost
    now, facts = seen.now.elapsed, seen.facts
    found = counted(rules, traced(rules, looked, before.traces, now), before.hung, facts.hung, now)
    traces = kept(rules, found.traces, facts, blind=lost > 0 or bool(seen.blind), now=now)
    ill = counts(before.ill, facts)
    dropped, missed = before.dropped + lost, now if lost else before.missed
    is_over = bool(fresh) and (missed is None or now - missed >= nanoseconds(FLOOD_FOR))
    claims = [_claim(type, rules, traces, known.get(type), found.first) for type in types_of(rules)]
    claims.extend(service_claims(services, ill, facts, known))
    claims.append(_flood_claim(seen.blind, lost, dropped, None if is_over else known.get(FLOOD)))
    state = DetectState(
        boot_id=seen.boot_id,
        sequence=fresh[-1].sequence if fresh else before.sequence,
        conditions=stated(old.conditions, claims, wall=seen.now.wall, generation=0),
        dropped=dropped,
        missed=missed,
        traces=traces,
        hung=facts.hung if facts.hung is not None else before.hung,
        ill=ill,
    )
    notes = (Note(code=FLOOD, text=f"{lost} records were not looked at"),) if lost else ()
    return Decision(status=state, notes=notes)


def _fresh(records: Iterable[LogRecord], cursor: int) -> tuple[LogRecord, ...]:
    """Give the records after the cursor, each once, by sequence."""
    once: dict[int, LogRecord] = {}
    # Two records of one sequence are a lie somewhere. Which one counts (the kernel's, if one is) must not
    # depend on their order.
    for record in sorted(records):
        if record.sequence > cursor:
            once.setdefault(record.sequence, record)
    return tuple(once.values())


def _gaps(fresh: tuple[LogRecord, ...], cursor: int) -> int:
    """Count the records that the kernel overwrote before we read them; before a first reading nobody knows."""
    if not fresh:
        return 0
    before = fresh[0].sequence - 1 if cursor == NOTHING_READ else cursor
    return fresh[-1].sequence - before - len(fresh)


def _is_true(condition: Condition) -> bool:
    return condition.status is Switch.TRUE


def _claim(
    type: str, rules: tuple[DetectRule, ...], traces: Mapping[str, Trace], known: Condition | None,
    first: Mapping[str, tuple[str, str]],
) -> Claim:  # fmt: skip
    ours = [rule for rule in rules if rule.condition == type]
    stands = any(rule.key in traces and traces[rule.key].fired for rule in ours)
    if stands and known is not None and _is_true(known):
        return Claim.again(known)
    if stands and type in first:
        return Claim.of(type, True, *first[type])
    return Claim.of(type, False, ours[0].well, ours[0].well_message)


def _flood_claim(blind: str, lost: int, dropped: int, known: Condition | None) -> Claim:
    """Say whether records are missed now.

    Args:
        blind: why none can be read.
        lost: in this reading.
        dropped: in this boot.
        known: what was said before; None where whole readings have ended that.
    """
    reason = LOG_UNREADABLE if blind else RECORDS_DROPPED
    if known is not None and known.reason == reason:
        return Claim.again(known)
    if blind:
        # A host that hides its kernel's log has no flood: nobody can tell, and nothing is done about it.
        return Claim(type=FLOOD, holds=Switch.UNKNOWN, reason=reason, message=blind)
    if lost:
        return Claim.of(FLOOD, True, reason, f"{lost} records were not looked at")
    return Claim.of(
        FLOOD, False, NO_FAULT, f"{dropped} records of this boot were not looked at" if dropped else ""
    )


def merged(of_logs: Iterable[Iterable[Condition]]) -> tuple[Condition, ...]:
    """Make one of what several logs say, by type: a fault goes before doubt, that before its absence, and an earlier log before a later."""
    found: dict[str, Condition] = {}
    for conditions in of_logs:
        for one in conditions:
            held = found.get(one.type)
            if held is None or _WORSE.index(one.status) < _WORSE.index(held.status):
                found[one.type] = one
    return tuple(found.values())
