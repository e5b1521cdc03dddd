"""Host steps as data. A driver returns them, the agent executes them; nothing here touches a host."""

import enum
from typing import TypeAlias

import attrs


class Undo(enum.Enum):
    """What a step that has no undo says out loud; never a default."""

    IRREVERSIBLE = "irreversible"


@attrs.frozen
class ReadFile:
    """Look at a file."""

    path: str


@attrs.frozen
class UnitState:
    """Look at the active state of a systemd unit."""

    unit: str


@attrs.frozen
class PackageVersion:
    """Look at the installed version of a package."""

    package: str


@attrs.frozen(kw_only=True)
class RestartUnit:
    """Restart a systemd unit; starting a stopped one is the same act."""

    unit: str


@attrs.frozen(kw_only=True)
class StopUnit:
    """Stop a systemd unit."""

    unit: str


@attrs.frozen(kw_only=True)
class WriteFile:
    """Replace a file atomically; undo is the old content.

    The write and `then` are one journal entry: killed in between, the agent does `then` first.
    `then` has no default: a file that is written but not loaded looks healthy and is not.
    """

    path: str
    content: bytes
    then: RestartUnit | None
    mode: int = 0o644


@attrs.frozen(kw_only=True)
class InstallPackage:
    """Bring a package to an exact version; undo is the version before.

    `then` has no default, for the same reason as in WriteFile.
    """

    package: str
    version: str
    then: RestartUnit | None


@attrs.frozen(kw_only=True)
class RemovePackage:
    """Remove a package; undo is to install the version before."""

    package: str


@attrs.frozen(kw_only=True)
class Reboot:
    """Reboot the host."""


Probe: TypeAlias = ReadFile | UnitState | PackageVersion
Step: TypeAlias = RestartUnit | StopUnit | WriteFile | InstallPackage | RemovePackage | Reboot
