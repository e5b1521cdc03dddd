"""A process of its own with simulated hosts, each with an agent and a kubelet that have their own credentials.

    python -m tests.cluster.faults.hosts LOG

Told what to do by lines of JSON on standard input, each answered by a line; writes to LOG what was really done on
the hosts, which is nobody's report, and ends with its standard input.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from kubenode.runtime.agent.own import OwnMachine
from kubenode.runtime.cli.connect import connect
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.host import HostSpec, SimHost
from kubenode.runtime.sim.live import LiveHosts
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.store.client import load

HEARTBEAT = 2.0
LINE_LIMIT = 1 << 20


class Hosts:
    """The hosts of this process. Each has connections of its own: one agent's credentials never serve another."""

    def __init__(self, log: Path, stack: AsyncExitStack, group: asyncio.TaskGroup) -> None:
        self._log = log
        self._stack = stack
        self._group = group
        self._clock = SystemClock()
        self._plugins = Plugins.discover()
        self._live: dict[str, LiveHosts] = {}

    async def do(self, order: dict[str, Any]) -> None:
        """Do what was asked."""
        match order:
            case {"do": "add", "machine": machine}:
                await self._add(machine, order)
            case {"do": "hang", "machine": machine}:
                self._host(machine).hang(kernel_lines())
            case {"do": "link", "machine": machine, "up": up}:
                self._host(machine).link(up)
            case {"do": "write"}:
                self._write()
            case _:
                raise ValueError(f"what is {order}?")

    def stop(self) -> None:
        """Let all end in order."""
        for live in self._live.values():
            live.driver.stop()

    async def _add(self, machine: str, order: dict[str, Any]) -> None:
        agent = await self._stack.enter_async_context(
            OwnMachine.of(machine, partial(load, Path(order["agent"])))
        )
        kubelet = await self._stack.enter_async_context(
            connect(Path(order["kubelet"]), field_manager="kubelet")
        )
        live = LiveHosts(agent, kubelet, self._clock, self._plugins, heartbeat=HEARTBEAT)
        live.add({machine: HostSpec(
            machine=machine, node=order["node"], zone=order["zone"], refuses=frozenset(order["refuses"]),
            step_time=timedelta(seconds=order["step"]), boot_time=timedelta(seconds=order["boot"]),
        )})  # fmt: skip
        self._live[machine] = live
        self._group.create_task(live.live())

    def _host(self, machine: str) -> SimHost:
        return self._live[machine].hosts[machine]

    def _write(self) -> None:
        now = self._clock.now()
        ahead = int(now.wall.timestamp() * 1e9) - now.elapsed
        told = {
            machine: {
                "zone": (host := self._host(machine)).spec.zone,
                "repeats": host.repeats,
                "spans": [
                    {"op_id": span.op_id, "steps": [repr(step) for step in span.steps], "disruption": span.disruption.value,
                     "began": span.began + ahead, "ended": None if span.ended is None else span.ended + ahead}
                    for span in host.spans
                ],
            }
            for machine in self._live
        }  # fmt: skip
        self._log.write_text(json.dumps(told))


async def _main(log: Path) -> None:
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        hosts = Hosts(log, stack, group)
        while line := await reader.readline():
            await hosts.do(json.loads(line))
            print("done", flush=True)
        hosts.stop()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
