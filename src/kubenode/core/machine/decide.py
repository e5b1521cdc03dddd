"""What to do about one machine: its finalizer, its phase and conditions, and what of it shows on its Node.

In this order, and each only when the one before is done, because each write makes the version old that
the next would be decided on: our finalizer; then status and one write to the Node (a cordon that comes or goes first,
then labels and annotations, then taints and the record of
mirrored conditions, the conditions last), and beside it evictions.
"""

from collections.abc import Iterable

import attrs

from kubenode.core.decision import NOTHING_SEEN, Decision, Delete, Effect, Note, SetFinalizers, soonest
from kubenode.core.instance.turn import Turn
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
from kubenode.core.machine.draining import Draining, is_permitted, kept, plan_drain
from kubenode.core.machine.guard import leaving_op_id, plan_guard
from kubenode.core.machine.instance import (
    before_another,
    begins_to_end,
    is_gone,
    newer,
    told,
    turn_of,
    until_drained,
)
from kubenode.core.machine.phase import Phase, Signal, next_phase
from kubenode.core.machine.reasons import MachineReason
from kubenode.core.machine.signals import signals
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.model.condition import Claim, Condition, find, stated
from kubenode.core.model.drain import DrainRecord
from kubenode.core.model.instance import InstanceStep
from kubenode.core.model.machine import DeletionPolicy, MachineStatus
from kubenode.core.model.meta import FINALIZER, MACHINE_LABEL, Switch, ref
from kubenode.core.model.world import Node
from kubenode.core.node.cordon import uncordon
from kubenode.core.node.drain import DRAINED, ENDED, drained_for
from kubenode.core.node.mirror import Mirror, plan_mirror
from kubenode.core.node.sync import Marks, label_value, plan_marks, plan_removal
from kubenode.core.policy import Policy

__all__ = ["MachineSnapshot", "decide"]

_HANDS_OFF_NODE = frozenset({Signal.UNACTIONABLE, Signal.CONTESTED, Signal.INSTANCE_WANTED})
_HANDS_OFF_DRAIN = frozenset({Signal.UNACTIONABLE, Signal.INSTANCE_WANTED})
_NONE = Draining()
_UNTOLD = Claim.of(DRAINED, False, MachineReason.DRAINING.value, "its Node is to be drained first")
"""Stands in a message for a condition Drained that somebody took away."""


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
    unknown = newer(seen)
    if unknown:
        return _hands_off(seen, unknown)
    if seen.deleting:
        return _guarded(seen, _let_go(seen))
    finalizers = seen.machine.metadata.finalizers
    if FINALIZER not in finalizers:
        return _finalizers(seen, (*finalizers, FINALIZER), "the finalizer is written before all else")
    return _guarded(seen, _keep(seen))


def _guarded(seen: MachineSnapshot, decision: Decision[MachineStatus]) -> Decision[MachineStatus]:
    """Add what the infrastructure is to leave to us; our finalizer stays until nothing of that is left there."""
    if FINALIZER not in seen.machine.metadata.finalizers:
        return decision
    waits_for_us = leaving_op_id(seen)
    record = seen.machine.status.drain if decision.status is None else decision.status.drain
    drained = bool(waits_for_us) and drained_for(record, frozenset({waits_for_us})) in ENDED
    guarding = plan_guard(seen, drained=drained)
    if decision.status is None:
        if guarding.off:
            return decision
        text = "what its infrastructure was told to leave to us is taken back first"
        decision = Decision(status=_leaving(seen, MachineReason.RELEASING, text))
    if not guarding.claims or decision.status is None:
        return decision
    status, generation = seen.machine.status, seen.machine.metadata.generation
    said = stated(status.conditions, guarding.claims, wall=seen.now.wall, generation=generation)
    return attrs.evolve(
        decision, status=attrs.evolve(decision.status, conditions=(*decision.status.conditions, *said)),
        effects=(*decision.effects, *guarding.effects), wake_at=soonest((decision.wake_at, guarding.wake_at)),
    )  # fmt: skip


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
    turn, doomed = turn_of(seen), None
    if turn is not None and is_gone(seen, turn) and seen.own_node is not None:
        turn, doomed = before_another(seen, turn), seen.own_node
    node = None if doomed is not None or signal in _HANDS_OFF_NODE or seen.unread else seen.node
    marks, mirror, effects = None, None, tuple[Effect, ...]()
    if node is not None:
        marks, mirror = _marks(seen, node), plan_mirror(node, _found(seen, node))
        effects = _node_write(node, marks, mirror)
    hands_off = doomed is not None or signal in _HANDS_OFF_DRAIN
    draining = _NONE if hands_off else plan_drain(seen)
    if doomed is not None:
        effects = (Delete(object=ref(doomed)),)
    parts = (
        *instance_claim(seen, turn),
        agent_claim(seen),
        node_claim(seen),
        *labels_claim(seen, marks),
        rolled_out_claim(seen) if signal is Signal.UPDATE_HELD else components_claim(seen),
    )
    phase = _phase(seen.machine.status.phase, observed)
    ready = _unactionable() if signal is Signal.UNACTIONABLE else summary(phase, parts)
    return Decision(
        status=_status(
            seen, phase, (ready, *parts, *draining.claims, *paused_claim(seen)), turn, draining.record
        ),
        effects=(*_in_order(draining, effects), *(() if turn is None else turn.effects)),
        notes=(*_notes(seen, signal, marks, mirror), *told(turn)),
        deferred=signal is Signal.CONTESTED or (turn is not None and turn.deferred),
        wake_at=soonest((draining.wake_at, None if turn is None else turn.wake_at)),
        sightings={**draining.sightings, **(NOTHING_SEEN if turn is None else turn.sightings)},
    )


