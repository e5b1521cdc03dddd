"""Where an API server does otherwise than one would think, and what must be so for applies to be shared."""

from typing import Final

from kubenode.core.errors import Conflict, ObjectNotFound, Refused
from kubenode.core.model import Kind
from kubenode.runtime.store.contract import ApplyPatch, MergePatch, Store
from kubenode.runtime.testing.store.applying import HOST, config, wish
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    case,
    condition,
    fails,
    generation,
    holds,
    machine,
    metadata,
    same,
    spec,
    swap,
    taint,
    told,
)


async def merge_takes_the_version_away(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422: an update needs a resourceVersion; one that is no number is the server's fault."""
    name = fresh()
    await store.create(kind, machine(name))
    gone = await fails(Refused, store.patch(kind, name, metadata(resourceVersion=None, labels={"a": "1"})))
    told(gone, code=422, reason="Invalid")
    text = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    holds(gone.status["message"].endswith(text), gone.status["message"])
    error = await fails(Refused, store.patch(kind, name, metadata(resourceVersion="abc")))
    same(error.code, 500, "code")


async def merge_to_another_type(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422, for another version as for another kind; a create would say 400 to the first."""
    name = fresh()
    await store.create(kind, machine(name))
    version = await fails(Refused, store.patch(kind, name, MergePatch({"apiVersion": "kubenode.dev/v9"})))
    told(version, code=422, reason="Invalid")
    text = 'apiVersion: Invalid value: "kubenode.dev/v9": must be kubenode.dev/v1alpha1'
    holds(version.status["message"].endswith(text), version.status["message"])
    other = await fails(Refused, store.patch(kind, name, MergePatch({"kind": "Other"})))
    told(other, code=422, reason="Invalid")


async def finalizers_need_no_domain(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The server takes any qualified name."""
    made = await store.create(kind, machine(fresh(), metadata={"finalizers": ["nodomain"]}))
    same(made["metadata"]["finalizers"], ["nodomain"], "finalizers")


async def annotations_may_have_any_case(store: Store, kind: Kind, fresh: Fresh) -> None:
    """And any value."""
    notes = {"Example.COM/Note": "a\nb", "empty": ""}
    made = await store.create(kind, machine(fresh(), metadata={"annotations": notes}))
    same(made["metadata"]["annotations"], notes, "annotations")


async def labels_of_null_are_empty(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A null label is an empty one on create, and in an apply."""
    name = fresh()
    made = await store.create(kind, machine(name, metadata={"labels": {"a": None}}))
    same(made["metadata"]["labels"], {"a": ""}, "labels")
    patch = ApplyPatch(config(name, metadata={"labels": {"b": None}}), "A")
    made = await store.patch(kind, name, patch)
    same(made["metadata"]["labels"], {"a": "", "b": ""}, "labels after an apply")


async def delete_again_changes_nothing(store: Store, kind: Kind, fresh: Fresh) -> None:
    """While finalizers hold it, the object comes back as it is; it counts as one change of the spec."""
    name = fresh()
    await store.create(kind, machine(name, metadata={"finalizers": ["example.com/a"]}))
    first = await store.delete(kind, name)
    same(generation(first), 2, "generation")
    same(await store.delete(kind, name), first, "the second answer")


async def delete_with_the_right_preconditions(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Both may be given; then the object is gone."""
    name = fresh()
    made = (await store.create(kind, machine(name)))["metadata"]
    answer = await store.delete(kind, name, uid=made["uid"], resource_version=made["resourceVersion"])
    same(answer["status"], "Success", "status")
    same(answer["details"]["uid"], made["uid"], "uid in the answer")
    await fails(ObjectNotFound, store.get(kind, name))


async def find_after_a_delete(store: Store, kind: Kind, fresh: Fresh) -> None:
    """What is gone is not listed; what waits for its finalizers is."""
    gone, waits = fresh(), fresh()
    mark = {"example.com/case": gone}
    await store.create(kind, machine(gone, metadata={"labels": mark}))
    held = {"labels": mark, "finalizers": ["example.com/a"]}
    await store.create(kind, machine(waits, metadata=held))
    for name in (gone, waits):
        await store.delete(kind, name)
    listed = [item["metadata"]["name"] for item in (await store.find(kind, labels=mark)).items]
    same(listed, [waits], "names")


async def swap_of_the_labels(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Into a map that is not there, nothing can be added; the map itself can."""
    name = fresh()
    await store.create(kind, machine(name))
    await fails(Refused, store.patch(kind, name, swap(("add", "/metadata/labels/a", "1"))))
    made = await store.patch(kind, name, swap(("add", "/metadata/labels", {"a": "1"})))
    same(made["metadata"]["labels"], {"a": "1"}, "labels")


async def apply_shares_the_items_of_a_status(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Two managers own a condition each; one that lets go takes only its own."""
    name = fresh()
    await store.create(kind, machine(name))
    one, two = (config(name, status={"conditions": [condition(type)]}) for type in ("One", "Two"))
    await store.patch(kind, name, ApplyPatch(one, "A"), subresource="status")
    made = await store.patch(kind, name, ApplyPatch(two, "B"), subresource="status")
    same([each["type"] for each in made["status"]["conditions"]], ["One", "Two"], "conditions")
    made = await store.patch(kind, name, ApplyPatch(config(name), "A"), subresource="status")
    same([each["type"] for each in made["status"]["conditions"]], ["Two"], "conditions left")


async def apply_shares_the_fields_of_an_item(store: Store, kind: Kind, fresh: Fresh) -> None:
    """An item stays while another manager owns it, with the fields of both."""
    name = fresh()
    await store.patch(kind, name, wish(name, host=HOST, taints=[{"key": "a", "effect": "NoSchedule"}]))
    await store.patch(kind, name, wish(name, "B", taints=[{**taint("a"), "value": "1"}]))
    made = await store.patch(kind, name, wish(name, host=HOST))
    same(made["spec"]["taints"], [{**taint("a"), "value": "1"}], "taints")
    made = await store.patch(kind, name, wish(name, "B"))
    same(made["spec"]["taints"], [], "taints when nobody owns them")


async def apply_of_an_atomic_entry(store: Store, kind: Kind, fresh: Fresh) -> None:
    """An entry of components is owned whole: another value anywhere in it is one conflict."""
    name = fresh()
    entry = {"set": "s", "component": "c", "revision": "1"}
    await store.patch(kind, name, wish(name, host=HOST, components={"x": entry}))
    other = {**entry, "revision": "2"}
    error = await fails(Conflict, store.patch(kind, name, wish(name, "B", components={"x": other})))
    same(error.status["details"]["causes"][0]["field"], ".spec.components.x", "field")
    made = await store.patch(kind, name, wish(name, "B", components={"y": entry}))
    same(set(made["spec"]["components"]), {"x", "y"}, "entries")


async def apply_meets_what_defaults_own(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A creator owns the defaults that it was given; one who applies does not."""
    name, other = fresh(), fresh()
    short, whole = {"key": "a", "effect": "NoSchedule"}, {**taint("a"), "value": "1"}
    await store.create(kind, machine(name, taints=[short]))
    await fails(Conflict, store.patch(kind, name, wish(name, taints=[whole])))
    await store.patch(kind, other, wish(other, host=HOST, taints=[short]))
    made = await store.patch(kind, other, wish(other, "B", taints=[whole]))
    same(made["spec"]["taints"], [whole], "taints")


async def apply_while_deleting(store: Store, kind: Kind, fresh: Fresh) -> None:
    """An object that is being deleted can still be applied to, but takes no new finalizer."""
    name = fresh()
    held = {"finalizers": ["example.com/a"]}
    await store.create(kind, machine(name, metadata=held))
    await store.delete(kind, name)
    made = await store.patch(kind, name, wish(name, labels={"a": "1"}))
    same((made["spec"]["labels"], generation(made)), ({"a": "1"}, 3), "labels and generation")
    more = ApplyPatch(config(name, metadata={"finalizers": ["example.com/b"]}), "B")
    told(await fails(Refused, store.patch(kind, name, more)), code=422, reason="Invalid")


async def merge_of_a_null_in_an_item(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A null in an item of a list gives the default, too."""
    name = fresh()
    await store.create(kind, machine(name))
    made = await store.patch(kind, name, spec(taints=[{**taint("a"), "value": None, "timeAdded": None}]))
    same(made["spec"]["taints"], [taint("a")], "taints")


async def generated_names(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Five characters follow the prefix, which is kept."""
    prefix = f"{fresh()}-"
    body = machine("", metadata={"generateName": prefix})
    del body["metadata"]["name"]
    made = (await store.create(kind, body))["metadata"]
    await store.delete(kind, made["name"])
    same((made["name"][: len(prefix)], len(made["name"])), (prefix, len(prefix) + 5), "name")
    same(made["generateName"], prefix, "generateName")


CASES: Final[tuple[Case, ...]] = tuple(
    case(behaviour) for behaviour in (
        merge_takes_the_version_away, merge_to_another_type, finalizers_need_no_domain, annotations_may_have_any_case,
        labels_of_null_are_empty, delete_again_changes_nothing, delete_with_the_right_preconditions,
        find_after_a_delete, swap_of_the_labels, apply_shares_the_items_of_a_status,
        apply_shares_the_fields_of_an_item, apply_of_an_atomic_entry, apply_meets_what_defaults_own,
        apply_while_deleting, merge_of_a_null_in_an_item, generated_names,
    )
)  # fmt: skip
