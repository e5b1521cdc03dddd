"""A bundle on a server of its own, with a program of the test's choosing."""

import functools
import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path, program: str) -> Iterator[tuple[str, str]]:
    """Serve a bundle whose bin/kubenode is this shell script; give its URL and sha256."""
    folder.mkdir(parents=True, exist_ok=True)
    body = program.encode()
    with tarfile.open(folder / "b.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("bin/kubenode")
        info.size, info.mode = len(body), 0o755
        tar.addfile(info, io.BytesIO(body))
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        sha256 = hashlib.sha256((folder / "b.tar.gz").read_bytes()).hexdigest()
        yield f"http://127.0.0.1:{server.server_port}/b.tar.gz", sha256
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
