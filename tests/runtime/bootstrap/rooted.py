"""A host in a folder: real files and programs, a systemd that is played, and an agent that enrols when it is started.

Reached directly (`Direct`), with any one call of a connection going wrong in any way, or through a real sshd
(`test_ssh`). The server is played too: it stores what it is told, and knows a token as long as its Secret is there.
"""

import hashlib
import io
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from kubenode.core.enrol.identity import groups_of
from kubenode.core.errors import AlreadyExists, ApiError, ObjectNotFound, Unreachable
from kubenode.core.model import Json, Kind
from kubenode.runtime.agent.commands import Ran
from kubenode.runtime.agent.tree import StepFailed, Tree, Was
from kubenode.runtime.bootstrap import steps as s
from kubenode.runtime.bootstrap.archive import read_bundle
from kubenode.runtime.bootstrap.importing import Import, Order
from kubenode.runtime.bootstrap.remote import Lost
from kubenode.runtime.engine.apply import secret_name
from kubenode.runtime.store.contract import Listing, MergePatch

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
AUTHORITY = b"-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
UNIT = b"[Service]\nExecStart=/opt/kubenode/bin/kubenode agent ${MACHINE}\n"
WANTED_BY = f"/etc/systemd/system/multi-user.target.wants/{s.UNIT}"
PROGRAM = b"#!/bin/sh\necho 0.1.0\n"


class Server:
    """An API server that stores what it is told, for one import after another.

    Attributes:
        enrolled: how many agents have asked for their certificate.
        fails: how many reads fail once an agent has been started, and how; the agents reach it all the same.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self.made = self.enrolled = self.signs = 0
        self.fails: tuple[int, ApiError] = 0, Unreachable("GET machines/h1: cut off")

    async def get(self, kind: Kind, name: str) -> Json:
        """Give an object."""
        left, error = self.fails
        if self.enrolled and left:
            self.fails = left - 1, error
            raise error
        try:
            return self.objects[kind.name, name]
        except KeyError:
            raise ObjectNotFound(f"{kind.plural} {name} not found") from None

    async def find(self, kind: Kind, *, labels: Any = None, limit: int = 0) -> Listing:
        """Give those of a kind that have these labels."""
        items = [one for (name, _), one in self.objects.items() if name == kind.name]
        held = tuple(
            one for one in items if (labels or {}).items() <= one["metadata"].get("labels", {}).items()
        )
        return Listing(items=held, resource_version="1")

    async def create(
        self, kind: Kind, obj: Json, *, dry_run: bool = False, field_validation: Any = None
    ) -> Json:
        """Store an object that is not there."""
        key = kind.name, obj["metadata"]["name"]
        if key in self.objects:
            raise AlreadyExists("there")
        self.made += 1
        stored: Json = {**obj, "metadata": {**obj["metadata"], "uid": f"uid-{self.made}"}}
        if not dry_run:
            self.objects[key] = stored
        return stored

    async def patch(self, kind: Kind, name: str, patch: MergePatch, *, dry_run: bool = False) -> Json:
        """Nothing that a test looks at is changed."""
        return self.objects[kind.name, name]

    async def delete(self, kind: Kind, name: str, *, uid: str, dry_run: bool = False) -> Json:
        """Delete an incarnation."""
        assert self.objects[kind.name, name]["metadata"]["uid"] == uid
        del self.objects[kind.name, name]
        return {}

    def tokens(self) -> list[str]:
        """Name the tokens that are good."""
        return sorted(name for kind, name in self.objects if kind == "Secret")

    def enrol(self, machine: str, token: str, boot: str) -> str | None:
        """Answer the agent of a machine; give its uid, or None when it is refused."""
        self.enrolled += 1
        ident, _, secret = token.partition(".")
        held = self.objects.get(("Secret", secret_name(ident)))
        stored = self.objects.get(("Machine", machine))
        if held is None or stored is None or held["stringData"]["token-secret"] != secret:
            return None
        del self.objects["Secret", secret_name(ident)]
        enrolment = {"tokenID": ident, "key": "0" * 64, "spent": True}
        self.report(machine, boot, enrolment)
        return str(stored["metadata"]["uid"])

    def sign(self, machine: str) -> None:
        """Renew the Lease of an agent."""
        self.signs += 1
        self.objects["Lease", machine] = {"spec": {"renewTime": f"2026-03-02T08:00:{self.signs:02}.000000Z"}}

    def report(self, machine: str, boot: str, enrolment: Json | None = None) -> None:
        """Store what agent and controller say of a machine that is well."""
        stored = self.objects["Machine", machine]
        old = stored.get("status", {})
        ready = {"type": "Ready", "status": "True", "reason": "Running", "message": "", "lastTransitionTime": "2026-03-02T08:00:00Z"}  # fmt: skip
        stored["status"] = {
            **old, "phase": "Running", "conditions": [ready], "agent": {"version": "0.1.0", "bootID": boot},
            **({} if enrolment is None else {"enrolment": enrolment}),
        }  # fmt: skip


def certificate(uid: str, until: datetime = NOW + timedelta(days=1)) -> bytes:
    """Make a certificate of an agent of a Machine's incarnation."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups_of(uid)]
    subject = x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, "kubenode:agent:h1")])
    draft = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    draft = draft.serial_number(1).not_valid_before(NOW - timedelta(days=2)).not_valid_after(until)
    return draft.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


