"""Merge patches of everything but the status."""

from typing import Final

from kubenode.core.errors import Conflict, ObjectNotFound, Refused
from kubenode.core.model import Kind
from kubenode.runtime.store.contract import MergePatch, Store
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    case,
    causes,
    fails,
    generation,
    holds,
    machine,
    metadata,
    same,
    spec,
    taint,
    told,
    version,
)


async def merge_changes_only_what_it_names(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Objects are merged."""
    name = fresh()
    await store.create(kind, machine(name, labels={"a": "1", "b": "2"}))
    made = await store.patch(kind, name, spec(labels={"b": "3", "c": "4"}))
    same(made["spec"]["labels"], {"a": "1", "b": "3", "c": "4"}, "labels")
    same(made["spec"]["host"], {"address": "192.0.2.7"}, "host")
    same(await store.get(kind, name), made, "what is read")


async def merge_null_deletes(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A null removes its field; one that is not there does not matter."""
    name = fresh()
    await store.create(kind, machine(name, labels={"a": "1", "b": "2"}))
    made = await store.patch(kind, name, spec(labels={"a": None, "zz": None}))
    same(made["spec"]["labels"], {"b": "2"}, "labels")


async def merge_null_gives_the_default(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A field with a default comes back with it."""
    name = fresh()
    await store.create(kind, machine(name, taints=[taint("a")], labels={"a": "1"}))
    made = await store.patch(kind, name, spec(taints=None, labels=None))
    same(made["spec"]["taints"], [], "taints")
    same(made["spec"]["labels"], {}, "labels")


async def merge_replaces_lists(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Lists are replaced whole, list-maps too."""
    name = fresh()
    await store.create(kind, machine(name, taints=[taint("a"), taint("b")]))
    made = await store.patch(kind, name, spec(taints=[taint("c")]))
    same(made["spec"]["taints"], [taint("c")], "taints")


async def merge_without_change_writes_nothing(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The same resourceVersion and generation come back, also where defaults make it the same."""
    name = fresh()
    made = await store.create(kind, machine(name, labels={"a": "1"}, taints=[taint("a")]))
    short = {"key": "a", "effect": "NoSchedule"}
    for patch in (MergePatch({}), spec(labels={"a": "1"}), spec(taints=[short]), spec(components=None)):
        same(await store.patch(kind, name, patch), made, f"the answer to {patch}")


async def generation_counts_changes_of_the_spec(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Plus one for a change of the spec; none for labels, annotations and finalizers."""
    name = fresh()
    await store.create(kind, machine(name))
    made = await store.patch(kind, name, spec(labels={"a": "1"}))
    same(generation(made), 2, "generation after a change of the spec")
    for part in ({"labels": {"a": "1"}}, {"annotations": {"a": "1"}}, {"finalizers": ["example.com/a"]}):
        before, made = made, await store.patch(kind, name, MergePatch({"metadata": part}))
        same(generation(made), 2, f"generation after {part}")
        holds(version(made) > version(before), f"no new resourceVersion after {part}")


async def merge_ignores_status(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The main resource does not write the status."""
    name = fresh()
    made = await store.create(kind, machine(name))
    same(await store.patch(kind, name, MergePatch({"status": {"phase": "Mine"}})), made, "the answer")


async def merge_ignores_what_the_server_owns(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Generation, creationTimestamp and a null uid are ignored."""
    name = fresh()
    made = await store.create(kind, machine(name))
    mine = {"generation": 9, "creationTimestamp": "2020-01-01T00:00:00Z", "uid": None}
    same(await store.patch(kind, name, metadata(**mine)), made, "the answer")


async def merge_cannot_mark_as_deleted(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422: what only delete sets is immutable."""
    name = fresh()
    made = await store.create(kind, machine(name))
    marks = {"deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 9}
    error = await fails(Refused, store.patch(kind, name, metadata(**marks)))
    told(error, code=422, reason="Invalid")
    same({field for _, field, _ in causes(error)}, {f"metadata.{mark}" for mark in marks}, "fields")
    same(await store.get(kind, name), made, "the object after a refusal")


async def merge_for_another_uid(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Conflict, with the server's 422: the incarnation is another one; the right uid passes."""
    name = fresh()
    made = await store.create(kind, machine(name))
    for patch in (metadata(uid="other"), metadata(uid="other", labels={"a": "1"})):
        told(await fails(Conflict, store.patch(kind, name, patch)), code=422, reason="Invalid")
    same(await store.get(kind, name), made, "the object after a refusal")
    passed = await store.patch(kind, name, metadata(uid=made["metadata"]["uid"], labels={"a": "1"}))
    same(passed["metadata"]["labels"], {"a": "1"}, "labels")


async def merge_at_another_version(store: Store, kind: Kind, fresh: Fresh) -> None:
    """409: the object has changed meanwhile; the version as read passes."""
    name = fresh()
    old = await store.create(kind, machine(name))
    made = await store.patch(kind, name, spec(labels={"a": "1"}))
    stale = old["metadata"]["resourceVersion"]
    error = await fails(Conflict, store.patch(kind, name, metadata(resourceVersion=stale, labels={"a": "1"})))
    told(error, code=409, reason="Conflict")
    current = made["metadata"]["resourceVersion"]
    passed = await store.patch(kind, name, metadata(resourceVersion=current, labels={"a": "1"}))
    same(passed["metadata"]["labels"], {"a": "1"}, "labels")


async def merge_looks_at_the_version_before_the_uid(store: Store, kind: Kind, fresh: Fresh) -> None:
    """409, not 422, when both are another's."""
    name = fresh()
    await store.create(kind, machine(name))
    error = await fails(Conflict, store.patch(kind, name, metadata(resourceVersion="1", uid="other")))
    told(error, code=409, reason="Conflict")


async def merge_to_another_name(store: Store, kind: Kind, fresh: Fresh) -> None:
    """400."""
    name = fresh()
    await store.create(kind, machine(name))
    error = await fails(Refused, store.patch(kind, name, metadata(name=f"{name}-else")))
    told(error, code=400, reason="BadRequest")


async def merge_into_nothing(store: Store, kind: Kind, fresh: Fresh) -> None:
    """404."""
    name = fresh()
    error = await fails(ObjectNotFound, store.patch(kind, name, spec(labels={"a": "1"})))
    told(error, code=404, reason="NotFound")
    same(error.status["message"], f'machines.kubenode.dev "{name}" not found', "message")


async def merge_of_labels_null_removes_them(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The last label leaves no empty map."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"labels": {"a": "1"}}))
    made = await store.patch(kind, name, metadata(labels={"a": None}))
    holds("labels" not in made["metadata"], f"labels are left: {made['metadata']}")


CASES: Final[tuple[Case, ...]] = tuple(
    case(behaviour) for behaviour in (
        merge_changes_only_what_it_names, merge_null_deletes, merge_null_gives_the_default, merge_replaces_lists,
        merge_without_change_writes_nothing, generation_counts_changes_of_the_spec, merge_ignores_status,
        merge_ignores_what_the_server_owns, merge_cannot_mark_as_deleted, merge_for_another_uid, merge_at_another_version,
        merge_looks_at_the_version_before_the_uid, merge_to_another_name, merge_into_nothing,
        merge_of_labels_null_removes_them,
    )
)  # fmt: skip
