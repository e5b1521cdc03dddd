"""One change of what was observed, and the change that every kind of snapshot has: time goes by."""

from datetime import timedelta
from typing import Generic, TypeVar

import attrs

from kubenode.core.decision import Decision, Note
from kubenode.core.policy import Policy
from kubenode.core.snapshots import FleetSnapshot, RemedySnapshot, Snapshot

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


def zone_outage(seen: Zoned, policy: Policy, note: Note, zone: str, first: Zoned) -> Change[Zoned]:
    """Let so many Nodes become Ready that a breaker closes.

    Args:
        seen: the snapshot in which it is open.
        policy: stays as it is.
        note: of the breaker: ZoneOutage, or ClusterOutage, which closes when one Node of any zone is back.
        zone: the machine's.
        first: the snapshot that is to be explained, for what is so now.
    """
    if note.code == "ClusterOutage":
        down = [name for name, tally in seen.zones.items() if tally.nodes > 1]
        zone = zone if zone in down else min(down)
        fewer, text = seen.zones[zone].not_ready - 1, f"{note.scope} <= {note.limit} (now {note.observed})"
    else:
        fewer, text = note.limit or 0, f"{note.scope} <= {note.limit} (now {first.zones[zone].not_ready})"
    zones = {**seen.zones, zone: attrs.evolve(seen.zones[zone], not_ready=fewer)}
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
