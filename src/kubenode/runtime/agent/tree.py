"""Files below a root: read within limits, replaced whole or not at all, and put back.

A path is walked folder by folder and no symbolic link in it is followed, so it ends below the root and where it says,
whoever changes folders meanwhile. What is written is on the disk, and so is its name, when a method returns.
"""

import enum
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

from kubenode.core.errors import KubenodeError
from kubenode.core.identity import digest
from kubenode.core.naming import is_path
from kubenode.core.probe import Access
from kubenode.runtime.agent.accounts import group_name, group_number, user_name, user_number
from kubenode.runtime.agent.disk import FOLDER, LOOK, Disk

MOST: Final = 4 << 20
"""Bytes of a file that are read, and of one that is replaced: it is kept until the operation is over."""


class StepFailed(KubenodeError):
    """A step could not be done; the text says why, in one line that may be shown."""


class Form(enum.Enum):
    """What stands at a path."""

    ABSENT = "absent"
    FILE = "file"
    LINK = "link"


@attrs.frozen(kw_only=True)
class Was:
    """What stood at a path, so that it can be put back.

    Attributes:
        content: of a file.
        mode: of a file: its permissions.
        user: of a file: whose it is.
        group: of a file: whose it is.
        target: of a link.
        missing: how many folders of the path, from its end, were not there.
    """

    form: Form
    content: bytes = attrs.field(default=b"", repr=False)
    mode: int = 0
    user: int = 0
    group: int = 0
    target: str = ""
    missing: int = 0


NOTHING: Final = Was(form=Form.ABSENT)


