"""One call to an API server: its limits, its credentials, and when it is made again.

Lives here: HTTP. What the calls mean is in `kube.py`, how a watch is kept alive in `stream.py`.
Only what surely was not done is done again: a write whose answer was lost is the caller's to judge.
"""

import asyncio
import functools
import logging
import re
import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urlencode

import aiohttp
import attrs
from yarl import URL

from kubenode.core.errors import ApiError, Refused, Retry, TooManyRequests, Unreachable
from kubenode.core.model import Json
from kubenode.core.model.quantity import nanoseconds
from kubenode.runtime.clock import Clock, SystemClock
from kubenode.runtime.store.answer import Answer, read
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.connector import Connector
from kubenode.runtime.store.contract import is_budget
from kubenode.runtime.store.identity import Identities, Identity

LOG = logging.getLogger("kubenode.store")

_UNAUTHORIZED: Final = 401
_READ_AHEAD: Final = 1 << 18
_WARNINGS_KEPT: Final = 256
_TIMED: Final = re.compile("not yet valid|has expired")
_WARNING: Final = re.compile(r'299 \S+ "(.*)"')

TLS_END: Final = 0.1
"""Seconds that connections are given to end."""


@attrs.frozen(kw_only=True)
class Limits:
    """How much is asked at once, how long it may take, and how long it is tried.

    Attributes:
        in_flight: calls under way at a time; watches do not count.
        page: objects in one answer to a list.
        connect: for a connection, TLS included.
        call: for one attempt of a call, from connecting to the last byte.
        patience: how long after its start a call is still made again.
        first_pause: before the second attempt; doubles each time.
        longest_pause: where the doubling ends.
        reconnect: so long after a connection was tried in vain the next one is, whoever wants it.
        silence: how long a watch may be silent before it is ended and resumed; servers send a bookmark
            every minute.
        watch: how long the server is asked to keep a watch, at least; at most twice that.
    """

    in_flight: int = 32
    page: int = 500
    connect: timedelta = timedelta(seconds=5)
    call: timedelta = timedelta(seconds=30)
    patience: timedelta = timedelta(seconds=60)
    first_pause: timedelta = timedelta(milliseconds=200)
    longest_pause: timedelta = timedelta(seconds=10)
    reconnect: timedelta = timedelta(milliseconds=600)
    silence: timedelta = timedelta(seconds=90)
    watch: timedelta = timedelta(minutes=5)


@attrs.frozen(kw_only=True)
class Timing:
    """Time and chance, as a store is given them.

    Attributes:
        sleep: waits for some seconds.
        jitter: gives a number from 0 up to 1, such as `random.Random(seed).random`.
    """

    clock: Clock = attrs.field(factory=SystemClock)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = attrs.field(factory=lambda: secrets.SystemRandom().random)


class Backoff:
    """Growing pauses, each between half and all of its step so that clients spread out."""

    def __init__(self, limits: Limits, timing: Timing) -> None:
        self._limits = limits
        self._timing = timing
        self._step = limits.first_pause

    def reset(self) -> None:
        """Begin again with the first pause."""
        self._step = self._limits.first_pause

    def next(self, asked: timedelta | None = None) -> timedelta:
        """Give the next pause, never shorter than the server asked for."""
        pause = self._step * (0.5 + self._timing.jitter() / 2)
        self._step = min(self._step * 2, self._limits.longest_pause)
        return (
            pause if asked is None else max(pause, asked + self._limits.first_pause * self._timing.jitter())
        )


@attrs.frozen(kw_only=True)
class Request:
    """One question to the server.

    Attributes:
        path: below the server's URL, quoted.
        has_test: the body is a JSON patch with a `test` operation.
    """

    method: str
    path: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes | None = attrs.field(default=None, repr=False)
    content_type: str = "application/json"
    has_test: bool = False


