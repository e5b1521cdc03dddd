"""One key, `cluster`: the ledger. It orders all who ask, whoever they are."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.health.held import is_held
from kubenode.core.model.risk import LEDGER
from kubenode.core.policy import Policy
from kubenode.core.review import PermitRequest
from kubenode.core.risk.asks import (
    Ask,
    act_of_entry,
    ask_of_deletion,
    asks_of_job,
    asks_of_set,
    by_set,
    ended_of_set,
)
from kubenode.core.risk.bounds import SetRoom
from kubenode.core.risk.decide import FleetSnapshot, decide
from kubenode.core.risk.needs import ACT_OF, needs_permit
from kubenode.core.rollout.batch import max_unavailable
from kubenode.core.rollout.tally import Seat
from kubenode.runtime.controller.changes import mark_changed
from kubenode.runtime.controller.facts import leaves
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.controller.panel import Panel, nobody
from kubenode.runtime.controller.remedy import rule_of
from kubenode.runtime.engine.loop import Question
from kubenode.runtime.store.cache import Cache, Change

_BOOK = m.Ref(kind=m.RiskLedger.KIND.name, name=LEDGER)


class RiskController:
    """When the ledger must be looked at, and what it is judged by."""

    name = "risk"

    def __init__(self, cache: Cache, inventory: Inventory, panel: Panel = nobody) -> None:
        self._cache = cache
        self._inventory = inventory
        self._panel = panel
        self._seen = -1

    def concerns(self, change: Change) -> Iterable[str]:
        """The ledger, who asks, what limits, and (while somebody asks) who is available."""
        if (
            change.kind in (m.RiskLedger, m.RemedyOperationJob, m.RiskPolicy, m.MachineComponent)
            or (change.kind is m.NodeRemedier and rule_of(change.before) != rule_of(change.after))
            or (change.kind is m.MachineComponentSet and _asks(change.before) != _asks(change.after))
            or (change.kind in (m.Machine, m.Node) and mark_changed(change))
            or (change.kind is m.Machine and _leaves(change.before) != _leaves(change.after))
        ):
            yield LEDGER
        elif change.kind in (m.Machine, m.Node) and self._inventory.changes != self._seen:
            self._seen = self._inventory.changes
            yield LEDGER

    def _sets(self) -> list[m.MachineComponentSet]:
        return sorted(self._cache.all(m.MachineComponentSet), key=lambda one: one.metadata.name)

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot of all who ask, and of what there is to lose."""
        ledger = self._cache.get(m.RiskLedger, key)
        asks = (*self._asking(), *self._acting(ledger))
        snapshot = FleetSnapshot(
            ledger=ledger, asks=asks, ended=self._ended(ledger), zones=self._inventory.zones(), up=self._inventory.up(),
            rooms={one.metadata.name: self._room(one) for one in self._sets()},
            unavailable=frozenset(ask.machine.uid for ask in asks if not self._available(ask.machine.name)),
            outcomes=self._inventory.episodes.outcomes(), history=self._history(), held=self._held(asks),
            reviews=self._panel(_requests(asks, ledger, now), now),
            unreadable=self._cache.unreadable.get(_BOOK, ""), now=now, sightings=sightings,
        )  # fmt: skip
        stored = None if ledger is None else ledger.status
        return Question(snapshot=snapshot, subject=ledger, stored=stored)

    def _asking(self) -> tuple[Ask, ...]:
        asks: list[Ask] = []
        for one in self._inventory.sets.open():
            component = self._cache.get(m.MachineComponent, one.component)
            needs = component is None or needs_permit(ACT_OF[component.spec.disruption])
            asks += asks_of_set(
                one, self._zone_of, self._sets_of, needs_permit=needs, region_of=self._region_of
            )
        for job in self._inventory.episodes.asking():
            machine = job.spec.machine.name
            if self._is_there(job.spec.machine):
                asks += asks_of_job(
                    job, self._zone(machine), self._inventory.sets_of(machine), self._region(machine)
                )
        for leaver in self._inventory.leaving():
            name = leaver.metadata.name
            asks.append(ask_of_deletion(leaver, self._zone(name), self._region(name), begun=_begun(leaver)))
        return tuple(asks)

    def _ended(self, book: m.RiskLedger | None) -> frozenset[str]:
        """Give of what has ended that which still has a hold: the rest was closed long ago."""
        ended = self._inventory.episodes.ended(_op_ids(book))
        return ended.union(*(ended_of_set(one) for one in self._inventory.sets.open()))

    def _acting(self, book: m.RiskLedger | None) -> tuple[Ask, ...]:
        """Give what agents may still be doing for sets by the entries of their Machines, though a set wrote it off.

        With a ledger, of the machines that hold a rollout's permit; without one, of all: it is rebuilt from them.
        """
        stands = self._inventory.ledger_stands and book is not None
        held = {} if book is None or not stands else {hold.machine: hold.op_ids for hold in book.status.holds}
        sets = {one.metadata.name: one for one in self._sets()}
        found = (
            (facts.machine, sets[name], self._act(sets[name], seat))
            for machine in sorted(held if stands else self._inventory.machines())
            if (facts := self._inventory.facts(machine)) is not None
            for name, seat in sorted(facts.seats.items())
            if name in sets and not seat.never_run
        )
        return tuple(
            Ask(
                op_id=op_id, machine=machine, cause=m.Cause.ROLLOUT, zone=self._zone(machine.name),
                region=self._region(machine.name), sets=self._inventory.sets_of(machine.name), waiting=False,
                by=by_set(owner),
            )
            for machine, owner, op_id in found
            if op_id and (not stands or op_id in held[machine.name])
        )  # fmt: skip

    def _act(self, one: m.MachineComponentSet, seat: Seat) -> str:
        component = self._cache.get(m.MachineComponent, one.component)
        if component is not None and not needs_permit(ACT_OF[component.spec.disruption]):
            return ""
        return act_of_entry(one, seat.machine, seat.entry, seat.report)

    def _held(self, asks: Iterable[Ask]) -> frozenset[str]:
        """Give the uids of asking machines on which a person has put the label."""
        found = set()
        for ask in asks:
            machine = self._cache.get(m.Machine, ask.machine.name)
            if machine is not None and is_held(machine, self._inventory.node_of(machine)):
                found.add(machine.metadata.uid)
        return frozenset(found)

    def _region_of(self, machine: m.Ref) -> str:
        return self._region(machine.name)

    def _region(self, machine: str) -> str:
        facts = self._inventory.facts(machine)
        return "" if facts is None else facts.region

    def _is_there(self, machine: m.MachineRef) -> bool:
        facts = self._inventory.facts(machine.name)
        return facts is not None and facts.machine.uid == machine.uid

    def _zone_of(self, machine: m.Ref) -> str:
        return self._zone(machine.name)

    def _sets_of(self, machine: m.Ref) -> tuple[str, ...]:
        return self._inventory.sets_of(machine.name)

    def _zone(self, machine: str) -> str:
        facts = self._inventory.facts(machine)
        return "" if facts is None else facts.zone

    def _available(self, machine: str) -> bool:
        facts = self._inventory.facts(machine)
        return facts is not None and facts.available

    def _room(self, one: m.MachineComponentSet) -> SetRoom:
        up = self._inventory.up().get(f"set={one.metadata.name}", 0)
        return SetRoom(
            max_unavailable=max_unavailable(one, up), unavailable=self._inventory.absent(one.metadata.name)
        )

    def _history(self) -> bool:
        """Whether anything can have been granted before: then a ledger without history has lost it."""
        return self._cache.count(m.RemedyOperationJob) > 0 or self._inventory.ran > 0

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask core/risk."""
        return decide(snapshot, policy)


def _op_ids(book: m.RiskLedger | None) -> frozenset[str]:
    """Give the op-ids of all open holds."""
    return frozenset(
        op_id for hold in (book.status.holds if book is not None else ()) for op_id in hold.op_ids
    )


def _requests(asks: Iterable[Ask], book: m.RiskLedger | None, now: m.Now) -> tuple[PermitRequest, ...]:
    """Give what reviewers are asked about: what waits for a permit, but for what a person forces."""
    held = _op_ids(book)
    return tuple(
        PermitRequest(
            op_id=ask.op_id, machine=ask.machine.name, zone=ask.zone, region=ask.region, sets=ask.sets, cause=ask.cause,
            remedier=ask.remedier, now=now.wall,
        )
        for ask in asks
        if ask.waiting and ask.cause is not m.Cause.HUMAN and ask.op_id not in held
    )  # fmt: skip


def _begun(machine: m.Machine) -> bool:
    """Tell whether what the permit of a deletion is for has begun: its Node is drained, or its instance terminated."""
    instance = machine.status.instance
    ends = instance is not None and instance.step is m.InstanceStep.TERMINATING
    return ends or machine.status.drain is not None


def _leaves(obj: m.Object | None) -> tuple[bool, bool]:
    return leaves(obj), isinstance(obj, m.Machine) and _begun(obj)


def _asks(obj: m.Object | None) -> object:
    if not isinstance(obj, m.MachineComponentSet):
        return None
    return (obj.spec, obj.status.batch, obj.status.phase, obj.metadata.unknown)
