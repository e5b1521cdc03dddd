"""Which decisions are worth an Event, in which words. Pure; docs/reference/events.md lists them.

The routine of a rollout is told of its set and not of each machine: a machine that goes from Running to Updating and
back is what was asked for. What is told of a machine is what happens to it alone.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs

from kubenode.core import model as m
from kubenode.core.decision import AnswerRequest, Create
from kubenode.core.enrol.decide import EnrolSnapshot
from kubenode.core.model.condition import Condition, find
from kubenode.core.model.meta import ref
from kubenode.core.model.remedy import Attempt, AttemptState, JobPhase
from kubenode.core.model.risk import Cause
from kubenode.core.risk.decide import FleetSnapshot
from kubenode.core.risk.reach import named
from kubenode.core.rollout.progress import CONFLICT, PROGRESSING, ROLLED_BACK, Code, Reason
from kubenode.runtime.engine.loop import Decided

NORMAL: Final = "Normal"
WARNING: Final = "Warning"


class Word(enum.Enum):
    """Reasons of Events beside those of conditions, and the phases and states of our objects."""

    EPISODE_OPENED = "EpisodeOpened"
    PERMIT_GRANTED = "PermitGranted"
    PERMIT_DEFERRED = "PermitDeferred"


_ROUTINE: Final = frozenset({"Running", "Updating"})
_TROUBLE: Final = frozenset({"Failed", "Unknown"})
_BY_ITSELF: Final = frozenset({Reason.OBSERVING.value, Reason.INSPECTING.value, Reason.ROLLING_OUT.value})
"""Where a rollout is without anybody having to know; its beginning is told all the same."""
_ASKED_FOR: Final = frozenset({
    Reason.PAUSED.value, Reason.PARTITION.value, Reason.AWAITING_APPROVAL.value, Reason.HELD.value,
})  # fmt: skip
"""Why a rollout stands still because a person wanted it to."""
_OF_SETS: Final = frozenset(
    {"MassDelete", "MachinesLost", "OtherSet", "NoRoom", "NewerVersion", "OrphansHeld"}
)
_OF_ATTEMPTS: Final[Mapping[AttemptState, str]] = {
    AttemptState.ACTING: NORMAL, AttemptState.SUCCEEDED: NORMAL, AttemptState.FAILED: WARNING,
}  # fmt: skip
_OF_JOBS: Final = {JobPhase.HANDED_OVER.value: WARNING, JobPhase.CANCELLED.value: NORMAL}


@attrs.frozen(kw_only=True)
class Notice:
    """One thing worth telling.

    Attributes:
        about: of which object, by uid.
        type: Normal or Warning.
        reason: a fixed word.
        message: one sentence for people.
        kind: of the object, in its namespace, where it is none of ours; each of its Events is one of its own.
    """

    about: m.Ref
    type: str = NORMAL
    reason: str
    message: str
    kind: m.Kind | None = None


class Listener:
    """Makes notices of decisions. Remembers which deferrals it has told of, each once until it is another one."""

    def __init__(self) -> None:
        self._deferred: dict[str, str] = {}
        self._waiting: dict[str, str] = {}

    def hear(self, decided: Decided) -> tuple[Notice, ...]:
        """Give what is worth telling of one decision; what its acts bring is so only when they are done."""
        return tuple(self._heard(decided))

    def _heard(self, decided: Decided) -> Iterator[Notice]:
        subject, stored = decided.question.subject, decided.question.stored
        status = decided.decision.status
        for effect in decided.decision.effects:
            if isinstance(effect, Create) and isinstance(effect.object, m.RemedyOperationJob):
                yield _opened(effect.object)
        if isinstance(subject, m.MachineComponentSet):
            yield from self._permits(subject, decided)
        if isinstance(decided.question.snapshot, EnrolSnapshot):
            yield from _answered(decided)
        if isinstance(decided.question.snapshot, FleetSnapshot):
            yield from self._deferrals(decided.question.snapshot, decided)
        if status is None or subject is None or status == stored or decided.question.part:
            return  # a part is an agent's, who tells of itself in its status
        match subject:
            case m.Machine():
                yield from _of_machine(subject, stored, status)
            case m.MachineComponentSet():
                yield from _of_rollout(subject, stored, status)
            case m.RemedyOperationJob():
                yield from _of_job(subject, stored, status)
            case m.RiskLedger():
                yield from _granted(stored, status)
            case m.MachineSet():
                yield from _appeared(subject, stored, status, _OF_SETS)
                yield from _ended(subject, stored, status)
            case m.NodeRemedier() | m.RiskPolicy():
                yield from _refused(subject, stored, status)
            case _:
                return

    def _permits(self, owner: m.MachineComponentSet, decided: Decided) -> Iterator[Notice]:
        """Tell once a batch that it waits for permits."""
        name, batch, update = owner.metadata.name, owner.status.batch, owner.status.update
        note = next(
            (one for one in decided.decision.notes if one.code == Code.WAITING_FOR_PERMITS.value), None
        )
        if note is None or batch is None or update is None:
            return
        which = f"{owner.metadata.uid} {update.number} {batch.number}"
        if self._waiting.get(name) != which:
            self._waiting[name] = which
            yield Notice(about=ref(owner), reason=Word.PERMIT_DEFERRED.value, message=note.text)

    def _deferrals(self, seen: FleetSnapshot, decided: Decided) -> Iterator[Notice]:
        """Tell of those who wait but for rollouts, which tell of themselves; again when something else binds."""
        status = decided.decision.status
        held = {op_id for hold in (status.holds if status is not None else ()) for op_id in hold.op_ids}
        before, self._deferred = self._deferred, {}
        for ask in seen.asks:
            if not ask.waiting or ask.cause is Cause.ROLLOUT or ask.op_id in held:
                continue
            lead = f"{ask.machine.name}: "
            note = next((one for one in decided.decision.notes if one.text.startswith(lead)), None)
            if note is None:
                continue
            self._deferred[ask.op_id] = note.code
            if before.get(ask.op_id) != note.code:
                text = f"{ask.op_id}: {note.code}: {note.text.removeprefix(lead)}"
                yield Notice(about=ask.machine, reason=Word.PERMIT_DEFERRED.value, message=text)


def _answered(decided: Decided) -> Iterator[Notice]:
    """Tell of a Machine who became its agent, and who was refused to."""
    machine = decided.question.subject
    for effect in decided.decision.effects:
        if isinstance(effect, AnswerRequest) and machine is not None:
            kind, text = NORMAL if effect.approved else WARNING, f"{effect.request.name}: {effect.message}"
            yield Notice(about=ref(machine), type=kind, reason=effect.reason, message=text)


def _of_machine(subject: m.Machine, stored: Any, status: Any) -> Iterator[Notice]:
    before, after = stored.phase, status.phase
    ready = find(status.conditions, "Ready")
    if before != after and not (before in _ROUTINE and after in _ROUTINE):
        why = f": {ready.reason}" if ready is not None and ready.status is not m.Switch.TRUE else ""
        kind = WARNING if after in _TROUBLE else NORMAL
        yield Notice(about=ref(subject), type=kind, reason=after, message=f"phase is {after}{why}")
    elif before == after == "Running" and ready is not None and ready.status is m.Switch.FALSE:
        was = find(stored.conditions, "Ready")
        if was is not None and was.status is m.Switch.TRUE:
            yield Notice(about=ref(subject), type=WARNING, reason=ready.reason, message=ready.message)


def _of_rollout(subject: m.MachineComponentSet, stored: Any, status: Any) -> Iterator[Notice]:
    revision = 0 if status.update is None else status.update.number
    is_new = stored.update != status.update
    before, after = find(stored.conditions, PROGRESSING), find(status.conditions, PROGRESSING)
    if after is not None:
        changed = before is None or before.reason != after.reason
        if is_new or (changed and after.reason not in _BY_ITSELF):
            calm = after.status is m.Switch.TRUE or after.reason in _ASKED_FOR
            text = f"revision {revision}, {subject.component}: {after.message}".removesuffix(": ")
            yield Notice(
                about=ref(subject), type=NORMAL if calm else WARNING, reason=after.reason, message=text
            )
    for type_ in (CONFLICT, ROLLED_BACK):
        now, was = find(status.conditions, type_), find(stored.conditions, type_)
        if now is not None and now.status is m.Switch.TRUE and not _is_so(was):
            yield Notice(about=ref(subject), type=WARNING, reason=now.reason, message=now.message)
    known = () if is_new else stored.failed
    for failure in status.failed:
        if failure not in known:
            machine = m.Ref(kind=m.Machine.KIND.name, name=failure.name, uid=failure.uid)
            text = f"{subject.metadata.name} revision {revision}: {failure.message}".removesuffix(": ")
            yield Notice(about=machine, type=WARNING, reason=failure.reason, message=text)


def _is_so(condition: Condition | None) -> bool:
    return condition is not None and condition.status is m.Switch.TRUE


def _opened(job: m.RemedyOperationJob) -> Notice:
    cause = job.spec.cause
    text = f"{cause.type}, {job.spec.origin}: job {job.metadata.name}"
    return Notice(
        about=_machine(job), type=WARNING, reason=Word.EPISODE_OPENED.value, message=text
    )  # fmt: skip


def _machine(job: m.RemedyOperationJob) -> m.Ref:
    return m.Ref(kind=m.Machine.KIND.name, name=job.spec.machine.name, uid=job.spec.machine.uid)


def _of_job(subject: m.RemedyOperationJob, stored: Any, status: Any) -> Iterator[Notice]:
    before: dict[str, Attempt] = {one.op_id: one for one in stored.attempts}
    name, about = subject.metadata.name, _machine(subject)
    for attempt in status.attempts:
        old = before.get(attempt.op_id)
        kind = _OF_ATTEMPTS.get(attempt.state)
        if kind is not None and (old is None or old.state is not attempt.state) and not attempt.withdrawn:
            text = f"{name} attempt {attempt.number}, {attempt.action}, {attempt.op_id}: {attempt.verdict}"
            yield Notice(about=about, type=kind, reason=attempt.state.value, message=text.removesuffix(": "))
    if stored.phase != status.phase and status.phase in _OF_JOBS:
        verdict = status.attempts[-1].verdict if status.attempts else ""
        text = f"{name}: {verdict}".removesuffix(": ")
        yield Notice(about=about, type=_OF_JOBS[status.phase], reason=status.phase, message=text)


def _granted(stored: Any, status: Any) -> Iterator[Notice]:
    before = {op_id for hold in stored.holds for op_id in hold.op_ids}
    for hold in status.holds:
        if hold.cause is Cause.ROLLOUT or hold.op_id in before:
            continue
        machine = m.Ref(kind=m.Machine.KIND.name, name=hold.machine, uid=hold.machine_uid)
        text = f"{hold.op_id}, {hold.cause.value}, counts in {', '.join(named(one).rstrip() for one in hold.scopes)}"
        yield Notice(about=machine, reason=Word.PERMIT_GRANTED.value, message=text)


def _appeared(subject: m.MachineSet, stored: Any, status: Any, told: Iterable[str]) -> Iterator[Notice]:
    before = {one.reason for one in stored.conditions}
    for one in status.conditions:
        if one.reason in told and one.reason not in before:
            yield Notice(about=ref(subject), type=WARNING, reason=one.reason, message=one.message)


def _ended(subject: m.MachineSet, stored: m.MachineSetStatus, status: m.MachineSetStatus) -> Iterator[Notice]:
    """Tell of each orphan that is chosen."""
    known = {(one.provider, one.id) for one in stored.orphans_ended}
    for one in status.orphans_ended:
        if (one.provider, one.id) not in known:
            text = f"instance {one.id} of provider {one.provider} is terminated: its Machine is no more, and no Node runs on it"
            yield Notice(about=ref(subject), type=NORMAL, reason="OrphansEnding", message=text)


def _refused(subject: m.Object, stored: Any, status: Any) -> Iterator[Notice]:
    for one in status.conditions:
        was = find(stored.conditions, one.type)
        if one.status is m.Switch.FALSE and (was is None or was.reason != one.reason):
            yield Notice(about=ref(subject), type=WARNING, reason=one.reason, message=one.message)
