"""Lists and watches in one go: streamed where the server offers it, in pages where it does not or where the stream breaks."""

import asyncio
import time as clock
from datetime import timedelta

import pytest

from kubenode.core.errors import ObjectNotFound, Refused
from kubenode.core.model import Json
from kubenode.runtime.store.contract import INITIAL_EVENTS_END, WatchEvent
from kubenode.runtime.store.following import Followed, as_is
from kubenode.runtime.store.kube import KubeStore
from tests.runtime.api_server import (
    KIND,
    SHORT,
    ApiServer,
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

MARK = line(
    "BOOKMARK", {"kind": "Machine", "metadata": {"resourceVersion": "9", "annotations": {INITIAL_EVENTS_END: "true"}}}
)  # fmt: skip
LISTED = line("ADDED", machine("b", 7)) + line("ADDED", machine("a", 8))
PAGE = says(listing(machine("a", 8), machine("b", 7), version="9"))


async def _follow(store: KubeStore, events: int) -> tuple[Followed[Json], list[WatchEvent]]:
    found, watch = await store.follow(KIND, as_is)
    told: list[WatchEvent] = []
    while len(told) < events:
        told += await watch.events()
    await watch.close()
    return found, told


def followed(*answers: Say, events: int = 0, **limits: timedelta) -> tuple[list[str], list[str], ApiServer]:
    """Follow against these answers; give `name@version` of the listing and of each event."""
    (found, told), server = run(*answers, do=lambda store: _follow(store, events), time=FakeTime(), **limits)
    assert found.resource_version == "9"
    assert not [item for item in found.items if "managedFields" in item["metadata"]]
    return [_brief(item) for item in found.items], [_brief(event.object) for event in told], server


def _brief(obj: dict[str, dict[str, str]]) -> str:
    return f"{obj['metadata']['name']}@{obj['metadata']['resourceVersion']}"


def test_a_stream_is_listed_up_to_its_mark_and_watched_after_it() -> None:
    """One request for both; what comes in the same chunk as the mark is not lost; items are by name."""
    after = line("MODIFIED", machine("a", 10))
    listed, told, server = followed(
        streams(LISTED, MARK + after, line("DELETED", machine("b", 11)), then=hangs), events=2
    )
    assert (listed, told) == (["a@8", "b@7"], ["a@10", "b@11"])
    asked = [(ask.query["resourceVersion"], ask.query["sendInitialEvents"]) for ask in server.asked]
    assert asked == [("", "true")]


def test_what_happens_while_it_is_told_is_in_it() -> None:
    """An object that changes or goes before the mark is listed as it is then."""
    first = LISTED + line("MODIFIED", machine("a", 9)) + line("DELETED", machine("b", 9))
    listed, _, _ = followed(streams(first, MARK, then=hangs))
    assert listed == ["a@9"]


@pytest.mark.parametrize(
    "broken",
    [
        fails(503), fails(429, Retry_After="1"), resets, says(b"[1"),
        streams(LISTED), streams(LISTED, b'{"type":"ADD', then=resets), streams(LISTED, b'{"type":"ADDED","object":{}}\n'),
        streams(line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})),
    ],
)  # fmt: skip
def test_a_stream_that_breaks_is_listed_in_pages(broken: Say) -> None:
    """Whatever breaks before the mark: nothing of it is used, and the next time a stream is tried again."""

    async def twice(store: KubeStore) -> tuple[Followed[Json], Followed[Json]]:
        found, watch = await store.follow(KIND, as_is)
        await watch.close()
        again, watch = await store.follow(KIND, as_is)
        await watch.close()
        return found, again

    (found, again), server = run(broken, PAGE, streams(LISTED, MARK, then=hangs), do=twice, time=FakeTime())
    assert [_brief(item) for item in found.items] == [_brief(item) for item in again.items] == ["a@8", "b@7"]
    assert [("sendInitialEvents" in ask.query) for ask in server.asked] == [True, False, True]


@pytest.mark.parametrize(
    "refuses",
    [
        fails(422, "Invalid", "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch"), fails(400),
        fails(500, message="RequestWatchProgress is disabled"),
    ],
)  # fmt: skip
def test_a_server_that_has_no_streams_is_not_asked_again(refuses: Say) -> None:
    """It says so; from then on pages are asked for at once."""

    async def twice(store: KubeStore) -> None:
        for _ in range(2):
            _, watch = await store.follow(KIND, as_is)
            await watch.close()

    _, server = run(refuses, PAGE, PAGE, do=twice, time=FakeTime())
    assert [("sendInitialEvents" in ask.query) for ask in server.asked] == [True, False, False]


def test_a_mark_that_never_comes_is_not_waited_for() -> None:
    """A server that takes it for a plain watch tells events and bookmarks for ever, and no mark."""
    began = clock.monotonic()
    listed, _, server = followed(streams(LISTED, then=hangs), PAGE, patience=timedelta(milliseconds=300))
    assert listed == ["a@8", "b@7"]
    assert clock.monotonic() - began < 20
    assert [("sendInitialEvents" in ask.query) for ask in server.asked] == [True, False]


def test_a_stream_that_falls_silent_is_listed_in_pages() -> None:
    """A connection that is half open ends after the time limit of silence."""
    listed, _, _ = followed(streams(LISTED, then=hangs), PAGE, silence=SHORT)
    assert listed == ["a@8", "b@7"]


@pytest.mark.parametrize(
    ("answer", "meaning"), [(fails(403, "Forbidden"), Refused), (fails(404), ObjectNotFound)]
)
def test_who_may_not_list_is_told(answer: Say, meaning: type[Exception]) -> None:
    """The answer to the list is raised; a stream that was forbidden may be allowed later."""
    error, server = refused(answer, answer, do=lambda store: store.follow(KIND, as_is), time=FakeTime())
    assert isinstance(error, meaning)
    assert [("sendInitialEvents" in ask.query) for ask in server.asked] == [True, False]


def test_a_follower_that_is_cancelled_leaves_no_connection() -> None:
    """Cancelled before the mark, the stream is closed: the store can be left at once."""

    async def main() -> None:
        async with ApiServer(streams(LISTED, then=hangs)) as server, store_of(server) as store:
            task = asyncio.create_task(store.follow(KIND, as_is))
            while not server.asked:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


@pytest.mark.parametrize("pages", [False, True], ids=["stream", "pages"])
def test_what_is_listed_is_read_while_it_comes(pages: bool) -> None:
    """Only what `read` gives is kept, by name; of a broken stream the pages are read anew."""
    read: list[str] = []

    def name(raw: Json) -> str:
        read.append(raw["metadata"]["name"])
        return read[-1].upper()

    async def main(store: KubeStore) -> tuple[str, ...]:
        found, watch = await store.follow(KIND, name)
        await watch.close()
        return found.items

    answers = (streams(LISTED, then=resets), PAGE) if pages else (streams(LISTED, MARK, then=hangs),)
    items, _ = run(*answers, do=main, time=FakeTime())
    assert items == ("A", "B")
    assert read == (["b", "a", "a", "b"] if pages else ["b", "a"])
