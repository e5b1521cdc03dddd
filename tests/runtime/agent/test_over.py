"""A certificate that is over ends nothing: the host is kept by what was last seen, and a new one is asked for beside that."""

import asyncio
import base64
import os
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web

from kubenode.core import model as m
from kubenode.core.enrol.identity import groups_of, user_of
from kubenode.core.errors import ApiError
from kubenode.core.identity import digest
from kubenode.core.model import Json
from kubenode.runtime.agent import enrol as module
from kubenode.runtime.agent import keywork
from kubenode.runtime.agent.enrol import Enrolment, NotEnrolled, renew
from kubenode.runtime.agent.kept import KeptStore
from kubenode.runtime.agent.own import OwnMachine
from kubenode.runtime.agent.serve import Serving, serve
from kubenode.runtime.clock import Clock, SystemClock
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store import identity
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.patches import merged
from kubenode.runtime.store.transport import Timing
from tests.runtime.agent.debian import Debian
from tests.runtime.agent.test_enrol import CSRS, NOW, REVIEW, TOKEN, signed
from tests.runtime.agent.test_enrol import Server as Enroller
from tests.runtime.agent.test_kept import CONF, Line, made, read, until
from tests.runtime.agent.test_own import MACHINES, World
from tests.runtime.api_server import fails

AGAIN = module._RENEW_AGAIN
STATUS = f"{MACHINES}/m1/status"


class Server(World, Enroller):
    """An API server with one Machine: who has no certificate that it takes, nor the token that it knows, is unknown.

    Attributes:
        certificates: which it takes, by the digest of their file.
        knows: whether it knows the token.
        unknown: how often somebody was.
        reports: of the Machine, that were stored.
        date: what it says is the time; empty: as this machine has it.
    """

    def __init__(self, found: Json, component: Json) -> None:
        super().__init__(found)
        self.begin = datetime.now(UTC) - timedelta(minutes=5)
        self.components = {component["metadata"]["name"]: component}
        self.certificates = set[str]()
        self.knows = True
        self.unknown = 0
        self.reports: list[Json] = []
        self.date = ""

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        who = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if who not in self.certificates and not (self.knows and who == TOKEN):
            self.unknown += 1
            response = await fails(401, "Unauthorized")(self, request)
        elif who in self.certificates and request.path == REVIEW:
            response = web.json_response({"status": {"userInfo": {"groups": ["x"]}}}, status=201)
        elif request.path == REVIEW or request.path.startswith(CSRS):
            asked = request.clone(headers={**request.headers, "Authorization": f"Bearer {TOKEN}"})
            response = await Enroller._answer(self, asked)
        elif request.path == STATUS:
            response = await self._reported(request)
        else:
            return await World._answer(self, request)
        if self.date:
            response.headers["Date"] = self.date
        return response

    async def _reported(self, request: web.Request) -> web.StreamResponse:
        assert self.machine is not None
        status = (await request.json())["status"]
        version = str(int(self.machine["metadata"]["resourceVersion"]) + 1)
        meta = {**self.machine["metadata"], "resourceVersion": version}
        found = {**self.machine, "metadata": meta, "status": merged(self.machine.get("status"), status)}
        self.reports.append(status)
        self.tell(found)
        return web.json_response(found)


@attrs.frozen
class Stage:
    """A host that was enrolled long ago, whose Machine is kept, and its server."""

    wanted: Serving
    server: Server
    path: Path

    @property
    def enrolment(self) -> Enrolment:
        """With what it becomes the agent."""
        assert self.wanted.enrolment is not None
        return self.wanted.enrolment


async def certificate(begin: datetime) -> bytes:
    """Give a key and its certificate for seven days."""
    asked = await keywork.request(b"", user_of("m1"), groups_of("uid-1"))
    text = signed(base64.b64encode(asked.request).decode(), begin=begin)
    return asked.key + base64.b64decode(text)


