"""What has to be done on a host so that it has an agent: a pure function of what was found there and what is wanted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

import attrs

from kubenode.core.errors import Problem
from kubenode.core.step import AGENT_PATH, AGENT_UNIT

OPT: Final = "/opt/kubenode"
LINK: Final = AGENT_PATH
"""A link to the `bin` of the version in use; it is switched at once."""
PROGRAM: Final = f"{LINK}/kubenode"
ENV: Final = "/etc/kubenode/agent.env"
CA: Final = "/etc/kubenode/ca.crt"
TOKEN: Final = "/etc/kubenode/token"  # noqa: S105 - a path
UNIT: Final = AGENT_UNIT
UNIT_FILE: Final = f"/etc/systemd/system/{UNIT}"
STATE: Final = "/var/lib/kubenode"
IDENTITY: Final = f"{STATE}/identity.pem"
RETIRED: Final = f"{IDENTITY}.before"
"""Where the identity of an earlier Machine is kept."""
ABOUT: Final = "bin/kubenode.json"
"""The member of a bundle that says what it is: its version, and which machines it is for."""
_SPACE: Final = 8
"""Bytes on the disk for a byte of a bundle: its archive, what is unpacked from it, and some air."""


@attrs.frozen(kw_only=True)
class Bundle:
    """A tar.gz that holds `bin/kubenode`.

    Attributes:
        path: here.
        sha256: of the file, in hex.
        size: of the file, in bytes.
        version: of kubenode in it; empty when it does not say.
        machine: as `uname -m` names the hosts that it is for; empty when it does not say.
    """

    path: Path
    sha256: str
    size: int
    version: str = ""
    machine: str = ""

    @property
    def name(self) -> str:
        """What its folder is called: two bundles of one version have two folders."""
        return "-".join(filter(None, (self.version, self.sha256[:8])))

    @property
    def folder(self) -> str:
        """Where it is unpacked."""
        return f"{OPT}/{self.name}"


@attrs.frozen(kw_only=True)
class Found:
    """What a look at a host has found.

    Attributes:
        machine: as `uname -m` says.
        boot_id: of the boot that runs.
        free: bytes below /opt, or where that will be.
        unpacked: the wanted bundle is there.
        link: what LINK points to; empty when it is not there.
        foreign: LINK is there and is no link: kubenode came by another way.
        program: PROGRAM is there and can be run.
        files: the content of ENV, CA, TOKEN and UNIT_FILE, of those that are there.
        uid: of the Machine that the agent has a certificate for which is still good; empty: it has none.
        identity: there is a file with an identity.
        state: the agent's own folder is there.
        active: its unit runs.
        enabled: its unit is started at boot.
    """

    machine: str
    boot_id: str
    free: int
    unpacked: bool = False
    link: str = ""
    foreign: bool = False
    program: bool = False
    files: Mapping[str, bytes] = attrs.field(factory=dict, repr=False)
    uid: str = ""
    identity: bool = False
    state: bool = False
    active: bool = False
    enabled: bool = False

    @property
    def of(self) -> str:
        """The Machine that the host's agent is told to be the agent of; empty when there is none."""
        return _settings(self.files.get(ENV, b"")).get("MACHINE", "")


@attrs.frozen(kw_only=True)
class Target:
    """What a host is to have.

    Attributes:
        machine: name of its Machine.
        uid: of its Machine; empty in a dry run for a Machine that is not made yet.
        server: URL of the API server.
        authority: the certificates that the server's is checked against; PEM.
        unit: the agent's unit file.
        bundle: None: kubenode is there already.
    """

    machine: str
    uid: str
    server: str
    authority: bytes
    unit: bytes
    bundle: Bundle | None = None


@attrs.frozen
class Unpack:
    """Send a bundle, check its sha256 there, unpack it beside the others, and see that it runs."""

    bundle: Bundle

    def __str__(self) -> str:
        return f"unpack {self.bundle.path.name} to {self.bundle.folder}"


@attrs.frozen
class Point:
    """Let LINK point to a version."""

    target: str

    def __str__(self) -> str:
        return f"point {LINK} to {self.target}"


