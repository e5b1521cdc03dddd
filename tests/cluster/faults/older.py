"""A controller that knows less, beside one of today: the fields below do not exist for it, neither to read nor to write.

    python -m tests.cluster.faults.older controller --kubeconfig ...

They are what has come since an earlier version of this project, so what it reads, rewrites and leaves out is what that
version did. That its deciders are those of today is what this cannot show (decision 0082).
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kubenode.core import model as m
from kubenode.core.model import Json, Kind
from kubenode.runtime.cli import main
from kubenode.runtime.store import kube, stream
from kubenode.runtime.store.answer import clean
from kubenode.runtime.store.contract import JsonPatch, MergePatch, Patch

SINCE: Final[Mapping[str, tuple[str, ...]]] = {
    "Machine": ("spec.infrastructure.secretRef", "spec.operation.steps[].component"),
    "MachineSet": ("spec.template.spec.infrastructure.secretRef",),
    "MachineComponent": ("spec.dependencies", "spec.probes"),
    "MachineComponentSet": (
        "spec.rollout.inspectAgain", "spec.rollout.inspection.hooks", "spec.rollout.inspection.onFailure",
        "status.rolledBack", "status.batch.inspections",
    ),
    "NodeRemedier": ("spec.limits", "spec.dryRun", "status.dryRun"),
    "RemedyOperationJob": ("spec.component",),
    "RiskLedger": ("status.holds[].joined", "status.holds[].over"),
}  # fmt: skip
"""What the version of 25 November 2026 (684e147) did not know, by kind; `[]` is each item of a list."""


def forget(kind: str, obj: Json) -> Json:
    """Take the unknown fields out of an object, or of a merge patch of one."""
    for path in SINCE.get(kind, ()):
        *way, last = path.split(".")
        for owner in _owners(obj, way):
            owner.pop(last, None)
    return obj


def _owners(value: Any, way: Sequence[str]) -> Iterator[Json]:
    """Give what stands at the end of a way through an object, as far as there is something."""
    if not isinstance(value, dict):
        return
    if not way:
        yield value
        return
    below = value.get(way[0].removesuffix("[]"))
    for one in below if way[0].endswith("[]") and isinstance(below, list) else [below]:
        yield from _owners(one, way[1:])


def forgotten(kind: str, patch: Patch) -> Patch:
    """Give a patch as one would write it who does not know the fields."""
    match patch:
        case MergePatch():
            return MergePatch(forget(kind, dict(patch.body)))
        case JsonPatch(operations):
            return JsonPatch(tuple(_operation(kind, one) for one in operations))
        case _:
            return patch


def _operation(kind: str, operation: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the fields out of the value of one operation, which is that of one field of the object."""
    if not isinstance(operation.get("value"), dict):
        return operation
    *way, last = operation["path"].strip("/").split("/")
    whole: Json = {last: operation["value"]}
    for name in reversed(way):
        whole = {name: whole}
    value = forget(kind, whole)
    for name in (*way, last):
        value = value[name]
    return {**operation, "value": value}


def know_less() -> None:
    """Let this process know less from now on."""
    create, patch = kube.KubeStore.create, kube.KubeStore.patch

    def known(kind: Kind, obj: Json) -> Json:
        return forget(kind.name, clean(kind, obj))

    async def create_less(store: Any, kind: Kind, obj: Json, **more: Any) -> Json:
        return await create(store, kind, forget(kind.name, obj), **more)

    async def patch_less(store: Any, kind: Kind, name: str, change: Patch, **more: Any) -> Json:
        return await patch(store, kind, name, forgotten(kind.name, change), **more)

    assert {kind.KIND.name for kind in m.KINDS} >= SINCE.keys()
    kube.clean = stream.clean = known
    kube.KubeStore.create, kube.KubeStore.patch = create_less, patch_less


if __name__ == "__main__":
    know_less()
    sys.argv[0] = "kubenode"
    main()
