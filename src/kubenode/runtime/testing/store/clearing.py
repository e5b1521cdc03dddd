"""Deleting many objects at once, as `kubectl delete machines --all` does."""

import asyncio
from typing import Final

from kubenode.core.errors import ObjectNotFound, Refused
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Api, EventType, Propagation
from kubenode.runtime.store.events import EVENT
from kubenode.runtime.testing.store.case import (
    PATIENCE_S,
    Case,
    Fresh,
    api_case,
    events,
    fails,
    generation,
    holds,
    machine,
    metadata,
    same,
    told,
)
from kubenode.runtime.testing.store.eventful import HOME, SYSTEM, event


async def _three(store: Api, kind: Kind, fresh: Fresh) -> tuple[str, list[Json]]:
    """Make three Machines; the last one is in another zone. Give what marks them, and them."""
    names = sorted(fresh() for _ in range(3))
    made = []
    for name, zone in zip(names, "aab", strict=True):
        labels = {"example.com/of": names[0], "zone": zone}
        made.append(await store.create(kind, machine(name, metadata={"labels": labels})))
    return f"example.com/of={names[0]}", made


async def _left(store: Api, kind: Kind, mark: str) -> list[str]:
    return [item["metadata"]["name"] for item in (await store.find(kind, labels=mark)).items]


def _name(obj: Json) -> str:
    name: str = obj["metadata"]["name"]
    return name


