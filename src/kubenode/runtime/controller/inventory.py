"""The inventory: what snapshots need to know of many objects at once, folded from single changes.

Nothing here decides. A change costs what it touches: one machine, its Node, the sets that select it.
"""

from collections.abc import Iterable, Mapping

import attrs

from kubenode.core import model as m
from kubenode.core.drift.count import DriftCount
from kubenode.core.health.zones import ZoneTally
from kubenode.core.machine.guard import may_begin
from kubenode.core.policy import Policy
from kubenode.core.rollout.tally import Tally
from kubenode.runtime.controller.changes import holders_changed, is_ledger
from kubenode.runtime.controller.componentsets import ComponentSets
from kubenode.runtime.controller.crews import Crews
from kubenode.runtime.controller.episodes import Episodes
from kubenode.runtime.controller.facts import Facts, facts_of, leaves, node_name, provider_id, suspect, weight
from kubenode.runtime.store.cache import Cache, Change


class Inventory:
    """Machines, their Nodes, zones, sets, jobs and holds, indexed.

    Attributes:
        crews: the machines of each MachineSet.
        sets: the MachineComponentSets that select each machine.
        episodes: the jobs of remedy.
        ledger_stands: whether the RiskLedger is there and has been stamped.
        changes: how often `zones`, `up` or what is absent has changed: who remembers it compares one number.
        ran: how many machines have ever been Running.
    """

    def __init__(self, cache: Cache, given: Policy | None = None) -> None:
        self._cache = cache
        self._given = given if given is not None else Policy()
        self._facts: dict[str, Facts] = {}
        self._claims: dict[str, set[str]] = {}
        self._zones: dict[str, ZoneTally] = {}
        self._counted: dict[str, tuple[str, bool]] = {}
        self._up: dict[str, int] = {}
        self._absent: dict[str, set[str]] = {}
        self._tallies: dict[str, Tally] = {}
        self._drifts: dict[str, DriftCount] = {}
        self._holds: dict[str, m.Hold] = {}
        self._policy: Policy | None = None
        self._zones_told: Mapping[str, ZoneTally] | None = None
        self._up_told: Mapping[str, int] | None = None
        self.crews = Crews(cache)
        self.sets = ComponentSets(cache)
        self.episodes = Episodes()
        self._leaving: set[str] = set()
        self._registered: dict[str, dict[str, None]] = {}
        self._made: dict[str, dict[str, None]] = {}
        self.ledger_stands = False
        self.changes = 0
        self.ran = 0

    # What snapshots ask.

    def facts(self, machine: str) -> Facts | None:
        """Give what the others count of a machine."""
        return self._facts.get(machine)

    def sets_of(self, machine: str) -> tuple[str, ...]:
        """Name the sets that select a machine, sorted; none of one that is leaving, or not there."""
        facts = self._facts.get(machine)
        return () if facts is None else tuple(sorted(facts.seats))

    def claimants(self, node: str) -> tuple[str, ...]:
        """Name the machines that say they are this Node, sorted; more than one is a conflict."""
        return tuple(sorted(self._claims.get(node, ())))

    def node_of(self, machine: m.Machine) -> m.Node | None:
        """Give the Node a machine is, by the name it is known by."""
        name = self.node_name(machine)
        return self._cache.get(m.Node, name) if name else None

    def node_name(self, machine: m.Machine) -> str:
        """Give the name of the Node a machine is: its agent's word, what was last known, else who has its instance's providerID."""
        named = node_name(machine)
        nodes = () if named else self._registered.get(provider_id(machine), {})
        return next(iter(nodes)) if len(nodes) == 1 else named

    def zones(self) -> Mapping[str, ZoneTally]:
        """Give the tally of every zone that has a claimed Node; the same object until one changes."""
        if self._zones_told is None:
            self._zones_told = dict(self._zones)
        return self._zones_told

    def up(self) -> Mapping[str, int]:
        """Give the number of machines that should be up, by scope text; the same object until one changes."""
        if self._up_told is None:
            self._up_told = dict(self._up)
        return self._up_told

    def absent(self, set_name: str) -> frozenset[str]:
        """Give the uids of a set's machines that should be up and are not available."""
        return frozenset(self._absent.get(set_name, ()))

    def tally(self, set_name: str) -> Tally | None:
        """Give the tally of a set."""
        return self._tallies.get(set_name)

    def drift(self, set_name: str) -> DriftCount | None:
        """Give who drifts of a set."""
        return self._drifts.get(set_name)

    def jobs(self, machine_uid: str) -> tuple[m.RemedyOperationJob, ...]:
        """Give all episodes of a machine, by name."""
        return self.episodes.of(machine_uid)

    def hold(self, machine_uid: str) -> m.Hold | None:
        """Give the open hold on a machine."""
        return self._holds.get(machine_uid)

    def op_ids_on(self, machine_uid: str) -> frozenset[str]:
        """Give the op-ids of the open hold on a machine whose act may begin; none of one without."""
        hold = self.hold(machine_uid)
        return frozenset() if hold is None or not self._may_begin(hold) else frozenset(hold.op_ids)

    def granted_on(self, machine_uid: str) -> frozenset[str]:
        """Give the op-ids of the open hold on a machine, whether or not its infrastructure keeps its hands off it yet."""
        hold = self.hold(machine_uid)
        return frozenset() if hold is None else frozenset(hold.op_ids)

    def _may_begin(self, hold: m.Hold) -> bool:
        machine = self._cache.get(m.Machine, hold.machine)
        return machine is None or may_begin(machine)

    def op_ids(self) -> frozenset[str]:
        """Give the op-ids of all open holds whose acts may begin."""
        held = self._holds.values()
        return frozenset(op_id for hold in held if self._may_begin(hold) for op_id in hold.op_ids)

    def machines(self) -> Iterable[str]:
        """Name all machines."""
        return self._facts.keys()

    def leaving(self) -> tuple[m.Machine, ...]:
        """Give the machines that were Running and whose host is to be terminated, by name: each waits for a permit or has one."""
        found = (self._cache.get(m.Machine, name) for name in sorted(self._leaving))
        return tuple(one for one in found if one is not None)

    def episodes_touched(self, change: Change) -> Iterable[str]:
        """Name the machines whose episodes a folded change of a Machine, Node, job or ledger concerns."""
        if change.kind is m.Machine:
            yield change.name
        elif change.kind is m.Node:
            yield from self.claimants(change.name)
        elif change.kind is m.RemedyOperationJob:
            yield from {
                job.spec.machine.name: None
                for job in (change.before, change.after)
                if isinstance(job, m.RemedyOperationJob)
            }
        elif is_ledger(change):
            yield from holders_changed(change)

    def policy(self) -> Policy:
        """Give the rules and limits that stand now: those of the store, joined by those that were given.

        Limits only narrow, so all of both bind. Of two remediers of one name the given one stands: their
        episodes would have one name.
        """
        if self._policy is None:
            named = {
                one.metadata.name: one for one in (*self._cache.all(m.NodeRemedier), *self._given.remediers)
            }
            risk = sorted(
                (*self._cache.all(m.RiskPolicy), *self._given.risk), key=lambda one: one.metadata.name
            )
            remediers = tuple(one for _, one in sorted(named.items()))
            self._policy = Policy(remediers=remediers, risk=tuple(risk))
        return self._policy

    # How it is kept.

    def fold(self, change: Change) -> None:
        """Fold one change of one object."""
        self.crews.fold(change)
        self.sets.fold(change)
        if change.kind is m.Machine:
            (self._leaving.add if leaves(change.after) else self._leaving.discard)(change.name)
            _move(self._made, change.name, provider_id(change.before), provider_id(change.after))
            self._refresh(change.name)
        elif change.kind is m.Node:
            ids = [
                one.spec.provider_id if isinstance(one, m.Node) else ""
                for one in (change.before, change.after)
            ]
            _move(self._registered, change.name, *ids)
            made = {name for one in ids if one for name in self._made.get(one, ())}
            for machine in sorted({*self.claimants(change.name), *made}):
                self._refresh(machine)
        elif change.kind is m.MachineComponentSet:
            self._refold_set(change)
        elif change.kind is m.RemedyOperationJob:
            self.episodes.fold(change)
        elif is_ledger(change) and isinstance(change.after, m.RiskLedger | None):
            holds = () if change.after is None else change.after.status.holds
            self.ledger_stands = change.after is not None and change.after.status.checkpoint > 0
            self._holds = {hold.machine_uid: hold for hold in holds}
        elif change.kind in (m.NodeRemedier, m.RiskPolicy):
            self._policy = None

    def _refold_set(self, change: Change) -> None:
        before, after = change.before, change.after
        if _shape(before) == _shape(after):
            return
        changes, counted = self.changes, (dict(self._up), self.absent(change.name))
        self._tallies.pop(change.name, None)
        self._drifts.pop(change.name, None)
        self._absent.pop(change.name, None)
        if isinstance(after, m.MachineComponentSet):
            self._drifts[change.name] = DriftCount()
            self._tallies[change.name] = Tally(
                after.metadata.name,
                after.metadata.uid,
                after.status.update.number if after.status.update else None,
            )
        for machine, facts in list(self._facts.items()):
            # The tally is new: it has not seen the seats of before.
            seats = {name: seat for name, seat in facts.seats.items() if name != change.name}
            if len(seats) != len(facts.seats):
                self._facts[machine] = attrs.evolve(facts, seats=seats)
                self._count_up(f"set={change.name}", -int(facts.up))
            self._refresh(machine)
        # All its machines were counted anew, most likely to the same end.
        self.changes = changes + (counted != (self._up, self.absent(change.name)))

    def _refresh(self, name: str) -> None:
        before = self._facts.get(name)
        machine = self._cache.get(m.Machine, name)
        after = None if machine is None else self._look(machine)
        if before == after:
            return
        self._count(before, -1)
        self._count(after, +1)
        self.changes += weight(before) != weight(after)
        for set_name in {*(before.seats if before else ()), *(after.seats if after else ())}:
            tally = self._tallies.get(set_name)
            if tally is not None:
                tally.moved(
                    before.seats.get(set_name) if before else None,
                    after.seats.get(set_name) if after else None,
                )
            drift = self._drifts.get(set_name)
            if drift is not None:
                drift.moved(name, suspect(set_name, after))
        if after is None:
            self._facts.pop(name, None)
        else:
            self._facts[name] = after
        for node in {facts.node for facts in (before, after) if facts is not None} - {""}:
            self._count_node(node)

    def _look(self, machine: m.Machine) -> Facts:
        leaving = machine.metadata.deletion_timestamp is not None
        selecting = () if leaving else self.sets.selecting(machine.metadata.name)
        return facts_of(machine, self.node_name(machine), self.node_of(machine), selecting)

    def _count_node(self, name: str) -> None:
        """Count a claimed Node in its zone, once, however many machines say they are it."""
        node = self._cache.get(m.Node, name) if self._claims.get(name) else None
        before, after = self._counted.pop(name, None), None if node is None else (node.zone, node.ready)
        for state, sign in ((before, -1), (after, +1)):
            if state is not None:
                self._zones_told = None
                zone, ready = state
                tally = self._zones.pop(zone, ZoneTally(nodes=0))
                nodes, not_ready = tally.nodes + sign, tally.not_ready + sign * (not ready)
                if nodes:
                    self._zones[zone] = ZoneTally(nodes=nodes, not_ready=not_ready)
        if after is not None:
            self._counted[name] = after
        self.changes += before != after

    def _count(self, facts: Facts | None, sign: int) -> None:
        if facts is None:
            return
        if facts.node:
            claims = self._claims.setdefault(facts.node, set())
            (claims.add if sign > 0 else claims.discard)(facts.machine.name)
        self.ran += sign * facts.ran
        if facts.up:
            where = ("cluster", f"region={facts.region}", f"zone={facts.zone}")
            for scope in (*where, *(f"set={name}" for name in facts.seats)):
                self._count_up(scope, sign)
        for name in facts.seats:
            gone = self._absent.setdefault(name, set())
            if sign > 0 and facts.missed:
                gone.add(facts.machine.uid)
            elif sign < 0:
                gone.discard(facts.machine.uid)

    def _count_up(self, scope: str, by: int) -> None:
        self._up_told = None
        total = self._up.get(scope, 0) + by
        if total:
            self._up[scope] = total
        else:
            self._up.pop(scope, None)


def _move(index: dict[str, dict[str, None]], name: str, before: str, after: str) -> None:
    if before != after:
        known = index.get(before, {})
        known.pop(name, None)
        if not known:
            index.pop(before, None)
        if after:
            index.setdefault(after, {})[name] = None


def _shape(obj: m.Object | None) -> object:
    """Give what of a set decides which seats it has and how they are judged."""
    if not isinstance(obj, m.MachineComponentSet):
        return None
    return (obj.metadata.uid, obj.spec.selector, obj.spec.name, obj.status.update)
