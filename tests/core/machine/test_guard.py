"""What the infrastructure leaves to kubenode: before we disturb, while we do, and what is left there afterwards."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Decision, GuardInstance, PatchNode, SetFinalizers
from kubenode.core.hookspecs import Guard, Instance, InstanceState
from kubenode.core.identity import deletion_op_id, op_id
from kubenode.core.instance.seen import MACHINE_UID_TAG, InstanceSight, ProviderAnswer
from kubenode.core.instance.turn import due
from kubenode.core.machine.guard import HANDS_OFF, Guarding, leaving_op_id, may_begin, plan_guard
from kubenode.core.machine.instance import turn_of
from kubenode.core.model.condition import Condition, find
from kubenode.core.model.now import Now
from tests.core.machine.test_instances import CREATED, REF, UID, made
from tests.core.machine.world import START, World, agent, deleted, node, with_status

RAN = with_status(
    CREATED, instance=made(), node_ref=REF, agent=agent(), first_running=START.wall, phase="Running"
)
HELD = frozenset({"remedy-1"})
ON, HOOK, BOTH = Guard(hands_off=True), Guard(holds_end=True), Guard(hands_off=True, holds_end=True)


def shown(
    guard: Guard | None, state: InstanceState = InstanceState.RUNNING, **given: object
) -> InstanceSight:
    """A look that shows the instance, and what its infrastructure leaves to us."""
    one = Instance(id="i-1", state=state, zone="a", tags={MACHINE_UID_TAG: UID}, guard=guard)
    known = {"wanted": ("launch",), "pinned": ("launch",), "known": one, "looked": START.elapsed}
    return InstanceSight(**(known | given))  # type: ignore[arg-type]


def said(status: m.Switch, one: m.Machine = RAN) -> m.Machine:
    """The machine, of which HandsOff was said."""
    condition = Condition(
        type=HANDS_OFF, status=status, reason="Said", message="so", last_transition_time=START.wall
    )
    return with_status(one, conditions=(condition,))


def world(sight: InstanceSight | None, one: m.Machine = RAN, **given: object) -> World:
    """A machine that runs."""
    return World(machine=one, node=node(), sight=sight, **given)  # type: ignore[arg-type]


def guards(decision: Decision[m.MachineStatus]) -> list[Guard]:
    """What is told to the infrastructure."""
    return [one.guard for one in decision.effects if isinstance(one, GuardInstance)]


def hands_off(decision: Decision[m.MachineStatus]) -> tuple[str, str] | None:
    """What is said of it."""
    assert decision.status is not None
    found = find(decision.status.conditions, HANDS_OFF)
    return None if found is None else (found.status.value, found.reason)


def test_an_infrastructure_that_does_nothing_by_itself_is_told_nothing() -> None:
    """No condition either: what is permitted begins."""
    decision = world(shown(None), holds=HELD).decide()
    assert (guards(decision), hands_off(decision)) == ([], None)
    assert may_begin(RAN)


def test_the_end_is_held_as_soon_as_there_is_an_instance() -> None:
    """And nothing else, while nothing disruptive is done."""
    decision = world(shown(Guard())).decide()
    assert (guards(decision), hands_off(decision)) == ([HOOK], ("False", "NoWork"))
    (effect,) = [one for one in decision.effects if isinstance(one, GuardInstance)]
    assert effect == GuardInstance(
        machine=m.ref(RAN),
        provider="cloud",
        op_id=op_id("guard", UID, "i-1", 0, 1),
        instance="i-1",
        guard=HOOK,
    )
    assert guards(world(shown(HOOK)).decide()) == []


def test_hands_are_off_before_a_permit_counts() -> None:
    """Asked for, then seen, then said; only then what was permitted begins."""
    asked = world(shown(HOOK), said(m.Switch.FALSE), holds=HELD).decide()
    assert (guards(asked), hands_off(asked)) == ([BOTH], ("False", "GuardAwaited"))
    assert not may_begin(said(m.Switch.FALSE))
    assert not may_begin(said(m.Switch.UNKNOWN))
    seen = world(shown(BOTH), said(m.Switch.FALSE), holds=HELD).decide()
    assert (guards(seen), hands_off(seen)) == ([], ("True", "WorkGuarded"))
    assert may_begin(said(m.Switch.TRUE))


def test_what_has_begun_is_not_stopped_by_who_takes_it_away() -> None:
    """It is told again, and still said."""
    decision = world(shown(HOOK), said(m.Switch.TRUE), holds=HELD).decide()
    assert (guards(decision), hands_off(decision)) == ([BOTH], ("True", "WorkGuarded"))


def test_it_is_taken_back_after_it_was_said() -> None:
    """Else a permit of the next moment would count on what is about to go."""
    first = world(shown(BOTH), said(m.Switch.TRUE)).decide()
    assert (guards(first), hands_off(first)) == ([], ("False", "NoWork"))
    second = world(shown(BOTH), said(m.Switch.FALSE)).decide()
    assert guards(second) == [HOOK]


def test_who_does_not_see_keeps_what_was_said() -> None:
    """After a restart, before the first look."""
    blind = world(shown(None, known=None, looked=None), said(m.Switch.FALSE), holds=HELD)
    assert hands_off(blind.decide()) == ("False", "Said")
    assert plan_guard(blind.seen, drained=False) == Guarding(
        claims=plan_guard(blind.seen, drained=False).claims, off=False
    )
    gone = world(shown(None, known=None), said(m.Switch.FALSE))
    assert plan_guard(gone.seen, drained=False).off
    assert plan_guard(world(shown(None, known=None, looked=None)).seen, drained=False) == Guarding()


@pytest.mark.parametrize(
    "one", [with_status(RAN, instance=None), with_status(RAN, instance=made(m.InstanceStep.GONE))]
)
def test_without_an_instance_there_is_nothing_to_guard(one: m.Machine) -> None:
    """Nor without anybody who looks."""
    assert plan_guard(world(shown(Guard()), one).seen, drained=False) == Guarding()
    assert plan_guard(world(None).seen, drained=False) == Guarding()


def test_a_refusal_is_told_and_tried_again_after_a_pause() -> None:
    """Exactly when it is due, as the same act."""
    name = op_id("guard", UID, "i-1", 1, 1)
    answer = ProviderAnswer(op_id=name, at=START.elapsed, error="Unavailable", text="away", tries=3)
    waits = world(shown(HOOK, answer=answer), said(m.Switch.FALSE), holds=HELD)
    decision = waits.decide()
    assert (guards(decision), decision.wake_at) == ([], due(answer))
    assert decision.status is not None
    told = find(decision.status.conditions, HANDS_OFF)
    assert told is not None
    assert told.message.endswith("keeps its hands off the machine: away")
    later = attrs.evolve(waits, now=Now(wall=START.wall, elapsed=due(answer)))
    (effect,) = later.decide().effects[-1:]
    assert isinstance(effect, GuardInstance)
    assert (effect.op_id, effect.tries) == (name, 3)
    begun = plan_guard(world(shown(HOOK, answer=answer), said(m.Switch.TRUE), holds=HELD).seen, drained=False)
    assert [claim.message for claim in begun.claims] == [""]
    other = attrs.evolve(answer, op_id="create-1")
    assert guards(world(shown(HOOK, answer=other), said(m.Switch.FALSE), holds=HELD).decide()) == [BOTH]
    done = attrs.evolve(answer, error="")
    assert guards(world(shown(HOOK, answer=done), said(m.Switch.FALSE), holds=HELD).decide()) == [BOTH]


# An end that somebody else has asked for.

LEAVES = shown(HOOK, InstanceState.DELETING)
LEAVE = op_id("leave", UID, 1)


def test_a_node_is_drained_before_an_end_that_somebody_else_asked_for() -> None:
    """It goes whatever we say, so no permit is asked for; the end is let go when the drain is over."""
    ours = world(LEAVES)
    assert leaving_op_id(ours.seen) == LEAVE
    first = ours.decide()
    (cordon,) = [one for one in first.effects if isinstance(one, PatchNode)]
    assert cordon.unschedulable
    assert guards(first) == []
    assert ours.settle() > 1
    assert ours.sight is not None
    assert ours.sight.known is not None
    assert ours.sight.known.guard == Guard()
    assert ours.node is not None
    assert ours.node.spec.unschedulable
    assert ours.machine is not None
    assert ours.machine.status.drain is not None
    assert (ours.machine.status.drain.op_id, ours.machine.status.drain.state) == (LEAVE, m.DrainState.DRAINED)


def test_the_end_goes_on_when_the_node_is_drained() -> None:
    """Told to the infrastructure once."""
    drained = with_status(RAN, drain=m.DrainRecord(op_id=LEAVE, state=m.DrainState.DRAINED))
    assert guards(world(LEAVES, drained).decide()) == [Guard()]
    other = with_status(RAN, drain=m.DrainRecord(op_id="remedy-1", state=m.DrainState.DRAINED))
    assert guards(world(LEAVES, other).decide()) == []
    assert guards(world(shown(Guard(), InstanceState.DELETING), drained).decide()) == []
    assert guards(world(shown(Guard(), InstanceState.DELETING)).decide()) == []


def test_one_without_a_node_ends_at_once() -> None:
    """There is nothing to drain."""
    ours = world(LEAVES, with_status(CREATED, instance=made()))
    ours.node = None
    assert guards(ours.decide()) == [Guard()]


@pytest.mark.parametrize(
    "sight",
    [
        None,
        shown(None, known=None),
        shown(HOOK),
        shown(Guard(), InstanceState.DELETING),
        shown(None, InstanceState.DELETING),
    ],
)
def test_who_does_not_leave_or_does_not_wait_is_not_drained(sight: InstanceSight | None) -> None:
    """Only an end that waits for us is worth a drain that nobody has permitted."""
    assert leaving_op_id(world(sight).seen) == ""


def test_what_was_ended_by_us_is_no_end_of_somebody_else() -> None:
    """Its drain is over."""
    for instance in (None, made(m.InstanceStep.TERMINATING)):
        assert leaving_op_id(world(LEAVES, with_status(RAN, instance=instance)).seen) == ""


# A Machine of kubenode that goes.


def test_a_host_that_is_released_is_left_as_it_was() -> None:
    """The finalizer stays until nothing of ours is left there."""
    released = attrs.evolve(RAN, spec=attrs.evolve(RAN.spec, deletion_policy=m.DeletionPolicy.RELEASE))
    going = deleted(said(m.Switch.TRUE, released))
    ours = World(machine=going, sight=shown(BOTH))
    first = ours.decide()
    assert (guards(first), hands_off(first)) == ([], ("False", "NoWork"))
    ours = World(machine=deleted(said(m.Switch.FALSE, released)), sight=shown(BOTH))
    second = ours.decide()
    assert guards(second) == [Guard()]
    assert not any(isinstance(one, SetFinalizers) for one in second.effects)
    ours = World(machine=deleted(said(m.Switch.FALSE, released)), sight=shown(Guard()))
    assert any(isinstance(one, SetFinalizers) for one in ours.decide().effects)
    blind = World(machine=deleted(said(m.Switch.FALSE, released)), sight=shown(None, known=None, looked=None))
    assert not any(isinstance(one, SetFinalizers) for one in blind.decide().effects)


def test_a_machine_that_is_not_ours_any_more_is_not_written() -> None:
    """Its finalizer is gone."""
    released = attrs.evolve(RAN, spec=attrs.evolve(RAN.spec, deletion_policy=m.DeletionPolicy.RELEASE))
    gone = attrs.evolve(released, metadata=attrs.evolve(released.metadata, finalizers=("other",)))
    ours = World(machine=deleted(said(m.Switch.FALSE, gone)), sight=shown(BOTH))
    assert guards(ours.decide()) == []
    assert hands_off(ours.decide()) is None


def test_a_permit_to_go_counts_when_hands_are_off() -> None:
    """The drain before our own end begins then."""
    held = frozenset({deletion_op_id(UID)})
    for status, begins in ((m.Switch.FALSE, False), (m.Switch.TRUE, True)):
        ours = world(shown(HOOK if not begins else BOTH), deleted(said(status)), holds=held)
        decision = ours.decide()
        assert any(isinstance(one, PatchNode) and one.unschedulable for one in decision.effects) is begins
        assert guards(decision) == ([] if begins else [BOTH])
        turn = turn_of(ours.seen)
        assert turn is not None
        assert turn.instance is not None
        assert (turn.instance.step is m.InstanceStep.TERMINATING) is begins
