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


def test_what_allows_everything_is_never_unlimited() -> None:
    """100 % at once, or a limit of single nodes, leaves the built-in limits in force beside it."""
    everything = policy("all", m.Limit(scope=m.Scope.ZONE, max=m.IntOrPercent(100, percent=True)))
    week = m.Limit(scope=m.Scope.NODE, window=timedelta(days=7), max=m.IntOrPercent(3))
    nodes = policy("nodes", week)
    assert Policy(risk=(everything,)).limits == (everything, BUILT_IN)
    assert Policy(risk=(nodes, everything)).limits == (everything, nodes, BUILT_IN)


def test_attempts_of_a_machine_are_always_capped() -> None:
    """By what people wrote, else by the built-in ten a week."""
    week = m.Limit(scope=m.Scope.NODE, window=timedelta(days=7), max=m.IntOrPercent(3))
    zone = m.Limit(scope=m.Scope.ZONE, max=m.IntOrPercent(3))
    (built_in,) = Policy(risk=(policy("p", zone),)).attempt_limits
    assert (built_in.max, built_in.window) == (m.IntOrPercent(10), timedelta(days=7))
    assert Policy(risk=(policy("p", zone, week),)).attempt_limits == (week,)


def test_with_a_limit_only_what_people_wrote_binds_by_name() -> None:
    """One limit anywhere is enough to be in charge; every policy binds."""
    limited = policy("b", m.Limit(scope=m.Scope.CLUSTER, window=timedelta(hours=1), max=m.IntOrPercent(2)))
    empty = policy("a")
    assert Policy(risk=(limited, empty)).limits == (empty, limited)
