"""The life of an engine inside a host: inert, beside the host's own work, and gone without a trace."""

import asyncio
import contextlib
import threading
from datetime import timedelta
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core.errors import InvalidObjectError, KubenodeError, PluginError
from kubenode.core.policy import Policy
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.embed import EmbeddedStore, Engine, EngineFailed, EngineMisused
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.sim.host import HostSpec
from kubenode.runtime.sim.live import LiveHosts
from tests.runtime.embed.world import (
    OURS,
    PATIENCE,
    REBOOT,
    Broken,
    granted,
    hung_cluster,
    nothing_left,
    until,
)


class Untouched:
    """A store that nobody may touch yet."""

    def __getattr__(self, name: str) -> Any:
        if name == "watch":
            return lambda: None
        raise AssertionError(f"{name} was looked at")


def test_a_constructor_does_nothing() -> None:
    """No task, no thread, no look at the store; it needs no event loop."""
    with nothing_left():
        engine = Engine(Untouched(), plugins=OURS, sinks={"audit": print}, identity="platform")  # type: ignore[arg-type]
        assert repr(engine) == "<Engine 'platform' new: all controllers>"
    engine.stop()


def test_a_machine_is_imported_beside_the_hosts_own_work() -> None:
    """The host goes on meanwhile; when it leaves, no task and no thread of the engine is left."""

    async def host() -> None:
        worked = 0

        async def work() -> None:
            nonlocal worked
            while True:
                worked += 1
                await asyncio.sleep(0)

        machine = m.Machine(
            metadata=m.ObjectMeta(name="m1"), spec=m.MachineSpec(host=m.Host(address="10.0.0.1"))
        )
        store = EmbeddedStore([machine], cel=False)
        mine = asyncio.create_task(work())
        hosts = LiveHosts(store, store, SystemClock(), OURS)
        hosts.add({"m1": HostSpec(machine="m1", node="node-m1", zone="a", step_time=timedelta(0))})
        living = asyncio.create_task(hosts.live())
        await asyncio.sleep(0)
        with nothing_left():
            async with store, Engine(store, plugins=OURS) as engine:
                await until(lambda: store.objects(m.Machine)[0].status.phase == "Running")
                assert "running" in repr(engine)
            assert "over" in repr(engine)
        before = worked
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert worked > before
        assert not mine.done()
        mine.cancel()
        hosts.driver.stop()
        await asyncio.wait({mine, living})

    asyncio.run(host())


def test_leaving_lets_calls_under_way_end() -> None:
    """What was begun is finished; nothing more is begun."""

    class Slow(EmbeddedStore):
        begun = finished = 0

        async def patch(self, *words: Any, **more: Any) -> m.Json:
            self.begun += 1
            await asyncio.sleep(0.05)
            answer = await super().patch(*words, **more)
            self.finished += 1
            return answer

    async def host() -> None:
        machines = [
            m.Machine(metadata=m.ObjectMeta(name=f"m{number}"), spec=m.MachineSpec(host=m.Host(address="x")))
            for number in range(40)
        ]
        store = Slow(machines, cel=False)
        async with Engine(store, plugins=OURS):
            await until(lambda: store.begun >= 8)
        assert store.finished == store.begun
        begun = store.begun
        await asyncio.sleep(0.1)
        assert store.begun == begun

    asyncio.run(host())


def test_a_failure_cancels_the_block_with_one_error() -> None:
    """Of kubenode, with the cause; and the host's task is not left as one that is being cancelled."""

    async def host() -> None:
        task = asyncio.current_task()
        assert task is not None
        with nothing_left():
            with pytest.raises(EngineFailed) as caught:
                async with Engine(Broken(cel=False), plugins=OURS, identity="platform"):
                    await asyncio.sleep(PATIENCE)
                    raise AssertionError("the block was not cancelled")
            assert isinstance(caught.value, KubenodeError)
            assert str(caught.value) == "engine 'platform' failed: ZeroDivisionError: the store is broken"
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
            assert task.cancelling() == 0
            await asyncio.sleep(0)  # it can go on

    asyncio.run(host())


def test_a_failure_does_not_hide_an_error_of_the_block() -> None:
    """The host's own error is raised, and what the engine met is noted on it."""

    async def host() -> None:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(LookupError) as caught:
            async with Engine(Broken(cel=False), plugins=OURS):
                try:
                    await asyncio.sleep(PATIENCE)
                finally:
                    raise LookupError("of the host")
        assert caught.value.__notes__ == ["engine 'kubenode' failed: ZeroDivisionError: the store is broken"]
        assert task.cancelling() == 0

    asyncio.run(host())


def test_a_block_that_swallows_its_cancellation_is_told_all_the_same() -> None:
    """Nobody may think that all was well."""

    async def host() -> None:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(EngineFailed):
            async with Engine(Broken(cel=False), plugins=OURS):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(PATIENCE)
        assert task.cancelling() == 0
        await asyncio.sleep(0)

    asyncio.run(host())


