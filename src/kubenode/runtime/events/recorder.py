"""Writes Events, behind the engine: it is never waited for, and what cannot be written is dropped and counted."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

from kubenode.core.errors import AlreadyExists, KubenodeError, ObjectNotFound, Retry
from kubenode.runtime.clock import Clock
from kubenode.runtime.engine.loop import Decided, Done
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.events.correlate import Correlator, Write
from kubenode.runtime.events.notice import Listener, Notice
from kubenode.runtime.store.contract import MergePatch, Store
from kubenode.runtime.store.events import EVENT

LOG = logging.getLogger("kubenode.events")
MOST_WAITING: Final = 1000
WRITE_LIMIT: Final = 10.0
"""Seconds that one write is given."""
LAST_WORDS: Final = 2.0
"""Seconds that what still waits at the end is given, all together."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


class Recorder:
    """Tells the server of what an engine did. Its methods are for the thread of the loop, and do not wait.

    Args:
        store: where Events are written.
        clock: for stamps and limits.
        identity: who tells.
    """

    def __init__(self, store: Store, clock: Clock, identity: str) -> None:
        self._store = store
        self._clock = clock
        self._listener = Listener()
        self._correlator = Correlator(identity)
        self._pending: dict[Key, tuple[Notice, ...]] = {}
        self._waiting: deque[Notice] = deque()
        self._stirred = asyncio.Event()
        self._ending = False
        self._counts: Counter[str] = Counter()
        self._failed = False

    @property
    def counts(self) -> Mapping[str, int]:
        """Give what became of notices: `written`, `limited` (too many), `dropped` (the server did not take it, or too many wait)."""
        return dict(self._counts)

    def decided(self, decided: Decided) -> None:
        """Hear a decision; what it brings about is told when its acts are done."""
        try:
            notices = self._listener.hear(decided)
        except Exception as error:  # a bug here must not keep what was decided from being done
            LOG.critical("event=bug key=%s error=%r", decided.key, error, exc_info=error)
            self._counts["dropped"] += 1
            return
        if decided.acts:
            self._pending[decided.key] = notices
        else:
            self._pending.pop(decided.key, None)
            self._put(notices)

    def say(self, notice: Notice) -> None:
        """Tell what no decision brings about."""
        self._put((notice,))

    def done(self, done: Done) -> None:
        """Hear how acts ended: what failed was not so, and is decided again."""
        notices = self._pending.pop(done.key, ())
        if done.error is None:
            self._put(notices)

    def _put(self, notices: tuple[Notice, ...]) -> None:
        for notice in notices:
            if len(self._waiting) >= MOST_WAITING:
                self._counts["dropped"] += 1
            else:
                self._waiting.append(notice)
                self._stirred.set()

    def end(self) -> None:
        """Write what still waits, for a short time, and no more."""
        self._ending = True
        self._stirred.set()

    async def run(self) -> None:
        """Write until `end`."""
        pause = FIRST_PAUSE
        while not self._ending:
            self._stirred.clear()
            if self._waiting:
                pause = FIRST_PAUSE if await self._tell(self._waiting.popleft()) else await self._rest(pause)
            else:
                await self._stirred.wait()
        try:
            async with asyncio.timeout(LAST_WORDS):
                while self._waiting and await self._tell(self._waiting.popleft()):
                    continue
        except TimeoutError:
            pass
        self._counts["dropped"] += len(self._waiting)
        self._waiting.clear()

    async def _rest(self, pause: float) -> float:
        """Leave a server alone that is away; give how long to leave it alone the next time."""
        if not self._ending:
            try:
                async with asyncio.timeout(pause):
                    while not self._ending:
                        await self._stirred.wait()
                        self._stirred.clear()
            except TimeoutError:
                pass
        return min(pause * 2, LONGEST_PAUSE)

    async def _tell(self, notice: Notice) -> bool:
        """Write one; False when the server is away, or asks for rest."""
        write = self._correlator.see(notice, self._clock.now())
        if write is None:
            self._counts["limited"] += 1
            return True
        try:
            async with asyncio.timeout(WRITE_LIMIT):
                await self._write(write)
        except (KubenodeError, TimeoutError) as error:
            self._counts["dropped"] += 1
            level = logging.DEBUG if self._failed else logging.WARNING
            LOG.log(level, "event=event-dropped name=%s error=%s: %s", write.name, type(error).__name__, error)  # fmt: skip
            self._failed = True
            return isinstance(error, KubenodeError) and error.retry is not Retry.BACKOFF
        self._counts["written"] += 1
        self._failed = False
        return True

    async def _write(self, write: Write) -> None:
        home = EVENT.within(write.namespace)
        if write.stands:
            try:
                await self._store.patch(home, write.name, MergePatch(write.change))
            except ObjectNotFound:
                self._correlator.gone(write)
            else:
                return
        try:
            await self._store.create(home, write.body)
        except AlreadyExists:  # the answer of an earlier try was lost
            await self._store.patch(home, write.name, MergePatch(write.change))
        self._correlator.written(write)
