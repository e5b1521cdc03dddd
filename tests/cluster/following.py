"""One Machine, followed on a real server as the engine follows a kind: listed, watched, and listed again when it has to be."""

import asyncio
from contextlib import suppress
from typing import Final

from kubenode.core.errors import Expired
from kubenode.core.model import Json, Machine
from kubenode.runtime.store.contract import EventType
from kubenode.runtime.store.kube import KubeStore

KIND: Final = Machine.KIND


def machine(name: str) -> Json:
    """Give a Machine to create."""
    return {
        "apiVersion": KIND.api_version,
        "kind": KIND.name,
        "metadata": {"name": name},
        "spec": {"host": {"address": "192.0.2.1"}},
    }


async def follow(store: KubeStore, name: str, seen: list[str]) -> None:
    """List and watch as the engine does, and note each change of one object's label `step`, until it is gone."""
    while not seen or seen[-1] != "gone":
        listing = await store.find(KIND)
        held = {item["metadata"]["name"]: item for item in listing.items}
        _note(seen, held.get(name))
        watch = await store.watch(KIND, resource_version=listing.resource_version)
        # A server that has just begun may have forgotten: then the list says what was missed.
        with suppress(Expired):
            while seen[-1] != "gone":
                for event in await watch.events():
                    if event.object["metadata"].get("name") == name:
                        _note(seen, None if event.type is EventType.DELETED else event.object)
        await watch.close()


def _note(seen: list[str], obj: Json | None) -> None:
    now = "gone" if obj is None else str(obj["metadata"].get("labels", {}).get("step", "made"))
    if seen[-1:] != [now]:
        seen.append(now)


async def noted(seen: list[str], step: str) -> None:
    """Wait until a change was noted."""
    async with asyncio.timeout(60):
        while step not in seen:
            await asyncio.sleep(0.05)
