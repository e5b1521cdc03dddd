"""The objects of a cluster that is only thought of."""

from collections.abc import Iterable
from typing import Any, TypeVar, cast

import attrs

from kubenode.core import model as m
from kubenode.core.identity import digest
from kubenode.core.model.meta import ZONE_LABEL

T = TypeVar("T", bound=m.Object)


class World:
    """Objects by kind and name. What the server would give them, such as a uid, is made up where it lacks."""

    def __init__(self, objects: Iterable[m.Object] = ()) -> None:
        self._objects: dict[tuple[type[m.Object], str], m.Object] = {}
        self.made_up: set[str] = set()
        for obj in objects:
            self.put(obj)

    def put(self, obj: m.Object) -> None:
        """Add an object, or replace it."""
        name = obj.metadata.name
        if not obj.metadata.uid:
            self.made_up.add(name)
            metadata = attrs.evolve(
                obj.metadata, uid=digest(obj.KIND.name, name), resource_version="1", generation=1
            )
            made: m.Object = attrs.evolve(cast(Any, obj), metadata=metadata)
            obj = made
        self._objects[(type(obj), name)] = obj

    def drop(self, kind: type[m.Object], name: str) -> None:
        """Take an object away."""
        self._objects.pop((kind, name), None)

    def get(self, kind: type[T], name: str) -> T | None:
        """Give one object, or None."""
        found = self._objects.get((kind, name))
        return found if isinstance(found, kind) else None

    def all(self, kind: type[T]) -> list[T]:
        """Give the objects of a kind, by name."""
        found = (obj for obj in self._objects.values() if isinstance(obj, kind))
        return sorted(found, key=lambda obj: obj.metadata.name)

    def zone(self, machine: m.Machine) -> str:
        """Give a machine's zone: its Node's, else its own label."""
        node = self.node(machine)
        return node.zone if node is not None else machine.metadata.labels.get(ZONE_LABEL, "")

    def node(self, machine: m.Machine) -> m.Node | None:
        """Give the Node that a machine says it is."""
        ref = machine.status.node_ref
        return None if ref is None else self.get(m.Node, ref.name)

    def copy(self) -> "World":
        """Give another world with the same objects."""
        made = World(self._objects.values())
        made.made_up = set(self.made_up)
        return made
