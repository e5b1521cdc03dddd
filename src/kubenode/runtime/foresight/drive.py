"""The deciders of one set asked until they are at rest, on machines that do at once what they are asked."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeAlias

import attrs

from kubenode.core import model as m
from kubenode.core.decision import NOTHING_SEEN, Create, Decision, Delete, SetEntry, SetFinalizers, SetOwner
from kubenode.core.health.held import is_held
from kubenode.core.inspection import Pass
from kubenode.core.machineset.decide import MachineSetSnapshot
from kubenode.core.machineset.decide import decide as decide_machines
from kubenode.core.model.batch import BATCH_LIMIT
from kubenode.core.model.componentset import SKIP_LIMIT
from kubenode.core.model.entry import ComponentReport, ConfigState
from kubenode.core.policy import Policy
from kubenode.core.rollout.decide import RolloutSnapshot
from kubenode.core.rollout.decide import decide as decide_rollout
from kubenode.core.rollout.member import ENDED
from kubenode.core.rollout.tally import Seat, Tally
from kubenode.runtime.foresight.world import World

CANDIDATES: Final = BATCH_LIMIT + SKIP_LIMIT
ROUNDS: Final = 50_000
"""Most decisions on one set; five a batch, for ten thousand machines one by one."""
_NOBODY: Final = Policy()
Tell: TypeAlias = Callable[[str, int, int], None]
"""Is told what is planned, how many machines were written, and of how many."""


def to_nobody(what: str, done: int, total: int) -> None:
    """Tell nobody."""


def roll_out(
    one: m.MachineComponentSet, world: World, now: m.Now, tell: Tell
) -> tuple[m.MachineComponentSet, tuple[SetEntry, ...]]:
    """Let a set's rollout go on until it is at rest; the world's machines get their entries.

    Returns:
        The set as it is in the end, and what was written to machines, in order.
    """
    component = world.get(m.MachineComponent, one.component)
    seats = {
        machine.metadata.name: _seat(one, machine, world) for machine in world.all(m.Machine)
        if one.spec.selector.selects(machine.metadata.labels) and machine.metadata.deletion_timestamp is None
    }  # fmt: skip
    tally = _tally(one, seats)
    written: list[SetEntry] = []
    sightings = NOTHING_SEEN
    for _ in range(ROUNDS):
        snapshot = _asked(one, component, tally, seats, now, sightings)
        decision = decide_rollout(snapshot, _NOBODY)
        status = decision.status if decision.status is not None else one.status
        at_rest = status == one.status and not decision.effects
        begun = status.update != one.status.update
        one, sightings = attrs.evolve(one, status=status), decision.sightings
        for effect in decision.effects:
            if isinstance(effect, SetEntry):
                written.append(effect)
                before = seats[effect.machine.name]
                seats[effect.machine.name] = _obeyed(before, effect)
                tally.moved(before, seats[effect.machine.name])
        tell(f"MachineComponentSet {one.metadata.name}", len(written), len(seats))
        if begun:
            tally = _tally(one, seats)
        if at_rest and decision.wake_at is None:
            break
        now = _later(now, decision) if at_rest else now
    for effect in written:
        _write(world, one.spec.name, seats[effect.machine.name])
    world.put(one)
    return one, tuple(written)


def _asked(
    one: m.MachineComponentSet, component: m.MachineComponent | None, tally: Tally, seats: dict[str, Seat],
    now: m.Now, sightings: Any,
) -> RolloutSnapshot:  # fmt: skip
    """Make the snapshot of a set whose open batch was given every permit, and whose hooks all pass: nobody is asked.

    Who has ended has given its permit back.
    """
    update, batch = one.status.update, one.status.batch
    members = batch.members if batch is not None else ()
    view = tally.view(
        CANDIDATES,
        component=update.component if update is not None else "",
        keep=one.spec.rollout.partition,
        conditions=one.spec.rollout.compared,
    )
    return RolloutSnapshot(
        set=one, component=component, tally=view, now=now, sightings=sightings,
        members=tuple(_drained(seats[member.name], member) for member in members if member.name in seats),
        holds=frozenset(member.op_id for member in members if member.state not in ENDED),
        inspections={hook.name: Pass() for hook in one.spec.rollout.inspection.hooks},
    )  # fmt: skip


def _drained(seat: Seat, member: m.Member) -> Seat:
    """Give a machine whose Node was drained for its permit; how long that takes is not foreseen."""
    return attrs.evolve(seat, drain=m.DrainRecord(op_id=member.op_id, state=m.DrainState.DRAINED))


def _tally(one: m.MachineComponentSet, seats: dict[str, Seat]) -> Tally:
    update = one.status.update
    tally = Tally(one.metadata.name, one.metadata.uid, update.number if update is not None else None)
    for seat in seats.values():
        tally.moved(None, seat)
    return tally


def _seat(one: m.MachineComponentSet, machine: m.Machine, world: World) -> Seat:
    agent, node = machine.status.agent, world.node(machine)
    return Seat(
        machine=m.ref(machine), zone=world.zone(machine), entry=machine.spec.components.get(one.spec.name),
        report=agent.components.get(one.spec.name) if agent is not None else None,
        available=node is None or node.ready,
        never_run=machine.status.first_running is None, held=is_held(machine, node),
    )  # fmt: skip


def _obeyed(seat: Seat, effect: SetEntry) -> Seat:
    """Give a machine whose agent has done what its new entry asks for."""
    entry = effect.entry
    report = ComponentReport(
        component=entry.component, revision=entry.revision, config=ConfigState.CURRENT, state=entry.state
    )
    return attrs.evolve(seat, entry=entry, report=report, available=True)


def _write(world: World, name: str, seat: Seat) -> None:
    machine = world.get(m.Machine, seat.machine.name)
    if machine is None or seat.entry is None or seat.report is None:
        return
    agent = machine.status.agent or m.AgentStatus()
    agent = attrs.evolve(agent, components={**agent.components, name: seat.report})
    world.put(attrs.evolve(
        machine, spec=attrs.evolve(machine.spec, components={**machine.spec.components, name: seat.entry}),
        status=attrs.evolve(machine.status, agent=agent),
    ))  # fmt: skip


def _later(now: m.Now, decision: Decision[Any]) -> m.Now:
    """Give the moment at which a decision at rest may change."""
    length = max((decision.wake_at or now.elapsed) - now.elapsed, 1)
    wall = now.wall + timedelta(microseconds=-(-length // 1000))
    return m.Now(wall=wall, elapsed=now.elapsed + length)


def keep_machines(
    one: m.MachineSet, world: World, now: m.Now, tell: Tell
) -> tuple[m.MachineSet, tuple[str, ...], tuple[str, ...]]:
    """Let a MachineSet make and delete machines until it is at rest; what is deleted is gone at once.

    Returns:
        The set as it is in the end, the names of the machines made, and of those deleted.
    """
    made: list[str] = []
    gone: list[str] = []
    sightings = NOTHING_SEEN
    for _ in range(ROUNDS):
        machines = tuple(machine for machine in world.all(m.Machine) if _concerns(one, machine))
        seen = MachineSetSnapshot(
            set=one, machines=machines, contested=_contested(one, world), now=now, sightings=sightings
        )
        decision = decide_machines(seen, _NOBODY)
        status = decision.status if decision.status is not None else one.status
        at_rest = status == one.status and not decision.effects
        one, sightings = attrs.evolve(one, status=status), decision.sightings
        for effect in decision.effects:
            match effect:
                case SetFinalizers():
                    one = attrs.evolve(one, metadata=attrs.evolve(one.metadata, finalizers=effect.finalizers))
                case Create() if isinstance(effect.object, m.Machine):
                    world.put(effect.object)
                    made.append(effect.object.metadata.name)
                case Delete():
                    world.drop(m.Machine, effect.object.name)
                    gone.append(effect.object.name)
                case SetOwner():
                    owned = world.get(m.Machine, effect.machine.name)
                    if owned is not None:
                        world.put(attrs.evolve(owned, spec=attrs.evolve(owned.spec, set_ref=effect.owner)))
                case _:
                    pass
        world.put(one)
        tell(f"MachineSet {one.metadata.name}", len(made) + len(gone), max(one.spec.replicas, len(machines)))
        if at_rest:
            break
    return one, tuple(made), tuple(gone)


def _concerns(one: m.MachineSet, machine: m.Machine) -> bool:
    ref = machine.spec.set_ref
    return (
        (ref is not None and ref.uid == one.metadata.uid)
        or one.spec.selector.selects(machine.metadata.labels)
        or machine.metadata.name.startswith(f"{one.metadata.name}-")
    )


def _contested(one: m.MachineSet, world: World) -> frozenset[str]:
    others = [other for other in world.all(m.MachineSet) if other.metadata.uid != one.metadata.uid]
    return frozenset(
        machine.metadata.name for machine in world.all(m.Machine)
        if machine.spec.set_ref is None
        and any(other.spec.selector.selects(machine.metadata.labels) for other in others)
    )  # fmt: skip
