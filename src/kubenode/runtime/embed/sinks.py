"""Sinks: each has a thread of its own, so that a slow or broken one costs nobody else anything."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from kubenode.runtime.record import Record, Sink
from kubenode.runtime.threads import Workers

LOG = logging.getLogger("kubenode.sinks")
LINGER_S: Final = 0.2
"""How long a decision may wait to be told with those after it."""
MOST_WAITING: Final = 10_000
"""Records that may wait for one sink; those beyond are not given to it, and are counted."""


class Outlet:
    """One sink and what it has to be told. Its methods are for the thread of the loop."""

    def __init__(self, name: str, sink: Sink, engine: str) -> None:
        self._name = name
        self._sink = sink
        self._failed = False
        self._behind = False
        self._lost = 0
        self.workers = Workers(f"kubenode {engine} sink {name}", linger=LINGER_S)

    def put(self, record: Record) -> None:
        """Tell it of a decision, later; never waits."""
        waiting = self.workers.waiting
        if waiting >= MOST_WAITING:
            if not self._behind:
                LOG.error("event=sink-behind sink=%s fix='records are lost; make it faster'", self._name)
            self._behind = True
            self._lost += 1
            return
        if self._behind and waiting <= MOST_WAITING // 2:
            LOG.error("event=sink-caught-up sink=%s lost=%d", self._name, self._lost)
            self._behind, self._lost = False, 0
        self.workers.submit(f"sink {self._name}", lambda: self._tell(record))

    def end(self) -> None:
        """Tell it what still waits, close it if it can be closed, and take nothing more."""
        if self._lost:
            LOG.error("event=sink-behind sink=%s lost=%d", self._name, self._lost)
        self.workers.submit(f"sink {self._name}, close()", self._close)
        self.workers.end(drop=False)

    def _tell(self, record: Record) -> None:
        self._guarded(lambda: self._sink(record))

    def _close(self) -> None:
        close = getattr(self._sink, "close", None)
        if callable(close):
            self._guarded(close)

    def _guarded(self, call: Callable[[], object]) -> None:
        """Call it; what it raises is told once, and the next record is given to it all the same."""
        try:
            call()
        except Exception as error:
            level = logging.DEBUG if self._failed else logging.ERROR
            LOG.log(level, "event=sink-failed sink=%s error=%r", self._name, error, exc_info=error)
            self._failed = True


def outlets(sinks: Mapping[str, Sink], engine: str) -> tuple[Outlet, ...]:
    """Give the outlets of some sinks, by name."""
    return tuple(Outlet(name, sink, engine) for name, sink in sorted(sinks.items()))
