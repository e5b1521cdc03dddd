"""Whether a member that has its permit may still start: people and outages may have come in between.

The permit was right when it was given. Until the entry is written nothing has begun, so here it is looked
at again; what has begun goes on. Asked by the decider for each member that is about to start.
"""

from collections.abc import Mapping

from kubenode.core.decision import Note
from kubenode.core.health.freeze import Place, frozen
from kubenode.core.health.zones import ZoneTally, open_breaker
from kubenode.core.model.now import Now
from kubenode.core.policy import Policy
from kubenode.core.rollout.tally import Seat


def obstacle(
    seat: Seat,
    place: Place,
    policy: Policy,
    zones: Mapping[str, ZoneTally],
    now: Now,
    thaws: Mapping[str, int],
    *,
    disrupts: bool,
) -> Note | None:
    """Give what forbids to start with a machine now, or None when nothing does.

    Args:
        seat: the machine.
        place: where it is, as the scopes of a freeze go.
        policy: for its limits: freezes and zone breakers.
        zones: Nodes by zone, and how many are not Ready.
        now: the moment of the decision.
        thaws: sightings of the ends of freezes.
        disrupts: whether the component's class needs a permit at all. If not, an open breaker still guards
            machines that are down already: they may come back as they were.

    Returns:
        The freeze, else the breaker. Source: api.md sections 3 and 4.
    """
    note = frozen(
        place.zone, place.sets, policy.limits, now, thaws, region=place.region, machine=place.machine
    )
    if note is not None or (seat.available and not disrupts):
        return note
    return open_breaker(seat.zone, zones, policy.limits)
