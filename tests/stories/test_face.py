"""A policy is tried over the simulator: what it may not do is found, told as a story, and shrunk."""

import builtins
import importlib
import os
import runpy
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from kubenode.core import model as m
from kubenode.core.errors import InvalidObjectError
from kubenode.core.model.quantity import IntOrPercent
from kubenode.core.policy import Policy
from kubenode.core.risk.binding import Round
from kubenode.runtime.manifests import load_manifests
from kubenode.runtime.sim import strategies
from kubenode.runtime.sim.face import (
    At,
    Fault,
    InvariantViolated,
    Scenario,
    compare,
    simulate,
    small_scope,
    verify,
)
from kubenode.runtime.sim.host import SimHost
from kubenode.runtime.sim.scenario import FAULTS
from kubenode.runtime.sim.story import examples

PYTHON = examples() / "python"
RULES = tuple(
    one for one in load_manifests([PYTHON / "policies"]) if isinstance(one, m.NodeRemedier)
)  # fmt: skip


def limits(*wanted: m.Limit) -> Policy:
    """Give the rules of the example with these limits, and a width that does not bind before they do."""
    spec = m.RiskPolicySpec(limits=wanted, repair_width=m.RepairWidth(first=100))
    risk = m.RiskPolicy(metadata=m.ObjectMeta(name="tried"), spec=spec)
    return Policy(remediers=RULES, risk=(risk,))


ONE_A_ZONE = limits(m.Limit(scope=m.Scope.ZONE, max=IntOrPercent(1)))
ONE_AT_ALL = limits(m.Limit(scope=m.Scope.CLUSTER, max=IntOrPercent(1)))
BOTH = Scenario(zones={"a": 2, "b": 2}, faults=(Fault("a0", "hung-task", 0), Fault("b0", "hung-task", 0)))
STORY = """\
'one zone at a time' is false at +0:01:30
  +0:00:00  fault   a0  hung task, condition KernelDeadlock
  +0:00:00  fault   b0  hung task, condition KernelDeadlock
  +0:01:30  effect  a0  reboot; in flight a:1 b:0
  +0:01:30  effect  b0  reboot; in flight a:1 b:1
scenario=Scenario(zones={'a': ZONE, 'b': ZONE}, faults=(Fault('a0', 'hung-task', 0), Fault('b0', 'hung-task', 0)), seed=0)"""


def one_zone(at: At) -> bool:
    """At most one zone is being disrupted."""
    return len(at.disrupted_zones) <= 1


def search(policy: Policy, *, shrink: bool = False) -> None:
    """Let Hypothesis look for a scenario in which two zones are disrupted at once."""

    @settings(
        max_examples=100,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
    )
    @given(strategies.scenarios(max_zones=2, max_nodes=6))
    def one_at_a_time(scenario: Scenario) -> None:
        run = simulate(scenario, policy)
        run.check_sound()
        run.check_always("one zone at a time", one_zone)

    one_at_a_time()


def test_a_violation_is_told_as_a_story() -> None:
    """When, what was wrong, what was done, what was in flight in which zone, and how to see it again."""
    with pytest.raises(InvariantViolated) as caught:
        simulate(BOTH, ONE_A_ZONE).check_always("one zone at a time", one_zone)
    assert str(caught.value) == STORY.replace("ZONE", "2")


def test_hypothesis_finds_the_flaw_of_a_policy() -> None:
    """A limit per zone alone lets two zones be disrupted at once."""
    with pytest.raises(InvariantViolated, match="'one zone at a time' is false at") as caught:
        search(ONE_A_ZONE)
    assert "in flight a:1 b:1" in str(caught.value)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_the_flaw_shrinks_to_one_node_in_each_of_two_zones() -> None:
    """What is left is the story of the docs, line by line: two faults, two reboots, and how to see it again."""
    with pytest.raises(InvariantViolated) as caught:
        search(ONE_A_ZONE, shrink=True)
    assert str(caught.value) == STORY.replace("ZONE", "1")


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_the_example_of_a_policy_test_passes_as_a_reader_runs_it(tmp_path: Path) -> None:
    """In a folder of its own, with Hypothesis as it comes: all its examples, and its deadline."""
    for name in ("test_policy.py", "policies"):
        (tmp_path / name).symlink_to(PYTHON / name)
    bare = {name: value for name, value in os.environ.items() if name not in ("CI", "HYPOTHESIS_PROFILE")}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", tmp_path, "test_policy.py"],
        cwd=tmp_path, env=bare, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout


def test_a_controller_that_forgets_its_limits_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The witness counts for itself: both nodes are rebooted at once under a limit of one."""
    monkeypatch.setattr(Round, "_in_flight", lambda self, ask: None)
    with pytest.raises(
        InvariantViolated, match="'no limit exceeded' is false: tried: cluster: 2 in flight, limit 1"
    ):
        simulate(BOTH, ONE_AT_ALL).check_sound()


def test_hypothesis_finds_nothing_against_a_good_policy() -> None:
    """One machine at a time in the whole cluster is one zone at a time."""
    search(ONE_AT_ALL)


def test_hypothesis_finds_a_host_that_runs_an_act_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is judged by the hosts' truth: one that forgets its journal does not get by."""
    start = SimHost.start

    def forgetful(self: SimHost, effect: Any) -> None:
        start(self, effect)
        self.repeats.append(effect.op_id)

    monkeypatch.setattr(SimHost, "start", forgetful)
    with pytest.raises(InvariantViolated, match="no act done twice"):
        search(ONE_AT_ALL)


