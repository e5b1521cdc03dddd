"""Bookmarks of the embedded store."""

import asyncio
from datetime import UTC, datetime

from kubenode.core.crd import schema_of
from kubenode.core.model import Json, Machine, Node
from kubenode.runtime.store.contract import WatchEvent
from kubenode.runtime.store.embedded import EmbeddedStore, now_or_never

KIND = Machine.KIND


def store() -> EmbeddedStore:
    """Make a store."""
    return EmbeddedStore(
        [(KIND, schema_of(Machine)), (Node.KIND, None)], clock=lambda: datetime(2026, 1, 2, tzinfo=UTC)
    )


def body(name: str) -> Json:
    """Write a Machine."""
    named = {"apiVersion": KIND.api_version, "kind": "Machine", "metadata": {"name": name}}
    return {**named, "spec": {"host": {"address": "h"}}}


def brief(events: tuple[WatchEvent, ...]) -> list[tuple[str, str]]:
    """Give type and version of each event."""
    return [(event.type.value, event.object["metadata"]["resourceVersion"]) for event in events]


def test_bookmarks_come_to_who_asked() -> None:
    """Behind the events that they cover, before later ones, once, and not when nothing has moved."""
    api = store()
    marked = now_or_never(api.watch(KIND, resource_version="1", bookmarks=True))
    plain = now_or_never(api.watch(KIND, resource_version="1"))
    now_or_never(api.create(KIND, body("a")))
    api.bookmark()
    now_or_never(api.create(KIND, body("b")))
    found = marked.drain()
    assert brief(found) == [("ADDED", "2"), ("BOOKMARK", "2"), ("ADDED", "3")]
    assert found[1].object == {
        "apiVersion": KIND.api_version,
        "kind": "Machine",
        "metadata": {"resourceVersion": "2"},
    }
    assert brief(plain.drain()) == [("ADDED", "2"), ("ADDED", "3")]
    api.bookmark()
    assert marked.drain() == ()


def test_a_bookmark_wakes_who_waits() -> None:
    """It tells of versions that other kinds have used."""

    async def run() -> tuple[WatchEvent, ...]:
        api = store()
        start = (await api.find(KIND)).resource_version
        watch = await api.watch(KIND, resource_version=start, bookmarks=True)
        waiting = asyncio.create_task(watch.events())
        await asyncio.sleep(0)
        await api.create(Node.KIND, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
        await asyncio.sleep(0)
        assert not waiting.done()
        api.bookmark()
        return await waiting

    assert brief(asyncio.run(run())) == [("BOOKMARK", "2")]
