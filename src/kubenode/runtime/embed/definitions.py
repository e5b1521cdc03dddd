"""Whether the CRD of a kind is being deleted, as the server says: asked once an object that leaves.

The server marks a CRD before it deletes the objects of that kind, so who asks after one was seen to leave gets
the answer that counts. No answer is no "no": it is asked for again.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from kubenode.core.model import Object
from kubenode.runtime.embed.lookups import AGAIN, Lookups
from kubenode.runtime.store.contract import Store
from kubenode.runtime.store.installed import Defined


class Definitions(Lookups[bool]):
    """Asks the server and remembers what it said; further arguments are those of Lookups.

    Args:
        store: one that knows no CRDs answers that none is being deleted.
        kind: of the objects.
    """

    def __init__(
        self, store: Store, *, kind: type[Object], stir: Callable[[str], None], ended: Callable[[asyncio.Task[None]], None], name: str,
        again: float = AGAIN,
    ) -> None:  # fmt: skip
        super().__init__(stir=stir, ended=ended, name=name, again=again)
        self._store = store if isinstance(store, Defined) else None
        self._kind = kind

    def __call__(self, key: str, leaver: Object | None) -> bool | None:
        """Give what is known about the CRD since this object leaves, and ask if nothing is."""
        if self._store is None:
            return False
        known = self._about(key, "" if leaver is None else leaver.metadata.uid)
        if known is None:
            return None
        if known.found is None:
            kind = self._kind.KIND.name
            self._begin(
                key, known, partial(self._store.leaves, self._kind), what=f"crd of {kind} {key}",
                unknown=f"event=crd-unknown kind={kind} name={key}",
            )  # fmt: skip
        return known.found
