"""Which machines concern which MachineSet: an index, folded from single changes, so that no decision looks for them.

A machine whose labels or owner change is compared with every set; a set that comes or goes looks once at every machine.
"""

from collections.abc import Iterable

from kubenode.core import model as m
from kubenode.runtime.store.cache import Cache, Change


class Crews:
    """Machines by MachineSet, and MachineSets by machine, by name."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._machines: dict[str, dict[str, None]] = {}
        self._sets: dict[str, dict[str, None]] = {}

    def machines(self, owner: str) -> tuple[m.Machine, ...]:
        """Give the machines that concern a set, in order of arrival."""
        found = (self._cache.get(m.Machine, name) for name in self._machines.get(owner, ()))
        return tuple(machine for machine in found if machine is not None)

    def is_selected_by_another(self, machine: m.Machine, owner: m.MachineSet) -> bool:
        """Tell whether a set other than `owner` selects a machine."""
        found = (self._cache.get(m.MachineSet, name) for name in self._sets.get(machine.metadata.name, ()))
        return any(
            other is not None and other.metadata.uid != owner.metadata.uid
            and other.spec.selector.selects(machine.metadata.labels)
            for other in found
        )  # fmt: skip

    def owners(self, machine: str) -> Iterable[str]:
        """Name the sets that a machine concerns."""
        return self._sets.get(machine, {}).keys()

    def touched(self, change: Change) -> Iterable[str]:
        """Name the sets that a folded change of a machine concerns: as it is, and as it was."""
        yield from self._sets.get(change.name, ())
        before = change.before
        if isinstance(before, m.Machine) and _marks(before) != _marks(change.after):
            yield from (one.metadata.name for one in self._cache.all(m.MachineSet) if _concerns(one, before))

    def fold(self, change: Change) -> None:
        """Fold one change of one object."""
        before, after = change.before, change.after
        if change.kind is m.Machine:
            if _marks(before) != _marks(after):
                self._sort(change.name, after if isinstance(after, m.Machine) else None)
        elif change.kind is m.MachineSet and _identity(before) != _identity(after):
            for name in self._machines.pop(change.name, ()):
                self._leave(name, change.name)
            if isinstance(after, m.MachineSet):
                for machine in self._cache.all(m.Machine):
                    if _concerns(after, machine):
                        self._join(machine.metadata.name, change.name)

    def _sort(self, name: str, machine: m.Machine | None) -> None:
        for owner in self._sets.pop(name, ()):
            self._machines[owner].pop(name, None)
        if machine is not None:
            for one in self._cache.all(m.MachineSet):
                if _concerns(one, machine):
                    self._join(name, one.metadata.name)

    def _join(self, machine: str, owner: str) -> None:
        self._machines.setdefault(owner, {})[machine] = None
        self._sets.setdefault(machine, {})[owner] = None

    def _leave(self, machine: str, owner: str) -> None:
        known = self._sets[machine]
        del known[owner]
        if not known:
            del self._sets[machine]


def _concerns(owner: m.MachineSet, machine: m.Machine) -> bool:
    """Tell whether a set has to look at a machine: it owns it, selects it, or would give its name to another."""
    ref = machine.spec.set_ref
    return (
        (ref is not None and ref.uid == owner.metadata.uid)
        or owner.spec.selector.selects(machine.metadata.labels)
        or machine.metadata.name.startswith(f"{owner.metadata.name}-")
    )


def _marks(obj: m.Object | None) -> object:
    """Give what of a machine decides which sets it concerns."""
    return (obj.metadata.labels, obj.spec.set_ref) if isinstance(obj, m.Machine) else None


def _identity(obj: m.Object | None) -> object:
    return (obj.metadata.uid, obj.spec.selector) if isinstance(obj, m.MachineSet) else None
