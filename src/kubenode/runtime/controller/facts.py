"""Facts: one machine as the others count it, read off the machine, its Node and the sets that select it."""

from collections.abc import Mapping

import attrs

from kubenode.core import model as m
from kubenode.core.drift.count import Suspect
from kubenode.core.health.freeze import Place
from kubenode.core.health.held import allows_drift, is_held
from kubenode.core.machine.draining import asks_to_go
from kubenode.core.node.cordon import cordoned_by
from kubenode.core.rollout.tally import Seat

SHOULD_BE_UP = frozenset({"Running", "Updating", "Repairing"})
"""The phases that make a denominator (api.md section 3)."""
MISSED = SHOULD_BE_UP | {"Unknown"}
"""The phases in which a machine that is not Ready is missed: a silent one is unavailable, though not counted on."""


@attrs.frozen(kw_only=True)
class Facts:
    """One machine as the others count it.

    Attributes:
        available: its Node is Ready, and not cordoned by us; open holds are not counted here.
        allowed: names of the sets whose component a person lets be as it is here.
    """

    machine: m.Ref
    node: str
    zone: str
    region: str
    claimed: bool
    ready: bool
    available: bool
    ran: bool
    up: bool
    missed: bool
    seats: Mapping[str, Seat]
    allowed: frozenset[str] = frozenset()

    @property
    def place(self) -> Place:
        """Where the machine is, for what freezes and breakers stop."""
        return Place(
            machine=self.machine.name, zone=self.zone, region=self.region, sets=tuple(sorted(self.seats))
        )


def facts_of(
    machine: m.Machine, node_name: str, node: m.Node | None, selecting: tuple[m.MachineComponentSet, ...]
) -> Facts:
    """Give what the others count of a machine.

    Args:
        machine: as it is stored.
        node_name: of the Node it is, by `Inventory.node_name`; empty where it is none.
        node: that Node; None when it is not there.
        selecting: the sets that select it; none select one that is leaving.
    """
    ready = node is not None and node.ready
    available = node is not None and node.ready and not cordoned_by(node)
    zone = node.zone if node is not None else ""
    ran = machine.status.first_running is not None
    seats = {
        one.metadata.name: Seat(
            machine=m.ref(machine), zone=zone, entry=machine.spec.components.get(one.spec.name),
            report=machine.status.agent.components.get(one.spec.name) if machine.status.agent else None,
            available=ready, never_run=not ran, held=is_held(machine, node),
            faults=faults_of(node), rival=_rival(one, selecting), drain=machine.status.drain,
        )
        for one in selecting
    }  # fmt: skip
    return Facts(
        machine=m.ref(machine), node=node_name, zone=zone,
        region=node.region if node is not None else "", claimed=node is not None, ready=ready, available=available,
        ran=ran, up=ran and machine.status.phase in SHOULD_BE_UP,
        missed=ran and not available and machine.status.phase in MISSED, seats=seats,
        allowed=frozenset(one.metadata.name for one in selecting if allows_drift(machine, one.spec.name)),
    )  # fmt: skip


def provider_id(obj: m.Object | None) -> str:
    """Give the providerID that the Node of a machine's instance has; empty where there is none, or none yet."""
    instance = obj.status.instance if isinstance(obj, m.Machine) else None
    return "" if instance is None or instance.step is not m.InstanceStep.MADE else instance.provider_id


def faults_of(node: m.Node | None) -> frozenset[str]:
    """Give the types of a Node's conditions that are True, and `Ready` when that is not."""
    conditions = node.status.conditions if node is not None else ()
    return frozenset(one.type for one in conditions if (one.status is m.Switch.TRUE) != (one.type == "Ready"))


def leaves(obj: m.Object | None) -> bool:
    """Tell whether a machine is to end that was Running; a host that is released goes on as it is."""
    return (
        isinstance(obj, m.Machine)
        and asks_to_go(obj)
        and obj.status.first_running is not None
        and (obj.status.instance is None or obj.status.instance.step is not m.InstanceStep.GONE)
    )


def _rival(one: m.MachineComponentSet, selecting: tuple[m.MachineComponentSet, ...]) -> str:
    """Name another set that selects the same machine for the same component; the first by name."""
    names = (
        other.metadata.name
        for other in selecting
        if other.spec.name == one.spec.name and other.metadata.name != one.metadata.name
    )
    return min(names, default="")


def node_name(machine: m.Machine) -> str:
    """Give the name of the Node a machine says it is: its agent's word, else what was last known."""
    if machine.status.agent is not None and machine.status.agent.node_name:
        return machine.status.agent.node_name
    return machine.status.node_ref.name if machine.status.node_ref is not None else ""


def suspect(set_name: str, facts: Facts | None) -> Suspect | None:
    """Give a machine as it counts for the drift of a set; None when it has no entry of that set. What a person allows counts as no drift."""
    seat = facts.seats.get(set_name) if facts is not None else None
    if facts is None or seat is None or seat.entry is None or seat.is_foreign(set_name):
        return None
    return Suspect.of(seat.machine, seat.entry, None if set_name in facts.allowed else seat.report)


def weight(facts: Facts | None) -> object:
    """Give what of a machine shows in `up` and in what is absent; None when nothing does."""
    if facts is None or not (facts.up or (facts.missed and facts.seats)):
        return None
    uid = facts.machine.uid if facts.missed and facts.seats else ""
    return (facts.seats.keys(), (facts.region, facts.zone) if facts.up else None, uid)
