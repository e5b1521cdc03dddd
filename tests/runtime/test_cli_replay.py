"""`kubenode demo --record`, `replay` and `explain --recording`: a night recorded, decided again, and asked why."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from kubenode.core.decision import Decision
from kubenode.core.remedy import decide as remedy
from kubenode.runtime.cli.app import app
from kubenode.runtime.cli.replay import SHOWN

RUNNER = CliRunner()
NOTHING = """\
apiVersion: kubenode.dev/v1alpha1
kind: RiskPolicy
metadata: {name: closed}
spec: {limits: [{scope: cluster, max: 0}]}
"""


@pytest.fixture(scope="module")
def monday(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the recording of the outage."""
    path = tmp_path_factory.mktemp("recordings") / "monday.knrec"
    result = RUNNER.invoke(app, ["demo", "--story", "outage", "--record", str(path)])
    assert result.exit_code == 0, result.stderr
    assert f"recording: {path}\n" in result.stdout
    return path


@pytest.fixture
def closed(tmp_path: Path) -> str:
    """Give a policy that lets nothing happen."""
    path = tmp_path / "closed.yaml"
    path.write_text(NOTHING)
    return str(path)


def replayed(status: int, *arguments: str) -> dict[str, Any]:
    """Run `kubenode replay -o json` and give its document."""
    result = RUNNER.invoke(app, ["replay", "-o", "json", *arguments])
    assert result.exit_code == status, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_the_same_policy_is_0(monday: Path) -> None:
    """All decisions are decided, none is another."""
    found = replayed(0, str(monday))
    assert found["same"] is True
    assert (found["changes"], found["open_loop_after_seconds"], found["cut_line"]) == ([], None, None)
    assert found["decisions"] == len(monday.read_text().splitlines()) - 1 - monday.read_text().count(
        '\n{"policy"'
    )
    screen = RUNNER.invoke(app, ["replay", str(monday)]).stdout
    assert screen == (
        f"recorded by {found['recorded_by']}; {found['decided_by']} decides the same in all of {found['decisions']:,}\n"
    )


def test_another_policy_is_1_and_shows_the_changes(monday: Path, closed: str) -> None:
    """When, whose, of what, before and after; the screen shows the first, and says how many there are."""
    found = replayed(1, str(monday), "--policy", closed)
    assert found["same"] is False
    first = found["changes"][0]
    assert set(first) == {"at", "at_seconds", "controller", "key", "before", "after"}
    assert set(first["before"]) == {"verdict", "code", "text", "effects"}
    assert first["at_seconds"] == found["open_loop_after_seconds"]
    acted = [one for one in found["changes"] if one["before"]["verdict"] == "act"]
    assert {one["after"]["verdict"] for one in acted} & {"ignore", "defer"}
    result = RUNNER.invoke(app, ["replay", str(monday), "--policy", closed])
    assert result.exit_code == 1
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["AT", "WHO", "OF", "BEFORE", "AFTER"]
    count = len(found["changes"])
    assert count > SHOWN
    assert lines[SHOWN] == f"and {count - SHOWN:,} more; -o json has them all"
    assert f"otherwise in {count:,} of {found['decisions']:,}" in lines[-2]
    assert lines[-1].endswith("all is conjecture")


def test_a_version_that_decides_otherwise_is_1(monday: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another policy: then it is the decider that is another."""
    monkeypatch.setattr(remedy, "decide", lambda seen, policy: Decision())
    assert {one["controller"] for one in replayed(1, str(monday))["changes"]} == {"remedy"}


def test_yaml_is_the_same_document(monday: Path) -> None:
    """As for every command that has data."""
    import yaml

    result = RUNNER.invoke(app, ["replay", str(monday), "-o", "yaml"])
    assert yaml.safe_load(result.stdout) == replayed(0, str(monday))


def test_explain_says_the_same_of_a_recording_as_of_the_story(monday: Path) -> None:
    """Letter by letter, also at a moment, and of a node's own name."""
    for asked in (["n001"], ["n001", "--at", "+10:00"], ["node-n001", "--at", "+10:00", "-o", "json"]):
        said = [
            RUNNER.invoke(app, ["explain", "node", *asked, *run])
            for run in (["--story", "outage"], ["--recording", str(monday)])
        ]
        assert [one.exit_code for one in said] == [0, 0]
        assert said[0].stdout == said[1].stdout != ""


def test_a_recording_that_is_cut_off_is_used_with_a_warning(monday: Path, tmp_path: Path) -> None:
    """The document says so too; what is explained is what is there."""
    path = tmp_path / "cut.knrec"
    path.write_bytes(monday.read_bytes()[:-30])
    count = monday.read_text().count("\n")
    for words in (["replay", str(path)], ["explain", "node", "n001", "--recording", str(path)]):
        result = RUNNER.invoke(app, words)
        assert (result.exit_code, result.stderr) == (
            0,
            f"warning: {path}:{count}: is cut off, and was left out\n",
        )
    assert replayed(0, str(path))["cut_line"] == count


def test_a_corrupt_recording_is_3_with_its_line(monday: Path, tmp_path: Path) -> None:
    """Nobody can tell what was decided then: that is no answer of no."""
    path = tmp_path / "corrupt.knrec"
    lines = monday.read_text().splitlines()
    path.write_text("\n".join([*lines[:8], "{", *lines[9:]]) + "\n")
    for words in (["replay", str(path)], ["explain", "node", "n001", "--recording", str(path)]):
        result = RUNNER.invoke(app, [*words, "-o", "json"])
        assert (result.exit_code, result.stdout) == (3, "")
        (problem,) = json.loads(result.stderr)["error"]["problems"]
        assert (problem["file"], problem["line"], problem["message"]) == (str(path), 9, "is no JSON")
        assert problem["fix"]


def test_a_recording_is_never_overwritten_by_a_demo(monday: Path) -> None:
    """Nothing is played then."""
    before = monday.read_bytes()
    result = RUNNER.invoke(app, ["demo", "--story", "hung", "--record", str(monday), "-o", "json"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "is there already" in json.loads(result.stderr)["error"]["message"]
    assert monday.read_bytes() == before


def test_a_report_and_a_recording_go_together(tmp_path: Path) -> None:
    """Both are of the same run."""
    report, record = tmp_path / "hung.html", tmp_path / "hung.knrec"
    words = ["demo", "--story", "hung", "--report", str(report), "--record", str(record), "-o", "json"]
    result = RUNNER.invoke(app, words)
    assert result.exit_code == 0
    assert "hung" in report.read_text()
    assert replayed(0, str(record))["decisions"] == json.loads(result.stdout)["stories"][0]["decisions"]
