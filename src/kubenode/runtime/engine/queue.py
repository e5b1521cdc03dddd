"""The work queue: which key is due, once, and never two hands on one key.

A key is *due* at a time. One that is taken is *in hand* until it is put back; what becomes due for it
meanwhile waits for that. Order is by time, then by arrival, so that equal histories give equal orders.
"""

import heapq
import itertools
from typing import NamedTuple

from kubenode.core.identity import digest

FIRST_PAUSE = 50_000_000
LONGEST_PAUSE = 60_000_000_000


class Key(NamedTuple):
    """One unit of work: whose, and which object. A tuple, since it is hashed ten times a decision."""

    controller: str
    name: str

    def __str__(self) -> str:
        return f"{self.controller}/{self.name}"


class WorkQueue:
    """Keys by the time at which they are due, in `Now.elapsed`."""

    def __init__(self) -> None:
        self._due: dict[Key, int] = {}
        self._heap: list[tuple[int, int, Key]] = []
        self._arrivals = itertools.count()
        self._in_hand: set[Key] = set()
        self._failures: dict[Key, int] = {}

    def add(self, key: Key, at: int) -> None:
        """Make a key due at a time; of two times the earlier stands."""
        known = self._due.get(key)
        if known is not None and known <= at:
            return
        self._due[key] = at
        if key not in self._in_hand:
            heapq.heappush(self._heap, (at, next(self._arrivals), key))

    def take(self, now: int) -> Key | None:
        """Take the next key that is due, or None when none is."""
        while self._heap and self._heap[0][0] <= now:
            at, _, key = heapq.heappop(self._heap)
            # An entry is stale when its key was re-added for an earlier time, or is in hand.
            if self._due.get(key) != at or key in self._in_hand:
                continue
            del self._due[key]
            self._in_hand.add(key)
            return key
        return None

    def put_back(self, key: Key) -> None:
        """End the work on a key; what became due for it meanwhile is due now."""
        self._in_hand.discard(key)
        at = self._due.get(key)
        if at is not None:
            heapq.heappush(self._heap, (at, next(self._arrivals), key))

    def next_due(self) -> int | None:
        """Give the time at which the next key is due, or None when nothing waits for time."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._due.get(key) == at and key not in self._in_hand:
                return at
            heapq.heappop(self._heap)
        return None

    def failed(self, key: Key) -> int:
        """Count a failure and give the pause before the next try, nanoseconds; doubling, capped, spread by name."""
        count = self._failures[key] = self._failures.get(key, 0) + 1
        pause: int = min(FIRST_PAUSE << min(count - 1, 20), LONGEST_PAUSE)
        # Spread by a hash, not by chance: a whole fleet that fails at once does not come back at once.
        return pause // 2 + pause * (int(digest(str(key), count), 16) % 1024) // 2048

    def succeeded(self, key: Key) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def __len__(self) -> int:
        return len(self._due) + len(self._in_hand)
