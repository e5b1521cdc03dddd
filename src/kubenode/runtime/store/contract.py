"""The Store contract: what both worlds offer, in Kubernetes' own terms.

Objects are JSON as on the wire, never our classes: what this version does not know survives, since
nothing is ever written back whole, and the two stores can be compared object by object.
Methods are coroutines. The embedded store never suspends, so the simulator drives them with `send(None)`.
Errors are raised as the API server means them; each is exported here with the words of the contract, for
those who write a Store.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

import attrs

from kubenode.core.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    ObjectNotFound,
    Refused,
    ServerFailed,
    TooManyRequests,
    Unreachable,
)
from kubenode.core.model import Json, Kind

__all__ = [
    "INITIAL_EVENTS_END", "AlreadyExists", "Api", "ApiError", "ApplyPatch", "Conflict", "EventType", "Expired", "Json", "JsonPatch",
    "Kind", "Listing", "Match", "MergePatch", "ObjectNotFound", "Patch", "Propagation", "Refused", "ServerFailed", "Store",
    "TooManyRequests", "Unreachable", "Wanted", "Watch", "WatchEvent", "causes_of", "is_budget",
]  # fmt: skip

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
"""The annotation of the bookmark that ends the initial events of a watch."""


BUDGET: Final = "DisruptionBudget"
"""The reason of the cause in the Status of an eviction that a budget refuses."""


class EventType(enum.Enum):
    """What a watch tells."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


class Match(enum.Enum):
    """How the resourceVersion of a listing is meant."""

    EXACT = "Exact"
    NOT_OLDER = "NotOlderThan"


class FieldValidation(enum.Enum):
    """What becomes of a write with fields that the schema does not know.

    IGNORE drops them. WARN, which is the server's default, drops them and says so. STRICT, which is kubectl's,
    refuses the write. An apply with such fields is always refused.
    """

    IGNORE = "Ignore"
    WARN = "Warn"
    STRICT = "Strict"


class Propagation(enum.Enum):
    """What becomes of an object's dependents when it is deleted.

    BACKGROUND removes it at once, and them afterwards. FOREGROUND removes first those that block it. ORPHAN leaves
    them. The last two are done by the garbage collector, and finalizers hold the object until then.
    """

    BACKGROUND = "Background"
    FOREGROUND = "Foreground"
    ORPHAN = "Orphan"


@attrs.frozen(kw_only=True)
class WatchEvent:
    """One change.

    Attributes:
        object: the state after it, or the last state with a newer resourceVersion for DELETED.
        before: the state before it, where the store knows it and shares with `object` what did not change; else None.
    """

    type: EventType
    object: Json
    before: Json | None = attrs.field(default=None, eq=False, repr=False)


@attrs.frozen(kw_only=True)
class Listing:
    """Objects of a kind at one resourceVersion, sorted by name.

    Attributes:
        items: all, or those of one page.
        resource_version: of the state that they are of, on all pages the same.
        cursor: asks for the next page; empty when this is the last one.
        remaining: how many objects are on the next pages; None when that is not known.
    """

    items: tuple[Json, ...]
    resource_version: str
    cursor: str = ""
    remaining: int | None = None


@attrs.frozen
class MergePatch:
    """RFC 7386: null deletes, lists are replaced.

    `metadata.resourceVersion` in it makes it a compare-and-swap. `metadata.uid` checks the incarnation, but
    not on the status of a custom resource, where the server ignores it.
    """

    body: Mapping[str, Any]


@attrs.frozen
class JsonPatch:
    """RFC 6902, as the server reads it. A failed `test` is a Conflict here, since that is what it means."""

    operations: tuple[Mapping[str, Any], ...]


@attrs.frozen
class ApplyPatch:
    """Server-side apply: what one manager wants an object to say, of which it then owns each field.

    The object is created when it is missing. What the manager applied before and now leaves out, and nobody
    else owns, is removed. A field that another one owns with another value is a Conflict, whose Status names
    each, unless `force` takes it over. Managers are not shown: no object of a store has managedFields.

    Attributes:
        body: an object with apiVersion and kind, and only what the manager wants.
        manager: who applies.
        force: take over what others own.
    """

    body: Mapping[str, Any]
    manager: str
    force: bool = False


