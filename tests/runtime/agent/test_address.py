"""The host's own address, which components may have in their parameters: found beside the agent's work, and kept when nobody can tell it."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core.crd import schema_of
from kubenode.core.host.drift import delay
from kubenode.core.model import Json
from kubenode.runtime.agent import address
from kubenode.runtime.agent import serve as serving
from kubenode.runtime.agent.kept import KeptStore
from kubenode.runtime.agent.serve import Serving, serve
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.contract import MergePatch
from kubenode.runtime.store.embedded import EmbeddedStore
from kubenode.runtime.store.transport import Limits
from tests.runtime.agent.debian import Debian

CONF = "/etc/app.conf"
CONTENT = "address ${node.address}"


@pytest.fixture
def wanted(tmp_path: Path) -> Serving:
    """An agent whose server is away; it has kept that its Machine wants a file with the host's address in it."""
    debian = Debian(tmp_path)
    debian.path("/etc").mkdir()
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    config = tmp_path / "kubeconfig"
    named = {
        "cluster": {"server": "https://127.0.0.1:1"},
        "user": {"token": "t"},
        "context": {"cluster": "c", "user": "c"},
    }
    config.write_text(
        json.dumps(
            {
                "current-context": "c",
                **{f"{kind}s": [{"name": "c", kind: one}] for kind, one in named.items()},
            }
        )
    )
    asyncio.run(_keep(state))
    return Serving(
        machine="m1", node="n1", state=state, kubeconfig=config, version="1", root=debian.root, run=debian
    )


async def _keep(state: Path) -> None:
    api = EmbeddedStore([(kind.KIND, schema_of(kind)) for kind in m.KINDS], clock=lambda: datetime.now(UTC))
    raw: Json = {
        "apiVersion": m.Machine.KIND.api_version,
        "kind": "MachineComponent",
        "metadata": {"name": "conf-1"},
    }
    await api.create(m.MachineComponent.KIND, {
        **raw, "spec": {"driver": "file", "version": "1", "parameters": {"path": CONF, "content": CONTENT}},
    })  # fmt: skip
    machine = await api.create(m.Machine.KIND, {
        **raw, "kind": "Machine", "metadata": {"name": "m1"},
        "spec": {"infrastructure": {"provider": "memory", "parameters": {}}},
    })  # fmt: skip
    uid = machine["metadata"]["uid"]
    name = next(
        n for n in map("conf{}".format, range(10**6)) if all(delay(uid, n, i) < 10**9 for i in (0, 1))
    )
    entry = {"set": "s", "component": "conf-1", "revision": "1", "state": "Running"}
    await api.patch(m.Machine.KIND, "m1", MergePatch({"spec": {"components": {name: entry}}}))
    kept = KeptStore(api, "m1", state)
    _, watch = await kept.follow(m.Machine.KIND, lambda raw: raw)
    await watch.close()
    assert kept.wait(10)


async def until(true: Callable[[], Any]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


def lives(wanted: Serving, *until_so: Callable[[], Any]) -> float:
    """Run it until one thing after the other is so, and end it; give how many seconds the end took."""

    async def main() -> float:
        task = asyncio.ensure_future(serve(wanted, Plugins.discover()))
        try:
            for true in until_so:
                await until(lambda true=true: true() or task.done())
                assert not task.done(), task.exception()
        finally:
            begun = time.monotonic()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(task, 30)
        return time.monotonic() - begun

    return asyncio.run(main())


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator["Resolver"]:
    """Whoever tells the address."""
    found = Resolver()
    monkeypatch.setattr(address, "own_address", found)
    monkeypatch.setattr(address, "WITHIN", 0.1)
    monkeypatch.setattr(address, "AGAIN", 0.05)
    monkeypatch.setattr(serving, "_LIMITS", Limits(call=timedelta(seconds=1), patience=timedelta()))
    yield found
    found.go.set()


class Resolver:
    """Tells an address, when it may."""

    def __init__(self) -> None:
        self.address = "10.0.0.9"
        self.asked = 0
        self.go = threading.Event()

    def __call__(self, host: str, port: int) -> str:
        """Give the address, when told to go."""
        self.asked += 1
        self.go.wait(30)
        return self.address


def test_a_name_server_that_does_not_answer_keeps_nobody_waiting(wanted: Serving, resolver: Resolver) -> None:
    """The host is looked at meanwhile, SIGTERM is heard, and an address that comes late is used at once."""
    file, applied = wanted.root / CONF[1:], wanted.state / "applied.json"

    def waits() -> bool:
        return "has no value yet" in applied.read_text()

    def comes() -> bool:
        resolver.go.set()
        return file.exists()

    assert lives(wanted, waits) < 5
    lives(wanted, waits, comes)
    assert file.read_text() == "address 10.0.0.9"


def test_an_address_that_nobody_can_tell_any_more_is_still_known(wanted: Serving, resolver: Resolver) -> None:
    """The network is away, with it the name server and the way to the API server; drift is healed, also after a start."""
    file, applied = wanted.root / CONF[1:], wanted.state / "applied.json"
    resolver.go.set()
    lives(wanted, lambda: '"Current"' in applied.read_text())
    assert file.read_text() == "address 10.0.0.9"
    resolver.address = ""
    file.unlink()
    lives(wanted, file.exists, lambda: '"Current"' in applied.read_text())
    assert file.read_text() == "address 10.0.0.9"
    assert resolver.asked >= 2
    resolver.address = "10.0.0.10"
    lives(wanted, lambda: file.read_text() == "address 10.0.0.10")
