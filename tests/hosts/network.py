"""The network of the test hosts: a namespace of its own with one bridge, of which the machine sees nothing.

Lives here: what is told to the kernel by ioctls' heirs, `ip` and setns. A thread that is `inside` reaches the hosts
and whatever listens on their network, and so do the processes it starts; it does not reach what listens on the
machine's loopback. The namespace lasts while a `Network` is open or a process is in it, and no longer.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

GATEWAY: Final = "10.99.0.1"
"""The address of this side of the network, where the API server listens."""

PREFIX: Final = 24
BRIDGE: Final = "hosts"

_CLONE_NEWNET: Final = 0x40000000
_OURS: Final = "/proc/thread-self/ns/net"


class Network:
    """A network of up to 200 hosts, which reach each other and `GATEWAY`, and nothing else."""

    def __init__(self, namespace: int) -> None:
        """Hold a namespace by its file descriptor; call `create` instead."""
        self._namespace = namespace

    @classmethod
    def create(cls) -> Self:
        """Return a new network.

        Raises:
            OSError: this is not root.
        """
        outside = os.open(_OURS, os.O_RDONLY)
        try:
            _call("unshare", _CLONE_NEWNET)
            try:
                created = cls(os.open(_OURS, os.O_RDONLY))
                ip("link", "set", "lo", "up")
                ip("link", "add", BRIDGE, "type", "bridge")
                ip("address", "add", f"{GATEWAY}/{PREFIX}", "dev", BRIDGE)
                ip("link", "set", BRIDGE, "up")
            finally:
                _call("setns", outside, _CLONE_NEWNET)
        finally:
            os.close(outside)
        return created

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Put this thread, and what it starts, into the network while the block runs."""
        outside = os.open(_OURS, os.O_RDONLY)
        try:
            _call("setns", self._namespace, _CLONE_NEWNET)
            try:
                yield
            finally:
                _call("setns", outside, _CLONE_NEWNET)
        finally:
            os.close(outside)

    def address(self, number: int) -> str:
        """Return the address of the host with this number, from 1 on."""
        return GATEWAY.removesuffix("1") + str(10 + number)

    def cut(self, host: str) -> None:
        """Take the host from the bridge: its link stays up, and all it sends or is sent is lost."""
        with self.inside():
            ip("link", "set", port(host), "nomaster")

    def restore(self, host: str) -> None:
        """Undo `cut`."""
        with self.inside():
            ip("link", "set", port(host), "master", BRIDGE)

    def close(self) -> None:
        """Let go of the namespace."""
        os.close(self._namespace)


def port(host: str) -> str:
    """Return the name of the host's end on the bridge, as systemd-nspawn gives it."""
    return f"vb-{host}"


def ip(*arguments: str) -> None:
    """Run `ip` in the namespace that this thread is in.

    Raises:
        OSError: it failed; with what it said.
    """
    done = subprocess.run(("ip", *arguments), capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _call(name: str, *arguments: int) -> None:
    # Python has os.setns and os.unshare from 3.12 on.
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
