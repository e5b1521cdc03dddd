"""Stories of sets, told as text, and the tables of what is left alone."""

from datetime import timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Create, Delete, SetFinalizers, SetOwner
from kubenode.core.machineset.claims import CONFLICT, MASS_DELETE
from kubenode.core.machineset.crew import machine_name
from kubenode.core.machineset.decide import EFFECT_LIMIT, decide
from kubenode.core.machineset.losses import WINDOW
from kubenode.core.model.condition import find
from kubenode.core.model.machine import SetRef
from kubenode.core.model.machineset import MACHINESET_FINALIZER, MACHINESET_LABEL
from kubenode.core.model.meta import FINALIZER, ZONE_LABEL
from kubenode.core.policy import Policy
from tests.core.machineset.world import MINE, POOL, START, World, machine, running


def told(world: World) -> list[str]:
    """Go on until nothing changes; give every state on the way."""
    lines: list[str] = []
    while world.step():
        lines.append(world.line())
    return lines


def test_a_set_grows_over_its_zones() -> None:
    """Five machines over two zones, made in one decision, counted when they are seen."""
    world = World.of(5, 0, failure_domains=("a", "b"))
    assert told(world) == [
        "0/5: 0 starting, 0 available, 0 unavailable, 0 deleting; ScalingUp",
        "5/5: 5 starting, 0 available, 0 unavailable, 0 deleting; AtReplicas",
    ]
    assert world.zones() == "a=3 b=2"
    world.start()
    assert told(world) == ["5/5: 0 starting, 5 available, 0 unavailable, 0 deleting; AtReplicas"]
    assert world.set.status.selector == "pool=general"


def test_a_set_shrinks_and_waits_for_finalizers() -> None:
    """The surplus goes, spread evenly; who is being deleted counts, so raised replicas wait."""
    world = World.of(6, 0, failure_domains=("a", "b", "c"))
    world.settle()
    world.start()
    world.settle()
    world.slow = True
    world.ask(replicas=3)
    assert told(world) == [
        "6/3: 0 starting, 6 available, 0 unavailable, 0 deleting; ScalingDown",
        "6/3: 0 starting, 3 available, 0 unavailable, 3 deleting; AtReplicas",
    ]
    assert world.zones() == "a=1 b=1 c=1"
    assert len(world.set.status.going) == 3
    world.ask(replicas=6)
    assert told(world) == ["6/6: 0 starting, 3 available, 0 unavailable, 3 deleting; WaitingForDeletions"]
    world.let_go()
    assert told(world) == [
        "3/6: 0 starting, 3 available, 0 unavailable, 0 deleting; ScalingUp",
        "6/6: 3 starting, 3 available, 0 unavailable, 0 deleting; AtReplicas",
    ]
    assert world.set.status.going == ()


def test_a_large_set_is_made_in_steps() -> None:
    """No decision makes or deletes more than sixteen machines."""
    world = World.of(40, 0)
    assert [line.split(":")[0] for line in told(world)] == ["0/40", "16/40", "32/40", "40/40"]
    world.ask(replicas=0)
    assert [line.split(":")[0] for line in told(world)] == ["40/0", "24/0", "8/0", "0/0"]


def test_the_sick_go_first_and_are_replaced_by_nobody() -> None:
    """A set does not heal; when it shrinks it lets the unhealthy go."""
    world = World.of(3, 3)
    world.machines["old-1"] = running(world.machines["old-1"], ready=False)
    assert told(world) == ["3/3: 0 starting, 2 available, 1 unavailable, 0 deleting; AtReplicas"]
    world.ask(replicas=2)
    world.settle()
    assert sorted(world.machines) == ["old-0", "old-2"]


def test_what_a_new_machine_is_like() -> None:
    """Label, zone, owner and finalizer are there from the beginning; there is no ownerReference to be collected by."""
    world = World.of(1, 0, failure_domains=("z",))
    world.settle()
    (made,) = world.machines.values()
    assert made.metadata.labels == {**POOL, MACHINESET_LABEL: "pool", ZONE_LABEL: "z"}
    assert made.metadata.finalizers == (FINALIZER,)
    assert made.spec.set_ref == MINE
    assert made.spec.deletion_policy is m.DeletionPolicy.TERMINATE
    assert made.spec.infrastructure == m.Infrastructure(provider="memory", parameters={"zone": "z"})


def test_machines_without_a_set_are_adopted_while_there_is_room() -> None:
    """Never more than replicas, or the set would delete what it has just taken in."""
    world = World.of(2, 0)
    world.machines = {name: machine(name, mine=False) for name in ("x", "y", "z")}
    world.machines["other"] = machine("other", mine=False, labels={"pool": "gpu"})
    world.settle()
    owners = {name: one.spec.set_ref for name, one in world.machines.items()}
    assert owners == {"x": MINE, "y": MINE, "z": None, "other": None}
    notes = decide(world.snapshot(), Policy()).notes
    assert [note.code for note in notes] == ["NoRoom"]