def test_the_small_scope_is_searched_whole() -> None:
    """A good policy is played over all of it; a flawed one ends the search at its counterexample."""
    whole = verify(ONE_AT_ALL, {"one zone at a time": one_zone})
    assert whole.passed
    assert whole.searched == len(list(small_scope()))
    flawed = verify(ONE_A_ZONE, {"one zone at a time": one_zone})
    assert not flawed.passed
    assert flawed.searched < whole.searched
    assert "in flight a:1 b:1" in str(flawed.counterexample)


def test_the_small_scope_holds_every_single_fault_and_every_pair_but_for_names() -> None:
    """5 singles; pairs counted by hand: on one machine, on two of a zone, on two zones, with an outage."""
    counts = [len(one.faults) for one in small_scope()]
    nodes = len(FAULTS) - 1
    same, one_zone_two, two_zones = (
        nodes * (nodes - 1) // 2,
        nodes * (nodes + 1) // 2,
        nodes * (nodes + 1) // 2,
    )
    with_outage = 2 * nodes + 1
    assert counts.count(1) == len(FAULTS)
    assert counts.count(2) == same + one_zone_two + two_zones + with_outage


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_felt(kind: str) -> None:
    """Each kind changes the run: a node is not ready, or is acted on; only the useless reboot never heals."""
    run = simulate(
        Scenario(zones={"a": 2}, faults=(Fault("a" if kind == "zone-outage" else "a0", kind),)), ONE_AT_ALL
    )
    assert any(at.not_ready or at.disrupted for at in run.moments)
    assert (run.healed is None) == (kind == "reboot-useless")
    run.check_sound()


def test_a_scenario_is_its_repr() -> None:
    """What a failure prints can be pasted and played."""
    for one in (BOTH, Scenario.library("zone-outage", nodes=9, seed=3), Scenario(zones={}, hours=3)):
        assert eval(repr(one)) == one  # noqa: S307 - what a person does with it
    again = simulate(eval(repr(BOTH)), ONE_AT_ALL)  # noqa: S307
    assert again.moments == simulate(BOTH, ONE_AT_ALL).moments


def test_a_wrong_scenario_says_what_was_meant() -> None:
    """Names are looked up, and the nearest is offered."""
    with pytest.raises(ValueError, match="no scenario 'zone-outtage'; did you mean 'zone-outage'\\?"):
        Scenario.library("zone-outtage")
    with pytest.raises(InvalidObjectError, match="no fault 'hung'; did you mean 'hung-task'"):
        Fault("a0", "hung")
    with pytest.raises(InvalidObjectError, match="no machine 'a7'"):
        Scenario(zones={"a": 2}, faults=(Fault("a7", "hung-task"),))


def test_policies_are_compared_over_the_same_scenarios() -> None:
    """The lax one is quicker and touches more at once; the table and the columns say so."""
    result = compare([BOTH], {"zone": ONE_A_ZONE, "all": ONE_AT_ALL})
    columns = result.columns()
    assert columns["policy"] == ["zone", "all"]
    assert columns["most_in_flight"] == [2, 1]
    assert columns["most_zones_at_once"] == [2, 1]
    assert columns["disruptions"] == [2, 2]
    assert columns["time_to_heal_s"][0] < columns["time_to_heal_s"][1]
    assert [line.split()[0] for line in repr(result).splitlines()] == ["policy", "zone", "all"]


def test_extras_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without hypothesis and plotly, the error says what to install."""
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".", maxsplit=1)[0] in ("hypothesis", "plotly"):
            raise ImportError(name)
        return real(name, *rest, **more)

    result = compare([], {})
    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "kubenode.runtime.sim.strategies")
    with pytest.raises(
        ImportError, match=r"kubenode\.strategies needs hypothesis: pip install 'kubenode\[notebook\]'"
    ):
        importlib.import_module("kubenode.runtime.sim.strategies")
    with pytest.raises(ImportError, match="plot needs plotly: pip install 'kubenode\\[notebook\\]'"):
        result.plot("fleet")


def test_the_example_of_a_policy_test_passes() -> None:
    """As in the docs, with fewer examples."""
    told = runpy.run_path(str(PYTHON / "test_policy.py"))["test_one_zone_at_a_time"].hypothesis.inner_test
    few = settings(max_examples=8, derandomize=True, deadline=None, database=None)
    few(given(strategies.scenarios(max_zones=3, max_nodes=60))(told))()


def test_the_notebook_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the table."""
    result = runpy.run_path(str(PYTHON / "notebook.py"))["result"]
    assert capsys.readouterr().out == f"{result!r}\n"
    assert result.columns()["policy"] == ["shipped"] * 3 + ["ours"] * 3


def test_the_plot_draws_machines_that_are_not_ready_over_minutes() -> None:
    """A stepped line per policy and scenario, from the first that is down until none is."""
    figure = compare([BOTH], {"zone": ONE_A_ZONE, "all": ONE_AT_ALL}).plot("fleet")
    assert [line.name for line in figure.data] == ["zone", "all"]
    together, one_by_one = ([*zip(line.x, line.y, strict=True)] for line in figure.data)
    assert together[0] == (0.0, 2)
    assert together[-1][1] == one_by_one[-1][1] == 0
    assert max(count for _, count in one_by_one) == 2
    assert together[-1][0] < one_by_one[-1][0] < 10
    assert {line.line.shape for line in figure.data} == {"hv"}
    assert figure.layout.yaxis.title.text == "machines not Ready"


@settings(max_examples=15)
@given(
    scenario=strategies.scenarios(max_zones=2, max_nodes=6, max_faults=3),
    policy=strategies.policies(base=ONE_AT_ALL),
)
def test_kubenode_keeps_its_word_under_any_limits(scenario: Scenario, policy: Policy) -> None:
    """No limit exceeded, no act without a permit, none twice: whatever the limits and the faults."""
    run = simulate(scenario, policy)
    run.check_sound()
    assert all(at.elapsed >= timedelta(0) for at in run.moments)
