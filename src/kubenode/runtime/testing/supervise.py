"""Processes that never outlive the one that asked for them, even when that one is killed with SIGKILL.

Both ends live here. `Supervisor`, in the process that tests, starts this very file as a process of its own
and talks to it over a pipe: one JSON object a line, one answer each. When the pipe closes, whatever the
reason, the other end kills its children and removes the folder. Should it be killed itself, Linux kills its
children (PR_SET_PDEATHSIG); other systems have no such thing. Called by `ControlPlane` and by our tests with real hosts; the
standard library is enough for it.

A forked copy of the process that tests would keep the pipe open, so the other end also watches its parent.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, cast

_PARENT_CHECK_S: Final = 1.0
_GRACE_S: Final = 15.0
_PR_SET_PDEATHSIG: Final = 1


class SupervisorLostError(RuntimeError):
    """Says that the supervising process is gone, and its children with it."""


class Supervisor:
    """Starts and ends named processes through a process of its own. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        """Start the supervising process.

        Args:
            folder: an existing folder, removed with all in it once everything has ended.
        """
        self._folder = folder
        self._one_by_one = threading.Lock()
        # By path and isolated: neither an installed kubenode nor the caller's import path is needed. In a
        # session of its own: Ctrl-C is for the tests, which then end this in order.
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__, str(folder), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._questions = cast(IO[bytes], self._process.stdin)
        self._answers = cast(IO[bytes], self._process.stdout)

    def start(self, name: str, command: Sequence[str], log: Path) -> int:
        """Start a process, its output appended to the log, and return its id.

        It has the environment and the namespaces that the caller had when it made this supervisor.

        Raises:
            SupervisorLostError: the supervising process is gone.
            OSError: the program cannot be run.
        """
        answer = self._ask({"do": "start", "name": name, "command": list(command), "log": str(log)})
        if isinstance(answer, str):
            raise OSError(answer)
        process: int = answer
        return process

    def exit_code(self, name: str) -> int | None:
        """Return the code a process ended with, negative for a signal, or None while it runs."""
        code: int | None = self._ask({"do": "exit_code", "name": name})
        return code

    def stop(self, name: str) -> None:
        """End a process in order, by force after 15 seconds; return when it has ended."""
        self._ask({"do": "stop", "name": name})

    def close(self) -> None:
        """Kill all processes, remove the folder, and return when both are done; may be called again."""
        for pipe in (self._questions, self._answers):
            with suppress(BrokenPipeError):  # a question it never read
                pipe.close()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)  # the other end may have been killed before it could

    def _ask(self, question: dict[str, object]) -> Any:
        answer = b""
        if not self._questions.closed:
            with self._one_by_one, suppress(BrokenPipeError):
                self._questions.write(json.dumps(question).encode() + b"\n")
                self._questions.flush()
                answer = self._answers.readline()
        if not answer:
            raise SupervisorLostError("the supervising process has ended, and all that it ran")
        return json.loads(answer)


class _Children:
    """The processes of one supervisor, by name."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ready_to_die = _die_with(os.getpid())

    def answer(self, question: dict[str, Any]) -> object:
        name = question["name"]
        if question["do"] == "start":
            return self._start(name, question["command"], question["log"])
        process = self._running[name]
        if question["do"] == "stop":
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)
            process.kill()
        return process.poll() if question["do"] == "exit_code" else process.wait()

    def _start(self, name: str, command: list[str], log: str) -> int | str:
        """Return the id of the process, or why there is none."""
        try:
            with Path(log).open("ab") as output:
                self._running[name] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    preexec_fn=self._ready_to_die,  # noqa: PLW1509 - safe here: this process has one thread
                )
        except OSError as failed:
            return str(failed)
        return self._running[name].pid

    def kill(self) -> None:
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait()


def _die_with(parent: int) -> Callable[[], None] | None:
    """Return what a new child runs first, so that it is killed when the parent dies; None where unknown."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return prepare


def _received(pipe: int, parent: int) -> Iterator[dict[str, Any]]:
    """Yield questions until the pipe closes or the parent is another one."""
    pending = b""
    while os.getppid() == parent:
        if not select.select([pipe], [], [], _PARENT_CHECK_S)[0]:
            continue
        received = os.read(pipe, 65536)
        if not received:
            return
        *lines, pending = (pending + received).split(b"\n")
        yield from map(json.loads, lines)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(1)


def _main(folder: Path, parent: int) -> None:
    for wanted in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(wanted, _end)
    children = _Children()
    try:
        with suppress(BrokenPipeError):
            for question in _received(sys.stdin.fileno(), parent):
                sys.stdout.write(json.dumps(children.answer(question)) + "\n")
                sys.stdout.flush()
    finally:
        children.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
