"""Connections to a real server that stay open and carry nothing any more: a time limit ends each, and what was asked is settled."""

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kubenode.core.errors import Unreachable
from kubenode.runtime.store.contract import EventType, MergePatch
from kubenode.runtime.store.following import as_is
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.transport import Limits
from kubenode.runtime.testing import ControlPlane
from tests.cluster.faults.proxy import Asked, Fault, Proxy
from tests.cluster.following import KIND, follow, machine, noted

pytestmark = pytest.mark.cluster

LIMIT = 2.0
SHORT = Limits(
    call=timedelta(seconds=LIMIT), connect=timedelta(seconds=LIMIT), silence=timedelta(seconds=LIMIT)
)


@pytest.fixture
def proxy(plane: ControlPlane, tmp_path: Path) -> Iterator[Proxy]:
    """Give a proxy before the control plane."""
    with Proxy(plane.admin_kubeconfig, plane.folder / "pki", tmp_path) as running:
        yield running


class Silent(Fault):
    """The first request of some kind is never answered; whether it is done is another matter."""

    def __init__(self, method: str, *, watches: bool = False, done: bool = False) -> None:
        self._what = (method, watches)
        self._done = done
        self.asked = 0

    async def before(self, asked: Asked) -> web.Response | None:
        """Let it wait for ever, undone."""
        if (asked.method, asked.watches) == self._what:
            self.asked += 1
            if self.asked == 1 and not self._done:
                await asyncio.Event().wait()
        return None

    async def after(self, asked: Asked, status: int) -> None:
        """Let it wait for ever, done."""
        if asked.method == self._what[0] and self.asked == 1 and self._done:
            await asyncio.Event().wait()


def through(proxy: Proxy, body: Callable[[KubeStore], Coroutine[Any, Any, None]]) -> None:
    """Run a body with a store behind a proxy."""

    async def main() -> None:
        async with KubeStore.connect(kubeconfig=proxy.kubeconfig, limits=SHORT) as store:
            await body(store)

    asyncio.run(main())
    gc.collect()  # a connection that was given up and not ended would tell so now


@pytest.mark.parametrize("goes", [False, True], ids=["the network", "the server with it"])
def test_a_watch_that_has_told_things_and_falls_silent_is_replaced(
    plane: ControlPlane, proxy: Proxy, *, goes: bool
) -> None:
    """No end ever reaches us; what happens after that is told on another connection."""

    async def body(store: KubeStore) -> None:
        name = f"half-open-{goes}".lower()
        await store.create(KIND, machine(name))
        seen: list[str] = []
        following = asyncio.create_task(follow(store, name, seen))
        await noted(seen, "made")
        await store.patch(KIND, name, MergePatch({"metadata": {"labels": {"step": "watched"}}}))
        await noted(seen, "watched")
        before = len(proxy.connections)
        await asyncio.to_thread(proxy.freeze)
        if goes:
            await asyncio.to_thread(plane.restart_apiserver)
        # Past our own store: of its connections, none that it has tells it.
        await asyncio.to_thread(plane.kubectl, "label", "machine", name, "step=missed", "--overwrite")
        await noted(seen, "missed")
        assert len(proxy.connections) > before
        await store.delete(KIND, name)
        async with asyncio.timeout(60):
            await following
        assert seen == ["made", "watched", "missed", "gone"]

    through(proxy, body)


def test_a_list_that_is_never_answered_is_asked_again(proxy: Proxy) -> None:
    """After the limit of a call, on another connection."""

    async def body(store: KubeStore) -> None:
        await store.create(KIND, machine("half-open-list"))
        fault = proxy.fault = Silent("GET")
        began = time.monotonic()
        listing = await store.find(KIND)
        assert time.monotonic() - began > LIMIT
        assert fault.asked == 2
        assert "half-open-list" in {item["metadata"]["name"] for item in listing.items}
        await store.delete(KIND, "half-open-list")

    through(proxy, body)


def test_a_streamed_list_that_falls_silent_is_listed_in_pages(proxy: Proxy) -> None:
    """And watched from there: what happens after it is told."""

    async def body(store: KubeStore) -> None:
        fault = proxy.fault = Silent("GET", watches=True)
        began = time.monotonic()
        listing, watch = await store.follow(KIND, as_is)
        assert time.monotonic() - began > LIMIT
        made = await store.create(KIND, machine("half-open-stream"))
        told = [event for event in await watch.events() if event.type is not EventType.BOOKMARK]
        assert [event.object for event in told] == [made]
        assert fault.asked == 2
        assert made["metadata"]["name"] not in {item["metadata"]["name"] for item in listing.items}
        await watch.close()
        await store.delete(KIND, "half-open-stream")

    through(proxy, body)


@pytest.mark.parametrize("done", [False, True])
def test_a_patch_that_is_never_answered_ends_and_is_not_sent_again(proxy: Proxy, *, done: bool) -> None:
    """It may have been done: whoever wanted it looks first, and finds out."""

    async def body(store: KubeStore) -> None:
        name = f"half-open-patch-{done}".lower()
        before = await store.create(KIND, machine(name))
        fault = proxy.fault = Silent("PATCH", done=done)
        began = time.monotonic()
        with pytest.raises(Unreachable):
            await store.patch(KIND, name, MergePatch({"metadata": {"labels": {"step": "one"}}}))
        assert LIMIT < time.monotonic() - began < 10 * LIMIT
        assert fault.asked == 1
        found = await store.get(KIND, name)
        assert found["metadata"].get("labels") == ({"step": "one"} if done else None)
        assert (found == before) is not done
        await store.delete(KIND, name)

    through(proxy, body)
