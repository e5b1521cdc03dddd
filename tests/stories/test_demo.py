"""The four stories pass; each fails, by the name of a check, when its cause is broken."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from typer.testing import CliRunner

from kubenode.core import model as m
from kubenode.core.decision import PatchNode
from kubenode.core.model import IntOrPercent
from kubenode.runtime.cli.app import app
from kubenode.runtime.controller.machine import MachineController
from kubenode.runtime.controller.remedy import RemedyController
from kubenode.runtime.controller.risk import RiskController
from kubenode.runtime.controller.rollout import RolloutController
from kubenode.runtime.sim.host import Heals, SimHost
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast, Stage, examples

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


def play(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run `kubenode demo -o json` in this process; give exit status and document."""
    result = CliRunner().invoke(app, ["demo", "-o", "json", *arguments], catch_exceptions=False)
    return result.exit_code, json.loads(result.stdout)


def failed(document: dict[str, Any]) -> set[str]:
    """Name the failed checks."""
    return {check["name"] for story in document["stories"] for check in story["failed"]}


def test_all_four_pass_and_say_what_was_done() -> None:
    """The demo prints one document with the fields that programs read."""
    status, document = play()
    assert failed(document) == set()
    assert status == 0
    assert document["passed"] is True
    assert [story["name"] for story in document["stories"]] == ["import", "upgrade", "hung", "outage"]
    assert [story["machines"] for story in document["stories"]] == [3, 200, 6, 20]
    for story in document["stories"]:
        assert story["passed"] is True
        assert min(story["decisions"], story["effects"], story["virtual_seconds"]) > 0
    assert len(document["trace"]) == len(hashlib.sha256().hexdigest())


def test_the_upgrade_is_the_one_that_was_asked_for() -> None:
    """Batches 1/5/10/50/100/34, paused with the machine named, one excused."""
    _, document = play("--story", "upgrade")
    summary = document["stories"][0]["summary"]
    assert "in batches 1/5/10/50/100/34" in summary
    assert "199/200 updated" in summary
    assert "excused 1" in summary
    assert "n117 failed" in summary


def test_the_outage_explains_itself() -> None:
    """In the middle of the outage the binding limit is told with its numbers."""
    _, document = play("--story", "outage")
    assert "zone b: 7 of 10 not ready, limit 5" in document["stories"][0]["explanation"]


def test_installed_examples_are_those_of_the_docs() -> None:
    """What the installed package plays is what the documentation shows."""
    for path in filter(Path.is_file, EXAMPLES.iterdir()):
        assert (examples() / path.name).read_text() == path.read_text()


@pytest.mark.parametrize("story", ["import", "hung", "outage"])
def test_other_seeds_pass_too(story: str) -> None:
    """No story hangs on one seed."""
    for seed in (1, 2, 3):
        told = STORIES[story](Cast.read([EXAMPLES / f"{story}.yaml"]), seed, lambda _: None)
        assert [check for check in told.checks if not check.passed] == []


