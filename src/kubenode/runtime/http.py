"""What a controller answers over HTTP: is it alive, can it do its work, and its numbers. On loopback unless told otherwise.

GET /healthz   200 while the event loop answers and the engine runs
GET /readyz    200 when it can do all of its work, leading or not; else 503, a reason a line
GET /metrics   the Prometheus text format; 501 without the extra `metrics`
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from kubenode.core.errors import InvalidObjectError, Problem

if TYPE_CHECKING:
    from kubenode.runtime.embed.engine import Engine


@asynccontextmanager
async def served(engine: "Engine", listen: str) -> AsyncIterator[str]:
    """Serve one engine while the block runs; give the address, `host:port`.

    Args:
        engine: it may start and end in between.
        listen: `host:port`; port 0 takes one that is free.

    Raises:
        InvalidObjectError: it is no address, or somebody listens there.
    """
    host, port = address(listen)
    app = web.Application()
    app.router.add_get("/healthz", _answer(lambda: _alive(engine)))
    app.router.add_get("/readyz", _answer(lambda: _ready(engine)))
    app.router.add_get("/metrics", _answer(lambda: _numbers(engine)))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            what = f"cannot listen on {listen}: {error.strerror or error}"
            fix = "name another address, as in --listen 127.0.0.1:0"
            raise InvalidObjectError((Problem(where="--listen", what=what, fix=fix),)) from error
        bound = runner.addresses[0]
        yield f"{bound[0]}:{bound[1]}"
    finally:
        await runner.cleanup()


def address(listen: str) -> tuple[str, int]:
    """Read `host:port`. Raises InvalidObjectError."""
    host, _, port = listen.rpartition(":")
    if host and port.isascii() and port.isdigit() and int(port) < 1 << 16:
        return host.removeprefix("[").removesuffix("]"), int(port)
    raise InvalidObjectError(
        (Problem(where="--listen", what=f"{listen!r} is no address", fix="127.0.0.1:8080"),)
    )


def _answer(say: Callable[[], web.Response]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return say()

    return answer


def _alive(engine: "Engine") -> web.Response:
    return (
        web.Response(text="ok\n")
        if engine.runs
        else web.Response(status=503, text="the engine does not run\n")
    )


def _ready(engine: "Engine") -> web.Response:
    reasons = engine.unready()
    if reasons:
        return web.Response(status=503, text="".join(f"{reason}\n" for reason in reasons))
    return web.Response(text="ok\n")


def _numbers(engine: "Engine") -> web.Response:
    try:
        from kubenode.runtime import metrics
    except ModuleNotFoundError as missing:
        text = f"this needs {missing.name}: pip install 'kubenode[metrics]'\n"
        return web.Response(status=501, text=text)
    return web.Response(body=metrics.text((engine,)), headers={"Content-Type": metrics.CONTENT_TYPE})
