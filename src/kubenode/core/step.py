"""Host steps as data. A driver returns them, the agent executes them; nothing here touches a host."""

import enum
from typing import Any, TypeAlias

import attrs

from kubenode.core.errors import Problem
from kubenode.core.model.meta import matches

UNIT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9:_.@\\-]*$"
"""A systemd unit: it cannot be read as an option of systemctl, nor name a path."""
PACKAGE_PATTERN = "^[A-Za-z0-9][A-Za-z0-9+._-]*$"
PATH_PATTERN = r"^(/[^/\x00-\x1f\x7f]+)+$"


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


def is_unit(text: str) -> bool:
    """Tell whether a text can name a systemd unit and nothing else."""
    return len(text) <= 255 and matches(UNIT_PATTERN, text)


def is_path(text: str) -> bool:
    """Tell whether a text is an absolute path that stays where it says: no `.`, `..`, `//` or control character."""
    return len(text) <= 4096 and matches(PATH_PATTERN, text) and not {".", ".."}.intersection(text.split("/"))


def is_package(text: str) -> bool:
    """Tell whether a text can name a package and is no option of the package manager."""
    return len(text) <= 128 and matches(PACKAGE_PATTERN, text)


def check_unit(_: object, field: "attrs.Attribute[Any]", value: str | None) -> None:
    """Refuse, as an attrs validator, what is no unit; None passes.

    Raises:
        ValueError: with the field's name and an example.
    """
    if value is not None and not is_unit(value):
        raise ValueError(f"{field.name}: {value!r} is not the name of a unit such as kubelet.service")


def check_path(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what is no plain absolute path.

    Raises:
        ValueError: with the field's name and an example.
    """
    if not is_path(value):
        raise ValueError(
            f"{field.name}: {value!r} is not a plain absolute path such as /etc/chrony/chrony.conf"
        )


def check_package(_: object, field: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse, as an attrs validator, what is no package name.

    Raises:
        ValueError: with the field's name and an example.
    """
    if not is_package(value):
        raise ValueError(f"{field.name}: {value!r} is not the name of a package such as kubelet")


def refusal(problem: Problem) -> tuple[str, str]:
    """Split a Problem with a plan into its reason and a text for people.

    Returns:
        The reason that `what` begins with, as in `PluginMissing: no such driver`; PluginFailed when it
        begins with none. The text ends with the fix.

    >>> refusal(Problem(where="ladder[0]", what="PluginMissing: no action 'x'", fix="known: reboot"))
    ('PluginMissing', "ladder[0]: no action 'x'; known: reboot")
    """
    head, colon, tail = problem.what.partition(": ")
    known = bool(colon) and matches("^[A-Z][A-Za-z]{0,63}$", head)
    text = f"{problem.where}: {tail if known else problem.what}" + (f"; {problem.fix}" if problem.fix else "")
    return (head if known else "PluginFailed"), text[:2048]
