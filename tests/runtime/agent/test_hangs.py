"""A disk, a probe or a journal that hangs: the agent goes on detecting and reporting meanwhile, and ends when it is told to.

Nothing here is timed. What hangs is let go by an event, after what must not wait for it has come.
"""

import asyncio
import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core.decision import RunSteps
from kubenode.core.detect.facts import SERVICES, Facts
from kubenode.core.detect.rules import OF_HOSTS
from kubenode.core.host.journal import JournalState
from kubenode.core.model import Disruption, Json, Ref
from kubenode.core.probe import ReadFile
from kubenode.runtime.agent import serve as serving
from kubenode.runtime.agent.commands import Ran
from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.journal import Journal
from kubenode.runtime.agent.kept import KeptStore
from kubenode.runtime.agent.lease import keep_lease
from kubenode.runtime.agent.newest import Newest
from kubenode.runtime.agent.serve import Serving, serve
from kubenode.runtime.clock import SystemClock
from kubenode.runtime.detector.detector import Detector, WatchedLog
from kubenode.runtime.detector.kept import KeptDetector
from kubenode.runtime.detector.setting import Detecting
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.contract import MergePatch
from kubenode.runtime.store.embedded import EmbeddedStore
from kubenode.runtime.store.transport import Limits
from kubenode.runtime.testing.authority import Authority
from tests.runtime.agent.debian import Debian
from tests.runtime.agent.mortal import place
from tests.runtime.agent.test_kept import Agent, Line, made, read, reported, settled, until
from tests.runtime.agent.test_work import CONF, Host, write
from tests.runtime.detector.logs import HUNG, KernelLog

PATIENCE = 30
"""Seconds after which a test has failed that would wait for ever."""
SLOW = ("/bin/slow",)
CLOCK = SystemClock()


class Hang:
    """Something that hangs from when a test says so until it lets it go.

    Attributes:
        came: somebody is hung up.
    """

    def __init__(self) -> None:
        self.came = threading.Event()
        self._on = threading.Event()
        self._free = threading.Event()
        self.many = 0

    def begin(self) -> None:
        """Let it hang from now on."""
        self._on.set()

    def free(self) -> None:
        """Let it go, and hang no more."""
        self._free.set()

    @property
    def holds(self) -> bool:
        """Whether somebody is hung up, now."""
        return self.came.is_set() and not self._free.is_set()

    def meet(self) -> None:
        """Come upon it."""
        if self._on.is_set() and not self._free.is_set():
            self.many += 1
            self.came.set()
            self._free.wait(2 * PATIENCE)  # longer than a test waits for what must not wait for this


@pytest.fixture
def hang() -> Iterator[Hang]:
    """Something that hangs; what is left behind in it has ended afterwards."""
    before = set(threading.enumerate())
    made = Hang()
    yield made
    made.free()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive(), thread.name


