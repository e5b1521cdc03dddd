"""The rollout decider: which machines of a set get which component, in batches."""

from collections.abc import Mapping
from datetime import datetime

import attrs

from kubenode.core.decision import NOTHING_SEEN, Decision, Note, SetEntry, soonest
from kubenode.core.health.freeze import Place, thaws
from kubenode.core.health.zones import ZoneTally
from kubenode.core.inspection import Inspected
from kubenode.core.model.batch import Batch, Member, MemberState
from kubenode.core.model.component import Disruption, MachineComponent
from kubenode.core.model.componentset import MachineComponentSet, MachineComponentSetStatus
from kubenode.core.model.condition import Claim, stated
from kubenode.core.model.inspection import (
    OnFailure,
)
from kubenode.core.model.meta import Switch
from kubenode.core.model.now import Now, moment
from kubenode.core.node.drain import DRAINING, GOES_ON, drained_for
from kubenode.core.policy import Policy
from kubenode.core.risk.needs import drains
from kubenode.core.rollout.batch import next_batch
from kubenode.core.rollout.control import compared
from kubenode.core.rollout.hands import obstacle
from kubenode.core.rollout.hooks import closing, find
from kubenode.core.rollout.inspect import NO_BATCH, Gate, GateState, judge_gate, proves, recorded
from kubenode.core.rollout.member import Judged, Terms, judge
from kubenode.core.rollout.progress import (
    PROGRESSING,
    Code,
    Course,
    Held,
    Phase,
    Reason,
    Stop,
    claims,
    left_alone,
    notes,
    stop_of,
)
from kubenode.core.rollout.revision import (
    begun,
    excused,
    has_changed,
    is_approved,
    joins,
    kept_back,
    named_to_skip,
    rolled_back,
    write,
)
from kubenode.core.rollout.tally import Seat, TallyView, place_of

FAILED_LIMIT = 64
BATCHES_LIMIT = 32
FAILURES = frozenset({GateState.FAILED, GateState.WORSE})
STOPS_A_BATCH = frozenset({Reason.PAUSED, Reason.PLUGIN_MISSING, Reason.PARAMETERS_INVALID})


@attrs.frozen(kw_only=True)
class RolloutSnapshot:
    """All that a decision on one set depends on; never all its machines.

    Attributes:
        component: what `set.component` names; None when there is no such object.
        tally: counted by the set's update revision as it stands in `set.status`, and its component and
            partition; with more candidates than SKIP_LIMIT, if there are.
        members: seats of those members of the open batch that still exist with the same uid and are
            selected; in any order.
        holds: op-ids of all open permits.
        places: uid of a member -> where it is, as the scopes of a freeze go; who is missing is in its zone and this set.
        zones: Nodes of each zone that Machines claim, and how many of them are not Ready.
        inspections: by the name of a hook, what came of asking it; of hooks that need not be asked, nothing.
        now: an aware datetime will do.
        sightings: what the last decision on this set returned; empty after a restart.
    """

    set: MachineComponentSet
    component: MachineComponent | None
    tally: TallyView
    members: tuple[Seat, ...] = ()
    holds: frozenset[str] = frozenset()
    places: Mapping[str, Place] = attrs.field(factory=dict)
    zones: Mapping[str, ZoneTally] = attrs.field(factory=dict)
    inspections: Mapping[str, Inspected] = attrs.field(factory=dict)
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN


def needs_permit(component: MachineComponent) -> bool:
    """Tell whether bringing a machine that has run to this version takes a permit."""
    return component.spec.disruption is not Disruption.NONE


def _drains(seen: RolloutSnapshot) -> bool:
    """Tell whether the Node of a member is drained before it starts."""
    return seen.component is not None and drains(seen.component.spec.disruption)


