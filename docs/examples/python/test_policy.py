"""Is my policy safe? A property of a policy, over clusters and faults that Hypothesis makes up."""

from pathlib import Path

from hypothesis import given, settings

from kubenode import Policy, Scenario, load, simulate, strategies

POLICY = Policy.of(load(Path(__file__).parent / "policies"))


@settings(deadline=None)  # half a day of a cluster may take longer than the 200 ms that Hypothesis gives
@given(strategies.scenarios(max_zones=3, max_nodes=60))
def test_one_zone_at_a_time(scenario: Scenario) -> None:
    """We never disrupt nodes of two zones at once."""
    run = simulate(scenario, POLICY)
    run.check_always("one zone at a time", lambda at: len(at.disrupted_zones) <= 1)
