"""Which decider a snapshot belongs to: all of them, those too that the library's face does not show."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from kubenode.core.accept.decide import AcceptSnapshot
from kubenode.core.accept.decide import decide as decide_accept
from kubenode.core.deciding import judged
from kubenode.core.decision import Decision
from kubenode.core.host.decide import AgentSnapshot
from kubenode.core.host.decide import decide as decide_agent
from kubenode.core.machine.decide import MachineSnapshot
from kubenode.core.machine.decide import decide as decide_machine
from kubenode.core.machineset.decide import MachineSetSnapshot
from kubenode.core.machineset.decide import decide as decide_machineset
from kubenode.core.policy import Policy
from kubenode.core.remedy.abandoned import AbandonedSnapshot
from kubenode.core.remedy.abandoned import decide as decide_abandoned
from kubenode.core.remedy.decide import RemedySnapshot, open_job
from kubenode.core.remedy.decide import decide as decide_remedy
from kubenode.core.risk.decide import RiskSnapshot
from kubenode.core.risk.decide import decide as decide_risk
from kubenode.core.rollout.decide import RolloutSnapshot
from kubenode.core.rollout.decide import decide as decide_rollout

_DECIDERS: Final[Mapping[type, Callable[[Any, Policy], Decision[Any]]]] = MappingProxyType({
    MachineSnapshot: decide_machine,
    MachineSetSnapshot: decide_machineset,
    RolloutSnapshot: decide_rollout,
    RemedySnapshot: decide_remedy,
    RiskSnapshot: decide_risk,
    AgentSnapshot: decide_agent,
    AbandonedSnapshot: decide_abandoned,
    AcceptSnapshot: decide_accept,
})  # fmt: skip
SNAPSHOTS: Final[tuple[type, ...]] = tuple(_DECIDERS)
"""The snapshots of all deciders that an engine asks."""


def decided(snapshot: Any, policy: Policy) -> Decision[Any]:
    """Ask the decider of a snapshot, as the engine does."""
    return _DECIDERS[type(snapshot)](snapshot, policy)


def worded(snapshot: Any, decision: Decision[Any]) -> Decision[Any]:
    """Give a Decision with its verdict, as `kubenode.decide` does."""
    match snapshot:
        case AcceptSnapshot():  # all that it ever writes only tells what was seen
            return attrs.evolve(decision, moved=False)
        case MachineSnapshot():
            stored: Any = snapshot.machine.status
        case MachineSetSnapshot() | RolloutSnapshot():
            stored = snapshot.set.status
        case AgentSnapshot():
            stored = snapshot.machine.status.agent
        case RiskSnapshot():
            stored = None if snapshot.ledger is None else snapshot.ledger.status
        case RemedySnapshot():
            job = open_job(snapshot.jobs)
            stored = None if job is None else job.status
        case AbandonedSnapshot():
            stored = snapshot.job.status
        case _:
            raise TypeError(f"a value of type {type(snapshot).__name__} is no snapshot")
    return judged(decision, stored)
