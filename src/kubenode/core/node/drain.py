"""The drain of a Node: cordon it, then have its Pods evicted, tier by tier, as their budgets allow; look again, and on.

Asked by the machine decider for whatever act an open permit is of (a rung, a component of class drain or reboot, a
deletion), so that a machine has one drain and one place that tells of it: condition `Drained`, and `status.drain` for
programs. Pods leave by the eviction API alone. What is decided here is decided on one look at the Pods; a look that is
older than `LOOK` counts as none.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from kubenode.core.decision import NOTHING_SEEN, Evict, PatchNode, soonest
from kubenode.core.model.condition import Claim, Condition
from kubenode.core.model.drain import DrainPolicy, DrainRecord, DrainState, OnTimeout
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import format_duration, nanoseconds
from kubenode.core.model.world import Node
from kubenode.core.node.cordon import Cordon, cordon, standing
from kubenode.core.node.evictions import PODS, Count, count, since
from kubenode.core.node.workload import Workload

DRAINED: Final = "Drained"
"""The condition's type."""
LOOK: Final = 5_000_000_000
"""How often the Pods of a Node that is being drained are looked at."""
NAMED: Final = 5
"""Most Pods that a message names."""

CORDONING: Final = "Cordoning"
CORDON_UNDONE: Final = "CordonUndone"
DRAINING: Final = "Draining"
DRAIN_BLOCKED: Final = "DrainBlocked"
DRAIN_TIMED_OUT: Final = "DrainTimedOut"
DRAIN_FORCED: Final = "DrainForced"
PODS_GONE: Final = "PodsGone"
GOES_ON: Final = frozenset({DrainState.DRAINED, DrainState.FORCED})
"""States in which what the drain was for may begin."""
ENDED: Final = frozenset({DrainState.DRAINED, DrainState.FORCED, DrainState.GIVEN_UP})
_REASONS: Final[Mapping[DrainState, str]] = MappingProxyType(
    {
        DrainState.DRAINED: PODS_GONE,
        DrainState.FORCED: DRAIN_FORCED,
        DrainState.GIVEN_UP: DRAIN_TIMED_OUT,
        DrainState.DRAINING: DRAINING,
    }
)


@attrs.frozen(kw_only=True)
class DrainCase:
    """A Node that an open permit asks to be drained.

    Attributes:
        op_id: the permit.
        workload: what ran on it at the last look; None when nobody has looked yet.
        record: the machine's `status.drain`.
        said: the machine's condition Drained.
        gives_up: whether the act can be given up; a deletion cannot.
    """

    node: Node
    op_id: str
    policy: DrainPolicy = DrainPolicy()
    workload: Workload | None = None
    record: DrainRecord | None = None
    said: Condition | None = None
    gives_up: bool = True
    now: Now
    sightings: Mapping[str, int] = NOTHING_SEEN

    @property
    def look(self) -> Workload | None:
        """The last look, if it is of this Node and not too old to act on."""
        if self.workload is None or self.workload.node != self.node.metadata.name:
            return None
        return self.workload if self.now.elapsed < self.workload.at + LOOK else None

    def since(self, key: str) -> int:
        """Give `Now.elapsed` of a first sighting: the remembered one, else now."""
        return since(key, self.now, self.sightings)


@attrs.frozen(kw_only=True)
class Drain:
    """How a drain goes on."""

    record: DrainRecord
    claim: Claim
    cordon: PatchNode | None = None
    evictions: tuple[Evict, ...] = ()
    wake_at: int | None = None
    sightings: Mapping[str, int] = NOTHING_SEEN


def drain(case: DrainCase) -> Drain:
    """Say what is next.

    Returns:
        The record and claim to store, and effects: the cordon, or evictions, never both. `wake_at` is None once the
        drain has ended, which it has for good: what comes onto the Node after that is not looked at.

    Invariants: nothing is evicted from a Node that is not cordoned, nor on an old look; no Pod of another Node, of a
    DaemonSet, of a kubelet's own files, that has ended, or that its label exempts is evicted; at most AT_ONCE in one
    decision, of every budget at most what it allows.
    Source: api.md sections 1 and 2; reliability.md S13, L7, F56, F57.
    """
    known = standing_record(case.record, case.op_id, gives_up=case.gives_up)
    patch = cordon(case.node, case.op_id)
    if known is not None and known.state in ENDED:
        return Drain(record=known, claim=_kept(case, known), cordon=patch)
    timer = f"drain:{case.op_id}"
    due = case.since(timer) + nanoseconds(case.policy.timeout)
    answer = _on_time(case, known, patch)
    if answer.record.state in ENDED:
        return answer
    is_late = case.now.elapsed >= due
    if is_late and (case.gives_up or case.policy.on_timeout is OnTimeout.FORCE):
        return _late(case, answer)
    wakes = () if is_late else (due,)
    return attrs.evolve(
        answer, sightings={**answer.sightings, timer: case.since(timer)}, wake_at=soonest((answer.wake_at, *wakes))
    )  # fmt: skip


