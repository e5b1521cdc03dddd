"""Whether the CRD of a kind is being deleted, as the server says: asked in tasks, one an object that leaves.

The server marks a CRD before it deletes the objects of that kind, so who asks after one was seen to leave gets
the answer that counts. No answer is no "no": it is asked for again.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import attrs

from kubenode.core.errors import ApiError
from kubenode.core.model import Object
from kubenode.runtime.store.contract import Store
from kubenode.runtime.store.installed import Defined

LOG = logging.getLogger("kubenode.engine")
ASK_AGAIN: Final = 10.0
"""How long after a question that failed the next is asked, seconds."""


@attrs.define
class _Question:
    uid: str
    answer: bool | None = None
    task: "asyncio.Task[None] | None" = None


class Definitions:
    """Asks the server and remembers what it said. For the thread of the loop.

    Args:
        store: one that knows no CRDs answers that none is being deleted.
        kind: of the objects.
        stir: makes the engine decide about one again, by its name.
        ended: is given each task that has ended, also one that failed.
        name: of the engine, for the tasks.
        again: after so long a question that failed is asked again, seconds.
    """

    def __init__(
        self, store: Store, *, kind: type[Object], stir: Callable[[str], None], ended: Callable[[asyncio.Task[None]], None], name: str,
        again: float = ASK_AGAIN,
    ) -> None:  # fmt: skip
        self._store = store if isinstance(store, Defined) else None
        self._kind = kind
        self._stir = stir
        self._ended = ended
        self._name = name
        self._again = again
        self._asked: dict[str, _Question] = {}

    def __call__(self, key: str, leaver: Object | None) -> bool | None:
        """Give what is known about the CRD since this object leaves, and ask if nothing is."""
        if self._store is None:
            return False
        known = self._asked.get(key)
        if known is not None and (leaver is None or known.uid != leaver.metadata.uid):
            del self._asked[key]
            if known.task is not None:
                known.task.cancel()
            known = None
        if leaver is None:
            return None
        if known is None:
            known = self._asked[key] = _Question(uid=leaver.metadata.uid)
            ask = self._ask(self._store, key, known)
            known.task = asyncio.get_running_loop().create_task(
                ask, name=f"kubenode {self._name} crd of {self._kind.KIND.name} {key}"
            )
            known.task.add_done_callback(self._ended)
        return known.answer

    @property
    def busy(self) -> bool:
        """Whether the server has yet to answer."""
        return any(one.answer is None for one in self._asked.values())

    async def end(self) -> None:
        """Ask no more; what is under way is dropped."""
        tasks = {one.task for one in self._asked.values() if one.task is not None}
        self._asked.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _ask(self, store: Defined, key: str, question: _Question) -> None:
        while question.answer is None:
            try:
                question.answer = await store.leaves(self._kind)
            except ApiError as error:
                LOG.warning(
                    "event=crd-unknown kind=%s name=%s error=%s: %s",
                    self._kind.KIND.name,
                    key,
                    type(error).__name__,
                    error,
                )
                await asyncio.sleep(self._again)
        self._stir(key)
