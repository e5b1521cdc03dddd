"""KubeStore against a server that breaks: what is asked again, what is not, and with which credentials."""

import asyncio
import gc
import itertools
import ssl
import subprocess
import sys
import threading
from datetime import timedelta
from typing import Any

import pytest

from kubenode.core.errors import (
    ApiError,
    InvalidObjectError,
    Problem,
    Refused,
    Retry,
    ServerFailed,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.fence import TermOver, check_fence, set_fence
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.transport import Limits, Timing
from tests.runtime.api_server import (
    KIND,
    PATH,
    READS,
    SHORT,
    WRITES,
    ApiServer,
    FakeTime,
    Say,
    fails,
    hangs,
    listing,
    machine,
    refused,
    resets,
    run,
    says,
    store_of,
    streams,
)

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
    "500 without reason": (fails(500, message="rpc error"), ServerFailed),
    "a proxy's page": (says(b"<html>Bad Gateway</html>", 502), ServerFailed),
    "reset": (resets, Unreachable),
    "cut short": (streams(b'{"kind":', then=resets), Unreachable),
    "no JSON": (says(b"[1"), ServerFailed),
}


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("call", WRITES)
def test_a_write_that_may_have_been_done_is_not_made_again(call: str, broken: str) -> None:
    """The answer is lost or unclear: the error says so, and the engine looks again."""
    say, meaning = BROKEN[broken]
    error, server = refused(say, do=WRITES[call])
    assert type(error) is meaning
    assert len(server.asked) == 1


FRUITLESS = {
    "a schema that does not fit": "failed to create typed patch object (/m1; kubenode.dev/v1alpha1, Kind=Machine): .spec.a: x",
    "a version in a create": "resourceVersion should not be set on objects to be created",
    "no number": 'strconv.ParseUint: parsing "abc": invalid syntax',
    "too large": "etcdserver: request is too large",
}


@pytest.mark.parametrize("call", [*READS, *WRITES])
@pytest.mark.parametrize("why", FRUITLESS)
def test_a_500_that_blames_the_request_is_never_made_again(call: str, why: str) -> None:
    """The server calls these its own fault; the same request would spin for ever."""
    error, server = refused(fails(500, message=FRUITLESS[why]), do={**READS, **WRITES}[call])
    assert (type(error), error.code, error.retry) == (Refused, 500, Retry.NEVER)
    assert len(server.asked) == 1


@pytest.mark.parametrize("call", READS)
def test_a_503_is_asked_again_after_the_pause_the_server_wants(call: str) -> None:
    """Retry-After holds for 503 as for 429."""
    time = FakeTime()
    last = says(listing() if call == "find" else machine("m1"))
    _, server = run(fails(503, Retry_After="4"), last, do=READS[call], time=time)
    assert (len(server.asked), [4 <= pause <= 4.3 for pause in time.pauses]) == (2, [True])


def test_a_write_that_met_a_503_says_how_long_to_wait() -> None:
    """It may have been done: whoever decides again waits as long as the server wants."""
    error, server = refused(fails(503, Retry_After="4"), do=WRITES["patch"])
    assert (type(error), error.retry_after, len(server.asked)) == (ServerFailed, timedelta(seconds=4), 1)


@pytest.mark.parametrize("broken", BROKEN)
def test_a_read_is_made_again(broken: str) -> None:
    """A read changes nothing: it is made again until it has an answer."""
    say, _ = BROKEN[broken]
    time = FakeTime()
    got, server = run(say, say, says(machine("m1")), do=READS["get"], time=time)
    assert got["metadata"]["name"] == "m1"
    assert len(server.asked) == 3
    assert [0.1 <= time.pauses[0] <= 0.2, 0.2 <= time.pauses[1] <= 0.4] == [True, True]


@pytest.mark.parametrize("call", WRITES)
def test_a_write_on_a_half_open_connection_ends(call: str) -> None:
    """A server that takes a write and says nothing is Unreachable after the time limit."""
    error, server = refused(*[hangs] * 2, do=WRITES[call], call=SHORT)
    assert isinstance(error, Unreachable)
    assert len(server.asked) <= 1


@pytest.mark.parametrize("call", READS)
def test_a_read_on_a_half_open_connection_is_made_again(call: str) -> None:
    """The time limit ends each attempt, and the next one may be answered."""
    answers = [says(listing() if call == "find" else machine("m1"))] * 20
    _, server = run(hangs, hangs, *answers, do=READS[call], call=SHORT)
    assert len(server.asked) >= 3


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
        assert len(accepted) == 3
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
        async with ApiServer(*[says(machine("m1"))] * 20) as server:
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


def test_a_plugin_that_hangs_is_asked_once_and_delays_nobody_twice() -> None:
    """One thread, however many calls; after the first that waited, the old token serves at once."""

    async def main() -> None:
        async with ApiServer(*[says(machine("m1"))] * 40) as server:
            count = itertools.count()
            ended = threading.Event()

            def authorize() -> str:
                if number := next(count):
                    ended.wait(20)
                return f"Bearer {number}"

            connection = Connection(url=server.url, authorization=authorize)
            time = FakeTime()
            timing = Timing(clock=time, sleep=time.sleep)
            async with KubeStore(lambda: connection, limits=Limits(call=SHORT * 10), timing=timing) as store:
                await time.sleep(60)
                before = threading.active_count()
                for _ in range(3):
                    for _ in range(10):
                        await store.get(KIND, "m1")
                    await time.sleep(11)
                assert next(count) == 2
                assert threading.active_count() == before + 1
                ended.set()
                while store._transport._identities._reading is not None:
                    await time.sleep(11)
                    await store.get(KIND, "m1")
            assert server.asked[-1].headers["Authorization"] == "Bearer 1"

    asyncio.run(main())


def test_credentials_that_do_not_help_are_not_read_at_every_call() -> None:
    """A login that has ended for good: its plugin is run every ten seconds at most, whoever asks how often."""

    async def main() -> None:
        async with ApiServer(*[fails(401)] * 200) as server:
            count = itertools.count()

            def load() -> Connection:
                return Connection(url=server.url, authorization=lambda: f"Bearer {next(count)}")

            time = FakeTime()
            async with KubeStore(load, timing=Timing(clock=time, sleep=time.sleep)) as store:
                for _ in range(20):
                    with pytest.raises(Unauthorized):
                        await store.get(KIND, "m1")
                    await time.sleep(1)
            assert next(count) <= 4

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


# Terms.


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize("kept", [True, False], ids=["kept connection", "new connection"])
def test_a_write_of_a_term_that_is_over_does_not_leave(call: str, *, kept: bool) -> None:
    """It ends between the decision and the open way to the server: nothing is sent; reads are sent still."""

    async def main() -> None:
        async with ApiServer(*[says(machine("m1"))] * 4) as server, store_of(server) as store:
            if kept:
                await store.get(KIND, "m1")
            before = len(server.asked)

            async def late() -> None:
                # It lasts until the connection is looked for, and no longer.
                looks = iter([True, False])
                set_fence(lambda: next(looks))
                check_fence()
                await WRITES[call](store)

            with pytest.raises(TermOver):
                await asyncio.create_task(late())
            assert len(server.asked) == before

            async def read() -> None:
                set_fence(lambda: False)
                await store.get(KIND, "m1")

            await asyncio.create_task(read())
            await WRITES[call](store)  # of a task without a term
            assert server.asked[before].method == "GET"
            assert len(server.asked) == before + 2

    asyncio.run(main())
