"""What happened to the objects of one kind, and the watches that follow it.

Each event is kept once, in a bounded window. A watch is a place in it, so a watch that is never read
costs nothing and is told `Expired` when it has fallen out, as on the server.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from kubenode.core.errors import ApiError
from kubenode.core.model import Json
from kubenode.runtime.store.contract import EventType, WatchEvent
from kubenode.runtime.store.objectmeta import place
from kubenode.runtime.store.refusals import too_old
from kubenode.runtime.store.selector import Selection

_SEEN: Final[Mapping[tuple[bool, bool], EventType]] = {
    (False, True): EventType.ADDED, (True, True): EventType.MODIFIED, (True, False): EventType.DELETED,
}  # fmt: skip
"""What one sees of an event who watches a selection, by whether the object was and is selected."""


class History:
    """The last events of one kind, by resourceVersion.

    Attributes:
        marked: the version of the last bookmark.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._versions: list[int] = []
        self._events: list[WatchEvent] = []
        self._dropped = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self.marked = 0

    @property
    def end(self) -> int:
        """How many events there ever were."""
        return self._dropped + len(self._events)

    @property
    def start(self) -> int:
        """How many of them are forgotten."""
        return max(0, self.end - self._window)

    @property
    def oldest(self) -> int:
        """The resourceVersion from which a watch can still begin, once something is forgotten."""
        return self._versions[self.start - self._dropped] - 1

    def add(self, version: int, type: EventType, obj: Json, before: Json | None) -> None:
        """Note an event, and what the object was before it; wake who waits for it."""
        self._versions.append(version)
        self._events.append(WatchEvent(type=type, object=obj, before=before))
        if len(self._events) >= 2 * self._window:  # seldom, since it moves the window
            self._dropped += len(self._events) - self._window
            for kept in (self._events, self._versions):
                del kept[: -self._window]
        self._wake()

    def mark(self, version: int) -> None:
        """Say that up to a version all is told, to the watches that asked for bookmarks."""
        self.marked = version
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def after(self, version: int) -> int:
        """Give the place of the first event after a resourceVersion; -1 when such events are forgotten."""
        if self.start and version < self.oldest:
            return -1
        return self._dropped + bisect_right(self._versions, version)

    def slice(self, place: int) -> list[WatchEvent]:
        """Give the events from a place on."""
        return self._events[place - self._dropped :]

    def selected(self, place: int, wanted: Selection) -> list[WatchEvent]:
        """Give the events from a place on, as one sees them who watches a selection.

        An object that comes to be selected is ADDED. One that ceases to be is DELETED, in its last selected state
        but with the version of the change.
        """
        found = []
        at = place - self._dropped
        for event in self._events[at:]:
            obj, before = event.object, event.before
            is_in = event.type is not EventType.DELETED and wanted.has(obj)
            was_in = before is not None and wanted.has(before)
            if before is not None and was_in and not is_in:
                version = obj["metadata"]["resourceVersion"]
                obj = {**before, "metadata": {**before["metadata"], "resourceVersion": version}}
            if is_in or was_in:
                found.append(WatchEvent(type=_SEEN[was_in, is_in], object=obj))
        return found

    def rewound(self, objects: Iterable[Json], version: int) -> tuple[Json, ...]:
        """Give the objects as they were at a version that is not forgotten, by name."""
        at = self.after(version) - self._dropped
        if at == len(self._events):
            return tuple(objects)
        state: dict[str, Json | None] = {place(obj["metadata"]): obj for obj in objects}
        for event in reversed(self._events[at:]):
            state[place(event.object["metadata"])] = event.before
        return tuple(obj for _, obj in sorted(state.items()) if obj is not None)

    async def turn(self, waiter: "asyncio.Future[None]") -> None:
        """Wait for the next event, or until the caller's future is done."""
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)


class EmbeddedWatch:
    """A watch of the embedded store. It waits only in `events`, and only when there is nothing to tell.

    Args:
        history: to follow.
        version: after which to begin.
        first: what to tell before.
        bookmark: makes a bookmark; None when none were asked for.
        wanted: the selection that is watched; None for all.
    """

    def __init__(
        self, history: History, version: int, first: tuple[WatchEvent, ...] = (),
        bookmark: Callable[[int], WatchEvent] | None = None, wanted: Selection | None = None,
    ) -> None:  # fmt: skip
        self._history = history
        self._version = version
        self._place = history.after(version)
        self._first = first
        self._wanted = wanted
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._bookmark = bookmark
        self._marked = history.marked

    def drain(self) -> tuple[WatchEvent, ...]:
        """Give the events that are there now, perhaps none, without waiting.

        Raises:
            Expired: some of them are forgotten; list again and watch anew.
            ApiError: the watch is closed.
        """
        if self._closed:
            raise ApiError("the watch is closed")
        history = self._history
        if self._place == history.end and not self._first and not self._has_mark():
            return ()
        if self._place < history.start:
            self._closed = True
            raise too_old(self._version, history.oldest)
        wanted = self._wanted
        events = history.slice(self._place) if wanted is None else history.selected(self._place, wanted)
        found, self._first = (*self._first, *self._with_mark(events)), ()
        self._place = history.end
        if found:
            self._version = int(found[-1].object["metadata"]["resourceVersion"])
        return found

    def _has_mark(self) -> bool:
        return self._bookmark is not None and self._history.marked > max(self._marked, self._version)

    def _with_mark(self, events: list[WatchEvent]) -> list[WatchEvent]:
        """Put a bookmark that is due behind the events that it covers."""
        if self._bookmark is None or not self._has_mark():
            return events
        self._marked = self._history.marked
        versions = [int(event.object["metadata"]["resourceVersion"]) for event in events]
        at = bisect_right(versions, self._marked)
        return [*events[:at], self._bookmark(self._marked), *events[at:]]

    async def events(self) -> tuple[WatchEvent, ...]:
        """Wait for the next events; at least one. Raises as `drain` does."""
        while not (found := self.drain()):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._history.turn(self._waiter)
        return found

    async def close(self) -> None:
        """Stop watching; who waits in `events` is told so by an ApiError."""
        self._closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
