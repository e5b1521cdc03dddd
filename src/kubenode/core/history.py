"""Every disruptive act that a cluster's objects still tell of: whose, why, under which permit, how it ended.

Sources, each with what it keeps: the attempts of RemedyOperationJobs, with their times; the entries of Machines, which
name the last change of each component but not when; the open batches of sets, which do; the ledger, which has
the scopes of what is under way. Nothing is guessed: what no object keeps is None.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    NodeRemedier,
    RemedyOperationJob,
    RiskLedger,
)
from kubenode.core.model.machine import ComponentEntry, ComponentReport
from kubenode.core.model.quantity import format_duration
from kubenode.core.model.risk import Limit
from kubenode.core.policy import Policy
from kubenode.core.risk.asks import cause_of_job, is_rollback
from kubenode.core.risk.ledger import scope_text, scopes_of
from kubenode.core.risk.needs import ACT_OF, needs_permit
from kubenode.core.risk.reach import named, own_scope

_BEGAN = frozenset({AttemptState.ACTING, AttemptState.VERIFYING, AttemptState.SUCCEEDED, AttemptState.FAILED})
NO_ROOMS: Mapping[str, str] = MappingProxyType({})


@attrs.frozen(kw_only=True)
class Disruption:
    """One disruptive act on one machine.

    Attributes:
        op_id: the name of its permit.
        machine: its name; it may be gone.
        cause: Human, Remedy, Drift or Rollout; of a hold whose owner is gone, as the ledger says.
        why: what led to it, for people.
        action: what was done.
        state: Acting, Verifying, Succeeded or Failed.
        since: when it entered that state; None where no object keeps it.
        verdict: how it ended, or how far it is; may be empty.
        held: its permit is open.
        scopes: in which it counts, as limits spell them; by the labels and sets of today where it is not held.
        limits: every limit of those scopes that is in force now, its remedier's own among them, as text.
    """

    op_id: str
    machine: str
    cause: str
    why: str
    action: str
    state: str
    since: datetime | None
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
    policy: Policy = Policy()


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
    found = {one.op_id: one for one in (*_of_entries(seen), *_of_jobs(seen))}
    waiting = _waiting(seen)
    lost = [_of_hold(word, hold) for word, hold in holds.items() if word not in waiting and word not in found]
    places = _places(seen)
    rooms = {one.metadata.name: str(one.spec.rollout.max_unavailable) for one in seen.sets}
    remediers = {one.metadata.name: one for one in seen.policy.remediers}
    rulings = {word: remediers.get(job.spec.remedier) for job in seen.jobs for word in _words(job)}
    whole = (
        _placed(
            one, holds.get(one.op_id), places.get(one.machine, ()), seen.policy, rooms, rulings.get(one.op_id)
        )
        for one in (*found.values(), *lost)
        if not machine or one.machine == machine
    )
    return tuple(sorted(whole, key=_order))


def _order(one: Disruption) -> tuple[bool, float, str, str]:
    return (
        one.since is not None,
        0.0 if one.since is None else one.since.timestamp(),
        one.machine,
        one.op_id,
    )


def limits_of(
    scopes: Iterable[str],
    policy: Policy,
    rooms: Mapping[str, str] = NO_ROOMS,
    remedier: NodeRemedier | None = None,
) -> tuple[str, ...]:
    """Spell every limit that binds an act in some scopes: `zone b: 5% in flight (built-in)`.

    Args:
        scopes: as the ledger spells them.
        policy: what limits.
        rooms: `maxUnavailable` of each set, by name.
        remedier: whose act it is; its own limits bind, too.
    """
    scopes = tuple(scopes)
    sets = [scope.removeprefix("set=") for scope in scopes if scope.startswith("set=")]
    room = (f"set {name}: {rooms[name]} unavailable (maxUnavailable)" for name in sets if name in rooms)
    bound = (
        f"{named(scope)}: {_spelled(limit)} ({one.metadata.name})"
        for scope in scopes
        for one in policy.limits
        for limit in one.spec.limits
        if _counts(limit, scope)
    )
    own = (
        f"{named(own_scope(remedier.metadata.name, scope))}: {_spelled(limit)} (its own)"
        for scope in scopes
        for limit in remedier.spec.limits
        if _counts(limit, scope)
    ) if remedier is not None else ()  # fmt: skip
    return tuple(dict.fromkeys((*bound, *own, *room)))


def _counts(limit: Limit, scope: str) -> bool:
    return scope_text(limit.scope).partition("=")[0] == scope.partition("=")[0]


def _spelled(limit: Limit) -> str:
    return f"{limit.max} in flight" if limit.window is None else f"{limit.max} in {format_duration(limit.window)}"  # fmt: skip


def _words(job: RemedyOperationJob) -> Iterator[str]:
    return (attempt.op_id for attempt in job.status.attempts)


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
        op_id=word, machine=hold.machine, cause=hold.cause.value, why="its owner is gone", action="unknown",
        state="Acting", since=None,
    )  # fmt: skip


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


def _placed(
    one: Disruption,
    hold: Hold | None,
    place: tuple[str, ...],
    policy: Policy,
    rooms: Mapping[str, str],
    remedier: NodeRemedier | None,
) -> Disruption:
    scopes = place if hold is None else hold.scopes
    return attrs.evolve(
        one,
        held=hold is not None,
        scopes=tuple(named(scope).rstrip() for scope in scopes),
        limits=limits_of(scopes, policy, rooms, remedier),
    )
