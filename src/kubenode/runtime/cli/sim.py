"""`kubenode sim`: simulated hosts against a real API server, for try-outs and end-to-end tests."""

import asyncio
import signal
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kubenode.core.errors import KubenodeError
from kubenode.runtime.cli.connect import connect
from kubenode.runtime.cli.logs import to_stderr
from kubenode.runtime.cli.output import Output, fail
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.host import HostSpec
from kubenode.runtime.sim.live import LiveHosts
from kubenode.runtime.store.client import load

sim = typer.Typer(no_args_is_help=True, help="Simulated hosts against a real API server.")


@sim.callback()
def _group() -> None:
    """Simulated hosts against a real API server."""


@sim.command()
def agent(
    machine: Annotated[str, typer.Argument(help="Name of the Machine whose host this is.")],
    kubeconfig: Annotated[Path, typer.Option(help="Credentials of the agent (kubenode:agent:MACHINE).")],
    kubelet_kubeconfig: Annotated[Path, typer.Option(help="Credentials of the kubelet (system:node:NODE).")],
    node: Annotated[str | None, typer.Option(help="Name of its Node; default node-MACHINE.")] = None,
    zone: Annotated[str, typer.Option(help="Zone of its Node.")] = "a",
    kmsg: Annotated[
        Path | None,
        typer.Option(help="When this file appears, the host hangs and its kernel log says these lines."),
    ] = None,
    step_seconds: Annotated[float, typer.Option(help="How long one host step takes.")] = 0.2,
    boot_seconds: Annotated[float, typer.Option(help="How long a reboot takes.")] = 2.0,
) -> None:
    """Run one simulated host: its agent and its kubelet, with their own credentials, until SIGTERM."""
    to_stderr(verbose=False)
    spec = HostSpec(
        machine=machine, node=node or f"node-{machine}", zone=zone,
        step_time=timedelta(seconds=step_seconds), boot_time=timedelta(seconds=boot_seconds),
    )  # fmt: skip
    try:
        asyncio.run(serve(spec, kubeconfig, kubelet_kubeconfig, kmsg))
    except KubenodeError as error:
        fail(error, Output.TABLE)


async def serve(spec: HostSpec, agent_config: Path, kubelet_config: Path, kmsg: Path | None) -> None:
    """Run one host until a signal."""
    kubelet = connect(kubelet_config, field_manager="kubelet")
    from kubenode.runtime.agent.own import OwnMachine  # what it needs is there: a store was made

    agent = OwnMachine.of(spec.machine, partial(load, agent_config))
    async with agent as agent_store, kubelet as kubelet_store:
        hosts = LiveHosts(agent_store, kubelet_store, SystemClock(), Plugins.discover())
        hosts.add({spec.machine: spec})
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, hosts.driver.stop)
        waiting = (
            asyncio.create_task(_hang_when_told(hosts, spec.machine, kmsg)) if kmsg is not None else None
        )
        try:
            await hosts.live()
        finally:
            if waiting is not None:
                waiting.cancel()


async def _hang_when_told(hosts: LiveHosts, machine: str, kmsg: Path) -> None:
    while not await asyncio.to_thread(kmsg.exists):
        await asyncio.sleep(0.2)
    lines = (await asyncio.to_thread(kmsg.read_text, encoding="utf-8")).splitlines()
    hosts.hosts[machine].hang(tuple(line for line in lines if line and not line.startswith("#")))
