"""What a case is, and the few words in which cases are written."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, cast

import attrs

from kubenode.core.errors import ApiError, ObjectNotFound
from kubenode.core.model import Json, Kind
from kubenode.core.schema import NOWHERE
from kubenode.runtime.store.contract import (
    Api,
    EventType,
    JsonPatch,
    MergePatch,
    Store,
    Watch,
    WatchEvent,
)

E = TypeVar("E", bound=ApiError)
Fresh: TypeAlias = Callable[[], str]
Behaviour: TypeAlias = Callable[[Api, Kind, Fresh], Awaitable[None]]

PATIENCE_S: Final = 20.0
"""How long a watch may take to tell what has happened."""
_COLLECTED_S: Final = 120.0
"""How long garbage collection may take; a new kind it notices within half a minute."""


@attrs.frozen(kw_only=True)
class Case:
    """One behaviour of a Store.

    Attributes:
        name: what a store must do, such as `create_drops_status`.
        run: checks it; call the case instead, which removes what was made.
        embedded_only: True for what a real server does only after it was made to forget.
        needs_cel: True for what an embedded store does only with the extra `cel`.
        needs_api: True for what only an Api must do, not every Store.
        kind: whose behaviour it is; None for the kind that the case is called with.
    """

    name: str
    run: Behaviour
    embedded_only: bool = False
    needs_cel: bool = False
    needs_api: bool = False
    kind: Kind | None = None

    async def __call__(self, store: Store, kind: Kind, fresh: Fresh) -> None:
        """Check the behaviour, and remove what was made for it.

        Raises:
            AssertionError: the store does otherwise.
        """
        kind = self.kind or kind
        names: list[str] = []

        def noted() -> str:
            names.append(fresh())
            return names[-1]

        try:
            await self.run(cast("Api", store), kind, noted)
        except AssertionError:
            raise
        except Exception as error:  # the answer was not even of the shape that a store gives
            raise AssertionError(f"{self.name} met {type(error).__name__}: {error}") from error
        finally:
            for name in names:
                await remove(store, kind, name)


def case(behaviour: Behaviour) -> Case:
    """Make a case of a function, named as the function is."""
    return Case(name=getattr(behaviour, "__name__", ""), run=behaviour)


def api_case(behaviour: Behaviour) -> Case:
    """Make a case that only an Api must pass."""
    return Case(name=getattr(behaviour, "__name__", ""), run=behaviour, needs_api=True)


async def remove(store: Store, kind: Kind, name: str) -> None:
    """Remove an object whatever its finalizers say; no matter if there is none."""
    try:
        await store.patch(kind, name, MergePatch({"metadata": {"finalizers": None}}))
        await store.delete(kind, name)
    except ObjectNotFound:
        return


def machine(name: str, *, metadata: Mapping[str, Any] | None = None, **spec: Any) -> Json:
    """Write a Machine that exists as a host."""
    return {
        "apiVersion": "kubenode.dev/v1alpha1",
        "kind": "Machine",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"host": {"address": "192.0.2.7"}, **spec},
    }


def condition(type: str) -> Json:
    """Write a condition."""
    stamp = "2026-01-02T03:04:05Z"
    return {"type": type, "status": "True", "reason": "Said", "message": "", "lastTransitionTime": stamp}


def taint(key: str) -> Json:
    """Write a taint with all its fields."""
    return {"key": key, "value": "", "effect": "NoSchedule"}


def spec(**fields: Any) -> MergePatch:
    """Write a merge patch of the spec."""
    return MergePatch({"spec": fields})


def status(**fields: Any) -> MergePatch:
    """Write a merge patch of the status."""
    return MergePatch({"status": fields})


def metadata(**fields: Any) -> MergePatch:
    """Write a merge patch of the metadata."""
    return MergePatch({"metadata": fields})


def swap(*operations: tuple[str, str, Any] | tuple[str, str]) -> JsonPatch:
    """Write a JSON patch from (op, path, value)."""
    keys = ("op", "path", "value")
    return JsonPatch(tuple(dict(zip(keys, operation, strict=False)) for operation in operations))


async def fails(kind: type[E], call: Awaitable[object]) -> E:
    """Give the error of this class that a call raises."""
    try:
        answer = await call
    except kind as error:
        return error
    except ApiError as error:
        raise AssertionError(f"expected {kind.__name__}, got {type(error).__name__}: {error}") from error
    raise AssertionError(f"expected {kind.__name__}, got the answer {answer}")


def same(found: object, wanted: object, what: str) -> None:
    """Assert that something is as it should be; true is not 1."""
    if found != wanted or type(found) is not type(wanted):
        raise AssertionError(f"{what}: expected {wanted!r}, found {found!r}")


def holds(fact: bool, what: str) -> None:
    """Assert a fact."""
    if not fact:
        raise AssertionError(what)


def told(error: ApiError, *, code: int, reason: str) -> None:
    """Assert that an error carries the server's Status."""
    same(error.status.get("kind"), "Status", "kind of the status")
    same(error.code, code, "code")
    same(error.status.get("reason"), reason, "reason")


def causes(error: ApiError) -> set[tuple[str, str, str]]:
    """Give (reason, field, message) of each cause; without the remark that rules were not looked at."""
    listed = error.status.get("details", {}).get("causes", ())
    return {
        (cause["reason"], cause["field"], cause["message"])
        for cause in listed
        if not (cause["field"] == NOWHERE and "some validation rules" in cause["message"])
    }


def version(obj: Json) -> int:
    """Give the resourceVersion of an object."""
    return int(obj["metadata"]["resourceVersion"])


def generation(obj: Json) -> int:
    """Give the generation of an object."""
    return int(obj["metadata"]["generation"])


async def events(watch: Watch, name: str, count: int) -> list[WatchEvent]:
    """Wait for the next events of one object; other objects may have events too."""
    found: list[WatchEvent] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            batch = await watch.events()
            holds(bool(batch), "events() gave none")
            found += [event for event in batch if event.object["metadata"].get("name") == name]
    same(len(found), count, f"number of events of {name}")
    return found


async def becomes(
    store: Api, kind: Kind, name: str, fact: Callable[[Json | None], bool], what: str
) -> Json | None:
    """Give an object, or None when it is gone, as soon as garbage collection has made it so.

    A store that collects no garbage by itself has `collect_garbage()` to be told to.
    """
    collect = getattr(store, "collect_garbage", None)
    if collect is not None:
        await collect()
    chosen = {"metadata.name": name}
    listing = await store.find(kind, fields=chosen)
    state = listing.items[0] if listing.items else None
    if collect is not None or fact(state):
        holds(fact(state), f"{what}: {state}")
        return state
    watch = await store.watch(kind, resource_version=listing.resource_version, fields=chosen)
    try:
        async with asyncio.timeout(_COLLECTED_S):
            while not fact(state):
                for event in await watch.events():
                    if event.type is not EventType.BOOKMARK:
                        state = None if event.type is EventType.DELETED else event.object
    except TimeoutError as late:
        raise AssertionError(f"{what}: after {_COLLECTED_S:.0f} s still {state}") from late
    finally:
        await watch.close()
    return state


def is_gone(obj: Json | None) -> bool:
    """Tell whether there is no object."""
    return obj is None
