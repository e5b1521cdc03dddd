"""What is fetched from a server that may be broken or hostile: within limits of time, size and redirects.

Nothing that comes is believed: whoever takes it compares its digest. No text here shows more of a URL than its host,
since the rest may hold a token.
"""

import base64
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import SplitResult, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import attrs

from kubenode.core.naming import is_url
from kubenode.runtime.agent.reach import connected, refuse
from kubenode.runtime.agent.tree import StepFailed

_PART: Final = 64 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_LATER: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of a server that may answer otherwise soon."""
_HEADERS: Final = {"User-Agent": "kubenode", "Accept-Encoding": "identity", "Connection": "close"}


class Unreached(StepFailed):
    """A server did not answer, or not to the end; it may do so soon."""


class Fetch(Protocol):
    """Gives the bytes of a URL."""

    def __call__(self, url: str, take: Callable[[bytes], None]) -> None:
        """Hand over what a URL gives, a part at a time.

        Raises:
            Unreached: it may be tried again.
            StepFailed: it may not.
        """


@attrs.frozen(kw_only=True)
class Limits:
    """What a server may cost.

    Attributes:
        size: bytes that are taken.
        whole: seconds for all of it, redirects included.
        silence: seconds in which nothing comes.
        window: seconds in each of which at least `least` bytes come.
        least: bytes.
        redirects: that are followed.
    """

    size: int = 1 << 30
    whole: float = 1200.0
    silence: float = 30.0
    window: float = 60.0
    least: int = 256 * 1024
    redirects: int = 5


class Download:
    """Fetches over http and https; implements Fetch.

    Args:
        now: seconds on a clock that only goes forward.
        check: is asked between parts; raises when the agent is to stop.
        limits: what a server may cost.
        trust: whose certificates are believed; None: those that the host believes.
    """

    def __init__(
        self, now: Callable[[], float], check: Callable[[], None], limits: Limits | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self._now = now
        self._check = check
        self._limits = Limits() if limits is None else limits
        self._trust = trust

    def __call__(self, url: str, take: Callable[[bytes], None]) -> None:
        """Hand over what a URL gives."""
        end = self._now() + self._limits.whole
        for _ in range(self._limits.redirects + 1):
            if not is_url(url):
                raise StepFailed("what is to be fetched is no plain http or https URL")
            further = self._asked(url, end, take)
            if further is None:
                return
            url = further
        raise StepFailed(f"{_host(url)} and others redirect more than {self._limits.redirects} times")

    def _asked(self, url: str, end: float, take: Callable[[bytes], None]) -> str | None:
        """Ask one server; give where it sends us, or None when all has been handed over."""
        host = _host(url)
        try:
            with self._answer(url, end) as response:
                status = response.status
                if status in _REDIRECTS:
                    return _redirected(url, response.getheader("Location", ""))
                if status != HTTPStatus.OK:
                    raise _refused(host, status)
                self._body(host, response, end, take)
                return None
        except (OSError, http.client.HTTPException) as error:
            if self._now() >= end:
                raise self._late(host) from None
            raise Unreached(f"{host}: {_why(error)}") from None

    def _body(
        self, host: str, response: http.client.HTTPResponse, end: float, take: Callable[[bytes], None]
    ) -> None:
        """Hand over a body, part by part."""
        limits, announced = self._limits, response.length
        if announced is not None and announced > limits.size:
            raise _large(host, limits.size)
        came, since, mark = 0, self._now(), 0
        while part := response.read1(_PART):
            self._check()
            came += len(part)
            now = self._now()
            if came > limits.size:
                raise _large(host, limits.size)
            if now >= end:
                raise self._late(host)
            if now - since >= limits.window:
                if came - mark < limits.least:
                    raise StepFailed(
                        f"{host} gave {came - mark} bytes in {now - since:.0f} s, which is too slow"
                    )
                since, mark = now, came
            take(part)
        if self._now() >= end:
            raise self._late(host)
        if announced is not None and came < announced:
            raise Unreached(f"{host} ended after {came} of {announced} bytes")

    def _late(self, host: str) -> StepFailed:
        return StepFailed(f"{host} has not given all of it after {self._limits.whole:.0f} s")

    @contextmanager
    def _answer(self, url: str, end: float) -> Iterator[http.client.HTTPResponse]:
        """Give the answer of a server, before its body; a server that trickles is given up on when the time is over."""
        parts = urlsplit(url)
        left = max(end - self._now(), 0.001)
        connection, path, headers = self._connection(parts, min(self._limits.silence, left))
        line = _Line(connection)
        over = threading.Timer(left, line.cut)
        over.daemon = True
        over.start()
        try:
            connection.connect()
            line.socket = connection.sock
            connection.request("GET", path, headers=headers)
            with connection.getresponse() as response:
                yield response
        finally:
            over.cancel()
            connection.close()

    def _connection(
        self, parts: SplitResult, silence: float
    ) -> tuple[http.client.HTTPConnection, str, dict[str, str]]:
        """Give a connection that is not open yet, directly or by the proxy of the environment, and what to ask."""
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        proxy, login = _proxy(parts)
        near = parts if proxy is None else proxy
        if proxy is not None:
            refuse(parts.hostname or "")
        if parts.scheme == "http":
            plain = http.client.HTTPConnection(near.hostname or "", near.port or 80, timeout=silence)
            if proxy is None:
                return _careful(plain), path, _HEADERS
            return plain, f"http://{parts.netloc}{path}", {**_HEADERS, **login}
        trust = ssl.create_default_context() if self._trust is None else self._trust
        port = near.port or (443 if proxy is None else 80)
        secure = http.client.HTTPSConnection(near.hostname or "", port, timeout=silence, context=trust)
        if proxy is None:
            return _careful(secure), path, _HEADERS
        secure.set_tunnel(parts.hostname or "", parts.port or 443, login)
        return secure, path, _HEADERS


class _Line:
    """The line of a connection, to be cut by another thread; an answer keeps it after its connection has let it go."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self.socket: socket.socket | None = None

    def cut(self) -> None:
        """Let whoever waits for something wait no longer."""
        for held in (self.socket, self._connection.sock):
            if held is not None:
                with suppress(OSError):
                    socket.socket.shutdown(held, socket.SHUT_RDWR)


