"""The one `decide` of the library's face: the type of the snapshot picks the decider.

The engine calls the deciders themselves. This one is for people: it says what is wrong with its arguments,
lets the stamps of a hand-made snapshot stand in for sightings, and gives the Decision its verdict.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias, TypeVar, assert_never, overload

import attrs

from kubenode.core.decision import Decision
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.host.decide import NodeSnapshot
from kubenode.core.host.decide import decide as decide_node
from kubenode.core.machine.decide import MachineSnapshot
from kubenode.core.machine.decide import decide as decide_machine
from kubenode.core.machineset.decide import MachineSetSnapshot
from kubenode.core.machineset.decide import decide as decide_machineset
from kubenode.core.model.componentset import MachineComponentSetStatus
from kubenode.core.model.condition import AcceptedStatus
from kubenode.core.model.machine import AgentStatus, Enrolment, MachineStatus
from kubenode.core.model.machineset import MachineSetStatus
from kubenode.core.model.now import Now
from kubenode.core.model.remedy import NodeRemedier, RemedyOperationJobStatus
from kubenode.core.model.risk import RiskLedgerStatus, RiskPolicy
from kubenode.core.policy import Policy
from kubenode.core.remedy.decide import RemedySnapshot, open_job
from kubenode.core.remedy.decide import decide as decide_remedy
from kubenode.core.remedy.ladder import open_repair
from kubenode.core.remedy.repair import RepairSnapshot
from kubenode.core.remedy.repair import decide as decide_repair
from kubenode.core.remedy.stamps import stamps
from kubenode.core.risk.decide import FleetSnapshot
from kubenode.core.risk.decide import decide as decide_fleet
from kubenode.core.rollout.decide import RolloutSnapshot
from kubenode.core.rollout.decide import decide as decide_rollout
from kubenode.core.rollout.hooks import closing

__all__ = [
    "FleetSnapshot", "MachineSetSnapshot", "MachineSnapshot", "NodeSnapshot", "RemedySnapshot", "RolloutSnapshot",
    "Snapshot", "decide",
]  # fmt: skip

Snapshot: TypeAlias = (
    MachineSnapshot
    | MachineSetSnapshot
    | RolloutSnapshot
    | NodeSnapshot
    | RemedySnapshot
    | FleetSnapshot
    | RepairSnapshot
)
"""The last one is in no public list: recorded runs hold it, and `kubenode explain` asks here about it."""
S = TypeVar("S")

_TOLD: Final[Mapping[type, frozenset[str]]] = MappingProxyType({
    MachineStatus: frozenset({"conditions", "observed_generation"}),
    MachineSetStatus: frozenset({
        "conditions", "observed_generation", "replicas", "ready", "available", "starting", "unavailable", "deleting",
        "selector",
    }),
    MachineComponentSetStatus: frozenset({
        "conditions", "observed_generation", "phase", "selected", "updated", "unavailable", "skipped", "held",
    }),
    RemedyOperationJobStatus: frozenset({"conditions"}),
    RiskLedgerStatus: frozenset({"checkpoint", "storms"}),
    AcceptedStatus: frozenset({"conditions", "observed_generation"}),
    AgentStatus: frozenset(field.name for field in attrs.fields(AgentStatus)),
    Enrolment: frozenset(),
})  # fmt: skip
"""Fields of a status that only tell what was seen: a Decision that changes nothing else records nothing new."""


@overload
def decide(seen: MachineSnapshot, policy: Policy) -> Decision[MachineStatus]: ...
@overload
def decide(seen: MachineSetSnapshot, policy: Policy) -> Decision[MachineSetStatus]: ...
@overload
def decide(seen: RolloutSnapshot, policy: Policy) -> Decision[MachineComponentSetStatus]: ...
@overload
def decide(seen: NodeSnapshot, policy: Policy) -> Decision[AgentStatus]: ...
@overload
def decide(seen: RemedySnapshot, policy: Policy) -> Decision[RemedyOperationJobStatus]: ...
@overload
def decide(seen: FleetSnapshot, policy: Policy) -> Decision[RiskLedgerStatus]: ...
@overload
def decide(seen: Snapshot, policy: Policy) -> Decision[Any]: ...
def decide(seen: Snapshot, policy: Policy) -> Decision[Any]:
    """Decide what is next, from a snapshot alone: no clock, no I/O, the same answer every time.

    Args:
        seen: all that the decision may depend on; its type says who decides. A `now` that was given as an
            aware datetime is also that from which the stamps of the snapshot are counted: since when a
            condition holds, an attempt runs, a batch is closed.
        policy: what to heal, and what limits it.

    Returns:
        The wanted status, effects, notes and verdict. Nothing is done; `explain` says why.

    Raises:
        InvalidObjectError: `policy` is no Policy, or there is no decider for `seen`.

    Invariant: for what is valid it never raises.

    >>> from datetime import UTC, datetime
    >>> from kubenode.core.byhand import make_machine, make_node
    >>> now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    >>> node = make_node("n7", zone="b")
    >>> seen = RemedySnapshot(machine=make_machine(node, since=now), node=node, now=now)
    >>> decide(seen, Policy.default()).verdict
    <Verdict.IGNORE: 'ignore'>
    """
    _check_policy(policy)
    return judged(_decided(seen, policy), standing(seen))


def _decided(seen: Snapshot, policy: Policy) -> Decision[Any]:
    match seen:
        case MachineSnapshot():
            return decide_machine(seen, policy)
        case MachineSetSnapshot():
            return decide_machineset(seen, policy)
        case RolloutSnapshot():
            return decide_rollout(_rollout_by_hand(seen), policy)
        case NodeSnapshot():
            return decide_node(seen, policy)
        case RemedySnapshot():
            return decide_remedy(_remedy_by_hand(seen, policy), policy)
        case FleetSnapshot():
            return decide_fleet(seen, policy)
        case RepairSnapshot():
            return decide_repair(seen, policy)
        case _:
            raise _wrong("seen", seen, f"is no snapshot; give one of {', '.join(__all__[:6])}")


def standing(seen: Snapshot) -> Any:
    """Give the status that stands when it is decided, None when there is none: what differs from it is an act."""
    match seen:
        case MachineSnapshot():
            return seen.machine.status
        case MachineSetSnapshot() | RolloutSnapshot():
            return seen.set.status
        case NodeSnapshot():
            return seen.machine.status.agent
        case RemedySnapshot():
            job = open_job(seen.jobs)
            return None if job is None else job.status
        case RepairSnapshot():
            job = open_repair(seen.jobs)
            return None if job is None else job.status
        case FleetSnapshot():
            return None if seen.ledger is None else seen.ledger.status
        case _:
            assert_never(seen)


def _check_policy(policy: object) -> None:
    if isinstance(policy, Policy):
        return
    part = {RiskPolicy: "risk", NodeRemedier: "remediers"}.get(type(policy))
    fix = f"wrap it: Policy({part}=(policy,))" if part else "give Policy.default() or Policy.of(load(path))"
    raise _wrong("policy", policy, f"is not a Policy; {fix}")


def _wrong(where: str, value: object, what: str) -> InvalidObjectError:
    kind = value.__name__ if isinstance(value, type) else type(value).__name__
    said = f"the class {kind}" if isinstance(value, type) else f"a value of type {kind}"
    return InvalidObjectError((Problem(where=where, what=f"{said} {what}"),))


def judged(decision: Decision[S], stored: S | None) -> Decision[S]:
    """Say whether a decider's status records something that the stored one does not; so a Decision gets its verdict."""
    wanted = decision.status
    if wanted is None or wanted == stored:
        return decision
    kind: Any = type(wanted)
    names = {field.name for field in attrs.fields(kind)} - _TOLD[kind]
    moved = stored is None or any(getattr(wanted, name) != getattr(stored, name) for name in names)
    return attrs.evolve(decision, moved=moved and bool(names))


def _remedy_by_hand(seen: RemedySnapshot, policy: Policy) -> RemedySnapshot:
    if not seen.now.by_hand:
        return seen
    known = stamps(policy.remediers, seen.node, open_job(seen.jobs))
    return attrs.evolve(seen, sightings={**known, **seen.sightings})


def _rollout_by_hand(seen: RolloutSnapshot) -> RolloutSnapshot:
    update, batch = seen.set.status.update, seen.set.status.batch
    if not seen.now.by_hand or update is None or batch is None or batch.closed_at is None:
        return seen
    known = {closing(update.number, batch.number): Now.at(batch.closed_at).elapsed}
    return attrs.evolve(seen, sightings={**known, **seen.sightings})
