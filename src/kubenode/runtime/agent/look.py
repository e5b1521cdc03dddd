"""What a host looks like for the probes: files, units, packages, artifacts, and what programs and servers answer.

A look has a time limit, whatever hangs: a disk, systemd, a program that cannot be killed. What hangs is left behind in
its thread, and until it has ended nothing else is looked at.
"""

import http.client
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar, assert_never
from urllib.parse import urlsplit

from kubenode.core.hookspecs import Seen
from kubenode.core.probe import (
    Access,
    ArtifactAt,
    Check,
    CheckAnswer,
    Exec,
    FileAccess,
    HttpGet,
    PackageHeld,
    PackageVersion,
    Probe,
    ReadFile,
    TcpConnect,
    UnitEnabled,
    UnitState,
)
from kubenode.runtime.agent.commands import Runner
from kubenode.runtime.agent.controller import CannotLook
from kubenode.runtime.agent.packages import PackageManager
from kubenode.runtime.agent.slots import Slots
from kubenode.runtime.agent.tree import Tree
from kubenode.runtime.agent.units import Units

LOG = logging.getLogger("kubenode.agent")

LIMIT: Final = 15.0
"""Seconds that files, units and packages have in one look, besides the time limits of its checks."""
_TEXT: Final = 4096

T = TypeVar("T")


class Looker:
    """Looks at one host.

    Args:
        tree: its files.
        units: its units.
        packages: its packages.
        run: runs the programs of probes.
        limit: seconds that a look has, besides the limits of its checks.
        before: is told what will be looked at, in the thread of the look.
    """

    def __init__(
        self, tree: Tree, units: Units, packages: PackageManager, run: Runner, limit: float = LIMIT,
        before: Callable[[Sequence[Probe]], None] | None = None,
    ) -> None:  # fmt: skip
        self._tree = tree
        self._units = units
        self._packages = packages
        self._slots = Slots(tree)
        self._run = run
        self._limit = limit
        self._before = before
        self._hangs: threading.Thread | None = None

    def look(self, probes: Sequence[Probe]) -> Seen:
        """Look at what the probes ask for; checks are asked all at once.

        Raises:
            CannotLook: it takes too long, or something cannot be asked.
        """
        if self._hangs is not None and self._hangs.is_alive():
            raise CannotLook("an earlier look at this host has not ended")
        found = _Looked()
        thread = threading.Thread(target=self._fill, args=(found, probes), name="kubenode look", daemon=True)
        thread.start()
        thread.join(self._limit + max((one.timeout for one in probes if isinstance(one, Check)), default=0))
        if thread.is_alive():
            self._hangs = thread
            raise CannotLook(f"a look at this host has not ended after {self._limit:.0f} s")
        if found.error is not None:
            raise CannotLook(str(found.error)) from found.error
        return found.seen()

    def _fill(self, found: "_Looked", probes: Sequence[Probe]) -> None:
        try:
            if self._before is not None:
                self._before(probes)
            checks = [
                threading.Thread(target=self._ask, args=(found, one), name="kubenode check", daemon=True)
                for one in dict.fromkeys(probes)
                if isinstance(one, Check)
            ]
            for thread in checks:
                thread.start()
            for probe in probes:
                self._one(found, probe)
            for thread in checks:
                thread.join()
        except Exception as error:  # it is raised where the look is waited for
            found.error = error

    def _one(self, found: "_Looked", probe: Probe) -> None:
        match probe:
            case ReadFile():
                _note(found.files, probe.path, self._tree.read(probe.path))
            case FileAccess():
                _note(found.access, probe.path, self._tree.access(probe.path))
            case UnitState():
                _note(found.units, probe.unit, self._units.state(probe.unit))
            case UnitEnabled():
                _note(found.enabled, probe.unit, self._units.enabled(probe.unit))
            case PackageVersion():
                _note(found.packages, probe.package, self._packages.version(probe.package) or None)
            case PackageHeld():
                _note(found.held, probe.package, self._packages.held(probe.package))
            case ArtifactAt():
                _note(found.artifacts, probe.path, self._slots.mark(probe.path))
            case Exec() | HttpGet() | TcpConnect():
                return  # asked at the same time
            case _:
                assert_never(probe)

    def _ask(self, found: "_Looked", check: Check) -> None:
        try:
            answer = self._answer(check)
        except (OSError, ValueError, http.client.HTTPException) as error:
            LOG.debug("event=no-answer check=%s error=%s", type(check).__name__, type(error).__name__)
            return
        if answer is not None:
            found.answers[check] = answer

    def _answer(self, check: Check) -> CheckAnswer | None:
        match check:
            case Exec():
                ran = self._run(check.argv, check.timeout)
                return None if ran.code is None else CheckAnswer(code=ran.code, text=ran.out[:_TEXT])
            case HttpGet():
                return CheckAnswer(code=_status(check))
            case TcpConnect():
                socket.create_connection((check.host, check.port), check.timeout).close()
                return CheckAnswer(code=0)
            case _:
                assert_never(check)


class _Looked:
    """What is gathered; a look that is given up on fills its own."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.access: dict[str, Access] = {}
        self.units: dict[str, str] = {}
        self.enabled: dict[str, str] = {}
        self.packages: dict[str, str] = {}
        self.held: dict[str, bool] = {}
        self.artifacts: dict[str, str] = {}
        self.answers: dict[Check, CheckAnswer] = {}
        self.error: Exception | None = None

    def seen(self) -> Seen:
        """Give it for a driver."""
        return Seen(
            files=self.files, access=self.access, units=self.units, enabled=self.enabled, packages=self.packages,
            held=self.held, artifacts=self.artifacts, answers=dict(self.answers),
        )  # fmt: skip


def _note(found: dict[str, T], name: str, one: T | None) -> None:
    """Note what was found; of what is not there is no entry."""
    if one is not None:
        found[name] = one


def _status(check: HttpGet) -> int:
    """Ask a URL for its status. Certificates are not verified, as a kubelet's are not: it asks whether a service answers."""
    parts = urlsplit(check.url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, parts.port, timeout=check.timeout, context=tls)
    elif parts.scheme == "http":
        connection = http.client.HTTPConnection(host, parts.port, timeout=check.timeout)
    else:
        raise ValueError(f"{parts.scheme!r} is neither http nor https")
    over = threading.Timer(
        check.timeout, _broken, (connection,)
    )  # a server that trickles is given up on as well
    over.start()
    try:
        path = parts.path or "/"
        connection.request(
            "GET", f"{path}?{parts.query}" if parts.query else path, headers={"User-Agent": "kubenode"}
        )
        return int(connection.getresponse().status)
    finally:
        over.cancel()
        connection.close()


def _broken(connection: http.client.HTTPConnection) -> None:
    held: socket.socket | None = connection.sock
    if held is not None:
        with suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)
