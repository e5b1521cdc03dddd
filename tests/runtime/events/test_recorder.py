"""Events of an engine on a store: what was done is told, nothing waits for it, and a server that does not take them costs nothing."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core.errors import Forbidden, Unreachable
from kubenode.core.model import Kind
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.embed import EmbeddedStore, Engine
from kubenode.runtime.engine.loop import Decided, Done
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.events import recorder as module
from kubenode.runtime.events.notice import Listener, Notice
from kubenode.runtime.events.recorder import MOST_WAITING, Recorder
from kubenode.runtime.store.embedded import now_or_never
from kubenode.runtime.store.events import EVENT
from kubenode.runtime.store.installed import INSTALL
from kubenode.runtime.store.lease import LEASE
from tests.runtime.embed.world import LEDGER, OURS, REBOOT, hung_cluster, nothing_left, sick, until, well

HOME = EVENT.within("default")


def events(store: EmbeddedStore) -> list[m.Json]:
    """Give all Events, in the order of their writing."""
    return sorted(now_or_never(store.find(HOME)).items, key=lambda one: int(one["metadata"]["resourceVersion"]))  # fmt: skip


def told(store: EmbeddedStore, machine: str) -> list[str]:
    """Give the reasons of what is told of a machine."""
    return [one["reason"] for one in events(store) if one["involvedObject"]["name"] == machine]


def test_what_an_engine_does_is_told_where_kubectl_looks() -> None:
    """In `default`, by uid, with our fixed words; also what came last before the engine ended."""
    store = hung_cluster(REBOOT)
    with nothing_left():
        Engine(store, plugins=OURS, identity="pod-1").run_until_settled()
    assert {"EpisodeOpened", "PermitGranted", "Acting"} <= set(told(store, "n1"))
    (machine,) = [one for one in store.objects(m.Machine) if one.metadata.name == "n1"]
    first = next(one for one in events(store) if one["reason"] == "EpisodeOpened")
    assert first["involvedObject"] == {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "name": "n1", "uid": machine.metadata.uid,
    }  # fmt: skip
    assert (first["metadata"]["namespace"], first["type"], first["count"]) == ("default", "Warning", 1)
    assert (first["source"], first["reportingInstance"]) == ({"component": "kubenode"}, "pod-1")
    assert first["lastTimestamp"].endswith("Z")


def test_an_engine_that_only_observes_tells_nothing() -> None:
    """Not even that it would."""
    store = EmbeddedStore([LEDGER, REBOOT, *sick(), *well("n2")], cel=False)
    Engine(store, plugins=OURS, observe_only=True).run_until_settled()
    assert events(store) == []


class Deaf(EmbeddedStore):
    """A store that takes no Events: it refuses them, is away for them, or never answers."""

    error: Exception | None = None

    async def create(self, kind: Kind, obj: m.Json, **more: Any) -> m.Json:
        """Do all else."""
        if kind.name == "Event":
            if self.error is None:
                await asyncio.sleep(3600)
            else:
                raise self.error
        return await super().create(kind, obj, **more)


@pytest.mark.parametrize("error", [Forbidden("is forbidden: events"), Unreachable("no answer"), None])
def test_a_server_that_takes_no_events_costs_nothing(
    error: Exception | None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work is done and the engine ends; what was not told is counted, and logged once."""
    monkeypatch.setattr(module, "LAST_WORDS", 0.1)
    monkeypatch.setattr("kubenode.runtime.embed.telling.LAST_WORDS", 0.1)
    caplog.set_level(logging.WARNING, logger="kubenode.events")
    store = Deaf([LEDGER, REBOOT, *sick(), *well("n2"), *well("n3")], cel=False)
    store.error = error

    async def host() -> Engine:
        async with Engine(store, plugins=OURS) as engine:
            await engine.settled()
            assert store.objects(m.RemedyOperationJob) != ()
            lost = isinstance(error, Forbidden)
            assert engine.unready() == (
                ("forbidden: events; fix: grant the rights: " + INSTALL,) if lost else ()
            )
        return engine

    with nothing_left():
        engine = asyncio.run(host())
    assert events(store) == []
    if error is not None:
        assert engine.figures().events["dropped"] > 3
        assert engine.figures().events.get("written", 0) == 0
        assert len([one for one in caplog.records if "event-dropped" in one.message]) == 1


class Barred(EmbeddedStore):
    """A store that takes no Events in `default`, as long as it says why."""

    def __init__(self) -> None:
        super().__init__(cel=False)
        self.error: Exception | None = Forbidden("x is forbidden: y cannot create events")
        self.asked = 0

    async def create(self, kind: Kind, obj: m.Json, **more: Any) -> m.Json:
        """Refuse it there."""
        if kind.namespace == "default":
            self.asked += 1
            if self.error is not None:
                raise self.error
        return await super().create(kind, obj, **more)


