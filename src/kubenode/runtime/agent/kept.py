"""What an agent keeps of its Machine, so that it goes on while the API server is away, also after a start.

While the server is away, what was last seen stands for it: the agent is told that, and what it reports is stored there.
So drift is healed by the same rules, three repairs an hour. No operation is begun: whoever asked for it has taken it
back, or has acted otherwise, since. When the server is back all is read anew, it is told what drifted meanwhile, and the
report of that moment is written. A server that does not know us (any more), since our certificate is over, is away, too.

It is put on the disk behind the loop, the newest of it, since a disk that hangs is what an agent has to tell of. Who acts
on it waits for that first (`wait`): after a power cut nobody goes back to what was wanted before.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from kubenode.core.errors import (
    ApiError,
    Conflict,
    Expired,
    ObjectNotFound,
    ServerFailed,
    Unauthorized,
    Unreachable,
)
from kubenode.core.model import Json, Kind, Machine, MachineComponent
from kubenode.runtime.agent.named import in_entries, states
from kubenode.runtime.agent.newest import Newest
from kubenode.runtime.agent.tree import StepFailed, Tree
from kubenode.runtime.store.contract import EventType, Listing, MergePatch, Patch, Store, Watch, WatchEvent
from kubenode.runtime.store.following import Followed, follow
from kubenode.runtime.store.patches import merged

LOG = logging.getLogger("kubenode.agent")
T = TypeVar("T")

FILE: Final = "/applied.json"
_PRIVATE: Final = 0o600
_RETRY: Final = 10.0
"""Seconds after which a server that is away is tried again: from as many to twice as many, so that agents spread out."""
_TRIES: Final = 5
_FORMAT: Final = 1
_LARGEST: Final = 128 << 20
"""Bytes of what is kept: 64 components as large as a server stores them, and the Machine."""
_KEPT_KINDS: Final = (Machine.KIND.name, MachineComponent.KIND.name)
_CHANCE: Final = secrets.SystemRandom().random


class KeptStore:
    """The store of an agent whose server may go away.

    Args:
        server: where the objects are.
        machine: the one that is kept, and with it the components that its entries name.
        state: the agent's own folder.
        retry: seconds after which a server that is away is tried again, at least.
        jitter: gives a number from 0 up to 1.
    """

    def __init__(
        self, server: Store, machine: str, state: Path, *, retry: float = _RETRY,
        jitter: Callable[[], float] = _CHANCE,
    ) -> None:  # fmt: skip
        self._server = server
        self._name = machine
        self._tree = Tree(state)
        self._newest = Newest(self._write)
        self._retry = retry
        self._jitter = jitter
        self._machine: Json | None = None
        self._components: dict[str, Json] = {}
        self._versions: dict[str, str] = {}
        self._address = ""
        self._away: _Away | None = None
        self._components_away: _Away | None = None
        self._refused = False
        self._watching: _Kept | None = None
        self._load()

    @property
    def is_away(self) -> bool:
        """Whether what is kept stands for the server."""
        return self._away is not None

    @property
    def is_refused(self) -> bool:
        """Whether the server did not know us when it was last asked."""
        return self._refused

    @property
    def address(self) -> str:
        """The host's own address, as it was last noted; empty when it never was."""
        return self._address

    def note_address(self, address: str) -> None:
        """Keep the host's own address."""
        self._address = address
        self._save()

    def wait(self, within: float | None = None) -> bool:
        """Wait until what is known now stands on the disk, or cannot; tell whether that was within so many seconds.

        For a thread: the loop does not wait for a disk.
        """
        return self._newest.wait(within)

    async def follow(self, kind: Kind, read: Callable[[Json], T]) -> tuple[Followed[T], Watch]:
        """Give all objects of a kind, and a watch of what happens after that; of a server that is away, what is kept."""
        seen: dict[str, Json] = {}

        def noted(raw: Json) -> T:
            seen[raw["metadata"]["name"]] = raw
            return read(raw)

        is_machine = kind.name == Machine.KIND.name
        try:
            found, watch = await follow(self._server, kind, noted if is_machine else read)
        except ApiError as error:
            if not self._is_away(error) or self._machine is None or kind.name not in _KEPT_KINDS:
                raise
            LOG.warning("event=server-away kind=%s error=%s", kind.name, error)
            return self._from_kept(kind, read)
        self._versions[kind.name] = found.resource_version
        if not is_machine:
            self._components_away = None
            return found, watch
        self._away, self._refused = None, False
        await self._keep(await self._told(seen.get(self._name)), afresh=True)
        self._watching = _Kept(watch, self._hear)
        return found, self._watching

    def _from_kept(self, kind: Kind, read: Callable[[Json], T]) -> tuple[Followed[T], Watch]:
        held: Mapping[str, Json] = self._components
        watch = _Away(self._is_back, self._retry, self._jitter)
        if kind.name == Machine.KIND.name:
            held = {} if self._machine is None else {self._name: _without_operation(self._machine)}
            self._away = watch
        else:
            self._components_away = watch
        items = tuple(read(raw) for _, raw in sorted(held.items()))
        return Followed(items=items, resource_version=str(self._version(kind))), watch

    def _version(self, kind: Kind) -> int:
        """Give the newest resourceVersion that is known of the Machine; of components, which are no listing's, none."""
        if kind.name != Machine.KIND.name:
            return 0
        own = 0 if self._machine is None else _version(self._machine)
        return max(own, int(self._versions.get(kind.name, "0")))

    async def _is_back(self) -> bool:
        try:
            await self._server.get(Machine.KIND, self._name)
        except ApiError as error:
            return not self._is_away(error)
        return True

    def _is_away(self, error: ApiError) -> bool:
        """Tell whether a server is away: it gives no answer, none that means anything, or does not know us."""
        self._refused = isinstance(error, Unauthorized)
        return self._refused or isinstance(error, Unreachable | ServerFailed)

    async def get(self, kind: Kind, name: str) -> Json:
        """Give one object. Raises ObjectNotFound."""
        return await self._server.get(kind, name)

    async def find(self, kind: Kind, **options: Any) -> Listing:
        """Give all objects of a kind that are there; options are the server's."""
        return await self._server.find(kind, **options)

    async def create(self, kind: Kind, obj: Json) -> Json:
        """Create an object and give it as stored."""
        return await self._server.create(kind, obj)

    async def patch(self, kind: Kind, name: str, patch: Patch, *, subresource: str = "") -> Json:
        """Change an object and give it as stored; while the server is away, a report is stored here."""
        held, away = self._machine, self._away
        is_report = (kind.name, name, subresource) == (Machine.KIND.name, self._name, "status")
        if away is None or held is None or not is_report or not isinstance(patch, MergePatch):
            try:
                stored = await self._server.patch(kind, name, patch, subresource=subresource)
            except ApiError as error:
                if is_report and self._watching is not None and self._is_away(error):
                    self._watching.doubt()
                raise
            if is_report:  # the server may go away before its watch has told of it
                await self._hear(stored)
            return stored
        if away.is_over:  # whoever stored it here would wait for a watch that tells nothing any more
            raise Unreachable(f"{kind.name} {name}: its server is back, and just being asked anew")
        wanted = patch.body.get("metadata") or {}
        metadata = held["metadata"]
        if any(wanted.get(one, metadata[one]) != metadata[one] for one in ("uid", "resourceVersion")):
            raise Conflict(f"{kind.name} {name}: it has changed since")
        version = str(self._version(kind) + 1)
        stored = {
            **held, "metadata": {**metadata, "resourceVersion": version},
            "status": merged(held.get("status"), patch.body["status"]),
        }  # fmt: skip
        await self._keep(stored)
        away.tell(WatchEvent(type=EventType.MODIFIED, object=_without_operation(stored)))
        return stored

    async def delete(
        self, kind: Kind, name: str, *, uid: str | None = None, resource_version: str | None = None
    ) -> Json:
        """Delete an object."""
        return await self._server.delete(kind, name, uid=uid, resource_version=resource_version)

    async def evict(
        self, namespace: str, name: str, *, uid: str | None = None, grace: int | None = None
    ) -> Json:
        """Ask for the eviction of a Pod."""
        return await self._server.evict(namespace, name, uid=uid, grace=grace)

    async def watch(
        self, kind: Kind, *, resource_version: str, bookmarks: bool = False, initial: bool = False
    ) -> Watch:
        """Watch a kind on the server."""
        return await self._server.watch(
            kind, resource_version=resource_version, bookmarks=bookmarks, initial=initial
        )

    async def _told(self, stored: Json | None) -> Json | None:
        """Tell the server when entries drifted of which it has not heard, and give the Machine as it is then.

        Of an entry that is one moment, the last, however long the server was away. The report that follows keeps it.
        """
        for _ in range(_TRIES):
            if stored is None or not (drifts := _untold(self._machine, stored)):
                break
            known = {name: stored["metadata"][name] for name in ("uid", "resourceVersion")}
            body = {"metadata": known, "status": {"agent": {"components": drifts}}}
            try:
                return await self._server.patch(
                    Machine.KIND, self._name, MergePatch(body), subresource="status"
                )
            except Conflict:
                stored = await self._server.get(Machine.KIND, self._name)
            except ApiError as error:
                LOG.warning("event=drift-not-told error=%s", error)
                break
        return stored

    async def _keep(self, machine: Json | None, *, afresh: bool = False) -> None:
        """Keep the Machine as it is now, and the components that it names; forget them when it is gone.

        Args:
            machine: as stored.
            afresh: what is kept may be of an earlier life, so that a component may have been made anew since.
        """
        self._machine = machine
        if machine is None:
            self._components = {}
            self._save()
            return
        named = in_entries(machine)
        self._components = {name: raw for name, raw in self._components.items() if name in named}
        for name in sorted(named if afresh else named - self._components.keys()):
            try:
                self._components[name] = raw = await self._server.get(MachineComponent.KIND, name)
                if self._components_away is not None:  # it is told before the entry that names it
                    self._components_away.tell(WatchEvent(type=EventType.ADDED, object=raw))
            except ApiError as error:
                is_gone = isinstance(error, ObjectNotFound)
                if is_gone:
                    self._components.pop(name, None)
                level = logging.DEBUG if is_gone else logging.WARNING
                LOG.log(level, "event=component-not-kept name=%s error=%s", name, error)
        self._save()

    async def _hear(self, machine: Json | None) -> None:
        """Keep what a watch or the answer to a write tells; these may overtake each other."""
        held = self._machine
        if machine is not None and held is not None and _uid(machine) == _uid(held):
            behind = _version(machine) - _version(held)
            if behind < 0 or (behind == 0 and in_entries(machine) <= self._components.keys()):
                return
        await self._keep(machine)

    def _save(self) -> None:
        held = {
            "format": _FORMAT, "machine": self._machine, "components": self._components, "versions": self._versions,
            "address": self._address,
        }  # fmt: skip
        self._newest.give(json.dumps(held).encode())

    def _write(self, content: bytes) -> None:
        try:
            self._tree.write(FILE, content, _PRIVATE)
        except StepFailed as error:
            LOG.warning("event=not-kept error=%s", error)

    def _load(self) -> None:
        """Read what an earlier agent kept; what is not whole, or of another machine, is nothing."""
        try:
            raw = self._tree.read(FILE, _LARGEST)
            held = json.loads(raw) if raw is not None else {}
            if held.get("format") != _FORMAT or held["machine"]["metadata"]["name"] != self._name:
                return
            self._machine, self._components = held["machine"], dict(held["components"])
            self._versions, self._address = dict(held["versions"]), str(held.get("address", ""))
        except (StepFailed, ValueError, LookupError, TypeError, AttributeError) as error:
            LOG.warning("event=kept-not-read error=%s: %s", type(error).__name__, error)


