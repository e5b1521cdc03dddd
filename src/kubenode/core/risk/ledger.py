"""The ledger: open permits are rows, ended ones are counters. Pure operations on RiskLedgerStatus.

Ledger time is the only clock of a permit:

    ledger_now = checkpoint of the stored status
                 + own elapsed time since this process first saw this resourceVersion.

Every write sets the checkpoint to the ledger time of its decision, and is a compare-and-swap on the
resourceVersion it was decided on. So the successful writes w1, w2, ... form a chain in which each was
decided on its predecessor. Let L(w) be the checkpoint that w wrote, D(w) and C(w) the true times at which
it was decided and committed. The process that decided w2 first saw w1 no earlier than C(w1), hence

    0 <= L(w2) - L(w1) <= D(w2) - C(w1) <= C(w2) - C(w1),

and, summed along the chain, the same for any two writes. Two grants less than W apart in true time are less
than W apart in ledger time too: the later decision sees the earlier grant inside its window, whatever the
wall clocks say, whoever restarted (no sighting: elapsed 0) and however many leaders there are. A leader
whose clock ran ahead goes down to the checkpoint of one that lagged, so the laggard's grants stay within his
windows. The price: time nobody watched (a restart, a failover) is not counted, so limits free later, never
sooner. Property: tests/core/risk/test_two_deciders.py.

What this does not hold against: an `elapsed` that runs faster than true time (oscillator drift), and a hand
that edits the ledger.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta

import attrs

from kubenode.core.model.now import Now
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.risk import Hold, RiskLedger, RiskLedgerStatus, Scope
from kubenode.core.risk.window import FULL, SECOND, Counts, Expiry, added, expiries, pruned, read, write

CLUSTER = "cluster"
GRACE = 30 * SECOND
"""How long an owner may be unseen: a cache may show it later than its hold, and a hold later than it."""
LEDGER_SIZE = 1_000_000
"""Most that a ledger may weigh, in characters, for a grant: etcd refuses 1.5 MB, and then nothing could be closed."""
_ROW = 200
"""What a hold weighs beside its texts: field names and numbers."""
_COUNTERS = 64
"""What one closed grant may add to the text of a scope."""


def sighting(ledger: RiskLedger) -> str:
    """Name the sighting of this version of the ledger."""
    return f"ledger:{ledger.metadata.uid}:{ledger.metadata.resource_version}"


def ledger_now(ledger: RiskLedger, now: Now, sightings: Mapping[str, int]) -> int:
    """Give the ledger time of a decision, nanoseconds, from 1 (0 is a ledger never written).

    Invariant: never ahead of true time, and never behind the checkpoint.
    """
    first_seen = sightings.get(sighting(ledger), now.elapsed)
    return max(1, ledger.status.checkpoint + max(0, now.elapsed - first_seen))


def scope_text(scope: Scope, name: str = "") -> str:
    """Spell a scope as it stands in the ledger: `cluster`, `zone=b`, `set=kubelet`; the zone of no label is `zone=`."""
    return CLUSTER if scope in (Scope.CLUSTER, Scope.FLEET) else f"{scope.value}={name}"


def scopes_of(zone: str, sets: Iterable[str], region: str = "") -> tuple[str, ...]:
    """Give the scopes in which a disruption of a machine counts, in a fixed order, the widest first.

    The node itself is none of them: what it has been through stands in its own jobs.
    """
    names = (scope_text(Scope.SET, name) for name in sorted(set(sets)))
    return (CLUSTER, scope_text(Scope.REGION, region), scope_text(Scope.ZONE, zone), *names)


def grant(status: RiskLedgerStatus, holds: Iterable[Hold]) -> RiskLedgerStatus:
    """Add open holds, after those there are. A machine that has one, or an op-id that has one, gets no second."""
    machines = {hold.machine_uid for hold in status.holds}
    op_ids = {op_id for hold in status.holds for op_id in named(hold)}
    rows = list(status.holds)
    for hold in holds:
        if hold.machine_uid not in machines and op_ids.isdisjoint(named(hold)):
            rows.append(hold)
            machines.add(hold.machine_uid)
            op_ids.update(named(hold))
    return attrs.evolve(status, holds=tuple(rows))


def named(hold: Hold) -> tuple[str, ...]:
    """Give every op-id that stands in a row, that of what is over too."""
    return (hold.op_id, *hold.joined)


def close(status: RiskLedgerStatus, op_ids: Collection[str], now: int) -> RiskLedgerStatus:
    """End what is over: a hold of which nothing is left becomes a count in the bucket of its beginning, in every scope it has."""
    counts: dict[str, Counts] = {}
    left: list[Hold] = []
    for hold in status.holds:
        live = [op_id for op_id in hold.op_ids if op_id not in op_ids]
        if live:
            joined = tuple(op_id for op_id in hold.joined if op_id in live)
            left.append(attrs.evolve(hold, joined=joined, over=hold.op_id not in live))
            continue
        for scope in hold.scopes:
            counts[scope] = added(counts.get(scope) or counts_of(status, scope), hold.since)
    untouched = {scope: text for scope, text in status.closed.items() if scope not in counts}
    return attrs.evolve(
        status,
        holds=tuple(left),
        closed=dict(sorted({**untouched, **_texts(counts, now)}.items())),
    )


def stamped(status: RiskLedgerStatus, now: int, uid: str) -> RiskLedgerStatus:
    """Make a status ready to be written: its checkpoint is the decision's time, and what no window needs is gone."""
    closed = _texts({scope: read(text) for scope, text in sorted(status.closed.items())}, now)
    checkpoint = max(status.checkpoint, now)
    return attrs.evolve(status, checkpoint=checkpoint, closed=closed, ledger_uid=uid)


