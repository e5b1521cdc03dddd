"""Episodes, attempts and rungs: names, numbers, and how a job's status moves.

An attempt that was withdrawn (core/model/remedy) says nothing against its rung, which is tried again under
a new op-id.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import attrs

from kubenode.core.identity import digest, op_id
from kubenode.core.model.condition import Claim, stated
from kubenode.core.model.meta import MACHINE_LABEL, ObjectMeta, Switch
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.remedy import (
    Attempt,
    AttemptState,
    JobPhase,
    NodeRemedier,
    RemedyOperationJob,
    RemedyOperationJobSpec,
    RemedyOperationJobStatus,
)

MAX_ATTEMPTS = 32
"""Most attempts a job can record; an episode that needs more is a human's."""

CLOSED_PHASES = frozenset(
    phase.value for phase in (JobPhase.SUCCEEDED, JobPhase.HANDED_OVER, JobPhase.CANCELLED)
)
KNOWN_PHASES = frozenset({"", *(phase.value for phase in JobPhase)})

_PHASES = {
    AttemptState.WAITING: JobPhase.WAITING,
    AttemptState.ACTING: JobPhase.ACTING,
    AttemptState.VERIFYING: JobPhase.VERIFYING,
    AttemptState.SUCCEEDED: JobPhase.VERIFYING,
    AttemptState.FAILED: JobPhase.WAITING,
}
_UNDER_WAY = frozenset({AttemptState.ACTING, AttemptState.VERIFYING})
ENDED = frozenset({AttemptState.SUCCEEDED, AttemptState.FAILED})


def is_closed(job: RemedyOperationJob) -> bool:
    """Tell whether an episode is over."""
    return job.status.closed_at is not None or job.status.phase in CLOSED_PHASES


def open_job(jobs: Iterable[RemedyOperationJob]) -> RemedyOperationJob | None:
    """Give the open episode of a machine that a condition of its Node began, or None.

    There is at most one. Should two leaders have made two, the one that acts comes first, then the first
    by name: else the other could never end.
    """
    return _open(job for job in jobs if not job.spec.component)


def open_repair(jobs: Iterable[RemedyOperationJob]) -> RemedyOperationJob | None:
    """Give the open episode of a machine that drift began, or None; beside one that a condition began, at most one."""
    return _open(job for job in jobs if job.spec.component)


def _open(jobs: Iterable[RemedyOperationJob]) -> RemedyOperationJob | None:
    found = [job for job in jobs if not is_closed(job)]
    return min(found, key=lambda job: (not _is_under_way(job), job.metadata.name), default=None)


def last_closed(jobs: Iterable[RemedyOperationJob], origin: str) -> RemedyOperationJob | None:
    """Give the latest closed episode of a remedier or of a component's drift, by number, or None."""
    found = [job for job in jobs if job.spec.origin == origin and is_closed(job)]
    return max(found, key=lambda job: (job.spec.episode, job.metadata.name), default=None)


def next_episode(last: RemedyOperationJob | None) -> int:
    """Number the episode after the latest closed one."""
    return 0 if last is None else last.spec.episode + 1


def cleared(
    last: RemedyOperationJob | None, dwell: timedelta, now: Now, sightings: Mapping[str, int], *, clear: bool
) -> dict[str, int]:  # fmt: skip
    """Remember, of an episode that was handed over, since when what it was about was seen clear.

    Once it was clear for the dwell the sighting stays, and the next time is a new episode. A restart
    forgets it; then it is a human's turn until it is seen clear again, which is the safe side.
    """
    if last is None or last.status.phase != JobPhase.HANDED_OVER.value:
        return {}
    key = _cleared_key(last)
    since = min(sightings.get(key, now.elapsed), now.elapsed)
    long_enough = now.elapsed - since >= nanoseconds(dwell)
    return {key: since} if clear or (key in sightings and long_enough) else {}


def _cleared_key(job: RemedyOperationJob) -> str:
    return f"cleared:{job.metadata.uid}"


def is_humans_turn(last: RemedyOperationJob | None, clear: Mapping[str, int]) -> bool:
    """Tell whether the last episode was handed over and what it was about was not clear since."""
    if last is None or last.status.phase != JobPhase.HANDED_OVER.value:
        return False
    return _cleared_key(last) not in clear


def job_of(spec: RemedyOperationJobSpec) -> RemedyOperationJob:
    """Make the job of an episode that begins."""
    machine = spec.machine
    return RemedyOperationJob(
        metadata=ObjectMeta(
            name=job_name(machine.name, machine.uid, spec.origin, spec.episode),
            labels={MACHINE_LABEL: machine.name[:63].rstrip("-.")},
        ),
        spec=spec,
    )


def job_name(machine: str, machine_uid: str, origin: str, episode: int) -> str:
    """Name an episode: the same for every observer, however stale.

    >>> job_name("node-7", "u7", "hung", 0)[:7]
    'node-7-'
    """
    # A cut name may end in a dot, and no label of a DNS name may begin with the hyphen that follows.
    return f"{machine[:40].rstrip('-.')}-{digest(machine_uid, origin, episode)}"


