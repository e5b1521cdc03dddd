"""Machine: one machine, what runs on it, and the one step its agent is asked to do now."""

import enum
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, ClassVar, TypeAlias

import attrs

from kubenode.core.model.cloudevents import CloudEvents
from kubenode.core.model.condition import Conditions
from kubenode.core.model.drain import DrainPolicy, DrainRecord
from kubenode.core.model.entry import ComponentEntry, ComponentReport
from kubenode.core.model.instance import InstanceStatus
from kubenode.core.model.meta import (
    ADDRESS_PATTERN,
    LABEL,
    LABEL_KEY,
    ZONE_LABEL,
    Annotations,
    Column,
    DnsLabel,
    Items,
    Keys,
    Kind,
    Labels,
    LabelValue,
    Name,
    ObjectMeta,
    ObservedGeneration,
    Parameters,
    Rule,
    Shape,
    Text,
    Uid,
    Wire,
)
from kubenode.core.model.operation import Operation, OperationAnswer

_ZONE_PATH = ".metadata.labels." + ZONE_LABEL.replace(".", r"\.")


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
