"""A stand-in for Cluster API's controllers on a real API server, and for the health checks that ask for remedies.

It scales MachineDeployments (those marked go first), waits for hooks before a Machine goes, removes the Node of one that
has gone, and boots a simulated host for each Machine that kubenode has. It also writes down when hands were kept off.
"""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from datetime import timedelta
from itertools import count
from typing import Any, Final

import attrs

from kubenode.core import model as m
from kubenode.core.decision import RunSteps
from kubenode.core.model.meta import Kind
from kubenode.runtime.sim.host import HostSpec
from kubenode.runtime.sim.live import LiveHosts
from kubenode.runtime.store.contract import ApiError, Conflict, MergePatch, ObjectNotFound
from kubenode.runtime.store.kube import KubeStore

GROUP: Final = "cluster.x-k8s.io"
NAMESPACE: Final = "default"
FINALIZER: Final = "machine.cluster.x-k8s.io/standin"
HOOKS: Final = f"pre-drain.delete.hook.machine.{GROUP}/"
DELETE: Final = f"{GROUP}/delete-machine"
SKIP: Final = f"{GROUP}/skip-remediation"
DEPLOYMENT: Final = f"{GROUP}/deployment-name"
TAGS: Final = "clusterapi.kubenode.dev/tags"
TICK: Final = 0.2


def kind(name: str, plural: str, group: str = GROUP, version: str = "v1beta2") -> Kind:
    """Name a kind in the namespace."""
    return Kind(
        name=name,
        plural=plural,
        group=group,
        version=version,
        served=False,
        namespaced=True,
        namespace=NAMESPACE,
    )


MACHINE: Final = kind("Machine", "machines")
DEPLOYMENTS: Final = kind("MachineDeployment", "machinedeployments")


@attrs.frozen
class Act:
    """Steps that began on a host; `guarded`: its Machine of Cluster API bore `skip-remediation` at that moment."""

    machine: str
    disruption: m.Disruption
    guarded: bool


class WatchedHosts(LiveHosts):
    """Hosts that write down, by the server's word, whether hands were off when they began to act."""

    def __init__(self, *given: Any, server: KubeStore, **more: Any) -> None:
        super().__init__(*given, **more)
        self._server = server
        self.acts: list[Act] = []

    async def run(self, effect: RunSteps) -> None:
        """Look at the server, then begin."""
        name = effect.machine.name
        capi = await self._server.get(MACHINE, self.hosts[name].spec.node)
        guarded = SKIP in _annotations(capi)
        self.acts.append(Act(name, effect.disruption, guarded))
        await super().run(effect)