def _careful(connection: http.client.HTTPConnection) -> http.client.HTTPConnection:
    """Let a connection refuse the servers that must never be asked (`reach.py`), by the address that it is made to."""
    connection._create_connection = connected  # type: ignore[attr-defined]  # as its own tests do; ours notice if it goes
    return connection


def _proxy(parts: SplitResult) -> tuple[SplitResult | None, dict[str, str]]:
    """Give the proxy by which a server is reached, None for none, and how we log in there."""
    found = getproxies().get(parts.scheme, "")
    if not found or proxy_bypass(parts.netloc):
        return None, {}
    proxy = urlsplit(found if "://" in found else f"http://{found}")
    if proxy.scheme != "http" or not proxy.hostname:
        raise StepFailed(f"the proxy of the environment for {parts.scheme} is none of http://HOST:PORT")
    if proxy.username is None:
        return proxy, {}
    login = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return proxy, {"Proxy-Authorization": f"Basic {base64.b64encode(login).decode()}"}


def _redirected(url: str, location: str) -> str:
    """Give where a server sends us, if we may go there."""
    host = _host(url)
    try:
        further = urljoin(url, location)
    except ValueError:
        further = ""
    if not location or not is_url(further):
        raise StepFailed(f"{host} redirects to what is no plain http or https URL")
    if url.startswith("https:") and not further.startswith("https:"):
        raise StepFailed(
            f"{host} redirects from https to http, to {_host(further)}; name a server that does not"
        )
    return further


def _refused(host: str, status: int) -> StepFailed:
    try:
        text = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        text = str(status)
    return (Unreached if status in _LATER else StepFailed)(f"{host} answers {text}")


def _large(host: str, most: int) -> StepFailed:
    return StepFailed(f"{host} gives more than {most} bytes, the most that is taken")


def _host(url: str) -> str:
    """Give what may be shown of a URL."""
    return urlsplit(url).netloc


def _why(error: Exception) -> str:
    """Say what went wrong, and nothing that a server has said."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not believed: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, OSError) and str(error).startswith("Tunnel connection failed"):
        return "the proxy of the environment does not lead there"
    return f"it does not speak HTTP as it should ({type(error).__name__})"
