"""Compare your policy with the one that ships, over outages of a simulated fleet."""

from pathlib import Path

from kubenode.core import model as m
from kubenode.core.policy import Policy
from kubenode.runtime.manifests import load_manifests
from kubenode.runtime.sim.face import Scenario, compare

OBJECTS = load_manifests([Path(__file__).parent / "policies"])
rules = tuple(one for one in OBJECTS if isinstance(one, m.NodeRemedier))
ours = Policy(remediers=rules, risk=tuple(one for one in OBJECTS if isinstance(one, m.RiskPolicy)))
outages = [Scenario.library("zone-outage", nodes=60, zones=3, seed=s) for s in range(3)]
result = compare(outages, {"shipped": Policy(remediers=rules), "ours": ours})
print(result)  # a table; result.columns() is a dict of lists, result.plot("fleet") draws
