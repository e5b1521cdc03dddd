"""Is the policy what we meant? Tried on a simulated cluster, before it is live."""

from pathlib import Path

from kubenode import Policy, load
from kubenode.runtime.sim.face import Fault, Scenario, simulate

POLICY = Policy.of(load(Path(__file__).parent / "policies"))
TWO_HUNG = (Fault("a0", "hung-task"), Fault("b0", "hung-task"))


def test_never_two_at_once() -> None:
    """Two tasks hang at once, in two zones; we meant that one machine is rebooted after the other."""
    run = simulate(Scenario(zones={"a": 2, "b": 2}, faults=TWO_HUNG), POLICY)
    run.check_always("one at a time", lambda at: at.in_flight <= 1)
