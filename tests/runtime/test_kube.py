"""KubeStore against a server that breaks: what is asked, what is asked again, and what is raised."""

import asyncio
import gc
import itertools
import logging
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import pytest
from tests.runtime.api_server import (
    ApiServer,
    FakeTime,
    Say,
    fails,
    hangs,
    line,
    resets,
    says,
    store_of,
    streams,
)

from kubenode.core.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    InvalidObjectError,
    ObjectNotFound,
    Problem,
    Refused,
    ServerFailed,
    TooManyRequests,
    Unreachable,
)
from kubenode.core.model import Json, Kind, Machine
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.contract import EventType, JsonPatch, MergePatch, WatchEvent
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.stream import Lines
from kubenode.runtime.store.transport import Backoff, Limits, Timing

KIND = Machine.KIND
PATH = "/apis/kubenode.dev/v1alpha1/machines"
NODE = Kind(name="Node", plural="nodes", group="", version="v1", served=False)
SHORT = timedelta(milliseconds=50)
TEST = JsonPatch(({"op": "test", "path": "/spec/a", "value": 1}, {"op": "remove", "path": "/spec/a"}))

Call = Callable[[KubeStore], Coroutine[Any, Any, object]]

READS: dict[str, Call] = {"get": lambda store: store.get(KIND, "m1"), "find": lambda store: store.find(KIND)}
WRITES: dict[str, Call] = {
    "create": lambda store: store.create(KIND, machine("m1")),
    "patch": lambda store: store.patch(KIND, "m1", MergePatch({"spec": {}})),
    "delete": lambda store: store.delete(KIND, "m1"),
}


def machine(name: str, version: int = 1, **metadata: Any) -> Json:
    """Give a Machine as the server sends it."""
    about = {"name": name, "resourceVersion": str(version), "managedFields": [{"manager": "x"}], **metadata}
    return {"apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": about}


def listing(*items: Json, version: str = "10", **metadata: Any) -> Json:
    """Give a list as the server sends it; items of core kinds name neither kind nor version."""
    return {"kind": "MachineList", "metadata": {"resourceVersion": version, **metadata}, "items": list(items)}


def run(*answers: Say, do: Call, time: FakeTime | None = None, **limits: Any) -> tuple[Any, ApiServer]:
    """Make one call against these answers."""

    async def main() -> tuple[Any, ApiServer]:
        async with ApiServer(*answers) as server, store_of(server, time, **limits) as store:
            return await do(store), server

    return asyncio.run(main())


def refused(
    *answers: Say, do: Call, time: FakeTime | None = None, **limits: Any
) -> tuple[ApiError, ApiServer]:
    """Make one call against these answers, and give the error it raises."""

    async def caught(store: KubeStore) -> object:
        with pytest.raises(ApiError) as found:
            await do(store)
        return found.value

    error, server = run(*answers, do=caught, time=time, **limits)
    return error, server


# What is asked.


def test_get_asks_for_one_object_and_drops_managed_fields() -> None:
    """The path names group, version and plural; managedFields are gone."""
    got, server = run(says(machine("m1")), do=READS["get"])
    assert got["metadata"] == {"name": "m1", "resourceVersion": "1"}
    assert [(asked.method, asked.path) for asked in server.asked] == [("GET", f"{PATH}/m1")]


def test_the_core_group_has_another_root() -> None:
    """A Node is below /api/v1; items of a list are told their kind, which the server leaves out."""
    item: Json = {"metadata": {"name": "n1"}}
    found, server = run(says(listing(item)), do=lambda store: store.find(NODE))
    assert server.asked[0].path == "/api/v1/nodes"
    assert found.items == ({"metadata": {"name": "n1"}, "apiVersion": "v1", "kind": "Node"},)


def test_create_sends_the_object_and_who_writes() -> None:
    """The body is the object; read-only mappings in it are written like dicts."""
    obj = {"metadata": MappingProxyType({"name": "m1"})}
    _, server = run(says(machine("m1"), 201), do=lambda store: store.create(KIND, obj))
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.query) == ("POST", PATH, {"fieldManager": "tester"})
    assert asked.json == {"metadata": {"name": "m1"}}


