"""A log that is read: what every source gives, whatever it reads."""

import asyncio
from typing import Protocol

import attrs

from kubenode.core.detect.record import LogRecord


@attrs.frozen(kw_only=True)
class Batch:
    """What one reading gave.

    Attributes:
        records: numbered within the boot, the oldest first; perhaps with some that were read before.
        lost: lines that were there and that nobody has numbered.
        position: where the next reading goes on, in the source's own words; empty where the numbers tell it.
        blind: why nothing can be read; empty while it can.
    """

    records: tuple[LogRecord, ...] = ()
    lost: int = 0
    position: str = ""
    blind: str = ""


class Source(Protocol):
    """A log of this host."""

    def gave(self, position: str) -> bool:
        """Tell whether a position is one of this source's, as far as that can be seen: an earlier version kept them without a name."""

    def begin(self, position: str, sequence: int) -> None:
        """Go on after what was dealt with: a position of an earlier Batch in this boot, empty without one, and a number."""

    async def read(self, most: int, within: float) -> Batch:
        """Wait until there is something to read, at most `within` seconds; give it, at most `most` lines of it.

        It never raises for what is in the log, or is wrong with it.
        """

    def close(self) -> None:
        """Let go of all that is open."""


async def unread(name: object, error: OSError, within: float) -> Batch:
    """Give why a log cannot be read, after the time in which it is not asked again."""
    await asyncio.sleep(within)
    return Batch(blind=f"{name} cannot be read: {error.strerror or error}")


async def readable(file: int, within: float) -> bool:
    """Wait until a file can be read, or is at its end; tell whether that was within so many seconds.

    Raises:
        OSError: it is none that can be waited for.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(file, tell)
    try:
        async with asyncio.timeout(within):
            await ready
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(file)
    return True
