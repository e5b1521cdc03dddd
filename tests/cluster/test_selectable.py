"""Selectable fields of a CRD: what a real API server selects and refuses, the embedded store does too."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Final

import pytest

from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Api
from kubenode.runtime.store.embedded import EmbeddedStore
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing import ControlPlane, ControlPlaneError

pytestmark = pytest.mark.cluster

PATHS: Final = ("spec.flag", "spec.count", "spec.mode", "spec.deep.text", "spec.when", "status.phase")
KIND: Final = Kind(name="Pick", plural="picks", group="kubenode.test", version="v1", selectable=PATHS)
SCHEMA: Final[Json] = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": {
            "flag": {"type": "boolean", "nullable": True}, "count": {"type": "integer"},
            "mode": {"type": "string", "enum": ["A", "B"]},
            "deep": {"type": "object", "properties": {"text": {"type": "string"}}},
            "when": {"type": "string", "format": "date-time"}, "ratio": {"type": "number"},
            "either": {"x-kubernetes-int-or-string": True},
            "list": {"type": "array", "items": {"type": "string"}},
            "map": {"type": "object", "additionalProperties": {"type": "string"}},
        }},
        "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 63}}},
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    },
}  # fmt: skip
SPECS: Final[tuple[Json, ...]] = (
    {"flag": True, "count": 0, "mode": "A", "deep": {"text": "x,y"}, "when": "2026-01-02T03:04:05+01:00"},
    {"flag": False, "count": -7, "deep": {}},
    {"flag": None, "count": 1.0, "mode": "B"},
    {"count": 9007199254740993},
    {},
)
SELECTORS: Final = (
    "spec.flag=true", "spec.flag=false", "spec.flag=", "spec.flag!=true", "spec.flag=True", "spec.count=0",
    "spec.count=-7", "spec.count=1", "spec.count=1.0", "spec.count=9007199254740993", "spec.count=", "spec.mode=A",
    "spec.mode!=A,spec.count!=0", "spec.mode=", r"spec.deep.text=x\,y", "spec.deep.text=",
    "spec.when=2026-01-02T03:04:05+01:00", "spec.when=2026-01-02T02:04:05Z", "status.phase=",
)  # fmt: skip
WRONG: Final = (
    "spec.ratio", "spec.either", "spec.list", "spec.map", "spec", "spec.nope", "metadata.name", "metadata.uid", "spec.deep",
)  # fmt: skip


def crd(kind: Kind) -> Json:
    """Write a CRD."""
    version = {
        "name": kind.version, "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA},
        "subresources": {"status": {}}, "selectableFields": [{"jsonPath": f".{path}"} for path in kind.selectable],
    }  # fmt: skip
    names = {"kind": kind.name, "plural": kind.plural}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {"group": kind.group, "scope": "Cluster", "names": names, "versions": [version]},
    }  # fmt: skip


async def selected(store: Api) -> dict[str, list[str]]:
    """Make the objects, and give their names by selector."""
    for number, spec in enumerate(SPECS):
        named = {"apiVersion": KIND.api_version, "kind": KIND.name, "metadata": {"name": f"p{number}"}}
        await store.create(KIND, {**named, "spec": spec})
    found = {}
    for text in SELECTORS:
        listing = await store.find(KIND, fields=text)
        found[text] = [item["metadata"]["name"] for item in listing.items]
    return found


def test_values_of_each_type(control_plane: ControlPlane) -> None:
    """Booleans, numbers, texts and what is not there are compared as the server compares them."""
    control_plane.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(crd(KIND)))
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/picks.kubenode.test")

    async def run() -> dict[str, list[str]]:
        async with KubeStore.connect(kubeconfig=control_plane.admin_kubeconfig) as store:
            return await selected(store)

    theirs = asyncio.run(run())
    ours = asyncio.run(selected(EmbeddedStore([(KIND, SCHEMA)], clock=lambda: datetime.now(UTC))))
    assert ours == theirs
    assert sum(map(bool, theirs.values())) > len(SELECTORS) // 2, "hardly anything was selected"


@pytest.mark.parametrize("path", WRONG)
def test_fields_that_cannot_be_declared(path: str, control_plane: ControlPlane) -> None:
    """The server refuses the CRD, the embedded store the kind, both in these words."""
    kind = Kind(name="Wrong", plural="wrongs", group="kubenode.test", version="v1", selectable=(path,))
    with pytest.raises(ControlPlaneError) as theirs:
        control_plane.kubectl("create", "-f", "-", input=json.dumps(crd(kind)))
    with pytest.raises(ValueError, match=r"the schema of Wrong: \.") as ours:
        EmbeddedStore([(kind, SCHEMA)], clock=lambda: datetime.now(UTC))
    fault = str(ours.value).partition(f".{path} ")[2]
    assert fault
    assert fault in str(theirs.value)
