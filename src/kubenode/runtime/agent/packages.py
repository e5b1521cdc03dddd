"""Debian packages, by apt-get, dpkg, dpkg-query and apt-mark; and what every package manager is asked.

An installation removes nothing, overwrites no configuration that was changed here, and takes no package off hold that
a person has put there: what a person decided stands, and the step fails with what to do about it. Nothing is removed
that was there before us. A hold of ours, and a package that we brought, is known by a file of the package's name.
"""

import re
from collections.abc import Callable
from typing import Final, Protocol

import attrs

from kubenode.core.naming import is_package
from kubenode.runtime.agent.commands import Ran, Runner
from kubenode.runtime.agent.tree import Form, StepFailed, Tree, Was
from kubenode.runtime.agent.units import told

LOOK_LIMIT: Final = 10.0
CHANGE_LIMIT: Final = 1200.0
"""Seconds that one call of apt-get or dpkg has."""
LOCK_LIMIT: Final = 300.0
"""Seconds that another package manager is waited for."""
LOCK_EVERY: Final = 5.0

_VERSION: Final = re.compile(r"[0-9][A-Za-z0-9.+:~-]{0,127}")
_LOCKED: Final = re.compile(
    r"Could not get lock|Unable to (acquire|lock)|is another process using it|was locked by another"
)
_INTERRUPTED: Final = re.compile(r"dpkg was interrupted|dpkg --configure -a")
_OUTDATED: Final = re.compile(
    r"Version .* was not found|Unable to locate package|Failed to fetch|has no installation candidate"
)
_KEEP: Final = ("--force-confdef", "--force-confold")
_APT: Final = (
    "apt-get", "-q", "-y", "--no-remove", "--allow-downgrades", "--no-install-recommends",
    *(f"-oDpkg::Options::={one}" for one in _KEEP), "-oDpkg::Use-Pty=0",
)  # fmt: skip
_UPDATE: Final = ("apt-get", "-q", "update")
_CONFIGURE: Final = ("dpkg", *_KEEP, "--configure", "-a")
_GONE: Final = ("not-installed", "config-files")
"""States in which dpkg knows of a package that is not there."""
_FORMAT: Final = "${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status} ${Version}\\n"


HOLDS: Final = "/opt/kubenode/holds"
BROUGHT: Final = "/opt/kubenode/packages"


class PackageManager(Protocol):
    """The packages of a host. Every method raises StepFailed when nobody can tell, or it cannot be done."""

    def version(self, package: str) -> str:
        """Give the installed version of a package, empty when there is none."""

    def held(self, package: str) -> bool | None:
        """Tell whether an installed package is kept from upgrades, by whomever; None when it is not installed."""

    def holds(self, package: str) -> bool:
        """Tell whether a package is held, and by us."""

    def install(self, package: str, version: str, *, hold: bool = True, anew: bool = False) -> None:
        """Bring a package to an exact version, up or down, also one that is there if `anew`; and hold it there, or not."""

    def check_removal(self, package: str) -> None:
        """Refuse to remove a package that was there before us."""

    def remove(self, package: str) -> None:
        """Remove a package that we brought, and nothing besides; its configuration stays."""


class Noted:
    """Packages of which one thing is noted, each by a file of its name.

    Args:
        tree: the files of the host.
        folder: of the notes.
    """

    def __init__(self, tree: Tree, folder: str) -> None:
        self._tree = tree
        self._folder = folder

    def has(self, package: str) -> bool:
        """Tell whether it is noted of a package. Raises StepFailed."""
        return self._tree.read(f"{self._folder}/{package}") is not None

    def note(self, package: str) -> None:
        """Note it; before it is so. Raises StepFailed."""
        if not self.has(package):
            self._tree.write(f"{self._folder}/{package}", b"", 0o644)

    def forget(self, package: str) -> None:
        """Forget it; after it is so no more. Raises StepFailed."""
        self._tree.put(f"{self._folder}/{package}", Was(form=Form.ABSENT))


