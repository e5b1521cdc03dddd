"""One key a MachineSet: its machines, those it selects, and those that have its names."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.machineset.decide import MachineSetSnapshot, decide
from kubenode.core.policy import Policy
from kubenode.runtime.controller.crews import Crews
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.store.cache import Cache, Change


class MachineSetController:
    """Which sets a change concerns, and their snapshots."""

    name = "machineset"

    def __init__(self, cache: Cache, crews: Crews) -> None:
        self._cache = cache
        self._crews = crews

    def concerns(self, change: Change) -> Iterable[str]:
        """A set; those whose selector overlaps with it; and those that a machine concerns, or did."""
        if change.kind is m.MachineSet:
            yield change.name
            if change.before is None or change.after is None:  # its selector is immutable
                yield from (one.metadata.name for one in self._cache.all(m.MachineSet))
        elif change.kind is m.Machine:
            yield from self._crews.touched(change)

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one set."""
        found = self._cache.get(m.MachineSet, key)
        if found is None:
            return None
        machines = self._crews.machines(key)
        contested = frozenset(
            one.metadata.name for one in machines
            if one.spec.set_ref is None and self._crews.is_selected_by_another(one, found)
        )  # fmt: skip
        snapshot = MachineSetSnapshot(
            set=found, machines=machines, contested=contested, now=now, sightings=sightings
        )
        return Question(snapshot=snapshot, subject=found, stored=found.status)

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/machineset."""
        return decide(snapshot, policy)
