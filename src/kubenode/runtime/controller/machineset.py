"""One key a MachineSet: its machines, those it selects, and those that have its names."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.health.freeze import Place
from kubenode.core.health.held import is_held
from kubenode.core.hookspecs import Instance
from kubenode.core.instance.seen import MACHINE_UID_TAG, OrphanSight
from kubenode.core.machineset.decide import MachineSetSnapshot, decide
from kubenode.core.model.machineset import StrategyType
from kubenode.core.policy import Policy
from kubenode.runtime.controller.breakers import Breakers
from kubenode.runtime.controller.changes import mark_changed
from kubenode.runtime.controller.definitions import CrdLeaving, no_crds
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.store.cache import Cache, Change


class MachineSetController:
    """Which sets a change concerns, and their snapshots."""

    name = "machineset"

    def __init__(
        self,
        cache: Cache,
        inventory: Inventory,
        instances: Instances,
        crd_leaving: CrdLeaving = no_crds,
    ) -> None:
        self._instances = instances
        self._cache = cache
        self._inventory = inventory
        self._crews = inventory.crews
        self._breakers = Breakers(inventory)
        self._crd_leaving = crd_leaving

    def concerns(self, change: Change) -> Iterable[str]:
        """A set; those whose selector overlaps with it; and those that a machine concerns, or did."""
        if change.kind is m.MachineSet:
            yield change.name
            if change.before is None or change.after is None:  # its selector is immutable
                yield from (one.metadata.name for one in self._cache.all(m.MachineSet))
        elif change.kind is m.Machine:
            yield from self._crews.touched(change)
        elif change.kind is m.RiskPolicy:
            yield from (
                one.metadata.name for one in self._cache.all(m.MachineSet) if _replaces(one) or _ends(one)
            )
        elif change.kind is m.Node and mark_changed(change):
            for machine in self._inventory.claimants(change.name):
                yield from self._replacing(machine)
        for machine in self._breakers.flipped(change):
            yield from self._replacing(machine)

    def _replacing(self, machine: str) -> Iterable[str]:
        """Name the sets that a machine concerns and that replace machines: who stops that matters to no other."""
        for name in self._crews.owners(machine):
            owner = self._cache.get(m.MachineSet, name)
            if owner is not None and _replaces(owner):
                yield name

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one set."""
        found = self._cache.get(m.MachineSet, key)
        if found is None:
            self._crd_leaving(key, None)
            self._instances.forget_set(key)
            return None
        leaves = found.metadata.deletion_timestamp is not None
        machines = self._crews.machines(key)
        contested = frozenset(
            one.metadata.name for one in machines
            if one.spec.set_ref is None and self._crews.is_selected_by_another(one, found)
        )  # fmt: skip
        looked, ends = machines if _replaces(found) else (), _ends(found)
        snapshot = MachineSetSnapshot(
            set=found, machines=machines, contested=contested, places=self._places(looked), held=self._held(looked),
            zones=self._inventory.zones() if looked or ends else {}, crd_leaving=leaves and self._crd_leaving(key, found),
            orphans=self._instances.orphans(found), orphan_sights=self._orphan_sights(found) if ends else {},
            looked=self._instances.looked_for(found), now=now, sightings=sightings,
        )  # fmt: skip
        return Question(snapshot=snapshot, subject=found, stored=found.status)

    def _orphan_sights(self, found: m.MachineSet) -> Mapping[str, OrphanSight]:
        """Give what is known of its orphans, with the Machines and Nodes that speak for them; almost always there is none."""
        sights = self._instances.orphan_sights(found)
        return {
            key: attrs.evolve(one, machine=self._speaks(one.instance), node=self._runs(one.instance))
            for key, one in sights.items()
        }

    def _speaks(self, instance: Instance) -> str:
        """Name a Machine whose instance it is, by its own word or by the tag."""
        uid = instance.tags.get(MACHINE_UID_TAG)
        for one in self._cache.all(m.Machine):
            said = one.status.instance
            if one.metadata.uid == uid or (said is not None and said.id == instance.id):
                return one.metadata.name
        return ""

    def _runs(self, instance: Instance) -> str:
        """Name a Node that is the instance, or may be: one that has no providerID, and that no Machine says it is."""
        for node in self._cache.all(m.Node):
            known, name = node.spec.provider_id, node.metadata.name
            is_it = known == instance.provider_id or known.endswith(instance.id)
            if is_it if known else not self._inventory.claimants(name):
                return name
        return ""

    def _places(self, machines: Iterable[m.Machine]) -> Mapping[str, Place]:
        found = (self._inventory.facts(one.metadata.name) for one in machines)
        return {facts.machine.name: facts.place for facts in found if facts is not None and facts.claimed}

    def _held(self, machines: Iterable[m.Machine]) -> frozenset[str]:
        return frozenset(one.metadata.name for one in machines if is_held(one, self._inventory.node_of(one)))

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/machineset."""
        return decide(snapshot, policy)


def _ends(owner: m.MachineSet) -> bool:
    return owner.spec.orphans is m.OrphanPolicy.TERMINATE


def _replaces(owner: m.MachineSet) -> bool:
    return owner.spec.strategy.type is StrategyType.REPLACE
