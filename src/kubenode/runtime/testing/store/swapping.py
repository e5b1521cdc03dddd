"""JSON patches: compare and swap of one value."""

from typing import Any, Final

from kubenode.core.errors import Conflict, Refused
from kubenode.core.model import Kind
from kubenode.runtime.store.contract import Store
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    case,
    fails,
    generation,
    holds,
    machine,
    same,
    swap,
    taint,
)

ENTRY: Final = {
    "set": "runtime",
    "component": "containerd-2",
    "revision": "3",
    "batch": 1,
    "state": "Running",
}


async def swap_when_the_test_passes(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A value is replaced while it is as it was read, whatever else has changed."""
    name = fresh()
    made = await store.create(kind, machine(name, components={"containerd": ENTRY}))
    wanted = {**ENTRY, "revision": "4"}
    patch = swap(
        ("test", "/metadata/uid", made["metadata"]["uid"]),
        ("test", "/spec/components/containerd", ENTRY),
        ("replace", "/spec/components/containerd", wanted),
    )
    made = await store.patch(kind, name, patch)
    same(made["spec"]["components"], {"containerd": wanted}, "components")
    same(generation(made), 2, "generation")


async def swap_when_the_test_fails(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Conflict, and nothing is written."""
    name = fresh()
    made = await store.create(kind, machine(name, labels={"a": "1"}))
    for operation in (
        ("test", "/spec/labels/a", "2"),
        ("test", "/metadata/uid", "other"),
        ("test", "/spec/labels/b", "1"),
    ):
        error = await fails(
            Conflict, store.patch(kind, name, swap(("add", "/spec/labels/c", "1"), operation))
        )
        same(error.code, 422, "code")
    same(await store.get(kind, name), made, "the object")


async def swap_test_of_a_missing_member(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A missing member equals null; below a missing parent nothing does."""
    name = fresh()
    await store.create(kind, machine(name))
    made = await store.patch(
        kind, name, swap(("test", "/spec/labels/a", None), ("add", "/spec/labels/a", "1"))
    )
    same(made["spec"]["labels"], {"a": "1"}, "labels")
    deep = swap(("test", "/spec/operation/opID", None))
    await fails(Conflict, store.patch(kind, name, deep))


async def swap_add_and_remove(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Add sets a member, remove takes it away; a path is unescaped."""
    name = fresh()
    await store.create(kind, machine(name))
    added = await store.patch(kind, name, swap(("add", "/spec/labels/example.com~1a", "1")))
    same(added["spec"]["labels"], {"example.com/a": "1"}, "labels")
    removed = await store.patch(kind, name, swap(("remove", "/spec/labels/example.com~1a")))
    same(removed["spec"]["labels"], {}, "labels")


async def swap_replace_of_a_missing_member_adds(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The server does not follow RFC 6902 here."""
    name = fresh()
    await store.create(kind, machine(name))
    made = await store.patch(kind, name, swap(("replace", "/spec/labels/a", "1")))
    same(made["spec"]["labels"], {"a": "1"}, "labels")


async def swap_that_leads_nowhere(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422 for a missing parent, a missing member to remove, an index past the end, an unknown operation."""
    name = fresh()
    await store.create(kind, machine(name, taints=[taint("a")]))
    wrong: tuple[tuple[str, str, Any] | tuple[str, str], ...] = (
        ("add", "/spec/nowhere/a", "1"), ("remove", "/spec/labels/a"), ("add", "/spec/taints/9", taint("b")),
        ("replace", "/spec/taints/9", taint("b")), ("remove", "/spec/taints/1"), ("add", "/spec/taints/x", taint("b")),
        ("frob", "/spec/labels", {}), ("add", "/spec/host/address/a", "1"), ("add", "spec", {}),
    )  # fmt: skip
    for operation in wrong:
        error = await fails(Refused, store.patch(kind, name, swap(operation)))
        same(error.code, 422, f"code of {operation}")


async def swap_items_of_a_list(store: Store, kind: Kind, fresh: Fresh) -> None:
    """`-` appends, an index inserts, -1 is the last."""
    name = fresh()
    await store.create(kind, machine(name, taints=[taint("m")]))
    patch = swap(
        ("add", "/spec/taints/-", taint("z")), ("add", "/spec/taints/0", taint("a")),
        ("replace", "/spec/taints/-1", taint("y")), ("test", "/spec/taints/1/key", "m"),
    )  # fmt: skip
    made = await store.patch(kind, name, patch)
    same([one["key"] for one in made["spec"]["taints"]], ["a", "m", "y"], "keys")
    made = await store.patch(kind, name, swap(("remove", "/spec/taints/-1"), ("remove", "/spec/taints/0")))
    same([one["key"] for one in made["spec"]["taints"]], ["m"], "keys")


async def swap_without_change_writes_nothing(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The same resourceVersion comes back."""
    name = fresh()
    made = await store.create(kind, machine(name, labels={"a": "1"}))
    patch = swap(("test", "/spec/labels", {"a": "1"}), ("replace", "/spec/labels", {"a": "1"}))
    same(await store.patch(kind, name, patch), made, "the answer")


async def swap_of_the_status(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Through /status only the status changes, and the uid can be tested."""
    name = fresh()
    made = await store.create(kind, machine(name))
    patch = swap(
        ("test", "/metadata/uid", made["metadata"]["uid"]), ("add", "/status", {"phase": "Running"}),
        ("add", "/spec/labels/a", "1"),
    )  # fmt: skip
    made = await store.patch(kind, name, patch, subresource="status")
    same(made["status"]["phase"], "Running", "phase")
    holds("a" not in made["spec"]["labels"], "a label of the spec came through /status")
    wrong = swap(("test", "/metadata/uid", "other"), ("add", "/status/phase", "Else"))
    await fails(Conflict, store.patch(kind, name, wrong, subresource="status"))


CASES: Final[tuple[Case, ...]] = tuple(
    case(behaviour) for behaviour in (
        swap_when_the_test_passes, swap_when_the_test_fails, swap_test_of_a_missing_member, swap_add_and_remove,
        swap_replace_of_a_missing_member_adds, swap_that_leads_nowhere, swap_items_of_a_list,
        swap_without_change_writes_nothing, swap_of_the_status,
    )
)  # fmt: skip
