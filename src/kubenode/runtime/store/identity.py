"""Who we are to an API server: read from a configuration, and renewed before it ends or when it is refused.

What a configuration says is `client.py`'s; it may run a program, so it is read in a thread.
"""

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Final

import attrs

from kubenode.core.errors import InvalidObjectError, KubenodeError, Problem
from kubenode.runtime.store.client import Connection
from kubenode.runtime.threads import called

LOG = logging.getLogger("kubenode.store")

_RENEW_NS: Final = 60_000_000_000
"""How long an Authorization header is used before it is asked for again; client-go's time for token files."""
_AGAIN_NS: Final = 10_000_000_000
"""How long credentials that could not be renewed, or that did not help, are not asked for again."""
_SLOW_S: Final = 5.0
"""How often it is told that the first credentials are waited for."""
_ALONE_S: Final = 60.0
"""How long they are waited for where nobody can log in."""


def _is_a_person_there() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


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
        """Read the first one, however long that takes where a person may have to log in; it is told that it takes long.

        Raises:
            InvalidObjectError: there is no configuration, it is wrong, or, where no person is, it takes too long.
        """
        reading = asyncio.create_task(self._read())
        try:
            self._held = await self._awaited(reading)
        finally:
            reading.cancel()

    async def _awaited(self, reading: "asyncio.Task[Identity]") -> Identity:
        waited = 0.0
        while not (await asyncio.wait({reading}, timeout=_SLOW_S))[0]:
            waited += _SLOW_S
            LOG.warning("event=credentials-awaited seconds=%.0f: the credential plugin has not ended", waited)
            if waited >= _ALONE_S and not _is_a_person_there():
                what = f"the credential plugin has not ended in {waited:.0f} s"
                fix = "run it by hand and see what it waits for; it may want a terminal, which is not there"
                raise InvalidObjectError((Problem(where="kubeconfig", what=what, fix=fix),))
        return reading.result()

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
