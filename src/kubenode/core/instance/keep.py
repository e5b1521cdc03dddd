"""The instance of a machine that is wanted: one, and another one only when there is evidence that it is no more."""

import attrs

from kubenode.core.instance.dispose import dispose
from kubenode.core.instance.intent import begin, obstacle
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.instance.seen import Case
from kubenode.core.instance.settle import again, settle
from kubenode.core.instance.turn import Turn, claim, pause, seen_since, waits
from kubenode.core.instance.watch import watch
from kubenode.core.model.condition import Claim
from kubenode.core.model.instance import InstanceStatus, InstanceStep


def keep(case: Case) -> Turn:
    """Decide what is next for the instance of a machine with `spec.infrastructure` that nobody deletes.

    Invariant: at most one instance a machine (S4); an effect only where its intent stands (S9).
    """
    instance = case.instance
    if instance is None:
        return _first(case)
    match instance.step:
        case InstanceStep.CREATING:
            return settle(case, instance)
        case InstanceStep.MADE:
            return watch(case, instance)
        case InstanceStep.TERMINATING:
            turn = dispose(case, instance)
            return attrs.evolve(turn, claim=_because(instance, turn.claim))
        case _:
            return _renewed(case, instance)


def _first(case: Case) -> Turn:
    stopped, wanted = obstacle(case), case.machine.spec.infrastructure
    if stopped is not None or wanted is None:
        return stopped if stopped is not None else waits(case, claim(False, InstanceReason.CREATING))
    return begin(case, wanted, attempt=1, choice=0)


def _because(instance: InstanceStatus, said: Claim) -> Claim:
    """Keep saying why an instance is given up while it goes."""
    if said.reason != InstanceReason.TERMINATING.value or not instance.reason:
        return said
    return attrs.evolve(said, reason=instance.reason)


def _renewed(case: Case, instance: InstanceStatus) -> Turn:
    """Begin another attempt; after one that never came up, only after a pause that grows."""
    if not instance.reason:
        return again(case, instance)
    key = f"gone:{instance.token}"
    since = case.since(key)
    at = since + pause(instance.attempt, instance.token)
    if case.now.elapsed < at:
        text = f"attempt {instance.attempt} came to nothing ({instance.reason}); the next one begins after a pause"
        return seen_since(
            waits(case, claim(False, InstanceReason.BACKING_OFF, text), wake_at=at), **{key: since}
        )
    return again(case, instance)
