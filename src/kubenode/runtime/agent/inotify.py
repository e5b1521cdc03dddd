"""The kernel's word on changes in folders, by inotify; the C library is asked itself, since Python does not."""

import os
import struct
from pathlib import Path
from typing import Any, Final, Protocol

import attrs

MODIFY: Final = 0x2
"""What a file holds has changed; of cgroup.events, which nobody closes, it is the only word."""
CONTENT: Final = 0x4 | 0x8
"""Mode or owner has changed; a file that was open for writing is closed."""
NAMES: Final = 0x40 | 0x80 | 0x100 | 0x200
"""A name has come or gone: moved, made, deleted."""
OVERFLOW: Final = 0x4000
_FOLDER: Final = 0x01000000 | 0x02000000 | 0x04000000
"""Only a folder, no link to one, and of it nothing that has no name any more."""
_NO_LINK: Final = 0x02000000
_ADD: Final = 0x20000000
_EVENT: Final = struct.Struct("iIII")
_MOST: Final = 64 * 1024


@attrs.frozen
class Event:
    """One word of the kernel.

    Attributes:
        watch: the number of the watch; -1 of an overflow.
        mask: what happened.
        name: in the folder that is watched; empty of what is watched itself.
    """

    watch: int
    mask: int
    name: str


class Source(Protocol):
    """Where words of changes come from."""

    @property
    def file(self) -> int:
        """The open file that can be read when there is a word."""

    def add(self, path: Path, mask: int, *, folder: bool) -> int:
        """Watch a folder, or a file, for this too, and give the number of its watch. Raises OSError."""

    def remove(self, watch: int) -> None:
        """Watch something no longer."""

    def read(self) -> tuple[Event, ...]:
        """Give words that have come; none when there is none."""

    def close(self) -> None:
        """Let it go."""


class Inotify:
    """One inotify of the kernel; implements Source.

    Raises:
        OSError: the kernel gives none, as when this user has as many as it may.
        ImportError: this Python cannot call the C library.
    """

    def __init__(self) -> None:
        import ctypes  # 0.2 MiB: only who watches something has it

        self._library: Any = ctypes.CDLL(None, use_errno=True)
        self._errno = ctypes.get_errno
        self.file = self._called("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)

    def _called(self, name: str, *words: int | bytes) -> int:
        answer = int(getattr(self._library, name)(*words))
        if answer < 0:
            number = self._errno()
            raise OSError(number, os.strerror(number))
        return answer

    def add(self, path: Path, mask: int, *, folder: bool) -> int:
        """Watch a folder, or a file, for this too, and give the number of its watch. Raises OSError."""
        flags = _ADD | (_FOLDER if folder else _NO_LINK)
        return self._called("inotify_add_watch", self.file, os.fsencode(path), mask | flags)

    def remove(self, watch: int) -> None:
        """Watch something no longer; what is gone is not watched."""
        self._library.inotify_rm_watch(self.file, watch)

    def read(self) -> tuple[Event, ...]:
        """Give words that have come; none when there is none."""
        try:
            raw = os.read(self.file, _MOST)
        except BlockingIOError:
            return ()
        found, at = [], 0
        while at < len(raw):
            watch, mask, _, length = _EVENT.unpack_from(raw, at)
            at += _EVENT.size
            found.append(Event(watch, mask, os.fsdecode(raw[at : at + length].rstrip(b"\0"))))
            at += length
        return tuple(found)

    def close(self) -> None:
        """Let it go, and all its watches."""
        os.close(self.file)


__all__ = ["CONTENT", "MODIFY", "NAMES", "OVERFLOW", "Event", "Inotify", "Source"]
