"""Where Events are: their namespaces, in addresses, listings and watches, and how they go."""

from typing import Final

import attrs

from kubenode.core.errors import ApiError, Conflict, ObjectNotFound, Refused
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Api, EventType, MergePatch
from kubenode.runtime.store.events import EVENT
from kubenode.runtime.testing.store.case import Case, Fresh, case, events, fails, holds, metadata, same, told
from kubenode.runtime.testing.store.eventful import HOME, SYSTEM, event, said


async def event_of_another_namespace(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400 when the object says another one than is asked for; 404 of one that does not exist."""
    name = fresh()
    text = "the namespace of the provided object does not match the namespace sent on the request"
    error = await fails(Refused, store.create(kind, event(name, metadata={"namespace": "kube-system"})))
    told(error, code=400, reason="BadRequest")
    same(error.status["message"], text, "message")
    made = await store.create(kind, event(name, metadata={"namespace": "default"}))
    for namespace in (None, "default"):
        same(await store.patch(kind, name, metadata(namespace=namespace)), made, f"patched to {namespace}")
    error = await fails(Refused, store.patch(kind, name, metadata(namespace="kube-system")))
    same((error.code, error.status["message"]), (400, text), "answer to a patch")
    nowhere = EVENT.within("no-such-namespace")
    missing = await fails(ObjectNotFound, store.create(nowhere, event(name)))
    same(missing.status["message"], 'namespaces "no-such-namespace" not found', "message")
    same(missing.status["details"], {"name": "no-such-namespace", "kind": "namespaces"}, "details")
    same((await store.find(nowhere)).items, (), "what is there")


async def event_of_no_namespace(store: Api, kind: Kind, fresh: Fresh) -> None:
    """All namespaces at once can be listed and watched, and nothing else: 405 and 404."""
    name = fresh()
    await store.create(kind, event(name))
    error: ApiError = await fails(Refused, store.create(EVENT, event(name)))
    told(error, code=405, reason="MethodNotAllowed")
    same(
        error.status["message"], "the server does not allow this method on the requested resource", "message"
    )
    for call in (store.get(EVENT, name), store.patch(EVENT, name, MergePatch({})), store.delete(EVENT, name)):
        error = await fails(ObjectNotFound, call)
        same(error.status["message"], "the server could not find the requested resource", "message")
        same(error.status["details"], {}, "details")


async def events_are_listed_by_namespace(store: Api, kind: Kind, fresh: Fresh) -> None:
    """In one namespace, or over all, by namespace and then by name, page by page."""
    one, two = sorted((fresh(), fresh()))
    labels = {"example.com/of": one}
    about = {"kind": "Lease", "namespace": "kube-system", "name": one}
    try:
        await store.create(SYSTEM, event(one, metadata={"labels": labels}, involvedObject=about))
        for name in (two, one):
            await store.create(kind, event(name, metadata={"labels": labels}))
        places = [("default", one), ("default", two), ("kube-system", one)]
        for kind_, wanted in ((kind, places[:2]), (SYSTEM, places[2:]), (EVENT, places)):
            listing = await store.find(kind_, labels=labels)
            same([_place(item) for item in listing.items], wanted, f"all of {kind_.namespace or 'all'}")
        found: list[tuple[str, str]] = []
        cursor = ""
        while len(found) < 3:
            page = await store.find(EVENT, labels=labels, limit=1, cursor=cursor)
            found += [_place(item) for item in page.items]
            cursor = page.cursor
        same(found, places, "page by page")
    finally:
        await store.delete(SYSTEM, one)


async def events_are_selected_by_what_they_are_about(store: Api, kind: Kind, fresh: Fresh) -> None:
    """As `kubectl describe` does; other fields are refused."""
    one, two = sorted((fresh(), fresh()))
    await store.create(kind, event(one, type="Warning", reason="R", source={"component": "c"}))
    await store.create(kind, event(two, type="Normal", reason="R", reportingComponent="c"))
    both = {"involvedObject.kind": "Machine", "reason": "R", "source": "c", "metadata.namespace": "default"}
    for fields, wanted in (
        ({"involvedObject.name": two}, [two]), ({"involvedObject.name": one, "type": "Normal"}, []),
        ({"involvedObject.name": one, "involvedObject.uid": ""}, [one]),
        ({**both, "involvedObject.name": one}, [one]), ({**both, "involvedObject.name": two}, [two]),
        ({"metadata.name": two, "reportingComponent": "c"}, [two]), ({"metadata.name": one, "reportingComponent": "c"}, []),
    ):  # fmt: skip
        listing = await store.find(kind, fields=fields)
        same([item["metadata"]["name"] for item in listing.items], wanted, f"names by {fields}")
    error = await fails(Refused, store.find(kind, fields={"message": "x"}))
    same((error.code, error.status["message"]), (400, "field label not supported: message"), "refusal")


async def events_are_watched_by_namespace(store: Api, kind: Kind, fresh: Fresh) -> None:
    """A watch of one namespace tells nothing of another; one of all tells of both."""
    name = fresh()
    start = (await store.find(EVENT)).resource_version
    about = {"kind": "Lease", "namespace": "kube-system", "name": name}
    await store.create(SYSTEM, event(name, involvedObject=about))
    made = await store.create(kind, event(name))
    after = await store.patch(kind, name, MergePatch({"count": 2}))
    await store.delete(SYSTEM, name)
    await store.delete(kind, name)
    watch = await store.watch(kind, resource_version=start)
    try:
        added, modified, deleted = await events(watch, name, 3)
    finally:
        await watch.close()
    same((added.type, added.object), (EventType.ADDED, made), "first")
    same((modified.type, modified.object), (EventType.MODIFIED, after), "second")
    same((deleted.type, said(deleted.object)), (EventType.DELETED, said(after)), "third")
    watch = await store.watch(EVENT, resource_version=start)
    try:
        seen = await events(watch, name, 5)
    finally:
        await watch.close()
    spaces = [each.object["metadata"]["namespace"] for each in seen]
    same(spaces, ["kube-system", "default", "default", "kube-system", "default"], "namespaces")


async def event_is_deleted(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Success with uid and without a group; gone is 404, and preconditions count."""
    name = fresh()
    made = await store.create(kind, event(name))
    error = await fails(Conflict, store.delete(kind, name, uid="other"))
    same(error.status["details"], {"name": name, "kind": "Event"}, "details of a conflict")
    answer = await store.delete(kind, name, uid=made["metadata"]["uid"])
    details = {"name": name, "kind": "events", "uid": made["metadata"]["uid"]}
    same((answer["status"], answer["details"]), ("Success", details), "answer")
    gone = await fails(ObjectNotFound, store.get(kind, name))
    same(gone.status["message"], f'events "{name}" not found', "message")


async def event_with_finalizers(store: Api, kind: Kind, fresh: Fresh) -> None:
    """They hold it, without a generation; nothing is put into their list, however it is deleted."""
    name = fresh()
    await store.create(kind, event(name, metadata={"finalizers": ["example.com/a"]}))
    held = await store.delete(kind, name)
    same(held["metadata"]["finalizers"], ["example.com/a"], "finalizers")
    holds(
        "deletionTimestamp" in held["metadata"] and "generation" not in held["metadata"],
        "no mark, or a generation",
    )


def _place(item: Json) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


CASES: Final[tuple[Case, ...]] = tuple(
    attrs.evolve(case(behaviour), kind=HOME) for behaviour in (
        event_of_another_namespace, event_of_no_namespace, events_are_listed_by_namespace,
        events_are_selected_by_what_they_are_about, events_are_watched_by_namespace, event_is_deleted,
        event_with_finalizers,
    )
)  # fmt: skip
"""Each is of Events in the namespace `default`, whatever kind it is called with."""
