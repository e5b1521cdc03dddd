"""What the answer of a reviewer means for a permit: nothing, or the note of a refusal."""

from typing import assert_never

from kubenode.core.decision import Note
from kubenode.core.review import Allow, Deny, Narrow, Reviewed


def objection(one: Reviewed, running: int, now: int) -> Note | None:
    """Say what stands against a permit; None when nothing does.

    A Deny that is out of date still stands: nobody has allowed anything since.

    Args:
        one: the answer.
        running: disruptions of the cluster that are under way.
        now: `Now.elapsed`.
    """
    scope = f"reviewer {one.reviewer}"
    match one.review:
        case Allow():
            return None
        case Narrow(in_flight=most, reason=reason):
            text = f"{scope}: {reason}: {running} in flight, limit {most}"
            note = Note(code="Reviewed", text=text, scope=scope, observed=running, limit=most)
            return note if running >= most else None
        case Deny(reason=reason, until=until):
            when = "" if until is None else f", until {until.isoformat()}"
            late = "; it is asked again" if one.again is not None and now >= one.again else ""
            frees = None if until is None or late else one.again
            text = f"{scope}: {reason}{when}{late}"
            return Note(code="Reviewed", text=text, scope=scope, observed=0, limit=0, frees_at=frees)
        case _:
            assert_never(one.review)