def nothing_there(op_id: str) -> Drain:
    """Say of a machine without a Node that no Pod is on it."""
    claim = Claim.of(DRAINED, True, PODS_GONE, "it has no Node, so no Pods")
    return Drain(record=DrainRecord(op_id=op_id, state=DrainState.DRAINED), claim=claim)


def standing_record(record: DrainRecord | None, op_id: str, *, gives_up: bool) -> DrainRecord | None:
    """Give what stands of the drain for an op-id; None: nothing.

    A remedy that replaces a machine drains for the op-id of its deletion, and may give up; the deletion does not, and begins anew.
    """
    given_up = record is not None and record.state is DrainState.GIVEN_UP
    return record if record is not None and record.op_id == op_id and (gives_up or not given_up) else None


def drained_for(record: DrainRecord | None, op_ids: frozenset[str]) -> DrainState | None:
    """Give how far the drain is that one of these op-ids asks for; None while there is none."""
    return record.state if record is not None and record.op_id in op_ids else None


def _on_time(case: DrainCase, known: DrainRecord | None, patch: PatchNode | None) -> Drain:
    record = DrainRecord(op_id=case.op_id, state=DrainState.DRAINING)
    under_way = Drain(
        record=record, claim=_claim(False, DRAINING, "its Pods are being looked at"), cordon=patch
    )
    how = standing(case.node)
    if how is Cordon.OPEN:
        return attrs.evolve(under_way, claim=_claim(False, CORDONING, "the Node is being cordoned"))
    if how is Cordon.UNDONE:
        text = "somebody has un-cordoned the Node, so nothing is evicted from it; cordon it again, or let the drain time out"
        return attrs.evolve(under_way, claim=_claim(False, CORDON_UNDONE, text))
    look = case.look
    if look is None:
        claim = under_way.claim if known is None else _kept(case, known)
        return attrs.evolve(under_way, claim=claim, sightings=_pods_seen(case))
    found = count(look, case.node, case.policy, case.now, case.sightings)
    if not found.left:
        ended = attrs.evolve(record, state=DrainState.DRAINED)
        return attrs.evolve(
            under_way, record=ended, claim=_claim(True, PODS_GONE, "no Pod is left that has to go")
        )
    return attrs.evolve(
        under_way, claim=_progress(found), evictions=found.evictions if patch is None else (),
        sightings=found.sightings if patch is None else _pods_seen(case),
        wake_at=soonest((look.at + LOOK, *found.wakes)),
    )  # fmt: skip


def _late(case: DrainCase, answer: Drain) -> Drain:
    """End a drain whose time is over, as its policy says."""
    forces = case.policy.on_timeout is OnTimeout.FORCE
    state = DrainState.FORCED if forces else DrainState.GIVEN_UP
    what = "onTimeout is Force, so it goes on; left: " if forces else "given up: "
    text = f"not done within {format_duration(case.policy.timeout)}; {what}{answer.claim.message}"
    reason = DRAIN_FORCED if forces else DRAIN_TIMED_OUT
    return Drain(record=attrs.evolve(answer.record, state=state), claim=_claim(forces, reason, text))


def _claim(holds: bool, reason: str, text: str) -> Claim:
    return Claim.of(DRAINED, holds, reason, text)


def _kept(case: DrainCase, record: DrainRecord) -> Claim:
    """Claim what was claimed before; of a record whose condition somebody took away, what it is about."""
    if case.said is not None:
        return Claim.again(case.said)
    return Claim.of(DRAINED, record.state in GOES_ON, _REASONS[record.state])


def _pods_seen(case: DrainCase) -> dict[str, int]:
    """Keep what was seen of single Pods until they are looked at again."""
    return {key: at for key, at in case.sightings.items() if key.startswith(PODS)}


def _progress(found: Count) -> Claim:
    """Claim how far it is: blocked when nothing moves, and by what in any case."""
    moves = bool(found.evictions or found.going)
    asked = len(found.evictions) + len(found.going)
    parts = [f"{asked} Pods are ending"] if asked else []
    parts += [f"{len(found.blocked)} are held up: {_some(found.blocked)}"] if found.blocked else []
    parts += [f"{found.later} of higher priority follow"] if found.later else []
    return _claim(False, DRAINING if moves else DRAIN_BLOCKED, "; ".join(parts))


def _some(texts: tuple[str, ...]) -> str:
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return f"{', '.join(texts[:NAMED])}{more}"


__all__ = [
    "DRAINED", "DRAINING", "DRAIN_TIMED_OUT", "GOES_ON", "LOOK", "Drain", "DrainCase", "drain", "drained_for", "nothing_there", "standing_record",
]  # fmt: skip
