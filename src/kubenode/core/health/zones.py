"""Zone states, as kube-controller-manager's node lifecycle judges them.

A zone is Partial when at least `min_not_ready` of its Nodes and at least `not_ready_percent` of them
are not Ready; Full when none is. Source: pkg/controller/nodelifecycle (ComputeZoneState).
"""

import enum
from collections.abc import Iterable, Mapping

import attrs

from kubenode.core.decision import Note
from kubenode.core.model.risk import RiskPolicy, ZoneBreaker


class ZoneState(enum.Enum):
    """How much of a zone is there."""

    NORMAL = "Normal"
    PARTIAL = "Partial"
    FULL = "Full"


@attrs.frozen(kw_only=True)
class ZoneTally:
    """Nodes of a zone that a Machine claims, and how many of them are not Ready."""

    nodes: int
    not_ready: int = 0


def allowed(tally: ZoneTally, breaker: ZoneBreaker) -> int:
    """Give the largest number of NotReady Nodes at which the zone still counts as Normal.

    >>> allowed(ZoneTally(nodes=10), ZoneBreaker())
    5
    """
    by_share = -(-breaker.not_ready_percent * tally.nodes // 100) - 1
    return max(by_share, breaker.min_not_ready - 1)


def zone_state(tally: ZoneTally, breaker: ZoneBreaker) -> ZoneState:
    """Judge one zone. A zone of one Node is never Full: that is one fault."""
    if tally.nodes > 1 and tally.not_ready == tally.nodes:
        return ZoneState.FULL
    return ZoneState.PARTIAL if tally.not_ready > allowed(tally, breaker) else ZoneState.NORMAL


def open_breaker(zone: str, zones: Mapping[str, ZoneTally], policies: Iterable[RiskPolicy]) -> Note | None:
    """Give the note of the breaker that forbids disruption in `zone`, or None when none does.

    The cluster is frozen when every zone with more than one Node is Full: then the fault is ours
    (network, control plane), not the nodes'.
    """
    known = zones.get(zone)
    for policy in policies:
        breaker = policy.spec.zone_breaker
        many = [tally for tally in zones.values() if tally.nodes > 1]
        if many and all(zone_state(tally, breaker) is ZoneState.FULL for tally in many):
            nodes, down = sum(t.nodes for t in many), sum(t.not_ready for t in many)
            return Note(
                code="ClusterOutage", scope="cluster", observed=down, limit=nodes - 1,
                text=f"cluster: {down} of {nodes} not ready, every zone is down",
            )  # fmt: skip
        if known is not None and zone_state(known, breaker) is not ZoneState.NORMAL:
            most = min(allowed(known, breaker), known.nodes - 1)
            return Note(
                code="ZoneOutage", scope=f"zone {zone}", observed=known.not_ready, limit=most,
                text=f"zone {zone}: {known.not_ready} of {known.nodes} not ready, limit {most}",
            )  # fmt: skip
    return None
