"""Driver `file`: a file of exact content, mode and owner, and what reads it.

The content is compared whole. What was written is removed only as long as it is what was written.
"""

from typing import Any

import attrs

from kubenode.components.effect import Effect, check_class, check_effect, foreign, loading
from kubenode.components.unit import running, steady
from kubenode.core.errors import InvalidObjectError
from kubenode.core.hookspecs import Desired, Have, Seen
from kubenode.core.model.entry import ConfigState, Running
from kubenode.core.model.meta import matches
from kubenode.core.naming import check_account, check_path, check_unit
from kubenode.core.probe import Access, FileAccess, Probe, ReadFile, UnitState
from kubenode.core.step import ReloadUnit, RemoveFile, RestartUnit, Step, StopUnit, Then, WriteFile


def _check_mode(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    if value and not matches("^0?[0-7]{3}$", value):
        raise ValueError(
            f"{field.name}: it is no mode such as '0644'; write it in quotes, set-uid bits are not given"
        )


@attrs.frozen(kw_only=True)
class FileParams:
    """Which file, what is in it, whose it is, and what has to read it.

    Attributes:
        path: absolute, and without `.` or `..`.
        content: the whole file, as text; written as UTF-8.
        mode: its permissions, octal; empty: 0644 when it is written, and else not looked at.
        owner: a user of the host; empty: as it is, root when it is new.
        group: a group of the host; empty: as it is, root's when it is new.
        unit: that reads it; None when none does.
        effect: what a change does to the unit or the node; left out: the unit is restarted, if there is one.

    Raises:
        ValueError: a value cannot be what its field is for.
    """

    path: str = attrs.field(validator=check_path)
    content: str
    mode: str = attrs.field(default="", validator=_check_mode)
    owner: str = attrs.field(default="", validator=check_account)
    group: str = attrs.field(default="", validator=check_account)
    unit: str | None = attrs.field(default=None, validator=check_unit)
    effect: Effect | None = None

    def __attrs_post_init__(self) -> None:
        check_effect(self.effect, self.unit)

    @property
    def bits(self) -> int:
        """Give its permissions when it is written."""
        return int(self.mode or "644", 8)

    def owns(self, found: Access | None) -> bool:
        """Tell whether mode, owner and group are as they should be; what is not given is as it is."""
        if found is None:
            return False
        right = Access(
            mode=self.bits if self.mode else found.mode,
            owner=self.owner or found.owner,
            group=self.group or found.group,
        )
        return found == right

    @property
    def judged(self) -> bool:
        """Whether mode, owner or group is looked at."""
        return bool(self.mode or self.owner or self.group)


class FileDriver:
    """Keep one file as it should be."""

    name = "file"
    params = FileParams

    def probes(self, want: Desired[FileParams], /) -> tuple[Probe, ...]:
        """Look at the file and, if it has one, at its unit."""
        path, unit = want.params.path, want.params.unit
        access = (FileAccess(path),) if want.params.judged else ()
        return (ReadFile(path), *access, *(() if unit is None else (UnitState(unit),)))

    def judge(self, want: Desired[FileParams], seen: Seen, /) -> Have:
        """Judge the three states. The right content *is* the version; another content has none that is known."""
        path = want.params.path
        content = seen.files.get(path)
        if content is None:
            return Have(version="", config=ConfigState.UNKNOWN, state=Running.ABSENT)
        same = content == want.params.content.encode()
        whole = same and (not want.params.judged or want.params.owns(seen.access.get(path)))
        return Have(
            version=want.version if same else "",
            config=ConfigState.CURRENT if whole else ConfigState.DRIFTED,
            state=running(want.state, want.params.unit, seen),
        )

    def plan(self, want: Desired[FileParams], have: Have, /) -> tuple[Step, ...]:
        """Give the steps from what is there to what is wanted.

        Raises:
            InvalidObjectError: its effect is more than the class of its component allows; or it should be Absent and
                cannot be removed.
        """
        params = want.params
        if want.state is Running.ABSENT:
            return _removal(want, have)
        check_class(params.effect, want.disruption)
        if have.config is ConfigState.CURRENT:
            return steady(params.unit, want.state, have.state)
        if want.state is Running.STOPPED:
            stops = params.unit is not None and have.state is not Running.STOPPED
            return (_written(params, None), *((StopUnit(unit=params.unit or ""),) if stops else ()))
        write = _written(params, loading(params.effect, params.unit))
        # A write whose `then` does not start the unit needs a step that does.
        starts = () if _starts(write) else steady(params.unit, want.state, have.state)
        return (write, *starts)


def _written(params: FileParams, then: Then | None) -> WriteFile:
    return WriteFile(
        path=params.path, content=params.content.encode(), then=then, mode=params.bits, owner=params.owner,
        group=params.group,
    )  # fmt: skip


def _starts(write: WriteFile) -> bool:
    return isinstance(write.then, RestartUnit | ReloadUnit)


def _removal(want: Desired[FileParams], have: Have) -> tuple[Step, ...]:
    params = want.params
    path, unit, content = params.path, params.unit, params.content.encode()
    if have.state is Running.ABSENT:
        return ()
    if have.version != want.version:
        raise InvalidObjectError((foreign(path),))
    if unit is None or have.state is not Running.RUNNING:
        return (RemoveFile(path=path, content=content, then=None),)
    if path.endswith(f"/{unit}"):  # it is the unit's own, without which it does not run
        return (StopUnit(unit=unit), RemoveFile(path=path, content=content, then=None))
    return (RemoveFile(path=path, content=content, then=loading(params.effect, unit)),)
