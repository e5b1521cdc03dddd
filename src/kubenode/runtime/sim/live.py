"""Simulated hosts on real time: their agents and kubelets against any Store, for end-to-end tests and try-outs."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta

from kubenode.core import model as m
from kubenode.core.errors import AlreadyExists, ApiError
from kubenode.core.host.inspection import INSPECT_EVERY
from kubenode.core.model.meta import ZONE_LABEL
from kubenode.runtime.agent.controller import agents
from kubenode.runtime.clock import Clock
from kubenode.runtime.engine.drive import Driver, survived
from kubenode.runtime.engine.loop import Stirred
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.host import HostSpec, SimHost
from kubenode.runtime.sim.hosts import SimHosts
from kubenode.runtime.sim.run import report_node
from kubenode.runtime.store.contract import Store

LOG = logging.getLogger("kubenode.sim")
HEARTBEAT = 10.0
AGAIN = 1.0


class LiveTimer:
    """Time as the event loop keeps it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> m.Now:
        """Give the time."""
        return self._clock.now()

    def later(self, delay: timedelta, what: Callable[[], None]) -> None:
        """Do something after a delay."""
        asyncio.get_running_loop().call_later(delay.total_seconds(), what)


class LiveHosts(SimHosts):
    """Some simulated hosts in this process, each with an agent and a kubelet.

    Args:
        agent_store: with the agents' credentials.
        kubelet_store: with the kubelets' (system:node:...).
        heartbeat: how often a kubelet says that it is there, in seconds.
    """

    def __init__(
        self, agent_store: Store, kubelet_store: Store, clock: Clock, plugins: Plugins, *,
        heartbeat: float = HEARTBEAT,
    ) -> None:  # fmt: skip
        self._kubelets = kubelet_store
        self._heartbeat = heartbeat
        self._timer = LiveTimer(clock)
        self._restless = asyncio.Event()
        self.hosts: dict[str, SimHost] = {}
        self.driver = Driver(
            agents(self, plugins, fault=survived, inspect=INSPECT_EVERY), agent_store, clock, hands=self
        )

    def add(self, specs: Mapping[str, HostSpec]) -> None:
        """Add hosts; from within the loop."""
        for machine, spec in specs.items():
            self.hosts[machine] = SimHost(spec, self._timer, self._changed)

    def drop(self, machine: str) -> None:
        """Take a host away, as when its instance is terminated: nothing more is heard of it."""
        self.hosts.pop(machine).link(up=False)

    def _changed(self, host: SimHost) -> None:
        self._restless.set()
        self.driver.tell(Stirred(key=Key("agent", host.spec.machine)))

    async def live(self) -> None:
        """Run agents and kubelets until the driver is stopped."""
        kubelets = asyncio.create_task(self._kubelet_loop())
        try:
            await self.driver.run()
        finally:
            kubelets.cancel()

    async def _kubelet_loop(self) -> None:
        while True:
            self._restless.clear()
            pause = self._heartbeat
            for host in (*self.hosts.values(),):  # some come and go while one is reported
                try:
                    await self._report(host)
                except ApiError as error:
                    LOG.warning("event=kubelet-failed node=%s error=%s", host.spec.node, error)
                    pause = AGAIN
            try:
                async with asyncio.timeout(pause):
                    await self._restless.wait()
            except TimeoutError:
                continue

    async def _report(self, host: SimHost) -> None:
        if not host.linked:
            return
        labels = {ZONE_LABEL: host.spec.zone, "kubernetes.io/hostname": host.spec.node}
        try:
            await self._kubelets.get(m.Node.KIND, host.spec.node)
        except ApiError:
            body = {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": host.spec.node, "labels": labels},
                **({"spec": {"providerID": host.spec.provider_id}} if host.spec.provider_id else {}),
            }
            try:
                await self._kubelets.create(m.Node.KIND, body)
            except AlreadyExists:
                LOG.debug("event=node-known node=%s", host.spec.node)
        await report_node(self._kubelets, host, self._timer.now().wall, heartbeat=True)
