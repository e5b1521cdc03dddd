"""What binds where nobody limits anything: the built-in policy, never nothing."""

from datetime import timedelta

from kubenode.core import model as m
from kubenode.core.policy import BUILT_IN, Policy


def policy(name: str, *limits: m.Limit) -> m.RiskPolicy:
    """A policy."""
    return m.RiskPolicy(metadata=m.ObjectMeta(name=name), spec=m.RiskPolicySpec(limits=limits))


def test_without_any_limit_the_built_in_one_binds() -> None:
    """No policy, or policies that limit nothing, are never unlimited."""
    empty = policy("empty")
    assert Policy().limits == (BUILT_IN,)
    assert Policy(risk=(empty,)).limits == (empty, BUILT_IN)


def test_with_a_limit_only_what_people_wrote_binds_by_name() -> None:
    """One limit anywhere is enough to be in charge; every policy binds."""
    limited = policy("b", m.Limit(scope=m.Scope.CLUSTER, window=timedelta(hours=1), max=m.IntOrPercent(2)))
    empty = policy("a")
    assert Policy(risk=(limited, empty)).limits == (empty, limited)