def known_by(file: Path) -> str:
    """Give by what the server knows a certificate."""
    return digest(file.read_bytes().decode())


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Make it; its server takes no certificate, and knows the token when there is one."""

    async def prepared() -> Server:
        api, _ = await made(tmp_path)
        await KeptStore(Line(api), "m1", tmp_path / "state").follow(m.Machine.KIND, read)  # type: ignore[arg-type]
        file = tmp_path / "state" / "identity.pem"
        file.touch(mode=0o600)
        file.write_bytes(await certificate(NOW))
        component = await api.get(m.MachineComponent.KIND, "conf-1")
        return Server(await api.get(m.Machine.KIND, "m1"), component)

    server = asyncio.run(prepared())
    by_token: Callable[..., Connection] = lambda url, ca, token: Connection(  # noqa: E731
        url=server.url, authorization=lambda: f"Bearer {token}"
    )
    by_certificate: Callable[..., Connection] = lambda url, ca, file: Connection(  # noqa: E731
        url=server.url, authorization=partial(lambda who: f"Bearer {who}", known_by(file))
    )
    monkeypatch.setattr(module, "by_token", by_token)
    monkeypatch.setattr(module, "by_certificate", by_certificate)
    monkeypatch.setattr(module, "_RENEW_AGAIN", (0.05, 0.2))
    monkeypatch.setattr(identity, "_AGAIN_NS", 50_000_000)
    monkeypatch.setitem(KeptStore.__init__.__kwdefaults__, "retry", 0.05)
    debian = Debian(tmp_path)
    enrolment = Enrolment(
        machine="m1", server="https://10.0.0.1", authority=tmp_path / "ca", state=tmp_path / "state",
        token_file=tmp_path / "token",
    )  # fmt: skip
    wanted = Serving(
        machine="m1", node="n1", state=tmp_path / "state", enrolment=enrolment, version="1", root=debian.root, run=debian
    )  # fmt: skip
    return Stage(wanted, server, debian.path(CONF))


def lives(stage: Stage, do: Callable[["asyncio.Future[None]"], Coroutine[Any, Any, None]]) -> None:
    """Let the agent run meanwhile, and end it by a signal to this process."""

    async def main() -> None:
        async with stage.server:
            task = asyncio.ensure_future(serve(stage.wanted, Plugins.discover()))
            try:
                await do(task)
                assert not task.done(), task.exception()
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.wait_for(task, 30)

    asyncio.run(main())


def test_a_host_is_kept_while_its_certificate_is_over(stage: Stage) -> None:
    """Also after a start; as long as nobody makes a token it is asked for now and then, and with one it goes on by itself."""

    async def do(task: "asyncio.Future[None]") -> None:
        await until(lambda: '"config": "Current"' in (stage.wanted.state / "applied.json").read_text())
        stage.path.write_text("wrong")
        await until(lambda: stage.path.read_text() == "right")
        await until(lambda: stage.server.unknown > 3)
        before = stage.enrolment.identity.read_bytes()
        assert stage.enrolment.token_file is not None
        stage.enrolment.token_file.write_text(TOKEN)
        await until(lambda: stage.enrolment.identity.read_bytes() != before)
        stage.server.certificates.add(known_by(stage.enrolment.identity))
        await until(lambda: stage.server.reports)

    stage = attrs.evolve(stage, wanted=attrs.evolve(stage.wanted, inspect=timedelta(seconds=10)))
    lives(stage, do)


def test_without_anything_kept_it_stays_too(stage: Stage) -> None:
    """Nothing is done on the host, and it does not end to be started anew every few seconds: what it finds is kept."""
    (stage.wanted.state / "applied.json").unlink()

    async def do(task: "asyncio.Future[None]") -> None:
        await until(lambda: stage.server.unknown > 6)
        assert not stage.path.exists()
        stage.server.certificates.add(
            known_by(stage.enrolment.identity)
        )  # such as a server that was restored
        await until(lambda: stage.server.reports and stage.path.exists())

    lives(stage, do)


def test_who_is_to_end_when_all_is_done_ends_with_what_to_do(stage: Stage) -> None:
    """There is nobody to wait for: no token, and a server that takes the certificate no more."""

    async def main() -> None:
        async with stage.server:
            await serve(attrs.evolve(stage.wanted, once=True), Plugins.discover())

    with pytest.raises(NotEnrolled) as told:
        asyncio.run(main())
    assert "kubenode machine token m1" in told.value.fix


class Pauses:
    """What `renew` waits for, which is over at once; ends it after so many."""

    def __init__(self, most: int) -> None:
        self.found: list[float] = []
        self._most = most

    async def __call__(self, seconds: float) -> None:
        """Note it."""
        self.found.append(seconds)
        if len(self.found) == self._most:
            raise asyncio.CancelledError
        await asyncio.sleep(0)


class Ahead(SystemClock):
    """A clock that is eight days ahead."""

    def now(self) -> m.Now:
        """Read it."""
        found = super().now()
        return attrs.evolve(found, wall=found.wall + timedelta(days=8))


def renewing(
    stage: Stage, pauses: Pauses, clock: Clock, *, refused: Callable[[], bool] = lambda: False
) -> None:
    """Renew against the stage's server until the pauses are over; one call is made before, as by an agent."""

    async def main() -> None:
        timing = Timing(clock=clock)
        async with stage.server, OwnMachine.of("m1", stage.enrolment.connection, timing=timing) as store:
            with suppress(ApiError):
                await store.get(m.Machine.KIND, "m1")
            await renew(store, stage.enrolment, lambda: clock.now().wall, pauses, refused=refused)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


@pytest.fixture
def real_pauses(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses be as they are in real life."""
    monkeypatch.setattr(module, "_RENEW_AGAIN", AGAIN)


@pytest.mark.usefixtures("real_pauses")
def test_by_a_wrong_clock_nothing_is_renewed_again_and_again(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """What is due goes by the server's clock: one renewal of what is over, and then none for hours; of the clock it is told."""
    assert stage.enrolment.token_file is not None
    stage.enrolment.token_file.write_text(TOKEN)
    pauses = Pauses(1000)
    renewing(stage, pauses, Ahead())
    assert len(stage.server.requests) == 1
    assert sum(pause >= 60 for pause in pauses.found) > 990


@pytest.mark.usefixtures("real_pauses")
def test_who_is_refused_and_has_no_token_asks_now_and_then(stage: Stage) -> None:
    """Minutes apart, ever more, up to ten, and not all agents at once."""
    pauses = Pauses(50)
    renewing(stage, pauses, SystemClock())
    waits = [pause for pause in pauses.found if pause]
    assert 60 <= waits[0] < 120
    assert 120 <= waits[1] < 240
    assert all(300 <= wait < 600 for wait in waits[3:])
    assert len(set(waits)) == len(waits)
    assert stage.server.unknown <= 2 * len(waits) + 4


@pytest.mark.usefixtures("real_pauses")
@pytest.mark.parametrize("refused", [True, False])
def test_a_refusal_is_not_waited_out_until_the_time_is_over(stage: Stage, refused: bool) -> None:
    """Such as after the authority of a cluster was exchanged: within a minute; else nobody is asked."""
    stage.enrolment.identity.write_bytes(asyncio.run(certificate(datetime.now(UTC))))
    assert stage.enrolment.token_file is not None
    stage.enrolment.token_file.write_text(TOKEN)
    pauses = Pauses(6)
    renewing(stage, pauses, SystemClock(), refused=lambda: refused)
    assert min(pauses.found) >= 60 or refused
    assert pauses.found[0] == 60
    assert bool(stage.server.requests) is refused
