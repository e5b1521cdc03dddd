"""Replacement of a machine: whether it can be, and which attempt of an episode is one.

The Machine is deleted, and its MachineSet makes another. The op-id of such an attempt is that of the deletion, so that the
permit that the remedy was given is the one under which the Node is drained, the instance is terminated and the Machine goes.
"""

from kubenode.core.identity import deletion_op_id
from kubenode.core.model.machine import DeletionPolicy, Machine
from kubenode.core.model.remedy import AttemptState, RemedyOperationJob

NOT_REPLACEABLE = "NotReplaceable"


def irreplaceable(machine: Machine) -> str:
    """Say why nothing would take the place of a machine; empty when its MachineSet would make another one."""
    spec = machine.spec
    if spec.host is not None:
        return f"{NOT_REPLACEABLE}: its host was there before it, and nothing here can make another"
    if spec.set_ref is None:
        return f"{NOT_REPLACEABLE}: it belongs to no MachineSet, so nothing would make another"
    if spec.on_deletion is not DeletionPolicy.TERMINATE:
        return (
            f"{NOT_REPLACEABLE}: its deletionPolicy is {spec.on_deletion.value}, so its instance would stay"
        )
    return ""


def is_replacing(job: RemedyOperationJob) -> bool:
    """Tell whether an episode has deleted its machine, or is about to: nothing else of it is under way."""
    last = job.status.attempts[-1] if job.status.attempts else None
    acts = last is not None and last.state is AttemptState.ACTING
    return acts and last is not None and last.op_id == deletion_op_id(job.spec.machine.uid)
