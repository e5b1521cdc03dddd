"""A disk whose owner dies at a point: killed, or with the power cut, so that all is lost that was not synced."""

import os
import stat
from collections import defaultdict
from collections.abc import Callable

from kubenode.runtime.agent.disk import Disk

DEAD = 42
"""How a process that died at its point exits."""


def place(descriptor: int) -> str:
    """Give the path of what is open."""
    return os.readlink(f"/proc/self/fd/{descriptor}")


class MortalDisk(Disk):
    """Counts what is done to the disk and, by `point`, to the host; ends the process before a number of them.

    Args:
        at: the process ends before this one; 0: never.
        power: whether the power goes, too.
        torn: whether a write is half done then.
    """

    def __init__(self, at: int = 0, *, power: bool = False, torn: bool = False) -> None:
        self.count = 0
        self._at = at
        self._power = power
        self._torn = torn
        self._unsynced: dict[str, tuple[int, str]] = {}
        self._names: dict[str, list[Callable[[], None]]] = defaultdict(list)

    def point(self, _: str = "") -> None:
        """Be about to do something."""
        self.count += 1
        if self.count == self._at:
            self._die()

    def _die(self) -> None:
        if self._power:
            for length, path in self._unsynced.values():
                if os.path.exists(path):
                    os.truncate(path, length)
            for undone in self._names.values():
                for back in reversed(undone):
                    back()
        os._exit(DEAD)

    def create(self, name: str, folder: int, mode: int, flags: int = os.O_WRONLY | os.O_EXCL) -> int:
        """Do it, unless this is the point."""
        self.point()
        file = super().create(name, folder, mode, flags)
        path = place(file)
        self._unsynced[path] = (0, path)
        self._names[place(folder)].append(lambda: os.path.exists(path) and os.unlink(path))
        return file

    def write(self, file: int, data: bytes) -> None:
        """Do it, unless this is the point."""
        if self._torn and self.count + 1 == self._at:
            os.write(file, data[: len(data) // 2])
        self.point()
        path = place(file)
        self._unsynced.setdefault(path, (os.fstat(file).st_size, path))
        super().write(file, data)

    def sync(self, descriptor: int) -> None:
        """Do it, unless this is the point."""
        self.point()  # what a real sync would do is known here, and takes its time
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self._names.pop(place(descriptor), None)
        else:
            self._unsynced.pop(place(descriptor), None)

    def rename(self, old: str, new: str, folder: int) -> None:
        """Do it, unless this is the point."""
        self.point()
        where = place(folder)
        before = content(f"{where}/{new}")
        super().rename(old, new, folder)
        if f"{where}/{old}" in self._unsynced:  # its content goes where its name goes
            length, _ = self._unsynced.pop(f"{where}/{old}")
            self._unsynced[f"{where}/{new}"] = (length, f"{where}/{new}")
        self._names[where].append(lambda: restore(f"{where}/{new}", before))

    def unlink(self, name: str, folder: int) -> None:
        """Do it, unless this is the point."""
        self.point()
        where = place(folder)
        before = content(f"{where}/{name}")
        super().unlink(name, folder)
        self._names[where].append(lambda: restore(f"{where}/{name}", before))

    def mode(self, file: int, mode: int) -> None:
        """Do it, unless this is the point."""
        self.point()
        super().mode(file, mode)

    def make_folder(self, name: str, folder: int, mode: int = 0o755) -> None:
        """Do it, unless this is the point."""
        self.point()
        super().make_folder(name, folder, mode)
        path = f"{place(folder)}/{name}"
        self._names[place(folder)].append(
            lambda: os.path.isdir(path) and not os.listdir(path) and os.rmdir(path)
        )

    def remove_folder(self, name: str, folder: int) -> None:
        """Do it, unless this is the point."""
        self.point()
        super().remove_folder(name, folder)


def content(path: str) -> bytes | None:
    """Give a file, None when there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def restore(path: str, before: bytes | None) -> None:
    """Let a file be as it was."""
    if before is None:
        if os.path.exists(path):
            os.unlink(path)
        return
    with open(path, "wb") as file:
        file.write(before)
