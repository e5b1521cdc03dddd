"""The engine in asyncio: it imports a machine for real time's sake, survives a bad server, and leaves no task."""

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.crd import schema_of
from kubenode.core.errors import Expired, Forbidden, ServerFailed
from kubenode.core.model import Kind
from kubenode.core.policy import Policy
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.controller.wiring import FIRST, controllers
from kubenode.runtime.engine.drive import AT_A_TIME, Driver
from kubenode.runtime.engine.loop import Engine, Input, Step
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.faults import Fault, FaultyStore
from kubenode.runtime.sim.host import HostSpec
from kubenode.runtime.sim.live import LiveHosts
from kubenode.runtime.store.cache import Cache
from kubenode.runtime.store.contract import Listing, Patch, Watch, WatchEvent
from kubenode.runtime.store.embedded import EmbeddedStore

PATIENCE = 30


def store() -> EmbeddedStore:
    """An embedded API with our kinds."""
    kinds = [(kind.KIND, schema_of(kind)) for kind in m.KINDS]
    return EmbeddedStore([*kinds, (m.Node.KIND, None)], clock=lambda: datetime.now(UTC))


async def running(api: EmbeddedStore) -> None:
    """Wait until the machine is Running and its status Ready."""
    async with asyncio.timeout(PATIENCE):
        while True:
            machine = wire.read(await api.get(m.Machine.KIND, "m1"), m.Machine)
            ready = [c for c in machine.status.conditions if c.type == "Ready" and c.status is m.Switch.TRUE]
            if machine.status.phase == "Running" and ready:
                return
            await asyncio.sleep(0.02)


async def imported(api: EmbeddedStore, seen: FaultyStore | EmbeddedStore) -> None:
    """Run controllers through `seen` and one simulated host, until the machine is Running; then stop both."""
    plugins = Plugins.discover()
    machine = m.Machine(
        metadata=m.ObjectMeta(name="m1"),
        spec=m.MachineSpec(host=m.Host(address="10.0.0.1"), labels={"rack": "r7"}),
    )
    await api.create(m.Machine.KIND, wire.dump(machine))
    driver = Driver(controllers(plugins), seen, SystemClock(), first=(FIRST,))
    hosts = LiveHosts(api, api, SystemClock(), plugins)
    hosts.add({"m1": HostSpec(machine="m1", node="node-m1", zone="a", step_time=timedelta(milliseconds=10))})
    tasks = [asyncio.create_task(driver.run()), asyncio.create_task(hosts.live())]
    try:
        await running(api)
    finally:
        driver.stop()
        hosts.driver.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    node = await api.get(m.Node.KIND, "node-m1")
    assert node["metadata"]["labels"]["rack"] == "r7"
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_machine_is_imported_and_no_task_is_left() -> None:
    """Controllers and an agent on asyncio, stopped gracefully."""
    api = store()
    asyncio.run(imported(api, api))


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE])
def test_every_second_write_fails_and_it_comes_to_the_same(fault: Fault) -> None:
    """429, 500, resets, lost answers and conflicts only cost time."""
    api = store()
    asyncio.run(imported(api, FaultyStore(api, lambda n: fault if n % 2 == 0 else Fault.NONE)))


class Reluctant(FaultyStore):
    """A server that refuses the first listings."""

    refusals = 3

    async def find(self, kind: Kind, *, labels: Mapping[str, str] | None = None) -> Listing:
        """Refuse a few times."""
        if self.refusals > 0:
            self.refusals -= 1
            raise ServerFailed("starting", status={"code": 503})
        return await super().find(kind, labels=labels)


def test_a_server_that_is_not_up_yet_is_waited_for() -> None:
    """Listings that fail are asked again; nothing is decided before all kinds are listed."""
    api = store()
    asyncio.run(imported(api, Reluctant(api, lambda _: Fault.NONE)))


class Slow(EmbeddedStore):
    """A server that takes its time for a write, and counts those begun."""

    begun = 0

    async def patch(self, kind: Kind, name: str, patch: Patch, *, subresource: str = "") -> m.Json:
        """Take a while."""
        self.begun += 1
        await asyncio.sleep(0.3)
        return await super().patch(kind, name, patch, subresource=subresource)


def test_stop_begins_nothing_more() -> None:
    """Calls under way end; those that waited for their turn are not made."""

    async def go() -> None:
        kinds = [(kind.KIND, schema_of(kind)) for kind in m.KINDS]
        api = Slow([*kinds, (m.Node.KIND, None)], clock=lambda: datetime.now(UTC))
        for number in range(40):
            host = m.MachineSpec(host=m.Host(address="10.0.0.1"))
            await api.create(
                m.Machine.KIND, wire.dump(m.Machine(metadata=m.ObjectMeta(name=f"m{number}"), spec=host))
            )
        driver = Driver(
            controllers(Plugins.discover()), api, SystemClock(), first=(FIRST,), calls_in_flight=4
        )
        task = asyncio.create_task(driver.run())
        while api.begun < 4:
            await asyncio.sleep(0.01)
        driver.stop()
        begun = api.begun
        await asyncio.wait_for(task, PATIENCE)
        assert api.begun == begun

    asyncio.run(go())


