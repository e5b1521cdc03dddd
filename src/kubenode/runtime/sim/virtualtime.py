"""Virtual time: what happens later, in its order, and the time that it is now."""

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from kubenode.core import model as m
from kubenode.core.model.quantity import nanoseconds

START = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualTime:
    """A heap of what happens later, and the time it is now."""

    def __init__(self) -> None:
        self.elapsed = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def now(self) -> m.Now:
        """Give the virtual time, on both readings."""
        return m.Now(wall=self.wall(), elapsed=self.elapsed)

    def wall(self) -> datetime:
        """Give the virtual wall clock."""
        return START + timedelta(microseconds=self.elapsed // 1000)

    def later(self, delay: timedelta, what: Callable[[], None]) -> None:
        """Let something happen after a delay."""
        heapq.heappush(self._heap, (self.elapsed + nanoseconds(delay), next(self._order), what))

    def next(self) -> int | None:
        """Give the time of what happens next."""
        return self._heap[0][0] if self._heap else None

    def happen(self) -> bool:
        """Let all happen that is due; tell whether anything did."""
        due = False
        while self._heap and self._heap[0][0] <= self.elapsed:
            heapq.heappop(self._heap)[2]()
            due = True
        return due