class Notes:
    """What is ours of the packages of a host.

    Args:
        tree: the files of the host.

    Attributes:
        holds: whose hold is ours, if there is one.
        brought: which were not there before us.
    """

    def __init__(self, tree: Tree) -> None:
        self.holds = Noted(tree, HOLDS)
        self.brought = Noted(tree, BROUGHT)

    def gone(self, package: str) -> None:
        """Forget a package that is not there: whoever brings or holds it next, it is theirs. Raises StepFailed."""
        self.holds.forget(package)
        self.brought.forget(package)

    def check_removal(self, package: str) -> None:
        """Refuse to remove what we did not bring. Raises StepFailed with what to do."""
        if not self.brought.has(package):
            raise StepFailed(
                f"{package} was there before kubenode, so it is not removed; remove it by hand, and the entry is at target, "
                "or take the entry away"
            )


def in_turn(
    run: Runner, sleep: Callable[[float], None], what: str, argv: tuple[str, ...], locked: re.Pattern[str]
) -> Ran:
    """Run something that needs the packages for itself; wait while another one has them.

    Args:
        run: runs it.
        sleep: waits for some seconds.
        what: names it, for the failure.
        argv: the program and its arguments.
        locked: what it says when another one has them.

    Raises:
        StepFailed: another one had them for LOCK_LIMIT.
    """
    waited = 0.0
    while True:
        ran = run(argv, CHANGE_LIMIT)
        if ran.succeeded or ran.code is None or not locked.search(ran.tail):
            return ran
        if waited >= LOCK_LIMIT:
            raise StepFailed(
                f"{what}: another package manager has run for {LOCK_LIMIT:.0f} s; end it, or wait for it"
            )
        sleep(LOCK_EVERY)
        waited += LOCK_EVERY


@attrs.frozen
class Found:
    """A package as dpkg knows it.

    Attributes:
        version: what is installed and configured; empty when nothing is whole.
        held: a person, or somebody's tool, wants it to stay as it is.
        broken: it has to be installed anew, whatever its version.
        there: some of it is there, be it half installed or not configured yet.
    """

    version: str = ""
    there: bool = False
    held: bool = False
    broken: bool = False


