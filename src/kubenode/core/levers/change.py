"""One change of what was observed, and the change that every kind of snapshot has: time goes by."""

from datetime import timedelta
from typing import Generic, TypeVar

import attrs

from kubenode.core.deciding import FleetSnapshot, RemedySnapshot, Snapshot
from kubenode.core.decision import Decision, Note
from kubenode.core.health.zones import ZoneTally
from kubenode.core.policy import Policy

S = TypeVar("S", bound=Snapshot)
Zoned = TypeVar("Zoned", RemedySnapshot, FleetSnapshot)

_SECOND = 1_000_000_000


@attrs.frozen(kw_only=True)
class Change(Generic[S]):
    """A world that differs in one thing.

    Attributes:
        text: the difference, to stand after "if": `zone b <= 5 (now 7)`; empty when only time went by.
    """

    seen: S
    policy: Policy
    text: str = ""
    waited: timedelta = timedelta(0)


def zone_outage(seen: Zoned, policy: Policy, note: Note, zone: str, first: Zoned) -> Change[Zoned] | None:
    """Let so many Nodes become Ready that a breaker closes.

    Args:
        seen: the snapshot in which it is open.
        policy: stays as it is.
        note: of the breaker: ZoneOutage, or ClusterOutage, which closes when one Node of any zone is back.
        zone: the machine's.
        first: the snapshot that is to be explained, for what is so now.
    """
    limit, observed = note.limit, note.observed
    tally = seen.zones.get(zone, ZoneTally(nodes=0))
    if limit is None or observed is None or limit < 0 or tally.nodes < 1:
        return None
    if note.code == "ClusterOutage":
        fewer, text = tally.not_ready - 1, f"{note.scope} <= {limit} (now {observed})"
    else:
        fewer, text = limit, f"{note.scope} <= {limit} (now {first.zones[zone].not_ready})"
    if fewer < 0:
        return None
    zones = {**seen.zones, zone: attrs.evolve(tally, not_ready=fewer)}
    return Change(seen=attrs.evolve(seen, zones=zones), policy=policy, text=text)


def waited(seen: S, policy: Policy, decision: Decision[object], note: Note) -> Change[S] | None:
    """Let time go by until a note's limit frees by itself, in whole seconds; None when it never does."""
    if note.frees_at is None or note.frees_at <= seen.now.elapsed:
        return None
    seconds = -(-(note.frees_at - seen.now.elapsed) // _SECOND)
    later = seen.now.plus(timedelta(seconds=seconds))
    return Change(
        seen=attrs.evolve(seen, now=later, sightings=decision.sightings), policy=policy,
        waited=timedelta(seconds=seconds),
    )  # fmt: skip
