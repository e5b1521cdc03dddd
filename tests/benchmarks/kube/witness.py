"""Sees every machine, by a watch of its own, and tells when each change of a spec was answered in the status."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Self

from tests.benchmarks.kube.raw import MACHINES, Server


class Witness:
    """What is known of all machines; an async context manager."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen: dict[str, Any] = {}
        self._changed = asyncio.Event()
        self.answered_at: list[float] = []
        """When a machine was seen answered that was not before, monotonic seconds; whoever reads it clears it first."""

    async def __aenter__(self) -> Self:
        """List, and begin to watch."""
        version = ""
        async for items, at in self._server.pages(MACHINES):
            version = at
            for one in items:
                self._see(one)
        self._task = asyncio.create_task(self._watch(version))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _watch(self, version: str) -> None:
        async for event in self._server.events(MACHINES, version):
            self._see(event["object"])

    def _see(self, one: Any) -> None:
        one["metadata"].pop("managedFields", None)
        name = one["metadata"]["name"]
        before = self._seen.get(name)
        self._seen[name] = one
        if is_answered(one) and before is not None and not is_answered(before):
            self.answered_at.append(time.monotonic())
        self._changed.set()

    async def until(self, true: Callable[[Any], bool], within: float = 1200.0) -> None:
        """Wait until something is true of every machine.

        Raises:
            TimeoutError: it did not come; with how many are left.
        """
        try:
            async with asyncio.timeout(within):
                while not all(map(true, self._seen.values())):
                    self._changed.clear()
                    waiting = asyncio.ensure_future(self._changed.wait())
                    await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()
                    if self._task.done():
                        raise RuntimeError("the watch of the witness has ended") from self._task.exception()
                    await asyncio.sleep(
                        0.02
                    )  # looking at all of them after every event would cost more than the events
        except TimeoutError:
            left = sum(not true(one) for one in self._seen.values())
            raise TimeoutError(
                f"{left} of {len(self._seen)} machines were not as wanted after {within:.0f} s"
            ) from None


def is_answered(machine: Any) -> bool:
    """Tell whether the status speaks of the spec as it is."""
    return bool(machine.get("status", {}).get("observedGeneration") == machine["metadata"]["generation"])
