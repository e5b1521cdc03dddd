"""An instance that is being asked for: ask, find out what became of it, and only then ask for another."""

from collections.abc import Mapping
from typing import Final

import attrs

from kubenode.core.hookspecs import Instance
from kubenode.core.instance.evidence import absence, dead, twice, visible_within
from kubenode.core.instance.intent import ask, begin, freeze, kept_own, obstacle, own, repeatable
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.instance.seen import Case, ProviderAnswer
from kubenode.core.instance.turn import (
    MINUTE,
    PERSON,
    Turn,
    claim,
    due,
    pause,
    seen_since,
    spread,
    unsure,
    waits,
)
from kubenode.core.instance.watch import watch
from kubenode.core.model.instance import InstanceStatus, InstanceStep

SOON: Final[Mapping[str, InstanceReason]] = {
    "Throttled": InstanceReason.THROTTLED,
    "Unavailable": InstanceReason.PROVIDER_UNAVAILABLE,
    "Busy": InstanceReason.INSTANCE_BUSY,
}
"""Errors after which the same is asked again after a pause."""
LATER: Final[Mapping[str, InstanceReason]] = {
    "QuotaExceeded": InstanceReason.QUOTA_EXCEEDED,
    "Invalid": InstanceReason.REQUEST_INVALID,
    "Unsupported": InstanceReason.UNSUPPORTED,
    "Protected": InstanceReason.INSTANCE_PROTECTED,
}
"""Errors that a person has to mend: asked again when the spec has changed, or after a long time."""
ROUND: Final = 10 * MINUTE
"""After so long all placements are tried once more when none of them had capacity."""
_NO_TOKENS: Final = "whether it was made is not known, and the provider takes no tokens: it is looked for before it is asked for again"
_READ_OTHERWISE: Final = "it may have been made, and the provider's plugin reads its parameters otherwise now: it is looked for first"


def settle(case: Case, instance: InstanceStatus) -> Turn:
    """Decide on an instance whose creation is not settled.

    Invariant: no parameter changes before it is: found by its owner tag, answered, or asked for again with the very
    same token and parameters. Source: reliability.md S4, S9, F01, F02, F20, F26, F36.
    """
    found = settled(case, instance)
    turn = found if found is not None else _unsettled(case, instance)
    return kept_own(case, turn, instance.token) if turn.instance == instance else turn


def _unsettled(case: Case, instance: InstanceStatus) -> Turn:
    answer = case.answer(instance.token)
    if answer is None or answer.error == "AuthFailed":
        return _unanswered(case, instance, answer)
    if answer.error in LATER and changed(case, instance):
        return again(case, instance)  # nothing was made by this attempt
    if answer.error in SOON or answer.error in LATER:
        return postponed(case, answer) or _asks(case, instance, answer.tries)
    if answer.error == "CapacityExhausted":
        return _elsewhere(case, instance, answer)
    if answer.error in ("TokenConflict", ""):
        return _conflict(case, instance, answer)
    return _ambiguous(case, instance, answer)


def settled(case: Case, instance: InstanceStatus) -> Turn | None:
    """Take what was made for the machine, by whichever call; None when nothing is known to be.

    Two of them are one too many, and which one is the machine's is a person's to say (S12).
    """
    answer = case.answer(instance.token)
    given = () if answer is None or answer.instance is None else (answer.instance,)
    alive = {one.id: one for one in (*given, *case.sight.mine) if not dead(one)}
    if len(alive) > 1:
        return twice(case, tuple(alive))
    for one in alive.values():
        return _made(case, instance, one)
    return None


def _made(case: Case, instance: InstanceStatus, one: Instance) -> Turn:
    """Record whose id it is, and judge it at once."""
    status = attrs.evolve(
        instance, step=InstanceStep.MADE, id=one.id, provider_id=one.provider_id, zone=one.zone, reason=""
    )
    machine = attrs.evolve(case.machine, status=attrs.evolve(case.machine.status, instance=status))
    sight = attrs.evolve(case.sight, known=one, missing=False)
    return watch(attrs.evolve(case, machine=machine, sight=sight), status)


def _unanswered(case: Case, instance: InstanceStatus, answer: ProviderAnswer | None) -> Turn:
    """Ask, or ask again: nobody knows whether it was asked for before this process began."""
    tries = 0 if answer is None else answer.tries
    blind = case.sight.blind
    if blind is None or (own(instance.token) in case.sightings and answer is None):
        return _asks(case, instance, tries)
    since = case.since(_begun_key(instance))
    return _looked_for(case, instance, since, blind, _NO_TOKENS) or _asks(case, instance, tries)


def _looked_for(case: Case, instance: InstanceStatus, since: int, within: int, text: str) -> Turn | None:
    """Look for what may have been made; None when nothing was, as two looks say.

    Args:
        case: the machine.
        instance: what was intended.
        since: when it was asked for, at the latest.
        within: for so long after that a look may not show it, nanoseconds.
        text: why it is looked for.
    """
    found = absence(case, visible=since + within, key=unsettled_key(instance))
    if found.proven:
        return None
    turn = waits(case, unsure(InstanceReason.CREATE_AMBIGUOUS, text), look=found.look)
    return seen_since(found.remembered(turn), **{_begun_key(instance): since})


