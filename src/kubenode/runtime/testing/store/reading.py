"""get and find."""

from typing import Final

from kubenode.core.errors import ObjectNotFound
from kubenode.core.model import Kind
from kubenode.runtime.store.contract import Store
from kubenode.runtime.testing.store.case import Case, Fresh, case, fails, holds, machine, same, told, version


async def get_gives_what_is_stored(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The object as create gave it, with its type."""
    name = fresh()
    made = await store.create(kind, machine(name))
    same(await store.get(kind, name), made, "the object")
    same((made["apiVersion"], made["kind"]), (kind.api_version, kind.name), "type")


async def get_of_nothing(store: Store, kind: Kind, fresh: Fresh) -> None:
    """404."""
    name = fresh()
    error = await fails(ObjectNotFound, store.get(kind, name))
    told(error, code=404, reason="NotFound")
    wanted = {"name": name, "group": "kubenode.dev", "kind": "machines"}
    same({key: error.status["details"].get(key) for key in wanted}, wanted, "details")


async def find_gives_all_by_name(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Sorted by name, at one version that is not older than any item, each with its type."""
    names = [fresh() for _ in range(3)]
    for name in reversed(names):
        await store.create(kind, machine(name))
    listing = await store.find(kind)
    listed = [item["metadata"]["name"] for item in listing.items]
    same(listed, sorted(listed), "the order")
    holds(set(names) <= set(listed), f"{names} are not all in {listed}")
    mine = [item for item in listing.items if item["metadata"]["name"] in names]
    same(mine, [await store.get(kind, name) for name in sorted(names)], "the items")
    holds(int(listing.resource_version) >= max(map(version, mine)), "the listing is older than its items")


async def find_by_labels(store: Store, kind: Kind, fresh: Fresh) -> None:
    """All labels must fit."""
    one, two = fresh(), fresh()
    mark = {"example.com/case": one}
    await store.create(kind, machine(one, metadata={"labels": {**mark, "zone": "a"}}))
    await store.create(kind, machine(two, metadata={"labels": {**mark, "zone": "b"}}))
    both = await store.find(kind, labels=mark)
    same({item["metadata"]["name"] for item in both.items}, {one, two}, "both")
    first = await store.find(kind, labels={**mark, "zone": "a"})
    same([item["metadata"]["name"] for item in first.items], [one], "one")
    none = await store.find(kind, labels={**mark, "zone": "c"})
    same(none.items, (), "none")
    holds(int(none.resource_version) > 0, "an empty listing has no resourceVersion")


async def find_of_an_unknown_kind(store: Store, kind: Kind, fresh: Fresh) -> None:
    """404, for get as well."""
    unknown = Kind(name="Nonesuch", plural="nonesuches", group=kind.group)
    same((await fails(ObjectNotFound, store.find(unknown))).code, 404, "code of find")
    same((await fails(ObjectNotFound, store.get(unknown, fresh()))).code, 404, "code of get")


CASES: Final[tuple[Case, ...]] = tuple(
    case(behaviour) for behaviour in (
        get_gives_what_is_stored, get_of_nothing, find_gives_all_by_name, find_by_labels, find_of_an_unknown_kind,
    )
)  # fmt: skip