def test_same_seed_same_trace_under_two_hash_seeds() -> None:
    """Nothing depends on the order of sets: two hash seeds, one trace; another seed, another trace."""
    code = (
        "import sys; from kubenode.runtime.sim.stories import STORIES; from kubenode.runtime.sim.story import Cast, Stage, examples;"
        "print([STORIES[n](Cast.read([examples() / f'{n}.yaml']), int(sys.argv[1]), lambda _: None).trace"
        " for n in STORIES])"
    )

    def trace(hash_seed: str, seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(
            [sys.executable, "-c", code, seed], env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert trace("1", "7") == trace("2", "7")
    assert trace("1", "7") != trace("1", "8")


def no_cure(patch: pytest.MonkeyPatch) -> None:
    """A remedy that does not heal."""
    hang = SimHost.hang
    patch.setattr(SimHost, "hang", lambda self, lines, frees=Heals.NOTHING: hang(self, lines, Heals.NOTHING))


def no_breaker(patch: pytest.MonkeyPatch) -> None:
    """The zone breaker removed, wherever it is asked."""
    for name, module in list(sys.modules.items()):
        if name.startswith("kubenode.") and hasattr(module, "open_breaker"):
            patch.setattr(module, "open_breaker", lambda *_: None)


def no_pause(patch: pytest.MonkeyPatch) -> None:
    """A planner that never pauses."""
    decide = RolloutController.decide

    def never(self: RolloutController, snapshot: Any, policy: Any) -> Any:
        rollout = attrs.evolve(snapshot.set.spec.rollout, failure_threshold=1000)
        spec = attrs.evolve(snapshot.set.spec, rollout=rollout)
        return decide(self, attrs.evolve(snapshot, set=attrs.evolve(snapshot.set, spec=spec)), policy)

    patch.setattr(RolloutController, "decide", never)


def no_taints(patch: pytest.MonkeyPatch) -> None:
    """A taint that is not synced."""
    decide = MachineController.decide

    def forgetful(self: MachineController, snapshot: Any, policy: Any) -> Any:
        decision = decide(self, snapshot, policy)
        effects = tuple(
            attrs.evolve(effect, taints=None) if isinstance(effect, PatchNode) else effect
            for effect in decision.effects
        )
        return attrs.evolve(decision, effects=effects)

    patch.setattr(MachineController, "decide", forgetful)


def double_window(patch: pytest.MonkeyPatch) -> None:
    """A permit window doubled behind the user's back."""
    decide = RiskController.decide

    def generous(self: RiskController, snapshot: Any, policy: Any) -> Any:
        wider = tuple(
            attrs.evolve(one, spec=attrs.evolve(one.spec, limits=tuple(
                limit if limit.window is None else attrs.evolve(limit, max=IntOrPercent(limit.max.amount * 2))
                for limit in one.spec.limits
            )))
            for one in policy.risk
        )  # fmt: skip
        return decide(self, snapshot, attrs.evolve(policy, risk=wider))

    patch.setattr(RiskController, "decide", generous)


def old_timers(patch: pytest.MonkeyPatch) -> None:
    """Health timers that go on through an outage."""
    decide = RemedyController.decide

    def remembering(self: RemedyController, snapshot: Any, policy: Any) -> Any:
        blind = decide(self, attrs.evolve(snapshot, zones={}), policy)  # as if no zone were down
        return attrs.evolve(decide(self, snapshot, policy), sightings=blind.sightings)

    patch.setattr(RemedyController, "decide", remembering)


def no_room(patch: pytest.MonkeyPatch) -> None:
    """MaxUnavailable ignored."""
    room = RiskController._room
    patch.setattr(
        RiskController, "_room", lambda self, one: attrs.evolve(room(self, one), max_unavailable=10**6)
    )


def no_journal(patch: pytest.MonkeyPatch) -> None:
    """An agent that forgets what it has done."""
    seen = SimHost.seen

    def forgetful(self: SimHost) -> Any:
        found = seen(self)
        return None if found is None else attrs.evolve(found, journal={})

    patch.setattr(SimHost, "seen", forgetful)


@pytest.mark.parametrize(
    ("story", "sabotage", "check"),
    [
        ("outage", old_timers, "timers start afresh after the outage"),
        ("upgrade", no_room, "within maxUnavailable"),
        ("hung", no_journal, "no act done twice"),
        ("hung", no_cure, "the hung host is well again"),
        ("outage", no_breaker, "no job opened for the zone during the outage"),
        ("upgrade", no_pause, "paused at the failure"),
        ("import", no_taints, "taints synced"),
        ("upgrade", double_window, "no limit exceeded"),
    ],
)
def test_a_broken_cause_is_seen(
    story: str, sabotage: Callable[[pytest.MonkeyPatch], None], check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`passed` is false, the check is named, and the exit status is 1."""
    sabotage(monkeypatch)
    status, document = play("--story", story)
    assert status == 1
    assert document["passed"] is False
    assert check in failed(document)


def test_your_own_file_is_played(tmp_path: Path) -> None:
    """`--file` plays the user's objects: other sizes, another component, other machines."""
    text = (
        (EXAMPLES / "upgrade.yaml")
        .read_text()
        .replace("[1, 5, 10, 50, 100]", "[2, 25%]")
        .replace("node-exporter", "tracer")
    )
    mine = tmp_path / "mine.yaml"
    mine.write_text(text)
    status, document = play("--story", "upgrade", "--file", str(mine))
    assert failed(document) == set()
    assert status == 0
    assert "2/50/50/50/48" in document["stories"][0]["summary"]


def test_rubbish_in_your_own_file_is_told_with_its_place(tmp_path: Path) -> None:
    """A broken file ends with status 1 and the line, and no traceback."""
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "apiVersion: kubenode.dev/v1alpha1\nkind: Machine\nmetadata: {name: m1}\nspec: {hosst: {address: 1.2.3.4}}\n"
    )
    result = CliRunner().invoke(app, ["demo", "--story", "hung", "--file", str(mine)], catch_exceptions=False)
    assert result.exit_code == 1
    assert "mine.yaml:4" in result.stderr
    assert "hosst" in result.stderr


def edited(tmp_path: Path, *changes: tuple[str, str]) -> str:
    """The upgrade example with some changes."""
    text = (EXAMPLES / "upgrade.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_a_file_that_bears_failures_does_not_pause(tmp_path: Path) -> None:
    """With a threshold above one failure nothing pauses, and that is right."""
    mine = edited(tmp_path, ("observation: 1m", "observation: 1m\n    failureThreshold: 5"))
    status, document = play("--story", "upgrade", "--file", mine)
    assert (status, failed(document)) == (0, set())
    assert document["stories"][0]["checks"]["never paused"] is True


def test_a_second_set_that_does_not_change_is_no_failure(tmp_path: Path) -> None:
    """Only the set that changes is expected to pause and excuse; both are judged."""
    other = """---
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponent
metadata: {name: motd-1}
spec: {version: "1", driver: file, disruption: none, parameters: {path: /etc/motd, content: hello}}
---
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponentSet
metadata: {name: motd}
spec: {name: motd, component: motd-1, rollout: {maxUnavailable: 10%}}
"""
    path = tmp_path / "two.yaml"
    path.write_text((EXAMPLES / "upgrade.yaml").read_text() + other)
    status, document = play("--story", "upgrade", "--file", str(path))
    assert (status, failed(document)) == (0, set())


def test_an_upgrade_file_without_a_change_is_refused(tmp_path: Path) -> None:
    """A story in which nothing happens does not pass."""
    text = (EXAMPLES / "upgrade.yaml").read_text()
    path = tmp_path / "still.yaml"
    path.write_text(text[: text.rindex("---")])
    result = CliRunner().invoke(app, ["demo", "--story", "upgrade", "--file", str(path)])
    assert result.exit_code == 1
    assert "none of the file changes its component" in result.stderr


def test_a_change_also_removes_and_relabels(tmp_path: Path) -> None:
    """What the second document leaves out is removed, as kubectl apply would; also labels of the object."""
    text = (EXAMPLES / "import.yaml").read_text()
    again = "---\napiVersion: kubenode.dev/v1alpha1\nkind: Machine\nmetadata: {name: m3, labels: {pool: other}}\nspec: {host: {address: 10.0.0.13}}\n"
    path = tmp_path / "again.yaml"
    path.write_text(text + again)
    stage = Stage("import", Cast.read([path]), seed=0, tell=lambda _: None)
    stage.open()
    stage.until_running()
    stage.change()
    stage.simulation.rest(limit=timedelta(hours=1))
    machine = stage.read(m.Machine, "m3")
    assert dict(machine.metadata.labels) == {"pool": "other"}
    assert (dict(machine.spec.labels), machine.spec.taints) == ({}, ())
    node = stage.read(m.Node, "node-m3")
    assert "example.com/rack" not in node.metadata.labels
    assert node.spec.taints == ()
