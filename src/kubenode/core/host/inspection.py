"""Looking again: a host can change without anybody hearing of it, so it is looked at periodically too.

Every decision of an agent is made on a fresh look; all that is needed is to be asked again.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, TypeVar

import attrs

from kubenode.core.decision import Decision, soonest
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model.quantity import nanoseconds

INSPECT_EVERY: Final = timedelta(minutes=5)
SHORTEST: Final = timedelta(seconds=10)
LONGEST: Final = timedelta(hours=1)

_KEY = "inspected"
S = TypeVar("S")


def period(every: timedelta) -> int:
    """Give a period of inspection in nanoseconds.

    Raises:
        InvalidObjectError: it is shorter than SHORTEST or longer than LONGEST.
    """
    if SHORTEST <= every <= LONGEST:
        return nanoseconds(every)
    problem = Problem(
        where="inspect", what=f"{every} is not from {SHORTEST} to {LONGEST}", fix=f"{INSPECT_EVERY}"
    )
    raise InvalidObjectError((problem,))


def woken(decision: Decision[S], every: int, sightings: Mapping[str, int], now: int) -> Decision[S]:
    """Let a Decision be made anew when the period is over; what comes in between does not postpone it.

    Args:
        decision: what was decided.
        every: the period in nanoseconds; 0: never.
        sightings: what the last decision returned.
        now: `Now.elapsed`.
    """
    if not every:
        return decision
    since = min(sightings.get(_KEY, now), now)
    since = now if now >= since + every else since
    return attrs.evolve(
        decision,
        wake_at=soonest((decision.wake_at, since + every)),
        sightings={**decision.sightings, _KEY: since},
    )
