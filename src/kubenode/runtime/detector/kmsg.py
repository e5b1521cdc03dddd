"""The kernel log at its source, /dev/kmsg: a record a read, numbered by the kernel.

A reader that is too slow finds its next records overwritten: the read fails with EPIPE, once, and goes on with the oldest
that is left; how many are missing is seen in the numbers. Source: Linux Documentation/ABI/testing/dev-kmsg.
"""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from kubenode.core.detect.record import LogRecord, parse
from kubenode.runtime.detector.source import Batch, readable, unread

KMSG: Final = Path("/dev/kmsg")
_RECORD: Final = 8192
"""Bytes that the longest record has; a read of less than a record fails."""


class Kmsg:
    """The kernel log; implements Source.

    Args:
        path: where it is.
        read: reads a record of an open file.
    """

    def __init__(self, path: Path = KMSG, read: Callable[[int, int], bytes] = os.read) -> None:
        self._path = path
        self._read = read
        self._file: int | None = None

    def gave(self, position: str) -> bool:
        """Tell whether there is none: the numbers are the kernel's own."""
        return not position

    def begin(self, position: str, sequence: int) -> None:
        """Do nothing: all that the kernel still has is read, and the numbers tell what is new."""

    async def read(self, most: int, within: float) -> Batch:
        """Give the records that are there."""
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            # Of a stream there is more by now, and to wait for it costs more than to try.
            with suppress(BlockingIOError):
                return Batch(records=self._records(self._file, most))
            await readable(self._file, within)
            with suppress(BlockingIOError):
                return Batch(records=self._records(self._file, most))
            return Batch()
        except OSError as error:
            self.close()  # whatever became of it: a new file may be better, and the numbers tell what is missing
            return await unread(self._path, error, within)

    def _records(self, file: int, most: int) -> tuple[LogRecord, ...]:
        found: list[LogRecord] = []
        for _ in range(most):
            try:
                raw = self._read(file, _RECORD)
            except OSError as error:
                if error.errno == errno.EPIPE:
                    continue
                if found:
                    break  # the next reading meets it again
                raise
            if not raw:
                if found:
                    break
                raise OSError("it has ended")
            record = parse(raw)
            if record is not None:
                found.append(record)
        return tuple(found)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None
