"""The risk decider: who may disrupt a machine now. One round of grants in one write to the ledger."""

from collections.abc import Mapping

import attrs

from kubenode.core.decision import NOTHING_SEEN, Create, Decision, soonest
from kubenode.core.health.freeze import thaws
from kubenode.core.health.zones import ZoneTally
from kubenode.core.model.meta import ObjectMeta
from kubenode.core.model.now import Now, moment
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.risk import LEDGER, MAX_WINDOW, RiskLedger, RiskLedgerStatus
from kubenode.core.policy import Policy
from kubenode.core.review import Reviewed
from kubenode.core.risk import ledger
from kubenode.core.risk.asks import Ask, in_order
from kubenode.core.risk.binding import Round
from kubenode.core.risk.bounds import Bounds, SetRoom
from kubenode.core.risk.record import recorded
from kubenode.core.risk.refusal import Refusal, stop
from kubenode.core.risk.storm import Storms, storms
from kubenode.core.risk.success import Outcome

NOTE_LIMIT = 64
"""Most notes of one Decision."""


@attrs.frozen(kw_only=True)
class FleetSnapshot:
    """All that a round of grants depends on.

    Attributes:
        ledger: None when there is none.
        asks: what waits for a permit and what holds one, in any order.
        ended: op-ids that their owners record as finished; their holds are closed at once.
        zones: by zone name.
        up: scope text (`cluster`, `zone=b`, `set=kubelet`) -> machines that should be up.
        rooms: by set name; every set that an ask names.
        unavailable: uids of asking machines that are unavailable already.
        outcomes: of the remedies that have ended, in any order; for the success-rate gates.
        held: uids of asking machines that bear the label `kubenode.dev/hold`, or whose Node does.
        history: something was done before: jobs, or Machines that were Running, exist. With a ledger
            that was never written it means that the permits were lost.
        reviews: by op-id of what waits for a permit, what reviewers said of it; nobody objects to what is not there.
        unreadable: why the stored ledger cannot be read at all; `ledger` is then its last readable state.
        sightings: as returned by the last Decision.
    """

    ledger: RiskLedger | None
    asks: tuple[Ask, ...] = ()
    ended: frozenset[str] = frozenset()
    zones: Mapping[str, ZoneTally] = attrs.field(factory=dict)
    up: Mapping[str, int] = attrs.field(factory=dict)
    rooms: Mapping[str, SetRoom] = attrs.field(factory=dict)
    unavailable: frozenset[str] = frozenset()
    outcomes: tuple[Outcome, ...] = ()
    held: frozenset[str] = frozenset()
    history: bool
    reviews: Mapping[str, tuple[Reviewed, ...]] = attrs.field(factory=dict)
    unreadable: str = ""
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN


def decide(seen: FleetSnapshot, policy: Policy) -> Decision[RiskLedgerStatus]:
    """Close what has ended and grant what every limit allows, in one status; say why the rest must wait.

    The status is written by compare-and-swap on the ledger's resourceVersion, or not at all.

    Returns:
        One note a refused ask, in the order of service, the first 64. The status is the stored one when
        there is nothing to close and nothing to grant.

    Invariant: no window is exceeded and no machine has two holds, in true time, whoever else decides
    (see ledger.py). Source: api.md section 3; reliability.md S1, S2, S6, S7, S14.
    """
    asks = in_order(seen.asks)
    if seen.unreadable:
        text = f"the RiskLedger cannot be read: {seen.unreadable}; mend it, or delete it: it is rebuilt"
        return Decision(
            notes=(stop("LedgerUnreadable", "cluster", text),), deferred=any(ask.waiting for ask in asks)
        )
    if seen.ledger is None:
        create = Create(object=RiskLedger(metadata=ObjectMeta(name=LEDGER)))
        text = "there is no RiskLedger; it is made, then permits are given"
        note = stop("LedgerMissing", "cluster", text)
        return Decision(effects=(create,), notes=(note,), deferred=any(ask.waiting for ask in asks))
    key = ledger.sighting(seen.ledger)
    sightings = {key: seen.sightings.get(key, seen.now.elapsed)}
    if seen.ledger.metadata.unknown:
        what = ", ".join(seen.ledger.metadata.unknown[:4])
        text = (
            f"the RiskLedger says what this version does not know ({what}); let the newer kubenode run, "
            "or delete the ledger: it is rebuilt"
        )
        note = stop("NewerVersion", "RiskLedger cluster", text)
        return Decision(notes=(note,), deferred=any(ask.waiting for ask in asks), sightings=sightings)
    return _decided(seen, seen.ledger, policy, asks, sightings)


