"""A watch that keeps itself alive: it resumes from the last resourceVersion it has seen.

Lives here: lines, resume points and the pauses between connections. Each connection is `transport.py`'s.
"""

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import aiohttp
import attrs
import orjson

from kubenode.core.errors import ApiError, Expired, ObjectNotFound, Refused, ServerFailed, Unreachable
from kubenode.core.model import Json, Kind
from kubenode.core.model.quantity import nanoseconds
from kubenode.runtime.store.answer import clean, failure
from kubenode.runtime.store.contract import INITIAL_EVENTS_END, EventType, WatchEvent
from kubenode.runtime.store.following import Followed
from kubenode.runtime.store.transport import Backoff, Request, Transport

LOG = logging.getLogger("kubenode.store")

T = TypeVar("T")

_FINAL: Final = (Expired, Refused, ObjectNotFound)
"""What no later attempt can mend: the watch is over."""
_TYPES: Final[Mapping[str, EventType]] = {one.value: one for one in EventType}


class Lines:
    """Cuts chunks into lines, of any length, in time proportional to their bytes."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def cut(self, chunk: bytes) -> list[bytes]:
        """Give the lines that this chunk ends, in order; keep the rest for the next one."""
        *ended, rest = chunk.split(b"\n")
        if ended:
            ended[0] = b"".join((*self._parts, ended[0]))
            self._parts = []
        self._parts.append(rest)
        return ended


@attrs.define(eq=False)
class _Connected:
    request: Request
    response: aiohttp.ClientResponse
    since: int
    lines: Lines = attrs.field(factory=Lines)
    told: bool = False


def _is_mark(event: WatchEvent) -> bool:
    return INITIAL_EVENTS_END in (event.object["metadata"].get("annotations") or {})


def _fold(objects: dict[str, T], event: WatchEvent, read: Callable[[Json], T]) -> None:
    """Note an initial event; what happens while they are told may be among them."""
    name = event.object["metadata"].get("name")
    if event.type is EventType.DELETED:
        objects.pop(name, None)
    elif event.type is not EventType.BOOKMARK:
        objects[name] = read(event.object)


async def _chunk(response: aiohttp.ClientResponse) -> bytes:
    try:
        chunk = await response.content.readany()
    except RuntimeError as closed:  # how aiohttp says that this side has closed the connection
        raise aiohttp.ClientConnectionError(str(closed)) from closed
    if not chunk:
        raise aiohttp.ServerDisconnectedError("the server ended the watch")
    return chunk


class KubeWatch:
    """The changes of one kind after a resourceVersion, bookmarks among them.

    Lost connections, silence and 5xx are ridden out, however long they last. What `events` raises is final:
    Expired when the server has forgotten or was set back, Refused when the rights are gone, ObjectNotFound
    when the kind is.
    """

    def __init__(
        self, transport: Transport, kind: Kind, path: str, resource_version: str, *, initial: bool = False,
        selection: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self._transport = transport
        self._kind = kind
        self._path = path
        self._version = resource_version
        self._initial = initial
        self._selection = selection
        self._backoff = Backoff(transport.limits, transport.timing)
        self._connected: _Connected | None = None
        self._ready: list[WatchEvent] = []
        self._fault: ApiError | None = None

    async def events(self) -> tuple[WatchEvent, ...]:
        """Wait for the next events; at least one. A cancelled wait loses none."""
        while not self._ready:
            if self._fault is not None:
                raise self._fault
            await self._advance()
        ready, self._ready = self._ready, []
        return tuple(ready)

    async def listed(self, read: Callable[[Json], T]) -> Followed[T]:
        """Read the initial events up to their mark as one listing; `events` goes on after it.

        Nothing is ridden out here: whoever lists can also list in another way.

        Args:
            read: what is kept of each object; the rest of it is let go at once.

        Raises:
            ApiError: the events ended before their mark, whatever the reason; the watch is then closed.
        """
        objects: dict[str, T] = {}
        try:
            while self._initial:
                await self._receive()
                events, self._ready = self._ready, []
                for at, event in enumerate(events):
                    if _is_mark(event):
                        self._ready = events[at + 1 :]
                        items = tuple(objects[name] for name in sorted(objects))
                        version = event.object["metadata"]["resourceVersion"]
                        return Followed(items=items, resource_version=version)
                    _fold(objects, event, read)
        except BaseException:
            await self.close()
            raise
        raise RuntimeError("the initial events of this watch were read before")

    async def close(self) -> None:
        """Stop watching; a wait that is under way, and each later one, raises Unreachable."""
        self._fault = self._fault or Unreachable(f"the watch of {self._kind.plural} is closed")
        self._disconnect()

    async def _advance(self) -> None:
        """Get on by one chunk, or by one failure and its pause."""
        try:
            await self._receive()
        except _FINAL as error:
            self._disconnect()
            self._fault = self._fault or error
        except ApiError as error:
            if self._fault is None:
                await self._recover(error)

    async def _receive(self) -> None:
        if self._connected is None:
            request = self._request()
            response = await self._transport.stream(request)
            self._connected = _Connected(request, response, self._elapsed())
        connected = self._connected
        with self._transport.reaching(connected.request):
            chunk = await _chunk(connected.response)
        for line in connected.lines.cut(chunk):
            if line:
                event = self._read(line)
                self._advance_to(event)
                self._ready.append(event)
                connected.told = True

    def _advance_to(self, event: WatchEvent) -> None:
        """Note from where to resume: while initial events come by name, still from the beginning."""
        if self._initial and not _is_mark(event):
            return
        self._initial = False
        self._version = event.object["metadata"]["resourceVersion"]

    def _request(self) -> Request:
        seconds = self._transport.limits.watch.total_seconds()
        query = {
            **self._selection,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            # Watches that began together, after a restart of the server, do not end together.
            "timeoutSeconds": str(int(seconds * (1 + self._transport.timing.jitter()))),
        }
        if self._initial:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        return Request(method="GET", path=self._path, query=query)

    def _read(self, line: bytes) -> WatchEvent:
        """Read one line: an event, or the reason why there are no more, which is raised."""
        try:
            told = orjson.loads(line)
            kind, obj = told["type"], told["object"]
            if kind == "ERROR":
                error = failure(obj)
            else:
                # Each event must move the resume point, or the next connection would repeat it.
                _ = obj["metadata"]["resourceVersion"]
                return WatchEvent(type=_TYPES[kind], object=clean(self._kind, obj))
        except (ValueError, LookupError, TypeError, AttributeError) as strange:
            raise ServerFailed(
                f"a line of the watch of {self._kind.plural} is no event: {strange!r}"
            ) from strange
        raise error

    async def _recover(self, error: ApiError) -> None:
        """Leave the connection, and pause before the next one."""
        connected, limits = self._connected, self._transport.limits
        self._disconnect()
        if connected is not None:
            lived = self._elapsed() - connected.since
            if connected.told or lived > nanoseconds(limits.longest_pause):
                self._backoff.reset()
        if isinstance(error.__cause__, aiohttp.SocketTimeoutError):
            await self._look_back()
        pause = self._backoff.next(error.retry_after)
        level = logging.DEBUG if connected is not None and connected.told else logging.WARNING
        LOG.log(
            level, "event=watch-resumes kind=%s from=%s pause=%.1f error=%s: %s",
            self._kind.name, self._version, pause.total_seconds(), type(error).__name__, error,
        )  # fmt: skip
        await self._transport.timing.sleep(pause.total_seconds())

    async def _look_back(self) -> None:
        """After silence, ask how far the server is.

        One that was restored from a backup keeps a watch from its future silent for ever, and without a word.
        """
        request = Request(method="GET", path=self._path, query={"limit": "1"})
        try:
            answer = await self._transport.call(request)
        except _FINAL as error:
            self._fault = error
        except ApiError as error:
            LOG.debug("event=look-back-failed error=%s", error)
        else:
            version = answer["metadata"]["resourceVersion"]
            if int(version) < int(self._version or "0"):
                self._fault = Expired(
                    f"the server is at {version}, before {self._version} that it has told: it was set back"
                )

    def _disconnect(self) -> None:
        connected, self._connected = self._connected, None
        if connected is not None:
            connected.response.close()

    def _elapsed(self) -> int:
        return self._transport.timing.clock.now().elapsed
