"""What binds one ask: a round of grants, with what is used and what was granted so far.

A refusal names the first judge that forbids: what people froze, then what time alone does not free or not
soon, at last the window with the latest end. So nothing in a Decision changes before the moment it names.
"""

from collections.abc import Callable, Iterable

import attrs

from kubenode.core.decision import Note
from kubenode.core.health.freeze import frozen
from kubenode.core.health.held import held_note
from kubenode.core.health.zones import open_breaker
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.risk import (
    BY_LENGTH,
    CLOSED_LIMIT,
    HOLD_LIMIT,
    MAX_WINDOW,
    SCOPE_LIMIT,
    Cause,
    Hold,
    RiskLedgerStatus,
    Scope,
)
from kubenode.core.risk import ledger
from kubenode.core.risk.asks import Ask
from kubenode.core.risk.bounds import Bounds
from kubenode.core.risk.joint import joined
from kubenode.core.risk.objections import objection
from kubenode.core.risk.proving import Proving
from kubenode.core.risk.rates import Rates
from kubenode.core.risk.reach import Counted, counted, named, own_scopes, scopes
from kubenode.core.risk.record import joined as as_text
from kubenode.core.risk.record import limits_of
from kubenode.core.risk.refusal import Refusal, freedom, stop


class Round:
    """One round of grants. Lives within one decision; the ledger it starts from is never changed.

    Args:
        status: the ledger after closing what has ended.
        moment: ledger time; `now` is the same moment.
        standing: asks that hold; one without a row in the ledger still is in flight and has its machine.
    """

    def __init__(
        self, status: RiskLedgerStatus, bounds: Bounds, *, now: Now, moment: int, standing: Iterable[Ask]
    ) -> None:
        self.status = status
        self.granted: list[Hold] = []
        self._bounds = bounds
        self._now = now
        self._moment = moment
        self._owner: dict[str, str] = {}
        self._row = {op_id: hold.op_id for hold in status.holds for op_id in hold.op_ids}
        self._opened: dict[str, bool] = {}
        self._running: dict[str, dict[str, str]] = {}
        self._texts: dict[tuple[tuple[str, ...], str], str] = {}
        self._size = ledger.size(status)
        self._rates = Rates(status, now=now, moment=moment)
        self._proving = Proving(status, bounds, now)
        self._spoilt = ledger.spoilt(status)
        self._closed = {*status.closed, *(scope for hold in status.holds for scope in hold.scopes)}
        for hold in status.holds:
            self._occupy(hold.op_id, hold.machine_uid, hold.scopes)
        for ask in standing:
            self._begin(ask)

    def _begin(self, ask: Ask) -> None:
        """Count an act that runs, by its scopes and by its remedier; one that joined a hold is in flight with it."""
        self._occupy(self._row.get(ask.op_id, ask.op_id), ask.machine.uid, scopes(ask, self._bounds.own))
        self._proving.begin(ask)

    def know(self, ask: Ask) -> None:
        """Learn whose remedy an open hold is; one that nobody owns counts for every remedier.

        It is in flight by its remedier's own limits too, though its row may be older than they are.
        """
        self._proving.know(ask)
        if ask.op_id in self._row:
            self._occupy(self._row[ask.op_id], ask.machine.uid, own_scopes(ask, self._bounds.own))

    def _occupy(self, op_id: str, machine_uid: str, scopes: tuple[str, ...]) -> None:
        self._owner.setdefault(machine_uid, op_id)
        for scope in scopes:
            self._running.setdefault(scope, {})[op_id] = machine_uid

    def grant(self, ask: Ask) -> None:
        """Open a hold; it counts for those asked after it."""
        hold = self._hold_of(ask)
        self.granted.append(hold)
        self._begin(ask)
        self._size += ledger.weight(hold)
        self._closed.update(hold.scopes)
        self._rates.begin(hold)

    def open(self, ask: Ask) -> None:
        """Grant what waits; until this round is written nothing of it can have begun, so further changes may join."""
        self.grant(ask)
        self._opened[ask.machine.uid] = ask.rollback

    def join(self, ask: Ask) -> bool:
        """Let a change of a machine join the hold that this round opens on it for another; tell whether it did.

        All that forbids, but for a reviewer, was asked of the first, and is of the machine and its scopes. Only a rollback
        passes the rate windows, and what is none does not pass them with it.
        """
        if ask.machine.uid not in self._opened or (self._opened[ask.machine.uid] and not ask.rollback):
            return False
        return self._reviewed(ask) is None and self._joined(ask)

    def _joined(self, ask: Ask) -> bool:
        """Write an ask into the row that this round made of its machine, if it is alike and there is room."""
        place = next((i for i, hold in enumerate(self.granted) if hold.machine_uid == ask.machine.uid), None)
        if place is None:
            return False
        hold = self.granted[place]
        wider = joined(hold, ask)
        if wider is None:
            return False
        more = ledger.weight(wider) - ledger.weight(hold)
        if self._size + more > ledger.LEDGER_SIZE:
            return False
        self.granted[place] = wider
        self._size += more
        self._row[ask.op_id] = hold.op_id
        return True

    def adopt(self, ask: Ask) -> None:
        """Give an act that is under way its hold, whatever the limits; without room for one it is in flight all the same.

        Two changes of one machine that are under way had joined one hold, and join it anew.
        """
        if self._busy(ask) is None and self._capacity(ask) is None:
            self.grant(ask)
        elif not self._joined(ask):
            self._begin(ask)

    def refusal(self, ask: Ask) -> Refusal | None:
        """Say what forbids an ask now; None when every policy, breaker, set and the ledger itself allow it.

        What a person forces is never refused: it waits only until its machine is free and can be recorded.
        A rollback waits for no rate window.
        """
        judges: tuple[Callable[[Ask], Note | None], ...] = (
            self._ledger, self._unread, self._frozen, self._held, self._settling, self._busy, self._breaker,
            self._cooling, self._in_flight, self._rooms, self._capacity,
        )  # fmt: skip
        forced = ask.cause is Cause.HUMAN
        for judge in (self._busy, self._capacity) if forced else judges:
            note = judge(ask)
            if note is not None:
                return Refusal(note=_about(ask, note), changes_at=note.frees_at)
        if forced:
            return None
        found = (
            self._reviewed(ask)
            or self._proving.success(ask)
            or self._proving.width(ask)
            or (
                None
                if ask.rollback
                else self._rates.refusal((one, self._most(one)) for one in self._limits(ask))
            )
        )
        return None if found is None else attrs.evolve(found, note=_about(ask, found.note))

    def _ledger(self, _: Ask) -> Note | None:
        """From a ledger that no decider has written nothing automatic is granted; what is in it still ends."""
        if not self._spoilt:
            return None
        text = f"the RiskLedger was edited: {self._spoilt}; mend that, or delete the ledger: it is rebuilt"
        return stop("LedgerSpoilt", "cluster", text)

    def _unread(self, ask: Ask) -> Note | None:
        """A limit that this version cannot read must not be widened; a remedier's own binds nobody else."""
        remedier = self._bounds.own.get(ask.remedier)
        for limiting in (*self._bounds.policies, *(() if remedier is None else (remedier,))):
            if limiting.metadata.unknown:
                what = ", ".join(limiting.metadata.unknown[:4])
                scope = f"{limiting.KIND.name} {limiting.metadata.name}"
                text = (
                    f"{scope} says what this version does not know ({what}); upgrade kubenode, or remove it"
                )
                return stop("NewerVersion", scope, text)
        return None

    def _frozen(self, ask: Ask) -> Note | None:
        return frozen(
            ask.zone, ask.sets, self._bounds.policies, self._now, self._bounds.thaws,
            region=ask.region, machine=ask.machine.name,
        )  # fmt: skip

    def _held(self, ask: Ask) -> Note | None:
        return held_note(ask.machine.name) if ask.machine.uid in self._bounds.held else None

    def _settling(self, _: Ask) -> Note | None:
        """After a loss, owners who read their permit in the lost ledger get time to say that they act on it."""
        settled = self.status.blind_until - nanoseconds(MAX_WINDOW) + ledger.GRACE
        if self._moment >= settled:
            return None
        text = "the ledger was lost; who holds what is being found out"
        return stop("HistoryLost", "cluster", text, self._rates.elapsed(settled))

    def _busy(self, ask: Ask) -> Note | None:
        owner = self._owner.get(ask.machine.uid)
        if owner is None:
            return None
        scope = f"machine {ask.machine.name}"
        return Note(code="MachineBusy", text=f"{owner} has the machine", scope=scope, observed=1, limit=1)

    def _breaker(self, ask: Ask) -> Note | None:
        return open_breaker(ask.zone, self._bounds.zones, self._bounds.policies)

    def _cooling(self, ask: Ask) -> Note | None:
        """What looked like many broken machines may be one fault that has just ended; nobody hurries."""
        until, scope = self._bounds.cooling.get(ask.zone), ledger.scope_text(Scope.ZONE, ask.zone)
        running = len(self._running.get(scope, ()))
        if until is None or running < 1:
            return None
        text = f"{named(scope)}: {running} in flight, limit 1 for a while after an outage"
        return Note(
            code="StormCooldown", text=text, scope=named(scope), observed=running, limit=1, frees_at=until
        )

    def _reviewed(self, ask: Ask) -> Refusal | None:
        """A reviewer may veto or narrow what every limit allows; of several objections, the one that lasts longest.

        One that is out of date is named when no other stands: else the name would change when it becomes so.
        """
        running = len(self._running.get(ledger.CLUSTER, ()))
        standing, late = [], []
        for one in self._bounds.reviews.get(ask.op_id, ()):
            note = objection(one, running, self._now.elapsed)
            if note is not None and one.again is not None and one.again <= self._now.elapsed:
                late.append(Refusal(note=note))
            elif note is not None:
                standing.append(Refusal(note=note, changes_at=one.again))
        return max(standing or late, key=freedom, default=None)

    def _limits(self, ask: Ask) -> Iterable[Counted]:
        return counted(ask, self._bounds.policies, self._bounds.own)

    def _most(self, one: Counted) -> int:
        """Give a limit in machines; a percentage is at least one, else a small scope could never be served."""
        most = one.limit.max.scaled(self._bounds.up.get(one.place, 0))
        return max(1, most) if one.limit.max.percent else most

    def _in_flight(self, ask: Ask) -> Note | None:
        for one in self._limits(ask):
            most, running, where = self._most(one), len(self._running.get(one.scope, ())), named(one.scope)
            if one.limit.window is None and running >= most:
                text = f"{where}: {running} in flight, limit {most}"
                return Note(code="InFlight", text=text, scope=where, observed=running, limit=most)
        return None

    def _rooms(self, ask: Ask) -> Note | None:
        """Every set counts the machine, whoever asks; one that is down already costs no set anything."""
        if ask.machine.uid in self._bounds.unavailable:
            return None
        for name in sorted(set(ask.sets)):
            scope = ledger.scope_text(Scope.SET, name)
            room = self._bounds.rooms.get(name)
            if room is None:
                return stop("SetUnknown", named(scope), f"{named(scope)}: not known here")
            away = room.unavailable | set(self._running.get(scope, {}).values())
            if len(away | {ask.machine.uid}) > room.max_unavailable:
                return Note(
                    code="MaxUnavailable", scope=named(scope), observed=len(away), limit=room.max_unavailable,
                    text=f"{named(scope)}: {len(away)} unavailable, maxUnavailable {room.max_unavailable}",
                )  # fmt: skip
        return None

    def _capacity(self, ask: Ask) -> Note | None:
        """A ledger that cannot be written could not be closed either, so it is never filled to the brim."""
        hold = self._hold_of(ask)
        rows = len(self.status.holds) + len(self.granted)
        too_much = len(hold.scopes) > SCOPE_LIMIT or self._size + ledger.weight(hold) > ledger.LEDGER_SIZE
        if rows < HOLD_LIMIT and not too_much and len(self._closed | set(hold.scopes)) <= CLOSED_LIMIT:
            return None
        text = (
            f"the ledger is full: {rows} open permits of {HOLD_LIMIT}, {len(self._closed)} scopes of {CLOSED_LIMIT}, "
            f"{self._size} characters of {ledger.LEDGER_SIZE}; let acts end, or let fewer sets select a machine"
        )
        return Note(code="LedgerFull", text=text, scope="cluster", observed=rows, limit=HOLD_LIMIT)

    def _hold_of(self, ask: Ask) -> Hold:
        """Give the row of an ask that is granted now."""
        return Hold(
            op_id=ask.op_id, machine=ask.machine.name, machine_uid=ask.machine.uid, cause=ask.cause,
            scopes=scopes(ask, self._bounds.own), since=self._moment, granted_at=self._now.wall.replace(microsecond=0),
            by=" ".join(ask.by.split())[:BY_LENGTH], limits=self._limits_text(ask),
        )  # fmt: skip

    def _limits_text(self, ask: Ask) -> str:
        """Say what binds an ask; the same for all who ask of one place, so it is spelled once a round."""
        key = (ask.scopes, ask.remedier)
        if key not in self._texts:
            rooms = {
                name: self._bounds.rooms[name].max_unavailable
                for name in ask.sets
                if name in self._bounds.rooms
            }
            own = self._bounds.own.get(ask.remedier)
            self._texts[key] = as_text(limits_of(ask.scopes, self._bounds.policies, rooms, own))
        return self._texts[key]


def _about(ask: Ask, note: Note) -> Note:
    return attrs.evolve(note, text=f"{ask.machine.name}: {note.text}")
