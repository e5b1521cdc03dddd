"""Random sequences of writes: the embedded store and a real API server agree at each step, and so do their watches.

The default suite plays 60 of them; the variable KUBENODE_SEQUENCES says how many else, for a nightly run.
"""

import asyncio
import json
import os
import random
from datetime import UTC, datetime
from typing import Any, TypeAlias

import attrs
import pytest

from kubenode.core.crd import schema_of
from kubenode.core.errors import ApiError
from kubenode.core.model import Json, Machine
from kubenode.runtime.store.contract import (
    Api,
    ApplyPatch,
    EventType,
    FieldValidation,
    JsonPatch,
    MergePatch,
    Patch,
    Propagation,
)
from kubenode.runtime.store.embedded import EmbeddedStore
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing import ControlPlane
from kubenode.runtime.testing.store.case import remove

pytestmark = pytest.mark.cluster

KIND = Machine.KIND
SEQUENCES = int(os.environ.get("KUBENODE_SEQUENCES", "60"))
PATIENCE_S = 30.0
END = "example.com/end"
LABEL = "m"
STAMP = "2026-01-01T00:00:00Z"
OWN = ("uid", "resourceVersion", "creationTimestamp")
TEXTS = ("1", "2")


@attrs.frozen
class Delete:
    """Delete the object."""

    propagation: Propagation | None


@attrs.frozen
class Clear:
    """Delete whatever is selected by this, of the one object that there is."""

    labels: str
    propagation: Propagation | None
    dry_run: bool


@attrs.frozen
class Stray:
    """A write with a field that there is not."""

    change: Json
    how: FieldValidation


@attrs.frozen
class Replace:
    """Read the object, change it, and put it back."""

    change: Json

    def of(self, live: Json) -> Json:
        """Give what to put back."""
        metadata = {
            key: value for key, value in live["metadata"].items() if key not in {"labels", "annotations"}
        }
        return {**live, **self.change, "metadata": {**metadata, **self.change["metadata"]},
                "spec": {"host": live["spec"]["host"], **self.change["spec"]}}  # fmt: skip


Write: TypeAlias = tuple[Patch | Json | Delete | Replace | Clear | Stray, str]


