"""Servers that are broken or hostile: each is given up on in time, with what it did, and without a word of the URL."""

import http.server
import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kubenode.runtime.agent.download import Download, Limits, Unreached
from kubenode.runtime.agent.executor import Stopped
from kubenode.runtime.agent.tree import StepFailed

BODY = bytes(range(256)) * 1024
TOKEN = "s3cr3t-t0ken"
LIMITS = Limits(size=len(BODY), whole=5.0, silence=0.5, window=0.4, least=4096, redirects=3)


class Handler(http.server.BaseHTTPRequestHandler):
    """Does what the first part of the path says."""

    def do_GET(self) -> None:
        """Answer."""
        self.server.asked.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        what = self.path.split("?")[0].strip("/").split("/")[0]
        if what == "http:":  # as a proxy is asked
            what = "404"
        getattr(self, f"_{what}", self._status)()

    def do_CONNECT(self) -> None:
        """Be a proxy: lead to a server on loopback and to no other."""
        self.server.asked.append((f"CONNECT {self.path}", dict(self.headers)))  # type: ignore[attr-defined]
        host, _, port = self.path.partition(":")
        if host != "127.0.0.1":
            self.send_error(403)
            return
        with socket.create_connection((host, int(port))) as other:
            self._headers()
            pairs = {self.connection: other, other: self.connection}
            while ready := select.select(list(pairs), [], [], 5)[0]:
                for one in ready:
                    part = one.recv(65536)
                    if not part:
                        return
                    pairs[one].sendall(part)

    def _headers(self, status: int = 200, **more: str) -> None:
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _status(self) -> None:
        self._headers(int(self.path.strip("/").split("?")[0]) if "//" not in self.path else 404)

    def _good(self) -> None:
        self._headers(Content_Length=str(len(BODY)))
        self.wfile.write(BODY)

    def _unmeasured(self) -> None:
        self._headers()
        self.wfile.write(BODY)

    def _truncated(self) -> None:
        self._headers(Content_Length=str(len(BODY)))
        self.wfile.write(BODY[:1000])

    def _chunked(self) -> None:
        self._headers(Transfer_Encoding="chunked")
        for at in range(0, len(BODY), 65536):
            self.wfile.write(b"%x\r\n%s\r\n" % (65536, BODY[at : at + 65536]))
        self.wfile.write(b"0\r\n\r\n")

    def _halfchunk(self) -> None:
        self._headers(Transfer_Encoding="chunked")
        self.wfile.write(b"ffff\r\nx")

    def _large(self) -> None:
        self._headers(Content_Length=str(len(BODY) + 1))
        self.wfile.write(BODY)

    def _endless(self) -> None:
        self._headers()
        while True:
            self.wfile.write(BODY)

    def _silent(self) -> None:
        time.sleep(2)

    def _stalled(self) -> None:
        self._headers(Content_Length=str(len(BODY)))
        self.wfile.write(BODY[:1000])
        time.sleep(2)

    def _slow(self) -> None:
        self._headers(Content_Length=str(len(BODY)))
        for at in range(40):
            self.wfile.write(BODY[at : at + 1])
            time.sleep(0.05)

    def _trickle(self) -> None:
        for letter in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
            self.wfile.write(bytes([letter]))
            time.sleep(0.05)

    def _garbage(self) -> None:
        self.wfile.write(b"\x16\x03\x01 no http\r\n\r\n")

    def _loop(self) -> None:
        self._headers(302, Location=f"/loop?token={TOKEN}")

    def _to(self) -> None:
        self._headers(302, Location=self.path.partition("/to/")[2])

    def _nowhere(self) -> None:
        self._headers(307)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(http.server.ThreadingHTTPServer):
    """Remembers what was asked; a client that goes away is no error."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []

    def handle_error(self, *_: Any) -> None:
        """Say nothing."""

    @property
    def host(self) -> str:
        """Its name and port."""
        return f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def served(tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A server on loopback."""
    with Server() as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that speaks plain HTTP."""
    with served() as made:
        yield made


def fetched(url: str, limits: Limits = LIMITS, trust: ssl.SSLContext | None = None) -> bytes:
    """Fetch a URL."""
    parts: list[bytes] = []
    Download(time.monotonic, lambda: None, limits, trust)(url, parts.append)
    return b"".join(parts)


@pytest.mark.parametrize("what", ["good", "unmeasured", "chunked", "to//good"])
def test_what_a_server_gives_is_handed_over(server: Server, what: str) -> None:
    """With and without its length, in chunks, and after a redirect; just as much as may be."""
    assert fetched(f"http://{server.host}/{what}") == BODY


HOSTILE: dict[str, tuple[type[StepFailed], str]] = {
    "truncated": (Unreached, "HOST ended after 1000 of 262144 bytes"),
    "halfchunk": (Unreached, "HOST: it does not speak HTTP as it should (IncompleteRead)"),
    "large": (StepFailed, "HOST gives more than 262144 bytes, the most that is taken"),
    "endless": (StepFailed, "HOST gives more than 262144 bytes, the most that is taken"),
    "silent": (Unreached, "HOST: it does not answer"),
    "stalled": (Unreached, "HOST: it does not answer"),
    "slow": (StepFailed, "which is too slow"),
    "garbage": (Unreached, "HOST: it does not speak HTTP as it should (BadStatusLine)"),
    "loop": (StepFailed, "HOST and others redirect more than 3 times"),
    "nowhere": (StepFailed, "HOST redirects to what is no plain http or https URL"),
    "to/ftp://x/y": (StepFailed, "HOST redirects to what is no plain http or https URL"),
    "to/file:///etc/shadow": (StepFailed, "HOST redirects to what is no plain http or https URL"),
    "to/http://user:pass@x/": (StepFailed, "HOST redirects to what is no plain http or https URL"),
    "to/http://[x": (StepFailed, "HOST redirects to what is no plain http or https URL"),
    "to/http://169.254.169.254/latest/meta-data/": (StepFailed, "169.254.169.254 is where a cloud tells"),
    "to/http://169.254.170.2/v2/credentials": (StepFailed, "169.254.170.2 is where a cloud tells"),
    "to/https://169.254.169.254/": (StepFailed, "169.254.169.254 is where a cloud tells"),
    "to/http://100.100.100.200/latest/": (StepFailed, "100.100.100.200 is where a cloud tells"),
    "to/http://168.63.129.16/machine/": (StepFailed, "168.63.129.16 is where a cloud tells"),
    "to/http://[fd20:ce::254]/computeMetadata/v1/": (StepFailed, "fd20:ce::254 is where a cloud tells"),
    "to/http://2852039166/": (StepFailed, "2852039166 leads to 169.254.169.254, which is where"),
    "to/http://0xa9fea9fe/": (StepFailed, "0xa9fea9fe leads to 169.254.169.254, which is where"),
    "to/http://[fe80::a9fe:a9fe]/": (StepFailed, "fe80::a9fe:a9fe is where a cloud tells"),
    "to/http://[fd00:ec2::254]/latest/": (StepFailed, "fd00:ec2::254 is where a cloud tells"),
    "to/http://[::ffff:169.254.169.254]/": (StepFailed, "::ffff:169.254.169.254 is where a cloud tells"),
    "to/http://[64:ff9b::a9fe:a9fe]/": (StepFailed, "64:ff9b::a9fe:a9fe is where a cloud tells"),
    "to/http://[2002:a9fe:a9fe::1]/": (StepFailed, "2002:a9fe:a9fe::1 is where a cloud tells"),
    "404": (StepFailed, "HOST answers 404 Not Found"),
    "403": (StepFailed, "HOST answers 403 Forbidden"),
    "503": (Unreached, "HOST answers 503 Service Unavailable"),
    "429": (Unreached, "HOST answers 429 Too Many Requests"),
    "299": (StepFailed, "HOST answers 299"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_server_that_is_broken_or_hostile_is_given_up_on(server: Server, what: str) -> None:
    """In time, by name, and without what may be a token; whether it may be tried again is told."""
    kind, says = HOSTILE[what]
    begun = time.monotonic()
    with pytest.raises(StepFailed) as raised:
        fetched(f"http://{server.host}/{what}?token={TOKEN}")
    assert says.replace("HOST", server.host) in str(raised.value)
    assert type(raised.value) is kind
    assert TOKEN not in str(raised.value)
    assert time.monotonic() - begun < 4
    assert len(server.asked) <= LIMITS.redirects + 1


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["169.254.169.254", "metadata.example", "[fd00:ec2::254]:8080"])
def test_secrets_of_a_cloud_are_not_fetched(
    server: Server, monkeypatch: pytest.MonkeyPatch, scheme: str, host: str
) -> None:
    """Directly, or by a name with one such address among others; nothing is connected to. A proxy is not asked for an address either."""
    name, port = server.server_address[:2]
    real = socket.getaddrinfo

    def resolved(host: str, *args: Any, **more: Any) -> Any:
        if host != "metadata.example":
            return real(host, *args, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in (name, "169.254.169.254")]

    def connect(*_: Any) -> Any:
        raise AssertionError("connected")

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(StepFailed, match="is where a cloud tells its machines their secrets") as raised:
        fetched(f"{scheme}://{host}/latest?{TOKEN}")
    assert TOKEN not in str(raised.value)
    if "example" not in host:
        monkeypatch.setenv(f"{scheme}_proxy", server.host)
        with pytest.raises(StepFailed, match="is where a cloud tells its machines their secrets"):
            fetched(f"{scheme}://{host}/latest?{TOKEN}")
    assert server.asked == []


def test_an_address_that_does_not_answer_is_followed_by_the_next(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a name with IPv6 and IPv4 on a host with one of them; one that nobody resolves may be tried again."""
    port = server.server_address[1]
    pair = [("127.0.0.2", 1), ("127.0.0.1", port)]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in pair]
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: found if host == "two.example" else real(host, *a, **k)
    )
    assert fetched(f"http://two.example:{port}/good") == BODY
    found.clear()
    with pytest.raises(Unreached):
        fetched(f"http://two.example:{port}/good")


