"""The clock of a host, as far as its API server tells: a certificate is good, or a stamp is late, by it.

Source: issue "Real hosts", bad input; the server's Date header is HTTP's (RFC 9110, section 6.6.1).
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from kubenode.core.detect.rules import NO_FAULT
from kubenode.core.model.condition import Claim, Condition, stated

CLOCK: Final = "ClockWrong"
CLOCK_AHEAD: Final = "ClockAhead"
CLOCK_BEHIND: Final = "ClockBehind"
MOST_OFF: Final = timedelta(minutes=1)
"""Up to which a clock counts as right: what leases and certificates bear."""


def clock_conditions(
    ahead: timedelta | None, before: Iterable[Condition], wall: datetime
) -> tuple[Condition, ...]:
    """Judge a host's clock.

    Args:
        ahead: of the API server's, at least; negative when it is behind. None while that is not known.
        before: what this said before.
        wall: the host's own time, for the stamp.

    Returns:
        Nothing as long as the clock never was wrong; the text does not change with how far it is.
    """
    known = tuple(before)
    if ahead is None or (not known and abs(ahead) <= MOST_OFF):
        return known
    return stated(known, (_claim(ahead),), wall=wall, generation=0)


def _claim(ahead: timedelta) -> Claim:
    fix = "set it: timedatectl set-ntp true"
    if ahead > MOST_OFF:
        text = f"this host's clock is more than a minute ahead of the API server's; {fix}"
        return Claim.of(CLOCK, True, CLOCK_AHEAD, text)
    if ahead < -MOST_OFF:
        text = f"this host's clock is more than a minute behind the API server's; {fix}"
        return Claim.of(CLOCK, True, CLOCK_BEHIND, text)
    return Claim.of(CLOCK, False, NO_FAULT)
