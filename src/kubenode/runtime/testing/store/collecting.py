"""Owners and dependents: what a delete does to them, and garbage collection."""

from typing import Any, Final

from kubenode.core.errors import Refused
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Api, Propagation
from kubenode.runtime.store.options import FOREGROUND, ORPHAN
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    api_case,
    becomes,
    causes,
    fails,
    generation,
    holds,
    is_gone,
    machine,
    metadata,
    same,
    told,
)

HOLD: Final = "example.com/hold"
NO_UID: Final = "00000000-0000-4000-8000-000000000000"


def owner(obj: Json, **more: Any) -> Json:
    """Write a reference to an owner."""
    metadata = obj["metadata"]
    named = {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    return {**named, "name": metadata["name"], "uid": metadata["uid"], **more}


def owned(name: str, *owners: Json, **metadata: Any) -> Json:
    """Write a Machine with owners."""
    return machine(name, metadata={"ownerReferences": list(owners), **metadata})


async def delete_in_the_background(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Takes the finalizers of the garbage collector away, and no others."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"finalizers": [FOREGROUND, HOLD]}))
    held = await store.delete(kind, name, propagation=Propagation.BACKGROUND)
    same(held["metadata"]["finalizers"], [HOLD], "finalizers")
    other = fresh()
    await store.create(kind, machine(other, metadata={"finalizers": [ORPHAN]}))
    answer = await store.delete(kind, other, propagation=Propagation.BACKGROUND)
    same(answer["status"], "Success", "status")


async def delete_in_the_foreground(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Marks the object, held by the finalizer foregroundDeletion behind its own."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"finalizers": [HOLD]}))
    held = await store.delete(kind, name, propagation=Propagation.FOREGROUND)
    same(held["metadata"]["finalizers"], [HOLD, FOREGROUND], "finalizers")
    same(generation(held), 2, "generation")


async def delete_that_orphans(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Marks the object, held by the finalizer orphan, which replaces foregroundDeletion."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"finalizers": [FOREGROUND, HOLD]}))
    held = await store.delete(kind, name, propagation=Propagation.ORPHAN)
    same(held["metadata"]["finalizers"], [HOLD, ORPHAN], "finalizers")


async def delete_as_the_finalizers_say(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Without a policy they stay as they are."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"finalizers": [ORPHAN, HOLD]}))
    held = await store.delete(kind, name)
    same(held["metadata"]["finalizers"], [ORPHAN, HOLD], "finalizers")


async def delete_again_by_another_policy(store: Api, kind: Kind, fresh: Fresh) -> None:
    """The finalizers are changed, the generation is not; background takes them away."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"finalizers": [HOLD]}))
    first = await store.delete(kind, name)
    held = await store.delete(kind, name, propagation=Propagation.FOREGROUND)
    same(held["metadata"]["finalizers"], [HOLD, FOREGROUND], "finalizers in the foreground")
    held = await store.delete(kind, name, propagation=Propagation.ORPHAN)
    same(held["metadata"]["finalizers"], [HOLD, ORPHAN], "finalizers when orphaning")
    held = await store.delete(kind, name, propagation=Propagation.BACKGROUND)
    same(held["metadata"]["finalizers"], [HOLD], "finalizers in the background")
    same(generation(held), generation(first), "generation")


async def both_finalizers_of_the_collector(store: Api, kind: Kind, fresh: Fresh) -> None:
    """422: they exclude each other."""
    body = machine(fresh(), metadata={"finalizers": [ORPHAN, FOREGROUND]})
    error = await fails(Refused, store.create(kind, body))
    told(error, code=422, reason="Invalid")
    text = 'Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and foregroundDeletion cannot be both set'
    same(causes(error), {("FieldValueInvalid", "metadata.finalizers", text)}, "causes")


async def owners_without_a_name(store: Api, kind: Kind, fresh: Fresh) -> None:
    """422: apiVersion, kind, name and uid are needed."""
    error = await fails(Refused, store.create(kind, owned(fresh(), {})))
    told(error, code=422, reason="Invalid")
    field, empty = "metadata.ownerReferences", 'Invalid value: "": must not be empty'
    wanted = {("FieldValueInvalid", f"{field}.{name}", empty) for name in ("kind", "name", "uid")}
    version = 'Invalid value: "": version must not be empty'
    same(causes(error), wanted | {("FieldValueInvalid", f"{field}.apiVersion", version)}, "causes")


async def owners_of_wrong_types(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400, naming the field."""
    wrong = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": "x"}
    error = await fails(Refused, store.create(kind, owned(fresh(), wrong)))
    told(error, code=400, reason="BadRequest")
    text = "json: cannot unmarshal string into Go struct field OwnerReference.ownerReferences.controller of type bool"
    holds(error.status["message"].endswith(text), error.status["message"])


async def one_owner_controls(store: Api, kind: Kind, fresh: Fresh) -> None:
    """422 for two controllers."""
    first = {"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "u", "controller": True}
    second = {**first, "name": "b", "uid": "v"}
    error = await fails(Refused, store.create(kind, owned(fresh(), first, second)))
    ((reason, field, text),) = causes(error)
    same((reason, field), ("FieldValueInvalid", "metadata.ownerReferences"), "cause")
    end = (
        'Only one reference can have Controller set to true. Found "true" in references for Node/a and Node/b'
    )
    holds(text.endswith(end), text)


async def events_own_nothing(store: Api, kind: Kind, fresh: Fresh) -> None:
    """422."""
    event = {"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "u"}
    error = await fails(Refused, store.create(kind, owned(fresh(), event)))
    text = (
        'Invalid value: {"apiVersion":"v1","kind":"Event","name":"e","uid":"u"}: /v1, Kind=Event is disallowed '
        "from being an owner"
    )
    same(causes(error), {("FieldValueInvalid", "metadata.ownerReferences", text)}, "causes")


async def owners_are_kept_once(store: Api, kind: Kind, fresh: Fresh) -> None:
    """The same reference twice is one; what is unknown in it is dropped; flags stay as they are said."""
    root = owner(await store.create(kind, machine(fresh())), blockOwnerDeletion=True, controller=False)
    made = await store.create(kind, owned(fresh(), {**root, "junk": 1}, root, finalizers=[HOLD]))
    same(made["metadata"]["ownerReferences"], [root], "ownerReferences")
    same(generation(made), 1, "generation")


async def collector_deletes_what_is_owned(store: Api, kind: Kind, fresh: Fresh) -> None:
    """With its owner gone, a dependent goes, and the dependents of that."""
    root, child, grandchild = fresh(), fresh(), fresh()
    top = await store.create(kind, machine(root))
    middle = await store.create(kind, owned(child, owner(top)))
    await store.create(kind, owned(grandchild, owner(middle)))
    await store.delete(kind, root)
    await becomes(store, kind, child, is_gone, "the dependent")
    await becomes(store, kind, grandchild, is_gone, "the dependent of the dependent")


async def collector_respects_finalizers(store: Api, kind: Kind, fresh: Fresh) -> None:
    """A dependent that finalizers hold is marked, and stays."""
    root, child = fresh(), fresh()
    top = await store.create(kind, machine(root))
    await store.create(kind, owned(child, owner(top), finalizers=[HOLD]))
    await store.delete(kind, root)
    held = await becomes(
        store, kind, child, lambda obj: bool(obj and "deletionTimestamp" in obj["metadata"]), "the mark"
    )
    same(held and held["metadata"]["finalizers"], [HOLD], "finalizers")


async def collector_deletes_what_nobody_ever_owned(store: Api, kind: Kind, fresh: Fresh) -> None:
    """An owner of that name with another uid is none."""
    root, child = fresh(), fresh()
    top = await store.create(kind, machine(root))
    await store.create(kind, owned(child, owner(top, uid=NO_UID)))
    await becomes(store, kind, child, is_gone, "the dependent of nobody")
    same(await store.get(kind, root), top, "the namesake")


async def collector_drops_one_of_two_owners(store: Api, kind: Kind, fresh: Fresh) -> None:
    """A dependent with another owner stays, without the reference."""
    one, two, child = fresh(), fresh(), fresh()
    first = await store.create(kind, machine(one))
    second = await store.create(kind, machine(two))
    made = await store.create(kind, owned(child, owner(first), owner(second)))
    await store.delete(kind, one)
    left = await becomes(
        store, kind, child, lambda obj: bool(obj and len(obj["metadata"]["ownerReferences"]) == 1), "owners"
    )
    holds(left is not None and left["metadata"]["ownerReferences"] == [owner(second)], f"left is {left}")
    holds(left is not None and left["spec"] == made["spec"] and generation(left) == 1, f"left is {left}")


async def collector_lets_orphans_be(store: Api, kind: Kind, fresh: Fresh) -> None:
    """The owner goes; its dependents stay without it."""
    root, child = fresh(), fresh()
    top = await store.create(kind, machine(root))
    await store.create(kind, owned(child, owner(top)))
    await store.delete(kind, root, propagation=Propagation.ORPHAN)
    await becomes(store, kind, root, is_gone, "the owner")
    left = await store.get(kind, child)
    holds("ownerReferences" not in left["metadata"], f"ownerReferences are left: {left['metadata']}")
    holds("deletionTimestamp" not in left["metadata"], "the orphan is being deleted")


async def collector_waits_for_who_blocks(store: Api, kind: Kind, fresh: Fresh) -> None:
    """In the foreground, an owner stays as long as a dependent that blocks it."""
    root, child = fresh(), fresh()
    top = await store.create(kind, machine(root))
    await store.create(kind, owned(child, owner(top, blockOwnerDeletion=True), finalizers=[HOLD]))
    await store.delete(kind, root, propagation=Propagation.FOREGROUND)
    await becomes(
        store, kind, child, lambda obj: bool(obj and "deletionTimestamp" in obj["metadata"]), "the mark"
    )
    same((await store.get(kind, root))["metadata"]["finalizers"], [FOREGROUND], "finalizers of the owner")
    await store.patch(kind, child, metadata(finalizers=None))
    await becomes(store, kind, root, is_gone, "the owner")


async def collector_does_not_wait_for_others(store: Api, kind: Kind, fresh: Fresh) -> None:
    """In the foreground, a dependent that does not block is deleted, and the owner may go first."""
    root, child = fresh(), fresh()
    top = await store.create(kind, machine(root))
    await store.create(kind, owned(child, owner(top), finalizers=[HOLD]))
    await store.delete(kind, root, propagation=Propagation.FOREGROUND)
    await becomes(store, kind, root, is_gone, "the owner")
    held = await becomes(
        store, kind, child, lambda obj: bool(obj and "deletionTimestamp" in obj["metadata"]), "the mark"
    )
    same(held and held["metadata"]["finalizers"], [HOLD], "finalizers")


async def collector_goes_through_in_the_foreground(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Dependents of dependents are removed first, too."""
    root, child, grandchild = fresh(), fresh(), fresh()
    top = await store.create(kind, machine(root))
    middle = await store.create(kind, owned(child, owner(top, blockOwnerDeletion=True)))
    await store.create(kind, owned(grandchild, owner(middle, blockOwnerDeletion=True), finalizers=[HOLD]))
    await store.delete(kind, root, propagation=Propagation.FOREGROUND)
    await becomes(
        store, kind, grandchild, lambda obj: bool(obj and "deletionTimestamp" in obj["metadata"]), "the mark"
    )
    for name in (root, child):
        same((await store.get(kind, name))["metadata"]["finalizers"], [FOREGROUND], f"finalizers of {name}")
    await store.patch(kind, grandchild, metadata(finalizers=None))
    for name in (child, root):
        await becomes(store, kind, name, is_gone, name)


CASES: Final[tuple[Case, ...]] = tuple(
    api_case(behaviour) for behaviour in (
        delete_in_the_background, delete_in_the_foreground, delete_that_orphans,
        delete_as_the_finalizers_say, delete_again_by_another_policy, both_finalizers_of_the_collector,
        owners_without_a_name, owners_of_wrong_types, one_owner_controls, events_own_nothing,
        owners_are_kept_once, collector_deletes_what_is_owned, collector_respects_finalizers,
        collector_deletes_what_nobody_ever_owned, collector_drops_one_of_two_owners,
        collector_lets_orphans_be, collector_waits_for_who_blocks, collector_does_not_wait_for_others,
        collector_goes_through_in_the_foreground,
    )
)  # fmt: skip
