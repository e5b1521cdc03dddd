"""One step after another on a real host: what is noted before a step, how it is done, how it is undone.

Every step can be done again: it was perhaps done already when the agent or the host died. Every way back can be gone
again, also of a step that never began.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Final, Protocol, assert_never

from kubenode.core.step import (
    AGENT_PATH,
    EnableUnit,
    InstallArtifact,
    InstallPackage,
    Reboot,
    ReloadUnit,
    RemoveArtifact,
    RemoveFile,
    RemovePackage,
    RestartUnit,
    SetKernel,
    Step,
    StopUnit,
    Then,
    UpgradeAgent,
    WriteFile,
)
from kubenode.runtime.agent.acts import (
    CallOff,
    DropArtifact,
    GiveBack,
    PutBack,
    RestartAgain,
    SetSysctl,
    Undo,
    UnloadModule,
)
from kubenode.runtime.agent.artifacts import TARGET, Artifacts
from kubenode.runtime.agent.journal import Begun
from kubenode.runtime.agent.kernel import Kernel
from kubenode.runtime.agent.packages import PackageManager
from kubenode.runtime.agent.tree import StepFailed, Tree
from kubenode.runtime.agent.units import Units
from kubenode.runtime.agent.upgrade import Upgrades

LOG = logging.getLogger("kubenode.agent")

BOOT: Final = "boot"
INVOCATION: Final = "invocation"
REBOOT_LIMIT: Final = 600.0
"""Seconds after which a host that was told to reboot, and is still there, has not done it."""
_EVERY: Final = 1.0
_UNIT_FOLDERS: Final = tuple(
    f"{top}/systemd/system/" for top in ("/etc", "/run", "/usr/lib", "/usr/local/lib")
)  # by no other path: a symbolic link in a path is not followed


class Pause(Protocol):
    """Waits, unless the agent is told to stop."""

    def __call__(self, seconds: float) -> None:
        """Wait; raises Stopped."""


class Stopped(Exception):
    """The agent is told to stop; what it is at is taken up by the next one."""


class Executor:
    """Does and undoes steps on one host.

    Args:
        tree: its files.
        units: its units.
        packages: its packages.
        artifacts: its artifacts.
        kernel: its kernel.
        upgrades: of its agent.
        boot_id: of this boot.
        pause: waits while the host goes down.
    """

    def __init__(
        self, tree: Tree, units: Units, packages: PackageManager, artifacts: Artifacts, kernel: Kernel, upgrades: Upgrades,
        boot_id: str, pause: Pause,
    ) -> None:  # fmt: skip
        self._tree = tree
        self._units = units
        self._packages = packages
        self._artifacts = artifacts
        self._kernel = kernel
        self._upgrades = upgrades
        self._boot_id = boot_id
        self._pause = pause

    def check(self, steps: Iterable[Step]) -> None:
        """Look whether all steps may be done, before the first is: what one would refuse, no other is done and undone for.

        Raises:
            StepFailed: one may not be done, or nobody can tell.
        """
        for step in steps:
            if isinstance(step, RemovePackage):
                self._packages.check_removal(step.package)

    def before(self, step: Step) -> Begun:
        """Look at what a step will change, and give its way back; nothing is changed.

        Raises:
            StepFailed: there would be no way back, or nobody can tell.
        """
        match step:
            case WriteFile() | RemoveFile():
                was = PutBack(path=step.path, was=self._tree.found(step.path))
                return Begun(undo=(was, *self._unit_back(step.then)))
            case InstallPackage():
                return Begun(undo=(*self._package_back(step.package), *self._unit_back(step.then)))
            case RemovePackage():
                there = self._packages.version(step.package)
                return Begun(undo=self._package_back(step.package) if there else ())
            case InstallArtifact():
                first, last, marks = self._artifacts.before_install(step)
                return Begun(undo=(*first, *self._unit_back(step.then), *last), marks=marks)
            case RemoveArtifact():
                return Begun(undo=self._artifacts.before_removal(step.path))
            case SetKernel():
                files = (PutBack(path=path, was=self._tree.found(path)) for path in step.files)
                return Begun(undo=(*self._kernel.back(step), *files))
            case UpgradeAgent():
                undo, marks = self._upgrades.before(step)
                return Begun(undo=undo, marks=marks)
            case Reboot():
                return Begun(undo=(), marks={BOOT: self._boot_id})
            case _:
                return self._before_turn(step)

    def _before_turn(self, step: RestartUnit | ReloadUnit | EnableUnit | StopUnit) -> Begun:
        unit = step.unit
        match step:
            case RestartUnit() | ReloadUnit():
                marks = {INVOCATION: self._units.invocation(unit)}
                return Begun(undo=() if self._units.runs(unit) else (StopUnit(unit=unit),), marks=marks)
            case EnableUnit():
                was = self._units.starts(unit)
                return Begun(undo=() if was is step.enabled else (EnableUnit(unit=unit, enabled=was),))
            case StopUnit():
                return Begun(undo=(RestartUnit(unit=unit),) if self._units.runs(unit) else ())
            case _:
                assert_never(step)

    def do(self, step: Step, marks: Mapping[str, str], *, again: bool) -> None:
        """Do a step.

        Args:
            step: which.
            marks: what was noted before it was begun first.
            again: whether it was perhaps done before.

        Raises:
            StepFailed: it could not be done.
            Stopped: the agent is told to stop while it waits.
        """
        match step:
            case WriteFile():
                self._tree.write(step.path, step.content, step.mode, owner=step.owner, group=step.group)
                self._reread(step.path)
                self._load(step.then)
            case RemoveFile():
                self._tree.remove(step.path, step.content)
                self._reread(step.path)
                self._load(step.then)
            case InstallPackage():
                self._packages.install(step.package, step.version, hold=step.hold, anew=step.anew)
                self._load(step.then)
            case RemovePackage():
                self._packages.remove(step.package)
            case InstallArtifact():
                self._artifacts.install(step, marks)
                self._load(step.then)
                self._prune(step.path, marks)
            case RemoveArtifact():
                self._artifacts.remove(step.path)
            case SetKernel():
                for path, content in step.files.items():
                    self._tree.write(path, content, 0o644)
                self._kernel.run(step)
            case UpgradeAgent():
                self._upgrades.do(step, marks)
                self._prune(AGENT_PATH, marks)
            case RestartUnit():
                if not (again and self._has_restarted(step.unit, marks)):
                    self._units.restart(step.unit)
            case Reboot():
                self._reboot(marks)
            case _:
                self._turn(step)

    def _turn(self, step: RestartUnit | RestartAgain | ReloadUnit | EnableUnit | StopUnit) -> None:
        match step:
            case RestartUnit():
                self._units.restart(step.unit)
            case RestartAgain():
                if not step.invocation or self._units.invocation(step.unit) != step.invocation:
                    self._units.restart(step.unit)
            case ReloadUnit():
                self._units.reload(step.unit)
            case EnableUnit():
                self._units.enable(step.unit, enabled=step.enabled)
            case StopUnit():
                self._units.stop(step.unit)
            case _:
                assert_never(step)

    def is_bounded(self, step: Step, marks: Mapping[str, str]) -> bool:
        """Tell whether something else bounds how often a half done step is taken up. Raises StepFailed.

        A reboot that has come was asked for and not cut short: it is over.
        """
        if isinstance(step, Reboot):
            return self._has_rebooted(marks)
        return isinstance(step, UpgradeAgent) and self._upgrades.is_on(marks)

    def undo(self, act: Undo) -> None:
        """Do one act of a way back; raises StepFailed."""
        match act:
            case PutBack():
                self._tree.put(act.path, act.was)
                self._reread(act.path)
            case GiveBack():
                self._artifacts.give_back(act.path, act.kept)
            case DropArtifact():
                self._artifacts.drop(act.path, act.sha256)
            case CallOff():
                self._upgrades.call_off(act)
            case SetSysctl():
                self._kernel.set(act.key, act.value)
            case UnloadModule():
                self._kernel.unload(act.module)
            case InstallPackage():
                self._packages.install(act.package, act.version, hold=act.hold)
            case RemovePackage():
                self._packages.remove(act.package)
            case _:
                self._turn(act)

    def _unit_back(self, then: Then | None) -> tuple[Undo, ...]:
        """Give what restarts the unit of a step on the way back: it may have read what the step brought."""
        if then is None:
            return ()
        if not self._units.runs(then.unit):
            return (StopUnit(unit=then.unit),)
        if isinstance(then, ReloadUnit):
            return (then,)
        return (RestartAgain(unit=then.unit, invocation=self._units.invocation(then.unit)),)

    def _package_back(self, package: str) -> tuple[Undo, ...]:
        version = self._packages.version(package)
        if not version:
            return (RemovePackage(package=package),)
        ours = self._packages.holds(package)
        return (InstallPackage(package=package, version=version, then=None, hold=ours),)

    def _load(self, then: Then | None) -> None:
        if then is not None:
            self._turn(then)

    def _reread(self, path: str) -> None:
        """Have systemd read its files anew if this is one of them: by itself it does not see a new folder of drop-ins."""
        if path.startswith(_UNIT_FOLDERS):
            self._units.reread()

    def _prune(self, path: str, marks: Mapping[str, str]) -> None:
        """Delete artifacts that nobody goes back to; what cannot be deleted is no reason to go back."""
        try:
            self._artifacts.prune(path, marks.get(TARGET, ""))
        except StepFailed as error:
            LOG.warning("event=not-pruned path=%s error=%s", path, error)

    def _has_restarted(self, unit: str, marks: Mapping[str, str]) -> bool:
        now = self._units.invocation(unit)
        return bool(now) and now != marks.get(INVOCATION)

    def _has_rebooted(self, marks: Mapping[str, str]) -> bool:
        return marks.get(BOOT) != self._boot_id

    def _reboot(self, marks: Mapping[str, str]) -> None:
        """Reboot, unless that has been done: the boot is another one. Asked twice in one boot it is one reboot."""
        if self._has_rebooted(marks):
            return
        self._units.reboot()
        waited = 0.0
        while waited < REBOOT_LIMIT:
            self._pause(_EVERY)
            waited += _EVERY
        raise StepFailed(
            f"the host was told to reboot and is still in the same boot after {REBOOT_LIMIT:.0f} s"
        )


__all__ = ["BOOT", "INVOCATION", "Executor", "Pause", "StepFailed", "Stopped"]
