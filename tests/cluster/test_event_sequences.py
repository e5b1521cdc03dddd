"""Random sequences of writes to Events in two namespaces: the embedded store and a real API server agree at each step.

The default suite plays 40 of them; the variable KUBENODE_SEQUENCES says how many else, for a nightly run.
"""

import asyncio
import os
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from kubenode.core.errors import ApiError
from kubenode.core.model import Json
from kubenode.runtime.store.contract import Api, ApplyPatch, EventType, FieldValidation, JsonPatch, MergePatch
from kubenode.runtime.store.embedded import EmbeddedStore
from kubenode.runtime.store.events import EVENT
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing import ControlPlane

pytestmark = pytest.mark.cluster

SEQUENCES = int(os.environ.get("KUBENODE_SEQUENCES", "40"))
PATIENCE_S = 30.0
SPACES = ("default", "kube-system")
OWN = ("uid", "resourceVersion", "creationTimestamp")
STAMP = "2026-01-01T00:00:00Z"
CHOICES: dict[str, tuple[Any, ...]] = {
    "reason": ("A", "", None, "x" * 129, 5), "message": ("hello", "é" * 600, None), "type": ("Normal", "Warning", ""),
    "count": (1, 2, 0, -3, 1.5, "x", 2**31, None, True), "action": ("Boot", "", "y" * 129),
    "source": ({"component": "c"}, {"component": "d", "host": "h"}, {}, None, {"host": 1}, {"zz": 1}),
    "firstTimestamp": ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.25+02:00", None, "yesterday", "2026-02-30T00:00:00Z"),
    "lastTimestamp": ("2026-01-02T03:04:05-07:00", "2026-01-02T03:04:05+25:00", "2026-01-02T24:00:00Z", "", "2026-13-40T25:00:00+24:00", "2026-02-29T01:02:03-23:59"),
    "eventTime": ("2026-01-02T03:04:05.000007Z", "2026-01-02T05:04:05.100000+01:00", "2026-01-02T03:04:05.1Z", None),
    "series": ({"count": 2, "lastObservedTime": "2026-01-02T03:04:05.000001Z"}, {"count": 1}, {}, None),
    "related": ({"kind": "Node", "name": "n"}, {}, None, []), "reportingInstance": ("i", "", "z" * 129, None),
    "reportingComponent": ("kubenode.dev/a", "a b", "", None, "/x"), "zz": (1,), "status": ({"a": 1},),
    "involvedObject": (
        {"kind": "Machine", "name": "m"}, {"kind": "Lease", "name": "l", "namespace": "default"},
        {"kind": "Lease", "name": "l", "namespace": "kube-system"}, {"uid": "u", "fieldPath": "spec"}, {}, None, {"name": 1},
    ),
}  # fmt: skip


class Writer:
    """Makes up writes to one Event in each of two namespaces."""

    def __init__(self, seed: int) -> None:
        self.name = f"events-{seed}"
        self.chance = random.Random(seed)

    def fields(self, share: float) -> Json:
        """Give some fields of an Event, in the order that a server knows them in, most of them well-formed."""
        chosen = {}
        for name, values in CHOICES.items():
            if self.chance.random() < share:
                good = self.chance.random() < 0.8
                chosen[name] = values[0] if good else self.chance.choice(values)
        return chosen

    def metadata(self) -> Json:
        """Give some metadata."""
        choices: Json = {
            "labels": {"m": self.chance.choice("12")}, "annotations": {"o": "1"},
            "finalizers": ["example.com/f"], "namespace": self.chance.choice((*SPACES, None)),
        }  # fmt: skip
        return {name: value for name, value in choices.items() if self.chance.random() < 0.2}

    def body(self, share: float) -> Json:
        """Give a whole Event."""
        named = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": self.name, **self.metadata()}}
        return {**named, "involvedObject": {"kind": "Machine", "name": "m"}, **self.fields(share)}


