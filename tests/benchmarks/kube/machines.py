"""The objects of the benchmark: machines as users, sets and agents leave them, and the one change that is made to them.

    python -m tests.benchmarks.kube.machines KUBECONFIG COUNT TURN

changes the spec of so many machines, as fast as the server lets it.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

from kubenode.core.model.meta import FINALIZER
from tests.benchmarks.kube.raw import IN_FLIGHT, MACHINES, Server

COMPONENTS: Final = ("containerd", "kubelet", "node-exporter", "cni-plugin", "nvidia-driver", "chrony")
VERSION: Final = "1.7.2"


def name_of(number: int) -> str:
    """Name a machine."""
    return f"m{number:05}"


def machine(number: int) -> dict[str, Any]:
    """Give a machine of a pool, with entries of six components: 3.6 KB as served, with its status and managedFields."""
    entries = {
        name: {"set": name, "component": f"{name}-{VERSION}", "revision": "3", "batch": 4, "state": "Running"}
        for name in COMPONENTS
    }
    pool = f"pool-{number % 20}"
    return {
        "apiVersion": "kubenode.dev/v1alpha1",
        "kind": "Machine",
        "metadata": {
            "name": name_of(number), "finalizers": [FINALIZER],
            "labels": {"pool": pool, "topology.kubernetes.io/zone": "abc"[number % 3]},
        },
        "spec": {
            "host": {"address": f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"},
            "labels": {"pool": pool, "turn": "0"}, "components": entries,
        },
    }  # fmt: skip


def report() -> dict[str, Any]:
    """Give what the agent of such a machine says: all is as wanted."""
    reports = {
        name: {
            "component": f"{name}-{VERSION}", "revision": "3", "version": VERSION, "config": "Current", "state": "Running",
        }
        for name in COMPONENTS
    }  # fmt: skip
    return {"version": "0.1.0", "bootID": "4c1f2d6e-9c1b-4d0a-8a70-1f3d6f8a2b11", "components": reports}


async def make(server: Server, count: int) -> None:
    """Put so many machines on the server, each with its agent's report."""

    async def one(number: int) -> None:
        made = machine(number)
        await server.call("POST", MACHINES, made)
        await server.merge(f"{MACHINES}/{name_of(number)}/status", {"status": {"agent": report()}})

    await spread(one, count)


async def change(server: Server, count: int, turn: int) -> None:
    """Change the spec of each."""

    async def one(number: int) -> None:
        await server.merge(f"{MACHINES}/{name_of(number)}", {"spec": {"labels": {"turn": str(turn)}}})

    await spread(one, count)


async def clear(server: Server, count: int, annotations: tuple[str, ...]) -> None:
    """Take annotations off each machine."""
    body = {"metadata": {"annotations": dict.fromkeys(annotations)}}
    await spread(lambda number: server.merge(f"{MACHINES}/{name_of(number)}", body), count)


async def spread(one: Any, count: int) -> None:
    """Do something for each machine, some at a time."""
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await one(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(work())


async def _main(kubeconfig: str, count: str, turn: str) -> None:
    async with Server(Path(kubeconfig)) as server:
        await change(server, int(count), int(turn))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
