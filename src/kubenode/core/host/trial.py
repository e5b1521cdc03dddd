"""The trial of a new agent: whether it stays, or the host goes back to the one before.

The old agent's program judges while the new one runs, and the new one cannot keep it from that. Of what the new one says
only this is believed: that it has reported to the API server, which it could not have done without working.
"""

import enum
from typing import Final

import attrs

MOST_STARTS: Final = 3
"""How often it may be started: what killed it once may have been an accident."""
MOST_WATCHES: Final = 5
"""How often the watch over a trial may begin anew: it may be the new agent that takes the host down."""
_SECOND: Final = 1_000_000_000


class Arrival(enum.Enum):
    """How far a new agent has come.

    Attributes:
        KEEPS: it keeps its host as it was last told, and does not reach the API server.
        REPORTS: its report stands on the API server.
    """

    KEEPS = "keeps"
    REPORTS = "reports"


@attrs.frozen(kw_only=True)
class Verdict:
    """How a trial ended.

    Attributes:
        stays: whether the new agent stays.
        why: why it does not; empty when it does.
    """

    stays: bool
    why: str = ""


@attrs.frozen(kw_only=True)
class Trial:
    """What is known of a trial at any time, also after a power cut.

    Attributes:
        id: of this one.
        old: where the agent's link led before.
        new: where it leads to during the trial.
        run: the run of the agent's unit that began it, as systemd names it.
        server: host of the API server.
        port: of the API server.
        within: seconds that the new agent has to come up.
    """

    id: str
    old: str
    new: str
    run: str
    server: str
    port: int
    within: int


@attrs.frozen(kw_only=True)
class Watched:
    """What whoever watches over a trial has seen.

    Attributes:
        elapsed: nanoseconds since the watch last began.
        watches: how often the watch has begun.
        starts: how often the agent's unit was started since the trial began.
        result: how its last run ended, as systemd says; empty when it did not.
        arrival: what the new agent says of itself; None: nothing.
        reached: whether the watcher reaches the API server itself.
    """

    elapsed: int
    watches: int = 1
    starts: int = 0
    result: str = ""
    arrival: Arrival | None = None
    reached: bool = False


def judged(seen: Watched, within: int) -> Verdict | None:
    """Judge a new agent.

    Args:
        seen: of it.
        within: seconds that it has.

    Returns:
        How the trial ends; None: it is too early to say.

    One that only keeps its host stays if its watcher does not reach the API server either. That is known at the end of
    the time, since either may come back before.
    """
    if seen.arrival is Arrival.REPORTS:
        return Verdict(stays=True)
    if seen.watches > MOST_WATCHES:
        return Verdict(stays=False, why=f"the watch over it was cut short {MOST_WATCHES} times")
    if seen.starts > MOST_STARTS:
        how = f" ({seen.result})" if seen.result else ""
        return Verdict(stays=False, why=f"it ended {MOST_STARTS} times{how} before it had reported")
    if seen.elapsed < within * _SECOND:
        return None
    if seen.arrival is None:
        return Verdict(stays=False, why=f"it did not come up within {within} s")
    if seen.reached:
        return Verdict(
            stays=False, why=f"it did not reach the API server within {within} s, and the agent before does"
        )
    return Verdict(stays=True)
