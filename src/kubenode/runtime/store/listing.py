"""Lists of a real API server, page by page."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from kubenode.core.errors import Expired
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.answer import clean
from kubenode.runtime.store.contract import Listing
from kubenode.runtime.store.following import Followed, in_turn
from kubenode.runtime.store.objectmeta import place
from kubenode.runtime.store.spelling import path_of
from kubenode.runtime.store.transport import Request, Transport

T = TypeVar("T")


class Lists:
    """Asks a server for all objects of a kind."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def all(self, kind: Kind, query: Mapping[str, str], read: Callable[[Json], T]) -> Followed[T]:
        """Give all that are selected, in order; without pages where the server forgets them between two."""
        for _ in range(2):
            # The server forgot the version of the first pages before the last one was asked for.
            with suppress(Expired):
                return await self._list(kind, {**query, "limit": str(self._transport.limits.page)}, read)
        return await self._list(kind, query, read)

    async def _list(self, kind: Kind, query: Mapping[str, str], read: Callable[[Json], T]) -> Followed[T]:
        places: list[str] = []
        items: list[T] = []
        version = token = ""
        while True:
            page = await self.page(kind, {**query, "continue": token} if token else query)
            if version and page.resource_version != version:
                raise Expired(f"the pages of {kind.plural} are of {version} and {page.resource_version}")
            version, token = page.resource_version, page.cursor
            places += map(_place, page.items)
            items += await in_turn(page.items, read)
            if not token:
                order = sorted(range(len(items)), key=places.__getitem__)
                return Followed(items=tuple(items[at] for at in order), resource_version=version)

    async def page(self, kind: Kind, query: Mapping[str, str]) -> Listing:
        """Give one page of what is selected."""
        return listed(
            kind, await self._transport.call(Request(method="GET", path=path_of(kind), query=query))
        )


def listed(kind: Kind, page: Json) -> Listing:
    """Read a list as a server gives it; its objects in order."""
    metadata = page["metadata"]
    items = sorted((clean(kind, item) for item in page["items"] or ()), key=_place)
    return Listing(
        items=tuple(items), resource_version=metadata["resourceVersion"],
        cursor=metadata.get("continue") or "", remaining=metadata.get("remainingItemCount"),
    )  # fmt: skip


def _place(item: Json) -> str:
    return place(item["metadata"])
