"""Machine: one machine, what runs on it, and the one step its agent is asked to do now."""

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, ClassVar

import attrs

from kubenode.core.model.condition import Conditions
from kubenode.core.model.instance import InstanceStatus
from kubenode.core.model.meta import (
    ADDRESS_PATTERN,
    LABEL,
    LABEL_KEY,
    UNIT_PATTERN,
    Column,
    DnsLabel,
    Items,
    Keys,
    Kind,
    Labels,
    LabelValue,
    Message,
    Name,
    Number,
    ObjectMeta,
    OpId,
    Parameters,
    Rule,
    Shape,
    Text,
    Uid,
    Wire,
)


class Running(enum.Enum):
    """What a component should be doing, and what it is found doing."""

    RUNNING = "Running"
    STOPPED = "Stopped"
    ABSENT = "Absent"


class DeletionPolicy(enum.Enum):
    """What becomes of the host when its Machine is deleted."""

    RELEASE = "Release"
    TERMINATE = "Terminate"


class TaintEffect(enum.Enum):
    """Kubernetes' taint effects."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


@attrs.frozen(kw_only=True)
class Taint:
    """A taint of a Node."""

    key: Annotated[str, Text(max=317, min=1, pattern=LABEL_KEY)]
    value: LabelValue = ""
    effect: TaintEffect
    time_added: Annotated[datetime, "when it came onto the Node; kept as it is"] | None = None


@attrs.frozen(kw_only=True)
class Host:
    """A host that exists already."""

    address: Annotated[
        str,
        Text(max=253, min=1, pattern=ADDRESS_PATTERN),
        "IP address or DNS name",
    ]


@attrs.frozen(kw_only=True)
class SecretRef:
    """Which Secret; what is in it is read by nobody but who needs it, and is never shown."""

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    namespace: DnsLabel
    name: Annotated[str, Text(max=253, min=1, pattern=f"^{LABEL}([.]{LABEL})*$")]


@attrs.frozen(kw_only=True)
class Infrastructure:
    """A machine to be created by a provider."""

    provider: DnsLabel
    parameters: Parameters = attrs.field(factory=dict)
    secret_ref: Annotated[SecretRef, "the Secret with the provider's credentials for this machine"] | None = (
        None
    )


@attrs.frozen(kw_only=True)
class ComponentEntry:
    """What one component of one machine should be. Written whole, by the set it names."""

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    set: Annotated[Name, "the MachineComponentSet that wrote this entry"]
    component: Annotated[Name, "the MachineComponent to run"]
    revision: Annotated[str, Text(max=20, min=1, pattern="^[0-9]+$"), "the set's revision that wrote this"]
    batch: Annotated[int, Number(min=0, max=1_000_000), "the batch it was part of; 0 when it joined"] = 0
    state: Running = Running.RUNNING
    held: Annotated[str | None, Text(max=1024), "why drift is not repaired here; absent when it may be"] = (
        None
    )


class StepAction(enum.Enum):
    """What a host step does, as it stands in an operation."""

    RESTART_UNIT = "RestartUnit"
    REBOOT = "Reboot"
    REPAIR = "Repair"
    """Whatever brings a component that drifted back to target; the agent's driver knows the steps."""


@attrs.frozen(kw_only=True)
class OperationStep:
    """One host step of an operation, as data."""

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel="(self.action == 'RestartUnit') == has(self.unit)",
                check=lambda step: (step.action is StepAction.RESTART_UNIT) == (step.unit is not None),
                message="unit goes with action RestartUnit, as in {action: RestartUnit, unit: kubelet.service}",
            ),
            Rule(
                cel="(self.action == 'Repair') == has(self.component)",
                check=lambda step: (step.action is StepAction.REPAIR) == (step.component is not None),
                message="component goes with action Repair, as in {action: Repair, component: kubelet}",
            ),
        )
    )

    action: StepAction
    unit: Annotated[str, Text(max=255, min=1, pattern=UNIT_PATTERN)] | None = None
    component: DnsLabel | None = None


@attrs.frozen(kw_only=True)
class Operation:
    """The one step the agent is asked to do now. Its op-id is the permit's."""

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    op_id: Annotated[OpId, Wire(name="opID")]
    job: Name
    attempt: Annotated[int, Number(min=1, max=1000)]
    action: DnsLabel
    steps: Annotated[tuple[OperationStep, ...], Items(max=16, min=1)]


@attrs.frozen(kw_only=True)
class SetRef:
    """The MachineSet a machine belongs to, by incarnation. No ownerReference: garbage collection asks nobody."""

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    name: Name
    uid: Uid