class StandIn:
    """Cluster API for one namespace.

    Args:
        store: with rights to everything.
        live: the hosts of this process.
    """

    def __init__(self, store: KubeStore, live: LiveHosts) -> None:
        self._store = store
        self._live = live
        self._numbers = count(1)
        self._up: dict[str, str] = {}
        self.made: list[str] = []
        self.gone: list[str] = []
        self.waited: set[str] = set()
        self.guarded: dict[str, list[str]] = {}
        self.drained: dict[str, bool] = {}

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            with contextlib.suppress(Conflict, ObjectNotFound):
                await self._turn()
            await asyncio.sleep(TICK)

    async def machines(self) -> list[m.Json]:
        """Give all Machines."""
        return list((await self._store.find(MACHINE)).items)

    async def _turn(self) -> None:
        machines = await self.machines()
        for owner in (await self._store.find(DEPLOYMENTS)).items:
            await self._scale(
                owner,
                [
                    one
                    for one in machines
                    if one["metadata"]["labels"].get(DEPLOYMENT) == owner["metadata"]["name"]
                ],
            )
        for machine in await self.machines():
            self._note(machine)
            if "deletionTimestamp" in machine["metadata"]:
                await self._end(machine)
            elif not machine.get("spec", {}).get("providerID"):
                await self._provision(machine)
            else:
                self._boot(machine)

    async def _scale(self, owner: m.Json, machines: list[m.Json]) -> None:
        alive = [one for one in machines if "deletionTimestamp" not in one["metadata"]]
        name, wanted = owner["metadata"]["name"], owner["spec"]["replicas"]
        for _ in range(wanted - len(alive)):
            made = f"{name}-{next(self._numbers):05}"
            self.made.append(made)
            await self._store.create(MACHINE, {
                "apiVersion": MACHINE.api_version, "kind": "Machine",
                "metadata": {"name": made, "labels": {DEPLOYMENT: name}, "finalizers": [FINALIZER]},
                "spec": {"clusterName": "c"},
            })  # fmt: skip
        marked = sorted(alive, key=lambda one: (DELETE not in _annotations(one), one["metadata"]["name"]))
        for one in marked[: max(0, len(alive) - wanted)]:
            await self._store.delete(MACHINE, one["metadata"]["name"])

    async def _provision(self, machine: m.Json) -> None:
        name = machine["metadata"]["name"]
        await self._store.patch(
            MACHINE, name, MergePatch({"spec": {"providerID": f"standin:///{name}", "failureDomain": "a"}})
        )
        status = {"status": {"phase": "Running", "nodeRef": {"name": name}}}
        await self._store.patch(MACHINE, name, MergePatch(status), subresource="status")

    async def _end(self, machine: m.Json) -> None:
        """Wait for hooks; then the host goes, the Machine, and its Node."""
        name = machine["metadata"]["name"]
        if any(key.startswith(HOOKS) for key in _annotations(machine)):
            self.waited.add(name)
            return
        with contextlib.suppress(ObjectNotFound):
            node = await self._store.get(m.Node.KIND, name)
            self.drained[name] = bool(node["spec"].get("unschedulable"))
        if name in self._up:
            self._live.drop(self._up.pop(name))
        await self._store.patch(MACHINE, name, MergePatch({"metadata": {"finalizers": None}}))
        self.gone.append(name)
        with contextlib.suppress(ObjectNotFound):
            await self._store.delete(m.Node.KIND, name)

    def _boot(self, machine: m.Json) -> None:
        name, tags = machine["metadata"]["name"], json.loads(_annotations(machine).get(TAGS, "{}"))
        owner = tags.get("kubenode.dev/machine")
        if owner is None or name in self._up or owner in self._live.hosts:
            return
        self._up[name] = owner
        self._live.add({owner: HostSpec(
            machine=owner, node=name, zone="a", provider_id=machine["spec"]["providerID"],
            step_time=timedelta(seconds=0.5), boot_time=timedelta(seconds=3),
        )})  # fmt: skip
        self._live.hosts[owner].link(up=True)

    def _note(self, machine: m.Json) -> None:
        seen = self.guarded.setdefault(machine["metadata"]["name"], [])
        word = "off" if SKIP in _annotations(machine) else "on"
        if not seen or seen[-1] != word:
            seen.append(word)


class HealthChecks:
    """Makes requests as a MachineHealthCheck and a NodeHealthCheck do, and deletes them when the node is well."""

    def __init__(self, store: KubeStore) -> None:
        self._store = store
        self._kind = m.KubenodeRemediation.KIND.within(NAMESPACE)

    async def machine_is_sick(self, name: str) -> None:
        """Be a MachineHealthCheck: the request has the Machine's name, and belongs to it."""
        machine = await self._store.get(MACHINE, name)
        owner = {
            "apiVersion": MACHINE.api_version, "kind": "Machine", "name": name, "uid": machine["metadata"]["uid"],
        }  # fmt: skip
        await self._ask(name, owner)

    async def node_is_sick(self, name: str, request: str) -> None:
        """Be a NodeHealthCheck: the request belongs to it, and is named after the Node or says which it is."""
        owner = {
            "apiVersion": "remediation.medik8s.io/v1alpha1",
            "kind": "NodeHealthCheck",
            "name": "nhc",
            "uid": "u-nhc",
        }
        await self._ask(request, owner, {"remediation.medik8s.io/node-name": name})

    async def _ask(self, name: str, owner: m.Json, annotations: Mapping[str, str] | None = None) -> None:
        template = await self._store.get(m.KubenodeRemediationTemplate.KIND.within(NAMESPACE), "kubenode")
        metadata = {"name": name, "ownerReferences": [owner], "annotations": dict(annotations or {})}
        await self._store.create(self._kind, {
            "apiVersion": self._kind.api_version, "kind": "KubenodeRemediation", "metadata": metadata,
            "spec": template["spec"]["template"]["spec"],
        })  # fmt: skip

    async def said(self, name: str) -> dict[str, str]:
        """Give the conditions of a request; none of one that is gone."""
        try:
            found = await self._store.get(self._kind, name)
        except ApiError:
            return {}
        return {one["type"]: one["status"] for one in found.get("status", {}).get("conditions", ())}

    async def is_well(self, name: str) -> None:
        """Delete a request."""
        await self._store.delete(self._kind, name)


def _annotations(obj: Any) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or {}
