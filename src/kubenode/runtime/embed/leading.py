"""The lease of one engine, if it has one: kept while it runs, released when all it began has ended."""

import asyncio
from collections.abc import Callable

from kubenode.core.errors import InvalidObjectError, KubenodeError, Problem
from kubenode.runtime.clock import Clock
from kubenode.runtime.store.contract import Store
from kubenode.runtime.store.lease import Lease, LeaseKeeper


def lease_of(given: object) -> Lease | None:
    """Read what an engine was given as its lease: the name of one, or one with all its times; None for none.

    Raises:
        InvalidObjectError: it is neither, or no name.
    """
    if given is None or isinstance(given, Lease):
        return given
    if isinstance(given, str):
        return Lease(name=given)
    what = f"a value of type {type(given).__name__} is no lease"
    raise InvalidObjectError((Problem(where="lease", what=what, fix='the name of one, such as "platform"'),))


class Leading:
    """Who may decide. Without a lease, this engine always may.

    Args:
        lease: which one; None for an engine that is alone.
        store: where it is.
        clock: for durations and stamps.
        changed: is called when a term has begun or ended.
        troubled: is called when the trouble with the lease is another, or over.
        degraded: gives the condition that says what cannot be done at the moment.
    """

    def __init__(
        self, lease: Lease | None, store: Store, clock: Clock, changed: Callable[[], None],
        troubled: Callable[[], None], degraded: Callable[[], str],
    ) -> None:  # fmt: skip
        self._keeper = None
        if lease is not None:
            self._keeper = LeaseKeeper(
                lease, store, changed=changed, troubled=troubled, degraded=degraded, clock=clock
            )
        self._task: asyncio.Task[None] | None = None

    def start(self, name: str, ended: Callable[[asyncio.Task[None]], None]) -> None:
        """Begin to keep the lease; `ended` is told when that fails, which it does only by a bug of ours."""
        if self._keeper is not None:
            self._task = asyncio.get_running_loop().create_task(self._keeper.keep(), name=name)
            self._task.add_done_callback(ended)

    @property
    def term(self) -> Callable[[], int | None] | None:
        """Gives the number of the term, None when another engine leads; None: there is no lease to ask."""
        return None if self._keeper is None else self._keeper.term

    @property
    def leads(self) -> bool:
        """Whether this engine may decide now."""
        return self._keeper is None or self._keeper.term() is not None

    @property
    def keeper(self) -> LeaseKeeper | None:
        """Who keeps it; None where there is no lease."""
        return self._keeper

    @property
    def trouble(self) -> str:
        """Why the lease could not be read or written the last time; empty when it could."""
        return "" if self._keeper is None else self._keeper.trouble

    @property
    def lost(self) -> str:
        """The same, where it is that the right to it was taken away."""
        return "" if self._keeper is None else self._keeper.lost

    def waits(self) -> tuple[str, ...]:
        """Say who leads, where it is not this engine."""
        if self._keeper is None or self.leads:
            return ()
        return (f"the lease is held by {self._keeper.holder or 'nobody yet'}",)

    async def end(self) -> None:
        """Keep it no more, and let another engine lead at once."""
        if self._keeper is None or self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        try:
            await self._keeper.release()
        except KubenodeError:  # the store has been left already; the lease ends by itself
            return
