"""Sets of machines on both clouds and a real API server: from nothing to Nodes that are Ready, through faults, and to nothing again.

The SDKs are the real ones, in front of fakes on the loopback; the kubelets are simulated. In the end cloud, Machines and
Nodes agree, and the clouds' own logs say that no call was wasted. Limits of minutes are seconds here.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.instance import dispose, evidence, watch
from kubenode.core.instance.turn import SECOND
from kubenode.core.model.condition import find
from kubenode.remedies import register_remedies
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.embed import Engine, Plugins
from kubenode.runtime.observe import instances
from kubenode.runtime.sim.live import LiveHosts
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing import install
from kubenode.runtime.testing.controlplane import ControlPlane
from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.cluster.instances import Images
from tests.providers.aws.loopback import keys
from tests.providers.regions import Region, calls, ec2, ecs

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

GRACE_S = 15
"""After so long without a word of its kubelet a Node is Unknown."""
HEARTBEAT = 3.0
PATIENCE = 120.0
LIMITS = (
    (evidence, "VISIBLE", 8), (evidence, "ABSENCE", 3), (watch, "POLL", 2), (dispose, "POLL", 2), (instances, "SPACING", 1),
)  # fmt: skip
LAX = {  # Nodes of a new zone that are not Ready yet look like an outage of it, and after one the ends go one by one
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "RiskPolicy", "metadata": {"name": "lax"},
    "spec": {"limits": [{"scope": "cluster", "max": 100}], "zoneBreaker": {"minNotReady": 1000, "cooldown": "1s"}},
}  # fmt: skip


@pytest.fixture
def plane(control_plane_folder: Path) -> Iterator[ControlPlane]:
    """A control plane of its own: an engine acts on the whole of it."""
    with ControlPlane.start(control_plane_folder, node_grace_s=GRACE_S) as running:
        install(running)
        yield running


@pytest.fixture
def regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Region, ...]]:
    """Both clouds, and the credentials that they take."""
    keys(tmp_path, monkeypatch)
    for module, name, seconds in LIMITS:
        monkeypatch.setattr(module, name, seconds * SECOND)
    with ExitStack() as stack:
        yield stack.enter_context(ec2()), stack.enter_context(ecs(tmp_path))


@attrs.frozen
class Pool:
    """A set of machines in a region."""

    region: Region

    @property
    def name(self) -> str:
        """What the set is called."""
        return f"pool-{self.region.provider.name}"

    def manifest(self, replicas: int) -> m.Json:
        """Give the set as a person writes it."""
        infrastructure = {"provider": self.region.provider.name, "parameters": dict(self.region.parameters)}
        return {
            "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineSet", "metadata": {"name": self.name},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"pool": self.name}}, "failureDomains": list(self.region.zones),
                "template": {"labels": {"pool": self.name}, "spec": {"infrastructure": infrastructure}},
            },
        }  # fmt: skip


class Cluster:
    """The cluster with an engine on it, and who looks at both."""

    def __init__(self, plane: ControlPlane, store: KubeStore) -> None:
        self.plane = plane
        self._store = store

    async def all(self, kind: type[Any]) -> list[Any]:
        """Give all objects of a kind."""
        return [wire.read(raw, kind) for raw in (await self._store.find(kind.KIND)).items]

    async def machines(self, pool: Pool) -> list[m.Machine]:
        """Give the machines of a set."""
        return [one for one in await self.all(m.Machine) if one.metadata.labels.get("pool") == pool.name]

    async def kubectl(self, *words: str, **more: Any) -> str:
        """Be a person."""
        return await asyncio.to_thread(self.plane.kubectl, *words, **more)

    async def apply(self, obj: m.Json) -> None:
        """Apply a manifest."""
        await self.kubectl("apply", "-f", "-", input=json.dumps(obj))

    async def until(self, what: str, differs: Callable[[], Awaitable[object]]) -> None:
        """Wait until nothing differs."""
        end = asyncio.get_running_loop().time() + PATIENCE
        while (why := await differs()) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.5)
        assert not why, f"{what}: {why}"

    async def differs(self, pool: Pool, count: int) -> str:
        """Say where cloud, Machines and Nodes differ from `count` machines that run; empty when they do not."""
        machines, there = await self.machines(pool), pool.region.there()
        odd = [
            f"{one.metadata.name} {one.status.phase} {_said(one)}"
            for one in machines
            if one.status.phase != "Running"
        ]
        known = {node.metadata.uid: node for node in await self.all(m.Node)}
        if len(machines) != count or odd:
            return f"{len(machines)} machines of {count}; {odd[:6]}"
        ids = {one.status.instance.id: one for one in machines if one.status.instance is not None}
        if ids.keys() != there.keys() or not all(one.runs for one in there.values()):
            return f"{sorted(ids)[:6]}... and the cloud has {sorted(there)[:6]}..."
        for key, one in ids.items():
            node = known.get(one.status.node_ref.uid if one.status.node_ref is not None else "")
            if node is None or not node.ready or node.spec.provider_id != there[key].provider_id:
                return f"{one.metadata.name} and its Node {node}"
            if (one.status.instance.provider_id, there[key].machine) != (
                node.spec.provider_id,
                one.metadata.name,
            ):
                return f"{one.metadata.name} and its instance {there[key]}"
        zones = [one.zone for one in there.values()]
        return "" if abs(zones.count(pool.region.zones[0]) * 2 - count) <= 1 else f"zones {zones}"

    async def scaled(self, pools: Sequence[Pool], count: int) -> None:
        """Ask for so many machines of each set, and wait until all agree."""
        for pool in pools:
            await self.apply(pool.manifest(count))
        for pool in pools:
            await self.until(f"{count} of {pool.name}", partial(self.differs, pool, count))

    async def left_of(self, pools: Sequence[Pool], count: int) -> str:
        """Say how many machines of each set are left, and what those wait for that are to go, unless it is so many."""
        seen = [len(await self.machines(pool)) for pool in pools]
        leaving = [one for one in await self.all(m.Machine) if one.metadata.deletion_timestamp is not None]
        told = Counter(_said(one).partition(":")[0] for one in leaving)
        return "" if all(one == count for one in seen) else f"{seen}, {told}"

    async def left(self, regions: Sequence[Region]) -> str:
        """Say what is left; empty when nothing is."""
        kinds = (m.MachineSet, m.Machine, m.Node)
        objects = [f"{kind.KIND.name} {one.metadata.name}" for kind in kinds for one in await self.all(kind)]
        return ", ".join([*objects, *(key for region in regions for key in region.there())][:10])


def _said(one: m.Machine) -> str:
    said = find(one.status.conditions, "InstanceReady")
    return "" if said is None else f"{said.reason}: {said.message}"


@asynccontextmanager
async def cluster(plane: ControlPlane, regions: Sequence[Region]) -> AsyncIterator[Cluster]:
    """Run an engine with the controller's rights, and a host for each instance that runs."""
    async with AsyncExitStack() as stack:

        async def connected(config: Path, manager: str) -> KubeStore:
            return await stack.enter_async_context(
                KubeStore.connect(kubeconfig=config, field_manager=manager)
            )

        live = LiveHosts(
            await connected(plane.admin_kubeconfig, "kubenode-agent"), await connected(plane.admin_kubeconfig, "kubelet"),
            SystemClock(), Plugins.discover(), heartbeat=HEARTBEAT,
        )  # fmt: skip
        store = await connected(plane.kubeconfig(CONTROLLER_USER), "kubenode")
        async with asyncio.TaskGroup() as group:
            hosts = group.create_task(live.live())
            images = group.create_task(Images(regions, live).run())
            plugins = Plugins.given(
                providers=[region.provider for region in regions], remedies=register_remedies()
            )
            async with Engine(store, plugins=plugins):
                yield Cluster(plane, store)
            images.cancel()
            live.driver.stop()
            await hosts


