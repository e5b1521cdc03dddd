"""Which MachineComponentSets select which machine, and which have an open batch: an index, folded from single changes.

A machine whose labels change is compared with every set; a set that comes, goes or selects otherwise, once with every machine.
"""

from collections.abc import Iterable

from kubenode.core import model as m
from kubenode.runtime.store.cache import Cache, Change


class ComponentSets:
    """MachineComponentSets by machine, and those with an open batch."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._names: dict[str, tuple[str, ...]] = {}
        self._open: set[str] = set()

    def selecting(self, machine: str) -> tuple[m.MachineComponentSet, ...]:
        """Give the sets that select a machine, by name; one that is being deleted is selected, too."""
        return self._sets(self._names.get(machine, ()))

    def open(self) -> tuple[m.MachineComponentSet, ...]:
        """Give the sets that have an open batch, by name."""
        return self._sets(sorted(self._open))

    def touched(self, change: Change) -> Iterable[str]:
        """Name the sets that a folded change of a machine concerns: those that select it, and those that did."""
        now = self._names.get(change.name, ())
        yield from now
        before = change.before
        if isinstance(before, m.Machine) and _labels(before) != _labels(change.after):
            yield from (name for name in self._selecting(before) if name not in now)

    def fold(self, change: Change) -> None:
        """Fold one change of one object."""
        before, after = change.before, change.after
        if change.kind is m.Machine:
            if not isinstance(after, m.Machine):
                self._names.pop(change.name, None)
            elif _labels(before) != after.metadata.labels:
                self._names[change.name] = self._selecting(after)
        elif change.kind is m.MachineComponentSet:
            is_open = isinstance(after, m.MachineComponentSet) and after.status.batch is not None
            (self._open.add if is_open else self._open.discard)(change.name)
            if _selector(before) != _selector(after):
                self._sort(change.name, after)

    def _sets(self, names: Iterable[str]) -> tuple[m.MachineComponentSet, ...]:
        found = (self._cache.get(m.MachineComponentSet, name) for name in names)
        return tuple(one for one in found if one is not None)

    def _selecting(self, machine: m.Machine) -> tuple[str, ...]:
        return tuple(
            sorted(
                one.metadata.name
                for one in self._cache.all(m.MachineComponentSet)
                if one.spec.selector.selects(machine.metadata.labels)
            )
        )

    def _sort(self, name: str, owner: m.Object | None) -> None:
        for machine in self._cache.all(m.Machine):
            known = self._names.get(machine.metadata.name, ())
            is_in = isinstance(owner, m.MachineComponentSet) and owner.spec.selector.selects(
                machine.metadata.labels
            )
            if is_in is not (name in known):
                names = (*known, name) if is_in else (one for one in known if one != name)
                self._names[machine.metadata.name] = tuple(sorted(names))


def _labels(obj: m.Object | None) -> object:
    return obj.metadata.labels if isinstance(obj, m.Machine) else None


def _selector(obj: m.Object | None) -> object:
    return obj.spec.selector if isinstance(obj, m.MachineComponentSet) else None
