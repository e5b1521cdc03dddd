"""The built-in policy, row by row, and when a limit limits."""

from datetime import timedelta

import pytest

from kubenode.core import model as m
from kubenode.core.policy import BUILT_IN, HUNG_TASK, Policy, bounds


def limit(scope: m.Scope, amount: int | str, window: timedelta | None = None) -> m.Limit:
    """A limit as people write it."""
    return m.Limit(scope=scope, max=m.IntOrPercent.parse(amount), window=window)


def test_what_is_built_in() -> None:
    """A twentieth of the cluster and of a zone at once; windows of a minute, an hour and a day; ten a week on one machine."""
    assert BUILT_IN.spec.limits == (
        limit(m.Scope.CLUSTER, "5%"),
        limit(m.Scope.ZONE, "5%"),
        limit(m.Scope.CLUSTER, "1%", timedelta(minutes=1)),
        limit(m.Scope.CLUSTER, "10%", timedelta(hours=1)),
        limit(m.Scope.CLUSTER, "100%", timedelta(days=1)),
        limit(m.Scope.NODE, 10, timedelta(days=7)),
    )
    assert BUILT_IN.spec.success_gate == m.SuccessGate()


@pytest.mark.parametrize("up", [1, 2, 9, 10, 24, 99, 100, 199, 1000, 10_000])
def test_each_window_of_the_built_in_policy_binds_in_a_cluster_of_any_size(up: int) -> None:
    """The longer, the more, and less than the shorter one would add up to; an hour of minutes holds an hour's share."""
    windows = {
        one.window: max(1, one.max.scaled(up)) for one in BUILT_IN.spec.limits if one.scope is m.Scope.CLUSTER
    }
    minute, hour, day = (windows[timedelta(**{name: 1})] for name in ("minutes", "hours", "days"))
    assert 1 <= minute <= hour <= day <= up
    assert day < 24 * hour
    assert hour <= 60 * minute


def test_what_is_healed_by_default() -> None:
    """A kernel that is stuck for 90 s is rebooted, and within ten minutes it is back or handed on."""
    assert Policy.default() == Policy(remediers=(HUNG_TASK,), risk=(BUILT_IN,))
    spec = HUNG_TASK.spec
    assert spec.condition == m.ConditionMatch(type="KernelDeadlock", lasting=timedelta(seconds=90))
    assert spec.ladder == (m.Rung(action="reboot", timeout=timedelta(minutes=10)),)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (limit(m.Scope.ZONE, "100%"), False), (limit(m.Scope.CLUSTER, "100%"), False), (limit(m.Scope.ZONE, "99%"), True),
        (limit(m.Scope.ZONE, 100), True), (limit(m.Scope.ZONE, "100%", timedelta(hours=1)), True),
        (limit(m.Scope.NODE, 3, timedelta(days=7)), False), (limit(m.Scope.CLUSTER, 0), True),
    ],
)  # fmt: skip
def test_what_limits_the_fleet(one: m.Limit, expected: bool) -> None:
    """Everything at once is no limit; a hundred machines, or all of them an hour, is; one of single nodes is not."""
    assert bounds(one) is expected
