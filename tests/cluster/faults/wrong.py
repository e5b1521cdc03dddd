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

WRITES: Final = {"import": 25, "hung": 25, "upgrade": 25, "outage": 80}
"""What each story has at least, also on a quiet machine, which writes less often; where nothing is wrong, it has up to half as many more."""

WHEN: Final = ("before", "after", "told")
"""Of a kill: before the server has the write, once it is done, once its answer was told."""


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
    """Kills whoever leads around its writes, so often on each story: before the server has one, once it is done, or once it was told.

    One for all controllers: only one of them writes at a time. The points of a story are drawn, by a generator of its
    own, from the writes that it has at least, so every story gets all of its kills, from its beginning to its end.

    Args:
        seed: of all draws.
        kills: how many there are on each story.
        kill: kills the controller behind a proxy.
    """

    def __init__(self, seed: int, kills: int, kill: Callable[[Proxy], None]) -> None:
        self._drawn = {story: random.Random(f"{story} {seed}") for story in STORIES}
        self._left = dict.fromkeys(STORIES, kills)
        self._writes = dict(WRITES)
        self._kill = kill
        self._struck: Asked | None = None
        self._when = ""
        self.killed = Counter[tuple[str, str]]()
        """How often it was on which story, and when."""

    def of(self, story: str) -> int:
        """How many kills a story has had."""
        return sum(count for (one, _), count in self.killed.items() if one == story)

    async def before(self, asked: Asked) -> web.Response | None:
        """Kill before the write, or mark it."""
        if not asked.writes:
            return None
        if self._struck is not None:  # what comes behind it is lost with its process
            await asyncio.Event().wait()
        self._when = self._draw(story_of(asked))
        if self._when:
            self._struck = asked
        if self._when == "before":
            self._strike()
            raise Lost
        return None

    async def after(self, asked: Asked, status: int) -> None:
        """Kill after the write."""
        if asked is not self._struck:
            return
        if self._when == "after":
            self._strike()
            raise Lost
        # The answer goes first.
        asyncio.get_running_loop().call_later(0.002, self._strike)

    def _draw(self, story: str) -> str:
        """Draw what becomes of a write: when to kill, or empty; so many of the writes that are left as there are kills left."""
        left = self._left.get(story, 0)
        drawn = self._drawn.get(story)
        if not left or drawn is None:
            return ""
        strikes = drawn.random() * max(self._writes[story], left) < left
        when = drawn.choice(WHEN) if strikes else ""
        if when != "before":
            self._writes[story] -= 1
        return when

    def _strike(self) -> None:
        assert self._struck is not None
        story = story_of(self._struck)
        self._left[story] -= 1
        self.killed[story, self._when] += 1
        self._kill(self._struck.proxy)
        self._struck = None
