"""How long is waited: the pauses between tries, and the limits that the pages name."""

import pytest

from kubenode.core.instance.dispose import RARELY, STUCK
from kubenode.core.instance.evidence import ABSENCE, VISIBLE
from kubenode.core.instance.settle import ROUND
from kubenode.core.instance.turn import FIRST_PAUSE, LONGEST_PAUSE, PERSON, POLL, SLOW, due, pause, spread
from kubenode.core.instance.watch import CREATION, JOIN
from tests.core.instance.given import MINUTE, SECOND, TOKEN, answer


@pytest.mark.parametrize(("tries", "seconds"), [(1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (10**6, 300)])
def test_pauses_double_up_to_five_minutes_and_are_spread(tries: int, seconds: int) -> None:
    """From half to one and a half: a thousand that fail at once do not come back at once."""
    pauses = [pause(tries, f"token-{number}") / (seconds * SECOND) for number in range(1000)]
    assert 0.5 <= min(pauses) < 0.51
    assert 1.49 < max(pauses) < 1.5
    assert len(set(pauses)) > 900


def test_a_pause_is_the_same_wherever_it_is_counted() -> None:
    """Else a recording would not replay to the nanosecond."""
    assert (spread(SECOND, "a", "1"), spread(SECOND, "b", "1")) == (1_387_782_348, 975_559_042)


def test_a_provider_may_ask_for_a_longer_pause() -> None:
    """And does not have to."""
    assert due(answer("Throttled", at=5, retry_after=10 * MINUTE)) == 5 + 10 * MINUTE
    assert (
        due(answer("Throttled", at=5, retry_after=1)) == due(answer("Throttled", at=5)) == 5 + pause(1, TOKEN)
    )
    assert answer("Throttled").retry_after == 0


LIMITS = {
    "between two looks at what changes": (POLL, 15 * SECOND),
    "between two looks at what is only waited for": (SLOW, MINUTE),
    "between two looks at one whose end is stuck": (RARELY, 5 * MINUTE),
    "the first pause": (FIRST_PAUSE, 2 * SECOND),
    "the longest pause": (LONGEST_PAUSE, 5 * MINUTE),
    "for what a person has to mend": (PERSON, 60 * MINUTE),
    "until all placements are tried once more": (ROUND, 10 * MINUTE),
    "until a cloud shows what it made": (VISIBLE, 5 * MINUTE),
    "between two looks that do not show it": (ABSENCE, MINUTE),
    "until it runs": (CREATION, 15 * MINUTE),
    "until its Node registers": (JOIN, 20 * MINUTE),
    "until its end is stuck": (STUCK, 15 * MINUTE),
}


@pytest.mark.parametrize("what", LIMITS)
def test_the_limits_are_what_the_pages_say(what: str) -> None:
    """In nanoseconds; the tests beside this one say what happens at each."""
    limit, told = LIMITS[what]
    assert limit == told


def test_the_limits_are_longer_than_looks_are_apart() -> None:
    """Else nothing could come up in time."""
    assert POLL < SLOW <= MINUTE < CREATION < JOIN