class RootedHost:
    """A host whose root is a folder.

    Attributes:
        refuses: its agent ends again and again.
        greeting: what a shell says before a program does.
    """

    def __init__(self, root: Path, server: Server) -> None:
        self.root, self.server = root, server
        self.boot = "11111111-2222-3333-4444-555555555555"
        self.uid, self.unit_runs, self.refuses, self.greeting = "0", False, False, ""
        self.starts, self.quick = 0, True
        for name in ("opt", "etc/systemd/system", "var/lib", "etc/ssh"):
            (root / name).mkdir(parents=True)

    def execute(self, argv: Sequence[str]) -> tuple[int, str, str]:
        """Run a program on it; give its exit status and what it prints."""
        match list(argv):
            case ["id", "-u"]:
                return 0, f"{self.greeting}{self.uid}\n", ""
            case ["cat", "/proc/sys/kernel/random/boot_id"]:
                return 0, f"{self.boot}\n", ""
            case ["journalctl", *_]:
                return 0, "the server does not know the token\n", ""
            case ["systemctl", *words]:
                return self._systemctl(words)
        if self.quick and (answer := self._quick(list(argv))) is not None:
            return answer
        there = [
            self._there(word) if word.startswith("/") and not word.startswith("/-") else word for word in argv
        ]
        done = subprocess.run(there, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout, done.stderr

    def _quick(self, argv: list[str]) -> tuple[int, str, str] | None:
        """Do what small programs do, without a process for each; `test_ssh` has the real ones."""
        paths = [
            self.root / word[1:] for word in argv[1:] if word.startswith("/") and not word.startswith("/-")
        ]
        match argv:
            case ["uname", "-m"]:
                return 0, "x86_64\n", ""
            case ["stat", "-f", *_]:
                return (0, "1000000 4096\n", "") if paths[0].exists() else (1, "", "no such file")
            case ["test", what, _]:
                is_so = {
                    "-x": paths[0].is_file,
                    "-f": paths[0].is_file,
                    "-e": paths[0].exists,
                    "-d": paths[0].is_dir,
                }[what]()
                return (0 if is_so else 1), "", ""
            case ["sync", *_]:
                return (0 if paths[-1].exists() else 1), "", ""
            case ["sha256sum", *_]:
                return 0, f"{hashlib.sha256(paths[0].read_bytes()).hexdigest()}  x\n", ""
            case ["sed", *_]:
                return (0, paths[0].read_text(), "") if paths[0].exists() else (2, "", "no such file")
            case ["mkdir" | "rm" | "rmdir" | "mv", *_]:
                return _changed(argv, paths)
        return None

    def _there(self, path: str) -> str:
        return str(self.root / path[1:])

    def _systemctl(self, words: list[str]) -> tuple[int, str, str]:
        wanted_by = self.root / WANTED_BY[1:]
        match words:
            case ["is-active", _]:
                return (0, "active\n", "") if self.unit_runs else (3, "inactive\n", "")
            case ["is-enabled", _]:
                return (0, "enabled\n", "") if wanted_by.is_symlink() else (1, "disabled\n", "")
            case ["enable", _]:
                wanted_by.parent.mkdir(exist_ok=True)
                if not wanted_by.is_symlink():
                    wanted_by.symlink_to(s.UNIT_FILE)
            case ["disable", _]:
                wanted_by.unlink(missing_ok=True)
                if wanted_by.parent.is_dir() and not any(wanted_by.parent.iterdir()):
                    wanted_by.parent.rmdir()  # as systemd does
            case ["start" | "restart", _]:
                return self._start(restarts=words[0] == "restart")
            case ["stop", _]:
                self.unit_runs = False
            case ["show", "-P", "NRestarts", _]:
                return 0, ("5\n" if self.refuses else "0\n"), ""
        return 0, "", ""

    def _start(self, *, restarts: bool) -> tuple[int, str, str]:
        if not (self.root / s.UNIT_FILE[1:]).exists():
            return 5, "", f"Unit {s.UNIT} not found."
        if not self.unit_runs or restarts:
            self.starts += 1
            self.unit_runs = True
            self._agent()
        return 0, "", ""

    def _agent(self) -> None:
        """Be the agent: it makes its folder, and enrols unless it has a certificate."""
        state = self.root / s.STATE[1:]
        state.mkdir(exist_ok=True)
        (state / "journal").touch()
        machine = dict(
            line.split("=", 1) for line in (self.root / s.ENV[1:]).read_text(errors="replace").splitlines()
            if "=" in line
        )["MACHINE"]  # fmt: skip
        if self.refuses:
            return
        if (state / "identity.pem").exists():
            self.server.sign(machine)
            return
        uid = self.server.enrol(machine, (self.root / s.TOKEN[1:]).read_text().strip(), self.boot)
        if uid is None:
            self.refuses = True
        else:
            (state / "identity.pem").write_bytes(certificate(uid))
            self.server.sign(machine)

    def state(self) -> dict[str, Any]:
        """Give all that is on it, and what runs."""
        found: dict[str, Any] = {"runs": self.unit_runs}
        for path in sorted(self.root.rglob("*")):
            name, held = str(path.relative_to(self.root)), path.lstat()
            if path.is_symlink():
                found[name] = str(path.readlink())
            elif path.is_dir():
                found[name] = "folder"
            else:
                found[name] = (stat.S_IMODE(held.st_mode), path.read_bytes())
        return found


def _changed(argv: list[str], paths: list[Path]) -> tuple[int, str, str]:
    """Change files as small programs do."""
    match argv:
        case ["mkdir", *_]:
            if paths[0].exists() and argv[1] != "-p":
                return 1, "", "exists"
            paths[0].mkdir(exist_ok=True)
        case ["rm", *_]:
            for path in paths:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(
                    missing_ok=True
                )
        case ["rmdir", *_]:
            if not any(paths[0].iterdir()):
                paths[0].rmdir()
        case ["mv", *words]:
            if not ("-n" in words and paths[1].exists()):
                paths[0].rename(paths[1])
    return 0, "", ""


@attrs.define
class Fault:
    """What goes wrong with one call of a connection: the `at`-th, from 0; `after` it was done, or instead of it.

    Attributes:
        lost: the connection breaks off; else the call is refused.
        again: a new connection can be made.
    """

    at: int = -1
    lost: bool = False
    after: bool = False
    again: bool = True
    calls: int = 0


class Direct:
    """A connection to a host in a folder."""

    def __init__(self, host: RootedHost, fault: Fault) -> None:
        self.host, self.fault, self.gone = host, fault, False
        self.tree = Tree(host.root)

    def _goes_wrong(self, do: Callable[[], Any], refused: Callable[[], Any]) -> Any:
        if self.gone:
            raise Lost("broken off", "repeat")
        hit = self.fault.calls == self.fault.at
        self.fault.calls += 1
        if not hit:
            return do()
        if self.fault.after:
            do()
        if self.fault.lost:
            self.gone = True
            raise Lost("broken off", "repeat")
        return refused()

    async def run(self, argv: Sequence[str], limit: float = 60.0) -> Ran:
        """Run a program."""

        def done() -> Ran:
            code, out, err = self.host.execute(argv)
            return Ran(code=code, out=out, tail=out + err)

        answer: Ran = self._goes_wrong(done, lambda: Ran(code=255, tail="planted"))
        return answer

    async def found(self, path: str) -> Was:
        """Tell what stands at a path."""
        answer: Was = self._goes_wrong(lambda: self.tree.found(path), self._no)
        return answer

    async def put(self, path: str, was: Was) -> None:
        """Let this stand there."""
        mine = attrs.evolve(was, user=was.user or os.geteuid(), group=was.group or os.getegid())
        self._goes_wrong(lambda: self.tree.put(path, mine), self._no)

    async def send(self, local: Path, path: str) -> None:
        """Copy a file."""
        target = self.host.root / path[1:]

        def copied() -> None:
            target.write_bytes(local.read_bytes())

        self._goes_wrong(copied, self._no)

    @staticmethod
    def _no() -> Any:
        raise StepFailed("planted")


@attrs.define
class Stand:
    """A host, a server, and how to import the one into the other."""

    host: RootedHost
    server: Server
    bundle: s.Bundle | None
    told: list[str] = attrs.field(factory=list)

    def importing(self, fault: Fault | None = None, **changes: Any) -> Import:
        """Give an import, on whose connections something goes wrong."""
        planted = Fault() if fault is None else fault
        connections = 0

        @asynccontextmanager
        async def connect() -> AsyncIterator[Direct]:
            nonlocal connections
            connections += 1
            if connections > 1 and not planted.again:
                raise Lost("not reached", "repeat")
            yield Direct(self.host, planted)

        order = attrs.evolve(
            Order(
                host="h1", name="h1", server="https://10.0.0.1:6443", authority=AUTHORITY, unit=UNIT, bundle=self.bundle,
                limit=timedelta(seconds=5),
            ),
            **changes,
        )  # fmt: skip
        store: Any = self.server
        return Import(
            order=order,
            store=store,
            connect=connect,
            tell=self.told.append,
            now=lambda: NOW,
            poll=0.001,
            report=2.0,
        )


def packed(folder: Path, program: bytes = PROGRAM, about: bytes = b'{"version": "0.1.0"}') -> Path:
    """Make a bundle with a program; give its path."""
    path = folder / "kubenode.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content, mode in (("bin/kubenode", program, 0o755), (s.ABOUT, about, 0o644)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return path


def stand(folder: Path) -> Stand:
    """Make a bare host, a server without anything, and a bundle."""
    server = Server()
    return Stand(RootedHost(folder / "root", server), server, read_bundle(packed(folder)))
