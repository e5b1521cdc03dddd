"""One key a remedier: what it would have done, while it is a dry run.

What a dry run would do is decided machine by machine, by the remedy decider; here it is gathered as it is decided. It is
kept in memory alone: whoever starts anew decides every machine anew, and until then the status says what it said.
"""

from collections.abc import Iterable, Mapping
from heapq import nsmallest
from typing import Any

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.model.remedy import REHEARSAL_LIMIT
from kubenode.core.policy import Policy
from kubenode.core.remedy.decide import RemedySnapshot, rehearsed
from kubenode.core.remedy.rehearse import RehearsalSnapshot, Rehearsed, decide, dry
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.store.cache import Cache, Change

_REMEDY = "remedy"


class RehearsalController:
    """Gathers what dry runs would do, and which remediers that concerns."""

    name = "rehearsal"

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._looked: set[str] = set()
        self._found: dict[str, dict[str, Rehearsed]] = {}

    def concerns(self, change: Change) -> Iterable[str]:
        """A remedier that is a dry run, or was one."""
        if change.kind is m.NodeRemedier and any(map(_rehearses, (change.before, change.after))):
            yield change.name

    def heed(self, key: Key, snapshot: Any, policy: Policy) -> Iterable[Key]:
        """Gather what was just decided of one machine; name the remediers of which something else is true now.

        Args:
            key: of any controller; those of others than `remedy` say nothing.
            snapshot: what was decided on; None when there is no such machine any more.
            policy: by which it was decided.
        """
        if key.controller != _REMEDY:
            return
        trials = dry(policy.remediers)
        now = rehearsed(snapshot, policy) if trials and isinstance(snapshot, RemedySnapshot) else ()
        of = {one.remedier: one for one in now}
        first = key.name not in self._looked
        if snapshot is None:
            self._looked.discard(key.name)
        else:
            self._looked.add(key.name)
        for name in sorted({*self._found, *(one.metadata.name for one in trials)}):
            if self._put(name, key.name, of.get(name)) or first:
                yield Key(self.name, name)

    def _put(self, remedier: str, machine: str, found: Rehearsed | None) -> bool:
        """Remember what was found of one machine; tell whether that is another thing than before."""
        known = self._found.setdefault(remedier, {})
        before = known.pop(machine, None)
        if found is not None:
            known[machine] = found
        if not known:
            del self._found[remedier]
        return before != found

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one remedier; its subject is the field `dryRun` of its status."""
        remedier = self._cache.get(m.NodeRemedier, key)
        if remedier is None or remedier.metadata.deletion_timestamp is not None or not _rehearses(remedier):
            return None
        stored = remedier.status.dry_run
        listed = {one.machine for one in (() if stored is None else stored.episodes) if one.until is None}
        known = self._found.get(key, {})
        opens = [one for one in known.values() if one.opens and one.machine not in listed]
        room = nsmallest(REHEARSAL_LIMIT, opens, key=lambda one: one.machine)
        found = (*(known[name] for name in sorted(listed) if name in known), *room)
        snapshot = RehearsalSnapshot(
            remedier=remedier, found=found, more=len(opens) - len(room),
            looked=frozenset(name for name in listed if self._is_known(name)),
            whole=len(self._looked) >= self._cache.count(m.Machine), now=now, sightings=sightings,
        )  # fmt: skip
        return Question(snapshot=snapshot, subject=remedier, stored=stored, part="dryRun")

    def _is_known(self, machine: str) -> bool:
        return machine in self._looked or self._cache.get(m.Machine, machine) is None

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/remedy."""
        return decide(snapshot, policy)


def _rehearses(obj: m.Object | None) -> bool:
    return isinstance(obj, m.NodeRemedier) and (obj.spec.dry_run or obj.status.dry_run is not None)
