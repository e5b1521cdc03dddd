"""Driver `artifact`: a program or a tree of files that is fetched by URL and checked by its SHA-256, and its unit.

The path becomes a symbolic link to what was fetched, so that it changes all at once and the version before is kept.
The artifact *is* the version; it brings no configuration, so that is Current whenever something stands there.
"""

import attrs

from kubenode.components.unit import running, steady
from kubenode.core.hookspecs import Desired, Have, Seen
from kubenode.core.model.entry import ConfigState, Running
from kubenode.core.naming import check_member, check_path, check_sha256, check_unit, check_url
from kubenode.core.probe import ArtifactAt, Probe, UnitState
from kubenode.core.step import (
    ArtifactFormat,
    InstallArtifact,
    RemoveArtifact,
    RestartUnit,
    Step,
    StopUnit,
    artifact_mark,
)

_SHOWN = 12
"""Digits of its SHA-256 by which another artifact than the wanted one is named."""


def _check_tar(params: "ArtifactParams", field: "attrs.Attribute[str]", value: str) -> None:
    if value and params.format is ArtifactFormat.BINARY:
        raise ValueError(f"{field.name}: a binary has no members; write format: tar")


@attrs.frozen(kw_only=True)
class ArtifactParams:
    """Which artifact, where it stands, and the unit that it runs.

    Attributes:
        path: absolute, and without `.` or `..`; it becomes a symbolic link.
        url: of http or https; whoever may read the component may read it.
        sha256: of what the URL gives, 64 hexadecimal digits.
        format: `binary`, one program; or `tar`, as it is or with gzip.
        member: of a tar: what the path leads to, such as `bin/containerd`; empty for all of it.
        unit: restarted with every change; None when nothing runs it.

    Raises:
        ValueError: a value cannot be what its field is for.
    """

    path: str = attrs.field(validator=check_path)
    url: str = attrs.field(validator=check_url, repr=False)
    sha256: str = attrs.field(validator=check_sha256)
    format: ArtifactFormat = ArtifactFormat.BINARY
    member: str = attrs.field(default="", validator=[check_member, _check_tar])
    unit: str | None = attrs.field(default=None, validator=check_unit)

    @property
    def mark(self) -> str:
        """Give what ArtifactAt finds where this is whole."""
        return artifact_mark(self.sha256, self.format, self.member)

    def named(self, mark: str, version: str) -> str:
        """Name what stands at the path: this by its version, another artifact by its digest; empty for none, or one not whole."""
        if mark == self.mark:
            return version
        return f"sha256:{mark[:_SHOWN]}" if mark else ""

    def installation(self, then: RestartUnit | None) -> InstallArtifact:
        """Give the step that lets the path lead to it."""
        return InstallArtifact(
            path=self.path, url=self.url, sha256=self.sha256, format=self.format, member=self.member, then=then
        )  # fmt: skip


class ArtifactDriver:
    """Install, exchange, repair and remove one artifact."""

    name = "artifact"
    params = ArtifactParams

    def probes(self, want: Desired[ArtifactParams], /) -> tuple[Probe, ...]:
        """Look at what stands at the path and, if it has one, at its unit."""
        artifact = ArtifactAt(want.params.path)
        return (artifact,) if want.params.unit is None else (artifact, UnitState(want.params.unit))

    def judge(self, want: Desired[ArtifactParams], seen: Seen, /) -> Have:
        """Judge the three states."""
        mark = seen.artifacts.get(want.params.path)
        if mark is None:
            return Have(version="", config=ConfigState.UNKNOWN, state=Running.ABSENT)
        return Have(
            version=want.params.named(mark, want.version),
            config=ConfigState.CURRENT,
            state=running(want.state, want.params.unit, seen),
        )

    def plan(self, want: Desired[ArtifactParams], have: Have, /) -> tuple[Step, ...]:
        """Give the steps from what is there to what is wanted; a restart belongs to the installation."""
        params, unit = want.params, want.params.unit
        if want.state is Running.ABSENT:
            return _removal(params, have)
        if have.version == want.version:
            return steady(unit, want.state, have.state)
        if want.state is Running.STOPPED:
            # A unit may still run although its program is gone, which is judged Absent: it is stopped as well.
            stop = () if unit is None or have.state is Running.STOPPED else (StopUnit(unit=unit),)
            return (params.installation(None), *stop)
        return (params.installation(None if unit is None else RestartUnit(unit=unit)),)


def _removal(params: ArtifactParams, have: Have) -> tuple[Step, ...]:
    if have.state is Running.ABSENT:
        return ()
    unit = params.unit
    stop = () if unit is None or have.state is not Running.RUNNING else (StopUnit(unit=unit),)
    return (*stop, RemoveArtifact(path=params.path))
