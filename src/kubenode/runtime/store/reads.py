"""The reading half of the embedded store: its tables, and what get, find and watch give of them.

Writes are `embedded.py`'s, which keeps what is here up to date. Nothing here ever suspends.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from kubenode.core.model import Json, Kind
from kubenode.runtime.store import refusals
from kubenode.runtime.store.contract import INITIAL_EVENTS_END, EventType, Listing, Match, Wanted, WatchEvent
from kubenode.runtime.store.history import EmbeddedWatch
from kubenode.runtime.store.objectmeta import placed
from kubenode.runtime.store.options import asked
from kubenode.runtime.store.table import Rules, Table, parse_version

_FIRST: Final = 1
"""The version of an empty store; 0 would mean "any" to a watch."""


class EmbeddedReads:
    """Tables by group and plural, all at one version, and what can be read of them."""

    def __init__(
        self, kinds: Iterable[tuple[Kind, Json | None]], *, window: int, rules: Mapping[str, Rules] | None,
        manager: str, cel: bool, namespaces: Iterable[str],
    ) -> None:  # fmt: skip
        """Make empty tables; the arguments are the store's.

        Raises:
            ValueError: a schema uses what is not supported, or `rules` names another kind.
        """
        self._version = _FIRST
        self._namespaces = frozenset(namespaces)
        self._tables: dict[tuple[str, str], Table] = {}
        given = dict(rules or {})
        for kind, schema in kinds:
            rules_of_kind = given.pop(kind.name, None)
            self._tables[kind.group, kind.plural] = Table.of(
                kind, schema, rules_of_kind, window=window, manager=manager, laws=cel
            )
        if given:
            raise ValueError(f"rules for kinds that are not served: {', '.join(sorted(given))}")

    @property
    def unchecked_rules(self) -> tuple[str, ...]:
        """The CEL rules of all schemas that are not evaluated, each as `Kind path: rule`."""
        return tuple(
            f"{table.kind.name} {rule}" for table in self._tables.values() for rule in table.laws.unchecked
        )

    async def get(self, kind: Kind, name: str) -> Json:
        """Give one object. Raises ObjectNotFound."""
        return self._table(kind).held(placed(kind, name))

    async def find(
        self, kind: Kind, *, labels: Wanted = None, fields: Wanted = None, limit: int = 0, cursor: str = "",
        resource_version: str = "", match: Match | None = None,
    ) -> Listing:  # fmt: skip
        """Give all objects of a kind, or those that are selected, or a page of them, sorted by name.

        Raises:
            Expired: the state that is asked for is forgotten.
            Refused: a selector cannot be read, the options do not go together, or the cursor is none.
            ServerFailed: that state is yet to come.
        """
        table = self._table(kind)
        wanted = table.selection(labels, fields, kind.namespace)
        objects = map(table.objects.__getitem__, table.places)
        page = table.pages.page
        if not resource_version and match is None:
            return page(objects, self._version, wanted, limit=limit, cursor=cursor)
        limit, exact = asked(resource_version, match, self._version, limit=limit, cursor=cursor)
        return page(objects, self._version, wanted, limit=limit, cursor=cursor, exact=exact)

    async def watch(
        self, kind: Kind, *, resource_version: str, bookmarks: bool = False, initial: bool = False,
        labels: Wanted = None, fields: Wanted = None,
    ) -> EmbeddedWatch:  # fmt: skip
        """Watch a kind from a resourceVersion that `find` gave; from "0", all that exists is told first.

        With `initial`, too, and then a bookmark; with `bookmarks`, one at each call of `bookmark`.
        """
        table = self._table(kind)
        wanted = table.selection(labels, fields, kind.namespace)
        version = parse_version(resource_version or "0")
        first: list[WatchEvent] = []
        if version == 0 or initial:
            existing = (await self.find(kind, labels=labels, fields=fields)).items
            first += [WatchEvent(type=EventType.ADDED, object=item) for item in existing]
            version = self._version
        if initial:
            first.append(table.bookmark(version, {"annotations": {INITIAL_EVENTS_END: "true"}}))
        mark = table.bookmark if bookmarks else None
        return EmbeddedWatch(table.history, version, tuple(first), mark, wanted or None)

    def bookmark(self) -> None:
        """Tell all watches that asked for bookmarks how far the store is, as a server does each minute."""
        for table in self._tables.values():
            table.history.mark(self._version)

    def _objects(self) -> list[tuple[Kind, Json]]:
        found = []
        for table in self._tables.values():
            for place in table.places:
                obj = table.objects[place]
                namespace = obj["metadata"].get("namespace")
                found.append((table.kind.within(namespace) if namespace else table.kind, obj))
        return found

    def _table(self, kind: Kind) -> Table:
        table = self._tables.get((kind.group, kind.plural))
        if table is None:
            raise refusals.no_such_kind(kind)
        return table
