"""Asking somebody outside, in threads: reviewers and inspectors. Nobody waits; who asked is told the answer.

What is asked, how long an answer is waited for, and what stands in for it, is the business of who asks.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Generic, TypeVar

import attrs

from kubenode.runtime.clock import Clock
from kubenode.runtime.threads import Workers

A = TypeVar("A")
R = TypeVar("R")
Post = Callable[[Callable[[], None]], None]
"""Runs something in the thread of the loop; from any thread."""

THREADS: Final = 4
"""Most calls at a time of one who is asked."""


@attrs.define(kw_only=True)
class Question(Generic[A]):
    """One question that is asked.

    Attributes:
        began: when its call began, in `Now.elapsed`; None while it waits for a thread.
        given: the answer, or what stands in for it when it is waited for no longer.
    """

    began: int | None = None
    given: A | None = None


class Asking:
    """Those who can be asked, each in threads of its own. Its methods are for the thread of the loop.

    Args:
        what: they are.
        names: of them.
        clock: the engine's.
        post: runs something in the thread of the loop.
        name: of the engine, for the threads.
    """

    def __init__(self, what: str, names: Iterable[str], *, clock: Clock, post: Post, name: str) -> None:
        self._clock = clock
        self._post = post
        self.workers = {
            each: Workers(f"kubenode {name} {what} {each}", threads=THREADS) for each in sorted(names)
        }

    def ask(
        self, whom: str, about: str, question: Question[A], call: Callable[[], R], answered: Callable[[R], None]
    ) -> None:  # fmt: skip
        """Let a thread ask, and note when it begins.

        Args:
            whom: by name.
            about: names the call, if it never returns.
            question: that is asked; one that was given an answer meanwhile is not asked any more.
            call: asks; must not raise.
            answered: is told the answer, unless the question was given one meanwhile.
        """

        def ask() -> None:
            if question.given is not None:  # it waited so long for a thread that it was given up
                return
            self._post(partial(self._began, question))
            answer = call()
            self._post(partial(_take, question, answered, answer))

        self.workers[whom].submit(about, ask)

    def _began(self, question: Question[A]) -> None:
        question.began = self._clock.now().elapsed


def _take(question: Question[A], answered: Callable[[R], None], answer: R) -> None:
    if question.given is None:  # else it came too late, and counts no more
        answered(answer)
