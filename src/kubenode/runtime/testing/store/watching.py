"""watch."""

import asyncio
from typing import Final

from kubenode.core.errors import Expired
from kubenode.core.model import Kind
from kubenode.runtime.store.contract import INITIAL_EVENTS_END, EventType, Store, Watch, WatchEvent
from kubenode.runtime.testing.store.case import (
    PATIENCE_S,
    Case,
    Fresh,
    case,
    events,
    generation,
    holds,
    machine,
    metadata,
    same,
    spec,
    status,
    version,
)

ENOUGH: Final = 40_000
"""No embedded store under test keeps as many events."""


async def watch_tells_what_came_after_the_listing(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Replay from the version of a listing: what happened before the watch began, in order, each once."""
    old, name = fresh(), fresh()
    await store.create(kind, machine(old))
    listing = await store.find(kind)
    made = await store.create(kind, machine(name))
    changed = await store.patch(kind, name, spec(labels={"a": "1"}))
    watch = await store.watch(kind, resource_version=listing.resource_version)
    try:
        said = await store.patch(kind, name, status(phase="Running"), subresource="status")
        await store.delete(kind, name)
        found = await events(watch, name, 4)
    finally:
        await watch.close()
    kinds = [event.type for event in found]
    same(kinds, [EventType.ADDED, EventType.MODIFIED, EventType.MODIFIED, EventType.DELETED], "types")
    same([event.object for event in found[:3]], [made, changed, said], "objects")
    versions = [version(event.object) for event in found]
    same(versions, sorted(set(versions)), "the order of versions")


async def watch_tells_the_last_state_of_the_deleted(store: Store, kind: Kind, fresh: Fresh) -> None:
    """DELETED carries the last state that was stored, at a newer version."""
    name = fresh()
    listing = await store.find(kind)
    await store.create(kind, machine(name, metadata={"finalizers": ["example.com/hold"]}))
    marked = await store.delete(kind, name)
    answer = await store.patch(kind, name, metadata(finalizers=None))
    watch = await store.watch(kind, resource_version=listing.resource_version)
    try:
        added, modified, deleted = await events(watch, name, 3)
    finally:
        await watch.close()
    same(
        (added.type, modified.type, deleted.type),
        (EventType.ADDED, EventType.MODIFIED, EventType.DELETED),
        "types",
    )
    same(modified.object, marked, "the object that is being deleted")
    holds(version(deleted.object) > version(answer), "DELETED has no newer resourceVersion")
    same(deleted.object["metadata"]["finalizers"], ["example.com/hold"], "finalizers in DELETED")
    same(generation(deleted.object), generation(marked), "generation in DELETED")


async def watch_does_not_tell_of_writes_without_change(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A patch that changes nothing is no event; nor is one that is refused."""
    name = fresh()
    listing = await store.find(kind)
    made = await store.create(kind, machine(name, labels={"a": "1"}))
    await store.patch(kind, name, spec(labels={"a": "1"}))
    await store.patch(kind, name, spec(junk=1))
    changed = await store.patch(kind, name, spec(labels={"a": "2"}))
    watch = await store.watch(kind, resource_version=listing.resource_version)
    try:
        found = await events(watch, name, 2)
    finally:
        await watch.close()
    same([event.object for event in found], [made, changed], "objects")


async def watches_are_independent(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Each of two watches tells all; a later start tells less."""
    name = fresh()
    listing = await store.find(kind)
    made = await store.create(kind, machine(name))
    early = await store.watch(kind, resource_version=listing.resource_version)
    late = await store.watch(kind, resource_version=made["metadata"]["resourceVersion"])
    try:
        changed = await store.patch(kind, name, spec(labels={"a": "1"}))
        first, second = await events(early, name, 2)
        (only,) = await events(late, name, 1)
    finally:
        await early.close()
        await late.close()
    same([first.object, second.object, only.object], [made, changed, changed], "objects")


async def watch_is_of_one_kind(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Objects are told with their type."""
    name = fresh()
    listing = await store.find(kind)
    await store.create(kind, machine(name))
    watch = await store.watch(kind, resource_version=listing.resource_version)
    try:
        (added,) = await events(watch, name, 1)
    finally:
        await watch.close()
    same((added.object["apiVersion"], added.object["kind"]), (kind.api_version, kind.name), "type")


async def watch_from_what_is_forgotten(store: Store, kind: Kind, fresh: Fresh) -> None:
    """410 Expired."""
    name = fresh()
    listing = await store.find(kind)
    await store.create(kind, machine(name))
    for number in range(ENOUGH):
        await store.patch(kind, name, metadata(labels={"n": str(number)}))
        if number.bit_count() == 1:  # look seldom: at each power of two
            watch = await store.watch(kind, resource_version=listing.resource_version)
            try:
                await watch.events()
            except Expired as error:
                same(error.code, 410, "code")
                return
            finally:
                await watch.close()
    raise AssertionError(f"{ENOUGH} events later, nothing is forgotten")


async def initial_events(watch: Watch) -> list[WatchEvent]:
    """Give what a watch tells first, the mark of its end included."""
    found: list[WatchEvent] = []
    async with asyncio.timeout(PATIENCE_S):
        while not (found and found[-1].type is EventType.BOOKMARK):
            found += await watch.events()
    return found


async def watch_with_initial_events(store: Store, kind: Kind, fresh: Fresh) -> None:
    """ADDED for all that exists, a bookmark that marks their end, then what changes."""
    names = sorted(fresh() for _ in range(2))
    made = [await store.create(kind, machine(name)) for name in names]
    watch = await store.watch(kind, resource_version="", bookmarks=True, initial=True)
    try:
        found = await initial_events(watch)
        changed = await store.patch(kind, names[0], spec(labels={"a": "1"}))
        (after,) = await events(watch, names[0], 1)
    finally:
        await watch.close()
    mine = [event for event in found if event.object["metadata"].get("name") in names]
    same([event.object for event in mine], made, "the initial objects")
    same({event.type for event in found[:-1]}, {EventType.ADDED}, "types")
    mark = found[-1].object
    same(mark["metadata"]["annotations"], {INITIAL_EVENTS_END: "true"}, "annotations of the mark")
    holds(version(mark) >= max(map(version, made)), "the mark is older than what it covers")
    same((mark["apiVersion"], mark["kind"]), (kind.api_version, kind.name), "type of the mark")
    same((after.type, after.object), (EventType.MODIFIED, changed), "what came after")


CASES: Final[tuple[Case, ...]] = (
    *(
        case(behaviour) for behaviour in (
            watch_tells_what_came_after_the_listing, watch_tells_the_last_state_of_the_deleted,
            watch_does_not_tell_of_writes_without_change, watches_are_independent, watch_is_of_one_kind,
            watch_with_initial_events,
        )
    ),
    Case(name=watch_from_what_is_forgotten.__name__, run=watch_from_what_is_forgotten, embedded_only=True),
)  # fmt: skip
