"""What keeps the gate of a batch shut, and what would open it: each word is decided anew."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import Verdict
from kubenode.core.errors import Problem
from kubenode.core.explain import explain, what_if
from kubenode.core.inspection import Fail, Inconclusive, Pass
from kubenode.core.policy import Policy
from kubenode.core.rollout.control import is_significant
from kubenode.core.rollout.tally import Rate
from tests.core.rollout.world import World, rolled_out

DEFAULT = Policy.default()
HOOKS = tuple(m.InspectionHook(name=name, inspector="x") for name in ("errors", "smoke"))
TWO = m.IntOrPercent(2)


def rolling(count: int = 6, **inspection: Any) -> World:
    """Give a rollout in batches of two, inspected so."""
    world = rolled_out(count, batches=(TWO,), max_unavailable=TWO, min_ready_seconds=0)
    world.ask("kubelet-2", inspection=m.Inspection(**inspection))
    return world


def turns(world: World, count: int = 12) -> World:
    """Let everybody have so many turns."""
    for _ in range(count):
        for act in (world.rollout, world.risk, world.agents):
            act()
        world.now = world.now.plus(timedelta(seconds=1))
    return world


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"errors": Fail(text="9 > 1"), "smoke": Pass()}, "would act if errors passed"),
        ({"errors": Inconclusive(text="no data"), "smoke": Fail(text="503")}, "would act if errors, smoke passed"),
        ({"errors": Inconclusive(text="no data"), "smoke": Pass()}, "would act if errors passed"),
        ({"errors": Pass()}, "would act if smoke passed"),
        ({}, "would act if errors, smoke passed"),
        ({"smoke": Problem(where="x", what="PluginMissing: no plugin")}, "would act if smoke could be asked"),
        ({"smoke": Problem(where="x", what="ParametersInvalid: no url")}, "would act if smoke could be asked"),
    ],
)  # fmt: skip
def test_hooks_are_explained(answers: Any, said: str) -> None:
    """By those that would have to pass."""
    world = rolling(hooks=HOOKS)
    world.answers = answers
    found = explain(turns(world).snapshot(), DEFAULT)
    assert (found.verdict, found.counterfactual) == (Verdict.DEFER, said)


def test_suspects_are_explained_before_hooks() -> None:
    """Only those that were updated; the hooks are asked all the same."""
    world = rolling(hooks=HOOKS)
    world.answers = {"errors": Inconclusive(text="no data"), "smoke": Pass()}
    turns(world)
    batch = world.owner.status.batch
    assert batch is not None
    names = sorted(member.name for member in batch.members)
    for name in names:
        world.evolve(name, available=False)
    world.rollout()
    found = explain(world.snapshot(), DEFAULT)
    assert found.counterfactual == f"would act if {names[0]}, {names[1]} were available and errors passed"


def test_a_rollout_that_passes_over_people_s_machines_is_explained() -> None:
    """By the label; without it the first of them is next."""
    world = rolling()
    for name in ("n001", "n002", "n003", "n005"):
        world.evolve(name, held=True)
    world.settle()
    seen = world.snapshot()
    found = explain(seen, DEFAULT)
    assert (found.verdict, found.observed, found.limit) == (Verdict.DEFER, 4, 0)
    names = [seat.machine.name for seat in seen.tally.held_first]
    who = ", ".join(names[:3]) + " and 1 more"
    assert found.counterfactual == f"would act if nobody held {who} by label kubenode.dev/hold"
    batch = world.owner.status.batch
    assert batch is None
    for name in names:
        world.evolve(name, held=False)
    assert what_if(seen, DEFAULT).seen.tally.candidates == world.snapshot().tally.candidates


@pytest.mark.parametrize(("confidence", "left"), [(95, 1), (50, 0)])
def test_a_worse_control_group_is_explained_by_the_last_number_that_is_borne(confidence: int, left: int) -> None:  # fmt: skip
    """One more would be worse."""
    group = m.ControlGroup(conditions=("Hung", "Ready"), confidence=confidence)
    world = rolling(30, control_group=group)
    turns(world)
    world = rolling(30, control_group=group)
    while len(world.touched) < 2:
        turns(world, 1)
    for name in world.touched:
        world.evolve(name, faults=frozenset({"Hung"}))
    turns(world)
    assert len(world.touched) == 2
    found = explain(world.snapshot(), DEFAULT)
    assert found.counterfactual == f"would act if Hung on {left} updated machines or fewer (now 2)"


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 12), st.integers(50, 99))
def test_fewer_faults_are_never_worse(updated: int, waiting: int, others: int, confidence: int) -> None:
    """So there is one last number that is borne, and it can be searched for."""
    group = m.ControlGroup(conditions=("Hung",), confidence=confidence)
    rates = [
        Rate(type="Hung", updated=few, of_updated=updated, waiting=min(others, waiting), of_waiting=waiting)
        for few in range(updated + 1)
    ]
    worse = [is_significant(rate, group) for rate in rates]
    assert worse == sorted(worse)
    assert not worse[0]


def test_a_control_group_that_is_too_small_is_explained() -> None:
    """By the word that lets it go on."""
    group = m.ControlGroup(conditions=("Hung",), inconclusive=m.Inconclusive.PAUSE)
    world = rolling(4, control_group=group)
    found = explain(turns(world).snapshot(), DEFAULT)
    assert (
        found.counterfactual == "would act if spec.rollout.inspection.controlGroup.inconclusive is Continue"
    )
