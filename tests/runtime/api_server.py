"""An API server that says what a test wrote for it, in order, and breaks where the test wants it to."""

import asyncio
import json
import random
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import attrs
import pytest
from aiohttp import web

from kubenode.core.errors import ApiError
from kubenode.core.model import Json, Machine, Now
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.contract import MergePatch
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.transport import Limits, Timing


@attrs.frozen
class Asked:
    """One request as the server saw it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class ApiServer:
    """Listens on loopback; gives its answers one by one, and 501 when there are no more.

    With `listening=False` its port refuses connections until `listen` is called.
    """

    def __init__(self, *answers: "Say", listening: bool = True) -> None:
        self.answers = deque(answers)
        self.asked: list[Asked] = []
        self.closing = asyncio.Event()
        self._listening = listening
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        if self._listening:
            await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        await self._runner.cleanup()
        self._socket.close()

    async def listen(self) -> None:
        """Take connections from now on."""
        await web.SockSite(self._runner, self._socket).start()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(
            request.method, request.path, dict(request.query), dict(request.headers), await request.read()
        )
        self.asked.append(asked)
        if not self.answers:
            return web.Response(status=501, text="the test wrote no more answers")
        return await self.answers.popleft()(self, request)


Say = Callable[[ApiServer, web.Request], Awaitable[web.StreamResponse]]


def says(body: object, code: int = 200, **headers: str) -> Say:
    """Answer with a body."""

    async def say(_: ApiServer, __: web.Request) -> web.StreamResponse:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=code, body=content, headers=named, content_type="application/json")

    return say


def fails(
    code: int, reason: str = "", message: str = "no", details: Json | None = None, **headers: str
) -> Say:
    """Answer with a Status."""
    status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
    return says({**status, "details": details or {}}, code, **headers)


async def resets(_: ApiServer, request: web.Request) -> web.StreamResponse:
    """Cut the connection instead of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def hangs(server: ApiServer, _: web.Request) -> web.StreamResponse:
    """Take the request and say nothing, as a half-open connection does."""
    await server.closing.wait()
    return web.Response()


def streams(*chunks: bytes, then: Say | None = None) -> Say:
    """Answer with a stream of chunks, each its own segment; then end it, or `then`."""

    async def say(server: ApiServer, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0.005)  # long enough that the reader gets it alone, and right if it does not
        if then is not None:
            await then(server, request)
        return response

    return say


def line(kind: str, obj: Json) -> bytes:
    """Write one event of a watch."""
    return json.dumps({"type": kind, "object": obj}, ensure_ascii=False).encode() + b"\n"


class FakeTime:
    """A clock that only its own sleep moves."""

    def __init__(self, *, on_sleep: Callable[[], Awaitable[None]] | None = None) -> None:
        self.pauses: list[float] = []
        self._on_sleep = on_sleep
        self._elapsed = 0

    def now(self) -> Now:
        """Give the moment."""
        return Now(
            wall=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=self._elapsed // 1000),
            elapsed=self._elapsed,
        )

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.pauses.append(seconds)
        self._elapsed += int(seconds * 1e9)
        if self._on_sleep is not None:
            await self._on_sleep()
        await asyncio.sleep(0)


def store_of(server: ApiServer, time: FakeTime | None = None, **limits: Any) -> KubeStore:
    """Give a store on the server, with a time of its own and jitter from a fixed seed."""
    time = time or FakeTime()
    timing = Timing(clock=time, sleep=time.sleep, jitter=random.Random(7).random)
    connection = Connection(url=server.url)
    return KubeStore(lambda: connection, field_manager="tester", limits=Limits(**limits), timing=timing)


KIND = Machine.KIND
PATH = "/apis/kubenode.dev/v1alpha1/machines"
SHORT = timedelta(milliseconds=50)
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
