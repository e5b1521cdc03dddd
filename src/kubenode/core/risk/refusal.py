"""Why an ask is not granted, and when that may change."""

import math

import attrs

from kubenode.core.decision import Note


@attrs.frozen(kw_only=True)
class Refusal:
    """Why an ask is not granted. `changes_at`: when that, or a number of its note, changes by time alone (`Now.elapsed`)."""

    note: Note
    changes_at: int | None = None


def stop(code: str, scope: str, text: str, frees_at: int | None = None) -> Note:
    """Say that nothing at all may begin in a scope: none is counted and none is allowed."""
    return Note(code=code, text=text, scope=scope, observed=0, limit=0, frees_at=frees_at)


def freedom(refusal: Refusal) -> float:
    """Order refusals by when they free; what never does by itself is last."""
    frees = refusal.note.frees_at
    return math.inf if frees is None else frees
