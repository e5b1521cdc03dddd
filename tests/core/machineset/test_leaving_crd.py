"""Sets that leave because their CRD does: nothing is deleted before a person has spoken, and nobody guesses."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Delete, SetFinalizers
from kubenode.core.levers.machine import change_of_set
from kubenode.core.machineset.decide import EFFECT_LIMIT, decide
from kubenode.core.machineset.losses import lose_all
from kubenode.core.model.condition import find
from kubenode.core.model.machineset import RECORD_LIMIT, Leaver, MachineSetStatus
from kubenode.core.policy import Policy
from tests.core.machineset.world import START, World, machine, owner

CRD = "machinesets.kubenode.dev"


def leaving(count: int, crd_leaving: bool | None, replicas: int = 3) -> World:
    """A settled set of so many machines that somebody, or something, has deleted."""
    world = World.of(replicas, count)
    world.settle()
    world.set = attrs.evolve(world.set, metadata=attrs.evolve(world.set.metadata, deletion_timestamp=START))
    world.crd_leaving = crd_leaving
    world.slow = True
    return world


def said(world: World, type: str) -> tuple[m.Switch, str, str]:
    """Give what stands in the status."""
    found = find(world.set.status.conditions, type)
    assert found is not None
    return found.status, found.reason, found.message


@pytest.mark.parametrize(("crd_leaving", "deletes"), [(False, 3), (True, 0), (None, 0)])
def test_only_a_no_lets_a_set_delete_its_machines(crd_leaving: bool | None, deletes: int) -> None:
    """Unknown is no no."""
    world = leaving(3, crd_leaving)
    decision = decide(world.snapshot(), Policy())
    assert [type(one) for one in decision.effects] == [Delete] * deletes
    assert decision.deferred is (deletes == 0)


def test_while_nobody_knows_the_set_says_so_and_looks_again() -> None:
    """No loss is counted for what may be none."""
    world = leaving(3, None)
    decision = decide(world.snapshot(), Policy())
    assert decision.wake_at == world.now.elapsed + 10_000_000_000
    world.settle()
    assert world.set.status.lost == 0
    status, reason, message = said(world, "Scaled")
    assert (status, reason) == (m.Switch.FALSE, "Deleting")
    assert CRD in message
    assert said(world, "MassDelete")[1] == "NoneLost"
    world.crd_leaving = False
    world.settle()
    assert all(one.metadata.deletion_timestamp is not None for one in world.machines.values())


@pytest.mark.parametrize("count", [1, 3])
def test_a_set_that_goes_with_its_crd_waits_for_a_person(count: int) -> None:
    """However few its machines are; the word names all of them, and is needed once."""
    world = leaving(count, True, count)
    world.settle()
    assert all(one.metadata.deletion_timestamp is None for one in world.machines.values())
    assert world.set.status.lost == count
    for type, status, reason in (
        ("Scaled", m.Switch.FALSE, "MassDelete"),
        ("MassDelete", m.Switch.TRUE, "MachinesLost"),
    ):
        found = said(world, type)
        assert found[:2] == (status, reason)
        assert CRD in found[2]
        assert "spec.acknowledgedLosses" in found[2]
    world.sightings = {}  # the controller is another one
    world.settle()
    assert world.set.status.lost == count, "each is counted once"
    world.ask(acknowledged_losses=count)
    world.settle()
    assert all(one.metadata.deletion_timestamp is not None for one in world.machines.values())
    assert said(world, "MassDelete")[:2] == (m.Switch.FALSE, "NoneLost")
    world.let_go()
    world.settle()
    assert world.gone


@pytest.mark.parametrize("crd_leaving", [False, True])
def test_who_leaves_no_longer_says_whether_it_is_up_to_date(crd_leaving: bool) -> None:
    """It replaces nobody any more; of a mass delete it still tells."""
    world = leaving(3, crd_leaving)
    assert find(world.set.status.conditions, "UpToDate") is not None
    world.settle()
    assert [one.type for one in world.set.status.conditions] == ["Scaled", "MassDelete"]


def test_an_old_word_does_not_let_the_machines_go() -> None:
    """Six were lost and acknowledged before; those that are left are another loss."""
    world = leaving(8, True, 8)
    world.set = attrs.evolve(
        world.set, status=attrs.evolve(world.set.status, lost=6),
        spec=attrs.evolve(world.set.spec, acknowledged_losses=6),
    )  # fmt: skip
    world.settle()
    assert world.set.status.lost == 14
    assert all(one.metadata.deletion_timestamp is None for one in world.machines.values())


def test_machines_that_go_with_a_crd_of_their_own_are_counted_too() -> None:
    """Who deletes both CRDs: the one or the other may be seen first."""
    world = leaving(3, True)
    for name in tuple(world.machines):
        world.delete(name)
    world.settle()
    assert world.set.status.lost == 3
    assert said(world, "MassDelete")[0] is m.Switch.TRUE


def test_a_machine_without_its_set_is_kept_and_lets_the_set_go() -> None:
    """This is how a person keeps machines: the set has none left, and deletes none."""
    world = leaving(1, True, 1)
    world.settle()
    ((name, one),) = world.machines.items()
    world.machines[name] = attrs.evolve(one, spec=attrs.evolve(one.spec, set_ref=None))
    (effect,) = decide(world.snapshot(), Policy()).effects
    assert isinstance(effect, SetFinalizers)
    world.settle()
    assert world.gone
    assert world.machines[name].metadata.deletion_timestamp is None


def test_the_lever_is_the_acknowledgement() -> None:
    """What is explained is what would let it go on."""
    world = leaving(3, True)
    seen = world.snapshot()
    (note,) = decide(seen, Policy()).notes
    change = change_of_set(seen, Policy(), note)
    assert change is not None
    assert change.text == "spec.acknowledgedLosses is 3 (now 0)"
    assert len(decide(change.seen, Policy()).effects) == 3


@pytest.mark.parametrize(("count", "lost"), [(RECORD_LIMIT, RECORD_LIMIT), (RECORD_LIMIT + 1, RECORD_LIMIT)])
def test_no_more_are_counted_than_the_record_has_room_for(count: int, lost: int) -> None:
    """Who is not counted is not excused either."""
    members = tuple(machine(f"m-{number:04}") for number in range(count))
    losses = lose_all(owner(count), members)
    assert (losses.lost, len(losses.losing)) == (lost, lost)
    known = attrs.evolve(
        owner(count, acknowledged_losses=lost), metadata=attrs.evolve(owner().metadata, deletion_timestamp=START),
        status=MachineSetStatus(lost=losses.lost, losing=losses.losing),
    )  # fmt: skip
    assert not lose_all(known, members).held
    last = members[-1:]
    world = World(set=known, machines={one.metadata.name: one for one in last}, crd_leaving=True)
    assert bool(decide(world.snapshot(), Policy()).effects) is (count == lost)


def test_what_the_set_chose_to_delete_before_is_no_loss() -> None:
    """As with every mass delete."""
    members = (machine("a"), machine("b"))
    one = attrs.evolve(owner(), status=MachineSetStatus(going=(Leaver(name="a", uid="uid-a"),)))
    assert lose_all(one, members).losing == ("uid-b",)


def test_what_the_set_chose_to_delete_before_goes_with_the_others() -> None:
    """It crashed between the record and the deletion; a machine left behind would hold the set for ever."""
    world = leaving(2, True, 2)
    ours = Leaver(name="old-0", uid="uid-old-0")
    world.set = attrs.evolve(world.set, status=attrs.evolve(world.set.status, going=(ours,)))
    world.settle()
    assert all(one.metadata.deletion_timestamp is None for one in world.machines.values())
    world.ask(acknowledged_losses=1)
    world.settle()
    world.let_go()
    world.settle()
    assert world.gone


def test_who_finds_no_place_in_the_record_stays_though_the_others_go() -> None:
    """The word was for so many as are recorded."""
    members = (machine("a", uid="uid-z"), *(machine(f"m-{number:03}") for number in range(RECORD_LIMIT)))
    known = attrs.evolve(
        owner(acknowledged_losses=RECORD_LIMIT), metadata=attrs.evolve(owner().metadata, deletion_timestamp=START)
    )  # fmt: skip
    world = World(set=known, machines={one.metadata.name: one for one in members}, crd_leaving=True)
    effects = decide(world.snapshot(), Policy()).effects
    assert [one.object.name for one in effects if isinstance(one, Delete)] == [
        f"m-{n:03}" for n in range(EFFECT_LIMIT)
    ]


def test_who_is_recorded_and_gone_makes_room_for_another() -> None:
    """The record names those that are there."""
    one = attrs.evolve(owner(), status=MachineSetStatus(lost=2, losing=("uid-x", "uid-b")))
    losses = lose_all(one, (machine("a"), machine("b")))
    assert (losses.lost, losses.losing) == (3, ("uid-b", "uid-a"))
