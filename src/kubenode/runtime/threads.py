"""Own, bounded, daemon threads for what blocks: reviewers, sinks, the reading of credentials.

Not `asyncio.to_thread`: its threads belong to the host's loop, and a call that hangs keeps the host's
`asyncio.run`, or its interpreter, from ending. These end when they are closed. A call that never returned
is left behind in its thread, and named.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

R = TypeVar("R")


async def called(name: str, call: Callable[[], R]) -> R:
    """Call something that blocks, in a daemon thread of its own, and give its answer.

    A caller that is cancelled goes on at once; the thread ends when the call does.

    Args:
        name: of the thread.
        call: raises what it likes, which is raised here.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[R] = loop.create_future()

    def settle(result: R | None, error: BaseException | None) -> None:
        if answer.done():  # nobody waits any more
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type]  # it is an R when there is no error

    def run() -> None:
        result: R | None = None
        error: BaseException | None = None
        try:
            result = call()
        except StopIteration as raised:  # no Future can hold one
            error = RuntimeError(f"{name} raised {raised!r}")
        except BaseException as raised:  # it is raised where it is waited for
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        return await answer
    finally:
        if answer.done() and not answer.cancelled():
            thread.join()  # it has nothing left to do


class Workers:
    """A few daemon threads that do one call after another. None is there before the first call.

    Args:
        name: of the threads, with a number.
        threads: most of them.
        linger: seconds that a thread which was idle lets more calls come; waking for each of them costs more than
            many a call, and what is done in a row is done in warm caches.
    """

    def __init__(self, name: str, *, threads: int = 1, linger: float = 0) -> None:
        self._name = name
        self._linger = linger
        self._most = threads
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()
        self._changed = threading.Condition()
        self._threads: dict[threading.Thread, str] = {}
        self._idle = 0
        self._closing = False

    def submit(self, what: str, call: Callable[[], None]) -> None:
        """Let a thread do a call, after those submitted before; after `close`, do nothing.

        Args:
            what: names the call, if it never returns.
            call: must not raise.
        """
        with self._changed:
            if self._closing:
                return
            self._waiting.append((what, call))
            if self._idle:
                self._changed.notify()
            elif len(self._threads) < self._most:
                name = f"{self._name} {len(self._threads) + 1}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._threads[thread] = ""
                thread.start()

    @property
    def waiting(self) -> int:
        """How many calls have not begun."""
        return len(self._waiting)

    def _work(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                self._threads[me] = ""
                if not self._waiting:
                    self._idle += 1
                    while not self._waiting and not self._closing:
                        self._changed.wait()
                    self._idle -= 1
                    if self._linger and not self._closing:
                        self._changed.wait(self._linger)
                if not self._waiting:
                    return
                self._threads[me], call = self._waiting.popleft()
            call()

    def end(self, *, drop: bool) -> None:
        """Take nothing more; do what waits, or drop it; then let the threads end."""
        with self._changed:
            self._closing = True
            if drop:
                self._waiting.clear()
            self._changed.notify_all()

    def alive(self) -> tuple[str, ...]:
        """Name the calls that are under way in threads that have not ended."""
        return tuple(what or self._name for thread, what in self._threads.items() if thread.is_alive())


async def ended(workers: Iterable[Workers], *, within: timedelta) -> tuple[str, ...]:
    """Wait until the threads of some workers have ended, without blocking the loop.

    Returns:
        The calls that have not returned; each is left behind in a daemon thread.
    """
    some = tuple(workers)
    loop = asyncio.get_running_loop()
    give_up = loop.time() + within.total_seconds()
    pause = 0.001
    while (left := [what for one in some for what in one.alive()]) and loop.time() < give_up:
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.05)
    return tuple(left)
