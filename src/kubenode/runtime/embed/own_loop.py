"""An event loop of one's own, for hosts that have none.

It runs in a thread of its own while the caller waits. Ctrl-C is raised wherever the main thread happens to
be, in the middle of any line; in code that holds a lock it would leave it held. Here it can only meet the wait.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from kubenode.runtime.embed.errors import EngineMisused

T = TypeVar("T")


def in_own_loop(
    what: str, fix: str, work: Coroutine[Any, Any, T], stop: Callable[[], None], *, name: str
) -> T:
    """Run a coroutine to its end, as `asyncio.run` does, but for what that does to signals and the loop's policy.

    Args:
        what: was called, for the error.
        fix: what to write where a loop runs already.
        work: ends soon after `stop` was called.
        stop: is called at Ctrl-C, which is raised when the work has ended; a second one is raised at once.
        name: of the thread.

    Raises:
        EngineMisused: an event loop runs in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _Own(work, name).wait(stop)
    work.close()
    raise EngineMisused(
        f"{what} cannot wait here: an event loop runs in this thread, as in a notebook; fix: {fix}"
    )


class _Own(Generic[T]):
    """A coroutine in a loop in a thread."""

    def __init__(self, work: Coroutine[Any, Any, T], name: str) -> None:
        self._work = work
        self._over = False
        self._result: list[T] = []
        self._error: BaseException | None = None
        # A bare lock: it is held until the work is over, and whoever waits for it holds no other one.
        self._busy = threading.Lock()
        self._busy.acquire()
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=name, daemon=True)

    def wait(self, stop: Callable[[], None]) -> T:
        self._thread.start()
        try:
            self._busy.acquire()
        except KeyboardInterrupt:
            stop()
            if not self._over:
                self._busy.acquire()
            raise
        finally:
            if self._over:
                self._thread.join()  # it has nothing left to do
        if self._error is not None:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._looped())
        except BaseException as error:  # it is raised where it is waited for
            self._error = error
        self._over = True
        self._busy.release()

    def _looped(self) -> T:
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(self._work)
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
