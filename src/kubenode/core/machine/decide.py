"""What to do about one machine: its finalizer, its phase and conditions, and what of it shows on its Node.

In this order, and each only when the one before is done, because each write makes the version old that
the next would be decided on: our finalizer; then status and one write to the Node (a cordon that comes or goes first,
then labels, taints and the record of mirrored conditions, the conditions last), and beside it evictions.
"""

from collections.abc import Iterable

import attrs

from kubenode.core.decision import Decision, Effect, Note, SetFinalizers
from kubenode.core.machine.conditions import (
    READY,
    agent_claim,
    components_claim,
    instance_claim,
    labels_claim,
    node_claim,
    paused_claim,
    rolled_out_claim,
    summary,
)
from kubenode.core.machine.draining import Draining, is_permitted, plan_drain
from kubenode.core.machine.phase import Phase, Signal, next_phase
from kubenode.core.machine.reasons import MachineReason
from kubenode.core.machine.signals import signals
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.model.condition import Claim, Condition, find, stated
from kubenode.core.model.machine import DeletionPolicy, DrainRecord, MachineStatus
from kubenode.core.model.meta import FINALIZER, MACHINE_LABEL, Switch, ref
from kubenode.core.model.world import Node
from kubenode.core.node.cordon import uncordon
from kubenode.core.node.mirror import Mirror, plan_mirror
from kubenode.core.node.sync import Marks, label_value, plan_marks, plan_removal
from kubenode.core.policy import Policy

__all__ = ["MachineSnapshot", "decide"]

_HANDS_OFF_NODE = frozenset({Signal.UNACTIONABLE, Signal.CONTESTED, Signal.INSTANCE_WANTED})
_HANDS_OFF_DRAIN = frozenset({Signal.UNACTIONABLE, Signal.INSTANCE_WANTED})
_NONE = Draining()
_PHASES = frozenset(phase.value for phase in Phase)


def decide(seen: MachineSnapshot, policy: Policy) -> Decision[MachineStatus]:
    """Decide what is next for one machine.

    Returns:
        The whole status, its `agent` as read (that part is the agent's), and effects on the machine's
        finalizers, its Node and, while that is drained, its Pods. `wake_at` is of the drain alone: without one only an
        event changes anything.

    Invariant: no effect and a status that moves only Ready, when the object is a newer version's; no
    effect on a Node when it is not certain that it is this machine's; foreign labels, taints and
    conditions are never touched, nor is a person's cordon undone.
    Source: api.md sections 1, 2 and 4 (import); `policy` has nothing to say here in this version.
    """
    newer = _newer(seen)
    if newer:
        return _hands_off(seen, newer)
    if seen.deleting:
        return _let_go(seen)
    finalizers = seen.machine.metadata.finalizers
    if FINALIZER not in finalizers:
        return _finalizers(seen, (*finalizers, FINALIZER), "the finalizer is written before all else")
    return _keep(seen)


def _newer(seen: MachineSnapshot) -> str:
    """Name what of the object only a newer version can have written; empty when there is nothing."""
    phase = seen.machine.status.phase
    if seen.machine.metadata.unknown:
        return ", ".join(seen.machine.metadata.unknown)
    return f"status.phase {phase!r}" if phase and phase not in _PHASES else ""


def _hands_off(seen: MachineSnapshot, what: str) -> Decision[MachineStatus]:
    """Say so in Ready and leave everything else as it is."""
    status = seen.machine.status
    text = f"this version does not know {what}; a newer one wrote it, and has to deal with it"
    claim = Claim(type=READY, holds=Switch.UNKNOWN, reason=MachineReason.NEWER_VERSION.value, message=text)
    (ready,) = stated(
        status.conditions, (claim,), wall=seen.now.wall, generation=seen.machine.metadata.generation
    )
    note = Note(code=MachineReason.NEWER_VERSION.value, text=text)
    conditions = _replaced(status.conditions, ready)
    return Decision(status=attrs.evolve(status, conditions=conditions), notes=(note,), deferred=True)


def _replaced(conditions: tuple[Condition, ...], ready: Condition) -> tuple[Condition, ...]:
    if find(conditions, READY) is None:
        return (ready, *conditions)
    return tuple(ready if condition.type == READY else condition for condition in conditions)


