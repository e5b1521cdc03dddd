"""An agent reads its Machine and the components that this one names, each by name; it lists and watches no component."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from kubenode.core import model as m
from kubenode.core.decision import NOTHING_SEEN
from kubenode.core.errors import Forbidden, ObjectNotFound, ServerFailed, Unreachable
from kubenode.core.model import Json
from kubenode.core.policy import Policy
from kubenode.runtime.agent.own import OwnMachine
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.engine.drive import Driver
from kubenode.runtime.engine.loop import Engine, Question
from kubenode.runtime.store.cache import Cache, Change
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.contract import INITIAL_EVENTS_END
from kubenode.runtime.store.following import as_is
from kubenode.runtime.store.transport import Limits
from tests.runtime.api_server import ApiServer, Asked, fails, line

API = "kubenode.dev/v1alpha1"
MACHINES = f"/apis/{API}/machines"
COMPONENTS = f"/apis/{API}/machinecomponents"
PATIENCE = 5


def machine(version: int, *names: str, reports: tuple[str, ...] = ()) -> Json:
    """Give a Machine that names components in its entries, and others in its report."""
    more = {"set": "s", "revision": "1", "state": "Running"}
    entries = {f"e{at}": {"component": name, **more} for at, name in enumerate(names)}
    found = {f"e{at}": {"component": name} for at, name in enumerate(reports)}
    return {
        "apiVersion": API, "kind": "Machine", "metadata": {"name": "m1", "uid": "u1", "resourceVersion": str(version)},
        "spec": {"host": {"address": "10.0.0.1"}, "components": entries}, "status": {"agent": {"components": found}},
    }  # fmt: skip


def component(name: str, version: int = 5, text: str = "1") -> Json:
    """Give a component, older than every Machine here."""
    meta = {"name": name, "uid": f"u-{name}-{version}", "resourceVersion": str(version)}
    return {
        "apiVersion": API, "kind": "MachineComponent", "metadata": meta,
        "spec": {"driver": "file", "version": text, "parameters": {}},
    }  # fmt: skip


class World(ApiServer):
    """A server with one Machine and some components; who lists or watches components is refused.

    Attributes:
        breaks: what a component, by name, is answered with instead, once each.
        slow: each component is answered so many seconds late.
    """

    def __init__(self, first: Json | None, *names: str) -> None:
        super().__init__()
        self.machine = first
        self.components = {name: component(name) for name in names}
        self.breaks: dict[str, list[int]] = {}
        self.slow = 0.0
        self._told: asyncio.Queue[bytes] = asyncio.Queue()

    def tell(self, found: Json | None) -> None:
        """Let the Machine be another; its watch tells."""
        kind = "MODIFIED" if found else "DELETED"
        body = found or machine(99)
        self.machine = found
        self._told.put_nowait(line(kind, body))

    def reads(self) -> list[str]:
        """Give the components that were read, in order."""
        return [one.path.rpartition("/")[2] for one in self.asked if one.path.startswith(f"{COMPONENTS}/")]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request.method, request.path, dict(request.query), {}, b""))
        name = request.path.rpartition("/")[2]
        if request.path.startswith(f"{COMPONENTS}/"):
            return await self._component(request, name)
        if request.path == f"{MACHINES}/m1":
            return await self._one(request, self.machine)
        if request.path == MACHINES and request.query.get("watch"):
            return await self._watched(request)
        return await fails(403, "Forbidden")(self, request)

    async def _component(self, request: web.Request, name: str) -> web.StreamResponse:
        await asyncio.sleep(self.slow)
        if self.breaks.get(name):
            return await fails(self.breaks[name].pop(0))(self, request)
        return await self._one(request, self.components.get(name))

    async def _one(self, request: web.Request, found: Json | None) -> web.StreamResponse:
        return await fails(404, "NotFound")(self, request) if found is None else web.json_response(found)

    async def _watched(self, request: web.Request) -> web.StreamResponse:
        assert request.query["fieldSelector"] == "metadata.name=m1"
        response = web.StreamResponse()
        await response.prepare(request)
        if "sendInitialEvents" in request.query:
            if self.machine is not None:
                await response.write(line("ADDED", self.machine))
            mark = {"resourceVersion": "10", "annotations": {INITIAL_EVENTS_END: "true"}}
            await response.write(line("BOOKMARK", {"kind": "Machine", "metadata": mark}))
        with suppress(asyncio.CancelledError, ConnectionError):
            while not self.closing.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await response.write(await self._told.get())
        return response


SOON = Limits(first_pause=timedelta(milliseconds=20), longest_pause=timedelta(milliseconds=40))
NO_PATIENCE = Limits(patience=timedelta(seconds=5), first_pause=timedelta(seconds=15))
"""What fails is not asked for again by the store itself."""


@asynccontextmanager
async def opened(world: World, again: Limits = SOON) -> AsyncIterator[OwnMachine]:
    """Give the store of the agent of m1."""
    async with world, OwnMachine.of(
        "m1", lambda: Connection(url=world.url), again=again, limits=NO_PATIENCE
    ) as store:  # fmt: skip
        yield store


class Look:
    """A controller that writes down which of the components that its Machine names are there, whenever it is asked."""

    name = "look"

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.saw: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

    def concerns(self, change: Change) -> list[str]:
        """Say that any change concerns the Machine."""
        return ["m1"]

    def question(self, key: str, now: m.Now, sightings: Any = NOTHING_SEEN) -> Question | None:
        """Write down what is there."""
        found = self.cache.get(m.Machine, key)
        entries = {} if found is None else found.spec.components
        wants = tuple(sorted(one.component for one in entries.values()))
        there = tuple(sorted(one.metadata.name for one in self.cache.all(m.MachineComponent)))
        if not self.saw or self.saw[-1] != (wants, there):
            self.saw.append((wants, there))
        return None

    def decide(self, snapshot: Any, policy: Any) -> Any:
        """Be asked nothing: there is no question."""
        raise AssertionError


async def until(true: Callable[[], Any]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0.005)


def driven(world: World, do: Callable[[Look], Awaitable[None]], again: Limits = SOON) -> Look:
    """Follow both kinds as an agent's engine does; give what its controller saw."""

    async def main() -> Look:
        cache = Cache((m.Machine, m.MachineComponent))
        look = Look(cache)
        engine = Engine(cache, (look,), policy=Policy)
        async with opened(world, again) as store:
            driver = Driver(engine, store, SystemClock())
            task = asyncio.create_task(driver.run())
            await until(lambda: look.saw or task.done())
            try:
                await do(look)
            finally:
                driver.stop()
                await asyncio.wait_for(task, PATIENCE)
        return look

    return asyncio.run(main())


