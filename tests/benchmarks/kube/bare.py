"""The bare loop: list, watch, patch, and nothing else. No cache and no recovery: the least that Python can do."""

import asyncio
from pathlib import Path
from typing import Any

from tests.benchmarks.kube.contestant import given, ready
from tests.benchmarks.kube.raw import IN_FLIGHT, MACHINES, Server


class Loop:
    """Answers each machine whose spec is newer than what its status speaks of."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._queue: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    def see(self, machine: Any) -> None:
        """Look at a machine."""
        metadata = machine["metadata"]
        if machine.get("status", {}).get("observedGeneration") != metadata["generation"]:
            self._queue.put_nowait((metadata["name"], metadata["generation"]))

    async def answer(self) -> None:
        """Answer what is asked, one at a time."""
        while True:
            name, generation = await self._queue.get()
            body = {"status": {"observedGeneration": generation}}
            await self._server.merge(f"{MACHINES}/{name}/status", body)
            self._queue.task_done()

    async def run(self) -> None:
        """List, watch, and answer for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(self.answer())
            version = ""
            async for items, at in self._server.pages(MACHINES):
                version = at
                for machine in items:
                    self.see(machine)
            await self._queue.join()
            ready()
            async for event in self._server.events(MACHINES, version):
                self.see(event["object"])


async def main(kubeconfig: Path) -> None:
    """Run until killed."""
    async with Server(kubeconfig) as server:
        await Loop(server).run()


if __name__ == "__main__":
    asyncio.run(main(given()))
