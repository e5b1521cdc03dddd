"""Why the fleet waits: freezes of every scope, and outages, each with what would end it."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.explain import explain, what_if
from kubenode.core.health.zones import ZoneTally
from kubenode.core.policy import Policy
from tests.core.risk.builders import FREE, ask, limit, policy_of, world


def frozen(*freezes: m.Freeze) -> Policy:
    """A policy that limits little, and freezes."""
    one = policy_of(limit(m.Scope.CLUSTER, 100)).risk[0]
    return Policy(risk=(attrs.evolve(one, spec=attrs.evolve(one.spec, freeze=freezes)),))


@pytest.mark.parametrize(
    ("scope", "name", "said"),
    [
        (m.Scope.CLUSTER, "", "cluster"), (m.Scope.FLEET, "", "fleet"), (m.Scope.ZONE, "a", "zone a"),
        (m.Scope.SET, "kubelet", "set kubelet"), (m.Scope.NODE, "m-new", "node m-new"),
    ],
)  # fmt: skip
def test_a_freeze_is_lifted_whatever_its_scope(scope: m.Scope, name: str, said: str) -> None:
    """A person ends one that has no end; others stay."""
    elsewhere = m.Freeze(scope=m.Scope.ZONE, name="elsewhere", reason="other")
    policy = frozen(m.Freeze(scope=scope, name=name, reason="power"), elsewhere)
    found = what_if(world(ask("new")), policy)
    assert found.text == f"would act if the freeze of {said} were lifted"
    assert found.policy == frozen(elsewhere)


def test_an_outage_is_explained() -> None:
    """Of the zone, and of all zones: so many Nodes have to be back."""
    tallies = {"a": ZoneTally(nodes=10, not_ready=7), "b": ZoneTally(nodes=10)}
    found = explain(world(ask("new"), zones=tallies), FREE)
    assert found.text == "DEFER  m-new: zone a: 7 of 10 not ready, limit 5\nwould act if zone a <= 5 (now 7)"
    dark = {zone: ZoneTally(nodes=2, not_ready=2) for zone in "ab"}
    found = explain(world(ask("new"), zones=dark), FREE)
    assert found.counterfactual == "would act if cluster <= 3 (now 4)"