@attrs.frozen(kw_only=True)
class MachineSpec:
    """What a machine should be."""

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel="has(self.host) != has(self.infrastructure)",
                check=lambda spec: (spec.host is None) != (spec.infrastructure is None),
                message="give either host (a machine that exists) or infrastructure (one to create)",
            ),
            Rule(
                cel="!has(oldSelf.host) || has(self.host)",
                message="cannot be removed once set",
                path=".host",
            ),
        )
    )

    host: Host | None = None
    infrastructure: Infrastructure | None = None
    labels: Annotated[Labels, "kept on the Node"] = attrs.field(factory=dict)
    taints: Annotated[tuple[Taint, ...], Items(max=32, key=("key", "effect")), "kept on the Node"] = ()
    components: Annotated[
        Mapping[str, ComponentEntry], Keys(max=64, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
        "by component name; a missing entry never means uninstall, state Absent does",
    ] = attrs.field(factory=dict)  # fmt: skip
    operation: Annotated[Operation, "the one step the agent is asked to do now"] | None = None
    deletion_policy: (
        Annotated[DeletionPolicy, "Release when absent and host is given; else Terminate"] | None
    ) = None
    set_ref: Annotated[SetRef, "the MachineSet it belongs to; written by that set"] | None = None

    @property
    def on_deletion(self) -> DeletionPolicy:
        """What becomes of the host: as it says, else Release of what was there before and Terminate of what was made."""
        if self.deletion_policy is not None:
            return self.deletion_policy
        return DeletionPolicy.TERMINATE if self.host is None else DeletionPolicy.RELEASE


@attrs.frozen(kw_only=True)
class NodeRef:
    """Which Node this machine is, by incarnation."""

    name: Name
    uid: Uid = ""


class ConfigState(enum.Enum):
    """Whether a component's configuration is the wanted one."""

    CURRENT = "Current"
    DRIFTED = "Drifted"
    UNKNOWN = "Unknown"


COMPONENT_MISSING = "ComponentMissing"
WAITING_FOR_DEPENDENCY = "WaitingForDependency"
WAITING_FOR_VALUE = "WaitingForValue"
WAITS = frozenset({COMPONENT_MISSING, WAITING_FOR_DEPENDENCY, WAITING_FOR_VALUE})
"""Reasons of a report that say for what the wanted revision waits; its `revision` is still the one before."""


@attrs.frozen(kw_only=True)
class ComponentReport:
    """What the agent found of one component: version, configuration and running state, each apart.

    Attributes:
        component: the MachineComponent last installed whole; empty when none is.
        revision: the entry's revision that was last dealt with, done or failed.
        reason: why that revision failed here, or one of WAITS; empty when neither.
        message: more about the reason; without one, which probe fails and how.
        drifting: it was at target with that revision, and is not now.
        drifted_at: when that was last found to have begun, repaired since or not.
    """

    component: Annotated[str, Text(max=253)] = ""
    revision: Annotated[str, Text(max=20)] = ""
    version: Annotated[str, Text(max=128)] = ""
    config: ConfigState = ConfigState.UNKNOWN
    state: Running = Running.ABSENT
    reason: Annotated[str, Text(max=128)] = ""
    message: Message = ""
    drifting: bool = False
    drifted_at: datetime | None = None

    def is_of(self, entry: ComponentEntry) -> bool:
        """Tell whether it speaks of what an entry wants; what it says of another component or revision is no drift of it."""
        return (self.component, self.revision) == (entry.component, entry.revision)


class AnswerState(enum.Enum):
    """How far the agent is with an operation."""

    ACKNOWLEDGED = "Acknowledged"
    DONE = "Done"
    FAILED = "Failed"


@attrs.frozen(kw_only=True)
class OperationAnswer:
    """The agent's word on the last operation it was asked to do."""

    op_id: Annotated[OpId, Wire(name="opID")]
    state: AnswerState
    message: Message = ""


@attrs.frozen(kw_only=True)
class AgentStatus:
    """What the agent alone writes: one atomic subtree, by merge patch."""

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    version: Annotated[str, Text(max=64)] = ""
    boot_id: Annotated[str, Text(max=64), Wire(name="bootID")] = ""
    node_name: Annotated[str, Text(max=253)] = ""
    components: Annotated[Mapping[str, ComponentReport], Keys(max=64)] = attrs.field(factory=dict)
    conditions: Annotated[
        Conditions, "faults found on the host; mirrored onto the Node by the controller"
    ] = ()
    operation: OperationAnswer | None = None


@attrs.frozen(kw_only=True)
class MachineStatus:
    """What is known of a machine. All but `agent` is the machine controller's."""

    phase: Annotated[str, Text(max=32), "for people; programs read conditions"] = ""
    observed_generation: Annotated[int, Number(min=0, max=2**53)] = 0
    conditions: Conditions = ()
    node_ref: NodeRef | None = None
    first_running: (
        Annotated[datetime, "when it was first Running; before that nothing needs a permit"] | None
    ) = None
    instance: (
        Annotated[InstanceStatus, "what a provider makes for it; absent of a host that was there"] | None
    ) = None
    agent: AgentStatus | None = None


@attrs.frozen(kw_only=True)
class Machine:
    """One machine, created or imported, and what runs on it."""

    KIND: ClassVar[Kind] = Kind(
        name="Machine", plural="machines", short_names=("mc",), selectable=("status.phase", "status.nodeRef.name"),
        columns=(
            Column(name="Phase", path=".status.phase"),
            Column(name="Ready", path=".status.conditions[?(@.type=='Ready')].status"),
            Column(name="Node", path=".status.nodeRef.name"),
            Column(name="Reason", path=".status.conditions[?(@.type=='Ready')].reason", wide=True),
            Column(name="Operation", path=".spec.operation.action", wide=True),
            Column(name="Instance", path=".status.instance.id", wide=True),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    )  # fmt: skip

    metadata: ObjectMeta
    spec: MachineSpec
    status: MachineStatus = MachineStatus()
