"""Polls of an engine: events in a thread of their own, a minute apart, whatever happens to looks and calls meanwhile."""

import asyncio
import logging
import threading
from collections.abc import Mapping

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.capability import CloudEvent, EventState, Impact
from kubenode.core.decision import RebootInstance
from kubenode.core.errors import Busy, Unavailable
from kubenode.core.hookspecs import Instance, Page, Power
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.embed import EmbeddedStore, Engine
from kubenode.runtime.observe.events import INTERVAL
from kubenode.runtime.plugins import Plugins
from tests.runtime.embed.test_clouds import Cloud, World, create, looped, machine, made, of
from tests.runtime.embed.world import LEDGER, nothing_left, until


class Telling(Cloud):
    """A provider in memory that tells of a reboot of all that it has made."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: Exception | None = None
        self.finds = threading.Event()
        self.finds.set()
        self.restarts: list[tuple[str, Power, str]] = []

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Look, when it is let."""
        assert self.finds.wait(60)
        return super().find(tags, cursor)

    def events(self, cursor: str | None) -> Page[CloudEvent]:
        """Give one of each instance."""
        self._called("events")
        if self.fails is not None:
            raise self.fails
        return Page(
            items=tuple(
                CloudEvent(
                    id=f"e-{one}",
                    instance=one,
                    type="reboot",
                    impact=Impact.REBOOT,
                    state=EventState.SCHEDULED,
                )
                for one in list(self._instances)
            )
        )

    def power(self, instance_id: str, action: Power, token: str) -> None:
        """Note it."""
        self._called("power")
        self.restarts.append((instance_id, action, token))


def standing() -> m.Machine:
    """A machine whose instance was made."""
    one = made()
    assert one.status.instance is not None
    instance = attrs.evolve(one.status.instance, step=m.InstanceStep.MADE, id="i-00000000")
    return attrs.evolve(one, status=attrs.evolve(one.status, instance=instance))


async def over(world: World, looking: "asyncio.Task[None]") -> None:
    """End it all."""
    looking.cancel()
    await asyncio.wait({looking})
    await world.end()


@looped
async def test_a_poll_is_made_in_a_thread_of_its_own_though_a_look_hangs() -> None:
    """And stirs whoever it tells of; the next one is a minute later."""
    cloud = Telling()
    world = World(cloud)
    await world.clouds.ask(create(world.view))
    cloud.finds.clear()
    world.view.sight(made())
    world.view.want("c1", 0)
    world.events.sight(standing())
    assert world.clouds.busy
    began = SystemClock().now().elapsed
    looking = asyncio.create_task(world.clouds.run())
    await until(lambda: world.stirred == ["c1"])
    assert cloud.calls.count("events") == 1
    assert any(name.startswith("kubenode test provider slow events") for name in cloud.threads)
    sight = world.events.sight(standing())
    assert sight is not None
    assert [one.id for one in sight.events] == ["e-i-00000000"]
    at = world.events.next_poll("slow")
    assert at is not None
    assert at >= began + INTERVAL
    cloud.finds.set()
    await until(lambda: not world.clouds.busy)
    world.view.want("c1", None)
    assert world.clouds.next_look == at
    assert cloud.calls.count("events") == 1
    await over(world, looking)


@pytest.mark.parametrize("fails", [Unavailable("away"), RuntimeError("password=hunter2")])
def test_a_poll_that_fails_is_told_and_made_again_later(
    fails: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the words of an error that is none of a provider's: they may hold what was sent."""

    async def poll() -> None:
        cloud = Telling()
        cloud.fails = fails
        world = World(cloud)
        world.events.sight(standing())
        looking = asyncio.create_task(world.clouds.run())
        await until(lambda: not world.clouds.busy)
        assert (cloud.calls, world.stirred) == (["events"], [])
        sight = world.events.sight(standing())
        assert sight is not None
        assert sight.polled is None
        await over(world, looking)

    with caplog.at_level(logging.WARNING, logger="kubenode.engine"):
        asyncio.run(poll())
    [line] = [one.getMessage() for one in caplog.records]
    assert line.startswith("event=poll-failed provider=slow error=Unavailable: ")
    assert "hunter2" not in line


@looped
async def test_who_does_not_lead_does_not_poll() -> None:
    """Until it does; and one that hangs is given up."""
    cloud = Telling()
    world = World(cloud)
    world.clouds.look_limit = 0.05
    world.leads = False
    looking = asyncio.create_task(world.clouds.run())
    world.events.sight(standing())
    await asyncio.sleep(0.05)
    assert cloud.calls == []
    cloud.free.clear()
    world.leads = True
    world.events.noticed()
    await until(lambda: cloud.calls == ["events"])
    await until(lambda: not world.clouds.busy)
    assert world.events.next_poll("slow") is not None
    cloud.free.set()
    await over(world, looking)


def test_an_engine_records_what_a_cloud_tells() -> None:
    """By all controllers, with a store: the machine is made, and its reboot is known at the next poll."""
    cloud, store = Telling(), EmbeddedStore([LEDGER, machine()], cel=False)

    async def run() -> None:
        engine = Engine(store, plugins=Plugins.discover(providers=[cloud]), identity="doctor")
        async with engine:
            await until(lambda: (one := of(store)) is not None and one.status.cloud_events is not None)

    with nothing_left():
        asyncio.run(run())
    one = of(store)
    assert one is not None
    assert one.status.cloud_events is not None
    assert [record.id for record in one.status.cloud_events.open] == ["e-i-00000000"]
    assert [(said.type, said.reason) for said in one.status.cloud_events.conditions] == [
        ("CloudMaintenance", "RebootPlanned")
    ]


def reboot(provider: str = "slow") -> RebootInstance:
    """The call of a rung that is the provider's."""
    return RebootInstance(machine=m.ref(made()), provider=provider, op_id="remedy-1", instance="i-00000000")


@looped
async def test_a_restart_is_asked_of_the_provider_under_the_op_id() -> None:
    """Its answer is that of the machine; one that was made by another word is ambiguous, and tells nothing of it."""
    cloud = Telling()
    world = World(cloud)
    world.view.sight(made())
    await world.clouds.ask(reboot())
    assert cloud.restarts == [("i-00000000", Power.REBOOT, "remedy-1")]
    answer = world.view.answer("uid-c1")
    assert answer is not None
    assert (answer.op_id, answer.error, answer.tries) == ("remedy-1", "", 1)
    for error, meaning in ((Busy("starting"), "Busy"), (RuntimeError("password=hunter2"), "Ambiguous")):
        cloud.raises = error
        await world.clouds.ask(attrs.evolve(reboot(), tries=4))
        answer = world.view.answer("uid-c1")
        assert answer is not None
        assert (answer.error, answer.tries, "hunter2" in answer.text) == (meaning, 5, False)
    await world.end()


@looped
async def test_a_provider_without_power_says_so() -> None:
    """Whoever took the plugin away meanwhile; nothing is sent."""

    class Weak(Cloud):
        power = None  # type: ignore[assignment]

    world = World(Weak())
    for provider, error in (("slow", "Unsupported"), ("nobody", "Invalid")):
        await world.clouds.ask(reboot(provider))
        answer = world.view.answer("uid-c1")
        assert answer is not None
        assert answer.error == error
    await world.end()
