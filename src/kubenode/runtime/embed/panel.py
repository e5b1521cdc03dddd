"""The panel of an embedded engine: reviewers are asked in threads, with a time limit, and nobody waits for them.

A question that is not answered yet refuses the permit; the answer stirs the engine, which then decides anew.
So a slow reviewer costs time and no more, and one that hangs is a Deny in its own name.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import attrs

from kubenode.core.model import Now
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.review import Allow, Deny, Narrow, PermitRequest, Review, Reviewed, Reviewer
from kubenode.runtime.clock import Clock
from kubenode.runtime.controller.panel import answer, reviewed
from kubenode.runtime.embed.asking import Asking, Post, Question

FRESH: Final = 10_000_000_000
"""How old an Allow or a Narrow may be when a permit is granted by it, nanoseconds."""


@attrs.define
class _Question(Question[Reviewed]):
    """One reviewer asked about one permit; when it answered, in `Now.elapsed`."""

    answered: int | None = None


class Panel:
    """Asks reviewers and remembers what they said. Its methods are for the thread of the loop.

    Args:
        reviewers: by name.
        within: after which no answer is a Deny.
        clock: the engine's.
        post: runs something in the thread of the loop; from any thread.
        stir: makes the engine decide about permits again.
        name: of the engine, for the threads.
    """

    def __init__(
        self, reviewers: Mapping[str, Reviewer], *, within: timedelta, clock: Clock, post: Post,
        stir: Callable[[], None], name: str,
    ) -> None:  # fmt: skip
        self._reviewers = dict(sorted(reviewers.items()))
        self._within = within
        self._clock = clock
        self._stir = stir
        self.asking = Asking("reviewer", self._reviewers, clock=clock, post=post, name=name)
        self._asked: dict[tuple[str, str], _Question] = {}

    def __call__(self, requests: Sequence[PermitRequest], now: Now) -> Mapping[str, tuple[Reviewed, ...]]:
        """Give what is known, and ask what is not; what waits for no permit any more is forgotten."""
        if not self._reviewers:
            return {}
        said = {
            request.op_id: tuple(self._said(name, request, now) for name in self._reviewers)
            for request in requests
        }
        self._asked = {key: one for key, one in self._asked.items() if key[0] in said}
        return said

    @property
    def busy(self) -> bool:
        """Whether anybody has yet to answer."""
        return any(one.given is None for one in self._asked.values())

    def _said(self, name: str, request: PermitRequest, now: Now) -> Reviewed:
        question = self._asked.get((request.op_id, name))
        if question is None or _is_stale(question, now):
            question = self._asked[request.op_id, name] = _Question()
            self._ask(name, request, question)
        if question.given is not None:
            return question.given
        limit = nanoseconds(self._within)
        if question.began is not None and now.elapsed >= question.began + limit:
            text = f"gave no answer within {self._within.total_seconds():g} s"
            question.given, question.answered = reviewed(name, Deny(reason=text), now), now.elapsed
            return question.given
        again = now.elapsed + limit if question.began is None else question.began + limit
        return Reviewed(reviewer=name, review=Deny(reason="has not answered yet"), again=again)

    def _ask(self, name: str, request: PermitRequest, question: _Question) -> None:
        self.asking.ask(
            name, f"reviewer {name} of {request.op_id}", question,
            partial(answer, self._reviewers[name], request), partial(self._answered, name, question),
        )  # fmt: skip

    def _answered(self, name: str, question: _Question, review: Review) -> None:
        now = self._clock.now()
        question.given, question.answered = reviewed(name, review, now), now.elapsed
        self._stir()


def _is_stale(question: _Question, now: Now) -> bool:
    given, answered = question.given, question.answered
    if given is None or answered is None:
        return False
    if isinstance(given.review, Allow | Narrow):
        return now.elapsed - answered >= FRESH
    return given.again is None or now.elapsed >= given.again
