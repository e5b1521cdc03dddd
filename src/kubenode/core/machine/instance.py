"""What is next for the instance of one machine: `core/instance` asked, with what the machine's snapshot knows."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from kubenode.core.decision import Note
from kubenode.core.identity import deletion_op_id
from kubenode.core.instance.heed import heed
from kubenode.core.instance.keep import keep
from kubenode.core.instance.leave import leave
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.instance.turn import Turn, claim
from kubenode.core.machine.guard import may_begin
from kubenode.core.machine.phase import Phase
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.model.instance import InstanceStatus, InstanceStep
from kubenode.core.model.machine import DeletionPolicy
from kubenode.core.model.meta import FINALIZER

_PHASES = frozenset(phase.value for phase in Phase)
_CRD_BARS: Final[Mapping[bool | None, str]] = MappingProxyType({
    False: "",
    None: "whether the CRD of Machines is being deleted is not known yet; then nothing would be terminated",
    True: (
        "the CRD of Machines is being deleted, and a machine that goes for it is not terminated; to let it go set"
        " spec.deletionPolicy: Release, and see to its instance yourself"
    ),
})  # fmt: skip


def newer(seen: MachineSnapshot) -> str:
    """Name what of the object only a newer version can have written; empty when there is nothing."""
    phase = seen.machine.status.phase
    if seen.machine.metadata.unknown:
        return ", ".join(seen.machine.metadata.unknown)
    return f"status.phase {phase!r}" if phase and phase not in _PHASES else ""


def turn_of(seen: MachineSnapshot) -> Turn | None:
    """Give what is next for the instance of a machine; None when there is nothing to do for one.

    Called by who looks at providers, too: the turn says from when a look is of use.
    """
    case, spec, metadata = seen.case, seen.machine.spec, seen.machine.metadata
    if case is None or newer(seen) or FINALIZER not in metadata.finalizers:
        return None
    if seen.deleting:
        if spec.on_deletion is not DeletionPolicy.TERMINATE:
            return None
        permitted = deletion_op_id(case.uid) in seen.holds and may_begin(seen.machine)
        left = leave(case, permitted=permitted, barred=seen.barred)
        return None if left is None else heed(case, left)
    return None if spec.infrastructure is None or spec.host is not None else heed(case, keep(case))


def barred_by_crd(leaving: bool | None) -> str:
    """Say why nothing is terminated while the CRD of Machines leaves; None: that is not known. Empty when it does not."""
    return _CRD_BARS[leaving]


def is_gone(seen: MachineSnapshot, turn: Turn) -> bool:
    """Tell whether its instance is no more, by the status or by this turn."""
    return InstanceStep.GONE in (_step(seen.machine.status.instance), _step(turn.instance))


def before_another(seen: MachineSnapshot, turn: Turn) -> Turn:
    """Give the turn of a machine whose Node goes before another instance is asked for."""
    stored = seen.machine.status.instance
    kept = stored if _step(stored) is InstanceStep.GONE else turn.instance
    said = claim(False, InstanceReason.INSTANCE_GONE, "the instance is no more, and its Node goes")
    return attrs.evolve(turn, instance=kept, claim=said, effects=(), wake_at=None, deferred=False)


def begins_to_end(seen: MachineSnapshot, turn: Turn) -> bool:
    """Tell whether this turn writes the intent to terminate: until then nothing is lost, and the Node is drained first."""
    return seen.instance_made and _step(turn.instance) is InstanceStep.TERMINATING


def until_drained(seen: MachineSnapshot, turn: Turn) -> Turn:
    """Give the turn of a machine whose Node is drained before its instance is terminated."""
    said = claim(False, InstanceReason.TERMINATE_WAITS, "the instance is terminated when its Node is drained")
    return attrs.evolve(turn, instance=seen.machine.status.instance, claim=said, effects=())


def told(turn: Turn | None) -> tuple[Note, ...]:
    """Say what keeps an instance from going on."""
    if turn is None or not turn.deferred:
        return ()
    return (Note(code=turn.claim.reason, text=turn.claim.message),)


def _step(instance: InstanceStatus | None) -> InstanceStep | None:
    return None if instance is None else instance.step
