"""Artifacts on a host: fetched, compared by digest, unpacked aside, synced, and only then led to by their path, all at once.

What was led to before is kept, and so is what somebody else had put there, under another name in the same folder. Every
method can be called again after it was cut short anywhere.
"""

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from kubenode.core.step import InstallArtifact
from kubenode.runtime.agent.acts import DropArtifact, GiveBack, PutBack, Undo
from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.slots import CONTENT, LIST, STORE, Slot, Slots, slot_of
from kubenode.runtime.agent.stage import Stage, Supply, opened_at
from kubenode.runtime.agent.tree import Form, StepFailed, Tree, Was, explained, status

TARGET: Final = "target"
KEPT: Final = "kept"
_REPLACED: Final = "kubenode-replaced"
_MOST_REPLACED: Final = 9


class Artifacts:
    """The artifacts of one host.

    Args:
        tree: walks paths.
        disk: does what is done.
        supply: where they come from.
        pause: waits for some seconds.
    """

    def __init__(self, tree: Tree, disk: Disk, supply: Supply, pause: Callable[[float], None]) -> None:
        self._tree = tree
        self._disk = disk
        self._slots = Slots(tree)
        self._stage = Stage(tree, disk, supply, pause, self._slots)

    def before_install(
        self, step: InstallArtifact
    ) -> tuple[tuple[Undo, ...], tuple[Undo, ...], dict[str, str]]:
        """Look at what an installation will change.

        Returns:
            Of the way back what comes before its unit is restarted, what comes after that, and what the journal notes.

        Raises:
            StepFailed: there would be no way back.
        """
        fresh: tuple[Undo, ...] = (
            () if self._slots.kept(step) else (DropArtifact(path=step.path, sha256=step.sha256),)
        )
        target = self._target(step.path)
        if target is None:
            return (PutBack(path=step.path, was=self._tree.found(step.path)),), fresh, {}
        if slot_of(target) is not None:
            was = Was(form=Form.LINK, target=target)
            return (PutBack(path=step.path, was=was),), fresh, {TARGET: target}
        kept = self._free(step.path)
        return (GiveBack(path=step.path, kept=kept),), fresh, {KEPT: kept}

    def before_removal(self, path: str) -> tuple[Undo, ...]:
        """Look at what a removal will change; raises StepFailed when it is not ours."""
        target = self._target(path)
        if target is None:
            return ()
        if slot_of(target) is None:
            raise StepFailed(f"{path} was not installed by kubenode, so it is not removed; remove it by hand")
        return (PutBack(path=path, was=Was(form=Form.LINK, target=target)),)

    def install(self, step: InstallArtifact, marks: Mapping[str, str]) -> None:
        """Let a path lead to what a step wants.

        Raises:
            StepFailed: it cannot be had, or is not what it should be; the path leads where it led.
        """
        target = self.bring(step)
        with explained(step.path):
            before = self._target(step.path)
            if before is not None and slot_of(before) is None:
                self._keep_other(step.path, marks.get(KEPT, ""))
        if before != target:
            self._tree.put(step.path, Was(form=Form.LINK, target=target))

    def bring(self, step: InstallArtifact) -> str:
        """Let what a step wants be in the store, whole and on the disk; give where a link to it leads.

        Raises:
            StepFailed: it cannot be had, or is not what it should be.
        """
        with explained(STORE):
            self._stage.clear()
            slot = self._slots.kept(step)
            slot = self._stage.bring(step) if slot is None else slot
        if not slot.has(step.member):
            raise StepFailed(f"the archive has no {step.member}; look with tar -t for what is in it")
        return slot.target(step.member)

    def is_kept(self, step: InstallArtifact) -> bool:
        """Tell whether what a step wants is in the store, whole. Raises StepFailed."""
        return self._slots.kept(step) is not None

    def remove(self, path: str) -> None:
        """Let a path lead nowhere; what it led to is kept. Raises StepFailed."""
        target = self._target(path)
        if target is None:
            return
        if slot_of(target) is None:
            raise StepFailed(f"{path} was changed meanwhile by somebody else")
        self._tree.put(path, Was(form=Form.ABSENT))

    def give_back(self, path: str, kept: str) -> None:
        """Let what somebody else had put at a path stand there again. Raises StepFailed."""
        self._tree.sweep(path)
        with explained(path), self._tree.folder_of(path) as (folder, name):
            there = None if folder is None else status(kept, folder)
            if folder is None or there is None:
                return
            held = status(name, folder)
            if held is not None and os.path.samestat(held, there):
                self._disk.unlink(kept, folder)  # to rename one name of a file to another does nothing
            else:
                self._disk.rename(kept, name, folder)
            self._disk.sync(folder)

    def drop(self, path: str, sha256: str) -> None:
        """Delete what was fetched for a path under a digest, and what is not whole, unless the path leads there.

        Raises:
            StepFailed: it cannot be done.
        """
        leads = slot_of(self._target(path) or "")
        with explained(STORE):
            self._stage.clear()
            for slot in self._slots.all():
                if slot.path != path or (leads is not None and slot.name == leads[0]):
                    continue
                if slot.sha256 == sha256 or self._slots.whole(slot.name) is None:
                    self._delete(slot)

    def prune(self, path: str, before: str) -> None:
        """Delete what was fetched for a path, but for what it leads to, led to before, and the newest other that is whole.

        Args:
            path: which.
            before: where it led, perhaps empty: its operation may still go back there.

        Raises:
            StepFailed: it cannot be done.
        """
        leads = slot_of(self._target(path) or "")
        led = slot_of(before)
        stays = {found[0] for found in (leads, led) if found is not None}
        digests = {name.partition("-")[2] for name in stays}
        for slot in self._slots.all():
            if slot.path != path or slot.name in stays:
                continue
            if len(digests) < 2 and slot.sha256 not in digests and self._slots.whole(slot.name) is not None:
                digests.add(slot.sha256)
                continue
            with explained(STORE):
                self._delete(slot)

    # What is done to the disk.

    def _target(self, path: str) -> str | None:
        """Give where a path leads; None when nothing stands there, an empty text for what is no link."""
        with explained(path), self._tree.folder_of(path) as (folder, name):
            held = None if folder is None else status(name, folder)
            if folder is None or held is None:
                return None
            if stat.S_ISLNK(held.st_mode):
                return os.readlink(name, dir_fd=folder)
            if not stat.S_ISREG(held.st_mode):
                raise StepFailed(f"{path} is a folder, or no plain file; move it away")
            return ""

    def _free(self, path: str) -> str:
        """Give a name beside a path that nothing has yet."""
        with explained(path), self._tree.folder_of(path) as (folder, name):
            for number in range(1, _MOST_REPLACED + 1):
                free = f"{name}.{_REPLACED}" + (f"-{number}" if number > 1 else "")
                if folder is not None and status(free, folder) is None:
                    return free
        raise StepFailed(f"{path}.{_REPLACED} and {_MOST_REPLACED - 1} more are kept already; move them away")

    def _keep_other(self, path: str, kept: str) -> None:
        """Give what somebody else has put at a path a second name, under which it stays."""
        with self._tree.folder_of(path) as (folder, name):
            held = None if folder is None else status(name, folder)
            if folder is None or held is None:
                return
            there = status(kept, folder) if kept else None
            if not kept or (there is not None and not os.path.samestat(held, there)):
                raise StepFailed(f"{path} was changed meanwhile by somebody else")
            if there is None:
                self._disk.name_too(name, kept, folder)
            self._disk.sync(folder)

    def _delete(self, slot: Slot) -> None:
        """Delete what the list of a slot has, and the slot if nothing else is in it; the list goes last."""
        with self._slots.store() as store:
            if store is None:
                return
            with opened_at(slot.name, store) as top:
                for one in slot.files:
                    self._delete_one(f"{CONTENT}/{one.path}" if one.path else CONTENT, top)
                for path in sorted(slot.folders, key=lambda path: path.count("/"), reverse=True):
                    self._delete_one(f"{CONTENT}/{path}", top, folder=True)
                self._delete_one(CONTENT, top, folder=True)
                self._disk.sync(top)
                if os.listdir(top) == [LIST]:
                    self._disk.unlink(LIST, top)
            with suppress(OSError):  # somebody has put something in, which stays
                self._disk.remove_folder(slot.name, store)
            self._disk.sync(store)

    def _delete_one(self, path: str, top: int, *, folder: bool = False) -> None:
        *above, name = path.split("/")
        with suppress(OSError):  # it is gone, or something else is in it or in its place
            if above:
                with opened_at(above[0], top) as below:
                    self._delete_one("/".join([*above[1:], name]), below, folder=folder)
            elif folder:
                self._disk.remove_folder(name, top)
            else:
                self._disk.unlink(name, top)
