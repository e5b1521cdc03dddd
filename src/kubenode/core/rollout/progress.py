"""What a rollout says of itself: why it stands still, its phase, its conditions and its notes."""

import enum
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import attrs

from kubenode.core.decision import Note, soonest
from kubenode.core.errors import Problem, refusal
from kubenode.core.inspection import Inspected
from kubenode.core.model.batch import Batch, Failure, MemberState, RolledBack
from kubenode.core.model.component import MachineComponent
from kubenode.core.model.componentset import MachineComponentSet, MachineComponentSetStatus
from kubenode.core.model.condition import Claim
from kubenode.core.model.inspection import (
    InspectionHook,
)
from kubenode.core.model.meta import HOLD_LABEL
from kubenode.core.model.quantity import format_duration
from kubenode.core.rollout.hooks import obstacle, word
from kubenode.core.rollout.inspect import Gate, GateState
from kubenode.core.rollout.tally import TallyView

PROGRESSING = "Progressing"
CONFLICT = "Conflict"
ROLLED_BACK = "RolledBack"
NOTHING_GIVEN: Final[Mapping[str, Inspected]] = MappingProxyType({})
_NAMED = 3


class Phase(enum.Enum):
    """Where a rollout stands, in one word."""

    PROGRESSING = "Progressing"
    PAUSED = "Paused"
    """No member starts and no batch opens until somebody or something outside changes."""
    COMPLETE = "Complete"


class Reason(enum.Enum):
    """All reasons of a set's conditions."""

    ROLLING_OUT = "RollingOut"
    OBSERVING = "Observing"
    COMPLETE = "Complete"
    PAUSED = "Paused"
    FAILURE_THRESHOLD = "FailureThreshold"
    INSPECTION_INCONCLUSIVE = "InspectionInconclusive"
    CONTROL_GROUP_WORSE = "ControlGroupWorse"
    CONTROL_GROUP_TOO_SMALL = "ControlGroupTooSmall"
    INSPECTION_FAILED = "InspectionFailed"
    HOOK_INCONCLUSIVE = "HookInconclusive"
    INSPECTING = "Inspecting"
    PLUGIN_MISSING = "PluginMissing"
    PARAMETERS_INVALID = "ParametersInvalid"
    AWAITING_APPROVAL = "AwaitingApproval"
    PARTITION = "Partition"
    HELD = "Held"
    COMPONENT_MISSING = "ComponentMissing"
    NEWER_VERSION = "NewerVersion"
    OTHER_SET = "OtherSet"


class Code(enum.Enum):
    """Codes of notes beside those of `Reason`."""

    WAITING_FOR_PERMITS = "WaitingForPermits"
    MIN_READY = "MinReady"
    TALLY_STALE = "TallyStale"
    DELETING = "Deleting"


_FOUND: Final = {
    GateState.WORSE: Reason.CONTROL_GROUP_WORSE,
    GateState.TOO_FEW: Reason.CONTROL_GROUP_TOO_SMALL,
    GateState.INCONCLUSIVE: Reason.INSPECTION_INCONCLUSIVE,
    GateState.FAILED: Reason.INSPECTION_FAILED,
    GateState.DOUBTFUL: Reason.HOOK_INCONCLUSIVE,
    GateState.UNAPPROVED: Reason.AWAITING_APPROVAL,
    GateState.INSPECTING: Reason.INSPECTING,
    GateState.OBSERVING: Reason.OBSERVING,
}
"""What a gate is said to be by, while it is shut."""
_RUNNING: Final = frozenset({GateState.INSPECTING, GateState.OBSERVING})
"""Of those, the ones that end by themselves."""


@attrs.frozen(kw_only=True)
class Stop:
    """Why no member may start and no batch may open. A limit is there only where counting stopped it."""

    reason: Reason
    text: str
    observed: int | None = None
    limit: int | None = None


@attrs.frozen(kw_only=True)
class Held:
    """Machines that a person holds by label, so that the rollout passes them over; the first ones by name."""

    names: tuple[str, ...] = ()
    count: int = 0


@attrs.frozen(kw_only=True)
class Course:
    """What a decision found, to be told.

    Attributes:
        gate: of the open batch, or of the one that has just passed.
        obstacles: why members that have their permit do not start, one a member.
        held: who is passed over.
        dwells: when members that are ready will have been so for long enough.
        complete: every machine that has run, but those skipped, has the update revision's component, and
            nothing holds it up.
    """

    stop: Stop | None
    gate: Gate
    obstacles: tuple[Note, ...] = ()
    held: Held = Held()
    dwells: tuple[int, ...] = ()
    complete: bool = False

    @property
    def phase(self) -> Phase:
        """The phase."""
        if self.complete:
            return Phase.COMPLETE
        held = self.stop is not None or (self.gate.state in _FOUND and self.gate.state not in _RUNNING)
        return Phase.PAUSED if held else Phase.PROGRESSING