class Writer:
    """Makes up writes to one Machine."""

    def __init__(self, seed: int) -> None:
        self.name = f"sequence-{seed}"
        self.chance = random.Random(seed)

    def maybe(self, value: Any, share: float = 0.4) -> bool:
        """Tell whether to name a field."""
        return value and self.chance.random() < share

    def some(self, keys: str) -> dict[str, str]:
        """Give a map of some keys."""
        return {key: self.chance.choice(TEXTS) for key in keys if self.chance.random() < 0.5}

    def taints(self) -> list[Json]:
        """Give taints in any order."""
        taints = [{"key": key, "effect": "NoSchedule"} for key in "abcd" if self.chance.random() < 0.4]
        self.chance.shuffle(taints)
        for taint in taints:
            if self.chance.random() < 0.5:
                taint["value"] = self.chance.choice(TEXTS)
        return taints

    def entry(self) -> Json:
        """Give an entry of components, which is atomic."""
        return {"set": "s", "component": "c", "revision": self.chance.choice(TEXTS)}

    def spec(self) -> Json:
        """Give part of a spec."""
        choices: Json = {
            "host": {"address": self.chance.choice(["h1", "h2"])}, "labels": self.some("abc"),
            "taints": self.taints(), "deletionPolicy": self.chance.choice(["Release", "Terminate"]),
            "components": {key: self.entry() for key in ("x", "y") if self.chance.random() < 0.5},
        }  # fmt: skip
        return {name: value for name, value in choices.items() if self.maybe(value)}

    def metadata(self) -> Json:
        """Give part of a metadata."""
        choices: Json = {
            "labels": self.some("mn"), "annotations": self.some("op"),
            "finalizers": [f"example.com/{key}" for key in "fg" if self.chance.random() < 0.5],
        }  # fmt: skip
        return {name: value for name, value in choices.items() if self.maybe(value, 0.3)}

    def status(self) -> Json:
        """Give part of a status."""
        stamp = "2026-01-02T03:04:05Z"
        conditions = [
            {"type": key, "reason": self.chance.choice(["A", "B"]), "lastTransitionTime": stamp}
            for key in "PQR" if self.chance.random() < 0.5
        ]  # fmt: skip
        choices = {"phase": self.chance.choice(["p", "q"]), "conditions": conditions}
        return {name: value for name, value in choices.items() if self.maybe(value, 0.7)}

    def config(self, *, whole: bool) -> Json:
        """Give what a manager applies."""
        body: Json = {"apiVersion": KIND.api_version, "kind": KIND.name}
        body["metadata"] = {"name": self.name, **self.metadata()}
        spec = self.spec() | ({"host": {"address": "h1"}} if whole else {})
        return {**body, "spec": spec} if spec else body

    def write(self) -> Write:
        """Give a write: mostly a patch, else something that is done with the whole object."""
        draw = self.chance.random()
        if draw < 0.08:
            return Delete(self.chance.choice((None, Propagation.BACKGROUND))), ""
        if draw < 0.16:
            return self.config(whole=True), ""
        if draw < 0.3:
            change = {"metadata": self.metadata(), "spec": self.spec(), "status": self.status()}
            return Replace(change), self.chance.choice(("", "", "status"))
        if draw < 0.36:
            return MergePatch({"metadata": {"finalizers": None}}), ""
        if draw < 0.42:
            labels = self.chance.choice(("m", "!m", "m=1", "n in (1,2)", "m,n"))
            propagation = self.chance.choice((None, Propagation.BACKGROUND))
            return Clear(labels, propagation, self.chance.random() < 0.3), ""
        if draw < 0.48:
            change = {
                "metadata": {**self.metadata(), "zz": 1},
                "spec": {**self.spec(), "zz": 1},
                "status": {"zz": 1},
            }
            return Stray(change, self.chance.choice(tuple(FieldValidation))), self.chance.choice(
                ("", "status")
            )
        return self.patch()

    def patch(self) -> tuple[Patch, str]:
        """Give a patch and its subresource."""
        draw = self.chance.random()
        if draw < 0.6:
            manager, force = self.chance.choice("ABC"), self.chance.random() < 0.4
            if self.chance.random() < 0.25:
                status = self.status()
                body = {**self.config(whole=False), **({"status": status} if status else {})}
                return ApplyPatch(body, manager, force), "status"
            return ApplyPatch(self.config(whole=False), manager, force), ""
        if draw < 0.7:
            return MergePatch({"status": self.status()}), "status"
        if draw < 0.8:
            path = f"/spec/labels/{self.chance.choice('abc')}"
            return JsonPatch(({"op": "add", "path": path, "value": self.chance.choice(TEXTS)},)), ""
        body = {"metadata": self.metadata(), "spec": self.spec()}
        if self.chance.random() < 0.5:
            body["spec"]["labels"] = {self.chance.choice("abc"): None}
        return MergePatch(body), ""


def comparable(made: Json) -> Json:
    """Give an object, or a Status, without what each store has of its own."""
    if made["kind"] == "Status":
        return {**made, "details": {**made["details"], "uid": ""}}
    metadata = {key: value for key, value in made["metadata"].items() if key not in OWN}
    if "deletionTimestamp" in metadata:
        metadata["deletionTimestamp"] = STAMP
    return {**made, "metadata": metadata}


async def told(store: Api, start: str, labels: str, name: str) -> list[tuple[EventType, Json]]:
    """Give what a watch tells of an object up to its end, each state once.

    The server writes the time of managedFields alone, too; that is no event of a store that shows none.
    """
    found: list[tuple[EventType, Json]] = []
    watch = await store.watch(KIND, resource_version=start, labels=labels)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not (found and END in found[-1][1]["metadata"].get("annotations", {})):
                for event in await watch.events():
                    if event.object["metadata"].get("name") != name:
                        continue
                    seen = (event.type, comparable(event.object))
                    if not (found and event.type is EventType.MODIFIED and seen[1] == found[-1][1]):
                        found.append(seen)
    finally:
        await watch.close()
    return found


