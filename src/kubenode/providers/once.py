"""What a cloud takes no token for is done once by this process: it remembers which token was which act."""

import threading
from collections.abc import Callable
from typing import Final

from kubenode.core.errors import Busy, TokenConflict

REMEMBERED: Final = 10_000
"""Tokens of acts that are known to be done; the oldest are forgotten."""


class Once:
    """Acts by token. Safe to be used from several threads.

    An act whose answer was lost is not known to be done: who repeats it does it again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: dict[str, tuple[object, ...]] = {}
        self._doing: set[str] = set()

    def do(self, token: str, act: tuple[object, ...], call: Callable[[], object]) -> None:
        """Call, unless this token's act is known to be done.

        Args:
            token: of the act.
            act: what it is, for comparison with what the token was used for before.
            call: does it; what it raises is let through, and nothing is remembered.

        Raises:
            TokenConflict: the token was used for another act.
            Busy: another thread does what has this token now.
        """
        with self._lock:
            known = self._done.get(token)
            if known is None:
                if token in self._doing:
                    raise Busy(f"an act with token {token} is under way")
                self._doing.add(token)
        if known is not None:
            if known != act:
                raise TokenConflict(f"token {token} was used for another act")
            return
        try:
            call()
            with self._lock:
                self._done[token] = act
                if len(self._done) > REMEMBERED:
                    del self._done[next(iter(self._done))]
        finally:
            with self._lock:
                self._doing.discard(token)
