"""The freeze switch: where people let nothing new begin, and until when.

The end is a stamp that a person wrote, so it is compared with the wall clock; and because that can jump
ahead, this process also counts the time by itself from when it first read the stamp. Both must be over.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import assert_never

import attrs

from kubenode.core.decision import NOTHING_SEEN, Note
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.risk import Freeze, RiskPolicy, Scope

WHOLE = frozenset({Scope.CLUSTER, Scope.FLEET})
"""Scopes without a name."""


def elapsed_at(when: datetime, now: Now) -> int:
    """Give `Now.elapsed` at which the wall clock will show `when`; the wall has microseconds, so has the answer."""
    return now.elapsed // 1000 * 1000 + nanoseconds(aware(when) - now.wall)


def aware(when: datetime) -> datetime:
    """Take a stamp without a time zone, as a hand-made object may have, for UTC."""
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def thaws(policies: Iterable[RiskPolicy], now: Now, sightings: Mapping[str, int]) -> Mapping[str, int]:
    """Give what to remember of the ends of all freezes: sighting -> `Now.elapsed` at which each is over.

    An end is forgotten when both clocks say that it is over.
    """
    ends = ((_sighting(one), _end(one, now, sightings)) for policy in policies for one in policy.spec.freeze)
    return {key: end for key, end in ends if end is not None and end > now.elapsed}


def frozen(
    zone: str,
    sets: Collection[str],
    policies: Iterable[RiskPolicy],
    now: Now,
    sightings: Mapping[str, int] = NOTHING_SEEN,
    *,
    region: str = "",
    machine: str = "",
) -> Note | None:
    """Give the note of the freeze that forbids to begin anything new with a machine, or None when none does.

    Args:
        zone: the machine's; empty without a zone label.
        sets: names of all sets that select it.
        policies: those that bind.
        now: the moment of the decision.
        sightings: what `thaws` gave last time; without it the wall clock alone says when a freeze is over.
        region: the machine's; empty without a region label.
        machine: its name.

    Returns:
        Of several freezes, one that has no end, else the last to end. Source: api.md section 3.
    """
    place = Place(machine=machine, zone=zone, region=region, sets=tuple(sets))
    notes = [
        _note(one, end)
        for policy in policies
        for one in policy.spec.freeze
        if _concerns(one, place) and ((end := _end(one, now, sightings)) is None or end > now.elapsed)
    ]
    return max(notes, key=lasting, default=None)


@attrs.frozen(kw_only=True)
class Place:
    """Where a machine is, as scopes go."""

    machine: str
    zone: str
    region: str
    sets: tuple[str, ...]


def _concerns(one: Freeze, place: Place) -> bool:
    match one.scope:
        case Scope.CLUSTER | Scope.FLEET:
            return True
        case Scope.REGION:
            return one.name == place.region
        case Scope.ZONE:
            return one.name == place.zone
        case Scope.SET:
            return one.name in place.sets
        case Scope.NODE:
            return one.name == place.machine
        case _:
            assert_never(one.scope)


def _end(one: Freeze, now: Now, sightings: Mapping[str, int]) -> int | None:
    """Give when by both clocks a freeze is over; None when it has no end."""
    if one.until is None:
        return None
    end = elapsed_at(one.until, now)
    return max(end, sightings.get(_sighting(one), end))


def _sighting(one: Freeze) -> str:
    return "" if one.until is None else f"thaw:{aware(one.until).isoformat()}"


def lasting(note: Note) -> tuple[float, str]:
    """Give the place of a note among those that bind at once: who frees last, or never by time alone, is named."""
    return math.inf if note.frees_at is None else note.frees_at, note.text


def spelled(one: Freeze) -> str:
    """Give the scope of a freeze as notes name it: `zone b`, `cluster`."""
    return one.scope.value if one.scope in WHOLE else f"{one.scope.value} {one.name}"


def _note(one: Freeze, end: int | None) -> Note:
    scope = spelled(one)
    until = "until a person ends it" if one.until is None else f"until {aware(one.until).isoformat()}"
    text = f"{scope}: frozen {until}: {one.reason}"
    return Note(code="Frozen", text=text, scope=scope, observed=0, limit=0, frees_at=end)
