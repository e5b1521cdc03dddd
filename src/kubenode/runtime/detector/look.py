"""What a look at the host tells beside its logs; each part by itself, since one that cannot be asked hides no other."""

import http.client
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from kubenode.core.detect.facts import SERVICES, Facts, Service, ailment
from kubenode.core.errors import KubenodeError

LOG = logging.getLogger("kubenode.agent")

COUNTER: Final = "proc/sys/kernel/hung_task_detect_count"
MOUNTS: Final = "proc/self/mountinfo"
PATIENCE: Final = 5.0
"""Seconds that a service has to answer."""
_GREETING: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""How a client of HTTP/2, and so of gRPC, begins: the preface and its settings, of which there are none."""
_FRAME: Final = 9
_SETTINGS: Final = 4
_OPTIONS_BEFORE: Final = 6
_EMERGENCY: Final = "emergency_ro"


class HostLook:
    """Looks at one host.

    Args:
        root: where its files are.
        state: gives the state of a unit, None when there is none; raises KubenodeError when nobody can tell.
        services: whose health is looked at.
    """

    def __init__(
        self, root: Path, state: Callable[[str], str | None], services: tuple[Service, ...] = SERVICES
    ) -> None:
        self._root = root
        self._state = state
        self._services = services

    def __call__(self) -> Facts:
        """Look; it may wait for what hangs."""
        return Facts(
            hung=hung(self._root / COUNTER),
            readonly=readonly(self._root / MOUNTS, self._root / "sys/dev/block"),
            ailing=self._ailing(),
        )

    def _ailing(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for service in self._services:
            if answers(service):  # then systemd need not be asked, which costs a process
                found[service.condition] = ""
                continue
            try:
                found[service.condition] = ailment(service, self._state(service.unit), answers=False)
            except KubenodeError as error:
                LOG.debug("event=not-looked unit=%s error=%s", service.unit, error)
        return found


def hung(path: Path) -> int | None:
    """Give the kernel's counter of hung tasks; None where it has none."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def readonly(mounts: Path, blocks: Path) -> frozenset[str] | None:
    """Give the kernel's names of the devices whose file system cannot be written; None when nobody can tell.

    The file system's own state, not that of one of its mounts, which may be read-only for a container.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return frozenset(_name(line.split(" ", 3)[2], blocks) for line in lines if _is_readonly(line))


def _is_readonly(line: str) -> bool:
    before, _, after = line.partition(" - ")
    if not after or len(before.split(" ")) < _OPTIONS_BEFORE:
        return False
    options = after.rsplit(" ", 1)[-1].split(",")
    return "ro" in options or _EMERGENCY in options


def _name(number: str, blocks: Path) -> str:
    """Give the name of a device by its numbers, as in 8:1; the numbers where it has none."""
    try:
        return (blocks / number).readlink().name
    except OSError:
        return number


def answers(service: Service) -> bool:
    """Tell whether a service answers in time."""
    try:
        return _status(service.url) == http.client.OK if service.url else _greets(service.socket)
    except (OSError, http.client.HTTPException):
        return False


def _status(url: str) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
    try:
        connection.request("GET", parts.path, headers={"User-Agent": "kubenode"})
        return connection.getresponse().status
    finally:
        connection.close()


def _greets(path: str) -> bool:
    """Tell whether a server of gRPC answers a greeting. To be connected says nothing: the kernel does that for one that hangs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PATIENCE)
        probe.connect(path)
        probe.sendall(_GREETING)
        head = b""
        while len(head) < _FRAME and (more := probe.recv(_FRAME - len(head))):
            head += more
    return len(head) == _FRAME and head[3] == _SETTINGS
