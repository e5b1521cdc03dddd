"""To list a kind and to watch it from there, in one go where a store can.

What is listed is read while it comes: of a long listing nobody holds the whole text, nor all of it parsed.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar, runtime_checkable

import attrs

from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Store, Watch

T = TypeVar("T")
AT_A_TIME: Final = 100
"""Objects that are read before anything else has its turn."""


@attrs.frozen(kw_only=True)
class Followed(Generic[T]):
    """All objects of a kind, read, in order of their names, and the version from which they are watched."""

    items: tuple[T, ...]
    resource_version: str


@runtime_checkable
class Follows(Protocol):
    """A store that lists and watches in one go."""

    async def follow(self, kind: Kind, read: Callable[[Json], T]) -> tuple[Followed[T], Watch]:
        """Give all objects of a kind, each as `read` gives it, and a watch of what happens after that."""


async def follow(store: Store, kind: Kind, read: Callable[[Json], T]) -> tuple[Followed[T], Watch]:
    """Give all objects of a kind, and a watch of what happens after that, which the caller closes.

    Args:
        store: where they are.
        kind: which.
        read: what is kept of each; it may be asked again about all of them, when a listing breaks off.

    Raises:
        ApiError: it cannot be listed or watched.
    """
    if isinstance(store, Follows):
        return await store.follow(kind, read)
    listing = await store.find(kind)
    items = tuple(await in_turn(listing.items, read))
    watch = await store.watch(kind, resource_version=listing.resource_version)
    return Followed(items=items, resource_version=listing.resource_version), watch


async def in_turn(items: Sequence[Json], read: Callable[[Json], T]) -> list[T]:
    """Read some objects, a few at a time, so that calls, the lease and others have their turn in between."""
    made: list[T] = []
    for start in range(0, len(items), AT_A_TIME):
        made += map(read, items[start : start + AT_A_TIME])
        await asyncio.sleep(0)
    return made


def as_is(raw: Json) -> Json:
    """Read nothing."""
    return raw
