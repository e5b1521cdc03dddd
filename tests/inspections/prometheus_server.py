"""A loopback server that answers as Prometheus' HTTP API does, in the shapes of its documentation."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import attrs

STAMP = 1435781451.781


@attrs.frozen(kw_only=True)
class Reply:
    """What is answered, byte for byte."""

    code: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = attrs.field(factory=lambda: {"Content-Type": "application/json"})


@attrs.frozen(kw_only=True)
class Asked:
    """What was asked."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


def success(kind: str, result: Any, **more: Any) -> Reply:
    """Give a success."""
    body = {"status": "success", "data": {"resultType": kind, "result": result}, **more}
    return Reply(body=json.dumps(body).encode())


def vector(*samples: tuple[Mapping[str, str], str], **more: Any) -> Reply:
    """Give an instant vector; values are strings, as there."""
    found = [{"metric": dict(labels), "value": [STAMP, value]} for labels, value in samples]
    return success("vector", found, **more)


def scalar(value: str) -> Reply:
    """Give a scalar."""
    return success("scalar", [STAMP, value])


def failure(code: int, kind: str, text: str) -> Reply:
    """Give an error, as of bad PromQL (400), one that cannot be run (422) or takes too long (503)."""
    return Reply(code=code, body=json.dumps({"status": "error", "errorType": kind, "error": text}).encode())


@contextmanager
def serving(answer: Callable[[str], Reply]) -> Iterator[tuple[str, list[Asked]]]:
    """Serve until the block ends; gives the URL, and what was asked."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            form = parse_qs(self.rfile.read(length).decode())
            query = form.get("query", [""])[0]
            asked.append(
                Asked(method=self.command, path=self.path, query=query, headers=dict(self.headers.items()))
            )
            reply = answer(query)
            self.send_response(reply.code)
            for key, value in reply.headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def raw(answer: bytes) -> Iterator[str]:
    """Answer every connection with some bytes, whatever is asked, and close it; gives the URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                try:
                    connection.sendall(answer)
                except OSError:
                    continue

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@contextmanager
def nobody() -> Iterator[str]:
    """Give the URL of a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}"
