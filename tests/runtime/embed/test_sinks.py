"""Sinks: told every decision in order, each in a thread of its own, and none can harm the engine or another one."""

import asyncio
import json
import logging
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from kubenode.runtime.embed import EmbeddedStore, Engine, Record, engine, sinks
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.record import Recorder, Recording, replay
from kubenode.runtime.threads import ended
from tests.runtime.embed.world import OURS, PATIENCE, REBOOT, granted, hung_cluster, nothing_left, until


def test_every_decision_is_told_in_order_and_in_one_other_thread() -> None:
    """The host's loop is not held up by what a sink does with it."""
    told: list[Record] = []
    threads: set[str] = set()

    def audit(record: Record) -> None:
        told.append(record)
        threads.add(threading.current_thread().name)

    with nothing_left():
        Engine(
            hung_cluster(REBOOT), plugins=OURS, sinks={"audit": audit}, identity="platform"
        ).run_until_settled()
    assert threads == {"kubenode platform sink audit 1"}
    elapsed = [record.now.elapsed for record in told]
    assert elapsed == sorted(elapsed)
    assert {"machine", "remedy", "risk"} <= {record.controller for record in told}
    assert all(json.loads(record.to_json())["key"] == record.key for record in told)


def test_sinks_of_plugins_and_of_the_engine_are_all_told() -> None:
    """The same records to each."""
    one: list[Record] = []
    two: list[Record] = []
    plugins = Plugins.discover(sinks={"one": one.append})
    Engine(EmbeddedStore(cel=False), plugins=plugins, sinks={"two": two.append}).run_until_settled()
    assert one == two
    assert one


def test_an_engine_writes_a_recording_that_replays(tmp_path: Path) -> None:
    """The engine has told it all when it is over, so the file is whole."""
    path = tmp_path / "monday.knrec"
    with Recorder(path) as recorder:
        Engine(hung_cluster(REBOOT), plugins=OURS, sinks={"recording": recorder}).run_until_settled()
    found = Recording.load(path)
    assert found.cut == 0
    assert [one.metadata.name for one in list(found.records)[-1].policy.remediers] == ["hung-task"]
    assert replay(path).changes == ()


def test_a_sink_that_raises_is_named_once_and_told_on(caplog: pytest.LogCaptureFixture) -> None:
    """The engine goes on, and so does the other sink."""
    caplog.set_level(logging.ERROR, logger="kubenode.sinks")
    good: list[Record] = []
    tried: list[Record] = []

    def bad(record: Record) -> None:
        tried.append(record)
        raise OSError("no space left")

    store = hung_cluster(REBOOT)
    Engine(store, plugins=OURS, sinks={"good": good.append, "bad": bad}).run_until_settled()
    assert granted(store) == ["n1"]
    assert tried == good
    assert [record.message for record in caplog.records] == [
        "event=sink-failed sink=bad error=OSError('no space left')"
    ]


def test_a_sink_that_is_slow_holds_up_nobody_and_is_waited_for_at_the_end() -> None:
    """The engine settles while the sink still has its first record; then it gets all the others."""

    async def host() -> None:
        free = threading.Event()
        told: list[Record] = []
        quick: list[Record] = []

        def slow(record: Record) -> None:
            free.wait(PATIENCE)
            told.append(record)

        store = hung_cluster(REBOOT)
        with nothing_left():
            async with Engine(store, plugins=OURS, sinks={"slow": slow, "quick": quick.append}) as one:
                await one.settled()
                assert granted(store) == ["n1"]
                assert told == []
                free.set()
        assert told == quick

    asyncio.run(host())


def test_a_call_that_never_returns_is_named_and_left_behind(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a daemon thread: it keeps neither the host's loop nor its process from ending."""
    monkeypatch.setattr(engine, "GRACE", timedelta(seconds=0.05))
    free = threading.Event()

    def stuck(record: Record) -> None:
        free.wait()

    Engine(EmbeddedStore(cel=False), plugins=OURS, sinks={"stuck": stuck}, identity="e7").run_until_settled()
    (message,) = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert message == "event=call-never-returned engine=e7 call='sink stuck' fix='give it a time limit'"
    (left,) = [thread for thread in threading.enumerate() if thread.name == "kubenode e7 sink stuck 1"]
    assert left.daemon
    free.set()
    left.join(PATIENCE)
    assert not left.is_alive()


def test_a_sink_that_falls_far_behind_loses_records_and_says_how_many(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded; what was lost is counted, when it has caught up by half or at the end."""
    monkeypatch.setattr(sinks, "MOST_WAITING", 4)
    kept: list[Record] = []
    Engine(
        EmbeddedStore(cel=False), plugins=OURS, controllers={"risk"}, sinks={"kept": kept.append}
    ).run_until_settled()
    caplog.clear()
    record = kept[0]
    steps = threading.Semaphore(0)
    told: list[Record] = []

    def slow(one: Record) -> None:
        steps.acquire(timeout=PATIENCE)
        told.append(one)

    async def host() -> None:
        outlet = sinks.Outlet("slow", slow, "e")
        outlet.put(record)
        await until(lambda: outlet.workers.waiting == 0)
        for _ in range(7):  # four wait, three are lost
            outlet.put(record)
        steps.release(2)
        await until(lambda: outlet.workers.waiting == 2)
        for _ in range(4):  # two more wait, two are lost
            outlet.put(record)
        assert outlet.workers.waiting == 4
        steps.release(100)
        outlet.end()
        assert await ended([outlet.workers], within=timedelta(seconds=PATIENCE)) == ()

    with nothing_left():
        asyncio.run(host())
    assert len(told) == 7
    assert [one.message for one in caplog.records] == [
        "event=sink-behind sink=slow fix='records are lost; make it faster'",
        "event=sink-caught-up sink=slow lost=3",
        "event=sink-behind sink=slow fix='records are lost; make it faster'",
        "event=sink-behind sink=slow lost=2",
    ]


def test_a_sink_that_cannot_be_closed_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """Its end is a call like another."""

    class Bad(list[Record]):
        def __call__(self, record: Record) -> None:
            self.append(record)

        def close(self) -> None:
            raise OSError("gone")

    Engine(EmbeddedStore(cel=False), plugins=OURS, sinks={"bad": Bad()}).run_until_settled()
    assert [record.message for record in caplog.records] == [
        "event=sink-failed sink=bad error=OSError('gone')"
    ]
