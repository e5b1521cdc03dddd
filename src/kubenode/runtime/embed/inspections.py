"""The hooks of an embedded engine's rollouts: asked in threads, with a time limit, and nobody waits for them.

A question that is not answered yet keeps its batch from being followed; the answer stirs the engine, which then
decides anew. One that hangs is inconclusive in its own name, and costs its inspector's threads and no others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import attrs

from kubenode.core.inspection import Awaited, Inconclusive, Inspected
from kubenode.core.model import Now
from kubenode.core.model.quantity import nanoseconds
from kubenode.runtime.clock import Clock
from kubenode.runtime.controller.inspections import Inquiry, answer
from kubenode.runtime.embed.asking import THREADS, Asking, Post, Question


@attrs.define(kw_only=True)
class _Question(Question[Inspected]):
    """One question of one hook, and when it was asked, in `Now.elapsed`."""

    id: str
    asked: int


class Inspections:
    """Asks inspectors and remembers what they said. Its methods are for the thread of the loop.

    Args:
        inspectors: their names.
        clock: the engine's.
        post: runs something in the thread of the loop; from any thread.
        stir: makes the engine decide about a set again, by its name.
        name: of the engine, for the threads.
    """

    def __init__(
        self, inspectors: Iterable[str], *, clock: Clock, post: Post, stir: Callable[[str], None], name: str
    ) -> None:
        self._stir = stir
        self.asking = Asking("inspection", inspectors, clock=clock, post=post, name=name)
        self._asked: dict[str, dict[str, _Question]] = {}

    def __call__(self, key: str, inquiries: Sequence[Inquiry], now: Now) -> Mapping[str, Inspected]:
        """Give what is known, and ask what is not; what of the set is no longer open is forgotten."""
        before = self._asked.pop(key, {})
        questions: dict[str, _Question] = {}
        for one in inquiries:
            known = before.get(one.request.name)
            if known is None or known.id != one.request.id:
                known = _Question(id=one.request.id, asked=now.elapsed)
                self._ask(key, one, known)
            questions[one.request.name] = known
        if questions:
            self._asked[key] = questions
        return {one.request.name: _said(questions[one.request.name], one, now) for one in inquiries}

    @property
    def busy(self) -> bool:
        """Whether anybody has yet to answer."""
        return any(one.given is None for questions in self._asked.values() for one in questions.values())

    def _ask(self, key: str, inquiry: Inquiry, question: _Question) -> None:
        request, name = inquiry.request, inquiry.inspector.name
        self.asking.ask(
            name, f"inspection {request.name} ({name}) of {request.set}", question,
            partial(answer, inquiry), partial(self._answered, key, question),
        )  # fmt: skip

    def _answered(self, key: str, question: _Question, given: Inspected) -> None:
        question.given = given
        self._stir(key)


def _said(question: _Question, inquiry: Inquiry, now: Now) -> Inspected:
    """Give the answer, or until when it is waited for: so long from when its call began, or could have."""
    if question.given is not None:
        return question.given
    until = (question.asked if question.began is None else question.began) + nanoseconds(inquiry.within)
    if now.elapsed < until:
        return Awaited(until=until)
    name, limit = inquiry.inspector.name, f"{inquiry.within.total_seconds():g} s"
    why = (
        f"{name} could not be asked within {limit}: {THREADS} of its calls are still under way"
        if question.began is None
        else f"{name} gave no answer within {limit}"
    )
    question.given = Inconclusive(text=why)
    return question.given
