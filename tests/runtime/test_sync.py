"""Labels and annotations on Nodes of the embedded store, by server-side apply; `tests/cluster` plays the same on a real server."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from kubenode.core.model import Node
from kubenode.runtime.store.contract import Store
from kubenode.runtime.store.embedded import EmbeddedStore
from tests.runtime.syncing import PLAYS


@pytest.mark.parametrize("play", PLAYS)
def test_labels_and_annotations_are_applied(play: Callable[[Store, str], Awaitable[None]]) -> None:
    """What is ours, shared and foreign, and what becomes of each."""
    asyncio.run(_played(play))


async def _played(play: Callable[[Store, str], Awaitable[None]]) -> None:
    await play(EmbeddedStore([(Node.KIND, None)], clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)), "n1")
