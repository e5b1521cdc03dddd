"""The command that measures runs, names all it should, and says met or missed as the numbers are. No time is judged here."""

import json
from typing import Any

import pytest

from tests.benchmarks import scale
from tests.benchmarks.meter import Sample


def test_the_quick_run_measures_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """Every row is there, with numbers; what does not depend on the machine is judged."""
    scale.main(["--quick", "--sizes", "10,20", "--runs", "1", "-o", "json"])
    shown = capsys.readouterr()
    rows: list[dict[str, Any]] = json.loads(shown.out)["rows"]
    assert [row["what"] for row in rows] == [
        "engine, no-op decisions", "engine, decide-and-apply steps, 100 keys at once",
        "engine, decide-and-apply steps, 250 keys at once", "memory of an idle machine in the controller",
        "rollout over 10 machines", "rollout over 20 machines",
    ]  # fmt: skip
    assert all(row["numbers"]["rate"] > 0 for row in rows[:3])
    assert [row["met"] for row in rows if "memory" not in row["what"]] == [None] * 5
    assert rows[3]["met"] is True, rows[3]["figure"]
    assert rows[5]["numbers"]["decisions"] > 1
    assert "growth_operations" in rows[5]["numbers"]
    assert shown.err.count("run 1 of 1: ") == 6


def sample(seconds: float, operations: int = 1000, **more: Any) -> Sample:
    """What one run found."""
    return Sample(operations=operations, seconds=seconds, **more)


def test_the_best_run_counts_and_an_aim_that_is_missed_is_said_to_be() -> None:
    """20,000 a second in the better of two runs; 5,000 in both."""
    good, bad = scale.rows(
        {"steps 100": [sample(0.2), sample(0.05, collecting=0.01)], "steps 5000": [sample(0.2)] * 2}
    )
    assert good.met is True
    assert "20,000 a second (best of 2 runs, from 5,000; collector 20 %)" in good.figure
    assert bad.met is False
    assert "**missed**" in str(bad)


@pytest.mark.parametrize(
    ("seconds", "operations", "met"),
    [(2.2, 2000, True), (2.3, 2000, False), (2.0, 2300, False)],
    ids=["met", "missed in CPU", "missed in operations"],
)
def test_growth_is_the_exponent_from_the_size_before(seconds: float, operations: int, met: bool) -> None:
    """Twice the size: 1.14 is met, 1.20 is not, and the worse of both counts."""
    first, second = scale.rows(
        {"rollout 1000": [sample(9.0), sample(1.0)], "rollout 2000": [sample(seconds, operations)]}
    )
    assert first.met is None
    assert second.met is met


def test_memory_is_judged_by_its_worst_run() -> None:
    """8 KiB are the most."""
    (row,) = scale.rows({"memory": [Sample(operations=2, held=16_000), Sample(operations=2, held=16_400)]})
    assert row.met is False


@pytest.mark.parametrize("sizes", ["20,10", "10,10", "0,10", "ten"])
def test_sizes_that_cannot_be_compared_are_refused(sizes: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They rise, from one machine."""
    with pytest.raises(SystemExit):
        scale.main(["--sizes", sizes])
    assert "--sizes" in capsys.readouterr().err
