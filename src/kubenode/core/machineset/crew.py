"""Who belongs to a set, who may join it, who leaves it; and what a new machine looks like."""

from collections import Counter
from collections.abc import Iterator, Mapping

import attrs

from kubenode.core.decision import NOTHING_SEEN, Create, SetOwner
from kubenode.core.health.freeze import Place
from kubenode.core.health.zones import ZoneTally
from kubenode.core.identity import digest
from kubenode.core.instance.seen import OrphanSight
from kubenode.core.machineset.order import next_zone, zone_of
from kubenode.core.machineset.outdated import stamp, to_replace
from kubenode.core.model.machine import Machine, MachineSpec, SetRef
from kubenode.core.model.machineset import MACHINESET_LABEL, TEMPLATE_ANNOTATION, MachineSet
from kubenode.core.model.meta import FINALIZER, ZONE_LABEL, ObjectMeta, ref
from kubenode.core.model.now import Now, moment

ZONE_PARAMETER = "zone"
"""The provider's parameter that says in which zone an instance is made."""


@attrs.frozen(kw_only=True)
class MachineSetSnapshot:
    """One set and the machines that concern it.

    Attributes:
        machines: those that name this set in `spec.setRef`, those that it selects, and those whose name
            begins with the set's name and `-`; in any order.
        contested: names of machines without a set that another set selects as well.
        places: by name of a machine; where its Node is, as the scopes of a freeze go. Who is missing is in the zone that
            it was made for.
        held: names of machines whose Node a person holds by label.
        zones: Nodes of each zone that Machines claim, and how many of them are not Ready.
        orphans: ids of instances that bear the set's uid and that of a machine which is not there, as the last look at
            their provider showed them, with `Now.elapsed` when that began.
        orphan_sights: by id, what else is known of these; of a set that terminates them, else empty.
        looked: when the last look began that could show them, the oldest one of several providers, `Now.elapsed`; 0 while one
            of these was not looked at; None: there is none to look at.
        crd_leaving: whether the CRD of MachineSets is being deleted, asked after the set was seen to leave; None while nobody
            knows. It says nothing of a set that stays.
    """

    set: MachineSet
    machines: tuple[Machine, ...] = ()
    contested: frozenset[str] = frozenset()
    places: Mapping[str, Place] = attrs.field(factory=dict)
    held: frozenset[str] = frozenset()
    zones: Mapping[str, ZoneTally] = attrs.field(factory=dict)
    orphans: Mapping[str, int] = attrs.field(factory=dict)
    orphan_sights: Mapping[str, OrphanSight] = attrs.field(factory=dict)
    looked: int | None = None
    crd_leaving: bool | None = False
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN


@attrs.frozen(kw_only=True)
class Crew:
    """The machines of a snapshot, sorted out, each by name.

    Attributes:
        members: they name this incarnation of the set.
        live: members that nobody has asked to delete.
        strays: live members that the set no longer selects.
        joiners: selected, of no set, selected by no other set.
        contested: selected, of no set, selected by another set too; left alone.
        taken: all names in use.
    """

    members: tuple[Machine, ...]
    live: tuple[Machine, ...]
    strays: tuple[Machine, ...]
    joiners: tuple[Machine, ...]
    contested: tuple[str, ...]
    taken: frozenset[str]


def crew_of(seen: MachineSetSnapshot) -> Crew:
    """Sort the machines out. What a newer version wrote is counted, but neither joins nor leaves."""
    mine, selector = set_ref(seen.set), seen.set.spec.selector
    machines = sorted(seen.machines, key=lambda machine: machine.metadata.name)
    members = tuple(one for one in machines if _belongs(one, mine))
    live = tuple(one for one in members if one.metadata.deletion_timestamp is None)
    free = [
        one for one in machines
        if one.spec.set_ref is None and one.metadata.deletion_timestamp is None and not one.metadata.unknown
        and selector.selects(one.metadata.labels)
    ]  # fmt: skip
    return Crew(
        members=members, live=live,
        strays=tuple(one for one in live if not one.metadata.unknown and not selector.selects(one.metadata.labels)),
        joiners=tuple(one for one in free if one.metadata.name not in seen.contested),
        contested=tuple(one.metadata.name for one in free if one.metadata.name in seen.contested),
        taken=frozenset(one.metadata.name for one in machines),
    )  # fmt: skip


def set_ref(owner: MachineSet) -> SetRef:
    """Give what the set's machines carry."""
    return SetRef(name=owner.metadata.name, uid=owner.metadata.uid)


def _belongs(machine: Machine, mine: SetRef) -> bool:
    return machine.spec.set_ref is not None and machine.spec.set_ref.uid == mine.uid


def handed_over(owner: MachineSet, crew: Crew, *, room: int) -> Iterator[SetOwner]:
    """Give the strays up, then take machines in while there is room.

    Nobody is taken in beyond `spec.replicas`: the set would delete what it has only just adopted.
    """
    for stray in crew.strays:
        yield SetOwner(machine=ref(stray), expect=stray.spec.set_ref, owner=None)
    for joiner in crew.joiners[: max(0, room)]:
        yield SetOwner(machine=ref(joiner), expect=None, owner=set_ref(owner))


def machine_name(owner: MachineSet, number: int) -> str:
    """Name the machine of one ordinal of one incarnation of a set."""
    return f"{owner.metadata.name}-{digest(owner.metadata.uid, number)[:8]}"


def made(owner: MachineSet, crew: Crew, count: int) -> Iterator[Create]:
    """Give the next machines, each in the zone that has the fewest then; none where the count is not positive.

    Machines that are to be replaced do not count in their zones: whether one is gone by then is chance, and once all
    are gone, what was evened out against them would be uneven.

    Invariant: the ordinals are the lowest that are free, so an observer that has not seen a machine made
    since computes its name again, and the server says AlreadyExists.
    """
    zones = owner.spec.failure_domains
    going = {one.metadata.uid for one in to_replace(owner, crew.live)}
    counts = Counter(zone_of(one) for one in crew.live if one.metadata.uid not in going)
    number = 0
    for _ in range(count):
        while machine_name(owner, number) in crew.taken:
            number += 1
        zone = next_zone(zones, counts)
        counts[zone] += 1
        yield Create(object=_machine(owner, machine_name(owner, number), zone))
        number += 1


def _machine(owner: MachineSet, name: str, zone: str) -> Machine:
    template = owner.spec.template
    labels = {**template.labels, MACHINESET_LABEL: owner.metadata.name}
    wanted = template.spec.infrastructure
    if zone:
        labels[ZONE_LABEL] = zone
        wanted = attrs.evolve(wanted, parameters={**wanted.parameters, ZONE_PARAMETER: zone})
    return Machine(
        metadata=ObjectMeta(
            name=name, labels=labels, finalizers=(FINALIZER,),
            annotations={**template.annotations, TEMPLATE_ANNOTATION: stamp(template)},
        ),
        spec=MachineSpec(
            infrastructure=wanted, labels=template.spec.labels, annotations=template.spec.annotations,
            taints=template.spec.taints,
            deletion_policy=template.spec.deletion_policy, set_ref=set_ref(owner), drain=template.spec.drain,
        ),
    )  # fmt: skip
