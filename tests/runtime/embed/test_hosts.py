"""Hosts without an event loop: run and stop from threads, run_until_settled for cron and notebooks."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core.errors import ServerFailed
from kubenode.core.policy import Policy
from kubenode.runtime.embed import EmbeddedStore, Engine, EngineFailed, EngineMisused, NotSettled
from kubenode.runtime.store.contract import Listing
from tests.runtime.embed.world import (
    OURS,
    PATIENCE,
    REBOOT,
    Broken,
    granted,
    hung_cluster,
    nothing_left,
    patient,
)

ROOT = Path(__file__).resolve().parents[3]


def test_run_in_a_thread_and_stop_from_another() -> None:
    """Both return, and nothing is left."""
    store = EmbeddedStore(cel=False)
    seen = threading.Event()
    engine = Engine(store, plugins=OURS, sinks={"seen": lambda _: seen.set()})
    with nothing_left():
        thread = threading.Thread(target=engine.run)
        thread.start()
        assert seen.wait(PATIENCE)
        engine.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert [one.metadata.name for one in store.objects(m.RiskLedger)] == ["cluster"]


def test_stop_before_run_is_not_lost() -> None:
    """Whoever is quicker: run returns at once."""
    engine = Engine(EmbeddedStore(cel=False), plugins=OURS)
    engine.stop()
    engine.run()
    with pytest.raises(EngineMisused, match="is over; an engine runs once"):
        engine.run()


def test_what_ends_the_engine_is_raised_from_run() -> None:
    """In the thread that called it."""
    with nothing_left(), pytest.raises(EngineFailed, match="ZeroDivisionError: the store is broken"):
        Engine(Broken(cel=False), plugins=OURS).run()


def test_run_enters_and_leaves_the_store() -> None:
    """A store that has to be opened, such as that of a real cluster, is opened in the loop that uses it."""

    class Opened(EmbeddedStore):
        said: list[str]

        async def __aenter__(self) -> "Opened":
            self.said = ["opened"]
            return self

        async def __aexit__(self, *_: object) -> None:
            self.said.append("closed")

    store = Opened(cel=False)
    Engine(store, plugins=OURS).run_until_settled()
    assert store.said == ["opened", "closed"]


def test_run_until_settled_does_all_that_can_be_done_now() -> None:
    """The sick machine has its permit and its operation; who runs it again has nothing to do."""
    store = hung_cluster(REBOOT)
    with nothing_left():
        again = Engine(store, plugins=OURS).run_until_settled()
    assert granted(store) == ["n1"]
    (job,) = store.objects(m.RemedyOperationJob)
    assert job.status.phase == "Acting"
    assert [one.spec.operation is not None for one in store.objects(m.Machine)] == [True, *[False] * 4]
    # The rung has ten minutes; then something has to be done, though nothing happens meanwhile.
    assert again is not None
    assert timedelta(0) < again - datetime.now(UTC) < timedelta(hours=1)
    version = store._version
    Engine(store, plugins=OURS).run_until_settled()
    assert store._version == version


def test_when_nothing_is_due_there_is_no_next_time() -> None:
    """Only a change can bring more."""
    assert Engine(EmbeddedStore(cel=False), plugins=OURS).run_until_settled() is None


def test_what_is_due_by_time_alone_is_told() -> None:
    """A condition has to last ten minutes: cron comes again then."""
    again = Engine(hung_cluster(patient(REBOOT, timedelta(minutes=10))), plugins=OURS).run_until_settled()
    assert again is not None
    left = again - datetime.now(UTC)
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)


class Deaf(EmbeddedStore):
    """A store that cannot list Machines."""

    async def find(self, kind: m.Kind, **more: Any) -> Listing:
        """Refuse."""
        if kind is m.Machine.KIND:
            raise ServerFailed("out of order", status={"code": 503})
        return await super().find(kind, **more)


def test_what_keeps_it_from_settling_is_named() -> None:
    """Each thing that is waited for, with the reason where there is one."""
    with nothing_left(), pytest.raises(NotSettled) as caught:
        Engine(Deaf(cel=False), plugins=OURS).run_until_settled(timedelta(seconds=0.3))
    assert str(caught.value).startswith("not settled within 0.3 s, waiting for: Machine: not listed yet")
    assert "Machine: ServerFailed: out of order" in caught.value.waits_for


class Refusing(EmbeddedStore):
    """A store that refuses to create."""

    async def create(self, kind: m.Kind, obj: m.Json) -> m.Json:
        """Refuse."""
        raise ServerFailed("no space", status={"code": 500})


def test_a_call_that_fails_is_not_taken_for_rest() -> None:
    """It is tried again, so there is something to do yet; the key is named."""
    with pytest.raises(NotSettled, match="risk/cluster: is tried again"):
        Engine(Refusing(cel=False), plugins=OURS).run_until_settled(timedelta(seconds=2))


def test_in_a_notebook_the_right_words_are_told_and_work() -> None:
    """A loop runs in that thread already: blocking it would stop everything else, so it is refused."""

    async def notebook() -> None:
        store = hung_cluster(REBOOT)
        for call in (Engine(store).run, Engine(store).run_until_settled):
            with pytest.raises(EngineMisused, match="an event loop runs in this thread, as in a notebook; fix: async with engine: await engine"):  # fmt: skip
                call()
        with nothing_left():
            async with Engine(store, plugins=OURS) as engine:
                again = await engine.settled()
        assert again is not None
        assert granted(store) == ["n1"]

    asyncio.run(notebook())


def test_a_notebook_may_also_use_a_thread() -> None:
    """Beside a loop that goes on."""

    async def notebook() -> None:
        store = hung_cluster(REBOOT)
        with nothing_left():
            thread = threading.Thread(target=Engine(store, plugins=OURS).run_until_settled)
            thread.start()
            async with asyncio.timeout(PATIENCE):
                while thread.is_alive():
                    await asyncio.sleep(0.01)
            thread.join()
        assert granted(store) == ["n1"]

    asyncio.run(notebook())


def test_an_engine_that_is_stopped_while_it_settles_says_so() -> None:
    """It has not settled, and nobody is to think it has."""

    async def host() -> None:
        engine = Engine(Deaf(cel=False), plugins=OURS)
        async with engine:
            asyncio.get_running_loop().call_later(0.01, engine.stop)
            with pytest.raises(NotSettled, match="the engine was told to stop"):
                await engine.settled()

    asyncio.run(host())


CTRL_C = """
import os, signal, threading
from kubenode.runtime.embed import EmbeddedStore, Engine
sent = []
def interrupt(record):
    if not sent:
        sent.append(os.kill(os.getpid(), signal.SIGINT))
engine = Engine(EmbeddedStore(cel=False), sinks={"interrupt": interrupt})
try:
    engine.run()
except KeyboardInterrupt:
    print(engine, [thread.name for thread in threading.enumerate()])
"""


def test_ctrl_c_ends_run_in_order_and_is_raised() -> None:
    """By Python's own handler, since the engine installs none."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CTRL_C], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, cwd=ROOT,
    )  # fmt: skip
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert (done.returncode, done.stdout) == (
        0,
        "<Engine 'kubenode' over: all controllers> ['MainThread']\n",
    ), done.stderr


def test_a_policy_is_part_of_it() -> None:
    """Given in code, without any object in the store."""
    store = hung_cluster()
    Engine(store, plugins=OURS, policy=Policy(remediers=(REBOOT,))).run_until_settled()
    assert granted(store) == ["n1"]
