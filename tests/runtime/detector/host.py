"""A host with three logs of its kernel, which a test writes, and its agent's detector, which reads one of them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kubenode.core.detect.decide import NOTHING_READ
from kubenode.core.model.condition import find
from kubenode.core.model.meta import Switch
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.detector import setting
from kubenode.runtime.detector.detector import Detector
from kubenode.runtime.detector.journald import Journald
from kubenode.runtime.detector.kept import FILE
from kubenode.runtime.detector.logfile import LogFile
from kubenode.runtime.detector.setting import Detecting, detector
from tests.runtime.detector.logs import KernelLog, runs

WHERE = {"kmsg": "/dev/kmsg", "journald": "journald", "file": "/kern.log"}
KILL = "Killed process {} (java) total-vm:1kB"
JOURNALCTL = """
import json, sys, time
after = next((a.partition("=")[2] for a in sys.argv if a.startswith("--after-cursor=")), "")
if after and not after.startswith("s="):
    sys.exit("Failed to seek to cursor: Invalid argument")
seen = not after
with open(sys.argv[1]) as entries:
    while True:
        line = entries.readline()
        if not line:
            time.sleep(0.01)
        elif seen:
            print(line, end="", flush=True)
        else:
            seen = json.loads(line)["__CURSOR"] == after
"""
"""journalctl -f: all that there is and what comes, after a cursor, which has to be one."""


class Host:
    """A host with three logs, of which its agent reads one.

    Args:
        folder: for all of it.
    """

    def __init__(self, folder: Path) -> None:
        self._root = folder
        self._clock = SystemClock()
        self._entries = 0
        self.state = folder / "state"
        self.state.mkdir()
        self.file = folder / "kern.log"
        self.file.touch()
        self.journal = folder / "entries"
        self.journal.touch()
        self.kernel = KernelLog()
        (folder / "journalctl.py").write_text(JOURNALCTL)

    @property
    def kept(self) -> Path:
        """The file in which it is kept what is known."""
        return self.state / FILE[1:]

    def say(self, log: str, *texts: str) -> None:
        """Write lines to a log, now."""
        micros = self._clock.now().elapsed // 1000
        for text in texts:
            self._entries += 1
            if log == "kmsg":
                self.kernel.say(text, microseconds=micros)
            elif log == "file":
                add(self.file, f"{text}\n")
            else:
                entry = {
                    "__CURSOR": f"s=1;i={self._entries:x}", "__MONOTONIC_TIMESTAMP": str(micros), "MESSAGE": text,
                    "PRIORITY": "3", "SYSLOG_FACILITY": "0", "_TRANSPORT": "kernel",
                }  # fmt: skip
                add(self.journal, f"{json.dumps(entry)}\n")

    def argv(self) -> tuple[str, ...]:
        """What stands for journalctl here."""
        return (sys.executable, str(self._root / "journalctl.py"), str(self.journal))

    @asynccontextmanager
    async def agent(self, log: str = "file", boot: str = "b1") -> AsyncIterator[Detector]:
        """Let the detector run that an agent has, which reads this log; end it as an agent does."""
        made = detector(
            Detecting(kernel_log=WHERE[log]), boot, self.state, self._clock, lambda: None, root=self._root,
            unit=lambda _: None,
        )  # fmt: skip
        async with runs(made):
            yield made


def of_a_test(folder: Path, monkeypatch: pytest.MonkeyPatch, gather: float = 0.01) -> Host:
    """Make a host whose kernel and whose journal are a test's; its agent reads so many seconds after each other."""
    made = Host(folder)
    monkeypatch.setattr(setting, "Kmsg", lambda path: made.kernel.source())
    monkeypatch.setattr(setting, "Journald", lambda: Journald(argv=made.argv()))
    monkeypatch.setattr(setting, "LogFile", partial(LogFile, poll=0.01))
    monkeypatch.setattr(setting, "Detector", partial(Detector, gather=gather))
    return made


def add(path: Path, text: str) -> None:
    """Write to the end of a file."""
    with path.open("a") as file:
        file.write(text)


async def until(so: Callable[[], Any]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not so():
            await asyncio.sleep(0.005)


def holds(detector: Detector, type: str = "KernelDeadlock") -> bool:
    """Whether it finds a fault."""
    held = find(detector.conditions, type)
    return held is not None and held.status is Switch.TRUE


def begun(detector: Detector) -> bool:
    """Whether it knows where it is in its file."""
    (known,) = detector._known.values()
    return known.state.boot_id == detector._boot_id and known.position != ""


def has_read(detector: Detector) -> int:
    """How many lines it has numbered in this boot."""
    (known,) = detector._known.values()
    return known.state.sequence - NOTHING_READ


async def reads(host: Host, detector: Detector, log: str, text: str) -> None:
    """Write a line and wait until it is read; to a file once it is known where that began."""
    await until(lambda: begun(detector) or log != "file")
    before = has_read(detector)
    host.say(log, text)
    await until(lambda: has_read(detector) > before)
