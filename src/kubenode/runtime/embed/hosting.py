"""The block of a host that an engine runs in: cancelled once when the engine fails, and never by anything else."""

import asyncio
from collections.abc import Callable
from typing import Any


class Hosting:
    """One block. Entered and left in the same task."""

    def __init__(self) -> None:
        self._host: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._cancelled = False

    def enter(self) -> None:
        """Note whose block it is."""
        self._host = asyncio.current_task()
        self._cancelling = self._host.cancelling() if self._host is not None else 0

    def cancel(self, why: str) -> None:
        """Cancel the block, for it runs on something that has failed."""
        if self._host is not None:
            # A task that is over, as the cell that started the engine, takes no cancellation.
            self._cancelled = self._host.cancel(why)

    async def finished(
        self, shutting: asyncio.Task[None], hurry: Callable[[], object], *, told: bool
    ) -> None:
        """Wait until all has ended, whoever cancels the host meanwhile; a cancellation makes it hurry.

        Args:
            shutting: what ends it.
            hurry: makes it end sooner.
            told: the block has been cancelled: that of ours has been delivered, if there was one.
        """
        interrupted: asyncio.CancelledError | None = None
        while not shutting.done():
            try:
                await asyncio.wait({shutting})
            except asyncio.CancelledError as error:
                if self._cancelled and not told:
                    told = True
                    continue
                interrupted = error
                hurry()
        shutting.result()
        if interrupted is not None:
            self.uncancelled()
            raise interrupted

    def uncancelled(self) -> bool:
        """Take our cancellation of the host back; tell whether it was the only one."""
        if not self._cancelled or self._host is None:
            return False
        self._cancelled = False
        return self._host.uncancel() <= self._cancelling
