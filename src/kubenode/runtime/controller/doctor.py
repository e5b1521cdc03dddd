"""One key a Machine whose instance's cloud tells events: what its status says of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.doctor.decide import DoctorSnapshot, decide
from kubenode.core.policy import Policy
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.observe.events import Events
from kubenode.runtime.store.cache import Cache, Change


class DoctorController:
    """Which machines a change concerns, and their snapshots; polls stir the rest."""

    name = "doctor"

    def __init__(self, cache: Cache, events: Events) -> None:
        self._cache = cache
        self._events = events

    def concerns(self, change: Change) -> Iterable[str]:
        """A machine of which the instance, or what is recorded of its events, changed."""
        if change.kind is m.Machine and self._told(change.before) != self._told(change.after):
            yield change.name

    def _told(self, obj: m.Object | None) -> object:
        """Give what of a machine decides of what events it is to know; None of one whose provider tells none."""
        if not isinstance(obj, m.Machine):
            return None
        instance, told = obj.status.instance, obj.status.cloud_events
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
        snapshot = DoctorSnapshot(
            machine=machine, sight=self._events.sight(machine), now=now, sightings=sightings
        )
        return Question(
            snapshot=snapshot, subject=machine, stored=machine.status.cloud_events, part="cloudEvents"
        )

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/doctor."""
        return decide(snapshot, policy)
