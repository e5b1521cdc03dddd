"""kubenode and Cluster API on a real API server: adopt, make, end with hooks, and remedies that health checks ask for.

The kinds of Cluster API are our minimal copies (clusterapi.yaml), its controllers and the health checks are a stand-in
(capi.py); the provider, its client, the engine and its rights are the real ones.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.instance import dispose, evidence, watch
from kubenode.core.instance.turn import SECOND
from kubenode.core.model.condition import find
from kubenode.providers.clusterapi import ClusterApiProvider, ClusterApiSettings
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.controller.rights import EXTERNAL, rights
from kubenode.runtime.controller.wiring import NAMES
from kubenode.runtime.documents import to_yaml
from kubenode.runtime.embed import Engine, Plugins
from kubenode.runtime.manifests import install as manifests
from kubenode.runtime.observe import instances
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.testing import install
from kubenode.runtime.testing.controlplane import ControlPlane
from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.cluster.capi import SKIP, HealthChecks, StandIn, WatchedHosts

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cluster-api.md"
KINDS = Path(__file__).parent / "clusterapi.yaml"
LIMITS = (
    (evidence, "VISIBLE", 5), (evidence, "ABSENCE", 2), (watch, "POLL", 1), (dispose, "POLL", 1), (instances, "SPACING", 1),
)  # fmt: skip
PATIENCE = 90.0
RULES = """
apiVersion: kubenode.dev/v1alpha1
kind: RiskPolicy
metadata: {name: lax}
spec: {limits: [{scope: cluster, max: 100}], zoneBreaker: {minNotReady: 1000, cooldown: 1s}}
---
apiVersion: kubenode.dev/v1alpha1
kind: NodeRemedier
metadata: {name: asked-for}
spec:
  condition: {type: RemediationAsked}
  ladder: [{action: reboot, timeout: 5m}]
  verification: {dwell: 1s, timeout: 2m}
  relapse: 0s
---
apiVersion: kubenode.dev/v1alpha1
kind: KubenodeRemediationTemplate
metadata: {name: kubenode, namespace: default}
spec: {template: {spec: {condition: RemediationAsked}}}
---
apiVersion: cluster.x-k8s.io/v1beta2
kind: MachineDeployment
metadata: {name: md-0, namespace: default}
spec: {clusterName: c, replicas: 3, selector: {matchLabels: {cluster.x-k8s.io/deployment-name: md-0}}}
"""


def role() -> str:
    """What the page says that the provider needs, given to the controller's user, as YAML."""
    found = re.search(r"## Rights.*?```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    metadata = {"name": "kubenode-clusterapi", "namespace": "default"}
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "User", "apiGroup": group, "name": CONTROLLER_USER}
    return to_yaml((
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, **yaml.safe_load(found[1])},
        {
            "apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": metadata, "subjects": [subject],
            "roleRef": {"apiGroup": group, "kind": "Role", "name": metadata["name"]},
        },
    ))  # fmt: skip


@pytest.fixture
def plane(control_plane_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ControlPlane]:
    """A control plane of its own, with our kinds, those of Cluster API, and what `--remediation` installs."""
    for module, name, seconds in LIMITS:
        monkeypatch.setattr(module, name, seconds * SECOND)
    monkeypatch.setattr("kubenode.runtime.embed.engine.RESYNC", 3 * SECOND)
    with ControlPlane.start(control_plane_folder, node_grace_s=15) as running:
        install(running)
        running.kubectl("apply", "-f", "-", input=to_yaml(manifests(remediation=True)))
        running.kubectl("apply", "-f", str(KINDS))
        names = [
            f"crd/{one}" for one in ("machines.cluster.x-k8s.io", "kubenoderemediationtemplates.kubenode.dev")
        ]
        running.kubectl("wait", "--for=condition=Established", "--timeout=30s", *names)
        running.kubectl("apply", "-f", "-", input=role())
        running.kubectl("apply", "-f", "-", input=RULES)
        yield running


COMPONENT = """
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponent
metadata: {name: net-1}
spec: {version: "1", driver: file, disruption: restart, parameters: {path: /etc/net.conf, content: "1\\n", unit: kubelet.service}}
---
apiVersion: kubenode.dev/v1alpha1
kind: MachineComponentSet
metadata: {name: net}
spec:
  name: net
  component: net-1
  selector: {matchLabels: {pool: x}}
  rollout: {minReadySeconds: 0, maxUnavailable: 100%}
"""