@pytest.mark.parametrize("what", ["trickle", "slow", "endless"])
def test_the_whole_has_a_time_limit(server: Server, what: str) -> None:
    """Also where something comes all the time, before the answer or in it."""
    limits = Limits(size=1 << 40, whole=0.6, silence=30, window=30)
    begun = time.monotonic()
    with pytest.raises(StepFailed, match=r"has not given all of it after 1 s") as raised:
        Download(time.monotonic, lambda: None, limits)(f"http://{server.host}/{what}", lambda _: None)
    assert type(raised.value) is StepFailed
    assert time.monotonic() - begun < 3


def test_where_nobody_listens() -> None:
    """It may be tried again."""
    with served() as made:
        host = made.host
    with pytest.raises(Unreached, match=f"{host}: Connection refused"):
        fetched(f"http://{host}/good")


def test_who_is_told_to_stop_stops(server: Server) -> None:
    """Between two parts."""

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        Download(time.monotonic, stop, LIMITS)(f"http://{server.host}/good", lambda _: None)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server shows, and what believes it."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key", folder / "certificate"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
         "-out", certificate, "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    shows = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shows.load_cert_chain(certificate, key)
    return shows, ssl.create_default_context(cafile=str(certificate))


def test_https_believes_whom_the_host_believes(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """And nobody else."""
    shows, believes = tls
    with served(shows) as made:
        assert fetched(f"https://{made.host}/good", trust=believes) == BODY
        with pytest.raises(Unreached, match="its certificate is not believed: self"):
            fetched(f"https://{made.host}/good")


def test_https_does_not_lead_to_http(server: Server, tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """The other way it may."""
    shows, believes = tls
    with served(shows) as made:
        with pytest.raises(StepFailed, match=f"redirects from https to http, to {server.host}"):
            fetched(f"https://{made.host}/to/http://{server.host}/good", trust=believes)
        assert server.asked == []
        assert fetched(f"http://{server.host}/to/https://{made.host}/good", trust=believes) == BODY


def test_a_token_does_not_go_along(server: Server) -> None:
    """A redirect is asked as it is written, with no header of ours that would tell where we came from."""
    fetched(f"http://{server.host}/to//good?x=1")
    (_, _), (path, headers) = server.asked
    assert path == "/good?x=1"
    assert not {"Referer", "Authorization", "Cookie"}.intersection(headers)


def test_what_is_no_url_is_not_asked() -> None:
    """However it came here."""
    with pytest.raises(StepFailed, match="is no plain http or https URL"):
        fetched(f"file:///etc/shadow?{TOKEN}")


def test_https_goes_through_the_proxy_as_it_is(
    server: Server, tls: tuple[ssl.SSLContext, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy sees a host and a port, and no path; one that refuses, or is none, is told."""
    shows, believes = tls
    monkeypatch.setenv("https_proxy", server.host)
    with served(shows) as made:
        assert fetched(f"https://{made.host}/good?token={TOKEN}", trust=believes) == BODY
        assert server.asked == [(f"CONNECT {made.host}", server.asked[0][1])]
        assert TOKEN not in str(server.asked)
    with pytest.raises(Unreached, match="the proxy of the environment does not lead there"):
        fetched("https://nobody.example/good", trust=believes)
    monkeypatch.setenv("https_proxy", "socks5://x:1")
    with pytest.raises(
        StepFailed, match="the proxy of the environment for https is none of http://HOST:PORT"
    ):
        fetched("https://nobody.example/good")


def test_the_proxy_of_the_environment_is_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its login; a host of no_proxy goes directly."""
    monkeypatch.setenv("http_proxy", f"http://me:pa%20ss@{server.host}")
    with pytest.raises(StepFailed, match=r"artifacts\.example answers 404"):
        fetched("http://artifacts.example/x?y=1")
    path, headers = server.asked[-1]
    assert path == "http://artifacts.example/x?y=1"
    assert headers["Proxy-Authorization"] == "Basic bWU6cGEgc3M="
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert fetched(f"http://{server.host}/good") == BODY
    assert server.asked[-1][0] == "/good"
