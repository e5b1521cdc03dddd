"""What holds of every decision on drift that asks, whatever happens to machine, Node, ledger and agent."""

from collections.abc import Callable
from datetime import timedelta

import attrs
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import Create, SetOperation
from kubenode.core.health.freeze import frozen
from kubenode.core.health.held import is_held
from kubenode.core.health.zones import open_breaker
from kubenode.core.policy import Policy
from kubenode.core.remedy.ladder import is_closed
from kubenode.core.remedy.repair import decide
from tests.core.remedy.drifting import FROZEN, SPOILT, WELL, Drifting, entry
from tests.core.remedy.world import NORMAL, OUTAGE, SECOND, node

Event = Callable[[Drifting], None]


def _set(**changes: object) -> Event:
    def do(world: Drifting) -> None:
        for name, value in changes.items():
            setattr(world, name, value)

    return do


def _later(seconds: int) -> Event:
    def do(world: Drifting) -> None:
        world.elapsed += seconds * SECOND

    return do


EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from([
        lambda world: world.report(net=WELL), lambda world: world.report(net=SPOILT),
        lambda world: world.report(abc=SPOILT), lambda world: world.report(abc=WELL),
        lambda world: world.entries(net=entry(held="so many")), lambda world: world.entries(net=entry()),
        lambda world: world.entries(net=entry("net-2", revision="4")),
        _set(node=None), _set(node=node()), _set(node=node(ready=m.Switch.FALSE)), _set(zones=OUTAGE), _set(zones=NORMAL),
        _set(granting=True), _set(granting=False), _set(sightings={}), _set(policy=FROZEN), _set(policy=Policy()),
        _set(heals=frozenset()), _set(heals=frozenset({"repair"})),
        *(_set(answers={"repair": answer}) for answer in (None, *m.AnswerState)),
        Drifting.step, Drifting.ledger, Drifting.agent, Drifting.settle,
    ]),
    st.sampled_from([1, 59, 60, 61, 600, 900, 3600]).map(_later),
)  # fmt: skip


def _check(world: Drifting) -> None:
    """Check all that must hold of the decision that would be made now."""
    seen = world.snapshot()
    decision = decide(seen, world.policy)
    assert decide(seen, world.policy) == decision
    assert decide(attrs.evolve(seen, jobs=seen.jobs[::-1]), world.policy) == decision
    assert len(decision.effects) <= 1
    for effect in decision.effects:
        if isinstance(effect, Create):
            assert isinstance(effect.object, m.RemedyOperationJob)
            assert seen.drifts(effect.object.spec.component)
            assert all(is_closed(job) for job in seen.jobs)
            assert effect.object.metadata.name not in world.jobs
            assert open_breaker("b", seen.zones, world.policy.limits) is None
            assert seen.node is not None
            assert not is_held(seen.machine, seen.node)
            assert frozen("b", seen.sets, world.policy.limits, seen.now) is None
        elif isinstance(effect, SetOperation) and effect.operation is not None:
            assert effect.operation.op_id in seen.holds
            acting = [
                one for job in seen.jobs for one in job.status.attempts if one.state is m.AttemptState.ACTING
            ]
            assert [one.op_id for one in acting] == [effect.operation.op_id]
    if decision.wake_at is not None:
        assert decision.wake_at > seen.now.elapsed
        just_before = attrs.evolve(seen, sightings=decision.sightings, now=_at(world, decision.wake_at - 1))
        again = decide(just_before, world.policy)
        assert (again.effects, again.status, again.wake_at) == (
            decision.effects,
            decision.status,
            decision.wake_at,
        )


def _at(world: Drifting, elapsed: int) -> m.Now:
    return m.Now(
        wall=world.now.wall + timedelta(microseconds=(elapsed - world.elapsed) // 1000), elapsed=elapsed
    )


@given(st.lists(EVENTS, max_size=40))
def test_every_decision_is_pure_bounded_and_within_its_permit(events: list[Event]) -> None:
    """Whatever happens to machine, Node, ledger and agent; and no op-id is ever asked for twice with other steps."""
    world = Drifting.of("net", "abc")
    for event in events:
        event(world)
        _check(world)
    assert len({one.op_id for one in world.written}) == len({(one.op_id, one.steps) for one in world.written})
    assert len(world.done) == len(set(world.done))