@attrs.define
class World:
    """The cluster, and who acts on it."""

    plane: ControlPlane
    store: KubeStore
    capi: StandIn
    checks: HealthChecks
    live: WatchedHosts

    async def kubectl(self, *words: str, **more: Any) -> str:
        """Be a person."""
        return await asyncio.to_thread(self.plane.kubectl, *words, **more)

    async def machine(self, name: str, parameters: dict[str, str], **spec: Any) -> None:
        """Apply a Machine of kubenode."""
        obj = {
            "apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": {"name": name},
            "spec": {"infrastructure": {"provider": "clusterapi", "parameters": parameters}, **spec},
        }  # fmt: skip
        await self.kubectl("apply", "-f", "-", input=json.dumps(obj))

    async def ours(self) -> dict[str, m.Machine]:
        """Give the Machines of kubenode by name."""
        return {
            raw["metadata"]["name"]: wire.read(raw, m.Machine)
            for raw in (await self.store.find(m.Machine.KIND)).items
        }

    async def phases(self) -> dict[str, str]:
        """Give their phases."""
        return {name: one.status.phase for name, one in (await self.ours()).items()}

    async def until(self, what: str, holds: Callable[[], Awaitable[object]]) -> None:
        """Wait until something is so."""
        end = asyncio.get_running_loop().time() + PATIENCE
        while not (seen := await holds()) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.3)
        if not seen:
            told = {
                name: (
                    one.status.phase,
                    [(c.type, c.status.value, c.reason, c.message) for c in one.status.conditions],
                )
                for name, one in (await self.ours()).items()
            }
            pytest.fail(
                f"{what}; {told}; {await self.kubectl('get', 'roj,knr,machines.cluster.x-k8s.io', '-A', '-o', 'wide')}"
            )

    async def running(self, *names: str) -> None:
        """Wait until exactly these Machines run."""

        async def all_run() -> bool:
            return await self.phases() == dict.fromkeys(names, "Running")

        await self.until(f"{names} run", all_run)

    async def replicas(self) -> int:
        """Give how many Machines the MachineDeployment is to have."""
        return int(await self.kubectl("get", "machinedeployment", "md-0", "-o", "jsonpath={.spec.replicas}"))

    async def jobs(self) -> list[m.RemedyOperationJob]:
        """Give all episodes."""
        return [
            wire.read(raw, m.RemedyOperationJob)
            for raw in (await self.store.find(m.RemedyOperationJob.KIND)).items
        ]


@asynccontextmanager
async def world(plane: ControlPlane) -> AsyncIterator[World]:
    """Run an engine with the controller's rights, Cluster API's stand-in, and the hosts."""
    async with AsyncExitStack() as stack:

        async def connected(config: Path, manager: str) -> KubeStore:
            return await stack.enter_async_context(
                KubeStore.connect(kubeconfig=config, field_manager=manager)
            )

        admin = await connected(plane.admin_kubeconfig, "capi")
        live = WatchedHosts(
            await connected(plane.admin_kubeconfig, "kubenode-agent"), await connected(plane.admin_kubeconfig, "kubelet"),
            SystemClock(), Plugins.discover(), heartbeat=2.0, server=admin,
        )  # fmt: skip
        capi = StandIn(admin, live)
        store = await connected(plane.kubeconfig(CONTROLLER_USER), "kubenode")
        provider = ClusterApiProvider(
            ClusterApiSettings(kubeconfig=str(plane.kubeconfig(CONTROLLER_USER)), namespace="default")
        )
        plugins = attrs.evolve(Plugins.discover(), providers={"clusterapi": provider})
        async with asyncio.TaskGroup() as group:
            hosts, standing = group.create_task(live.live()), group.create_task(capi.run())
            async with Engine(store, plugins=plugins, controllers=(*NAMES, EXTERNAL)):
                yield World(plane, store, capi, HealthChecks(admin), live)
            standing.cancel()
            live.driver.stop()
            await hosts


def test_machines_of_cluster_api_are_adopted_made_remedied_and_ended(plane: ControlPlane) -> None:
    """Three are adopted and one is made by scaling; each kind of health check gets its remedy, one is upgraded; all end as they should."""

    async def story() -> None:
        async with world(plane) as w:

            async def three() -> bool:
                return len([one for one in await w.capi.machines() if one.get("status")]) == 3

            await w.until("Cluster API has made three", three)
            first = sorted(w.capi.made)
            for number, name in enumerate(first):
                await w.machine(f"a{number}", {"machine": name}, deletionPolicy="Release")
            await w.machine("b0", {"machine_deployment": "md-0"})
            await w.running("a0", "a1", "a2", "b0")
            assert (await w.replicas(), len(w.capi.made)) == (4, 4)
            made = (set(w.capi.made) - set(first)).pop()
            ours = await w.ours()
            instance = ours["b0"].status.instance
            assert instance is not None
            assert instance.provider_id == f"standin:///{made}"
            assert ours["b0"].status.node_ref is not None
            assert ours["b0"].status.node_ref.name == made

            await remedied(w, first[0])
            await upgraded(w, first[1])
            await ended(w, made, first)
            audited(plane)

    asyncio.run(story())