def test_where_the_right_is_lost_one_is_kept_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others there are dropped unasked, those elsewhere are told; also a server that is away meanwhile is left alone."""
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.3)
    lost = ("forbidden: y cannot create events; fix: grant the rights: " + INSTALL,)
    elsewhere = LEASE.within("kubenode-system")

    async def main() -> None:
        store = Barred()
        seen: list[tuple[str, ...]] = []
        recorder = Recorder(store, SystemClock(), "test", changed=lambda: seen.append(recorder.lost()))
        home = Home(store, recorder)
        running = asyncio.create_task(recorder.run())
        for number in range(5):
            home.put(f"phase {number}")
        about = m.Ref(kind="Lease", name="l", uid="u-l")
        recorder.say(Notice(about=about, reason="Degraded", message="events", kind=elsewhere))
        await until(lambda: recorder.counts.get("written") == 1)
        assert (store.asked, seen) == (1, [lost])
        store.error = Unreachable("no answer")
        await until(lambda: store.asked == 3)
        assert recorder.lost() == lost
        store.error = None
        await until(lambda: recorder.counts.get("written") == 2)
        assert (seen, recorder.lost()) == ([lost, ()], ())
        assert [one["message"] for one in events(store)] == ["phase 4"]
        assert recorder.counts == {"written": 2, "dropped": 4}
        store.error = Forbidden("again")
        home.put("phase 5")
        home.put("phase 6")
        await until(lambda: bool(recorder.lost()))
        recorder.end()
        await running
        assert recorder.counts == {"written": 2, "dropped": 6}

    asyncio.run(main())


class Home:
    """A recorder at work on a store, and notices put into it."""

    def __init__(self, store: EmbeddedStore, recorder: Recorder | None = None) -> None:
        self.store = store
        self.recorder = recorder or Recorder(store, SystemClock(), "test")

    def put(self, message: str, name: str = "n1") -> None:
        """Tell something."""
        about = m.Ref(kind="Machine", name=name, uid=f"u-{name}")
        self.recorder._put((Notice(about=about, reason="Running", message=message),))


def test_the_same_again_counts_up_and_one_that_is_gone_is_made_anew() -> None:
    """The server forgets Events after an hour: the next of its kind is written again, with the count so far."""

    async def main() -> None:
        home = Home(EmbeddedStore(cel=False))
        running = asyncio.create_task(home.recorder.run())
        for _ in range(3):
            home.put("phase is Running")
        await until(lambda: home.recorder.counts.get("written") == 3)
        (one,) = events(home.store)
        assert (one["count"], one["message"]) == (3, "phase is Running")
        await home.store.delete(HOME, one["metadata"]["name"])
        home.put("phase is Running")
        await until(lambda: home.recorder.counts.get("written") == 4)
        (anew,) = events(home.store)
        assert (anew["count"], anew["metadata"]["name"]) == (4, one["metadata"]["name"])
        home.recorder.end()
        await running

    asyncio.run(main())


def test_a_write_whose_answer_was_lost_is_not_told_twice() -> None:
    """The Event stands, though its create failed: the next of its kind finds it and counts."""

    class Lossy(EmbeddedStore):
        lost = 1

        async def create(self, kind: Kind, obj: m.Json, **more: Any) -> m.Json:
            made = await super().create(kind, obj, **more)
            if self.lost:
                self.lost -= 1
                raise Unreachable("reset")
            return made

    async def main() -> None:
        home = Home(Lossy(cel=False))
        running = asyncio.create_task(home.recorder.run())
        home.put("phase is Running")
        await until(lambda: home.recorder.counts.get("dropped") == 1)
        home.put("phase is Running")
        home.recorder.end()
        await running
        (one,) = events(home.store)
        assert one["count"] == 2

    asyncio.run(main())


def test_more_than_it_can_keep_is_dropped_and_never_waited_for() -> None:
    """A server that is away, and an engine that goes on: what waits is bounded."""
    store = Deaf(cel=False)
    home = Home(store)
    for number in range(MOST_WAITING + 50):
        home.put("phase is Running", f"n{number}")
    assert home.recorder.counts == {"dropped": 50}
    assert len(home.recorder._waiting) == MOST_WAITING


def test_what_failed_was_not_so() -> None:
    """Acts that end in an error are not told of; a bug in the words keeps nothing from being done."""
    home = Home(EmbeddedStore(cel=False))
    key = Key("machine", "n1")
    about = m.Ref(kind="Machine", name="n1", uid="u")
    notice = Notice(about=about, reason="Running", message="phase is Running")
    home.recorder._pending[key] = (notice,)
    home.recorder.done(Done(key=key, error=Unreachable("no answer")))
    assert list(home.recorder._waiting) == []
    home.recorder._pending[key] = (notice,)
    home.recorder.done(Done(key=key))
    assert list(home.recorder._waiting) == [notice]


def test_a_bug_in_the_words_keeps_nothing_from_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is logged as ours, and counted."""

    def broken(_: Listener, __: Decided) -> Iterator[Notice]:
        raise ZeroDivisionError("words")

    monkeypatch.setattr(Listener, "hear", broken)
    store = hung_cluster(REBOOT)
    Engine(store, plugins=OURS).run_until_settled()
    assert len(store.objects(m.RemedyOperationJob)) == 1
    assert events(store) == []
