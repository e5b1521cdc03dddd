"""kubenode in your program, as the page for embedders shows it: beside a service, in a thread, from cron."""

import asyncio
import io
import json
import re
import runpy
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import kubenode
from kubenode import EmbeddedStore, Engine, InvalidObjectError, KubenodeError, PluginError, Plugins, Policy
from kubenode import model as m
from kubenode.core.policy import BUILT_IN
from kubenode.runtime.embed import EngineFailed, EngineMisused
from tests.runtime.embed.world import (
    PATIENCE,
    REBOOT,
    Broken,
    granted,
    hung_cluster,
    nothing_left,
    until,
)

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "embedding.md"
EXAMPLES = ROOT / "docs" / "examples" / "python"
MODULES = ("b_embed", "b_threads", "platform_app", "rack", "test_rack")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """The modules of the examples, in a folder with policies that do not wait."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(EXAMPLES / "policies", tmp_path / "policies")
    (written,) = (tmp_path / "policies").iterdir()
    written.write_text(written.read_text().replace("for: 90s", "for: 0s"))
    import b_embed
    import b_threads
    import platform_app
    import rack
    import test_rack

    yield SimpleNamespace(
        embed=b_embed, threads=b_threads, app=platform_app, provider=rack.RackProvider(test_rack.rackd()), rack=rack
    )  # fmt: skip
    for name in MODULES:
        del sys.modules[name]


def test_a_service_has_its_provider_its_audit_and_its_veto(example: SimpleNamespace) -> None:
    """While nothing may change no permit is given; then it is; every decision is in the audit log."""
    log = io.StringIO()
    store = hung_cluster()

    async def host() -> None:
        now = datetime.now(UTC)
        example.app.calendar.freezes = [(now - timedelta(hours=1), now + timedelta(seconds=1.5))]
        with nothing_left():
            service = asyncio.create_task(example.embed.beside(store, example.provider, log))
            await until(lambda: "reviewer freeze: change freeze, until" in log.getvalue())
            assert granted(store) == []
            assert not any(one.spec.operation for one in store.objects(m.Machine))
            await until(lambda: any(one.spec.operation for one in store.objects(m.Machine)))
            assert datetime.now(UTC) >= example.app.calendar.freezes[0][1]
            example.app.closing.set()
            await service

    asyncio.run(host())
    assert granted(store) == ["n1"]
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert {"machine", "remedy", "risk"} <= {line["controller"] for line in lines}


def test_a_service_ends_with_one_error_when_the_engine_fails(example: SimpleNamespace) -> None:
    """Of kubenode, from the block; the service has not gone on without it."""
    with pytest.raises(
        KubenodeError, match="engine 'platform' failed: ZeroDivisionError: the store is broken"
    ):
        asyncio.run(example.embed.beside(Broken(cel=False), example.provider, io.StringIO()))


class Hello(BaseHTTPRequestHandler):
    """Says hello."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_program_without_asyncio_serves_beside_it(example: SimpleNamespace) -> None:
    """Requests are answered and a machine is healed; when the server is shut down, nothing is left."""
    store = hung_cluster(REBOOT)
    with nothing_left(), HTTPServer(("127.0.0.1", 0), Hello) as server:
        host = threading.Thread(target=example.threads.serve, args=(server, store))
        host.start()
        _wait(lambda: granted(store) == ["n1"])
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        server.shutdown()
        host.join(PATIENCE)
        assert not host.is_alive()


def test_an_engine_that_fails_ends_the_server_too(example: SimpleNamespace) -> None:
    """However early: the server may not have begun to serve."""
    for _ in range(5):
        with nothing_left(), HTTPServer(("127.0.0.1", 0), Hello) as server, pytest.raises(EngineFailed):
            example.threads.serve(server, Broken(cel=False))


