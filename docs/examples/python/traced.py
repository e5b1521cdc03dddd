"""A Store of your own: any other one, with a line in a log for each write that it answered."""

from collections.abc import Callable, Mapping

from kubenode import Store
from kubenode.runtime.store.contract import Json, Kind, Listing, Patch, Watch


class TracedStore:
    def __init__(self, store: Store, tell: Callable[[str], object]) -> None:
        self._store = store
        self._tell = tell

    async def get(self, kind: Kind, name: str) -> Json:
        return await self._store.get(kind, name)

    async def find(
        self,
        kind: Kind,
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
        limit: int = 0,
        cursor: str = "",
    ) -> Listing:
        return await self._store.find(kind, labels=labels, fields=fields, limit=limit, cursor=cursor)

    async def watch(
        self, kind: Kind, *, resource_version: str, bookmarks: bool = False, initial: bool = False
    ) -> Watch:
        return await self._store.watch(
            kind, resource_version=resource_version, bookmarks=bookmarks, initial=initial
        )

    async def create(self, kind: Kind, obj: Json) -> Json:
        made = await self._store.create(kind, obj)
        self._tell(f"create {kind.name} {made['metadata']['name']}")
        return made

    async def patch(self, kind: Kind, name: str, patch: Patch, *, subresource: str = "") -> Json:
        changed = await self._store.patch(kind, name, patch, subresource=subresource)
        self._tell(f"patch {kind.name} {name} {subresource}".rstrip())
        return changed

    async def delete(
        self, kind: Kind, name: str, *, uid: str | None = None, resource_version: str | None = None
    ) -> Json:
        answer = await self._store.delete(kind, name, uid=uid, resource_version=resource_version)
        self._tell(f"delete {kind.name} {name}")
        return answer

    async def evict(
        self, namespace: str, name: str, *, uid: str | None = None, grace: int | None = None
    ) -> Json:
        answer = await self._store.evict(namespace, name, uid=uid, grace=grace)
        self._tell(f"evict Pod {namespace}/{name}")
        return answer
