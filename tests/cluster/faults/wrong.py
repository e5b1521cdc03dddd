"""What goes wrong between a controller and its server: faults for the proxy, drawn by a seed."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Final

from aiohttp import web

from tests.cluster.faults.plot import STORIES
from tests.cluster.faults.proxy import Asked, Fault, Lost, Proxy

PATIENCE: Final = 6
"""A kill that waits for one story's writes takes any write after so many others."""


def story_of(asked: Asked) -> str:
    """Give the story that a write belongs to, by the names in it; empty when it is of all, as the ledger is."""
    for story, names in STORIES.items():
        if any(f"/{name}" in asked.path or f"-{name}" in asked.path for name in names):
            return story
    body = asked.body.decode(errors="replace")
    if asked.method == "POST":
        for story, names in STORIES.items():
            if any(f'"{name}"' in body for name in names):
                return story
    return ""


class Refusing(Fault):
    """Every so many requests one is answered 429, 500 or 503, and not done; watches, too."""

    def __init__(self, seed: int, share: float = 0.2) -> None:
        self._drawn = random.Random(seed)
        self._share = share
        self.said = Counter[int]()

    async def before(self, asked: Asked) -> web.Response | None:
        """Refuse, or not."""
        if self._drawn.random() > self._share:
            return None
        code, reason = self._drawn.choice(
            [(429, "TooManyRequests"), (500, "InternalError"), (503, "ServiceUnavailable")]
        )
        self.said[code] += 1
        headers = {"Retry-After": "1"} if code == 429 else {}
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code,
                "message": "the proxy refuses"}  # fmt: skip
        return web.Response(
            status=code, headers=headers, text=json.dumps(body), content_type="application/json"
        )


class Losing(Fault):
    """Every so many writes are done, and their answer is lost: the connection is reset instead."""

    def __init__(self, seed: int, share: float = 0.3) -> None:
        self._drawn = random.Random(seed)
        self._share = share
        self.lost = Counter[str]()

    async def after(self, asked: Asked, status: int) -> None:
        """Lose it, or not."""
        if asked.writes and status < 300 and self._drawn.random() < self._share:
            self.lost[story_of(asked)] += 1
            raise Lost


class Breaking(Fault):
    """Requests are reset before they reach the server or stand still until the client gives up."""

    def __init__(self, seed: int, share: float = 0.15) -> None:
        self._drawn = random.Random(seed)
        self._share = share
        self.broken = Counter[str]()

    async def before(self, asked: Asked) -> web.Response | None:
        """Break it, or not."""
        drawn = self._drawn.random()
        if drawn < self._share:
            self.broken["reset"] += 1
            raise Lost
        if drawn < self._share * 1.2 and self.broken["stalled"] < 6:
            self.broken["stalled"] += 1
            await asyncio.Event().wait()
        return None


class Killing(Fault):
    """Kills whoever leads around one of its writes: before the server has it, once it is done, or once it was told.

    One for all controllers: only one of them writes at a time.

    The stories take turns: a kill waits for a write of the next one's, and takes any after some others.
    """

    def __init__(self, seed: int, kills: int, kill: Callable[[Proxy], None]) -> None:
        self._drawn = random.Random(seed)
        self._left = kills
        self._kill = kill
        self._stories = list(STORIES)
        self.killed = Counter[tuple[str, str]]()
        self._draw()

    def _draw(self) -> None:
        self._stories.append(self._stories.pop(0))
        self._writes = self._drawn.randrange(3)
        self._others = 0
        self._when = self._drawn.choice(["before", "after", "told"])
        self._struck: Asked | None = None

    @property
    def left(self) -> int:
        """How many kills are still to come."""
        return self._left

    async def before(self, asked: Asked) -> web.Response | None:
        """Kill before the write, or mark it."""
        if self._left == 0 or self._struck is not None or not asked.writes:
            return None
        self._others += 1
        if story_of(asked) == self._stories[0]:
            self._writes -= 1
        if self._writes >= 0 and self._others < PATIENCE:
            return None
        self._struck = asked
        if self._when == "before":
            self._strike(asked)
            raise Lost
        return None

    async def after(self, asked: Asked, status: int) -> None:
        """Kill after the write."""
        if asked is not self._struck:
            return
        if self._when == "after":
            self._strike(asked)
            raise Lost
        # The answer goes first.
        asyncio.get_running_loop().call_later(0.002, self._strike, asked)

    def _strike(self, asked: Asked) -> None:
        self._left -= 1
        self.killed[story_of(asked), self._when] += 1
        self._kill(asked.proxy)
        self._draw()
