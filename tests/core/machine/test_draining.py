"""The machine decider and the drain: for whom, when not, what is stored, and when the cordon goes."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Evict, PatchNode
from kubenode.core.identity import deletion_op_id
from kubenode.core.machine.draining import asks_to_go, needs_look, plan_drain
from kubenode.core.model.world import Pod
from kubenode.core.node.cordon import CORDONED_BY
from tests.core.machine.world import World, agent, deleted, machine, node, with_status

OP = "remedy-1"
WEB = Pod(namespace="shop", name="web", uid="uid-web", node="node-7", owner="ReplicaSet", phase="Running")


def running(**spec: Any) -> World:
    """A machine that is Running, at rest, with one Pod on its Node."""
    world = World(machine=with_status(machine(**spec), agent=agent()), node=node(), pods=(WEB,))
    world.settle()
    assert world.told() == "Running: all True"
    return world


def asked(world: World, op_id: str = OP) -> World:
    """A permit is open whose act needs the Node drained."""
    world.holds, world.drains, world.hold = frozenset({op_id}), op_id, m.Cause.REMEDY
    return world


def reason(world: World) -> str:
    """The reason of Drained; empty when nothing is said."""
    assert world.machine is not None
    return next((one.reason for one in world.machine.status.conditions if one.type == "Drained"), "")


def record(world: World) -> m.DrainRecord | None:
    """What others go by."""
    assert world.machine is not None
    return world.machine.status.drain


@pytest.mark.parametrize("policy", m.DeletionPolicy)
def test_who_asks_to_go_is_being_deleted_and_terminated(policy: m.DeletionPolicy) -> None:
    """A host that is released goes on as it is, and so does one that nobody deletes."""
    one = machine(deletion_policy=policy)
    assert not asks_to_go(one)
    assert asks_to_go(deleted(one)) == (policy is m.DeletionPolicy.TERMINATE)


def test_a_drain_from_end_to_end() -> None:
    """Cordon, evict, done; and when the permit is gone, nothing of it is left."""
    world = asked(running())
    kinds = []
    for _ in range(6):
        decision = world.decide()
        kinds += [type(one) for one in decision.effects]
        world.apply(decision)
    assert kinds == [PatchNode, Evict]
    assert (reason(world), record(world)) == (
        "Draining",
        m.DrainRecord(op_id=OP, state=m.DrainState.DRAINING),
    )
    world.pods = ()
    world.settle()
    assert (reason(world), record(world)) == ("PodsGone", m.DrainRecord(op_id=OP, state=m.DrainState.DRAINED))
    assert world.node is not None
    assert world.node.metadata.annotations[CORDONED_BY] == OP
    assert not needs_look(world.seen)
    world.drains = ""
    world.settle()
    assert record(world) is not None
    assert world.node.spec.unschedulable, "while the permit is open the cordon stays, whoever asks no more"
    world.holds, world.hold = frozenset(), None
    world.settle()
    assert (reason(world), record(world)) == ("", None)
    assert not world.node.spec.unschedulable
    assert CORDONED_BY not in world.node.metadata.annotations


def test_what_is_said_is_kept_only_with_its_condition() -> None:
    """Somebody took the condition away: the record stays, and no word of ours is made up."""
    world = asked(running())
    world.pods = ()
    world.settle()
    assert world.machine is not None
    world.drains = ""
    world.machine = with_status(world.machine, conditions=())
    world.settle()
    assert record(world) is not None
    assert reason(world) == ""


def test_a_drain_is_looked_at_while_it_goes_on() -> None:
    """And only then."""
    world = running()
    assert not needs_look(world.seen)
    assert needs_look(asked(world).seen)
    assert not needs_look(attrs.evolve(world.seen, node=None))


def test_nothing_is_drained_while_it_is_not_certain_whose_node_it_is() -> None:
    """Another Machine says it is the same Node."""
    world = asked(running())
    world.rival = "other"
    plan = plan_drain(world.seen)
    assert (plan.patch, plan.evictions, plan.claims) == (None, (), ())


def test_without_a_node_there_is_nothing_to_drain() -> None:
    """Who asked may go on."""
    world = asked(running())
    world.node = None
    world.settle()
    assert (reason(world), record(world)) == ("PodsGone", m.DrainRecord(op_id=OP, state=m.DrainState.DRAINED))


def test_the_policy_is_the_machines() -> None:
    """Its time limit."""
    world = asked(running(drain=m.DrainPolicy(timeout=timedelta(minutes=1), keep_unmanaged=True)))
    world.pods = (attrs.evolve(WEB, owner=""),)
    world.settle()
    assert reason(world) == "DrainBlocked"
    world.now = world.now.plus(timedelta(minutes=1))
    world.settle()
    assert (reason(world), record(world)) == (
        "DrainTimedOut",
        m.DrainRecord(op_id=OP, state=m.DrainState.GIVEN_UP),
    )


def leaving(*, permitted: bool, **spec: Any) -> World:
    """A machine that is to end."""
    world = running(deletion_policy=m.DeletionPolicy.TERMINATE, **spec)
    assert world.machine is not None
    world.machine = deleted(world.machine)
    if permitted:
        world.holds = frozenset({deletion_op_id("uid-m1")})
    world.settle()
    return world


def test_a_deletion_drains_what_its_remedy_gave_up_to_drain() -> None:
    """A replacement drains for the op-id of the deletion; its Pods are looked at again."""
    world = leaving(permitted=True)
    assert world.machine is not None
    record = m.DrainRecord(op_id=deletion_op_id("uid-m1"), state=m.DrainState.GIVEN_UP)
    status = attrs.evolve(world.machine.status, drain=record)
    world.machine = attrs.evolve(world.machine, status=status)
    assert needs_look(world.seen)
    ended = attrs.evolve(status, drain=attrs.evolve(record, state=m.DrainState.DRAINED))
    world.machine = attrs.evolve(world.machine, status=ended)
    assert not needs_look(world.seen)


def test_a_deletion_waits_for_its_permit() -> None:
    """Nothing is cordoned before."""
    world = leaving(permitted=False)
    assert world.told() == "Draining: Ready=False/PermitAwaited"
    assert world.node is not None
    assert not world.node.spec.unschedulable
    assert not needs_look(world.seen)


def test_a_deletion_without_its_permit_takes_back_what_was_left() -> None:
    """A cordon of an act that is over."""
    world = asked(running(deletion_policy=m.DeletionPolicy.TERMINATE))
    world.settle()
    assert world.machine is not None
    world.machine = deleted(world.machine)
    world.holds, world.drains, world.hold = frozenset(), "", None
    world.settle()
    assert world.node is not None
    assert not world.node.spec.unschedulable


@pytest.mark.parametrize("given", [{"node": None}, {"rival": "m2"}])
def test_where_no_node_is_to_be_drained_no_permit_is_waited_for(given: dict[str, Any]) -> None:
    """None is there, or it is not certain that it is this machine's; then a person is told at once that none can end the host."""
    world = running(deletion_policy=m.DeletionPolicy.TERMINATE)
    assert world.machine is not None
    world = attrs.evolve(world, machine=deleted(world.machine), **given)
    world.settle()
    assert world.told().startswith("Deleting: Ready=False/TerminateUnsupported ")


