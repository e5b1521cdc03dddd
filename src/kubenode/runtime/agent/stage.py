"""Where an artifact is made before any path leads to it: fetched, compared by digest, unpacked and synced, aside.

The stage is one folder in the store. What is in it is ours, so that what was cut short is deleted whole.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import attrs

from kubenode.core.step import ArtifactFormat, InstallArtifact
from kubenode.runtime.agent import untar
from kubenode.runtime.agent.disk import FOLDER, NOT_FOLLOWED, Disk
from kubenode.runtime.agent.download import Fetch, Unreached
from kubenode.runtime.agent.slots import CONTENT, LIST, STORE, Held, Slot, Slots, number_of, written
from kubenode.runtime.agent.tree import StepFailed, Tree, explained, status

_STAGE: Final = "new"
_PACKED: Final = "packed"
_TRIES: Final = 3
_AGAIN: Final = 5.0


@attrs.frozen(kw_only=True)
class Supply:
    """Where artifacts come from, and what they may take of a disk.

    Attributes:
        fetch: gives the bytes of a URL.
        left: bytes that stay free, for all else on the host.
        tar: what a tar may cost.
    """

    fetch: Fetch
    left: int = 128 << 20
    tar: untar.Limits = attrs.field(factory=untar.Limits)


class Stage:
    """The stage of one host.

    Args:
        tree: walks paths.
        disk: does what is done.
        supply: where artifacts come from.
        pause: waits for some seconds.
        slots: what is kept.
    """

    def __init__(
        self, tree: Tree, disk: Disk, supply: Supply, pause: Callable[[float], None], slots: Slots
    ) -> None:
        self._tree = tree
        self._disk = disk
        self._supply = supply
        self._pause = pause
        self._slots = slots

    def bring(self, step: InstallArtifact) -> Slot:
        """Fetch and unpack what a step wants; give its slot, which is on the disk then."""
        try:
            with self._tree.folder_of(f"{STORE}/{_STAGE}", make=True) as (found, _):
                store = _ours(found)
                self._make(_STAGE, store)
                with opened_at(_STAGE, store) as stage:
                    slot = self._filled(step, store, stage)
                    self._disk.sync(stage)
                self._disk.rename(_STAGE, slot.name, store)
                self._disk.sync(store)
                return slot
        except (OSError, StepFailed):
            with suppress(OSError, StepFailed):
                self.clear()
            raise

    def _filled(self, step: InstallArtifact, store: int, stage: int) -> Slot:
        self._fetched(step, stage)
        number = max(map(number_of, os.listdir(store)), default=0) + 1
        filling = Filling(self._disk, self._supply.left)
        if step.format is ArtifactFormat.BINARY:
            self._disk.rename(_PACKED, CONTENT, stage)
            filling.files.append(Held("", 0o755, step.sha256))
        else:
            self._make(CONTENT, stage)
            with opened_at(CONTENT, stage) as content, opened_at(_PACKED, stage, os.O_RDONLY) as packed:
                size = os.fstat(packed).st_size
                with os.fdopen(os.dup(packed), "rb") as opened:
                    filling.into(content, lambda place: untar.unpack(opened, size, place, self._supply.tar))
            self._disk.unlink(_PACKED, stage)
        slot = Slot(
            name=f"{number}-{step.sha256}", path=step.path, sha256=step.sha256, format=step.format,
            files=tuple(filling.files), folders=tuple(filling.folders),
        )  # fmt: skip
        file = self._disk.create(LIST, stage, 0o644)
        try:
            self._disk.write(file, written(slot))
            self._disk.sync(file)
        finally:
            os.close(file)
        return slot

    def _fetched(self, step: InstallArtifact, stage: int) -> None:
        """Fetch into the stage; a server that does not answer is asked again, not for long."""
        for left in reversed(range(_TRIES)):
            try:
                self._fetched_once(step, stage)
            except Unreached:
                if not left:
                    raise
                self._pause(_AGAIN)
                with suppress(FileNotFoundError):
                    self._disk.unlink(_PACKED, stage)
            else:
                return

    def _fetched_once(self, step: InstallArtifact, stage: int) -> None:
        file = self._disk.create(_PACKED, stage, 0o600)
        digest = hashlib.sha256()

        def take(part: bytes) -> None:
            with explained(STORE):  # else a full disk would be blamed on the server
                _check_room(file, len(part), self._supply.left)
                digest.update(part)
                self._disk.write(file, part)

        try:
            self._supply.fetch(step.url, take)
            if digest.hexdigest() != step.sha256:
                what = f"what was fetched has the SHA-256 {digest.hexdigest()[:12]}…, not {step.sha256[:12]}…"
                raise StepFailed(f"{what}; correct the component's url or sha256")
            if step.format is ArtifactFormat.BINARY:
                self._disk.mode(file, 0o755)
            self._disk.sync(file)
        finally:
            os.close(file)

    def _make(self, name: str, folder: int) -> None:
        self._disk.make_folder(name, folder)
        with opened_at(name, folder) as made:
            self._disk.mode(made, 0o755)

    def clear(self) -> None:
        """Delete what was cut short: a stage, in which all is ours, and slots of which nothing is left."""
        with self._slots.store() as store:
            if store is None:
                return
            self._clear(_STAGE, store)
            for name in filter(number_of, os.listdir(store)):
                with opened_at(name, store) as slot:
                    left = os.listdir(slot)
                if not left:
                    self._disk.remove_folder(name, store)

    def _clear(self, name: str, folder: int) -> None:
        held = status(name, folder)
        if held is None:
            return
        if not stat.S_ISDIR(held.st_mode):
            self._disk.unlink(name, folder)
            return
        with opened_at(name, folder) as below:
            for one in sorted(os.listdir(below)):
                self._clear(one, below)
        self._disk.remove_folder(name, folder)


class Filling:
    """The content of a tar on its way to the disk; implements `untar.Place`."""

    def __init__(self, disk: Disk, left: int) -> None:
        self._disk = disk
        self._left = left
        self._top = -1
        self.files: list[Held] = []
        self.folders: list[str] = []

    def into(self, content: int, unpack: Callable[["Filling"], None]) -> None:
        """Unpack into an open folder, and return when all is on the disk."""
        self._top = content
        unpack(self)
        for path in reversed(self.folders):
            with self._folder(path) as folder:
                self._disk.sync(folder)
        self._disk.sync(content)

    def folder(self, path: str) -> None:
        """Make a folder."""
        above, _, name = path.rpartition("/")
        with self._folder(above) as folder:
            self._disk.make_folder(name, folder)
            with opened_at(name, folder) as made:
                self._disk.mode(made, 0o755)
        self.folders.append(path)

    def file(self, path: str, mode: int, parts: Iterator[bytes]) -> None:
        """Make a file, and sync it."""
        above, _, name = path.rpartition("/")
        digest = hashlib.sha256()
        with self._folder(above) as folder:
            file = self._disk.create(name, folder, 0o600)
            try:
                for part in parts:
                    _check_room(file, len(part), self._left)
                    digest.update(part)
                    self._disk.write(file, part)
                self._disk.mode(file, mode)
                self._disk.sync(file)
            finally:
                os.close(file)
        self.files.append(Held(path, mode, digest.hexdigest()))

    @contextmanager
    def _folder(self, path: str) -> Iterator[int]:
        """Open a folder below the content, part by part and without following a link."""
        folder = os.dup(self._top)
        try:
            for name in path.split("/") if path else ():
                below = os.open(name, FOLDER, dir_fd=folder)
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)


@contextmanager
def opened_at(name: str, folder: int, flags: int = FOLDER) -> Iterator[int]:
    """Give what stands in a folder, open and not followed where it is a link. Raises OSError."""
    opened = os.open(name, flags | NOT_FOLLOWED, dir_fd=folder)
    try:
        yield opened
    finally:
        os.close(opened)


def _check_room(file: int, size: int, left: int) -> None:
    found = os.fstatvfs(file)
    if found.f_bavail * found.f_frsize < size + left:
        raise StepFailed(f"{STORE}: less than {left >> 20} MiB would be left on its disk; make room")


def _ours(store: int | None) -> int:
    """Give the folder of all slots if nobody else can put anything in."""
    held = None if store is None else os.fstat(store)
    if store is None or held is None:
        raise StepFailed(f"{STORE} cannot be made")
    if held.st_uid != os.geteuid() or held.st_mode & 0o022:
        raise StepFailed(f"others may write into {STORE}; chown it to root and chmod it 755")
    return store
