"""How far each member of the open batch is, judged by what its machine shows.

Here is only judged, never started: a member without the revision's entry waits, whatever was recorded.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from kubenode.core.decision import NOTHING_SEEN
from kubenode.core.model.batch import Batch, Failure, Member, MemberState
from kubenode.core.model.componentset import MachineComponentSet
from kubenode.core.model.drain import DrainState
from kubenode.core.model.meta import matches
from kubenode.core.model.now import Now
from kubenode.core.node.drain import DRAIN_TIMED_OUT, drained_for
from kubenode.core.rollout.tally import Seat

ENDED: Final = frozenset({MemberState.UPDATED, MemberState.FAILED, MemberState.GONE, MemberState.SKIPPED})
"""States that a member never leaves."""
NOT_DRAINED: Final = "its Node could not be drained in time; the condition Drained of the Machine says why"
DEADLINE_EXCEEDED: Final = "ProgressDeadlineExceeded"
UNREADABLE: Final = "UnreadableReason"
"""Stands for an agent's reason that is no word: written as it is, the server would refuse the whole status."""

_SECOND: Final = 1_000_000_000
_WORD: Final = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


@attrs.frozen(kw_only=True)
class Terms:
    """By what members are judged. Durations in nanoseconds of `Now.elapsed`.

    Attributes:
        spared: uids of machines that are not to be touched.
        drained_by: op-ids of all open permits, where the Node is drained before a member starts; else none.
    """

    set_name: str
    revision: int
    min_ready_ns: int
    deadline_ns: int
    spared: frozenset[str] = frozenset()
    drained_by: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, owner: MachineComponentSet, revision: int, spared: frozenset[str] = frozenset(),
        drained_by: frozenset[str] = frozenset(),
    ) -> "Terms":  # fmt: skip
        """Read them from a set's rollout."""
        rollout = owner.spec.rollout
        return cls(
            set_name=owner.metadata.name,
            revision=revision,
            min_ready_ns=rollout.min_ready_seconds * _SECOND,
            deadline_ns=rollout.progress_deadline_seconds * _SECOND,
            spared=spared,
            drained_by=drained_by,
        )


@attrs.frozen(kw_only=True)
class Judged:
    """A batch as it stands now.

    Attributes:
        failures: those found just now, in the order of the members; none is ever found twice.
        sightings: since when members are started and ready; what no longer holds is forgotten.
        dwells: when members that are ready will have been so for long enough.
        wakes: all deadlines, dwells included; each changes the judgement, none before it.
    """

    batch: Batch
    failures: tuple[Failure, ...] = ()
    sightings: Mapping[str, int] = NOTHING_SEEN
    dwells: tuple[int, ...] = ()
    wakes: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class _One:
    member: Member
    failure: Failure | None = None
    sightings: Mapping[str, int] = NOTHING_SEEN
    ready_at: int | None = None
    fails_at: int | None = None


def judge(
    batch: Batch, seats: Iterable[Seat], terms: Terms, now: Now, sightings: Mapping[str, int]
) -> Judged:
    """Judge every member of a batch by its machine.

    Args:
        batch: as recorded.
        seats: machines of the members, in any order; a member without one is Gone.
        terms: the revision and its time limits.
        now: the moment of the decision.
        sightings: what this process saw before.

    Returns:
        The members in their order. Who has ended stays so.
    """
    there = {seat.machine.uid: seat for seat in seats}
    ones = [
        _judge_one(member, there.get(member.uid), terms, now.elapsed, sightings) for member in batch.members
    ]
    dwells = tuple(one.ready_at for one in ones if one.ready_at is not None)
    return Judged(
        batch=attrs.evolve(batch, members=tuple(one.member for one in ones)),
        failures=tuple(one.failure for one in ones if one.failure is not None),
        sightings={key: since for one in ones for key, since in one.sightings.items()},
        dwells=dwells,
        wakes=dwells + tuple(one.fails_at for one in ones if one.fails_at is not None),
    )


def _judge_one(
    member: Member, seat: Seat | None, terms: Terms, now: int, sightings: Mapping[str, int]
) -> _One:
    if member.state in ENDED:
        return _One(member=member)
    if seat is None or seat.is_foreign(terms.set_name):
        return _One(member=attrs.evolve(member, state=MemberState.GONE))
    if not seat.is_at(terms.set_name, terms.revision):
        if (
            member.op_id in terms.drained_by
            and drained_for(seat.drain, terms.drained_by) is DrainState.GIVEN_UP
        ):
            return _failed(member, DRAIN_TIMED_OUT, NOT_DRAINED)
        state = MemberState.SKIPPED if member.uid in terms.spared else MemberState.WAITING
        return _One(member=attrs.evolve(member, state=state))
    report = seat.report
    if report is not None and report.revision == str(terms.revision) and report.reason:
        reason = report.reason if matches(_WORD, report.reason) else UNREADABLE
        return _failed(member, reason, report.message or report.reason)
    return _judge_started(member, seat, terms, now, sightings)


def _judge_started(member: Member, seat: Seat, terms: Terms, now: int, sightings: Mapping[str, int]) -> _One:
    """Judge a machine that has the entry and reported no failure.

    One that is ready is not failed for being late while it shows that it stays so.
    """
    started, ready = f"started:{member.uid}:{terms.revision}", f"ready:{member.uid}:{terms.revision}"
    since = sightings.get(started, now)
    under_way = attrs.evolve(member, state=MemberState.STARTED)
    if seat.at_target and seat.available:
        ready_since = sightings.get(ready, now)
        if now - ready_since >= terms.min_ready_ns:
            return _One(member=attrs.evolve(member, state=MemberState.UPDATED))
        return _One(
            member=under_way,
            sightings={started: since, ready: ready_since},
            ready_at=ready_since + terms.min_ready_ns,
        )
    if now - since >= terms.deadline_ns:
        lacks = "its Node is not available" if seat.at_target else "its component is not at target"
        seconds = terms.deadline_ns // _SECOND
        return _failed(member, DEADLINE_EXCEEDED, f"after {seconds} s {lacks}")
    return _One(member=under_way, sightings={started: since}, fails_at=since + terms.deadline_ns)


def _failed(member: Member, reason: str, message: str) -> _One:
    failure = Failure(name=member.name, uid=member.uid, reason=reason, message=message)
    return _One(member=attrs.evolve(member, state=MemberState.FAILED), failure=failure)
