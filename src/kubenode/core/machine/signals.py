"""From a snapshot to the signals that move the phase: a classifier with the reason at each return.

The order of the tests is the order of `Signal`: deletion before all else, then what a person has to
settle, then what we are doing ourselves, then what is observed.
"""

from kubenode.core.machine.conditions import components_claim
from kubenode.core.machine.phase import Phase, Signal
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.model.meta import Switch
from kubenode.core.model.risk import Cause

_HELD = {
    Cause.HUMAN: Signal.REPAIR_HELD,
    Cause.DEADLINE: Signal.REPAIR_HELD,
    Cause.REMEDY: Signal.REPAIR_HELD,
    Cause.DRIFT: Signal.REPAIR_HELD,
    Cause.ROLLOUT: Signal.UPDATE_HELD,
}


def signals(seen: MachineSnapshot) -> tuple[Signal, ...]:
    """Give the signals to follow, in this order: perhaps SPEC_CHANGED, then exactly one of the others.

    Total: every snapshot has one. A spec change comes first, so that a Failed machine is judged afresh
    by the same decision.
    """
    status = seen.machine.status
    changed = (
        status.phase == Phase.FAILED.value and status.observed_generation != seen.machine.metadata.generation
    )
    return (*((Signal.SPEC_CHANGED,) if changed else ()), main_signal(seen))


def main_signal(seen: MachineSnapshot) -> Signal:
    """Give the first signal that holds, SPEC_CHANGED apart."""
    spec, agent = seen.machine.spec, seen.machine.status.agent
    if seen.deleting:
        # A Node that may be another machine's is not ours to wait for.
        there = seen.node is not None and seen.contest is None
        return Signal.DELETING_NODE if there else Signal.DELETING
    if (spec.host is None) == (spec.infrastructure is None):
        return Signal.UNACTIONABLE
    if seen.contest is not None:
        return Signal.CONTESTED
    if (
        seen.hold is not None
        and seen.machine.status.first_running is not None
        and _has_begun(seen, seen.hold)
    ):
        # Before silence: a host that we restart is silent because we asked for it. When the owner of
        # the hold gives up, the hold goes and silence shows. Never Running: nothing needs a hold.
        return _HELD[seen.hold]
    if spec.infrastructure is not None:
        if not seen.instance_made:
            return Signal.INSTANCE_WANTED
        if seen.node is None and agent is None and not seen.silent:
            return Signal.INSTANCE_STARTING
    if seen.silent:
        return Signal.SILENT
    if seen.node is None:
        return Signal.NOTHING_HEARD if agent is None else Signal.REPORTED
    healthy = agent is not None and seen.node.ready and components_claim(seen).holds is Switch.TRUE
    if healthy and (seen.ledger or seen.ran):
        return Signal.HEALTHY
    return Signal.IMPAIRED if seen.ran else Signal.REGISTERED


def _has_begun(seen: MachineSnapshot, cause: Cause) -> bool:
    """Tell whether what a hold allows is under way: a rollout begins with its entry, and is over when the hold goes.

    A permit without an entry yet changes nothing on the host; to write it down here would cost each machine one
    write more, of a state that lasts for a moment. One whose Node is to be drained first begins with the drain.
    """
    if cause is not Cause.ROLLOUT or seen.drains or seen.machine.status.phase == Phase.UPDATING.value:
        return True
    return components_claim(seen).holds is not Switch.TRUE