def test_of_many_components_the_named_one_is_held() -> None:
    """It is read once, by its name, whatever else happens to the Machine; none is listed or watched."""
    world = World(machine(20, "c7"), *(f"c{number}" for number in range(201)))

    async def do(look: Look) -> None:
        await until(lambda: look.saw[-1] == (("c7",), ("c7",)))
        for version in range(21, 31):
            world.tell(machine(version, "c7"))
        world.tell(machine(31, "c7", "c8"))
        await until(lambda: look.saw[-1] == (("c7", "c8"), ("c7", "c8")))

    driven(world, do)
    assert world.reads() == ["c7", "c8"]
    read = {f"{COMPONENTS}/c7", f"{COMPONENTS}/c8"}
    assert {one.path for one in world.asked} == {MACHINES, f"{MACHINES}/m1"} | read
    assert {one.query.get("watch") for one in world.asked if one.path == MACHINES} == {"1"}


def test_nobody_decides_on_an_entry_whose_component_is_only_under_way() -> None:
    """Neither at a start nor when an entry comes, changes or goes, though the server takes its time to give a component."""
    world = World(machine(20, "c1"), "c1", "c2", "c3")
    world.slow = 0.1
    steps = (machine(21, "c2"), machine(22, "c2", "c3"), machine(23, "c3"), machine(24))

    async def do(look: Look) -> None:
        for wanted in steps:
            names = tuple(sorted(one["component"] for one in wanted["spec"]["components"].values()))
            world.tell(wanted)
            await until(lambda names=names: look.saw[-1] == (names, names))

    look = driven(world, do)
    assert all(set(wants) <= set(there) for wants, there in look.saw), look.saw


