"""One key a MachineComponentSet: its revision, its batches, and the entries of its machines."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.errors import Problem
from kubenode.core.health.freeze import Place
from kubenode.core.inspection import Inspected, InspectionRequest
from kubenode.core.model.batch import BATCH_LIMIT
from kubenode.core.model.componentset import SKIP_LIMIT
from kubenode.core.policy import Policy
from kubenode.core.rollout.decide import RolloutSnapshot, decide
from kubenode.core.rollout.hooks import Ask, due
from kubenode.core.rollout.tally import Seat
from kubenode.runtime.controller.changes import is_ledger
from kubenode.runtime.controller.inspections import Inquiry, Inspections, in_place, understood
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.cache import Cache, Change

CANDIDATES = BATCH_LIMIT + SKIP_LIMIT
"""So many that a whole batch is left, whoever is skipped."""


class RolloutController:
    """Which sets a change concerns, and their snapshots."""

    name = "rollout"

    def __init__(
        self, cache: Cache, inventory: Inventory, plugins: Plugins | None = None, inspections: Inspections = in_place
    ) -> None:  # fmt: skip
        self._cache = cache
        self._inventory = inventory
        self._plugins = plugins if plugins is not None else Plugins()
        self._inspections = inspections

    def concerns(self, change: Change) -> Iterable[str]:
        """A set and its rivals, those that select a machine (or did), those that run a component, those with an open batch.

        An open batch waits for permits, for the end of a freeze, and for zones to be back.
        """
        if change.kind is m.MachineComponentSet:
            yield change.name
            yield from self._rivals(change)
        elif change.kind is m.Machine:
            yield from self._inventory.sets.touched(change)
        elif change.kind is m.Node:
            for machine in self._inventory.claimants(change.name):
                facts = self._inventory.facts(machine)
                yield from facts.seats if facts is not None else ()
            if _is_ready(change.before) != _is_ready(change.after):
                yield from self._open()
        elif change.kind is m.MachineComponent:
            every = self._cache.all(m.MachineComponentSet)
            yield from (one.metadata.name for one in every if one.component == change.name)
        elif is_ledger(change) or change.kind is m.RiskPolicy:
            yield from self._open()

    def _rivals(self, change: Change) -> Iterable[str]:
        """Name the other sets of a set's component, which may want its machines, or do so no more."""
        sides = [one for one in (change.before, change.after) if isinstance(one, m.MachineComponentSet)]
        shapes = [(one.spec.name, one.spec.selector) for one in sides]
        if len(sides) == 1 or shapes[0] != shapes[1]:
            names = {one.spec.name for one in sides}
            yield from (
                one.metadata.name
                for one in self._cache.all(m.MachineComponentSet)
                if one.spec.name in names and one.metadata.name != change.name
            )

    def _open(self) -> Iterable[str]:
        return (one.metadata.name for one in self._inventory.sets.open())

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of one set: its tally and the machines of its open batch, never all its machines."""
        found = self._cache.get(m.MachineComponentSet, key)
        tally = self._inventory.tally(key)
        if found is None or tally is None:
            self._inspections(key, (), now)
            return None
        update = found.status.update
        view = tally.view(
            CANDIDATES,
            component=update.component if update is not None else "",
            keep=found.spec.rollout.partition,
            conditions=found.spec.rollout.compared,
        )
        members = self._members(found)
        snapshot = RolloutSnapshot(
            set=found, component=self._cache.get(m.MachineComponent, found.component),
            tally=view, members=members, holds=self._inventory.op_ids(), places=self._places(members),
            zones=self._inventory.zones() if members else {}, inspections=self._inspected(found, now, sightings),
            now=now, sightings=sightings,
        )  # fmt: skip
        return Question(snapshot=snapshot, subject=found, stored=found.status)

    def _inspected(
        self, found: m.MachineComponentSet, now: m.Now, sightings: Mapping[str, int]
    ) -> Mapping[str, Inspected]:
        """Ask the hooks what is open, and give what is known; why not, of those that cannot be asked."""
        hooks = found.spec.rollout.inspection.hooks
        ways = {hook.name: understood(self._plugins, hook) for hook in hooks}
        asked = [
            Inquiry(inspector=way[0], request=self._request(found, ask, way[1], now), within=ask.hook.timeout)
            for ask in due(found, now, sightings)
            if not isinstance(way := ways[ask.hook.name], Problem)
        ]
        problems = {name: way for name, way in ways.items() if isinstance(way, Problem)}
        return {**self._inspections(found.metadata.name, asked, now), **problems}

    def _request(
        self, found: m.MachineComponentSet, ask: Ask, params: Any, now: m.Now
    ) -> InspectionRequest[Any]:
        batch = ask.batch
        names = sorted(one.name for one in batch.members if one.state is m.MemberState.UPDATED)
        facts = [self._inventory.facts(name) for name in names]
        return InspectionRequest(
            id=ask.id, name=ask.hook.name, params=params, set=found.metadata.name, component=ask.revision.component,
            revision=ask.revision.number, batch=batch.number, machines=tuple(names),
            nodes=tuple(sorted(one.node for one in facts if one is not None and one.node)),
            opened_at=batch.opened_at, since=batch.closed_at or now.wall, observed=ask.observed, now=now.wall,
        )  # fmt: skip

    def _members(self, found: m.MachineComponentSet) -> tuple[Seat, ...]:
        seats: list[Seat] = []
        for member in found.status.batch.members if found.status.batch is not None else ():
            facts = self._inventory.facts(member.name)
            if facts is not None and facts.machine.uid == member.uid and found.metadata.name in facts.seats:
                seats.append(facts.seats[found.metadata.name])
        return tuple(seats)

    def _places(self, members: Iterable[Seat]) -> Mapping[str, Place]:
        found: dict[str, Place] = {}
        for seat in members:
            facts = self._inventory.facts(seat.machine.name)
            if facts is not None:
                found[seat.machine.uid] = facts.place
        return found

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/rollout."""
        return decide(snapshot, policy)


def _is_ready(obj: m.Object | None) -> bool | None:
    return obj.ready if isinstance(obj, m.Node) else None
