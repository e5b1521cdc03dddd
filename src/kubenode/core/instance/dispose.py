"""An instance whose end is wanted: terminated once, and gone only on evidence."""

from typing import Final

from kubenode.core.decision import TerminateInstance
from kubenode.core.instance.evidence import absence, dead, leaving, stranger
from kubenode.core.instance.intent import freeze, kept_own, own, terminate_op_id
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.instance.seen import Case, ProviderAnswer
from kubenode.core.instance.settle import LATER, SOON, postponed
from kubenode.core.instance.turn import (
    MINUTE,
    POLL,
    Turn,
    claim,
    due,
    seen_since,
    unsure,
    waits,
)
from kubenode.core.instance.watch import gone, missed_key, since_made, visible_from
from kubenode.core.model.condition import Claim
from kubenode.core.model.instance import InstanceStatus
from kubenode.core.model.meta import ref

STUCK: Final = 15 * MINUTE
"""So long a termination that was accepted may take."""
RARELY: Final = 5 * MINUTE
"""Between two looks at one that is stuck."""


def dispose(case: Case, instance: InstanceStatus) -> Turn:
    """Decide on an instance whose end is wanted; the intent stands.

    Invariant: nothing is terminated that is not certainly the machine's, and nothing is asked for again before a look
    has shown that it is still there. Source: reliability.md S5, S12, S22, F06, F27, F31, F35.
    """
    one = case.sight.known
    if one is not None:
        foreign = stranger(case, one)
        if foreign is not None:
            return waits(case, claim(False, *foreign))
        if dead(one):
            return gone(case, instance, f"the provider says that {one.id} is terminated")
    found = absence(case, visible=visible_from(case, instance), key=missed_key(instance))
    if found.proven:
        return gone(case, instance, f"two looks at provider {instance.provider} did not show {instance.id}")
    turn = kept_own(case, _pursued(case, instance), terminate_op_id(case.uid, instance.attempt))
    return since_made(case, instance, found.remembered(turn))


def _pursued(case: Case, instance: InstanceStatus) -> Turn:
    """Ask for the end, or find out what became of it."""
    op_id = terminate_op_id(case.uid, instance.attempt)
    answer = case.answer(op_id)
    if case.sight.doubt and case.sight.missing:
        return waits(case, unsure(InstanceReason.LOOK_DOUBTED, case.sight.doubt))
    if answer is None and own(op_id) in case.sightings and case.sight.known is not None:
        return _asks(case, instance, 0)
    if answer is None:
        return _looked(case, instance, case.since(f"ending:{op_id}"), 0)
    if not answer.error:
        return _accepted(case, instance, answer)
    if answer.error in SOON or answer.error in LATER:
        return postponed(case, answer) or _asks(case, instance, answer.tries)
    if answer.error == "AuthFailed":
        return _asks(case, instance, answer.tries)
    at = due(answer)
    if case.now.elapsed < at:
        return waits(
            case, unsure(InstanceReason.TERMINATE_AMBIGUOUS, answer.text), look=answer.at + 1, wake_at=at
        )
    return _looked(case, instance, answer.at + 1, answer.tries)


def _looked(case: Case, instance: InstanceStatus, since: int, tries: int) -> Turn:
    """Ask only if a look that began after the last try shows it, and its end has not begun."""
    op_id = terminate_op_id(case.uid, instance.attempt)
    key, one, looked = f"ending:{op_id}", case.sight.known, case.sight.looked
    if (
        one is not None
        and looked is not None
        and looked >= since
        and not case.sight.missing
        and not leaving(one)
    ):
        return _asks(case, instance, tries)
    text = f"whether the end of {instance.id} has begun is looked for first"
    look = since if looked is None or looked < since else looked + POLL
    return seen_since(
        waits(case, unsure(InstanceReason.TERMINATE_AMBIGUOUS, text), look=look), **{key: since}
    )


def _asks(case: Case, instance: InstanceStatus, tries: int) -> Turn:
    stopped = freeze(case)
    if stopped is not None:
        return stopped
    op_id = terminate_op_id(case.uid, instance.attempt)
    effect = TerminateInstance(
        machine=ref(case.machine), provider=instance.provider, op_id=op_id, instance=instance.id, tries=tries
    )
    return Turn(instance=instance, claim=_ending(instance), effects=(effect,))


def _accepted(case: Case, instance: InstanceStatus, answer: ProviderAnswer) -> Turn:
    """Wait for evidence; one that stays is told of, and counts on."""
    end, looked = answer.at + STUCK, case.sight.looked
    stuck = case.now.elapsed >= end
    said = _ending(instance)
    if stuck:
        text = f"the provider accepted the end of {instance.id} long ago, and still shows it; see what holds it up there"
        said = claim(False, InstanceReason.TERMINATION_STUCK, text)
    after = answer.at + 1 if looked is None or looked <= answer.at else looked + (RARELY if stuck else POLL)
    return waits(case, said, look=after, wake_at=None if stuck else end)


def _ending(instance: InstanceStatus) -> Claim:
    return claim(False, InstanceReason.TERMINATING, f"{instance.id} is being terminated")
