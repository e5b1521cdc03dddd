"""What runs on the Nodes that an embedded engine drains: looked at in tasks, one a Node, and nobody waits for them.

While a drain goes on its Node is looked at again when the last look is too old to act on; the answer stirs the engine,
which then decides anew. What cannot be listed is asked for again, and until then nothing is evicted.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import attrs

from kubenode.core.errors import ApiError
from kubenode.core.model import Now
from kubenode.core.node.drain import LOOK
from kubenode.core.node.workload import Workload
from kubenode.runtime.clock import Clock
from kubenode.runtime.controller.workloads import look
from kubenode.runtime.store.contract import Store

LOG = logging.getLogger("kubenode.engine")
LOOK_AGAIN: Final = 10.0
"""How long after a look that failed the next is made, seconds."""


@attrs.define
class _Looking:
    node: str
    found: Workload | None = None
    task: "asyncio.Task[None] | None" = None


class Workloads:
    """Looks, and remembers what it saw last. For the thread of the loop.

    Args:
        store: is asked.
        clock: the engine's.
        stir: makes the engine decide about a machine again, by its name.
        ended: is given each task that has ended, also one that failed.
        name: of the engine, for the tasks.
        again: after so long a look that failed is made again, seconds.
    """

    def __init__(
        self, store: Store, *, clock: Clock, stir: Callable[[str], None], ended: Callable[[asyncio.Task[None]], None],
        name: str, again: float = LOOK_AGAIN,
    ) -> None:  # fmt: skip
        self._store = store
        self._clock = clock
        self._stir = stir
        self._ended = ended
        self._name = name
        self._again = again
        self._known: dict[str, _Looking] = {}

    def __call__(self, key: str, node: str, now: Now) -> Workload | None:
        """Give the last look at a Node, and look again if it is too old; without a name, forget."""
        known = self._known.get(key)
        if known is not None and known.node != node:
            del self._known[key]
            if known.task is not None:
                known.task.cancel()
            known = None
        if not node:
            return None
        if known is None:
            known = self._known[key] = _Looking(node)
        is_old = known.found is None or now.elapsed >= known.found.at + LOOK
        if is_old and known.task is None:
            task = asyncio.get_running_loop().create_task(
                self._look(key, known), name=f"kubenode {self._name} pods of {node}"
            )
            known.task = task
            task.add_done_callback(self._ended)
        return known.found

    @property
    def busy(self) -> bool:
        """Whether a look is under way."""
        return any(one.task is not None for one in self._known.values())

    async def end(self) -> None:
        """Look no more; what is under way is dropped."""
        tasks = {one.task for one in self._known.values() if one.task is not None}
        self._known.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _look(self, key: str, known: _Looking) -> None:
        while True:
            try:
                known.found = await look(self._store, known.node, self._clock.now().elapsed)
            except ApiError as error:
                LOG.warning(
                    "event=pods-unknown node=%s error=%s: %s", known.node, type(error).__name__, error
                )
                await asyncio.sleep(self._again)
                continue
            known.task = None
            self._stir(key)
            return
