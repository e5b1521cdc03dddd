"""The host's own address as its API server sees it: what components may have in their parameters.

To find it a name server may have to be asked, which takes its time, and where the network is away there is none. The one that was
found last stands for it then, as what was last wanted does, also after a start.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from kubenode.core.errors import KubenodeError
from kubenode.runtime.agent.kept import KeptStore
from kubenode.runtime.threads import called

LOG = logging.getLogger("kubenode.agent")

WITHIN: Final = 5.0
"""Seconds in which whoever decides waits for it at a start."""
AGAIN: Final = 10.0
"""Seconds after which one that is not known is looked for again."""


def own_address(host: str, port: int) -> str:
    """Give the address from which this host reaches another; empty when it does not. Nothing is sent."""
    for family, *_, address in _resolved(host, port):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(address)
                return str(probe.getsockname()[0])
            except OSError:
                continue
    return ""


def _resolved(
    host: str, port: int
) -> list[tuple[socket.AddressFamily, int, int, str, tuple[str | int, ...]]]:
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM))  # type: ignore[arg-type]  # of IP only
    except OSError:
        return []


class Address:
    """Where the host is.

    Args:
        server: gives host and port of the API server.
        told: is told when it is another one.

    Attributes:
        now: the address; empty while none is known.
    """

    def __init__(self, server: Callable[[], tuple[str, int]], told: Callable[[], None]) -> None:
        self._server = server
        self._told = told
        self._asked = asyncio.Event()
        self.now = ""

    async def known(self) -> None:
        """Wait until it was looked for once, not for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHIN):
                await self._asked.wait()

    async def follow(self, kept: KeptStore, every: float) -> None:
        """Look for it at once and every so many seconds, until cancelled; keep it."""
        self.now = kept.address
        while True:
            found = await called("kubenode address", self._found)
            if found and found != self.now:
                LOG.info("event=address address=%s", found)
                self.now = found
                kept.note_address(found)
                self._told()
            self._asked.set()
            await asyncio.sleep(every if self.now else min(every, AGAIN))

    def _found(self) -> str:
        try:
            return own_address(*self._server())
        except KubenodeError as error:  # the credentials cannot be read just now
            LOG.warning("event=address-not-found error=%s", error)
            return ""
