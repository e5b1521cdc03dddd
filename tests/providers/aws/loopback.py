"""Two ways to the fake: in the process, where the kit watches the wire, and over a socket, where things break."""

import contextlib
import re
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from kubenode.providers import conformance
from kubenode.providers.aws import AwsProvider, AwsSettings
from kubenode.providers.aws.client import QUOTAS
from kubenode.providers.pace import Budget, Pace
from tests.providers.aws.fake import FakeEc2

PLENTY = 100_000
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAKUBENODETEST", "AWS_SECRET_ACCESS_KEY": "kubenode-planted-key-77af"}
SETTINGS = AwsSettings(region="eu-west-1", burst=PLENTY, calls_per_second=PLENTY)


def keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the environment have the credentials that the fake takes, and nothing of whoever runs the test."""
    for name in (
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_SESSION_TOKEN",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    here = {name: str(folder / "none") for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    for name, value in {**here, **KEYS, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)


class Raw:
    """What botocore reads an answer from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self, amount: int = 0, decode_content: bool = False) -> Iterator[bytes]:
        """Give all at once."""
        yield self._data


def in_process(
    wire: conformance.Wire, fake: FakeEc2, settings: AwsSettings = SETTINGS, pace: Pace | None = None, *, quotas: bool = False
) -> AwsProvider:  # fmt: skip
    """Give a provider whose boto3 serialises, signs and parses, and whose transport is the fake; with Service Quotas if need be."""

    def sends(answers: Callable[[str], tuple[int, bytes]]) -> Callable[[Any], AWSResponse]:
        def send(request: Any) -> AWSResponse:
            body = request.body.decode() if isinstance(request.body, bytes) else request.body
            status, answer = answers(body)
            return AWSResponse(request.url, status, {"content-type": "text/xml"}, Raw(answer))

        return wire(send)

    provider = AwsProvider(settings, pace=pace)
    provider.ec2.client()._endpoint.http_session.send = sends(fake.answer)
    if quotas:
        provider.ec2.client(QUOTAS)._endpoint.http_session.send = sends(fake.quota)
    return provider


def frozen(rate: float = PLENTY, burst: int = PLENTY) -> tuple[Pace, list[float]]:
    """Give a pace, and the clock it reads."""
    clock = [0.0]
    return Pace(Budget.full(rate=rate, burst=burst), lambda: clock[0]), clock


class Server(ThreadingHTTPServer):
    """The fake on a socket.

    Attributes:
        faults: what happens to the next answers: `reset` and `half` after the work is done, `hang` until the end.
        keys: the access key and the security token of each request.
    """

    daemon_threads = True

    def __init__(self, fake: FakeEc2, certificate: tuple[Path, Path] | None = None) -> None:
        self.fake = fake
        self.faults: list[str] = []
        self.keys: list[tuple[str, str]] = []
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*map(str, certificate))
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Raise nothing for a client that goes away, as one does that does not trust us."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        """Do the work, then answer, or break."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        signed = re.search(r"Credential=([^/]+)/", self.headers["Authorization"] or "")
        self.server.keys.append((signed[1] if signed else "", self.headers["X-Amz-Security-Token"] or ""))
        fake = self.server.fake
        status, answer = (fake.quota if "X-Amz-Target" in self.headers else fake.answer)(body)
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault == "hang":
            self.server.over.wait(10)
        if fault == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if fault in ("reset", "hang"):
            self.close_connection = True
            self.connection.close()
            return
        if fault == "html":
            answer = b"<html>a proxy's page</html>"
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer[: len(answer) // 2] if fault == "half" else answer)
        self.close_connection = fault == "half"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(fake: FakeEc2, certificate: tuple[Path, Path] | None = None) -> Iterator[Server]:
    """Serve the fake on the loopback, over TLS when there is a certificate."""
    server = Server(fake, certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