def decide(seen: RolloutSnapshot, policy: Policy) -> Decision[MachineComponentSetStatus]:
    """Decide the next step of one set's rollout.

    Args:
        seen: the snapshot.
        policy: what limits disruption is the risk decider's, who sees the open batch as the request and
            answers in the ledger. Here only freezes and zone breakers are looked at again, before a start.

    Returns:
        The whole status, and entries to write: of members that it records as Started, and of machines
        that join. At rest: no effect and the stored status.

    Invariants: the record of a batch is written before any entry of it; an entry of another set is never
    written; a failure is counted once; at most a batch's members and JOIN_LIMIT machines are touched.
    Source: api.md section 4, "Component upgrade".
    """
    owner = seen.set
    number = owner.status.update.number if owner.status.update is not None else None
    if owner.metadata.deletion_timestamp is not None:
        return Decision(
            notes=(Note(code=Code.DELETING.value, text="the set is being deleted; nothing is started"),)
        )
    newer = _newer(owner)
    if newer:
        return _hands_off(seen, newer)
    if seen.component is not None and has_changed(owner):
        return _concluded(seen, begun(owner, seen.tally), Course(stop=None, gate=NO_BATCH))
    if seen.tally.revision != number:
        text = f"machines were counted by revision {seen.tally.revision}, not {number}"
        return Decision(
            notes=(Note(code=Code.TALLY_STALE.value, text=text),), sightings=seen.sightings, deferred=True
        )
    return _advanced(seen, policy)


def _newer(owner: MachineComponentSet) -> str:
    """Say what of the set only a newer version knows; nothing when all is known."""
    if owner.metadata.unknown:
        return owner.metadata.unknown[0]
    known = {"", *(phase.value for phase in Phase)}
    return "" if owner.status.phase in known else f"status.phase {owner.status.phase}"


def _hands_off(seen: RolloutSnapshot, newer: str) -> Decision[MachineComponentSetStatus]:
    """Leave a newer version's set alone, but say so."""
    owner = seen.set
    text = f"{newer} is not known to this version; upgrade kubenode, or remove it"
    claim = Claim(type=PROGRESSING, holds=Switch.UNKNOWN, reason=Reason.NEWER_VERSION.value, message=text)
    said = stated(owner.status.conditions, (claim,), wall=seen.now.wall, generation=owner.metadata.generation)
    others = tuple(condition for condition in owner.status.conditions if condition.type != PROGRESSING)
    note = Note(code=Reason.NEWER_VERSION.value, text=text, scope=f"set={owner.metadata.name}")
    return Decision(status=attrs.evolve(owner.status, conditions=said + others), notes=(note,), deferred=True)


def _advanced(seen: RolloutSnapshot, policy: Policy) -> Decision[MachineComponentSetStatus]:
    """Judge, start, close, open, join: each on the status the last one left."""
    owner = seen.set
    judged = _judged(seen)
    status = _counted(seen, judged)
    stop = stop_of(owner, status, seen.component, seen.inspections)
    started = _started(seen, policy, status, stop)
    status, starts = started.status, started.starts
    status, gate, since = _gated(seen, status)
    if gate.state in FAILURES and _goes_back(seen, status):
        back = rolled_back(owner, status, gate.finding)
        return _concluded(seen, begun(back, seen.tally), Course(stop=None, gate=NO_BATCH))
    if status.batch is None and stop is None:
        status = attrs.evolve(status, batch=next_batch(owner, status, _due(seen), seen.now))
        stop = left_alone(status, seen.tally, _held(seen))
    course = Course(
        stop=stop,
        gate=gate,
        obstacles=started.obstacles,
        held=_held(seen),
        dwells=judged.dwells if judged is not None else (),
        complete=_is_complete(seen.tally, status, stop),
    )
    if course.complete:
        status = attrs.evolve(status, current=status.update)
    joining = joins(owner, status, seen.tally.joining) if seen.component is not None else ()
    decision = _concluded(seen, status, course)
    return attrs.evolve(
        decision,
        effects=starts + joining,
        wake_at=soonest((
            *(judged.wakes if judged is not None else ()), gate.until, *started.thaws.values(),
            *gate.wakes,
        )),
        sightings={**(judged.sightings if judged is not None else {}), **since, **started.thaws},
    )  # fmt: skip


def _goes_back(seen: RolloutSnapshot, status: MachineComponentSetStatus) -> bool:
    """Tell whether a failed inspection brings the last complete component back: if asked for, and there is another."""
    wants = seen.set.spec.rollout.inspection.on_failure is OnFailure.ROLL_BACK
    return wants and status.current not in (None, status.update)


