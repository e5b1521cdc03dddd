"""Providers of an engine: called in threads, with a time limit, and looked at when a look is of use."""

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import CreateInstance, TerminateInstance
from kubenode.core.errors import AuthFailed
from kubenode.core.hookspecs import CreateRequest, Instance, Page
from kubenode.core.model.meta import FINALIZER
from kubenode.providers.memory import MemoryParams, MemoryProvider
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.embed import EmbeddedStore, Engine
from kubenode.runtime.embed import engine as engines
from kubenode.runtime.embed.clouds import Clouds
from kubenode.runtime.engine import drive
from kubenode.runtime.observe.events import Events
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.threads import ended
from tests.runtime.embed.world import LEDGER, PATIENCE, nothing_left, until


def looped(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in an event loop of its own."""

    @functools.wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(test(**given))

    return run


class Cloud(MemoryProvider):
    """A provider in memory whose calls can be held up."""

    name = "slow"

    def __init__(self) -> None:
        super().__init__()
        self.free = threading.Event()
        self.free.set()
        self.calls: list[str] = []
        self.threads: set[str] = set()
        self.raises: Exception | None = None

    def _called(self, what: str) -> None:
        self.calls.append(what)
        self.threads.add(threading.current_thread().name)
        assert self.free.wait(PATIENCE)
        if self.raises is not None:
            raise self.raises

    def create(self, request: CreateRequest[MemoryParams]) -> Instance:
        """Create, when it is let."""
        self._called("create")
        return super().create(request)

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Look, when it is let."""
        self._called("find")
        return super().find(tags, cursor)

    def delete(self, instance_id: str) -> None:
        """Terminate, when it is let."""
        self._called("delete")
        super().delete(instance_id)


def machine(**more: Any) -> m.Machine:
    """A machine that the provider is to make."""
    return m.Machine(
        metadata=m.ObjectMeta(name="c1"),
        spec=m.MachineSpec(infrastructure=m.Infrastructure(provider="slow"), **more),
    )


def of(store: EmbeddedStore) -> m.Machine | None:
    """The machine as it stands; None when it is no more."""
    return next(iter(store.objects(m.Machine)), None)


def step(store: EmbeddedStore) -> m.InstanceStep | None:
    """How far its instance is."""
    one = of(store)
    return None if one is None or one.status.instance is None else one.status.instance.step


def test_a_machine_is_made_and_terminated_by_an_engine_without_a_loop() -> None:
    """As cron does: one create, then one delete, in threads of its own; none is left."""
    cloud, store = Cloud(), EmbeddedStore([LEDGER, machine()], cel=False)
    plugins = Plugins.discover(providers=[cloud])
    with nothing_left():
        Engine(store, plugins=plugins, identity="cron").run_until_settled()
    assert step(store) is m.InstanceStep.MADE
    (one,) = cloud.find({}, None).items
    found = of(store)
    assert found is not None
    assert found.status.instance is not None
    assert found.status.instance.id == one.id
    assert one.tags["kubenode.dev/machine-uid"] == found.metadata.uid
    asyncio.run(_delete(store))
    with nothing_left():
        again = Engine(store, plugins=plugins, identity="cron").run_until_settled()
        assert again is not None, "a look that is to come is nothing that only a change can bring"
        asyncio.run(_gone(Engine(store, plugins=plugins, identity="cron"), store))
    assert of(store) is None
    assert cloud.calls.count("create") == cloud.calls.count("delete") == 1
    assert {name for name in cloud.threads if name.startswith("kubenode cron provider slow writer")}
    assert {name for name in cloud.threads if name.startswith("kubenode cron provider slow reader")}


async def _delete(store: EmbeddedStore) -> None:
    await store.delete(m.Machine.KIND, "c1")


async def _gone(engine: Engine, store: EmbeddedStore) -> None:
    async with engine:
        await until(lambda: of(store) is None)


def test_an_engine_that_only_observes_asks_for_nothing() -> None:
    """It says what it would do."""
    cloud, store = Cloud(), EmbeddedStore([LEDGER, machine()], cel=False)
    seen: list[Any] = []
    with nothing_left():
        Engine(
            store, plugins=Plugins.discover(providers=[cloud]), observe_only=True, sinks={"seen": seen.append}
        ).run_until_settled()
    assert (step(store), cloud.calls.count("create")) == (None, 0)
    assert any(record.controller == "machine" for record in seen)


class World:
    """A view and its calls, without an engine around them."""

    def __init__(self, *providers: Any) -> None:
        plugins = Plugins.given(providers=providers)
        self.view, self.events = Instances(plugins), Events(plugins)
        self.stirred: list[str] = []
        self.leads = True
        loop = asyncio.get_running_loop()
        self.clouds = Clouds(
            self.view, self.events, clock=SystemClock(), post=loop.call_soon_threadsafe, stir=lambda _, name: self.stirred.append(name),
            leads=lambda: self.leads, ended=lambda: None, name="test",
        )  # fmt: skip

    async def end(self) -> None:
        """End the threads."""
        for one in self.clouds.workers:
            one.end(drop=True)
        assert await ended(self.clouds.workers, within=timedelta(seconds=PATIENCE)) == ()


def made() -> m.Machine:
    """A machine whose instance is being asked for, as a store gives it."""
    status = m.InstanceStatus(step=m.InstanceStep.CREATING, provider="slow", attempt=1, token="create-1")
    one = machine()
    metadata = attrs.evolve(one.metadata, uid="uid-c1", finalizers=(FINALIZER,))
    return attrs.evolve(one, metadata=metadata, status=m.MachineStatus(instance=status))


def create(view: Instances, **change: Any) -> CreateInstance:
    """The call of its intent."""
    (launch,) = view.launches.pinned("slow", {}, None)
    given = {
        "provider": "slow",
        "token": "create-1",
        "parameters": {},
        "choice": 0,
        "launch": launch,
        "tags": {"kubenode.dev/managed": "true", "kubenode.dev/machine-uid": "uid-c1"},
    }
    return CreateInstance(**{"machine": m.ref(made()), **given, **change})  # type: ignore[arg-type]


@looped
async def test_a_call_that_is_given_up_is_ambiguous_and_one_that_never_began_was_not_sent() -> None:
    """What is under way may be done all the same; what waits for a thread is not begun any more."""
    cloud = Cloud()
    world = World(cloud)
    world.clouds.call_limit = 0.05
    cloud.free.clear()
    effects = [create(world.view, token=f"create-{number}") for number in range(9)]
    with nothing_left():
        await asyncio.gather(*(world.clouds.ask(effect) for effect in effects))
        sight = world.view.sight(made())
        assert sight is not None
        assert sight.answer is not None
        assert (sight.answer.error, sight.answer.op_id) == ("Unavailable", "create-8")
        assert "nothing was sent" in sight.answer.text
        assert len(cloud.calls) == 8
        cloud.free.set()
        await world.end()
    assert len(cloud.calls) == 8
    await world.clouds.ask(create(world.view))
    await world.end()


@looped
async def test_a_call_that_hangs_is_ambiguous() -> None:
    """And the next look tells."""
    cloud = Cloud()
    world = World(cloud)
    world.clouds.call_limit = 0.05
    cloud.free.clear()
    world.view.sight(made())
    await world.clouds.ask(create(world.view))
    sight = world.view.sight(made())
    assert sight is not None
    assert sight.answer is not None
    assert (sight.answer.error, sight.answer.tries) == ("Ambiguous", 1)
    cloud.free.set()
    await until(lambda: cloud._instances)
    world.view.want("c1", SystemClock().now().elapsed)
    looking = asyncio.create_task(world.clouds.run())
    await until(lambda: world.stirred)
    after = world.view.sight(made())
    assert after is not None
    assert [one.id for one in after.mine] == ["i-00000000"]
    looking.cancel()
    await asyncio.wait({looking})
    await world.end()


@looped
async def test_who_does_not_lead_does_not_look() -> None:
    """Until it does."""
    cloud = Cloud()
    world = World(cloud)
    world.leads = False
    world.view.sight(made())
    looking = asyncio.create_task(world.clouds.run())
    world.view.want("c1", 0)
    await asyncio.sleep(0.05)
    assert cloud.calls == []
    assert world.clouds.busy
    world.leads = True
    world.view.noticed()
    await until(lambda: cloud.calls == ["find"])
    looking.cancel()
    await asyncio.wait({looking})
    await world.end()


@looped
async def test_a_look_that_hangs_or_fails_is_made_again_later() -> None:
    """And keeps nobody from asking for anything."""
    cloud = Cloud()
    world = World(cloud)
    world.clouds.look_limit = 0.05
    world.view.sight(made())
    world.view.want("c1", 0)
    cloud.free.clear()
    looking = asyncio.create_task(world.clouds.run())
    await until(lambda: cloud.calls == ["find"])
    await until(lambda: not world.clouds._looks)
    at = world.view.next_look("slow")
    assert at is not None
    assert at > SystemClock().now().elapsed
    cloud.free.set()
    cloud.raises = AuthFailed("who?")
    await world.clouds.ask(create(world.view))
    assert (
        world.view.gate(TerminateInstance(machine=m.ref(made()), provider="slow", op_id="x", instance="i"), 0)
        is not None
    )
    calls = len(cloud.calls)
    await world.clouds.ask(create(world.view))
    assert len(cloud.calls) == calls, "a frozen provider was called"
    looking.cancel()
    await asyncio.wait({looking})
    await world.end()


@pytest.mark.parametrize("given", ["an id", None, 7])
@looped
async def test_what_is_no_instance_is_ambiguous(given: object) -> None:
    """A plugin that answers with something else may have made one."""

    class Odd(Cloud):
        def create(self, request: CreateRequest[MemoryParams]) -> Instance:
            return given  # type: ignore[return-value]

    world = World(Odd())
    world.view.sight(made())
    await world.clouds.ask(create(world.view))
    sight = world.view.sight(made())
    assert sight is not None
    assert sight.answer is not None
    assert (sight.answer.error, sight.answer.instance) == ("Ambiguous", None)
    assert type(given).__name__ in sight.answer.text
    await world.end()


@looped
async def test_another_kind_of_exception_of_a_create_is_ambiguous_and_its_words_are_not_told() -> None:
    """They may hold what was sent."""
    cloud = Cloud()
    cloud.raises = RuntimeError("password=hunter2")
    world = World(cloud)
    world.view.sight(made())
    await world.clouds.ask(create(world.view))
    sight = world.view.sight(made())
    assert sight is not None
    assert sight.answer is not None
    assert (sight.answer.error, sight.answer.text) == ("Ambiguous", "RuntimeError")
    await world.end()


@looped
async def test_parameters_that_are_read_otherwise_now_are_not_sent() -> None:
    """The token would be of something else."""
    cloud = Cloud()
    world = World(cloud)
    world.view.sight(made())
    for change in ({"launch": "other"}, {"choice": 3}, {"parameters": {"zones": 1}}, {"provider": "nobody"}):
        await world.clouds.ask(create(world.view, **change))
        assert world.view._answers["uid-c1"].error == "Invalid"
    assert cloud.calls == []
    await world.end()


class Held(Cloud):
    """A cloud whose creates alone can be held up."""

    def _called(self, what: str) -> None:
        self.calls.append(what)
        assert what != "create" or self.free.wait(PATIENCE)


@looped
async def test_a_call_that_is_cancelled_has_no_answer_and_is_not_forgotten() -> None:
    """Who asked is stopped while a thread creates: nothing says that it failed, and the look shows what it made."""
    cloud = Held()
    world = World(cloud)
    cloud.free.clear()
    world.view.sight(made())
    asking = asyncio.create_task(world.clouds.ask(create(world.view)))
    await until(lambda: cloud.calls == ["create"])
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    sight = world.view.sight(made())
    assert sight is not None
    assert sight.answer is None, "neither failed nor refused: the intent stands, and is settled"
    cloud.free.set()
    await until(lambda: cloud._instances)
    await world.clouds.ask(create(world.view))
    sight = world.view.sight(made())
    assert sight is not None
    assert sight.answer is not None
    assert not sight.answer.error
    assert sight.answer.instance is not None
    assert [sight.answer.instance.id] == list(cloud._instances)
    await world.end()


@pytest.mark.parametrize("late", [True, False], ids=["done after the next start", "done before it"])
@looped
async def test_an_engine_that_stops_while_a_thread_creates_makes_one_instance(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for a while and then leaves the call behind; the next engine finds the intent, and the instance by its token."""
    monkeypatch.setattr(drive, "GRACE", 0.05)
    monkeypatch.setattr(engines, "GRACE", timedelta(seconds=0.05))
    cloud, store = Held(), EmbeddedStore([LEDGER, machine()], cel=False)
    plugins = Plugins.discover(providers=[cloud])
    cloud.free.clear()
    engine = Engine(store, plugins=plugins, identity="first")
    async with engine:
        await until(lambda: "create" in cloud.calls)
        engine.stop()
    assert (step(store), cloud._instances) == (m.InstanceStep.CREATING, {}), "stopped with the call under way"
    if not late:
        cloud.free.set()
        await until(lambda: cloud._instances)
    async with Engine(store, plugins=plugins, identity="second"):
        if late:
            await asyncio.sleep(0.05)
            cloud.free.set()
        await until(lambda: step(store) is m.InstanceStep.MADE)
    (one,) = cloud._instances.values()
    found = of(store)
    assert found is not None
    assert found.status.instance is not None
    assert found.status.instance.id == one.id
