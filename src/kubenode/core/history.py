"""Every disruptive act that a cluster's objects still tell of: whose, why, under which permit and limits, how it ended.

Sources, each with what it keeps: the ledger, which has every permit that is open, and of the last that are closed when
they were granted and closed, for what, and what bound them then; the attempts of RemedyOperationJobs, with their times
and verdicts; the entries of Machines, which name the last change of each component but not when; the open batches of
sets, which do. Nothing is guessed: what no object keeps is None.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import attrs

from kubenode.core.identity import rollout_op_id
from kubenode.core.model import (
    AttemptState,
    Hold,
    Machine,
    MachineComponent,
    MachineComponentSet,
    MemberState,
    Node,
    RemedyOperationJob,
    RiskLedger,
)
from kubenode.core.model.entry import ComponentEntry, ComponentReport
from kubenode.core.risk.asks import cause_of_job, is_rollback
from kubenode.core.risk.ledger import scopes_of
from kubenode.core.risk.needs import ACT_OF, needs_permit
from kubenode.core.risk.reach import named
from kubenode.core.risk.record import Act, acts_of, split

_BEGAN = frozenset({AttemptState.ACTING, AttemptState.VERIFYING, AttemptState.SUCCEEDED, AttemptState.FAILED})
_ACTIONS: Mapping[str, str] = MappingProxyType(
    {"rollout": "component change", "delete": "deletion", "remedy": "remedy"}
)
"""What is done under a permit, by the first word of its op-id; objects that are still there say it closer."""


@attrs.frozen(kw_only=True)
class Disruption:
    """One disruptive act on one machine.

    Attributes:
        op_id: the name of its permit.
        machine: its name; it may be gone.
        cause: Human, Remedy, Drift or Rollout; of a hold whose owner is gone, as the ledger says.
        why: what led to it, for people.
        action: what was done.
        state: Acting, Verifying, Succeeded or Failed; Ended, where the ledger alone tells of it.
        since: when it entered that state; None where no object keeps it.
        began, ended: when its permit was granted and closed; None where that is not kept, or not so yet.
        verdict: how it ended, or how far it is; may be empty.
        held: its permit is open.
        scopes: in which it counts, as limits spell them; by the labels and sets of today where it is not held.
        limits: every limit that bound it when it was granted, its remedier's own among them, as text; none where
            that is not kept.
    """

    op_id: str
    machine: str
    cause: str
    why: str
    action: str
    state: str
    since: datetime | None
    began: datetime | None = None
    ended: datetime | None = None
    verdict: str = ""
    held: bool = False
    scopes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Cluster:
    """The objects that tell of acts, in any order."""

    machines: Sequence[Machine] = ()
    nodes: Sequence[Node] = ()
    components: Sequence[MachineComponent] = ()
    sets: Sequence[MachineComponentSet] = ()
    jobs: Sequence[RemedyOperationJob] = ()
    ledger: RiskLedger | None = None


def disruptions(seen: Cluster, machine: str = "") -> tuple[Disruption, ...]:
    """Give every act that began, those without a time first, then the oldest.

    Args:
        seen: the cluster.
        machine: only those on it, by its name; empty for all.
    """
    holds = {
        word: hold
        for hold in (seen.ledger.status.holds if seen.ledger is not None else ())
        for word in hold.op_ids
    }
    closed = {one.op_id: one for one in (acts_of(seen.ledger.status) if seen.ledger is not None else ())}
    waiting = _waiting(seen)
    told = {word: _of_hold(word, hold) for word, hold in holds.items() if word not in waiting}
    told |= {word: _of_act(one) for word, one in closed.items() if word not in holds}
    told |= {one.op_id: one for one in (*_of_entries(seen), *_of_jobs(seen))}
    places = _places(seen)
    whole = (
        _placed(one, holds.get(one.op_id), closed.get(one.op_id), places.get(one.machine, ()))
        for one in told.values()
        if not machine or one.machine == machine
    )
    return tuple(sorted(whole, key=_order))


def dropped(seen: Cluster) -> int:
    """Give how many closed permits the ledger no longer keeps; of these only what other objects tell is in the history."""
    return 0 if seen.ledger is None else seen.ledger.status.acts_dropped


def _order(one: Disruption) -> tuple[bool, float, str, str]:
    return (
        one.since is not None,
        0.0 if one.since is None else one.since.timestamp(),
        one.machine,
        one.op_id,
    )


def _of_jobs(seen: Cluster) -> Iterator[Disruption]:
    for job in seen.jobs:
        spec = job.spec
        origin = f"NodeRemedier {spec.remedier}" if spec.remedier else f"drift of {spec.component}"
        for attempt in job.status.attempts:
            if attempt.state in _BEGAN and not attempt.withdrawn:
                yield Disruption(
                    op_id=attempt.op_id, machine=spec.machine.name, cause=cause_of_job(job).value,
                    why=f"{spec.cause.type}, {origin}, job {job.metadata.name} attempt {attempt.number}",
                    action=attempt.action, state=attempt.state.value, since=attempt.since, verdict=attempt.verdict,
                )  # fmt: skip


def _of_entries(seen: Cluster) -> Iterator[Disruption]:
    """Give the last change of each component of each machine, where a batch brought it and it disrupts."""
    sets = {one.metadata.name: one for one in seen.sets}
    classes = {one.metadata.name: one.spec.disruption for one in seen.components}
    for machine in seen.machines:
        agent = machine.status.agent
        for name, entry in machine.spec.components.items():
            owner, kind = sets.get(entry.set), classes.get(entry.component)
            if owner is None or not entry.batch or (kind is not None and not needs_permit(ACT_OF[kind])):
                continue
            report = None if agent is None else agent.components.get(name)
            yield _of_entry(owner, machine, name, entry, report)


def _of_entry(
    owner: MachineComponentSet,
    machine: Machine,
    name: str,
    entry: ComponentEntry,
    report: ComponentReport | None,
) -> Disruption:
    dealt_with = report is not None and report.revision == entry.revision
    failed = report.reason if report is not None and dealt_with else ""
    batch, update = owner.status.batch, owner.status.update
    ours = update is not None and entry.revision == str(update.number)
    opened = batch.opened_at if batch is not None and ours and batch.number == entry.batch else None
    state = "Acting" if not dealt_with else "Failed" if failed else "Succeeded"
    what = "rollback" if ours and is_rollback(owner) else "rollout"
    return Disruption(
        op_id=rollout_op_id(owner.metadata.uid, int(entry.revision), machine.metadata.uid),
        machine=machine.metadata.name, cause="Rollout",
        why=f"{what} of {owner.metadata.name} revision {entry.revision} batch {entry.batch}",
        action=f"{name} {entry.component}", state=state, since=opened,
        verdict=(f"{failed}: {report.message}" if failed and report is not None else "").removesuffix(": "),
    )  # fmt: skip


def _waiting(seen: Cluster) -> frozenset[str]:
    """Give the op-ids of what asks and may have a permit, but has not begun."""
    attempts = (
        attempt.op_id
        for job in seen.jobs
        for attempt in job.status.attempts
        if attempt.state is AttemptState.WAITING
    )
    members = (
        one.op_id
        for owner in seen.sets
        for one in (owner.status.batch.members if owner.status.batch is not None else ())
        if one.state is MemberState.WAITING
    )
    return frozenset((*attempts, *members))


def _of_hold(word: str, hold: Hold) -> Disruption:
    return Disruption(
        op_id=word, machine=hold.machine, cause=hold.cause.value, why=hold.by or "its owner is gone",
        action=_action(word), state="Acting", since=None,
    )  # fmt: skip


def _of_act(one: Act) -> Disruption:
    return Disruption(
        op_id=one.op_id, machine=one.machine, cause=one.cause, why=one.by, action=_action(one.op_id), state="Ended",
        since=None,
    )  # fmt: skip


def _action(word: str) -> str:
    """Say what an op-id is of, by its first word; its other parts are digests."""
    return _ACTIONS.get(word.partition("-")[0], "unknown")


def _places(seen: Cluster) -> dict[str, tuple[str, ...]]:
    """Give the scopes of each machine by the labels and sets of today."""
    nodes = {one.metadata.name: one for one in seen.nodes}
    found: dict[str, tuple[str, ...]] = {}
    for machine in seen.machines:
        where = machine.status.node_ref
        node = None if where is None else nodes.get(where.name)
        zone, region = ("", "") if node is None else (node.zone, node.region)
        sets = [one.metadata.name for one in seen.sets if one.spec.selector.selects(machine.metadata.labels)]
        found[machine.metadata.name] = scopes_of(zone, sets, region)
    return found


def _placed(one: Disruption, hold: Hold | None, act: Act | None, place: tuple[str, ...]) -> Disruption:
    """Add what the ledger keeps of its permit: of the one that is open, else of the last that was closed.

    An act whose own object keeps no time has the permit's.
    """
    scopes = tuple(named(scope).rstrip() for scope in (place if hold is None else hold.scopes))
    if hold is not None:
        since = one.since or hold.granted_at
        return attrs.evolve(
            one, held=True, scopes=scopes, since=since, began=hold.granted_at, limits=split(hold.limits)
        )
    if act is None:
        return attrs.evolve(one, scopes=scopes)
    return attrs.evolve(
        one, scopes=scopes, since=one.since or act.ended, began=act.began, ended=act.ended, limits=act.limits
    )