def test_what_is_named_no_more_is_let_go() -> None:
    """Only the entries' and the reports' are held; one that is named again is read again, since it may be another now."""
    world = World(machine(20, "c1"), "c1", "c2")

    async def do(look: Look) -> None:
        await until(lambda: look.saw[-1][1] == ("c1",))
        world.tell(machine(21, "c2"))
        await until(lambda: look.saw[-1] == (("c2",), ("c2",)))
        world.components["c1"] = component("c1", 22, "other")
        world.tell(machine(22, "c1"))
        await until(lambda: look.saw[-1] == (("c1",), ("c1",)))
        found = look.cache.get(m.MachineComponent, "c1")
        assert found is not None
        assert found.spec.version == "other"
        world.tell(None)
        await until(lambda: look.saw[-1] == ((), ()))

    driven(world, do)
    assert world.reads() == ["c1", "c2", "c1"]


def test_what_was_last_found_whole_is_held_too() -> None:
    """It is put down again where a later revision failed; but it is not waited for when it is gone."""
    world = World(machine(20, "c2", reports=("c1",)), "c1", "c2")

    async def do(look: Look) -> None:
        await until(lambda: look.saw[-1] == (("c2",), ("c1", "c2")))
        world.tell(machine(21, "c2", reports=("c0",)))
        await until(lambda: look.saw[-1] == (("c2",), ("c2",)))
        await asyncio.sleep(0.2)
        world.tell(machine(22, "c2", reports=("c2",)))

    driven(world, do)
    assert world.reads() == ["c1", "c2", "c0"]


def test_a_component_that_is_not_there_yet_is_taken_when_it_comes() -> None:
    """It is asked for again after growing pauses, up to their limit, and never more for the Machine's changes."""
    world = World(machine(20, "c1", "late"), "c1")
    again = Limits(first_pause=timedelta(milliseconds=100), longest_pause=timedelta(milliseconds=400))

    async def do(look: Look) -> None:
        await until(lambda: look.saw[-1] == (("c1", "late"), ("c1",)))
        for version in range(21, 41):  # such as its own reports
            world.tell(machine(version, "c1", "late"))
            await asyncio.sleep(0.05)
        world.components["late"] = component("late")
        await until(lambda: look.saw[-1] == (("c1", "late"), ("c1", "late")))
        await asyncio.sleep(0.5)

    driven(world, do, again)
    assert world.reads()[:1] == ["c1"]
    assert 3 <= world.reads().count("late") <= 14  # in a second, and as long as it takes to be read then
    assert world.reads()[-1] == "late"


def test_one_that_no_entry_names_any_more_is_not_asked_for() -> None:
    """What is missing is forgotten with its entry."""
    world = World(machine(20, "late"))

    async def do(look: Look) -> None:
        await until(lambda: world.reads().count("late") >= 3)
        world.tell(machine(21))
        await until(lambda: look.saw[-1] == ((), ()))
        before = len(world.reads())
        await asyncio.sleep(0.2)
        assert len(world.reads()) == before

    driven(world, do)


@pytest.mark.parametrize("code", [403, 429, 500, 503])
def test_what_cannot_be_read_is_not_taken_for_missing(code: int) -> None:
    """The Machine is not told with it before the component is known, at a start or later; it is tried again."""
    world = World(machine(20, "c1"), "c1", "c2")
    world.breaks = {"c1": [code], "c2": [code, code]}

    async def do(look: Look) -> None:
        await until(lambda: look.saw[-1] == (("c1",), ("c1",)))
        world.tell(machine(21, "c2"))
        await until(lambda: look.saw[-1] == (("c2",), ("c2",)))

    look = driven(world, do)
    assert all(set(wants) <= set(there) for wants, there in look.saw), look.saw


