"""Machine: one machine, what runs on it, and the one step its agent is asked to do now."""

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, ClassVar, TypeAlias

import attrs

from kubenode.core.model.cloudevents import CloudEvents
from kubenode.core.model.condition import Conditions
from kubenode.core.model.instance import InstanceStatus
from kubenode.core.model.meta import (
    ADDRESS_PATTERN,
    LABEL,
    LABEL_KEY,
    UNIT_PATTERN,
    ZONE_LABEL,
    Annotations,
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
    ObservedGeneration,
    OpId,
    Parameters,
    Rule,
    Shape,
    Text,
    Uid,
    Wire,
)

_ZONE_PATH = ".metadata.labels." + ZONE_LABEL.replace(".", r"\.")


class OnTimeout(enum.Enum):
    """What becomes of an act whose drain is not done in time."""

    GIVE_UP = "GiveUp"
    """It is not begun, and its permit goes back."""
    FORCE = "Force"
    """It goes on, and ends the Pods that are left."""


class Running(enum.Enum):
    """Running; Stopped: installed and configured, and not running; Absent: not there, and removed where it is."""

    RUNNING = "Running"
    STOPPED = "Stopped"
    ABSENT = "Absent"


class DeletionPolicy(enum.Enum):
    """What becomes of the host when its Machine is deleted: Release leaves it as it is, Terminate ends its instance."""

    RELEASE = "Release"
    TERMINATE = "Terminate"


class TaintEffect(enum.Enum):
    """What it does to pods that do not tolerate it, as in Kubernetes."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


@attrs.frozen(kw_only=True)
class Taint:
    """A taint of a Node.

    Attributes:
        key: of the taint, as in `example.com/dedicated`.
        value: of the taint; may be empty.
    """

    key: Annotated[str, Text(max=317, min=1, pattern=LABEL_KEY)]
    value: LabelValue = ""
    effect: TaintEffect
    time_added: Annotated[datetime, "when it came onto the Node; kept as it is"] | None = None


NodeLabels: TypeAlias = Annotated[Labels, "kept on the Node; other labels of it are left alone"]
NO_TEXTS: Mapping[str, str] = MappingProxyType({})
"""One for all that say nothing: most of a fleet."""
NodeAnnotations: TypeAlias = Annotated[
    Annotations, "kept on the Node; other annotations of it are left alone, and so are those of kubenode.dev"
]
NodeTaints: TypeAlias = Annotated[
    tuple[Taint, ...],
    Items(max=32, key=("key", "effect")),
    "kept on the Node; other taints of it are left alone",
]


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
    """Which Secret; what is in it is read by nobody but who needs it, and is never shown.

    Attributes:
        namespace: where the Secret is.
        name: name of the Secret.
    """

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    namespace: DnsLabel
    name: Annotated[str, Text(max=253, min=1, pattern=f"^{LABEL}([.]{LABEL})*$")]


class AgentSource(enum.Enum):
    """Where the agent of a machine that a provider makes comes from."""

    IMAGE = "Image"
    """The image brings it, and what it needs to enrol."""
    USER_DATA = "UserData"
    """What the instance is given at its first boot installs it, with a token of its own."""


@attrs.frozen(kw_only=True)
class Infrastructure:
    """A machine to be created by a provider.

    Attributes:
        provider: the plugin that makes it, such as `aws`; `kubenode plugins` lists them.
    """

    provider: DnsLabel
    parameters: Parameters = attrs.field(factory=dict)
    secret_ref: Annotated[SecretRef, "the Secret with the provider's credentials for this machine"] | None = (
        None
    )
    agent: Annotated[AgentSource, "where its agent comes from"] = AgentSource.IMAGE
    user_data: Annotated[
        str, Text(max=16_384), "your own, for cloud-init; no secrets: agents may read it"
    ] = ""


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
    """What the agent does: restart a systemd unit, reboot the host, bring a drifted component back, or put one down again."""

    RESTART_UNIT = "RestartUnit"
    REBOOT = "Reboot"
    REPAIR = "Repair"
    """Whatever brings a component that drifted back to target; the agent's driver knows the steps."""
    REINSTALL = "Reinstall"
    """All that a component brings, put down again though it looks right; the agent's driver knows the steps."""


OF_COMPONENTS = frozenset({StepAction.REPAIR, StepAction.REINSTALL})
"""Actions that name an entry of the Machine's components."""


@attrs.frozen(kw_only=True)
class OperationStep:
    """One host step of an operation, as data.

    Attributes:
        unit: the systemd unit to restart, with action RestartUnit alone.
        component: the component to repair or to put down again, with actions Repair and Reinstall alone.
    """

    SHAPE: ClassVar[Shape] = Shape(
        rules=(
            Rule(
                cel="(self.action == 'RestartUnit') == has(self.unit)",
                check=lambda step: (step.action is StepAction.RESTART_UNIT) == (step.unit is not None),
                message="unit goes with action RestartUnit, as in {action: RestartUnit, unit: kubelet.service}",
            ),
            Rule(
                cel="(self.action in ['Repair', 'Reinstall']) == has(self.component)",
                check=lambda step: (step.action in OF_COMPONENTS) == (step.component is not None),
                message="component goes with actions Repair and Reinstall, as in {action: Repair, component: kubelet}",
            ),
        )
    )

    action: StepAction
    unit: Annotated[str, Text(max=255, min=1, pattern=UNIT_PATTERN)] | None = None
    component: DnsLabel | None = None