@pytest.mark.parametrize(
    ("patch", "content_type", "body"),
    [
        (MergePatch({"spec": {"a": None}}), "application/merge-patch+json", {"spec": {"a": None}}),
        (TEST, "application/json-patch+json", list(TEST.operations)),
    ],
)
def test_patch_says_which_patch_it_is(patch: MergePatch | JsonPatch, content_type: str, body: object) -> None:
    """Both kinds of patch go to the subresource with their content type and the field manager."""
    _, server = run(
        says(machine("m1")), do=lambda store: store.patch(KIND, "m1", patch, subresource="status")
    )
    (asked,) = server.asked
    assert (asked.method, asked.path, asked.query) == (
        "PATCH",
        f"{PATH}/m1/status",
        {"fieldManager": "tester"},
    )
    assert (asked.headers["Content-Type"], asked.json) == (content_type, body)


def test_delete_sends_its_preconditions() -> None:
    """Uid and resourceVersion are preconditions; what is not given is not sent."""

    async def both(store: KubeStore) -> None:
        await store.delete(KIND, "m1", uid="u", resource_version="7")
        await store.delete(KIND, "m1")

    _, server = run(says({"kind": "Status"}), says({"kind": "Status"}), do=both)
    sent = [asked.json["preconditions"] for asked in server.asked]
    assert sent == [{"uid": "u", "resourceVersion": "7"}, {}]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_a_name_that_would_be_another_path_is_refused(name: str) -> None:
    """Nothing is sent for a name that would make the path of something else."""
    error, server = refused(do=lambda store: store.delete(KIND, name))
    assert isinstance(error, Refused)
    assert server.asked == []


# What a list is made of.


def test_find_reads_all_pages_and_sorts_by_name() -> None:
    """Each page is asked for with the token of the last one; labels and limit go with each."""
    pages = (
        says(listing(machine("m2"), **{"continue": "t=="})),
        says(listing(machine("m3"), machine("m1"))),
    )
    found, server = run(*pages, do=lambda store: store.find(KIND, labels={"b": "", "a": "x"}), page=2)
    assert [item["metadata"]["name"] for item in found.items] == ["m1", "m2", "m3"]
    assert found.resource_version == "10"
    first = {"limit": "2", "labelSelector": "a=x,b="}
    assert [asked.query for asked in server.asked] == [first, {**first, "continue": "t=="}]


GONE = fails(410, "Expired", "The provided continue parameter is too old")
FIRST = says(listing(machine("old"), **{"continue": "t"}))


def test_find_begins_again_when_the_token_has_expired() -> None:
    """After 410 in the middle all pages are read anew: nothing of the first version stays."""
    found, server = run(FIRST, GONE, says(listing(machine("new"), version="20")), do=READS["find"])
    assert ([item["metadata"]["name"] for item in found.items], found.resource_version) == (["new"], "20")
    assert "continue" not in server.asked[2].query


def test_find_takes_one_answer_when_tokens_expire_again() -> None:
    """A server too busy for pages is asked for everything at once, which cannot expire half way."""
    found, server = run(FIRST, GONE, FIRST, GONE, says(listing(machine("m1"))), do=READS["find"])
    assert len(found.items) == 1
    assert server.asked[-1].query == {}


def test_find_begins_again_when_a_page_is_of_another_version() -> None:
    """Pages of two versions would be a world that never was."""
    answers = (FIRST, says(listing(machine("m"), version="11")), says(listing(version="12")))
    found, _ = run(*answers, do=READS["find"])
    assert (found.items, found.resource_version) == ((), "12")


# What is asked again.


