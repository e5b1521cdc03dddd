"""A process with simulated hosts, as the test sees it: orders go in, what was really done comes out."""

import json
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from tests.cluster.faults.judge import hosts_of

ROOT: Final = Path(__file__).parents[3]


class HostProcess:
    """One process (`tests.cluster.faults.hosts`), which may have several hosts.

    Args:
        folder: for its logs.
        name: of the logs.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._lock = threading.Lock()
        self._log = folder / f"{name}.json"
        self._say = folder / f"{name}.log"
        with self._say.open("wb") as output:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "tests.cluster.faults.hosts", str(self._log)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, cwd=ROOT, text=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its number."""
        return self._popen.pid

    def end(self) -> None:
        """End it."""
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            with suppress(BrokenPipeError):
                pipe.close()

    def tell(self, **order: Any) -> None:
        """Give an order, and wait until it is done."""
        with self._lock:
            self._popen.stdin.write(json.dumps(order) + "\n")
            self._popen.stdin.flush()
            assert self._popen.stdout.readline() == "done\n", self.said()

    def done(self) -> dict[str, Any]:
        """Give what was done on its hosts, by machine."""
        self.tell(do="write")
        return hosts_of(self._log)

    def said(self) -> str:
        """Give the end of what it said."""
        return self._say.read_text()[-3000:]
