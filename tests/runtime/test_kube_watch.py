"""The watch of KubeStore: how it is read, how it goes on, and what ends it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from kubenode.core.errors import (
    ApiError,
    Expired,
    Forbidden,
    ObjectNotFound,
    Unreachable,
)
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.contract import INITIAL_EVENTS_END, EventType, WatchEvent
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.stream import Lines
from kubenode.runtime.store.transport import Backoff, Limits, Timing
from tests.runtime.api_server import (
    KIND,
    READS,
    SHORT,
    ApiServer,
    Call,
    FakeTime,
    Say,
    fails,
    hangs,
    line,
    listing,
    machine,
    refused,
    resets,
    run,
    says,
    store_of,
    streams,
)


async def _next(store: KubeStore, count: int) -> list[WatchEvent]:
    """Watch from 1 and give that many events."""
    watch = await store.watch(KIND, resource_version="1")
    events: list[WatchEvent] = []
    while len(events) < count:
        events += await watch.events()
    await watch.close()
    return events


def watched(
    *answers: Say, count: int, time: FakeTime | None = None, **limits: Any
) -> tuple[list[str], ApiServer]:
    """Watch against these answers; give `name@version` of each event."""
    events, server = run(*answers, do=lambda store: _next(store, count), time=time, **limits)
    return [_brief(event) for event in events], server


def _brief(event: WatchEvent) -> str:
    metadata = event.object["metadata"]
    return f"{metadata.get('name', event.type.value)}@{metadata['resourceVersion']}"


def bookmark(version: int) -> bytes:
    """Write a bookmark."""
    return line("BOOKMARK", {"kind": "Machine", "metadata": {"resourceVersion": str(version)}})


def froms(server: ApiServer) -> list[str]:
    """Give the resourceVersions that watches were begun from."""
    return [asked.query["resourceVersion"] for asked in server.asked if "watch" in asked.query]


def test_a_watch_tells_changes_in_order() -> None:
    """Each type arrives as it was sent, without managedFields; bookmarks and an end in time were asked for."""
    told = [
        line("ADDED", machine("a", 2)),
        line("MODIFIED", machine("a", 3)),
        line("DELETED", machine("a", 4)),
    ]
    events, server = run(streams(*told, then=hangs), do=lambda store: _next(store, 3))
    assert [event.type for event in events] == [EventType.ADDED, EventType.MODIFIED, EventType.DELETED]
    assert all("managedFields" not in event.object["metadata"] for event in events)
    query = dict(server.asked[0].query)
    assert 300 <= int(query.pop("timeoutSeconds")) < 600
    assert query == {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": "1"}


def test_a_chunk_may_end_within_a_character() -> None:
    """Bytes are joined before they are read: half a character is no fault."""
    sent = line("ADDED", machine("a", 2, annotations={"note": "Zürich 東京"}))
    cut = sent.index("東".encode()) + 1
    events, _ = run(streams(sent[:cut], sent[cut:], then=hangs), do=lambda store: _next(store, 1))
    assert events[0].object["metadata"]["annotations"] == {"note": "Zürich 東京"}


def test_a_line_may_have_a_megabyte() -> None:
    """There is no limit of lines; the next event follows."""
    big = "x" * 1_000_000
    sent = line("ADDED", machine("a", 2, annotations={"big": big})) + line("ADDED", machine("b", 3))
    chunks = [sent[start : start + 65_536] for start in range(0, len(sent), 65_536)]
    events, server = run(streams(*chunks, then=hangs), do=lambda store: _next(store, 2))
    assert events[0].object["metadata"]["annotations"]["big"] == big
    assert froms(server) == ["1"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_lines_do_not_depend_on_chunks(size: int) -> None:
    """However the bytes are cut, the lines are the same."""
    text = b"one\ntwo\n\nthree\nrest"
    lines = Lines()
    found = [item for start in range(0, len(text), size) for item in lines.cut(text[start : start + size])]
    assert found == [b"one", b"two", b"", b"three"]


def test_a_watch_cut_within_a_line_resumes_before_it() -> None:
    """Half an event is no event: it is asked for again, and each is told once."""
    half = line("ADDED", machine("b", 3))[:20]
    told, server = watched(
        streams(line("ADDED", machine("a", 2)), half, then=resets),
        streams(line("ADDED", machine("b", 3)), then=hangs),
        count=2,
    )
    assert told == ["a@2", "b@3"]
    assert froms(server) == ["1", "2"]


def test_bookmarks_move_the_resume_point() -> None:
    """After a bookmark the next connection begins there; the bookmark is told too."""
    told, server = watched(
        streams(line("ADDED", machine("a", 2)), bookmark(9)),
        streams(line("ADDED", machine("b", 10)), then=hangs),
        count=3,
    )
    assert told == ["a@2", "BOOKMARK@9", "b@10"]
    assert froms(server) == ["1", "9"]


def expired(code: int = 410) -> bytes:
    """Write the event of a server that has forgotten."""
    status = {
        "kind": "Status",
        "code": code,
        "reason": "Expired",
        "message": "too old resource version: 1 (9)",
    }
    return line("ERROR", status)


@pytest.mark.parametrize(
    "answer", [streams(expired(), then=hangs), fails(410, "Expired", "too old resource version: 1 (9)")]
)
def test_a_forgotten_version_is_expired(answer: Say) -> None:
    """410 is raised, as an event of a stream of 200 and as an answer; the watch is then over."""

    async def twice(store: KubeStore) -> None:
        watch = await store.watch(KIND, resource_version="1")
        for _ in range(2):
            with pytest.raises(Expired, match="too old"):
                await watch.events()

    _, server = run(answer, do=twice)
    assert froms(server) == ["1"]


def test_events_before_an_error_are_told_first() -> None:
    """What came before the 410 in the same chunk is not lost."""

    async def watch_both(store: KubeStore) -> None:
        watch = await store.watch(KIND, resource_version="1")
        assert [_brief(event) for event in await watch.events()] == ["a@2"]
        with pytest.raises(Expired):
            await watch.events()

    run(streams(line("ADDED", machine("a", 2)) + expired(), then=hangs), do=watch_both)


@pytest.mark.parametrize(
    ("answer", "meaning"), [(fails(403, "Forbidden"), Forbidden), (fails(404, "NotFound"), ObjectNotFound)]
)
def test_what_no_later_watch_can_mend_is_raised(answer: Say, meaning: type[ApiError]) -> None:
    """Rights that are gone, or a kind that is gone, end a watch."""
    error, server = refused(answer, do=lambda store: _next(store, 1))
    assert type(error) is meaning
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "broken",
    [
        fails(500), fails(503), fails(429), resets, says(b"<html>", 502), says({}, 201), streams(b"no JSON\n"),
        streams(b'{"type":"ADDED","object":{"metadata":{}}}\n'), streams(b'{"type":"NEW","object":{"metadata":{"resourceVersion":"9"}}}\n'),
        streams(b'{"type":"ERROR","object":7}\n'), streams(b"[]\n"), streams(expired(500)), streams(then=resets), streams(),
    ],
)  # fmt: skip
def test_a_watch_rides_out_what_passes(broken: Say) -> None:
    """Each failure is followed by a pause and a new watch from the same version."""
    time = FakeTime()
    told, server = watched(
        broken, broken, streams(line("ADDED", machine("a", 2)), then=hangs), count=1, time=time
    )
    assert told == ["a@2"]
    assert froms(server) == ["1", "1", "1"]
    assert len(time.pauses) == 2


def test_a_watch_that_is_asked_to_wait_waits() -> None:
    """Retry-After holds for watches too."""
    time = FakeTime()
    watched(fails(429, Retry_After="7"), streams(bookmark(2), then=hangs), count=1, time=time)
    assert [7 <= pause <= 7.2 for pause in time.pauses] == [True]


def test_watches_that_end_at_once_do_not_make_a_busy_loop() -> None:
    """Pauses double up to the longest one while nothing is told, and begin anew when something was."""
    time = FakeTime()
    told, server = watched(
        *[streams()] * 12, streams(bookmark(2)), streams(bookmark(3), then=hangs), count=2, time=time
    )
    assert told == ["BOOKMARK@2", "BOOKMARK@3"]
    assert len(server.asked) == len(time.pauses) + 1 == 14
    steps = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, *[10.0] * 6, 0.2]
    assert all(step / 2 <= pause <= step for pause, step in zip(time.pauses, steps, strict=True))


def test_a_server_that_is_away_for_long_is_asked_rarely() -> None:
    """Half a minute without a server is less than ten attempts, and the watch goes on after it."""

    async def main() -> None:
        async def later() -> None:
            if time.now().elapsed > 30e9 and not listening:
                listening.append(True)
                await server.listen()

        listening: list[bool] = []
        time = FakeTime(on_sleep=later)
        async with ApiServer(streams(bookmark(2), then=hangs), listening=False) as server:
            async with store_of(server, time, reconnect=timedelta()) as store:
                await _next(store, 1)
            assert len(time.pauses) < 10
            assert len(server.asked) == 1

    asyncio.run(main())


def by_question(watch: Callable[[ApiServer, str], Say], look: Say) -> list[Say]:
    """Answer by what is asked, not in order: a slow machine may be silent once more than the test means."""

    async def say(server: ApiServer, request: Any) -> Any:
        version = request.query.get("resourceVersion")
        return await (look if version is None else watch(server, version))(server, request)

    return [say] * 50


def looks(server: ApiServer) -> list[dict[str, str]]:
    """Give the queries that were no watches."""
    return [dict(asked.query) for asked in server.asked if "watch" not in asked.query]


def test_a_silent_watch_is_ended_and_resumed() -> None:
    """A half-open connection says nothing for ever: after the limit the server is asked how far it is."""
    first = streams(bookmark(5) + b"\n", then=hangs)
    second = streams(line("ADDED", machine("a", 7)), then=hangs)
    answers = by_question(lambda _, version: first if version == "1" else second, says(listing(version="8")))
    told, server = watched(*answers, count=2, silence=SHORT)
    assert told == ["BOOKMARK@5", "a@7"]
    assert sorted(set(froms(server))) == ["1", "5"]
    assert {"limit": "1"} in looks(server)


def test_a_server_that_was_set_back_is_expired() -> None:
    """Restored from a backup, it would be silent about our version for ever: list again."""

    async def silent(store: KubeStore) -> None:
        watch = await store.watch(KIND, resource_version="100")
        with pytest.raises(Expired, match="set back"):
            await watch.events()

    quiet = streams(then=hangs)
    run(*by_question(lambda *_: quiet, says(listing(version="40"))), do=silent, silence=SHORT)


@pytest.mark.parametrize(("answer", "meaning"), [(fails(403), Forbidden), (fails(404), ObjectNotFound)])
def test_looking_back_may_end_a_watch(answer: Say, meaning: type[ApiError]) -> None:
    """Who may no longer list, may no longer watch."""
    quiet = streams(then=hangs)
    answers = by_question(lambda *_: quiet, answer)
    error, _ = refused(*answers, do=lambda store: _next(store, 1), silence=SHORT)
    assert type(error) is meaning


def test_looking_back_in_vain_is_ridden_out() -> None:
    """A server that does not answer the question is no reason to end the watch."""
    quiet, told_at_last = streams(then=hangs), streams(bookmark(2), then=hangs)
    answers = by_question(lambda server, _: told_at_last if looks(server) else quiet, fails(503))
    told, server = watched(*answers, count=1, silence=SHORT, patience=timedelta(0))
    assert told == ["BOOKMARK@2"]
    assert len(looks(server)) >= 1


def test_a_cancelled_wait_loses_nothing() -> None:
    """Who waits for a while only, such as with a time limit, goes on where it was."""

    async def patient(store: KubeStore) -> list[str]:
        watch = await store.watch(KIND, resource_version="1")
        first = await watch.events()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watch.events(), 0.05)
        go_on.set()
        second = await watch.events()
        await watch.close()
        return [_brief(event) for event in (*first, *second)]

    async def continues(server: ApiServer, request: Any) -> Any:
        await go_on.wait()
        return None

    go_on = asyncio.Event()
    halves = line("ADDED", machine("b", 3))
    say = streams(line("ADDED", machine("a", 2)), halves[:10], then=continues)

    async def both(server: ApiServer, request: Any) -> Any:
        response = await say(server, request)
        await response.write(halves[10:])
        await server.closing.wait()
        return response

    told, server = run(both, do=patient)
    assert told == ["a@2", "b@3"]
    assert froms(server) == ["1"]


def test_a_closed_watch_ends_a_wait() -> None:
    """Closing ends the connection; the wait and each later one raise."""

    async def closed(store: KubeStore) -> None:
        watch = await store.watch(KIND, resource_version="1")
        await watch.events()
        waiting = asyncio.create_task(watch.events())
        await asyncio.sleep(0.01)
        await watch.close()
        for wait in (waiting, watch.events()):
            with pytest.raises(Unreachable, match="closed"):
                await wait
        await watch.close()

    _, server = run(streams(bookmark(2), then=hangs), do=closed)
    assert len(server.asked) == 1


def test_leaving_the_store_ends_its_watches() -> None:
    """A watch that outlives its store says so, and holds no connection."""

    async def main() -> None:
        async with ApiServer(streams(bookmark(2), then=hangs)) as server:
            async with store_of(server) as store:
                watch = await store.watch(KIND, resource_version="1")
                await watch.events()
            await store.__aexit__(None, None, None)  # once more is once
            with pytest.raises(RuntimeError, match="outside"):
                await watch.events()

    asyncio.run(main())


def test_pauses_are_never_shorter_than_asked() -> None:
    """A pause is between half and all of its step, or a little more than the server asked for."""
    for jitter in (0.0, 0.999):
        backoff = Backoff(Limits(), Timing(jitter=partial(float, jitter)))
        pauses = [backoff.next().total_seconds() for _ in range(8)]
        steps = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]
        assert all(step / 2 <= pause <= step for pause, step in zip(pauses, steps, strict=True))
        assert timedelta(seconds=20) <= backoff.next(timedelta(seconds=20)) <= timedelta(seconds=20.2)


@pytest.mark.parametrize("call", [READS["get"], lambda store: _next(store, 1)])
def test_a_store_outside_of_its_block_says_so(call: Call) -> None:
    """Inert until entered, and after it was left."""

    async def main() -> None:
        store = KubeStore(lambda: Connection(url="http://127.0.0.1:1"))
        with pytest.raises(RuntimeError, match="outside"):
            await call(store)
        async with store:
            pass
        with pytest.raises(RuntimeError, match="outside"):
            await call(store)

    asyncio.run(main())


def test_initial_events_come_before_their_mark() -> None:
    """Until the mark, a lost connection begins anew; after it, the watch resumes from there."""
    mark = {
        "kind": "Machine",
        "metadata": {"resourceVersion": "9", "annotations": {INITIAL_EVENTS_END: "true"}},
    }
    first = streams(line("ADDED", machine("a", 7)), then=resets)
    again = streams(line("ADDED", machine("a", 7)), line("BOOKMARK", mark), then=resets)
    later = streams(line("ADDED", machine("b", 10)), then=hangs)

    async def follow(store: KubeStore) -> list[WatchEvent]:
        watch = await store.watch(KIND, resource_version="", initial=True)
        events: list[WatchEvent] = []
        while len(events) < 4:
            events += await watch.events()
        await watch.close()
        return events

    events, server = run(first, again, later, do=follow, time=FakeTime())
    assert [event.type.value for event in events] == ["ADDED", "ADDED", "BOOKMARK", "ADDED"]
    asked = [
        (query["resourceVersion"], query.get("sendInitialEvents"))
        for query in (ask.query for ask in server.asked)
    ]
    assert asked == [("", "true"), ("", "true"), ("9", None)]
    assert server.asked[0].query["resourceVersionMatch"] == "NotOlderThan"
