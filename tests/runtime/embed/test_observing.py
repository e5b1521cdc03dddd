"""An engine that only observes writes nothing at all, and says what it would do."""

import asyncio
import logging
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.runtime.embed import Engine, Record
from tests.runtime.embed.world import LEDGER, OURS, REBOOT, Counting, nothing_left, sick, until, well


def observed() -> Counting:
    """Make a cluster with a machine to heal, and count from now on."""
    store = Counting([LEDGER, REBOOT, *sick(), *well("n2"), *well("n3")], cel=False)
    store.writes = 0
    return store


def test_nothing_is_written_and_it_is_said_what_would_be(caplog: pytest.LogCaptureFixture) -> None:
    """To the log once each, and to the sinks as acts: no create, no patch, no delete of anything."""
    store, records = observed(), list[Record]()
    caplog.set_level(logging.INFO, logger="kubenode.engine")
    with nothing_left():
        Engine(store, plugins=OURS, observe_only=True, sinks={"plan": records.append}).run_until_settled()
    assert store.writes == 0
    would = [record.message for record in caplog.records if "event=would" in record.message]
    assert any("key=remedy/n1 acts='Create RemedyOperationJob n1-" in text for text in would)
    assert any("key=machine/n2 acts='SetFinalizers Machine n2'" in text for text in would)
    assert len(would) == len(set(would))
    acts = [(record.key, type(act).__name__) for record in records for act in record.acts]
    assert ("n1", "Create") in acts


def test_without_it_the_same_cluster_is_written_to() -> None:
    """So the test above would see a write."""
    store = observed()
    Engine(store, plugins=OURS).run_until_settled()
    assert store.writes > 5


def test_it_follows_the_world_and_says_what_changed(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody else does what it would have done; then it would do the next thing, and says that once."""
    caplog.set_level(logging.INFO, logger="kubenode.engine")

    async def host() -> None:
        store = observed()
        async with Engine(store, plugins=OURS, observe_only=True, identity="shadow") as shadow:
            await shadow.settled()
            assert not any("hold for a repair" in record.message for record in caplog.records)
            async with Engine(store, plugins=OURS, identity="real") as real:
                await real.settled()
                await until(lambda: any("event=would key=risk/cluster" in record.message for record in caplog.records))  # fmt: skip
                await shadow.settled()
        assert store.writes > 0

    asyncio.run(host())


def test_the_command_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """`kubenode controller --observe-only`, on a store that counts; stopped by a signal, as by systemd."""
    import os
    import signal

    from typer.testing import CliRunner

    from kubenode.runtime.cli import controller
    from kubenode.runtime.cli.app import app

    store = observed()
    monkeypatch.setattr(controller, "connect", lambda *_: store)
    monkeypatch.setattr(controller, "to_stderr", lambda **_: None)
    seen: list[Any] = []

    class Watched(Engine):
        def __init__(self, *words: Any, **more: Any) -> None:
            seen.append(more)
            super().__init__(*words, **more, sinks={"stop": lambda _: os.kill(os.getpid(), signal.SIGTERM)})

    monkeypatch.setattr(controller, "Engine", Watched)
    before = signal.getsignal(signal.SIGTERM)
    result = CliRunner().invoke(app, ["controller", "--observe-only", "--listen", "none", "--lease", "none"])
    assert (result.exit_code, store.writes) == (0, 0)
    assert [one["observe_only"] for one in seen] == [True]
    assert signal.getsignal(signal.SIGTERM) == before
    assert (
        "--observe-only" in CliRunner().invoke(app, ["controller", "--help"], env={"COLUMNS": "200"}).stdout
    )
    assert CliRunner().invoke(app, ["controller", "--listen", "127.0.0.1:0"]).exit_code == 0
    assert store.writes > 0
    assert isinstance(store.objects(m.Machine)[0], m.Machine)
