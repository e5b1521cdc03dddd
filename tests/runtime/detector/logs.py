"""A kernel log as a test writes it: a socket of packets is read as /dev/kmsg is, a record a read."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from kubenode.runtime.detector.detector import Detector
from kubenode.runtime.detector.kmsg import Kmsg
from kubenode.runtime.detector.source import Batch, Source

R = TypeVar("R")
HUNG = "INFO: task dockerd:4121 blocked for more than 120 seconds."


def run(main: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Run a test in a loop, and see that nothing is left of it."""

    async def alone() -> R:
        result = await asyncio.wait_for(main(), 60)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(alone())


@asynccontextmanager
async def runs(detector: Detector) -> AsyncIterator[None]:
    """Let a detector run meanwhile, and end it as an agent does."""
    task = asyncio.create_task(detector.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class KernelLog:
    """A kernel with a ring of records. A reader begins with the oldest that is left, and is told of an overrun as Linux does.

    Args:
        ring: how many records it keeps.
    """

    def __init__(self, ring: int = 10_000) -> None:
        self._ring = ring
        self._records: list[bytes] = []
        self._first = 0
        self._next = 0
        self._wakes, self._wake = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._wakes.setblocking(False)
        self._wake.setblocking(False)
        self.reads = 0

    def say(self, text: str, *, priority: int = 3, microseconds: int = 1) -> None:
        """Write a record."""
        sequence = self._first + len(self._records)
        self._records.append(f"{priority},{sequence},{microseconds},-;{text}\n SUBSYSTEM=x\n".encode())
        if len(self._records) > self._ring:
            del self._records[0]
            self._first += 1
        self._tell()

    def _tell(self) -> None:
        try:
            self._wake.send(b"x")
        except BlockingIOError:
            return  # the reader is told already

    def source(self) -> Kmsg:
        """Give a reader that begins anew, as one that opens the device."""
        self._next = 0
        if self._records:
            self._tell()
        return _Kmsg(self)

    def read(self, file: int, most: int) -> bytes:
        """Read a record, as the device does."""
        self.reads += 1
        if self._next < self._first:
            was, self._next = self._next, self._first
            if was:
                raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
        if self._next == self._first + len(self._records):
            try:
                while True:
                    self._wakes.recv(1)
            except BlockingIOError:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        raw = self._records[self._next - self._first]
        assert len(raw) <= most
        self._next += 1
        return raw

    def close(self) -> None:
        """Let go of it."""
        self._wakes.close()
        self._wake.close()


class _Kmsg(Kmsg):
    """A reader whose file is the log's own."""

    def __init__(self, log: KernelLog) -> None:
        super().__init__(Path("/nowhere/kmsg"), log.read)
        self._file = os.dup(log._wakes.fileno())


async def batch(source: Source, most: int = 1000, within: float = 5) -> Batch:
    """Read once."""
    return await source.read(most, within)


def texts(found: Batch) -> list[str]:
    """What its records say."""
    return [record.text for record in found.records]
