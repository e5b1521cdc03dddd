"""How soon a line is a condition, and what an agent costs: the benchmarks run, and say what the logs and the kernel say."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.benchmarks import agent, conditions
from tests.benchmarks.kube.audit import Entry
from tests.benchmarks.lines import RATE, Heard, Way, rows, way

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
AGENT = "kubenode:agent:m1"
LINE = Heard(type="Fault03", written=START, seen=START + timedelta(milliseconds=100))
SAID = """\
time=2026-03-02 08:59:59,990 level=WARNING logger=kubenode.agent event=found type=Fault03 status=True reason=FaultSeen
time=2026-03-02 09:00:00,005 level=WARNING logger=kubenode.agent event=found type=Fault04 status=True reason=FaultSeen
time=2026-03-02 09:00:00,008 level=INFO logger=kubenode.agent event=found type=Fault03 status=False reason=NoFault
time=2026-03-02 09:00:00,040 level=WARNING logger=kubenode.agent event=found type=Fault03 status=True reason=FaultSeen
"""


def entry(user: str, resource: str, name: str, began: int, ended: int, code: int = 200) -> Entry:
    """A request, from and to so many milliseconds after the line."""
    return Entry(
        user=user, verb="patch", resource=resource, name=name, code=code, began=START + timedelta(milliseconds=began),
        ended=START + timedelta(milliseconds=ended),
    )  # fmt: skip


REPORT = entry(AGENT, "machines/status", "m1", 45, 60)
PATCH = entry(CONTROLLER_USER, "nodes/status", "n1", 80, 95)
BEFORE_AND_BESIDE = (
    entry(AGENT, "machines/status", "m1", 10, 20),
    entry(CONTROLLER_USER, "nodes/status", "n1", 12, 25),
    entry(AGENT, "machines/status", "m1", 41, 44, code=409),
    entry(CONTROLLER_USER, "machines/status", "m1", 42, 44),
    entry(CONTROLLER_USER, "nodes/status", "n2", 70, 75),
)


def test_the_time_of_a_line_is_told_by_its_parts() -> None:
    """Found after 40 ms, the report there after 45 and answered after 60, the patch there after 80; what is beside it is not it."""
    found = way(LINE, SAID, (*BEFORE_AND_BESIDE, REPORT, PATCH), "m1", "n1")
    assert [round(1000 * seconds) for seconds in attrs.astuple(found)] == [40, 5, 15, 20, 20]
    assert found.whole == pytest.approx(0.1)


def test_an_answer_that_comes_after_what_it_is_of_takes_nothing_from_the_next() -> None:
    """The controller hears of a report before it is answered, and its log has no part of a millisecond."""
    late = attrs.evolve(REPORT, ended=START + timedelta(milliseconds=90))
    found = way(
        attrs.evolve(LINE, written=START + timedelta(milliseconds=40.5)), SAID, (late, PATCH), "m1", "n1"
    )
    assert [round(1000 * seconds, 1) for seconds in attrs.astuple(found)] == [0, 4.5, 45, 0, 10]


@pytest.mark.parametrize("left", ["found", "report", "patch"])
def test_a_line_of_which_a_log_does_not_speak_is_no_figure(left: str) -> None:
    """Whichever log it is."""
    entries = [one for name, one in (("report", REPORT), ("patch", PATCH)) if name != left]
    with pytest.raises(LookupError):
        way(LINE, "" if left == "found" else SAID, (*BEFORE_AND_BESIDE, *entries), "m1", "n1")


def test_the_worst_of_a_hundred_is_not_the_percentile_of_ninety_nine() -> None:
    """Of a hundred lines, one that takes ten times as long."""
    ways = [Way(found=0.1, reported=0, stored=0, mirrored=0, seen=0.1)] * 99
    ways.append(Way(found=1.9, reported=0, stored=0, mirrored=0, seen=0.1))
    first, parts, cpu = rows("here", ways, 0.01)
    assert first.figure == "p50 200 ms, p95 200 ms, p99 200 ms"
    assert "seen by the watch 100, 100" in parts.figure
    assert cpu.figure == "1.00% of a core"
    assert rows("here", ways[1:], 0.01)[0].numbers["p99"] == pytest.approx(2.0)


def test_writes_of_an_upgrade_are_told_by_who_and_what() -> None:
    """Leases, Events and other people's are none; what was refused is one, and has to be made again."""
    row = agent.upgrade_row(
        (
            entry(CONTROLLER_USER, "machines", "m1", 0, 1),
            entry(AGENT, "machines/status", "m1", 2, 3, code=409),
            REPORT,
            entry(CONTROLLER_USER, "machinecomponentsets/status", "s", 4, 5),
            entry(AGENT, "leases", "m1", 4, 5),
            entry(CONTROLLER_USER, "events", "e", 4, 5),
            entry("someone", "machines", "m1", 4, 5),
        ),
        "m1",
    )
    assert row.figure == (
        "4, 3 of them of its Machine: 1 of machinecomponentsets/status by the controller, 1 of machines by the controller, "
        "2 of machines/status by the agent; 1 of all had to be made again"
    )


@pytest.mark.parametrize(
    ("mib", "cpu", "met"), [(59.9, 3.2, (True, True)), (60.0, 3.3, (False, False)), (10, 3.4, (True, False))]
)
def test_rest_is_judged_by_memory_and_cpu(mib: float, cpu: float, met: tuple[bool, bool]) -> None:
    """60 MiB and one percent of 330 s are too much."""
    memory = {"VmRSS": mib, "RssAnon": mib, "RssFile": 0}
    assert tuple(row.met for row in agent.rest_rows(memory, cpu, 330, 1)) == met


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_lines_become_conditions_and_each_part_is_told(
    control_plane_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a real agent on a real server, beside other lines. No time is judged."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(control_plane_folder))
    monkeypatch.setenv("TZ", os.environ.get("TZ", ""))  # as it is put back afterwards
    monkeypatch.setattr(conditions, "RATES", (RATE,))
    conditions.main(["--times", "3", "-o", "json"])
    whole, parts, cpu = json.loads(capsys.readouterr().out)["rows"]
    assert whole["what"].endswith("beside 1,000 other lines/s, 3 lines")
    assert 0 < whole["numbers"]["p50"] <= whole["numbers"]["p99"] < 60
    for part in ("found", "reported", "stored", "seen"):
        assert parts["numbers"][f"{part}_p99"] > 0
    assert cpu["numbers"]["cpu"] > 0