@attrs.frozen(kw_only=True)
class Operation:
    """The one step the agent is asked to do now. Its op-id is the permit's.

    Attributes:
        job: the RemedyOperationJob that asks for it.
        attempt: which attempt of that job, from 1.
        action: the remedy action, such as `reboot`.
        steps: what is to be done on the host, in order.
    """

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    op_id: Annotated[OpId, Wire(name="opID")]
    job: Name
    attempt: Annotated[int, Number(min=1, max=1000)]
    action: DnsLabel
    steps: Annotated[tuple[OperationStep, ...], Items(max=16, min=1)]


@attrs.frozen(kw_only=True)
class DrainPolicy:
    """How the Pods of a machine's Node are made to go before what would end them.

    Attributes:
        timeout: how long a drain may take in all.
        on_timeout: what becomes of the act that needs it then; a deletion is never given up, and goes on trying.
        pod_timeout: how long beyond its own grace a Pod that was evicted may take to end; then it is not waited for.
        grace: in place of the Pods' own, where it is shorter.
        keep_local_data: do not evict Pods with emptyDir volumes, which are lost with them.
        keep_unmanaged: do not evict Pods that nothing would make anew.
    """

    timeout: timedelta = timedelta(hours=1)
    on_timeout: OnTimeout = OnTimeout.GIVE_UP
    pod_timeout: timedelta = timedelta(minutes=5)
    grace: timedelta | None = None
    keep_local_data: bool = False
    keep_unmanaged: bool = False


@attrs.frozen(kw_only=True)
class SetRef:
    """The MachineSet a machine belongs to, by incarnation. No ownerReference: garbage collection asks nobody.

    Attributes:
        name: name of the MachineSet.
    """

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    name: Name
    uid: Uid


