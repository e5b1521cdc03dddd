"""The agents and kubelets of simulated hosts, all in one process, which is not the one that is measured.

    python -m tests.benchmarks.kube.agents KUBECONFIG COUNT

says `ready` when every Node is there; then a line `hang m00003` on standard input lets a host hang until a unit is restarted. They decide
and write as agents do; kubelets write only what has changed, since heartbeats of so many would be all that the server does.
"""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from kubenode.core import model as m
from kubenode.core.model.meta import ZONE_LABEL
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.host import Heals, HostSpec, SimHost
from kubenode.runtime.sim.live import LiveHosts
from kubenode.runtime.sim.run import report_node
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.store.kube import KubeStore
from tests.benchmarks.kube.contestant import given, ready
from tests.benchmarks.kube.machines import name_of, spread

STEP_TIME = timedelta(seconds=1)


class Hosts(LiveHosts):
    """Hosts whose kubelets write what has changed, and nothing else."""

    def begin(self, count: int, kubelets: KubeStore) -> None:
        """Add so many hosts."""
        self._store = kubelets
        self._restless_hosts: asyncio.Queue[SimHost] = asyncio.Queue()
        specs = (
            HostSpec(
                machine=name_of(number),
                node=f"node-{name_of(number)}",
                zone="abc"[number % 3],
                step_time=STEP_TIME,
            )
            for number in range(count)
        )
        self.add({spec.machine: spec for spec in specs})

    async def make_nodes(self) -> None:
        """Let every host join."""
        hosts = list(self.hosts.values())

        async def join(number: int) -> None:
            spec = hosts[number].spec
            metadata = {
                "name": spec.node,
                "labels": {ZONE_LABEL: spec.zone, "kubernetes.io/hostname": spec.node},
            }
            await self._store.create(m.Node.KIND, {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
            await report_node(self._store, hosts[number], SystemClock().now().wall)

        await spread(join, len(hosts))

    def _changed(self, host: SimHost) -> None:
        super()._changed(host)
        self._restless_hosts.put_nowait(host)

    async def _kubelet_loop(self) -> None:
        while True:
            host = await self._restless_hosts.get()
            await report_node(self._store, host, SystemClock().now().wall)


async def hang_when_told(hosts: Hosts) -> None:
    """Read who is to hang, until the input ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().split():
        hosts.hosts[line[1]].hang(kernel_lines(), frees=Heals.RESTART)


async def main(kubeconfig: Path, count: int) -> None:
    """Run until the input ends."""
    async with KubeStore.connect(kubeconfig=kubeconfig) as store:
        hosts = Hosts(store, store, SystemClock(), Plugins.discover())
        hosts.begin(count, store)
        await hosts.make_nodes()
        living = asyncio.create_task(hosts.live())
        ready()
        await hang_when_told(hosts)
        hosts.driver.stop()
        await living


if __name__ == "__main__":
    asyncio.run(main(given(), int(sys.argv[2])))