class Packages:
    """The packages of a Debian.

    Args:
        run: runs the package manager.
        sleep: waits for some seconds.
        notes: which of them, and of their holds, are ours.
    """

    def __init__(self, run: Runner, sleep: Callable[[float], None], notes: Notes) -> None:
        self._run = run
        self._sleep = sleep
        self._notes = notes
        self._holds = notes.holds

    def version(self, package: str) -> str:
        """Give the installed version of a package, empty when there is none. Raises StepFailed when nobody can tell."""
        return self.found(package).version

    def held(self, package: str) -> bool | None:
        """Tell whether an installed package is on hold, by whomever. Raises StepFailed when nobody can tell."""
        found = self.found(package)
        return found.held if found.version else None

    def holds(self, package: str) -> bool:
        """Tell whether a package is on hold, and by us. Raises StepFailed when nobody can tell."""
        return self.found(package).held and self._holds.has(package)

    def found(self, package: str) -> Found:
        """Give what dpkg knows of a package. Raises StepFailed when nobody can tell."""
        if not is_package(package):
            raise StepFailed(f"{package!r} is not the name of a package such as kubelet")
        ran = self._run(("dpkg-query", "--show", f"--showformat={_FORMAT}", "--", package), LOOK_LIMIT)
        if ran.code == 1:  # it is not known at all
            return Found()
        if not ran.succeeded:
            raise StepFailed(told(f"dpkg-query {package}", ran))
        known = [line.split() for line in ran.out.splitlines() if line.strip()]
        whole = next((one[3] for one in known if one[2:3] == ["installed"] and len(one) == 4), "")
        return Found(
            version=whole, there=any(len(one) > 2 and one[2] not in _GONE for one in known), held=any(one[0] == "hold" for one in known),
            broken=any(one[1:2] == ["reinstreq"] for one in known),
        )  # fmt: skip

    def install(self, package: str, version: str, *, hold: bool = True, anew: bool = False) -> None:
        """Bring a package to an exact version, up or down, and hold it there, or not.

        Args:
            package: which.
            version: as the package manager spells it.
            hold: keep everybody else's upgrades from it.
            anew: also when it is at that version: all its files but those of its configuration are written again.

        Raises:
            StepFailed: somebody else holds it, the version is not to be had, or the package manager fails.
        """
        if not _VERSION.fullmatch(version):
            raise StepFailed(f"{version!r} is not the version of a package such as 1.6.20~ds1-1+deb12u2")
        found = self.found(package)
        if found.version != version or found.broken or anew:
            if not found.there:
                self._notes.brought.note(package)
            self._free(package, found)
            self._changed(package, version, again=found.broken or anew)
        self._keep(package, hold=hold)

    def _changed(self, package: str, version: str, *, again: bool) -> None:
        mends = ("--reinstall",) if again else ()
        self._change(
            f"installing {package}={version}", (*_APT, *mends, "install", "--", f"{package}={version}")
        )
        got = self.version(package)
        if got != version:
            raise StepFailed(f"{package} is at {got or 'no version'} after {version} was installed")

    def check_removal(self, package: str) -> None:
        """Refuse to remove a package that was there before us. Raises StepFailed, also when nobody can tell."""
        if self.found(package).there:
            self._notes.check_removal(package)

    def remove(self, package: str) -> None:
        """Remove a package that we brought, and nothing besides; its configuration stays.

        Raises:
            StepFailed: it was there before us, it is held, another package needs it, or dpkg fails.
        """
        found = self.found(package)
        if found.there:
            self._notes.check_removal(package)
            self._free(package, found)
            self._change(f"removing {package}", ("dpkg", "--remove", "--", package))
            if self.found(package).there:
                raise StepFailed(f"{package} is still installed after it was removed")
        self._notes.gone(package)

    def _free(self, package: str, found: Found) -> None:
        """Take a package off a hold of ours; raises StepFailed where it is somebody else's."""
        if not found.held:
            return
        if not self._holds.has(package):
            raise StepFailed(
                f"{package} is held at {found.version or 'no version'}; apt-mark unhold {package}"
            )
        self._change(f"taking {package} off hold", ("apt-mark", "unhold", "--", package))

    def _keep(self, package: str, *, hold: bool) -> None:
        """Hold a package, or take our hold away; somebody else's is theirs."""
        held = self.found(package).held
        if hold and not held:
            self._holds.note(package)
            self._change(f"holding {package}", ("apt-mark", "hold", "--", package))
        elif not hold and self._holds.has(package):
            if held:
                self._change(f"taking {package} off hold", ("apt-mark", "unhold", "--", package))
            self._holds.forget(package)

    def _change(self, what: str, argv: tuple[str, ...]) -> None:
        """Run a change; once more after an interrupted dpkg was repaired, and once more with fresh lists."""
        ran = self._locked(what, argv)
        if _INTERRUPTED.search(ran.tail) and not ran.succeeded:
            self._must("dpkg --configure -a", self._locked(what, _CONFIGURE))
            ran = self._locked(what, argv)
        if argv[0] == "apt-get" and _OUTDATED.search(ran.tail) and not ran.succeeded:
            self._locked(what, _UPDATE)  # what comes next says what is still amiss
            ran = self._locked(what, argv)
        self._must(what, ran)

    def _told(self, what: str, ran: Ran) -> str:
        """Say how it failed, and what to do where that is one thing."""
        text = told(what, ran)
        named = re.search(r"Version '.*' for '(\S+)' was not found|Unable to locate package (\S+)", ran.tail)
        package = next((one for one in (named.groups() if named else ()) if one), "")
        return f"{text}; apt-cache madison {package} lists what there is" if package else text

    def _locked(self, what: str, argv: tuple[str, ...]) -> Ran:
        """Run something that needs the package manager for itself; wait while another one has it."""
        return in_turn(self._run, self._sleep, what, argv, _LOCKED)

    def _must(self, what: str, ran: Ran) -> None:
        if not ran.succeeded:
            raise StepFailed(self._told(what, ran))
