"""Debian packages, by apt-get, dpkg and dpkg-query.

An installation removes nothing, overwrites no configuration that was changed here, and takes no package off hold: what
a person decided stands, and the step fails with what to do about it.
"""

import re
from collections.abc import Callable
from typing import Final

import attrs

from kubenode.core.step import is_package
from kubenode.runtime.agent.commands import Ran, Runner
from kubenode.runtime.agent.tree import StepFailed
from kubenode.runtime.agent.units import told

LOOK_LIMIT: Final = 10.0
CHANGE_LIMIT: Final = 1200.0
"""Seconds that one call of apt-get or dpkg has."""
LOCK_LIMIT: Final = 300.0
"""Seconds that another package manager is waited for."""
_LOCK_EVERY: Final = 5.0

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
_FORMAT: Final = "${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status} ${Version}\\n"


@attrs.frozen
class Found:
    """A package as dpkg knows it.

    Attributes:
        version: what is installed and configured; empty when nothing is whole.
        held: a person, or somebody's tool, wants it to stay as it is.
        broken: it has to be installed anew, whatever its version.
    """

    version: str = ""
    held: bool = False
    broken: bool = False


class Packages:
    """The packages of a host.

    Args:
        run: runs the package manager.
        sleep: waits for some seconds.
    """

    def __init__(self, run: Runner, sleep: Callable[[float], None]) -> None:
        self._run = run
        self._sleep = sleep

    def version(self, package: str) -> str:
        """Give the installed version of a package, empty when there is none. Raises StepFailed when nobody can tell."""
        return self.found(package).version

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
            version=whole, held=any(one[0] == "hold" for one in known),
            broken=any(one[1:2] == ["reinstreq"] for one in known),
        )  # fmt: skip

    def install(self, package: str, version: str, *, anew: bool = False) -> None:
        """Bring a package to an exact version, up or down.

        Args:
            package: which.
            version: as the package manager spells it.
            anew: also when it is at that version: all its files but those of its configuration are written again.

        Raises:
            StepFailed: it is held, the version is not to be had, or the package manager fails.
        """
        if not _VERSION.fullmatch(version):
            raise StepFailed(f"{version!r} is not the version of a package such as 1.6.20~ds1-1+deb12u2")
        found = self.found(package)
        if found.version == version and not (found.broken or anew):
            return
        self._check_hold(package, found)
        again = ("--reinstall",) if found.broken or anew else ()
        self._change(
            f"installing {package}={version}", (*_APT, *again, "install", "--", f"{package}={version}")
        )
        got = self.version(package)
        if got != version:
            raise StepFailed(f"{package} is at {got or 'no version'} after {version} was installed")

    def remove(self, package: str) -> None:
        """Remove a package and nothing besides; its configuration stays.

        Raises:
            StepFailed: it is held, another package needs it, or dpkg fails.
        """
        found = self.found(package)
        if not found.version and not found.broken:
            return
        self._check_hold(package, found)
        self._change(f"removing {package}", ("dpkg", "--remove", "--", package))
        if self.version(package):
            raise StepFailed(f"{package} is still installed after it was removed")

    def _check_hold(self, package: str, found: Found) -> None:
        if found.held:
            raise StepFailed(
                f"{package} is held at {found.version or 'no version'}; apt-mark unhold {package}"
            )

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

    def _locked(self, what: str, argv: tuple[str, ...]) -> Ran:
        """Run something that needs the package manager for itself; wait while another one has it."""
        waited = 0.0
        while True:
            ran = self._run(argv, CHANGE_LIMIT)
            if ran.succeeded or ran.code is None or not _LOCKED.search(ran.tail):
                return ran
            if waited >= LOCK_LIMIT:
                raise StepFailed(
                    f"{what}: another package manager has run for {LOCK_LIMIT:.0f} s; end it, or wait for it"
                )
            self._sleep(_LOCK_EVERY)
            waited += _LOCK_EVERY

    def _must(self, what: str, ran: Ran) -> None:
        if not ran.succeeded:
            raise StepFailed(told(what, ran))
