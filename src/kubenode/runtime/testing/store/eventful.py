"""Events of core/v1: objects in a namespace, of a kind that is not made from a CRD."""

from typing import Any, Final

import attrs

from kubenode.core.errors import AlreadyExists, ApiError, Conflict, ObjectNotFound, Refused
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Api, ApplyPatch, EventType, MergePatch
from kubenode.runtime.store.events import EVENT
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    api_case,
    case,
    causes,
    events,
    fails,
    holds,
    same,
    swap,
    told,
    version,
)

HOME: Final = EVENT.within("default")
SYSTEM: Final = EVENT.within("kube-system")
_UNWRITTEN: Final[Json] = {
    "source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": None, "reportingComponent": "",
    "reportingInstance": "",
}  # fmt: skip
_MISPLACED: Final = "does not match event.namespace"
_PART: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_STAMP: Final = "2026-01-02T03:04:05.000001Z"
_SERIES: Final[Json] = {
    "eventTime": _STAMP, "reportingComponent": "kubenode.dev/remedy", "reportingInstance": "one", "action": "Reboot",
    "reason": "Rebooting", "type": "Warning", "message": "was hung",
}  # fmt: skip


def event(name: str, *, metadata: Json | None = None, **fields: Any) -> Json:
    """Write an Event about a Machine of the same name."""
    return {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, **(metadata or {})},
        "involvedObject": {"kind": "Machine", "name": name}, **fields,
    }  # fmt: skip


def _said(made: Json) -> Json:
    """Give all of an Event but its metadata."""
    return {name: value for name, value in made.items() if name != "metadata"}


async def event_is_in_its_namespace(store: Api, kind: Kind, fresh: Fresh) -> None:
    """It says which, has no generation, and shows what Go does not leave out; get gives the same."""
    name = fresh()
    made = await store.create(kind, event(name, reason="Said"))
    same(made["metadata"]["namespace"], "default", "namespace")
    holds("generation" not in made["metadata"], "a generation")
    same(_said(made), {**_said(event(name, reason="Said")), **_UNWRITTEN}, "event")
    same(await store.get(kind, name), made, "get")


