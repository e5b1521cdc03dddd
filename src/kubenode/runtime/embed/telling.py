"""All who are told what an engine decides: its log, Kubernetes Events, its sinks, and the counters of its figures."""

import asyncio
from collections.abc import Callable, Mapping

from kubenode.runtime.clock import Clock
from kubenode.runtime.embed.figures import Figures, Meter
from kubenode.runtime.embed.sinks import Outlet, outlets
from kubenode.runtime.embed.teller import Teller
from kubenode.runtime.engine.drive import Driver
from kubenode.runtime.engine.loop import Decided, Done
from kubenode.runtime.events.notice import Notice
from kubenode.runtime.events.recorder import LAST_WORDS, Recorder
from kubenode.runtime.record import Sink, recorded
from kubenode.runtime.store.contract import Store
from kubenode.runtime.store.lease import LeaseKeeper
from kubenode.runtime.threads import Workers


class Telling:
    """Tells of one engine. Its methods are for the thread of the loop, and only `finish` waits.

    Args:
        store: where Events are written.
        clock: for their stamps and limits.
        identity: who tells.
        observes: the engine only observes, so no Events are written.
        changed: is called when the right to write Events was lost, or is there again.
    """

    def __init__(
        self, store: Store, clock: Clock, identity: str, *, observes: bool, changed: Callable[[], None]
    ) -> None:
        self._identity = identity
        self._teller = Teller(observes=observes)
        self._meter = Meter(store)
        self._events = None if observes else Recorder(store, clock, identity, changed=changed)
        self._task: asyncio.Task[None] | None = None
        self._outlets: tuple[Outlet, ...] = ()

    def open(self, sinks: Mapping[str, Sink]) -> None:
        """Tell sinks too, by name."""
        self._outlets = outlets(sinks, self._identity)

    def start(self, ended: Callable[[asyncio.Task[None]], None]) -> None:
        """Begin to write Events; `ended` is told when that fails, which it does only by a bug of ours."""
        if self._events is not None:
            self._task = asyncio.get_running_loop().create_task(
                self._events.run(), name=f"kubenode {self._identity} events"
            )
            self._task.add_done_callback(ended)

    def decided(self, decided: Decided) -> None:
        """Tell of a decision; it is made in the thread of the loop, so it does no more than that."""
        self._teller.tell(decided)
        if self._events is not None:
            self._events.decided(decided)
        self._meter.count(decided)
        if self._outlets:
            record = recorded(decided)
            for outlet in self._outlets:
                outlet.put(record)

    def heard(self, done: Done) -> None:
        """Hear that a call has ended: what it brought about is an Event then."""
        if self._events is not None:
            self._events.done(done)

    def of_lease(self, keeper: LeaseKeeper | None, reason: str, message: str, *, type: str) -> None:
        """Tell of the engine's lease; of an engine without one there is nothing to tell."""
        if keeper is not None and self._events is not None:
            self._events.say(
                Notice(about=keeper.ref, kind=keeper.kind, type=type, reason=reason, message=message)
            )

    def figures(self, driver: Driver | None, unready: tuple[str, ...], *, leads: bool) -> Figures:
        """Give all numbers of the engine as they are now."""
        events = self._events.counts if self._events is not None else {}
        return self._meter.read(driver, unready, leads=leads, events=events)

    def lost(self) -> tuple[str, ...]:
        """Say where no Events may be written any more, with the fix."""
        return self._events.lost() if self._events is not None else ()

    async def finish(self) -> None:
        """Write the Events that wait, for a while, and none after that."""
        if self._events is None or self._task is None:
            return
        self._events.end()
        _, late = await asyncio.wait({self._task}, timeout=2 * LAST_WORDS)
        for task in late:
            task.cancel()
        await asyncio.wait({self._task})

    def close(self) -> tuple[Workers, ...]:
        """Tell sinks what still waits and close them; give their threads, which end after that."""
        for outlet in self._outlets:
            outlet.end()
        return tuple(outlet.workers for outlet in self._outlets)