class Transport:
    """Calls one API server over HTTP/1.1. Inert until opened.

    Args:
        load: how to reach the server; asked again, in a thread, when the server no longer knows us.
        limits: of each call.
        timing: time and chance.

    Attributes:
        warnings: the last ones that the server sent.
        ahead: how far our clock is ahead of the server's, at least; negative: behind. None before an answer has told.
    """

    def __init__(self, load: Callable[[], Connection], limits: Limits, timing: Timing) -> None:
        self.limits = limits
        self.timing = timing
        self._session: aiohttp.ClientSession | None = None
        self._connector: Connector | None = None
        self._identities = Identities(load, limits.call.total_seconds(), self._elapsed)
        self._places = asyncio.Semaphore(limits.in_flight)
        connect = limits.connect.total_seconds()
        self._per_call = aiohttp.ClientTimeout(total=limits.call.total_seconds(), sock_connect=connect)
        self._per_stream = aiohttp.ClientTimeout(
            total=None, sock_connect=connect, sock_read=limits.silence.total_seconds()
        )
        self._warned: set[str] = set()
        self.ahead: timedelta | None = None
        self.warnings: deque[str] = deque(maxlen=_WARNINGS_KEPT)
        self.requests: Counter[tuple[str, int]] = Counter()

    async def open(self) -> None:
        """Read how to reach the server; nothing is sent yet.

        Raises:
            InvalidObjectError: there is no kubeconfig, or it is wrong.
        """
        await self._identities.open()
        self._connector = Connector(self.limits, self.timing)
        session = aiohttp.ClientSession(
            connector=self._connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ_AHEAD,
        )
        # aiohttp would send a DELETE twice when the server drops a kept connection.
        session._retry_connection = False
        self._session = session

    async def close(self) -> None:
        """End all connections, those of watches too; may be called again."""
        self._identities.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            # A TLS connection ends some turns of the loop after its session (aiohttp, "Graceful Shutdown"): a
            # loop that is closed sooner leaves the socket to the garbage collector, which complains.
            await asyncio.sleep(TLS_END)

    async def call(self, request: Request) -> Json:
        """Give the object that answers a request.

        Reads, and calls that surely were not done (429, no connection), are made again until `patience` is
        over or would be after the pause; a longer pause that the server asked for is left to the caller.

        Raises:
            ApiError: what the answer means, or Unreachable when there was none.
        """
        give_up = self._elapsed() + nanoseconds(self.limits.patience)
        backoff = Backoff(self.limits, self.timing)
        is_first = True
        while True:
            try:
                return await self._attempt(request)
            except ApiError as error:
                if not _may_repeat(request, error):
                    raise
                pause = backoff.next(error.retry_after)
                if self._elapsed() + nanoseconds(pause) > give_up:
                    raise
                level = logging.WARNING if is_first else logging.DEBUG
                is_first = False
                LOG.log(level, "event=again method=%s path=%s error=%s", request.method, request.path, error)
            await self.timing.sleep(pause.total_seconds())

    async def stream(self, request: Request) -> aiohttp.ClientResponse:
        """Open an endless answer, once; the caller closes it. Reads of it end after `silence`.

        Raises:
            ApiError: what the answer means, or Unreachable when there was none.
        """
        with self.reaching(request):
            response = await self._ask_known(request, self._per_stream)
            if response.status == 200:
                return response
            async with response:
                answer = await _answer(response)
        read(answer)
        raise Unreachable(f"{request.method} {request.path}: HTTP {answer.code} is no stream")

    async def _attempt(self, request: Request) -> Json:
        with self.reaching(request):
            async with self._places, await self._ask_known(request, self._per_call) as response:
                self._tell_warnings(response)
                answer = await _answer(response)
        return read(answer, has_test=request.has_test)

    async def _ask_known(self, request: Request, limit: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:
        """Ask; once more with new credentials when the server does not know the ones we have."""
        identity = await self._identities.known()
        response = await self._ask(request, limit, identity)
        if response.status != _UNAUTHORIZED:
            return response
        response.release()
        return await self._ask(request, limit, await self._identities.known(refused=identity))

    async def _ask(
        self, request: Request, limit: aiohttp.ClientTimeout, identity: Identity
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the store is used outside of its `async with`")
        # Compression would cost the server, which is the slower side, more time than it saves.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "kubenode"}
        if identity.authorization:
            headers["Authorization"] = identity.authorization
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        connection = identity.connection
        self.requests[request.method, 0] += 1
        sent = self.timing.clock.now().wall
        response = await self._session.request(
            request.method,
            URL(f"{connection.url}{request.path}{_asked(tuple(request.query.items()))}", encoded=True),
            data=request.body,
            headers=headers,
            allow_redirects=False,
            timeout=limit,
            ssl=connection.tls if connection.tls is not None else True,
            server_hostname=connection.server_name,
            proxy=connection.proxy,
        )
        self.requests[request.method, 0] -= 1
        self.requests[request.method, response.status] += 1
        self.ahead = ahead(response.headers.get("Date", ""), sent, self.timing.clock.now().wall, self.ahead)
        return response

    @contextmanager
    def reaching(self, request: Request) -> Iterator[None]:
        """Turn what breaks on the way to the server and back into Unreachable."""
        try:
            yield
        except (aiohttp.ClientError, OSError) as error:
            if self._connector is not None:
                self._connector.doubt()
            raise Unreachable(f"{request.method} {request.path}: {_why(error)}") from error

    def _elapsed(self) -> int:
        return self.timing.clock.now().elapsed

    def _tell_warnings(self, response: aiohttp.ClientResponse) -> None:
        """Log each warning of the server once: a field that it dropped, a version that will go."""
        for text in response.headers.getall("Warning", ()):
            told = _WARNING.fullmatch(text)
            self.warnings.append(re.sub(r"\\(.)", r"\1", told[1]) if told else text)
            if text not in self._warned and len(self._warned) < _WARNINGS_KEPT:
                self._warned.add(text)
                LOG.warning("event=api-warning method=%s text=%s", response.method, text)


def ahead(date: str, sent: datetime, received: datetime, known: timedelta | None) -> timedelta | None:
    """Say how far a clock is ahead of a server's at least; between sending and receiving is no difference.

    Args:
        date: the server's, as HTTP has it, in whole seconds.
        sent: when it was asked, by that clock.
        received: when it had answered.
        known: what is given where no date can be read.
    """
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return known
    if theirs.tzinfo is None:
        return known
    if received < theirs:
        return received - theirs
    return max(sent - theirs - timedelta(seconds=1), timedelta())


@functools.lru_cache(maxsize=256)
def _asked(query: tuple[tuple[str, str], ...]) -> str:
    """Write a query; a few are asked again and again."""
    return f"?{urlencode(query, quote_via=quote)}" if query else ""


def _why(error: aiohttp.ClientError | OSError) -> str:
    # The library's own words for the first two show the address of an object.
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = str(error.certificate_error)
        clock = "; see whether this host's clock is right" if _TIMED.search(why) else ""
        return f"no trust in {error.host}:{error.port}: {why}{clock}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {error.host}:{error.port}: {error.os_error}"
    return str(error) or type(error).__name__


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    retry_after = response.headers.get("Retry-After", "")
    return Answer(code=response.status, retry_after=retry_after, body=await response.read())


def _may_repeat(request: Request, error: ApiError) -> bool:
    cause = error.__cause__
    if isinstance(error, Refused) or isinstance(cause, aiohttp.ClientConnectorCertificateError):
        return False
    if isinstance(error, TooManyRequests) and is_budget(error):
        return False  # the server is not busy: a budget allows no eviction, which the caller has to be told
    if isinstance(error, TooManyRequests) or isinstance(
        cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
    ):
        return True
    return request.method == "GET" and error.retry is Retry.BACKOFF
