"""What the agent on a host decides: answer the operation, else mend one component, and report.

One act at a time. What was begun is known by the host's journal and never run twice; what became of it
is read from the journal and from the host, not from memory. Called by runtime/agent and the simulator.
"""

from collections.abc import Iterable

import attrs

from kubenode.core.decision import Decision, Note, RunSteps
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Have
from kubenode.core.host.drift import (
    INSTALL_FAILED,
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
from kubenode.core.host.operation import answered
from kubenode.core.host.plan import RESUME_PAUSE, Tries, is_at_target, pause, tries
from kubenode.core.host.snapshot import AgentSnapshot, HostSeen
from kubenode.core.host.turn import Turn
from kubenode.core.model.component import REPAIRABLE, MachineComponent
from kubenode.core.model.machine import (
    AgentStatus,
    AnswerState,
    ComponentEntry,
    ComponentReport,
    ConfigState,
    Running,
)
from kubenode.core.model.meta import ref
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import Policy
from kubenode.core.step import Step, refusal

COMPONENT_MISSING = "ComponentMissing"


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
    answer, asked = answered(seen, may_begin=held is None)
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
    pending = status.operation is not None and status.operation.state is AnswerState.ACKNOWLEDGED
    ready = [turn.run for turn in turns if turn.run is not None]
    if seen.running or (pending and seen.machine.spec.operation is not None):
        busy = Note(code="Busy", text=f"operation {seen.running or 'asked for'} comes first")
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
    if was_at_target(before, entry):
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
