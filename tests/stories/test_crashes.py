"""Every effect of the hung and the import story is a crash point: whatever dies there, the end is the same."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.runtime.engine.apply import CrashPoint
from kubenode.runtime.sim import story as stage_module
from kubenode.runtime.sim.faults import Fault, FaultyStore
from kubenode.runtime.sim.run import AGENTS, CONTROLLER, SimulatedCrash, Simulation
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast, Told, examples
from kubenode.runtime.testing.canonical import canonical


@attrs.define
class Saboteur:
    """Counts crash points of one process, and dies at one of them."""

    dies_at: int | None
    seen: int = 0

    def __call__(self, point: CrashPoint) -> None:
        """Count, or crash."""
        self.seen += 1
        if self.seen - 1 == self.dies_at:
            raise SimulatedCrash


@attrs.frozen
class Run:
    """One run: its judgement, its final objects, what was done to whom, and how many points it had."""

    told: Told
    final: dict[str, m.Json]
    acts: dict[str, list[str]]
    points: int


def run(
    story: str,
    process: str,
    monkeypatch: pytest.MonkeyPatch,
    dies_at: int | None = None,
    faults: dict[int, Fault] | None = None,
) -> Run:
    """Play a story in which one process dies at one crash point, or whose writes meet faults."""
    saboteur = Saboteur(dies_at)
    made: list[Simulation] = []

    def simulation(*, seed: int) -> Simulation:
        one = Simulation(seed=seed)
        one.processes[process].watchman = saboteur
        if faults is not None:
            one.processes[process].writes_to = FaultyStore(one.store, lambda n: faults.get(n, Fault.NONE))
        made.append(one)
        return one

    with monkeypatch.context() as patch:
        patch.setattr(stage_module, "Simulation", simulation)
        told = STORIES[story](Cast.read([examples() / f"{story}.yaml"]), 0, lambda _: None)
    one = made[0]
    final = canonical([raw for kind in m.WATCHED for raw in one.objects(kind)])
    acts = {
        name: [type(step).__name__ for span in host.spans for step in span.steps]
        for name, host in one.hosts.items()
    }
    return Run(told, final, acts, saboteur.seen)


@pytest.mark.parametrize("process", [CONTROLLER, AGENTS])
@pytest.mark.parametrize("story", ["import", "hung"])
def test_a_crash_at_any_point_changes_nothing(
    story: str, process: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before or after every single effect: same final objects, same acts on every host, every check passed."""
    whole = run(story, process, monkeypatch)
    assert whole.told.passed
    assert whole.points > 20
    for point in range(whole.points):
        crashed = run(story, process, monkeypatch, dies_at=point)
        assert [check for check in crashed.told.checks if not check.passed] == [], f"crash point {point}"
        assert crashed.final == whole.final, f"crash point {point}"
        assert crashed.acts == whole.acts, f"crash point {point}"


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
@pytest.mark.parametrize("process", [CONTROLLER, AGENTS])
def test_no_write_is_lost_or_doubled_by_a_fault(
    process: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429, 500, reset, conflict and a lost answer, at every single write of the hung story: same end, same acts."""
    whole = run("hung", process, monkeypatch)
    for write in range(whole.points // 2):
        bent = run("hung", process, monkeypatch, faults={write: fault})
        assert [check for check in bent.told.checks if not check.passed] == [], f"write {write}"
        assert bent.final == whole.final, f"write {write}"
        assert bent.acts == whole.acts, f"write {write}"
