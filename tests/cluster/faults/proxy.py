"""A proxy on loopback between a controller and the API server, which does to either what networks and servers do.

Two layers: the outer one takes connections, counts them, refuses, resets and stalls them; the inner one ends TLS, sees
each request, and asks a `Fault` what becomes of it. Towards the server it has the credentials of its controller, so
the server judges and logs that controller's own rights. Runs in a thread of its own; its methods are for another one.
"""

import asyncio
import json
import ssl
import threading
import time
from base64 import b64decode
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import attrs
from aiohttp import web

LOOPBACK: Final = "127.0.0.1"
WRITES: Final = ("POST", "PUT", "PATCH", "DELETE")
LIMIT: Final = 1 << 26
_HOP: Final = ("connection", "transfer-encoding", "content-length", "keep-alive")


@attrs.frozen(kw_only=True)
class Asked:
    """A request as it passes.

    Attributes:
        proxy: through which.
    """

    proxy: "Proxy" = attrs.field(repr=False)
    method: str
    path: str
    watches: bool
    body: bytes = attrs.field(repr=False)

    @property
    def writes(self) -> bool:
        """Whether it may change anything but a Lease."""
        return self.method in WRITES and "/leases" not in self.path and "/selfsubject" not in self.path


class Lost(Exception):
    """The connection is reset instead of an answer."""


class Fault:
    """What happens to requests; as it stands, nothing."""

    async def before(self, asked: Asked) -> web.Response | None:
        """Answer in the server's place, or None. Raises Lost: the server never sees the request."""

    async def after(self, asked: Asked, status: int) -> None:
        """Raises Lost: the server has done it, and its answer gets lost."""


class Proxy:
    """One proxy for one controller.

    Args:
        kubeconfig: of the controller, with the server's address.
        pki: folder with `server.crt` and `server.key` of the control plane, for a server of ours beside it.
        folder: where the kubeconfig that leads through the proxy is written.
    """

    def __init__(self, kubeconfig: Path, pki: Path, folder: Path) -> None:
        self.fault = Fault()
        self.connections: list[float] = []
        """When each connection was asked for, by the monotonic clock."""
        self._config = json.loads(kubeconfig.read_text())
        self._pki = pki
        self._folder = folder
        self._away = False
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def kubeconfig(self) -> Path:
        """The controller's kubeconfig, which leads here."""
        return self._folder / "proxied.kubeconfig"

    def away(self, *, is_away: bool) -> None:
        """Refuse every connection and end those there are; or take them again."""

        async def change() -> None:
            self._away = is_away
            if is_away:
                self._reset_all()

        self._call(change())

    def reset(self) -> None:
        """Reset all connections there are."""

        async def change() -> None:
            self._reset_all()

        self._call(change())

    def stall(self, *, is_stalled: bool) -> None:
        """Let nothing more through, either way, and keep all connections open; or let what waits through."""

        async def change() -> None:
            (self._flows.clear if is_stalled else self._flows.set)()

        self._call(change())

    def freeze(self) -> None:
        """Let nothing more through on the connections there are, not even that an end has gone; others are taken as ever."""

        async def change() -> None:
            self._flows, frozen = asyncio.Event(), self._flows
            self._flows.set()
            frozen.clear()

        self._call(change())

    # In the loop.

    def _call(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(timeout=30)

    async def _begin(self) -> None:
        self._flows = asyncio.Event()
        self._flows.set()
        user = self._config["users"][0]["user"]
        cluster = self._config["clusters"][0]["cluster"]
        self._upstream = cluster["server"]
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._client_tls(user)), auto_decompress=False
        )
        app = web.Application(client_max_size=LIMIT)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self._pki / "server.crt", self._pki / "server.key")
        site = web.TCPSite(self._runner, LOOPBACK, 0, ssl_context=tls)
        await site.start()
        self._inner = self._runner.addresses[0][1]
        self._server = await asyncio.start_server(self._taken, LOOPBACK, 0)
        port = self._server.sockets[0].getsockname()[1]
        cluster["server"] = f"https://{LOOPBACK}:{port}"
        self.kubeconfig.write_text(json.dumps(self._config))

    async def _end(self) -> None:
        self._server.close()
        self._away = True
        self._reset_all()
        await self._runner.cleanup()
        await self._session.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.1)  # what was aborted ends in later turns of the loop

    def _client_tls(self, user: dict[str, str]) -> ssl.SSLContext:
        files = {key: self._folder / key for key in ("client-certificate", "client-key")}
        for key, path in files.items():
            path.write_bytes(b64decode(user[f"{key}-data"]))
        tls = ssl.create_default_context(cafile=str(self._pki / "ca.crt"))
        tls.load_cert_chain(files["client-certificate"], files["client-key"])
        return tls

    def _reset_all(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass the bytes of one connection on, both ways."""
        self.connections.append(time.monotonic())
        if self._away:
            writer.transport.abort()
            return
        up_reader, up_writer = await asyncio.open_connection(LOOPBACK, self._inner)
        both = {writer, up_writer}
        self._open |= both
        flows = self._flows
        try:
            ways = (self._pass(reader, up_writer, flows), self._pass(up_reader, writer, flows))
            tasks = [asyncio.ensure_future(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._open -= both
            for one in both:
                one.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                await flows.wait()
                writer.write(data)
                await writer.drain()
        await flows.wait()  # that one end is gone is not told the other, either

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(
            proxy=self, method=request.method, path=request.path, watches="watch" in request.query, body=await request.read()
        )  # fmt: skip
        try:
            answer = await self.fault.before(asked)
            if answer is not None:
                return answer
            if asked.writes:  # what the server was given, it does, whatever becomes of who asked
                return await asyncio.shield(self._forward(request, asked))
            return await self._forward(request, asked)
        except (Lost, aiohttp.ClientError, OSError):
            if request.transport is not None:
                request.transport.abort()
            raise

    async def _forward(self, request: web.Request, asked: Asked) -> web.StreamResponse:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in (*_HOP, "host")}
        url = self._upstream + request.raw_path
        sent = self._session.request(
            asked.method, aiohttp.client.URL(url, encoded=True), data=asked.body or None, headers=headers,
            timeout=aiohttp.ClientTimeout(total=None),
        )  # fmt: skip
        async with sent as answer:
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP}
            if not asked.watches:
                body = await answer.read()
                await self.fault.after(asked, answer.status)
                return web.Response(status=answer.status, headers=kept, body=body)
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response
