"""Whether a remedier or policy is understood, and so in force."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.accept.decide import AcceptSnapshot, decide
from kubenode.core.accept.doubts import doubts
from kubenode.core.policy import Policy

NOW = m.Now(wall=datetime(2026, 3, 2, 9, tzinfo=UTC), elapsed=5)
ACTIONS = frozenset({"reboot", "restart-unit"})


def remedier(*actions: str, unknown: tuple[str, ...] = ()) -> m.NodeRemedier:
    """A remedier with these rungs."""
    return m.NodeRemedier(
        metadata=m.ObjectMeta(name="r", generation=3, unknown=unknown),
        spec=m.NodeRemedierSpec(
            condition=m.ConditionMatch(type="X"), ladder=tuple(m.Rung(action=one) for one in actions)
        ),
    )


def policy(unknown: tuple[str, ...] = (), *limits: m.Limit, **spec: Any) -> m.RiskPolicy:
    """A policy."""
    return m.RiskPolicy(
        metadata=m.ObjectMeta(name="p", generation=3, unknown=unknown),
        spec=m.RiskPolicySpec(limits=limits, **spec),
    )


def limit(scope: m.Scope, amount: int | str, window: timedelta | None = None) -> m.Limit:
    """A limit as people write it."""
    return m.Limit(scope=scope, max=m.IntOrPercent.parse(amount), window=window)


HOUR = timedelta(hours=1)
ZONE_ONE = limit(m.Scope.ZONE, 1)


@pytest.mark.parametrize(
    ("ruling", "status", "reason", "text"),
    [
        (remedier("reboot"), "True", "InForce", ""),
        (policy(), "True", "InForce", ""),
        (remedier("reboot", "gpu-reset"), "False", "PluginMissing", "'gpu-reset'"),
        (remedier("gpu-reset", unknown=("spec.canary",)), "False", "NewerVersion", "spec.canary"),
        (policy(unknown=("spec.limits[0].scope",)), "False", "NewerVersion", "no new permit"),
    ],
)
def test_what_is_said(ruling: m.NodeRemedier | m.RiskPolicy, status: str, reason: str, text: str) -> None:
    """In force, a newer version's, or an action that no plugin brings."""
    decision = decide(AcceptSnapshot(ruling=ruling, actions=ACTIONS, now=NOW), Policy())
    assert decision.status is not None
    condition = decision.status.conditions[0]
    assert (condition.type, condition.status.value, condition.reason) == ("Accepted", status, reason)
    assert text in condition.message
    assert (decision.effects, decision.wake_at) == ((), None)


@pytest.mark.parametrize(
    ("ruling", "status", "reason", "text"),
    [
        (policy((), ZONE_ONE), "True", "Limits", ""),
        (policy((), limit(m.Scope.CLUSTER, "100%", HOUR)), "True", "Limits", ""),
        (policy(success_gate=m.SuccessGate()), "True", "Limits", ""),
        (policy((), ZONE_ONE, limit(m.Scope.CLUSTER, 0)), "False", "NeverActs", "spec.limits[1].max: 0 of scope cluster"),
        (policy((), limit(m.Scope.SET, 0, HOUR)), "False", "NeverActs", "spec.freeze"),
        (policy((), limit(m.Scope.NODE, 0, HOUR)), "False", "NeverActs", "handed to a person"),
        (policy((), limit(m.Scope.ZONE, "100%")), "False", "AllowsEverything", "the built-in limits hold"),
        (policy(), "False", "AllowsEverything", "{scope: zone, window: 1h, max: 2}"),
        (policy((), limit(m.Scope.FLEET, 3)), "True", "FleetIsCluster", "spec.limits[0].scope: this version knows one"),
        (policy((), freeze=(m.Freeze(scope=m.Scope.FLEET, reason="r"),)), "True", "FleetIsCluster", "spec.freeze[0]"),
    ],
)  # fmt: skip
def test_a_policy_that_could_never_act_or_allows_everything_is_named(
    ruling: m.RiskPolicy, status: str, reason: str, text: str
) -> None:
    """With its place and the fix, and it stays accepted: nothing is widened by taking it for nothing."""
    decision = decide(AcceptSnapshot(ruling=ruling, now=NOW), Policy())
    assert decision.status is not None
    accepted, effective = decision.status.conditions
    assert (accepted.status.value, accepted.reason) == ("True", "InForce")
    assert (effective.type, effective.status.value, effective.reason) == ("Effective", status, reason)
    assert text in effective.message


def test_what_a_newer_version_wrote_is_not_doubted() -> None:
    """Nobody can say what it means; neither has a remedier such a condition."""
    assert doubts(policy(("spec.x",))) == ()
    for ruling in (policy(("spec.x",)), remedier("reboot")):
        decision = decide(AcceptSnapshot(ruling=ruling, actions=ACTIONS, now=NOW), Policy())
        assert decision.status is not None
        assert [one.type for one in decision.status.conditions] == ["Accepted"]


@given(
    st.sampled_from(
        [
            policy((), ZONE_ONE),
            remedier("reboot"),
            remedier("x"),
            policy(),
            policy(("spec.y",)),
            remedier("reboot", unknown=("spec.z",)),
        ]
    ),
    st.timedeltas(timedelta(0), timedelta(days=900)),
)
def test_at_rest_means_at_rest(ruling: m.NodeRemedier | m.RiskPolicy, later: timedelta) -> None:
    """Once said, nothing changes with time; same input, same output."""
    seen = AcceptSnapshot(ruling=ruling, actions=ACTIONS, now=NOW)
    first = decide(seen, Policy())
    assert decide(seen, Policy()) == first
    assert first.status is not None
    settled = attrs.evolve(seen, ruling=attrs.evolve(ruling, status=first.status), now=NOW.plus(later))
    assert decide(settled, Policy()).status == first.status
