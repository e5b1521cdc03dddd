"""Artifacts as they are kept: one folder each, a slot, with what was unpacked and a list of it; looked at, never changed.

    /opt/kubenode/artifacts/7-<sha256>/files      the list: what belongs there, and for which path it was fetched
    /opt/kubenode/artifacts/7-<sha256>/content    the program, or the folder of a tar

A path is a symbolic link to such a content. What a slot holds is judged by the bytes of its files, read again whenever
a file changed, so what somebody changed in place is seen.
"""

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import attrs

from kubenode.core.model import Json
from kubenode.core.naming import is_path, is_sha256
from kubenode.core.step import ArtifactFormat, InstallArtifact, artifact_mark
from kubenode.runtime.agent.disk import FOLDER, LOOK
from kubenode.runtime.agent.tree import LinkedFolder, Tree, explained, failed, status

STORE: Final = "/opt/kubenode/artifacts"
CONTENT: Final = "content"
LIST: Final = "files"
_SLOT: Final = re.compile(r"([1-9][0-9]{0,8})-([0-9a-f]{64})")
_TARGET: Final = re.compile(rf"{STORE}/({_SLOT.pattern})/{CONTENT}(/.+)?")
_MOST_LISTED: Final = 8 << 20
_LARGEST: Final = 1 << 30
"""Bytes of a program that somebody else has installed, up to which it is compared."""
_PART: Final = 1 << 20
_MOST_DIGESTS: Final = 20_000
"""Files whose digest is remembered."""
_NOTHING: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""What opening says of nothing, of a link and of a socket."""


@attrs.frozen
class Held:
    """A file of a slot.

    Attributes:
        path: below the content; empty where the content is that file.
        mode: its permissions; it is root's.
        sha256: of its bytes.
    """

    path: str
    mode: int
    sha256: str


@attrs.frozen(kw_only=True)
class Slot:
    """One artifact that is kept.

    Attributes:
        name: of its folder.
        path: for which it was fetched.
        sha256: of what was fetched.
    """

    name: str
    path: str
    sha256: str
    format: ArtifactFormat
    files: tuple[Held, ...]
    folders: tuple[str, ...]

    def target(self, member: str) -> str:
        """Give where a link to a member leads."""
        return f"{STORE}/{self.name}/{CONTENT}" + (f"/{member}" if member else "")

    def has(self, member: str) -> bool:
        """Tell whether there is such a member; all of it is one."""
        return not member or member in self.folders or any(file.path == member for file in self.files)


def slot_of(target: str) -> tuple[str, str] | None:
    """Give slot and member to which a link leads; None when it leads elsewhere."""
    found = _TARGET.fullmatch(target)
    return None if found is None else (found[1], (found[4] or "").removeprefix("/"))


def number_of(name: str) -> int:
    """Give the number of a slot, higher than those of all before it; 0 when it is none."""
    found = _SLOT.fullmatch(name)
    return 0 if found is None else int(found[1])


def written(slot: Slot) -> bytes:
    """Give the list of a slot as it stands on the disk."""
    return json.dumps({
        "path": slot.path, "format": slot.format.value,
        "files": [[one.path, one.mode, one.sha256] for one in slot.files], "folders": slot.folders,
    }).encode()  # fmt: skip


class Slots:
    """What is kept below a root. Not safe to use from two threads.

    Args:
        tree: walks paths.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._digests: dict[tuple[int, int], tuple[tuple[int, ...], str]] = {}

    def mark(self, path: str) -> str | None:
        """Give which artifact stands at a path, empty when none or not whole; None when nothing stands there.

        Raises:
            StepFailed: nobody can tell.
        """
        try:
            with self._tree.folder_of(path) as (folder, name):
                held = None if folder is None else status(name, folder)
                if folder is None or held is None:
                    return None
                if stat.S_ISLNK(held.st_mode):
                    return self._led_to(os.readlink(name, dir_fd=folder))
                return self._program(name, folder) or ""
        except (LinkedFolder, NotADirectoryError):
            return None
        except OSError as error:
            raise failed(path, error) from error

    def _led_to(self, target: str) -> str:
        found = slot_of(target)
        slot = None if found is None else self.whole(found[0])
        if found is None or slot is None or not slot.has(found[1]):
            return ""
        return artifact_mark(slot.sha256, slot.format, found[1])

    def _program(self, name: str, folder: int) -> str | None:
        """Give the digest of a program that stands there itself; None when it is none."""
        with _opened(name, folder) as file:
            if file is None:
                return None
            held = os.fstat(file)
            good = stat.S_ISREG(held.st_mode) and held.st_mode & 0o100 and held.st_size <= _LARGEST
            return self._digest(file, held) if good else None

    @contextmanager
    def store(self) -> Iterator[int | None]:
        """Give the open folder of all slots; None when there is none. Raises StepFailed, OSError."""
        with self._tree.folder_of(f"{STORE}/{CONTENT}") as (folder, _):
            yield folder

    def all(self) -> tuple[Slot, ...]:
        """Give the slots that can be read, whole or not, the newest first. Raises StepFailed."""
        with explained(STORE):
            with self.store() as store:
                names = [] if store is None else [name for name in os.listdir(store) if number_of(name)]
            found = [self._slot(name) for name in sorted(names, key=number_of, reverse=True)]
        return tuple(slot for slot in found if slot is not None)

    def kept(self, step: InstallArtifact) -> Slot | None:
        """Give a whole slot of what a step wants, for its path; None when there is none. Raises StepFailed."""
        fitting = (
            slot.name
            for slot in self.all()
            if (slot.path, slot.sha256, slot.format) == (step.path, step.sha256, step.format)
        )
        return next((slot for name in fitting if (slot := self.whole(name)) is not None), None)

    def whole(self, name: str) -> Slot | None:
        """Give a slot if all that belongs to it is there, byte for byte; None when it is not. Raises StepFailed."""
        with explained(f"{STORE}/{name}"):
            slot = self._slot(name)
            with self.store() as store:
                if slot is None or store is None:
                    return None
                return slot if self._is_whole(slot, store) else None

    def _slot(self, name: str) -> Slot | None:
        with self.store() as store, _opened(name, store, FOLDER) as folder, _opened(LIST, folder) as file:
            if file is None:
                return None
            with os.fdopen(os.dup(file), "rb") as opened:
                text = opened.read(_MOST_LISTED + 1)
        return _read(name, text) if len(text) <= _MOST_LISTED else None

    def _is_whole(self, slot: Slot, store: int) -> bool:
        with _opened(slot.name, store, FOLDER) as top:
            paths = [f"{CONTENT}/{path}" for path in slot.folders]
            if slot.format is ArtifactFormat.TAR:
                paths.append(CONTENT)
            return all(_is_folder(path, top) for path in paths) and all(
                self._is_same(one, top) for one in slot.files
            )

    def _is_same(self, one: Held, top: int | None) -> bool:
        with _walked(f"{CONTENT}/{one.path}" if one.path else CONTENT, top, LOOK) as file:
            if file is None:
                return False
            held = os.fstat(file)
            if not stat.S_ISREG(held.st_mode) or (stat.S_IMODE(held.st_mode), held.st_uid) != (
                one.mode,
                os.geteuid(),
            ):
                return False
            return self._digest(file, held) == one.sha256

    def _digest(self, file: int, held: os.stat_result) -> str:
        """Give the digest of an open file; it is read only if it is another one than last time, or was changed."""
        key, now = (held.st_dev, held.st_ino), (held.st_size, held.st_mtime_ns, held.st_ctime_ns)
        before = self._digests.get(key)
        if before is not None and before[0] == now:
            return before[1]
        found = hashlib.sha256()
        while part := os.read(file, _PART):
            found.update(part)
        self._digests[key] = (now, found.hexdigest())
        if len(self._digests) > _MOST_DIGESTS:
            del self._digests[next(iter(self._digests))]
        return found.hexdigest()


