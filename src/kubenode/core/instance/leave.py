"""The instance of a machine that is deleted: found if it may exist, terminated once, and gone on evidence."""

from typing import Final

from kubenode.core.instance.dispose import dispose
from kubenode.core.instance.evidence import absence, dead, stranger, visible_within
from kubenode.core.instance.intent import kept_own, own
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.instance.seen import Case
from kubenode.core.instance.settle import settled, unsettled_key
from kubenode.core.instance.turn import Turn, claim, seen_since, unsure, waits
from kubenode.core.instance.watch import end, gone, since_made
from kubenode.core.model.instance import InstanceStatus, InstanceStep

NOTHING_DONE: Final = frozenset(
    {"Throttled", "CapacityExhausted", "QuotaExceeded", "Invalid", "Unsupported", "Protected", "AuthFailed"}
)
"""Errors of a create after which nothing was made."""


def leave(case: Case, *, permitted: bool, barred: str) -> Turn | None:
    """Decide what is next for the instance of a machine whose host is to be terminated; None: nothing is left of it.

    Args:
        case: the machine and its instance.
        permitted: its permit is among the holds; one that was never Running needs none.
        barred: why nothing of its set may be terminated now; empty when it may.

    Source: api.md section 4; reliability.md S5, S22, F06, F32.
    """
    instance = case.instance
    if instance is None or instance.step is InstanceStep.GONE:
        return None
    if instance.step is InstanceStep.CREATING:
        return _found_out(case, instance)
    if instance.step is InstanceStep.TERMINATING:
        return dispose(case, instance)
    return since_made(case, instance, _ended(case, instance, permitted=permitted, barred=barred))


def _ended(case: Case, instance: InstanceStatus, *, permitted: bool, barred: str) -> Turn:
    """Write the intent to terminate an instance that was made, once it may be."""
    one = case.sight.known
    if one is not None and dead(one):
        return gone(case, instance, f"the provider says that {one.id} is terminated")
    foreign = None if one is None else stranger(case, one)
    if foreign is not None:
        return waits(case, claim(False, *foreign))
    if barred:
        return waits(case, claim(False, InstanceReason.TERMINATE_WAITS, barred))
    if case.machine.status.first_running is not None and not permitted:
        text = f"{instance.id} is terminated when there is a permit for it"
        return waits(case, claim(False, InstanceReason.TERMINATE_WAITS, text))
    return end(case, instance, claim(False, InstanceReason.TERMINATING, f"{instance.id} is being terminated"))


def _found_out(case: Case, instance: InstanceStatus) -> Turn:
    """Find out whether an instance was made; it is never asked for again to find that out."""
    found = settled(case, instance)
    if found is not None:
        return found
    key, answer, looked = f"ending:{instance.token}", case.answer(instance.token), case.sight.looked
    since = case.since(key)
    none_was_made = own(instance.token) in case.sightings and (
        answer is None or (answer.tries == 1 and answer.error in NOTHING_DONE)
    )
    if none_was_made and looked is not None and looked >= since:
        return gone(case, instance, "no instance was made")
    judged = absence(case, visible=since + visible_within(case), key=unsettled_key(instance))
    if judged.proven:
        return gone(case, instance, "no instance was made, as two looks say")
    text = "whether an instance was made is not settled; it is looked for, and terminated if it is there"
    look = since if none_was_made else judged.look
    turn = seen_since(waits(case, unsure(InstanceReason.CREATE_AMBIGUOUS, text), look=look), **{key: since})
    return judged.remembered(kept_own(case, turn, instance.token))
