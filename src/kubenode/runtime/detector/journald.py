"""A log as journald has it: `journalctl -o json -f`, gone on with by its cursor.

Fields that begin with `_` are journald's own, which no program can write: who wrote a line is read from those, and a line
that calls itself the kernel's is not the kernel's.
"""

import fcntl
import json
import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from kubenode.core.detect.record import LogRecord, printable
from kubenode.runtime.agent.commands import environment
from kubenode.runtime.detector.lines import Lines
from kubenode.runtime.detector.source import Batch, readable, unread

JOURNALCTL: Final = (
    "journalctl",
    "--output=json",
    "--follow",
    "--no-pager",
    "--quiet",
    "--boot",
    "--lines=all",
)
_MISSED: Final = "e9bf28e6e834481bb6f48f548ad13606"
"""What journald calls its word that the kernel had overwritten lines before it read them: SD_MESSAGE_JOURNAL_MISSED."""
KERNEL_LINES: Final = ("_TRANSPORT=kernel", "+", "_TRANSPORT=driver", f"MESSAGE_ID={_MISSED}")
_NUMBER: Final = re.compile(r"Missed ([0-9]{1,18}) ")
_CURSOR: Final = "s="
"""How a cursor begins: with the number of its file."""
_USER: Final = 1
"""The facility of programs that name none; the kernel gives it to those that say 0."""
_CHUNK: Final = 1 << 16
_PIPE: Final = 1 << 20
_END_WITHIN: Final = 2.0


class Journald:
    """Lines of the journal; implements Source.

    Args:
        identifier: whose, by SYSLOG_IDENTIFIER, of which only root's are believed; None: the kernel's.
        argv: the program that prints them.
    """

    def __init__(self, identifier: str | None = None, argv: Sequence[str] = JOURNALCTL) -> None:
        self._identifier = identifier
        self._argv = tuple(argv)
        self._cursor = ""
        self._number = 0
        self._lines = Lines()
        self._process: subprocess.Popen[bytes] | None = None

    def gave(self, position: str) -> bool:
        """Tell whether it is a cursor."""
        return position.startswith(_CURSOR)

    def begin(self, position: str, sequence: int) -> None:
        """Go on after a cursor; without one, from the beginning of this boot."""
        self._cursor, self._number = position, sequence

    async def read(self, most: int, within: float) -> Batch:
        """Give the lines that are there."""
        try:
            if not len(self._lines) and not await self._fill(most, within):
                return Batch()
        except OSError as error:
            self.close()
            return await unread(self._argv[0], error, within)
        found: list[LogRecord] = []
        lost = self._lines.lost()
        for raw, _ in self._lines.take(most):
            held = _fields(raw)
            lost += missed(held)
            self._cursor = str(held.get("__CURSOR", self._cursor))
            one = record(held, self._number + 1, of_root=self._identifier is not None)
            if one is not None:
                self._number += 1
                found.append(one)
        return Batch(records=tuple(found), lost=lost, position=self._cursor)

    async def _fill(self, most: int, within: float) -> bool:
        """Wait for lines and take so many, if there are; tell whether there was anything. Raises OSError at the program's end."""
        if self._process is None:
            self._process = self._started()
        out = self._process.stdout
        if out is None or not await readable(out.fileno(), within):
            return False
        with suppress(BlockingIOError):
            while len(self._lines) < most:
                more = os.read(out.fileno(), _CHUNK)
                if not more and not len(self._lines):
                    raise OSError("journalctl has ended")
                if not more:  # the next reading comes upon it again
                    break
                self._lines.feed(more)
        return True

    def _started(self) -> subprocess.Popen[bytes]:
        after = (f"--after-cursor={self._cursor}",) if self._cursor else ()
        match = KERNEL_LINES if self._identifier is None else (f"SYSLOG_IDENTIFIER={self._identifier}",)
        process = subprocess.Popen(  # noqa: S603 - an argv: no shell takes it apart
            [*self._argv, *after, *match], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd="/", env=environment(os.environ),
        )  # fmt: skip
        if process.stdout is not None:
            os.set_blocking(process.stdout.fileno(), False)
            with suppress(OSError):  # as it is, it holds a tenth of a second of a busy journal
                fcntl.fcntl(process.stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)
        return process

    def close(self) -> None:
        """End the program; lines that were not given are read again after the cursor."""
        process, self._process = self._process, None
        self._lines = Lines()
        if process is None:
            return
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_WITHIN)
        if process.stdout is not None:
            process.stdout.close()


def _fields(raw: bytes) -> dict[str, Any]:
    try:
        held = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return held if isinstance(held, dict) else {}


def missed(held: dict[str, Any]) -> int:
    """Give how many lines of the kernel journald itself says to have missed; 0 for every other entry."""
    if held.get("_TRANSPORT") != "driver" or held.get("MESSAGE_ID") != _MISSED:
        return 0
    found = _NUMBER.match(str(held.get("MESSAGE")))
    return int(found.group(1)) if found is not None else 1


def record(held: dict[str, Any], number: int, *, of_root: bool) -> LogRecord | None:
    """Give an entry of the journal as a record; None for what is none, or is not believed.

    Args:
        held: its fields.
        number: of the record.
        of_root: only what root has written is believed; else only what the kernel has.
    """
    is_kernel = held.get("_TRANSPORT") == "kernel"
    if of_root and not is_kernel and held.get("_UID") != "0":
        return None
    try:
        text = _text(held["MESSAGE"])
        facility, level = int(held.get("SYSLOG_FACILITY", _USER)), int(held.get("PRIORITY", 6))
        micros = int(held["__MONOTONIC_TIMESTAMP"])
    except (ValueError, LookupError, TypeError):
        return None
    said = facility if is_kernel else max(facility, _USER)
    return LogRecord(facility=said, level=level, sequence=number, microseconds=micros, text=printable(text))


def _text(message: Any) -> str:
    """Give a message; one that is no text is a list of its bytes, and one that is too long is null."""
    if isinstance(message, list):
        return bytes(message).decode("utf-8", errors="replace")
    if not isinstance(message, str):
        raise TypeError("the message is too long to be shown")
    return message
