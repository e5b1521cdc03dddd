"""What a detector is told: which logs are read for which rules, and what is refused."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kubenode.core.detect.clock import clock_conditions
from kubenode.core.detect.decide import DetectSnapshot, decide
from kubenode.core.detect.rules import OF_HOSTS
from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.detector.detector import Detector
from kubenode.runtime.detector.journald import Journald
from kubenode.runtime.detector.kmsg import Kmsg
from kubenode.runtime.detector.logfile import LogFile
from kubenode.runtime.detector.setting import MOST_CONDITIONS, Detecting, detector


def written(folder: Path, name: str, **raw: Any) -> Path:
    """Write a rule file."""
    path = folder / name
    path.write_text(json.dumps(raw))
    return path


def rule(condition: str) -> dict[str, str]:
    """A permanent rule."""
    return {"type": "permanent", "condition": condition, "reason": f"{condition}Is", "pattern": "x"}


def made(tmp_path: Path, **told: Any) -> Detector:
    """Make one."""
    (tmp_path / "state").mkdir(exist_ok=True)
    return detector(
        Detecting(**told), "b1", tmp_path / "state", SystemClock(), lambda: None, root=Path("/"), unit=lambda _: None
    )  # fmt: skip


@pytest.mark.parametrize(
    ("where", "source"), [("/dev/kmsg", Kmsg), ("journald", Journald), ("/var/log/kern.log", LogFile)]
)
def test_where_the_kernel_is_read(tmp_path: Path, where: str, source: type) -> None:
    """And its own rules are always there."""
    (log,) = made(tmp_path, kernel_log=where)._logs
    assert (log.name, type(log.source), log.rules) == (f"kernel:{where}", source, OF_HOSTS)
    assert len(log.services) == 2


def test_rules_of_one_log_are_together(tmp_path: Path) -> None:
    """Those of the kernel with ours, wherever a file would read them; each log is read once."""
    event = {"type": "temporary", "reason": "E", "pattern": "x"}
    files = (
        written(tmp_path, "a", plugin="kmsg", rules=[rule("A"), event]),
        written(tmp_path, "b", plugin="journald", pluginConfig={"source": "kernel"}, rules=[rule("B")]),
        written(tmp_path, "c", plugin="journald", pluginConfig={"source": "dockerd"}, rules=[rule("C")]),
        written(tmp_path, "d", plugin="filelog", logPath="/var/log/x", rules=[rule("D")]),
        written(
            tmp_path, "e", plugin="journald", pluginConfig={"source": "dockerd"}, rules=[rule("E"), event]
        ),
    )
    kernel, docker, file = made(tmp_path, rule_files=files)._logs
    assert [one.condition for one in kernel.rules] == [*(one.condition for one in OF_HOSTS), "A", "B"]
    assert [one.reason for one in kernel.events] == ["E"]
    assert ([one.condition for one in docker.rules], len(docker.events)) == (["C", "E"], 1)
    assert isinstance(docker.source, Journald)
    assert [one.condition for one in file.rules] == ["D"]
    assert isinstance(file.source, LogFile)
    assert docker.services == file.services == ()


def test_a_folder_is_the_rule_files_in_it(tmp_path: Path) -> None:
    """By name; what has another ending is none. One that is wrong is told with its name."""
    folder = tmp_path / "rules.d"
    folder.mkdir()
    written(folder, "20-b.json", plugin="kmsg", rules=[rule("B")])
    written(folder, "10-a.json", plugin="kmsg", rules=[rule("A")])
    (folder / "README").write_text("{")
    (kernel,) = made(tmp_path, rule_files=(folder,))._logs
    assert [one.condition for one in kernel.rules] == [*(one.condition for one in OF_HOSTS), "A", "B"]
    (folder / "30-c.json").write_text("{")
    with pytest.raises(InvalidObjectError, match=r"30-c\.json"):
        made(tmp_path, rule_files=(folder,))


def test_all_that_is_wrong_is_told(tmp_path: Path) -> None:
    """Of every file, with its name."""
    (tmp_path / "b").write_text("{")
    (tmp_path / "c").write_text(" " * (1 << 20) + "{}")
    files = (
        written(tmp_path, "a", plugin="custom"), tmp_path / "b", tmp_path / "c", tmp_path / "none",
        written(tmp_path, "good", plugin="kmsg"),
    )  # fmt: skip
    with pytest.raises(InvalidObjectError) as told:
        made(tmp_path, rule_files=files)
    text = str(told.value)
    assert all(str(one) in text for one in files[:-1])
    assert "good" not in text
    assert len(told.value.problems) == 4


@pytest.mark.parametrize(("count", "fits"), [(25, True), (26, False)])
def test_no_more_conditions_than_a_machine_takes(tmp_path: Path, count: int, fits: bool) -> None:
    """32 with those of the detector's own and the clock's, which is there once it was wrong: one more, and no report is taken."""
    path = written(tmp_path, "a", plugin="kmsg", rules=[rule(f"C{number}") for number in range(count)])
    if fits:
        (log,) = made(tmp_path, rule_files=(path,))._logs
        state = decide(DetectSnapshot(boot_id="b1", now=SystemClock().now()), log.rules, log.services).status
        assert state is not None
        clock = clock_conditions(timedelta(hours=1), (), SystemClock().now().wall)
        assert len((*state.conditions, *clock)) == MOST_CONDITIONS == 32
        return
    with pytest.raises(InvalidObjectError, match="more than a Machine takes"):
        made(tmp_path, rule_files=(path,))
