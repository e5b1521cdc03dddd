"""A server of artifacts in the network of the hosts, that serves files well or badly, by path."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.hosts.network import GATEWAY

TOKEN: Final = "t0ken-of-a-test"
_PART: Final = 1 << 20
_CUT: Final = 5 << 20
_NOTHING: Final = bytes(_PART)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: "Artifacts"

    def do_GET(self) -> None:
        """Serve `/HOW/NAME?token=...`."""
        _, how, name = self.path.partition("?")[0].split("/")
        if how == "loop":
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
            return
        file = self.server.files[name]
        self.send_response(200)
        if how == "endless":
            self.end_headers()
            while True:  # until the client has enough
                self.wfile.write(_NOTHING)
        self.send_header("Content-Length", str(file.stat().st_size))
        self.end_headers()
        self._send(how, file)

    def _send(self, how: str, file: Path) -> None:
        sent = 0
        with file.open("rb") as opened:
            while part := opened.read(_PART):
                if sent >= _CUT and how == "truncated":
                    return
                if sent >= _CUT and how == "stall" and not self.server.goes_on.is_set():
                    self.server.stalls.set()
                    self.server.goes_on.wait(60)
                    return
                self.wfile.write(part)
                sent += len(part)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Artifacts(http.server.ThreadingHTTPServer):
    """Serves files by name; to be made inside the network of the hosts.

    Attributes:
        stalls: set when a client of `/stall/...` has got a part and waits for the rest.
        goes_on: lets those wait no longer, and from then on such a path is served whole.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, files: dict[str, Path]) -> None:
        super().__init__((GATEWAY, 0), _Handler)
        self.files = files
        self.stalls = threading.Event()
        self.goes_on = threading.Event()

    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients are killed."""

    def url(self, how: str, name: str) -> str:
        """Give a URL with a token in it."""
        return f"http://{GATEWAY}:{self.server_address[1]}/{how}/{name}?token={TOKEN}"

    def digest(self, name: str) -> str:
        """Give the digest of a file."""
        with self.files[name].open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def served(files: dict[str, Path]) -> Iterator[Artifacts]:
    """Yield a server; it ends with the block."""
    with Artifacts(files) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.goes_on.set()
            server.shutdown()
            thread.join()