def test_a_machine_that_no_longer_matches_is_given_up() -> None:
    """It stays as it is, its name stays taken, and another is made in its place."""
    world = World.of(2, 0)
    world.settle()
    name = sorted(world.machines)[0]
    one = world.machines[name]
    world.machines[name] = attrs.evolve(one, metadata=attrs.evolve(one.metadata, labels={"debug": "yes"}))
    world.settle()
    assert world.machines[name].spec.set_ref is None
    assert len(world.machines) == 3
    assert world.set.status.replicas == 2
    assert world.clash == 0


def test_what_two_sets_select_is_adopted_by_neither() -> None:
    """Ambiguity means no effect on that machine, and is said."""
    world = World.of(1, 1)
    world.ask(replicas=2)
    world.machines["both"] = machine("both", mine=False)
    world.contested = frozenset({"both"})
    world.settle()
    assert world.machines["both"].spec.set_ref is None
    conflict = find(world.set.status.conditions, CONFLICT)
    assert conflict is not None
    assert "both" in conflict.message


def test_a_mass_delete_holds_the_set_until_a_person_speaks() -> None:
    """Six of eight machines go within ten minutes: nothing is made. The word names the count, and binds once."""
    world = World.of(8, 8)
    world.settle()
    world.slow = True
    for number in range(5):
        world.delete(f"old-{number}")
        world.later(minutes=1)
        world.settle()
    assert world.line().endswith("5 deleting; WaitingForDeletions")
    world.delete("old-5")
    world.settle()
    world.let_go()
    world.settle()
    assert world.line() == "2/8: 0 starting, 2 available, 0 unavailable, 0 deleting; MassDelete"
    world.later(days=3)
    world.sightings = {}  # a restart
    assert world.step() is False
    world.delete("old-6")
    world.settle()
    assert world.set.status.lost == 7
    world.ask(acknowledged_losses=6)
    world.settle()
    assert world.line().endswith("MassDelete")
    world.ask(acknowledged_losses=7)
    world.settle()
    assert world.line() == "8/8: 6 starting, 1 available, 0 unavailable, 1 deleting; WaitingForDeletions"
    world.let_go()
    world.settle()
    mass = find(world.set.status.conditions, MASS_DELETE)
    assert mass is not None
    assert (mass.status, world.set.status.replicas) == (m.Switch.FALSE, 8)


def test_a_deletion_of_every_machine_at_once_holds_the_smallest_set_too() -> None:
    """As the deletion of a CRD asks for it: nothing is made in their place, and what is said fits the case."""
    world = World.of(3, 3)
    world.settle()
    world.slow = True
    for number in range(3):
        world.delete(f"old-{number}")
    world.settle()
    said = find(world.set.status.conditions, "MassDelete")
    assert said is not None
    assert (said.status, said.reason) == (m.Switch.TRUE, "MachinesLost")
    assert said.message.startswith(
        "3 machines were deleted by somebody else, and none is left; to go on, set "
    )
    world.let_go()
    world.settle()
    assert world.line() == "0/3: 0 starting, 0 available, 0 unavailable, 0 deleting; MassDelete"
    world.ask(acknowledged_losses=3)
    world.settle()
    assert world.line().startswith("3/3: 3 starting")


def test_slow_deletes_lower_replicas_and_our_own_are_no_mass_delete() -> None:
    """What is spread over time, was asked for by lower replicas, or is the set's own doing is borne."""
    world = World.of(30, 30)
    world.slow = True
    world.settle()
    for number in range(9):
        world.delete(f"old-{number}")
        world.settle()
        world.later(minutes=4)
    world.ask(replicas=10)
    world.settle()
    world.ask(replicas=30)
    world.settle()
    assert world.set.status.lost == 0
    world.let_go()
    world.settle()
    assert world.line().startswith("30/30")
    for name in sorted(world.machines)[:8]:
        world.delete(name)
    world.ask(replicas=22)
    world.settle()
    assert world.set.status.lost == 0


def test_the_window_is_exact() -> None:
    """Six deletions over exactly ten minutes are borne; over a nanosecond less they are not."""
    for short, lost in ((timedelta(0), 0), (timedelta(microseconds=1), 6)):
        world = World.of(20, 20)
        world.slow = True
        for number in range(5):
            world.delete(f"old-{number}")
        world.settle()
        world.now = world.now.plus(WINDOW - short)
        world.delete("old-5")
        world.settle()
        assert world.set.status.lost == lost


def test_a_set_goes_after_its_machines() -> None:
    """Its finalizer goes when the last machine is gone; strays are given up, not deleted."""
    world = World.of(3, 3)
    world.machines["stray"] = machine("stray", labels={})
    world.slow = True
    world.settle()
    world.machines["stray"] = machine("stray", labels={})
    world.set = attrs.evolve(world.set, metadata=attrs.evolve(world.set.metadata, deletion_timestamp=START))
    world.settle()
    assert world.line().endswith("3 deleting; Deleting")
    assert not world.gone
    world.let_go()
    world.settle()
    assert world.gone
    assert (list(world.machines), world.machines["stray"].spec.set_ref) == (["stray"], None)