def _decided(
    seen: FleetSnapshot, book: RiskLedger, policy: Policy, asks: tuple[Ask, ...], sightings: Mapping[str, int]
) -> Decision[RiskLedgerStatus]:
    """Look at what is remembered (orphans, storms, freezes), serve all who ask, and remember on."""
    moment = ledger.ledger_now(book, seen.now, seen.sightings)
    absent = _absent(book.status, asks, seen)
    past = storms(book.status.storms, seen.zones, policy.limits, seen.now, seen.sightings)
    frosts = thaws(policy.limits, seen.now, seen.sightings)
    orphans = {_orphan(op_id): since for op_id, since in absent.items()}
    bounds = Bounds(
        policies=policy.limits, zones=seen.zones, up=seen.up, rooms=seen.rooms, unavailable=seen.unavailable,
        outcomes=seen.outcomes, held=seen.held, reviews=seen.reviews, cooling=past.cooling, thaws=frosts,
        own={one.metadata.name: one for one in policy.remediers},
    )  # fmt: skip
    wanted, refusals = _turn(book, asks, seen, bounds, past, moment)
    graces = (since + ledger.GRACE for since in absent.values() if seen.now.elapsed < since + ledger.GRACE)
    return Decision(
        status=wanted,
        notes=tuple(refusal.note for refusal in refusals[:NOTE_LIMIT]),
        wake_at=soonest(
            (*(refusal.changes_at for refusal in refusals), *graces, *past.cooling.values(), *frosts.values())
        ),
        sightings={**sightings, **orphans, **past.sightings, **frosts},
        deferred=bool(refusals),
    )


def _turn(
    book: RiskLedger,
    asks: tuple[Ask, ...],
    seen: FleetSnapshot,
    bounds: Bounds,
    past: Storms,
    moment: int,
) -> tuple[RiskLedgerStatus, list[Refusal]]:
    """Close, adopt and grant, and give the status to write (the stored one: nothing) and the refusals."""
    stored, fresh = book.status, _is_fresh(book)
    settled = ledger.close(stored, _over(stored, asks, seen), moment)
    settled = recorded(stored, settled, seen.now.wall)
    settled = attrs.evolve(settled, storms=past.recorded)
    standing = () if fresh else tuple(ask for ask in asks if not ask.waiting)
    round_ = Round(settled, bounds, now=seen.now, moment=moment, standing=standing)
    for ask in asks:
        round_.know(ask)
    refusals = _first_round(round_, asks, seen) if fresh else _served(round_, asks)
    wanted = ledger.grant(settled, round_.granted)
    if fresh and (seen.history or stored.checkpoint):
        wanted = attrs.evolve(wanted, blind_until=moment + nanoseconds(MAX_WINDOW))
    changed = fresh or wanted != stored
    return (ledger.stamped(wanted, moment, book.metadata.uid) if changed else stored), refusals


def _is_fresh(book: RiskLedger) -> bool:
    """Tell whether a ledger was never written: it is new, or takes the place of one that was lost.

    One that was copied from a backup tells of another object; what was granted since the copy is lost.
    """
    status = book.status
    return status.checkpoint == 0 or status.ledger_uid not in ("", book.metadata.uid)


def _orphan(op_id: str) -> str:
    return f"orphan:{op_id}"


def _absent(status: RiskLedgerStatus, asks: tuple[Ask, ...], seen: FleetSnapshot) -> dict[str, int]:
    """Give the holds whose owner is nowhere, with when that was first seen. Whose end is recorded is no orphan."""
    accounted = {ask.op_id for ask in asks} | seen.ended
    return {
        op_id: seen.sightings.get(_orphan(op_id), seen.now.elapsed)
        for hold in status.holds
        for op_id in hold.op_ids
        if op_id not in accounted
    }


def _over(status: RiskLedgerStatus, asks: tuple[Ask, ...], seen: FleetSnapshot) -> frozenset[str]:
    """Give the holds to close: recorded as ended, or without an owner for the whole grace.

    One that any owner still asks for stays, whatever another record says: its act may still run.
    """
    ended = seen.ended - {ask.op_id for ask in asks}
    orphaned = {
        op_id
        for op_id, since in _absent(status, asks, seen).items()
        if seen.now.elapsed - since >= ledger.GRACE
    }
    return frozenset(ended | orphaned)


def _served(round_: Round, asks: tuple[Ask, ...]) -> list[Refusal]:
    """Grant what may be granted, in the order of service, and give the refusals."""
    permitted = {op_id for hold in round_.status.holds for op_id in hold.op_ids}
    refusals = []
    for ask in asks:
        if ask.waiting and ask.op_id not in permitted and not round_.join(ask):
            refusal = round_.refusal(ask)
            if refusal is None:
                round_.open(ask)
            else:
                refusals.append(refusal)
    return refusals


def _first_round(round_: Round, asks: tuple[Ask, ...], seen: FleetSnapshot) -> list[Refusal]:
    """Give what is under way its holds; where history was lost, grant nothing before the loss is recorded."""
    for ask in asks:
        if not ask.waiting:
            round_.adopt(ask)
    if not (seen.history or round_.status.checkpoint):
        return _served(round_, asks)
    text = "the ledger was lost; what is under way is entered first"
    return [
        Refusal(note=stop("HistoryLost", "cluster", f"{ask.machine.name}: {text}"))
        for ask in asks
        if ask.waiting
    ]


__all__ = ["NOTE_LIMIT", "FleetSnapshot", "SetRoom", "decide"]
