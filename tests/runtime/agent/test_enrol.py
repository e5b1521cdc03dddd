"""Enrolment from the host's side: one key, one request, whatever dies or is away in between."""

import asyncio
import base64
import json
import stat
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from kubenode.core.enrol.identity import groups_of, token_group
from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.agent import enrol as module
from kubenode.runtime.agent.enrol import Enrolment, NotEnrolled, enrol
from kubenode.runtime.agent.keys import belongs, fingerprint, organizations
from kubenode.runtime.agent.tree import Tree
from kubenode.runtime.store.client import Connection
from tests.runtime.api_server import ApiServer, fails, resets

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TOKEN = "abcdef.0123456789abcdef"
REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"


def signed(request: str, days: int = 7, begin: datetime = NOW) -> str:
    """Sign a request, as a server does; base64."""
    found = x509.load_pem_x509_csr(base64.b64decode(request))
    key = ec.generate_private_key(ec.SECP256R1())
    draft = (
        x509.CertificateBuilder().subject_name(found.subject).issuer_name(x509.Name([])).public_key(found.public_key())
        .serial_number(1).not_valid_before(begin).not_valid_after(begin + timedelta(days=days))
    )  # fmt: skip
    return base64.b64encode(draft.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)).decode()


def asks_by_token(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let whoever has a token reach this server."""
    monkeypatch.setattr(
        module, "by_token",
        lambda url, ca, token: Connection(url=server.url, authorization=lambda: f"Bearer {token}"),
    )  # fmt: skip


class Server(ApiServer):
    """An API server that knows one token, and signs what is asked after some looks.

    Attributes:
        begin: from when what it signs is good.
        takes: whether it takes a certificate.
    """

    begin = NOW
    takes = False

    def __init__(
        self, looks: int = 1, groups: tuple[str, ...] = (token_group("uid-1"),), condition: Any = None
    ) -> None:
        super().__init__()
        self.requests: dict[str, Any] = {}
        self.who: list[str] = []
        self._looks = looks
        self._groups = groups
        self._condition = condition

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if self.answers:  # what a test wants to happen first
            return await self.answers.popleft()(self, request)
        known = "Bearer certificate" if self.takes else f"Bearer {TOKEN}"
        self.who.append(request.headers["Authorization"])
        if request.headers["Authorization"] != known:
            return await fails(401, "Unauthorized")(self, request)
        if request.path == REVIEW:
            return web.json_response({"status": {"userInfo": {"groups": [*self._groups]}}}, status=201)
        if request.method == "POST":
            made = json.loads(body)
            name = made["metadata"]["name"]
            if name in self.requests:
                return await fails(409, "AlreadyExists")(self, request)
            self.requests[name] = {**made, "status": {}}
            return web.json_response(self.requests[name], status=201)
        found = self.requests[request.path.rpartition("/")[2]]
        self._looks -= 1
        if self._looks < 0:
            condition = self._condition
            found["status"] = (
                {"conditions": [condition]}
                if condition
                else {"certificate": signed(found["spec"]["request"], begin=self.begin)}
            )
        return web.json_response(found)


@pytest.fixture
def wanted(tmp_path: Path) -> Enrolment:
    """What an agent is told."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n    for Machine m1, once\n")
    return Enrolment(
        machine="m1", server="https://10.0.0.1", authority=tmp_path / "ca", state=state, token_file=token
    )


def ran(
    wanted: Enrolment, server: Server, monkeypatch: pytest.MonkeyPatch, now: datetime = NOW,
    sleep: Callable[[float], Awaitable[None]] | None = None,
) -> list[float]:  # fmt: skip
    """Enrol against a server; give how long was slept."""
    slept: list[float] = []

    async def quick(seconds: float) -> None:
        slept.append(seconds)
        if sum(slept) > 10_000:
            raise AssertionError("it waits for ever")
        await asyncio.sleep(0)

    async def main() -> None:
        async with server:
            asks_by_token(server, monkeypatch)
            monkeypatch.setattr(
                module, "by_certificate",
                lambda url, ca, file: Connection(url=server.url, authorization=lambda: "Bearer certificate"),
            )  # fmt: skip
            await enrol(wanted, now, sleep or quick)

    asyncio.run(main())
    return slept


