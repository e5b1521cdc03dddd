"""One key an episode of remedy: is its machine still there?"""

from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.policy import Policy
from kubenode.core.remedy.abandoned import AbandonedSnapshot, decide
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.store.cache import Cache, Change


class AbandonedController:
    """Which episodes a change concerns, and whether their machines are there."""

    name = "abandoned"

    def __init__(self, cache: Cache, inventory: Inventory) -> None:
        self._cache = cache
        self._inventory = inventory

    def concerns(self, change: Change) -> Iterable[str]:
        """An episode, and those of a machine that comes or goes."""
        if change.kind is m.RemedyOperationJob:
            yield change.name
        elif change.kind is m.Machine:
            uids = {one.metadata.uid for one in (change.before, change.after) if one is not None}
            if len(uids) > 1 or change.before is None or change.after is None:
                for uid in sorted(uids):
                    yield from (job.metadata.name for job in self._inventory.jobs(uid))

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one episode."""
        job = self._cache.get(m.RemedyOperationJob, key)
        if job is None:
            return None
        machine = self._cache.get(m.Machine, job.spec.machine.name)
        there = machine is not None and machine.metadata.uid == job.spec.machine.uid
        snapshot = AbandonedSnapshot(job=job, there=there, now=now, sightings=sightings)
        return Question(snapshot=snapshot, subject=job, stored=job.status)

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/remedy."""
        return decide(snapshot, policy)
