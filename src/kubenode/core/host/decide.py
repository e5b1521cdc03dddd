"""What the agent on a host decides: answer the operation, else mend one component, and report.

One act at a time. What was begun is known by the host's journal and never run twice; what became of it
is read from the journal and from the host, not from memory. Called by runtime/agent and the simulator.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from kubenode.core.decision import Decision, Note, RunSteps
from kubenode.core.host.entry import judged
from kubenode.core.host.inspection import SHORTEST, woken
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.host.plan import (
    disruption,
    host_steps,
    reboots,
)
from kubenode.core.host.snapshot import AgentSnapshot, HostSeen
from kubenode.core.host.turn import Turn
from kubenode.core.model.machine import (
    AgentStatus,
    AnswerState,
    Operation,
    OperationAnswer,
)
from kubenode.core.model.meta import ref
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import Policy

INTERRUPTED = "interrupted by a reboot"
_ANSWERS: Final[Mapping[JournalState, AnswerState]] = MappingProxyType(
    {
        JournalState.STARTED: AnswerState.ACKNOWLEDGED,
        JournalState.DONE: AnswerState.DONE,
        JournalState.FAILED: AnswerState.FAILED,
    }
)


def decide(seen: AgentSnapshot, policy: Policy) -> Decision[AgentStatus]:
    """Decide what the agent does on its host now, and what it reports.

    Returns:
        `status` is the agent's whole report. At most one effect, RunSteps: the operation's, else that of
        the first entry by name that can be mended and waits for no other.

    Invariants: an op-id in the journal is never run again; nothing is run whose intent (the operation or
    the entry) does not stand in the Machine as read; no entry is begun before what it depends on is at target.
    Source: api.md section 1, MachineComponent; section 4, "Component upgrade", "Drift" and "Hung node".
    """
    # What has just been started may answer soon, and nobody tells when.
    every = min(seen.inspect, nanoseconds(SHORTEST)) if seen.failing else seen.inspect
    return woken(_decided(seen), every, seen.sightings, seen.now.elapsed)


def _decided(seen: AgentSnapshot) -> Decision[AgentStatus]:
    held = _held_back(seen)
    answer, asked = _operation(seen, may_begin=held is None)
    components = judged(seen)
    turns = [turn for _, turn in components.values()]
    status = AgentStatus(
        version=seen.host.agent_version, boot_id=seen.host.boot_id, node_name=seen.host.node_name,
        components={name: report for name, (report, _) in components.items()}, operation=answer,
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
        deferred = asked.note is not None or any(
            turn.run or turn.due is not None or turn.waits for turn in turns
        )
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
        deferred=bool(due) or any(turn.waits for turn in turns),
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


__all__ = ["AgentSnapshot", "HostSeen", "JournalEntry", "JournalState", "decide"]
