"""What the controllers may do on a server: the one table from which RBAC is made and by which it is checked at start."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from kubenode.core import model as m
from kubenode.core.model.meta import GROUP
from kubenode.runtime.store.rights import Right

CRD_GROUP: Final = "apiextensions.k8s.io"
EVENTS: Final = tuple(
    Right(group="", resource="events", verb=verb, namespace="default") for verb in ("create", "patch")
)
"""What all of them tell, whichever runs; Events about cluster-scoped objects are in that namespace."""

_JOBS: Final = m.RemedyOperationJob.KIND.plural
_WRITES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "machine": ("patch machines", "patch machines/status", "patch nodes", "patch nodes/status", "delete nodes"),
    "machineset": (
        "create machines", "patch machines", "delete machines", "patch machinesets", "patch machinesets/status",
    ),
    "rollout": ("patch machines", "patch machinecomponentsets/status"),
    "drift": ("patch machines",),
    "repair": ("patch machines", f"create {_JOBS}", f"patch {_JOBS}/status"),
    "remedy": ("patch machines", f"create {_JOBS}", f"patch {_JOBS}/status"),
    "rehearsal": ("patch noderemediers/status",),
    "abandoned": (f"patch {_JOBS}/status",),
    "accept": ("patch noderemediers/status", "patch riskpolicies/status"),
    "risk": ("create riskledgers", "patch riskledgers/status"),
})  # fmt: skip
"""What each controller writes."""


def rights(only: Collection[str] = tuple(_WRITES), *, observes: bool = False) -> tuple[Right, ...]:
    """Give what some controllers need, sorted; every one of them reads every kind.

    Args:
        only: their names.
        observes: they write nothing.
    """
    reads = [
        Right(group=cls.KIND.group, resource=cls.KIND.plural, verb=verb)
        for cls in m.WATCHED
        for verb in ("list", "watch")
    ]
    definitions = [
        Right(group=CRD_GROUP, resource="customresourcedefinitions", verb="get", name=f"{cls.KIND.plural}.{GROUP}")
        for cls in m.KINDS
    ]  # fmt: skip
    said = () if observes else {text for name in only for text in _WRITES[name]}
    told = () if observes else EVENTS
    return tuple(sorted((*reads, *definitions, *map(_right, said), *told)))


def _right(text: str) -> Right:
    verb, resource = text.split()
    group = m.Node.KIND.group if resource.partition("/")[0] == m.Node.KIND.plural else GROUP
    return Right(group=group, resource=resource, verb=verb)
