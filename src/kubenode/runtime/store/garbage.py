"""What a cluster's garbage collector would do next: pure, from all objects as they are.

An owner is gone when no object of its apiVersion, kind and name has its uid. What only has owners that are gone, or
that wait for it in a foreground deletion, is deleted; of several owners, those references are dropped. An orphaning
owner is let go when its dependents no longer name it. Objects with an owner of a kind that nobody serves are left
alone, as they are by a cluster: it cannot know.
Source: kubernetes pkg/controller/garbagecollector; compared with kube-controller-manager 1.36 by the
conformance cases `collector_*`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import attrs

from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Api, MergePatch, Propagation
from kubenode.runtime.store.options import FOREGROUND, ORPHAN

_IGNORED: Final = "events"


@attrs.frozen(kw_only=True)
class Drop:
    """Delete an object."""

    kind: Kind
    name: str
    uid: str
    propagation: Propagation


@attrs.frozen(kw_only=True)
class Loosen:
    """Change references of an object, or its finalizers; the patch names the version that it is of."""

    kind: Kind
    name: str
    patch: MergePatch


Act: TypeAlias = Drop | Loosen


def plan_garbage(kinds: Iterable[Kind], objects: Iterable[tuple[Kind, Json]]) -> Iterator[Act]:
    """Say what is to be done with each object, at most one act for each, in the order given.

    Args:
        kinds: all that are served, also those that no object is of.
        objects: all that there are.

    Each act is right in the state that was given; do what still can be done, and ask again until nothing is.
    """
    return _World(kinds, objects).acts()


async def done(store: Api, act: Act) -> None:
    """Do an act. Raises Conflict or ObjectNotFound when the object is no longer as it was."""
    match act:
        case Drop(kind=kind, name=name, uid=uid, propagation=propagation):
            await store.delete(kind, name, uid=uid, propagation=propagation)
        case Loosen(kind=kind, name=name, patch=patch):
            await store.patch(kind, name, patch)


class _World:
    def __init__(self, kinds: Iterable[Kind], objects: Iterable[tuple[Kind, Json]]) -> None:
        self._objects = [(kind, obj) for kind, obj in objects if kind.plural != _IGNORED]
        self._types = {(kind.api_version, kind.name) for kind in kinds}
        self._owners = {
            (kind.api_version, kind.name, obj["metadata"]["name"], obj["metadata"]["uid"]): obj["metadata"]
            for kind, obj in self._objects
        }
        self._dependents: dict[str, list[tuple[Kind, Json]]] = {}
        for kind, obj in self._objects:
            for uid in {each["uid"] for each in _references(obj["metadata"])}:
                self._dependents.setdefault(uid, []).append((kind, obj))

    def acts(self) -> Iterator[Act]:
        done: set[str] = set()
        for act in self._wanted():
            key = f"{act.kind.plural}.{act.kind.group}/{act.name}"
            if key not in done:
                done.add(key)
                yield act

    def _wanted(self) -> Iterator[Act]:
        for kind, obj in self._objects:
            metadata = obj["metadata"]
            if _is_deleting(metadata, ORPHAN):
                yield from self._orphaned(kind, metadata)
            elif _is_deleting(metadata, FOREGROUND):
                if not any(_blocks(each["metadata"], metadata["uid"]) for _, each in self._of(metadata)):
                    yield _without_finalizer(kind, metadata, FOREGROUND)
            elif "deletionTimestamp" not in metadata and _references(metadata):
                yield from self._judged(kind, metadata)

    def _of(self, metadata: Json) -> list[tuple[Kind, Json]]:
        return self._dependents.get(metadata["uid"], [])

    def _orphaned(self, kind: Kind, metadata: Json) -> Iterator[Act]:
        dependents = self._of(metadata)
        for other, obj in dependents:
            yield _without_owners(other, obj["metadata"], {metadata["uid"]})
        if not dependents:
            yield _without_finalizer(kind, metadata, ORPHAN)

    def _judged(self, kind: Kind, metadata: Json) -> Iterator[Act]:
        gone, waiting = set(), set()
        references = _references(metadata)
        for each in references:
            version, named = each["apiVersion"], each["kind"]
            if (version, named) not in self._types:
                return
            owner = self._owners.get((version, named, each["name"], each["uid"]))
            if owner is None:
                gone.add(each["uid"])
            elif _is_deleting(owner, FOREGROUND):
                waiting.add(each["uid"])
        if any(each["uid"] not in gone | waiting for each in references):
            if gone or waiting:
                yield _without_owners(kind, metadata, gone | waiting)
            return
        policy = _by_finalizers(metadata)
        dependents = self._of(metadata)
        if waiting and dependents:
            if any(_is_deleting(each["metadata"], FOREGROUND) for _, each in dependents) and _blocks(
                metadata
            ):
                yield _with_owners(kind, metadata, lambda each: {**each, "blockOwnerDeletion": False})
                return
            policy = Propagation.FOREGROUND
        yield Drop(kind=kind, name=metadata["name"], uid=metadata["uid"], propagation=policy)


def _references(metadata: Json) -> list[Json]:
    references: list[Json] = metadata.get("ownerReferences", [])
    return references


def _is_deleting(metadata: Json, finalizer: str) -> bool:
    return "deletionTimestamp" in metadata and finalizer in metadata.get("finalizers", ())


def _blocks(metadata: Json, uid: str | None = None) -> bool:
    """Tell whether an object blocks the deletion of this owner, or of any."""
    return any(
        each.get("blockOwnerDeletion") and uid in {None, each["uid"]} for each in _references(metadata)
    )


def _by_finalizers(metadata: Json) -> Propagation:
    finalizers = metadata.get("finalizers", ())
    if ORPHAN in finalizers:
        return Propagation.ORPHAN
    return Propagation.FOREGROUND if FOREGROUND in finalizers else Propagation.BACKGROUND


def _without_finalizer(kind: Kind, metadata: Json, finalizer: str) -> Loosen:
    left = [name for name in metadata["finalizers"] if name != finalizer]
    return _loosen(kind, metadata, {"finalizers": left})


def _without_owners(kind: Kind, metadata: Json, uids: set[str]) -> Loosen:
    return _with_owners(kind, metadata, lambda each: None if each["uid"] in uids else each)


def _with_owners(kind: Kind, metadata: Json, change: Callable[[Json], Json | None]) -> Loosen:
    changed = map(change, _references(metadata))
    return _loosen(kind, metadata, {"ownerReferences": [each for each in changed if each is not None]})


def _loosen(kind: Kind, metadata: Json, change: Mapping[str, Any]) -> Loosen:
    same = {name: metadata[name] for name in ("uid", "resourceVersion")}
    return Loosen(kind=kind, name=metadata["name"], patch=MergePatch({"metadata": {**same, **change}}))
