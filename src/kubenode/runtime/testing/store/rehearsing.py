"""Dry runs: the answer of a write that is not made."""

from typing import Final

from kubenode.core.errors import AlreadyExists, Conflict, ObjectNotFound, Refused
from kubenode.core.model import Kind
from kubenode.runtime.store.contract import Api, ApplyPatch, EventType
from kubenode.runtime.testing.store.applying import HOST, config, wish
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    api_case,
    causes,
    events,
    fails,
    generation,
    holds,
    machine,
    same,
    spec,
    told,
    version,
)
from kubenode.runtime.testing.store.replacing import edited


async def dry_create_tells_what_would_be(store: Api, kind: Kind, fresh: Fresh) -> None:
    """With defaults and a uid, but no resourceVersion; nothing is stored."""
    name = fresh()
    made = await store.create(kind, machine(name), dry_run=True)
    same((made["spec"]["taints"], generation(made)), ([], 1), "taints and generation")
    holds(bool(made["metadata"]["uid"]), "no uid")
    holds("resourceVersion" not in made["metadata"], "a resourceVersion of nothing")
    await fails(ObjectNotFound, store.get(kind, name))


async def dry_create_is_refused_as_a_real_one(store: Api, kind: Kind, fresh: Fresh) -> None:
    """409 when it exists, 422 when it is invalid."""
    name = fresh()
    await store.create(kind, machine(name))
    told(
        await fails(AlreadyExists, store.create(kind, machine(name), dry_run=True)),
        code=409,
        reason="AlreadyExists",
    )
    error = await fails(Refused, store.create(kind, machine(fresh(), host={}), dry_run=True))
    same(causes(error), {("FieldValueRequired", "spec.host.address", "Required value")}, "causes")


async def dry_patch_tells_what_would_be(store: Api, kind: Kind, fresh: Fresh) -> None:
    """At the next generation and the old resourceVersion; the object is as it was."""
    name = fresh()
    made = await store.create(kind, machine(name))
    dry = await store.patch(kind, name, spec(labels={"a": "1"}), dry_run=True)
    same((dry["spec"]["labels"], generation(dry)), ({"a": "1"}, 2), "labels and generation")
    same(version(dry), version(made), "resourceVersion")
    same(await store.get(kind, name), made, "the object")


async def dry_apply_meets_conflicts(store: Api, kind: Kind, fresh: Fresh) -> None:
    """A conflict is told; without one, nobody owns more than before."""
    name = fresh()
    made = await store.patch(kind, name, wish(name, host=HOST, labels={"a": "1"}))
    await fails(Conflict, store.patch(kind, name, wish(name, "B", labels={"a": "2"}), dry_run=True))
    dry = await store.patch(kind, name, wish(name, "B", force=True, labels={"a": "2"}), dry_run=True)
    same(dry["spec"]["labels"], {"a": "2"}, "labels")
    same(await store.get(kind, name), made, "the object")
    again = await store.patch(kind, name, wish(name, host=HOST, labels={"a": "3"}))
    same(again["spec"]["labels"], {"a": "3"}, "labels by their owner")


async def dry_apply_creates_nothing(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Of a missing object it tells what would be created."""
    name = fresh()
    body = config(name, spec={"host": HOST})
    dry = await store.patch(kind, name, ApplyPatch(body, "A"), dry_run=True)
    same(dry["spec"]["host"], HOST, "host")
    await fails(ObjectNotFound, store.get(kind, name))


async def dry_replace_tells_what_would_be(store: Api, kind: Kind, fresh: Fresh) -> None:
    """At the old resourceVersion; the object is as it was."""
    name = fresh()
    made = await store.create(kind, machine(name))
    dry = await store.replace(kind, edited(made, spec={"labels": {"a": "1"}}), dry_run=True)
    same((dry["spec"]["labels"], generation(dry), version(dry)), ({"a": "1"}, 2, version(made)), "answer")
    same(await store.get(kind, name), made, "the object")


async def dry_delete_deletes_nothing(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Success as of a real one, and 404 of what is not there; the preconditions count."""
    name = fresh()
    made = await store.create(kind, machine(name))
    answer = await store.delete(kind, name, dry_run=True)
    same((answer["status"], answer["details"]["uid"]), ("Success", made["metadata"]["uid"]), "answer")
    same(await store.get(kind, name), made, "the object")
    await fails(Conflict, store.delete(kind, name, uid="other", dry_run=True))
    await fails(ObjectNotFound, store.delete(kind, fresh(), dry_run=True))


async def dry_delete_tells_the_mark(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Of what finalizers would hold, it gives the object as it would be marked."""
    name = fresh()
    made = await store.create(kind, machine(name, metadata={"finalizers": ["example.com/a"]}))
    dry = await store.delete(kind, name, dry_run=True)
    holds("deletionTimestamp" in dry["metadata"], "no deletionTimestamp")
    same(generation(dry), 2, "generation")
    same(await store.get(kind, name), made, "the object")


async def dry_runs_are_no_events(store: Api, kind: Kind, fresh: Fresh) -> None:
    """A watch tells nothing of them."""
    name = fresh()
    listing = await store.find(kind)
    await store.create(kind, machine(name), dry_run=True)
    made = await store.create(kind, machine(name))
    await store.patch(kind, name, spec(labels={"a": "1"}), dry_run=True)
    await store.delete(kind, name, dry_run=True)
    await store.delete(kind, name)
    watch = await store.watch(kind, resource_version=listing.resource_version)
    try:
        added, deleted = await events(watch, name, 2)
    finally:
        await watch.close()
    same((added.type, added.object), (EventType.ADDED, made), "first event")
    same((deleted.type, deleted.object["spec"]), (EventType.DELETED, made["spec"]), "second event")


CASES: Final[tuple[Case, ...]] = tuple(
    api_case(behaviour) for behaviour in (
        dry_create_tells_what_would_be, dry_create_is_refused_as_a_real_one, dry_patch_tells_what_would_be,
        dry_apply_meets_conflicts, dry_apply_creates_nothing, dry_replace_tells_what_would_be,
        dry_delete_deletes_nothing, dry_delete_tells_the_mark, dry_runs_are_no_events,
    )
)  # fmt: skip