@pytest.mark.parametrize("call", [*READS, *WRITES])
def test_429_is_asked_again_after_the_pause_the_server_wants(call: str) -> None:
    """Nothing was done, so writes are made again too, never sooner than Retry-After."""
    time = FakeTime()
    last = says(listing() if call == "find" else machine("m1"))
    busy = fails(429, "TooManyRequests", Retry_After="3")
    _, server = run(busy, busy, last, do={**READS, **WRITES}[call], time=time)
    assert len(server.asked) == 3
    assert all(3 <= pause <= 3.3 for pause in time.pauses)


def test_429_beyond_our_patience_is_raised_with_the_pause() -> None:
    """A pause longer than our patience is the caller's, who is told how long."""
    time = FakeTime()
    error, server = refused(fails(429, Retry_After="90"), do=WRITES["patch"], time=time)
    assert isinstance(error, TooManyRequests)
    assert (error.retry_after, len(server.asked), time.pauses) == (timedelta(seconds=90), 1, [])


def test_the_pause_may_be_in_the_status() -> None:
    """Without the header, details.retryAfterSeconds says it."""
    error, _ = refused(fails(429, details={"retryAfterSeconds": 90}), do=READS["get"])
    assert error.retry_after == timedelta(seconds=90)


BROKEN: dict[str, tuple[Say, type[ApiError]]] = {
    "500": (fails(500, "InternalError"), ServerFailed),
    "503": (fails(503, "ServiceUnavailable"), ServerFailed),
    "504": (fails(504, "Timeout"), ServerFailed),
    "500 without reason": (fails(500, message="failed to create typed patch object"), ServerFailed),
    "a proxy's page": (says(b"<html>Bad Gateway</html>", 502), ServerFailed),
    "reset": (resets, Unreachable),
    "half-open": (hangs, Unreachable),
    "cut short": (streams(b'{"kind":', then=resets), Unreachable),
    "no JSON": (says(b"[1"), ServerFailed),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("call", WRITES)
def test_a_write_that_may_have_been_done_is_not_made_again(call: str, broken: str) -> None:
    """The answer is lost or unclear: the error says so, and the engine looks again."""
    say, meaning = BROKEN[broken]
    error, server = refused(say, do=WRITES[call], call=SHORT)
    assert type(error) is meaning
    assert len(server.asked) == 1


@pytest.mark.parametrize("broken", BROKEN)
def test_a_read_is_made_again(broken: str) -> None:
    """A read changes nothing: it is made again until it has an answer."""
    say, _ = BROKEN[broken]
    time = FakeTime()
    got, server = run(say, say, says(machine("m1")), do=READS["get"], time=time, call=SHORT)
    assert got["metadata"]["name"] == "m1"
    assert len(server.asked) == 3
    assert [0.1 <= time.pauses[0] <= 0.2, 0.2 <= time.pauses[1] <= 0.4] == [True, True]


def test_a_read_is_given_up_at_the_deadline() -> None:
    """Pauses grow to the longest one; when the next would be too late, the last error is raised."""
    time = FakeTime()
    error, server = refused(*[fails(503)] * 50, do=READS["get"], time=time, patience=timedelta(seconds=60))
    assert isinstance(error, ServerFailed)
    assert error.code == 503
    assert sum(time.pauses) <= 60 < sum(time.pauses) + 10
    assert len(server.asked) == len(time.pauses) + 1 < 20


def test_a_delete_on_a_kept_connection_is_sent_once() -> None:
    """The HTTP library would send it again when a kept connection is dropped, and 404 would be the answer."""

    async def both(store: KubeStore) -> object:
        await store.get(KIND, "m1")
        return await store.delete(KIND, "m1")

    error, server = refused(says(machine("m1")), resets, do=both)
    assert isinstance(error, Unreachable)
    assert [asked.method for asked in server.asked] == ["GET", "DELETE"]


@pytest.mark.parametrize("call", WRITES)
def test_a_refused_connection_is_tried_again(call: str) -> None:
    """Nothing was sent, so a write is made again as soon as the server listens."""

    async def main() -> None:
        pauses = itertools.count(1)

        async def later() -> None:
            if next(pauses) == 3:
                await server.listen()

        async with ApiServer(says(machine("m1")), listening=False) as server:
            async with store_of(server, FakeTime(on_sleep=later)) as store:
                await WRITES[call](store)
            assert len(server.asked) == 1

    asyncio.run(main())


def test_a_server_that_is_away_is_unreachable() -> None:
    """With patience over, the error names what was asked."""

    async def main() -> None:
        async with ApiServer(listening=False) as server, store_of(server) as store:
            with pytest.raises(Unreachable, match=f"GET {PATH}/m1: cannot connect"):
                await store.get(KIND, "m1")

    asyncio.run(main())


def test_a_cancelled_call_is_cancelled() -> None:
    """Cancellation passes, its place is free again, and no connection stays open."""

    async def main() -> None:
        async with (
            ApiServer(hangs, says(machine("m1"))) as server,
            store_of(server, in_flight=1) as store,
        ):
            task = asyncio.create_task(store.get(KIND, "m1"))
            while not server.asked:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await store.get(KIND, "m1"))["metadata"]["name"] == "m1"

    asyncio.run(main())


