"""A process that is measured from outside: its CPU seconds and resident memory, as the kernel counts them."""

import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOT: Final = Path(__file__).parents[3]
_TICK: Final = os.sysconf("SC_CLK_TCK")
_START_S: Final = 600.0
_GRACE_S: Final = 10.0


class ProcessDied(Exception):
    """A process ended before it was told to; the message has what it said last."""


class Process:
    """A program that runs while the block does; what it prints on standard error is kept for when it dies.

    Args:
        name: for messages.
        command: its command line.
        log: where its standard error goes.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self._command = command
        self._log = log

    async def __aenter__(self) -> Self:
        """Start it."""
        with self._log.open("wb") as errors:
            self._running = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it: in order, and if that does not help, at once."""
        if self._running.returncode is None:
            self._running.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_GRACE_S):
                await self._running.communicate()
        except TimeoutError:
            self._running.kill()
            await self._running.wait()

    async def line(self) -> str:
        """Give the next line that it prints.

        Raises:
            ProcessDied: there is none.
        """
        assert self._running.stdout is not None
        async with asyncio.timeout(_START_S):
            line = await self._running.stdout.readline()
        if not line:
            await self._running.wait()
            raise ProcessDied(f"{self.name} ended: {self._log.read_text(errors='replace')[-2000:]}")
        return line.decode().strip()

    async def tell(self, line: str) -> None:
        """Give it a line on its standard input."""
        assert self._running.stdin is not None
        self._running.stdin.write(f"{line}\n".encode())
        await self._running.stdin.drain()

    async def done(self) -> str:
        """Wait until it has ended well, and give what it printed."""
        printed, _ = await self._running.communicate()
        if self._running.returncode != 0:
            raise ProcessDied(f"{self.name} failed: {self._log.read_text(errors='replace')[-2000:]}")
        return printed.decode()

    @property
    def cpu(self) -> float:
        """CPU seconds so far, of all its threads."""
        fields = Path(f"/proc/{self._running.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    @property
    def rss(self) -> int:
        """Resident memory now, bytes."""
        status = Path(f"/proc/{self._running.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024