class Tree:
    """The files of a host.

    Args:
        root: "/" in production.
        disk: does what is done.
    """

    def __init__(self, root: Path, disk: Disk | None = None) -> None:
        self._root = root
        self._disk = disk if disk is not None else Disk()

    def read(self, path: str, most: int = MOST) -> bytes | None:
        """Give a file, at most its first `most` + 1 bytes; None when there is no plain file at that very path.

        Raises:
            StepFailed: nobody can tell.
        """
        try:
            with self.folder_of(path) as (folder, name):
                return None if folder is None else _read(name, folder, most)
        except (LinkedFolder, NotADirectoryError):
            return None
        except OSError as error:
            raise failed(path, error) from error

    def found(self, path: str) -> Was:
        """Give what stands at a path.

        Raises:
            StepFailed: it is no file or link, is too large to be kept, or a folder of the path is a link.
        """
        with explained(path):
            with self.folder_of(path) as (folder, name):
                if folder is not None:
                    return _found(path, name, folder)
            return attrs.evolve(NOTHING, missing=self._missing(path))

    def _missing(self, path: str) -> int:
        """Give how many folders of a path are not there, counted from its end."""
        parts = path.split("/")[1:-1]
        for count in range(len(parts), -1, -1):
            with self._walked(parts[:count]) as folder:
                if folder is not None:
                    return len(parts) - count
        return len(parts)

    def access(self, path: str) -> Access | None:
        """Give whose a file is, and who may do what with it; None when there is no plain file at that very path.

        Raises:
            StepFailed: nobody can tell.
        """
        try:
            with self.folder_of(path) as (folder, name):
                held = None if folder is None else status(name, folder)
        except (LinkedFolder, NotADirectoryError):
            return None
        except OSError as error:
            raise failed(path, error) from error
        if held is None or not stat.S_ISREG(held.st_mode):
            return None
        owner, group = user_name(held.st_uid), group_name(held.st_gid)
        return Access(mode=stat.S_IMODE(held.st_mode), owner=owner, group=group)

    def write(self, path: str, content: bytes, mode: int, *, owner: str = "", group: str = "") -> None:
        """Replace a file, or make it; folders that are missing are made, for all to read and root to write.

        The file keeps its owner and group where none are named. Until the new one is whole and on the disk the old one
        stands.

        Raises:
            StepFailed: it cannot be written; what stood there stands.
        """
        file = attrs.evolve(self._as_file(path), content=content, mode=mode)
        if owner:
            file = attrs.evolve(file, user=_known(user_number(owner), "user", owner))
        if group:
            file = attrs.evolve(file, group=_known(group_number(group), "group", group))
        self.put(path, file)

    def remove(self, path: str, content: bytes) -> None:
        """Remove a file of exactly this content; one that is not there is removed.

        Raises:
            StepFailed: it has another content, is no plain file, or cannot be removed.
        """
        was = self.found(path)
        if was.form is Form.ABSENT:
            return
        if was.form is not Form.FILE or was.content != content:
            raise StepFailed(
                f"{path} is not what was written there, so it stays; look at it, and remove it by hand"
            )
        self.put(path, NOTHING)

    def adjust(self, path: str, content: bytes) -> None:
        """Write into a file of `/proc`, in place. Raises StepFailed."""
        with explained(path), self.folder_of(path) as (folder, name):
            if folder is not None:
                self._disk.overwrite(name, folder, content)

    def _as_file(self, path: str) -> Was:
        with explained(path), self.folder_of(path) as (folder, name):
            held = None if folder is None else status(name, folder)
        if held is not None and not (stat.S_ISREG(held.st_mode) or stat.S_ISLNK(held.st_mode)):
            raise StepFailed(f"{path} is no plain file; move it away")
        if held is None or not stat.S_ISREG(held.st_mode):
            return Was(form=Form.FILE, user=os.geteuid(), group=os.getegid())
        return Was(form=Form.FILE, user=held.st_uid, group=held.st_gid)

    def put(self, path: str, was: Was) -> None:
        """Let a path be as it was.

        Raises:
            StepFailed: it cannot be done.
        """
        with explained(path):
            if was.form is Form.ABSENT:
                self._remove(path, was.missing)
                return
            with self.folder_of(path, make=True) as (folder, name):
                if folder is not None and not self._stands(path, name, folder, was):
                    self._put(name, folder, was)

    def _stands(self, path: str, name: str, folder: int, was: Was) -> bool:
        """Tell whether a path is as it was, and see that it stays so; a disk that is read-only by now bears that."""
        try:
            if _found(path, name, folder) != attrs.evolve(was, missing=0):
                return False
        except StepFailed:  # something else stands there
            return False
        self._swept(name, folder)
        self._disk.sync(folder)
        return True

    def _put(self, name: str, folder: int, was: Was) -> None:
        new = self._swept(name, folder)
        try:
            if was.form is Form.LINK:
                self._disk.link(was.target, new, folder)
            else:
                self._fill(new, folder, was)
            self._disk.rename(new, name, folder)
        except OSError:
            with suppress(OSError):
                self._disk.unlink(new, folder)
            raise
        self._disk.sync(folder)

    def _swept(self, name: str, folder: int) -> str:
        """Give the name under which what is new is made; what a write that was cut short has left of it is gone."""
        new = f".kubenode-{digest(name)}.new"
        if status(new, folder) is not None:
            self._disk.unlink(new, folder)
        return new

    def sweep(self, path: str) -> None:
        """Delete what a write that was cut short has left beside a path. Raises StepFailed."""
        with explained(path), self.folder_of(path) as (folder, name):
            if folder is not None:
                self._swept(name, folder)

    def _fill(self, new: str, folder: int, was: Was) -> None:
        file = self._disk.create(new, folder, 0o600)
        try:
            held = os.fstat(file)
            self._disk.write(file, was.content)
            if (held.st_uid, held.st_gid) != (was.user, was.group):
                self._disk.owner(file, was.user, was.group)
            self._disk.mode(file, was.mode)
            self._disk.sync(file)
        finally:
            os.close(file)

    def _remove(self, path: str, folders: int) -> None:
        """Remove a file, and of its folders as many as were made for it, if they are empty."""
        with self.folder_of(path) as (folder, name):
            if folder is not None:
                self._swept(name, folder)
            if folder is not None and status(name, folder) is not None:
                self._disk.unlink(name, folder)
                self._disk.sync(folder)
        parts = path.split("/")[1:-1]
        for index in range(len(parts) - 1, len(parts) - 1 - folders, -1):
            with self._walked(parts[:index]) as above:
                if above is None or status(parts[index], above) is None:
                    continue
                try:
                    self._disk.remove_folder(parts[index], above)
                except OSError as error:
                    if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                        return  # somebody has put something in
                    raise
                self._disk.sync(above)

    @contextmanager
    def folder_of(self, path: str, *, make: bool = False) -> Iterator[tuple[int | None, str]]:
        """Give the open folder of a path, None when there is none, and the last name."""
        if not is_path(path):
            raise StepFailed(f"{path!r} is not a plain absolute path such as /etc/chrony/chrony.conf")
        parts = path.split("/")[1:]
        with self._walked(parts[:-1], make=make) as folder:
            yield folder, parts[-1]

    @contextmanager
    def _walked(self, parts: list[str], *, make: bool = False) -> Iterator[int | None]:
        """Open folder after folder below the root; give the last one, or None when one is missing."""
        folder = os.open(self._root, FOLDER)
        try:
            for index, part in enumerate(parts):
                below = self._below(folder, part, f"/{'/'.join(parts[: index + 1])}", make=make)
                if below is None:
                    yield None
                    return
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)

    def _below(self, folder: int, part: str, path: str, *, make: bool) -> int | None:
        try:
            return os.open(part, FOLDER, dir_fd=folder)
        except FileNotFoundError:
            if not make:
                return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):  # a link, or no folder at all
                with suppress(OSError):
                    target = printable(os.readlink(part, dir_fd=folder))
                    fix = "write the path that it stands for"
                    raise LinkedFolder(f"{path} is a symbolic link to {target}; {fix}") from None
            raise
        self._disk.make_folder(part, folder)
        made = os.open(part, FOLDER, dir_fd=folder)
        try:
            self._disk.mode(made, 0o755)
            self._disk.sync(made)
            self._disk.sync(folder)
        except OSError:
            os.close(made)
            raise
        return made


