"""The embedded store: an API server's semantics in process, without a server.

Objects are immutable snapshots. A write never changes a stored dict: it makes new ones along the path of the
change, which share the rest with the old state. So what the store returns, and what its events hold, is
read-only for everybody; who wants to change an object patches it. Nothing here is thread-safe.

Refusals are the server's, word for word. What differs from a server: CEL rules are evaluated only with the extra
`cel` (`unchecked_rules` lists those that are not; `rules` may check the same in Python), and a kind without a schema is stored as
it is written.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, TypeVar

from kubenode.core import model as m
from kubenode.core.errors import Conflict, ObjectNotFound
from kubenode.core.model import Json, Kind
from kubenode.runtime.store import objectmeta, pods, refusals
from kubenode.runtime.store.births import Births
from kubenode.runtime.store.contract import (
    ApplyPatch,
    EventType,
    FieldValidation,
    Listing,
    Patch,
    Propagation,
    Wanted,
)
from kubenode.runtime.store.fields import checked, warning
from kubenode.runtime.store.garbage import done, plan_garbage
from kubenode.runtime.store.golang import in_key_order
from kubenode.runtime.store.history import EmbeddedWatch
from kubenode.runtime.store.objectmeta import placed
from kubenode.runtime.store.options import holding
from kubenode.runtime.store.ownership import Owners
from kubenode.runtime.store.patches import adopted
from kubenode.runtime.store.reads import EmbeddedReads
from kubenode.runtime.store.states import (
    changed_by,
    differ,
    is_let_go,
    marked_deleted,
    stamped,
    strays,
    with_status,
)
from kubenode.runtime.store.table import Rules, Table, parse_version

T = TypeVar("T")

WINDOW: Final = 10_000
NAMESPACES: Final = ("default", "kube-node-lease", "kube-public", "kube-system")
"""Those that a cluster has from the beginning."""
_WARNINGS: Final = 1_000
_PICKY: Final = frozenset({FieldValidation.STRICT, FieldValidation.IGNORE})


def now_or_never(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and give its result.

    Raises:
        RuntimeError: it did suspend.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} suspended")


class EmbeddedStore(EmbeddedReads):
    """The Store contract in process; every method finishes without suspending.

    Attributes:
        warnings: the last warnings, as a server would send them in its Warning header.
    """

    def __init__(
        self,
        kinds: Iterable[tuple[Kind, Json | None]],
        *,
        clock: Callable[[], datetime],
        seed: int = 0,
        window: int = WINDOW,
        rules: Mapping[str, Rules] | None = None,
        field_manager: str = "kubenode",
        cel: bool = True,
        namespaces: Iterable[str] = NAMESPACES,
    ) -> None:
        """Make an empty store.

        Args:
            kinds: each with its openAPIV3Schema, or None for one that is stored unchecked (a Node).
            clock: gives the time for creationTimestamp and deletionTimestamp.
            seed: from it and a counter, uids and generated names are made.
            window: how many events of each kind a watch can go back.
            rules: by the name of a kind, laws to check besides its schema.
            field_manager: who makes the writes that are no apply.
            cel: evaluate the CEL rules of schemas, if the extra `cel` is installed.
            namespaces: all that exist.

        Raises:
            ValueError: a schema uses what is not supported, its CEL rules may cost more than a server allows or name
                fields that there are not, or `rules` names another kind.
        """
        super().__init__(
            kinds, window=window, rules=rules, manager=field_manager, cel=cel, namespaces=namespaces
        )
        self._births = Births(clock, seed)
        self.warnings: deque[str] = deque(maxlen=_WARNINGS)

    async def create(
        self, kind: Kind, obj: Json, *, dry_run: bool = False, field_validation: FieldValidation | None = None
    ) -> Json:
        """Create an object and give it as stored. Raises AlreadyExists, Refused."""
        table = self._table(kind)
        given = adopted(obj)
        metadata = objectmeta.decoded(kind, given.get("metadata") or {})
        table.check_type(metadata.get("name") or "", given)
        if field_validation in _PICKY:
            given = checked(table, given, None, field_validation, is_patch=False)
            metadata = given.get("metadata") or {}
        if metadata.get("resourceVersion"):
            raise refusals.bad_create()
        if table.native is not None:
            table.read(table.native, given)
        metadata = objectmeta.homed(kind, metadata, self._namespaces)
        return self._create(table, given, metadata, dry_run=dry_run)

    def _create(
        self, table: Table, given: Json, metadata: Json, owners: Owners | None = None, *, dry_run: bool
    ) -> Json:
        name = metadata.get("name") or self._births.name(metadata.get("generateName") or "")
        written = {**objectmeta.written(metadata, {}), "name": name}
        if metadata.get("namespace"):
            written["namespace"] = metadata["namespace"]
        place = objectmeta.place(written)
        made = with_status(
            self._tidied(table, {**given, "metadata": written}, metadata, None, owners), table.new
        )
        table.judge(made, None)
        if place in table.objects:
            deleting = "deletionTimestamp" in table.objects[place]["metadata"]
            raise refusals.exists(table.kind, name, deleting=deleting)
        born: Json = {"uid": self._births.uid(), "creationTimestamp": self._births.stamp()}
        if table.native is None:
            born["generation"] = 1
        if dry_run:
            return stamped(made, **born)
        self._births.note()
        table.claims.note(None, made, owners, is_status=False)
        return self._store(table, {**made, "metadata": {**made["metadata"], **born}}, EventType.ADDED)

    def _create_applied(
        self, kind: Kind, table: Table, name: str, patch: ApplyPatch, *, dry_run: bool
    ) -> Json:
        given, owners = table.claims.applied(name, None, patch, is_status=False)
        metadata = objectmeta.decoded(table.kind, given["metadata"])
        if metadata.get("name") != name:
            raise refusals.other_name(name, metadata.get("name") or "")
        if metadata.get("uid"):
            raise refusals.no_such_uid(table.kind, name, metadata["uid"])
        return self._create(
            table, given, objectmeta.homed(kind, metadata, self._namespaces), owners, dry_run=dry_run
        )

    async def patch(
        self, kind: Kind, name: str, patch: Patch, *, subresource: str = "", dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> Json:  # fmt: skip
        """Change an object and give it as stored. A change that changes nothing writes nothing.

        Raises:
            ObjectNotFound: there is no such object; an apply creates it.
            Conflict: resourceVersion, uid or a JSON-patch test did not fit, or another manager owns a field.
            Refused: the result is invalid, or what is applied does not fit the schema.
        """
        table = self._table(kind)
        is_status = subresource == "status"
        place = placed(kind, name)
        if isinstance(patch, ApplyPatch) and place not in table.objects and not subresource:
            return self._create_applied(kind, table, name, patch, dry_run=dry_run)
        before = table.held(place)
        table.check_subresource(name, subresource)
        owners: Owners | None = None
        if isinstance(patch, ApplyPatch):
            given, owners = table.claims.applied(name, before, patch, is_status=is_status)
        else:
            given = changed_by(before, patch)
            if table.native is not None:
                given = in_key_order(given)
                table.read(table.native, given, is_patch=True)
            if field_validation in _PICKY:
                given = checked(table, given, before, field_validation, is_patch=True)
        return self._change(table, before, given, owners, is_status=is_status, dry_run=dry_run)

    async def replace(
        self, kind: Kind, obj: Json, *, subresource: str = "", dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> Json:  # fmt: skip
        """Put a whole object in the place of the one of its name, and give it as stored.

        Raises:
            ObjectNotFound: there is no such object.
            Conflict: it has another resourceVersion or uid.
            Refused: it has no resourceVersion, or is invalid.
        """
        table = self._table(kind)
        given = adopted(obj)
        metadata = objectmeta.decoded(kind, given.get("metadata") or {})
        name = metadata.get("name") or ""
        table.check_type(name, given)
        if field_validation in _PICKY:
            given = checked(table, given, None, field_validation, is_patch=False)
        place = placed(kind, name)
        if table.native is not None and place not in table.objects:
            return await self.create(kind, given, dry_run=dry_run)
        before = table.held(place)
        table.check_subresource(name, subresource)
        if table.native is not None:
            table.read(table.native, given)
        found = before["metadata"]["uid"]
        if metadata.get("uid") and metadata["uid"] != found:
            raise refusals.other_incarnation(kind, name, given=metadata["uid"], found=found)
        if table.native is None and parse_version(metadata.get("resourceVersion") or "0") == 0:
            raise refusals.unversioned(kind, name)
        return self._change(table, before, given, None, is_status=subresource == "status", dry_run=dry_run)

    def _change(
        self,
        table: Table,
        before: Json,
        given: Json,
        owners: Owners | None,
        *,
        is_status: bool,
        dry_run: bool,
    ) -> Json:
        """Judge and store what an object is to become; `owners` are those after an apply."""
        metadata, fixed = table.identified(given.get("metadata"), before["metadata"], is_status=is_status)
        if is_status:
            after = self._with_tidy_status(table, before, given, metadata, owners)
        else:
            table.check_type(before["metadata"]["name"], given, exists=True)
            kept = objectmeta.written(metadata, before["metadata"])
            wanted = {**given, "metadata": kept}
            if table.native is None:
                wanted = with_status(wanted, before)
            after = adopted(self._tidied(table, wanted, metadata, before, owners), before)
        same_owners = owners is None or owners == table.claims.owners(before)
        if after is before and not fixed and same_owners:
            return after
        table.judge(after, before, known=fixed, is_status=is_status)
        if not is_status and table.native is None and differ(after, before):
            after = stamped(after, generation=after["metadata"]["generation"] + 1)
        if dry_run:
            return after  # with its old resourceVersion, as the server does
        if is_let_go(after["metadata"]):
            self._remove(table, before)
            return after  # with its old resourceVersion, as the server does
        table.claims.note(before, after, owners, is_status=is_status)
        return self._store(table, after, EventType.MODIFIED)

    async def delete(
        self, kind: Kind, name: str, *, uid: str | None = None, resource_version: str | None = None,
        propagation: Propagation | None = None, dry_run: bool = False, grace: int | None = None,
    ) -> Json:  # fmt: skip
        """Delete an object, or mark it deleted while it has finalizers.

        Returns:
            The object while finalizers hold it, else the server's Status; a Pod in any case.

        Raises:
            ObjectNotFound: there is no such object.
            Conflict: it has another uid or resourceVersion.
        """
        table = self._table(kind)
        held = table.held(placed(kind, name))
        metadata = held["metadata"]
        for what, given, found in (
            ("UID", uid, metadata["uid"]),
            ("ResourceVersion", resource_version, metadata["resourceVersion"]),
        ):
            if given is not None and given != found:
                raise refusals.precondition(kind, name, what, given=given, found=found)
        if pods.is_pod(kind):
            return self._end_pod(table, held, grace, dry_run=dry_run)
        if table.native is not None:  # the garbage collector does not look at them
            propagation = Propagation.BACKGROUND
        finalizers = holding(metadata.get("finalizers", []), propagation)
        if not finalizers:
            if not dry_run:
                self._remove(table, held)
            return refusals.deleted(kind, name, metadata["uid"])
        marked = marked_deleted(held, finalizers, self._births.stamp)
        return marked if dry_run or marked is held else self._store(table, marked, EventType.MODIFIED)

    def _end_pod(self, table: Table, held: Json, grace: int | None, *, dry_run: bool = False) -> Json:
        marked, is_over = pods.ending(held, grace, self._births.stamp())
        if dry_run or marked is held:
            return marked
        if is_over:
            self._remove(table, held)
            return marked
        return self._store(table, marked, EventType.MODIFIED)

    async def evict(
        self, namespace: str, name: str, *, uid: str | None = None, grace: int | None = None
    ) -> Json:
        """Ask for the eviction of a Pod; its budget is counted off before its uid is looked at, as on a server.

        Raises:
            ObjectNotFound: there is no such Pod.
            Conflict: it has another uid.
            TooManyRequests: its budget allows none now.
            ServerFailed: more than one budget selects it.
        """
        kind = m.Pod.KIND.within(namespace)
        if namespace not in self._namespaces:
            raise refusals.no_such_namespace(namespace)
        table = self._table(kind)
        held = table.held(placed(kind, name))
        budgets = (await self.find(m.PodDisruptionBudget.KIND.within(namespace))).items
        spent = pods.spent(held, budgets, self._births.stamp())
        if spent is not None:
            self._store(self._table(m.PodDisruptionBudget.KIND), spent, EventType.MODIFIED)
        found = held["metadata"]["uid"]
        if uid is not None and uid != found:
            raise refusals.precondition(kind, name, "UID", given=uid, found=found)
        self._end_pod(table, held, grace)
        return pods.evicted()

    async def delete_all(
        self, kind: Kind, *, labels: Wanted = None, fields: Wanted = None, limit: int = 0, cursor: str = "",
        propagation: Propagation | None = None, dry_run: bool = False,
    ) -> Listing:  # fmt: skip
        """Delete all objects of a kind, or those that are selected, and give them as they were.

        Raises:
            Refused: a selector cannot be read, the cursor is none, or no namespace is named.
            Expired: the state that the cursor is of is forgotten.
        """
        if kind.namespaced and not kind.namespace:
            raise refusals.not_allowed()
        listing = await self.find(kind, labels=labels, fields=fields, limit=limit, cursor=cursor)
        for item in listing.items:
            with suppress(ObjectNotFound):  # a page may be of an older state
                await self.delete(kind, item["metadata"]["name"], propagation=propagation, dry_run=dry_run)
        return listing

    async def collect_garbage(self) -> int:
        """Do what a cluster's garbage collector does, until there is nothing left for it; give how many writes.

        A server does so by itself. Here the simulation says when, and always gets the same.
        """
        start, before = self._version, -1
        while before != self._version:
            before = self._version
            for act in plan_garbage((table.kind for table in self._tables.values()), self._objects()):
                with suppress(Conflict, ObjectNotFound):  # an earlier act has changed it: the next look tells
                    await done(self, act)
        return self._version - start

    def _tidied(
        self, table: Table, obj: Json, metadata: Json, known: Json | None, owners: Owners | None
    ) -> Json:
        tidy, unknown = table.tidied(obj, metadata, known, is_applied=owners is not None)
        self.warnings.extend(map(warning, unknown))
        return tidy

    def _with_tidy_status(
        self, table: Table, before: Json, given: Json, metadata: Json, owners: Owners | None
    ) -> Json:
        """Give an object with the status of another one; the rest is as it was, and is not looked at again."""
        known, status = before.get("status"), given.get("status")
        if strays(given, before):  # what is not the status is told of, and then left alone
            given, unknown = table.pruned(given, before)
            self.warnings.extend(map(warning, unknown))
            metadata, status = given["metadata"], given.get("status")
        if known is None or status is None or table.status_schema is None:
            tidy = self._tidied(table, with_status(before, given), metadata, before, owners)
            return adopted(tidy, before)  # type: ignore[no-any-return]
        status, unknown = table.status_tidied(status, metadata, known, is_applied=owners is not None)
        self.warnings.extend(map(warning, unknown))
        status = adopted(status, known)
        return before if status is known else {**before, "status": status}

    def _store(self, table: Table, obj: Json, type: EventType) -> Json:
        self._version += 1
        stored = stamped(obj, resourceVersion=str(self._version))
        before = table.objects.get(objectmeta.place(stored["metadata"]))
        table.put(stored)
        table.history.add(self._version, type, stored, before)
        return stored

    def _remove(self, table: Table, obj: Json) -> None:
        self._version += 1
        table.drop(obj)
        last = stamped(obj, resourceVersion=str(self._version))
        table.history.add(self._version, EventType.DELETED, last, obj)


__all__ = ["WINDOW", "EmbeddedStore", "EmbeddedWatch", "Rules", "now_or_never"]
