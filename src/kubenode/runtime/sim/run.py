"""The simulation: stores, engines and hosts on one heap of virtual time. Seeded; nothing is random but by the seed.

A turn drains what the watches have, lets each engine step, does its calls at once, and moves the
kubelets; when nothing is left to do, time jumps to the next deadline.
"""

import contextlib
import hashlib
import random
from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.crd import schema_of
from kubenode.core.errors import ObjectNotFound
from kubenode.core.hookspecs import Instance
from kubenode.core.model.meta import ZONE_LABEL
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.node.workload import Workload
from kubenode.runtime.agent.controller import agents
from kubenode.runtime.controller.wiring import FIRST, controllers
from kubenode.runtime.controller.workloads import look
from kubenode.runtime.engine.apply import NoHands
from kubenode.runtime.engine.loop import Decided, Engine, Fault, Input, Recorder, Stirred, raised
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.observe.events import Events
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.cloud import BOOT, SimCloud, SimClouds, machine_of
from kubenode.runtime.sim.host import HostSpec, SimHost
from kubenode.runtime.sim.hosts import SimHosts
from kubenode.runtime.sim.process import Process, SimulatedCrash
from kubenode.runtime.sim.virtualtime import VirtualTime
from kubenode.runtime.store.contract import MergePatch, Store
from kubenode.runtime.store.embedded import EmbeddedStore, now_or_never

EVENTS = 1_000_000
"""How many events of a kind the store keeps: a fleet is made before the first turn looks at it."""
AGENTS, CONTROLLER = "agents", "controller"


class Simulation(SimHosts):
    """A cluster on virtual time: an embedded API, the controllers, the agents and their hosts."""

    def __init__(
        self,
        *,
        seed: int = 0,
        plugins: Plugins | None = None,
        cloud: Callable[..., SimCloud] = SimCloud,
    ) -> None:
        self.time = VirtualTime()
        self.rng = random.Random(seed)
        self.store = EmbeddedStore(
            [(kind.KIND, schema_of(kind)) for kind in m.KINDS] + [(kind.KIND, None) for kind in (m.Node, m.Pod, m.PodDisruptionBudget)],
            clock=self.time.wall, seed=seed, window=EVENTS, cel=False,
        )  # fmt: skip
        self.hosts: dict[str, SimHost] = {}
        self.instances: dict[str, SimHost] = {}
        self.boots_in = BOOT
        self.boots_agents = True
        self._silent: list[SimHost] = []
        self._births: dict[str, int] = {}
        self.trace = hashlib.sha256()
        self.decisions = 0
        self.acts = 0
        self._restless: dict[str, None] = {}
        self._watchers: list[Callable[[], None]] = []
        self._listeners: list[Recorder] = []
        plugins = plugins if plugins is not None else Plugins.discover()
        self.cloud = cloud(self._born, self._died, lambda: self.time.elapsed, self._held)
        plugins = attrs.evolve(plugins, providers={**plugins.providers, self.cloud.name: self.cloud})
        self.plugins = plugins
        self.processes = {
            CONTROLLER: self.controller(self._record),
            AGENTS: Process(lambda: agents(self, plugins, self._record), self.store, self, ()),
        }

    def controller(self, record: Recorder | None = None, fault: Fault = raised) -> Process:
        """Make a process of the controllers, with a view of the cloud of its own."""
        clouds = SimClouds(self.time.now, self.time.later)

        def build() -> Engine:
            clouds.start(Instances(self.plugins), Events(self.plugins))
            return controllers(
                self.plugins,
                record,
                fault,
                instances=clouds.view,
                events=clouds.events,
                workloads=self._workload,
            )

        process = Process(build, self.store, NoHands(), (FIRST,), clouds)

        def tell(item: Input) -> None:
            process.inputs.append(item)  # which is another list after each turn

        clouds.tell = tell
        return process

    def _workload(self, key: str, node: str, now: m.Now) -> Workload | None:
        return now_or_never(look(self.store, node, now.elapsed)) if node else None

    # What a story does.

    def create(self, obj: m.Object) -> None:
        """Create an object, as a user would."""
        now_or_never(self.store.create(obj.KIND, wire.dump(obj)))

    def change(self, kind: type[m.Object], name: str, body: m.Json) -> None:
        """Merge a change into an object, as a user would."""
        now_or_never(self.store.patch(kind.KIND, name, MergePatch(body)))

    def objects(self, kind: type[m.Object]) -> tuple[m.Json, ...]:
        """Give all objects of a kind as they stand in the store."""
        return now_or_never(self.store.find(kind.KIND)).items

    def add_host(
        self, spec: HostSpec, *, agent_up: bool = True, registered: bool = True, provider_id: str = ""
    ) -> SimHost:
        """Add a host; a registered one has a Node already, by the providerID of its instance if it is one's."""
        host = SimHost(spec, self.time, self._stirred, agent_up=agent_up)
        self.hosts[spec.machine] = host
        if registered:
            metadata = {
                "name": spec.node,
                "labels": {ZONE_LABEL: spec.zone, "kubernetes.io/hostname": spec.node},
            }
            body: m.Json = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
            if provider_id:
                body["spec"] = {"providerID": provider_id}
            now_or_never(self.store.create(m.Node.KIND, body))
            self._stirred(host)
        return host

    def at(self, delay: timedelta, what: Callable[[], None]) -> None:
        """Let something happen after a delay."""
        self.time.later(delay, what)

    def watch(self, what: Callable[[], None]) -> None:
        """Call something after every turn: a witness, a person, a progress bar."""
        self._watchers.append(what)

    def listen(self, what: Recorder) -> None:
        """Call something with every decision: a recorder, a report."""
        self._listeners.append(what)

    def _born(self, one: Instance) -> None:
        """Let the host of a new instance come up."""

        def boot() -> None:
            if any(other.id == one.id for other in self.cloud.alive):
                machine = machine_of(one)
                self._births[machine] = times = self._births.get(machine, 0) + 1
                node = f"node-{machine}" if times == 1 else f"node-{machine}-{times}"
                spec = HostSpec(machine=machine, node=node, zone=one.zone)
                self.instances[one.id] = self.add_host(
                    spec, agent_up=self.boots_agents, provider_id=one.provider_id
                )

        self.time.later(self.boots_in, boot)

    def _died(self, one: Instance) -> None:
        """Let the host of an instance be no more: nobody speaks for its Node."""
        host = self.instances.pop(one.id, None)
        if host is not None:
            host.powered, host.agent_up = False, False
            host.link(up=False)
            if self.hosts.get(host.spec.machine) is host:
                del self.hosts[host.spec.machine]
            self._silent.append(host)

    def _held(self, uid: str) -> bool:
        """Tell whether a machine has an open hold, as the store shows it now."""
        ledgers = (wire.read(raw, m.RiskLedger) for raw in self.objects(m.RiskLedger))
        return any(hold.machine_uid == uid for ledger in ledgers for hold in ledger.status.holds)

    def _stirred(self, host: SimHost) -> None:
        self._restless[host.spec.machine] = None

    def _record(self, decided: Decided) -> None:
        self.decisions += 1
        self.acts += len(decided.acts)
        line = f"{decided.now.elapsed} {decided.key} {decided.acts!r} {decided.decision.notes!r}\n"
        self.trace.update(line.encode())
        for listener in self._listeners:
            listener(decided)

    # How time goes.

    def run_until(self, done: Callable[[], bool], *, limit: timedelta) -> bool:
        """Go on until `done`, or nothing can happen any more, or `limit` has passed; tell whether it is done."""
        end = self.time.elapsed + nanoseconds(limit)
        while True:
            self._settle()
            if done():
                return True
            due = [process.wake_at for process in self.processes.values()] + [self.time.next()]
            upcoming = min((at for at in due if at is not None), default=None)
            if upcoming is None or upcoming > end:
                self.time.elapsed = end if upcoming is not None else self.time.elapsed
                return done()
            self.time.elapsed = max(upcoming, self.time.elapsed)

    def rest(self, *, limit: timedelta) -> bool:
        """Go on until nothing can happen any more; tell whether that came within `limit`."""
        end = self.time.elapsed + nanoseconds(limit)
        self.run_until(lambda: False, limit=limit)
        return self.time.elapsed < end

    def _settle(self) -> None:
        """Let everything happen that can happen now."""
        busy = True
        while busy:
            busy = self.time.happen()
            self._move_kubelets()
            order = list(self.processes.values())
            self.rng.shuffle(order)
            for process in order:
                busy = process.turn(self.time.now()) or busy
                if isinstance(process.clouds, SimClouds):
                    process.clouds.plan()
            for watcher in self._watchers:
                watcher()
            busy = busy or bool(self._restless)

    def _move_kubelets(self) -> None:
        restless, self._restless = self._restless, {}
        silent, self._silent = self._silent, []
        for host in silent:
            with contextlib.suppress(ObjectNotFound):  # somebody was quicker to remove its Node
                now_or_never(report_node(self.store, host, self.time.wall()))
        for machine in restless:
            here = self.hosts.get(machine)
            if here is None:  # its instance is no more
                continue
            now_or_never(report_node(self.store, here, self.time.wall()))
            agent = self.processes[AGENTS]
            agent.inputs.append(Stirred(key=Key("agent", machine)))