@attrs.frozen
class Write:
    """Write a file."""

    path: str
    content: bytes = attrs.field(repr=False)
    mode: int

    def __str__(self) -> str:
        return f"write {self.path} (mode {self.mode:04o})"


@attrs.frozen
class Retire:
    """Rename the identity of an earlier Machine, so that the agent asks for its own; what a still earlier one left is of no use."""

    def __str__(self) -> str:
        return f"rename {IDENTITY}, which is of another Machine, to {RETIRED}"


@attrs.frozen
class Start:
    """Enable and start the unit; restart it when it runs, since something of it has changed."""

    restarts: bool

    def __str__(self) -> str:
        return f"{'enable and restart' if self.restarts else 'enable and start'} {UNIT}"


Step: TypeAlias = Unpack | Point | Write | Retire | Start


def refusals(found: Found, wanted: Target, host: str) -> tuple[Problem, ...]:
    """Say for which reasons a host cannot get this agent; empty when it can.

    Args:
        found: what is there.
        wanted: what is to be there.
        host: how the problems name it.
    """
    bundle, problems = wanted.bundle, []

    def no(what: str, fix: str) -> None:
        problems.append(Problem(where=host, what=what, fix=fix))

    if found.of not in ("", wanted.machine):
        no(
            f"is the host of Machine {found.of} already ({ENV})",
            f"--name {found.of}; or remove its agent first",
        )
    if bundle is None:
        if not found.program:
            fix = "--bundle FILE; python -m kubenode.runtime.bundle makes one"
            no(f"has no kubenode: {PROGRAM} cannot be run", fix)
        return tuple(problems)
    if found.foreign:
        no(
            f"{LINK} is no link, so kubenode came by another way",
            "leave --bundle out to use it, or move it away",
        )
    if bundle.machine not in ("", found.machine):
        no(
            f"is a {found.machine}, and the bundle is for {bundle.machine}",
            "make the bundle on such a machine",
        )
    if not found.unpacked and found.free < bundle.size * _SPACE:
        no(
            f"has {found.free >> 20} MiB free below /opt; {bundle.size * _SPACE >> 20} are needed",
            "make room there",
        )
    return tuple(problems)


def needs_token(found: Found, wanted: Target) -> bool:
    """Tell whether the agent has to ask for a certificate: it has none of this incarnation of the Machine."""
    return not wanted.uid or found.uid != wanted.uid


def plan(found: Found, wanted: Target, token: str) -> tuple[Step, ...]:
    """Give what is to be done, in order; empty when all is as it should be.

    Args:
        found: what is there.
        wanted: what is to be there.
        token: what the agent asks with, when it needs one; for a dry run any text.

    Invariant: of what the plan leads to, the plan is empty (the token aside, which is used up).
    """
    steps: list[Step] = []
    if wanted.bundle is not None:
        if not found.unpacked:
            steps.append(Unpack(wanted.bundle))
        if found.link != (target := f"{wanted.bundle.name}/bin"):
            steps.append(Point(target))
    files = (
        (CA, wanted.authority, 0o600),
        (ENV, _env(found, wanted), 0o600),
        (UNIT_FILE, wanted.unit, 0o644),
    )
    steps += [Write(path, text, mode) for path, text, mode in files if found.files.get(path) != text]
    if needs_token(found, wanted):
        if found.identity and found.uid:
            steps.append(Retire())
        steps.append(Write(TOKEN, f"{token}\n".encode(), 0o600))
    if steps or not (found.active and found.enabled):
        steps.append(Start(found.active))
    return tuple(steps)


def _env(found: Found, wanted: Target) -> bytes:
    """Give the settings of the unit; what else stands there was written by a person, and stays."""
    old = found.files.get(ENV, b"")
    settings = _settings(old)
    if (settings.get("MACHINE"), settings.get("SERVER")) == (wanted.machine, wanted.server):
        return old
    more = [line for line in old.splitlines() if not line.startswith((b"MACHINE=", b"SERVER="))]
    return b"\n".join((f"MACHINE={wanted.machine}".encode(), f"SERVER={wanted.server}".encode(), *more, b""))


def _settings(text: bytes) -> dict[str, str]:
    lines = (line.partition("=") for line in text.decode(errors="replace").splitlines())
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in lines if equals}
