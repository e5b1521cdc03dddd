"""What the controllers would decide now, of a cluster as it stands: asked once, and nothing is done."""

from collections.abc import Mapping, Sequence
from typing import Any

from kubenode.core import model as m
from kubenode.core.errors import ApiError
from kubenode.core.inspection import Inspected
from kubenode.runtime.controller.panel import in_place
from kubenode.runtime.controller.wiring import FIRST, controllers
from kubenode.runtime.engine.drive import survived
from kubenode.runtime.engine.loop import Synced
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.record import Record, recorded
from kubenode.runtime.store.contract import Store
from kubenode.runtime.store.installed import Defined


async def survey(store: Store, plugins: Plugins, now: m.Now) -> Sequence[Record]:
    """Read a cluster and decide every key of it once.

    Reviewers of the plugins are asked, since they only answer; inspections are not, since they may take long. What a controller
    counts from when it first saw something, is counted from now.

    Args:
        store: entered already.
        plugins: as those of the controller, if it is to be the same.
        now: the moment.

    Returns:
        One record a key.

    Raises:
        ApiError: a kind cannot be listed.
    """
    records: list[Record] = []
    listings = [(kind, await store.find(kind.KIND)) for kind in m.WATCHED]
    gone = {
        kind: await _crd_leaving(store, kind) if any(one["metadata"].get("deletionTimestamp") for one in found.items) else False
        for kind, found in listings if kind in (m.Machine, m.MachineSet)
    }  # fmt: skip
    engine = controllers(
        plugins, lambda decided: records.append(recorded(decided)), survived, panel=in_place(plugins.reviewers),
        inspections=_nobody, observes=True, crd_leaving=lambda _, __: gone[m.MachineSet],
        machines_leaving=lambda _, __: gone[m.Machine],
    )  # fmt: skip
    inputs = [
        Synced(kind=kind, items=found.items, version=int(found.resource_version)) for kind, found in listings
    ]
    engine.step((*inputs, FIRST), now)
    return records


async def _crd_leaving(store: Store, kind: type[m.Object]) -> bool | None:
    """Ask whether the CRD of a kind is being deleted; who may not know is told of those that wait for that."""
    if not isinstance(store, Defined):
        return False
    try:
        return await store.leaves(kind)
    except ApiError:
        return None


def _nobody(_: str, __: Any, ___: m.Now) -> Mapping[str, Inspected]:
    return {}
