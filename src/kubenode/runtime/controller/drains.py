"""Which of a machine's permits is of an act that the Node is drained for, and which remedies are such acts."""

from collections.abc import Iterable

from kubenode.core import model as m
from kubenode.core.remedy.repair import DRAINS
from kubenode.core.risk.needs import drains
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.cache import Cache


def draining_actions(plugins: Plugins) -> frozenset[str]:
    """Name the remedies whose class drains or reboots."""
    return frozenset(name for name, action in plugins.remedies.items() if drains(action.disruption))


class Drains:
    """Looks through the rollouts and episodes of a machine."""

    def __init__(self, cache: Cache, inventory: Inventory, plugins: Plugins) -> None:
        self._cache = cache
        self._inventory = inventory
        self._actions = draining_actions(plugins) | DRAINS

    def asked_on(self, machine: m.Machine) -> str:
        """Give the first op-id of its open hold whose act needs the Node drained; empty when there is none."""
        hold = self._inventory.hold(machine.metadata.uid)
        if hold is None:
            return ""
        held = self._inventory.op_ids_on(machine.metadata.uid)
        asking = frozenset((*self._of_sets(machine), *self._of_jobs(machine)))
        return next((op_id for op_id in hold.op_ids if op_id in asking and op_id in held), "")

    def _of_sets(self, machine: m.Machine) -> Iterable[str]:
        for one in self._inventory.sets.selecting(machine.metadata.name):
            component = self._cache.get(m.MachineComponent, one.component)
            if one.status.batch is not None and component is not None and drains(component.spec.disruption):
                yield from (
                    member.op_id for member in one.status.batch.members if member.uid == machine.metadata.uid
                )

    def _of_jobs(self, machine: m.Machine) -> Iterable[str]:
        for job in self._inventory.jobs(machine.metadata.uid):
            last = job.status.attempts[-1] if job.status.attempts else None
            if last is not None and last.action in self._actions:
                yield last.op_id
