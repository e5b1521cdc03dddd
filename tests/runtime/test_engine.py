"""The engine: waits for whole caches and its own writes, wakes exactly, retries as errors ask."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.decision import Decision
from kubenode.core.errors import Conflict, KubenodeError, Refused, TooManyRequests
from kubenode.core.policy import Policy
from kubenode.runtime.engine import Call, Done, Engine, Event, Relist, Step, Synced
from kubenode.runtime.engine.apply import WriteStatus
from kubenode.runtime.engine.expect import PATIENCE, Written
from kubenode.runtime.engine.loop import REFUSED_PAUSE, Part, Question
from kubenode.runtime.engine.queue import FIRST_PAUSE, Key
from kubenode.runtime.store.cache import Cache, Change
from kubenode.runtime.store.contract import EventType, WatchEvent

KEY = Key("toy", "m1")
SECOND = 1_000_000_000


class Toy:
    """Wants the phase `Wanted` on every machine, and looks again at `wakes`."""

    name = "toy"

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.asked: list[tuple[str, Mapping[str, int]]] = []
        self.wakes: int | None = None
        self.sees: Mapping[str, int] = {}

    def concerns(self, change: Change) -> Iterable[str]:
        """Every machine that changes."""
        yield change.name

    def question(self, key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        """The machine as it stands."""
        machine = self.cache.get(m.Machine, key)
        if machine is None:
            return None
        self.asked.append((machine.metadata.resource_version, sightings))
        return Question(snapshot=machine, subject=machine, stored=machine.status)

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Want the phase."""
        return Decision(status=m.MachineStatus(phase="Wanted"), wake_at=self.wakes, sightings=self.sees)


def raw(version: int, phase: str = "", uid: str = "u1") -> m.Json:
    """A machine as a server serves it."""
    machine = m.Machine(metadata=m.ObjectMeta(name="m1"), spec=m.MachineSpec(host=m.Host(address="10.0.0.1")))
    body = wire.dump(machine)
    body["metadata"] |= {"uid": uid, "resourceVersion": str(version)}
    return {**body, "status": {"phase": phase} if phase else {}}


def at(seconds: float) -> m.Now:
    """A moment."""
    return m.Now(
        wall=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds), elapsed=int(seconds * SECOND)
    )


def event(version: int, phase: str = "", type: EventType = EventType.MODIFIED) -> Event:
    """A watch event."""
    return Event(kind=m.Machine, event=WatchEvent(type=type, object=raw(version, phase)))


def made() -> tuple[Engine, Toy]:
    """An engine with the toy controller."""
    cache = Cache((m.Machine,))
    toy = Toy(cache)
    return Engine(cache, (toy,), policy=Policy), toy


def started(engine: Engine) -> Call:
    """Sync one machine and give the call that follows."""
    step = engine.step([Synced(kind=m.Machine, items=(raw(5),), version=5)], at(0))
    (call,) = step.calls
    assert isinstance(call, Call)
    return call


def answered(engine: Engine, now: m.Now, version: int = 6) -> Step:
    """Let the call succeed."""
    written = Written(object=m.Ref(kind="Machine", name="m1"), version=version)
    return engine.step([Done(key=KEY, written=(written,))], now)


def failed(engine: Engine, error: KubenodeError, now: m.Now) -> Step:
    """Let the call fail."""
    return engine.step([Done(key=KEY, error=error)], now)


def test_nothing_is_decided_on_a_cache_that_is_not_whole() -> None:
    """A watch event before the listing is no reason to act."""
    engine, toy = made()
    assert engine.step([event(4)], at(0)) == Step(calls=(), wake_at=None)
    assert toy.asked == []


def test_a_wanted_status_becomes_one_merge_patch_of_what_differs() -> None:
    """The call holds the difference, and no second call is made while it is under way."""
    engine, _ = made()
    call = started(engine)
    (act,) = call.acts
    assert isinstance(act, WriteStatus)
    assert act.body["phase"] == "Wanted"
    assert engine.step([event(6)], at(1)).calls == ()


