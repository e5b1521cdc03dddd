"""The dry run of a remedier: which episodes it would open, decided as for a live one, and nothing done.

Each rule is rehearsed by itself: what would follow from its own repair is not known, so it is not made up. What was
rehearsed is no episode: none is counted as tried, and when the dry run ends the rule begins on its first rung.
`rehearsed` looks at one machine, for the notes of remedy/decide and for who gathers them; `decide` records what was
gathered of one remedier in its status. Called by runtime/controller/rehearsal.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import attrs

from kubenode.core.decision import NOTHING_SEEN, Decision, Note
from kubenode.core.model.now import Now, moment
from kubenode.core.model.remedy import (
    REHEARSAL_LIMIT,
    DryRun,
    NodeRemedier,
    Rehearsal,
    RemedyOperationJob,
)
from kubenode.core.policy import Policy


@attrs.frozen(kw_only=True)
class Rehearsed:
    """A machine whose Node meets the condition of a remedier that is a dry run.

    Attributes:
        job: the name that the episode's RemedyOperationJob would have.
        opens: it would be opened now. False: not yet, or something else forbids it.
    """

    remedier: str
    machine: str
    machine_uid: str
    job: str
    rung: int
    action: str
    opens: bool

    @classmethod
    def of(cls, remedier: NodeRemedier, job: RemedyOperationJob) -> "Rehearsed":
        """Tell of the job that a remedier would open now."""
        spec = job.spec
        return cls(
            remedier=remedier.metadata.name, machine=spec.machine.name, machine_uid=spec.machine.uid,
            job=job.metadata.name, rung=spec.first_rung, action=remedier.spec.ladder[spec.first_rung].action,
            opens=True,
        )  # fmt: skip

    @property
    def note(self) -> Note:
        """Say what would be done."""
        text = (
            f"remedier {self.remedier} is a dry run; it would open {self.job} "
            f"on rung {self.rung + 1}: {self.action}"
        )
        return Note(code="DryRun", text=text, scope=f"remedier {self.remedier}")


@attrs.frozen(kw_only=True)
class RehearsalSnapshot:
    """One remedier, and what was seen of the machines that it is about.

    Attributes:
        found: at most one a machine: those of the machines that the status lists, and of those that would be opened as
            many as it has room for, in any order.
        more: how many would be opened beside those in `found`.
        looked: names of machines in the status that this process has looked at, or that are gone; of the others
            nothing is known yet.
        whole: every machine was looked at; before that there may be more than were found.
    """

    remedier: NodeRemedier
    found: tuple[Rehearsed, ...] = ()
    more: int = 0
    whole: bool = True
    looked: frozenset[str] = frozenset()
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN


def decide(seen: RehearsalSnapshot, policy: Policy) -> Decision[DryRun]:
    """Record the episodes that a remedier would have opened; when it is no dry run, that none of them stands.

    Returns:
        `status` is the field `dryRun` of its status. None while there is nothing to record, and of a newer version's.

    Invariants: an episode is listed once from when it would have been opened until its condition is seen gone, whoever
    restarts in between; at most 32 are listed, those that stand before those that are over.
    """
    stored, now = seen.remedier.status.dry_run, seen.now.wall.replace(microsecond=0)
    dry = seen.remedier.spec.dry_run
    if seen.remedier.metadata.unknown or (stored is None and not dry):
        return Decision()
    found = {one.machine: one for one in seen.found} if dry else {}
    known = () if stored is None else stored.episodes
    told = [
        _told(one, found.get(one.machine), now, known=not dry or one.machine in seen.looked) for one in known
    ]
    standing = {one.machine: one for one in told if one.until is None}
    fresh = [_begun(one, now) for one in found.values() if one.opens and one.machine not in standing]
    stand = sorted((*standing.values(), *fresh), key=lambda one: (one.since, one.machine))
    over = sorted((one for one in told if one.until is not None), key=_latest_first)
    listed = (*stand, *over)[:REHEARSAL_LIMIT]
    machines = len(stand) + (seen.more if dry else 0)
    if stored is not None and dry and not seen.whole:
        machines = max(machines, stored.machines)
    return Decision(status=DryRun(machines=machines, episodes=listed))


def _told(one: Rehearsal, found: Rehearsed | None, now: datetime, *, known: bool) -> Rehearsal:
    """End an episode whose condition is not seen any more; a machine of the same name is another one."""
    stands = found is not None and found.machine_uid == one.machine_uid
    return one if one.until is not None or not known or stands else attrs.evolve(one, until=now)


def _begun(one: Rehearsed, now: datetime) -> Rehearsal:
    return Rehearsal(
        machine=one.machine,
        machine_uid=one.machine_uid,
        job=one.job,
        rung=one.rung,
        action=one.action,
        since=now,
    )


def _latest_first(one: Rehearsal) -> tuple[float, str]:
    return (0.0 if one.until is None else -one.until.timestamp(), one.machine)


def dry(remediers: Iterable[NodeRemedier]) -> tuple[NodeRemedier, ...]:
    """Give those that are a dry run; a newer version's is not understood, so it is neither."""
    return tuple(one for one in remediers if one.spec.dry_run and not one.metadata.unknown)
