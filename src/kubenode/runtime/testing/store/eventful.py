"""Events of core/v1: objects in a namespace, of a kind that is not made from a CRD."""

from typing import Any, Final

import attrs

from kubenode.core.errors import AlreadyExists, Conflict, ObjectNotFound, Refused
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Api, ApplyPatch, MergePatch
from kubenode.runtime.store.events import EVENT
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    api_case,
    case,
    causes,
    fails,
    holds,
    metadata,
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


def said(made: Json) -> Json:
    """Give all of an Event but its metadata."""
    return {name: value for name, value in made.items() if name != "metadata"}


async def event_is_in_its_namespace(store: Api, kind: Kind, fresh: Fresh) -> None:
    """It says which, has no generation, and shows what Go does not leave out; get gives the same."""
    name = fresh()
    made = await store.create(kind, event(name, reason="Said"))
    same(made["metadata"]["namespace"], "default", "namespace")
    holds("generation" not in made["metadata"], "a generation")
    same(said(made), {**said(event(name, reason="Said")), **_UNWRITTEN}, "event")
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
        **said(event(name)), **_UNWRITTEN, "source": {"component": "kubenode"},
        "firstTimestamp": "2026-01-02T02:04:05Z", "lastTimestamp": "2026-01-02T00:15:00Z",
    }  # fmt: skip
    same(said(made), wanted, "event")


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


async def event_is_patched(store: Api, kind: Kind, fresh: Fresh) -> None:
    """As it is counted up; what changes nothing writes nothing, and there is no status to write."""
    name = fresh()
    made = await store.create(kind, event(name, count=1, message="one"))
    counted = MergePatch(
        {"count": 2, "lastTimestamp": "2026-01-02T03:04:05Z", "message": None, "status": {"a": 1}}
    )
    after = await store.patch(kind, name, counted)
    fresh_fields = {"count": 2, "lastTimestamp": "2026-01-02T03:04:05Z"}
    same(said(after), {**said(event(name)), **_UNWRITTEN, **fresh_fields}, "event")
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
    error = await fails(Conflict, store.patch(kind, name, metadata(resourceVersion="1")))
    same(error.status["details"], {"name": name, "kind": "events"}, "details")
    await fails(Conflict, store.patch(kind, name, metadata(uid="other")))
    same(await store.patch(kind, name, metadata(resourceVersion=None)), made, "without a version")


async def event_is_replaced(store: Api, kind: Kind, fresh: Fresh) -> None:
    """PUT needs no version, and creates what there is not."""
    name = fresh()
    made = await store.replace(kind, event(name, message="one"))
    same(made["metadata"]["namespace"], "default", "namespace")
    after = await store.replace(kind, event(name, count=3))
    same(said(after), {**said(event(name, count=3)), **_UNWRITTEN}, "event")
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


_ANY: Final = (
    event_is_in_its_namespace, event_leaves_out_what_is_empty, event_exists, event_names_are_parts_of_paths,
    events_of_the_cluster_are_in_default, event_with_a_time_must_tell_more, event_that_cannot_be_read, event_is_patched, event_patched_to_nonsense,
    event_at_another_version, event_is_applied,
    event_owned_by_its_writer,
)  # fmt: skip
CASES: Final[tuple[Case, ...]] = tuple(
    attrs.evolve(each, kind=HOME) for each in (*map(case, _ANY), api_case(event_is_replaced))
)
"""Each is of Events in the namespace `default`, whatever kind it is called with."""