def test_a_status_that_is_as_wanted_is_compared_and_never_written_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A decision at rest costs no wire form; one that differs costs two, of what stands and what is wanted in the field that differs."""
    dumped: list[object] = []
    dump = wire.dump_part
    monkeypatch.setattr(wire, "dump_part", lambda value: dumped.append(value) or dump(value))
    engine, _ = made()
    engine.step([Synced(kind=m.Machine, items=(raw(5, "Wanted"),), version=5)], at(0))
    assert dumped == []
    assert len(engine.step([event(6, "Other")], at(1)).calls) == 1
    assert dumped == ["Other", "Wanted"]


def test_a_part_of_a_status_is_written_in_its_place_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who owns one part of a status writes that part, whatever the rest says; what is not there yet is all new."""
    engine, toy = made()

    def question(key: str, now: m.Now, sightings: Mapping[str, int]) -> Question | None:
        machine = toy.cache.get(m.Machine, key)
        assert machine is not None
        return Question(snapshot=machine, subject=machine, stored=machine.status.agent, part="agent")

    monkeypatch.setattr(toy, "question", question)
    monkeypatch.setattr(toy, "decide", lambda *_: Decision(status=m.AgentStatus(boot_id="b1")))
    (act,) = started(engine).acts
    assert isinstance(act, WriteStatus)
    assert set(act.body) == {"agent"}
    assert act.body["agent"]["bootID"] == "b1"
    there = {**raw(6), "status": {"phase": "Odd", "agent": act.body["agent"]}}
    written = Written(object=m.Ref(kind="Machine", name="m1"), version=6)
    seen = Event(kind=m.Machine, event=WatchEvent(type=EventType.MODIFIED, object=there))
    assert engine.step([Done(key=KEY, written=(written,)), seen], at(1)).calls == ()


def test_never_decided_on_a_cache_older_than_its_own_write() -> None:
    """After a write the key waits for its resourceVersion, and then sees the new state only."""
    engine, toy = made()
    started(engine)
    assert answered(engine, at(1)).calls == ()
    assert engine.step([event(5, "stale")], at(2)).calls == ()
    engine.step([event(6, "Wanted")], at(3))
    assert [version for version, _ in toy.asked] == ["5", "6"]


def test_a_write_that_the_watch_never_shows_is_cured_by_a_listing() -> None:
    """After the patience the kind is listed again, and the key goes on from it."""
    engine, toy = made()
    started(engine)
    step = answered(engine, at(1))
    assert step.wake_at == SECOND + PATIENCE
    step = engine.step([], at(1 + PATIENCE / SECOND))
    assert step.calls == (Relist(kind=m.Machine),)
    engine.step([Synced(kind=m.Machine, items=(raw(6, "Wanted"),), version=6)], at(40))
    assert [version for version, _ in toy.asked] == ["5", "6"]


def test_a_server_that_shows_the_past_is_not_believed() -> None:
    """An event older than what is held changes nothing."""
    engine, _ = made()
    engine.step([Synced(kind=m.Machine, items=(raw(9, "Wanted"),), version=9)], at(0))
    engine.step([event(7, "Old")], at(1))
    machine = engine.cache.get(m.Machine, "m1")
    assert machine is not None
    assert machine.status.phase == "Wanted"


def test_failures_are_retried_after_growing_pauses() -> None:
    """A conflict is tried again soon, and later each time; nothing is decided before."""
    engine, _ = made()
    started(engine)
    pauses, now = [], 0.0
    for _ in range(6):
        step = failed(engine, Conflict("modified"), at(now))
        assert step.calls == ()
        assert step.wake_at is not None
        pauses.append(step.wake_at - int(now * SECOND))
        now = step.wake_at / SECOND
        assert len(engine.step([], at(now)).calls) == 1
    assert pauses[0] <= FIRST_PAUSE
    assert pauses[5] > 4 * pauses[0]


def test_a_write_that_changes_nothing_is_not_made_in_a_hot_loop() -> None:
    """The same acts, done with success and wanted again on an unchanged world, come after growing pauses."""
    engine, _ = made()
    call, now, pauses = started(engine), 0.0, []
    for _ in range(5):
        step = answered(engine, at(now), version=5)  # the object's own version: nothing was written
        if step.calls:
            assert step.calls == (call,)
            pauses.append(0)
            continue
        assert step.wake_at is not None
        pauses.append(step.wake_at - int(now * SECOND))
        now = step.wake_at / SECOND
        assert engine.step([], at(now)).calls == (call,)
    assert pauses[0] == 0
    assert 0 < pauses[1] < pauses[2] < pauses[3] < pauses[4]


