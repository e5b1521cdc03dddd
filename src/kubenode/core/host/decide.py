"""What the agent on a host decides: answer the operation, else mend one component, and report.

One act at a time. What was begun is known by the host's journal and never run twice; what became of it
is read from the journal and from the host, not from memory. Called by runtime/agent and the simulator.
"""

from collections.abc import Iterable

from kubenode.core.decision import Decision, Note
from kubenode.core.host.entry import judged
from kubenode.core.host.inspection import SHORTEST, woken
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.host.operation import answered, unlooked
from kubenode.core.host.snapshot import HostSeen, NodeSnapshot
from kubenode.core.host.turn import Turn
from kubenode.core.model.machine import AgentStatus
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import Policy


def decide(seen: NodeSnapshot, policy: Policy) -> Decision[AgentStatus]:
    """Decide what the agent does on its host now, and what it reports.

    Returns:
        `status` is the agent's whole report. At most one effect, RunSteps: the operation's, else that of
        the first entry by name that can be mended and waits for no other.

    Invariants: an op-id in the journal is never run again; nothing is run whose intent (the operation or
    the entry) does not stand in the Machine as read; no entry is begun before what it depends on is at target.
    Source: api.md section 1, MachineComponent; section 4, "Component upgrade", "Drift" and "Hung node".
    """
    # What fails its probe now may only be starting, and no event tells when it is up, nor when a host can be looked at
    # again, for which an operation waits: look again early.
    early = seen.failing or unlooked(seen)
    every = min(seen.inspect, nanoseconds(SHORTEST)) if early else seen.inspect
    return woken(_decided(seen), every, seen.sightings, seen.now.elapsed)


def _decided(seen: NodeSnapshot) -> Decision[AgentStatus]:
    held = _held_back(seen)
    answer, asked = answered(seen, may_begin=held is None)
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
    """Give the notes without a deadline: where nothing may begin no timer is set, so a deadline would pass unnoticed."""
    return tuple(turn.note for turn in turns if turn.note is not None and turn.due is None)


def _sightings(turns: Iterable[Turn]) -> dict[str, int]:
    return {key: since for turn in turns for key, since in turn.sightings.items()}


def _arranged(
    seen: NodeSnapshot, status: AgentStatus, asked: Turn, turns: list[Turn]
) -> Decision[AgentStatus]:
    """Choose the one act. Those that wait for it need no deadline: the end of an act is an event, and decides anew."""
    sightings = _sightings(turns)
    notes = [turn.note for turn in (asked, *turns) if turn.note is not None]
    if asked.run is not None:
        return Decision(status=status, effects=(asked.run,), notes=tuple(notes), sightings=sightings)
    ready = [turn.run for turn in turns if turn.run is not None]
    if seen.running:  # an operation that is asked for and not begun would be begun by now
        busy = Note(code="Busy", text=f"operation {seen.running} comes first")
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


def _held_back(seen: NodeSnapshot) -> Note | None:
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


__all__ = ["HostSeen", "JournalEntry", "JournalState", "NodeSnapshot", "decide"]
