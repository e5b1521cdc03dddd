"""What is told of whole stories: what matters, about the right object, and less than one Event a machine and upgrade."""

from collections import Counter
from datetime import timedelta

import pytest

from kubenode.core import model as m
from kubenode.runtime.engine.loop import Decided
from kubenode.runtime.events.correlate import Correlator
from kubenode.runtime.events.notice import Listener, Notice
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast, Stage, examples
from tests.runtime.stages import HOUR, hung, staged


class Ear:
    """Hears all that a simulation decides, as the recorder of an engine does."""

    def __init__(self, stage: Stage) -> None:
        self.notices: list[Notice] = []
        self.writes: list[str] = []
        self._listener = Listener()
        self._correlator = Correlator()
        stage.simulation.listen(self.hear)

    def hear(self, decided: Decided) -> None:
        """Hear one decision, and take its acts for done."""
        for notice in self._listener.hear(decided):
            self.notices.append(notice)
            write = self._correlator.see(notice, decided.now)
            if write is not None:
                self._correlator.written(write)
                self.writes.append(write.name)

    def said(self, kind: str, name: str) -> list[tuple[str, str]]:
        """Give type and reason of what was told of an object."""
        return [(one.type, one.reason) for one in self.notices if (one.about.kind, one.about.name) == (kind, name)]  # fmt: skip


@pytest.mark.parametrize("machines", [20, 100])
def test_an_upgrade_is_less_than_one_event_a_machine(machines: int) -> None:
    """All writes of Events of the whole rollout, with a failure, a pause and its resumption, by machine."""
    stage = staged(machines=machines, refusing=("n004",))
    ear = Ear(stage)
    stage.change()
    stage.simulation.rest(limit=24 * HOUR)
    excuse = {"revision": "2", "failures": 1}
    stage.simulation.change(m.MachineComponentSet, "node-exporter", {"spec": {"rollout": {"excuse": excuse}}})
    stage.simulation.rest(limit=24 * HOUR)
    found = stage.read(m.MachineComponentSet, "node-exporter").status
    assert (found.phase, found.updated) == ("Complete", machines - 1)
    assert 0 < len(ear.writes) <= machines
    told = ear.said("MachineComponentSet", "node-exporter")
    assert [one for one in told if one[1] != "PermitDeferred"] == [
        ("Normal", "RollingOut"), ("Warning", "FailureThreshold"), ("Normal", "Complete"),
    ]  # fmt: skip
    assert ear.said("Machine", "n004") == [("Warning", "InstallFailed")]
    about = Counter(one.about.name for one in ear.notices if one.about.kind == "Machine")
    assert set(about) == {"n004"}


def test_an_episode_is_told_of_its_machine() -> None:
    """From the condition to the proof, with op-ids; of no other machine anything."""
    stage = staged("hung", machines=6)
    ear = Ear(stage)
    hung(stage)
    said = [reason for _, reason in ear.said("Machine", "n003")]
    assert said[:3] == ["NodeNotReady", "EpisodeOpened", "PermitGranted"]
    assert said[-1] == "Running"
    assert [word for word in said if word in ("Acting", "Failed", "Succeeded")] == ["Acting", "Failed", "Acting", "Succeeded"]  # fmt: skip
    assert {one.about.name for one in ear.notices if one.about.kind == "Machine"} == {"n003"}
    job = stage.all(m.RemedyOperationJob)[0]
    for attempt in job.status.attempts:
        assert any(attempt.op_id in one.message for one in ear.notices)


def test_an_import_tells_each_phase_once() -> None:
    """As it goes, and nothing of rest."""
    stage = Stage("test", Cast.read([examples() / "upgrade.yaml"]).with_machines(3), seed=0, tell=lambda _: None)  # fmt: skip
    ear = Ear(stage)
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=HOUR)
    for name in ("n001", "n002", "n003"):
        reasons = [reason for _, reason in ear.said("Machine", name)]
        assert reasons[-1] == "Running"
        assert len(set(reasons)) == len(reasons) <= 5
    before = len(ear.notices)
    stage.simulation.run_until(lambda: False, limit=timedelta(hours=12))
    assert len(ear.notices) == before


def test_an_outage_floods_nobody() -> None:
    """A zone that goes down and comes back: a few Events a machine, whatever is decided meanwhile."""
    heard: list[Ear] = []
    STORIES["outage"](
        Cast.read([examples() / "outage.yaml"]), 0, lambda _: None,
        lambda simulation: heard.append(_ear(simulation)),
    )  # fmt: skip
    (ear,) = heard
    about = Counter(one.about.name for one in ear.notices)
    assert ear.writes
    assert max(about.values()) <= 25, about.most_common(3)


def _ear(simulation: object) -> Ear:
    class Held:
        """What an Ear needs of a stage."""

    held = Held()
    held.simulation = simulation  # type: ignore[attr-defined]
    return Ear(held)  # type: ignore[arg-type]