def test_retry_after_is_honoured() -> None:
    """A server that asks for a pause gets at least that."""
    engine, _ = made()
    started(engine)
    step = failed(engine, TooManyRequests("slow down", retry_after=timedelta(seconds=7)), at(0))
    assert step.wake_at == 7 * SECOND


def test_what_was_refused_rests_until_something_changes() -> None:
    """The same call would be refused again, so it is not made; a change of the object makes it worth a try."""
    engine, _ = made()
    started(engine)
    step = failed(engine, Refused("no"), at(0))
    assert step.calls == ()
    assert step.wake_at == REFUSED_PAUSE
    assert len(engine.step([event(7)], at(1)).calls) == 1


def test_a_deadline_wakes_exactly_and_sightings_return() -> None:
    """`wake_at` is the step's, not a poll; what was sighted comes back, and what is left out is forgotten."""
    engine, toy = made()
    toy.wakes, toy.sees = 3 * SECOND, {"first": 1}
    step = engine.step([Synced(kind=m.Machine, items=(raw(5, "Wanted"),), version=5)], at(0))
    assert step == Step(calls=(), wake_at=3 * SECOND)
    assert engine.step([], at(2.999999999)).wake_at == 3 * SECOND
    toy.wakes, toy.sees = None, {}
    assert engine.step([], at(3)) == Step(calls=(), wake_at=None)
    engine.step([event(6, "Wanted")], at(4))
    assert [sightings for _, sightings in toy.asked] == [{}, {"first": 1}, {}]


def test_what_cannot_be_read_is_as_if_it_were_not_there_and_is_told() -> None:
    """An object without a readable spec is quarantined; the others go on."""
    engine, toy = made()
    broken = {**raw(5), "spec": {"host": 7}}
    broken["metadata"] = {**broken["metadata"], "name": "m2"}
    del broken["spec"]
    engine.step([Synced(kind=m.Machine, items=(raw(4, "Wanted"), broken), version=5)], at(0))
    assert [ref.name for ref in engine.cache.unreadable] == ["m2"]
    assert len(toy.asked) == 1


def test_asking_for_explain_does_nothing() -> None:
    """`ask` decides as it stands and leaves no trace."""
    engine, _ = made()
    engine.step([Synced(kind=m.Machine, items=(raw(5, "Wanted"),), version=5)], at(0))
    decision = engine.ask("toy", "m1", at(1))
    assert decision is not None
    assert decision.status.phase == "Wanted"
    assert engine.ask("toy", "nobody", at(1)) is None
    assert engine.step([], at(2)) == Step(calls=(), wake_at=None)


def named(version: int, name: str) -> m.Json:
    """Another machine as a server serves it."""
    made = raw(version, "Wanted", uid=f"uid-{name}")
    return {**made, "metadata": {**made["metadata"], "name": name}}


def names(engine: Engine) -> dict[str, str]:
    """What the cache holds, with versions."""
    return {one.metadata.name: one.metadata.resource_version for one in engine.cache.all(m.Machine)}


def test_a_listing_older_than_the_watch_has_told_is_ignored() -> None:
    """It would drop what was made since, and bring back what was deleted since; the watch never repeats either."""
    engine, _ = made()
    engine.step([Synced(kind=m.Machine, items=(named(10, "a"),), version=11)], at(0))
    events = [
        Event(kind=m.Machine, event=WatchEvent(type=EventType.ADDED, object=named(12, "b"))),
        Event(kind=m.Machine, event=WatchEvent(type=EventType.DELETED, object=named(13, "a"))),
    ]
    engine.step(events, at(1))
    assert names(engine) == {"b": "12"}
    engine.step([Synced(kind=m.Machine, items=(named(10, "a"),), version=11, begins=False)], at(2))
    assert names(engine) == {"b": "12"}


