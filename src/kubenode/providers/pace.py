"""How fast one account in one region may be called: a budget that all its calls share, and readers yield to writers.

`Budget` is pure. `Pace` holds one, and refuses a call with Throttled instead of letting a thread sleep: the pool
of threads is bounded, and a reader that sleeps in it would keep a writer out.
"""

import threading
import time
from collections.abc import Callable
from datetime import timedelta

import attrs

from kubenode.core.errors import Throttled


@attrs.frozen(kw_only=True)
class Budget:
    """A token bucket whose last part is for writers only.

    Attributes:
        rate: calls a second, in the long run.
        burst: calls that may be made at once after a quiet time.
        reserved: of `burst`, what readers leave to writers.
        level: calls that may be made now.
        at: when `level` was right, in seconds of a clock that never goes back.
        shut_until: no call before, since the cloud has said "too many".
    """

    rate: float
    burst: int
    reserved: int
    level: float
    at: float = 0.0
    shut_until: float = 0.0

    @classmethod
    def full(cls, *, rate: float, burst: int) -> "Budget":
        """Give a full bucket, a quarter of which is for writers."""
        return cls(rate=rate, burst=burst, reserved=burst // 4, level=burst)

    def take(self, now: float, *, writes: bool) -> tuple["Budget", float]:
        """Take one call; give what is left, and the seconds to wait for: 0 means go."""
        filled = attrs.evolve(
            self, at=now, level=min(self.burst, self.level + max(0.0, now - self.at) * self.rate)
        )
        need = 1 if writes else 1 + self.reserved
        wait = max(self.shut_until - now, (need - filled.level) / self.rate, 0.0)
        return (filled, wait) if wait > 0 else (attrs.evolve(filled, level=filled.level - 1), 0.0)

    def refused(self, now: float, pause: float) -> "Budget":
        """Begin at nothing after `pause` seconds: somebody else spends from the account too."""
        return attrs.evolve(self, level=0.0, at=now + pause, shut_until=max(self.shut_until, now + pause))


class Pace:
    """The budget of one account in one region, for the threads that call it."""

    def __init__(self, budget: Budget, elapsed: Callable[[], float] = time.monotonic) -> None:
        """Hold a budget; `elapsed` gives seconds of a clock that never goes back."""
        self.elapsed = elapsed
        self._budget = attrs.evolve(budget, at=elapsed())
        self._lock = threading.Lock()

    def go(self, *, writes: bool) -> None:
        """Take one call.

        Raises:
            Throttled: there is none now; its `retry_after` says when there is. Nothing was sent.
        """
        with self._lock:
            self._budget, wait = self._budget.take(self.elapsed(), writes=writes)
        if wait > 0:
            raise Throttled(
                "the budget of calls to this account and region is spent", retry_after=timedelta(seconds=wait)
            )

    def refused(self, pause: timedelta) -> None:
        """Take note that the cloud has answered "too many"."""
        with self._lock:
            self._budget = self._budget.refused(self.elapsed(), pause.total_seconds())