class Forgetful(FaultyStore):
    """A server that has always forgotten where a watch began."""

    watches = 0

    async def watch(self, kind: Kind, *, resource_version: str) -> Watch:
        """Refuse."""
        self.watches += 1
        raise Expired("too old")


def test_a_watch_that_always_expires_is_no_hot_loop() -> None:
    """Listing again has its pauses too."""

    async def go() -> None:
        api = Forgetful(store(), lambda _: Fault.NONE)
        driver = Driver(controllers(Plugins.discover()), api, SystemClock(), first=(FIRST,))
        task = asyncio.create_task(driver.run())
        await asyncio.sleep(1)
        driver.stop()
        await asyncio.wait_for(task, PATIENCE)
        assert api.watches <= 5 * len(m.WATCHED)

    asyncio.run(go())


def test_a_large_cluster_does_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is to read and to decide, others have their turn after a hundred of it: the lease, a request."""
    turn = 0
    read, decided = Counter[int](), Counter[int]()
    reader = wire.read

    def counted(raw: m.Json, cls: type[m.Object]) -> m.Object:
        read[turn] += 1
        return reader(raw, cls)

    async def go() -> None:
        nonlocal turn
        api = store()
        for number in range(450):
            host = m.MachineSpec(host=m.Host(address="10.0.0.1"))
            machine = m.Machine(metadata=m.ObjectMeta(name=f"m{number}"), spec=host)
            await api.create(m.Machine.KIND, wire.dump(machine))
        monkeypatch.setattr(wire, "read", counted)
        core = controllers(Plugins.discover(), lambda _: decided.update([turn]), observes=True)
        driver = Driver(core, api, SystemClock(), first=(FIRST,))
        task = asyncio.create_task(driver.run())
        resting = asyncio.create_task(driver.rest())
        while not resting.done():
            turn += 1
            await asyncio.sleep(0)
        driver.stop()
        await task

    asyncio.run(go())
    assert sum(decided.values()) >= 450
    assert max(decided.values()) <= AT_A_TIME
    # A turn may read a part of each of some kinds; only one kind here has many objects.
    assert max(read.values()) <= AT_A_TIME + 10


class _Raw(dict[str, object]):
    """An object as it came, of which one can tell whether anybody holds it still."""


def test_nothing_of_a_listing_is_held_once_it_was_read() -> None:
    """Text that was parsed is several times as large as what is kept of it; a watch of days must not keep it alive."""

    class Weak(EmbeddedStore):
        """Gives each object in a form of its own."""

        seen: list[weakref.ref[_Raw]]

        async def find(self, kind: Kind, **given: object) -> Listing:  # type: ignore[override]
            """List, and remember by weak reference."""
            found = await super().find(kind, **given)  # type: ignore[arg-type]
            items = tuple(_Raw(item) for item in found.items)
            self.seen += map(weakref.ref, items)
            return attrs.evolve(found, items=items)

    async def main() -> None:
        kinds = [(kind.KIND, schema_of(kind)) for kind in m.KINDS]
        api = Weak([*kinds, (m.Node.KIND, None)], clock=lambda: datetime.now(UTC))
        api.seen = []
        machine = m.Machine(
            metadata=m.ObjectMeta(name="m1"), spec=m.MachineSpec(host=m.Host(address="10.0.0.1"))
        )
        await api.create(m.Machine.KIND, wire.dump(machine))
        driver = Driver(controllers(Plugins.given()), api, SystemClock(), first=(FIRST,))
        task = asyncio.create_task(driver.run())
        await asyncio.wait_for(driver.rest(), PATIENCE)
        gc.collect()
        assert api.seen
        assert [one() for one in api.seen if one() is not None] == []
        assert driver.engine.cache.get(m.Machine, "m1") is not None
        driver.stop()
        await asyncio.wait_for(task, PATIENCE)

    asyncio.run(main())


class Cut:
    """A watch that ends when it is told to."""

    def __init__(self, inner: Watch, ends: asyncio.Event) -> None:
        self._inner = inner
        self._ends = ends

    async def events(self) -> Sequence[WatchEvent]:
        """Give what happens, until it ends."""
        told = asyncio.ensure_future(self._inner.events())
        over = asyncio.ensure_future(self._ends.wait())
        try:
            await asyncio.wait({told, over}, return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                raise Expired("the watch is over")
            return told.result()
        finally:
            told.cancel()
            over.cancel()

    async def close(self) -> None:
        """End it."""
        await self._inner.close()


class Blinding(EmbeddedStore):
    """A server that takes away the right to read Nodes, and gives it back."""

    denied: asyncio.Event

    async def find(self, kind: Kind, **more: Any) -> Listing:
        """Refuse, perhaps."""
        if kind is m.Node.KIND and self.denied.is_set():
            raise Forbidden('nodes is forbidden: User "x" cannot list resource "nodes"')
        return await super().find(kind, **more)

    async def watch(self, kind: Kind, **more: Any) -> Any:
        """Give one that ends with the right."""
        watch = await super().watch(kind, **more)
        return Cut(watch, self.denied) if kind is m.Node.KIND else watch


def test_who_may_not_see_a_kind_decides_nothing_until_it_may() -> None:
    """What is remembered may not be so any more; then all is decided on what is so."""

    async def go() -> None:
        api = Blinding([(kind.KIND, schema_of(kind)) for kind in m.KINDS] + [(m.Node.KIND, None)], clock=lambda: datetime.now(UTC))  # fmt: skip
        api.denied = asyncio.Event()

        async def made(name: str) -> None:
            host = m.MachineSpec(host=m.Host(address="10.0.0.1"))
            await api.create(
                m.Machine.KIND, wire.dump(m.Machine(metadata=m.ObjectMeta(name=name), spec=host))
            )

        async def phase(name: str) -> str:
            return wire.read(await api.get(m.Machine.KIND, name), m.Machine).status.phase

        driver = Driver(controllers(Plugins.discover()), api, SystemClock(), first=(FIRST,))
        task = asyncio.create_task(driver.run())
        await made("before")
        async with asyncio.timeout(PATIENCE):
            while not await phase("before"):
                await asyncio.sleep(0.02)
            assert driver.lost() == ()
            api.denied.set()
            while not driver.lost():
                await asyncio.sleep(0.02)
            assert driver.lost() == (
                'Node: Forbidden: nodes is forbidden: User "x" cannot list resource "nodes"; '
                "fix: grant the rights: kubenode manifests | kubectl apply -f -",
            )
            await made("blind")
            await asyncio.sleep(0.5)
            assert await phase("blind") == ""
            api.denied.clear()
            while not await phase("blind"):
                await asyncio.sleep(0.02)
            assert driver.lost() == ()
        driver.stop()
        await asyncio.wait_for(task, PATIENCE)

    asyncio.run(go())


def test_a_call_that_is_dropped_before_it_began_is_decided_again(caplog: pytest.LogCaptureFixture) -> None:
    """A term ends between the decision and the first step of its call: the key is not in hand for ever."""
    term = [1]

    async def go() -> m.Json:
        api = store()
        host = m.MachineSpec(host=m.Host(address="10.0.0.1"))
        await api.create(m.Machine.KIND, wire.dump(m.Machine(metadata=m.ObjectMeta(name="m1"), spec=host)))
        core = controllers(Plugins.discover())
        driver = Driver(core, api, SystemClock(), first=(FIRST,), term=lambda: term[0])
        decide = core.step

        def ended(*args: Any, **more: Any) -> Any:
            step = decide(*args, **more)
            if step.calls and term == [1]:
                term[0] = 2
                asyncio.get_running_loop().call_soon(
                    driver.led
                )  # runs before the tasks that are made of the calls
            return step

        core.step = ended  # type: ignore[method-assign]
        task = asyncio.create_task(driver.run())
        async with asyncio.timeout(30):
            await driver.rest()
        driver.stop()
        await task
        return await api.get(m.Machine.KIND, "m1")

    made = asyncio.run(go())
    assert term == [2]
    assert caplog.text.count("event=dropped") >= 1
    assert made["metadata"]["finalizers"]
    assert made["status"]["phase"]


class Silent(EmbeddedStore):
    """A server that never answers."""

    async def find(self, kind: Kind, **_: Any) -> Listing:
        """Wait for ever."""
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # it has no result


class Alarms(Engine):
    """Has nothing to do but to be woken, after these pauses in turn; None: by an input alone."""

    def __init__(self, *pauses: float | None) -> None:
        super().__init__(Cache((m.Machine,)), (), policy=Policy)
        self._pauses = iter(pauses)
        self.woken: list[float] = []
        self.stepped = asyncio.Event()

    def step(
        self, inputs: Iterable[Input], now: m.Now, *, term: int | None = 0, most: int | None = None
    ) -> Step:
        """Note when it was woken, and ask for the next time."""
        self.woken.append(now.elapsed / 1e9)
        self.stepped.set()
        pause = next(self._pauses, None)
        return Step(calls=(), wake_at=None if pause is None else now.elapsed + int(pause * 1e9))


def test_it_is_woken_in_time_whatever_it_was_to_be_woken_for_before() -> None:
    """A time that comes before the last one asked for, and one after it; a pause that is over already ends at once."""

    async def play() -> list[float]:
        engine = Alarms(3600, 0.1, 0.3, 0.0, 0.1)
        driver = Driver(engine, Silent((), clock=lambda: datetime.now(UTC)), SystemClock())
        running = asyncio.create_task(driver.run())
        await engine.stepped.wait()
        engine.stepped.clear()
        driver.stir()  # in the middle of an hour
        await engine.stepped.wait()
        driver.stir()  # its alarm for the second step rings in the third one's pause
        async with asyncio.timeout(PATIENCE):
            while len(engine.woken) < 6:
                await asyncio.sleep(0.01)
        driver.stop()
        await running
        return engine.woken

    woken = asyncio.run(play())
    assert woken[5] - woken[1] >= 0.1
    assert woken == sorted(woken)
    assert len(woken) == 6
