"""Replacing a whole object, as `kubectl replace` and `kubectl edit` do."""

from typing import Any, Final

from kubenode.core.errors import Conflict, ObjectNotFound, Refused
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Api
from kubenode.runtime.testing.store.applying import HOST, wish
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    api_case,
    causes,
    fails,
    generation,
    holds,
    machine,
    metadata,
    same,
    spec,
    status,
    taint,
    told,
    version,
)


def edited(obj: Json, **parts: Any) -> Json:
    """Give an object with other parts; those of metadata and spec are merged in, and None takes one away."""
    made = {**obj}
    for name, part in parts.items():
        wanted = {**obj.get(name, {}), **part} if name in {"metadata", "spec"} else part
        if isinstance(wanted, dict):
            wanted = {key: value for key, value in wanted.items() if value is not None}
        made[name] = wanted
    return made


async def replace_drops_what_is_not_said(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Labels, annotations and fields of the spec are gone; defaults are filled in; one more generation."""
    name = fresh()
    held = {"labels": {"a": "1"}, "annotations": {"b": "2"}}
    made = await store.create(kind, machine(name, metadata=held, labels={"c": "3"}, taints=[taint("a")]))
    bare = edited(made, metadata={"labels": None, "annotations": None}, spec={"labels": None, "taints": None})
    put = await store.replace(kind, bare)
    holds("labels" not in put["metadata"] and "annotations" not in put["metadata"], "metadata is left")
    same((put["spec"]["labels"], put["spec"]["taints"]), ({}, []), "defaults")
    same(generation(put), 2, "generation")
    same(await store.get(kind, name), put, "what is read")


async def replace_with_the_same_writes_nothing(store: Api, kind: Kind, fresh: Fresh) -> None:
    """The same resourceVersion comes back."""
    made = await store.create(kind, machine(fresh(), labels={"a": "1"}))
    same(await store.replace(kind, made), made, "the answer")


async def replace_leaves_the_status(store: Api, kind: Kind, fresh: Fresh) -> None:
    """What it says of the status is ignored, and so is that it says nothing."""
    name = fresh()
    await store.create(kind, machine(name))
    made = await store.patch(kind, name, status(phase="Mine"), subresource="status")
    put = await store.replace(kind, edited(made, spec={"labels": {"a": "1"}}, status={"phase": "Yours"}))
    same(put["status"], made["status"], "status")
    bare = {key: value for key, value in put.items() if key != "status"}
    same((await store.replace(kind, bare))["status"], made["status"], "status after silence")


async def replace_of_the_status(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Replaces the status whole, with its defaults, and nothing else; no new generation."""
    name = fresh()
    made = await store.create(kind, machine(name))
    wanted = edited(
        made, status={"phase": "Mine"}, spec={"labels": {"a": "1"}}, metadata={"labels": {"a": "1"}}
    )
    put = await store.replace(kind, wanted, subresource="status")
    same(put["status"]["phase"], "Mine", "phase")
    same((put["spec"], generation(put)), (made["spec"], 1), "spec and generation")
    holds("labels" not in put["metadata"], "a label came through /status")
    put = await store.replace(kind, edited(put, status={"observedGeneration": 1}), subresource="status")
    holds(put["status"].get("phase") != "Mine", "a phase that was not said is left")


async def replace_of_the_status_by_nothing(store: Api, kind: Kind, fresh: Fresh) -> None:
    """The status is gone."""
    name = fresh()
    await store.create(kind, machine(name))
    made = await store.patch(kind, name, status(phase="Mine"), subresource="status")
    bare = {key: value for key, value in made.items() if key != "status"}
    put = await store.replace(kind, bare, subresource="status")
    holds("status" not in put, "a status is left")


async def replace_of_nothing(store: Api, kind: Kind, fresh: Fresh) -> None:
    """404: it does not create."""
    name = fresh()
    for part in ({}, {"resourceVersion": "5"}, {"uid": "5"}):
        error = await fails(ObjectNotFound, store.replace(kind, machine(name, metadata=part)))
        told(error, code=404, reason="NotFound")


async def replace_without_a_version(store: Api, kind: Kind, fresh: Fresh) -> None:
    """422, for the status as well; 0 is none."""
    made = await store.create(kind, machine(fresh()))
    cause = (
        "FieldValueInvalid",
        "metadata.resourceVersion",
        "Invalid value: 0: must be specified for an update",
    )
    for value in (None, "", "0"):
        wanted = edited(made, metadata={"resourceVersion": value})
        for subresource in ("", "status"):
            error = await fails(Refused, store.replace(kind, wanted, subresource=subresource))
            same(causes(error), {cause}, f"causes of {value!r}")
            same(error.status["details"]["kind"], "machines", "kind in details")


async def replace_at_a_stale_version(store: Api, kind: Kind, fresh: Fresh) -> None:
    """409, and nothing is written."""
    name = fresh()
    made = await store.create(kind, machine(name))
    changed = await store.patch(kind, name, spec(labels={"a": "1"}))
    error = await fails(Conflict, store.replace(kind, made))
    told(error, code=409, reason="Conflict")
    text = "the object has been modified; please apply your changes to the latest version and try again"
    holds(error.status["message"].endswith(f'"{name}": {text}'), error.status["message"])
    same(await store.get(kind, name), changed, "the object")


async def replace_of_another_incarnation(store: Api, kind: Kind, fresh: Fresh) -> None:
    """409; without a uid it is the one that is there."""
    made = await store.create(kind, machine(fresh()))
    error = await fails(Conflict, store.replace(kind, edited(made, metadata={"uid": "other"})))
    told(error, code=409, reason="Conflict")
    text = f"Precondition failed: UID in precondition: other, UID in object meta: {made['metadata']['uid']}"
    holds(error.status["message"].endswith(text), error.status["message"])
    same(await store.replace(kind, edited(made, metadata={"uid": None})), made, "without a uid")


async def replace_ignores_what_the_server_keeps(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Another generation or creationTimestamp is no change."""
    made = await store.create(kind, machine(fresh()))
    for part in (
        {"generation": 77},
        {"creationTimestamp": None},
        {"creationTimestamp": "2020-01-01T00:00:00Z"},
    ):
        same(await store.replace(kind, edited(made, metadata=part)), made, f"answer to {part}")
    mark = edited(made, metadata={"deletionTimestamp": "2020-01-01T00:00:00Z"})
    error = await fails(Refused, store.replace(kind, mark))
    text = 'Invalid value: "2020-01-01T00:00:00Z": field is immutable'
    same(causes(error), {("FieldValueInvalid", "metadata.deletionTimestamp", text)}, "causes")


async def replace_prunes_and_is_validated(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Unknown fields are dropped; 422 with the causes, as for a create."""
    made = await store.create(kind, machine(fresh()))
    same(await store.replace(kind, {**made, "junk": 1}), made, "with an unknown field")
    error = await fails(Refused, store.replace(kind, edited(made, spec={"host": {}})))
    same(causes(error), {("FieldValueRequired", "spec.host.address", "Required value")}, "causes")
    bare = {key: value for key, value in made.items() if key != "spec"}
    error = await fails(Refused, store.replace(kind, bare))
    same(causes(error), {("FieldValueRequired", "spec", "Required value")}, "causes without a spec")


async def replace_of_the_status_is_validated(store: Api, kind: Kind, fresh: Fresh) -> None:
    """422; texts name the field without `status.` as for a patch."""
    made = await store.create(kind, machine(fresh()))
    error = await fails(Refused, store.replace(kind, edited(made, status={"phase": 3}), subresource="status"))
    text = 'Invalid value: "integer": phase in body must be of type string: "integer"'
    same(causes(error), {("FieldValueTypeInvalid", "status.phase", text)}, "causes")


async def replace_by_another_type(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Another kind is 422, another version 400."""
    made = await store.create(kind, machine(fresh()))
    error = await fails(Refused, store.replace(kind, {**made, "kind": "Other"}))
    same(causes(error), {("FieldValueInvalid", "kind", 'Invalid value: "Other": must be Machine')}, "causes")
    error = await fails(Refused, store.replace(kind, {**made, "apiVersion": "kubenode.dev/v9"}))
    told(error, code=400, reason="BadRequest")


async def replace_while_deleting(store: Api, kind: Kind, fresh: Fresh) -> None:
    """The spec may change, no finalizer may come, and the last one that goes takes the object with it."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"finalizers": ["example.com/a"]}))
    marked = await store.delete(kind, name)
    changed = await store.replace(kind, edited(marked, spec={"labels": {"a": "1"}}))
    same(generation(changed), 3, "generation")
    more = edited(changed, metadata={"finalizers": ["example.com/a", "example.com/b"]})
    told(await fails(Refused, store.replace(kind, more)), code=422, reason="Invalid")
    last = await store.replace(kind, edited(changed, metadata={"finalizers": None}))
    same(version(last), version(changed), "resourceVersion of the last answer")
    await fails(ObjectNotFound, store.get(kind, name))


async def replace_takes_over(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Who applied a field that a replacement changes has lost it, and keeps the others."""
    name = fresh()
    patch = wish(name, host=HOST, labels={"a": "1", "b": "1"})
    made = await store.patch(kind, name, patch)
    await store.replace(kind, edited(made, spec={"labels": {"a": "2", "b": "1"}}))
    error = await fails(Conflict, store.patch(kind, name, patch))
    same({field for _, field, _ in causes(error)}, {".spec.labels.a"}, "fields")


async def replace_keeps_what_is_generated(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Finalizers and generateName are as they are written."""
    name = fresh()
    made = await store.create(kind, machine(name, metadata={"finalizers": ["example.com/a"]}))
    put = await store.replace(kind, edited(made, metadata={"generateName": "x-", "finalizers": None}))
    same(put["metadata"]["generateName"], "x-", "generateName")
    holds("finalizers" not in put["metadata"], "finalizers are left")
    same(generation(put), 1, "generation")
    await store.patch(kind, name, metadata(generateName=None))


CASES: Final[tuple[Case, ...]] = tuple(
    api_case(behaviour) for behaviour in (
        replace_drops_what_is_not_said, replace_with_the_same_writes_nothing, replace_leaves_the_status,
        replace_of_the_status, replace_of_the_status_by_nothing, replace_of_nothing,
        replace_without_a_version, replace_at_a_stale_version, replace_of_another_incarnation,
        replace_ignores_what_the_server_keeps, replace_prunes_and_is_validated,
        replace_of_the_status_is_validated, replace_by_another_type, replace_while_deleting,
        replace_takes_over, replace_keeps_what_is_generated,
    )
)  # fmt: skip
