"""What holds a machine or a set of machines up, and what would let it go on."""

import attrs

from kubenode.core.decision import Note
from kubenode.core.levers.change import Change
from kubenode.core.machine.reasons import MachineReason
from kubenode.core.machineset.claims import Reason
from kubenode.core.model.machine import DeletionPolicy
from kubenode.core.policy import Policy
from kubenode.core.snapshots import MachineSetSnapshot, MachineSnapshot


def change_of_machine(seen: MachineSnapshot, policy: Policy, note: Note) -> Change[MachineSnapshot] | None:
    """Give the world in which this note would not stand; None when nothing of ours decides that."""
    if note.code == MachineReason.CONFLICT.value and seen.rival:
        text = f"Machine {seen.rival} were deleted"
        return Change(seen=attrs.evolve(seen, rival=""), policy=policy, text=text)
    if note.code == MachineReason.TERMINATE_UNSUPPORTED.value:
        spec = attrs.evolve(seen.machine.spec, deletion_policy=DeletionPolicy.RELEASE)
        machine = attrs.evolve(seen.machine, spec=spec)
        text = "spec.deletionPolicy is Release"
        return Change(seen=attrs.evolve(seen, machine=machine), policy=policy, text=text)
    return None


def change_of_set(seen: MachineSetSnapshot, policy: Policy, note: Note) -> Change[MachineSetSnapshot] | None:
    """Give the world in which a person has acknowledged what is lost; None for any other note."""
    if note.code != Reason.MASS_DELETE.value or note.observed is None or note.observed == note.limit:
        return None
    owner = attrs.evolve(seen.set, spec=attrs.evolve(seen.set.spec, acknowledged_losses=note.observed))
    text = f"spec.acknowledgedLosses is {note.observed} (now {note.limit})"
    return Change(seen=attrs.evolve(seen, set=owner), policy=policy, text=text)
