"""An episode whose machine is gone is cancelled after the grace, and only then."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import Policy
from kubenode.core.remedy.abandoned import GRACE, AbandonedSnapshot, decide

START = m.Now(wall=datetime(2026, 3, 2, 9, tzinfo=UTC), elapsed=7)


def job(phase: str = "Acting", unknown: tuple[str, ...] = ()) -> m.RemedyOperationJob:
    """An episode with one attempt under way."""
    attempt = m.Attempt(
        number=1, rung=0, action="reboot", op_id="op", state=m.AttemptState.ACTING, since=START.wall
    )
    return m.RemedyOperationJob(
        metadata=m.ObjectMeta(name="j", uid="u", unknown=unknown),
        spec=m.RemedyOperationJobSpec(
            machine=m.MachineRef(name="m1", uid="gone"),
            remedier="hung",
            episode=0,
            cause=m.EpisodeCause(type="X"),
        ),
        status=m.RemedyOperationJobStatus(phase=phase, attempts=(attempt,)),
    )


def test_cancelled_exactly_after_the_grace() -> None:
    """One nanosecond earlier nothing is changed; then it is Cancelled with the reason, and at rest."""
    seen = AbandonedSnapshot(job=job(), there=False, now=START)
    first = decide(seen, Policy())
    assert (first.status, first.wake_at) == (None, START.elapsed + nanoseconds(GRACE))
    waiting = attrs.evolve(seen, sightings=first.sightings, now=START.plus(GRACE - timedelta(microseconds=1)))
    assert decide(waiting, Policy()) == first
    due = decide(attrs.evolve(waiting, now=START.plus(GRACE)), Policy())
    assert due.status is not None
    assert (due.status.phase, due.status.closed_at) == ("Cancelled", (START.wall + GRACE))
    assert "machine m1 (gone) is gone" in due.status.conditions[0].message
    closed = attrs.evolve(seen, job=attrs.evolve(seen.job, status=due.status), now=START.plus(GRACE))
    assert decide(closed, Policy()).status is None


@pytest.mark.parametrize(
    "seen",
    [
        AbandonedSnapshot(job=job(), there=True, now=START.plus(timedelta(days=9))),
        AbandonedSnapshot(job=job("Succeeded"), there=False, now=START),
        AbandonedSnapshot(job=job(unknown=("spec.x",)), there=False, now=START),
    ],
)
def test_left_alone(seen: AbandonedSnapshot) -> None:
    """A machine that is there, a closed episode, a newer version's: nothing to do, no deadline."""
    decision = decide(seen, Policy())
    assert (decision.status, decision.effects, decision.wake_at) == (None, (), None)
