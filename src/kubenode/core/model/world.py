"""What is not ours but seen: Nodes and requests for certificates, read leniently."""

from datetime import datetime
from typing import ClassVar, Final

import attrs

from kubenode.core.model.machine import Taint
from kubenode.core.model.meta import REGION_LABEL, ZONE_LABEL, Kind, ObjectMeta, Switch

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


@attrs.frozen(kw_only=True)
class NodeStatus:
    """The part of a Node's status that we look at."""

    conditions: tuple[NodeCondition, ...] = ()


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
    """What was answered, as far as we look at it."""

    conditions: tuple[NodeCondition, ...] = ()


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
