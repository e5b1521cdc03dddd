"""Create: what is stored, and what is refused."""

from typing import Any, Final

from kubenode.core.errors import AlreadyExists, ObjectNotFound, Refused
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
    same,
    told,
)


async def create_gives_identity(store: Store, kind: Kind, fresh: Fresh) -> None:
    """An object gets uid, creationTimestamp, resourceVersion and generation 1."""
    made = await store.create(kind, machine(fresh()))
    same(generation(made), 1, "generation")
    for field in ("uid", "creationTimestamp", "resourceVersion"):
        holds(bool(made["metadata"].get(field)), f"no metadata.{field} in {made}")
    holds(made["metadata"]["creationTimestamp"].endswith("Z"), "creationTimestamp is not in UTC")


async def create_ignores_what_the_server_owns(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Uid, generation and both timestamps are the server's."""
    mine = {"uid": "mine", "generation": 7, "creationTimestamp": "2020-01-01T00:00:00Z"}
    made = await store.create(
        kind, machine(fresh(), metadata={**mine, "deletionTimestamp": "2020-01-01T00:00:00Z"})
    )
    holds(made["metadata"]["uid"] != "mine", "the uid was taken from the caller")
    same(generation(made), 1, "generation")
    holds(not made["metadata"]["creationTimestamp"].startswith("2020"), "creationTimestamp was taken")
    holds("deletionTimestamp" not in made["metadata"], "deletionTimestamp was taken")


async def create_twice_gives_other_uids(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A name may be used again, by another incarnation."""
    name = fresh()
    first = await store.create(kind, machine(name))
    await store.delete(kind, name)
    second = await store.create(kind, machine(name))
    holds(first["metadata"]["uid"] != second["metadata"]["uid"], "two incarnations have one uid")


async def create_of_an_existing_name(store: Store, kind: Kind, fresh: Fresh) -> None:
    """409 AlreadyExists, whatever is in it."""
    name = fresh()
    await store.create(kind, machine(name))
    error = await fails(AlreadyExists, store.create(kind, machine(name)))
    told(error, code=409, reason="AlreadyExists")
    same(error.status["message"], f'machines.kubenode.dev "{name}" already exists', "message")


async def create_while_the_old_one_is_being_deleted(store: Store, kind: Kind, fresh: Fresh) -> None:
    """409 AlreadyExists, which says that it goes."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"finalizers": ["example.com/hold"]}))
    await store.delete(kind, name)
    error = await fails(AlreadyExists, store.create(kind, machine(name)))
    told(error, code=409, reason="AlreadyExists")
    wanted = f'object is being deleted: machines.kubenode.dev "{name}" already exists'
    same(error.status["message"], wanted, "message")


async def create_drops_status(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The status of a new object is not the caller's to say."""
    made = await store.create(kind, {**machine(fresh()), "status": {"phase": "Running"}})
    holds("status" not in made, f"status was stored: {made.get('status')}")


async def create_with_a_resource_version(store: Store, kind: Kind, fresh: Fresh) -> None:
    """500, oddly."""
    error = await fails(Refused, store.create(kind, machine(fresh(), metadata={"resourceVersion": "5"})))
    same(error.code, 500, "code")


async def create_with_a_bad_name(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422 for names that are no DNS subdomain, too long, or missing."""
    for name in ("Upper", "under_score", "-dash", "dot.", "a" * 254, "new\n"):
        error = await fails(Refused, store.create(kind, machine(name)))
        told(error, code=422, reason="Invalid")
        fields = {field for _, field, _ in causes(error)}
        holds("metadata.name" in fields, f"{name!r} is refused for {fields}")
    error = await fails(Refused, store.create(kind, machine("")))
    wanted = {("FieldValueRequired", "metadata.name", "Required value: name or generateName is required")}
    same(causes(error), wanted, "causes")


async def create_with_bad_labels(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422 for keys and values that are no labels."""
    labels = {"a b": "c", "example.com/ok": "-x", "UPPER.com/x": "y"}
    error = await fails(Refused, store.create(kind, machine(fresh(), metadata={"labels": labels})))
    told(error, code=422, reason="Invalid")
    same(len(causes(error)), 3, "number of causes")
    same({field for _, field, _ in causes(error)}, {"metadata.labels"}, "fields")


async def create_with_undecodable_metadata(store: Store, kind: Kind, fresh: Fresh) -> None:
    """400 for metadata of wrong types."""
    wrong: tuple[dict[str, Any], ...] = ({"labels": {"a": 5}}, {"labels": "a"}, {"finalizers": "a"})
    for metadata in wrong:
        error = await fails(Refused, store.create(kind, machine(fresh(), metadata=metadata)))
        told(error, code=400, reason="BadRequest")


async def create_of_another_type(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422 for another kind, 400 for another version or none."""
    error = await fails(Refused, store.create(kind, {**machine(fresh()), "kind": "Engine"}))
    told(error, code=422, reason="Invalid")
    for version in ("kubenode.dev/v9", ""):
        error = await fails(Refused, store.create(kind, {**machine(fresh()), "apiVersion": version}))
        told(error, code=400, reason="BadRequest")


async def create_in_an_unknown_kind(store: Store, kind: Kind, fresh: Fresh) -> None:
    """404."""
    unknown = Kind(name="Nonesuch", plural="nonesuches")
    body = {**machine(fresh()), "kind": "Nonesuch"}
    error = await fails(ObjectNotFound, store.create(unknown, body))
    same(error.code, 404, "code")
    same((await store.find(kind)).items is not None, True, "the store goes on")


async def create_keeps_empty_metadata_out(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Empty labels, annotations and finalizers are not stored; a null value is an empty one."""
    empty: dict[str, Any] = {"labels": {}, "finalizers": [], "annotations": {"example.com/note": None}}
    made = await store.create(kind, machine(fresh(), metadata=empty))
    holds("labels" not in made["metadata"], "empty labels are stored")
    holds("finalizers" not in made["metadata"], "empty finalizers are stored")
    same(made["metadata"]["annotations"], {"example.com/note": ""}, "annotations")


CASES: Final[tuple[Case, ...]] = tuple(
    case(behaviour) for behaviour in (
        create_gives_identity, create_ignores_what_the_server_owns, create_twice_gives_other_uids,
        create_of_an_existing_name, create_while_the_old_one_is_being_deleted, create_drops_status,
        create_with_a_resource_version, create_with_a_bad_name, create_with_bad_labels,
        create_with_undecodable_metadata, create_of_another_type, create_in_an_unknown_kind,
        create_keeps_empty_metadata_out,
    )
)  # fmt: skip
