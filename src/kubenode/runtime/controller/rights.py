"""What the controllers may do on a server: the one table from which RBAC is made and by which it is checked at start."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from kubenode.core import model as m
from kubenode.core.model.meta import GROUP
from kubenode.core.model.world import SIGNER, CertificateSigningRequest
from kubenode.runtime.store.rights import Right

CRD_GROUP: Final = "apiextensions.k8s.io"
EVENTS: Final = tuple(
    Right(group="", resource="events", verb=verb, namespace="default") for verb in ("create", "patch")
)
"""What all of them tell, whichever runs; Events about cluster-scoped objects are in that namespace."""

ENROL: Final = "enrol"
"""The controller that runs only when it is named."""
CSR_GROUP: Final = CertificateSigningRequest.KIND.group
_CSRS: Final = CertificateSigningRequest.KIND.plural
ENROLS: Final = (
    Right(group=CSR_GROUP, resource=f"{_CSRS}/approval", verb="patch"),
    Right(group=CSR_GROUP, resource="signers", verb="approve", name=SIGNER),
    Right(group="", resource="secrets", verb="delete", namespace="kube-system"),
)
"""What the enrol controller does outside our API group; admission policies narrow it (`runtime/policies.py`)."""

TELLS_TOKENS: Final = Right(group="", resource="secrets", verb="create", namespace="kube-system")
"""What it takes to let the server know the tokens of instances that enrol by user data; a policy says of which Secrets."""

LOOKS: Final[Mapping[str, tuple[Right, ...]]] = MappingProxyType({
    "machine": tuple(
        Right(group=cls.KIND.group, resource=cls.KIND.plural, verb="list")
        for cls in (m.Pod, m.PodDisruptionBudget)
    ),
})  # fmt: skip
"""What each reads besides, and never watches: of a Node that is drained."""

_JOBS: Final = m.RemedyOperationJob.KIND.plural
_WRITES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    "machine": (
        "patch machines", "patch machines/status", "patch nodes", "patch nodes/status", "create pods/eviction",
        "delete nodes",
    ),
    "machineset": (
        "create machines", "patch machines", "delete machines", "patch machinesets", "patch machinesets/status",
    ),
    "rollout": ("patch machines", "patch machinecomponentsets/status"),
    "drift": ("patch machines",),
    "repair": ("patch machines", f"create {_JOBS}", f"patch {_JOBS}/status"),
    "remedy": ("patch machines", "delete machines", f"create {_JOBS}", f"patch {_JOBS}/status"),
    "rehearsal": ("patch noderemediers/status",),
    "abandoned": (f"patch {_JOBS}/status",),
    "accept": ("patch noderemediers/status", "patch riskpolicies/status"),
    "risk": ("create riskledgers", "patch riskledgers/status"),
    "doctor": ("patch machines/status",),
})  # fmt: skip
"""What each controller writes."""
EXTERNAL: Final = "external"
"""The controller that runs only when it is named, and answers to the health checks of others."""
_REQUESTS: Final = m.KubenodeRemediation.KIND.plural
_OPTIONAL: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({
    ENROL: ("patch machines/status",),
    EXTERNAL: (f"patch {_REQUESTS}", f"patch {_REQUESTS}/status", "patch nodes/status"),
})  # fmt: skip


def rights(
    only: Collection[str] = tuple(_WRITES), *, observes: bool = False, user_data: bool = False
) -> tuple[Right, ...]:
    """Give what some controllers need, sorted; every one of them reads every kind.

    Args:
        only: their names.
        observes: they write nothing.
        user_data: instances enrol by theirs.
    """
    reads = [
        Right(group=cls.KIND.group, resource=cls.KIND.plural, verb=verb)
        for cls in (
            *m.WATCHED,
            *(m.ASKED if ENROL in only else ()),
            *(m.REMEDIATION if EXTERNAL in only else ()),
        )
        for verb in ("list", "watch")
    ]
    definitions = [
        Right(group=CRD_GROUP, resource="customresourcedefinitions", verb="get", name=f"{cls.KIND.plural}.{GROUP}")
        for cls in m.KINDS
    ]  # fmt: skip
    said = () if observes else {text for name in only for text in {**_WRITES, **_OPTIONAL}[name]}
    told = () if observes else EVENTS
    looks = (right for name in only for right in LOOKS.get(name, ()))
    enrols = ENROLS if ENROL in only and not observes else ()
    tokens = (TELLS_TOKENS,) if user_data and "machine" in only and not observes else ()
    return tuple(sorted((*reads, *looks, *definitions, *map(_right, said), *told, *enrols, *tokens)))


def _right(text: str) -> Right:
    verb, resource = text.split()
    foreign = (m.Node.KIND.plural, m.Pod.KIND.plural)
    group = m.Node.KIND.group if resource.partition("/")[0] in foreign else GROUP
    return Right(group=group, resource=resource, verb=verb)