def test_a_failure_at_the_very_end_is_raised() -> None:
    """The block has ended, and the last call of the engine fails: that is no good end."""

    class Late(EmbeddedStore):
        entered = asyncio.Event()
        leaving = asyncio.Event()

        async def patch(self, *words: Any, **more: Any) -> m.Json:
            self.entered.set()
            await self.leaving.wait()
            raise ZeroDivisionError("at last")

    async def host() -> None:
        machine = m.Machine(metadata=m.ObjectMeta(name="m1"), spec=m.MachineSpec(host=m.Host(address="x")))
        store = Late([machine], cel=False)
        with nothing_left():
            with pytest.raises(EngineFailed, match="ZeroDivisionError: at last"):
                async with Engine(store, plugins=OURS):
                    await store.entered.wait()
                    asyncio.get_running_loop().call_soon(store.leaving.set)
            await asyncio.sleep(0)

    asyncio.run(host())


def test_who_cancels_the_host_cancels_it_still() -> None:
    """A time limit around the block is that of the host: it is no failure of the engine, which is gone all the same."""

    async def host() -> None:
        with nothing_left():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02), Engine(hung_cluster(), plugins=OURS):
                    await asyncio.sleep(PATIENCE)

            async def inner() -> None:
                async with Engine(hung_cluster(), plugins=OURS):
                    started.set()
                    await asyncio.sleep(PATIENCE)

            started = asyncio.Event()
            task = asyncio.create_task(inner())
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(host())


def test_a_host_that_is_cancelled_twice_does_not_wait_for_a_slow_call() -> None:
    """The second time the calls under way are cancelled too; nothing is left."""

    class Stuck(EmbeddedStore):
        entered = threading.Event()

        async def patch(self, *words: Any, **more: Any) -> m.Json:
            self.entered.set()
            await asyncio.sleep(3600)
            raise AssertionError("nobody waits so long")

    async def host() -> None:
        machine = m.Machine(metadata=m.ObjectMeta(name="m1"), spec=m.MachineSpec(host=m.Host(address="x")))
        store = Stuck([machine], cel=False)

        async def inner() -> None:
            async with Engine(store, plugins=OURS):
                await asyncio.sleep(PATIENCE)

        with nothing_left():
            task = asyncio.create_task(inner())
            await until(store.entered.is_set)
            task.cancel()
            await asyncio.sleep(0.01)
            assert not task.done()
            task.cancel()
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(host())


@pytest.mark.parametrize("both", [False, True])
def test_of_two_engines_the_one_that_failed_is_named(both: bool) -> None:
    """Nested in one block: the failure goes through the other, which ends in order."""

    async def host() -> None:
        task = asyncio.current_task()
        assert task is not None
        inner: EmbeddedStore = Broken(cel=False) if both else hung_cluster()
        with nothing_left():
            with pytest.raises(EngineFailed, match=r"engine '(outer|inner)' failed") as caught:
                async with (
                    Engine(Broken(cel=False), plugins=OURS, identity="outer"),
                    Engine(inner, plugins=OURS, identity="inner"),
                ):
                    await asyncio.sleep(PATIENCE)
            assert both or "outer" in str(caught.value)
            assert task.cancelling() == 0

    asyncio.run(host())


def test_a_sibling_in_a_task_group_is_told() -> None:
    """As with any error: the group cancels the others and raises it."""

    async def host() -> None:
        async def engine() -> None:
            async with Engine(Broken(cel=False), plugins=OURS) as one:
                await one.wait()
                await asyncio.sleep(PATIENCE)

        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                sibling = group.create_task(asyncio.sleep(PATIENCE))
                group.create_task(engine())
        assert [type(error) for error in caught.value.exceptions] == [EngineFailed]
        assert sibling.cancelled()

    asyncio.run(host())


def test_an_engine_runs_once() -> None:
    """What it knew is of the past; another one is made in a line."""

    async def host() -> None:
        engine = Engine(hung_cluster(), plugins=OURS)
        async with engine:
            with pytest.raises(EngineMisused, match="is running; an engine runs once, make another"):
                async with engine:
                    raise AssertionError("not entered")
        with pytest.raises(EngineMisused, match="is over; an engine runs once, make another"):
            async with engine:
                raise AssertionError("not entered")
        with pytest.raises(EngineMisused, match=r"fix: async with engine: await engine.settled"):
            await engine.settled()
        with pytest.raises(EngineMisused, match=r"fix: async with engine: await engine.wait"):
            await Engine(hung_cluster()).wait()

    asyncio.run(host())


def test_stop_ends_the_engine_and_not_the_block() -> None:
    """The host may have something to say yet."""

    async def host() -> None:
        async with Engine(hung_cluster(), plugins=OURS) as engine:
            threading.Thread(target=engine.stop).start()
            async with asyncio.timeout(PATIENCE):
                await engine.wait()
            await asyncio.sleep(0)
            with pytest.raises(EngineMisused):
                await engine.settled()
        engine.stop()  # for the second time, and long after: no matter

    asyncio.run(host())


def test_without_plugins_those_installed_are_used() -> None:
    """They are discovered at the start, beside the loop: a hook that hangs does not hold the host up."""

    async def host() -> None:
        store = hung_cluster(REBOOT)
        with nothing_left():
            async with Engine(store) as engine:
                await engine.settled()
        assert granted(store) == ["n1"]

    asyncio.run(host())


