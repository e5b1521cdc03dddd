"""What an apply of labels and annotations must do on a Node, played on any store; each play has a Node of its own."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import attrs
import pytest

from kubenode.core import wire
from kubenode.core.errors import ObjectNotFound
from kubenode.core.model import Node
from kubenode.core.model.machine import Taint, TaintEffect
from kubenode.core.model.meta import MACHINE_LABEL, SYNCED_ANNOTATIONS, SYNCED_LABELS, SYNCED_TAINTS
from kubenode.core.node.sync import Marks, plan_marks, plan_removal
from kubenode.runtime.engine.apply import NoHands, apply
from kubenode.runtime.store.contract import ApplyPatch, MergePatch, Store


async def _there(store: Store, name: str) -> Node:
    return wire.read(await store.get(Node.KIND, name), Node)


async def register(store: Store, name: str, labels: Mapping[str, str]) -> None:
    """Register a Node, as a kubelet does."""
    await store.create(
        Node.KIND, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": dict(labels)}}
    )


async def _write(store: Store, name: str, **patch: Any) -> None:
    """Write as somebody who does not apply: `kubectl label`."""
    await store.patch(Node.KIND, name, MergePatch({"metadata": patch}))


async def sync(
    store: Store, name: str, labels: Mapping[str, str] | None, annotations: Mapping[str, str] | None = None
) -> tuple[Node, Marks]:
    """Decide and write until nothing is left to do, as the controller would; None for labels takes all back."""
    for _ in range(5):
        node = await _there(store, name)
        marks = (
            plan_removal(node)
            if labels is None
            else plan_marks(node, machine="m1", labels=labels, taints=(), annotations=annotations or {})
        )
        if not marks.applies:
            return node, marks
        await apply((marks.apply(node),), store, NoHands())
    raise AssertionError("not at rest after five writes")


async def they_come_change_and_go(store: Store, name: str) -> None:
    """Both, with a record of each; what is foreign stays, and all of ours goes."""
    await register(store, name, {"theirs": "x"})
    await _write(store, name, annotations={"theirs": "y"})
    await sync(store, name, {"pool": "a", "rack": "1"}, {"team": "blue"})
    node, marks = await sync(store, name, {"pool": "b"}, {"team": "red", "tier": "gold"})
    assert node.metadata.labels == {"theirs": "x", "pool": "b", MACHINE_LABEL: "m1"}
    noted = dict(node.metadata.annotations)
    assert json.loads(noted.pop(SYNCED_LABELS)) == {"pool": "b", MACHINE_LABEL: "m1"}
    assert json.loads(noted.pop(SYNCED_ANNOTATIONS)) == {"team": "red", "tier": "gold"}
    assert noted == {"theirs": "y", "team": "red", "tier": "gold"}
    assert marks.conflicts == ()
    node, _ = await sync(store, name, None)
    assert node.metadata.labels == {"theirs": "x"}
    assert node.metadata.annotations == {"theirs": "y"}


async def what_others_change_is_theirs(store: Store, name: str) -> None:
    """It is told and not fought, and stays when we go."""
    await register(store, name, {})
    await sync(store, name, {"pool": "a", "rack": "1"})
    await _write(store, name, labels={"pool": "stolen"})
    node, marks = await sync(store, name, {"pool": "a", "rack": "1"})
    assert marks.conflicts == ("label pool is 'stolen', wanted 'a'",)
    assert node.metadata.labels["pool"] == "stolen"
    node, marks = await sync(store, name, {"pool": "c", "rack": "2"})
    assert marks.conflicts == ("label pool is 'stolen', wanted 'c'",)
    assert node.metadata.labels == {"pool": "stolen", "rack": "2", MACHINE_LABEL: "m1"}
    node, _ = await sync(store, name, None)
    assert node.metadata.labels == {"pool": "stolen"}


async def what_another_applies_too_is_shared(store: Store, name: str) -> None:
    """Neither takes it from the other: not by going, and not by wanting something else."""
    await register(store, name, {})
    theirs = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"pool": "a"}}}
    await store.patch(Node.KIND, name, ApplyPatch(theirs, "another"))
    await sync(store, name, {"pool": "a", "rack": "1"})
    node, marks = await sync(store, name, {"pool": "b", "rack": "2"})
    assert marks.conflicts == ("label pool is 'a', wanted 'b'",)
    assert node.metadata.labels == {"pool": "a", "rack": "2", MACHINE_LABEL: "m1"}
    await sync(store, name, {"pool": "a"})
    node, _ = await sync(store, name, None)
    assert node.metadata.labels == {"pool": "a"}


async def a_spoilt_record_is_written_anew(store: Store, name: str) -> None:
    """Whatever somebody wrote there; nothing of ours is lost by it, and nothing foreign goes."""
    await register(store, name, {"theirs": "x"})
    wanted: Final = {"pool": "a", "rack": "1"}
    await sync(store, name, wanted, {"team": "blue"})
    await _write(store, name, annotations={SYNCED_LABELS: '{"theirs":"x"}', SYNCED_ANNOTATIONS: "{"})
    node, marks = await sync(store, name, wanted, {"team": "blue"})
    assert node.metadata.labels == {"theirs": "x", **wanted, MACHINE_LABEL: "m1"}
    assert json.loads(node.metadata.annotations[SYNCED_LABELS]) == {**wanted, MACHINE_LABEL: "m1"}
    assert json.loads(node.metadata.annotations[SYNCED_ANNOTATIONS]) == {"team": "blue"}
    assert marks.conflicts == ()
    await _write(store, name, annotations={SYNCED_LABELS: None, SYNCED_ANNOTATIONS: None})
    await sync(store, name, wanted, {"team": "blue"})
    node, _ = await sync(store, name, None)
    assert (node.metadata.labels, node.metadata.annotations) == ({"theirs": "x"}, {})


async def taints_come_change_and_go(store: Store, name: str) -> None:
    """In the order in which they are there; those of others stay, and all of ours goes."""
    theirs = Taint(key="theirs", value="x", effect=TaintEffect.PREFER_NO_SCHEDULE)
    raw = {"key": "theirs", "value": "x", "effect": "PreferNoSchedule"}
    await register(store, name, {})
    await store.patch(Node.KIND, name, MergePatch({"spec": {"taints": [raw]}}))
    ours = Taint(key="pool", value="a", effect=TaintEffect.NO_SCHEDULE)
    other = attrs.evolve(ours, effect=TaintEffect.PREFER_NO_SCHEDULE)
    for wanted in ((ours,), (attrs.evolve(ours, value="b"), other), (other,), ()):
        for _ in range(5):
            node = await _there(store, name)
            marks = plan_marks(node, machine="m1", labels={}, taints=wanted)
            if not marks.differ:
                break
            effect = marks.apply(node) if marks.applies else marks.patch(node, {})
            outcome = await apply((effect,), store, NoHands())
            assert outcome.error is None
        assert not marks.differ
        assert node.spec.taints == (theirs, *wanted)
        assert (SYNCED_TAINTS in node.metadata.annotations) is bool(wanted)


async def nothing_is_written_to_another_node(store: Store, name: str) -> None:
    """Neither to a later one of its name nor to one that has changed since, and none is made."""
    await register(store, name, {})
    before = await _there(store, name)
    effect = plan_marks(before, machine="m1", labels={"pool": "a"}, taints=()).apply(before)
    await _write(store, name, labels={"theirs": "x"})
    outcome = await apply((effect,), store, NoHands())
    assert outcome.error is not None
    await store.delete(Node.KIND, name)
    outcome = await apply((effect,), store, NoHands())
    assert outcome.error is not None
    with pytest.raises(ObjectNotFound):
        await store.get(Node.KIND, name)
    await register(store, name, {})
    outcome = await apply((effect,), store, NoHands())
    assert outcome.error is not None
    assert (await _there(store, name)).metadata.labels == {}


PLAYS: Final[tuple[Callable[[Store, str], Awaitable[None]], ...]] = (
    they_come_change_and_go,
    what_others_change_is_theirs,
    what_another_applies_too_is_shared,
    a_spoilt_record_is_written_anew,
    taints_come_change_and_go,
    nothing_is_written_to_another_node,
)
