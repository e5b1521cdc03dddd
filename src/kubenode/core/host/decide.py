"""What the agent on a host decides: answer the operation, else mend one component, and report.

One act at a time. What was begun is known by the host's journal and never run twice; what became of it
is read from the journal and from the host, not from memory. Called by runtime/agent and the simulator.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from kubenode.core.decision import NOTHING_SEEN, Decision, Note, RunSteps
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Have
from kubenode.core.host.drift import (
    REPAIRABLE,
    Drift,
    Repairs,
    drifted,
    remembered,
    repair,
    repairs,
    was_at_target,
)
from kubenode.core.host.inspection import woken
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.host.plan import (
    RESUME_PAUSE,
    Tries,
    disruption,
    host_steps,
    is_at_target,
    pause,
    reboots,
    tries,
)
from kubenode.core.host.turn import Turn
from kubenode.core.model.component import MachineComponent
from kubenode.core.model.condition import Condition
from kubenode.core.model.machine import (
    AgentStatus,
    AnswerState,
    ComponentEntry,
    ComponentReport,
    ConfigState,
    Machine,
    Operation,
    OperationAnswer,
    Running,
)
from kubenode.core.model.meta import ref
from kubenode.core.model.now import Now, moment
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import Policy
from kubenode.core.step import Step, refusal

INSTALL_FAILED = "InstallFailed"
COMPONENT_MISSING = "ComponentMissing"
INTERRUPTED = "interrupted by a reboot"
_ANSWERS: Final[Mapping[JournalState, AnswerState]] = MappingProxyType(
    {
        JournalState.STARTED: AnswerState.ACKNOWLEDGED,
        JournalState.DONE: AnswerState.DONE,
        JournalState.FAILED: AnswerState.FAILED,
    }
)


@attrs.frozen(kw_only=True)
class HostSeen:
    """What the agent knows of its host without asking anybody.

    Attributes:
        conditions: what the detector found.
        journal: by op-id; what was begun here, in whichever boot.
    """

    boot_id: str
    node_name: str
    agent_version: str
    conditions: tuple[Condition, ...] = ()
    journal: Mapping[str, JournalEntry] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class AgentSnapshot:
    """One machine as its agent sees it.

    Attributes:
        components: by their own names, those that entries name and that are there.
        have: by the name of the entry; what its driver found, judged against what the entry wants.
        plans: by the name of the entry; the driver's steps, or why there are none: a Problem whose `what`
            begins with its reason, as in `PluginMissing: no such driver`.
        inspect: how often the host is looked at though nothing was heard of it, nanoseconds; 0: never, for who is
            told of every change.
    """

    machine: Machine
    components: Mapping[str, MachineComponent] = attrs.field(factory=dict)
    have: Mapping[str, Have] = attrs.field(factory=dict)
    plans: Mapping[str, tuple[Step, ...] | Problem] = attrs.field(factory=dict)
    host: HostSeen
    inspect: int = 0
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN

    @property
    def before(self) -> AgentStatus:
        """What the agent reported last."""
        return self.machine.status.agent or AgentStatus()

    @property
    def running(self) -> str:
        """The op-id whose steps run now; empty when none do. Of several the first by name."""
        return min(
            (op for op, one in self.host.journal.items() if one.is_running(self.host.boot_id)), default=""
        )


def decide(seen: AgentSnapshot, policy: Policy) -> Decision[AgentStatus]:
    """Decide what the agent does on its host now, and what it reports.

    Returns:
        `status` is the agent's whole report. At most one effect, RunSteps: the operation's, else that of
        the first entry by name that can be mended.

    Invariants: an op-id in the journal is never run again; nothing is run whose intent (the operation or
    the entry) does not stand in the Machine as read.
    Source: api.md section 4, "Component upgrade", "Drift" and "Hung node".
    """
    return woken(_decided(seen), seen.inspect, seen.sightings, seen.now.elapsed)


def _decided(seen: AgentSnapshot) -> Decision[AgentStatus]:
    held = _held_back(seen)
    answer, asked = _operation(seen, may_begin=held is None)
    reports: dict[str, ComponentReport] = {}
    turns: list[Turn] = []
    for name, entry in sorted(seen.machine.spec.components.items()):
        reports[name], turn = _component(seen, name, entry)
        turns.append(turn)
    status = AgentStatus(
        version=seen.host.agent_version, boot_id=seen.host.boot_id, node_name=seen.host.node_name,
        components=reports, operation=answer,
        conditions=tuple(sorted(seen.host.conditions, key=lambda condition: condition.type)),
    )  # fmt: skip
    if held is None:
        return _arranged(seen, status, asked, turns)
    return Decision(status=status, notes=(held, *_untimed(turns)), sightings=_sightings(turns))


def _untimed(turns: Iterable[Turn]) -> tuple[Note, ...]:
    """Give the notes that no timer changes: where nothing may begin, there is no timer."""
    return tuple(turn.note for turn in turns if turn.note is not None and turn.due is None)


def _sightings(turns: Iterable[Turn]) -> dict[str, int]:
    return {key: since for turn in turns for key, since in turn.sightings.items()}


def _arranged(
    seen: AgentSnapshot, status: AgentStatus, asked: Turn, turns: list[Turn]
) -> Decision[AgentStatus]:
    """Choose the one act; what others wait for is no deadline, since the end of that act is an event."""
    sightings = _sightings(turns)
    notes = [turn.note for turn in (asked, *turns) if turn.note is not None]
    if asked.run is not None:
        return Decision(status=status, effects=(asked.run,), notes=tuple(notes), sightings=sightings)
    ready = [turn.run for turn in turns if turn.run is not None]
    if seen.running:  # an operation that is asked for and not begun would be begun by now
        busy = Note(code="Busy", text=f"operation {seen.running} comes first")
        deferred = asked.note is not None or any(turn.run or turn.due is not None for turn in turns)
        return Decision(
            status=status, notes=(busy, *_untimed((asked, *turns))), sightings=sightings, deferred=deferred
        )
    if ready:
        return Decision(status=status, effects=(ready[0],), notes=tuple(notes), sightings=sightings)
    due = [turn.due for turn in turns if turn.due is not None]
    return Decision(
        status=status,
        notes=tuple(notes),
        sightings=sightings,
        wake_at=min(due, default=None),
        deferred=bool(due),
    )


def _held_back(seen: AgentSnapshot) -> Note | None:
    """Say why nothing at all is run on this host; it is reported on nevertheless."""
    name, meta = seen.machine.metadata.name, seen.machine.metadata
    if meta.unknown:
        fields = ", ".join(sorted(meta.unknown))
        return Note(
            code="NewerVersion", text=f"Machine {name} is a newer version's: {fields} is not known here"
        )
    if meta.deletion_timestamp is not None:
        return Note(code="Deleting", text=f"Machine {name} is being deleted; its host is left as it is")
    return None


# The operation.


def _operation(seen: AgentSnapshot, *, may_begin: bool) -> tuple[OperationAnswer | None, Turn]:
    """Answer the operation by the journal; begin it when it was never begun here."""
    operation = seen.machine.spec.operation
    if operation is None:  # the last word stands; nobody waits for another
        return seen.before.operation, Turn()
    entry = seen.host.journal.get(operation.op_id)
    if entry is not None:
        return _journalled(operation, entry, seen.host.boot_id), Turn()
    said = seen.before.operation
    if said is not None and said.op_id == operation.op_id:
        if said.state is not AnswerState.ACKNOWLEDGED:
            return said, Turn()
        if seen.before.boot_id != seen.host.boot_id:
            # Acknowledged in another boot and not journalled: the journal is lost (a host imaged anew) or it
            # was never begun. Nobody knows which, so it is not run; the next rung asks anew.
            return _answered(operation, AnswerState.FAILED, "this host's journal does not know it"), Turn()
    if not may_begin:
        return said, Turn()
    acknowledged = _answered(operation, AnswerState.ACKNOWLEDGED)
    if seen.running and not reboots(operation):
        # A reboot waits for nobody: what hangs is what it is for, and what it interrupts is tried again.
        note = Note(code="Busy", text=f"operation {operation.op_id} waits for {seen.running}")
        return acknowledged, Turn(note=note)
    run = RunSteps(
        machine=ref(seen.machine), op_id=operation.op_id, steps=host_steps(operation.steps),
        disruption=disruption(operation),
    )  # fmt: skip
    return acknowledged, Turn(run=run)


def _journalled(operation: Operation, entry: JournalEntry, boot_id: str) -> OperationAnswer:
    if entry.is_interrupted(boot_id):
        if reboots(operation):
            return _answered(operation, AnswerState.DONE)
        return _answered(operation, AnswerState.FAILED, INTERRUPTED)
    return _answered(operation, _ANSWERS[entry.state], entry.message)


def _answered(operation: Operation, state: AnswerState, message: str = "") -> OperationAnswer:
    return OperationAnswer(op_id=operation.op_id, state=state, message=message[:2048])


# The components.


def _component(seen: AgentSnapshot, name: str, entry: ComponentEntry) -> tuple[ComponentReport, Turn]:
    """Report on one entry, say what would mend it, and remember what was repaired."""
    component = seen.components.get(entry.component)
    done = None if component is None else repairs(seen.machine, name, entry, component, seen.host.journal)
    kept = remembered(name, () if done is None else done.begun, seen.sightings, seen.now.elapsed)
    known = attrs.evolve(seen, sightings={**seen.sightings, **kept})
    report, turn = _judged(known, name, entry, done)
    return report, attrs.evolve(turn, sightings={**kept, **turn.sightings})


def _judged(
    seen: AgentSnapshot, name: str, entry: ComponentEntry, done: Repairs | None
) -> tuple[ComponentReport, Turn]:
    """Report on one entry, and say what would mend it.

    Args:
        seen: the snapshot; its sightings are those that still count.
        name: of the entry.
        entry: what is wanted.
        done: what was repaired of it; None when there is no such component.
    """
    before = seen.before.components.get(name, ComponentReport())
    blind = attrs.evolve(before, config=ConfigState.UNKNOWN)
    component = seen.components.get(entry.component)
    if component is None or done is None:
        # The revision is not dealt with: the object may be on its way.
        text = f"there is no MachineComponent {entry.component}"
        note = Note(code=COMPONENT_MISSING, text=f"{name}: {text}")
        return attrs.evolve(blind, reason=COMPONENT_MISSING, message=text), Turn(note=note)
    if component.metadata.unknown:
        text = f"MachineComponent {entry.component} is a newer version's"
        return blind, Turn(note=Note(code="NewerVersion", text=f"{name}: {text}"))
    plan, have = seen.plans.get(name, ()), seen.have.get(name)
    if isinstance(plan, Problem):
        reason, text = refusal(plan)
        failed = attrs.evolve(blind, revision=entry.revision, reason=reason, message=text)
        return failed, Turn(note=Note(code=reason, text=f"{name}: {text}"))
    if have is None:
        return blind, Turn(note=Note(code="NotLooked", text=f"{name}: nobody has looked yet"))
    if is_at_target(entry, component, have):
        return _at_target(before, entry, have), Turn()
    if was_at_target(before, entry, failed=INSTALL_FAILED):
        found = attrs.evolve(before, version=have.version[:128], config=have.config, state=have.state)
        drift = Drift(
            machine=seen.machine, name=name, entry=entry, component=component, plan=plan, done=done,
            stored=before.drifting, boot_id=seen.host.boot_id, seen=seen.sightings, now=seen.now.elapsed,
        )  # fmt: skip
        return drifted(before, found, done.last, seen.now.wall), repair(drift)
    tried = tries(seen.machine, name, entry, component, seen.host.journal)
    return _off_target(before, entry, have, tried), _mend(seen, name, component, plan, tried)


def _at_target(before: ComponentReport, entry: ComponentEntry, have: Have) -> ComponentReport:
    """Report an entry as dealt with. What is rightly Absent has the configuration it should have."""
    config = ConfigState.CURRENT if entry.state is Running.ABSENT else have.config
    return ComponentReport(
        component=entry.component, revision=entry.revision, version=have.version[:128], config=config,
        state=have.state, drifted_at=before.drifted_at if before.component == entry.component else None,
    )  # fmt: skip


def _off_target(before: ComponentReport, entry: ComponentEntry, have: Have, tried: Tries) -> ComponentReport:
    """Report what is found; the old component stays the last whole one, also when the new one failed."""
    # An older revision's failure stays told until this one is dealt with; this one's own is read anew.
    stays = before.revision != entry.revision and before.reason != COMPONENT_MISSING
    report = attrs.evolve(
        before, version=have.version[:128], config=have.config, state=have.state, drifting=False,
        reason=before.reason if stays else "", message=before.message if stays else "",
    )  # fmt: skip
    if tried.failed is None:
        return report
    return attrs.evolve(
        report, revision=entry.revision, reason=INSTALL_FAILED,
        message=tried.failed.message[:2048] or "a step failed",
    )  # fmt: skip


def _mend(
    seen: AgentSnapshot, name: str, component: MachineComponent, plan: tuple[Step, ...], tried: Tries
) -> Turn:
    """Begin the next try of an entry that is not at target, after the pause that the last one asks for."""
    if not plan:
        return Turn(note=Note(code="NotAtTarget", text=f"{name}: not at target, and its driver has no steps"))
    if tried.last is not None and tried.last.state is JournalState.DONE:
        return Turn(note=Note(code="NotAtTarget", text=f"{name}: installed, and yet not at target"))
    if tried.last is not None and tried.last.is_running(seen.host.boot_id):
        return Turn()
    run = RunSteps(
        machine=ref(seen.machine), op_id=tried.next_op_id, steps=plan, answers=name,
        disruption=component.spec.disruption,
    )  # fmt: skip
    if tried.last is None:
        return Turn(run=run)
    if component.spec.disruption not in REPAIRABLE:
        text = f"{name}: another try is of class {component.spec.disruption.value}, and would take a permit"
        return Turn(note=Note(code="RetryNeedsPermit", text=text))
    key = f"failed:{tried.last_op_id}"
    since = min(seen.sightings.get(key, seen.now.elapsed), seen.now.elapsed)
    # What a reboot cut short was no failure: it is taken up soon, within the deadline of its rollout, once.
    resumes = tried.number == 1 and tried.last.is_interrupted(seen.host.boot_id)
    due = since + (nanoseconds(RESUME_PAUSE) if resumes else pause(tried.number))
    if seen.now.elapsed >= due:
        return Turn(run=run, sightings={key: since})
    text = f"{name}: try {tried.number + 1} waits"
    return Turn(note=Note(code="BackOff", text=text, frees_at=due), due=due, sightings={key: since})


__all__ = ["AgentSnapshot", "HostSeen", "JournalEntry", "JournalState", "decide"]
