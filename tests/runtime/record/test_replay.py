"""A replay decides the same under the same policy, byte for byte, and shows what another one would change."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import attrs
import pytest
from typer.testing import CliRunner

from kubenode.core import model as m
from kubenode.core.decision import Verdict
from kubenode.core.policy import Policy
from kubenode.runtime.cli.app import app
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.record import Recording, canonical, deciders, recorder, replay
from kubenode.runtime.record.deciders import decided
from kubenode.runtime.sim.stories import STORIES
from tests.runtime.record import stories

ROOT = Path(__file__).resolve().parents[3]
SAME = """
import hashlib, sys
from kubenode.runtime.record import Recording, canonical, replay
from kubenode.runtime.record.deciders import decided
found = Recording.load(sys.argv[1])
assert replay(found).changes == ()
text = "".join(canonical(decided(one.snapshot, one.policy)) for one in found.records)
print(len(found.records), hashlib.sha256(text.encode()).hexdigest())
"""


def run(hash_seed: int, *words: str) -> str:
    """Run python under another seed of hashes; give what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *words], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("story", STORIES)
def test_the_same_policy_decides_the_same_byte_for_byte(story: str, tmp_path: Path) -> None:
    """Recorded under two seeds of hashes and replayed under three: one file, and one text of all decisions."""
    files = [tmp_path / "1.knrec", tmp_path / "2.knrec"]
    for seed, file in enumerate(files, 1):
        run(seed, "-m", "tests.runtime.record.stories", story, str(file))
    assert files[0].read_bytes() == files[1].read_bytes()
    said = {run(seed, "-c", SAME, str(files[0])) for seed in (0, 1, 4_294_967_295)}
    assert len(said) == 1
    assert int(said.pop().split()[0]) > 100
    assert stories.MACHINES == 12


def patient(recording: Recording) -> Policy:
    """Give the policy of a recording, but that every condition has to last ten minutes longer."""
    (one,) = recording.policy.remediers
    wait = attrs.evolve(one.spec.condition, lasting=one.spec.condition.lasting + timedelta(minutes=10))
    return attrs.evolve(
        recording.policy,
        remediers=(attrs.evolve(one, spec=attrs.evolve(one.spec, condition=wait)),),
    )


def test_another_policy_shows_what_it_would_change(recording: Recording) -> None:
    """Where, when, what was decided then and what is decided now; from the first change on it is conjecture."""
    found = replay(recording, patient(recording))
    assert found.changes
    acted = [one for one in found.changes if one.before.verdict is Verdict.ACT]
    assert acted
    assert all(one.controller == "remedy" for one in found.changes)
    assert {one.after.verdict for one in acted} == {Verdict.DEFER}
    assert found.open_loop_after == found.changes[0].at == min(one.at for one in found.changes)
    assert [one.now for one in found.changes] == sorted(
        (one.now for one in found.changes), key=lambda now: now.elapsed
    )


def test_the_same_policy_given_by_hand_changes_nothing(recording: Recording) -> None:
    """It is the policy that counts, not that one was given."""
    found = replay(recording, recording.policy)
    assert found.changes == ()
    assert found.open_loop_after is None


def test_a_stricter_limit_shows_in_the_decisions_about_permits(recording: Recording) -> None:
    """A freeze of the cluster: what was granted then is refused."""
    frozen = m.RiskPolicy(
        metadata=m.ObjectMeta(name="frozen"),
        spec=m.RiskPolicySpec(freeze=(m.Freeze(scope=m.Scope.CLUSTER, reason="the day of the fair"),)),
    )
    found = replay(recording, attrs.evolve(recording.policy, risk=(frozen,)))
    permits = [one for one in found.changes if one.controller == "risk"]
    assert any("the day of the fair" in note.text for one in permits for note in one.after.notes)
    assert any(one.before.verdict is Verdict.ACT and one.after.verdict is Verdict.DEFER for one in permits), (
        permits
    )