class _Kept:
    """A watch of Machines that keeps what it tells, until it is doubted.

    A watch connects again by itself, and a connection that was cut says nothing: that the server is away shows only by a
    report that does not get through, and then this is doubted.
    """

    def __init__(self, watch: Watch, keep: Callable[[Json | None], Any]) -> None:
        self._watch = watch
        self._keep = keep
        self._doubted = asyncio.Event()

    def doubt(self) -> None:
        """Let it be over, so that its server is asked anew."""
        self._doubted.set()

    async def events(self) -> tuple[WatchEvent, ...]:
        """Wait for events, and keep the Machine. Raises Expired when it is doubted."""
        told = asyncio.ensure_future(self._watch.events())
        doubted = asyncio.ensure_future(self._doubted.wait())
        try:
            await asyncio.wait((told, doubted), return_when=asyncio.FIRST_COMPLETED)
            if not told.done():
                raise Expired("a report did not get through")
            found = told.result()
        finally:
            for task in (told, doubted):
                task.cancel()
            await asyncio.gather(told, doubted, return_exceptions=True)
        if after := states(found):
            await self._keep(after[-1])
        return found

    async def close(self) -> None:
        await self._watch.close()


class _Away:
    """A watch of what is kept: it tells of our own reports, and is over when the server is back.

    Attributes:
        is_over: it tells nothing any more.
    """

    def __init__(self, is_back: Callable[[], Any], retry: float, jitter: Callable[[], float]) -> None:
        self._is_back = is_back
        self._retry = retry
        self._jitter = jitter
        self._told: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self.is_over = False

    def tell(self, event: WatchEvent) -> None:
        self._told.put_nowait(event)

    async def events(self) -> tuple[WatchEvent, ...]:
        """Wait for a report of ours. Raises Expired when the server is back, and all that was told has been given."""
        while True:
            try:
                async with asyncio.timeout(self._retry * (1 + self._jitter())):
                    return (await self._told.get(),)
            except TimeoutError:
                if await self._is_back() and self._told.empty():
                    self.is_over = True
                    raise Expired("the server is back") from None

    async def close(self) -> None:
        return


def _uid(machine: Json) -> str:
    return str(machine["metadata"]["uid"])


def _version(machine: Json) -> int:
    return int(machine["metadata"]["resourceVersion"])


def _untold(kept: Json | None, stored: Json) -> dict[str, Json]:
    """Give, by entry, when it last drifted, where the server has a report of the same component with an earlier drift."""
    if kept is None or _uid(kept) != _uid(stored):
        return {}
    mine, theirs = _reports(kept), _reports(stored)
    return {
        name: {"driftedAt": at}
        for name, report in mine.items()
        if (at := report.get("driftedAt"))
        and theirs.get(name, {}).get("component") == report.get("component")
        and (theirs[name].get("driftedAt") or "")
        < at  # of one form, so that the later one is the greater text
    }


def _reports(machine: Json) -> Mapping[str, Json]:
    found: Mapping[str, Json] = ((machine.get("status") or {}).get("agent") or {}).get("components") or {}
    return found


def _without_operation(machine: Json) -> Json:
    return {**machine, "spec": {name: part for name, part in machine["spec"].items() if name != "operation"}}
