"""What `kubenode.model` holds: all that objects, snapshots, policies and decisions are made of.

`core/model` has the objects; the rest stands beside its decider. This is one shelf for both, so that whoever
makes a snapshot by hand imports one name.
"""

from kubenode.core import model
from kubenode.core.late import Late
from kubenode.core.model import *

_LATE = Late(__name__, {
    "kubenode.core.byhand": "make_machine make_node make_tally",
    "kubenode.core.decision": (
        "AnswerRequest ApplyNode ConfirmEvent Create CreateInstance Delete DeleteToken Effect Evict GuardInstance Note PatchNode "
        "PatchNodeConditions RebootInstance RunSteps SetEntry SetFinalizers SetOperation SetOwner TerminateInstance UserData "
        "Verdict"
    ),
    "kubenode.core.errors": "Problem",
    "kubenode.core.explain": "Explanation",
    "kubenode.core.health.freeze": "Place",
    "kubenode.core.health.zones": "ZoneTally",
    "kubenode.core.hookspecs": "Have",
    "kubenode.core.host.decide": "HostSeen",
    "kubenode.core.host.journal": "JournalEntry JournalState",
    "kubenode.core.inspection": "Awaited",
    "kubenode.core.instance.seen": "FrozenProvider InstanceSight OrphanSight ProviderAnswer",
    "kubenode.core.node.workload": "Workload",
    "kubenode.core.risk.asks": "Ask",
    "kubenode.core.risk.bounds": "SetRoom",
    "kubenode.core.risk.success": "Outcome",
    "kubenode.core.rollout.tally": "Rate Seat TallyView",
})  # fmt: skip

__all__ = [*_LATE.home, *model.__all__]  # noqa: PLE0604 - all of them are names
__getattr__ = _LATE.into(globals())


def __dir__() -> list[str]:
    return sorted(__all__)