async def outcome(store: Api, name: str, write: Write) -> tuple[Any, str]:
    """Give what a write answers, made comparable, and the resourceVersion."""
    act, subresource = write
    try:
        if isinstance(act, dict):
            made = await store.create(KIND, act)
        elif isinstance(act, Delete):
            made = await store.delete(KIND, name, propagation=act.propagation)
        elif isinstance(act, Clear):
            return await cleared(store, name, act), ""
        elif isinstance(act, Stray):
            patch = MergePatch(act.change)
            made = await store.patch(KIND, name, patch, subresource=subresource, field_validation=act.how)
        elif isinstance(act, Replace):
            made = await store.replace(KIND, act.of(await store.get(KIND, name)), subresource=subresource)
        else:
            made = await store.patch(KIND, name, act, subresource=subresource)
    except ApiError as error:
        causes = (error.status.get("details") or {}).get("causes", ())
        listed = {
            (cause["reason"], cause["field"], cause["message"])
            for cause in causes
            if cause["field"] != "<nil>"  # rules are not looked at by one of the two
        }
        # A strict refusal shows the object with its managedFields, which no store of ours has.
        listed = {
            (*cause[:2], cause[2].rpartition('": ')[2] if cause[1] == "patch" else cause[2])
            for cause in listed
        }
        message = error.status["message"] if error.code in {404, 409} else ""
        return (error.code, error.status.get("reason"), message, listed), ""
    return comparable(made), made["metadata"].get("resourceVersion", "")


async def cleared(store: Api, name: str, act: Clear) -> tuple[list[Json], Json | None]:
    """Give what was deleted, and what is left of it."""
    chosen = {"metadata.name": name}
    listing = await store.delete_all(
        KIND, labels=act.labels, fields=chosen, propagation=act.propagation, dry_run=act.dry_run
    )
    left = (await store.find(KIND, fields=chosen)).items
    return [comparable(item) for item in listing.items], comparable(left[0]) if left else None


@pytest.mark.parametrize("start", range(0, SEQUENCES, 15))
def test_both_stores_agree(start: int, plane: ControlPlane) -> None:
    """Answers, conflicts and whether anything was written are equal, step by step."""

    async def run() -> None:
        embedded = EmbeddedStore([(KIND, schema_of(Machine))], clock=lambda: datetime.now(UTC))
        async with KubeStore.connect(kubeconfig=plane.admin_kubeconfig) as real:
            for seed in range(start, min(start + 15, SEQUENCES)):
                await _sequence(seed, (embedded, real))

    asyncio.run(run())


async def _sequence(seed: int, stores: tuple[Api, Api]) -> None:
    writer = Writer(seed)
    first: Patch | Json = writer.config(whole=True)
    if seed % 2:
        first = ApplyPatch(writer.config(whole=True), "H")
    writes: list[Write] = [(first, ""), *(writer.write() for _ in range(writer.chance.randint(4, 10)))]
    starts = [(await store.find(KIND)).resource_version for store in stores]
    versions = ["", ""]
    try:
        for number, write in enumerate(writes):
            (ours, our), (theirs, their) = [await outcome(store, writer.name, write) for store in stores]
            done = json.dumps([str(write) for write in writes[: number + 1]], indent=1)
            assert ours == theirs, f"{writer.name}, step {number}: {done}"
            changed = [our not in {"", versions[0]}, their not in {"", versions[1]}]
            # An apply to /status that crosses a second makes the server write the time of its managedFields
            # alone; no store shows those, so such a write says nothing that ours would have to say too.
            act, subresource = write
            only_time = isinstance(act, ApplyPatch) and subresource == "status" and changed == [False, True]
            assert changed[0] is changed[1] or only_time, (
                f"{writer.name}, step {number}, written: {changed} {done}"
            )
            versions = [our or versions[0], their or versions[1]]
        end = {
            **writer.config(whole=True),
            "metadata": {"name": writer.name, "labels": {LABEL: "1"}, "annotations": {END: "1"}},
        }
        for store in stores:
            await remove(store, KIND, writer.name)
            await store.create(KIND, end)
        for labels in ("", LABEL, f"{LABEL}=1", f"{LABEL} notin (2)"):
            ours, theirs = [
                await told(store, start, labels, writer.name)
                for store, start in zip(stores, starts, strict=True)
            ]
            assert ours == theirs, f"{writer.name}, watch of {labels!r}: {writes}"
    finally:
        for store in stores:
            await remove(store, KIND, writer.name)
