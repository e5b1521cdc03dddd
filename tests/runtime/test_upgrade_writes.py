"""What an upgrade of one component on one node costs the API server: every write is counted, and none may come that is not here."""

from collections import Counter
from datetime import timedelta

import pytest

from kubenode.core import model as m
from kubenode.runtime.engine.apply import CrashPoint, Watchman
from kubenode.runtime.sim.run import AGENTS
from kubenode.runtime.sim.story import Cast, Stage, examples

HOUR = timedelta(hours=1)


def written(stage: Stage) -> Counter[tuple[str, str, str]]:
    """Count what is asked of the server from now on: who, what, of which kind."""
    counts: Counter[tuple[str, str, str]] = Counter()

    def watchman(name: str) -> Watchman:
        def note(point: CrashPoint) -> None:
            if not point.after:
                kind = getattr(getattr(point.act, "object", None), "kind", "")
                counts["agent" if name == AGENTS else "controller", type(point.act).__name__, kind] += 1

        return note

    for name, process in stage.simulation.processes.items():
        process.watchman = watchman(name)
    return counts


@pytest.mark.parametrize(("machines", "of_the_set", "of_the_ledger"), [(1, 6, 2), (4, 16, 6)])
def test_an_upgrade_on_a_node_takes_so_many_writes(
    machines: int, of_the_set: int, of_the_ledger: int
) -> None:
    """Four of its Machine: the entry, the agent's report, two of the controllers' status; set and ledger are of whole batches."""
    stage = Stage(
        "test", Cast.read([examples() / "upgrade.yaml"]).with_machines(machines), seed=0, tell=lambda _: None
    )
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=HOUR)
    counts = written(stage)
    stage.change()
    stage.simulation.rest(limit=24 * HOUR)
    assert stage.phases() == {"Running": machines}
    assert stage.read(m.MachineComponentSet, "node-exporter").status.phase == "Complete"
    steps = counts.pop(("agent", "RunSteps", ""))  # on the host; it asks no server
    assert steps == machines
    assert counts == {
        ("controller", "SetEntry", ""): machines,
        ("agent", "WriteStatus", "Machine"): machines,
        ("controller", "WriteStatus", "Machine"): 2 * machines,
        ("controller", "WriteStatus", "MachineComponentSet"): of_the_set,
        ("controller", "WriteStatus", "RiskLedger"): of_the_ledger,
    }
