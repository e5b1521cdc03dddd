"""What holds of every decision of core/remedy, whatever happens to machine, Node, ledger and agent."""

from collections.abc import Callable
from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import Create, Decision, SetOperation
from kubenode.core.errors import Problem
from kubenode.core.health.freeze import frozen
from kubenode.core.health.held import is_held
from kubenode.core.health.zones import open_breaker
from kubenode.core.model.meta import FORCED, HOLD_LABEL
from kubenode.core.policy import Policy
from kubenode.core.remedy.decide import RemedySnapshot, decide
from kubenode.core.remedy.ladder import is_closed
from kubenode.core.remedy.match import is_clear
from tests.core.remedy.world import NORMAL, OUTAGE, SECOND, START, World, node, remedier

POLICIES = (
    Policy(remediers=(remedier(),)),
    Policy(remediers=(remedier("a"), remedier("b"), remedier("c", condition=m.ConditionMatch(type="Ready", status=m.Switch.FALSE)))),
    Policy(remediers=(remedier(verification=m.Verification(dwell=timedelta(0), timeout=timedelta(seconds=5))),)),
    Policy(),
    *(
        Policy(remediers=(remedier(),), risk=(m.RiskPolicy(metadata=m.ObjectMeta(name="p"), spec=spec),))
        for spec in (
            m.RiskPolicySpec(freeze=(m.Freeze(scope=m.Scope.ZONE, name="b", until=START + timedelta(seconds=45), reason="x"),)),
            m.RiskPolicySpec(freeze=(m.Freeze(scope=m.Scope.NODE, name="n7", reason="x"),)),
            m.RiskPolicySpec(limits=(m.Limit(scope=m.Scope.NODE, window=timedelta(hours=1), max=m.IntOrPercent(1)),)),
        )
    ),
)  # fmt: skip
ANSWERS = (None, *m.AnswerState)

Event = Callable[[World], None]
SWITCHES = st.sampled_from(m.Switch)


def _set(**changes: object) -> Event:
    def do(world: World) -> None:
        for name, value in changes.items():
            setattr(world, name, value)

    return do


def _deleted(world: World) -> None:
    meta = attrs.evolve(world.machine.metadata, deletion_timestamp=START)
    world.machine = attrs.evolve(world.machine, metadata=meta)


def _job_deleted(world: World) -> None:
    if world.jobs:
        del world.jobs[min(world.jobs)]


def _labelled(world: World) -> None:
    labels = {} if HOLD_LABEL in world.machine.metadata.labels else {HOLD_LABEL: ""}
    world.machine = attrs.evolve(
        world.machine, metadata=attrs.evolve(world.machine.metadata, labels={"pool": "a", **labels})
    )


def _forced(world: World) -> None:
    for name, job in world.jobs.items():
        world.jobs[name] = attrs.evolve(
            job, metadata=attrs.evolve(job.metadata, annotations={FORCED: "ada: now"})
        )


def _later(seconds: int) -> Event:
    def do(world: World) -> None:
        world.elapsed += seconds * SECOND

    return do


EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(lambda hung, ready: _set(node=node(hung, ready)), st.none() | SWITCHES, SWITCHES),
    st.sampled_from(
        [
            _set(node=None), _set(zones=OUTAGE), _set(zones=NORMAL), _set(granting=True), _set(granting=False),
            _set(sightings={}), _set(broken={}), _set(broken={("hung", 0): Problem(where="x", what="PluginMissing: y")}),
            World.step, World.ledger, World.agent, World.settle, _deleted, _job_deleted, _labelled, _forced,
            *(_set(policy=policy) for policy in POLICIES),
            *(_set(answers=dict.fromkeys(("restart-unit", "reboot"), answer)) for answer in ANSWERS),
        ]
    ),
    st.sampled_from([1, 9, 10, 29, 30, 31, 40, 60, 301, 3600]).map(_later),
)  # fmt: skip


def _shuffled(seen: RemedySnapshot, policy: Policy) -> Decision[m.RemedyOperationJobStatus]:
    """Decide on the same world told in another order."""
    turned = seen.node
    if turned is not None:
        turned = attrs.evolve(turned, status=m.NodeStatus(conditions=turned.status.conditions[::-1]))
    steps = dict(reversed(list(seen.steps.items())))
    other = attrs.evolve(seen, node=turned, jobs=seen.jobs[::-1], steps=steps)
    return decide(other, attrs.evolve(policy, remediers=policy.remediers[::-1]))


def _check(world: World) -> None:
    """Check all that must hold of the decision that would be made now."""
    seen = world.snapshot()
    decision = decide(seen, world.policy)
    assert decide(seen, world.policy) == decision
    assert _shuffled(seen, world.policy) == decision
    assert len(decision.effects) <= 1
    for effect in decision.effects:
        if isinstance(effect, Create):
            _check_create(world, seen)
        elif isinstance(effect, SetOperation) and effect.operation is not None:
            _check_operation(world, seen, effect.operation)
    if decision.wake_at is not None:
        assert decision.wake_at > seen.now.elapsed
    for key, since in decision.sightings.items():
        assert (since > seen.now.elapsed) == key.startswith("thaw:")


