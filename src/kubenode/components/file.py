"""Driver `file`: a file of exact content, and the unit that reads it.

The content is compared whole. A file cannot be removed in this version: no host step does it.
"""

import attrs

from kubenode.components.unit import running, steady
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.hookspecs import Desired, Have, Seen
from kubenode.core.model.machine import ConfigState, Running
from kubenode.core.step import (
    Probe,
    ReadFile,
    RestartUnit,
    Step,
    StopUnit,
    UnitState,
    WriteFile,
    check_path,
    check_unit,
)


@attrs.frozen(kw_only=True)
class FileParams:
    """Which file, what is in it, and the unit that reads it.

    Attributes:
        path: absolute, and without `.` or `..`.
        content: the whole file, as text; written as UTF-8.
        unit: restarted with every change of the content; None when nothing needs to be.

    Raises:
        ValueError: the path or the unit is none.
    """

    path: str = attrs.field(validator=check_path)
    content: str
    unit: str | None = attrs.field(default=None, validator=check_unit)


class FileDriver:
    """Keep one file as it should be."""

    name = "file"
    params = FileParams

    def probes(self, want: Desired[FileParams], /) -> tuple[Probe, ...]:
        """Look at the file and, if it has one, at its unit."""
        file = ReadFile(want.params.path)
        return (file,) if want.params.unit is None else (file, UnitState(want.params.unit))

    def judge(self, want: Desired[FileParams], seen: Seen, /) -> Have:
        """Judge the three states. The right content *is* the version; another content has none that is known."""
        content = seen.files.get(want.params.path)
        if content is None:
            return Have(version="", config=ConfigState.UNKNOWN, state=Running.ABSENT)
        same = content == want.params.content.encode()
        return Have(
            version=want.version if same else "",
            config=ConfigState.CURRENT if same else ConfigState.DRIFTED,
            state=running(want.state, want.params.unit, seen),
        )

    def plan(self, want: Desired[FileParams], have: Have, /) -> tuple[Step, ...]:
        """Give the steps from what is there to what is wanted.

        Raises:
            InvalidObjectError: the file should be Absent and is not.
        """
        path, unit = want.params.path, want.params.unit
        if want.state is Running.ABSENT:
            return _removal(path, have)
        if have.config is ConfigState.CURRENT:
            return steady(unit, want.state, have.state)
        content = want.params.content.encode()
        if want.state is Running.STOPPED:
            stop = () if unit is None or have.state is Running.STOPPED else (StopUnit(unit=unit),)
            return (WriteFile(path=path, content=content, then=None), *stop)
        restart = None if unit is None else RestartUnit(unit=unit)
        return (WriteFile(path=path, content=content, then=restart),)


def _removal(path: str, have: Have) -> tuple[Step, ...]:
    if have.state is Running.ABSENT:
        return ()
    problem = Problem(
        where="state", what=f"{path} is there and cannot be made Absent: no host step removes a file",
        fix="remove it by hand; its entry is then at target",
    )  # fmt: skip
    raise InvalidObjectError((problem,))
