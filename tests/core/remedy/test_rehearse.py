"""What the status of a dry run says: which episodes stand, which are over, in how much room."""

from datetime import timedelta

import attrs
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.model.remedy import REHEARSAL_LIMIT
from kubenode.core.policy import Policy
from kubenode.core.remedy.rehearse import RehearsalSnapshot, Rehearsed, decide
from kubenode.core.wire import dump, read
from tests.core.remedy.world import START, remedier

DRY = remedier(dry_run=True)


def found(name: str, *, opens: bool = True, uid: str = "") -> Rehearsed:
    """A machine whose Node meets the condition."""
    return Rehearsed(
        remedier="hung", machine=name, machine_uid=uid or f"uid-{name}", job=f"{name}-job", rung=1, action="reboot",
        opens=opens,
    )  # fmt: skip


def episode(name: str, since: int = 0, until: int | None = None) -> m.Rehearsal:
    """An episode from and until so many seconds from the start."""
    over = None if until is None else START + timedelta(seconds=until)
    return m.Rehearsal(
        machine=name, machine_uid=f"uid-{name}", job=f"{name}-job", rung=1, action="reboot",
        since=START + timedelta(seconds=since), until=over,
    )  # fmt: skip


def told(
    *seen: Rehearsed, stored: m.DryRun | None = None, looked: tuple[str, ...] = (), at: int = 100, more: int = 0,
    of: m.NodeRemedier = DRY,
) -> m.DryRun | None:  # fmt: skip
    """Decide, and give the status."""
    wall = START + timedelta(seconds=at, microseconds=7)
    ruling = attrs.evolve(of, status=m.NodeRemedierStatus(dry_run=stored))
    snapshot = RehearsalSnapshot(
        remedier=ruling, found=seen, more=more, looked=frozenset(looked),
        now=m.Now(wall=wall, elapsed=at * 1_000_000_000),
    )  # fmt: skip
    decision = decide(snapshot, Policy())
    assert decision.wake_at is None
    assert not decision.effects
    return decision.status


def test_what_would_be_opened_is_listed_with_job_and_rung() -> None:
    """And what would not be, though the condition is there, is not."""
    assert told(found("n2"), found("n1"), found("n3", opens=False)) == m.DryRun(
        machines=2, episodes=(episode("n1", 100), episode("n2", 100))
    )


def test_until_every_machine_was_looked_at_the_count_does_not_fall() -> None:
    """After a restart the machines are looked at one by one: what was counted before stands until it is known better."""
    stored = m.DryRun(machines=40, episodes=(episode("n1", 0),))
    wall = START + timedelta(seconds=100)

    def count(*, whole: bool, dry_run: bool = True, before: m.DryRun | None = stored, more: int = 0) -> int:
        ruling = attrs.evolve(remedier(dry_run=dry_run), status=m.NodeRemedierStatus(dry_run=before))
        snapshot = RehearsalSnapshot(
            remedier=ruling, found=(found("n1"),), more=more, whole=whole, now=m.Now(wall=wall, elapsed=1)
        )
        status = decide(snapshot, Policy()).status
        assert status is not None
        return status.machines

    nobody = decide(RehearsalSnapshot(remedier=DRY, now=m.Now(wall=wall, elapsed=1)), Policy()).status
    assert nobody == m.DryRun(machines=0)
    assert (count(whole=False), count(whole=True)) == (40, 1)
    assert count(whole=False, more=50) == 51
    assert count(whole=False, before=None) == 1
    assert count(whole=False, dry_run=False) == 0


def test_an_episode_stands_while_its_condition_is_seen_though_it_would_not_be_opened_now() -> None:
    """A breaker that opens, or a restart after which the condition has to last anew, begins no second one."""
    stored = m.DryRun(machines=1, episodes=(episode("n1", 5),))
    assert told(found("n1", opens=False), stored=stored, looked=("n1",)) == stored
    assert told(found("n1"), stored=stored, looked=("n1",)) == stored