def _judged(seen: RolloutSnapshot) -> Judged | None:
    status = seen.set.status
    if status.batch is None or status.update is None:
        return None
    terms = Terms.of(
        seen.set, status.update.number, _spared(seen), seen.holds if _drains(seen) else frozenset()
    )
    return judge(status.batch, seen.members, terms, seen.now, seen.sightings)


def _spared(seen: RolloutSnapshot) -> frozenset[str]:
    """Give the uids of members that are not to be touched, though their batch opened with them."""
    named, kept_from, uid = named_to_skip(seen.set), seen.tally.kept_from, seen.set.metadata.uid
    return frozenset(
        seat.machine.uid
        for seat in seen.members
        if seat.held
        or seat.machine.name in named
        or (kept_from is not None and place_of(uid, seat) >= kept_from)
    )


def _due(seen: RolloutSnapshot) -> tuple[Seat, ...]:
    """Give the candidates that nobody wants skipped."""
    named = named_to_skip(seen.set)
    return tuple(seat for seat in seen.tally.candidates if seat.machine.name not in named)


def _held(seen: RolloutSnapshot) -> Held:
    """Give the machines that a person holds by label, but for those that are skipped anyway."""
    named = named_to_skip(seen.set)
    first = tuple(seat.machine.name for seat in seen.tally.held_first)
    names = tuple(name for name in first if name not in named)
    return Held(names=names, count=seen.tally.held - (len(first) - len(names)))


def _counted(seen: RolloutSnapshot, judged: Judged | None) -> MachineComponentSetStatus:
    """Record the members' states and the failures found just now; count what is excused and skipped."""
    status = seen.set.status
    if judged is not None:
        status = attrs.evolve(
            status,
            batch=judged.batch,
            failures=status.failures + len(judged.failures),
            failed=(status.failed + judged.failures)[:FAILED_LIMIT],
        )
    held = _held(seen).count
    skipped = len(seen.tally.candidates) - len(_due(seen)) + seen.tally.held - held
    status = attrs.evolve(
        status, updated=seen.tally.updated, skipped=skipped, held=held, rolled_back=kept_back(seen.set)
    )
    return attrs.evolve(status, excused=excused(seen.set, status))


@attrs.frozen(kw_only=True)
class _Starts:
    """Who starts, who may not though it has its permit, and when a freeze in its way is over."""

    status: MachineComponentSetStatus
    starts: tuple[SetEntry, ...] = ()
    obstacles: tuple[Note, ...] = ()
    thaws: Mapping[str, int] = NOTHING_SEEN


def _started(
    seen: RolloutSnapshot, policy: Policy, status: MachineComponentSetStatus, stop: Stop | None
) -> _Starts:
    """Start the waiting members that may: record them as Started, and write their entries after that.

    Who was recorded as Started and yet lacks its entry was judged as waiting, and so starts again.
    """
    batch, component, update = status.batch, seen.component, status.update
    if batch is None or component is None or update is None or stop is not None:
        return _Starts(status=status)
    seats = {seat.machine.uid: seat for seat in seen.members}
    disrupts, ends = needs_permit(component), thaws(policy.limits, seen.now, seen.sightings)
    members: list[Member] = []
    starts: list[SetEntry] = []
    obstacles: list[Note] = []
    for member in batch.members:
        if member.state is not MemberState.WAITING or (disrupts and member.op_id not in seen.holds):
            members.append(member)
            continue
        seat = seats[member.uid]
        place = seen.places.get(member.uid, _place(seen.set, seat))
        note = obstacle(seat, place, policy, seen.zones, seen.now, ends, disrupts=disrupts)
        if note is None and _drains(seen) and drained_for(seat.drain, seen.holds) not in GOES_ON:
            note = Note(
                code=DRAINING,
                text=f"{member.name}: its Node is drained first",
                scope=f"machine {member.name}",
            )
        if note is not None:
            obstacles.append(note)
            members.append(member)
            continue
        members.append(attrs.evolve(member, state=MemberState.STARTED))
        starts.append(write(seen.set, seat, update, batch.number))
    return _Starts(
        status=attrs.evolve(status, batch=attrs.evolve(batch, members=tuple(members))),
        starts=tuple(starts), obstacles=tuple(obstacles), thaws=ends if obstacles else NOTHING_SEEN,
    )  # fmt: skip


