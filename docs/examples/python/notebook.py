"""Compare your policy with the one that ships, over outages of a simulated fleet."""

from pathlib import Path

from kubenode import Policy, Scenario, compare, load

ours = Policy.of(load(Path(__file__).parent / "policies"))
outages = [Scenario.library("zone-outage", nodes=60, zones=3, seed=s) for s in range(3)]
result = compare(outages, {"shipped": Policy.default(), "ours": ours})
print(result)  # a table; result.columns() is a dict of lists, result.plot("fleet") draws
