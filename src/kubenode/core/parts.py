"""What `kubenode.model` holds: all that objects, snapshots, policies and decisions are made of.

`core/model` has the objects; the rest stands beside its decider. This is one shelf for both, so that whoever
makes a snapshot by hand imports one name.
"""

from typing import TYPE_CHECKING

from kubenode.core import model
from kubenode.core.model import *

if TYPE_CHECKING:
    from kubenode.core.byhand import make_machine, make_node, make_tally
    from kubenode.core.decision import (
        AnswerRequest,
        Create,
        CreateInstance,
        Delete,
        DeleteToken,
        Effect,
        Evict,
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
    from kubenode.core.instance.seen import FrozenProvider, InstanceSight, ProviderAnswer
    from kubenode.core.node.workload import Workload
    from kubenode.core.risk.asks import Ask
    from kubenode.core.risk.binding import SetRoom
    from kubenode.core.risk.success import Outcome
    from kubenode.core.rollout.tally import Rate, Seat, TallyView

__all__ = [
    "AnswerRequest",
    "Ask",
    "Awaited",
    "Create",
    "CreateInstance",
    "Delete",
    "DeleteToken",
    "Effect",
    "Evict",
    "Explanation",
    "FrozenProvider",
    "Have",
    "HostSeen",
    "InstanceSight",
    "JournalEntry",
    "JournalState",
    "Note",
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
    "Verdict",
    "Workload",
    "ZoneTally",
    "make_machine",
    "make_node",
    "make_tally",
]  # fmt: skip
__all__ += model.__all__

_HOMES = {
    "kubenode.core.byhand": "make_machine make_node make_tally",
    "kubenode.core.decision": (
        "AnswerRequest Create CreateInstance Delete DeleteToken Effect Evict Note PatchNode PatchNodeConditions "
        "RebootInstance RunSteps SetEntry SetFinalizers SetOperation SetOwner TerminateInstance Verdict"
    ),
    "kubenode.core.errors": "Problem",
    "kubenode.core.explain": "Explanation",
    "kubenode.core.health.freeze": "Place",
    "kubenode.core.health.zones": "ZoneTally",
    "kubenode.core.hookspecs": "Have",
    "kubenode.core.host.decide": "HostSeen",
    "kubenode.core.host.journal": "JournalEntry JournalState",
    "kubenode.core.inspection": "Awaited",
    "kubenode.core.instance.seen": "FrozenProvider InstanceSight ProviderAnswer",
    "kubenode.core.node.workload": "Workload",
    "kubenode.core.risk.asks": "Ask",
    "kubenode.core.risk.binding": "SetRoom",
    "kubenode.core.risk.success": "Outcome",
    "kubenode.core.rollout.tally": "Rate Seat TallyView",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

# Hidden from type checkers, which would else believe that every name exists.
if not TYPE_CHECKING:

    def __getattr__(name):
        """Load what stands beside a decider when it is first used: who needs none of it loads none of them."""
        from importlib import import_module

        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOME[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
