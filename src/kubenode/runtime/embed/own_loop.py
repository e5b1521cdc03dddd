"""An event loop of one's own, for hosts that have none."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from kubenode.runtime.embed.errors import EngineMisused

T = TypeVar("T")


def in_own_loop(what: str, fix: str, work: Coroutine[Any, Any, T], stop: Callable[[], None]) -> T:
    """Run a coroutine to its end, as `asyncio.run` does, but for what that does to signals and the loop's policy.

    Args:
        what: was called, for the error.
        fix: what to write where a loop runs already.
        work: ends soon after `stop` was called.
        stop: is called at Ctrl-C, which is then raised.

    Raises:
        EngineMisused: an event loop runs in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
    else:
        work.close()
        text = f"{what} cannot wait here: an event loop runs in this thread, as in a notebook; fix: {fix}"
        raise EngineMisused(text)
    try:
        main = loop.create_task(work)
        try:
            return loop.run_until_complete(main)
        except KeyboardInterrupt:
            stop()
            loop.run_until_complete(asyncio.wait({main}))
            raise
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
