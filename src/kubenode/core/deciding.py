"""The one `decide` of the library's face: the type of the snapshot picks the decider.

The engine calls the deciders themselves. This one is for people: it says what is wrong with its arguments,
lets the stamps of a hand-made snapshot stand in for sightings, and gives the Decision its verdict.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar, overload

import attrs

from kubenode.core import snapshots
from kubenode.core.decision import Decision
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model.cloudevents import CloudEvents
from kubenode.core.model.componentset import MachineComponentSetStatus
from kubenode.core.model.condition import AcceptedStatus
from kubenode.core.model.machine import AgentStatus, Enrolment, MachineStatus
from kubenode.core.model.machineset import MachineSetStatus
from kubenode.core.model.now import Now
from kubenode.core.model.remedy import NodeRemedier, RemedyOperationJobStatus
from kubenode.core.model.risk import RiskLedgerStatus, RiskPolicy
from kubenode.core.policy import Policy

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
    CloudEvents: frozenset(),
})  # fmt: skip
"""Fields of a status that only tell what was seen: a Decision that changes nothing else records nothing new."""


@overload
def decide(seen: "snapshots.MachineSnapshot", policy: Policy) -> Decision[MachineStatus]: ...
@overload
def decide(seen: "snapshots.MachineSetSnapshot", policy: Policy) -> Decision[MachineSetStatus]: ...
@overload
def decide(seen: "snapshots.RolloutSnapshot", policy: Policy) -> Decision[MachineComponentSetStatus]: ...
@overload
def decide(seen: "snapshots.NodeSnapshot", policy: Policy) -> Decision[AgentStatus]: ...
@overload
def decide(seen: "snapshots.RemedySnapshot", policy: Policy) -> Decision[RemedyOperationJobStatus]: ...
@overload
def decide(seen: "snapshots.FleetSnapshot", policy: Policy) -> Decision[RiskLedgerStatus]: ...
@overload
def decide(seen: "snapshots.Snapshot", policy: Policy) -> Decision[Any]: ...
def decide(seen: "snapshots.Snapshot", policy: Policy) -> Decision[Any]:
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
    >>> from kubenode.core.remedy.decide import RemedySnapshot
    >>> now = datetime(2026, 3, 2, 9, tzinfo=UTC)
    >>> node = make_node("n7", zone="b")
    >>> seen = RemedySnapshot(machine=make_machine(node, since=now), node=node, now=now)
    >>> decide(seen, Policy.default()).verdict
    <Verdict.IGNORE: 'ignore'>
    """
    _check_policy(policy)
    way = _way(seen)
    return judged(way.decide(seen, policy), way.standing(seen))


def standing(seen: "snapshots.Snapshot") -> Any:
    """Give the status that stands when it is decided, None when there is none: what differs from it is an act."""
    return _way(seen).standing(seen)


@attrs.frozen
class _Way:
    """Who decides a kind of snapshot, and what stands before."""

    decide: Callable[[Any, Policy], Decision[Any]]
    standing: Callable[[Any], Any]


def _way(seen: "snapshots.Snapshot") -> _Way:
    """Give the way of a snapshot by its type; a decider is loaded by who has made a snapshot for it, and by nobody else."""
    kind = snapshots.kind_of(seen)
    if not kind:
        raise _wrong("seen", seen, f"is no snapshot; give one of {', '.join(_PUBLIC)}")
    return _WAYS[kind]()


def _machine() -> _Way:
    from kubenode.core.machine.decide import decide as decide_machine

    return _Way(decide_machine, _status_of_machine)


def _machineset() -> _Way:
    from kubenode.core.machineset.decide import decide as decide_machineset

    return _Way(decide_machineset, _status_of_set)


def _rollout() -> _Way:
    from kubenode.core.rollout.decide import decide as decide_rollout

    return _Way(lambda seen, policy: decide_rollout(_rollout_by_hand(seen), policy), _status_of_set)


def _node() -> _Way:
    from kubenode.core.host.decide import decide as decide_node

    return _Way(decide_node, _status_of_agent)


def _remedy() -> _Way:
    from kubenode.core.remedy.decide import decide as decide_remedy

    return _Way(
        lambda seen, policy: decide_remedy(_remedy_by_hand(seen, policy), policy), _status_of_open_job
    )


def _fleet() -> _Way:
    from kubenode.core.risk.decide import decide as decide_fleet

    return _Way(decide_fleet, _status_of_ledger)


def _repair() -> _Way:
    from kubenode.core.remedy.repair import decide as decide_repair

    return _Way(decide_repair, _status_of_open_repair)


_WAYS: Final[Mapping[str, Callable[[], _Way]]] = MappingProxyType({
    "FleetSnapshot": _fleet,
    "MachineSetSnapshot": _machineset,
    "MachineSnapshot": _machine,
    "NodeSnapshot": _node,
    "RemedySnapshot": _remedy,
    "RolloutSnapshot": _rollout,
    "RepairSnapshot": _repair,
})  # fmt: skip
"""By the name of a snapshot; the last one is in no public list."""
_PUBLIC: Final = tuple(_WAYS)[:6]


def _status_of_machine(seen: "snapshots.MachineSnapshot") -> MachineStatus:
    return seen.machine.status


def _status_of_set(seen: "snapshots.MachineSetSnapshot | snapshots.RolloutSnapshot") -> Any:
    return seen.set.status


def _status_of_agent(seen: "snapshots.NodeSnapshot") -> AgentStatus | None:
    return seen.machine.status.agent


def _status_of_open_job(seen: "snapshots.RemedySnapshot") -> RemedyOperationJobStatus | None:
    from kubenode.core.remedy.decide import open_job

    job = open_job(seen.jobs)
    return None if job is None else job.status


def _status_of_open_repair(seen: "snapshots.RepairSnapshot") -> RemedyOperationJobStatus | None:
    from kubenode.core.remedy.ladder import open_repair

    job = open_repair(seen.jobs)
    return None if job is None else job.status


def _status_of_ledger(seen: "snapshots.FleetSnapshot") -> RiskLedgerStatus | None:
    return None if seen.ledger is None else seen.ledger.status


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


def _remedy_by_hand(seen: "snapshots.RemedySnapshot", policy: Policy) -> "snapshots.RemedySnapshot":
    if not seen.now.by_hand:
        return seen
    from kubenode.core.remedy.decide import open_job
    from kubenode.core.remedy.stamps import stamps

    known = stamps(policy.remediers, seen.node, open_job(seen.jobs))
    return attrs.evolve(seen, sightings={**known, **seen.sightings})


def _rollout_by_hand(seen: "snapshots.RolloutSnapshot") -> "snapshots.RolloutSnapshot":
    update, batch = seen.set.status.update, seen.set.status.batch
    if not seen.now.by_hand or update is None or batch is None or batch.closed_at is None:
        return seen
    from kubenode.core.rollout.hooks import closing

    known = {closing(update.number, batch.number): Now.at(batch.closed_at).elapsed}
    return attrs.evolve(seen, sightings={**known, **seen.sightings})
