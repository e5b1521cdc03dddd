"""A remedier's own limits in a simulated cluster whose policy allows more: kept by what the hosts show."""

from datetime import timedelta

import attrs

from kubenode.core import model as m
from kubenode.core.policy import HUNG_TASK, Policy
from kubenode.runtime.sim.face import Run, simulate
from kubenode.runtime.sim.scenario import Fault, Scenario

WIDE = m.RiskPolicy(
    metadata=m.ObjectMeta(name="wide"),
    spec=m.RiskPolicySpec(
        limits=(m.Limit(scope=m.Scope.CLUSTER, max=m.IntOrPercent(50)),), repair_width=m.RepairWidth(first=50)
    ),
)
STRUCK = ("a0", "b0", "a1", "b1", "a2", "b2")
STORY = Scenario(
    seed=1, zones={"a": 10, "b": 10}, faults=tuple(Fault(name, "hung-task", 5) for name in STRUCK)
)


def play(*limits: m.Limit, dry_run: bool = False) -> Run:
    """Six machines hang at once; the remedier has these limits."""
    spec = attrs.evolve(HUNG_TASK.spec, limits=limits, dry_run=dry_run)
    run = simulate(STORY, Policy(remediers=(attrs.evolve(HUNG_TASK, spec=spec),), risk=(WIDE,)))
    run.check_sound()
    return run


def test_without_them_all_are_rebooted_at_once() -> None:
    """So what follows is theirs."""
    run = play()
    assert max(at.in_flight for at in run.moments) == 6
    assert run.healed is not None


def test_in_flight_and_by_the_hour() -> None:
    """One of a zone at a time; and within any hour four, though everybody waits; all are healed in the end."""
    run = play(
        m.Limit(scope=m.Scope.ZONE, max=m.IntOrPercent(1)),
        m.Limit(scope=m.Scope.CLUSTER, window=timedelta(hours=1), max=m.IntOrPercent(4)),
    )
    for at in run.moments:
        zones = list(at.disrupted.values())
        assert len(zones) == len(set(zones))
    begun = [line.at for line in run.lines if line.what == "effect"]
    assert len(begun) == 6
    assert begun[4] - begun[0] >= timedelta(hours=1)
    assert run.healed is not None


def test_a_dry_run_disrupts_nobody() -> None:
    """Nobody is healed either, and every machine still hangs."""
    run = play(dry_run=True)
    assert (run.disruptions, run.healed) == (0, None)