def _finalizers(seen: MachineSnapshot, finalizers: tuple[str, ...], why: str) -> Decision[MachineStatus]:
    """Change the finalizers and nothing else: a status written first would make this version old."""
    metadata = seen.machine.metadata
    effect = SetFinalizers(
        object=ref(seen.machine), finalizers=finalizers, resource_version=metadata.resource_version
    )
    return Decision(effects=(effect,), notes=(Note(code="Finalizer", text=why),))


def _phase(stored: str, observed: tuple[Signal, ...]) -> Phase:
    phase = Phase(stored) if stored else Phase.PENDING
    for signal in observed:
        phase = next_phase(phase, signal)
    return phase


def _keep(seen: MachineSnapshot) -> Decision[MachineStatus]:
    """Bring phase, conditions and Node to what is observed and wanted."""
    observed = signals(seen)
    signal = observed[-1]
    node = None if signal in _HANDS_OFF_NODE or seen.unread else seen.node
    marks, mirror, effects = None, None, tuple[Effect, ...]()
    if node is not None:
        marks, mirror = _marks(seen, node), plan_mirror(node, _found(seen, node))
        effects = _node_write(node, marks, mirror)
    draining = Draining() if signal in _HANDS_OFF_DRAIN else plan_drain(seen)
    parts = (
        *instance_claim(seen),
        agent_claim(seen),
        node_claim(seen),
        *labels_claim(seen, marks),
        rolled_out_claim(seen) if signal is Signal.UPDATE_HELD else components_claim(seen),
    )
    phase = _phase(seen.machine.status.phase, observed)
    ready = _unactionable() if signal is Signal.UNACTIONABLE else summary(phase, parts)
    return Decision(
        status=_status(seen, phase, (ready, *parts, *draining.claims, *paused_claim(seen)), draining.record),
        effects=_in_order(draining, effects),
        notes=_notes(seen, signal, marks, mirror),
        deferred=signal is Signal.CONTESTED,
        wake_at=draining.wake_at,
        sightings=draining.sightings,
    )