def ends(region: Region) -> Counter[str]:
    """Count how often the end of each instance was asked for, by the cloud's own id."""
    asked = [params for params in region.heard() if params["Action"] == region.words["delete"]]
    return Counter(params.get("InstanceId") or params["InstanceId.1"] for params in asked)


def test_a_set_comes_up_on_each_cloud_and_goes(
    plane: ControlPlane, regions: tuple[Region, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty; one is lost and one hangs on the way to 25; to 5, where the end of one comes late; to nothing."""
    pools = [Pool(region) for region in regions]
    by_hand: dict[str, str] = {}
    begun = time.monotonic()

    async def story() -> None:
        async with cluster(plane, regions) as world:
            await world.apply(LAX)
            await world.scaled(pools, 20)
            assert [(calls(region)["create"], region.made()) for region in regions] == [(20, 20)] * 2
            before = [calls(region) for region in regions]
            await asyncio.sleep(3)
            assert [calls(region) for region in regions] == before, "a set at rest costs no call"

            monkeypatch.setattr(watch, "CREATION", 15 * SECOND)
            for pool, region in zip(pools, regions, strict=True):
                by_hand[pool.name] = min(region.there())
                region.end(by_hand[pool.name])
                region.hands.stuck_next = 1
            freed = asyncio.create_task(_let_go(regions))
            await world.scaled(pools, 25)
            await freed
            # 20, 5, one for what was lost and one for what hung; only what hung was ended by us.
            assert [(calls(region)["create"], region.made()) for region in regions] == [(27, 27)] * 2
            assert [len(ends(region)) for region in regions] == [1, 1]

            for region in regions:
                region.hands.hold_next = 1
            for pool in pools:
                await world.apply(pool.manifest(5))
            await world.until("all but the one that hangs", lambda: world.left_of(pools, 6))
            assert [len(ends(region)) for region in regions] == [21, 21]
            for region in regions:
                region.hands.held.clear()
            await world.scaled(pools, 5)

            for pool in pools:
                await world.kubectl("delete", "machineset", pool.name, "--wait=false")
            await world.until("the end", lambda: world.left(regions))

    asyncio.run(story())
    for pool, region in zip(pools, regions, strict=True):
        assert (calls(region)["create"], region.made(), len(region.there())) == (27, 27, 0)
        once = ends(region)
        assert len(once) == 26, "each that was made, but the one that was ended by hand"
        assert by_hand[pool.name].rpartition(".")[2] not in once
        refused = once.total() - 26
        assert refused <= 4, "ECS lets nothing go that is Pending: asked again after growing pauses"
        assert refused == 0 or region.provider.name == "aliyun"
        tokens = [
            params["ClientToken"] for params in region.heard() if params["Action"] == region.words["create"]
        ]
        assert len(set(tokens)) == 27
        looks = calls(region)
        assert looks["find"] <= time.monotonic() - begun, (
            "a list is shared by all machines, and made once in its spacing"
        )
        assert looks["get"] <= 4 * 27, (
            "who is not shown is asked for when that can prove something, and not in each look"
        )


async def _let_go(regions: Sequence[Region]) -> None:
    """Let what hangs come up at last, once its end was asked for: too late for its machine."""
    async with asyncio.timeout(PATIENCE):
        while any(region.hands.stuck_next or region.hands.stuck for region in regions):
            for region in regions:
                if ends(region):
                    region.hands.stuck.clear()
            await asyncio.sleep(0.2)
