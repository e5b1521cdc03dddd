"""An instance that was made: what it does, and what becomes of one that never comes up or is no more."""

from typing import Final

import attrs

from kubenode.core.hookspecs import Instance, InstanceState
from kubenode.core.instance.evidence import absence, dead, standing, stranger, twice, visible_within
from kubenode.core.instance.intent import own, terminate_op_id
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.instance.seen import Case
from kubenode.core.instance.turn import MINUTE, POLL, SLOW, Turn, claim, seen_since, unsure, waits
from kubenode.core.model.condition import Claim
from kubenode.core.model.instance import InstanceStatus, InstanceStep

CREATION: Final = 15 * MINUTE
"""So long an instance may take until it runs."""
JOIN: Final = 20 * MINUTE
"""So long a running instance may take until its Node registers, before the machine was ever Running."""
_STARTING = frozenset({InstanceState.PENDING, InstanceState.UNKNOWN})
_STOPPED = frozenset({InstanceState.STOPPING, InstanceState.STOPPED})


def watch(case: Case, instance: InstanceStatus) -> Turn:
    """Decide on an instance that was made. What is not certainly the machine's is left alone."""
    return since_made(case, instance, _watched(case, instance))


def _watched(case: Case, instance: InstanceStatus) -> Turn:
    sight, one = case.sight, case.sight.known
    others = tuple(other.id for other in sight.mine if not dead(other) and other.id != instance.id)
    if one is not None:
        foreign = stranger(case, one)
        if foreign is not None:
            return waits(case, claim(False, *foreign))
        if dead(one):
            return gone(case, instance, f"the provider says that {one.id} is terminated")
        if others:
            return twice(case, (one.id, *others))
    visible = visible_from(case, instance)
    if sight.missing and (one is None or case.now.elapsed >= visible):
        return _missing(case, instance)
    if one is None:
        return _unseen(case, instance)
    turn = _seen(case, instance, one)
    if sight.missing and turn.look is None:
        return attrs.evolve(turn, look=visible)  # known by the answer alone; nobody else may look in time
    return turn


def gone(case: Case, instance: InstanceStatus, text: str) -> Turn:
    """Record that an instance is no more."""
    status = attrs.evolve(instance, step=InstanceStep.GONE)
    return Turn(instance=status, claim=claim(False, InstanceReason.INSTANCE_GONE, text))


def visible_from(case: Case, instance: InstanceStatus) -> int:
    """Give from when looks would show an instance that was made, `Now.elapsed`: since this process knows of it, and a while."""
    return case.since(_made_key(instance)) + visible_within(case)


def since_made(case: Case, instance: InstanceStatus, turn: Turn) -> Turn:
    """Let a turn remember since when this process knows of an instance that was made."""
    key = _made_key(instance)
    return seen_since(turn, **{key: case.since(key)})


def _made_key(instance: InstanceStatus) -> str:
    return f"made:{instance.id}"


def end(case: Case, instance: InstanceStatus, said: Claim, reason: str = "") -> Turn:
    """Write the intent to terminate an instance; the next decision, seeing it, acts."""
    status = attrs.evolve(instance, step=InstanceStep.TERMINATING, reason=reason)
    op_id = terminate_op_id(case.uid, instance.attempt)
    return Turn(instance=status, claim=said, sightings={own(op_id): case.now.elapsed})


def missed_key(instance: InstanceStatus) -> str:
    """Name the sighting of the first look that did not show an instance."""
    return f"missed:{instance.id}"


def _missing(case: Case, instance: InstanceStatus) -> Turn:
    """Wait for a second look, or conclude from it."""
    if case.sight.doubt:
        return waits(case, unsure(InstanceReason.LOOK_DOUBTED, case.sight.doubt))
    found = absence(case, visible=visible_from(case, instance), key=missed_key(instance))
    if found.proven:
        return gone(case, instance, f"two looks at provider {instance.provider} did not show {instance.id}")
    text = f"the last look at provider {instance.provider} did not show {instance.id}; it is looked for again"
    turn = waits(case, unsure(InstanceReason.INSTANCE_MISSING, text), look=found.look)
    return found.remembered(turn)


def _unseen(case: Case, instance: InstanceStatus) -> Turn:
    """Go by what stands: this process has not looked yet."""
    known = standing(case)
    said = known if known is not None else unsure(InstanceReason.INSTANCE_STARTING, f"{instance.id} was made")
    at_rest = case.well and known is not None and known.reason == InstanceReason.INSTANCE_RUNNING.value
    look = None if at_rest else case.now.elapsed
    return Turn(instance=instance, claim=said, look=look)


def _seen(case: Case, instance: InstanceStatus, one: Instance) -> Turn:
    status = attrs.evolve(
        instance, provider_id=one.provider_id or instance.provider_id, zone=one.zone or instance.zone
    )
    if one.state is InstanceState.RUNNING:
        return _running(case, status, one)
    if one.state in _STARTING:
        text = f"{one.id} is {one.state.value}"
        turn = Turn(
            instance=status,
            claim=claim(False, InstanceReason.INSTANCE_STARTING, text),
            look=_after(case, POLL),
        )
        why = f"{one.id} is {one.state.value} still"
        return _limited(
            case, status, turn, f"starting:{one.id}", CREATION, InstanceReason.CREATION_TIMEOUT, why
        )
    if one.state in _STOPPED:
        text = f"{one.id} is {one.state.value}; start it, or delete the Machine"
        return Turn(instance=status, claim=claim(False, InstanceReason.INSTANCE_STOPPED, text))
    text = f"{one.id} is being terminated, and nobody here has asked for that"
    return Turn(
        instance=status, claim=claim(False, InstanceReason.INSTANCE_GONE, text), look=_after(case, POLL)
    )


def _running(case: Case, instance: InstanceStatus, one: Instance) -> Turn:
    turn = Turn(instance=instance, claim=claim(True, InstanceReason.INSTANCE_RUNNING, one.id))
    if case.joined or case.machine.status.first_running is not None:
        return turn if case.well else _unwell(case, turn, f"unwell:{one.id}")
    turn = attrs.evolve(turn, look=_after(case, SLOW))
    return _limited(
        case,
        instance,
        turn,
        f"joining:{one.id}",
        JOIN,
        InstanceReason.JOIN_TIMEOUT,
        f"{one.id} runs, and no Node has registered",
    )


def _unwell(case: Case, turn: Turn, key: str) -> Turn:
    """Look once at an instance whose Node has fallen silent: it may be no more."""
    since, looked = case.since(key), case.sight.looked
    look = since + 1 if looked is None or looked <= since else None
    return attrs.evolve(seen_since(turn, **{key: since}), look=look)


def _after(case: Case, length: int) -> int:
    """Give when the next look is of use: so long after the last one."""
    looked = case.sight.looked
    return case.now.elapsed + length if looked is None else max(looked + length, case.now.elapsed)


def _limited(
    case: Case, instance: InstanceStatus, turn: Turn, key: str, limit: int, reason: InstanceReason, why: str
) -> Turn:
    """Give an instance up that takes too long: it never ran, so nothing is lost; another attempt follows."""
    if case.machine.status.first_running is not None:
        return turn
    since = case.since(key)
    if case.now.elapsed < since + limit:
        return attrs.evolve(seen_since(turn, **{key: since}), wake_at=since + limit)
    text = f"{why} after {limit // MINUTE} minutes; it is terminated, and another one is asked for"
    return end(case, instance, claim(False, reason, text), reason.value)
