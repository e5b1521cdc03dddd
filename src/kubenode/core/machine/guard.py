"""What the infrastructure of a machine leaves to kubenode: set before we disturb, and taken back when that is over.

Some infrastructures heal and delete instances by themselves (Cluster API does). A permit of such a machine counts only once
its infrastructure keeps its hands off it; when somebody else asks for the instance's end, the Node is drained first.
"""

from typing import Final

import attrs

from kubenode.core.decision import Effect, GuardInstance
from kubenode.core.hookspecs import Guard, InstanceState
from kubenode.core.identity import op_id
from kubenode.core.instance.turn import due
from kubenode.core.machine.reasons import MachineReason
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.model.condition import Claim, find
from kubenode.core.model.machine import DeletionPolicy, Machine
from kubenode.core.model.meta import Switch, ref

HANDS_OFF: Final = "HandsOff"
NO_GUARD: Final = Guard()


@attrs.frozen(kw_only=True)
class Guarding:
    """What a decision about a machine takes over.

    Attributes:
        claims: HandsOff, of a machine whose infrastructure does things by itself.
        effects: at most one.
        off: whether nothing of ours is left there, as far as is known.
    """

    claims: tuple[Claim, ...] = ()
    effects: tuple[Effect, ...] = ()
    wake_at: int | None = None
    off: bool = True


def may_begin(machine: Machine) -> bool:
    """Tell whether what is permitted may begin: where that matters, the infrastructure keeps its hands off."""
    said = find(machine.status.conditions, HANDS_OFF)
    return said is None or said.status is Switch.TRUE


def leaving_op_id(seen: MachineSnapshot) -> str:
    """Name the drain before an end that somebody else has asked for; empty when nobody has, or it did not wait for us."""
    instance, sight = seen.machine.status.instance, seen.sight
    known = None if sight is None else sight.known
    if (
        instance is None
        or not seen.instance_made
        or known is None
        or known.state is not InstanceState.DELETING
    ):
        return ""
    name, drain = op_id("leave", seen.machine.metadata.uid, instance.attempt), seen.machine.status.drain
    waits = known.guard is not None and known.guard.holds_end
    # Once it waits no longer the Node stays as the drain has left it, until it goes.
    return name if waits or (drain is not None and drain.op_id == name) else ""


def plan_guard(seen: MachineSnapshot, *, drained: bool) -> Guarding:
    """Say what the infrastructure is to leave to us now.

    Args:
        seen: the machine.
        drained: its Node is drained before an end that somebody else has asked for, or has none.

    Invariants: HandsOff is True only after a look or an answer has shown it, and stays so as long as a permit does;
    it is taken back only after it was said that it is not so.
    """
    sight, instance = seen.sight, seen.machine.status.instance
    said = find(seen.machine.status.conditions, HANDS_OFF)
    if sight is None or instance is None or not seen.instance_made:
        return Guarding()
    shown = None if sight.known is None else sight.known.guard
    if shown is None:
        # Who has guarded it and has not looked since does not know what is left there.
        known = said is None or sight.looked is not None
        return Guarding(claims=() if said is None else (Claim.again(said),), off=known)
    leaves = sight.known is not None and sight.known.state is InstanceState.DELETING
    wanted = _wanted(seen, holds_end=not drained and (shown.holds_end or not leaves))
    held = said is not None and said.status is Switch.TRUE
    claim = _claim(wanted, shown, held=held)
    if shown == wanted or (held and not wanted.hands_off):
        return Guarding(claims=(claim,), off=shown == NO_GUARD)
    name = op_id(
        "guard", seen.machine.metadata.uid, instance.id, int(wanted.hands_off), int(wanted.holds_end)
    )
    answer = sight.answer if sight.answer is not None and sight.answer.op_id == name else None
    if answer is not None and answer.error:
        at = due(answer)
        if seen.now.elapsed < at:
            told = attrs.evolve(claim, message=f"{claim.message}: {answer.text}") if not held else claim
            return Guarding(claims=(told,), wake_at=at, off=False)
    effect = GuardInstance(
        machine=ref(seen.machine), provider=instance.provider, op_id=name, instance=instance.id, guard=wanted,
        tries=0 if answer is None else answer.tries,
    )  # fmt: skip
    return Guarding(claims=(claim,), effects=(effect,), off=False)


def _wanted(seen: MachineSnapshot, *, holds_end: bool) -> Guard:
    if seen.deleting and seen.machine.spec.on_deletion is DeletionPolicy.RELEASE:
        return NO_GUARD
    return Guard(hands_off=bool(seen.holds), holds_end=holds_end)


def _claim(wanted: Guard, shown: Guard, *, held: bool) -> Claim:
    if not wanted.hands_off:
        return Claim.of(
            HANDS_OFF, False, MachineReason.NO_WORK.value, "kubenode does nothing disruptive here now"
        )
    if shown.hands_off or held:
        return Claim.of(HANDS_OFF, True, MachineReason.WORK_GUARDED.value)
    text = "what is permitted begins when the infrastructure keeps its hands off the machine"
    return Claim.of(HANDS_OFF, False, MachineReason.GUARD_AWAITED.value, text)