def test_no_more_calls_are_under_way_than_allowed() -> None:
    """The third of three calls is sent when one of the first two has its answer."""

    async def main() -> None:
        answered = asyncio.Event()

        async def waits(server: ApiServer, request: Any) -> Any:
            await answered.wait()
            return await says(machine("m1"))(server, request)

        async with ApiServer(waits, waits, waits) as server, store_of(server, in_flight=2) as store:
            calls = [asyncio.create_task(store.get(KIND, "m1")) for _ in range(3)]
            while len(server.asked) < 2:
                await asyncio.sleep(0.001)
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert len(server.asked) == 2
            answered.set()
            await asyncio.gather(*calls)
            assert len(server.asked) == 3

    asyncio.run(main())


@pytest.mark.parametrize("call", WRITES)
def test_a_handshake_that_hangs_sent_nothing(call: str) -> None:
    """The time limit of connecting includes TLS; nothing was sent before it, so writes are tried again."""

    async def main() -> None:
        accepted: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        connection = Connection(url=f"https://127.0.0.1:{port}", tls=ssl.create_default_context())
        time = FakeTime()
        limits = Limits(connect=SHORT, patience=timedelta(seconds=1))
        timing = Timing(clock=time, sleep=time.sleep, jitter=lambda: 0.5)
        async with KubeStore(lambda: connection, limits=limits, timing=timing) as store:
            with pytest.raises(Unreachable):
                await WRITES[call](store)
        assert len(accepted) == len(time.pauses) + 1 == 3
        for writer in accepted:
            writer.close()
        silent.close()
        await silent.wait_closed()

    asyncio.run(main())


def test_a_large_answer_leaves_the_collector_as_it_was() -> None:
    """The collector rests while a page is parsed, and no longer; whoever turned it off keeps it off."""
    big = machine("m1", annotations={"big": "x" * 300_000})
    run(says(big), do=READS["get"])
    assert gc.isenabled()
    gc.disable()
    try:
        run(says(big), do=READS["get"])
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_is_no_json_is_the_callers_fault() -> None:
    """A value without a JSON form is refused before anything is sent."""

    async def wrong(store: KubeStore) -> None:
        with pytest.raises(TypeError):
            await store.create(KIND, {"spec": object()})

    _, server = run(do=wrong)
    assert server.asked == []


def test_without_the_extra_the_error_says_what_to_install() -> None:
    """Importing the store where aiohttp is missing names the extra."""
    script = "import sys; sys.modules['aiohttp'] = None; import kubenode.runtime.store.kube"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "pip install 'kubenode[kube]'" in done.stderr.splitlines()[-1]


# What an error means.

IMMUTABLE = {"causes": [{"field": "metadata.uid", "reason": "FieldValueInvalid"}]}
INVALID = {"causes": [{"field": "spec.provider", "reason": "FieldValueRequired"}]}
BARE = "the server rejected our request due to an error in our request"
MERGE = MergePatch({})


