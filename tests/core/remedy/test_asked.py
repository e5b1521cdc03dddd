"""An episode that somebody else has asked for: nothing new begins when they ask no more."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.model.remediation import ASKED
from kubenode.core.policy import Policy
from tests.core.remedy.world import World, node, remedier

RULE = m.ConditionMatch(type="RemediationAsked")
ASKS = attrs.evolve(remedier(), spec=attrs.evolve(remedier().spec, condition=RULE))


def asked(status: m.Switch | None, *, ready: bool = False, reason: str = ASKED) -> m.Node:
    """A sick Node, and what stands on it."""
    one = node(m.Switch.TRUE)
    kubelet = m.NodeCondition(type="Ready", status=m.Switch.TRUE if ready else m.Switch.FALSE)
    told = () if status is None else (m.NodeCondition(type=RULE.type, status=status, reason=reason),)
    return attrs.evolve(one, status=m.NodeStatus(conditions=(kubelet, *told)))


@pytest.mark.parametrize(
    ("status", "reason", "phase"),
    [
        (m.Switch.TRUE, ASKED, "Waiting"), (m.Switch.FALSE, ASKED, "Cancelled"), (m.Switch.UNKNOWN, ASKED, "Cancelled"),
        (None, ASKED, "Cancelled"), (m.Switch.FALSE, "TaskHung", "Waiting"),
    ],
)  # fmt: skip
def test_what_waits_for_its_permit_is_cancelled(status: m.Switch | None, reason: str, phase: str) -> None:
    """Though the Node is not Ready; an episode of any other origin waits on."""
    world = World(policy=Policy(remediers=(ASKS,)), node=asked(m.Switch.TRUE, reason=reason), granting=False)
    world.run(60)
    assert world.job.status.phase == "Waiting"
    world.node = asked(status, reason=reason)
    world.run(5)
    assert (world.job.status.phase, world.written) == (phase, [])
    if phase == "Cancelled":
        assert "whoever had asked for it asks no more" in world.job.status.attempts[-1].verdict


def test_another_type_of_condition_is_no_ask() -> None:
    """That somebody asks for something else keeps nothing going."""
    world = World(policy=Policy(remediers=(ASKS,)), node=asked(m.Switch.TRUE), granting=False)
    world.run(60)
    other = m.NodeCondition(type="Other", status=m.Switch.TRUE, reason=ASKED)
    gone = asked(None)
    world.node = attrs.evolve(gone, status=m.NodeStatus(conditions=(*gone.status.conditions, other)))
    world.run(5)
    assert world.job.status.phase == "Cancelled"


@pytest.mark.parametrize("asks_no_more", [True, False])
def test_what_is_under_way_ends_by_its_own_terms_and_nothing_follows(asks_no_more: bool) -> None:
    """The act is done, the Node does not come back: there is no second act, also before that is known to whoever asked."""
    twin = attrs.evolve(ASKS, metadata=m.ObjectMeta(name="twin", uid="uid-twin"))
    world = World(policy=Policy(remediers=(ASKS, twin)), node=asked(m.Switch.TRUE), heals=frozenset())
    world.run(20)
    if asks_no_more:
        world.node = asked(m.Switch.FALSE)
    world.run(3600)
    assert (len(world.written), world.job.status.phase) == (1, "Cancelled")
    assert (len(world.jobs), world.job.status.attempts[0].state) == (1, m.AttemptState.FAILED)
    again = attrs.evolve(asked(None), status=m.NodeStatus(conditions=tuple(
        attrs.evolve(one, message="another request") for one in asked(m.Switch.TRUE).status.conditions
    )))  # fmt: skip
    world.node = again
    world.run(60)
    assert len(world.jobs) == 2


@pytest.mark.parametrize("changes", [{"type": "Other"}, {"reason": "Other"}, {"message": "other"}])
def test_only_the_very_same_request_had_its_episode(changes: dict[str, str]) -> None:
    """Another condition, a fault that says the same, or another request is no repeat."""
    world = World(policy=Policy(remediers=(ASKS,)), node=asked(m.Switch.TRUE))
    world.run(60)
    (name,) = world.jobs
    job = attrs.evolve(
        world.jobs[name], spec=attrs.evolve(world.jobs[name].spec, cause=attrs.evolve(world.job.spec.cause, **changes))
    )  # fmt: skip
    for jobs, opens in (({name: world.jobs[name]}, False), ({name: job}, True)):
        twin = World(
            policy=Policy(remediers=(attrs.evolve(ASKS, metadata=m.ObjectMeta(name="twin")),)),
            node=asked(m.Switch.TRUE),
        )
        twin.jobs = dict(jobs)
        twin.run(60)
        assert (len(twin.jobs) == 2) is opens


def test_an_attempt_that_was_withdrawn_was_no_act() -> None:
    """A freeze takes the first one back; when it is over the act is done after all."""
    world = World(policy=Policy(remediers=(ASKS,)), node=asked(m.Switch.TRUE), granting=False)
    world.run(60)
    frozen = m.RiskPolicy(
        metadata=m.ObjectMeta(name="p"), spec=m.RiskPolicySpec(freeze=(m.Freeze(scope=m.Scope.CLUSTER, reason="x"),))
    )  # fmt: skip
    world.policy = Policy(remediers=(ASKS,), risk=(frozen,))
    world.run(5)
    world.policy, world.granting = Policy(remediers=(ASKS,)), True
    world.run(60)
    assert len(world.written) == 1
