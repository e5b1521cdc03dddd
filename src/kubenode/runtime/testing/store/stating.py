"""Patches of the status."""

from typing import Final

from kubenode.core.errors import Conflict, ObjectNotFound
from kubenode.core.model import Kind
from kubenode.runtime.store.contract import MergePatch, Store
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    case,
    condition,
    fails,
    generation,
    holds,
    machine,
    same,
    spec,
    status,
    told,
    version,
)


async def status_is_written_through_status(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A new resourceVersion, the same generation, and defaults in the status."""
    name = fresh()
    before = await store.create(kind, machine(name))
    made = await store.patch(kind, name, status(phase="Running"), subresource="status")
    same(made["status"]["phase"], "Running", "phase")
    same(made["status"]["conditions"], [], "conditions by default")
    same(generation(made), 1, "generation")
    holds(version(made) > version(before), "no new resourceVersion")
    same(await store.get(kind, name), made, "what is read")


async def status_ignores_all_else(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Spec, labels and finalizers through /status are ignored, even wrong ones."""
    name = fresh()
    before = await store.create(kind, machine(name, metadata={"labels": {"a": "1"}}))
    other = {"metadata": {"labels": {"a": "2"}, "finalizers": ["example.com/a"]}, "spec": {"host": None}}
    body = {**other, "status": {"phase": "Running"}}
    made = await store.patch(kind, name, MergePatch(body), subresource="status")
    same(made["spec"], before["spec"], "spec")
    same(made["metadata"]["labels"], {"a": "1"}, "labels")
    holds("finalizers" not in made["metadata"], "a finalizer came through /status")
    same(
        await store.patch(kind, name, MergePatch(other), subresource="status"), made, "a patch without status"
    )


async def status_survives_a_change_of_the_spec(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Each part is left alone by writes of the other."""
    name = fresh()
    await store.create(kind, machine(name))
    said = await store.patch(kind, name, status(phase="Running"), subresource="status")
    made = await store.patch(kind, name, MergePatch({**spec(labels={"a": "1"}).body, "status": None}))
    same(made["status"], said["status"], "status")


async def status_without_change_writes_nothing(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The same resourceVersion comes back."""
    name = fresh()
    await store.create(kind, machine(name))
    patch = status(phase="Running", conditions=[condition("Ready")])
    made = await store.patch(kind, name, patch, subresource="status")
    same(await store.patch(kind, name, patch, subresource="status"), made, "the answer")


async def status_at_another_version(store: Store, kind: Kind, fresh: Fresh) -> None:
    """409."""
    name = fresh()
    old = await store.create(kind, machine(name))
    await store.patch(kind, name, status(phase="One"), subresource="status")
    stale = {"metadata": {"resourceVersion": old["metadata"]["resourceVersion"]}, "status": {"phase": "Two"}}
    error = await fails(Conflict, store.patch(kind, name, MergePatch(stale), subresource="status"))
    told(error, code=409, reason="Conflict")


async def status_can_be_taken_away(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A null removes it."""
    name = fresh()
    await store.create(kind, machine(name))
    await store.patch(kind, name, status(phase="Running"), subresource="status")
    made = await store.patch(kind, name, MergePatch({"status": None}), subresource="status")
    holds("status" not in made, f"status is left: {made.get('status')}")


async def status_of_nothing(store: Store, kind: Kind, fresh: Fresh) -> None:
    """404; so is another subresource."""
    name = fresh()
    await fails(ObjectNotFound, store.patch(kind, name, status(phase="x"), subresource="status"))
    await store.create(kind, machine(name))
    await fails(ObjectNotFound, store.patch(kind, name, status(phase="x"), subresource="nonesuch"))


CASES: Final[tuple[Case, ...]] = tuple(
    case(behaviour) for behaviour in (
        status_is_written_through_status, status_ignores_all_else, status_survives_a_change_of_the_spec,
        status_without_change_writes_nothing, status_at_another_version, status_can_be_taken_away, status_of_nothing,
    )
)  # fmt: skip