Wanted: TypeAlias = Mapping[str, str] | str | None
"""What is selected by: values that must all be so, or a selector as kubectl takes it: `zone in (a,b),!spare`."""

Patch: TypeAlias = MergePatch | JsonPatch | ApplyPatch


def causes_of(error: ApiError) -> Iterable[Mapping[str, Any]]:
    """Give the causes that a server names in the Status of a refusal; none where it names none, or sent no Status."""
    causes: Iterable[Mapping[str, Any]] = ((error.status or {}).get("details") or {}).get("causes") or ()
    return causes


def is_budget(error: TooManyRequests) -> bool:
    """Tell whether a 429 says that a PodDisruptionBudget allows no eviction now, and not that the server is busy."""
    return any(cause.get("reason") == BUDGET for cause in causes_of(error))


class Watch(Protocol):
    """A running watch. Events come in order, each once; a fault is raised, and the watch is then over."""

    async def events(self) -> tuple[WatchEvent, ...]:
        """Wait for the next events; at least one. Raises Expired when the server has forgotten."""

    async def close(self) -> None:
        """Stop watching."""


class Store(Protocol):
    """get, find, watch, create, patch, delete, with uid and resourceVersion preconditions."""

    async def get(self, kind: Kind, name: str) -> Json:
        """Give one object. Raises ObjectNotFound."""

    async def find(
        self, kind: Kind, *, labels: Mapping[str, str] | None = None, fields: Mapping[str, str] | None = None,
        limit: int = 0, cursor: str = "",
    ) -> Listing:  # fmt: skip
        """Give all objects of a kind, or those that are selected, or a page of them.

        Args:
            kind: whose objects.
            labels: which all must be carried.
            fields: which must be so; metadata.name, and those that the kind declares as selectable.
            limit: how many to give at most; 0 for all.
            cursor: of the page before; the selection must be the same.

        Raises:
            Expired: the state that the cursor is of is forgotten.
            Refused: a field cannot be selected by, or the cursor is none.
        """

    async def create(self, kind: Kind, obj: Json) -> Json:
        """Create an object and give it as stored. Raises AlreadyExists, Refused."""

    async def patch(self, kind: Kind, name: str, patch: Patch, *, subresource: str = "") -> Json:
        """Change an object and give it as stored. A change that changes nothing writes nothing.

        Args:
            kind: whose object.
            name: its name.
            patch: what to change.
            subresource: `status`, or empty for everything but the status.

        Raises:
            ObjectNotFound: there is no such object; an apply creates it.
            Conflict: resourceVersion, uid or a JSON-patch test did not fit, or another manager owns a field.
            Refused: the result is invalid; 500 too, when an apply has fields or types that the schema does not know.
        """

    async def delete(
        self, kind: Kind, name: str, *, uid: str | None = None, resource_version: str | None = None
    ) -> Json:
        """Delete an object, or mark it deleted while it has finalizers.

        Returns:
            The object while finalizers hold it, else the server's Status.
        """

    async def evict(
        self, namespace: str, name: str, *, uid: str | None = None, grace: int | None = None
    ) -> Json:
        """Ask for the eviction of a Pod, by the eviction API: its budget is asked, and it is given time to end.

        Args:
            namespace: its namespace.
            name: its name.
            uid: which incarnation is meant.
            grace: seconds that it is given to end; None as it says itself.

        Returns:
            The server's Status. The Pod is there until its kubelet has ended it.

        Raises:
            ObjectNotFound: there is no such Pod.
            Conflict: it has another uid.
            TooManyRequests: a budget allows none now (`is_budget`), or the server is busy.
            ServerFailed: more than one budget selects it.
        """

    async def watch(
        self, kind: Kind, *, resource_version: str, bookmarks: bool = False, initial: bool = False
    ) -> Watch:
        """Watch a kind from a resourceVersion that `find` gave.

        Args:
            kind: what to watch.
            resource_version: after which to begin; with `initial`, empty for the newest state.
            bookmarks: tell now and then how far the watch is, in a BOOKMARK whose object has nothing but a
                resourceVersion. A store may do so unasked.
            initial: tell first all that exists, each as ADDED, then a BOOKMARK annotated INITIAL_EVENTS_END.
                After a lost connection, all may be told again, as long as that mark was not.
        """


