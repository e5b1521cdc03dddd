"""What machines on a cloud cost in calls, at a size that a test can wait for. Virtual time: each run gives the same."""

import json
from typing import Any

import pytest

from kubenode.providers.memory import PAGE
from tests.benchmarks import instances


def test_a_machine_costs_one_create_and_a_share_of_a_look() -> None:
    """The least is one call a machine; a look shows all of them, as many as go on a page."""
    one = instances.created(60, limited=False)
    assert (one.made, one.calls["create"], one.throttled) == (60, 60, 0)
    assert one.calls == {"create": 60, "find": -(-60 // PAGE)}


def test_under_a_limit_no_call_is_wasted() -> None:
    """The cloud, which counts for itself, refuses none; and it takes no longer than the limit takes."""
    one = instances.created(120, limited=True)
    assert (one.made, one.calls["create"], one.throttled) == (120, 120, 0)
    least = (120 - instances.RATE) / instances.RATE
    assert least <= one.seconds < 3 * least


def test_a_limit_that_is_not_kept_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With twice the budget, half of the calls are refused."""
    monkeypatch.setattr(instances, "Pace", lambda *_: None)
    one = instances.created(60, limited=True)
    assert one.throttled > 0
    assert one.calls["create"] == 60 + one.throttled


@pytest.mark.parametrize("page", [100, 1000])
def test_a_quiet_hour_is_looks_and_nothing_else(page: int) -> None:
    """One look in five minutes, a call for each page; nobody decides, and nothing is written."""
    one = instances.quiet(250, page)
    looks = 12
    assert (one.calls, one.decisions, one.writes) == (
        {"find": looks * -(-250 // page)},
        0,
        0,
    )


def test_the_command_prints_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Each row says whether its aim is met."""
    instances.main(["--machines", "30", "--kept", "20", "-o", "json"])
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["rows"]
    assert [row["what"] for row in rows] == [
        "30 machines created",
        "30 machines created under a limit of 20 calls a second",
        "a quiet hour of 20 machines on ECS",
        "a quiet hour of 20 machines on EC2",
    ]
    assert [row["met"] for row in rows] == [True] * 4
