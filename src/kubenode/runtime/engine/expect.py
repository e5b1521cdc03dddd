"""Expectations: never act on a cache older than our own last write.

After a write the answer names the object's resourceVersion; the key that wrote waits until the cache
has seen that version. Versions compare as integers within one kind (facts: KEP-5504, and before it the
etcd revision). A watch that never delivers it is cured by a re-list after `PATIENCE`.
"""

import attrs

from kubenode.core.model import Ref
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.store.cache import Cache

PATIENCE = 30_000_000_000


@attrs.frozen(kw_only=True)
class Written:
    """What a write left behind.

    Attributes:
        version: the resourceVersion answered; 0 when the object merely has to be there (it existed already).
    """

    object: Ref
    version: int


@attrs.frozen
class _Waiting:
    written: tuple[Written, ...]
    since: int
    asked: bool = False


class Expectations:
    """Which keys wait for their own writes."""

    def __init__(self) -> None:
        self._waiting: dict[Key, _Waiting] = {}

    def add(self, key: Key, written: tuple[Written, ...], now: int) -> None:
        """Make a key wait until the cache has seen what it wrote."""
        if written:
            self._waiting[key] = _Waiting(written, now)

    def unseen(self, key: Key, cache: Cache) -> Written | None:
        """Give the first own write that the cache has not seen, or None when the key may go on."""
        waiting = self._waiting.get(key)
        if waiting is None:
            return None
        for written in waiting.written:
            if not cache.has_seen(written.object, written.version):
                return written
        del self._waiting[key]
        return None

    def waiting(self, cache: Cache) -> tuple[Key, ...]:
        """Give the keys that wait."""
        return tuple(key for key in list(self._waiting) if self.unseen(key, cache) is not None)

    def overdue(self, key: Key, now: int) -> bool:
        """Tell whether a key has waited so long that the watch must have lost something."""
        waiting = self._waiting.get(key)
        return waiting is not None and now - waiting.since >= PATIENCE

    def due(self, key: Key) -> int:
        """Give the time at which a waiting key is looked at even if nothing comes."""
        return self._waiting[key].since + PATIENCE

    def ask_again(self, key: Key, now: int) -> bool:
        """Tell whether a listing is to be asked for; after one that did not help the key is let go.

        A listing that was made after the write and yet is older than it comes from a server that has gone
        back (restored from a backup): what was written there is no more.
        """
        waiting = self._waiting[key]
        if waiting.asked:
            del self._waiting[key]
            return False
        self._waiting[key] = _Waiting(waiting.written, now, asked=True)
        return True

    def listed(self, kind: str) -> None:
        """Let go what only had to be there: a fresh listing shows whether it is."""
        for key, waiting in list(self._waiting.items()):
            kept = tuple(w for w in waiting.written if w.version or w.object.kind != kind)
            if kept != waiting.written:
                self._waiting[key] = _Waiting(kept, waiting.since, waiting.asked)
