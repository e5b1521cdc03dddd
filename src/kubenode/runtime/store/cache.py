"""The watch cache: the frozen objects as last seen, by kind and name.

It keeps what the watch says and nothing else; whoever wants more (indexes, tallies) folds the changes
it returns. A state older than the one held is ignored: a server that lags shows the past.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import attrs

from kubenode.core import wire
from kubenode.core.errors import InvalidObjectError
from kubenode.core.model import Json, Object, Ref
from kubenode.runtime.store.contract import EventType, WatchEvent

T = TypeVar("T", bound=Object)


@attrs.frozen(kw_only=True)
class Change:
    """One object before and after; None where it was not, or is no more."""

    kind: type[Object]
    before: Object | None
    after: Object | None

    @property
    def name(self) -> str:
        """The object's name."""
        known = self.after if self.after is not None else self.before
        return known.metadata.name if known is not None else ""


class Cache:
    """Objects by kind and name. `unreadable` names those that not even the lenient reader could read."""

    def __init__(self, kinds: Iterable[type[Object]]) -> None:
        self._objects: dict[type[Object], dict[str, Object]] = {kind: {} for kind in kinds}
        self._versions: dict[type[Object], int] = dict.fromkeys(self._objects, 0)
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
        version = int(raw["metadata"].get("resourceVersion") or 0)
        self._versions[kind] = max(self._versions[kind], version)
        if event.type is EventType.BOOKMARK:
            return None
        gone = event.type is EventType.DELETED
        return self._put(kind, raw, gone=gone)

    def replace(self, kind: type[Object], items: Iterable[Json], version: int) -> tuple[Change, ...]:
        """Fold a whole listing: what is not in it is gone."""
        listed = {item["metadata"]["name"]: item for item in items}
        lost = [name for name in self._objects[kind] if name not in listed]
        changes = [Change(kind=kind, before=self._objects[kind].pop(name), after=None) for name in lost]
        for raw in listed.values():
            change = self._put(kind, raw, gone=False)
            if change is not None:
                changes.append(change)
        self._versions[kind] = max(self._versions[kind], version)
        return tuple(changes)

    def _put(self, kind: type[Object], raw: Json, *, gone: bool) -> Change | None:
        name = raw["metadata"]["name"]
        held = self._objects[kind]
        before = held.get(name)
        if before is not None and _version(raw) < int(before.metadata.resource_version or 0):
            return None
        if gone:
            held.pop(name, None)
            return Change(kind=kind, before=before, after=None) if before is not None else None
        where = Ref(kind=kind.KIND.name, name=name)
        try:
            after: Object = wire.read(raw, kind)
        except InvalidObjectError as error:
            # Nothing can be decided about an object that cannot be read: it is as if it were not there.
            self.unreadable[where] = str(error)
            held.pop(name, None)
            return Change(kind=kind, before=before, after=None) if before is not None else None
        self.unreadable.pop(where, None)
        if before is not None and before.metadata.resource_version == after.metadata.resource_version:
            return None
        held[name] = after
        return Change(kind=kind, before=before, after=after)

    def snapshot(self) -> Mapping[str, Mapping[str, Object]]:
        """Give all objects by kind name and name, for summaries and checks."""
        return {kind.KIND.name: dict(objects) for kind, objects in self._objects.items()}


def _version(raw: Json) -> int:
    return int(raw["metadata"].get("resourceVersion") or 0)