def test_an_event_that_a_listing_has_told_of_already_is_ignored() -> None:
    """The watch lags behind a listing that was asked for: what it says late is no news, and no resurrection."""
    engine, _ = made()
    engine.step([Synced(kind=m.Machine, items=(), version=5)], at(0))
    engine.step([Synced(kind=m.Machine, items=(named(8, "a"),), version=9, begins=False)], at(1))
    late = Event(kind=m.Machine, event=WatchEvent(type=EventType.ADDED, object=named(7, "b")))
    engine.step([late], at(2))
    assert names(engine) == {"a": "8"}


def test_a_server_that_was_restored_is_believed() -> None:
    """A listing that begins a watch stands, however old: the server has gone back, and we with it."""
    engine, toy = made()
    engine.step([Synced(kind=m.Machine, items=(raw(5000, "Wanted"),), version=5000)], at(0))
    engine.step([Synced(kind=m.Machine, items=(raw(900, "Old"),), version=1000)], at(1))
    assert names(engine) == {"m1": "900"}
    assert [version for version, _ in toy.asked] == ["5000", "900"]


def test_a_write_that_a_restored_server_has_lost_is_not_waited_for_for_ever() -> None:
    """One listing is asked for; when that does not show it either, the key goes on."""
    engine, toy = made()
    started(engine)
    answered(engine, at(0), version=6000)
    patience = PATIENCE / SECOND
    assert engine.step([], at(patience)).calls == (Relist(kind=m.Machine),)
    engine.step([Synced(kind=m.Machine, items=(raw(900, "Wanted"),), version=1000)], at(patience + 1))
    assert len(toy.asked) == 1
    engine.step([], at(2 * patience))
    assert [version for version, _ in toy.asked] == ["5", "900"]


def test_what_was_written_before_a_failure_is_waited_for() -> None:
    """The first act succeeded, the second failed: the key sees the first before it decides again."""
    engine, toy = made()
    started(engine)
    written = (Written(object=m.Ref(kind="Machine", name="m1"), version=9),)
    step = engine.step([Done(key=KEY, written=written, error=Conflict("modified"))], at(0))
    assert step.wake_at is not None
    engine.step([], at(step.wake_at / SECOND))
    assert [version for version, _ in toy.asked] == ["5"]
    engine.step([event(9, "Wanted")], at(20))
    assert [version for version, _ in toy.asked] == ["5", "9"]


def test_a_bug_of_one_key_is_raised_here_and_survived_where_asked() -> None:
    """The default raises, for tests and simulation; a handler lets the others go on, and the key rests."""
    cache = Cache((m.Machine,))
    toy, told = Toy(cache), list[str]()
    toy.decide = lambda *_: 1 // 0  # type: ignore[method-assign]
    engine = Engine(cache, (toy,), policy=Policy, fault=lambda key, error: told.append(f"{key}: {error!r}"))
    step = engine.step([Synced(kind=m.Machine, items=(raw(5), named(5, "m2")), version=5)], at(0))
    assert (step.calls, len(told)) == ((), 2)
    assert step.wake_at is not None
    assert step.wake_at > 0
    with pytest.raises(ZeroDivisionError):
        Engine(cache, (toy,), policy=Policy).step([Synced(kind=m.Machine, items=(raw(6),), version=6)], at(0))


def test_without_a_term_it_follows_and_decides_nothing() -> None:
    """A standby has the world in its cache, ready for the moment in which it leads."""
    engine, toy = made()
    assert engine.step([Synced(kind=m.Machine, items=(raw(5),), version=5)], at(0), term=None) == Step(
        calls=(), wake_at=None
    )
    assert engine.step([event(6, "Other")], at(1), term=None).calls == ()
    assert toy.asked == []
    assert len(engine.step([], at(2), term=1).calls) == 1
    assert [version for version, _ in toy.asked] == ["6"]


def test_another_term_sees_everything_anew() -> None:
    """Every key is decided again; what was seen since when in an earlier term was not watched in between."""
    engine, toy = made()
    toy.sees = {"hung": at(0).elapsed}
    engine.step([Synced(kind=m.Machine, items=(raw(5, "Wanted"),), version=5)], at(0), term=1)
    engine.step([event(6, "Wanted")], at(1), term=1)
    assert [dict(seen) for _, seen in toy.asked] == [{}, {"hung": 0}]
    engine.step([], at(2), term=1)
    assert len(toy.asked) == 2
    engine.step([], at(50), term=2)
    assert [dict(seen) for _, seen in toy.asked] == [{}, {"hung": 0}, {}]
    assert engine.step([], at(60), term=None) == Step(calls=(), wake_at=None)


