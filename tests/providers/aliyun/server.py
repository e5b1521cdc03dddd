"""The wire of the fake: HTTPS on loopback, with the signature of the RPC API checked as the vendor documents it."""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, quote, urlsplit

import attrs

Params: TypeAlias = Mapping[str, str]
Answer: TypeAlias = tuple[int, Mapping[str, Any] | bytes]
Handle: TypeAlias = Callable[[Params], Answer]


class NoAnswer(Exception):
    """What is asked for is done, and the connection is closed without a word."""


@attrs.frozen(kw_only=True)
class Heard:
    """One request as it came."""

    address: str
    query: Params
    form: Params
    headers: Mapping[str, str]

    @property
    def params(self) -> Params:
        """All of them, wherever they stood."""
        return {**self.query, **self.form}


@attrs.define
class Account:
    """An access key, and the cloud that it opens."""

    secret: str
    handle: Handle
    token: str = ""
    heard: list[Heard] = attrs.field(factory=list)
    nonces: set[str] = attrs.field(factory=set)
    delay: threading.Event | None = None
    """An answer waits for it, and is not sent when it was not set in time."""


def signature(method: str, params: Params, secret: str) -> str:
    """Base64 of the HMAC-SHA1 of the sorted parameters, each part encoded as RFC 3986 says."""
    canonical = "&".join(
        f"{_encoded(k)}={_encoded(v)}" for k, v in sorted(params.items()) if k != "Signature"
    )
    text = f"{method}&{_encoded('/')}&{_encoded(canonical)}"
    return base64.b64encode(hmac.new(f"{secret}&".encode(), text.encode(), hashlib.sha1).digest()).decode()


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")


def refused(status: int, code: str, message: str = "") -> Answer:
    """Give an answer that says no. Its message has what must not be told on."""
    return status, {"Code": code, "Message": message or f"{code}: no", "RequestId": "REQ-1", "HostId": "ecs"}


class Server(ThreadingHTTPServer):
    """Answers for every account by its access key."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.accounts: dict[str, Account] = {}
        self.errors: list[BaseException] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, certificate))
        # The handshake is the handler's, in its thread: one that stalls keeps nobody else waiting.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def endpoint(self) -> str:
        """What kubenode.toml says."""
        return f"localhost:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what is a fault of this server; a peer that goes away is none."""
        import sys

        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError | ssl.SSLError | TimeoutError):
            self.errors.append(error)

    def answer(self, heard: Heard, method: str) -> tuple[Account | None, Answer]:
        """Check who asks, then ask the account's cloud."""
        params = heard.params
        account = self.accounts.get(params.get("AccessKeyId", ""))
        if account is None:
            return None, refused(404, "InvalidAccessKeyId.NotFound")
        account.heard.append(heard)
        if params.get("SecurityToken", "") != account.token:
            return account, refused(400, "InvalidSecurityToken.Malformed")
        if params.get("Signature") != signature(method, params, account.secret):
            text = f"server string to sign is:{method}&{params}"
            return account, refused(400, "SignatureDoesNotMatch", text)
        if params["SignatureNonce"] in account.nonces:
            return account, refused(400, "SignatureNonceUsed")
        account.nonces.add(params["SignatureNonce"])
        return account, account.handle(params)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Server

    def do_POST(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        form = dict(parse_qsl(body, keep_blank_values=True))
        heard = Heard(address=self.path, query=query, form=form, headers=dict(self.headers))
        try:
            account, (status, said) = self.server.answer(heard, "POST")
        except NoAnswer:
            self._hang_up()
            return
        if account is not None and account.delay is not None and not account.delay.wait(10):
            self._hang_up()
            return
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
