"""One key a MachineComponentSet: whose repair of drift is held."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.drift.decide import DriftSnapshot, borne, decide
from kubenode.core.policy import Policy
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.store.cache import Cache, Change


class DriftController:
    """Which sets a change concerns, and who drifts of them."""

    name = "drift"

    def __init__(self, cache: Cache, inventory: Inventory) -> None:
        self._cache = cache
        self._inventory = inventory

    def concerns(self, change: Change) -> Iterable[str]:
        """A set, and those of a machine, while any of their machines drifts, drifted, or is held."""
        if change.kind is m.MachineComponentSet:
            yield change.name
        elif change.kind is m.Machine:
            facts = self._inventory.facts(change.name)
            for name in facts.seats if facts is not None else ():
                count = self._inventory.drift(name)
                if count is not None and count.is_of_interest:
                    yield name

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one set, never of all its machines."""
        found, count = self._cache.get(m.MachineComponentSet, key), self._inventory.drift(key)
        if found is None or count is None:
            return None
        views = count.views(now.wall, lambda component: borne(found, component, len(count)))
        snapshot = DriftSnapshot(set=found, views=views, now=now, sightings=sightings)
        return Question(snapshot=snapshot)

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/drift."""
        return decide(snapshot, policy)
