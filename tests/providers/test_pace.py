"""The budget of calls: a token bucket by a clock that is given, whose last part is the writers'."""

import threading
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.providers import Throttled
from kubenode.providers.pace import Budget, Pace


def test_readers_leave_a_quarter_to_writers() -> None:
    """Readers stop first; a writer goes until nothing is left, and then waits for one call only."""
    budget = Budget.full(rate=2.0, burst=8)
    for _ in range(6):
        budget, wait = budget.take(0.0, writes=False)
        assert wait == 0
    budget, wait = budget.take(0.0, writes=False)
    assert wait == 0.5, "one call must come back, at two a second"
    for _ in range(2):
        budget, wait = budget.take(0.0, writes=True)
        assert wait == 0
    assert budget.take(0.0, writes=True)[1] == 0.5
    assert budget.take(0.0, writes=False)[1] == 1.5


def test_a_refusal_of_the_cloud_stops_all_and_readers_longest() -> None:
    """After "too many" nothing goes for the pause; then writers first."""
    budget = Budget.full(rate=1.0, burst=4).refused(10.0, 2.0)
    assert budget.take(11.0, writes=True)[1] == 2.0
    assert budget.take(13.0, writes=True)[1] == 0.0
    assert budget.take(13.0, writes=False)[1] == 1.0
    assert budget.refused(10.5, 0.1).at == 12.0, "a shorter pause does not end a longer one"


def test_a_clock_that_stands_or_goes_back_gives_nothing() -> None:
    """Only time that has passed fills the bucket."""
    budget, _ = Budget.full(rate=1.0, burst=1).take(5.0, writes=True)
    assert budget.take(5.0, writes=True)[1] == 1.0
    assert budget.take(4.0, writes=True)[1] >= 1.0


@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200))
def test_no_window_holds_more_than_the_rate_and_the_burst(asked: list[tuple[float, bool]]) -> None:
    """Whatever is asked and when, what goes is bounded; and whoever waits as told, goes."""
    budget, now, went = Budget.full(rate=3.0, burst=5), 0.0, list[float]()
    for pause, writes in asked:
        now += pause
        budget, wait = budget.take(now, writes=writes)
        if wait == 0:
            went.append(now)
        else:
            assert budget.take(now + wait + 1e-6, writes=writes)[1] == 0
    for first in range(len(went)):
        for last in range(first, len(went)):
            assert last - first + 1 <= 5 + 3.0 * (went[last] - went[first]) + 1e-6


def test_threads_share_one_budget() -> None:
    """Sixteen threads, eight calls; who is refused is told for how long, and does not sleep."""
    pace = Pace(Budget.full(rate=0.5, burst=8), lambda: 100.0)
    errors: list[Throttled] = []

    def call() -> None:
        try:
            pace.go(writes=True)
        except Throttled as error:
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [error.retry_after for error in errors] == [timedelta(seconds=2)] * 8


def test_a_refusal_is_kept_for_all() -> None:
    """One thread hears "too many", and the next call is not sent."""
    pace = Pace(Budget.full(rate=1.0, burst=8), lambda: 0.0)
    pace.refused(timedelta(seconds=5))
    with pytest.raises(Throttled, match="budget") as caught:
        pace.go(writes=True)
    assert caught.value.retry_after == timedelta(seconds=6)
