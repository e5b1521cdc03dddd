"""get and find."""

from typing import Final

from kubenode.core.errors import Expired, ObjectNotFound, Refused
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Store
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    case,
    fails,
    holds,
    machine,
    metadata,
    same,
    spec,
    told,
    version,
)
from kubenode.runtime.testing.store.watching import ENOUGH


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


async def find_by_name(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The field metadata.name selects one object, without another page."""
    name, other = fresh(), fresh()
    made = await store.create(kind, machine(name))
    await store.create(kind, machine(other))
    found = await store.find(kind, fields={"metadata.name": name}, limit=1)
    same((found.items, found.cursor, found.remaining), ((made,), "", None), "the listing")
    same((await store.find(kind, fields={"metadata.name": f"{name}-else"})).items, (), "none")
    mismatch = await store.find(kind, fields={"metadata.name": name}, labels={"example.com/case": "x"})
    same(mismatch.items, (), "with labels")


async def find_by_other_fields(store: Store, kind: Kind, fresh: Fresh) -> None:
    """400: no field can be selected by that the kind does not declare."""
    for field in ("spec.host.address", "metadata.namespace", "status.observedGeneration"):
        error = await fails(Refused, store.find(kind, fields={field: fresh()}))
        told(error, code=400, reason="BadRequest")
        same(error.status["message"], f"field label not supported: {field}", "message")


async def find_in_pages(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Each page goes on where the one before ended; all together are what is listed at once."""
    for _ in range(5):
        await store.create(kind, machine(fresh()))
    whole = await store.find(kind)
    found: list[Json] = []
    page = await store.find(kind, limit=2)
    while True:
        holds(len(page.items) <= 2, f"{len(page.items)} items")
        same(page.resource_version, whole.resource_version, "resourceVersion of a page")
        found += page.items
        if not page.cursor:
            break
        same(page.remaining, len(whole.items) - len(found), "remaining")
        page = await store.find(kind, limit=2, cursor=page.cursor)
    same(page.remaining, None, "remaining after the last page")
    same(tuple(found), whole.items, "all pages")


async def pages_are_of_one_state(store: Store, kind: Kind, fresh: Fresh) -> None:
    """What was deleted, changed and created since the first page does not show."""
    mark = {"example.com/case": fresh()}
    names = sorted(fresh() for _ in range(4))
    made = [await store.create(kind, machine(name, metadata={"labels": mark})) for name in names]
    first = await store.find(kind, labels=mark, limit=1)
    await store.delete(kind, names[1])
    await store.patch(kind, names[2], spec(labels={"a": "1"}))
    await store.create(kind, machine(fresh(), metadata={"labels": mark}))
    rest = await store.find(kind, labels=mark, cursor=first.cursor)
    same(rest.items, tuple(made[1:]), "the later page")
    same(rest.resource_version, first.resource_version, "resourceVersion")


async def pages_of_a_selection(store: Store, kind: Kind, fresh: Fresh) -> None:
    """How many are left is not told; a last page may be empty."""
    mark = {"example.com/case": fresh()}
    names = sorted(fresh() for _ in range(4))
    for name in names:
        labels = mark if name != names[3] else {}
        await store.create(kind, machine(name, metadata={"labels": labels}))
    page = await store.find(kind, labels=mark, limit=3)
    same([item["metadata"]["name"] for item in page.items], names[:3], "names")
    holds(bool(page.cursor), "the page seems to be the last one, while another object follows")
    same(page.remaining, None, "remaining")
    last = await store.find(kind, labels=mark, limit=3, cursor=page.cursor)
    same((last.items, last.cursor), ((), ""), "the last page")


async def find_with_a_limit_beyond(store: Store, kind: Kind, fresh: Fresh) -> None:
    """One page, that is the last."""
    await store.create(kind, machine(fresh()))
    page = await store.find(kind, limit=100_000)
    same((page.cursor, page.remaining), ("", None), "cursor and remaining")
    same(page.items, (await store.find(kind)).items, "items")


async def find_with_a_wrong_cursor(store: Store, kind: Kind, fresh: Fresh) -> None:
    """400."""
    for cursor in ("garbage", fresh(), "e30"):
        error = await fails(Refused, store.find(kind, cursor=cursor))
        told(error, code=400, reason="BadRequest")
        start = "invalid continue token: continue key is not valid: "
        holds(error.status["message"].startswith(start), error.status["message"])


async def find_with_a_cursor_that_is_too_old(store: Store, kind: Kind, fresh: Fresh) -> None:
    """410 Expired."""
    names = [fresh(), fresh()]
    for name in names:
        await store.create(kind, machine(name))
    page = await store.find(kind, limit=1)
    for number in range(ENOUGH):
        await store.patch(kind, names[0], metadata(labels={"n": str(number)}))
        if number.bit_count() == 1:  # look seldom: at each power of two
            try:
                await store.find(kind, cursor=page.cursor)
            except Expired as error:
                told(error, code=410, reason="Expired")
                rest = await store.find(kind, cursor=error.status["metadata"]["continue"])
                holds(bool(rest.items), "the fresh cursor leads nowhere")
                return
    raise AssertionError(f"{ENOUGH} events later, nothing is forgotten")


CASES: Final[tuple[Case, ...]] = (
    *(
        case(behaviour) for behaviour in (
            get_gives_what_is_stored, get_of_nothing, find_gives_all_by_name, find_by_labels, find_of_an_unknown_kind,
            find_by_name, find_by_other_fields, find_in_pages, pages_are_of_one_state, pages_of_a_selection,
            find_with_a_limit_beyond, find_with_a_wrong_cursor,
        )
    ),
    Case(
        name=find_with_a_cursor_that_is_too_old.__name__, run=find_with_a_cursor_that_is_too_old, embedded_only=True
    ),
)  # fmt: skip
