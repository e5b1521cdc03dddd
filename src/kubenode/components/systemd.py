"""Driver `unit`: a systemd unit, with its own file or that of a package, its drop-ins, and whether it starts at boot.

Each of its files is a step together with the act that loads it, so that no file is written and not loaded.
"""

from collections.abc import Mapping
from typing import Any

import attrs

from kubenode.components.effect import Effect, check_class, foreign, loading
from kubenode.components.unit import running, steady
from kubenode.core.errors import InvalidObjectError
from kubenode.core.hookspecs import Desired, Have, Seen
from kubenode.core.model.entry import ConfigState, Running
from kubenode.core.model.meta import LABEL, matches
from kubenode.core.naming import check_unit
from kubenode.core.probe import RUNS, Probe, ReadFile, UnitEnabled, UnitState
from kubenode.core.step import EnableUnit, RemoveFile, RestartUnit, Step, StopUnit, WriteFile

_FOLDER = "/etc/systemd/system"
_AT_BOOT = ("enabled", "enabled-runtime")


def _check_drop_ins(_: object, field: "attrs.Attribute[Any]", value: Mapping[str, str]) -> None:
    for name in value:
        if len(name) > 63 or not matches(f"^{LABEL}$", name):
            raise ValueError(
                f"{field.name}: {name!r} is no name of small letters, digits and '-', such as 50-proxy"
            )


@attrs.frozen(kw_only=True)
class UnitParams:
    """Which unit, and how it is.

    Attributes:
        unit: such as `chrony.service`.
        content: of its own file in `/etc/systemd/system`; None: a package brings it, or another component.
        drop_ins: contents by name; they become `/etc/systemd/system/UNIT.d/NAME.conf`.
        enabled: whether it is started at boot; None: that is left as it is.
        effect: of a changed file; left out: the unit is restarted.

    Raises:
        ValueError: a value cannot be what its field is for.
    """

    unit: str = attrs.field(validator=[attrs.validators.instance_of(str), check_unit])
    content: str | None = None
    drop_ins: Mapping[str, str] = attrs.field(factory=dict, validator=_check_drop_ins)
    enabled: bool | None = None
    effect: Effect | None = None

    @property
    def own(self) -> str:
        """Give the path of its own file."""
        return f"{_FOLDER}/{self.unit}"

    @property
    def files(self) -> Mapping[str, bytes]:
        """Give all its files by path, its own first."""
        own = {} if self.content is None else {self.own: self.content.encode()}
        return own | {
            f"{self.own}.d/{name}.conf": text.encode() for name, text in sorted(self.drop_ins.items())
        }


class UnitDriver:
    """Keep one unit."""

    name = "unit"
    params = UnitParams

    def probes(self, want: Desired[UnitParams], /) -> tuple[Probe, ...]:
        """Look at its files, at what it does, and at whether it starts at boot."""
        unit = want.params.unit
        return (*map(ReadFile, want.params.files), UnitState(unit), UnitEnabled(unit))

    def judge(self, want: Desired[UnitParams], seen: Seen, /) -> Have:
        """Judge the three states. The right files *are* the version; whether it starts at boot is configuration."""
        params = want.params
        there = {path: seen.files[path] for path in params.files if path in seen.files}
        gone = want.state is Running.ABSENT
        if not (_is_left(params, there, seen) if gone else _is_there(params, there, seen)):
            return Have(version="", config=ConfigState.UNKNOWN, state=Running.ABSENT)
        same = all(params.files[path] == content for path, content in there.items())
        same = same and (gone or there.keys() == params.files.keys())
        starts = seen.enabled.get(params.unit, "") in _AT_BOOT
        whole = same and params.enabled in (None, starts)
        return Have(
            version=want.version if same else "",
            config=ConfigState.CURRENT if whole else ConfigState.DRIFTED,
            state=running(want.state, params.unit, seen),
        )

    def plan(self, want: Desired[UnitParams], have: Have, /) -> tuple[Step, ...]:
        """Give the steps from what is there to what is wanted.

        Raises:
            InvalidObjectError: its effect is more than the class of its component allows; or it should be Absent and
                one of its files has a content that was not written.
        """
        params = want.params
        if want.state is Running.ABSENT:
            return _removal(want, have)
        check_class(params.effect, want.disruption)
        if have.config is ConfigState.CURRENT:
            return steady(params.unit, want.state, have.state)
        runs = want.state is Running.RUNNING
        then = loading(params.effect, params.unit) if runs else None
        anew = have.version != want.version
        writes = tuple(
            WriteFile(path=path, content=content, then=then) for path, content in params.files.items()
        )
        enable = () if params.enabled is None else (EnableUnit(unit=params.unit, enabled=params.enabled),)
        started = anew and bool(writes) and isinstance(then, RestartUnit)
        after = () if started else _after(params.unit, want.state, have.state)
        return (*(writes if anew else ()), *enable, *after)


def _is_there(params: UnitParams, there: Mapping[str, bytes], seen: Seen) -> bool:
    """Tell whether the unit is installed: by its own file, or by whoever brings it."""
    return seen.units.get(params.unit) is not None if params.content is None else params.own in there


def _is_left(params: UnitParams, there: Mapping[str, bytes], seen: Seen) -> bool:
    """Tell whether anything is left of a unit that should be gone; of one that a package brings, that it runs or starts."""
    starts = params.enabled is True and seen.enabled.get(params.unit, "") in _AT_BOOT
    return bool(there) or starts or seen.units.get(params.unit) in RUNS


def _after(unit: str, wanted: Running, found: Running) -> tuple[Step, ...]:
    """Give the step to the running state; what is not installed yet may be started by what installs it."""
    if wanted is Running.STOPPED:
        return () if found is Running.STOPPED else (StopUnit(unit=unit),)
    return () if found is Running.RUNNING else (RestartUnit(unit=unit),)


def _removal(want: Desired[UnitParams], have: Have) -> tuple[Step, ...]:
    params = want.params
    if have.state is Running.ABSENT:
        return ()
    if have.version != want.version:
        raise InvalidObjectError((foreign(f"a file of {params.unit}"),))
    disable = (EnableUnit(unit=params.unit, enabled=False),) if params.enabled else ()
    files = tuple(RemoveFile(path=path, content=content, then=None) for path, content in params.files.items())
    return (StopUnit(unit=params.unit), *disable, *files)
