"""What lends credentials to who runs at Alibaba Cloud, on the loopback: the metadata service and the Security Token Service."""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

ROLES = "/latest/meta-data/ram/security-credentials/"


class Lender(ThreadingHTTPServer):
    """Both services: each asks for what the real one asks for.

    Attributes:
        role: of the instance; empty for none.
        lent: what is lent; also to who takes on a role by `tokens`.
        tokens: those of the other authority that are believed.
        refuses: the status and code of the next answers instead.
        heard: method and path of each request, with its form.
    """

    daemon_threads = True

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.role = "kubenode-role"
        self.lent: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.refuses: list[tuple[int, str]] = []
        self.heard: list[tuple[str, str, dict[str, str]]] = []
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*map(str, certificate))
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def address(self) -> str:
        """Name and port."""
        return f"localhost:{self.server_port}"

    def lend(self, key_id: str, until: str) -> None:
        """Lend these from now on."""
        self.lent = {
            "AccessKeyId": key_id, "AccessKeySecret": f"secret-of-{key_id}", "SecurityToken": f"token-of-{key_id}",
            "Expiration": until,
        }  # fmt: skip

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust us is no fault of ours."""

    def metadata(self, method: str, path: str, headers: Any) -> tuple[int, str]:
        """Answer as the metadata service in its hardened mode."""
        if method == "PUT" and path == "/latest/api/token":
            return (200, "session-1") if headers["X-aliyun-ecs-metadata-token-ttl-seconds"] else (400, "")
        if headers["X-aliyun-ecs-metadata-token"] != "session-1":
            return 403, "forbidden"
        if path == ROLES:
            return (200, self.role) if self.role else (404, "")
        return (200, json.dumps({"Code": "Success", **self.lent})) if path == ROLES + self.role else (404, "")

    def sts(self, form: dict[str, str]) -> tuple[int, str]:
        """Answer as the Security Token Service."""
        if form["Action"] != "AssumeRoleWithOIDC" or form["OIDCToken"] not in self.tokens:
            return 400, json.dumps(
                {"Code": "AuthenticationFail.OIDCToken.Expired", "Message": form["OIDCToken"]}
            )
        return 200, json.dumps({"Credentials": self.lent, "RequestId": "r-1"})


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Lender

    def do_GET(self) -> None:
        """Answer one request."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        form = dict(parse_qsl(body))
        self.server.heard.append((self.command, self.path, form))
        if self.server.refuses:
            status, code = self.server.refuses.pop(0)
            text = json.dumps({"Code": code})
        elif form:
            status, text = self.server.sts(form)
        else:
            status, text = self.server.metadata(self.command, self.path, self.headers)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    do_PUT = do_POST = do_GET  # noqa: N815 - the names that the server looks for

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def lending(certificate: tuple[Path, Path] | None = None) -> Iterator[Lender]:
    """Serve on the loopback, over TLS when there is a certificate."""
    server = Lender(certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
