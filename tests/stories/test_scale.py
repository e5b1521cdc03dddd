"""A rollout costs each machine the same, however many there are: in operations, which do not depend on the machine it runs on."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.runtime.controller.risk import RiskController
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast, examples
from kubenode.runtime.store.cache import Cache

SMALL, LARGE = 60, 120
BORNE = 1.05
"""Twice as many machines may cost a little more each: the first batches are small at every size."""


def cost(size: int, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Play the upgrade story; count decisions, effects, and the objects that are gone through in caches."""
    counts = Counter[str]()
    every = Cache.all

    def counting(self: Cache, kind: Any) -> Iterator[Any]:
        for obj in every(self, kind):
            counts[kind.KIND.name] += 1
            yield obj

    monkeypatch.setattr(Cache, "all", counting)
    told = STORIES["upgrade"](Cast.read([examples() / "upgrade.yaml"]).with_machines(size), 0, lambda _: None)
    monkeypatch.setattr(Cache, "all", every)
    assert told.passed
    return counts + Counter(decisions=told.decisions, effects=told.effects)


def growth(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Give by how much each count of one machine is larger in twice the fleet."""
    small, large = cost(SMALL, monkeypatch), cost(LARGE, monkeypatch)
    assert small.keys() == large.keys()
    return {what: large[what] / LARGE / (small[what] / SMALL) for what in small}


def test_a_rollout_costs_each_machine_the_same_in_twice_the_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions, effects, and all that controllers and agents go through in their caches."""
    found = growth(monkeypatch)
    assert {"decisions", "effects", "Machine", "MachineComponentSet"} <= found.keys()
    assert {what: ratio for what, ratio in found.items() if ratio > BORNE} == {}


def test_a_controller_that_went_through_the_fleet_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above can fail: one scan a risk decision, and each machine is gone through the more often."""

    def scanning(self: RiskController) -> bool:
        return sum(machine.status.first_running is not None for machine in self._cache.all(m.Machine)) > 0

    monkeypatch.setattr(RiskController, "_history", scanning)
    assert growth(monkeypatch)["Machine"] > BORNE
