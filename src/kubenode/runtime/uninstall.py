"""To leave a cluster: take our finalizers off our objects, so that they and their CRDs can be deleted. Terminates nothing.

While it works no controller may act: it keeps their Lease, and leaves it held for a while, so that one that still
waits somewhere does not begin anew what was just ended. Every step may be repeated; whoever was interrupted starts again.
"""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any, Final

import attrs

from kubenode.core import model as m
from kubenode.core.errors import Conflict, KubenodeError, ObjectNotFound
from kubenode.core.lease import CONTROLLER, NAMESPACE, LeaseTimes
from kubenode.core.model import Json, Kind
from kubenode.core.model.meta import GROUP
from kubenode.runtime.store.contract import MergePatch, Store
from kubenode.runtime.store.lease import Lease, LeaseKeeper

HOLDER: Final = "kubenode-uninstall"
"""The same for all who uninstall: whoever goes on after another one waits for nobody."""
NEXT: Final = "kubenode manifests | kubectl delete -f -"
_HELD: Final = LeaseTimes(
    duration=timedelta(minutes=10), renew_within=timedelta(seconds=10), every=timedelta(seconds=2)
)
_NAMESPACES: Final = Kind(name="Namespace", plural="namespaces", group="", version="v1", served=False)
_ORDER: Final[tuple[type[m.Object], ...]] = (
    m.MachineSet,
    *(kind for kind in m.KINDS if kind is not m.MachineSet),
)
"""Sets first: a set without its finalizer asks for no machine, but one with it replaces a machine that goes."""


class ControllerRuns(KubenodeError):
    """A controller holds the Lease and renews it: it would put back what is taken off."""


@attrs.frozen(kw_only=True)
class Release:
    """One object and what was, or would be, taken off it.

    Attributes:
        orphan: the instance that the object was being deleted for, which nobody ends now; empty when there is none.
    """

    kind: str
    name: str
    finalizers: tuple[str, ...]
    orphan: str = ""


async def uninstall(
    store: Store, *, dry_run: bool = False, lease: str | None = CONTROLLER, namespace: str = NAMESPACE,
    within: timedelta = timedelta(seconds=30),
) -> tuple[Release, ...]:  # fmt: skip
    """Take our finalizers off all our objects.

    Args:
        store: entered already.
        dry_run: only tell what would be taken off; the Lease is left alone.
        lease: of the controllers; None when it is known that none runs.
        namespace: of the Lease.
        within: how long the Lease is waited for: a controller that has died holds it for its duration.

    Raises:
        ControllerRuns: the Lease is held by a controller that runs.
        ApiError: the server refuses something, or cannot be reached; nothing has to be taken back.
    """
    if dry_run or lease is None or not await _exists(store, namespace):
        return await _released(store, dry_run=dry_run)
    keeper = LeaseKeeper(Lease(name=lease, namespace=namespace, holder=HOLDER, times=_HELD), store)
    keeping = asyncio.create_task(keeper.keep(), name="kubenode uninstall lease")
    try:
        await _held(keeper, keeping, within)
        return await _released(store, dry_run=False)
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def _held(keeper: LeaseKeeper, keeping: "asyncio.Task[None]", within: timedelta) -> None:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + within.total_seconds()
    while keeper.term() is None:
        if keeping.done():
            keeping.result()
        if loop.time() > give_up:
            why = (
                keeper.trouble or f"{keeper.holder} holds the Lease, so a controller runs; fix: stop it first"
            )
            raise ControllerRuns(f"{why}; or, when you know that none runs: --lease none")
        await asyncio.sleep(0.05)


async def _exists(store: Store, namespace: str) -> bool:
    """Tell whether the namespace is there; without it no controller can have its Lease."""
    try:
        await store.get(_NAMESPACES, namespace)
    except ObjectNotFound:
        return False
    return True


async def _released(store: Store, *, dry_run: bool) -> tuple[Release, ...]:
    done: list[Release] = []
    for cls in _ORDER:
        try:
            listing = await store.find(cls.KIND)
        except ObjectNotFound:  # its definition is gone already
            continue
        for raw in listing.items:
            found = _wanted(cls.KIND, raw)
            if found is not None:
                done.append(found)
                if not dry_run:
                    await _take_off(store, cls.KIND, raw)
    return tuple(done)


def _wanted(kind: Kind, raw: Json) -> Release | None:
    ours = tuple(name for name in _finalizers(raw) if _is_ours(name))
    if not ours:
        return None
    return Release(kind=kind.name, name=raw["metadata"]["name"], finalizers=ours, orphan=_orphan(raw))


def _orphan(raw: Json) -> str:
    """Name the instance of a machine that was being deleted, and was to be terminated with it."""
    spec: Any = raw.get("spec") or {}
    infrastructure = spec.get("infrastructure") or {}
    going = raw["metadata"].get("deletionTimestamp")
    if not going or not infrastructure or spec.get("deletionPolicy") != m.DeletionPolicy.TERMINATE.value:
        return ""
    return str(infrastructure.get("provider") or "unknown")


async def _take_off(store: Store, kind: Kind, raw: Json) -> None:
    """Take our finalizers off one object as it is now; others' stay."""
    name, uid = raw["metadata"]["name"], raw["metadata"]["uid"]
    while True:
        metadata = raw["metadata"]
        others = [finalizer for finalizer in _finalizers(raw) if not _is_ours(finalizer)]
        body = {"resourceVersion": metadata["resourceVersion"], "finalizers": others}
        try:
            await store.patch(kind, name, MergePatch({"metadata": body}))
        except ObjectNotFound:
            return
        except Conflict:  # somebody has changed it meanwhile
            try:
                raw = await store.get(kind, name)
            except ObjectNotFound:
                return
            if raw["metadata"]["uid"] != uid:
                return
            continue
        return


def _finalizers(raw: Json) -> tuple[str, ...]:
    return tuple(raw["metadata"].get("finalizers") or ())


def _is_ours(finalizer: str) -> bool:
    return finalizer.startswith(f"{GROUP}/")
