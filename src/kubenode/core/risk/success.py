"""The success-rate gate: while too few remedies succeed, the remedy is part of the trouble and none begins.

Ends are stamped by the wall clocks of whoever decided. The count leans to refusing: a success counts from its
stamp to the end of the window, a failure from the start (a stamp may lie ahead) to a little beyond it.
When nothing is granted, nothing new ends, so by time alone the window empties and one more try is let through.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import accumulate, islice

import attrs

from kubenode.core.decision import Note, soonest
from kubenode.core.health.freeze import aware, elapsed_at
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import format_duration
from kubenode.core.model.remedy import AttemptState, RemedyOperationJob
from kubenode.core.model.risk import SuccessGate
from kubenode.core.risk.refusal import Refusal

SLACK = timedelta(minutes=1)
"""How far the clocks of two controllers may be apart without a failure being forgotten early."""


@attrs.frozen(kw_only=True)
class Outcome:
    """One remedy that has ended; its stamp is of a wall clock, not of the ledger."""

    ended_at: datetime
    succeeded: bool
    remedier: str = ""


def outcomes_of_job(job: RemedyOperationJob) -> tuple[Outcome, ...]:
    """Give the attempts of a job that have ended, in their order; what was withdrawn says nothing."""
    over = {AttemptState.SUCCEEDED: True, AttemptState.FAILED: False}
    return tuple(
        Outcome(ended_at=attempt.since, succeeded=over[attempt.state], remedier=job.spec.origin)
        for attempt in job.status.attempts
        if attempt.state in over and not attempt.withdrawn
    )


def shut(gate: SuccessGate, outcomes: Iterable[Outcome], now: Now) -> Refusal | None:
    """Say whether too few remedies succeeded; None when enough did, or too few ended to tell.

    Invariant: the answer stays the same until exactly `changes_at`; by time alone it is None at `frees_at`
    of its note, and at no moment before.
    """
    good, bad = 0, 0
    moves: dict[int, tuple[int, int]] = {}
    for one in outcomes:
        came = aware(one.ended_at)
        leaves = came + gate.window + (timedelta(0) if one.succeeded else SLACK)
        ahead = one.succeeded and came > now.wall
        if leaves <= now.wall:
            continue
        if ahead:
            _move(moves, elapsed_at(came, now), one, +1)
        else:
            good, bad = good + one.succeeded, bad + (not one.succeeded)
        _move(moves, elapsed_at(leaves, now), one, -1)
    if not _too_few(gate, good, bad):
        return None
    changes_at = soonest(at for at, change in moves.items() if change != (0, 0))
    return Refusal(note=_note(gate, good, bad, _opens_at(gate, good, bad, moves)), changes_at=changes_at)


def _move(moves: dict[int, tuple[int, int]], at: int, one: Outcome, sign: int) -> None:
    good, bad = moves.get(at, (0, 0))
    moves[at] = (good + sign * one.succeeded, bad + sign * (not one.succeeded))


def _too_few(gate: SuccessGate, good: int, bad: int) -> bool:
    total = good + bad
    return total >= gate.min_attempts and good * 100 < gate.min_percent * total


def _opens_at(gate: SuccessGate, good: int, bad: int, moves: dict[int, tuple[int, int]]) -> int | None:
    order = sorted(moves)
    goods = accumulate((moves[at][0] for at in order), initial=good)
    bads = accumulate((moves[at][1] for at in order), initial=bad)
    after = zip(order, islice(goods, 1, None), islice(bads, 1, None), strict=True)
    return next((at for at, good, bad in after if not _too_few(gate, good, bad)), None)


def _note(gate: SuccessGate, good: int, bad: int, opens_at: int | None) -> Note:
    total, span = good + bad, format_duration(gate.window)
    most = total * (100 - gate.min_percent) // 100
    return Note(
        code="SuccessRate", scope="cluster", observed=bad, limit=most, frees_at=opens_at,
        text=f"cluster: {good} of {total} remedies succeeded within {span}, at least {gate.min_percent} % must",
    )  # fmt: skip