@contextmanager
def _opened(name: str, folder: int | None, flags: int = LOOK) -> Iterator[int | None]:
    """Give what is open; None where there is no such thing, or it is a link, or the folder was not there itself."""
    file: int | None = None
    if folder is not None:
        try:
            file = os.open(name, flags, dir_fd=folder)
        except OSError as error:
            if error.errno not in _NOTHING:
                raise
    try:
        yield file
    finally:
        if file is not None:
            os.close(file)


@contextmanager
def _walked(path: str, top: int | None, flags: int) -> Iterator[int | None]:
    """Open a path below a folder, part by part and without following a link; None where that is not possible."""
    *above, last = path.split("/")
    if not above:
        with _opened(last, top, flags) as file:
            yield file
        return
    with (
        _opened(above[0], top, FOLDER) as folder,
        _walked("/".join([*above[1:], last]), folder, flags) as file,
    ):
        yield file


def _is_folder(path: str, top: int | None) -> bool:
    with _walked(path, top, FOLDER) as folder:
        return folder is not None


def _read(name: str, text: bytes) -> Slot | None:
    """Read the list of a slot; None when it is none, or names what lies outside."""
    found = _SLOT.fullmatch(name)
    try:
        raw: Json = json.loads(text)
        files = tuple(Held(*one) for one in raw["files"])
        slot = Slot(
            name=name, path=raw["path"], sha256="" if found is None else found[2],
            format=ArtifactFormat(raw["format"]), files=files, folders=tuple(raw["folders"]),
        )  # fmt: skip
        return slot if found is not None and _is_sound(slot) else None
    except (ValueError, LookupError, TypeError):
        return None


def _is_sound(slot: Slot) -> bool:
    is_tar = slot.format is ArtifactFormat.TAR
    paths = [*slot.folders, *(one.path for one in slot.files)]
    inside = all(is_path(f"/{path}") for path in paths)
    sums = all(is_sha256(one.sha256) for one in slot.files)
    return sums and is_path(slot.path) and (inside if is_tar else [one.path for one in slot.files] == [""])


__all__ = [
    "CONTENT", "LIST", "STORE", "Held", "Slot", "Slots", "number_of", "slot_of", "written",
]  # fmt: skip
