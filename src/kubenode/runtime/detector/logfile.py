"""A log that is a plain file: read on from where it was left, also when it has been rotated or cut meanwhile.

Nobody says who wrote a line of a file: whoever may write the file is believed. Nor does anybody say in which boot: only what
is written after it was read once in this boot is known to be of it.
"""

import asyncio
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from kubenode.core.detect.record import LogRecord, printable
from kubenode.core.detect.rules import KERNEL
from kubenode.runtime.detector.lines import Lines
from kubenode.runtime.detector.source import Batch, unread

POLL: Final = 0.5
"""Seconds from one look at a file to the next: a file cannot be waited for."""
_CHUNK: Final = 1 << 16
_OPEN: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LEVEL: Final = 6


class LogFile:
    """A file of lines; implements Source.

    Args:
        path: where it is.
        elapsed: gives the moment, monotonic nanoseconds; a line is of the moment that it is read.
        message: finds what is looked at in a line, its last group; a line without one is skipped.
        facility: as whose the lines are taken.
        poll: seconds from one look at the file to the next.
    """

    def __init__(
        self, path: Path, elapsed: Callable[[], int], *, message: re.Pattern[str] | None = None,
        facility: int = KERNEL, poll: float = POLL,
    ) -> None:  # fmt: skip
        self._path = path
        self._elapsed = elapsed
        self._message = message
        self._facility = facility
        self._poll = poll
        self._position = ""
        self._number = 0
        self._file: int | None = None
        self._offset = 0
        self._missed = 0
        self._lines = Lines()

    def gave(self, position: str) -> bool:
        """Tell whether the file that it names is here, by whatever name."""
        return self._named(position) is not None

    def begin(self, position: str, sequence: int) -> None:
        """Go on after a position; without one, at the end of the file."""
        self._position, self._number = position, sequence

    async def read(self, most: int, within: float) -> Batch:
        """Give the lines that are there; of a file that was just opened at once, if only where that is."""
        waited, is_new = 0.0, self._file is None
        while True:
            try:
                self._fill(most)
            except OSError as error:
                self.close()
                return await unread(self._path, error, within)
            if is_new or len(self._lines) or self._missed or waited >= within:
                return self._batch(most)
            await asyncio.sleep(self._poll)
            waited += self._poll

    def _fill(self, most: int) -> None:
        """Read until there are lines enough, or no more; go over to the file that has taken the place of this one."""
        if self._file is None:
            self._open()
        while self._file is not None and len(self._lines) < most:
            more = os.read(self._file, _CHUNK)
            if more:
                self._lines.feed(more)
            elif not self._went_on(self._file):
                return

    def _went_on(self, file: int) -> bool:
        """At the end of a file, tell whether there is more elsewhere: at its beginning, or in its successor."""
        if len(self._lines):  # they are given first: a position is in one file
            return False
        held = os.fstat(file)
        if held.st_size < os.lseek(
            file, 0, os.SEEK_CUR
        ):  # cut: what was written before that is not to be had
            self._missed += 1
            self._restart(0)
            return True
        try:
            there = self._path.stat()
        except FileNotFoundError:  # its successor is not there yet
            return False
        if (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino):
            return False
        self._close()
        self._file = self._opened(self._path)
        self._restart(0)
        return True

    def _restart(self, offset: int) -> None:
        if self._file is not None:
            os.lseek(self._file, offset, os.SEEK_SET)
        self._offset = offset
        self._lines.clear()

    def _open(self) -> None:
        """Open the file that the position names, whatever it is called by now; else the one that is there."""
        inode, offset = _split(self._position)
        path = self._named(self._position)
        self._file = self._opened(path or self._path)
        if path is not None:
            self._restart(offset)
            return
        if inode:  # what it was left in is gone
            self._missed += 1
        self._restart(0 if inode else os.fstat(self._file).st_size)

    def _named(self, position: str) -> Path | None:
        """Give where the file is by now that a position names."""
        inode, offset = _split(position)
        for path in self._candidates() if inode else ():
            with suppress(OSError):
                held = path.stat()
                if held.st_ino == inode and held.st_size >= offset:
                    return path
        return None

    def _candidates(self) -> list[Path]:
        rotated = sorted(self._path.parent.glob(f"{_quoted(self._path.name)}?*"))
        return [self._path, *rotated]

    def _opened(self, path: Path) -> int:
        file = os.open(path, _OPEN)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError("it is no plain file")
        return file

    def _batch(self, most: int) -> Batch:
        found: list[LogRecord] = []
        micros = self._elapsed() // 1000
        for raw, length in self._lines.take(most):
            self._offset += length
            text = self._said(raw)
            if text is not None:
                self._number += 1
                found.append(LogRecord(
                    facility=self._facility, level=_LEVEL, sequence=self._number, microseconds=micros, text=text
                ))  # fmt: skip
        lost, self._missed = self._missed + self._lines.lost(), 0
        if self._file is not None:
            self._position = f"{os.fstat(self._file).st_ino}:{self._offset}"
        return Batch(records=tuple(found), lost=lost, position=self._position)

    def _said(self, raw: bytes) -> str | None:
        text = printable(raw.decode("utf-8", errors="replace"))
        if self._message is None:
            return text or None
        found = self._message.search(text)
        return None if found is None else found[found.re.groups] or ""

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def close(self) -> None:
        """Let go of the file; lines that were not given are read again."""
        self._close()
        self._lines = Lines()


def _split(position: str) -> tuple[int, int]:
    """Give the inode and the offset of a position; zeros where it is none."""
    inode, _, offset = position.partition(":")
    is_one = position.isascii() and inode.isdecimal() and offset.isdecimal()
    return (int(inode), int(offset)) if is_one else (0, 0)


def _quoted(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)