def test_a_call_of_an_earlier_term_is_answered_and_its_key_decided_again() -> None:
    """It was dropped or not; the key is free for the next term."""
    engine, toy = made()
    engine.step([Synced(kind=m.Machine, items=(raw(5),), version=5)], at(0), term=1)
    assert engine.step([Done(key=KEY, error=TooManyRequests("dropped"))], at(1), term=None).calls == ()
    assert len(engine.step([], at(2), term=2).calls) == 1
    assert len(toy.asked) == 2


def whole(version: int, *names: str, phase: str = "Wanted") -> tuple[m.Json, ...]:
    """Give machines as a server lists them."""
    bodies = []
    for name in names:
        body = raw(version, phase)
        body["metadata"]["name"] = name
        bodies.append(body)
    return tuple(bodies)


def part(*bodies: m.Json) -> Part:
    """Give a part of a listing."""
    return Part(kind=m.Machine, read=tuple(wire.read(body, m.Machine) for body in bodies))


def test_a_long_listing_is_folded_in_parts_and_decided_when_it_is_whole() -> None:
    """A part is no world to act on; the whole adds nothing that was told, and takes away what is not in it."""
    engine, toy = made()
    assert engine.step([part(*whole(5, "a", "b"))], at(0)).calls == ()
    assert toy.asked == []
    assert engine.waits_for() == ("Machine: not listed yet",)
    items = whole(5, "a", "b", "c")
    read = {name: wire.read(body, m.Machine) for name, body in zip("ab", items, strict=False)}
    engine.step([Synced(kind=m.Machine, items=items, version=7, read=read)], at(1))
    assert sorted(version for version, _ in toy.asked) == ["5", "5", "5"]
    engine.step([part(*whole(9, "a")), Synced(kind=m.Machine, items=whole(9, "a"), version=9)], at(2))
    assert engine.cache.count(m.Machine) == 1


def test_a_part_is_no_proof_that_the_cache_has_seen_its_listing() -> None:
    """A key that waits for its own write goes on waiting: its object may be in a part that is still to come."""
    engine, _ = made()
    started(engine)
    answered(engine, at(1), version=6)
    engine.step([part(*whole(9, "other", phase="Other"))], at(2))
    assert engine.waits_for() == ("toy/m1: its own write has not been seen",)
    assert engine.cache.has_seen(m.Ref(kind="Machine", name="m1"), 6) is False
    engine.step([part(*whole(6, "m1"))], at(3))
    assert engine.cache.has_seen(m.Ref(kind="Machine", name="m1"), 6) is False
    engine.step([Synced(kind=m.Machine, items=whole(9, "other", "m1"), version=9, begins=False)], at(4))
    assert engine.cache.has_seen(m.Ref(kind="Machine", name="m1"), 6)


def test_a_part_of_the_past_changes_nothing() -> None:
    """What is held is newer; a server that was set back is believed when the whole listing says so."""
    engine, _ = made()
    engine.step([Synced(kind=m.Machine, items=whole(9, "a"), version=9)], at(0))
    engine.step([part(*whole(4, "a", phase="Old"))], at(1))
    held = engine.cache.get(m.Machine, "a")
    assert held is not None
    assert held.metadata.resource_version == "9"
    engine.step([Synced(kind=m.Machine, items=whole(4, "a", phase="Old"), version=5)], at(2))
    held = engine.cache.get(m.Machine, "a")
    assert held is not None
    assert held.metadata.resource_version == "4"


def test_a_step_decides_no_more_keys_than_it_may() -> None:
    """The rest is due at once; the driver looks at other things in between."""
    engine, toy = made()
    names = [f"m{number}" for number in range(5)]
    first = engine.step([Synced(kind=m.Machine, items=whole(5, *names), version=5)], at(0), most=2)
    assert (len(toy.asked), first.is_cut, first.wake_at) == (2, True, 0)
    second = engine.step([], at(1), most=2)
    assert (len(toy.asked), second.is_cut) == (4, True)
    third = engine.step([], at(2), most=2)
    assert (len(toy.asked), third.is_cut, third.wake_at) == (5, False, None)