def test_nothing_ends_before_its_machine_was_looked_at() -> None:
    """Who starts anew does not know yet; once it has looked, it does."""
    stored = m.DryRun(machines=1, episodes=(episode("n1", 5),))
    assert told(stored=stored) == stored
    assert told(stored=stored, looked=("n1",)) == m.DryRun(machines=0, episodes=(episode("n1", 5, 100),))


def test_a_machine_of_the_same_name_is_another_one() -> None:
    """The episode of the one is over, that of the other begins."""
    stored = m.DryRun(machines=1, episodes=(episode("n1", 5),))
    answer = told(found("n1", uid="other"), stored=stored, looked=("n1",))
    assert answer == m.DryRun(
        machines=1,
        episodes=(attrs.evolve(episode("n1", 100), machine_uid="other"), episode("n1", 5, 100)),
    )


def test_what_is_over_makes_room_for_what_stands() -> None:
    """The latest that are over stay, as many as there is room for; who has none is counted all the same."""
    past = tuple(episode(f"p{number:02}", 1, 10 + number) for number in range(REHEARSAL_LIMIT))
    answer = told(found("n1"), stored=m.DryRun(episodes=tuple(reversed(past))))
    assert answer == m.DryRun(machines=1, episodes=(episode("n1", 100), *tuple(reversed(past))[:-1]))
    crowd = [found(f"n{number:02}") for number in range(REHEARSAL_LIMIT + 2)]
    answer = told(*crowd, stored=m.DryRun(episodes=past), more=6)
    assert answer is not None
    assert (answer.machines, len(answer.episodes)) == (REHEARSAL_LIMIT + 8, REHEARSAL_LIMIT)
    assert all(one.until is None for one in answer.episodes)
    assert told(*crowd, stored=answer, more=6) == answer


def test_when_it_is_no_dry_run_any_more_none_stands() -> None:
    """What it said stays to be read; a remedier that never was one says nothing."""
    stored = m.DryRun(machines=3, episodes=(episode("n1", 5), episode("n2", 1, 2)))
    answer = told(found("n1"), stored=stored, of=remedier(), more=2)
    assert answer == m.DryRun(machines=0, episodes=(episode("n1", 5, 100), episode("n2", 1, 2)))
    assert told(stored=answer, of=remedier(), at=500) == answer
    assert told(of=remedier()) is None


def test_a_newer_versions_is_left_alone() -> None:
    """It may mean more by it."""
    strange = attrs.evolve(DRY, metadata=attrs.evolve(DRY.metadata, unknown=("spec.x",)))
    assert told(found("n1"), stored=m.DryRun(), of=strange) is None


MACHINES = [f"n{number:02}" for number in range(40)]
ROUNDS = st.lists(
    st.tuples(st.dictionaries(st.sampled_from(MACHINES), st.booleans(), max_size=40), st.booleans()),
    max_size=6,
)


@given(rounds=ROUNDS)
def test_each_episode_is_listed_once_and_the_list_is_at_rest_and_round_trips(
    rounds: list[tuple[dict[str, bool], bool]],
) -> None:
    """Whatever comes and goes: no machine stands twice, all that stands is counted, and the same world says the same."""
    status: m.DryRun | None = None
    for number, (seen, dry) in enumerate(rounds):
        of = DRY if dry else remedier()
        rows = [found(name, opens=opens) for name, opens in seen.items()]
        status = told(*rows, stored=status, looked=tuple(MACHINES), at=number, of=of)
        if status is None:
            continue
        standing = [one.machine for one in status.episodes if one.until is None]
        opens = {name for name, now in seen.items() if now and dry}
        assert len(standing) == len(set(standing)) == min(status.machines, REHEARSAL_LIMIT)
        assert set(standing) <= (set(seen) if dry else set())
        assert status.machines >= len(opens)
        assert len(status.episodes) <= REHEARSAL_LIMIT
        assert told(*rows, stored=status, looked=tuple(MACHINES), at=number + 1, of=of) == status
        whole = attrs.evolve(of, status=m.NodeRemedierStatus(dry_run=status))
        assert read(dump(whole), m.NodeRemedier).status == whole.status
