"""RPM packages, by rpm and dnf; and which package manager a host has.

The version is `[epoch:]version-release`, the epoch only where there is one. A hold is a line of dnf's plugin versionlock,
ours known by a file as of Debian's. Nothing is removed besides what is named, and nothing that was there before us.
"""

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final

from kubenode.core.naming import is_package
from kubenode.runtime.agent.commands import Runner
from kubenode.runtime.agent.packages import (
    LOOK_LIMIT,
    Notes,
    PackageManager,
    Packages,
    in_turn,
)
from kubenode.runtime.agent.tree import StepFailed, Tree
from kubenode.runtime.agent.units import told

LOCKS: Final = "/etc/dnf/plugins/versionlock.list"
_DEBIAN: Final = "/etc/debian_version"
_DNF: Final = "/usr/bin/dnf"
_VERSION: Final = re.compile(r"(?:([0-9]{1,9}):)?([A-Za-z0-9._+~]{1,100})-([A-Za-z0-9._+~]{1,100})")
_FORMAT: Final = "%{EPOCHNUM}:%{VERSION}-%{RELEASE}\\n"
_LOCKED: Final = re.compile(r"can't create transaction lock|already locked by|currently holding the yum lock")
_DNF_DOES: Final = (
    "dnf", "-y", "-q", "--setopt=exit_on_lock=True", "--setopt=install_weak_deps=False", "--setopt=obsoletes=False",
)  # fmt: skip
_MISSING: Final = re.compile(r"Unable to find a match|No match for argument")
_NEEDED: Final = re.compile(r"Failed dependencies:\s*(\S.{0,200})")
_NO_PLUGIN: Final = re.compile(r"[Nn]o such command: versionlock")


def package_manager(tree: Tree, run: Runner, sleep: Callable[[float], None]) -> PackageManager:
    """Give the package manager of a host: rpm and dnf where there is a dnf and no Debian, else Debian's."""
    notes = Notes(tree)
    if tree.access(_DNF) is not None and tree.access(_DEBIAN) is None:
        return RpmPackages(run, sleep, notes, tree)
    return Packages(run, sleep, notes)


