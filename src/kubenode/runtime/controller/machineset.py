"""One key a MachineSet: its machines, those it selects, and those that have its names."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.machineset.decide import MachineSetSnapshot, decide
from kubenode.core.policy import Policy
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.store.cache import Cache, Change


class MachineSetController:
    """Which sets a change concerns, and their snapshots."""

    name = "machineset"

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def concerns(self, change: Change) -> Iterable[str]:
        """A set; those whose selector overlaps with it; and those that a machine concerns, or did."""
        if change.kind is m.MachineSet:
            yield change.name
            if change.before is None or change.after is None:  # its selector is immutable
                yield from (one.metadata.name for one in self._cache.all(m.MachineSet))
        elif change.kind is m.Machine:
            sides = [one for one in (change.before, change.after) if isinstance(one, m.Machine)]
            for owner in self._cache.all(m.MachineSet):
                if any(_concerns(owner, machine) for machine in sides):
                    yield owner.metadata.name

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one set."""
        found = self._cache.get(m.MachineSet, key)
        if found is None:
            return None
        machines = tuple(one for one in self._cache.all(m.Machine) if _concerns(found, one))
        snapshot = MachineSetSnapshot(
            set=found, machines=machines, contested=self._contested(found, machines), now=now, sightings=sightings
        )  # fmt: skip
        return Question(snapshot=snapshot, subject=found, stored=found.status)

    def _contested(self, found: m.MachineSet, machines: Iterable[m.Machine]) -> frozenset[str]:
        others = [one for one in self._cache.all(m.MachineSet) if one.metadata.uid != found.metadata.uid]
        return frozenset(
            machine.metadata.name for machine in machines
            if machine.spec.set_ref is None
            and any(other.spec.selector.selects(machine.metadata.labels) for other in others)
        )  # fmt: skip

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/machineset."""
        return decide(snapshot, policy)


def _concerns(owner: m.MachineSet, machine: m.Machine) -> bool:
    ref = machine.spec.set_ref
    return (
        (ref is not None and ref.uid == owner.metadata.uid)
        or owner.spec.selector.selects(machine.metadata.labels)
        or machine.metadata.name.startswith(f"{owner.metadata.name}-")
    )
