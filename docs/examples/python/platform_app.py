"""Stands for your program in b_embed.py: a calendar of change freezes, and what it serves."""

import asyncio
from datetime import datetime


class Calendar:
    def __init__(self) -> None:
        self.freezes: list[tuple[datetime, datetime]] = []  # from, until

    def frozen_until(self, now: datetime) -> datetime | None:
        return max((until for begin, until in self.freezes if begin <= now < until), default=None)


calendar = Calendar()
closing = asyncio.Event()


async def serve() -> None:
    """Serve until it is told to close."""
    await closing.wait()
