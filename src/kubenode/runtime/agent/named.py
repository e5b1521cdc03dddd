"""The components that one Machine names, each read by its name: an agent may neither list nor watch them.

Nothing in a component ever changes, so each is read once, when the Machine comes to name it, and before the Machine is
told: whoever decides never sees an entry whose component is only under way. One that is not there is asked for again,
ever more rarely. One that no entry and no report names any more is let go.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from kubenode.core.errors import ApiError, ObjectNotFound
from kubenode.core.model import Json, Kind, Machine, MachineComponent
from kubenode.runtime.store.contract import EventType, Listing, Watch, WatchEvent
from kubenode.runtime.store.following import Followed
from kubenode.runtime.store.transport import Backoff

LOG = logging.getLogger("kubenode.agent")
T = TypeVar("T")

_KIND: Final = MachineComponent.KIND
_NOTHING: Final[frozenset[str]] = frozenset()
_ANY_VERSION: Final = "0"
"""Before every version: a component that is named today may be older than all that was read before it."""


class Named:
    """What is held of the components of one Machine; the watch of them, for one follower.

    Args:
        machine: its name.
        get: asks the server for one object.
        pauses: after which a component that is not there is asked for again.
    """

    def __init__(self, machine: str, get: Callable[[Kind, str], Awaitable[Json]], pauses: Backoff) -> None:
        self._machine = machine
        self._get = get
        self._pauses = pauses
        self._asking = asyncio.Lock()
        self._entries: frozenset[str] | None = None
        self._reports = _NOTHING
        self._held: dict[str, Json] = {}
        self._missing: set[str] = set()
        self._told: list[WatchEvent] = []
        self._stirred = asyncio.Event()

    async def note(self, machine: Json | None) -> None:
        """Read what a Machine names and is not held; None: there is no Machine.

        Raises:
            ApiError: what it names cannot be known.
        """
        async with self._asking:
            await self._note(machine)
        await asyncio.sleep(0)  # whoever follows components is told of them before anybody is of the Machine

    async def _note(self, machine: Json | None) -> None:
        entries = _NOTHING if machine is None else frozenset(in_entries(machine))
        if entries != self._entries:
            self._pauses.reset()
            self._stirred.set()
        self._entries, self._reports = entries, _NOTHING if machine is None else _in_reports(machine)
        names = entries | self._reports
        self._missing &= names
        for name in sorted(names - self._held.keys() - self._missing):
            await self._read(name)

    async def _read(self, name: str) -> None:
        try:
            self._held[name] = raw = await self._get(_KIND, name)
        except ObjectNotFound as error:
            level = logging.DEBUG if name in self._missing else logging.WARNING
            LOG.log(level, "event=component-missing name=%s error=%s", name, error)
            self._missing.add(name)
        else:
            self._missing.discard(name)
            self._told.append(WatchEvent(type=EventType.ADDED, object=raw))
        self._stirred.set()

    def forget(self) -> None:
        """Let go what the Machine no longer names, once whoever decides was told so."""
        names = (self._entries or _NOTHING) | self._reports
        for name in sorted(self._held.keys() - names):
            self._told.append(WatchEvent(type=EventType.DELETED, object=self._held.pop(name)))
            self._stirred.set()

    async def get(self, name: str) -> Json:
        """Give one component, as it was read if it was. Raises ObjectNotFound."""
        if name in self._missing:  # it is asked for again in its time
            raise ObjectNotFound(f"{_KIND.plural} {name!r} not found")
        held = self._held.get(name)
        return held if held is not None else await self._get(_KIND, name)

    async def find(self) -> Listing:
        """Give all components that the Machine names. Raises ApiError when they cannot be known."""
        async with self._asking:
            if self._entries is None:
                await self._note(await self._stored())
            else:  # some were not read the last time
                for name in sorted((self._entries | self._reports) - self._held.keys()):
                    await self._read(name)
        items = tuple(raw for _, raw in sorted(self._held.items()))
        return Listing(items=items, resource_version=_ANY_VERSION)

    async def _stored(self) -> Json | None:
        try:
            return await self._get(Machine.KIND, self._machine)
        except ObjectNotFound:
            return None

    async def follow(self, read: Callable[[Json], T]) -> tuple[Followed[T], Watch]:
        """Give all components that the Machine names, and a watch of those that come and go. Raises ApiError."""
        listing = await self.find()
        self._told.clear()
        items = tuple(map(read, listing.items))
        return Followed(items=items, resource_version=listing.resource_version), self

    async def events(self) -> tuple[WatchEvent, ...]:
        """Wait for a component that comes, or is named no more."""
        while not self._told:
            self._stirred.clear()
            if not self._missing & (self._entries or _NOTHING):
                await self._stirred.wait()
                continue
            try:
                async with asyncio.timeout(self._pauses.next().total_seconds()):
                    await self._stirred.wait()
            except TimeoutError:
                await self._again()
        told, self._told = self._told, []
        return tuple(told)

    async def _again(self) -> None:
        async with self._asking:
            for name in sorted(self._missing & (self._entries or _NOTHING)):
                try:
                    await self._read(name)
                except ApiError as error:
                    LOG.warning("event=component-not-read name=%s error=%s", name, error)
                    return

    async def close(self) -> None:
        """Stop watching: nothing is open."""


def states(events: Iterable[WatchEvent]) -> tuple[Json | None, ...]:
    """Give what each change left of its object, None where that is nothing; a bookmark is no change."""
    return tuple(
        None if event.type is EventType.DELETED else event.object
        for event in events
        if event.type is not EventType.BOOKMARK
    )


def in_entries(machine: Json) -> set[str]:
    """Give the components that the entries of a Machine name."""
    entries = (machine.get("spec") or {}).get("components") or {}
    return {entry["component"] for entry in entries.values()}


def _in_reports(machine: Json) -> frozenset[str]:
    """Give the components that were last found whole: one of them is put down again where a revision of an entry failed."""
    reports = ((machine.get("status") or {}).get("agent") or {}).get("components") or {}
    return frozenset(name for report in reports.values() if (name := report.get("component")))