class RpmPackages:
    """The packages of a host with rpm and dnf; implements `PackageManager`.

    Args:
        run: runs them.
        sleep: waits for some seconds.
        notes: which of them, and of their holds, are ours.
        tree: the files of the host.
    """

    def __init__(self, run: Runner, sleep: Callable[[float], None], notes: Notes, tree: Tree) -> None:
        self._run = run
        self._sleep = sleep
        self._notes = notes
        self._holds = notes.holds
        self._tree = tree

    def version(self, package: str) -> str:
        """Give the installed version of a package, empty when there is none or it is not whole: an upgrade was cut short."""
        found = self._found(package)
        return found[0] if len(found) == 1 else ""

    def held(self, package: str) -> bool | None:
        """Tell whether an installed package is locked, by whomever; None when it is not installed."""
        found = self._found(package)
        return any(self._lines(package)) if found else None

    def holds(self, package: str) -> bool:
        """Tell whether a package is locked, and by us."""
        return any(self._lines(package)) and self._holds.has(package)

    def install(self, package: str, version: str, *, hold: bool = True, anew: bool = False) -> None:
        """Bring a package to an exact version, up or down, and lock it there, or not.

        Args:
            package: which.
            version: as rpm spells it.
            hold: keep everybody else's upgrades from it.
            anew: also when it is at that version: all its files but those of its configuration are written again.

        Raises:
            StepFailed: somebody else has locked it, the version is not to be had, or dnf fails.
        """
        if not _VERSION.fullmatch(version):
            raise StepFailed(f"{version!r} is not the version of a package such as 1.7.24-1.el9")
        found = self._found(package)
        if found != (version,):
            if not found:
                self._notes.brought.note(package)
            self._free(package, found)
            if len(found) > 1:
                self._must("repairing what was cut short", (*_DNF_DOES, "remove", "--duplicates"))
            self._changed(package, version)
        elif anew:
            self._free(package, found)
            self._must(
                f"installing {package}-{version} anew",
                (*_DNF_DOES, "reinstall", "--", _exact(package, version)),
            )
        self._keep(package, hold=hold)

    def _changed(self, package: str, version: str) -> None:
        if self._found(package) == (version,):
            return
        argv = (*_DNF_DOES, "install", "--", _exact(package, version))
        what = f"installing {package}-{version}"
        if not in_turn(self._run, self._sleep, what, argv, _LOCKED).succeeded:
            self._must(what, (*argv[:-3], "--refresh", *argv[-3:]))
        got = self.version(package)
        if got != version:
            raise StepFailed(f"{package} is at {got or 'no version'} after {version} was installed")

    def check_removal(self, package: str) -> None:
        """Refuse to remove a package that was there before us. Raises StepFailed, also when nobody can tell."""
        if self._found(package):
            self._notes.check_removal(package)

    def remove(self, package: str) -> None:
        """Remove a package that we brought, and nothing besides.

        Raises:
            StepFailed: it was there before us, it is locked, another needs it, or rpm fails.
        """
        found = self._found(package)
        if found:
            self._notes.check_removal(package)
            self._free(package, found)
            self._must(f"removing {package}", ("rpm", "--erase", "--allmatches", "--", package))
        elif self._holds.has(package):  # a lock outlives its package
            self._free(package, found)
        self._notes.gone(package)

    def _found(self, package: str) -> tuple[str, ...]:
        """Give the versions of a package that rpm knows: more than one after an upgrade that was cut short."""
        if not is_package(package):
            raise StepFailed(f"{package!r} is not the name of a package such as kubelet")
        ran = self._run(("rpm", "--query", f"--queryformat={_FORMAT}", "--", package), LOOK_LIMIT)
        if ran.code == 1 and "is not installed" in ran.out + ran.tail:
            return ()
        if not ran.succeeded:
            raise StepFailed(told(f"rpm --query {package}", ran))
        return tuple(
            sorted({line.strip().removeprefix("0:") for line in ran.out.splitlines() if line.strip()})
        )

    def _lines(self, package: str) -> list[str]:
        """Give the lines of versionlock that are of a package."""
        text = (self._tree.read(LOCKS) or b"").decode(errors="replace")
        lines = [
            line.strip() for line in text.splitlines() if line.strip() and not line.startswith(("#", "!"))
        ]
        return [line for line in lines if _names(line, package)]

    def _free(self, package: str, found: tuple[str, ...]) -> None:
        if not any(self._lines(package)):
            return
        if not self._holds.has(package):
            at = ", ".join(found) or "no version"
            raise StepFailed(f"{package} is locked at {at}; dnf versionlock delete {package}")
        self._must(f"unlocking {package}", (*_DNF_DOES, "versionlock", "delete", package))

    def _keep(self, package: str, *, hold: bool) -> None:
        locked = any(self._lines(package))
        if hold and not locked:
            self._holds.note(package)
            self._must(f"locking {package}", (*_DNF_DOES, "versionlock", "add", package))
        elif not hold and self._holds.has(package):
            if locked:
                self._must(f"unlocking {package}", (*_DNF_DOES, "versionlock", "delete", package))
            self._holds.forget(package)

    def _must(self, what: str, argv: tuple[str, ...]) -> None:
        ran = in_turn(self._run, self._sleep, what, argv, _LOCKED)
        if ran.succeeded:
            return
        if _NO_PLUGIN.search(ran.tail):
            raise StepFailed(f"{what}: dnf has no versionlock; install its plugin, or write hold: false")
        needed = _NEEDED.search(ran.tail)
        more = f" {needed.group(1).strip()}" if needed is not None else ""
        more += "; dnf list --showduplicates says what there is" if _MISSING.search(ran.tail) else ""
        raise StepFailed(told(what, ran) + more)


def _names(line: str, package: str) -> bool:
    """Tell whether a line of versionlock, such as `tool-0:1.0-1.*`, is of a package."""
    name, colon, _ = line.partition(":")
    return fnmatchcase(package, name.rpartition("-")[0] if colon else line)


def _exact(package: str, version: str) -> str:
    """Name a package at a version as dnf takes it: with its epoch, which is 0 where none is said."""
    epoch, _, rest = version.rpartition(":")
    return f"{package}-{epoch or 0}:{rest}"
