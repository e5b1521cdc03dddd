"""The embedded store as embedders make it: with our kinds, a clock, and perhaps some objects to begin with."""

from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.crd import schema_of
from kubenode.runtime.clock import Clock, SystemClock
from kubenode.runtime.store import embedded
from kubenode.runtime.store.embedded import now_or_never

T = TypeVar("T", bound=m.Object)


class EmbeddedStore(embedded.EmbeddedStore):
    """A cluster in this process: our kinds with the rules of their CRDs, and Nodes. Nothing listens, nothing is on disk.

        store = EmbeddedStore(load("cluster/"))

    An async context manager, as every store; there is nothing to open or to close. It may be used by one
    thread at a time.

    Args:
        objects: what is there to begin with, as somebody would apply it.
        cel: check the CEL rules of the CRDs too, if the extra `cel` is installed.
        seed: from it and a counter, uids are made.
        clock: for stamps.

    Raises:
        ApiError: an object is refused.
    """

    def __init__(
        self, objects: Iterable[m.Object] = (), *, cel: bool = True, seed: int = 0, clock: Clock | None = None
    ) -> None:
        time = clock if clock is not None else SystemClock()
        kinds = [*((kind.KIND, schema_of(kind)) for kind in m.KINDS), (m.Node.KIND, None)]
        super().__init__(kinds, clock=lambda: time.now().wall, seed=seed, cel=cel)
        for obj in objects:
            now_or_never(self.create(obj.KIND, wire.dump(obj)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def objects(self, cls: type[T]) -> tuple[T, ...]:
        """Give all objects of a kind as they stand, by name; for those without an event loop."""
        return tuple(wire.read(raw, cls) for raw in now_or_never(self.find(cls.KIND)).items)