def _in_order(draining: Draining, of_node: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """Give the one write to the Node, the cordon before all else, and then the evictions."""
    return ((draining.patch,) if draining.patch is not None else of_node) + draining.evictions


def _marks(seen: MachineSnapshot, node: Node) -> Marks:
    spec = seen.machine.spec
    return plan_marks(
        node,
        machine=seen.machine.metadata.name,
        labels=spec.labels,
        taints=spec.taints,
        annotations=spec.annotations,
    )


def _found(seen: MachineSnapshot, node: Node) -> tuple[Condition, ...]:
    """Give the faults to show on this Node: what its cloud tells, and the agent's, unless it speaks of another Node."""
    agent, told = seen.machine.status.agent, seen.machine.status.cloud_events
    by_cloud = () if told is None else told.conditions
    by_agent = agent.conditions if agent is not None and agent.node_name in ("", node.metadata.name) else ()
    return (*by_cloud, *by_agent)


def _node_write(node: Node, marks: Marks, mirror: Mirror) -> tuple[Effect, ...]:
    """Give the one write that is next for the Node: its claim first, what is recorded as ours before what is shown as ours."""
    if marks.applies:
        return (marks.apply(node),)
    if marks.patches or mirror.annotations:
        return (marks.patch(node, mirror.annotations),)
    conditions = mirror.patch(node)
    return () if conditions is None else (conditions,)


def _unactionable() -> Claim:
    text = "give exactly one of spec.host (a machine that exists) and spec.infrastructure (one to create)"
    return Claim.of(READY, False, MachineReason.SPEC_NOT_ACTIONABLE.value, text)


def _let_go(seen: MachineSnapshot) -> Decision[MachineStatus]:
    """Let the host go: terminated and its Node removed, or released with what is ours taken back from its Node."""
    metadata = seen.machine.metadata
    held = FINALIZER in metadata.finalizers
    if seen.machine.spec.on_deletion is DeletionPolicy.TERMINATE:
        return _terminated(seen) if held else Decision()
    if held and seen.unread and seen.contest is None:
        text = f"waits: what stands on the Node cannot be read, so it is not written: {seen.unread}"
        return Decision(status=_leaving(seen, MachineReason.NODE_UNREADABLE, text), deferred=True)
    effects = _taken_back(seen) if held else ()
    if held and not effects:
        rest = tuple(finalizer for finalizer in metadata.finalizers if finalizer != FINALIZER)
        return _finalizers(seen, rest, "nothing of ours is left on the Node")
    text = "the host and its agent stay; our labels, taints and conditions go from the Node"
    return Decision(status=_leaving(seen, MachineReason.RELEASING, text), effects=effects)


def _terminated(seen: MachineSnapshot) -> Decision[MachineStatus]:
    """Drain the Node, terminate the instance, then remove its Node, and the finalizer last, each on evidence of the one before."""
    if seen.machine.status.instance is None and seen.machine.spec.infrastructure is None:
        return _not_ours_to_end(seen)
    if seen.sight is None:
        return _refused(
            seen, MachineReason.INSTANCE_NOT_WATCHED, "nobody here looks at the provider", kept(seen)
        )
    turn = turn_of(seen)
    if turn is not None:
        begins = begins_to_end(seen, turn)
        taken_back = seen.instance_made and not is_permitted(seen)
        draining = plan_drain(seen) if begins or taken_back else kept(seen)
        if begins and draining.record is not None and not draining.over:
            return _drains_first(seen, draining, until_drained(seen, turn))
        status = _leaving(seen, turn.claim.reason, turn.claim.message, turn, draining)
        return Decision(
            status=status, effects=(*_in_order(draining, ()), *turn.effects), notes=told(turn), deferred=turn.deferred,
            wake_at=turn.wake_at, sightings=turn.sightings,
        )  # fmt: skip
    if seen.own_node is not None:
        text = f"the instance is no more, and Node {seen.own_node.metadata.name} goes"
        status = _leaving(seen, MachineReason.REMOVING_NODE, text, None, kept(seen))
        return Decision(status=status, effects=(Delete(object=ref(seen.own_node)),))
    rest = tuple(finalizer for finalizer in seen.machine.metadata.finalizers if finalizer != FINALIZER)
    return _finalizers(seen, rest, "the instance is no more, and no Node of it is left")


def _not_ours_to_end(seen: MachineSnapshot) -> Decision[MachineStatus]:
    """Drain the Node of a host that no provider made, and then wait for the person who can end it."""
    if seen.node is not None and seen.contest is None and not is_permitted(seen):
        text = "it is drained when the RiskLedger permits it"
        return _refused(seen, MachineReason.PERMIT_AWAITED, text, plan_drain(seen))
    draining = plan_drain(seen)
    if draining.record is not None and not draining.over:
        return _drains_first(seen, draining, None)
    text = (
        "spec.deletionPolicy is Terminate, and no provider made this host, so none can terminate it;"
        " set it to Release to let the host go"
    )
    return _refused(seen, MachineReason.TERMINATE_UNSUPPORTED, text, draining)


def _drains_first(seen: MachineSnapshot, draining: Draining, turn: Turn | None) -> Decision[MachineStatus]:
    said = next(iter(draining.claims), _UNTOLD)
    return Decision(
        status=_leaving(seen, MachineReason.DRAINING, said.message, turn, draining), effects=_in_order(draining, ()),
        notes=(Note(code=said.reason, text=said.message),), wake_at=draining.wake_at,
        sightings=draining.sightings, deferred=True,
    )  # fmt: skip


def _refused(
    seen: MachineSnapshot, reason: MachineReason, text: str, draining: Draining
) -> Decision[MachineStatus]:
    return Decision(
        status=_leaving(seen, reason, text, None, draining), effects=_in_order(draining, ()),
        notes=(Note(code=reason.value, text=text),), deferred=True,
    )  # fmt: skip


def _taken_back(seen: MachineSnapshot) -> tuple[Effect, ...]:
    """Give the next write that takes ours off the Node: conditions, then the cordon, the taints, its claim last."""
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
    if marks.patches or mirror.annotations:
        return (marks.patch(node, mirror.annotations),)
    return (marks.apply(node),) if marks.applies else ()


def _leaving(
    seen: MachineSnapshot,
    reason: MachineReason | str,
    text: str,
    turn: Turn | None = None,
    draining: Draining = _NONE,
) -> MachineStatus:
    ready = Claim.of(READY, False, reason if isinstance(reason, str) else reason.value, text)
    phase = _phase(seen.machine.status.phase, signals(seen))
    instance = () if turn is None else (turn.claim,)
    claims = (ready, *instance, agent_claim(seen), node_claim(seen), *draining.claims, *paused_claim(seen))
    return _status(seen, phase, claims, turn, draining.record)


def _status(
    seen: MachineSnapshot, phase: Phase, claims: Iterable[Claim], turn: Turn | None, drain: DrainRecord | None
) -> MachineStatus:
    """Give the whole status; the agent's part as read."""
    old, generation, wall = seen.machine.status, seen.machine.metadata.generation, seen.now.wall
    first = old.first_running
    if first is None and phase is Phase.RUNNING:
        first = wall.replace(microsecond=0)
    instance = old.instance if turn is None else turn.instance
    # Whoever is made anew is no Node yet, and not the one that its earlier instance was.
    anew = instance is not None and instance.step is not InstanceStep.MADE and seen.node is None
    return attrs.evolve(
        old, phase=phase.value, observed_generation=generation, node_ref=None if anew else seen.node_ref,
        first_running=first, instance=instance, drain=drain,
        conditions=stated(old.conditions, claims, wall=wall, generation=generation),
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