def stop_of(
    owner: MachineComponentSet, status: MachineComponentSetStatus, component: MachineComponent | None,
    inspections: Mapping[str, Inspected] = NOTHING_GIVEN,
) -> Stop | None:  # fmt: skip
    """Give what forbids to start more machines, the gravest first; None when nothing does.

    Args:
        owner: the set, for its rollout.
        status: with its failures counted and excused.
        component: what is to be rolled out, None when there is no such object.
        inspections: what came of asking the hooks.
    """
    rollout = owner.spec.rollout
    if component is None:
        text = (
            f"there is no MachineComponent {owner.component!r}; create it, or name another in spec.component"
        )
        return Stop(reason=Reason.COMPONENT_MISSING, text=text)
    unable = None if status.rolls_back else obstacle(rollout.inspection.hooks, inspections)
    if unable is not None:
        return _unable(*unable)
    counted = status.failures - status.excused
    if counted > rollout.failure_threshold and status.update is not None:
        text = _failure_text(status, status.update.number, rollout.failure_threshold)
        return Stop(
            reason=Reason.FAILURE_THRESHOLD, text=text, observed=counted, limit=rollout.failure_threshold
        )
    if rollout.paused:
        return Stop(reason=Reason.PAUSED, text="spec.rollout.paused is true; to go on set it to false")
    return None


def _unable(hook: InspectionHook, problem: Problem) -> Stop:
    head, text = refusal(problem)
    reason = Reason.PLUGIN_MISSING if head == Reason.PLUGIN_MISSING.value else Reason.PARAMETERS_INVALID
    return Stop(reason=reason, text=f"inspection {hook.name}: {text}")


def left_alone(status: MachineComponentSetStatus, tally: TallyView, held: Held) -> Stop | None:
    """Give the stop of a rollout in which only machines are left that a person holds or the partition keeps."""
    left = tally.outdated - status.skipped - held.count - tally.kept
    if status.batch is not None or left > 0 or not (held.count or tally.kept):
        return None
    done = f"{tally.updated} of {tally.selected} updated; "
    if held.count:
        return Stop(reason=Reason.HELD, text=done + _held_text(held), observed=held.count, limit=0)
    text = f"{done}{tally.kept} stay at the revision they have; to go on lower spec.rollout.partition"
    return Stop(reason=Reason.PARTITION, text=text, observed=tally.kept)


def _held_text(held: Held) -> str:
    who = some(held.names, held.count)
    return f"{who} held by label {HOLD_LABEL} on the Machine or its Node; to go on take it away"


def _failure_text(status: MachineComponentSetStatus, revision: int, threshold: int) -> str:
    counted = status.failures - status.excused
    failed = _failure_names(status.failed[status.excused :], counted)
    excuse = f'{{revision: "{revision}", failures: {status.failures}}}'
    plural = "s" if counted != 1 else ""
    return f"{failed}: {counted} failure{plural} > {threshold} allowed; to go on set spec.rollout.excuse: {excuse}"


def _failure_names(failed: Sequence[Failure], counted: int) -> str:
    named = failed[:_NAMED]
    rest = counted - len(named)
    if not named:
        return f"{counted} machines failed"
    text = ", ".join(f"{failure.name} failed ({failure.reason})" for failure in named)
    return text + (f" and {rest} more" if rest else "")


def claims(
    owner: MachineComponentSet, status: MachineComponentSetStatus, tally: TallyView, course: Course
) -> tuple[Claim, ...]:
    """Give the conditions that are so now: Progressing always, RolledBack and Conflict only when there is one."""
    found = [_progressing(owner, status, tally, course)]
    if status.rolled_back is not None:
        text = _back_text(status.rolled_back)
        found.append(Claim.of(ROLLED_BACK, True, Reason.INSPECTION_FAILED.value, text))
    if tally.conflicts or tally.contested:
        found.append(Claim.of(CONFLICT, True, Reason.OTHER_SET.value, _conflict_text(owner, tally)))
    return tuple(found)


def _back_text(back: RolledBack) -> str:
    again = f"to try {back.component} again set spec.component to another, then back"
    return f"{back.component} is not rolled out: {back.text}; {again}"


def _progressing(
    owner: MachineComponentSet, status: MachineComponentSetStatus, tally: TallyView, course: Course
) -> Claim:
    if course.complete:
        return Claim.of(PROGRESSING, True, Reason.COMPLETE.value, _complete_text(status, tally))
    if course.stop is not None:
        return Claim.of(PROGRESSING, False, course.stop.reason.value, course.stop.text)
    if course.gate.state in _FOUND:
        text = _gate_text(owner, status, course.gate)
        goes_on = course.gate.state in _RUNNING
        return Claim.of(PROGRESSING, goes_on, _FOUND[course.gate.state].value, text)
    return Claim.of(PROGRESSING, True, Reason.ROLLING_OUT.value, _rolling_text(status))


def _gate_text(owner: MachineComponentSet, status: MachineComponentSetStatus, gate: Gate) -> str:
    match gate.state:
        case GateState.INCONCLUSIVE:
            return _suspects_text(gate)
        case GateState.FAILED:
            return f"{gate.finding}; to ask again set {word(status)}"
        case GateState.DOUBTFUL:
            return f"{gate.finding}, or at once with {word(status)}"
        case GateState.INSPECTING:
            return f"batch {_batch_number(status)} is done and inspected: {gate.finding} has not answered yet"
        case GateState.UNAPPROVED:
            return _approval_text(status)
        case GateState.OBSERVING:
            return _observing_text(owner, status)
        case _:
            return gate.finding


