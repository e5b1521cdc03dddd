"""The rate windows within one round of grants: what the ledger has started, and what the round has granted besides."""

from collections.abc import Iterable
from datetime import timedelta

from kubenode.core.decision import Note, soonest
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import format_duration, nanoseconds
from kubenode.core.model.risk import Hold, RiskLedgerStatus
from kubenode.core.risk import ledger
from kubenode.core.risk.reach import Counted, named
from kubenode.core.risk.refusal import Refusal, freedom
from kubenode.core.risk.window import Expiry, freed_at


class Rates:
    """How many started, by scope and window.

    Args:
        status: the ledger after closing what has ended.
        moment: ledger time; `now` is the same moment.
    """

    def __init__(self, status: RiskLedgerStatus, *, now: Now, moment: int) -> None:
        self._status = status
        self._now = now
        self._moment = moment
        self._leaving: dict[tuple[str, timedelta], tuple[Expiry, ...] | None] = {}
        self._fresh: dict[str, int] = {}

    def begin(self, hold: Hold) -> None:
        """Count what this round grants."""
        for scope in hold.scopes:
            self._fresh[scope] = self._fresh.get(scope, 0) + 1

    def refusal(self, limits: Iterable[tuple[Counted, int]]) -> Refusal | None:
        """Say which window is full, the one with the latest end; None when none is.

        Args:
            limits: each with how many machines it is; one without a window is of no account here.
        """
        found = [
            refusal
            for one, most in limits
            if one.limit.window is not None
            and (refusal := self._window(one.scope, one.limit.window, most)) is not None
        ]
        return max(found, key=freedom, default=None)

    def _window(self, scope: str, window: timedelta, most: int) -> Refusal | None:
        place, span = named(scope), format_duration(window)
        if self._moment < self._status.blind_until:
            frees = self.elapsed(self._status.blind_until)
            text = f"{place}: what was started before the ledger was lost counts as used"
            note = Note(code="HistoryLost", text=text, scope=place, observed=most, limit=most, frees_at=frees)
            return Refusal(note=note, changes_at=frees)
        leaving = self._expiries(scope, window)
        if leaving is None:
            text = (
                f"{place}: starts within {span} cannot be counted and count as used; take {scope!r} out of "
                "status.closed of the RiskLedger, at your own risk, or delete the ledger: it is rebuilt"
            )
            note = Note(code="CountUnreadable", text=text, scope=place, observed=most, limit=most)
            return Refusal(note=note)
        used = sum(expiry.amount for expiry in leaving)
        if used < most:
            return None
        frees = self.elapsed(freed_at(leaving, used - most + 1))
        text = f"{place}: {used} started within {span}, limit {most}"
        note = Note(code="RateLimit", text=text, scope=place, observed=used, limit=most, frees_at=frees)
        # The note says how many there are, so it changes as soon as one of them leaves.
        return Refusal(note=note, changes_at=self.elapsed(soonest(expiry.at for expiry in leaving)))

    def _expiries(self, scope: str, window: timedelta) -> tuple[Expiry, ...] | None:
        key = (scope, window)
        if key not in self._leaving:
            self._leaving[key] = ledger.leaving(self._status, scope, window, self._moment)
        found, fresh = self._leaving[key], self._fresh.get(scope, 0)
        if found is None or not fresh:
            return found
        end = self._moment + nanoseconds(window)
        return (*found, Expiry(at=end, amount=fresh))

    def elapsed(self, at: int | None) -> int | None:
        """Give ledger time as this process's elapsed time."""
        return None if at is None else self._now.elapsed + at - self._moment
