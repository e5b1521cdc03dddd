"""To list a kind and to watch it from there, in one go where a store can."""

from typing import Protocol, runtime_checkable

from kubenode.core.model import Kind
from kubenode.runtime.store.contract import Listing, Store, Watch


@runtime_checkable
class Follows(Protocol):
    """A store that lists and watches in one go."""

    async def follow(self, kind: Kind) -> tuple[Listing, Watch]:
        """Give all objects of a kind, and a watch of what happens after that."""


async def follow(store: Store, kind: Kind) -> tuple[Listing, Watch]:
    """Give all objects of a kind, and a watch of what happens after that, which the caller closes.

    Raises:
        ApiError: it cannot be listed or watched.
    """
    if isinstance(store, Follows):
        return await store.follow(kind)
    listing = await store.find(kind)
    return listing, await store.watch(kind, resource_version=listing.resource_version)
