"""Who leads: the law of one Lease, as each candidate keeps it for itself.

A candidate never compares its clock with anybody else's: a record that stands unchanged for its own duration on
*my* clock is over, and my own record holds for `renew_within` after the *beginning* of the last write of it that
succeeded. The first is longer than the second, so one leader has stopped before another begins, however wrong the
wall clocks are. A process that was paused finds its term over when it looks. This keeps two controllers from
working against each other; that they cannot do harm if it fails is the preconditions' and the ledger's business.

Pure: the adapter (`runtime/store/lease.py`) reads the clock, draws the jitter, and asks the server.
"""

import enum
from datetime import timedelta
from typing import Final, TypeAlias, assert_never

import attrs

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model.quantity import nanoseconds

NAMESPACE: Final = "kubenode-system"
CONTROLLER: Final = "kubenode-controller"
OBSERVER: Final = "kubenode-observer"
"""The Lease of those that only observe: they keep nobody from acting."""

JITTER: Final = 0.2
"""By how much of itself a pause is longer at most, so that candidates spread out."""


@attrs.frozen(kw_only=True)
class LeaseTimes:
    """How long is what.

    Attributes:
        duration: a record that stands unchanged for so long is over; candidates wait for it after a leader's crash.
        renew_within: a leader that could not renew for so long stops.
        every: a leader renews, and a candidate looks, this often.

    Raises:
        InvalidObjectError: not every + jitter < renew_within < duration.
    """

    duration: timedelta = timedelta(seconds=15)
    renew_within: timedelta = timedelta(seconds=10)
    every: timedelta = timedelta(seconds=2)

    def __attrs_post_init__(self) -> None:
        if timedelta() < self.every * (1 + JITTER) < self.renew_within < self.duration:
            return
        shown = f"every {self.every}, renew_within {self.renew_within}, duration {self.duration}"
        fix = f"every * {1 + JITTER} < renew_within < duration, as in 2s, 10s, 15s"
        raise InvalidObjectError((Problem(where="lease", what=f"{shown}: a leader would not stop in time", fix=fix),))  # fmt: skip


@attrs.frozen(kw_only=True)
class LeaseRecord:
    """A Lease as it stands.

    Attributes:
        holder: who leads; empty when it was released.
        duration: for how long, as the holder says.
        transitions: how often the holder has changed.
        version: its resourceVersion.
    """

    holder: str
    duration: timedelta
    transitions: int
    version: str


class LeaseView(enum.Enum):
    """What a candidate knows of the Lease."""

    UNKNOWN = "unknown"
    """Nothing yet, or a write of mine was refused, or its answer lost: look before writing."""
    MISSING = "missing"
    KNOWN = "known"


@attrs.frozen(kw_only=True)
class LeaseState:
    """What one candidate remembers. Times are `Now.elapsed`.

    Attributes:
        me: the candidate; no two processes have the same name.
        record: as last seen; None before that.
        seen_at: when it was first seen as it is.
        renewed_at: when the last write of mine that succeeded was begun; None when I do not lead.
        term: counts the times I began to lead: who finds another number has been away in between.
        due: when the next act is due.
    """

    me: str
    view: LeaseView = LeaseView.UNKNOWN
    record: LeaseRecord | None = None
    seen_at: int = 0
    renewed_at: int | None = None
    term: int = 0
    due: int = 0


@attrs.frozen
class Look:
    """Read it."""


@attrs.frozen
class Make:
    """Create it, with me as the holder."""


@attrs.frozen(kw_only=True)
class Hold:
    """Write me as the holder, if it is still at this version.

    Attributes:
        takes: it was not mine before.
    """

    version: str
    transitions: int
    takes: bool


@attrs.frozen(kw_only=True)
class Wait:
    """Do nothing before `until`."""

    until: int


LeaseAct: TypeAlias = Look | Make | Hold | Wait


@attrs.frozen
class Found:
    """It was read, or written by me: so it stands."""

    record: LeaseRecord
    mine: bool = False
    """It is what my write has made of it."""


@attrs.frozen
class Absent:
    """There is none."""


@attrs.frozen
class Moved:
    """My write was refused: somebody else was quicker."""


@attrs.frozen
class Lost:
    """No answer: what was asked may have been done."""


LeaseAnswer: TypeAlias = Found | Absent | Moved | Lost


def term_of(state: LeaseState, now: int, times: LeaseTimes) -> int | None:
    """Give the number of the term that I lead, or None when I do not lead at this moment."""
    if state.renewed_at is None or now - state.renewed_at >= nanoseconds(times.renew_within):
        return None
    return state.term


def is_over(state: LeaseState, now: int) -> bool:
    """Tell whether the record that was last seen is free: released, or unchanged for its duration."""
    record = state.record
    return record is not None and (not record.holder or now - state.seen_at >= nanoseconds(record.duration))


def next_act(state: LeaseState, now: int) -> LeaseAct:
    """Give what is to be done next."""
    if now < state.due:
        return Wait(until=state.due)
    match state.view:
        case LeaseView.UNKNOWN:
            return Look()
        case LeaseView.MISSING:
            return Make()
        case LeaseView.KNOWN:
            record = state.record
            if record is None or (record.holder != state.me and not is_over(state, now)):
                return Look()
            takes = record.holder != state.me
            return Hold(version=record.version, transitions=record.transitions + takes, takes=takes)
        case _:
            assert_never(state.view)


def after(
    state: LeaseState, answer: LeaseAnswer, *, begun: int, now: int, pause: int, times: LeaseTimes
) -> LeaseState:
    """Give the state after an act was answered.

    Args:
        state: before.
        answer: to the act that `next_act` gave.
        begun: when it was begun.
        now: when the answer came.
        pause: until the next look or renewal, jitter included; nanoseconds.
        times: how long is what.
    """
    match answer:
        case Found(record=record, mine=True):
            # A term that ran out while I renewed is another term: what I knew in it is too old to act on.
            led = term_of(state, now, times)
            return attrs.evolve(
                state, view=LeaseView.KNOWN, record=record, seen_at=now, renewed_at=begun,
                term=state.term if led is not None else state.term + 1, due=begun + pause,
            )  # fmt: skip
        case Found(record=record):
            return _seen(state, record, now, pause)
        case Absent():
            # Whoever held it until somebody deleted it may not know yet.
            others = state.record is not None and state.record.holder not in ("", state.me)
            over = state.seen_at + nanoseconds(state.record.duration) if state.record and others else now
            return attrs.evolve(
                state, view=LeaseView.MISSING, record=None, renewed_at=None, due=max(now, over)
            )
        case Moved():
            return attrs.evolve(state, view=LeaseView.UNKNOWN, due=now)
        case Lost():
            return attrs.evolve(state, view=LeaseView.UNKNOWN, due=now + pause)
        case _:
            assert_never(answer)


def _seen(state: LeaseState, record: LeaseRecord, now: int, pause: int) -> LeaseState:
    """Note what was read. An unchanged record is as old as when it was first seen."""
    is_same = state.record is not None and state.record.version == record.version
    seen = attrs.evolve(state, view=LeaseView.KNOWN, record=record, seen_at=state.seen_at if is_same else now)
    if record.holder == state.me:
        # A write of mine whose answer was lost, or my term as it was: renew it now, and count from that.
        return attrs.evolve(seen, due=now)
    if is_over(seen, now):
        return attrs.evolve(seen, renewed_at=None, due=now)
    over = seen.seen_at + nanoseconds(record.duration)
    return attrs.evolve(seen, renewed_at=None, due=min(now + pause, over))
