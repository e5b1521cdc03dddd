"""Connections to an API server: who gets one, and how often one is tried while the server does not answer.

A client has a dozen watches and as many calls. When a server goes away they all lose their connection together, and each
would try again on its own. Here they take turns instead: after a failure one at a time tries, twice a second at
most, until one is through; then all are let in.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from kubenode.core.model.quantity import nanoseconds
from kubenode.runtime.store.fence import TermOver, check_fence

if TYPE_CHECKING:
    from kubenode.runtime.store.transport import Limits, Timing

_FAILS: Final = (aiohttp.ClientError, OSError)
_KEPT_S: Final = 60
"""How long a connection is kept idle, less than the 90 s of the server: a handshake costs as much as three calls."""
_END_S: Final = 0.05
"""How long the other side may take to end TLS. A half-open connection never does, and asyncio would keep it for 30 s."""


class Connector(aiohttp.TCPConnector):
    """Connections, of which a write gets one only while its term lasts: also when the handshake outlived it."""

    def __init__(self, limits: "Limits", timing: "Timing") -> None:
        # Our places are the limit of calls; a limit of connections would make calls wait for watches.
        super().__init__(limit=0, keepalive_timeout=_KEPT_S)
        self._ssl_shutdown_timeout = _END_S  # to give it as an argument is deprecated
        self._every = nanoseconds(limits.reconnect)
        self._timing = timing
        self._is_doubted = False
        self._failed: int | None = None
        self._turn = asyncio.Lock()

    async def close(self, *, abort_ssl: bool = True) -> None:
        """End all connections at once."""
        await super().close(abort_ssl=abort_ssl)

    def doubt(self) -> None:
        """Be told that something broke on the way: the next connection is tried alone."""
        self._is_doubted = True

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        """Give a connection. Raises TermOver."""
        connection = await super().connect(req, traces, timeout)
        if req.method != "GET":
            try:
                check_fence()
            except TermOver:
                connection.release()
                raise
        return connection

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        if not self._in_doubt():
            return await self._try(req, traces, timeout)
        async with self._turn:
            # It may have been somebody's turn meanwhile, who got through.
            if self._in_doubt():
                await self._pause()
                return await self._try(req, traces, timeout)
        return await self._try(req, traces, timeout)

    def _in_doubt(self) -> bool:
        """Look anew: to a type checker an attribute is, after a wait, what it was before."""
        return self._is_doubted

    async def _pause(self) -> None:
        """Wait until the last try, if it failed, was long enough ago."""
        now = self._timing.clock.now().elapsed
        if self._failed is not None and now < self._failed + self._every:
            await self._timing.sleep((self._failed + self._every - now) / 1e9)

    async def _try(
        self, req: aiohttp.ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        try:
            made = await super()._create_connection(req, traces, timeout)
        except _FAILS:
            # Its end, not its beginning: what was long on the way would come to the server together with the next.
            self._is_doubted, self._failed = True, self._timing.clock.now().elapsed
            raise
        except asyncio.CancelledError:  # the server may have seen it all the same
            self._failed = self._timing.clock.now().elapsed
            raise
        self._is_doubted, self._failed = False, None
        return made
