"""What it costs to list all machines into the engine's cache; a process of its own, which prints what it found as JSON.

    python -m tests.benchmarks.kube.listing KUBECONFIG [held]

The engine's own driver on a KubeStore, without controllers, so that nothing is counted but the way from the server into the cache.
With `held` memory is traced, and time is not worth reading.
"""

import asyncio
import gc
import json
import resource
import sys
import time
import tracemalloc
from pathlib import Path

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.policy import Policy
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.engine import Engine
from kubenode.runtime.engine.drive import Driver
from kubenode.runtime.store.cache import Cache
from kubenode.runtime.store.kube import KubeStore
from tests.benchmarks.kube import machines

TICK_S = 0.001


class Blocks:
    """The longest CPU time that passed between two turns of the loop: how long nobody else had his."""

    longest = 0.0

    async def run(self) -> None:
        """Watch until cancelled."""
        before = time.thread_time()
        while True:
            await asyncio.sleep(TICK_S)
            now = time.thread_time()
            self.longest = max(self.longest, now - before)
            before = now


async def main(kubeconfig: Path, *, held: bool) -> dict[str, float]:
    """List, and give what that took."""
    wire.read(
        {**machines.machine(0), "status": {"agent": machines.report()}}, m.Machine
    )  # compiles the reader
    async with KubeStore.connect(kubeconfig=kubeconfig) as store:
        await store.find(m.Machine.KIND, limit=1)
        engine = Engine(Cache((m.Machine,)), (), policy=Policy)
        driver = Driver(engine, store, SystemClock())
        blocks = Blocks()
        gc.collect()
        if held:
            tracemalloc.start()
        before, base = time.process_time(), tracemalloc.get_traced_memory()[0]
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(blocks.run())
            running = group.create_task(driver.run())
            await driver.rest()
            took = time.process_time() - before
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - base
            watching.cancel()
            driver.stop()
            await running
        return {
            "objects": engine.cache.count(m.Machine), "cpu": took, "block": blocks.longest, "held": grown,
            "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1]), held="held" in sys.argv))))
