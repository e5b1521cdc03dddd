"""A rollout costs each machine the same, however many there are: in operations, which do not depend on the machine it runs on."""

from collections import Counter
from collections.abc import Iterator
from cProfile import Profile
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

import kubenode
from kubenode.core import model as m
from kubenode.core.model.quantity import nanoseconds
from kubenode.runtime.controller import rollout
from kubenode.runtime.controller.risk import RiskController
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast, examples
from kubenode.runtime.sim.witness import Witness
from kubenode.runtime.store.cache import Cache

SMALL, LARGE = 60, 120
BORNE = 1.05
"""Twice as many machines may cost a little more each: the first batches are small at every size."""
FEW, MANY = 40, 80
"""Where every call is counted, which takes three times as long."""
OURS = Path(kubenode.__file__).parent
BATCHES = (1, 5, 10)
MORE = 1.3
"""What goes through the fleet doubles. What goes through a window's counts grows a little until the window is full."""


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


@pytest.fixture
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decision of a set sees only so many who may be next, and both fleets are larger than that."""
    monkeypatch.setattr(rollout, "CANDIDATES", 2 * BATCHES[-1])


def calls(size: int) -> Counter[str]:
    """Play the upgrade story in small batches, which no limit binds at either size; count the calls of each function of ours.

    A decision of a set goes through its open batch, so the batches must be of one size; and there are the more of them.
    """

    def in_small_batches(one: m.Object) -> m.Object:
        if not isinstance(one, m.MachineComponentSet):
            return one
        spread = attrs.evolve(
            one.spec.rollout,
            batches=tuple(map(m.IntOrPercent, BATCHES)),
            max_unavailable=m.IntOrPercent(BATCHES[-1]),
        )
        return attrs.evolve(one, spec=attrs.evolve(one.spec, rollout=spread))

    cast = Cast.read([examples() / "upgrade.yaml"]).with_machines(size)
    cast = attrs.evolve(
        cast,
        objects=tuple(map(in_small_batches, cast.objects)),
        changes=tuple(map(in_small_batches, cast.changes)),
    )
    profile = Profile(builtins=False)
    told = profile.runcall(STORIES["upgrade"], cast, 0, lambda _: None)
    assert told.passed
    counts = Counter[str]()
    for entry in profile.getstats():
        code = entry.code
        if not isinstance(code, str) and Path(code.co_filename).is_relative_to(OURS):
            where = Path(code.co_filename).relative_to(OURS)
            counts[f"{where}:{code.co_firstlineno} {code.co_name}"] += entry.callcount
    return counts


def grown() -> dict[str, float]:
    """Give the functions that are called more often for each machine in twice the fleet, and by how much."""
    small, large = calls(FEW), calls(MANY)
    assert len(large) > 500
    ratios = {what: count / MANY / (small[what] / FEW) for what, count in large.items() if small[what]}
    return {what: ratio for what, ratio in ratios.items() if ratio > MORE and large[what] > MANY}


@pytest.mark.usefixtures("few_candidates")
def test_no_function_is_called_more_often_for_each_machine_in_twice_the_fleet() -> None:
    """All of it: store, engines, deciders, agents, and the simulation with its witness and checks."""
    assert grown() == {}


@pytest.mark.usefixtures("few_candidates")
def test_a_function_that_went_through_the_fleet_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above can fail: a witness that goes through all permits there ever were, as it once did."""
    look = Witness.look

    def going_through(self: Witness) -> None:
        look(self)
        for permit in self.permits.values():
            nanoseconds(timedelta(seconds=permit.opened))

    monkeypatch.setattr(Witness, "look", going_through)
    assert grown()