class LinkedFolder(StepFailed):
    """A folder of a path is a symbolic link."""


def printable(text: str) -> str:
    """Give a text as it may be shown and sent: a question mark for each character that cannot be, as of a name that is no UTF-8."""
    return "".join(char if char.isprintable() else "?" for char in text)


def failed(path: str, error: OSError) -> StepFailed:
    """Say which path could not be used, and why."""
    return StepFailed(f"{path}: {os.strerror(error.errno or 0)}{advice(error)}")


def advice(error: OSError) -> str:
    """Give what to do about what the disk says, to be added to that; empty where nobody knows."""
    return _FIXES.get(error.errno or 0, "")


_FIXES: Final = {
    errno.EROFS: "; find out why, and remount it",
    errno.ENOSPC: "; make room",
    errno.EDQUOT: "; make room",
}
"""What to do about what the disk says, where it is one thing."""


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn what the disk says into StepFailed."""
    try:
        yield
    except OSError as error:
        raise failed(path, error) from error


def _known(number: int | None, what: str, name: str) -> int:
    if number is None:
        raise StepFailed(f"this host has no {what} {name}; make it, or name another")
    return number


def status(name: str, folder: int) -> os.stat_result | None:
    """Give what stands in a folder under a name, itself and not what a link leads to; None for nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _read(name: str, folder: int, most: int) -> bytes | None:
    try:
        file = os.open(name, LOOK, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):  # nothing, a link, a socket
            return None
        raise
    try:
        return _content(file, most) if stat.S_ISREG(os.fstat(file).st_mode) else None
    finally:
        os.close(file)


def _content(file: int, most: int = MOST) -> bytes:
    parts: list[bytes] = []
    left = most + 1
    while left and (part := os.read(file, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _found(path: str, name: str, folder: int) -> Was:
    held = status(name, folder)
    if held is None:
        return NOTHING
    if stat.S_ISLNK(held.st_mode):
        return Was(form=Form.LINK, target=os.readlink(name, dir_fd=folder))
    if not stat.S_ISREG(held.st_mode):
        raise StepFailed(f"{path} is no plain file; move it away")
    file = os.open(name, LOOK, dir_fd=folder)
    try:
        held, content = os.fstat(file), _content(file)
    finally:
        os.close(file)
    if len(content) > MOST:
        raise StepFailed(
            f"{path} has more than {MOST} bytes, which are not kept for a way back; move it away"
        )
    return Was(
        form=Form.FILE, content=content, mode=stat.S_IMODE(held.st_mode), user=held.st_uid, group=held.st_gid
    )
