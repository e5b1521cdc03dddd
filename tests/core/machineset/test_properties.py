"""What holds of every set."""

import random
from datetime import timedelta
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import Create, Decision, Delete
from kubenode.core.machineset.decide import EFFECT_LIMIT, MachineSetSnapshot, decide
from kubenode.core.policy import Policy
from tests.core.machineset.world import World, machine, running


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Give a set in the middle of something, with machines of all sorts."""
    zones = draw(st.sampled_from([(), ("a",), ("a", "b", "c")]))
    world = World.of(draw(st.integers(0, 24)), draw(st.integers(0, 24)), failure_domains=zones)
    world.slow = draw(st.booleans())
    for name in list(world.machines):
        one = machine(name, zone=draw(st.sampled_from("ab")), mine=draw(st.integers(0, 4)) > 0, up=False)
        fate = draw(st.integers(0, 9))
        if fate == 0:
            one = attrs.evolve(one, metadata=attrs.evolve(one.metadata, labels={}))
        if fate == 1:
            one = attrs.evolve(one, metadata=attrs.evolve(one.metadata, unknown=("spec.x",)))
        world.machines[name] = running(one, ready=fate > 4) if fate > 2 else one
    for _ in range(draw(st.integers(0, 6))):
        match draw(st.integers(0, 5)):
            case 0 if world.machines:
                for name in draw(st.lists(st.sampled_from(sorted(world.machines)), max_size=9)):
                    world.delete(name)
            case 1:
                world.let_go()
            case 2:
                world.ask(replicas=draw(st.integers(0, 24)))
            case 3:
                world.ask(acknowledged_losses=world.set.status.lost)
            case 4:
                world.later(seconds=draw(st.sampled_from([1, 599, 600])))
            case _:
                world.step(until=draw(st.none() | st.integers(0, 4)))
    return world


def _members(world: World) -> list[m.Machine]:
    return [one for one in world.machines.values() if one.spec.set_ref is not None]


@given(world=worlds(), seed=st.integers())
def test_same_input_same_output_whatever_the_order_of_machines(world: World, seed: int) -> None:
    """Deciding twice gives the same, and the order in which machines are handed over does not matter."""
    seen = world.snapshot()
    shuffled = tuple(random.Random(seed).sample(seen.machines, len(seen.machines)))
    decision = decide(seen, Policy())
    assert decide(seen, Policy()) == decision
    assert decide(attrs.evolve(seen, machines=shuffled), Policy()) == decision
    assert len(decision.effects) <= EFFECT_LIMIT


@given(world=worlds())
def test_every_machine_is_counted_once(world: World) -> None:
    """S25: replicas is the sum of the counts, and no more are ready than there are."""
    status = decide(world.snapshot(), Policy()).status
    assert status is not None
    parts = (status.starting, status.available, status.unavailable, status.deleting)
    assert status.replicas == sum(parts) == len(_members(world))
    assert status.available <= status.ready <= status.replicas - status.deleting


@given(world=worlds())
def test_at_rest_and_exact_deadlines(world: World) -> None:
    """It comes to rest; then nothing differs until exactly its deadline."""
    world.settle()
    decision = decide(world.snapshot(), Policy())
    assert (decision.effects, decision.status) == ((), world.set.status)
    assert decide(world.snapshot(sightings=decision.sightings), Policy()) == decision
    if decision.wake_at is None:
        later = world.now.plus(timedelta(days=400))
        assert decide(world.snapshot(now=later), Policy()) == decision
        return
    just_before = m.Now(wall=world.now.wall, elapsed=decision.wake_at - 1)
    at = m.Now(wall=world.now.wall, elapsed=decision.wake_at)
    assert decide(world.snapshot(now=just_before), Policy()) == decision
    assert decide(world.snapshot(now=at), Policy()) != decision


def _shape(world: World) -> Any:
    names = sorted(
        (name, one.metadata.deletion_timestamp, one.spec.set_ref) for name, one in world.machines.items()
    )
    return [(name, gone is None, ref) for name, gone, ref in names], attrs.evolve(
        world.set.status, conditions=()
    )


@given(world=worlds(), until=st.integers(0, EFFECT_LIMIT))
def test_every_prefix_of_effects_replanned_ends_the_same(world: World, until: int) -> None:
    """A crash after any effect changes nothing about the end."""
    whole, cut = (
        World(
            set=world.set, machines=dict(world.machines), slow=world.slow, now=world.now,
            sightings=dict(world.sightings),
        )
        for _ in range(2)
    )  # fmt: skip
    sightings = dict(decide(world.snapshot(), Policy()).sightings)
    cut.step(until=until)
    cut.sightings = sightings
    whole.settle()
    cut.settle()
    assert _shape(cut) == _shape(whole)


@given(world=worlds())
def test_only_the_surplus_is_deleted_and_nothing_while_held(world: World) -> None:
    """After a mass delete there is no effect at all; else no more are deleted than are too many."""
    decision = decide(world.snapshot(), Policy())
    live = sum(one.metadata.deletion_timestamp is None for one in _members(world))
    deletes = [effect for effect in decision.effects if isinstance(effect, Delete)]
    assert len(deletes) <= max(0, live - world.set.spec.replicas)
    assert decision.status is not None
    if decision.status.lost > world.set.spec.acknowledged_losses:
        assert decision.effects == ()
    assert {effect.object.uid for effect in deletes} <= {leaver.uid for leaver in decision.status.going}


def _unfenced(decision: Decision[m.MachineSetStatus]) -> Decision[m.MachineSetStatus]:
    """Leave the status out of a Decision that only makes machines: their names have to be enough."""
    only_made = all(isinstance(effect, Create) for effect in decision.effects)
    return attrs.evolve(decision, status=None) if only_made else decision


@given(data=st.data())
def test_stale_deciders_never_make_too_many_machines(data: st.DataObject) -> None:
    """S3: two deciders that see the past, crash and are late: never more than the most replicas asked for.

    Each decides on any state that has been, and its Decision is applied at any later time. What makes
    machines is not even stopped by the compare-and-swap of the status.
    """
    world = World.of(data.draw(st.integers(1, 5)), 0)
    world.slow = data.draw(st.booleans())
    most = world.set.spec.replicas
    past: list[MachineSetSnapshot] = [world.snapshot()]
    waiting: list[tuple[m.MachineSet, Decision[m.MachineSetStatus]]] = []
    for _ in range(data.draw(st.integers(1, 25))):
        match data.draw(st.integers(0, 5)):
            case 0:
                seen = data.draw(st.sampled_from(past))
                waiting.append((seen.set, _unfenced(decide(seen, Policy()))))
            case 1 if waiting:
                decided = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
                world.apply(*decided, data.draw(st.none() | st.integers(0, 3)))
            case 2 if world.machines:
                world.delete(data.draw(st.sampled_from(sorted(world.machines))))
            case 3:
                world.let_go()
            case 4:
                world.ask(replicas=data.draw(st.integers(1, 5)))
                most = max(most, world.set.spec.replicas)
            case _:
                world.step()
        past.append(world.snapshot())
        assert len(world.machines) <= most
    world.ask(acknowledged_losses=world.set.status.lost)
    world.slow = False
    for _ in range(3):
        world.let_go()
        world.settle()
        world.ask(acknowledged_losses=world.set.status.lost)
    assert len(world.machines) == world.set.spec.replicas
