"""Delete, and what finalizers do to it."""

from typing import Final

from kubenode.core.errors import Conflict, ObjectNotFound, Refused
from kubenode.core.model import Kind
from kubenode.runtime.store.contract import Store
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
    told,
    version,
)

HOLD: Final = "example.com/hold"


async def delete_without_finalizers(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The object is gone; the answer is a Status with its uid."""
    name = fresh()
    made = await store.create(kind, machine(name))
    answer = await store.delete(kind, name)
    same(answer["kind"], "Status", "kind of the answer")
    same(answer["status"], "Success", "status of the answer")
    same(answer["details"]["uid"], made["metadata"]["uid"], "uid in the answer")
    await fails(ObjectNotFound, store.get(kind, name))


async def delete_of_nothing(store: Store, kind: Kind, fresh: Fresh) -> None:
    """404."""
    told(await fails(ObjectNotFound, store.delete(kind, fresh())), code=404, reason="NotFound")


async def delete_with_finalizers(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The object stays, marked; its generation rises once; deleting again changes nothing."""
    name = fresh()
    before = await store.create(kind, machine(name, metadata={"finalizers": [HOLD]}))
    marked = await store.delete(kind, name)
    holds(bool(marked["metadata"].get("deletionTimestamp")), f"no deletionTimestamp: {marked}")
    same(marked["metadata"].get("deletionGracePeriodSeconds"), 0, "deletionGracePeriodSeconds")
    same(generation(marked), 2, "generation")
    holds(version(marked) > version(before), "no new resourceVersion")
    same(await store.delete(kind, name), marked, "the answer to a second delete")
    same(await store.get(kind, name), marked, "what is read")


async def deleting_objects_can_change(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The spec stays writable, and the mark cannot be taken away."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"finalizers": [HOLD]}))
    marked = await store.delete(kind, name)
    same(await store.patch(kind, name, metadata(deletionTimestamp=None)), marked, "taking the mark away")
    made = await store.patch(kind, name, spec(labels={"a": "1"}))
    same(made["spec"]["labels"], {"a": "1"}, "labels")
    same(generation(made), 3, "generation")


async def deleting_objects_take_no_new_finalizers(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422 Forbidden."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"finalizers": [HOLD]}))
    await store.delete(kind, name)
    error = await fails(Refused, store.patch(kind, name, metadata(finalizers=[HOLD, "example.com/new"])))
    told(error, code=422, reason="Invalid")
    same(
        {(why, field) for why, field, _ in causes(error)},
        {("FieldValueForbidden", "metadata.finalizers")},
        "causes",
    )


async def the_last_finalizer_lets_go(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Of two finalizers the first keeps the object; with the last it is gone, and the answer has the old version."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"finalizers": [HOLD, "example.com/two"]}))
    await store.delete(kind, name)
    held = await store.patch(kind, name, metadata(finalizers=[HOLD]))
    same((await store.get(kind, name))["metadata"]["finalizers"], [HOLD], "finalizers")
    last = await store.patch(kind, name, metadata(finalizers=None))
    same(version(last), version(held), "resourceVersion of the answer")
    holds("finalizers" not in last["metadata"], "finalizers are left in the answer")
    await fails(ObjectNotFound, store.get(kind, name))


async def finalizers_of_a_living_object(store: Store, kind: Kind, fresh: Fresh) -> None:
    """They come and go without deleting anything."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"finalizers": [HOLD]}))
    made = await store.patch(kind, name, metadata(finalizers=[]))
    same(await store.get(kind, name), made, "what is read")
    holds("finalizers" not in made["metadata"], "an empty list of finalizers is stored")


async def delete_of_another_uid(store: Store, kind: Kind, fresh: Fresh) -> None:
    """409; the right uid passes."""
    name = fresh()
    made = await store.create(kind, machine(name))
    error = await fails(Conflict, store.delete(kind, name, uid="other"))
    told(error, code=409, reason="Conflict")
    same(await store.get(kind, name), made, "the object")
    await store.delete(kind, name, uid=made["metadata"]["uid"])
    await fails(ObjectNotFound, store.get(kind, name))


async def delete_at_another_version(store: Store, kind: Kind, fresh: Fresh) -> None:
    """409; the version as read passes."""
    name = fresh()
    old = await store.create(kind, machine(name))
    made = await store.patch(kind, name, spec(labels={"a": "1"}))
    stale, current = (one["metadata"]["resourceVersion"] for one in (old, made))
    told(await fails(Conflict, store.delete(kind, name, resource_version=stale)), code=409, reason="Conflict")
    await store.delete(kind, name, resource_version=current)
    await fails(ObjectNotFound, store.get(kind, name))


CASES: Final[tuple[Case, ...]] = tuple(
    case(behaviour) for behaviour in (
        delete_without_finalizers, delete_of_nothing, delete_with_finalizers, deleting_objects_can_change,
        deleting_objects_take_no_new_finalizers, the_last_finalizer_lets_go, finalizers_of_a_living_object,
        delete_of_another_uid, delete_at_another_version,
    )
)  # fmt: skip
