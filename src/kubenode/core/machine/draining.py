"""Whether a machine's Node is to be drained now, for whom, and how that goes on; and when our cordon goes.

The drain itself is core/node/drain. Here is only what the machine decider has to know of it: for which op-id, what to
store of it, which effects.
"""

from collections.abc import Mapping

import attrs

from kubenode.core.decision import NOTHING_SEEN, Evict, PatchNode
from kubenode.core.identity import deletion_op_id
from kubenode.core.machine.guard import leaving_op_id, may_begin
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.model.condition import Claim, find
from kubenode.core.model.drain import DrainPolicy, DrainRecord
from kubenode.core.model.machine import DeletionPolicy, Machine
from kubenode.core.node.cordon import uncordon
from kubenode.core.node.drain import DRAINED, ENDED, Drain, DrainCase, drain, nothing_there, standing_record


@attrs.frozen(kw_only=True)
class Draining:
    """What a decision about a machine takes over.

    Attributes:
        patch: of the Node; its one write of this decision, where there is one.
        over: whether who asked may go on, or must give up; False when nobody asks.
    """

    record: DrainRecord | None = None
    claims: tuple[Claim, ...] = ()
    patch: PatchNode | None = None
    evictions: tuple[Evict, ...] = ()
    wake_at: int | None = None
    sightings: Mapping[str, int] = NOTHING_SEEN
    over: bool = False


def is_permitted(seen: MachineSnapshot) -> bool:
    """Tell whether a machine that is to go may be disrupted: it has its permit, or was never Running."""
    return seen.machine.status.first_running is None or (
        deletion_op_id(seen.machine.metadata.uid) in seen.holds and may_begin(seen.machine)
    )


def asks_to_go(machine: Machine) -> bool:
    """Tell whether a machine is being deleted, and that ends what runs on it; a host that is released goes on as it is."""
    leaves = machine.metadata.deletion_timestamp is not None
    return leaves and machine.spec.on_deletion is DeletionPolicy.TERMINATE


def drains_for(seen: MachineSnapshot) -> str:
    """Give the op-id for which the Node is to be drained now; empty when for none."""
    if not seen.deleting:
        return leaving_op_id(seen) or seen.drains
    instance = seen.machine.status.instance
    if instance is not None and not seen.instance_made:
        return ""
    if not asks_to_go(seen.machine) or not is_permitted(seen):
        return ""
    return deletion_op_id(seen.machine.metadata.uid)


def needs_look(seen: MachineSnapshot) -> bool:
    """Tell whether the Pods of the Node have to be looked at: a drain is asked for, and has not ended."""
    op_id = drains_for(seen)
    if not op_id or seen.node is None:
        return False
    known = standing_record(seen.machine.status.drain, op_id, gives_up=not seen.deleting)
    return known is None or known.state not in ENDED


def plan_drain(seen: MachineSnapshot) -> Draining:
    """Plan the drain that is asked for, or take our cordon back when its op-id holds no permit any more.

    Nothing is done while it is not certain that the Node is this machine's (S12).
    """
    op_id = drains_for(seen)
    if seen.contest is not None:
        return kept(seen)
    if not op_id:
        return attrs.evolve(kept(seen), patch=None if seen.node is None else uncordon(seen.node, seen.holds))
    if seen.node is None:
        return _taken(nothing_there(op_id))
    status = seen.machine.status
    case = DrainCase(
        node=seen.node, op_id=op_id, policy=seen.machine.spec.drain or DrainPolicy(), workload=seen.workload,
        record=status.drain, said=find(status.conditions, DRAINED), gives_up=not seen.deleting, now=seen.now,
        sightings=seen.sightings,
    )  # fmt: skip
    return _taken(drain(case))


def kept(seen: MachineSnapshot) -> Draining:
    """Keep what is said of a drain whose act is still permitted, and nothing of any other."""
    record, said = seen.machine.status.drain, find(seen.machine.status.conditions, DRAINED)
    if record is None or record.op_id not in seen.holds:
        return Draining()
    return Draining(record=record, claims=() if said is None else (Claim.again(said),))


def _taken(found: Drain) -> Draining:
    return Draining(
        record=found.record, claims=(found.claim,), patch=found.cordon, evictions=found.evictions,
        wake_at=found.wake_at, sightings=found.sightings, over=found.record.state in ENDED,
    )  # fmt: skip
