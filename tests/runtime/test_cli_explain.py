"""`kubenode explain`: the decision that bound, by how much, when it frees, and what would have to differ."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from kubenode.core.deciding import decide
from kubenode.core.decision import Verdict
from kubenode.core.explain import what_if
from kubenode.runtime.cli.app import app
from kubenode.runtime.cli.explain import Subject, lines, parse_at, why
from kubenode.runtime.cli.output import CouldNotTell
from kubenode.runtime.record import Record, recorded
from kubenode.runtime.sim.stories import STORIES
from kubenode.runtime.sim.story import Cast, examples
from tests.stories import drifting

RUNNER = CliRunner()
MINUTE = 60_000_000_000


def explain(*arguments: str) -> dict[str, Any]:
    """Run `kubenode explain -o json` and give the first decision."""
    result = RUNNER.invoke(app, ["explain", "-o", "json", *arguments])
    assert result.exit_code == 0, result.stderr
    first: dict[str, Any] = json.loads(result.stdout)["decisions"][0]
    return first


def test_in_the_outage_the_breaker_binds() -> None:
    """Seven of ten not ready against five, no time frees it, and the counterfactual names the number."""
    first = explain("node", "n001", "--story", "outage", "--at", "+10:00")
    assert (first["controller"], first["verdict"], first["binding"]) == ("remedy", "defer", True)
    assert (first["scope"], first["observed"], first["limit"]) == ("zone b", 7, 5)
    assert first["text"] == "zone b: 7 of 10 not ready, limit 5"
    assert first["frees_at"] is None
    assert "zone b <= 5 (now 7)" in first["counterfactual"]
    assert first["at_seconds"] == 300


def test_without_a_time_it_is_the_last_that_bound() -> None:
    """After the outage the ledger lets one at a time begin in the zone, and says until when."""
    first = explain("node", "n001", "--story", "outage")
    assert (first["controller"], first["code"], first["limit"]) == ("risk", "StormCooldown", 1)
    assert first["text"].startswith("n001: ")
    assert first["frees_at"] == "2026-01-01T00:50:00+00:00"


def test_a_node_is_known_by_its_own_name_too() -> None:
    """The machine's name and its Node's mean the same."""
    by_machine = explain("node", "n001", "--story", "outage", "--at", "+10:00")
    assert explain("node", "node-n001", "--story", "outage", "--at", "+10:00") == by_machine


def test_a_set_that_is_paused_says_how_to_go_on() -> None:
    """The failure, its threshold, and the field that excuses it; the same on the screen for people."""
    first = explain("set", "node-exporter", "--story", "upgrade", "--at", "+6:00")
    assert (first["observed"], first["limit"], first["code"]) == (1, 0, "FailureThreshold")
    text = RUNNER.invoke(
        app, ["explain", "set", "node-exporter", "--story", "upgrade", "--at", "+6:00"]
    ).stdout
    screen = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert list(screen) == ["DEFER", "binding", "limit", "would", "frees"]
    assert screen["binding"].startswith("n117 failed (InstallFailed): 1 failure > 0 allowed")
    assert screen["frees"] == "not by time alone"


def test_nothing_decided_is_could_not_tell() -> None:
    """A name that is nowhere, or a time before anything was decided about it, is no answer of no."""
    for arguments in (["node", "no-such"], ["set", "no-such"], ["set", "n001"]):
        result = RUNNER.invoke(app, ["explain", *arguments, "--story", "outage"])
        assert (result.exit_code, result.stdout) == (3, "")
        assert "nothing was decided about" in result.stderr


@pytest.mark.parametrize(("text", "minutes"), [("+1:30", 1.5), ("0:30", 0.5), ("+2:00:00", 120)])
def test_times_are_read_as_they_are_written_in_reports(text: str, minutes: float) -> None:
    """Minutes and seconds since the beginning, or with hours before them."""
    assert parse_at(text) == minutes * MINUTE


def test_every_explanation_is_the_decision_itself() -> None:
    """What is told was decided in the run with the policy of that moment, and the counterfactual is decided anew."""
    moments: list[Record] = []
    STORIES["outage"](
        Cast.read([examples() / "outage.yaml"]), 0, lambda _: None,
        lambda simulation: simulation.listen(lambda decided: moments.append(recorded(decided))),
    )  # fmt: skip
    deferred = 0
    for at in range(0, 50 * MINUTE, 5 * MINUTE):
        for one in why(moments, Subject.NODE, "n001", at):
            again = decide(one.moment.snapshot, one.moment.policy)
            assert [note.code for note in again.notes] == [note.code for note in one.moment.decision.notes]
            if one.explanation.verdict is Verdict.DEFER and one.explanation.counterfactual.startswith(
                "would act"
            ):
                deferred += 1
                about = "n001" if one.moment.controller == "risk" else ""
                assert what_if(one.moment.snapshot, one.moment.policy, about=about).verdict is Verdict.ACT
    assert deferred > 5


def test_drift_that_asks_is_explained_as_any_other_wait() -> None:
    """Of three machines whose component drifted at once, the last says that it waits for a permit."""
    moments: list[Record] = []
    drifting.play(
        drifting.cast_of(3), 0, lambda _: None,
        lambda simulation: simulation.listen(lambda decided: moments.append(recorded(decided))),
    )  # fmt: skip
    said, calls = set[str](), set[str]()
    begins = moments[0].now.elapsed
    for at in sorted({one.now.elapsed - begins for one in moments if one.controller == "repair"}):
        for name in ("n001", "n002", "n003"):
            try:
                found = why(moments, Subject.NODE, name, at)
            except CouldNotTell:
                continue
            calls.update(lines(found, begins))
            for one in found:
                if one.moment.controller == "repair":
                    again = decide(one.moment.snapshot, one.moment.policy)
                    assert [note.code for note in again.notes] == [
                        note.code for note in one.moment.decision.notes
                    ]
                    said |= {note.code for note in again.notes}
    assert {"NotYet", "NoPermit", "Acting", "Verifying"} <= said
    assert any(line.startswith("also") and "drift of n003: DEFER" in line for line in calls)