async def report_node(store: Store, host: SimHost, wall: datetime, *, heartbeat: bool = False) -> None:
    """Say on its Node whether a host is Ready, as its kubelet and the node lifecycle controller would.

    Args:
        store: with the kubelet's rights.
        host: whose Node.
        wall: the stamp.
        heartbeat: whether to write even when nothing changed, as a real node lifecycle controller needs it.
    """
    raw = await store.get(m.Node.KIND, host.spec.node)
    conditions = [dict(one) for one in raw.get("status", {}).get("conditions", [])]
    ready = next((one for one in conditions if one["type"] == "Ready"), None)
    same = ready is not None and ready["status"] == host.ready.value
    if same and not heartbeat:
        return
    said = {
        m.Switch.TRUE: ("KubeletReady", "kubelet is posting ready status"),
        m.Switch.FALSE: ("KubeletNotReady", "container runtime is down"),
        m.Switch.UNKNOWN: ("NodeStatusUnknown", "Kubelet stopped posting node status."),
    }[host.ready]
    stamp = wall.strftime("%Y-%m-%dT%H:%M:%SZ")
    fresh = {
        "type": "Ready", "status": host.ready.value, "reason": said[0], "message": said[1],
        "lastTransitionTime": ready["lastTransitionTime"] if ready is not None and same else stamp,
    }  # fmt: skip
    if heartbeat:
        fresh["lastHeartbeatTime"] = stamp
    others = [one for one in conditions if one["type"] != "Ready"]
    body = {
        "metadata": {"resourceVersion": raw["metadata"]["resourceVersion"]},
        "status": {"conditions": [fresh, *others]},
    }
    await store.patch(m.Node.KIND, host.spec.node, MergePatch(body), subresource="status")


__all__ = ["AGENTS", "CONTROLLER", "Process", "SimulatedCrash", "Simulation", "VirtualTime", "report_node"]