def test_cron_does_what_can_be_done_and_says_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script as it stands, but for the cluster it connects to."""
    for store, heals in ((hung_cluster(REBOOT), True), (EmbeddedStore(), False)):
        contexts: list[str] = []
        connect = _connects(store, contexts)
        monkeypatch.setitem(vars(kubenode), "KubeStore", SimpleNamespace(connect=connect))
        with nothing_left():
            runpy.run_path(str(EXAMPLES / "settle.py"))
        said = capsys.readouterr().out.removeprefix("come again at ").strip()
        assert contexts == ["prod"]
        assert granted(store) == ["n1"] * heals
        if heals:
            assert datetime.fromisoformat(said) > datetime.now(UTC)
        else:
            assert said == "the next change"


def _connects(store: EmbeddedStore, contexts: list[str]) -> Callable[..., EmbeddedStore]:
    def connect(*, context: str) -> EmbeddedStore:
        contexts.append(context)
        return store

    return connect


def _in_a_loop(call: Callable[[], object]) -> None:
    async def cell() -> None:
        call()

    asyncio.run(cell())


def _twice(engine: Engine) -> None:
    engine.run_until_settled()
    engine.run_until_settled()


STORE = EmbeddedStore(cel=False)
REBOT = m.NodeRemedier(
    metadata=m.ObjectMeta(name="hung-task"),
    spec=m.NodeRemedierSpec(condition=REBOOT.spec.condition, ladder=(m.Rung(action="rebot"),)),
)
MISTAKES: dict[str, Callable[[Any], Any]] = {
    "`Plugins.discover(provider=[rack])`": lambda example: Plugins.discover(provider=[example.provider]),  # type: ignore[call-arg]
    "`Plugins.discover(providers=[RackProvider])`": lambda example: Plugins.discover(providers=[example.rack.RackProvider]),
    "`Plugins.discover(providers=rack)`": lambda example: Plugins.discover(providers=example.provider),
    "`Plugins.discover(sinks=[audit])`": lambda _: Plugins.discover(sinks=[print]),  # type: ignore[arg-type]
    '`Plugins.discover(reviewers={"freeze": Calendar})`': lambda example: Plugins.discover(reviewers={"freeze": example.app.Calendar}),
    "`Engine(EmbeddedStore)`": lambda _: Engine(EmbeddedStore),  # type: ignore[arg-type]
    "`Engine(store, policy=limits)`": lambda _: Engine(STORE, policy=BUILT_IN),  # type: ignore[arg-type]
    '`Engine(store, controllers={"risks"})`': lambda _: Engine(STORE, controllers={"risks"}),
    "`Engine(store, review_within=5)`": lambda _: Engine(STORE, review_within=5),  # type: ignore[arg-type]
    '`EmbeddedStore("cluster/")`': lambda _: EmbeddedStore("cluster/"),  # type: ignore[arg-type]
    "a rung `rebot`, at the start": lambda _: Engine(STORE, policy=Policy(remediers=(REBOT,))).run_until_settled(),
    "`engine.run()` in a notebook": lambda _: _in_a_loop(Engine(STORE).run),
    "`async with engine` a second time": lambda _: _twice(Engine(STORE, identity="platform")),
}  # fmt: skip
"""The first is told by type checkers with the right name, see typing/api.py; when it runs, by Python."""
TABLE = PAGE.read_text().partition("| in your program | said |")[2].partition("\n\n")[0]
SAID = dict(re.findall(r"^\| ([^|]*) \| `(.*)` \|$", TABLE, re.MULTILINE))


@pytest.mark.parametrize("code", MISTAKES)
def test_a_mistake_is_told_as_the_page_says(code: str, example: SimpleNamespace) -> None:
    """What is wrong, and what to write instead; nothing has started."""
    with nothing_left(), pytest.raises((InvalidObjectError, PluginError, EngineMisused, TypeError)) as caught:
        MISTAKES[code](example)
    for part in SAID[code].split("`, fix: `"):
        assert part in str(caught.value)


def test_every_mistake_of_the_page_is_tried() -> None:
    """No line of its table goes unchecked."""
    assert SAID.keys() == MISTAKES.keys()


def _wait(true: Callable[[], object]) -> None:
    asyncio.run(until(true))
