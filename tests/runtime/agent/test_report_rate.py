"""What an agent writes to its server is bounded, however its host behaves: flaps, floods, and a server that is slow."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kubenode.core.model import Machine
from kubenode.runtime.agent import watch as watching
from kubenode.runtime.agent.watch import Watch
from tests.runtime.agent.test_kept import Agent, Line, made, report, reported, until


class Counted:
    """The way to a server that counts reports, and takes its time for each.

    Attributes:
        reports: that have come.
        most: how many were under way at once.
    """

    def __init__(self, line: Line, seconds: float = 0.0) -> None:
        self._line = line
        self._seconds = seconds
        self._now = 0
        self.reports = 0
        self.most = 0

    def __getattr__(self, name: str) -> Any:
        if name == "follow":
            raise AttributeError(name)
        return getattr(self._line, name)

    async def patch(self, kind: Any, *words: Any, **more: Any) -> Any:
        """Take a report."""
        if kind is Machine.KIND:
            self.reports += 1
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(self._seconds)
        try:
            return await self._line.patch(kind, *words, **more)
        finally:
            self._now -= 1


@contextmanager
def _watched(agent: Agent, root: Path) -> Iterator[list[float]]:
    """Let the host be watched; give when a change has asked for a look."""
    loop = asyncio.get_running_loop()
    asked: list[float] = []

    def told() -> None:
        asked.append(loop.time())
        agent.stir()

    watch = Watch(root, loop, told)
    agent.host.hears(watch)
    agent.stir()
    try:
        yield asked
    finally:
        watch.close()


async def _started(tmp_path: Path, seconds: float = 0.0) -> tuple[Any, Counted, str]:
    api, name = await made(tmp_path)
    return api, Counted(Line(api), seconds), name


def test_a_host_that_flaps_is_reported_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of changes are a few looks and two reports of each at most; then it is at rest, as it is then."""
    for name, value in (("SETTLE", 0.05), ("EVERY", 0.2), ("LONGEST", 0.8)):
        monkeypatch.setattr(watching, name, value)

    async def run() -> None:
        api, counted, name = await _started(tmp_path)
        async with Agent(counted, tmp_path).runs() as agent:  # type: ignore[arg-type]
            await until(agent.path.exists)
            await reported(api, name, "version")
            with _watched(agent, tmp_path / "root") as asked:
                await agent.driver.rest()
                await asyncio.sleep(0.3)
                before, flaps, end = counted.reports, 0, asyncio.get_running_loop().time() + 2.5
                while asyncio.get_running_loop().time() < end:
                    agent.path.write_text(("wrong", "right")[flaps % 2])
                    flaps += 1
                    await asyncio.sleep(0.004)
                looks = len(asked)
                assert 2 <= looks <= 8 < flaps / 20
                assert counted.reports - before <= 4 * looks + 6  # and three repairs
                agent.path.write_text("last")
                await until(lambda: len(asked) > looks)
                await agent.driver.rest()
                found = await report(api, name)
                assert agent.path.read_text() == "right" or found["config"] == "Drifted"

    asyncio.run(run())


def test_looks_that_find_nothing_new_write_nothing(tmp_path: Path) -> None:
    """However often somebody asks for one."""

    async def run() -> None:
        api, counted, name = await _started(tmp_path)
        async with Agent(counted, tmp_path).runs() as agent:  # type: ignore[arg-type]
            await until(agent.path.exists)
            await reported(api, name, "version")
            await agent.driver.rest()
            before, version = counted.reports, (await api.get(Machine.KIND, "m1"))["metadata"]
            for _ in range(50):
                agent.stir()
                await agent.driver.rest()
            assert counted.reports == before
            assert (await api.get(Machine.KIND, "m1"))["metadata"] == version

    asyncio.run(run())


def test_reports_to_a_slow_server_are_coalesced(tmp_path: Path) -> None:
    """What changes while a report is under way is in the next one: one at a time, and the last stands."""

    async def run() -> None:
        api, counted, name = await _started(tmp_path, 0.1)
        async with Agent(counted, tmp_path).runs() as agent:  # type: ignore[arg-type]
            await until(agent.path.exists)
            await reported(api, name, "version")
            await agent.driver.rest()
            loop = asyncio.get_running_loop()
            before, begun = counted.reports, loop.time()
            for turn in range(200):
                agent.path.write_text(("wrong", "right")[turn % 2])
                agent.stir()
                await asyncio.sleep(0.005)
            await agent.driver.rest()
            assert counted.most == 1
            assert 1 <= counted.reports - before <= (loop.time() - begun) / 0.1 + 1
            found = await report(api, name)
            assert (found["config"], agent.path.read_text()) == ("Current", "right")

    asyncio.run(run())