STORE = EmbeddedStore(cel=False)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Engine(EmbeddedStore), "store: the class EmbeddedStore is no store\n    fix: EmbeddedStore()"),  # type: ignore[arg-type]
        (lambda: Engine("prod"), "store: a value of type str is no store"),  # type: ignore[arg-type]
        (lambda: Engine(STORE, policy=REBOOT), "policy: a value of type NodeRemedier is not a Policy"),  # type: ignore[arg-type]
        (lambda: Engine(STORE, plugins=[]), "plugins: a value of type list is no Plugins"),  # type: ignore[arg-type]
        (
            lambda: Engine(STORE, controllers=["risks"]),
            "controllers: no controller is named 'risks'\n    fix: did you mean 'risk'?",
        ),
        (lambda: Engine(STORE, controllers="risk"), "controllers: is one text\n    fix: write {\"risk\"}"),
        (lambda: Engine(STORE, controllers=()), "controllers: names none\n    fix: known: machine, machineset, "),
        (lambda: Engine(STORE, controllers=7), "controllers: a value of type int names none\n    fix: known: machine, "),  # type: ignore[arg-type]
        (lambda: Engine(STORE, observe_only="no"), "observe_only: a value of type str is neither True nor False"),  # type: ignore[arg-type]
        (lambda: Engine(STORE, observe_only=None), "observe_only: a value of type NoneType is neither True nor False"),  # type: ignore[arg-type]
        (lambda: Engine(STORE, review_within=5), "review_within: 5 is no timedelta\n    fix: timedelta(seconds=5)"),  # type: ignore[arg-type]
        (lambda: Engine(STORE, review_within="5s"), "review_within: a value of type str is no timedelta\n    fix: timedelta(seconds=5)"),  # type: ignore[arg-type]
        (lambda: Engine(STORE, review_within=timedelta(0)), "review_within: 0:00:00 is over before it begins"),
        (lambda: Engine(STORE).run_until_settled(0.5), "within: 0.5 is no timedelta\n    fix: timedelta(seconds=0.5)"),  # type: ignore[arg-type]
        (lambda: asyncio.run(Engine(STORE).settled(5)), "within: 5 is no timedelta"),  # type: ignore[arg-type]
        (lambda: Engine(STORE, sinks={"audit": 7}), "sinks['audit']: a value of type int cannot be called"),  # type: ignore[dict-item]
        (lambda: Engine(STORE, sinks=[print]), "sinks: a value of type list gives no function a name\n    fix: sinks={\"name\": function}"),  # type: ignore[arg-type]
        (lambda: EmbeddedStore(REBOOT), "objects: a value of type NodeRemedier is no list of objects"),  # type: ignore[arg-type]
        (lambda: EmbeddedStore([REBOOT, {"kind": "Node"}, 7]), "objects[1]: a value of type dict is no object\n    fix: load(...) gives one"),  # type: ignore[list-item]
        (lambda: EmbeddedStore([REBOOT, {"kind": "Node"}, 7]), "objects[2]: a value of type int is no object"),  # type: ignore[list-item]
    ],
)  # fmt: skip
def test_a_wrong_argument_is_told_at_once(make: Any, said: str) -> None:
    """With what to write; nothing has started."""
    with pytest.raises((InvalidObjectError, PluginError)) as caught:
        make()
    assert said in str(caught.value).replace("\n      fix", "\n    fix")


def test_every_wrong_argument_is_told_in_one_go() -> None:
    """One reading is enough."""
    with pytest.raises(InvalidObjectError) as caught:
        Engine("x", plugins=7, policy=8, controllers=("risks",))  # type: ignore[arg-type]
    assert [problem.where for problem in caught.value.problems] == [
        "store",
        "plugins",
        "policy",
        "controllers",
    ]


def test_a_rung_that_nobody_can_do_is_told_at_the_start() -> None:
    """By remedier and rung, before anything is decided; what stands in the store is told by its condition."""
    ladder = (
        m.Rung(action="reboot"),
        m.Rung(action="rebot"),
        m.Rung(action="restart-unit", parameters={"unti": "x"}),
    )
    spec = m.NodeRemedierSpec(condition=REBOOT.spec.condition, ladder=ladder)
    policy = Policy(remediers=(m.NodeRemedier(metadata=m.ObjectMeta(name="hung-task"), spec=spec),))

    async def host() -> None:
        with nothing_left():
            with pytest.raises(InvalidObjectError) as caught:
                async with Engine(hung_cluster(), plugins=OURS, policy=policy):
                    raise AssertionError("not entered")
            text = str(caught.value)
            assert "NodeRemedier hung-task, ladder[1] rebot: no plugin brings this remedy\n    fix: did you mean 'reboot'?, or drop the rung" in text  # fmt: skip
            assert "NodeRemedier hung-task, ladder[2] restart-unit.parameters" in text
            async with Engine(hung_cluster(), plugins=Plugins.given(), policy=policy, controllers={"risk"}):
                await asyncio.sleep(0)  # who heals nobody need not know how

    asyncio.run(host())
