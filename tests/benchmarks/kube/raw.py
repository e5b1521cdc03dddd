"""aiohttp and orjson against an API server, and nothing else: the bare loop, the writer and the watcher use it."""

import asyncio
import json
import ssl
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import orjson

MACHINES: Final = "/apis/kubenode.dev/v1alpha1/machines"
MERGE: Final = "application/merge-patch+json"
_BUSY: Final = (429, 500, 503, 504)
_EXISTS: Final = 409
_ATTEMPTS: Final = 10
_PAUSE_S: Final = 1.0
IN_FLIGHT: Final = 16
"""Writes at a time, of every contestant but kopf, which has no such limit, and of the writer."""


class Server:
    """An API server, as a kubeconfig of the test control plane names it; an async context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._url = cluster["server"]
        self._tls = ssl.create_default_context(
            cadata=b64decode(cluster["certificate-authority-data"]).decode()
        )
        with tempfile.NamedTemporaryFile(suffix=".pem") as both:
            both.write(b64decode(user["client-certificate-data"]) + b64decode(user["client-key-data"]))
            both.flush()
            self._tls.load_cert_chain(both.name)

    async def __aenter__(self) -> Self:
        """Open a session without limits."""
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        self._session = aiohttp.ClientSession(
            self._url, connector=connector, timeout=aiohttp.ClientTimeout(total=None), read_bufsize=1 << 18
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all connections."""
        await self._session.close()

    async def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """Ask, again while the server is too busy, and give what is answered; raises on any other code that is not 2xx."""
        data = None if body is None else orjson.dumps(body)
        for attempt in range(_ATTEMPTS):
            async with self._session.request(
                method, path, data=data, headers={"Content-Type": kind}
            ) as answer:
                read = await answer.read()
            if answer.status < 300 or (attempt and method == "POST" and answer.status == _EXISTS):
                return orjson.loads(read)
            if answer.status not in _BUSY:
                break
            await asyncio.sleep(_PAUSE_S)
        raise RuntimeError(f"{method} {path}: {answer.status} {read[:500]!r}")

    async def merge(self, path: str, body: Any) -> Any:
        """Merge-patch an object."""
        return await self.call("PATCH", path, body, MERGE)

    async def pages(self, path: str) -> AsyncIterator[tuple[list[Any], str]]:
        """List in pages of 500: the items of each, and the version of the list."""
        token = ""
        while True:
            page = await self.call("GET", f"{path}?limit=500&continue={token}")
            yield page["items"], page["metadata"]["resourceVersion"]
            token = page["metadata"].get("continue", "")
            if not token:
                return

    async def events(self, path: str, version: str) -> AsyncIterator[Any]:
        """Watch from a version, for ever; servers end watches, so it goes on from what was seen last."""
        while True:
            rest = b""
            asked = f"{path}?watch=1&allowWatchBookmarks=1&resourceVersion={version}&timeoutSeconds=3600"
            async with self._session.get(asked) as answer:
                async for chunk in answer.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        event = orjson.loads(line)
                        version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "BOOKMARK":
                            yield event
