"""The objects: what people write and what the world looks like. Frozen attrs classes, read-only."""

from kubenode.core.model.component import Disruption, MachineComponent, MachineComponentSpec
from kubenode.core.model.componentset import (
    Approval,
    Approve,
    Batch,
    BatchRecord,
    Excuse,
    Failure,
    MachineComponentSet,
    MachineComponentSetSpec,
    MachineComponentSetStatus,
    Member,
    MemberState,
    Revision,
    Rollout,
    Selector,
    Skip,
)
from kubenode.core.model.condition import Claim, Condition, stated
from kubenode.core.model.machine import (
    AgentStatus,
    AnswerState,
    ComponentEntry,
    ComponentReport,
    ConfigState,
    DeletionPolicy,
    Host,
    Infrastructure,
    Machine,
    MachineSpec,
    MachineStatus,
    NodeRef,
    Operation,
    OperationAnswer,
    OperationStep,
    Running,
    SetRef,
    StepAction,
    Taint,
    TaintEffect,
)
from kubenode.core.model.machineset import (
    DeleteOrder,
    Leaver,
    MachineSet,
    MachineSetSpec,
    MachineSetStatus,
    MachineTemplate,
    MachineTemplateSpec,
)
from kubenode.core.model.meta import Json, Kind, Object, ObjectMeta, Ref, Switch, ref
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import IntOrPercent
from kubenode.core.model.remedy import (
    Attempt,
    AttemptState,
    ConditionMatch,
    JobPhase,
    MachineRef,
    NodeRemedier,
    NodeRemedierSpec,
    RemedyOperationJob,
    RemedyOperationJobSpec,
    RemedyOperationJobStatus,
    Rung,
    Verification,
)
from kubenode.core.model.remedy import Cause as EpisodeCause
from kubenode.core.model.risk import (
    Cause,
    Freeze,
    Hold,
    Limit,
    RepairWidth,
    RiskLedger,
    RiskLedgerStatus,
    RiskPolicy,
    RiskPolicySpec,
    Scope,
    SuccessGate,
    ZoneBreaker,
)
from kubenode.core.model.world import Node, NodeCondition, NodeSpec, NodeStatus

KINDS: tuple[type[Object], ...] = (
    Machine, MachineSet, MachineComponent, MachineComponentSet, NodeRemedier, RemedyOperationJob, RiskPolicy,
    RiskLedger,
)  # fmt: skip
"""Our kinds, in the order in which they are printed."""

WATCHED: tuple[type[Object], ...] = (*KINDS, Node)
"""Every kind that is read from a store."""

__all__ = [
    "KINDS", "WATCHED",
    "AgentStatus", "AnswerState", "Approval", "Approve", "Attempt", "AttemptState", "Batch", "BatchRecord", "Cause", "Claim",
    "ComponentEntry", "ComponentReport", "Condition", "ConditionMatch", "ConfigState", "DeleteOrder", "DeletionPolicy", "Disruption",
    "EpisodeCause", "Excuse", "Failure", "Freeze", "Hold", "Host", "Infrastructure", "IntOrPercent", "JobPhase", "Json", "Kind",
    "Leaver",
    "Limit", "Machine", "MachineComponent", "MachineComponentSet", "MachineComponentSetSpec",
    "MachineComponentSetStatus", "MachineComponentSpec", "MachineRef", "MachineSet", "MachineSetSpec", "MachineSetStatus",
    "MachineSpec", "MachineStatus", "MachineTemplate", "MachineTemplateSpec", "Member",
    "MemberState", "Node", "NodeCondition", "NodeRef", "NodeRemedier", "NodeRemedierSpec", "NodeSpec", "NodeStatus",
    "Now", "Object", "ObjectMeta", "Operation", "OperationAnswer", "OperationStep", "Ref", "RemedyOperationJob",
    "RemedyOperationJobSpec", "RemedyOperationJobStatus", "RepairWidth", "Revision", "RiskLedger", "RiskLedgerStatus", "RiskPolicy",
    "RiskPolicySpec", "Rollout", "Rung", "Running", "Scope", "Selector", "SetRef", "Skip", "StepAction", "SuccessGate", "Switch", "Taint",
    "TaintEffect", "Verification", "ZoneBreaker", "ref", "stated",
]  # fmt: skip