def _batch_number(status: MachineComponentSetStatus) -> str:
    return "" if status.batch is None else str(status.batch.number)


def _complete_text(status: MachineComponentSetStatus, tally: TallyView) -> str:
    borne = status.failures - status.excused
    return (
        f"{status.updated} of {status.selected} updated"
        + (f", excused: {status.excused}" if status.excused else "")
        + (f", skipped: {status.skipped}" if status.skipped else "")
        + (f", failures borne: {borne}" if borne else "")
        + (f", in conflict: {tally.conflicts}" if tally.conflicts else "")
    )


def _rolling_text(status: MachineComponentSetStatus) -> str:
    revision = f"revision {status.update.number}" if status.update is not None else "no revision yet"
    if status.batch is None:
        return f"{revision}: {status.updated} of {status.selected} updated"
    states = [member.state for member in status.batch.members]
    parts = [f"{states.count(state)} {state.value.lower()}" for state in MemberState if state in states]
    return f"{revision}, batch {status.batch.number}: {', '.join(parts)}"


def _observing_text(owner: MachineComponentSet, status: MachineComponentSetStatus) -> str:
    return f"batch {_batch_number(status)} is done and observed for {format_duration(owner.spec.rollout.observation)}"


def _approval_text(status: MachineComponentSetStatus) -> str:
    batch = _batch_number(status)
    revision = "" if status.update is None else status.update.number
    word = f'{{revision: "{revision}", batch: {batch}}}'
    return f"batch {batch} is done; to go on set spec.rollout.approve: {word}"


def _suspects_text(gate: Gate) -> str:
    return f"{some(gate.suspects)} updated but not available; goes on when available again"


def _conflict_text(owner: MachineComponentSet, tally: TallyView) -> str:
    """Tell both sides: what another set has and is left alone, and what another set wants and leaves alone."""
    entry, texts = f"spec.components.{owner.spec.name}", list[str]()
    if tally.conflicts:
        who = some(tally.conflict_names, tally.conflicts)
        texts.append(f"{entry} of {who} names another set and is left alone")
    if tally.contested:
        who = some(tally.contested_names, tally.contested)
        texts.append(
            f"{entry} of {who} is wanted by {', '.join(tally.rivals)} too; "
            "rename one set's spec.name, or make the selectors disjoint"
        )
    return "; ".join(texts)


def some(names: Sequence[str], total: int | None = None) -> str:
    """Name the first of so many, or of all that are given: `a, b, c and 4 more`."""
    named, total = names[:_NAMED], len(names) if total is None else total
    return ", ".join(named) + (f" and {total - len(named)} more" if total > len(named) else "")


def notes(
    owner: MachineComponentSet, status: MachineComponentSetStatus, tally: TallyView, course: Course
) -> tuple[Note, ...]:
    """Give why nothing (more) happens now; none when nothing is held up."""
    scope = f"set={owner.metadata.name}"
    found: list[Note] = []
    stop, gate, until = course.stop, course.gate, soonest(course.dwells)
    if stop is not None and not course.complete:
        found.append(
            Note(
                code=stop.reason.value, text=stop.text, scope=scope, observed=stop.observed, limit=stop.limit
            )
        )
    if gate.state in _FOUND:
        text, frees_at = _gate_text(owner, status, gate), None
        if gate.state is GateState.OBSERVING:
            frees_at = gate.until
        found.append(Note(code=_FOUND[gate.state].value, text=text, scope=scope, frees_at=frees_at))
    if status.batch is not None:
        found += _batch_notes(owner, status.batch, course, until)
    if course.held.count and (stop is None or stop.reason is not Reason.HELD):
        text = _held_text(course.held)
        found.append(
            Note(code=Reason.HELD.value, text=text, scope=scope, observed=course.held.count, limit=0)
        )
    if tally.conflicts or tally.contested:
        observed = tally.conflicts + tally.contested
        found.append(Note(code=CONFLICT, text=_conflict_text(owner, tally), scope=scope, observed=observed))
    return tuple(found)


def _batch_notes(owner: MachineComponentSet, batch: Batch, course: Course, until: int | None) -> list[Note]:
    scope, found = f"set={owner.metadata.name}", list[Note]()
    found += dict.fromkeys(course.obstacles)
    waiting = sum(member.state is MemberState.WAITING for member in batch.members) - len(course.obstacles)
    if waiting and course.stop is None:
        text = f"batch {batch.number}: waiting for permits {waiting} of {len(batch.members)}"
        found.append(Note(code=Code.WAITING_FOR_PERMITS.value, text=text, scope=scope, observed=waiting))
    if until is not None:
        count, seconds = len(course.dwells), owner.spec.rollout.min_ready_seconds
        text = f"batch {batch.number}: {count} updated, to stay ready for {seconds} s"
        found.append(Note(code=Code.MIN_READY.value, text=text, scope=scope, observed=count, frees_at=until))
    return found
