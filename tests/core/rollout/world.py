"""A small world without a store: machines, a ledger that obeys maxUnavailable, agents that obey entries."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core.decision import Decision, SetEntry
from kubenode.core.errors import Problem
from kubenode.core.inspection import Inspected
from kubenode.core.model.batch import BATCH_LIMIT
from kubenode.core.model.componentset import SKIP_LIMIT
from kubenode.core.policy import Policy
from kubenode.core.rollout.batch import max_unavailable
from kubenode.core.rollout.decide import RolloutSnapshot, decide, needs_permit
from kubenode.core.rollout.hooks import Ask, due
from kubenode.core.rollout.tally import Seat, Tally, TallyView

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "kubelet"
SET = "kubelets"
LIMIT = BATCH_LIMIT + SKIP_LIMIT
OPEN = frozenset({m.MemberState.WAITING, m.MemberState.STARTED})


def component(name: str, disruption: m.Disruption = m.Disruption.RESTART) -> m.MachineComponent:
    """Give a component version."""
    spec = m.MachineComponentSpec(version="1", driver="systemd", disruption=disruption)
    return m.MachineComponent(metadata=m.ObjectMeta(name=name, uid=f"uid-{name}"), spec=spec)


def mcs(name: str = "kubelet-1", **rollout: Any) -> m.MachineComponentSet:
    """Give a set that asks for a component, with rollout settings."""
    spec = m.MachineComponentSetSpec(name=KEY, component=name, rollout=m.Rollout(**rollout))
    return m.MachineComponentSet(metadata=m.ObjectMeta(name=SET, uid="uid-set"), spec=spec)


def entry(revision: int, *, name: str = "kubelet-1", of: str = SET, batch: int = 0) -> m.ComponentEntry:
    """Give an entry as a set writes it."""
    return m.ComponentEntry(set=of, component=name, revision=str(revision), batch=batch)


def report(wanted: m.ComponentEntry, reason: str = "") -> m.ComponentReport:
    """Give the report of an agent that brought an entry about, or failed with a reason."""
    if reason:
        return m.ComponentReport(revision=wanted.revision, reason=reason, message=f"{reason} here")
    return m.ComponentReport(
        component=wanted.component, revision=wanted.revision, config=m.ConfigState.CURRENT, state=wanted.state
    )


def seat(name: str, **changes: Any) -> Seat:
    """Give an available machine that has run."""
    where = m.Ref(kind="Machine", name=name, uid=f"uid-{name}")
    return Seat(**{"machine": where, "available": True, **changes})


@attrs.define
class World:
    """One set and its machines. `bad` machines fail with a reason; `deaf` ones have no agent that answers."""

    owner: m.MachineComponentSet
    seats: dict[str, Seat]
    components: dict[str, m.MachineComponent]
    bad: dict[str, str] = attrs.Factory(dict)
    deaf: set[str] = attrs.Factory(set)
    holds: dict[str, str] = attrs.Factory(dict)
    now: m.Now = m.Now(wall=START, elapsed=0)
    sightings: dict[str, int] = attrs.Factory(dict)
    working: set[str] = attrs.Factory(set)
    crash_after: int | None = None
    """Of the next decision with effects, apply so many after the status and then forget all sightings."""
    answers: dict[str, Inspected] = attrs.Factory(dict)
    """By hook, what it would answer if it is asked; a Problem whether or not."""
    asked: list[Ask] = attrs.Factory(list)
    log: list[str] = attrs.Factory(list)
    touched: list[str] = attrs.Factory(list)
    _tally: Tally | None = None
    _counted: m.Revision | None = None

    @classmethod
    def of(
        cls, owner: m.MachineComponentSet, count: int, *, disruption: m.Disruption = m.Disruption.RESTART
    ) -> "World":
        """Give a world of machines that have run, in three zones, without entries."""
        seats = {
            name: seat(name, zone="abc"[i % 3]) for i, name in enumerate(f"n{i:03}" for i in range(count))
        }
        known = {name: component(name, disruption) for name in ("kubelet-1", "kubelet-2", "kubelet-3")}
        return cls(owner=owner, seats=seats, components=known)

    # What people do.

    def ask(self, name: str | None = None, **rollout: Any) -> None:
        """Edit the set's spec."""
        spec = self.owner.spec
        changed = attrs.evolve(
            spec, component=name or spec.component, rollout=attrs.evolve(spec.rollout, **rollout)
        )
        metadata = attrs.evolve(self.owner.metadata, generation=self.owner.metadata.generation + 1)
        self.owner = attrs.evolve(self.owner, spec=changed, metadata=metadata)

    def put(self, after: Seat | None, name: str = "") -> None:
        """Let a machine change; None: it is gone."""
        name = after.machine.name if after is not None else name
        before = self.seats.pop(name, None)
        if after is not None:
            self.seats[name] = after
        if self._tally is not None:
            self._tally.moved(before, after)

    def evolve(self, name: str, **changes: Any) -> None:
        """Let some of a machine change."""
        self.put(attrs.evolve(self.seats[name], **changes))

    # What controllers see and do.

    @property
    def tally(self) -> Tally:
        """The fold, made anew with each revision."""
        status = self.owner.status
        if self._tally is None or status.update != self._counted:
            number = status.update.number if status.update is not None else None
            self._tally, self._counted = Tally(SET, self.owner.metadata.uid, number), status.update
            for one in self.seats.values():
                self._tally.moved(None, one)
        return self._tally

    def view(self) -> TallyView:
        """Give the tally as the controller asks for it."""
        update = self.owner.status.update
        named = update.component if update is not None else ""
        rollout = self.owner.spec.rollout
        return self.tally.view(LIMIT, component=named, keep=rollout.partition, conditions=rollout.compared)

    def snapshot(self, **changes: Any) -> RolloutSnapshot:
        """Give what the decider may see now."""
        batch = self.owner.status.batch
        members = batch.members if batch is not None else ()
        there = (self.seats.get(member.name) for member in members)
        asks = due(self.owner, self.now, self.sightings)
        self.asked += [ask for ask in asks if ask.id not in {known.id for known in self.asked}]
        names = {ask.hook.name for ask in asks}
        seen = RolloutSnapshot(
            set=self.owner,
            component=self.components.get(self.owner.component),
            tally=self.view(),
            members=tuple(
                one
                for one, member in zip(there, members, strict=True)
                if one and one.machine.uid == member.uid
            ),
            holds=frozenset(self.holds),
            inspections={
                name: one for name, one in self.answers.items() if name in names or isinstance(one, Problem)
            },
            now=self.now,
            sightings=self.sightings,
        )
        return attrs.evolve(seen, **changes)

    def rollout(self) -> bool:
        """Decide once and apply; tell whether anything changed."""
        decision = decide(self.snapshot(), Policy())
        effects = decision.effects
        self.sightings = dict(decision.sightings)
        if self.crash_after is not None and effects:
            effects, self.crash_after, self.sightings = effects[: self.crash_after], None, {}
        changed = bool(effects) or (decision.status is not None and decision.status != self.owner.status)
        if decision.status is not None:
            self._tell(decision.status)
            self.owner = attrs.evolve(self.owner, status=decision.status)
        for effect in effects:
            assert isinstance(effect, SetEntry)
            known = self.seats.get(effect.machine.name)
            assert known is not None
            assert (known.machine, known.entry) == (effect.machine, effect.expect)
            self.touched.append(effect.machine.name)
            self.evolve(effect.machine.name, entry=effect.entry)
        return changed

    def _tell(self, status: m.MachineComponentSetStatus) -> None:
        was, now = self.owner.status.batch, status.batch
        if now is not None and (was is None or was.number != now.number):
            self.log.append(f"batch {now.number} opens with {len(now.members)}")
        if status.phase != self.owner.status.phase:
            self.log.append(f"{status.phase}: {status.conditions[0].message}")

    def absent(self) -> frozenset[str]:
        """Name the machines that are not available, or whose permit is open."""
        held = frozenset(self.holds.values())
        return frozenset(one.machine.name for one in self.seats.values() if not one.available) | held

    def risk(self) -> bool:
        """Close permits that nobody needs, and grant what maxUnavailable allows, unavailable machines first."""
        batch = self.owner.status.batch
        asking = (
            {member.op_id: member for member in batch.members if member.state in OPEN}
            if batch is not None
            else {}
        )
        before = dict(self.holds)
        self.holds = {key: name for key, name in self.holds.items() if key in asking}
        named = self.components.get(self.owner.component)
        if self.owner.status.phase == "Paused" or named is None or not needs_permit(named):
            return self.holds != before
        limit = max_unavailable(self.owner, self.tally.view(0).up)
        for key, member in asking.items():
            free = member.name in self.absent() or len(self.absent()) < limit
            if member.state is m.MemberState.WAITING and key not in self.holds and free:
                self.holds[key] = member.name
        return self.holds != before

    def agents(self) -> bool:
        """Let every agent take one step: begin the work on its entry, or end it."""
        changed = False
        for one in list(self.seats.values()):
            name, wanted = one.machine.name, one.entry
            if wanted is None or wanted.set != SET or name in self.deaf:
                continue
            if name in self.working:
                self.working.discard(name)
                self.evolve(name, available=True, report=report(wanted, self.bad.get(name, "")))
            elif one.report is None or one.report.revision != wanted.revision:
                self.working.add(name)
                self.evolve(name, available=False)
            else:
                continue
            changed = True
        return changed

    def settle(self, rounds: int = 5000) -> Decision[m.MachineComponentSetStatus]:
        """Run until nothing changes any more, jumping from deadline to deadline."""
        for _ in range(rounds):
            changed = self.rollout()
            changed = self.risk() or changed
            changed = self.agents() or changed
            if changed:
                self.now = self.now.plus(timedelta(seconds=1))
                continue
            decision = decide(self.snapshot(), Policy())
            if decision.wake_at is None:
                return decision
            self.now = self.now.plus(timedelta(microseconds=(decision.wake_at - self.now.elapsed) // 1000))
        raise AssertionError(f"no rest after {rounds} rounds: {self.owner.status}")

    def end(self) -> dict[str, m.ComponentEntry | None]:
        """Give all entries."""
        return {name: one.entry for name, one in sorted(self.seats.items())}


def rolled_out(count: int, *, disruption: m.Disruption = m.Disruption.RESTART, **rollout: Any) -> World:
    """Give a world whose machines all run the first component as revision 1."""
    world = World.of(mcs(**rollout), count, disruption=disruption)
    first = m.Revision(number=1, component="kubelet-1")
    status = m.MachineComponentSetStatus(current=first, update=first, total=count)
    world.owner = attrs.evolve(world.owner, status=status)
    for name in list(world.seats):
        world.evolve(name, entry=entry(1), report=report(entry(1)))
    world.settle()
    assert world.owner.status.phase == "Complete"
    world.log.clear()
    world.touched.clear()
    return world
