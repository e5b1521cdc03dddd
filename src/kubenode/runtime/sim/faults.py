"""Faults of the API, by plan: refused before, or done and the answer lost. The store behind stays sound."""

import enum
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias, TypeVar

from kubenode.core.errors import Conflict, ServerFailed, TooManyRequests, Unreachable
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Listing, Patch, Store, Watch

T = TypeVar("T")


class Fault(enum.Enum):
    """What becomes of one write."""

    NONE = "none"
    THROTTLED = "429, nothing done"
    FAILED = "500, nothing done"
    RESET = "no answer, nothing done"
    LOST = "done, but the answer lost"
    CONFLICT = "409, as if another had been quicker"


Plan: TypeAlias = Callable[[int], Fault]
"""Which fault the n-th write meets, from 0."""


class FaultyStore:
    """A Store whose writes meet faults by a plan; reads are those of the store behind."""

    def __init__(self, inner: Store, plan: Plan) -> None:
        self._inner = inner
        self._plan = plan
        self.writes = 0

    async def get(self, kind: Kind, name: str) -> Json:
        """Give one object."""
        return await self._inner.get(kind, name)

    async def find(
        self, kind: Kind, *, labels: Mapping[str, str] | None = None, fields: Mapping[str, str] | None = None,
        limit: int = 0, cursor: str = "",
    ) -> Listing:  # fmt: skip
        """Give all objects of a kind."""
        return await self._inner.find(kind, labels=labels, fields=fields, limit=limit, cursor=cursor)

    async def watch(
        self, kind: Kind, *, resource_version: str, bookmarks: bool = False, initial: bool = False
    ) -> Watch:
        """Watch a kind."""
        return await self._inner.watch(
            kind, resource_version=resource_version, bookmarks=bookmarks, initial=initial
        )

    async def create(self, kind: Kind, obj: Json) -> Json:
        """Create an object, or meet a fault."""
        return await self._meet(self._inner.create(kind, obj))

    async def patch(self, kind: Kind, name: str, patch: Patch, *, subresource: str = "") -> Json:
        """Change an object, or meet a fault."""
        return await self._meet(self._inner.patch(kind, name, patch, subresource=subresource))

    async def delete(
        self, kind: Kind, name: str, *, uid: str | None = None, resource_version: str | None = None
    ) -> Json:
        """Delete an object, or meet a fault."""
        return await self._meet(self._inner.delete(kind, name, uid=uid, resource_version=resource_version))

    async def evict(
        self, namespace: str, name: str, *, uid: str | None = None, grace: int | None = None
    ) -> Json:
        """Ask for the eviction of a Pod, or meet a fault."""
        return await self._meet(self._inner.evict(namespace, name, uid=uid, grace=grace))

    async def _meet(self, write: Coroutine[Any, Any, T]) -> T:
        fault = self._plan(self.writes)
        self.writes += 1
        refusals = {
            Fault.THROTTLED: TooManyRequests("too many requests"),
            Fault.FAILED: ServerFailed("internal error"),
            Fault.RESET: Unreachable("connection reset"),
            Fault.CONFLICT: Conflict("the object has been modified"),
        }
        if fault in refusals:
            write.close()
            raise refusals[fault]
        answer = await write
        if fault is Fault.LOST:
            raise Unreachable("connection reset after the write")
        return answer
