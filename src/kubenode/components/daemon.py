"""A program of a package or an artifact, its configuration file and its unit: shared by the drivers of kubelet and containerd.

Program and file are two steps, each with the restart that loads it, so that undoing either one restarts as well. A new
program is installed before its file is written: it can read the old file, while the old program may not read the new one.
Where there is no program yet the file comes first, since a program without one would not start. A package is
held as well: one that is not is Drifted, and is held where it is, without a restart.
"""

from typing import Final

import attrs

from kubenode.components.artifact import ArtifactParams
from kubenode.components.unit import running, steady
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Have, Seen
from kubenode.core.model.entry import ConfigState, Running
from kubenode.core.probe import ArtifactAt, PackageHeld, PackageVersion, Probe, ReadFile, UnitState
from kubenode.core.step import (
    InstallPackage,
    RemoveArtifact,
    RemoveFile,
    RemovePackage,
    RestartUnit,
    Step,
    StopUnit,
    WriteFile,
)

_FILE: Final = "file"
_HOLD: Final = "hold"


@attrs.frozen(kw_only=True)
class Daemon:
    """What is wanted of a program that runs as a unit.

    Attributes:
        version: of the program: the package's, or the one by which the artifact is known.
        source: the package that brings it, or the artifact that it is.
        path: of its configuration.
        content: of its configuration.
    """

    version: str
    state: Running
    source: str | ArtifactParams
    path: str
    content: bytes
    unit: str

    def probes(self) -> tuple[Probe, ...]:
        """Look at program, file and unit."""
        source = self.source
        program: tuple[Probe, ...] = (
            (PackageVersion(source), PackageHeld(source))
            if isinstance(source, str)
            else (ArtifactAt(source.path),)
        )
        return (*program, ReadFile(self.path), UnitState(self.unit))

    def judge(self, seen: Seen) -> Have:
        """Judge the three states, each by itself; without its program it is Absent, whatever its unit says.

        One that is to be Absent is not yet, as long as the file that was written is there unchanged.
        """
        same = seen.files.get(self.path) == self.content
        version = self._version(seen)
        if version is None and same and self.state is Running.ABSENT:
            left = running(self.state, self.unit, seen)
            return Have(version="", config=ConfigState.CURRENT, state=left)
        drifted = (*(() if same else (_FILE,)), *((_HOLD,) if self._is_free(seen) else ()))
        return Have(
            version=version or "", config=ConfigState.DRIFTED if drifted else ConfigState.CURRENT,
            state=Running.ABSENT if version is None else running(self.state, self.unit, seen), drifted=drifted,
        )  # fmt: skip

    def _is_free(self, seen: Seen) -> bool:
        """Tell whether the program is a package that is there, is to stay, and is not held."""
        source = self.source
        if not isinstance(source, str) or self.state is Running.ABSENT:
            return False
        return source in seen.packages and not seen.held.get(source, False)

    def _version(self, seen: Seen) -> str | None:
        if isinstance(self.source, str):
            return seen.packages.get(self.source)
        mark = seen.artifacts.get(self.source.path)
        return None if mark is None else self.source.named(mark, self.version)

    def plan(self, have: Have) -> tuple[Step, ...]:
        """Give the steps from what is there to what is wanted. Absent removes the file if it is what was written."""
        if self.state is Running.ABSENT:
            return self._removal(have)
        anew, changed = have.version != self.version, _is_other(have)
        if not anew and not changed:
            return (*self._held(have), *steady(self.unit, self.state, have.state))
        if self.state is Running.STOPPED:
            return (*self._changes(None, None, have, anew=anew, changed=changed), StopUnit(unit=self.unit))
        restart = RestartUnit(unit=self.unit)
        loads = None if have.state is Running.ABSENT else restart
        return self._changes(restart, loads, have, anew=anew, changed=changed)

    def _changes(
        self, then: RestartUnit | None, loads: RestartUnit | None, have: Have, *, anew: bool, changed: bool
    ) -> tuple[Step, ...]:
        program = (self._installation(then),) if anew else self._held(have)
        file = (WriteFile(path=self.path, content=self.content, then=loads),) if changed else ()
        return (*file, *program) if have.state is Running.ABSENT else (*program, *file)

    def changes(self, have: Have) -> bool:
        """Tell whether the program or its file is another than is wanted; one that is only not held is none."""
        return have.version != self.version or _is_other(have)

    def _held(self, have: Have) -> tuple[Step, ...]:
        """Give the step that holds a package at the version that it is at."""
        return (self._installation(None),) if _HOLD in have.drifted else ()

    def _installation(self, then: RestartUnit | None) -> Step:
        if isinstance(self.source, str):
            return InstallPackage(package=self.source, version=self.version, then=then)
        return self.source.installation(then)

    def _removal(self, have: Have) -> tuple[Step, ...]:
        if have.state is Running.ABSENT:
            return ()
        stop = (StopUnit(unit=self.unit),) if have.state is Running.RUNNING else ()
        source = self.source
        program = (
            RemovePackage(package=source) if isinstance(source, str) else RemoveArtifact(path=source.path)
        )
        ours = have.config is ConfigState.CURRENT
        file = (RemoveFile(path=self.path, content=self.content, then=None),) if ours else ()
        return (*stop, program, *file)


def _is_other(have: Have) -> bool:
    """Tell whether the file is another than is wanted."""
    return have.config is not ConfigState.CURRENT and have.drifted != (_HOLD,)


def source_of(package: str | None, artifact: ArtifactParams | None) -> str | ArtifactParams:
    """Give where a program comes from; it is one place.

    Raises:
        ValueError: with what to write.
    """
    if artifact is None and package is not None:
        return package
    if artifact is None or package is not None:
        raise ValueError("write either package or artifact: the program comes of one of them")
    if artifact.unit is not None:
        raise ValueError("artifact.unit: the unit is the component's; write it there")
    return artifact


def skew(kubelet: str, api_server: str) -> Problem | None:
    """Judge a kubelet's version by that of the API server: not newer, and at most three minors behind.

    Args:
        kubelet: as in `1.30.4`, `v1.30.4` or, of a package, `1.30.4-1.1`.
        api_server: as in `1.31` or `1.31.2`.

    Returns:
        What is wrong and what to do; None when they go together.
    """
    mine, theirs = _minor(kubelet), _minor(api_server)
    if mine is None or theirs is None or mine[0] != theirs[0]:
        what = f"kubelet {kubelet!r} and API server {api_server!r} cannot be compared"
        return Problem(where="version", what=what, fix="write versions such as 1.30.4 and 1.31")
    major, newest = theirs
    oldest = max(newest - _BEHIND, 0)
    fits = f"{major}.{oldest} to {major}.{newest}" if oldest < newest else f"{major}.{newest}"
    if mine > theirs:
        what = f"kubelet {kubelet} is newer than the API server, {api_server}"
        return Problem(where="version", what=what, fix=f"upgrade the control plane first, or take {fits}")
    if mine[1] < oldest:
        what = f"kubelet {kubelet} is more than three minors behind the API server, {api_server}"
        return Problem(where="version", what=what, fix=f"take {fits}")
    return None


_BEHIND = 3


def _minor(version: str) -> tuple[int, int] | None:
    numbers = version.removeprefix("v").split(".")[:2]
    if len(numbers) < 2 or not all(one.isascii() and one.isdigit() and len(one) < 6 for one in numbers):
        return None
    return int(numbers[0]), int(numbers[1])