class Api(Store, Protocol):
    """A Store with what people's tools need besides: selectors, dry runs, replacing, propagation.

    Controllers take a Store, which is all that they may rely on: whoever decides again by looking needs no more.
    The options of both stores are those of the API server, and so are the refusals.
    """

    @property
    def warnings(self) -> Sequence[str]:
        """What the server warned of lately, such as `unknown field "spec.x"`, the newest last."""

    async def find(
        self, kind: Kind, *, labels: Wanted = None, fields: Wanted = None, limit: int = 0, cursor: str = "",
        resource_version: str = "", match: Match | None = None,
    ) -> Listing:  # fmt: skip
        """Give all objects of a kind, or those that are selected, or a page of them.

        Args:
            kind: whose objects.
            labels: of the objects.
            fields: of the objects; metadata.name, and what else the kind can be selected by.
            limit: how many to give at most; 0 for all.
            cursor: of the page before; the selection must be the same.
            resource_version: of the state to list; empty for the newest.
            match: how it is meant; without, a state that is not older.

        Raises:
            Expired: that state is forgotten.
            Refused: a selector cannot be read, the options do not go together, or the cursor is none.
            ServerFailed: that state is yet to come.
        """

    async def create(
        self, kind: Kind, obj: Json, *, dry_run: bool = False, field_validation: FieldValidation | None = None
    ) -> Json:
        """Create an object; with `dry_run`, only tell what would be stored. Raises AlreadyExists, Refused."""

    async def patch(
        self, kind: Kind, name: str, patch: Patch, *, subresource: str = "", dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> Json:  # fmt: skip
        """Change an object as `Store.patch` does; with `dry_run`, only tell what would be stored."""

    async def replace(
        self, kind: Kind, obj: Json, *, subresource: str = "", dry_run: bool = False,
        field_validation: FieldValidation | None = None,
    ) -> Json:  # fmt: skip
        """Put a whole object in the place of the one of its name, as `kubectl replace` and `edit` do.

        What the object does not say is gone, but for what the server keeps: its uid and times, and its status, which
        only `subresource` "status" replaces, and nothing else then.

        Raises:
            ObjectNotFound: there is no such object.
            Conflict: it has another resourceVersion or uid.
            Refused: it has no resourceVersion, or is invalid.
        """

    async def delete(
        self, kind: Kind, name: str, *, uid: str | None = None, resource_version: str | None = None,
        propagation: Propagation | None = None, dry_run: bool = False, grace: int | None = None,
    ) -> Json:  # fmt: skip
        """Delete an object, or mark it deleted while it has finalizers.

        Args:
            kind: whose object.
            name: its name.
            uid: which incarnation is meant.
            resource_version: which state is meant.
            propagation: what becomes of its dependents; None as its finalizers say, else BACKGROUND.
            dry_run: only tell what would be answered.
            grace: seconds that a Pod is given to end; None as it says itself, 0 when its kubelet has ended it.

        Returns:
            The object while finalizers hold it, else the server's Status; a Pod in any case.
        """

    async def delete_all(
        self, kind: Kind, *, labels: Wanted = None, fields: Wanted = None, limit: int = 0, cursor: str = "",
        propagation: Propagation | None = None, dry_run: bool = False,
    ) -> Listing:  # fmt: skip
        """Delete all objects of a kind, or those that are selected, as `delete` does with each, in their order.

        It is not one act: what was deleted before a refusal is deleted. What is gone already is no matter.

        Args:
            kind: whose objects; one that has namespaces must name one.
            labels: of the objects.
            fields: of the objects.
            limit: how many to delete at most; 0 for all.
            cursor: of the listing before: go on behind what it had.
            propagation: what becomes of their dependents.
            dry_run: only tell what would be deleted.

        Returns:
            The objects as they were before.

        Raises:
            Refused: a selector cannot be read, the cursor is none, or no namespace is named.
            Expired: the state that the cursor is of is forgotten.
        """

    async def watch(
        self, kind: Kind, *, resource_version: str, bookmarks: bool = False, initial: bool = False,
        labels: Wanted = None, fields: Wanted = None,
    ) -> Watch:  # fmt: skip
        """Watch a kind as `Store.watch` does, or a selection of it.

        An object that comes to be selected is ADDED. One that ceases to be is DELETED, in the state that it was
        selected in.
        """
