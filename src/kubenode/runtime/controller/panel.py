"""The panel: how reviewers of permits are asked. In place here; with threads and a time limit in `runtime/embed`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from kubenode.core.health.freeze import elapsed_at
from kubenode.core.model import Now
from kubenode.core.review import Allow, Deny, Narrow, PermitRequest, Review, Reviewed, Reviewer

Panel: TypeAlias = Callable[[Sequence[PermitRequest], Now], Mapping[str, tuple[Reviewed, ...]]]
"""Gives by op-id what every reviewer says; it is asked anew before each decision about permits."""

ASK_AGAIN: Final = 60_000_000_000
"""How long a Deny stands that does not say until when, nanoseconds."""


def nobody(_: Sequence[PermitRequest], __: Now) -> Mapping[str, tuple[Reviewed, ...]]:
    """Ask nobody."""
    return {}


def in_place(reviewers: Mapping[str, Reviewer]) -> Panel:
    """Give a panel that asks at once and waits for each answer: for the simulator."""
    if not reviewers:
        return nobody

    def ask(requests: Sequence[PermitRequest], now: Now) -> Mapping[str, tuple[Reviewed, ...]]:
        return {
            request.op_id: tuple(
                reviewed(name, answer(reviewer, request), now) for name, reviewer in sorted(reviewers.items())
            )
            for request in requests
        }

    return ask


def answer(reviewer: Reviewer, request: PermitRequest) -> Review:
    """Ask one reviewer; what is no answer is a Deny."""
    try:
        review: object = reviewer(request)
    except Exception as error:
        return Deny(reason=f"raised {type(error).__name__}: {error}")
    if isinstance(review, Allow | Narrow | Deny):
        return review
    kind = review.__name__ if isinstance(review, type) else type(review).__name__
    return Deny(reason=f"answered with {kind}, which is no Allow(), Narrow(...) or Deny(...)")


def reviewed(name: str, review: Review, now: Now) -> Reviewed:
    """Give an answer as a snapshot has it."""
    if not isinstance(review, Deny):
        return Reviewed(reviewer=name, review=review)
    again = now.elapsed + ASK_AGAIN if review.until is None else elapsed_at(review.until, now)
    # One whose `until` is over is asked again as one that gave none.
    return Reviewed(
        reviewer=name, review=review, again=again if again > now.elapsed else now.elapsed + ASK_AGAIN
    )
