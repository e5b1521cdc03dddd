"""The last look before a write leaves: whoever acts in a term says so here, and a store asks when the way is open.

Between the decision to write and the write itself there may be a queue, a pause, a handshake, or a process that was
stopped. It is told by context, since it belongs to whoever calls and not to the store, which several may share.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from kubenode.core.errors import KubenodeError, Retry

Fence = Callable[[], bool]
"""Tells whether the term still lasts."""


class TermOver(KubenodeError):
    """Another engine may lead by now: what was decided is not done any more."""

    retry = Retry.BACKOFF


_FENCE: Final[ContextVar[Fence | None]] = ContextVar("kubenode_fence", default=None)


def set_fence(lasts: Fence) -> None:
    """Let the writes of this task end with its term."""
    _FENCE.set(lasts)


def check_fence() -> None:
    """Go on, if this task's term still lasts or it has none. Raises TermOver."""
    lasts = _FENCE.get()
    if lasts is not None and not lasts():
        raise TermOver("the term is over")
