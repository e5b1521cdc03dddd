"""Storms: a zone that was down comes back slowly; until it has been well for a while, one thing at a time.

Which zones are or were down stands in the ledger, so that a restart does not forget it. Since when one has
been well is a sighting: whoever begins anew counts from the beginning.
"""

from collections.abc import Mapping

import attrs

from kubenode.core.decision import NOTHING_SEEN
from kubenode.core.health.zones import ZoneTally, open_breaker
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.risk import STORM_LIMIT, RiskPolicy


@attrs.frozen(kw_only=True)
class Storms:
    """What is to be remembered of storms, and what they forbid.

    Attributes:
        recorded: zones in a storm or cooling down, for the ledger.
        cooling: zone -> `Now.elapsed` at which its cooldown ends.
        sightings: since when zones that had a storm are well. One that has cooled down is kept until its
            record is gone: a write that fails must not begin the cooldown again.
    """

    recorded: tuple[str, ...] = ()
    cooling: Mapping[str, int] = attrs.field(factory=dict)
    sightings: Mapping[str, int] = NOTHING_SEEN


def storms(
    recorded: tuple[str, ...],
    zones: Mapping[str, ZoneTally],
    policies: tuple[RiskPolicy, ...],
    now: Now,
    sightings: Mapping[str, int],
) -> Storms:
    """Judge all zones: which breakers are open, and which closed so lately that the zone cools down.

    Of several policies the longest cooldown holds.
    """
    open_ = {zone for zone in zones if open_breaker(zone, zones, policies) is not None}
    well = {zone: sightings.get(_key(zone), now.elapsed) for zone in sorted(set(recorded) - open_)}
    longest = max((nanoseconds(policy.spec.zone_breaker.cooldown) for policy in policies), default=0)
    cooling = {zone: since + longest for zone, since in well.items() if now.elapsed < since + longest}
    return Storms(
        recorded=tuple(sorted(open_ | cooling.keys()))[:STORM_LIMIT],
        cooling=cooling,
        sightings={_key(zone): since for zone, since in well.items()},
    )


def _key(zone: str) -> str:
    return f"well:{zone}"