def test_other_rungs_are_planned_anew(recording: Recording) -> None:
    """The steps that were recorded are of other rungs: taken for the new ones they would be the wrong act."""
    (one,) = recording.policy.remediers
    kubelet = m.Rung(action="restart-unit", parameters={"unit": "kubelet.service"})
    other = attrs.evolve(
        recording.policy, remediers=(attrs.evolve(one, spec=attrs.evolve(one.spec, ladder=(kubelet,))),)
    )
    found = replay(recording, other, plugins=Plugins.discover())
    text = "".join(canonical(change.after) for change in found.changes)
    assert "kubelet.service" in text
    assert "model.machine.RebootStep" not in text
    missing = replay(recording, other, plugins=Plugins.given())
    assert any("no remedy action is named 'restart-unit'" in canonical(change.after) for change in missing.changes)  # fmt: skip


def test_a_replay_finds_a_decider_that_decides_otherwise(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later version that waits a nanosecond longer, in one decision of many."""
    (victim,) = [one for one in recording.records if one.controller == "risk" and len(one.decision.notes)][:1]

    def later(snapshot: object, policy: Policy) -> object:
        decision = decided(snapshot, policy)
        if snapshot is victim.snapshot:
            return attrs.evolve(decision, wake_at=(decision.wake_at or 0) + 1)
        return decision

    monkeypatch.setattr("kubenode.runtime.record.replays.decided", later)
    (change,) = replay(recording).changes
    assert (change.controller, change.key, change.now) == ("risk", "cluster", victim.now)
    assert deciders.decided is decided


def test_a_path_will_do(hung: Path) -> None:
    """As on the page: replay("monday.knrec")."""
    assert replay(hung).changes == replay(str(hung)).changes == ()


RUNNER = CliRunner()


def test_the_command_says_that_all_is_the_same(tmp_path: Path) -> None:
    """Recorded by demo, replayed; in words and as a document."""
    file = str(tmp_path / "m.knrec.gz")
    demo = RUNNER.invoke(app, ["demo", "--story", "hung", "--record", file])
    assert demo.exit_code == 0
    count = len(Recording.load(file).records)
    assert f"recording: {file}, {count} decisions\n" in demo.stdout
    said = RUNNER.invoke(app, ["replay", file])
    assert (said.exit_code, said.stdout) == (0, f"{count} decisions, all the same\n")
    body = json.loads(RUNNER.invoke(app, ["replay", file, "-o", "json"]).stdout)
    assert (body["decisions"], body["changed"], body["open_loop_after"]) == (count, 0, None)


def test_the_command_shows_what_another_policy_changes(hung: Path) -> None:
    """As a table with its first words, and whole as a document; that it changes something is no failure."""
    words = ["replay", str(hung), "--policy", str(ROOT / "docs/examples/python/policies")]
    table = RUNNER.invoke(app, words)
    assert table.exit_code == 0
    assert "the other policy decides otherwise in" in table.stdout
    assert "it is conjecture" in table.stdout
    body = json.loads(RUNNER.invoke(app, [*words, "-o", "json"]).stdout)
    assert body["changed"] == len(body["changes"]) > 0
    assert body["open_loop_after"] == body["changes"][0]["at"]


def test_a_change_under_the_same_policy_fails_the_command(
    hung: Path, recording: Recording, tmp_path: Path
) -> None:
    """Recorded decisions that this version does not make: exit 1, for CI; another version is named."""
    file = tmp_path / "other.knrec"
    with recorder(file) as kept:
        for record in recording.records:
            kept(attrs.evolve(record, decision=attrs.evolve(record.decision, wake_at=1)))
    text = file.read_text().replace('"kubenode":"', '"kubenode":"9.', 1)
    file.write_text(text)
    said = RUNNER.invoke(app, ["replay", str(file)])
    assert said.exit_code == 1
    assert said.stdout.startswith("recorded by 9.0.1.0; 0.1.0 decides otherwise in")


def test_a_recording_that_cannot_be_read_is_one_error(hung: Path, tmp_path: Path) -> None:
    """Exit 1 with the line and the fix; `--partial` takes what is there."""
    cut = tmp_path / "cut.knrec"
    cut.write_bytes(hung.read_bytes()[:-20])
    said = RUNNER.invoke(app, ["replay", str(cut), "-o", "json"])
    assert (said.exit_code, said.stdout) == (1, "")
    error = json.loads(said.stderr)["error"]
    assert error["code"] == "RecordingError"
    assert "is cut off after" in error["message"]
    assert RUNNER.invoke(app, ["replay", str(cut), "--partial"]).exit_code == 0