def spoilt(status: RiskLedgerStatus) -> str:
    """Say what of a ledger no decider can have written, by path; empty when all may be its own.

    A counter that cannot be read is not told here: it spoils one scope, not the ledger (see `leaving`).
    """
    if status.checkpoint < 0:
        return "status.checkpoint is negative"
    uids: dict[str, int] = {}
    op_ids: dict[str, int] = {}
    for place, hold in enumerate(status.holds):
        first = uids.setdefault(hold.machine_uid, place)
        if first != place:
            return f"status.holds[{place}] has the machine of status.holds[{first}], {hold.machine}"
        for op_id in named(hold):
            first = op_ids.setdefault(op_id, place)
            if first != place:
                return f"status.holds[{place}] has the opID of status.holds[{first}], {op_id}"
        if len(set(named(hold))) <= len(hold.joined):
            return f"status.holds[{place}] has one opID twice"
        if hold.since < 0:
            return f"status.holds[{place}].since is negative"
        if hold.since > status.checkpoint > 0:
            return f"status.holds[{place}].since is later than status.checkpoint"
    return ""


def _texts(counts: Mapping[str, Counts], now: int) -> dict[str, str]:
    """Write counters, but for scopes in which nothing is counted any more; what cannot be read stays."""
    kept = {scope: pruned(count, now) for scope, count in counts.items()}
    return {
        scope: write(count)
        for scope, count in kept.items()
        if any(count.rows) or count.unreadable is not None
    }


def counts_of(status: RiskLedgerStatus, scope: str) -> Counts:
    """Read the counters of a scope; none when it has none."""
    text = status.closed.get(scope)
    return Counts() if text is None else read(text)


def leaving(status: RiskLedgerStatus, scope: str, window: timedelta, now: int) -> tuple[Expiry, ...] | None:
    """Give what the window (now - window, now] of a scope holds, open and closed, with when each leaves.

    Returns:
        Soonest first; None when it cannot be counted (see window.expiries).
    """
    closed = expiries(counts_of(status, scope), window, now)
    if closed is None:
        return None
    span = nanoseconds(window)
    opened = [
        Expiry(at=hold.since + span, amount=1)
        for hold in status.holds
        if scope in hold.scopes and hold.since > now - span
    ]
    return tuple(sorted((*opened, *closed), key=lambda expiry: expiry.at))


def usage(status: RiskLedgerStatus, scope: str, window: timedelta, now: int) -> int:
    """Count the grants of a scope within the window: open holds exactly, closed ones by bucket; FULL if unknown."""
    found = leaving(status, scope, window, now)
    return FULL if found is None else sum(expiry.amount for expiry in found)


def in_flight(status: RiskLedgerStatus, scope: str) -> int:
    """Count the open holds of a scope, however old."""
    return sum(scope in hold.scopes for hold in status.holds)


def weight(hold: Hold) -> int:
    """Give the most that a hold takes of the ledger, open or, later, closed; characters."""
    texts = sum(len(op_id) + 4 for op_id in named(hold)) + len(hold.machine) + len(hold.machine_uid)
    texts += len(hold.by) + len(hold.limits)
    return _ROW + texts + sum(2 * len(scope) + _COUNTERS for scope in hold.scopes)


def size(status: RiskLedgerStatus) -> int:
    """Give the most that a ledger may come to weigh by closing what is open; characters.

    What is kept of closed permits is not in it: it has a bound of its own, and there is room for it beside LEDGER_SIZE.
    """
    rows = sum(weight(hold) for hold in status.holds)
    storms = sum(len(zone) + 4 for zone in status.storms)
    return rows + storms + sum(len(scope) + len(text) + 8 for scope, text in status.closed.items())
