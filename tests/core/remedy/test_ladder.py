"""Names, numbers and rungs of episodes."""

from datetime import timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.model.meta import matches
from kubenode.core.remedy.ladder import first_rung, is_closed, job_name, last_closed, next_rung, open_job
from tests.core.remedy.world import START, closed_job, remedier

DNS = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


@pytest.mark.parametrize("name", ["n7", "a" * 253, f"{'a' * 39}.example.com", f"{'a' * 38}-.b"])
def test_a_job_has_a_name_that_the_server_takes(name: str) -> None:
    """Whatever the machine is called, its job's name is a DNS name of at most 57 characters."""
    made = job_name(name, "u", "hung", 0)
    assert matches(DNS, made)
    assert len(made) <= 57


def test_a_name_depends_on_machine_remedier_and_episode() -> None:
    """Another uid, remedier or episode is another name; the same three are the same name."""
    names = {
        job_name("n7", uid, name, number) for uid in ("u", "v") for name in ("a", "b") for number in (0, 1)
    }
    assert len(names) == 8
    assert job_name("n7", "u", "a", 1) in names


@pytest.mark.parametrize(
    ("last", "rung"),
    [
        (None, 0),
        (closed_job(ago=timedelta(minutes=59)), 1),
        (closed_job(ago=timedelta(hours=1)), 1),
        (closed_job(ago=timedelta(hours=1, seconds=1)), 0),
        (closed_job(ago=timedelta(days=-1)), 1),
        (closed_job(rung=1), 1),
        (closed_job(phase=m.JobPhase.HANDED_OVER, rung=1), 1),
        (closed_job(phase=m.JobPhase.CANCELLED, withdrawn=True), 0),
        (closed_job(phase=m.JobPhase.CANCELLED, withdrawn=True, first_rung=1, rung=1), 1),
        (attrs.evolve(closed_job(), status=m.RemedyOperationJobStatus(phase="Succeeded")), 0),
    ],
)
def test_a_relapse_begins_at_the_next_rung(last: m.RemedyOperationJob | None, rung: int) -> None:
    """Within the hour the next rung, at most the last; a stamp from the future counts as now; untried is untried."""
    assert first_rung(last, remedier(), START) == rung


def test_a_withdrawn_attempt_says_nothing_against_its_rung() -> None:
    """After it the same rung is next; after a real one the rung after."""
    assert next_rung(closed_job(withdrawn=True)) == 0
    assert next_rung(closed_job()) == 1


def test_the_open_job_that_acts_comes_first() -> None:
    """Of two open jobs the one under way is brought to its end first, else the first by name."""
    idle = attrs.evolve(closed_job(episode=0), status=m.RemedyOperationJobStatus())
    attempt = attrs.evolve(closed_job().status.attempts[0], state=m.AttemptState.ACTING)
    busy = attrs.evolve(
        closed_job(episode=1), status=m.RemedyOperationJobStatus(phase="Acting", attempts=(attempt,))
    )
    later = attrs.evolve(closed_job(episode=2), status=m.RemedyOperationJobStatus())
    assert open_job((idle, busy, later)) is busy
    assert open_job((later, idle)) is idle
    assert open_job((closed_job(),)) is None
    assert not is_closed(idle)


def test_the_last_closed_episode_is_the_one_of_the_highest_number() -> None:
    """Other remediers' and open episodes do not count."""
    jobs = [closed_job(episode=number) for number in (3, 10, 2)]
    still_open = attrs.evolve(closed_job(episode=11), status=m.RemedyOperationJobStatus())
    last = last_closed([*jobs, still_open], "hung")
    assert last is not None
    assert last.spec.episode == 10
    assert last_closed(jobs, "other") is None
