"""One key a Machine: its phase and conditions, its finalizer, and what of it shows on its Node."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.machine.decide import MachineSnapshot, decide
from kubenode.core.machine.draining import asks_to_go, needs_look
from kubenode.core.machine.instance import barred_by_crd, turn_of
from kubenode.core.machineset.losses import barred
from kubenode.core.policy import Policy
from kubenode.runtime.controller.changes import holders_changed, is_ledger
from kubenode.runtime.controller.definitions import CrdLeaving, no_crds
from kubenode.runtime.controller.drains import Drains
from kubenode.runtime.controller.facts import node_name
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.controller.workloads import Workloads, unseen
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.cache import Cache, Change


class MachineController:
    """Which machines a change concerns, and their snapshots."""

    name = "machine"

    def __init__(
        self,
        cache: Cache,
        inventory: Inventory,
        plugins: Plugins,
        instances: Instances,
        workloads: Workloads = unseen,
        crd_leaving: CrdLeaving = no_crds,
    ) -> None:
        self._cache = cache
        self._inventory = inventory
        self._drains = Drains(cache, inventory, plugins)
        self._instances = instances
        self._workloads = workloads
        self._crd_leaving = crd_leaving

    def concerns(self, change: Change) -> Iterable[str]:
        """A machine, whoever is its Node, whose hold or act changed, or whom a set begins or ends to want."""
        if change.kind is m.Machine:
            yield change.name
            yield from self._rivals(change)
        elif change.kind is m.Node:
            yield from self._inventory.claimants(change.name)
        elif is_ledger(change):
            if _stands(change.before) != _stands(change.after):
                yield from self._inventory.machines()
            yield from holders_changed(change)
        elif change.kind is m.RemedyOperationJob:
            yield from self._inventory.episodes_touched(change)
        elif change.kind is m.MachineSet and _bars(change.before) != _bars(change.after):
            yield from (
                one.metadata.name
                for one in self._inventory.crews.machines(change.name)
                if one.metadata.deletion_timestamp is not None
            )
        elif change.kind is m.MachineComponentSet and _wants(change.before) != _wants(change.after):
            yield from self._inventory.machines()

    def _rivals(self, change: Change) -> Iterable[str]:
        names = {node_name(one) for one in (change.before, change.after) if isinstance(one, m.Machine)} - {""}
        for name in sorted(names):
            yield from self._inventory.claimants(name)

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one machine."""
        machine = self._cache.get(m.Machine, key)
        if machine is None:
            self._workloads(key, "", now)
            self._instances.forget(key)
            self._crd_leaving(key, None)
            return None
        hold = self._inventory.hold(machine.metadata.uid)
        rivals = [
            name for name in self._inventory.claimants(self._inventory.node_name(machine)) if name != key
        ]
        snapshot = MachineSnapshot(
            machine=machine, node=self._inventory.node_of(machine), rival=rivals[0] if rivals else "",
            wanted=frozenset(one.spec.name for one in self._inventory.sets.selecting(key)),
            hold=None if hold is None else hold.cause, holds=self._inventory.granted_on(machine.metadata.uid),
            drains=self._drains.asked_on(machine), sight=self._instances.sight(machine), barred=self._barred(machine),
            ledger=self._inventory.ledger_stands, now=now, sightings=sightings,
        )  # fmt: skip
        node = snapshot.node if needs_look(snapshot) else None
        seen = self._workloads(key, "" if node is None else node.metadata.name, now)
        if seen is not None:
            snapshot = attrs.evolve(snapshot, workload=seen)
        return Question(snapshot=snapshot, subject=machine, stored=machine.status)

    def _barred(self, machine: m.Machine) -> str:
        if not asks_to_go(machine):
            return ""
        crd_leaving = self._crd_leaving(machine.metadata.name, machine)
        return barred_by_crd(crd_leaving) or self._barred_by_its_set(machine)

    def _barred_by_its_set(self, machine: m.Machine) -> str:
        owner = machine.spec.set_ref
        found = None if owner is None else self._cache.get(m.MachineSet, owner.name)
        if owner is None or found is None or found.metadata.uid != owner.uid:
            return ""
        crew = self._inventory.crews.machines(owner.name)
        members = [one for one in crew if one.spec.set_ref is not None and one.spec.set_ref.uid == owner.uid]
        return barred(found, members, machine)

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/machine, and tell who looks at providers from when a look is of use."""
        turn = turn_of(snapshot)
        self._instances.want(snapshot.machine.metadata.name, None if turn is None else turn.look)
        return decide(snapshot, policy)


def _bars(obj: m.Object | None) -> object:
    if not isinstance(obj, m.MachineSet):
        return None
    return (
        obj.spec.replicas,
        obj.spec.acknowledged_losses,
        obj.status.lost,
        obj.status.losing,
        obj.status.going,
    )


def _wants(obj: m.Object | None) -> object:
    return (obj.spec.selector, obj.spec.name) if isinstance(obj, m.MachineComponentSet) else None


def _stands(ledger: m.Object | None) -> bool:
    return isinstance(ledger, m.RiskLedger) and ledger.status.checkpoint > 0
