"""What asks for a permit, and what has ended, read from the objects. Asking is state, not a message."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import attrs

from kubenode.core.identity import deletion_op_id, rollout_op_id
from kubenode.core.model.batch import Member, MemberState
from kubenode.core.model.componentset import MachineComponentSet
from kubenode.core.model.entry import ComponentEntry, ComponentReport
from kubenode.core.model.machine import Machine
from kubenode.core.model.meta import FORCED, Ref, ref
from kubenode.core.model.remedy import Attempt, AttemptState, JobPhase, RemedyOperationJob
from kubenode.core.model.risk import Cause
from kubenode.core.risk.ledger import scopes_of

_TURN = {cause: turn for turn, cause in enumerate(Cause)}
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_OVER = frozenset({JobPhase.SUCCEEDED.value, JobPhase.HANDED_OVER.value, JobPhase.CANCELLED.value})
_KNOWN = frozenset(phase.value for phase in JobPhase) | {""}
_MEMBER_OVER = frozenset({MemberState.UPDATED, MemberState.FAILED, MemberState.GONE, MemberState.SKIPPED})
_ATTEMPT_OVER = frozenset({AttemptState.SUCCEEDED, AttemptState.FAILED})


@attrs.frozen(kw_only=True)
class Ask:
    """One disruption that somebody wants to begin, or has begun.

    Attributes:
        op_id: the name of the permit.
        zone: the machine's; empty without a zone label.
        region: the machine's; empty without a region label.
        sets: names of all MachineComponentSets that select the machine.
        since: how long it has been wanted; None is served last.
        order: its place among those of the same age.
        waiting: it asks. False: it holds, so it keeps its permit, and counts as in flight if it has none.
        remedier: whose remedy it is, or of which component's drift the repair (`drift/kubelet`); empty for all else.
        rollback: it brings back what last was everywhere; it waits for no rate window.
        by: what asks, for people; it stands beside its permit, and nothing is decided by it.
    """

    op_id: str
    machine: Ref
    cause: Cause
    zone: str = ""
    region: str = ""
    sets: tuple[str, ...] = ()
    since: datetime | None = None
    order: int = 0
    waiting: bool = True
    remedier: str = ""
    rollback: bool = False
    by: str = ""

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes it counts in, as the ledger spells them."""
        return scopes_of(self.zone, self.sets, self.region)

    @property
    def rank(self) -> tuple[Any, ...]:
        """Its place in the order of service: cause, age, order, op-id; what follows only makes it total."""
        since = self.since or _BEGINNING
        aware = since if since.tzinfo is not None else since.replace(tzinfo=UTC)
        turn = (_TURN[self.cause], self.since is None, aware, self.order, self.op_id)
        rest = (self.zone, self.region, self.sets, self.remedier, self.rollback, self.by)
        return (*turn, self.waiting, self.machine.name, self.machine.uid, *rest)


def in_order(asks: Iterable[Ask]) -> tuple[Ask, ...]:
    """Give the asks in the order of service, one an op-id; one that holds outdoes one that waits."""
    by_op_id: dict[str, Ask] = {}
    for ask in sorted(asks, key=lambda ask: ask.rank):
        known = by_op_id.get(ask.op_id)
        if known is None or (known.waiting and not ask.waiting):
            by_op_id[ask.op_id] = ask
    return tuple(sorted(by_op_id.values(), key=lambda ask: ask.rank))


def asks_of_set(
    mcs: MachineComponentSet,
    zone_of: Callable[[Ref], str],
    sets_of: Callable[[Ref], tuple[str, ...]],
    *,
    needs_permit: bool,
    region_of: Callable[[Ref], str] = lambda _: "",
) -> tuple[Ask, ...]:
    """Give what the open batch of a set asks for or holds, in the order of its members.

    Args:
        mcs: the set, as stored.
        zone_of: the zone of a machine, empty when unknown.
        sets_of: all sets that select a machine.
        needs_permit: whether the disruption class of the component asks at all; True when unknown.
        region_of: the region of a machine, empty when unknown.

    A paused rollout starts nobody, so its waiting members do not ask, and a permit they were given but have
    not used is given back. The caller leaves out machines that were never Running: they need no permit.
    """
    batch = mcs.status.batch
    if batch is None or not needs_permit:
        return ()
    held_back = mcs.spec.rollout.paused or mcs.status.phase == "Paused" or bool(mcs.metadata.unknown)
    asks = []
    for order, member in enumerate(batch.members):
        waiting = member.state is MemberState.WAITING
        if member.state not in _MEMBER_OVER and not (waiting and held_back):
            machine = Ref(kind=Machine.KIND.name, name=member.name, uid=member.uid)
            sets = tuple(sorted({*sets_of(machine), mcs.metadata.name}))
            asks.append(
                Ask(
                    op_id=member.op_id, machine=machine, cause=Cause.ROLLOUT, zone=zone_of(machine),
                    region=region_of(machine), sets=sets, since=batch.opened_at, order=order, waiting=waiting,
                    rollback=is_rollback(mcs), by=by_set(mcs),
                )
            )  # fmt: skip
    return tuple(asks)