def audited(plane: ControlPlane) -> None:
    """Nothing was refused, and each right that `--remediation` and the page grant is used."""
    entries = [json.loads(line) for line in plane.audit_log.read_text(encoding="utf-8").splitlines()]
    done = [
        one for one in entries if one["user"]["username"] == CONTROLLER_USER and one["stage"] == "ResponseComplete" and "objectRef" in one
    ]  # fmt: skip
    started = next(at for at, one in enumerate(done) if one["responseStatus"]["code"] == 201)
    assert [one["requestURI"] for one in done[started:] if one["responseStatus"]["code"] == 403] == []
    used = {
        (
            one["objectRef"].get("apiGroup", ""), one["verb"],
            "/".join(filter(None, (one["objectRef"]["resource"], one["objectRef"].get("subresource")))),
        )
        for one in done
    }  # fmt: skip
    assert {(one.group, one.verb, one.resource) for one in {*rights((EXTERNAL,))} - {*rights()}} <= used
    here = {(verb, resource) for group, verb, resource in used if group == "cluster.x-k8s.io"}
    owners = {(verb, "machinedeployments") for verb in ("get", "list", "patch")}
    machines = {(verb, "machines") for verb in ("get", "list", "patch")}
    # No Machine without an owner was to end, and no MachineSet to be scaled: those rights are tried in memory.
    assert here == {*machines, *owners, ("list", "machinesets")}


async def remedied(w: World, name: str) -> None:
    """Both kinds of health check ask at once for one node: one episode, one act; hands are off while it lasts."""
    await w.checks.machine_is_sick(name)
    await w.checks.node_is_sick(name, "nhc-1")

    async def succeeded() -> bool:
        wanted = {"Processing": "False", "Succeeded": "True", "PermanentNodeDeletionExpected": "False"}
        return all([await w.checks.said(one) == wanted for one in (name, "nhc-1")])

    await w.until("both requests have succeeded", succeeded)
    (job,) = await w.jobs()
    assert (job.status.phase, len(job.status.attempts), job.spec.cause.type) == (
        "Succeeded",
        1,
        "RemediationAsked",
    )
    for one in (name, "nhc-1"):
        await w.checks.is_well(one)

    async def all_gone() -> bool:
        return await w.checks.said(name) == await w.checks.said("nhc-1") == {}

    await w.until("the requests are gone", all_gone)

    async def hands_on() -> bool:
        return w.capi.guarded[name][-1] == "on"

    await w.until("hands are on again", hands_on)
    assert w.capi.guarded[name] == ["on", "off", "on"]
    said = find((await w.ours())["a0"].status.conditions, "HandsOff")
    assert said is not None
    assert said.reason == "NoWork"

    # Each alone, too.
    await w.checks.node_is_sick(name, name)

    async def again() -> bool:
        return (await w.checks.said(name)).get("Succeeded") == "True"

    await w.until("a second request has succeeded", again)
    assert [one.status.phase for one in await w.jobs()] == ["Succeeded", "Succeeded"]
    await w.checks.is_well(name)


async def upgraded(w: World, name: str) -> None:
    """A component of class restart comes: hands are off before it begins, and on when its permit has ended."""
    await w.kubectl("apply", "-f", "-", input=COMPONENT)
    await w.kubectl("label", "machines.kubenode.dev", "a1", "pool=x")

    async def done() -> bool:
        return w.live.hosts["a1"].files.get("/etc/net.conf") == b"1\n"

    async def hands_on() -> bool:
        (one,) = [one for one in await w.capi.machines() if one["metadata"]["name"] == name]
        return SKIP not in (one["metadata"].get("annotations") or {})

    await w.until("the component is there", done)
    await w.until("hands are on again", hands_on)
    acts = {(one.disruption, one.guarded) for one in w.live.acts if one.machine == "a1"}
    assert acts == {(m.Disruption.RESTART, True)}
    assert all(one.guarded for one in w.live.acts if one.disruption is not m.Disruption.NONE), w.live.acts


async def ended(w: World, made: str, first: list[str]) -> None:
    """One is deleted behind our back, one by us, three are released: hooks, drains, and as many Machines as there should be."""
    await w.kubectl("delete", "machines.cluster.x-k8s.io", made, "--wait=false")

    async def replaced() -> bool:
        machine = (await w.ours())["b0"]
        instance = machine.status.instance
        return (
            machine.status.phase == "Running"
            and instance is not None
            and instance.provider_id == f"standin:///{w.capi.made[-1]}"
        )

    async def another() -> bool:
        return len(w.capi.made) == 5 and await replaced()

    await w.until("b0 has the Machine that its owner made instead", another)
    assert (await w.replicas(), w.capi.gone) == (4, [made])
    assert made in w.capi.waited
    assert w.capi.drained[made]

    await w.kubectl("delete", "machines.kubenode.dev", "b0", "--timeout=90s")
    assert (await w.replicas(), w.capi.gone) == (3, [made, w.capi.made[-1]])
    assert len(w.capi.made) == 5

    await w.kubectl("delete", "machines.kubenode.dev", "a0", "a1", "a2", "--timeout=60s")
    left = {
        one["metadata"]["name"]: one["metadata"].get("annotations") or {} for one in await w.capi.machines()
    }
    assert sorted(left) == first
    for annotations in left.values():
        assert not [key for key in annotations if "hook" in key or "skip-remediation" in key]
