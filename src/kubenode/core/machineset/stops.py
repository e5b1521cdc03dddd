"""What forbids to replace a machine now: people, or an outage of where it is. What is surplus goes all the same.

A machine that is replaced is disrupted by us; it would come back by itself when its zone does.
"""

from collections.abc import Iterable, Mapping

import attrs

from kubenode.core.decision import NOTHING_SEEN, Note
from kubenode.core.health.freeze import Place, frozen, thaws
from kubenode.core.health.held import held_note, is_held
from kubenode.core.health.zones import open_breaker
from kubenode.core.machineset.crew import MachineSetSnapshot
from kubenode.core.machineset.order import zone_of
from kubenode.core.model.machine import Machine
from kubenode.core.policy import Policy


@attrs.frozen(kw_only=True)
class Stops:
    """Machines that are not replaced now.

    Attributes:
        names: theirs.
        notes: why, each reason once.
        thaws: sightings of the ends of freezes; empty where nothing is stopped.
    """

    names: frozenset[str] = frozenset()
    notes: tuple[Note, ...] = ()
    thaws: Mapping[str, int] = NOTHING_SEEN


def stops(seen: MachineSetSnapshot, policy: Policy, machines: Iterable[Machine]) -> Stops:
    """Say which of these machines must stay for now. Source: api.md sections 3 and 4, "Zone outage"."""
    ends = thaws(policy.limits, seen.now, seen.sightings)
    found: dict[str, Note] = {}
    for one in machines:
        note = _stop(seen, policy, one, ends)
        if note is not None:
            found[one.metadata.name] = note
    if not found:
        return Stops()
    return Stops(names=frozenset(found), notes=tuple(dict.fromkeys(found.values())), thaws=ends)


def _stop(seen: MachineSetSnapshot, policy: Policy, one: Machine, ends: Mapping[str, int]) -> Note | None:
    name = one.metadata.name
    place = seen.places.get(name, Place(machine=name, zone=zone_of(one), region="", sets=()))
    if name in seen.held or is_held(one, None):
        return held_note(name)
    note = frozen(place.zone, place.sets, policy.limits, seen.now, ends, region=place.region, machine=name)
    return note if note is not None else open_breaker(place.zone, seen.zones, policy.limits)
