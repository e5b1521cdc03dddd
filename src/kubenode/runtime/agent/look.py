"""What a host looks like for the probes: files, units, packages, artifacts, and what programs and servers answer.

A look has a time limit, whatever hangs: a disk, systemd, a program that cannot be killed. What hangs is left behind in
its thread, and until it has ended nothing else is looked at. All entries of a host are looked at in one look, and their
checks are asked at the same time: however many of them hang, that takes no longer than one.
"""

import http.client
import logging
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
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
AT_ONCE: Final = 16
"""Checks that are asked at the same time, each in a thread and perhaps by a program; the others wait for their turn."""
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
        """Look at what the probes ask for.

        Raises:
            CannotLook: it takes too long, or something cannot be asked.
        """
        (found,) = self.look_at_all((probes,))
        if isinstance(found, CannotLook):
            raise found
        return found

    def look_at_all(self, looks: Sequence[Sequence[Probe]]) -> tuple[Seen | CannotLook, ...]:
        """Look at what several ask for, within the time of one look; give for each what was found, or why it is not known."""
        if self._hangs is not None and self._hangs.is_alive():
            return (CannotLook("an earlier look at this host has not ended"),) * len(looks)
        found = _Looked(looks)
        thread = threading.Thread(target=self._fill, args=(found,), name="kubenode look", daemon=True)
        thread.start()
        thread.join(self._limit + found.patience)
        if thread.is_alive():
            self._hangs = thread
        return tuple(one.seen(found.answers, self._limit) for one in found.parts)

    def _fill(self, found: "_Looked") -> None:
        askers = [
            threading.Thread(target=self._asks, args=(found,), name="kubenode check", daemon=True)
            for _ in range(min(AT_ONCE, len(found.checks)))
        ]
        for thread in askers:
            thread.start()
        for part in found.parts:
            self._part(part)
        for thread in askers:
            thread.join()

    def _part(self, part: "_Part") -> None:
        try:
            if self._before is not None:
                self._before(part.probes)
            for probe in part.probes:
                self._one(part, probe)
        except Exception as error:  # it is raised where the look is waited for
            part.error = error
        part.is_done = True

    def _asks(self, found: "_Looked") -> None:
        """Ask one check after the other, as long as there are any that nobody asks."""
        while True:
            try:
                check = found.checks.popleft()
            except IndexError:
                return
            found.answers[check] = self._ask(check)

    def _one(self, found: "_Part", probe: Probe) -> None:
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

    def _ask(self, check: Check) -> CheckAnswer | CannotLook | None:
        """Ask; None is no answer, which is one of its own."""
        try:
            return self._answer(check)
        except (OSError, ValueError, http.client.HTTPException) as error:
            LOG.debug("event=no-answer check=%s error=%s", type(check).__name__, type(error).__name__)
            return None
        except Exception as error:
            return CannotLook(f"{type(check).__name__}: {error!r}")

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
    """What is gathered; a look that is given up on fills its own.

    Attributes:
        parts: what was asked for, each by itself.
        checks: those that nobody asks yet.
        answers: of those that were asked; None for one that has not answered in time.
        patience: seconds that all checks have together.
    """

    def __init__(self, looks: Sequence[Sequence[Probe]]) -> None:
        self.parts = tuple(_Part(probes) for probes in looks)
        checks = dict.fromkeys(probe for probes in looks for probe in probes if isinstance(probe, Check))
        self.checks = deque(checks)
        self.answers: dict[Check, CheckAnswer | CannotLook | None] = {}
        rounds = -(-len(checks) // AT_ONCE)
        self.patience = rounds * max((check.timeout for check in checks), default=0)


class _Part:
    """What is found for one of those who look at the host at the same time."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self.probes = probes
        self.checks = [probe for probe in dict.fromkeys(probes) if isinstance(probe, Check)]
        self.files: dict[str, bytes] = {}
        self.access: dict[str, Access] = {}
        self.units: dict[str, str] = {}
        self.enabled: dict[str, str] = {}
        self.packages: dict[str, str] = {}
        self.held: dict[str, bool] = {}
        self.artifacts: dict[str, str] = {}
        self.error: Exception | None = None
        self.is_done = False

    def seen(
        self, answers: Mapping[Check, CheckAnswer | CannotLook | None], limit: float
    ) -> Seen | CannotLook:
        """Give it for a driver, or why nobody can tell."""
        if not self.is_done or not all(check in answers for check in self.checks):
            return CannotLook(f"a look at this host has not ended after {limit:.0f} s")
        if self.error is not None:
            return CannotLook(str(self.error))
        given = {check: answers[check] for check in self.checks}
        unknown = next((one for one in given.values() if isinstance(one, CannotLook)), None)
        if unknown is not None:
            return unknown
        return Seen(
            files=self.files, access=self.access, units=self.units, enabled=self.enabled, packages=self.packages,
            held=self.held, artifacts=self.artifacts,
            answers={check: one for check, one in given.items() if isinstance(one, CheckAnswer)},
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
        return connection.getresponse().status
    finally:
        over.cancel()
        connection.close()


def _broken(connection: http.client.HTTPConnection) -> None:
    held: socket.socket | None = connection.sock
    if held is not None:
        with suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)