@attrs.frozen(kw_only=True)
class MachineSpec:
    """What a machine should be: a host that exists, or one to create, and what is kept on its Node."""

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
    labels: NodeLabels = attrs.field(factory=dict)
    annotations: NodeAnnotations = NO_TEXTS
    taints: NodeTaints = ()
    components: Annotated[
        Mapping[str, ComponentEntry], Keys(max=64, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"),
        "what runs here, by component name, written by MachineComponentSets; a missing entry never means uninstall, state Absent does",
    ] = attrs.field(factory=dict)  # fmt: skip
    operation: Annotated[Operation, "the one step the agent is asked to do now"] | None = None
    deletion_policy: (
        Annotated[
            DeletionPolicy,
            "what becomes of the host when the Machine is deleted: Release leaves it and what runs on it, Terminate ends its instance; absent: Release with host, else Terminate",
        ]
        | None
    ) = None
    set_ref: Annotated[SetRef, "the MachineSet it belongs to; written by that set"] | None = None
    drain: (
        Annotated[DrainPolicy, "how the Pods of its Node are made to go; absent: as its defaults say"] | None
    ) = None

    @property
    def on_deletion(self) -> DeletionPolicy:
        """What becomes of the host: as it says, else Release of what was there before and Terminate of what was made."""
        if self.deletion_policy is not None:
            return self.deletion_policy
        return DeletionPolicy.TERMINATE if self.host is None else DeletionPolicy.RELEASE


@attrs.frozen(kw_only=True)
class NodeRef:
    """Which Node this machine is, by incarnation.

    Attributes:
        name: name of the Node.
    """

    name: Name
    uid: Uid = ""


class ConfigState(enum.Enum):
    """Whether its configuration is the wanted one: Current, Drifted or Unknown."""

    CURRENT = "Current"
    DRIFTED = "Drifted"
    UNKNOWN = "Unknown"


COMPONENT_MISSING = "ComponentMissing"
WAITING_FOR_DEPENDENCY = "WaitingForDependency"
WAITING_FOR_VALUE = "WaitingForValue"
JOURNAL_UNWRITABLE = "JournalUnwritable"
WAITS = frozenset({COMPONENT_MISSING, JOURNAL_UNWRITABLE, WAITING_FOR_DEPENDENCY, WAITING_FOR_VALUE})
"""Reasons of a report that say for what the wanted revision waits; its `revision` is still the one before."""


@attrs.frozen(kw_only=True)
class ComponentReport:
    """What the agent found of one component: version, configuration and running state, each apart.

    Attributes:
        component: the MachineComponent last installed whole; empty when none is.
        revision: the entry's revision that was last dealt with, done or failed.
        version: that is installed, as the driver finds it; empty when none is.
        state: what it is found doing: Running, Stopped or Absent.
        reason: why that revision failed here, or for what it waits: ComponentMissing, WaitingForDependency,
            WaitingForValue; empty when neither.
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
    """How far the agent is: Acknowledged: it was read and is under way; Done; Failed."""

    ACKNOWLEDGED = "Acknowledged"
    DONE = "Done"
    FAILED = "Failed"


@attrs.frozen(kw_only=True)
class OperationAnswer:
    """The agent's word on the last operation it was asked to do.

    Attributes:
        message: how it failed; empty else.
    """

    op_id: Annotated[OpId, Wire(name="opID")]
    state: AnswerState
    message: Message = ""


@attrs.frozen(kw_only=True)
class AgentStatus:
    """What the agent alone writes: one atomic subtree, by merge patch.

    Attributes:
        version: the agent's own version.
        boot_id: which boot of the host this is; another one after each reboot.
        node_name: of the Node that the host's kubelet registers.
        components: what was found of each component that the spec names, by its name.
    """

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    version: Annotated[str, Text(max=64)] = ""
    boot_id: Annotated[str, Text(max=64), Wire(name="bootID")] = ""
    node_name: Annotated[str, Text(max=253)] = ""
    components: Annotated[Mapping[str, ComponentReport], Keys(max=64)] = attrs.field(factory=dict)
    conditions: Annotated[
        Conditions, "faults found on the host; mirrored onto the Node by the controller"
    ] = ()
    operation: OperationAnswer | None = None


class DrainState(enum.Enum):
    """How far a drain is."""

    DRAINING = "Draining"
    DRAINED = "Drained"
    FORCED = "Forced"
    """Its time was over, and `onTimeout` is Force."""
    GIVEN_UP = "GivenUp"
    """Its time was over, and `onTimeout` is GiveUp."""


@attrs.frozen(kw_only=True)
class DrainRecord:
    """The drain of a machine's Node, and for which act it is: what others go by; people read the condition Drained."""

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    op_id: Annotated[OpId, Wire(name="opID")]
    state: DrainState


@attrs.frozen(kw_only=True)
class Enrolment:
    """For which key a machine's last bootstrap token was used: no other key gets a certificate from that token."""

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    token_id: Annotated[
        str, Text(max=6, min=6, pattern="^[a-z0-9]{6}$"), Wire(name="tokenID"), "public; no secret"
    ]
    key: Annotated[str, Text(max=64, min=64, pattern="^[0-9a-f]{64}$"), "SHA-256 of the public key, in hex"]
    spent: Annotated[bool, "the token was deleted"] = False


@attrs.frozen(kw_only=True)
class MachineStatus:
    """What is known of a machine. All but `agent`, `enrolment` and `cloudEvents` is the machine controller's."""

    phase: Annotated[
        str,
        Text(max=32),
        "how far it is, for people: Pending, Provisioning, Importing, Initializing, Running, Updating, Repairing, Draining, Deleting, Failed, Unknown; programs read conditions",
    ] = ""
    observed_generation: ObservedGeneration = 0
    conditions: Conditions = ()
    node_ref: NodeRef | None = None
    first_running: (
        Annotated[datetime, "when it was first Running; before that nothing needs a permit"] | None
    ) = None
    drain: Annotated[DrainRecord, "the drain that an open permit asks for"] | None = None
    instance: (
        Annotated[InstanceStatus, "what a provider makes for it; absent of a host that was there"] | None
    ) = None
    agent: AgentStatus | None = None
    enrolment: Annotated[Enrolment, "written by the enrol controller, before it approves"] | None = None
    cloud_events: (
        Annotated[CloudEvents, "maintenance and failures that the cloud told; by the doctor controller"]
        | None
    ) = None


@attrs.frozen(kw_only=True)
class Machine:
    """One machine, created or imported, and what runs on it."""

    KIND: ClassVar[Kind] = Kind(
        name="Machine", plural="machines", short_names=("mc",), selectable=("status.phase", "status.nodeRef.name"),
        columns=(
            Column(name="Phase", path=".status.phase"),
            Column(name="Ready", path=".status.conditions[?(@.type=='Ready')].status"),
            Column(name="Reason", path=".status.conditions[?(@.type=='Ready')].reason"),
            Column(name="Node", path=".status.nodeRef.name"),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
            Column(name="Operation", path=".spec.operation.action", wide=True),
            Column(name="Zone", path=_ZONE_PATH, wide=True),
            Column(name="Set", path=".spec.setRef.name", wide=True),
            Column(name="Provider", path=".spec.infrastructure.provider", wide=True),
            Column(name="Instance", path=".status.instance.id", wide=True),
            Column(name="Address", path=".spec.host.address", wide=True),
            Column(name="Agent", path=".status.agent.version", wide=True),
            Column(name="Components", path=".status.conditions[?(@.type=='ComponentsReady')].message", wide=True),
            Column(name="Message", path=".status.conditions[?(@.type=='Ready')].message", wide=True),
        ),
    )  # fmt: skip

    metadata: ObjectMeta
    spec: MachineSpec
    status: MachineStatus = MachineStatus()
