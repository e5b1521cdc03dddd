"""Whether a remedier or policy is understood, and so in force."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.accept.decide import AcceptSnapshot, decide
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


def policy(unknown: tuple[str, ...] = ()) -> m.RiskPolicy:
    """A policy."""
    return m.RiskPolicy(metadata=m.ObjectMeta(name="p", generation=3, unknown=unknown))


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
    (condition,) = decision.status.conditions
    assert (condition.type, condition.status.value, condition.reason) == ("Accepted", status, reason)
    assert text in condition.message
    assert (decision.effects, decision.wake_at) == ((), None)


@given(
    st.sampled_from(
        [
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
