"""What is not ours but seen, read leniently: Nodes, requests for certificates, and of Pods and budgets what a drain looks at."""

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, ClassVar, Final, assert_never

import attrs

from kubenode.core.model.machine import Taint
from kubenode.core.model.meta import REGION_LABEL, ZONE_LABEL, Kind, ObjectMeta, Switch, Wire

SIGNER: Final = "kubernetes.io/kube-apiserver-client"
"""Signs certificates of clients of the API server."""


@attrs.frozen(kw_only=True)
class NodeCondition:
    """A condition as a Node carries it; nothing in it is bounded by us."""

    type: str
    status: Switch = Switch.UNKNOWN
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None
    last_heartbeat_time: datetime | None = None


@attrs.frozen(kw_only=True)
class NodeSpec:
    """The part of a Node's spec that we look at."""

    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    provider_id: Annotated[str, Wire(name="providerID")] = ""


@attrs.frozen(kw_only=True)
class NodeInfo:
    """What the kubelet says of its host.

    Attributes:
        boot_id: of the boot in which the kubelet registered last.
    """

    boot_id: Annotated[str, Wire(name="bootID")] = ""


@attrs.frozen(kw_only=True)
class NodeStatus:
    """The part of a Node's status that we look at."""

    conditions: tuple[NodeCondition, ...] = ()
    node_info: NodeInfo = NodeInfo()


@attrs.frozen(kw_only=True)
class Node:
    """A Kubernetes Node, as far as we look at it."""

    KIND: ClassVar[Kind] = Kind(name="Node", plural="nodes", group="", version="v1", served=False)

    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    @property
    def zone(self) -> str:
        """Its zone label; empty when it has none, which is a zone of its own."""
        return self.metadata.labels.get(ZONE_LABEL, "")

    @property
    def region(self) -> str:
        """Its region label; empty when it has none, which is a region of its own."""
        return self.metadata.labels.get(REGION_LABEL, "")

    @property
    def ready(self) -> bool:
        """Whether its kubelet says so now."""
        return any(c.type == "Ready" and c.status is Switch.TRUE for c in self.status.conditions)


@attrs.frozen(kw_only=True)
class CertificateSigningRequestSpec:
    """What is asked for, and, written by the server and by nobody else, who asks."""

    request: str = ""
    signer_name: str = ""
    usages: tuple[str, ...] = ()
    expiration_seconds: int | None = None
    username: str = ""
    groups: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class CertificateSigningRequestStatus:
    """What was answered, as far as we look at it.

    Attributes:
        certificate: what was signed, base64; empty before.
    """

    conditions: tuple[NodeCondition, ...] = ()
    certificate: str = ""


@attrs.frozen(kw_only=True)
class CertificateSigningRequest:
    """A request for a certificate, of those signers only that agents may ask."""

    KIND: ClassVar[Kind] = Kind(
        name="CertificateSigningRequest", plural="certificatesigningrequests", group="certificates.k8s.io", version="v1",
        served=False, only=f"spec.signerName={SIGNER}",
    )  # fmt: skip

    metadata: ObjectMeta
    spec: CertificateSigningRequestSpec = CertificateSigningRequestSpec()
    status: CertificateSigningRequestStatus = CertificateSigningRequestStatus()


@attrs.frozen(kw_only=True)
class Pod:
    """A Pod, as far as a drain looks at it; `core/node/workload.py` reads it. No cache holds Pods.

    Attributes:
        node: the name of the Node it runs on; empty while it has none.
        owner: the kind of what would make it anew, such as `ReplicaSet`; empty when nothing would.
        phase: as the server says; empty when it does not.
        ready: whether it counts for its budgets.
        mirror: it only shows a static Pod of its kubelet.
        local_data: it has a volume that is lost with it.
        grace: seconds that it is given to end.
        deleting: somebody has asked for its deletion.
    """

    KIND: ClassVar[Kind] = Kind(
        name="Pod", plural="pods", group="", version="v1", served=False, namespaced=True,
        selectable=("spec.nodeName", "status.phase"),
    )  # fmt: skip

    namespace: str
    name: str
    uid: str = ""
    node: str = ""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    owner: str = ""
    phase: str = ""
    ready: bool = False
    priority: int = 0
    mirror: bool = False
    local_data: bool = False
    grace: int = 30
    deleting: bool = False

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Operator(enum.Enum):
    """How a label selector compares."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@attrs.frozen(kw_only=True)
class Requirement:
    """One requirement of a label selector."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def is_met(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels meet it, as the API server does."""
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels
            case _:
                assert_never(self.operator)


@attrs.frozen(kw_only=True)
class PodDisruptionBudget:
    """How many of some Pods may be evicted now, as its controller last counted.

    Attributes:
        selector: what all must be met by its Pods; None selects none, an empty one all of its namespace.
        allowed: how many may be evicted before it is counted anew.
        healthy: how many are, by its controller.
        desired: how many have to be.
        counted: whether its status is of its spec; before that nothing may be evicted.
        spares_unready: whether Pods that are not ready may always be evicted (`AlwaysAllow`).
    """

    KIND: ClassVar[Kind] = Kind(
        name="PodDisruptionBudget", plural="poddisruptionbudgets", group="policy", version="v1", served=False,
        namespaced=True,
    )  # fmt: skip

    namespace: str
    name: str
    selector: tuple[Requirement, ...] | None = None
    allowed: int = 0
    healthy: int = 0
    desired: int = 0
    counted: bool = True
    spares_unready: bool = False

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def selects(self, pod: Pod) -> bool:
        """Tell whether it is this Pod's."""
        if self.selector is None or pod.namespace != self.namespace:
            return False
        return all(one.is_met(pod.labels) for one in self.selector)
