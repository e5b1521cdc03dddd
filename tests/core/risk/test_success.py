"""The success-rate gate: when it shuts, what it says, and when it opens by time alone."""

from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.model import AttemptState, Cause, SuccessGate
from kubenode.core.policy import Policy
from kubenode.core.risk.decide import decide
from kubenode.core.risk.success import SLACK, Outcome, outcomes_of_job, shut
from tests.core.risk.builders import FREE, SECOND, START, ask, codes, granted, now_at, world
from tests.core.risk.test_asks import job

GATE = SuccessGate(window=timedelta(hours=1), min_attempts=4, min_percent=50)


def ended(*results: bool, seconds: int = -10) -> tuple[Outcome, ...]:
    """Give remedies that ended so many seconds from the beginning."""
    return tuple(Outcome(ended_at=START + timedelta(seconds=seconds), succeeded=good) for good in results)


@pytest.mark.parametrize(
    ("good", "bad", "is_shut"),
    [(0, 0, False), (0, 3, False), (0, 4, True), (2, 2, False), (2, 3, True), (9, 9, False)],
)
def test_shuts_when_too_few_of_enough_succeeded(good: int, bad: int, is_shut: bool) -> None:
    """Fewer attempts than it needs say nothing; exactly the share is enough."""
    outcomes = ended(*[True] * good, *[False] * bad)
    assert (shut(GATE, outcomes, now_at()) is not None) is is_shut


def test_says_numbers_and_when_it_opens() -> None:
    """A failure is counted for a minute beyond the window, a success not; then the gate opens."""
    found = shut(GATE, ended(True, False, False, False, False), now_at(5 * SECOND))
    assert found is not None
    note = found.note
    assert note.text == "cluster: 1 of 5 remedies succeeded within 1h, at least 50 % must"
    assert (note.code, note.observed, note.limit) == ("SuccessRate", 4, 2)
    assert found.changes_at == (3600 - 10) * SECOND
    assert note.frees_at == (3600 - 10 + 60) * SECOND


def test_stamps_ahead_count_as_failures_only() -> None:
    """What a clock ahead of ours calls a success is not believed until then."""
    assert shut(GATE, ended(*[False] * 4, seconds=90), now_at()) is not None
    both = ended(*[False] * 4) + ended(*[True] * 4, seconds=90)
    found = shut(GATE, both, now_at())
    assert found is not None
    assert (found.changes_at, found.note.frees_at) == (90 * SECOND, 90 * SECOND)
    assert shut(GATE, both, now_at(90 * SECOND)) is None


def test_only_ended_attempts_of_a_job_count() -> None:
    """An attempt that waits, acts or is verified has no outcome."""
    outcomes = outcomes_of_job(job(*AttemptState))
    assert [one.succeeded for one in outcomes] == [True, False]
    assert outcomes[0].ended_at == START + timedelta(minutes=3)


def test_no_remedy_is_granted_and_rollouts_are() -> None:
    """The gate judges remedies; what people roll out has failures of its own to stop at."""
    spec = attrs.evolve(FREE.risk[0].spec, success_gate=GATE)
    policy = Policy(risk=(attrs.evolve(FREE.risk[0], spec=spec),))
    seen = world(ask("r", cause=Cause.REMEDY), ask("o"), outcomes=ended(*[False] * 4))
    decision = decide(seen, policy)
    assert (granted(decision), codes(decision)) == (["o"], ["SuccessRate"])
    assert decision.notes[0].text == "m-r: cluster: 0 of 4 remedies succeeded within 1h, at least 50 % must"
    assert decision.wake_at == (3600 - 10 + 60) * SECOND
    assert granted(decide(attrs.evolve(seen, outcomes=ended(*[True] * 4)), policy)) == ["r", "o"]


def test_no_repair_of_drift_is_granted_either() -> None:
    """It begins by itself, as a remedy does."""
    spec = attrs.evolve(FREE.risk[0].spec, success_gate=GATE)
    policy = Policy(risk=(attrs.evolve(FREE.risk[0], spec=spec),))
    asks = (ask("r", cause=Cause.DRIFT, remedier="drift/net"), ask("h", cause=Cause.HUMAN))
    decision = decide(world(*asks, outcomes=ended(*[False] * 4)), policy)
    assert (granted(decision), codes(decision)) == (["h"], ["SuccessRate"])


outcomes = st.lists(
    st.builds(
        Outcome,
        ended_at=st.integers(-4000, 200).map(lambda s: START + timedelta(seconds=s)),
        succeeded=st.booleans(),
    ),
    max_size=12,
)


@given(found=outcomes, percent=st.integers(1, 100), least=st.integers(1, 5))
def test_answer_changes_exactly_when_it_says(found: list[Outcome], percent: int, least: int) -> None:
    """Not before `changes_at`, and then; at `frees_at` it is open; a recount over the window never shows more success."""
    gate = SuccessGate(window=timedelta(minutes=30), min_attempts=least, min_percent=percent)
    answer = shut(gate, found, now_at())
    if answer is None:
        within = [one.succeeded for one in found if START - gate.window < one.ended_at <= START]
        lately = [one for one in found if one.ended_at > START - gate.window - SLACK]
        too_few = len(within) >= least and sum(within) * 100 < percent * len(within)
        assert not too_few or len(lately) > len(within)
        return
    assert answer.changes_at is not None
    assert answer.note.frees_at is not None
    assert shut(gate, found, now_at(answer.changes_at - 1000)) == answer
    assert shut(gate, found, now_at(answer.changes_at)) != answer
    assert shut(gate, found, now_at(answer.note.frees_at)) is None
