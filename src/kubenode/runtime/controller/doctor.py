"""One key a Machine whose instance's cloud tells events: what its status says of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.doctor.decide import DoctorSnapshot, decide
from kubenode.core.policy import Policy
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.observe.events import Events
from kubenode.runtime.store.cache import Cache, Change


class DoctorController:
    """Which machines a change concerns, and their snapshots; polls stir the rest."""

    name = "doctor"

    def __init__(self, cache: Cache, inventory: Inventory, events: Events) -> None:
        self._cache = cache
        self._inventory = inventory
        self._events = events

    def concerns(self, change: Change) -> Iterable[str]:
        """A machine of which the instance, or what is recorded of its events, changed; one whose Node is of another instance now."""
        if change.kind is m.Machine and self._told(change.before) != self._told(change.after):
            yield change.name
        elif change.kind is m.Node and _instance(change.before) != _instance(change.after):
            claimants = self._inventory.claimants(change.name)
            yield from (
                name for name in claimants if self._told(self._cache.get(m.Machine, name)) is not None
            )

    def _told(self, obj: m.Object | None) -> object:
        """Give what of a machine decides of what events it is to know; None of one whose provider tells none."""
        if not isinstance(obj, m.Machine):
            return None
        instance, told = obj.status.instance, obj.status.cloud_events
        if obj.spec.host is not None and instance is None:
            named = _instance(self._inventory.node_of(obj))
            return (
                (named, told, obj.metadata.uid, obj.metadata.unknown) if named or told is not None else None
            )
        if told is None and (instance is None or not self._events.tells(instance.provider)):
            return None
        where = None if instance is None else (instance.provider, instance.id, instance.step)
        return (where, told, obj.metadata.uid, obj.metadata.unknown)

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one machine; its subject is that part of its status."""
        machine = self._cache.get(m.Machine, key)
        if machine is None:
            self._events.forget(key)
            return None
        sight = self._events.sight(machine, _instance(self._inventory.node_of(machine)))
        snapshot = DoctorSnapshot(machine=machine, sight=sight, now=now, sightings=sightings)
        return Question(
            snapshot=snapshot, subject=machine, stored=machine.status.cloud_events, part="cloudEvents"
        )

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/doctor, and tell who polls whether the next poll is waited for."""
        decision = decide(snapshot, policy)
        self._events.await_poll(snapshot.machine.metadata.name, waits=decision.deferred)
        return decision


def _instance(node: m.Object | None) -> str:
    """Give the providerID that a Node registered with; it never changes while the Node is there."""
    return node.spec.provider_id if isinstance(node, m.Node) else ""
