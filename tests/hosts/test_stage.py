"""Nothing of test hosts is left: not after they have ended, and not after the process that tests was killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.waiting import until
from tests.hosts.fixture import Parts
from tests.hosts.stage import Stage
from tests.hosts.tools import hosts_cache

pytestmark = pytest.mark.hosts

_HOLDER = """
import sys, time
from pathlib import Path
from tests.hosts.stage import Stage
with Stage.start(Path(sys.argv[1]), Path(sys.argv[2])) as stage:
    host = stage.host("held")
    host.power_on()
    print(stage.folder, flush=True)
    time.sleep(600)
"""


def left(folder: Path) -> dict[str, list[str]]:
    """Return what the machine still has of a run: processes that name its folder, mounts, interfaces, cgroups, files."""
    commands = (path.parent / "cmdline" for path in Path("/proc").glob("[0-9]*/stat"))
    return {
        "processes": [text for path in commands if str(folder) in (text := _text(path))],
        "mounts": [line for line in _text(Path("/proc/self/mounts")).splitlines() if str(folder) in line],
        "interfaces": [
            name for name in os.listdir("/sys/class/net") if name.startswith(("vb-", "ve-", "hosts"))
        ],
        "cgroups": [str(path) for path in Path("/sys/fs/cgroup").rglob(folder.name)],
        "files": [str(path) for path in hosts_cache().glob(f"{folder.name}*")],
    }


def _text(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # ended while we looked
        return ""


def nothing() -> dict[str, list[str]]:
    """Return what `left` returns of a run of which nothing is left."""
    return {"processes": [], "mounts": [], "interfaces": [], "cgroups": [], "files": []}


def test_nothing_is_left_after_a_stage(host_parts: Parts) -> None:
    """A host that is on when its stage ends goes with it; while it is on, the machine has neither mounts nor interfaces of it."""
    with Stage.start(host_parts.image, host_parts.binaries) as stage:
        stage.host("last").power_on()
        during = left(stage.folder)
        assert during["processes"]
        assert during["cgroups"]
        assert during["files"]
        assert during["mounts"] == during["interfaces"] == []
    assert left(stage.folder) == nothing()


@pytest.mark.parametrize("all_killed", [False, True], ids=["the tests", "what looks after them too"])
def test_nothing_is_left_after_the_tests_were_killed(host_parts: Parts, all_killed: bool) -> None:
    """By SIGKILL: what runs is gone in seconds, and files and cgroups when the next stage begins."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(host_parts.image), str(host_parts.binaries)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    with holder:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip())
        assert folder.is_dir()
        assert left(folder)["processes"]
        supervisors = _text(Path(f"/proc/{holder.pid}/task/{holder.pid}/children")).split()
        if all_killed:
            for supervisor in supervisors:
                os.kill(int(supervisor), signal.SIGKILL)
        holder.send_signal(signal.SIGKILL)
    until("the end of all processes", lambda: not left(folder)["processes"], 30)
    assert left(folder)["mounts"] == []
    assert folder.exists() is all_killed, "the supervisor removes it, if it can"
    with Stage.start(host_parts.image, host_parts.binaries) as stage:
        assert stage.folder != folder
        assert left(folder) == nothing()


def test_a_stage_clears_away_nothing_of_one_that_runs(stage: Stage, host_parts: Parts) -> None:
    """A second session starts and ends, and the host of the first one goes on."""
    with stage.host("stays") as host:
        host.power_on()
        boot = host.boot_id
        with Stage.start(host_parts.image, host_parts.binaries):
            assert host.boot_id == boot
        assert host.run("systemctl", "is-system-running").strip() == "running"
        assert stage.folder.is_dir()