def by_set(mcs: MachineComponentSet) -> str:
    """Say for people what a set's permits are for: `rollout of kubelets revision 2: kubelet-1.30`."""
    update, what = mcs.status.update, "rollback" if is_rollback(mcs) else "rollout"
    number = "" if update is None else f" revision {update.number}: {update.component}"
    return f"{what} of {mcs.metadata.name}{number}"


def is_rollback(mcs: MachineComponentSet) -> bool:
    """Tell whether a set's rollout brings back the component that was last everywhere."""
    return mcs.status.rolls_back


def act_of_entry(
    mcs: MachineComponentSet, machine: Ref, entry: ComponentEntry | None, report: ComponentReport | None
) -> str:
    """Give the op-id of what an agent may still be doing for a set, or an empty text.

    The entry on the Machine is the record: until the agent has reported on its revision, done or failed, the
    act may still run, whatever the set has recorded by time alone (a progress deadline), and so keeps its
    permit. It ends when the agent answers or the machine is gone; and when the set goes on to another
    revision, which asks for the same machine: else the way back would wait for what it is to mend.
    """
    update = mcs.status.update
    if entry is None or entry.set != mcs.metadata.name:
        return ""
    if update is None or entry.revision != str(update.number):
        return ""
    dealt_with = report is not None and report.revision == entry.revision
    return "" if dealt_with else rollout_op_id(mcs.metadata.uid, update.number, machine.uid)


def ended_of_set(mcs: MachineComponentSet) -> frozenset[str]:
    """Give the op-ids of the open batch that the set records as finished."""
    members: tuple[Member, ...] = () if mcs.status.batch is None else mcs.status.batch.members
    return frozenset(member.op_id for member in members if member.state in _MEMBER_OVER)


def asks_of_job(
    job: RemedyOperationJob, zone: str, sets: tuple[str, ...], region: str = ""
) -> tuple[Ask, ...]:
    """Give what the last attempt of a job asks for or holds; nothing when it or the job has ended.

    A person asks where the job bears the annotation `kubenode.dev/forced`.

    A job in a phase of a newer version keeps what it has and asks for nothing new.
    """
    attempts = job.status.attempts
    if not attempts or job.status.phase in _OVER or attempts[-1].state in _ATTEMPT_OVER:
        return ()
    last: Attempt = attempts[-1]
    known = job.status.phase in _KNOWN and not job.metadata.unknown
    machine = Ref(kind=Machine.KIND.name, name=job.spec.machine.name, uid=job.spec.machine.uid)
    return (
        Ask(
            op_id=last.op_id, machine=machine, zone=zone, region=region, sets=tuple(sorted(sets)),
            cause=cause_of_job(job), since=last.since, waiting=known and last.state is AttemptState.WAITING,
            remedier=job.spec.origin, by=f"{last.action} for {job.spec.cause.type}, job {job.metadata.name} attempt {last.number}",
        ),
    )  # fmt: skip


def ask_of_deletion(machine: Machine, zone: str, region: str = "", *, begun: bool) -> Ask:
    """Give what a machine asks for that is to end: it is the last in the order of service, with the rollouts.

    Args:
        machine: whose deletion is asked for.
        zone: its zone.
        region: its region.
        begun: whether its Node is being drained for it.

    The caller leaves out hosts that are released, for which nothing is disrupted, and machines that were never Running.
    """
    return Ask(
        op_id=deletion_op_id(machine.metadata.uid), machine=ref(machine), cause=Cause.ROLLOUT, zone=zone,
        region=region, since=machine.metadata.deletion_timestamp, waiting=not begun, by="deletion of the machine",
    )  # fmt: skip


def cause_of_job(job: RemedyOperationJob) -> Cause:
    """Say for whom a job asks: a person who forces it, else a remedier or the repair of drift."""
    if FORCED in job.metadata.annotations:
        return Cause.HUMAN
    return Cause.DRIFT if job.spec.component else Cause.REMEDY


def ended_of_job(job: RemedyOperationJob) -> frozenset[str]:
    """Give the op-ids of the attempts that have ended; all of them when the job has."""
    over = job.status.phase in _OVER
    return frozenset(
        attempt.op_id for attempt in job.status.attempts if over or attempt.state in _ATTEMPT_OVER
    )
