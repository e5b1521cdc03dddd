"""Attempts per machine and week are capped, then it is a human's: what is remedied again and again is not healed.

Counted over all episodes of the machine, whatever remedier, from the stored jobs; what was withdrawn is none.
Stamps are of wall clocks; one that lies ahead counts, so a clock that jumps can only hand over sooner.
"""

from collections.abc import Iterable

from kubenode.core.decision import Note
from kubenode.core.health.freeze import aware, elapsed_at, lasting
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import format_duration
from kubenode.core.model.remedy import RemedyOperationJob
from kubenode.core.model.risk import Limit


def worn_out(
    machine: str, jobs: Iterable[RemedyOperationJob], limits: Iterable[Limit], now: Now
) -> Note | None:
    """Say that so many remedies were tried on a machine that no limit of its node allows another.

    Returns:
        Of several limits the one that frees last; the time is for people, since the episode is handed over.
    """
    tried = sorted(
        aware(attempt.since) for job in jobs for attempt in job.status.attempts if not attempt.withdrawn
    )
    notes = []
    for limit in limits:
        if limit.window is not None:
            within = [since for since in tried if since + limit.window > now.wall]
            if len(within) >= limit.max.amount:
                last = within[len(within) - limit.max.amount] if limit.max.amount else None
                frees_at = None if last is None else elapsed_at(last + limit.window, now)
                notes.append(_note(machine, limit, len(within), frees_at))
    return max(notes, key=lasting, default=None)


def _note(machine: str, limit: Limit, tried: int, frees_at: int | None) -> Note:
    span = "" if limit.window is None else format_duration(limit.window)
    scope = f"machine {machine}"
    text = f"{scope}: {tried} remedies tried within {span}, limit {limit.max.amount}: a human's turn"
    return Note(
        code="AttemptsCapped",
        text=text,
        scope=scope,
        observed=tried,
        limit=limit.max.amount,
        frees_at=frees_at,
    )
