"""A notebook whose cells run as tasks of one loop that never ends: what one cell starts, another one ends."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import pytest

from kubenode.core import model as m
from kubenode.runtime.embed import EmbeddedStore, Engine, EngineFailed, Record
from tests.runtime.embed.world import OURS, PATIENCE, REBOOT, granted, hung_cluster, nothing_left, sick, until

T = TypeVar("T")
MACHINE: m.Json = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": {"name": "m9"},
    "spec": {"host": {"address": "10.0.0.9"}},
}  # fmt: skip


class Notebook:
    """A loop in a thread, as the kernel of a notebook has it; every cell is a task of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def cell(self, code: Coroutine[Any, Any, T]) -> T:
        """Run a cell to its end."""
        return asyncio.run_coroutine_threadsafe(code, self.loop).result(PATIENCE)

    def tasks(self) -> int:
        """Count the tasks that live between two cells."""

        async def count() -> int:
            return len(asyncio.all_tasks()) - 1

        return self.cell(count())

    def close(self) -> None:
        """Shut the kernel down."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    """One notebook, shut down in the end."""
    one = Notebook()
    yield one
    one.close()


class Fragile(EmbeddedStore):
    """A store whose writes end the engine as soon as it is told to."""

    armed = False

    async def arm(self) -> None:
        """From now on fail, and let there be something to write."""
        self.armed = True
        await self.create(m.Machine.KIND, MACHINE)

    async def patch(self, *words: Any, **more: Any) -> m.Json:
        """Fail, when armed."""
        if self.armed:
            raise ZeroDivisionError("the store is broken")
        return await super().patch(*words, **more)


def test_an_engine_lives_from_one_cell_to_another(notebook: Notebook) -> None:
    """It works between them, while no cell runs; after its end neither a task nor a thread of it is left."""
    store = hung_cluster(REBOOT)
    records: list[Record] = []
    with nothing_left():
        engine = Engine(store, plugins=OURS, sinks={"seen": records.append})
        stack = AsyncExitStack()
        notebook.cell(stack.enter_async_context(engine))
        notebook.cell(until(lambda: granted(store) == ["n1"]))
        assert "running" in repr(engine)
        before = len(records)
        notebook.cell(
            store.create(m.Node.KIND, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n9"}})
        )
        notebook.cell(until(lambda: len(records) > before))
        notebook.cell(stack.aclose())
        assert "over" in repr(engine)
        assert notebook.tasks() == 0


def test_a_failure_between_cells_cancels_no_cell_and_is_told_by_the_one_that_ends_it(
    notebook: Notebook,
) -> None:
    """The cell that started it is over; whatever runs meanwhile is not the engine's host."""
    store = Fragile([*sick("n1")], cel=False)
    with nothing_left():
        engine = Engine(store, plugins=OURS)
        stack = AsyncExitStack()
        notebook.cell(stack.enter_async_context(engine))
        notebook.cell(store.arm())
        notebook.cell(until(lambda: engine._failure is not None))
        notebook.cell(asyncio.sleep(0))
        with pytest.raises(EngineFailed, match="ZeroDivisionError: the store is broken"):
            notebook.cell(stack.aclose())
        assert notebook.tasks() == 0


def test_a_cell_that_is_interrupted_while_it_ends_a_failed_engine_is_interrupted(notebook: Notebook) -> None:
    """The engine had a cell of long ago to cancel: this cancellation is not its own, and is not swallowed."""
    store = Fragile([*sick("n1")], cel=False)
    free = threading.Event()

    async def cell(engine: Engine, stack: AsyncExitStack) -> None:
        await store.arm()
        await until(lambda: engine._failure is not None)
        ending = asyncio.ensure_future(stack.aclose())
        await asyncio.sleep(0.05)
        assert not ending.done()
        ending.cancel()
        await asyncio.sleep(0.05)
        free.set()
        with pytest.raises(asyncio.CancelledError):
            await ending

    with nothing_left():
        engine = Engine(store, plugins=OURS, sinks={"slow": lambda _: free.wait(PATIENCE) and None})
        stack = AsyncExitStack()
        notebook.cell(stack.enter_async_context(engine))
        notebook.cell(cell(engine, stack))
        assert notebook.tasks() == 0