def _place(owner: MachineComponentSet, seat: Seat) -> Place:
    return Place(machine=seat.machine.name, zone=seat.zone, region="", sets=(owner.metadata.name,))


def _gated(
    seen: RolloutSnapshot, status: MachineComponentSetStatus
) -> tuple[MachineComponentSetStatus, Gate, Mapping[str, int]]:
    """Close a batch whose members have all ended, and record it when its gate is passed and its permits are given back.

    Returns:
        The status, what the gate says, and the sightings of the closing and of answers while the batch is kept.
    """
    batch, update = status.batch, status.update
    if batch is None or update is None:
        return status, NO_BATCH, NOTHING_SEEN
    key = closing(update.number, batch.number)
    found = find(seen.set, batch, update.number, seen.inspections, seen.now, seen.sightings)
    control = compared(seen.tally.rates, seen.set.spec.rollout.inspection.control_group)
    gate = judge_gate(
        batch, seen.members, seen.set.spec.rollout.observation, seen.now, seen.sightings.get(key),
        approved=is_approved(seen.set, update.number, batch.number), way_back=status.rolls_back,
        findings=attrs.evolve(found, control=control),
    )  # fmt: skip
    if gate.state is GateState.PASSED and not _holds(batch, update.number, seen):
        batches = (*status.batches, recorded(batch))[-BATCHES_LIMIT:]
        proven = status.proven + proves(batch)
        return attrs.evolve(status, batch=None, batches=batches, proven=proven), gate, NOTHING_SEEN
    if gate.since is None:
        return status, gate, NOTHING_SEEN
    kept = attrs.evolve(_closed(batch, seen.now.wall), inspections=found.results)
    return attrs.evolve(status, batch=kept), gate, {key: gate.since, **found.sightings}


def _holds(batch: Batch, revision: int, seen: RolloutSnapshot) -> bool:
    """Tell whether a member whose act is over still has its permit.

    The batch is the record that it has ended, by which the risk decider closes the permit at once; without it, it
    would take it for one whose owner is gone. Who failed while its agent has yet to answer may still act, and keeps its
    permit without the batch.
    """
    acting = {
        seat.machine.uid for seat in seen.members
        if seat.is_at(seen.set.metadata.name, revision) and (seat.report is None or seat.report.revision != str(revision))
    }  # fmt: skip
    return any(member.op_id in seen.holds and member.uid not in acting for member in batch.members)


def _closed(batch: Batch, wall: datetime) -> Batch:
    return (
        batch if batch.closed_at is not None else attrs.evolve(batch, closed_at=wall.replace(microsecond=0))
    )


def _is_complete(tally: TallyView, status: MachineComponentSetStatus, stop: Stop | None) -> bool:
    """Tell whether all but skipped machines are done; what only keeps a batch from opening holds up nothing then."""
    held_up = stop is not None and stop.reason not in STOPS_A_BATCH
    nobody_left = tally.outdated == status.skipped
    return status.update is not None and status.batch is None and nobody_left and not held_up


def _concluded(
    seen: RolloutSnapshot, status: MachineComponentSetStatus, course: Course
) -> Decision[MachineComponentSetStatus]:
    """Add phase, counts, conditions and notes."""
    owner, tally = seen.set, seen.tally
    status = attrs.evolve(
        status,
        phase=course.phase.value,
        observed_generation=owner.metadata.generation,
        selected=tally.selected,
        unavailable=tally.unavailable,
    )
    said = stated(
        owner.status.conditions,
        claims(owner, status, tally, course),
        wall=seen.now.wall,
        generation=owner.metadata.generation,
    )
    why = notes(owner, status, tally, course)
    return Decision(status=attrs.evolve(status, conditions=said), notes=why, deferred=bool(why))
