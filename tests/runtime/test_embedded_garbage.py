"""Garbage collection of the embedded store, and listings of states that there are not."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kubenode.core.crd import schema_of
from kubenode.core.errors import Expired, ObjectNotFound, ServerFailed
from kubenode.core.model import Json, Machine, Node
from kubenode.runtime.store.contract import Match, MergePatch, Propagation
from kubenode.runtime.store.embedded import EmbeddedStore, now_or_never
from kubenode.runtime.testing.store import CASES

KIND = Machine.KIND


def store(**more: Any) -> EmbeddedStore:
    """Make a store of Machines and Nodes."""
    kinds: list[Any] = [(KIND, schema_of(Machine)), (Node.KIND, None)]
    return EmbeddedStore(kinds, clock=lambda: datetime(2026, 1, 2, tzinfo=UTC), **more)


def make(api: EmbeddedStore, name: str, *owners: Json, **metadata: Any) -> Json:
    """Create a Machine with owners."""
    named = {"apiVersion": KIND.api_version, "kind": "Machine"}
    about = {"name": name, "ownerReferences": list(owners), **metadata}
    return now_or_never(api.create(KIND, {**named, "metadata": about, "spec": {"host": {"address": "h"}}}))


def owner(obj: Json, **more: Any) -> Json:
    """Write a reference."""
    metadata = obj["metadata"]
    named = {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    return {**named, "name": metadata["name"], "uid": metadata["uid"], **more}


def names(api: EmbeddedStore) -> list[str]:
    """Give the names of all Machines."""
    return [item["metadata"]["name"] for item in now_or_never(api.find(KIND)).items]


def test_an_owner_of_a_kind_that_is_not_served_is_not_taken_for_gone() -> None:
    """Of one that is served, but that no object is of, it is."""
    api = store()
    make(api, "pod", {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"})
    make(api, "node", {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"})
    assert now_or_never(api.collect_garbage()) == 1
    assert names(api) == ["pod"]
    assert now_or_never(api.collect_garbage()) == 0


def test_a_circle_in_the_foreground_is_broken() -> None:
    """Two that own and block each other both go."""
    api = store()
    one = make(api, "one")
    two = make(api, "two", owner(one, blockOwnerDeletion=True))
    back = {"metadata": {"ownerReferences": [owner(two, blockOwnerDeletion=True)]}}
    now_or_never(api.patch(KIND, "one", MergePatch(back)))
    now_or_never(api.delete(KIND, "one", propagation=Propagation.FOREGROUND))
    now_or_never(api.collect_garbage())
    assert names(api) == []


def test_orphans_of_an_orphan_stay() -> None:
    """A dependent that goes with its owner, but is itself to orphan, leaves its own dependents."""
    api = store()
    root = make(api, "root")
    middle = make(api, "middle", owner(root), finalizers=["orphan"])
    make(api, "leaf", owner(middle))
    now_or_never(api.delete(KIND, "root"))
    now_or_never(api.collect_garbage())
    assert names(api) == ["leaf"]
    assert "ownerReferences" not in now_or_never(api.get(KIND, "leaf"))["metadata"]


def test_collecting_is_reproducible() -> None:
    """The same objects give the same events at the same versions."""
    told = []
    for _ in range(2):
        api = store()
        root = make(api, "root")
        for name in ("c", "a", "b"):
            make(api, name, owner(root))
        now_or_never(api.delete(KIND, "root"))
        watch = now_or_never(api.watch(KIND, resource_version="6"))
        assert now_or_never(api.collect_garbage()) == 3
        told.append([(event.type, event.object) for event in watch.drain()])
    assert told[0] == told[1]
    assert [obj["metadata"]["name"] for _, obj in told[0]] == ["a", "b", "c"]


def test_a_version_that_is_yet_to_come() -> None:
    """504, as a server says after three seconds."""
    for match in (None, *Match):
        with pytest.raises(ServerFailed) as failed:
            now_or_never(store().find(KIND, resource_version="99", match=match))
        assert failed.value.code == 504
        assert failed.value.status["message"] == "Timeout: Too large resource version: 99, current: 1"
        assert failed.value.status["details"]["retryAfterSeconds"] == 1


def test_a_version_that_is_forgotten() -> None:
    """410."""
    api = store(window=2)
    for number in range(4):
        make(api, f"m{number}")
    with pytest.raises(Expired) as expired:
        now_or_never(api.find(KIND, resource_version="2", match=Match.EXACT))
    assert expired.value.status["message"] == "The resourceVersion for the provided list is too old."
    kept = now_or_never(api.find(KIND, resource_version="4", match=Match.EXACT))
    assert [item["metadata"]["name"] for item in kept.items] == ["m0", "m1", "m2"]


def test_replace_through_an_unknown_subresource() -> None:
    """404."""
    api = store()
    with pytest.raises(ObjectNotFound):
        now_or_never(api.replace(KIND, make(api, "m"), subresource="scale"))


def test_the_page_counts_right() -> None:
    """The numbers of docs/reference/embedded-api.md are those of the suite."""
    page = (Path(__file__).parents[2] / "docs/reference/embedded-api.md").read_text()
    real = sum(not case.embedded_only for case in CASES)
    assert f"{real} behaviours are shown on a real server" in page
    assert len(CASES) - real == 2
