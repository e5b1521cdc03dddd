"""How often a client tries to connect while its server does not answer: all that it wants at once, taken together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise

import pytest

from kubenode.core.errors import Unreachable
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.transport import Limits
from tests.runtime.api_server import KIND, ApiServer, machine, says

EVERY = 0.1
LIMITS = Limits(
    reconnect=timedelta(seconds=EVERY), first_pause=timedelta(milliseconds=1),
    longest_pause=timedelta(milliseconds=4), patience=timedelta(seconds=1),
)  # fmt: skip


class Gone:
    """A port where nobody answers: each connection is counted, and reset, or kept waiting."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.resets = True
        self._kept: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Gone":
        self._server = await asyncio.start_server(self._taken, "127.0.0.1", 0)
        self.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self._kept:
            writer.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    def _taken(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(asyncio.get_running_loop().time())
        self._kept.append(writer)
        if self.resets:
            writer.transport.abort()


@asynccontextmanager
async def failed() -> AsyncIterator[tuple[Gone, KubeStore]]:
    """A server that is away, and a store that has found that out."""
    async with Gone() as server:
        connection = Connection(url=server.url)
        async with KubeStore(lambda: connection, limits=LIMITS) as store:
            with pytest.raises(Unreachable):
                await store.get(KIND, "m1")
            yield server, store


def test_a_server_that_is_away_is_tried_by_one_at_a_time() -> None:
    """Twenty callers that cannot wait: their tries are as far apart as those of one, but for the first ones."""

    async def main() -> None:
        async with failed() as (server, store):
            begun = len(server.asked)
            answers = await asyncio.gather(
                *(store.get(KIND, f"m{number}") for number in range(20)), return_exceptions=True
            )
            assert {type(one) for one in answers} == {Unreachable}
            tried = server.asked[1:]  # before the first failure nobody knew
            assert len(server.asked) > begun > 1
            assert min(later - at for at, later in pairwise(tried)) > EVERY * 0.99, tried

    asyncio.run(main())


def test_a_try_that_was_given_up_counts_as_one() -> None:
    """The server has seen it: who comes next waits as after a failure."""

    async def main() -> None:
        async with failed() as (server, store):
            server.resets = False
            before = len(server.asked)
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(EVERY * 1.5):
                        await store.get(KIND, "m1")
            tried = server.asked[before:]
            assert len(tried) > 1
            assert min(later - at for at, later in pairwise(tried)) > EVERY * 0.99, tried

    asyncio.run(main())


def test_who_gets_through_lets_the_others_in() -> None:
    """Once one connection is made, nobody waits for a turn any more."""

    async def main() -> None:
        async with ApiServer(*[says(machine("m1"))] * 30, listening=False) as server:
            connection = Connection(url=server.url)
            limits = Limits(reconnect=timedelta(seconds=0.5), first_pause=timedelta(milliseconds=1))
            async with KubeStore(lambda: connection, limits=limits) as store:
                first = asyncio.create_task(store.get(KIND, "m1"))
                await asyncio.sleep(0.1)
                rest = [asyncio.create_task(store.get(KIND, "m1")) for _ in range(20)]
                await asyncio.sleep(0.1)
                await server.listen()
                begun = asyncio.get_running_loop().time()
                await asyncio.gather(first, *rest)
                assert asyncio.get_running_loop().time() - begun < 3

    asyncio.run(main())
