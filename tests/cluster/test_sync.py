"""Labels and annotations on Nodes of a real server, by server-side apply; and whose the server says each is."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from kubenode.core.model.meta import MACHINE_LABEL, SYNCED_ANNOTATIONS, SYNCED_LABELS
from kubenode.runtime.engine.apply import SYNC_MANAGER
from kubenode.runtime.store.contract import Store
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing import ControlPlane
from kubenode.runtime.testing.controlplane import ControlPlaneError
from tests.runtime.syncing import PLAYS, register, sync

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("play", PLAYS)
def test_labels_and_annotations_are_applied(
    play: Callable[[Store, str], Awaitable[None]], plane: ControlPlane
) -> None:
    """As on the embedded store."""

    async def run() -> None:
        async with KubeStore.connect(kubeconfig=plane.admin_kubeconfig) as store:
            await play(store, f"sync-{PLAYS.index(play)}")

    asyncio.run(run())


def test_the_server_says_that_they_are_applied_and_ours(plane: ControlPlane) -> None:
    """So whoever applies something else is refused, and told whose it is."""
    name = "sync-owned"

    async def run() -> None:
        async with KubeStore.connect(kubeconfig=plane.admin_kubeconfig) as store:
            await register(store, name, {"theirs": "x"})
            await sync(store, name, {"pool": "a"}, {"team": "blue"})

    asyncio.run(run())
    shown = json.loads(plane.kubectl("get", "node", name, "-o", "json", "--show-managed-fields"))
    (ours,) = (one for one in shown["metadata"]["managedFields"] if one["manager"] == SYNC_MANAGER)
    assert (ours["operation"], ours["apiVersion"]) == ("Apply", "v1")
    assert ours["fieldsV1"] == {
        "f:metadata": {
            "f:labels": {"f:pool": {}, f"f:{MACHINE_LABEL}": {}},
            "f:annotations": {"f:team": {}, f"f:{SYNCED_LABELS}": {}, f"f:{SYNCED_ANNOTATIONS}": {}},
        }
    }
    other = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"pool": "b"}}}
    with pytest.raises(ControlPlaneError, match=f'conflict with "{SYNC_MANAGER}": .metadata.labels.pool'):
        plane.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(other))