@pytest.mark.parametrize(
    ("answer", "patch", "meaning"),
    [
        (fails(404, "NotFound"), MERGE, ObjectNotFound),
        (fails(409, "Conflict"), MERGE, Conflict),
        (fails(409, "AlreadyExists"), MERGE, AlreadyExists),
        (fails(422, "Invalid", details=IMMUTABLE), MERGE, Conflict),
        (fails(422, "Invalid", details=INVALID), MERGE, Refused),
        (fails(422, "Invalid", BARE), TEST, Conflict),
        (fails(422, "Invalid", details=INVALID), TEST, Refused),
        (fails(422, "Invalid", BARE), JsonPatch(({"op": "remove", "path": "/spec/a"},)), Refused),
        (fails(400, "BadRequest"), MERGE, Refused),
        (fails(403, "Forbidden"), MERGE, Refused),
        (fails(415, "UnsupportedMediaType"), MERGE, Refused),
        (fails(410, "Expired"), MERGE, Expired),
        (says(b"", 302, Location="/elsewhere"), MERGE, Refused),
        (says(b"", 500), MERGE, ServerFailed),
    ],
)
def test_each_answer_has_its_meaning(
    answer: Say, patch: MergePatch | JsonPatch, meaning: type[ApiError]
) -> None:
    """Codes and reasons become the errors of the contract; the server's Status stays with them."""
    error, server = refused(answer, do=lambda store: store.patch(KIND, "m1", patch))
    assert type(error) is meaning
    assert error.code in (302, 400, 403, 404, 409, 410, 415, 422, 500)
    assert len(server.asked) == 1


