"""Nodes, Machines and tallies made by hand, for notebooks and tests: a few words instead of a whole object."""

from collections.abc import Iterable
from datetime import datetime

from kubenode.core.model.batch import BATCH_LIMIT
from kubenode.core.model.componentset import SKIP_LIMIT, MachineComponentSet
from kubenode.core.model.machine import Host, Machine, MachineSpec, MachineStatus, NodeRef
from kubenode.core.model.meta import ZONE_LABEL, ObjectMeta, Switch
from kubenode.core.model.world import Node, NodeCondition, NodeStatus
from kubenode.core.rollout.tally import Seat, Tally, TallyView


def make_node(
    name: str, *, zone: str = "", ready: bool = True, conditions: Iterable[NodeCondition] = ()
) -> Node:
    """Make a Node of uid `uid-NAME`.

    Args:
        name: its name.
        zone: its zone label; empty for none.
        ready: what its kubelet says.
        conditions: beside Ready, in the order given.

    >>> node = make_node("n7", zone="b", ready=False)
    >>> node.metadata.uid, node.status.conditions[0].status
    ('uid-n7', <Switch.FALSE: 'False'>)
    """
    says = NodeCondition(type="Ready", status=Switch.TRUE if ready else Switch.FALSE)
    return Node(
        metadata=ObjectMeta(
            name=name, uid=f"uid-{name}", resource_version="1", labels={ZONE_LABEL: zone} if zone else {}
        ),
        status=NodeStatus(conditions=(says, *conditions)),
    )


def make_machine(node: Node, *, since: datetime) -> Machine:
    """Make the Machine that is Running as a Node, and bears its name.

    A machine that never ran is not healed, and one that ran as another incarnation of the Node is not either.

    Args:
        node: the Node that it is.
        since: when it was Running for the first time; aware.
    """
    name = node.metadata.name
    return Machine(
        metadata=ObjectMeta(name=name, uid=f"uid-machine-{name}", resource_version="1"),
        spec=MachineSpec(host=Host(address=name)),
        status=MachineStatus(
            phase="Running", node_ref=NodeRef(name=name, uid=node.metadata.uid), first_running=since
        ),
    )


def make_tally(owner: MachineComponentSet, seats: Iterable[Seat]) -> TallyView:
    """Count the machines of a set, as its controller would.

    Args:
        owner: the set, with its update revision, component and partition.
        seats: all its machines, in any order.
    """
    update = owner.status.update
    tally = Tally(owner.metadata.name, owner.metadata.uid, None if update is None else update.number)
    for seat in seats:
        tally.moved(None, seat)
    return tally.view(
        BATCH_LIMIT + SKIP_LIMIT, component="" if update is None else update.component,
        keep=owner.spec.rollout.partition, conditions=owner.spec.rollout.compared,
    )  # fmt: skip
