"""The embedded store as embedders make it: with our kinds, a clock, and perhaps some objects to begin with."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.crd import schema_of
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.lease import NAMESPACE
from kubenode.runtime.clock import Clock, SystemClock
from kubenode.runtime.store import embedded
from kubenode.runtime.store.contract import MergePatch
from kubenode.runtime.store.embedded import now_or_never
from kubenode.runtime.store.events import EVENT
from kubenode.runtime.store.lease import LEASE

T = TypeVar("T", bound=m.Object)


class EmbeddedStore(embedded.EmbeddedStore):
    """A cluster in this process: our kinds with the rules of their CRDs, Nodes, and Leases of our namespace. Nothing listens, nothing is on disk.

        store = EmbeddedStore(load("cluster/"))

    An async context manager, as every store; there is nothing to open or to close. It may be used by one
    thread at a time.

    Args:
        objects: what is there to begin with, with the status that it has. The store gives uids of its own; where a later
            object refers to an earlier one by its uid, it goes on to do so.
        cel: check the CEL rules of the CRDs too, if the extra `cel` is installed.
        seed: from it and a counter, uids are made.
        clock: for stamps.

    Raises:
        ApiError: an object is refused.
        InvalidObjectError: one is no object.
    """

    def __init__(
        self, objects: Iterable[m.Object] = (), *, cel: bool = True, seed: int = 0, clock: Clock | None = None
    ) -> None:
        time = clock if clock is not None else SystemClock()
        kinds = [
            *((kind.KIND, schema_of(kind)) for kind in m.KINDS), (m.Node.KIND, None), (m.Pod.KIND, None),
            (m.PodDisruptionBudget.KIND, None), (EVENT, None), (LEASE, None),
        ]  # fmt: skip
        super().__init__(
            kinds,
            clock=lambda: time.now().wall,
            seed=seed,
            cel=cel,
            namespaces=(*embedded.NAMESPACES, NAMESPACE),
        )
        uids: dict[str, str] = {}
        for obj in _checked(objects):
            raw = _renamed(wire.dump(obj), uids)
            made = now_or_never(self.create(obj.KIND, raw))
            if obj.metadata.uid:
                uids[obj.metadata.uid] = made["metadata"]["uid"]
            if raw.get("status"):
                body = MergePatch({"status": raw["status"]})
                now_or_never(self.patch(obj.KIND, obj.metadata.name, body, subresource="status"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def objects(self, cls: type[T]) -> tuple[T, ...]:
        """Give all objects of a kind as they stand, by name; for those without an event loop."""
        return tuple(wire.read(raw, cls) for raw in now_or_never(self.find(cls.KIND)).items)


def _checked(objects: Iterable[m.Object]) -> tuple[m.Object, ...]:
    given: object = objects
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        what = f"a value of type {type(given).__name__} is no list of objects"
        raise InvalidObjectError(
            (Problem(where="objects", what=what, fix='EmbeddedStore(load("cluster/"))'),)
        )
    found = tuple(given)
    problems = tuple(
        Problem(where=f"objects[{index}]", what=f"a value of type {type(one).__name__} is no object", fix="load(...) gives one")
        for index, one in enumerate(found) if not isinstance(one, m.Object)
    )  # fmt: skip
    if problems:
        raise InvalidObjectError(problems)
    return found


def _renamed(value: Any, uids: Mapping[str, str]) -> Any:
    """Let what refers to the uid of an earlier object refer to the one it has here."""
    if isinstance(value, dict):
        return {key: _renamed(part, uids) for key, part in value.items() if key != "resourceVersion"}
    if isinstance(value, list):
        return [_renamed(part, uids) for part in value]
    return uids.get(value, value) if isinstance(value, str) else value