def first_rung(last: RemedyOperationJob | None, remedier: NodeRemedier, wall: datetime) -> int:
    """Say on which rung a new episode begins: the next after its predecessor's when it is a relapse, else 0.

    This is the only place where stamps count, since `relapse` spans restarts and nothing else remembers
    that long. A stamp ahead of `wall` is within any time, so a relapse; the wrong answer costs one rung, and
    every rung needs its own permit.

    Returns:
        An index of the ladder. After an episode in which nothing was done: where that one began.
    """
    top = len(remedier.spec.ladder) - 1
    if last is None or last.status.closed_at is None:
        return 0
    if wall - last.status.closed_at > remedier.spec.relapse:
        return 0
    return min(next_rung(last), top)


def next_rung(job: RemedyOperationJob) -> int:
    """Give the rung after the last that was really tried; the episode's first when none was."""
    tried = [attempt.rung for attempt in job.status.attempts if not attempt.withdrawn]
    return tried[-1] + 1 if tried else job.spec.first_rung


def begun(
    job: RemedyOperationJob, *, rung: int, action: str, wall: datetime, permit: str = ""
) -> RemedyOperationJobStatus:
    """Add an attempt on `rung` that waits for its own permit; `permit` is its op-id where another act shares it."""
    number = job.status.attempts[-1].number + 1 if job.status.attempts else 1
    attempt = Attempt(
        number=number, rung=rung, action=action,
        op_id=permit or op_id("remedy", job.metadata.uid, number),
        since=_stamp(wall), verdict="waits for a permit",
    )  # fmt: skip
    return RemedyOperationJobStatus(
        phase=JobPhase.WAITING.value, attempts=(*job.status.attempts, attempt), closed_at=job.status.closed_at
    )


def asked(job: RemedyOperationJob, boot_id: str, wall: datetime) -> RemedyOperationJobStatus:
    """Record of the last attempt, before it is done, that the provider is asked; and in which boot the Node is then."""
    last = attrs.evolve(job.status.attempts[-1], asked_at=_stamp(wall), boot_id=boot_id[:64])
    return attrs.evolve(job.status, attempts=(*job.status.attempts[:-1], last))


def moved(
    job: RemedyOperationJob, state: AttemptState, verdict: str, wall: datetime
) -> RemedyOperationJobStatus:
    """Bring the last attempt to `state`; the phase follows."""
    return attrs.evolve(
        job.status, phase=_PHASES[state].value, attempts=_with_last(job, state, verdict, wall), conditions=()
    )


def closed(
    job: RemedyOperationJob, phase: JobPhase, verdict: str, wall: datetime,
    last: AttemptState | None = None, last_verdict: str = "",
) -> RemedyOperationJobStatus:  # fmt: skip
    """End the episode; `last` is what becomes of its last attempt, where that is not ended yet."""
    attempts = job.status.attempts
    if last is not None and attempts and attempts[-1].state not in ENDED:
        attempts = _with_last(job, last, last_verdict or verdict, wall)
    return RemedyOperationJobStatus(
        phase=phase.value, attempts=attempts, closed_at=_stamp(wall),
        conditions=stated(
            job.status.conditions, (Claim.of("Closed", True, phase.value, verdict),),
            wall=wall, generation=job.metadata.generation,
        ),
    )  # fmt: skip


def stuck(job: RemedyOperationJob, reason: str, message: str, wall: datetime) -> RemedyOperationJobStatus:
    """Say why the next rung cannot be planned; no attempt is added, so no permit is asked for."""
    claim = Claim(type=reason, holds=Switch.TRUE, reason=reason, message=message)
    return attrs.evolve(
        job.status, phase=JobPhase.WAITING.value,
        conditions=stated(job.status.conditions, (claim,), wall=wall, generation=job.metadata.generation),
    )  # fmt: skip


def unrecognised(job: RemedyOperationJob, message: str, wall: datetime) -> RemedyOperationJobStatus:
    """Say on a newer version's episode that it is left alone; nothing else of it is touched."""
    claim = Claim(type="Recognised", holds=Switch.FALSE, reason="NewerVersion", message=message)
    others = tuple(one for one in job.status.conditions if one.type != claim.type)
    (said,) = stated(job.status.conditions, (claim,), wall=wall, generation=job.metadata.generation)
    return attrs.evolve(job.status, conditions=(*others, said))


def within(duration: timedelta) -> str:
    """Write a time limit for a verdict, in whole seconds."""
    return f"within {round(duration.total_seconds())} s"


def _is_under_way(job: RemedyOperationJob) -> bool:
    return any(attempt.state in _UNDER_WAY for attempt in job.status.attempts)


def _with_last(
    job: RemedyOperationJob, state: AttemptState, verdict: str, wall: datetime
) -> tuple[Attempt, ...]:
    last = attrs.evolve(job.status.attempts[-1], state=state, verdict=verdict[:2048], since=_stamp(wall))
    return (*job.status.attempts[:-1], last)


def _stamp(wall: datetime) -> datetime:
    """Give a stamp as the wire keeps it, in whole seconds; else what is read back would differ."""
    return wall.replace(microsecond=0)