@pytest.fixture
def disk(hang: Hang, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hang:
    """The disk of the agent's own folder, whose syncs hang."""
    sync, state = Disk.sync, str(tmp_path / "state")

    def hung(self: Disk, descriptor: int) -> None:
        if place(descriptor).startswith(state):
            hang.meet()
        sync(self, descriptor)

    monkeypatch.setattr(Disk, "sync", hung)
    return hang


class Sick(Agent):
    """An agent on a host with a kernel log, whose conditions it reports; it keeps a Lease."""

    def __init__(self, line: Line, folder: Path, log: KernelLog) -> None:
        super().__init__(line, folder)
        self.beats = 0
        self._line = line
        self.facts = Facts(hung=0, readonly=frozenset())
        kernel = WatchedLog(name="kernel", source=log.source(), rules=OF_HOSTS, services=SERVICES)
        self.detector = Detector(
            (kernel,), "b", KeptDetector(folder / "state"), lambda: self.facts, CLOCK, self.stir, gather=0.01,
            look_every=0.02,
        )  # fmt: skip
        object.__setattr__(self.host._about, "conditions", lambda: self.detector.conditions)
        self._log = log

    async def _beat(self, _: float) -> None:
        self.beats += 1
        await asyncio.sleep(0.02)

    def says(self) -> None:
        """Let the kernel find a task that hangs."""
        self._log.say(HUNG, microseconds=CLOCK.now().elapsed // 1000)

    @asynccontextmanager
    async def lives(self, hang: Hang) -> AsyncIterator["Sick"]:
        """Run, detect, and keep the Lease; what hangs is let go at the end."""
        lease = keep_lease(self._line, "m1", lambda: CLOCK.now().wall, sleep=self._beat)  # type: ignore[arg-type]
        async with self.runs():
            beside = [asyncio.create_task(self.detector.run()), asyncio.create_task(lease)]
            try:
                yield self
            finally:
                hang.free()
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)


@pytest.fixture
def log() -> Iterator[KernelLog]:
    """A kernel's log."""
    made = KernelLog()
    yield made
    made.close()


async def told(api: Any, kind: str) -> None:
    """Wait until the server knows of a fault."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status = (await api.get(m.Machine.KIND, "m1")).get("status") or {}
            found = (status.get("agent") or {}).get("conditions") or ()
            if any((one["type"], one["status"]) == (kind, "True") for one in found):
                return
            await asyncio.sleep(0.02)


async def at_rest(agent: Agent, api: EmbeddedStore, name: str) -> None:
    """Wait until an agent has done and reported what is wanted of it."""
    await until(agent.path.exists)
    await reported(api, name, "version")
    await agent.driver.rest()


def test_a_disk_that_hangs_is_told_of(tmp_path: Path, disk: Hang, log: KernelLog) -> None:
    """The first report hangs on it, as it is kept; the next fault is found and reported all the same, and the Lease goes on."""

    async def run() -> None:
        api, name = await made(tmp_path)
        agent = Sick(Line(api), tmp_path, log)
        async with agent.lives(disk):
            await at_rest(agent, api, name)
            disk.begin()
            agent.facts = Facts(hung=0, readonly=frozenset(), ailing={"KubeletUnhealthy": "it is dead"})
            await told(api, "KubeletUnhealthy")
            await until(disk.came.is_set)
            beats = agent.beats
            agent.says()
            await told(api, "KernelDeadlock")
            await until(lambda: agent.beats > beats + 1)
            assert disk.holds
            disk.free()
            settled(agent.kept)
        held = json.loads((tmp_path / "state" / "applied.json").read_text())
        faults = {
            one["type"] for one in held["machine"]["status"]["agent"]["conditions"] if one["status"] == "True"
        }
        assert faults == {"KubeletUnhealthy", "KernelDeadlock"}

    asyncio.run(run())


def test_an_operation_that_cannot_be_journalled_holds_up_no_report(
    tmp_path: Path, disk: Hang, log: KernelLog
) -> None:
    """It is known by its op-id at once, and begun once, when the disk lets it: after what was wanted stands there too."""

    async def run() -> None:
        api, name = await made(tmp_path)
        agent = Sick(Line(api), tmp_path, log)
        async with agent.lives(disk):
            await at_rest(agent, api, name)
            disk.begin()
            operation = {
                "opID": "op-1", "job": "j", "attempt": 1, "action": "restart",
                "steps": [{"action": "RestartUnit", "unit": "app.service"}],
            }  # fmt: skip
            agent.host._units._run.unit("app.service")  # type: ignore[attr-defined]
            await api.patch(m.Machine.KIND, "m1", MergePatch({"spec": {"operation": operation}}))
            await until(lambda: "op-1" in agent.host._work.entries())
            agent.says()
            await told(api, "KernelDeadlock")
            assert disk.holds
            status = (await api.get(m.Machine.KIND, "m1"))["status"]["agent"]
            assert (status["operation"]["opID"], status["operation"]["state"]) == ("op-1", "Acknowledged")
            for _ in range(3):
                agent.stir()
                await asyncio.sleep(0.02)
            assert "op-1" not in agent.host._journal.entries
            disk.free()
            await until(lambda: agent.host._work.entries()["op-1"].state is JournalState.DONE)
        records = [
            json.loads(line.partition(" ")[2])
            for line in (tmp_path / "state/journal").read_text().splitlines()
        ]
        assert [one["is"] for one in records if one["op"] == "op-1"] == ["began", "step", "ended"]

    asyncio.run(run())


def test_what_is_wanted_stands_on_the_disk_before_it_is_begun(
    tmp_path: Path, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who comes up after a power cut without a server would go back to what was wanted before."""
    write = KeptStore._write

    def slow(self: KeptStore, content: bytes) -> None:
        hang.meet()
        write(self, content)

    monkeypatch.setattr(KeptStore, "_write", slow)

    async def run() -> None:
        api, name = await made(tmp_path)
        async with Agent(Line(api), tmp_path).runs() as agent:
            await at_rest(agent, api, name)
            begun = set(agent.host._journal.entries)
            hang.begin()
            await api.create(m.MachineComponent.KIND, {
                "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineComponent", "metadata": {"name": "conf-2"},
                "spec": {"driver": "file", "version": "2", "parameters": {"path": "/etc/app.conf", "content": "newer"}},
            })  # fmt: skip
            entry = {"component": "conf-2", "revision": "2"}
            await api.patch(m.Machine.KIND, "m1", MergePatch({"spec": {"components": {name: entry}}}))
            await until(lambda: set(agent.host._work.entries()) > begun)
            for _ in range(5):
                agent.stir()
                await asyncio.sleep(0.02)
            assert hang.holds
            assert set(agent.host._journal.entries) == begun
            assert agent.path.read_text() == "right"
            hang.free()
            await until(lambda: agent.path.read_text() == "newer")

    asyncio.run(run())


def test_an_op_id_is_known_before_it_is_journalled(
    tmp_path: Path, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again, or asked what is known, nobody waits; it is done once, and nothing of it before its record stands."""
    host = Host(tmp_path)
    sync = Disk.sync

    def hung(self: Disk, descriptor: int) -> None:
        if place(descriptor).endswith("/journal"):
            hang.meet()
        sync(self, descriptor)

    monkeypatch.setattr(Disk, "sync", hung)
    hang.begin()
    effect = RunSteps(
        machine=Ref(kind="Machine", name="m1", uid="u"), op_id="op", steps=(write(b"new"),), disruption=Disruption.RESTART,
    )  # fmt: skip
    for _ in range(3):
        asyncio.run(host.agent.run(effect))
        assert hang.came.wait(PATIENCE)
        assert host.said() == (JournalState.STARTED, "")
    assert (hang.many, host.told, host.now()[0]) == (1, 0, "old")
    hang.free()
    host.rest()
    assert (host.said()[0], host.told, host.now()[0]) == (JournalState.DONE, 1, "new")
    assert (tmp_path / "state" / "journal").read_text().count('"began"') == 1


def test_what_is_over_is_not_told_before_its_host_can_be_looked_at(
    tmp_path: Path, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what was found before it would be taken for what it has left, and it would be begun anew."""
    host, sweep, file = Host(tmp_path), Journal._sweep, (ReadFile(CONF),)
    assert host.agent.look("m1", file).files[CONF] == b"old"

    def slow_sweep(self: Journal) -> None:
        hang.meet()
        sweep(self)

    monkeypatch.setattr(Journal, "_sweep", slow_sweep)
    hang.begin()
    effect = RunSteps(
        machine=Ref(kind="Machine", name="m1", uid="u"), op_id="op", steps=(write(b"new"),), disruption=Disruption.RESTART,
    )  # fmt: skip
    asyncio.run(host.agent.run(effect))
    assert hang.came.wait(PATIENCE)
    assert '"done"' in (tmp_path / "state" / "journal").read_text()
    assert host.said()[0] is JournalState.STARTED
    assert host.agent.look("m1", file).files[CONF] == b"old"
    hang.free()
    host.rest()
    assert host.said()[0] is JournalState.DONE
    assert host.agent.look("m1", file).files[CONF] == b"new"


def test_who_hands_over_something_newer_does_not_wait(hang: Hang) -> None:
    """Of what comes while a write hangs the last is written, once; nobody who waits is told before his own is dealt with."""
    written: list[bytes] = []

    def put(content: bytes) -> None:
        hang.meet()
        written.append(content)

    newest = Newest(put)
    assert newest.wait(0), "nothing was given"
    newest.give(b"0")
    assert newest.wait(PATIENCE)
    hang.begin()
    newest.give(b"1")
    assert hang.came.wait(PATIENCE)
    for content in (b"2", b"3", b"4"):
        newest.give(content)
    assert not newest.wait(0)
    assert written == [b"0"]
    hang.free()
    assert newest.wait(PATIENCE)
    assert written == [b"0", b"1", b"4"]


def test_a_write_that_fails_is_dealt_with(caplog: pytest.LogCaptureFixture) -> None:
    """A defect of ours, which is told: whoever waits goes on, and the next is written."""
    written: list[bytes] = []

    def put(content: bytes) -> None:
        if not written:
            written.append(b"")
            raise ZeroDivisionError
        written.append(content)

    newest = Newest(put)
    newest.give(b"1")
    assert newest.wait(PATIENCE)
    assert "event=bug part=newest" in caplog.text
    newest.give(b"2")
    assert newest.wait(PATIENCE)
    assert written == [b"", b"2"]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serving:
    """An agent that has a Machine kept from before, whose file is asked about by a program; its server is away."""
    monkeypatch.setattr(serving, "_LIMITS", Limits(call=timedelta(seconds=1), patience=timedelta(0)))

    async def kept() -> None:
        api, name = await made(tmp_path)
        probe = {"exec": {"command": list(SLOW)}, "timeoutSeconds": 60}
        await api.create(m.MachineComponent.KIND, {
            "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineComponent", "metadata": {"name": "asked-1"},
            "spec": {
                "driver": "file", "version": "1", "parameters": {"path": "/etc/app.conf", "content": "right"},
                "probes": [probe],
            },
        })  # fmt: skip
        await api.patch(
            m.Machine.KIND, "m1", MergePatch({"spec": {"components": {name: {"component": "asked-1"}}}})
        )
        store = KeptStore(Line(api), "m1", tmp_path / "state")  # type: ignore[arg-type]
        await store.follow(m.Machine.KIND, read)
        settled(store)

    asyncio.run(kept())
    authority, _ = Authority.create().identity.write(tmp_path, "ca")
    config: Json = {
        "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1", "certificate-authority": str(authority)}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }  # fmt: skip
    (tmp_path / "config").write_text(json.dumps(config))
    root = Debian(tmp_path).root
    (root / "kern.log").write_text("")
    return Serving(
        machine="m1", node="n1", state=tmp_path / "state", kubeconfig=tmp_path / "config", version="1", root=root,
        run=Debian(tmp_path), detect=Detecting(kernel_log="/kern.log"), inspect=timedelta(seconds=10),
    )  # fmt: skip


def ends(wanted: Serving, hang: Hang, meanwhile: Callable[[], bool]) -> None:
    """Run it until it hangs, wait for what must come meanwhile, and end it by a signal while it hangs."""

    async def main() -> None:
        task = asyncio.ensure_future(serve(wanted, Plugins.discover()))
        try:
            async with asyncio.timeout(PATIENCE):
                while not (hang.came.is_set() and meanwhile()):
                    assert not task.done(), task.exception()
                    await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(task, PATIENCE)
            assert hang.holds
        finally:
            hang.free()
            with suppress(asyncio.CancelledError):
                await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def finds(wanted: Serving) -> bool:
    """Let the kernel say that something hangs, and tell whether that is found."""
    log, state = wanted.root / "kern.log", wanted.state / "detector.json"
    if state.exists() and not log.stat().st_size:
        log.write_text(f"{HUNG}\n")
    return state.exists() and "TaskHung" in state.read_text()


def slow(monkeypatch: pytest.MonkeyPatch, meets: Callable[[], None] = lambda: None) -> None:
    """Have the program that is asked on the host, and let it come upon something."""
    call = Debian.__call__

    def called(self: Debian, argv: Any, limit: float) -> Ran:
        if tuple(argv) == SLOW:
            meets()
            return Ran(code=0)
        return call(self, argv, limit)

    monkeypatch.setattr(Debian, "__call__", called)


def test_a_probe_that_hangs_holds_up_neither_detector_nor_signal(
    alone: Serving, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look may take as long as the time limits of its checks; the agent hears and ends meanwhile."""
    slow(monkeypatch, hang.meet)
    hang.begin()
    ends(alone, hang, partial(finds, alone))


def test_a_journal_that_hangs_does_not_keep_an_agent_from_its_end(
    alone: Serving, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operation is left behind; the detector tells all the while."""
    slow(monkeypatch)
    monkeypatch.setattr(serving, "GRACE", 0.1)
    monkeypatch.setattr(serving, "_LAST_SAVE", 0.1)
    sync = Disk.sync

    def hung(self: Disk, descriptor: int) -> None:
        if place(descriptor).endswith(("/journal", "/kept")):
            hang.meet()
        sync(self, descriptor)

    monkeypatch.setattr(Disk, "sync", hung)
    monkeypatch.setattr("kubenode.core.host.drift.delay", lambda *_: 0)
    _was_at_target(alone)
    hang.begin()
    ends(alone, hang, partial(finds, alone))


def _was_at_target(wanted: Serving) -> None:
    """Let the kept Machine say that its file was right, so that it is repaired: it is not there."""
    path = wanted.state / "applied.json"
    held = json.loads(path.read_text())
    spec = held["machine"]["spec"]["components"]
    good = {"component": "asked-1", "revision": "1", "version": "1", "config": "Current", "state": "Running"}
    held["machine"]["status"] = {"agent": {"components": dict.fromkeys(spec, good)}}
    path.write_text(json.dumps(held))