def _begun_key(instance: InstanceStatus) -> str:
    return f"begun:{instance.token}"


def unsettled_key(instance: InstanceStatus) -> str:
    """Name the sighting of the first look that showed nothing of what may have been made."""
    return f"absent-of:{instance.token}"


def _asks(case: Case, instance: InstanceStatus, tries: int) -> Turn:
    """Give the call, unless nothing is asked of the provider now."""
    if not repeatable(case, instance):
        return _unrepeatable(case, instance)
    stopped = freeze(case)
    if stopped is not None:
        return stopped
    said = claim(
        False, InstanceReason.CREATING, f"attempt {instance.attempt} is asked of provider {instance.provider}"
    )
    return Turn(instance=instance, claim=said, effects=(ask(case, instance, tries),))


def _unrepeatable(case: Case, instance: InstanceStatus) -> Turn:
    """Look for what may have been made, when it cannot be asked for as it was: the plugin or its parameters are others."""
    since = case.since(_begun_key(instance))
    return _looked_for(case, instance, since, visible_within(case), _READ_OTHERWISE) or again(case, instance)


def _ambiguous(case: Case, instance: InstanceStatus, answer: ProviderAnswer) -> Turn:
    """Ask again with the same token and parameters: what was made is given, and if nothing was, it is made."""
    if case.sight.blind is not None:
        found = _looked_for(case, instance, answer.at, case.sight.blind, _NO_TOKENS)
        return found or _asks(case, instance, answer.tries)
    at = due(answer)
    if case.now.elapsed < at:
        return waits(case, unsure(InstanceReason.CREATE_AMBIGUOUS, answer.text), wake_at=at)
    return _asks(case, instance, answer.tries)


def postponed(case: Case, answer: ProviderAnswer) -> Turn | None:
    """Wait before an act is asked for again that was refused for one of SOON or LATER; None: it is time."""
    if answer.error in SOON:
        said, at = claim(False, SOON[answer.error], answer.text), due(answer)
    else:
        said = claim(False, LATER[answer.error], answer.text)
        at = answer.at + spread(PERSON, answer.op_id, str(answer.tries))
    return waits(case, said, wake_at=at) if case.now.elapsed < at else None


def changed(case: Case, instance: InstanceStatus) -> bool:
    """Tell whether the spec asks for something else than the attempt did: of its user data the token alone tells."""
    wanted = case.machine.spec.infrastructure
    if wanted is None or case.sight.problem is not None:
        return False
    same = (wanted.provider, wanted.parameters) == (instance.provider, instance.parameters)
    return not (same and repeatable(case, instance))


def _elsewhere(case: Case, instance: InstanceStatus, answer: ProviderAnswer) -> Turn:
    """Try the next placement, each with a token of its own; after the last one, all of them again, later."""
    if changed(case, instance):
        return again(case, instance)
    if instance.choice + 1 < len(case.sight.wanted):
        return again(case, instance, choice=instance.choice + 1)
    at = answer.at + spread(ROUND, answer.op_id)
    if case.now.elapsed < at:
        tried = (
            f"of {len(case.sight.wanted)} placements none has capacity"
            if instance.choice
            else "there is no capacity"
        )
        said = claim(False, InstanceReason.CAPACITY_EXHAUSTED, f"{tried}: {answer.text}")
        return waits(case, said, wake_at=at)
    return again(case, instance)


def _conflict(case: Case, instance: InstanceStatus, answer: ProviderAnswer) -> Turn:
    """Begin a new attempt once a look has shown nothing: what the token made is dead, or the token is spent.

    In which case something was made with it, perhaps a moment ago: the look begins when that would be shown.
    """
    text = answer.text or "what the token made is no more"
    looked, shows = case.sight.looked, answer.at + (visible_within(case) if answer.error else 1)
    if looked is None or looked < shows:
        return waits(case, claim(False, InstanceReason.TOKEN_CONFLICT, text), look=shows)
    if case.sight.doubt:
        return waits(case, unsure(InstanceReason.LOOK_DOUBTED, case.sight.doubt))
    at = answer.at + pause(instance.attempt, instance.token)
    if case.now.elapsed < at:
        return waits(case, claim(False, InstanceReason.TOKEN_CONFLICT, text), wake_at=at)
    return again(case, instance, choice=instance.choice if instance.choice < len(case.sight.wanted) else 0)


def again(case: Case, instance: InstanceStatus, *, choice: int = 0) -> Turn:
    """Begin the next attempt by what the spec says now."""
    stopped, wanted = obstacle(case), case.machine.spec.infrastructure
    if stopped is not None or wanted is None:
        text = "spec.infrastructure was taken away"
        return (
            stopped if stopped is not None else waits(case, claim(False, InstanceReason.INSTANCE_GONE, text))
        )
    return begin(case, wanted, attempt=instance.attempt + 1, choice=choice)