def test_the_finalizer_comes_before_the_first_machine() -> None:
    """A set without it makes nothing; one being deleted without it does nothing."""
    world = World.of(2, 0)
    bare = attrs.evolve(world.set, metadata=attrs.evolve(world.set.metadata, finalizers=("x/y",)))
    (effect,) = decide(world.snapshot(set=bare), Policy()).effects
    assert isinstance(effect, SetFinalizers)
    assert effect.finalizers == ("x/y", MACHINESET_FINALIZER)
    gone = attrs.evolve(bare, metadata=attrs.evolve(bare.metadata, deletion_timestamp=START))
    decision = decide(world.snapshot(set=gone), Policy())
    assert (decision.effects, decision.status) == ((), None)


def test_what_a_newer_version_wrote_is_left_alone() -> None:
    """A set: no effect, one condition. A machine: counted, and neither deleted nor given up."""
    world = World.of(0, 2)
    metadata = attrs.evolve(world.set.metadata, unknown=("spec.surge",))
    decision = decide(world.snapshot(set=attrs.evolve(world.set, metadata=metadata)), Policy())
    assert decision.effects == ()
    assert decision.status is not None
    assert decision.status.conditions[0].reason == "NewerVersion"
    one = world.machines["old-0"]
    world.machines["old-0"] = attrs.evolve(
        one, metadata=attrs.evolve(one.metadata, unknown=("spec.x",), labels={})
    )
    world.settle()
    assert list(world.machines) == ["old-0"]
    assert world.set.status.replicas == 1


def test_a_machine_of_an_earlier_set_of_that_name_is_another_sets() -> None:
    """A set made anew under an old name has another uid, and so other machine names."""
    world = World.of(1, 0)
    one = machine("pool-old")
    earlier = attrs.evolve(one, spec=attrs.evolve(one.spec, set_ref=SetRef(name="pool", uid="earlier")))
    world.machines = {"pool-old": earlier}
    effects = decide(world.snapshot(), Policy()).effects
    assert [type(effect) for effect in effects] == [Create]
    assert len(effects) <= EFFECT_LIMIT
    world.settle()
    assert world.machines["pool-old"] == earlier


@pytest.mark.parametrize("pardoned", [True, False])
def test_who_was_recorded_and_not_deleted_goes_now_or_is_let_off(pardoned: bool) -> None:
    """A crash between record and deletion; what counts is whether there is still a surplus."""
    world = World.of(2, 3)
    world.step(until=0)
    (leaver,) = world.set.status.going
    if pardoned:
        world.ask(replicas=3)
    effects = decide(world.snapshot(), Policy()).effects
    assert [e.object.name for e in effects if isinstance(e, Delete)] == ([] if pardoned else [leaver.name])
    assert not [e for e in effects if isinstance(e, SetOwner)]
    world.settle()
    assert len(world.machines) == world.set.spec.replicas
    assert world.set.status.going == ()


@pytest.mark.parametrize("lost", [(0,), (1,), (0, 2), (0, 1, 2)])
def test_a_late_decision_makes_no_machine_too_many(lost: tuple[int, ...]) -> None:
    """Decided when nothing was there, applied when lost machines have been replaced: its names are all taken."""
    world = World.of(3, 0)
    world.step(until=0)
    late = decide(world.snapshot(), Policy())
    assert [type(effect) for effect in late.effects] == [Create] * 3
    world.settle()
    for number in lost:
        world.delete(machine_name(world.set, number))
    world.let_go()
    world.settle()
    world.apply(world.set, attrs.evolve(late, status=None))
    assert (len(world.machines), world.clash) == (3, 3)


def test_losses_that_are_not_stored_yet_are_not_forgotten() -> None:
    """The status was refused (a conflict): the marks in memory know who was counted, and they are counted again."""
    world = World.of(8, 8)
    world.settle()
    world.slow = True
    for number in range(6):
        world.delete(f"old-{number}")
    first = decide(world.snapshot(), Policy())
    again = decide(world.snapshot(sightings=first.sightings), Policy())
    assert first.status is not None
    assert (first.status.lost, again.status) == (6, first.status)
    assert again.effects == ()


def test_a_set_that_goes_deletes_nothing_while_losses_are_not_acknowledged() -> None:
    """A CRD being deleted takes the machines first or the sets first: either way the rest stays until a person speaks."""
    world = World.of(8, 8)
    world.settle()
    world.slow = True
    for number in range(6):
        world.delete(f"old-{number}")
    world.settle()
    world.set = attrs.evolve(world.set, metadata=attrs.evolve(world.set.metadata, deletion_timestamp=START))
    world.settle()
    assert sum(one.metadata.deletion_timestamp is None for one in world.machines.values()) == 2
    decision = decide(world.snapshot(), Policy())
    assert (decision.effects, decision.deferred) == ((), True)
    world.ask(acknowledged_losses=6)
    world.settle()
    assert all(one.metadata.deletion_timestamp is not None for one in world.machines.values())
