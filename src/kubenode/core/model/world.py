"""What is not ours but seen: Nodes, read leniently."""

from datetime import datetime
from typing import Annotated, ClassVar

import attrs

from kubenode.core.model.machine import Taint
from kubenode.core.model.meta import REGION_LABEL, ZONE_LABEL, Kind, ObjectMeta, Switch, Wire


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
