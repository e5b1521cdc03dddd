"""What the ledger keeps of permits that are closed: one text, a line a permit, the newest last (decision 0135).

A line that begins with `limits` says what bound the permits below it when they were granted. It is one text and no
list, since every round of grants reads and writes the whole ledger: so what is kept costs it one value more. No
decision depends on it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import attrs

from kubenode.core.model.quantity import format_duration
from kubenode.core.model.remedy import NodeRemedier
from kubenode.core.model.risk import (
    ACT_LIMIT,
    ACTS_SIZE,
    LIMITS_LENGTH,
    Hold,
    Limit,
    RiskLedgerStatus,
    RiskPolicy,
)
from kubenode.core.risk.ledger import scope_text
from kubenode.core.risk.reach import named, own_scope

_LIMITS = "limits "
_BETWEEN = "; "
_UNKNOWN = "-"


@attrs.frozen(kw_only=True)
class Act:
    """One permit that is closed.

    Attributes:
        op_id: its name.
        machine: name of the Machine; it may be gone.
        cause: who asked for it, in the words of `Cause`.
        began: when it was granted; None where a version that did not keep it granted it.
        ended: when it was closed; None where that cannot be read.
        by: what asked for it, for people; may be empty.
        limits: what bound it when it was granted.
    """

    op_id: str
    machine: str
    cause: str
    began: datetime | None
    ended: datetime | None
    by: str
    limits: tuple[str, ...]


def recorded(before: RiskLedgerStatus, after: RiskLedgerStatus, wall: datetime) -> RiskLedgerStatus:
    """Add to a ledger a line for each op-id whose permit it has closed, and leave out the oldest lines beyond the bounds.

    Args:
        before: the ledger as stored.
        after: the same when what is over was closed.
        wall: the time of the decision.
    """
    held = {op_id for hold in after.holds for op_id in hold.op_ids}
    gone = [(hold, op_id) for hold in before.holds for op_id in hold.op_ids if op_id not in held]
    if not gone:
        return after
    lines = before.acts.splitlines()
    current = _heading(lines)
    for hold, op_id in sorted(gone, key=lambda one: one[0].limits):
        if current != _LIMITS + hold.limits:
            current = _LIMITS + hold.limits
            lines.append(current)
        lines.append(_line(hold, op_id, wall))
    first = _first(lines)
    heading = _heading(lines[:first])
    kept = lines[first:] if not heading or lines[first].startswith(_LIMITS) else [heading, *lines[first:]]
    dropped = sum(not line.startswith(_LIMITS) for line in lines[:first])
    return attrs.evolve(after, acts="\n".join(kept), acts_dropped=before.acts_dropped + dropped)


def _heading(lines: Sequence[str]) -> str:
    """Give the last line that says what bound; empty when there is none."""
    return next((line for line in reversed(lines) if line.startswith(_LIMITS)), "")


def _line(hold: Hold, op_id: str, wall: datetime) -> str:
    began = _UNKNOWN if hold.granted_at is None else _stamp(hold.granted_at)
    by = hold.by if op_id == hold.op_id else f"joined {hold.op_id}"
    return f"{op_id} {hold.machine} {hold.cause.value} {began} {_stamp(wall)} {by}"


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _first(lines: Sequence[str]) -> int:
    """Give the place of the first line that is kept: of the newest, so many acts and so many characters."""
    acts = size = 0
    for place, line in reversed(tuple(enumerate(lines))):
        size += len(line) + 1
        acts += not line.startswith(_LIMITS)
        if acts > ACT_LIMIT or size > ACTS_SIZE:
            return place + 1
    return 0


def acts_of(status: RiskLedgerStatus) -> Iterator[Act]:
    """Read what a ledger keeps, the oldest first; a line that no decider has written is left out."""
    limits: tuple[str, ...] = ()
    for line in status.acts.splitlines():
        if line.startswith(_LIMITS):
            limits = split(line.removeprefix(_LIMITS))
            continue
        parts = line.split(" ", 5)
        if len(parts) == 6:
            op_id, machine, cause, began, ended, by = parts
            yield Act(
                op_id=op_id, machine=machine, cause=cause, began=_read(began), ended=_read(ended), by=by, limits=limits
            )  # fmt: skip


def _read(stamp: str) -> datetime | None:
    try:
        return datetime.fromisoformat(stamp)
    except ValueError:
        return None


# What binds, in words.


def split(limits: str) -> tuple[str, ...]:
    """Give the limits that stand in one text, as `joined` wrote it."""
    return tuple(limits.split(_BETWEEN)) if limits else ()


def joined(limits: Sequence[str]) -> str:
    """Write limits as one text; of very many the first, and how many there are more."""
    some = list(limits)
    whole = _BETWEEN.join(some)
    while len(whole) > LIMITS_LENGTH:
        some.pop()
        whole = _BETWEEN.join((*some, f"and {len(limits) - len(some)} more"))
    return whole


def limits_of(
    scopes: Iterable[str],
    policies: Iterable[RiskPolicy],
    rooms: Mapping[str, int],
    remedier: NodeRemedier | None,
) -> tuple[str, ...]:
    """Spell every limit that binds an act in some scopes: `zone b: 5% in flight (built-in)`.

    Args:
        scopes: as the ledger spells them.
        policies: what limits.
        rooms: how many machines of each set may be unavailable, by its name.
        remedier: whose act it is; its own limits bind, too.
    """
    scopes, policies = tuple(scopes), tuple(policies)
    bound = (
        f"{named(scope)}: {_spelled(limit)} ({one.metadata.name})"
        for scope in scopes
        for one in policies
        for limit in one.spec.limits
        if _counts(limit, scope)
    )
    own = (
        f"{named(own_scope(remedier.metadata.name, scope))}: {_spelled(limit)} (its own)"
        for scope in scopes
        for limit in remedier.spec.limits
        if _counts(limit, scope)
    ) if remedier is not None else ()  # fmt: skip
    sets = (scope.removeprefix("set=") for scope in scopes if scope.startswith("set="))
    room = (f"set {name}: {rooms[name]} unavailable (maxUnavailable)" for name in sets if name in rooms)
    return tuple(dict.fromkeys((*bound, *own, *room)))


def _counts(limit: Limit, scope: str) -> bool:
    return scope_text(limit.scope).partition("=")[0] == scope.partition("=")[0]


def _spelled(limit: Limit) -> str:
    return f"{limit.max} in flight" if limit.window is None else f"{limit.max} in {format_duration(limit.window)}"  # fmt: skip
