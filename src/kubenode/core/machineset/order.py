"""Where the next machine goes, and which machine goes first. Both are total and look at no order of arrival."""

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from kubenode.core.identity import digest
from kubenode.core.model.condition import find
from kubenode.core.model.machine import Machine
from kubenode.core.model.machineset import DELETE_FIRST, DeleteOrder
from kubenode.core.model.meta import ZONE_LABEL, Switch

_RUNNING = "Running"
_FAILED = "Failed"
_BEGINNING = datetime.min.replace(tzinfo=UTC)


class Standing(enum.Enum):
    """How a set counts a machine; every machine has exactly one."""

    STARTING = "starting"
    AVAILABLE = "available"
    UNAVAILABLE = "unavailable"
    DELETING = "deleting"


class Rank(enum.Enum):
    """Whom a set deletes first, in the order in which they stand here."""

    NAMED = "a person named it"
    UNHEALTHY = "it has failed, or has run and its Node is not Ready"
    YOUNG = "it never ran"
    REST = "all else"


_PLACES: Final[Mapping[Rank, int]] = {rank: place for place, rank in enumerate(Rank)}


def is_ready(machine: Machine) -> bool:
    """Tell whether its Node is Ready, as the machine controller last said."""
    told = find(machine.status.conditions, "NodeReady")
    return told is not None and told.status is Switch.TRUE


def standing(machine: Machine) -> Standing:
    """Say how a machine counts. Unavailable are also those that a hold keeps in Updating or Repairing."""
    if machine.metadata.deletion_timestamp is not None:
        return Standing.DELETING
    if machine.status.first_running is None:
        return Standing.STARTING
    up = is_ready(machine) and machine.status.phase == _RUNNING
    return Standing.AVAILABLE if up else Standing.UNAVAILABLE


def zone_of(machine: Machine) -> str:
    """Give the zone a machine was made for; empty when none was said, which is a zone of its own."""
    return machine.metadata.labels.get(ZONE_LABEL, "")


def next_zone(zones: Sequence[str], counts: Mapping[str, int]) -> str:
    """Give the zone with the fewest machines, of equals the one named first; empty without zones.

    >>> next_zone(("a", "b", "c"), {"a": 2, "b": 1, "c": 1})
    'b'
    """
    return min(zones, key=lambda zone: counts.get(zone, 0), default="")


def victims(machines: Iterable[Machine], order: DeleteOrder, count: int) -> tuple[Machine, ...]:
    """Choose whom to delete.

    Args:
        machines: those that may go, in any order.
        order: of those that are alike in all else.
        count: how many are too many.

    Returns:
        At most `count`, the first to go first: those that a person named, the unhealthy, then those that never ran, then from the
        zone with the most machines, counted anew after each.
    """
    left = {machine.metadata.uid: machine for machine in machines}
    crowd = Counter(map(zone_of, left.values()))
    fixed = {uid: (_PLACES[_rank(machine)], _wish(machine, order)) for uid, machine in left.items()}
    chosen: list[Machine] = []
    while left and len(chosen) < count:
        uid = min(left, key=lambda uid: (fixed[uid][0], -crowd[zone_of(left[uid])], fixed[uid][1]))
        crowd[zone_of(left[uid])] -= 1
        chosen.append(left.pop(uid))
    return tuple(chosen)


def _rank(machine: Machine) -> Rank:
    if DELETE_FIRST in machine.metadata.annotations:
        return Rank.NAMED
    if machine.status.phase == _FAILED:
        return Rank.UNHEALTHY
    if machine.status.first_running is None:
        return Rank.YOUNG
    return Rank.REST if is_ready(machine) else Rank.UNHEALTHY


def _wish(machine: Machine, order: DeleteOrder) -> tuple[float, str, str]:
    """Give the place among machines that are alike; a hash and the uid decide in the end."""
    uid = machine.metadata.uid
    age = ((machine.metadata.creation_timestamp or _BEGINNING) - _BEGINNING).total_seconds()
    first = {DeleteOrder.NEWEST: -age, DeleteOrder.OLDEST: age, DeleteOrder.HASH: 0.0}
    return first[order], digest(uid), uid