def test_a_host_whose_drain_is_contested_and_untold_waits() -> None:
    """Another Machine says it is the Node, and somebody took the conditions away."""
    world = leaving(permitted=True)
    assert world.machine is not None
    world.machine, world.rival = with_status(world.machine, conditions=()), "other"
    world.settle()
    assert world.told().startswith("Deleting: Ready=False/Draining ")
    assert reason(world) == ""


def test_nobody_looks_at_the_pods_of_a_host_that_is_released() -> None:
    """Whatever is permitted: it goes on as it is."""
    world = running()
    assert world.machine is not None
    world.machine, world.holds = deleted(world.machine), frozenset({deletion_op_id("uid-m1")})
    assert not needs_look(world.seen)


@pytest.mark.parametrize("given", [{"host": None}, {"infrastructure": m.Infrastructure(provider="cloud")}])
def test_a_machine_whose_spec_says_nothing_is_not_drained(given: dict[str, Any]) -> None:
    """It is not known what it is, so its Node is left alone."""
    world = asked(running())
    assert world.machine is not None
    world.machine = attrs.evolve(world.machine, spec=attrs.evolve(world.machine.spec, **given))
    decision = world.decide()
    assert decision.effects == ()
    assert decision.status is not None
    assert decision.status.drain is None


def test_a_machine_that_never_ran_needs_no_permit_to_go() -> None:
    """Nothing that is done to it does."""
    world = running(deletion_policy=m.DeletionPolicy.TERMINATE)
    assert world.machine is not None
    world.machine = with_status(deleted(world.machine), first_running=None)
    world.settle()
    assert world.told() == "Draining: Ready=False/Draining Drained=False/Draining"


def test_a_deletion_is_never_given_up() -> None:
    """However long it takes, it says so, and goes on when it can."""
    world = leaving(permitted=True, drain=m.DrainPolicy(timeout=timedelta(minutes=1), keep_unmanaged=True))
    world.pods = (attrs.evolve(WEB, owner=""),)
    world.now = world.now.plus(timedelta(hours=9))
    world.settle()
    assert world.told() == "Draining: Ready=False/Draining Drained=False/DrainBlocked"
    world.pods = ()
    world.settle()
    assert world.told() == "Draining: Ready=False/TerminateUnsupported"


@pytest.mark.parametrize("finalizers", [("example.com/other",), ()])
def test_a_machine_that_we_have_let_go_is_not_drained(finalizers: tuple[str, ...]) -> None:
    """Its Node is not ours any more."""
    world = running(deletion_policy=m.DeletionPolicy.TERMINATE)
    assert world.machine is not None
    gone = deleted(world.machine)
    world.machine = attrs.evolve(gone, metadata=attrs.evolve(gone.metadata, finalizers=finalizers))
    world.holds = frozenset({deletion_op_id("uid-m1")})
    world.settle()
    assert world.node is not None
    assert not world.node.spec.unschedulable


def test_a_release_takes_the_cordon_back() -> None:
    """In the middle of a drain: the host is let go as it was."""
    world = asked(running())
    world.settle()
    assert world.machine is not None
    assert world.node is not None
    world.machine = deleted(world.machine)
    world.settle()
    assert world.machine is None
    assert not world.node.spec.unschedulable
    assert world.node.metadata.annotations == {}