def _check_create(world: World, seen: RemedySnapshot) -> None:
    """No episode beside an open one, in an outage, or of a machine that is to go."""
    assert all(is_closed(job) for job in seen.jobs)
    assert open_breaker("b", seen.zones, world.policy.limits) is None
    assert seen.machine.metadata.deletion_timestamp is None
    _check_people(world, seen)


def _check_people(world: World, seen: RemedySnapshot) -> None:
    """Nothing begins on a machine that is held, or in a scope that is frozen."""
    assert seen.node is not None
    assert not is_held(seen.machine, seen.node)
    assert frozen("b", seen.sets, world.policy.limits, seen.now, machine="n7") is None


def _check_operation(world: World, seen: RemedySnapshot, operation: m.Operation) -> None:
    """Intent first: its attempt stands as Acting in an open job as read, under an open hold, on a sick Node, in no outage."""
    ((job, attempt),) = [
        (job, one) for job in seen.jobs for one in job.status.attempts
        if one.op_id == operation.op_id and not is_closed(job)
    ]  # fmt: skip
    assert attempt.state is m.AttemptState.ACTING
    assert operation.op_id in seen.holds
    assert seen.node is not None
    (rule,) = [one.spec.condition for one in world.policy.remediers if one.metadata.name == job.spec.remedier]
    assert not is_clear(rule, seen.node)
    if FORCED not in job.metadata.annotations:
        assert open_breaker("b", seen.zones, world.policy.limits) is None
        _check_people(world, seen)


def _at(elapsed: int) -> m.Now:
    return m.Now(wall=START + timedelta(microseconds=elapsed // 1000), elapsed=elapsed)


def _check_rest(world: World) -> None:
    """At rest the decision is the same now and until its deadline, and another one at its deadline."""
    for _ in range(200):
        if not world.step():
            break
    else:
        raise AssertionError("it never comes to rest")
    world.decide()
    seen = world.snapshot()
    decision = decide(seen, world.policy)
    assert decision.effects == ()
    later = [timedelta(microseconds=1), timedelta(days=3)]
    if decision.wake_at is not None:
        last = attrs.evolve(seen, now=_at(decision.wake_at - 1))
        assert decide(last, world.policy) == decision
        at = attrs.evolve(seen, now=_at(decision.wake_at))
        assert decide(at, world.policy) != decision
    else:
        assert all(
            decide(attrs.evolve(seen, now=seen.now.plus(wait)), world.policy) == decision for wait in later
        )


@given(policy=st.sampled_from(POLICIES), events=st.lists(EVENTS, max_size=25))
def test_every_decision_is_pure_and_bounded_and_rests(policy: Policy, events: list[Event]) -> None:
    """Same input, same output in any order; intent first; at rest; deadlines exact to the nanosecond."""
    world = World(policy=policy)
    _check(world)
    for event in events:
        event(world)
        _check(world)
    _check_rest(world)


def _story(heals: frozenset[str], silent: bool) -> World:
    return World(heals=heals, answers={"restart-unit": None} if silent else {})


def _end(world: World) -> tuple[object, ...]:
    return (
        world.job.status.phase,
        world.attempts,
        len(world.jobs),
        len(world.written),
        len(world.done),
        world.holds,
    )


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("heals", [frozenset({"restart-unit", "reboot"}), frozenset({"reboot"}), frozenset()])
def test_a_crash_at_any_point_reaches_the_same_end(heals: frozenset[str], silent: bool) -> None:
    """After every prefix of every decision, with all memory lost, the same attempts end the same way."""
    whole = _story(heals, silent)
    whole.run(4000)
    assert whole.decisions > 6
    for number in range(whole.decisions):
        for lives_for in (0, 1):
            world = _story(heals, silent)
            world.crash = lambda n, number=number, lives_for=lives_for: lives_for if n == number else None  # type: ignore[misc]
            world.run(8000)
            assert _end(world) == _end(whole), (number, lives_for)


@given(
    prefixes=st.lists(st.none() | st.integers(0, 2), max_size=30),
    heals=st.sampled_from([frozenset(), frozenset({"reboot"})]),
)
def test_many_crashes_reach_the_same_end(prefixes: list[int | None], heals: frozenset[str]) -> None:
    """Any number of crashes, one after another, changes nothing but the time it takes."""
    whole = _story(heals, silent=False)
    whole.run(4000)
    world = _story(heals, silent=False)
    world.crash = lambda number: prefixes[number] if number < len(prefixes) else None
    world.run(20_000)
    assert _end(world) == _end(whole)
