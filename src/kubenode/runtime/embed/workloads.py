"""What runs on the Nodes that an embedded engine drains: looked at in tasks, one a Node, and nobody waits for them.

While a drain goes on its Node is looked at again when the last look is too old to act on; the answer stirs the engine,
which then decides anew. What cannot be listed is asked for again, and until then nothing is evicted.
"""

import asyncio
from collections.abc import Callable

from kubenode.core.model import Now
from kubenode.core.node.drain import LOOK
from kubenode.core.node.workload import Workload
from kubenode.runtime.clock import Clock
from kubenode.runtime.controller.workloads import look
from kubenode.runtime.embed.lookups import AGAIN, Lookups
from kubenode.runtime.store.contract import Store


class Workloads(Lookups[Workload]):
    """Looks, and remembers what it saw last; further arguments are those of Lookups.

    Args:
        store: is asked.
        clock: the engine's.
    """

    def __init__(
        self, store: Store, *, clock: Clock, stir: Callable[[str], None], ended: Callable[[asyncio.Task[None]], None],
        name: str, again: float = AGAIN,
    ) -> None:  # fmt: skip
        super().__init__(stir=stir, ended=ended, name=name, again=again)
        self._store = store
        self._clock = clock

    def __call__(self, key: str, node: str, now: Now) -> Workload | None:
        """Give the last look at a Node, and look again if it is too old; without a name, forget."""
        known = self._about(key, node)
        if known is None:
            return None
        if known.found is None or now.elapsed >= known.found.at + LOOK:
            self._begin(
                key, known, lambda: look(self._store, node, self._clock.now().elapsed), what=f"pods of {node}",
                unknown=f"event=pods-unknown node={node}",
            )  # fmt: skip
        return known.found
