"""One key a Machine: its episode of drift, if a component of class drain or reboot drifted."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.policy import Policy
from kubenode.core.remedy.ladder import open_repair
from kubenode.core.remedy.repair import RepairSnapshot, decide, is_of_interest
from kubenode.runtime.controller.breakers import Breakers
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.store.cache import Cache, Change


class RepairController:
    """Which machines a change concerns, and their snapshots; a machine without drift costs a glance."""

    name = "repair"

    def __init__(self, cache: Cache, inventory: Inventory) -> None:
        self._cache = cache
        self._inventory = inventory
        self._breakers = Breakers(inventory)

    def concerns(self, change: Change) -> Iterable[str]:
        """A machine that drifts or has an episode of drift: itself, its Node, its episodes, its hold, its components."""
        yield from filter(self._matters, self._touched(change))

    def _touched(self, change: Change) -> Iterable[str]:
        yield from self._inventory.episodes_touched(change)
        if change.kind in (m.RiskPolicy, m.MachineComponent):
            yield from self._inventory.machines()
        yield from self._breakers.flipped(change)

    def _matters(self, name: str) -> bool:
        machine = self._cache.get(m.Machine, name)
        return machine is not None and is_of_interest(machine, self._inventory.jobs(machine.metadata.uid))

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one machine's drift; its subject is the open job, if there is one."""
        machine = self._cache.get(m.Machine, key)
        if machine is None:
            return None
        jobs = self._inventory.jobs(machine.metadata.uid)
        if not is_of_interest(machine, jobs):
            return None
        snapshot = RepairSnapshot(
            machine=machine, node=self._inventory.node_of(machine), components=self._components(machine), jobs=jobs,
            holds=self._inventory.op_ids_on(machine.metadata.uid), zones=self._inventory.zones(),
            sets=self._inventory.sets_of(key), now=now, sightings=sightings,
        )  # fmt: skip
        job = open_repair(jobs)
        return Question(snapshot=snapshot, subject=job, stored=None if job is None else job.status)

    def _components(self, machine: m.Machine) -> Mapping[str, m.MachineComponent]:
        names = sorted({entry.component for entry in machine.spec.components.values()})
        found = {name: self._cache.get(m.MachineComponent, name) for name in names}
        return {name: one for name, one in found.items() if one is not None}

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/remedy."""
        return decide(snapshot, policy)
