"""Writes Events, behind the engine: it is never waited for, and what cannot be written is dropped and counted.

Where the right to write them is taken away, the last one of that namespace is kept and tried again: so it is noticed
when the right is there again, and the server is not asked for each of them meanwhile.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from kubenode.core.errors import (
    AlreadyExists,
    Forbidden,
    KubenodeError,
    ObjectNotFound,
    Retry,
    Unauthorized,
)
from kubenode.core.model import Now
from kubenode.runtime.clock import Clock
from kubenode.runtime.engine.loop import Decided, Done
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.events.correlate import Correlator, Write
from kubenode.runtime.events.notice import Listener, Notice
from kubenode.runtime.store.contract import MergePatch, Store
from kubenode.runtime.store.events import EVENT
from kubenode.runtime.store.installed import how_to_be_allowed, refusal

LOG = logging.getLogger("kubenode.events")
MOST_WAITING: Final = 1000
WRITE_LIMIT: Final = 10.0
"""Seconds that one write is given."""
LAST_WORDS: Final = 2.0
"""Seconds that what still waits at the end is given, all together."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


@attrs.define(kw_only=True)
class _Denied:
    """A namespace in which no Events may be written.

    Attributes:
        write: the last that was to be told there, which is tried again.
        text: what the server says, with the fix.
        pause: how long it is waited before that the next time, seconds.
        due: when that is, in `Now.elapsed`.
    """

    write: Write
    text: str
    pause: float
    due: int = 0

    def later(self, now: Now) -> None:
        """Leave the server alone for a while, each time longer."""
        self.due = now.elapsed + int(self.pause * 1e9)
        self.pause = min(self.pause * 2, LONGEST_PAUSE)


class Recorder:
    """Tells the server of what an engine did. Its methods are for the thread of the loop, and do not wait.

    Args:
        store: where Events are written.
        clock: for stamps and limits.
        identity: who tells.
        changed: is called when the right to tell was lost, or is there again.
    """

    def __init__(
        self, store: Store, clock: Clock, identity: str, *, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._store = store
        self._clock = clock
        self._changed = changed
        self._denied: dict[str, _Denied] = {}
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

    def lost(self) -> tuple[str, ...]:
        """Say where no Events may be written any more, with the fix."""
        return tuple(sorted(denied.text for denied in self._denied.values()))

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
                await self._idle()
        try:
            async with asyncio.timeout(LAST_WORDS):
                while self._waiting and await self._tell(self._waiting.popleft()):
                    continue
        except TimeoutError:
            pass
        self._counts["dropped"] += len(self._waiting) + len(self._denied)
        self._waiting.clear()

    async def _idle(self) -> None:
        """Wait for something to tell, and where that is not allowed, try again when it is time to."""
        first = min(self._denied.values(), key=lambda denied: denied.due, default=None)
        wait = None if first is None else max(0.0, (first.due - self._clock.now().elapsed) / 1e9)
        try:
            async with asyncio.timeout(wait):
                await self._stirred.wait()
        except TimeoutError:
            if first is not None:
                await self._try(first.write)

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
        now = self._clock.now()
        write = self._correlator.see(notice, now)
        if write is None:
            self._counts["limited"] += 1
            return True
        denied = self._denied.get(write.namespace)
        if denied is None:
            return await self._try(write)
        denied.write = write
        self._counts["dropped"] += 1  # the one before it
        return now.elapsed < denied.due or await self._try(write)

    async def _try(self, write: Write) -> bool:
        try:
            async with asyncio.timeout(WRITE_LIMIT):
                await self._write(write)
        except (KubenodeError, TimeoutError) as error:
            level = logging.DEBUG if self._failed else logging.WARNING
            LOG.log(level, "event=event-dropped name=%s error=%s: %s%s", write.name, type(error).__name__, error, how_to_be_allowed(error))  # fmt: skip
            self._failed = True
            if isinstance(error, Forbidden) and not isinstance(error, Unauthorized):
                self._deny(write, error)
                return True
            denied = self._denied.get(write.namespace)
            if denied is None:
                self._counts["dropped"] += 1
            else:
                denied.later(self._clock.now())
            return isinstance(error, KubenodeError) and error.retry is not Retry.BACKOFF
        self._counts["written"] += 1
        self._failed = False
        if self._denied.pop(write.namespace, None) is not None:
            self._changed()
        return True

    def _deny(self, write: Write, error: Forbidden) -> None:
        """Keep what was refused, to be tried again."""
        text = refusal(error)
        denied = self._denied.get(write.namespace)
        told = "" if denied is None else denied.text
        if denied is None:
            denied = self._denied[write.namespace] = _Denied(write=write, text=text, pause=FIRST_PAUSE)
        denied.write, denied.text = write, text
        denied.later(self._clock.now())
        if text != told:
            self._changed()

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
