"""The Store contract: what both worlds offer, in Kubernetes' own terms.

Objects are JSON as on the wire, never our classes: what this version does not know survives, since
nothing is ever written back whole, and the two stores can be compared object by object.
Methods are coroutines. The embedded store never suspends, so the simulator drives them with `send(None)`.
Errors are those of `kubenode.core.errors`.
"""

import enum
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias

import attrs

from kubenode.core.model import Json, Kind


class EventType(enum.Enum):
    """What a watch tells."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@attrs.frozen(kw_only=True)
class WatchEvent:
    """One change. `object` is the state after it, or the last state with a newer resourceVersion for DELETED."""

    type: EventType
    object: Json


@attrs.frozen(kw_only=True)
class Listing:
    """All objects of a kind at one resourceVersion, sorted by name."""

    items: tuple[Json, ...]
    resource_version: str


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


Patch: TypeAlias = MergePatch | JsonPatch


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

    async def find(self, kind: Kind, *, labels: Mapping[str, str] | None = None) -> Listing:
        """Give all objects of a kind, or those that carry all these labels."""

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
            ObjectNotFound: there is no such object.
            Conflict: resourceVersion, uid or a JSON-patch test did not fit.
            Refused: the result is invalid.
        """

    async def delete(
        self, kind: Kind, name: str, *, uid: str | None = None, resource_version: str | None = None
    ) -> Json:
        """Delete an object, or mark it deleted while it has finalizers.

        Returns:
            The object while finalizers hold it, else the server's Status.
        """

    async def watch(self, kind: Kind, *, resource_version: str) -> Watch:
        """Watch a kind from a resourceVersion that `find` gave."""
