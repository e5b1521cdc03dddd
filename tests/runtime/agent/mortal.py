"""A disk whose owner dies at a point: killed, or with the power cut, so that all is lost that was not synced."""

import os
import stat
from typing import TypeAlias

import attrs

from kubenode.runtime.agent.disk import Disk

DEAD = 42
"""How a process that died at its point exits."""

Stood: TypeAlias = tuple[str, bytes, int] | None
"""What stood at a path: `file`, its content and mode; `link` and where it leads; `folder`; None for nothing."""


def place(descriptor: int) -> str:
    """Give the path of what is open."""
    return os.readlink(f"/proc/self/fd/{descriptor}")


@attrs.define
class Change:
    """What a folder lists and what is not on the disk yet.

    Attributes:
        before: what stood there.
        came: of a folder that was renamed, its name before.
    """

    folder: str
    name: str
    before: Stood
    came: str = ""

    @property
    def path(self) -> str:
        """Where it is now: a folder above it may have been renamed."""
        return f"{self.folder}/{self.name}"


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
        self._unsynced: dict[str, int] = {}
        self._changes: list[Change] = []

    def point(self, _: str = "") -> None:
        """Be about to do something."""
        self.count += 1
        if self.count == self._at:
            self._die()

    def _die(self) -> None:
        if self._power:
            for path, length in self._unsynced.items():
                if os.path.exists(path):
                    os.truncate(path, length)
            while self._changes:
                self._take_back(self._changes.pop())
        os._exit(DEAD)

    def _take_back(self, one: Change) -> None:
        if one.came:
            if os.path.isdir(one.path):
                os.rename(one.path, f"{one.folder}/{one.came}")
                self._moved(one.path, f"{one.folder}/{one.came}")
        else:
            restore(one.path, one.before)

    def _moved(self, old: str, new: str) -> None:
        """Let all that is known below a folder be known under its other name."""
        for one in self._changes:
            if f"{one.folder}/".startswith(f"{old}/"):
                one.folder = new + one.folder[len(old) :]
        for path in [path for path in self._unsynced if path.startswith(f"{old}/")]:
            self._unsynced[new + path[len(old) :]] = self._unsynced.pop(path)

    def _changes_at(self, folder: int, name: str, came: str = "") -> None:
        where = place(folder)
        self._changes.append(Change(where, name, stood(f"{where}/{name}"), came))

    def create(self, name: str, folder: int, mode: int, flags: int = os.O_WRONLY | os.O_EXCL) -> int:
        """Do it, unless this is the point."""
        self.point()
        self._changes_at(folder, name)
        file = super().create(name, folder, mode, flags)
        self._unsynced[place(file)] = 0
        return file

    def write(self, file: int, data: bytes) -> None:
        """Do it, unless this is the point."""
        if self._torn and self.count + 1 == self._at:
            os.write(file, data[: len(data) // 2])
        self.point()
        self._unsynced.setdefault(place(file), os.fstat(file).st_size)
        super().write(file, data)

    def overwrite(self, name: str, folder: int, data: bytes) -> None:
        """Do it, unless this is the point; of what the kernel shows nothing is half done, and a boot forgets all."""
        self.point()
        super().overwrite(name, folder, data)

    def sync(self, descriptor: int) -> None:
        """Do it, unless this is the point."""
        self.point()  # what a real sync would do is known here, and takes its time
        where = place(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            self._changes = [one for one in self._changes if one.folder != where]
        else:
            self._unsynced.pop(where, None)

    def rename(self, old: str, new: str, folder: int) -> None:
        """Do it, unless this is the point."""
        self.point()
        where = place(folder)
        before, after = f"{where}/{old}", f"{where}/{new}"
        is_folder = (stood(before) or ("",))[0] == "folder"
        self._changes_at(folder, new, old if is_folder else "")
        if not is_folder:
            self._changes_at(folder, old)
        super().rename(old, new, folder)
        if is_folder:
            self._moved(before, after)
        elif before in self._unsynced:  # its content goes where its name goes
            self._unsynced[after] = self._unsynced.pop(before)

    def link(self, target: str, name: str, folder: int) -> None:
        """Do it, unless this is the point."""
        self.point()
        self._changes_at(folder, name)
        super().link(target, name, folder)

    def name_too(self, name: str, other: str, folder: int) -> None:
        """Do it, unless this is the point."""
        self.point()
        self._changes_at(folder, other)
        super().name_too(name, other, folder)

    def unlink(self, name: str, folder: int) -> None:
        """Do it, unless this is the point."""
        self.point()
        self._changes_at(folder, name)
        super().unlink(name, folder)

    def mode(self, file: int, mode: int) -> None:
        """Do it, unless this is the point."""
        self.point()
        super().mode(file, mode)

    def make_folder(self, name: str, folder: int, mode: int = 0o755) -> None:
        """Do it, unless this is the point."""
        self.point()
        self._changes_at(folder, name)
        super().make_folder(name, folder, mode)

    def remove_folder(self, name: str, folder: int) -> None:
        """Do it, unless this is the point."""
        self.point()
        self._changes_at(folder, name)
        super().remove_folder(name, folder)


def stood(path: str) -> Stood:
    """Give what stands at a path."""
    try:
        held = os.lstat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(held.st_mode):
        return "link", os.readlink(path).encode(), 0
    if stat.S_ISDIR(held.st_mode):
        return "folder", b"", 0
    with open(path, "rb") as file:
        return "file", file.read(), stat.S_IMODE(held.st_mode)


def restore(path: str, before: Stood) -> None:
    """Let a path be as it was; a folder in which somebody has put something stays."""
    if not os.path.isdir(os.path.dirname(path)):
        return  # that it is gone is on the disk
    now = stood(path)
    if now == before:
        return
    if now is not None and now[0] == "folder":
        if os.listdir(path):
            return
        os.rmdir(path)
    elif now is not None:
        os.unlink(path)
    match before:
        case ("file", content, mode):
            with open(path, "wb") as file:
                file.write(content)
            os.chmod(path, mode)
        case ("link", target, _):
            os.symlink(target.decode(), path)
        case ("folder", _, _):
            os.mkdir(path)
