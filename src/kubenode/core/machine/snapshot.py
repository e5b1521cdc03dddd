"""What one decision about a machine may depend on, and who this machine is.

`decide.py` is given a `MachineSnapshot`; `signals.py` and `conditions.py` read it.
"""

from collections.abc import Mapping

import attrs

from kubenode.core.decision import NOTHING_SEEN
from kubenode.core.instance.seen import Case, InstanceSight
from kubenode.core.machine.reasons import MachineReason
from kubenode.core.model.instance import InstanceStep
from kubenode.core.model.machine import Machine, NodeRef
from kubenode.core.model.meta import MACHINE_LABEL, Switch
from kubenode.core.model.now import Now, moment
from kubenode.core.model.risk import Cause
from kubenode.core.model.world import Node, NodeCondition
from kubenode.core.node.sync import label_value
from kubenode.core.node.workload import Workload


@attrs.frozen(kw_only=True)
class MachineSnapshot:
    """One machine, its Node and what others want of it.

    Attributes:
        node: the Node this machine is, by `status.nodeRef` or by the name its agent gives; None when
            no such Node is there.
        rival: the name of another Machine that says it is the same Node; empty when there is none.
        wanted: the component names that the sets selecting this machine want to see in its entries.
        hold: the cause of the open hold on this machine; None when no hold is open.
        holds: the op-ids of that hold.
        drains: the one of them whose act needs the Node drained; empty when none does.
        workload: what ran on the Node at the last look; None when nobody has looked, or need not.
        sight: what is known of its instance; None when it has none and wants none.
        barred: why its instance may not be terminated now; empty when it may.
        ledger: whether the RiskLedger stands. Before it does no machine becomes Running: a ledger that
            is made when machines have been Running takes that for lost history, and stays closed a day.
    """

    machine: Machine
    node: Node | None = None
    rival: str = ""
    wanted: frozenset[str] = frozenset()
    hold: Cause | None = None
    holds: frozenset[str] = frozenset()
    drains: str = ""
    workload: Workload | None = None
    sight: InstanceSight | None = None
    barred: str = ""
    ledger: bool = True
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN

    @property
    def case(self) -> Case | None:
        """Its instance, as it is decided on; None when it has none and wants none."""
        if self.sight is None:
            return None
        # What is contested is a person's to settle: no time limit ends in another instance.
        joined = self.node is not None or self.contest is not None
        well = self.node is not None and self.node.ready
        return Case(
            machine=self.machine, sight=self.sight, joined=joined, well=well, now=self.now, sightings=self.sightings
        )  # fmt: skip

    @property
    def instance_made(self) -> bool:
        """Whether the status names an instance whose end was neither asked for nor seen."""
        instance = self.machine.status.instance
        return instance is not None and instance.step is InstanceStep.MADE

    @property
    def own_node(self) -> Node | None:
        """The Node, if it is certain that it is this machine's and that no other instance has registered as it."""
        node, instance = self.node, self.machine.status.instance
        if node is None or self.contest is not None or self.unread:
            return None
        if node.metadata.labels.get(MACHINE_LABEL) not in (None, label_value(self.machine.metadata.name)):
            return None
        return None if instance is not None and _differ(node.spec.provider_id, instance.provider_id) else node

    @property
    def deleting(self) -> bool:
        """Whether somebody has asked for the machine's deletion."""
        return self.machine.metadata.deletion_timestamp is not None

    @property
    def ran(self) -> bool:
        """Whether this machine was Running with this incarnation of its Node."""
        known = self.machine.status.node_ref
        return (
            self.machine.status.first_running is not None
            and self.node is not None
            and known is not None
            and known.uid == self.node.metadata.uid
        )

    @property
    def node_ref(self) -> NodeRef | None:
        """The Node to remember: the one seen, else the one seen last; unchanged while contested."""
        if self.node is None or self.contest is not None:
            return self.machine.status.node_ref
        return NodeRef(name=self.node.metadata.name, uid=self.node.metadata.uid)

    @property
    def contest(self) -> tuple[MachineReason, str] | None:
        """Why it is not certain that this machine is that Node; None when it is.

        Nothing is done to a Node that two machines claim, nor when the agent names another Node than the
        one this machine is known to be, or, before any is known, the one that is seen; nor when that one is
        another host's, which has the same name (S12: ambiguity means no effect).
        """
        known, agent = self.machine.status.node_ref, self.machine.status.agent
        if self.rival:
            return (
                MachineReason.CONFLICT,
                f"Machine {self.rival} says it is the same Node; delete one of the two",
            )
        name = known.name if known is not None else self.node.metadata.name if self.node is not None else ""
        if name and agent is not None and agent.node_name not in ("", name):
            text = f"the agent says it is Node {agent.node_name}, but this machine is Node {name}"
            return MachineReason.NODE_CHANGED, text
        if known is None and self._is_of_another_boot:
            text = f"Node {name} is Ready in another boot than this machine's agent is in, so another host is that Node; give one of both hosts another name"
            return MachineReason.NODE_CHANGED, text
        instance, node = self.machine.status.instance, self.node
        if node is None or instance is None or instance.step is not InstanceStep.MADE:
            return None
        if _differ(node.spec.provider_id, instance.provider_id):
            text = f"Node {node.metadata.name} has providerID {node.spec.provider_id}, but the instance is {instance.provider_id}"
            return MachineReason.PROVIDER_ID_MISMATCH, text
        return None

    @property
    def _is_of_another_boot(self) -> bool:
        """Whether the kubelet of the Node is alive in another boot than the agent; of a Node that is not Ready nobody can tell, its host may have rebooted."""
        node, agent = self.node, self.machine.status.agent
        if node is None or agent is None or not node.ready:
            return False
        boots = {node.status.node_info.boot_id, agent.boot_id}
        return len(boots) > 1 and "" not in boots

    @property
    def unread(self) -> str:
        """What stands on the Node that this version cannot read; its lists must not be written back without it."""
        return "" if self.node is None else ", ".join(self.node.metadata.unknown)

    @property
    def kubelet(self) -> NodeCondition | None:
        """The Node's own Ready condition; None when there is no Node or it has not said yet."""
        conditions = () if self.node is None else self.node.status.conditions
        return next((condition for condition in conditions if condition.type == "Ready"), None)

    @property
    def silent(self) -> bool:
        """Whether nobody speaks for the machine: its Node's Ready is Unknown, or the Node it was is gone.

        Agents' leases are not watched in this version, so a Node that has been heard and is gone counts
        as silence, however recent the agent's last report looks.
        """
        if self.node is None:
            return self.machine.status.node_ref is not None
        return self.kubelet is not None and self.kubelet.status is Switch.UNKNOWN


def _differ(one: str, other: str) -> bool:
    """Tell whether two providerIDs are of two instances. Programs write them in several forms; the last part is the instance's own."""
    return bool(one and other) and one.rpartition("/")[2] != other.rpartition("/")[2]