async def act(store: Api, writer: Writer, draw: random.Random) -> Json:
    """Make one write, drawn by chance; both stores are given equal chances."""
    kind = EVENT.within(draw.choice((SPACES[0], SPACES[0], SPACES[1])))
    how = draw.choice((None, None, None, *FieldValidation))
    choice = draw.random()
    if choice < 0.3:
        return await store.create(kind, writer.body(0.2), field_validation=how, dry_run=draw.random() < 0.1)
    if choice < 0.6:
        patch = MergePatch(
            {**({"metadata": writer.metadata()} if draw.random() < 0.4 else {}), **writer.fields(0.2)}
        )
        return await store.patch(kind, writer.name, patch, field_validation=how)
    if choice < 0.68:
        name = draw.choice(("count", "message", "zz"))
        step = {"op": "add", "path": f"/{name}", "value": draw.choice((1, "x"))}
        return await store.patch(kind, writer.name, JsonPatch((step,)), field_validation=how)
    if choice < 0.78:
        return await store.replace(kind, writer.body(0.2), field_validation=how)
    if choice < 0.86:
        known = {
            name: value
            for name, value in writer.body(0.2).items()
            if name in {"kind", "apiVersion", "count", "reason"}
        }
        body = {
            **known,
            "metadata": {"name": writer.name},
            "involvedObject": {"kind": "Machine", "name": "m"},
        }
        fitting = {name: value for name, value in body.items() if name != "count" or type(value) is int}
        texts = {name: value for name, value in fitting.items() if name != "reason" or isinstance(value, str)}
        return await store.patch(kind, writer.name, ApplyPatch(texts, draw.choice("AB"), draw.random() < 0.5))
    if choice < 0.93:
        return await store.delete(kind, writer.name)
    listing = await store.delete_all(
        kind, fields={"metadata.name": writer.name}, labels=draw.choice((None, "m=1", "!m"))
    )
    return {"kind": "List", "metadata": {}, "items": [comparable(item) for item in listing.items]}


def comparable(made: Json) -> Json:
    """Give an object, or a Status, without what each store has of its own."""
    if made["kind"] == "Status":
        return {**made, "details": {**made["details"], "uid": ""}}
    metadata = {key: value for key, value in made["metadata"].items() if key not in OWN}
    if "deletionTimestamp" in metadata:
        metadata["deletionTimestamp"] = STAMP
    return {**made, "metadata": metadata}


async def outcome(store: Api, seed: int, step: int, writer: Writer) -> Any:
    """Give what a write answers, made comparable."""
    writer.chance.seed(seed * 1000 + step)
    try:
        return comparable(await act(store, writer, random.Random(seed * 1000 + step)))
    except ApiError as error:
        causes = (error.status.get("details") or {}).get("causes", ())
        listed = {
            (cause["reason"], cause["field"], cause["message"].rpartition('}": ')[2] or cause["message"])
            for cause in causes
        }  # fmt: skip
        # What a patch makes of an object is shown whole, with the managedFields that our stores do not show.
        shown = error.code == 422 and {field for _, field, _ in listed} == {"patch"}
        message = "" if shown or error.code == 500 else error.status["message"]
        return error.code, error.status.get("reason"), message, listed


async def told(store: Api, start: str, name: str) -> list[tuple[EventType, Json]]:
    """Give what a watch over all namespaces tells, up to the END event."""
    found: list[tuple[EventType, Json]] = []
    watch = await store.watch(EVENT, resource_version=start)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not (found and found[-1][1].get("reason") == "END"):
                for event in await watch.events():
                    if event.object["metadata"].get("name") == name:
                        seen = (event.type, comparable(event.object))
                        if not (found and seen[0] is EventType.MODIFIED and seen[1] == found[-1][1]):
                            found.append(seen)
    finally:
        await watch.close()
    return found


@pytest.mark.parametrize("start", range(0, SEQUENCES, 10))
def test_both_stores_agree_on_events(start: int, control_plane: ControlPlane) -> None:
    """Answers, refusals and what watches tell are equal, step by step."""

    async def run() -> None:
        embedded = EmbeddedStore([(EVENT, None)], clock=lambda: datetime.now(UTC))
        async with KubeStore.connect(kubeconfig=control_plane.admin_kubeconfig) as real:
            for seed in range(start, min(start + 10, SEQUENCES)):
                await _sequence(seed, (embedded, real))

    asyncio.run(run())


async def _sequence(seed: int, stores: tuple[Api, Api]) -> None:
    writer = Writer(seed)
    starts = [(await store.find(EVENT)).resource_version for store in stores]
    for step in range(25):
        ours, theirs = [await outcome(store, seed, step, writer) for store in stores]
        assert ours == theirs, f"{writer.name}, step {step}"
    for store in stores:
        for space in SPACES:
            kind = EVENT.within(space)
            for item in (await store.find(kind, fields={"metadata.name": writer.name})).items:
                await store.patch(
                    kind, item["metadata"]["name"], MergePatch({"metadata": {"finalizers": None}})
                )
            await store.delete_all(kind, fields={"metadata.name": writer.name})
        end = {
            "metadata": {"name": writer.name},
            "involvedObject": {},
            "reason": "END",
            "kind": "Event",
            "apiVersion": "v1",
        }
        await store.create(EVENT.within("default"), end)
    ours, theirs = [await told(store, at, writer.name) for store, at in zip(stores, starts, strict=True)]
    assert ours == theirs
    for store in stores:
        await store.delete(EVENT.within("default"), writer.name)
