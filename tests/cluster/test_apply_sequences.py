"""Random sequences of applies and patches: the embedded store and a real API server agree at each step."""

import asyncio
import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from kubenode.core.crd import crds, schema_of
from kubenode.core.errors import ApiError
from kubenode.core.model import Json, Machine
from kubenode.runtime.store.contract import ApplyPatch, JsonPatch, MergePatch, Patch, Store
from kubenode.runtime.store.embedded import EmbeddedStore
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing import ControlPlane
from kubenode.runtime.testing.store.case import remove

pytestmark = pytest.mark.cluster

KIND = Machine.KIND
SEQUENCES = 60
OWN = ("uid", "resourceVersion", "creationTimestamp")
TEXTS = ("1", "2")


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> ControlPlane:
    """Return the control plane with our kinds on it."""
    for crd in crds():
        control_plane.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(crd))
    names = [f"crd/{crd['metadata']['name']}" for crd in crds()]
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
    return control_plane


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

    def write(self) -> tuple[Patch, str]:
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


async def outcome(store: Store, name: str, patch: Patch | Json, subresource: str) -> tuple[Any, str]:
    """Give what a write answers, made comparable, and the resourceVersion."""
    try:
        if isinstance(patch, dict):
            made = await store.create(KIND, patch)
        else:
            made = await store.patch(KIND, name, patch, subresource=subresource)
    except ApiError as error:
        causes = (error.status.get("details") or {}).get("causes", ())
        told = {
            (cause["reason"], cause["field"], cause["message"])
            for cause in causes
            if cause["field"] != "<nil>"  # rules are not looked at by one of the two
        }
        conflict = error.status["message"] if error.code == 409 else ""
        return (error.code, conflict, told), ""
    metadata = {key: value for key, value in made["metadata"].items() if key not in OWN}
    return {**made, "metadata": metadata}, made["metadata"]["resourceVersion"]


@pytest.mark.parametrize("start", range(0, SEQUENCES, 15))
def test_both_stores_agree(start: int, plane: ControlPlane) -> None:
    """Answers, conflicts and whether anything was written are equal, step by step."""

    async def run() -> None:
        embedded = EmbeddedStore([(KIND, schema_of(Machine))], clock=lambda: datetime.now(UTC))
        async with KubeStore.connect(kubeconfig=plane.admin_kubeconfig) as real:
            for seed in range(start, start + 15):
                await _sequence(seed, (embedded, real))

    asyncio.run(run())


async def _sequence(seed: int, stores: tuple[Store, Store]) -> None:
    writer = Writer(seed)
    first: Patch | Json = writer.config(whole=True)
    if seed % 2:
        first = ApplyPatch(writer.config(whole=True), "H")
    writes = [(first, ""), *(writer.write() for _ in range(writer.chance.randint(4, 8)))]
    versions = ["", ""]
    try:
        for number, (patch, subresource) in enumerate(writes):
            (ours, our), (theirs, their) = [
                await outcome(store, writer.name, patch, subresource) for store in stores
            ]
            done = json.dumps([str(write) for write in writes[: number + 1]], indent=1)
            assert ours == theirs, f"{writer.name}, step {number}: {done}"
            changed = [our not in {"", versions[0]}, their not in {"", versions[1]}]
            # An apply to /status that crosses a second makes the server write the time of its managedFields
            # alone; no store shows those, so such a write says nothing that ours would have to say too.
            only_time = isinstance(patch, ApplyPatch) and subresource == "status" and changed == [False, True]
            assert changed[0] is changed[1] or only_time, (
                f"{writer.name}, step {number}, written: {changed} {done}"
            )
            versions = [our or versions[0], their or versions[1]]
    finally:
        for store in stores:
            await remove(store, KIND, writer.name)