def test_warnings_of_the_server_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A pruned field is an answer of 200 with a Warning: somebody must see it."""
    answer = says(machine("m1"), Warning='299 - "unknown field spec.zz"')

    async def twice(store: KubeStore) -> None:
        await store.get(KIND, "m1")
        await store.get(KIND, "m1")

    with caplog.at_level(logging.WARNING, "kubenode.store"):
        run(answer, answer, do=twice)
    assert [record.message.count("unknown field spec.zz") for record in caplog.records] == [1]


# Credentials.


def test_credentials_are_read_again_when_the_server_does_not_know_us() -> None:
    """A 401 reads the configuration anew, once, and the call is made with what it says now."""

    async def main() -> None:
        async with ApiServer(fails(401), says(machine("m1")), says(machine("m1"))) as server:
            tokens = iter(["Bearer old", "Bearer new"])

            def load() -> Connection:
                token = next(tokens)
                return Connection(url=server.url, authorization=lambda: token)

            async with KubeStore(load) as store:
                await store.get(KIND, "m1")
                await store.get(KIND, "m1")
            sent = [asked.headers["Authorization"] for asked in server.asked]
            assert sent == ["Bearer old", "Bearer new", "Bearer new"]

    asyncio.run(main())


def test_who_is_unknown_twice_is_refused() -> None:
    """New credentials that the server does not know either end in Refused, for a watch too."""
    error, server = refused(fails(401), fails(401), do=READS["get"])
    assert isinstance(error, Refused)
    assert len(server.asked) == 2

    async def watched(store: KubeStore) -> object:
        watch = await store.watch(KIND, resource_version="1")
        return await watch.events()

    error, server = refused(fails(401), fails(401), do=watched)
    assert isinstance(error, Refused)
    assert len(server.asked) == 2


def test_the_old_credentials_serve_while_there_are_no_new_ones() -> None:
    """A kubeconfig that is being rewritten is no reason to fail: the 401 is."""

    async def main() -> None:
        async with ApiServer(fails(401), fails(401)) as server:
            connections = iter([Connection(url=server.url)])

            def load() -> Connection:
                for connection in connections:
                    return connection
                raise InvalidObjectError((Problem(where="kubeconfig", what="is empty"),))

            async with KubeStore(load) as store:
                with pytest.raises(Refused):
                    await store.get(KIND, "m1")

    asyncio.run(main())


def test_credentials_that_take_too_long_are_not_waited_for() -> None:
    """A plugin that hangs does not hang the calls: the old token serves, and is asked for anew next time."""

    async def main() -> None:
        async with ApiServer(*[says(machine("m1"))] * 2) as server:
            count = itertools.count()
            ended = threading.Event()

            def authorize() -> str:
                if number := next(count):
                    ended.wait(5)
                return f"Bearer {number}"

            connection = Connection(url=server.url, authorization=authorize)
            time = FakeTime()
            timing = Timing(clock=time, sleep=time.sleep)
            async with KubeStore(lambda: connection, limits=Limits(call=SHORT), timing=timing) as store:
                await time.sleep(60)
                await store.get(KIND, "m1")
            ended.set()
            assert server.asked[0].headers["Authorization"] == "Bearer 0"

    asyncio.run(main())


def test_a_token_is_renewed_every_minute() -> None:
    """The Authorization header is asked for anew when it is a minute old."""

    async def main() -> None:
        async with ApiServer(*[says(machine("m1"))] * 3) as server:
            count = itertools.count()
            connection = Connection(url=server.url, authorization=lambda: f"Bearer {next(count)}")
            time = FakeTime()
            async with KubeStore(lambda: connection, timing=Timing(clock=time, sleep=time.sleep)) as store:
                await store.get(KIND, "m1")
                await time.sleep(59)
                await store.get(KIND, "m1")
                await time.sleep(1)
                await store.get(KIND, "m1")
            assert [asked.headers["Authorization"][-1] for asked in server.asked] == ["0", "0", "1"]

    asyncio.run(main())


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


# Watching.


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
    ("answer", "meaning"), [(fails(403, "Forbidden"), Refused), (fails(404, "NotFound"), ObjectNotFound)]
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
            async with store_of(server, time) as store:
                await _next(store, 1)
            assert len(time.pauses) < 10
            assert len(server.asked) == 1

    asyncio.run(main())


def test_a_silent_watch_is_ended_and_resumed() -> None:
    """A half-open connection says nothing for ever: after the limit the server is asked how far it is."""
    told, server = watched(
        streams(bookmark(5) + b"\n", then=hangs),
        says(listing(version="8")),
        streams(line("ADDED", machine("a", 7)), then=hangs),
        count=2, silence=SHORT,
    )  # fmt: skip
    assert told == ["BOOKMARK@5", "a@7"]
    assert froms(server) == ["1", "5"]
    assert server.asked[1].query == {"limit": "1"}


def test_a_server_that_was_set_back_is_expired() -> None:
    """Restored from a backup, it would be silent about our version for ever: list again."""

    async def silent(store: KubeStore) -> None:
        watch = await store.watch(KIND, resource_version="100")
        with pytest.raises(Expired, match="set back"):
            await watch.events()

    run(streams(then=hangs), says(listing(version="40")), do=silent, silence=SHORT)


@pytest.mark.parametrize(("answer", "meaning"), [(fails(403), Refused), (fails(404), ObjectNotFound)])
def test_looking_back_may_end_a_watch(answer: Say, meaning: type[ApiError]) -> None:
    """Who may no longer list, may no longer watch."""
    error, _ = refused(streams(then=hangs), answer, do=lambda store: _next(store, 1), silence=SHORT)
    assert type(error) is meaning


def test_looking_back_in_vain_is_ridden_out() -> None:
    """A server that does not answer the question is no reason to end the watch."""
    told, server = watched(
        streams(then=hangs), fails(503), streams(bookmark(2), then=hangs),
        count=1, silence=SHORT, patience=timedelta(0),
    )  # fmt: skip
    assert told == ["BOOKMARK@2"]
    assert froms(server) == ["1", "1"]


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
        backoff = Backoff(Limits(), Timing(jitter=lambda jitter=jitter: jitter))
        pauses = [backoff.next().total_seconds() for _ in range(8)]
        steps = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]
        assert all(step / 2 <= pause <= step for pause, step in zip(pauses, steps, strict=True))
        assert timedelta(seconds=20) <= backoff.next(timedelta(seconds=20)) <= timedelta(seconds=20.2)
