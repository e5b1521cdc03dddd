"""The watch cache: the frozen objects as last seen, by kind and name.

It keeps what the watch says and nothing else; whoever wants more (indexes, tallies) folds the changes
it returns. A state older than the one held is ignored: a server that lags shows the past.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import attrs

from kubenode.core import wire
from kubenode.core.change import read_again
from kubenode.core.errors import InvalidObjectError
from kubenode.core.model import Json, Object, Ref
from kubenode.runtime.store.contract import EventType, WatchEvent
from kubenode.runtime.store.objectmeta import place

T = TypeVar("T", bound=Object)
NOTHING_READ: Final[Mapping[str, Object]] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Change:
    """One object before and after; None where it was not, or is no more."""

    kind: type[Object]
    before: Object | None
    after: Object | None

    @property
    def name(self) -> str:
        """The object's name, behind its namespace if it is in one."""
        known = self.after if self.after is not None else self.before
        return known.metadata.key if known is not None else ""


class Cache:
    """Objects by kind and name.

    Attributes:
        unreadable: those that not even the lenient reader could read, and why; their last readable state stays.
    """

    def __init__(self, kinds: Iterable[type[Object]]) -> None:
        self._objects: dict[type[Object], dict[str, Object]] = {kind: {} for kind in kinds}
        self._versions: dict[type[Object], int] = dict.fromkeys(self._objects, 0)
        self._listed: dict[type[Object], int] = dict.fromkeys(self._objects, 0)
        self.unreadable: dict[Ref, str] = {}

    @property
    def kinds(self) -> tuple[type[Object], ...]:
        """The kinds that are kept."""
        return tuple(self._objects)

    def get(self, kind: type[T], name: str) -> T | None:
        """Give one object, or None."""
        found = self._objects[kind].get(name)
        return found if isinstance(found, kind) else None

    def all(self, kind: type[T]) -> Iterator[T]:
        """Give all objects of a kind, in order of arrival; sort where order matters."""
        for obj in self._objects[kind].values():
            if isinstance(obj, kind):
                yield obj

    def count(self, kind: type[Object]) -> int:
        """Give the number of objects of a kind."""
        return len(self._objects[kind])

    def has_seen(self, object: Ref, version: int) -> bool:
        """Tell whether the cache has seen an object at this version, or anything of its kind that is newer."""
        kind = wire.kind_of(object.kind)
        if version == 0:
            return object.name in self._objects[kind]
        return self._versions[kind] >= version

    def take(self, kind: type[Object], event: WatchEvent) -> Change | None:
        """Fold one watch event; None when it says nothing new."""
        raw = event.object
        version = _version(raw)
        if version <= self._listed[kind]:  # a listing that was asked for in between has told of it already
            return None
        self._versions[kind] = max(self._versions[kind], version)
        if event.type is EventType.BOOKMARK:
            return None
        before = self._objects[kind].get(place(raw["metadata"]))
        if before is not None and version < _held_version(before):
            return None
        return self._put(kind, raw, gone=event.type is EventType.DELETED, known=event.before)

    def replace(
        self, kind: type[Object], items: Iterable[Json], version: int, *, begins: bool = True,
        read: Mapping[str, Object] = NOTHING_READ,
    ) -> tuple[Change, ...]:  # fmt: skip
        """Fold a whole listing: what is not in it is gone.

        Args:
            kind: what was listed.
            items: all objects, or those that are not in `read`.
            version: the listing's resourceVersion.
            begins: a watch begins from it, so it stands, however old: a server that was restored from a
                backup has gone back. Else the watch goes on, and a listing older than what it has told
                already is ignored.
            read: objects that were read already, by name.
        """
        if not begins and version < self._versions[kind]:
            return ()
        self._versions[kind] = self._listed[kind] = version
        listed = {place(item["metadata"]): item for item in items}
        lost = [name for name in self._objects[kind] if name not in listed and name not in read]
        changes = [self._forget(kind, name) for name in lost]
        changes += [self._hold(kind, one) for one in read.values()]
        changes += [self._put(kind, raw, gone=False) for name, raw in listed.items() if name not in read]
        return tuple(change for change in changes if change is not None)

    def add(self, kind: type[Object], read: Iterable[Object]) -> tuple[Change, ...]:
        """Fold some items of a listing that is not whole yet; what is not newer than what is held waits for the whole.

        The cache does not claim to have seen the listing's version before it has all of it.
        """
        held = self._objects[kind]
        changes: list[Change] = []
        for after in read:
            before = held.get(after.metadata.key)
            if before is None or _held_version(before) < _held_version(after):
                self.unreadable.pop(Ref(kind=kind.KIND.name, name=after.metadata.key), None)
                held[after.metadata.key] = after
                changes.append(Change(kind=kind, before=before, after=after))
        return tuple(changes)

    def _forget(self, kind: type[Object], name: str) -> Change | None:
        self.unreadable.pop(Ref(kind=kind.KIND.name, name=name), None)
        before = self._objects[kind].pop(name, None)
        return None if before is None else Change(kind=kind, before=before, after=None)

    def _put(self, kind: type[Object], raw: Json, *, gone: bool, known: Json | None = None) -> Change | None:
        name = place(raw["metadata"])
        if gone:
            return self._forget(kind, name)
        try:
            after = _read(raw, kind, known, self._objects[kind].get(name))
        except InvalidObjectError as error:
            # What was last readable stays: to take a policy or an owner for gone would be to forget a limit.
            self.unreadable[Ref(kind=kind.KIND.name, name=name)] = str(error)
            return None
        return self._hold(kind, after)

    def _hold(self, kind: type[Object], after: Object) -> Change | None:
        name = after.metadata.key
        self.unreadable.pop(Ref(kind=kind.KIND.name, name=name), None)
        held = self._objects[kind]
        before = held.get(name)
        if before is not None and before.metadata.resource_version == after.metadata.resource_version:
            return None
        held[name] = after
        return Change(kind=kind, before=before, after=after)

    def snapshot(self) -> Mapping[str, Mapping[str, Object]]:
        """Give all objects by kind name and name, for summaries and checks."""
        return {kind.KIND.name: dict(objects) for kind, objects in self._objects.items()}


def _read(raw: Json, kind: type[Object], known: Json | None, before: Object | None) -> Object:
    """Read an object; with the state that it was read in before, only what has changed since."""
    if known is None or before is None or _held_version(before) != _version(known):
        return wire.read(raw, kind)
    return read_again(raw, kind, known, before)


def _version(raw: Json) -> int:
    return int(raw["metadata"].get("resourceVersion") or 0)


def _held_version(obj: Object) -> int:
    return int(obj.metadata.resource_version or 0)
