"""How large a batch is, who is in it, and how many machines may be unavailable meanwhile.

A batch is a gate, not a concurrency: who of its members starts when is the risk decider's.
"""

from collections.abc import Sequence

from kubenode.core.identity import rollout_op_id
from kubenode.core.model.batch import BATCH_LIMIT, Batch, Member
from kubenode.core.model.componentset import MachineComponentSet, MachineComponentSetStatus
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import IntOrPercent
from kubenode.core.rollout.tally import Seat


def batch_size(sizes: Sequence[IntOrPercent], number: int, total: int) -> int:
    """Give the most members that a batch takes.

    Args:
        sizes: increments, one a batch; the last repeats. None at all means one by one.
        number: which of the sizes, counted from 1: one more than the batches that proved the revision.
        total: machines selected when the revision began; a percentage is of it, rounded up.

    Returns:
        From 1 to BATCH_LIMIT.

    Source: api.md section 4.

    >>> [batch_size((IntOrPercent(1), IntOrPercent(10, percent=True)), k, 25) for k in (1, 2, 3)]
    [1, 3, 3]
    """
    size = sizes[min(number, len(sizes)) - 1].scaled(total, up=True) if sizes else 1
    return min(max(size, 1), BATCH_LIMIT)


def max_unavailable(owner: MachineComponentSet, up: int) -> int:
    """Give how many machines of a set may be unavailable when one more is to be touched.

    Args:
        owner: the set.
        up: its machines that should be up; a percentage is of them, rounded down.

    Returns:
        At least 1, so that no rounding stops a rollout for good.

    Source: Kubernetes Deployment for the rounding; to stop, there is `paused`.

    >>> from kubenode.core.model.componentset import MachineComponentSetSpec, Rollout
    >>> from kubenode.core.model.meta import ObjectMeta
    >>> tenth = Rollout(max_unavailable=IntOrPercent(10, percent=True))
    >>> spec = MachineComponentSetSpec(name="kubelet", component="kubelet-1", rollout=tenth)
    >>> owner = MachineComponentSet(metadata=ObjectMeta(name="kubelet"), spec=spec)
    >>> [max_unavailable(owner, up) for up in (5, 19, 20)]
    [1, 1, 2]
    """
    return max(1, owner.spec.rollout.max_unavailable.scaled(up))


def next_number(status: MachineComponentSetStatus) -> int:
    """Give the number of the next batch of the update revision, from 1."""
    return status.batches[-1].number + 1 if status.batches else 1


def next_batch(
    owner: MachineComponentSet, status: MachineComponentSetStatus, candidates: Sequence[Seat], now: Now
) -> Batch | None:
    """Fix the members of the next batch: the first candidates, all waiting.

    Args:
        owner: the set, for its sizes and its uid.
        status: where the rollout stands; gives the revision, its total and the batches so far.
        candidates: in the order in which they are to be updated.
        now: for the stamp.

    Returns:
        None when nobody is to be updated or there is no revision.

    A batch grows only after one that proved something (api.md section 4); after any other the same size
    comes again.

    Invariant: an op-id is a function of set, revision and machine, so every observer computes the same.
    """
    if status.update is None or not candidates:
        return None
    number, revision = next_number(status), status.update.number
    size = batch_size(owner.spec.rollout.batches, status.proven + 1, status.total)
    members = tuple(
        Member(
            name=seat.machine.name,
            uid=seat.machine.uid,
            op_id=rollout_op_id(owner.metadata.uid, revision, seat.machine.uid),
            healthy=seat.available,
        )
        for seat in candidates[:size]
    )
    return Batch(number=number, opened_at=now.wall.replace(microsecond=0), members=members)