async def delete_all_that_are_selected(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Those are gone, and are given as they were; the others stay."""
    mark, made = await _three(store, kind, fresh)
    listing = await store.delete_all(kind, labels=f"{mark},zone=a")
    same(list(listing.items), made[:2], "what was deleted")
    same((listing.cursor, listing.remaining), ("", None), "cursor and remaining")
    same(await _left(store, kind, mark), [_name(made[2])], "names left")


async def delete_all_by_a_field(store: Api, kind: Kind, fresh: Fresh) -> None:
    """As a listing would select; what a listing refuses is refused, and nothing is deleted."""
    mark, made = await _three(store, kind, fresh)
    for fields, text in (
        ({"spec.x": "1"}, "field label not supported: spec.x"),
        ("x", "invalid selector: 'x'; can't understand 'x'"),
    ):
        error = await fails(Refused, store.delete_all(kind, labels=mark, fields=fields))
        told(error, code=400, reason="BadRequest")
        same(error.status["message"], text, "message")
    listing = await store.delete_all(kind, fields={"metadata.name": _name(made[1])})
    same(list(listing.items), [made[1]], "what was deleted")
    same(await _left(store, kind, mark), [_name(made[0]), _name(made[2])], "names left")


async def delete_all_of_nothing(store: Api, kind: Kind, fresh: Fresh) -> None:
    """An empty listing, and no refusal."""
    listing = await store.delete_all(kind, labels={"example.com/of": fresh()})
    same(listing.items, (), "what was deleted")
    holds(int(listing.resource_version) > 0, "no resourceVersion")


async def delete_all_of_a_page(store: Api, kind: Kind, fresh: Fresh) -> None:
    """With a limit only so many, from the first on; the cursor goes on in the state of then."""
    mark, made = await _three(store, kind, fresh)
    first = await store.delete_all(kind, labels=mark, limit=1)
    same(list(first.items), made[:1], "what was deleted first")
    holds(bool(first.cursor), "no cursor")
    same(await _left(store, kind, mark), [_name(obj) for obj in made[1:]], "names left")
    await store.delete(kind, _name(made[1]))
    rest = await store.delete_all(kind, labels=mark, cursor=first.cursor)
    same(list(rest.items), made[1:], "what was deleted then, or was gone")
    same(await _left(store, kind, mark), [], "names left")
    error = await fails(Refused, store.delete_all(kind, labels=mark, cursor="x"))
    same(error.code, 400, "code of a wrong cursor")


async def delete_all_waits_for_finalizers(store: Api, kind: Kind, fresh: Fresh) -> None:
    """What they hold is marked, once; a second time changes nothing."""
    mark, made = await _three(store, kind, fresh)
    await store.patch(kind, _name(made[0]), metadata(finalizers=["example.com/a"]))
    listing = await store.delete_all(kind, labels=mark)
    holds("deletionTimestamp" not in listing.items[0]["metadata"], "given as it is, not as it was")
    held = await store.get(kind, _name(made[0]))
    holds("deletionTimestamp" in held["metadata"], "no deletionTimestamp")
    same((generation(held), await _left(store, kind, mark)), (2, [_name(held)]), "generation, and names left")
    same(list((await store.delete_all(kind, labels=mark)).items), [held], "what was deleted again")
    same(await store.get(kind, _name(held)), held, "the object that is held")


async def delete_all_in_a_way(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Each is deleted with the propagation that is asked for; a garbage collector may undo the mark at once."""
    mark, made = await _three(store, kind, fresh)
    await store.patch(kind, _name(made[1]), metadata(finalizers=["example.com/a"]))
    start = (await store.find(kind)).resource_version
    await store.delete_all(kind, labels=mark, propagation=Propagation.ORPHAN)
    watch = await store.watch(kind, resource_version=start)
    marked: list[Json] = []
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not marked:
                told_of = [event.object for event in await watch.events()]
                marked = [obj for obj in told_of if obj["metadata"].get("name") == _name(made[1])]
    finally:
        await watch.close()
    same(marked[0]["metadata"]["finalizers"], ["example.com/a", "orphan"], "finalizers")


async def delete_all_dry(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Tells what would be deleted, and deletes nothing."""
    mark, made = await _three(store, kind, fresh)
    listing = await store.delete_all(kind, labels=mark, dry_run=True)
    same(list(listing.items), made, "what would be deleted")
    same(list((await store.find(kind, labels=mark)).items), made, "what is there")


async def delete_all_is_told_to_watches(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Each is DELETED at a version of its own."""
    mark, made = await _three(store, kind, fresh)
    start = (await store.find(kind)).resource_version
    await store.delete_all(kind, labels=mark)
    versions = set()
    for obj in made:
        watch = await store.watch(kind, resource_version=start)
        try:
            (gone,) = await events(watch, _name(obj), 1)
        finally:
            await watch.close()
        same((gone.type, gone.object["spec"]), (EventType.DELETED, obj["spec"]), "event")
        versions.add(gone.object["metadata"]["resourceVersion"])
    same(len(versions), len(made), "number of versions")


async def delete_all_of_a_namespace(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Only what is in it; over all namespaces it is 405, and where there is none there is nothing."""
    name = fresh()
    labels = {"example.com/of": name}
    about = {"kind": "Lease", "namespace": "kube-system", "name": name}
    try:
        await store.create(SYSTEM, event(name, metadata={"labels": labels}, involvedObject=about))
        made = await store.create(HOME, event(name, metadata={"labels": labels}))
        error = await fails(Refused, store.delete_all(EVENT, labels=labels))
        told(error, code=405, reason="MethodNotAllowed")
        same(list((await store.delete_all(HOME, labels=labels)).items), [made], "what was deleted")
        await fails(ObjectNotFound, store.get(HOME, name))
        holds(bool(await store.get(SYSTEM, name)), "the other one is gone")
        same(
            (await store.delete_all(EVENT.within("no-such-namespace"))).items, (), "what was deleted nowhere"
        )
    finally:
        await store.delete_all(SYSTEM, labels=labels)


CASES: Final[tuple[Case, ...]] = tuple(
    api_case(behaviour) for behaviour in (
        delete_all_that_are_selected, delete_all_by_a_field, delete_all_of_nothing, delete_all_of_a_page,
        delete_all_waits_for_finalizers, delete_all_in_a_way, delete_all_dry, delete_all_is_told_to_watches,
        delete_all_of_a_namespace,
    )
)  # fmt: skip