def _in_order(draining: Draining, of_node: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """Give the one write to the Node, the cordon before all else, and then the evictions."""
    return ((draining.patch,) if draining.patch is not None else of_node) + draining.evictions


def _marks(seen: MachineSnapshot, node: Node) -> Marks:
    spec = seen.machine.spec
    return plan_marks(node, machine=seen.machine.metadata.name, labels=spec.labels, taints=spec.taints)


def _found(seen: MachineSnapshot, node: Node) -> tuple[Condition, ...]:
    """Give the faults to show on this Node: the agent's, unless it speaks of another Node."""
    agent = seen.machine.status.agent
    return agent.conditions if agent is not None and agent.node_name in ("", node.metadata.name) else ()


def _node_write(node: Node, marks: Marks, mirror: Mirror) -> tuple[Effect, ...]:
    """Give the one write that is next for the Node: what is recorded as ours before what is shown as ours."""
    if marks.differ or mirror.annotations:
        return (marks.patch(node, mirror.annotations),)
    conditions = mirror.patch(node)
    return () if conditions is None else (conditions,)


def _unactionable() -> Claim:
    text = "give exactly one of spec.host (a machine that exists) and spec.infrastructure (one to create)"
    return Claim.of(READY, False, MachineReason.SPEC_NOT_ACTIONABLE.value, text)


def _let_go(seen: MachineSnapshot) -> Decision[MachineStatus]:
    """Take back what is ours on the Node, then let the object go. Nothing is ever terminated."""
    metadata = seen.machine.metadata
    held = FINALIZER in metadata.finalizers
    if seen.machine.spec.on_deletion is DeletionPolicy.TERMINATE:
        return _terminated(seen, held=held)
    if held and seen.unread and seen.contest is None:
        text = f"waits: what stands on the Node cannot be read, so it is not written: {seen.unread}"
        return Decision(status=_leaving(seen, MachineReason.NODE_UNREADABLE, text), deferred=True)
    effects = _taken_back(seen) if held else ()
    if held and not effects:
        rest = tuple(finalizer for finalizer in metadata.finalizers if finalizer != FINALIZER)
        return _finalizers(seen, rest, "nothing of ours is left on the Node")
    text = "the host and its agent stay; our labels, taints and conditions go from the Node"
    return Decision(status=_leaving(seen, MachineReason.RELEASING, text), effects=effects)


def _terminated(seen: MachineSnapshot, *, held: bool) -> Decision[MachineStatus]:
    """Drain the Node of a machine that is to end, and then wait, since nothing here ends one."""
    if held and seen.node is not None and seen.contest is None and not is_permitted(seen):
        text = "it is drained when the RiskLedger permits it"
        note = Note(code=MachineReason.PERMIT_AWAITED.value, text=text)
        kept = plan_drain(seen)
        status = _leaving(seen, MachineReason.PERMIT_AWAITED, text, kept)
        return Decision(status=status, effects=_in_order(kept, ()), notes=(note,), deferred=True)
    draining = plan_drain(seen) if held else Draining()
    if draining.record is not None and not draining.over:
        text = draining.claims[0].message
        return Decision(
            status=_leaving(seen, MachineReason.DRAINING, text, draining), effects=_in_order(draining, ()),
            notes=(Note(code=draining.claims[0].reason, text=text),), wake_at=draining.wake_at,
            sightings=draining.sightings, deferred=True,
        )  # fmt: skip
    says = "by default" if seen.machine.spec.deletion_policy is None else "as it says"
    text = (
        f"spec.deletionPolicy is Terminate {says}, and this version terminates nothing;"
        " set it to Release to let the host go"
    )
    note = Note(code=MachineReason.TERMINATE_UNSUPPORTED.value, text=text)
    status = _leaving(seen, MachineReason.TERMINATE_UNSUPPORTED, text, draining)
    return Decision(status=status, effects=_in_order(draining, ()), notes=(note,), deferred=held)


def _taken_back(seen: MachineSnapshot) -> tuple[Effect, ...]:
    """Give the next write that takes ours off the Node: conditions, then the cordon, the records of what is ours last."""
    node = seen.node
    if node is None or seen.contest is not None:
        return ()
    if node.metadata.labels.get(MACHINE_LABEL) not in (None, label_value(seen.machine.metadata.name)):
        return ()
    mirror = plan_mirror(node, ())
    conditions = mirror.patch(node)
    if conditions is not None:
        return (conditions,)
    opened = uncordon(node)
    if opened is not None:
        return (opened,)
    marks = plan_removal(node)
    return (marks.patch(node, mirror.annotations),) if marks.differ or mirror.annotations else ()


def _leaving(
    seen: MachineSnapshot, reason: MachineReason, text: str, draining: Draining = _NONE
) -> MachineStatus:
    ready = Claim.of(READY, False, reason.value, text)
    phase = _phase(seen.machine.status.phase, signals(seen))
    claims = (ready, agent_claim(seen), node_claim(seen), *draining.claims, *paused_claim(seen))
    return _status(seen, phase, claims, draining.record)


def _status(
    seen: MachineSnapshot, phase: Phase, claims: Iterable[Claim], drain: DrainRecord | None
) -> MachineStatus:
    """Give the whole status; the agent's part as read."""
    old, generation, wall = seen.machine.status, seen.machine.metadata.generation, seen.now.wall
    first = old.first_running
    if first is None and phase is Phase.RUNNING:
        first = wall.replace(microsecond=0)
    return attrs.evolve(
        old, phase=phase.value, observed_generation=generation, node_ref=seen.node_ref, first_running=first,
        drain=drain, conditions=stated(old.conditions, claims, wall=wall, generation=generation),
    )  # fmt: skip


def _notes(
    seen: MachineSnapshot, signal: Signal, marks: Marks | None, mirror: Mirror | None
) -> tuple[Note, ...]:
    notes = [Note(code=signal.name.title().replace("_", ""), text=signal.value)]
    if seen.contest is not None:
        notes.append(Note(code=seen.contest[0].value, text=seen.contest[1]))
    conflicts = () if marks is None else marks.conflicts
    notes += (Note(code=MachineReason.FIELD_CONFLICT.value, text=text) for text in conflicts)
    return (*notes, *(() if mirror is None else mirror.notes))
