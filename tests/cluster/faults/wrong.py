"""What goes wrong between a controller and its server: faults for the proxy, drawn by a seed."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from aiohttp import web

from tests.cluster.faults.judge import Entry
from tests.cluster.faults.plot import STORIES
from tests.cluster.faults.proxy import Asked, Fault, Lost, Proxy

WRITES: Final = {"import": 25, "hung": 25, "upgrade": 25, "outage": 80}
"""What each story has at least, also on a quiet machine, which writes less often; where nothing is wrong, it has up to half as many more."""

WHEN: Final = ("before", "after", "told")
"""Of a kill: before the server has the write, once it is done, once its answer was told."""


def story_of(asked: Asked) -> str:
    """Give the story that a write belongs to, by the names in it; empty when it is of all, as the ledger is."""
    return _story(asked.path, asked.body.decode(errors="replace") if asked.method == "POST" else "")


def story_in_log(entry: Entry) -> str:
    """Give the story that a write in the audit log belongs to."""
    return _story(f"/{entry.name}", json.dumps(entry.left) if entry.verb == "create" else "")


def _story(path: str, body: str) -> str:
    for story, names in STORIES.items():
        if any(f"/{name}" in path or f"-{name}" in path for name in names):
            return story
    for story, names in STORIES.items():
        if any(f'"{name}"' in body for name in names):
            return story
    return ""


class Striking(Fault):
    """Strikes every so many requests, and surely the first writes of each story, however few it has: each way once.

    Args:
        seed: of the draws.
        ways: in which a request may be struck.
        share: of the requests that are struck.
    """

    def __init__(self, seed: int, ways: Sequence[str], share: float) -> None:
        self.drawn = random.Random(seed)
        self._ways = ways
        self._share = share
        self.struck = Counter[tuple[str, str]]()
        """How often on which story, and in which way; what is of no single story has an empty one."""

    def missed(self) -> set[tuple[str, str]]:
        """Give each story, and the way in which none of its writes was struck."""
        return {(story, way) for story in STORIES for way in self._ways if not self.struck[story, way]}

    def draw(self, asked: Asked) -> str:
        """Give the way in which a request is struck, empty for most."""
        story = story_of(asked) if asked.writes else ""
        missing = [one for one in self._ways if story and not self.struck[story, one]]
        way = missing[0] if missing else self.by_chance()
        if way:
            self.struck[story, way] += 1
        return way

    def by_chance(self) -> str:
        """Draw a way, or none."""
        return self.drawn.choice(self._ways) if self.drawn.random() < self._share else ""

    def count(self, way: str) -> int:
        """Count what was struck in a way."""
        return sum(count for (_, one), count in self.struck.items() if one == way)


class Refusing(Striking):
    """Every so many requests one is answered 429, 500 or 503, and not done; watches, too."""

    REASONS: Final = {"429": "TooManyRequests", "500": "InternalError", "503": "ServiceUnavailable"}

    def __init__(self, seed: int) -> None:
        super().__init__(seed, tuple(self.REASONS), 0.2)

    async def before(self, asked: Asked) -> web.Response | None:
        """Refuse, or not."""
        way = self.draw(asked)
        if not way:
            return None
        code, reason = int(way), self.REASONS[way]
        headers = {"Retry-After": "1"} if code == 429 else {}
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code,
                "message": "the proxy refuses"}  # fmt: skip
        return web.Response(
            status=code, headers=headers, text=json.dumps(body), content_type="application/json"
        )


class Losing(Striking):
    """Every so many writes are done, and their answer is lost: the connection is reset instead."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, ("lost",), 0.3)

    async def after(self, asked: Asked, status: int) -> None:
        """Lose it, or not."""
        if asked.writes and status < 300 and self.draw(asked):
            raise Lost


class Breaking(Striking):
    """Requests are reset before they reach the server, or stand still until the client gives up: one of each story, and a few more."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, ("reset", "stalled"), 0.18)

    async def before(self, asked: Asked) -> web.Response | None:
        """Break it, or not."""
        way = self.draw(asked)
        if way == "stalled":
            await asyncio.Event().wait()
        if way:
            raise Lost
        return None

    def by_chance(self) -> str:
        """Draw: what stands still costs its client a time limit, so it is seldom."""
        drawn = self.drawn.random()
        if drawn < 0.03 and self.count("stalled") < 2 * len(STORIES):
            return "stalled"
        return "reset" if drawn < 0.18 else ""


class Killing(Fault):
    """Kills whoever leads around its writes, so often on each story: before the server has one, once it is done, or once it was told.

    One for all controllers: only one of them writes at a time. The points of a story are drawn, by a generator of its
    own, from the writes that it has at least, so every story gets all of its kills, from its beginning to its end.

    Args:
        seed: of all draws.
        kills: how many there are on each story.
        kill: kills the controller behind a proxy.
        writes: what each story has at least.
        story: gives the one that a write belongs to.
    """

    def __init__(
        self, seed: int, kills: int, kill: Callable[[Proxy], None], *,
        writes: Mapping[str, int] = WRITES, story: Callable[[Asked], str] = story_of,
    ) -> None:  # fmt: skip
        self._drawn = {name: random.Random(f"{name} {seed}") for name in writes}
        self._left = dict.fromkeys(writes, kills)
        self._writes = dict(writes)
        self._story = story
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
        self._when = self._draw(self._story(asked))
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
        story = self._story(self._struck)
        self._left[story] -= 1
        self.killed[story, self._when] += 1
        self._kill(self._struck.proxy)
        self._struck = None