def test_a_missing_one_that_cannot_be_read_is_asked_for_again() -> None:
    """A server that goes away then ends nothing."""
    world = World(machine(20, "late"))

    async def do(look: Look) -> None:
        await until(lambda: len(world.reads()) >= 2)
        world.breaks = {"late": [500, 403, 404]}
        await until(lambda: not world.breaks["late"])
        world.components["late"] = component("late")
        await until(lambda: look.saw[-1] == (("late",), ("late",)))

    driven(world, do)


def test_without_a_machine_there_is_nothing_to_read() -> None:
    """Until it comes."""
    world = World(None, "c1")

    async def main() -> None:
        async with opened(world) as store:
            assert (await store.find(m.MachineComponent.KIND)).items == ()
            found, watch = await store.follow(m.MachineComponent.KIND, as_is)
            assert found.items == ()
            waits = asyncio.create_task(watch.events())
            _, machines = await store.follow(m.Machine.KIND, as_is)
            world.tell(machine(20, "c1"))
            await machines.events()
            assert [event.object["metadata"]["name"] for event in await waits] == ["c1"]
            await machines.close()

    asyncio.run(main())


def test_what_is_held_is_not_asked_for_again() -> None:
    """Neither is what is known to be missing: it has its own time. Of another name the server is asked."""
    world = World(machine(20, "c1", "late"), "c1", "c2")

    async def main() -> None:
        async with opened(world) as store:
            kind = m.MachineComponent.KIND
            listed = await store.find(kind)
            assert [one["metadata"]["name"] for one in listed.items] == ["c1"]
            assert await store.get(kind, "c1") is listed.items[0]
            with pytest.raises(ObjectNotFound):
                await store.get(kind, "late")
            assert (await store.get(kind, "c2"))["metadata"]["name"] == "c2"
            assert world.reads() == ["c1", "late", "c2"]
            with pytest.raises(Forbidden):
                await store.find(kind, labels={"a": "b"})

    asyncio.run(main())


def test_a_start_of_a_server_that_fails_is_told(world_breaks: tuple[int, type[Exception]]) -> None:
    """Whoever follows tries again, or takes what is kept; what was read by then stays."""
    code, kind = world_breaks
    world = World(machine(20, "c1", "c2"), "c1", "c2")
    world.breaks = {"c2": [code]}

    async def main() -> None:
        async with opened(world) as store:
            with pytest.raises(kind):
                await store.follow(m.MachineComponent.KIND, as_is)
            found, _ = await store.follow(m.MachineComponent.KIND, as_is)
            assert [one["metadata"]["name"] for one in found.items] == ["c1", "c2"]

    asyncio.run(main())
    assert world.reads() == ["c1", "c2", "c2"]


@pytest.fixture(params=[(500, ServerFailed), (403, Forbidden)])
def world_breaks(request: pytest.FixtureRequest) -> tuple[int, type[Exception]]:
    """How a read breaks off, and what is raised then."""
    found: tuple[int, type[Exception]] = request.param
    return found


def test_the_watch_of_a_machine_is_closed_when_what_it_names_cannot_be_known() -> None:
    """No connection is left behind."""
    world = World(machine(20, "c1"), "c1")
    world.breaks = {"c1": [500]}

    async def main() -> None:
        async with opened(world) as store:
            with pytest.raises(ServerFailed):
                await store.follow(m.Machine.KIND, as_is)
            found, watch = await store.follow(m.Machine.KIND, as_is)
            assert len(found.items) == 1
            await watch.close()
            with pytest.raises(Unreachable):
                await watch.events()

    asyncio.run(main())