def identity(wanted: Enrolment) -> bytes:
    """Give the key and the certificate."""
    return wanted.identity.read_bytes()


def test_a_token_becomes_a_certificate(wanted: Enrolment, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a key that was made here, of the Machine that the token is of; then nobody is asked again."""
    server = Server(looks=3)
    ran(wanted, server, monkeypatch)
    both = identity(wanted)
    assert belongs(both, both)
    assert organizations(both) == groups_of("uid-1")
    assert stat.S_IMODE(wanted.identity.stat().st_mode) == 0o600
    assert [one.name for one in wanted.state.iterdir()] == ["identity.pem"]
    (request,) = server.requests.values()
    assert request["spec"]["usages"] == ["client auth", "digital signature"]
    assert 600 <= request["spec"]["expirationSeconds"] <= 604800
    again = Server()
    ran(attrs.evolve(wanted, token_file=None), again, monkeypatch)
    assert again.asked == []
    assert identity(wanted) == both


def test_a_token_may_be_a_document(wanted: Enrolment, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the command prints it for programs."""
    assert wanted.token_file is not None
    wanted.token_file.write_text(json.dumps({"machine": "m1", "uid": "uid-1", "token": TOKEN}))
    ran(wanted, Server(), monkeypatch)
    assert wanted.identity.exists()


DIES = range(1, 7)


@pytest.mark.parametrize("at", DIES)
def test_cut_short_anywhere_it_goes_on_with_the_same_key(
    wanted: Enrolment, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """A token is good for one key: the next start asks under the same name and finds the answer."""
    count = 0

    server = Server(looks=2)
    answer = server._answer

    async def mortal(request: web.Request) -> web.StreamResponse:
        nonlocal count
        found = await answer(request)
        count += 1
        if count == at:
            task.cancel()
        return found

    async def main() -> None:
        nonlocal task
        async with server:
            server._answer = mortal  # type: ignore[method-assign]
            asks_by_token(server, monkeypatch)
            task = asyncio.ensure_future(enrol(wanted, NOW, lambda _: asyncio.sleep(0)))
            await asyncio.wait({task})
            key = wanted.state / "next.key"
            before = fingerprint(key.read_bytes()) if key.exists() else ""
            await enrol(wanted, NOW, lambda _: asyncio.sleep(0))
            assert not before or fingerprint(identity(wanted)) == before

    task: asyncio.Future[None]
    asyncio.run(main())
    assert len(server.requests) == 1
    assert belongs(identity(wanted), identity(wanted))


def test_a_server_that_is_away_is_waited_for(wanted: Enrolment, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that has not heard of the token yet, and one that is not well."""
    server = Server()
    server.answers.extend(
        [resets, fails(401, "Unauthorized"), fails(401, "Unauthorized"), fails(503), resets, fails(500)]
    )
    slept = ran(wanted, server, monkeypatch)
    assert wanted.identity.exists()
    assert max(slept) <= 30


def test_a_token_that_stays_unknown_ends_it(wanted: Enrolment, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute; the text does not show it."""
    assert wanted.token_file is not None
    wanted.token_file.write_text("fedcba.0123456789abcdef")
    with pytest.raises(NotEnrolled, match="does not know the token") as raised:
        ran(wanted, Server(), monkeypatch)
    assert "kubenode machine token" in raised.value.fix
    assert "fedcba" not in str(raised.value) + raised.value.fix


@pytest.mark.parametrize("kind", ["Denied", "Failed"])
def test_a_denial_is_told_with_its_reason(
    wanted: Enrolment, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """And ends it."""
    condition = {"type": kind, "status": "True", "reason": "TokenUsed", "message": "it was used"}
    with pytest.raises(NotEnrolled, match=f"was {kind.lower()}: TokenUsed: it was used"):
        ran(wanted, Server(condition=condition), monkeypatch)
    assert not wanted.identity.exists()


def test_a_token_of_no_machine_is_told(wanted: Enrolment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one that is for kubelets."""
    with pytest.raises(NotEnrolled, match="the token is of no Machine"):
        ran(wanted, Server(groups=("system:bootstrappers",)), monkeypatch)


def test_a_certificate_for_another_key_is_not_taken(
    wanted: Enrolment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever answered it."""
    other = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    text = other.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM)

    class Odd(Server):
        async def _answer(self, request: web.Request) -> web.StreamResponse:
            for one in self.requests.values():
                one["spec"]["request"] = base64.b64encode(text).decode()
            return await super()._answer(request)

    with pytest.raises(NotEnrolled, match="answered for another key"):
        ran(wanted, Odd(), monkeypatch)
    assert not wanted.identity.exists()


def test_an_expired_certificate_is_none(wanted: Enrolment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that was off for long enrols anew, with a token."""
    ran(wanted, Server(), monkeypatch)
    first = identity(wanted)
    later = NOW + timedelta(days=8)
    with pytest.raises(NotEnrolled, match="no certificate that is still good"):
        ran(attrs.evolve(wanted, token_file=None), Server(), monkeypatch, later)
    ran(wanted, Server(), monkeypatch, later)
    assert identity(wanted) != first


def test_a_certificate_that_is_over_by_a_wrong_clock_alone_is_good(
    wanted: Enrolment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server is asked, also when it is away at first; no token is spent, and what is told is the clock."""
    ran(wanted, Server(), monkeypatch)
    first, server = identity(wanted), Server()
    server.takes = True
    server.answers.extend([resets, fails(503)])
    ran(wanted, server, monkeypatch, NOW + timedelta(days=8))
    assert identity(wanted) == first
    assert server.who == ["Bearer certificate"]
    assert "event=clock-wrong" in caplog.text
    assert "timedatectl" in caplog.text


@pytest.mark.parametrize("text", ["", "abc", "a b.c", "{}", "{", "[1]", "abcdef.\x01", "x." * 200, "é.x"])
def test_what_is_no_token_is_told(wanted: Enrolment, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Without asking anybody."""
    assert wanted.token_file is not None
    wanted.token_file.write_text(text)
    server = Server()
    with pytest.raises(NotEnrolled, match="holds no token"):
        ran(wanted, server, monkeypatch)
    assert server.asked == []


def test_an_identity_that_was_damaged_is_told(wanted: Enrolment, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not overwritten: somebody may know why."""
    wanted.identity.write_text("junk")
    with pytest.raises(InvalidObjectError, match="certificate: cannot be read"):
        ran(wanted, Server(), monkeypatch)


def test_a_disk_that_hangs_holds_up_nobody_else(wanted: Enrolment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and certificate are written, and read, while everything else goes on; nobody is asked before the key stands."""
    server, write, read = Server(), Tree.write, Tree.read
    hangs, free = threading.Event(), threading.Event()

    def hung(name: str) -> None:
        hangs.set()
        assert free.wait(20), f"nobody else has had a turn while {name} hung"
        free.clear()

    def slow_write(self: Tree, path: str, *more: Any, **how: Any) -> None:
        hung(path)
        write(self, path, *more, **how)

    def slow_read(self: Tree, path: str) -> bytes | None:
        hung(path)
        return read(self, path)

    monkeypatch.setattr(Tree, "write", slow_write)
    monkeypatch.setattr(Tree, "read", slow_read)
    turns: list[int] = []

    async def others() -> None:
        while True:
            if hangs.is_set():
                hangs.clear()
                turns.append(len(server.requests))
                free.set()
            await asyncio.sleep(0.001)

    async def main() -> None:
        async with server:
            asks_by_token(server, monkeypatch)
            beside = asyncio.create_task(others())
            await enrol(wanted, NOW, lambda _: asyncio.sleep(0))
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)

    asyncio.run(main())
    assert turns == [0, 0, 0, 1], (
        "the certificate is looked for, the key too, and written; then the certificate"
    )
    assert belongs(identity(wanted), identity(wanted))
