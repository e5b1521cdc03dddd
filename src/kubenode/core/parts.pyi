from kubenode.core import model
from kubenode.core.byhand import (
    make_machine,
    make_node,
    make_tally,
)
from kubenode.core.decision import (
    AnswerRequest,
    ApplyNode,
    ConfirmEvent,
    Create,
    CreateInstance,
    Delete,
    DeleteToken,
    Effect,
    Evict,
    GuardInstance,
    Note,
    PatchNode,
    PatchNodeConditions,
    RebootInstance,
    RunSteps,
    SetEntry,
    SetFinalizers,
    SetOperation,
    SetOwner,
    TerminateInstance,
    UserData,
    Verdict,
)
from kubenode.core.errors import Problem
from kubenode.core.explain import Explanation
from kubenode.core.health.freeze import Place
from kubenode.core.health.zones import ZoneTally
from kubenode.core.hookspecs import Have
from kubenode.core.host.decide import HostSeen
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.inspection import Awaited
from kubenode.core.instance.seen import (
    FrozenProvider,
    InstanceSight,
    OrphanSight,
    ProviderAnswer,
)
from kubenode.core.model import *
from kubenode.core.node.workload import Workload
from kubenode.core.risk.asks import Ask
from kubenode.core.risk.bounds import SetRoom
from kubenode.core.risk.success import Outcome
from kubenode.core.rollout.tally import Rate, Seat, TallyView

__all__ = [
    "AnswerRequest",
    "ApplyNode",
    "Ask",
    "Awaited",
    "ConfirmEvent",
    "Create",
    "CreateInstance",
    "Delete",
    "DeleteToken",
    "Effect",
    "Evict",
    "Explanation",
    "FrozenProvider",
    "GuardInstance",
    "Have",
    "HostSeen",
    "InstanceSight",
    "JournalEntry",
    "JournalState",
    "Note",
    "OrphanSight",
    "Outcome",
    "PatchNode",
    "PatchNodeConditions",
    "Place",
    "Problem",
    "ProviderAnswer",
    "Rate",
    "RebootInstance",
    "RunSteps",
    "Seat",
    "SetEntry",
    "SetFinalizers",
    "SetOperation",
    "SetOwner",
    "SetRoom",
    "TallyView",
    "TerminateInstance",
    "UserData",
    "Verdict",
    "Workload",
    "ZoneTally",
    "make_machine",
    "make_node",
    "make_tally",
]  # fmt: skip
__all__ += model.__all__
