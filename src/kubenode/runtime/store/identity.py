"""Who we are to an API server: read from a configuration, and renewed before it ends or when it is refused.

What a configuration says is `client.py`'s; it may run a program, so it is read in a thread.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import attrs

from kubenode.core.errors import KubenodeError
from kubenode.runtime.store.client import Connection
from kubenode.runtime.threads import called

LOG = logging.getLogger("kubenode.store")

_RENEW_NS: Final = 60_000_000_000
"""How long an Authorization header is used before it is asked for again; client-go's time for token files."""
_AGAIN_NS: Final = 10_000_000_000
"""How long credentials that could not be renewed, or that did not help, are not asked for again."""


@attrs.frozen(kw_only=True, eq=False)
class Identity:
    """Where the server is and how we name ourselves, since when."""

    connection: Connection
    authorization: str
    since: int


class Identities:
    """The identity of one store, in turn.

    Args:
        load: reads the configuration; called in a thread.
        within: how long a renewal is waited for, seconds.
        elapsed: reads the monotonic clock, nanoseconds.
    """

    def __init__(self, load: Callable[[], Connection], within: float, elapsed: Callable[[], int]) -> None:
        self._load = load
        self._within = within
        self._elapsed = elapsed
        self._held: Identity | None = None
        self._renewing = asyncio.Lock()
        self._reading: asyncio.Task[Identity] | None = None
        self._not_before = 0

    async def open(self) -> None:
        """Read the first one, however long that takes: a person may have to log in.

        Raises:
            InvalidObjectError: there is no configuration, or it is wrong.
        """
        self._held = await self._read()

    def close(self) -> None:
        """Wait for no reading any more."""
        if self._reading is not None:
            self._reading.cancel()

    async def known(self, refused: Identity | None = None) -> Identity:
        """Give who we are; read anew when it was refused, its token renewed when it is not fresh."""
        async with self._renewing:
            held = self._held
            if held is None:
                raise RuntimeError("the store is used outside of its `async with`")
            is_refused = held is refused
            if self._elapsed() < (self._not_before if is_refused else held.since + _RENEW_NS):
                return held
            fresh = await self._renewed(None if is_refused else held.connection)
            self._not_before = self._elapsed() + _AGAIN_NS
            # What we have serves on, and for a while nobody waits for something better.
            held = fresh or attrs.evolve(held, since=self._elapsed() - _RENEW_NS + _AGAIN_NS)
            self._held = held
            return held

    async def _renewed(self, connection: Connection | None) -> Identity | None:
        """Read who we are, one reading at a time: a plugin that hangs holds one thread, however often it is asked."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(connection))
        reading = self._reading
        await asyncio.wait({reading}, timeout=self._within)
        if not reading.done():
            LOG.warning("event=credentials-not-renewed error=it takes too long")
            return None
        self._reading = None
        try:
            return reading.result()
        except KubenodeError as error:  # such as a kubeconfig that is being rewritten
            LOG.warning("event=credentials-not-renewed error=%s: %s", type(error).__name__, error)
            return None

    async def _read(self, connection: Connection | None = None) -> Identity:
        known = connection if connection is not None else await called("kubenode kubeconfig", self._load)
        authorization = await called("kubenode credentials", known.authorization)
        return Identity(connection=known, authorization=authorization, since=self._elapsed())
