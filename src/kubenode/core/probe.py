"""What is to be looked at on a host, as data. A driver returns it, the agent looks; nothing here touches a host."""

from typing import Any, TypeAlias

import attrs


@attrs.frozen
class ReadFile:
    """Look at a file."""

    path: str


@attrs.frozen
class UnitState:
    """Look at the active state of a systemd unit."""

    unit: str


@attrs.frozen
class UnitEnabled:
    """Look at whether systemd starts a unit at boot: its UnitFileState, such as `enabled`, `disabled` or `static`."""

    unit: str


@attrs.frozen
class FileAccess:
    """Look at whose a file is, and who may do what with it."""

    path: str


@attrs.frozen(kw_only=True)
class Access:
    """Whose a file is, and who may do what with it.

    Attributes:
        mode: its permissions.
        owner: name of a user; the number where it has none.
        group: name of a group; the number where it has none.
    """

    mode: int = 0o644
    owner: str = "root"
    group: str = "root"


@attrs.frozen
class PackageVersion:
    """Look at the installed version of a package."""

    package: str


@attrs.frozen
class PackageHeld:
    """Look at whether a package that is installed is kept from upgrades, whoever holds it."""

    package: str


@attrs.frozen
class ArtifactAt:
    """Look at which artifact stands at a path, by its bytes: as `InstallArtifact.mark`; empty for what is none or not whole."""

    path: str


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


Check: TypeAlias = Exec | HttpGet | TcpConnect
"""A probe that asks something that runs; what does not answer has no entry in what was seen."""
Probe: TypeAlias = (
    ReadFile | FileAccess | UnitState | UnitEnabled | PackageVersion | PackageHeld | ArtifactAt | Check
)
RUNS = frozenset({"active", "reloading"})
"""Active states of systemd in which a unit does its work."""
