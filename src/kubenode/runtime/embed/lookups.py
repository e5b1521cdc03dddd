"""Looking something up on the server, in tasks, one a key: nobody waits for them, and who asked is told when one is done.

What cannot be looked up is looked up again after a while, and until then nothing is known. What is looked up, and when
once more, is the business of who asks.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

import attrs

from kubenode.core.errors import ApiError, Forbidden
from kubenode.runtime.store.installed import how_to_be_allowed, refusal

A = TypeVar("A")
LOG = logging.getLogger("kubenode.engine")
AGAIN: Final = 10.0
"""How long after a lookup that failed the next is made, seconds."""


@attrs.define
class Lookup(Generic[A]):
    """What is known under one key.

    Attributes:
        of: what it is about; about another thing nothing is known.
        found: the last answer.
        task: which looks it up, while one does.
        refused: which right it lacks to look, with the fix; empty when it lacks none.
    """

    of: str
    found: A | None = None
    task: "asyncio.Task[None] | None" = None
    refused: str = ""


class Lookups(Generic[A]):
    """Looks up, and remembers what it found last. For the thread of the loop.

    Args:
        stir: makes the engine decide about an object again, by its name.
        ended: is given each task that has ended, also one that failed.
        name: of the engine, for the tasks.
        again: after so long a lookup that failed is made again, seconds.
    """

    def __init__(
        self, *, stir: Callable[[str], None], ended: Callable[[asyncio.Task[None]], None], name: str, again: float
    ) -> None:  # fmt: skip
        self._stir = stir
        self._ended = ended
        self._name = name
        self._again = again
        self._known: dict[str, Lookup[A]] = {}

    @property
    def busy(self) -> bool:
        """Whether a lookup is under way."""
        return any(one.task is not None for one in self._known.values())

    def lost(self) -> tuple[str, ...]:
        """Say which rights are lacking to look, each once, with its fix."""
        return tuple(sorted({one.refused for one in self._known.values() if one.refused}))

    async def end(self) -> None:
        """Look up no more; what is under way is dropped."""
        tasks = {one.task for one in self._known.values() if one.task is not None}
        self._known.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _about(self, key: str, of: str) -> Lookup[A] | None:
        """Give what is known about this, and forget what is about another thing; with an empty `of` only that."""
        known = self._known.get(key)
        if known is not None and known.of != of:
            del self._known[key]
            if known.task is not None:
                known.task.cancel()
        return self._known.setdefault(key, Lookup(of)) if of else None

    def _begin(
        self, key: str, known: Lookup[A], call: Callable[[], Awaitable[A]], *, what: str, unknown: str
    ) -> None:
        """Look up, unless it is being done.

        Args:
            key: the name of the object to decide about when it is done.
            known: takes the answer.
            call: asks the server; its ApiError is logged, and it is called again.
            what: names the task.
            unknown: begins the line of the log.
        """
        if known.task is None:
            known.task = asyncio.get_running_loop().create_task(
                self._look(key, known, call, unknown), name=f"kubenode {self._name} {what}"
            )
            known.task.add_done_callback(self._ended)

    async def _look(self, key: str, known: Lookup[A], call: Callable[[], Awaitable[A]], unknown: str) -> None:
        while True:
            try:
                known.found = await call()
            except ApiError as error:
                self._failed(key, known, error, unknown)
                await asyncio.sleep(self._again)
                continue
            known.task, known.refused = None, ""
            self._stir(key)
            return

    def _failed(self, key: str, known: Lookup[A], error: ApiError, unknown: str) -> None:
        """Tell of it; a right that is lacking is told once, and to the engine, too."""
        refused = refusal(error) if isinstance(error, Forbidden) else ""
        level = logging.DEBUG if refused and refused == known.refused else logging.WARNING
        LOG.log(level, "%s error=%s: %s%s", unknown, type(error).__name__, error, how_to_be_allowed(error))
        if refused != known.refused:
            known.refused = refused
            self._stir(key)
