"""Supervised processes and their folder are gone when the process that asked for them is, whatever ended it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kubenode.runtime.testing import supervise
from kubenode.runtime.testing.supervise import Supervisor, SupervisorLostError

_HOLDER = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]).parent))
from supervise import Supervisor
folder = Path(sys.argv[2])
supervisor = Supervisor(folder)
supervisor.start("sleeper", ["sh", "-c", "echo $$; exec sleep 600"], folder / "log")
if sys.argv[3] == "forked" and os.fork() == 0:
    time.sleep(600)  # a copy of the process that keeps the pipe open
print("started", flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder for a supervisor to remove."""
    made = tmp_path / "folder"
    made.mkdir()
    return made


def _wait(until: Callable[[], bool]) -> bool:
    """Return whether it became true within 30 seconds."""
    deadline = time.monotonic() + 30
    while not until():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _written(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def _start_sleeper(supervisor: Supervisor, folder: Path) -> int:
    supervisor.start("sleeper", ["sh", "-c", "echo $$; exec sleep 600"], folder / "log")
    assert _wait(lambda: bool(_written(folder / "log")))
    return int(_written(folder / "log")[0])


@pytest.mark.parametrize("how", ["alone", "forked"])
def test_sigkill_of_the_asking_process_ends_all_of_it(folder: Path, how: str) -> None:
    """After SIGKILL no process and no folder is left, also where a forked copy still holds the pipe."""
    command = [sys.executable, "-c", _HOLDER, supervise.__file__, str(folder), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "started\n"
        assert _wait(lambda: bool(_written(folder / "log")))
        sleeper = int(_written(folder / "log")[0])
        try:
            assert _is_alive(sleeper)
            holder.kill()
            assert _wait(lambda: not folder.exists())
            assert not _is_alive(sleeper)
        finally:
            os.killpg(holder.pid, signal.SIGKILL)  # the forked copy too


def test_sigkill_of_the_supervising_process_ends_the_children(folder: Path) -> None:
    """Its children die with it; the next question says that it is gone; closing removes the folder."""
    supervisor = Supervisor(folder)
    sleeper = _start_sleeper(supervisor, folder)
    os.kill(supervisor._process.pid, signal.SIGKILL)
    assert _wait(lambda: not _is_alive(sleeper))
    with pytest.raises(SupervisorLostError):
        supervisor.exit_code("sleeper")
    supervisor.close()
    assert not folder.exists()


def test_sigterm_of_the_supervising_process_cleans_up(folder: Path) -> None:
    """Asked to end, it ends its children and removes the folder."""
    supervisor = Supervisor(folder)
    sleeper = _start_sleeper(supervisor, folder)
    os.kill(supervisor._process.pid, signal.SIGTERM)
    assert _wait(lambda: not folder.exists())
    assert not _is_alive(sleeper)
    supervisor.close()


def test_a_stopped_process_can_be_started_again(folder: Path) -> None:
    """The exit code is None while it runs and negative for the signal; the log goes on."""
    supervisor = Supervisor(folder)
    _start_sleeper(supervisor, folder)
    assert supervisor.exit_code("sleeper") is None
    supervisor.stop("sleeper")
    assert supervisor.exit_code("sleeper") == -signal.SIGTERM
    _start_sleeper(supervisor, folder)
    assert _wait(lambda: len(_written(folder / "log")) == 2)
    supervisor.close()


def test_closing_twice_is_closing_once(folder: Path) -> None:
    """After close, no process and no folder is left, and questions are refused."""
    supervisor = Supervisor(folder)
    sleeper = _start_sleeper(supervisor, folder)
    supervisor.close()
    supervisor.close()
    assert not folder.exists()
    assert not _is_alive(sleeper)
    with pytest.raises(SupervisorLostError):
        supervisor.stop("sleeper")


def test_a_program_that_is_missing_is_an_error_of_the_start(folder: Path) -> None:
    """The operating system's reason comes back, and the supervisor goes on."""
    supervisor = Supervisor(folder)
    with pytest.raises(OSError, match="No such file"):
        supervisor.start("nothing", [str(folder / "nothing")], folder / "log")
    _start_sleeper(supervisor, folder)
    supervisor.close()
