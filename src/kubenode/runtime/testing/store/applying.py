"""Server-side apply: what a manager owns, who is in its way, and what is removed with it."""

from typing import Any, Final

from kubenode.core.errors import Conflict, ObjectNotFound, Refused
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import ApplyPatch, Store
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    case,
    causes,
    condition,
    fails,
    generation,
    holds,
    machine,
    same,
    spec,
    status,
    swap,
    taint,
    told,
    version,
)
from kubenode.runtime.testing.store.swapping import ENTRY

HOST: Final = {"address": "192.0.2.7"}
OTHER: Final = {"address": "192.0.2.8"}


def wish(name: str, manager: str = "A", *, force: bool = False, **fields: Any) -> ApplyPatch:
    """Write an apply of fields of the spec."""
    return ApplyPatch(config(name, spec=fields), manager, force)


def config(name: str, *, metadata: Json | None = None, **parts: Any) -> Json:
    """Write what is applied."""
    named = {"apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine"}
    return {**named, "metadata": {"name": name, **(metadata or {})}, **parts}


async def apply_creates(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A missing object is created, with its defaults, without a status; a version in it does not matter."""
    name = fresh()
    body = config(name, metadata={"resourceVersion": "5"}, spec={"host": HOST}, status={"phase": "x"})
    made = await store.patch(kind, name, ApplyPatch(body, "A"))
    same(generation(made), 1, "generation")
    same(made["spec"]["taints"], [], "taints")
    holds("status" not in made, "a status was created")
    holds("managedFields" not in made["metadata"], "managedFields are shown")
    same(await store.get(kind, name), made, "what is read")


async def apply_merges(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Maps and list-maps are merged by key, what is named comes in its order; atomic ones are replaced."""
    name = fresh()
    entry = {**ENTRY, "revision": "9"}
    taints = [taint("a"), taint("b")]
    await store.create(kind, machine(name, labels={"a": "1"}, taints=taints, components={"x": ENTRY}))
    wanted: Json = {"labels": {"b": "2"}, "taints": [taint("c"), taint("a")], "components": {"x": entry}}
    made = await store.patch(kind, name, wish(name, force=True, **wanted))
    same(made["spec"]["labels"], {"a": "1", "b": "2"}, "labels")
    same([each["key"] for each in made["spec"]["taints"]], ["c", "a", "b"], "taints")
    same(made["spec"]["components"], {"x": entry}, "components")


async def apply_again_writes_nothing(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The same resourceVersion comes back."""
    name = fresh()
    patch = wish(name, host=HOST, labels={"a": "1"}, taints=[taint("a")])
    made = await store.patch(kind, name, patch)
    same(await store.patch(kind, name, patch), made, "the answer")


async def apply_removes_what_is_given_up(store: Store, kind: Kind, fresh: Fresh) -> None:
    """What the manager applied before and names no longer, is gone, if nobody else owns it."""
    name = fresh()
    await store.create(kind, machine(name, labels={"mine": "1"}))
    await store.patch(kind, name, wish(name, labels={"a": "1", "b": "1"}, taints=[taint("a"), taint("b")]))
    made = await store.patch(kind, name, wish(name, labels={"b": "1"}, taints=[taint("b")]))
    same(made["spec"]["labels"], {"mine": "1", "b": "1"}, "labels")
    same(made["spec"]["taints"], [taint("b")], "taints")


async def apply_gives_a_default_back(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A field that is given up, or a map emptied by that, has its default again."""
    name = fresh()
    await store.create(kind, machine(name))
    fields: Json = {"labels": {"a": "1"}, "taints": [taint("a")]}
    await store.patch(kind, name, wish(name, force=True, **fields))
    made = await store.patch(kind, name, wish(name))
    same((made["spec"]["labels"], made["spec"]["taints"]), ({}, []), "labels and taints")


async def apply_that_empties_an_object(store: Store, kind: Kind, fresh: Fresh) -> None:
    """An object without a default that loses its last field becomes null, which is refused."""
    name = fresh()
    await store.create(kind, machine(name))
    before = await store.patch(kind, name, wish(name, force=True, host=OTHER))
    error = await fails(Refused, store.patch(kind, name, wish(name, labels={"a": "1"})))
    message = 'Invalid value: "null": spec.host in body must be of type object: "null"'
    same(causes(error), {("FieldValueTypeInvalid", "spec.host", message)}, "causes")
    same(await store.get(kind, name), before, "the object after a refusal")


async def apply_of_the_same_value_shares(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Equal values are owned by both, which is written without a new generation; one may then let go."""
    name = fresh()
    first = await store.patch(kind, name, wish(name, host=HOST, labels={"a": "1"}))
    shared = await store.patch(kind, name, wish(name, "B", labels={"a": "1"}))
    holds(version(shared) > version(first), "a new owner was not written")
    same((shared["spec"], generation(shared)), (first["spec"], 1), "spec and generation")
    left = await store.patch(kind, name, wish(name, host=HOST))
    same(left["spec"]["labels"], {"a": "1"}, "labels while B owns them")
    gone = await store.patch(kind, name, wish(name, "B"))
    same(gone["spec"]["labels"], {}, "labels when nobody does")


async def apply_over_another_manager(store: Store, kind: Kind, fresh: Fresh) -> None:
    """409 with the owner and the path; nothing is written."""
    name = fresh()
    made = await store.patch(kind, name, wish(name, host=HOST, labels={"a": "1"}))
    error = await fails(Conflict, store.patch(kind, name, wish(name, "B", labels={"a": "2"})))
    told(error, code=409, reason="Conflict")
    same(causes(error), {("FieldManagerConflict", ".spec.labels.a", 'conflict with "A"')}, "causes")
    message = 'Apply failed with 1 conflict: conflict with "A": .spec.labels.a'
    same(error.status["message"], message, "message")
    same(await store.get(kind, name), made, "the object after a conflict")


async def apply_over_several(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Each owner with its paths, in order; writes that were no apply tell their version."""
    name = fresh()
    body = machine(name, taints=[taint("a")], metadata={"labels": {"q": "1"}})
    await store.create(kind, body)
    await store.patch(kind, name, wish(name, labels={"a": "1", "b": "1"}))
    labels = {"labels": {"q": "2"}}
    wanted = {"host": OTHER, "labels": {"a": "2", "b": "2"}, "taints": [{**taint("a"), "value": "1"}]}
    patch = ApplyPatch(config(name, metadata=labels, spec=wanted), "B")
    error = await fails(Conflict, store.patch(kind, name, patch))
    message = (
        'Apply failed with 5 conflicts: conflicts with "A":\n- .spec.labels.a\n- .spec.labels.b\n'
        'conflicts with "kubenode" using kubenode.dev/v1alpha1:\n- .metadata.labels.q\n- .spec.host.address\n'
        '- .spec.taints[effect="NoSchedule",key="a"].value'
    )
    same(error.status["message"], message, "message")
    same(len(causes(error)), 5, "number of causes")


async def apply_with_force_takes_over(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The value is changed, and the old owner meets the conflict then."""
    name = fresh()
    await store.patch(kind, name, wish(name, host=HOST, labels={"a": "1"}))
    made = await store.patch(kind, name, wish(name, "B", force=True, labels={"a": "2"}))
    same(made["spec"]["labels"], {"a": "2"}, "labels")
    error = await fails(Conflict, store.patch(kind, name, wish(name, host=HOST, labels={"a": "1"})))
    same({message for _, _, message in causes(error)}, {'conflict with "B"'}, "owners")


async def merge_takes_over(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A merge patch takes what it changes from its owner, and only that."""
    name = fresh()
    await store.patch(kind, name, wish(name, host=HOST, labels={"a": "1", "b": "1"}))
    await store.patch(kind, name, spec(labels={"a": "2", "b": "1"}))
    error = await fails(Conflict, store.patch(kind, name, wish(name, host=HOST, labels={"a": "1", "b": "1"})))
    owner = 'conflict with "kubenode" using kubenode.dev/v1alpha1'
    same(causes(error), {("FieldManagerConflict", ".spec.labels.a", owner)}, "causes")


async def swap_takes_over(store: Store, kind: Kind, fresh: Fresh) -> None:
    """So does a JSON patch; what it removes, nobody owns."""
    name = fresh()
    patch = wish(name, host=HOST, labels={"a": "1", "b": "1"})
    await store.patch(kind, name, patch)
    changes = swap(("replace", "/spec/labels/a", "2"), ("remove", "/spec/labels/b"))
    await store.patch(kind, name, changes)
    error = await fails(Conflict, store.patch(kind, name, patch))
    same({field for _, field, _ in causes(error)}, {".spec.labels.a"}, "fields")
    made = await store.patch(kind, name, wish(name, host=HOST, labels={"b": "3"}))
    same(made["spec"]["labels"], {"a": "2", "b": "3"}, "labels")


async def apply_owns_items_of_sets(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Finalizers are a set: each has its own owner; labels of the object, too."""
    name = fresh()
    held = {"finalizers": ["example.com/a"], "labels": {"a": "1"}}
    await store.create(kind, machine(name, metadata=held))
    mine = {"finalizers": ["example.com/b"], "labels": {"b": "1"}}
    made = await store.patch(kind, name, ApplyPatch(config(name, metadata=mine), "A"))
    same(set(made["metadata"]["finalizers"]), {"example.com/a", "example.com/b"}, "finalizers")
    made = await store.patch(kind, name, ApplyPatch(config(name), "A"))
    same(made["metadata"]["finalizers"], ["example.com/a"], "finalizers left")
    same(made["metadata"]["labels"], {"a": "1"}, "labels left")


async def apply_of_the_status(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Through /status only the status; its owner is told with the subresource; main leaves it alone."""
    name = fresh()
    await store.create(kind, machine(name))
    body = config(name, spec={"labels": {"z": "1"}}, status={"conditions": [condition("A")]})
    made = await store.patch(kind, name, ApplyPatch(body, "A"), subresource="status")
    same([each["type"] for each in made["status"]["conditions"]], ["A"], "conditions")
    holds("z" not in made["spec"]["labels"], "a label of the spec came through /status")
    await store.patch(kind, name, status(phase="Mine"), subresource="status")
    body = config(name, status={"phase": "Yours"})
    error = await fails(Conflict, store.patch(kind, name, ApplyPatch(body, "A"), subresource="status"))
    owner = 'conflict with "kubenode" with subresource "status" using kubenode.dev/v1alpha1'
    same(causes(error), {("FieldManagerConflict", ".status.phase", owner)}, "causes")
    untouched = await store.patch(kind, name, ApplyPatch(body, "A"))
    same(untouched["status"], {**made["status"], "phase": "Mine"}, "status after an apply to main")


async def apply_of_the_status_of_nothing(store: Store, kind: Kind, fresh: Fresh) -> None:
    """404: only the main resource is created."""
    name = fresh()
    patch = ApplyPatch(config(name, status={"phase": "x"}), "A")
    told(
        await fails(ObjectNotFound, store.patch(kind, name, patch, subresource="status")),
        code=404,
        reason="NotFound",
    )


async def apply_does_not_fit_the_schema(store: Store, kind: Kind, fresh: Fresh) -> None:
    """500 without a reason: what is unknown, of a wrong type, or there twice, cannot be merged."""
    name = fresh()
    await store.patch(kind, name, wish(name, host=HOST))
    prefix = f"failed to create typed patch object (/{name}; kubenode.dev/v1alpha1, Kind=Machine): "
    for fields, fault in (
        ({"junk": 1}, ".spec.junk: field not declared in schema"),
        ({"labels": {"a": 1}}, ".spec.labels.a: expected string, got &value.valueUnstructured{Value:1}"),
        ({"labels": 1}, ".spec.labels: expected map, got &{1}"),
        ({"taints": 1}, ".spec.taints: expected list, got &{1}"),
        (
            {"taints": [taint("a"), taint("a")]},
            '.spec.taints: duplicate entries for key [effect="NoSchedule",key="a"]',
        ),
    ):
        error = await fails(Refused, store.patch(kind, name, wish(name, host=HOST, **fields)))
        same(error.code, 500, f"code of {fields}")
        same(error.status["message"], prefix + fault, "message")


async def apply_is_validated(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422, after the merge."""
    name = fresh()
    await store.patch(kind, name, wish(name, host=HOST))
    error = await fails(Refused, store.patch(kind, name, wish(name, host=HOST, labels={"a": "_"})))
    told(error, code=422, reason="Invalid")
    same({field for _, field, _ in causes(error)}, {"spec.labels.a"}, "fields")


async def apply_at_another_version(store: Store, kind: Kind, fresh: Fresh) -> None:
    """409 when a resourceVersion is named that is not the object's; a wrong uid is a conflict, too."""
    name = fresh()
    await store.patch(kind, name, wish(name, host=HOST))
    for part, code in (({"resourceVersion": "5"}, 409), ({"uid": "other"}, 422)):
        body = config(name, metadata=part, spec={"host": HOST, "labels": {"a": "1"}})
        same(
            (await fails(Conflict, store.patch(kind, name, ApplyPatch(body, "A")))).code, code, f"code {part}"
        )
    absent = fresh()
    body = config(absent, metadata={"uid": "other"}, spec={"host": HOST})
    error = await fails(Conflict, store.patch(kind, absent, ApplyPatch(body, "A")))
    told(error, code=409, reason="Conflict")
    reason = "uid mismatch: the provided object specified uid other, and no existing object was found"
    holds(error.status["message"].endswith(reason), error.status["message"])


async def apply_that_names_something_else(store: Store, kind: Kind, fresh: Fresh) -> None:
    """400: another name or none, another type or none, or managedFields."""
    name = fresh()
    good = config(name, spec={"host": HOST})
    wrong: tuple[Json, ...] = (
        {**good, "metadata": {}}, {**good, "metadata": {"name": f"{name}-else"}}, {**good, "kind": "Other"},
        {**good, "apiVersion": "kubenode.dev/v9"}, {**good, "metadata": {"name": name, "managedFields": []}},
        {key: value for key, value in good.items() if key not in {"kind", "apiVersion"}},
    )  # fmt: skip
    for body in wrong:
        error = await fails(Refused, store.patch(kind, name, ApplyPatch(body, "A")))
        told(error, code=400, reason="BadRequest")


async def apply_by_nobody(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422: a manager is required, of at most 128 bytes."""
    name = fresh()
    for manager, text in (("", "Required value: is required for apply patch"), ("x" * 129, "Too long")):
        error = await fails(Refused, store.patch(kind, name, wish(name, manager, host=HOST)))
        told(error, code=422, reason="Invalid")
        ((_, field, message),) = causes(error)
        same((field, message[: len(text)]), ("fieldManager", text), "the cause")


async def apply_after_a_new_creation(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Owners go with the object."""
    name = fresh()
    await store.patch(kind, name, wish(name, host=HOST))
    await store.delete(kind, name)
    await store.create(kind, machine(name, host=OTHER))
    error = await fails(Conflict, store.patch(kind, name, wish(name, host=HOST)))
    same({message[:24] for _, _, message in causes(error)}, {'conflict with "kubenode"'}, "owners")


async def apply_takes_the_last_finalizer(store: Store, kind: Kind, fresh: Fresh) -> None:
    """An object that is being deleted goes with it."""
    name = fresh()
    held = {"finalizers": ["example.com/a"]}
    await store.patch(kind, name, ApplyPatch(config(name, metadata=held, spec={"host": HOST}), "A"))
    await store.delete(kind, name)
    await store.patch(kind, name, wish(name, host=HOST))
    await fails(ObjectNotFound, store.get(kind, name))


CASES: Final[tuple[Case, ...]] = tuple(
    case(behaviour) for behaviour in (
        apply_creates, apply_merges, apply_again_writes_nothing, apply_removes_what_is_given_up,
        apply_gives_a_default_back, apply_that_empties_an_object, apply_of_the_same_value_shares,
        apply_over_another_manager, apply_over_several, apply_with_force_takes_over, merge_takes_over, swap_takes_over,
        apply_owns_items_of_sets, apply_of_the_status, apply_of_the_status_of_nothing, apply_does_not_fit_the_schema,
        apply_is_validated, apply_at_another_version, apply_that_names_something_else, apply_by_nobody,
        apply_after_a_new_creation, apply_takes_the_last_finalizer,
    )
)  # fmt: skip
