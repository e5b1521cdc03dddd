"""Host steps as data. A driver returns them, the agent executes them; nothing here touches a host."""

import enum
from typing import Any, TypeAlias

import attrs

from kubenode.core.errors import Problem
from kubenode.core.model.meta import UNIT_PATTERN, matches

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


def _check_argv(_: object, field: "attrs.Attribute[Any]", value: object) -> None:
    if not isinstance(value, tuple) or not value or not all(isinstance(one, str) for one in value):
        raise ValueError(
            f'{field.name}: {value!r} is no tuple of a program and its arguments such as ("/bin/df", "-h"); no shell takes it apart'
        )


@attrs.frozen
class Exec:
    """Run a program and look at how it ends; no shell.

    Attributes:
        argv: the path of the program, and its arguments.
        timeout: seconds; then it is killed, and there is no answer.

    Raises:
        ValueError: `argv` is no tuple of texts.
    """

    argv: tuple[str, ...] = attrs.field(validator=_check_argv)
    timeout: int = 5


@attrs.frozen
class HttpGet:
    """Ask a URL; `timeout` in seconds. Redirects are not followed, certificates not verified."""

    url: str
    timeout: int = 5


@attrs.frozen
class TcpConnect:
    """Open a connection and close it; `timeout` in seconds."""

    host: str
    port: int
    timeout: int = 5


@attrs.frozen(kw_only=True)
class CheckAnswer:
    """What came in time of an Exec, HttpGet or TcpConnect.

    Attributes:
        code: the exit code; the HTTP status; 0 of a connection that was accepted.
        text: the first 4096 characters of what an Exec printed. It may hold a secret, so it is never shown.
    """

    code: int
    text: str = attrs.field(default="", repr=False)


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


@attrs.frozen(kw_only=True)
class RestartInstance:
    """Have the provider restart the machine's instance: without its agent, and from outside, as a cloud's maintenance asks for.

    Alone in the plan of a remedy; no host runs it.
    """


Check: TypeAlias = Exec | HttpGet | TcpConnect
"""A probe that asks something that runs; what does not answer has no entry in what was seen."""
Probe: TypeAlias = ReadFile | UnitState | PackageVersion | Check
Step: TypeAlias = RestartUnit | StopUnit | WriteFile | InstallPackage | RemovePackage | Reboot
RemedyStep: TypeAlias = Step | RestartInstance


RUNS = frozenset({"active", "reloading"})
"""Active states of systemd in which a unit does its work."""


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
