"""Is my policy safe? A property of a policy, over clusters and faults that Hypothesis makes up."""

from pathlib import Path

from hypothesis import given

from kubenode.core import model as m
from kubenode.core.policy import Policy
from kubenode.runtime.manifests import load_manifests
from kubenode.runtime.sim import strategies
from kubenode.runtime.sim.face import Scenario, simulate

OBJECTS = load_manifests([Path(__file__).parent / "policies"])
POLICY = Policy(
    remediers=tuple(one for one in OBJECTS if isinstance(one, m.NodeRemedier)),
    risk=tuple(one for one in OBJECTS if isinstance(one, m.RiskPolicy)),
)


@given(strategies.scenarios(max_zones=3, max_nodes=60))
def test_one_zone_at_a_time(scenario: Scenario) -> None:
    """We never disrupt nodes of two zones at once."""
    run = simulate(scenario, POLICY)
    run.check_always("one zone at a time", lambda at: len(at.disrupted_zones) <= 1)