async def event_leaves_out_what_is_empty(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Empty texts, zero, null and unknown fields go; times are told in UTC."""
    name = fresh()
    given = event(
        name, type="", count=0, message=None, series=None, junk=1, source={"component": "kubenode", "junk": 1},
        firstTimestamp="2026-01-02T03:04:05.7+01:00", lastTimestamp="2026-01-01T23:30:00-00:45", status={"a": 1},
    )  # fmt: skip
    made = await store.create(kind, given)
    wanted = {
        **_said(event(name)), **_UNWRITTEN, "source": {"component": "kubenode"},
        "firstTimestamp": "2026-01-02T02:04:05Z", "lastTimestamp": "2026-01-02T00:15:00Z",
    }  # fmt: skip
    same(_said(made), wanted, "event")


async def event_exists(store: Api, kind: Kind, fresh: Fresh) -> None:
    """409 without a group; in another namespace the name is free."""
    name = fresh()
    await store.create(kind, event(name))
    error = await fails(AlreadyExists, store.create(kind, event(name)))
    told(error, code=409, reason="AlreadyExists")
    same(error.status["message"], f'events "{name}" already exists', "message")
    same(error.status["details"], {"name": name, "kind": "events"}, "details")
    about = {"kind": "Lease", "namespace": "kube-system", "name": name}
    await store.create(SYSTEM, event(name, involvedObject=about))
    await store.delete(SYSTEM, name)
    same((await store.get(kind, name))["metadata"]["namespace"], "default", "namespace of the other one")


async def event_names_are_parts_of_paths(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Capitals and underscores will do; what would lead elsewhere will not, nor will nothing."""
    name = fresh()
    made = await store.create(kind, event(f"{name}_A"))
    await store.delete(kind, made["metadata"]["name"])
    for wrong, fault in (
        ("a%b/c", "may not contain '/'"),
        ("a%b", "may not contain '%'"),
        ("..", "may not be '..'"),
    ):
        error = await fails(Refused, store.create(kind, event(wrong)))
        told(error, code=422, reason="Invalid")
        found = ("FieldValueInvalid", "metadata.name", f'Invalid value: "{wrong}": {fault}')
        holds(found in causes(error), f"{wrong}: {causes(error)}")
    error = await fails(Refused, store.create(kind, event("")))
    missing = ("FieldValueRequired", "metadata.name", "Required value: name or generateName is required")
    same(causes(error), {missing}, "causes of no name")


async def events_of_the_cluster_are_in_default(store: Api, kind: Kind, fresh: Fresh) -> None:
    """What is about a cluster-scoped object is refused elsewhere; what is about another one must be beside it."""
    name = fresh()
    error = await fails(Refused, store.create(SYSTEM, event(name)))
    same(
        causes(error),
        {("FieldValueInvalid", "involvedObject.namespace", f'Invalid value: "": {_MISPLACED}')},
        "",
    )
    same(
        error.status["message"],
        f'Event "{name}" is invalid: involvedObject.namespace: Invalid value: "": {_MISPLACED}',
        "message",
    )
    about = {"kind": "Lease", "namespace": "kube-system", "name": name}
    error = await fails(Refused, store.create(kind, event(name, involvedObject=about)))
    cause = ("FieldValueInvalid", "involvedObject.namespace", f'Invalid value: "kube-system": {_MISPLACED}')
    same(causes(error), {cause}, "causes")
    made = await store.create(kind, event(name))
    moved = MergePatch({"involvedObject": {"namespace": "kube-system"}})
    same(causes(await fails(Refused, store.patch(kind, name, moved))), {cause}, "causes of a patch")
    same(await store.get(kind, name), made, "the event")


async def event_with_a_time_must_tell_more(store: Api, kind: Kind, fresh: Fresh) -> None:
    """One with an eventTime says who reports what, in not too many words."""
    name = fresh()
    error = await fails(Refused, store.create(kind, event(name, eventTime=_STAMP)))
    empty = {"name part must be non-empty", _PART}
    wanted = {("FieldValueRequired", field, "Required value") for field in (
        "reportingComponent", "reportingInstance", "action", "reason")}  # fmt: skip
    wanted |= {("FieldValueInvalid", "reportingComponent", f'Invalid value: "": {text}') for text in empty}
    same(causes(error), wanted, "causes of too little")
    long = {**dict.fromkeys(("reportingInstance", "action", "reason"), "x" * 129), "message": "é" * 513}
    error = await fails(
        Refused, store.create(kind, event(name, **{**_SERIES, **long, "reportingComponent": "a b"}))
    )
    wanted = {
        ("FieldValueInvalid", field, f'Invalid value: "": can have at most {limit} characters')
        for field, limit in (("reportingInstance", 128), ("action", 128), ("reason", 128), ("message", 1024))
    }
    wanted.add(("FieldValueInvalid", "reportingComponent", f'Invalid value: "a b": {_PART}'))
    same(causes(error), wanted, "causes of too much")
    await store.create(kind, event(name, **_SERIES, series={"count": 2, "lastObservedTime": _STAMP}))


async def event_that_cannot_be_read(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400 in Go's words, before anything else is looked at."""
    name, lead = fresh(), 'Event in version "v1" cannot be handled as a Event: '
    go = "json: cannot unmarshal {} into Go struct field {} of type {}"
    micro = "2006-01-02T15:04:05.000000Z07:00"
    for fields, fault in (
        ({"count": "x"}, go.format("string", "Event.count", "int32")),
        ({"count": 1.5}, go.format("number 1.5", "Event.count", "int32")),
        ({"count": 2**31}, go.format("number 2147483648", "Event.count", "int32")),
        ({"reason": 5}, go.format("number", "Event.reason", "string")),
        ({"involvedObject": []}, go.format("array", "Event.involvedObject", "v1.ObjectReference")),
        ({"source": {"host": True}}, go.format("bool", "EventSource.source.host", "string")),
        ({"firstTimestamp": "x"},
         'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'),
        ({"firstTimestamp": "2026-13-02T03:04:05Z"}, 'parsing time "2026-13-02T03:04:05Z": month out of range'),
        ({"eventTime": "2026-01-02T03:04:05Z"},
         f'parsing time "2026-01-02T03:04:05Z" as "{micro}": cannot parse "Z" as ".000000"'),
    ):  # fmt: skip
        error = await fails(Refused, store.create(kind, event(name, **fields)))
        told(error, code=400, reason="BadRequest")
        same(error.status["message"], lead + fault, f"message of {fields}")


async def event_of_another_namespace(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400 when the object says another one than is asked for; 404 of one that does not exist."""
    name = fresh()
    text = "the namespace of the provided object does not match the namespace sent on the request"
    error = await fails(Refused, store.create(kind, event(name, metadata={"namespace": "kube-system"})))
    told(error, code=400, reason="BadRequest")
    same(error.status["message"], text, "message")
    made = await store.create(kind, event(name, metadata={"namespace": "default"}))
    for namespace in (None, "default"):
        same(await store.patch(kind, name, _metadata(namespace=namespace)), made, f"patched to {namespace}")
    error = await fails(Refused, store.patch(kind, name, _metadata(namespace="kube-system")))
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


async def event_is_patched(store: Api, kind: Kind, fresh: Fresh) -> None:
    """As it is counted up; what changes nothing writes nothing, and there is no status to write."""
    name = fresh()
    made = await store.create(kind, event(name, count=1, message="one"))
    counted = MergePatch(
        {"count": 2, "lastTimestamp": "2026-01-02T03:04:05Z", "message": None, "status": {"a": 1}}
    )
    after = await store.patch(kind, name, counted)
    fresh_fields = {"count": 2, "lastTimestamp": "2026-01-02T03:04:05Z"}
    same(_said(after), {**_said(event(name)), **_UNWRITTEN, **fresh_fields}, "event")
    holds(version(after) > version(made), "the same resourceVersion")
    same(await store.patch(kind, name, counted), after, "the same patch again")
    same((await store.patch(kind, name, swap(("replace", "/count", 3))))["count"], 3, "count by a JSON patch")
    error = await fails(ObjectNotFound, store.patch(kind, name, counted, subresource="status"))
    same(error.status["details"], {}, "details")


async def event_patched_to_nonsense(store: Api, kind: Kind, fresh: Fresh) -> None:
    """422 whose one cause is the patch, and ends with why it cannot be read; the object is not named."""
    name = fresh()
    made = await store.create(kind, event(name))
    for body, fault in (
        ({"count": "x"}, "json: cannot unmarshal string into Go struct field Event.count of type int32"),
        ({"kind": "X"}, 'no kind "X" is registered for version "v1" in scheme "pkg/runtime/scheme.go:111"'),
    ):
        error = await fails(Refused, store.patch(kind, name, MergePatch(body)))
        told(error, code=422, reason="Invalid")
        ((reason, field, message),) = causes(error)
        same((reason, field), ("FieldValueInvalid", "patch"), "cause")
        holds(message.startswith('Invalid value: "{\\"') and message.endswith(f'}}": {fault}'), message)
        same(error.status["message"], f' "" is invalid: patch: {message}', "message")
    same(await store.get(kind, name), made, "the event")


async def event_at_another_version(store: Api, kind: Kind, fresh: Fresh) -> None:
    """409 of another resourceVersion or uid; without a version, a patch is of whichever there is."""
    name = fresh()
    made = await store.create(kind, event(name))
    error = await fails(Conflict, store.patch(kind, name, _metadata(resourceVersion="1")))
    same(error.status["details"], {"name": name, "kind": "events"}, "details")
    await fails(Conflict, store.patch(kind, name, _metadata(uid="other")))
    same(await store.patch(kind, name, _metadata(resourceVersion=None)), made, "without a version")


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
    same((deleted.type, _said(deleted.object)), (EventType.DELETED, _said(after)), "third")
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


async def event_is_replaced(store: Api, kind: Kind, fresh: Fresh) -> None:
    """PUT needs no version, and creates what there is not."""
    name = fresh()
    made = await store.replace(kind, event(name, message="one"))
    same(made["metadata"]["namespace"], "default", "namespace")
    after = await store.replace(kind, event(name, count=3))
    same(_said(after), {**_said(event(name, count=3)), **_UNWRITTEN}, "event")
    same(after["metadata"]["uid"], made["metadata"]["uid"], "uid")
    error = await fails(Refused, store.replace(kind, event(name, count="x")))
    told(error, code=400, reason="BadRequest")


async def event_is_applied(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Created and changed by its owner; others conflict, but not over what nobody has said."""
    name = fresh()
    made = await store.patch(kind, name, ApplyPatch(event(name, count=1), "A"))
    same((made["count"], made["metadata"]["namespace"]), (1, "default"), "count and namespace")
    error = await fails(Conflict, store.patch(kind, name, ApplyPatch(event(name, count=2), "B")))
    same(error.status["details"]["causes"][0]["field"], ".count", "field")
    after = await store.patch(kind, name, ApplyPatch(event(name, reportingComponent="c"), "B"))
    same((after["count"], after["reportingComponent"]), (1, "c"), "count and component")
    gone = await store.patch(kind, name, ApplyPatch(event(name), "A"))
    holds("count" not in gone, "a count that nobody wants")


async def event_owned_by_its_writer(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Who created it owns what it said, not what Go wrote besides."""
    name = fresh()
    await store.create(kind, event(name, count=1))
    after = await store.patch(
        kind, name, ApplyPatch(event(name, reportingInstance="i", source={"host": "h"}), "B")
    )
    same((after["reportingInstance"], after["source"]), ("i", {"host": "h"}), "instance and source")
    error = await fails(Conflict, store.patch(kind, name, ApplyPatch(event(name, count=2), "B")))
    same(error.status["details"]["causes"][0]["field"], ".count", "field")


def _metadata(**fields: Any) -> MergePatch:
    return MergePatch({"metadata": fields})


def _place(item: Json) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


_ANY: Final = (
    event_is_in_its_namespace, event_leaves_out_what_is_empty, event_exists, event_names_are_parts_of_paths,
    events_of_the_cluster_are_in_default, event_with_a_time_must_tell_more, event_that_cannot_be_read,
    event_of_another_namespace, event_of_no_namespace, event_is_patched, event_patched_to_nonsense,
    event_at_another_version, events_are_listed_by_namespace, events_are_selected_by_what_they_are_about,
    events_are_watched_by_namespace, event_is_deleted, event_with_finalizers, event_is_applied,
    event_owned_by_its_writer,
)  # fmt: skip
CASES: Final[tuple[Case, ...]] = tuple(
    attrs.evolve(each, kind=HOME) for each in (*map(case, _ANY), api_case(event_is_replaced))
)
"""Each is of Events in the namespace `default`, whatever kind it is called with."""
