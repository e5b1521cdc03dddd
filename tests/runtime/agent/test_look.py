"""Looks at a host: what is there, what is not, and what cannot be told; and that a look ends."""

import http.server
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core.decision import RunSteps
from kubenode.core.hookspecs import Seen
from kubenode.core.host.decide import HostSeen
from kubenode.core.policy import Policy
from kubenode.core.probe import (
    Access,
    CheckAnswer,
    Exec,
    FileAccess,
    HttpGet,
    PackageHeld,
    PackageVersion,
    Probe,
    ReadFile,
    TcpConnect,
    UnitEnabled,
    UnitState,
)
from kubenode.runtime.agent.commands import Commands, Ran
from kubenode.runtime.agent.controller import AgentController, CannotLook
from kubenode.runtime.agent.look import AT_ONCE, Looker
from kubenode.runtime.agent.packages import Notes, Packages
from kubenode.runtime.agent.tree import Tree
from kubenode.runtime.agent.units import Units
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.cache import Cache
from tests.runtime.agent.debian import Debian


def looker(folder: Path, **more: Any) -> Looker:
    """Look at a Debian; the programs of probes are real."""
    debian = Debian(folder)
    debian.path("/etc").mkdir(exist_ok=True)
    debian.path("/etc/x").write_bytes(b"\xff content")
    debian.unit("app.service")
    debian.package("tool", "1.0")
    units, packages = Units(debian, print), Packages(debian, print, Notes(Tree(debian.root)))
    return Looker(Tree(debian.root), units, packages, more.pop("run", Commands(str(folder))), **more)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the number that is asked for, or never to its end."""

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/slow":
            for _ in range(50):
                self.wfile.write(b"H")
                time.sleep(0.1)
            return
        self.send_response(int(self.path[1:4]))
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served() -> Iterator[int]:
    """A server on loopback; gives its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_what_is_there_has_an_entry_and_what_is_not_has_none(tmp_path: Path) -> None:
    """Files, units, packages."""
    probes: tuple[Probe, ...] = (
        ReadFile("/etc/x"), ReadFile("/etc/none"), UnitState("app.service"), UnitState("none.service"),
        PackageVersion("tool"), PackageVersion("none"), FileAccess("/etc/x"), FileAccess("/etc/none"), PackageHeld("tool"),
        PackageHeld("none"), UnitEnabled("app.service"), UnitEnabled("none.service"),
    )  # fmt: skip
    look = looker(tmp_path)
    (tmp_path / "root/etc/x").chmod(0o604)
    assert look.look(probes) == Seen(
        files={"/etc/x": b"\xff content"}, units={"app.service": "active"}, packages={"tool": "1.0"},
        access={"/etc/x": Access(mode=0o604)}, held={"tool": False}, enabled={"app.service": "disabled"},
    )  # fmt: skip


def test_checks_are_asked_at_the_same_time(tmp_path: Path) -> None:
    """An answer is one also when it is a bad one; who does not answer in time has none, and nobody waits longer."""
    echo = Exec((sys.executable, "-c", "print('v1'); raise SystemExit(3)"), 20)
    slow = tuple(Exec((sys.executable, "-c", f"import time; time.sleep({n}0)"), 1) for n in (1, 2, 3))
    with served() as port, socket.create_server(("127.0.0.1", 0)) as silent:
        mute = HttpGet(f"http://127.0.0.1:{silent.getsockname()[1]}/", 1)
        get = {code: HttpGet(f"http://127.0.0.1:{port}/{code}", 5) for code in (200, 218, 302, 500, 599)}
        trickle = HttpGet(f"http://127.0.0.1:{port}/slow", 1)
        open_, closed = TcpConnect("127.0.0.1", port, 5), TcpConnect("127.0.0.1", 1, 5)
        odd = HttpGet("file:///etc/passwd", 5)
        begun = time.monotonic()
        seen = looker(tmp_path).look((echo, *slow, mute, *get.values(), trickle, open_, closed, odd))
        assert time.monotonic() - begun < 15
    assert seen.answers == {
        echo: CheckAnswer(code=3, text="v1\n"), open_: CheckAnswer(code=0),
        **{probe: CheckAnswer(code=code) for code, probe in get.items()},
    }  # fmt: skip


def test_what_a_program_prints_is_bounded(tmp_path: Path) -> None:
    """To what a probe may look at."""
    check = Exec((sys.executable, "-c", "print('x' * 100000)"), 20)
    assert looker(tmp_path).look((check,)).answers[check].text == "x" * 4096


def test_what_hangs_is_left_behind_and_not_piled_up(tmp_path: Path) -> None:
    """A look ends in time though a program does not; until it has ended nothing else is looked at."""
    free = threading.Event()

    def hung(argv: object, limit: float) -> Ran:
        free.wait(20)
        return Ran(code=0)

    look = looker(tmp_path, run=hung, limit=0.3)
    check = Exec(("/bin/true",), 0)
    before = threading.active_count()
    with pytest.raises(CannotLook, match="has not ended after"):
        look.look((check,))
    for _ in range(5):
        with pytest.raises(CannotLook, match="an earlier look"):
            look.look((ReadFile("/etc/x"),))
    assert threading.active_count() <= before + 2
    free.set()
    end = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert look.look((ReadFile("/etc/x"),)).files


def test_checks_of_all_entries_are_asked_at_the_same_time(tmp_path: Path) -> None:
    """Twelve entries whose checks hang for a minute are no twelve minutes: each meets all the others."""
    together = threading.Barrier(12)

    def meets(argv: object, limit: float) -> Ran:
        together.wait(20)
        return Ran(code=0, out="met")

    checks = [Exec((f"/bin/{number}",), 60) for number in range(12)]
    seen = looker(tmp_path, run=meets).look_at_all([(ReadFile("/etc/x"), check) for check in checks])
    assert seen == tuple(
        Seen(files={"/etc/x": b"\xff content"}, answers={check: CheckAnswer(code=0, text="met")})
        for check in checks
    )


def test_a_host_is_not_flooded_with_checks(tmp_path: Path) -> None:
    """So many are asked at a time, each once though several want it; all are asked in the end."""
    lock, free = threading.Lock(), threading.Event()
    asked: list[object] = []
    now = most = 0

    def counted(argv: object, limit: float) -> Ran:
        nonlocal now, most
        with lock:
            asked.append(argv)
            now += 1
            most = max(most, now)
            if now == AT_ONCE:
                free.set()
        free.wait(20)
        with lock:
            now -= 1
        return Ran(code=0)

    checks = [Exec((f"/bin/{number}",), 20) for number in range(3 * AT_ONCE + 1)]
    seen = looker(tmp_path, run=counted).look_at_all([(check, checks[0]) for check in checks])
    assert len(asked) == len(checks)
    assert most == AT_ONCE
    assert [set(one.answers) for one in seen if isinstance(one, Seen)] == [
        {check, checks[0]} for check in checks
    ]


def test_what_cannot_be_told_of_one_entry_is_known_of_the_others(tmp_path: Path) -> None:
    """One that cannot be asked, and one whose check does not end; what is answered by then is an answer."""
    free = threading.Event()

    def hung(argv: Sequence[str], limit: float) -> Ran:
        if argv[0] == "/bin/bug":
            raise ZeroDivisionError
        if argv[0] == "/bin/hung":
            free.wait(20)
        return Ran(code=0)

    good, slow, bug = (Exec((f"/bin/{name}",), 0) for name in ("good", "hung", "bug"))
    before = threading.active_count()
    look = looker(tmp_path, run=hung, limit=1.0)
    seen = look.look_at_all([(UnitState("--x"),), (good, ReadFile("/etc/x")), (slow,), (bug,)])
    assert isinstance(seen[1], Seen)
    assert (seen[1].answers, set(seen[1].files)) == ({good: CheckAnswer(code=0)}, {"/etc/x"})
    told = [str(one) for one in seen if isinstance(one, CannotLook)]
    assert told[0].startswith("'--x' is not the name of a unit")
    assert told[1:] == ["a look at this host has not ended after 1 s", "Exec: ZeroDivisionError()"]
    assert [type(one) for one in look.look_at_all([(good,), (bug,)])] == [CannotLook, CannotLook]
    free.set()
    end = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("probe", [UnitState("--x"), PackageVersion("-x"), ReadFile("../x")])
def test_what_cannot_be_asked_is_no_answer(tmp_path: Path, probe: Probe) -> None:
    """It is not absent: nobody knows."""
    with pytest.raises(CannotLook):
        looker(tmp_path).look((ReadFile("/etc/x"), probe))


class Blind:
    """A host that cannot be looked at."""

    def seen(self, machine: str) -> HostSeen | None:
        """Know the boot."""
        return HostSeen(boot_id="b", node_name="n", agent_version="1")

    def foretell(self, machine: str, looks: Sequence[tuple[Probe, ...]]) -> None:
        """See nothing ahead."""

    def look(self, machine: str, probes: tuple[Probe, ...]) -> Seen:
        """See nothing."""
        raise CannotLook("systemd does not answer")

    async def run(self, effect: RunSteps) -> None:
        """Be told to act blindly."""
        pytest.fail("nothing is done on a host that nobody can see")


def cached(*names: str) -> Cache:
    """A machine with entries of one component."""
    cache = Cache((m.Machine, m.MachineComponent))
    entry = {"set": "s", "component": "c", "revision": "1", "state": "Running"}
    meta = {"name": "m1", "uid": "u", "resourceVersion": "1"}
    kind = {"apiVersion": "kubenode.dev/v1alpha1"}
    machine = {
        **kind, "kind": "Machine", "metadata": meta,
        "spec": {"host": {"address": "10.0.0.1"}, "components": dict.fromkeys(names, entry)},
    }  # fmt: skip
    component = {
        **kind, "kind": "MachineComponent", "metadata": {**meta, "name": "c"},
        "spec": {"driver": "package", "version": "1", "parameters": {"package": "tool"}},
    }  # fmt: skip
    cache.replace(m.Machine, [machine], 1)
    cache.replace(m.MachineComponent, [component], 1)
    return cache


NOW = m.Now(wall=datetime(2026, 1, 1, tzinfo=UTC), elapsed=0)


class Told(Blind):
    """A host that is told what it will be looked at for."""

    def __init__(self) -> None:
        self.told: list[Sequence[tuple[Probe, ...]]] = []
        self.looked: list[tuple[Probe, ...]] = []

    def foretell(self, machine: str, looks: Sequence[tuple[Probe, ...]]) -> None:
        """Be told."""
        self.told.append(looks)

    def look(self, machine: str, probes: tuple[Probe, ...]) -> Seen:
        """See nothing there."""
        assert self.told, "it is told of all before it is asked for any"
        self.looked.append(probes)
        return Seen()


def test_a_host_is_told_at_once_what_is_looked_at() -> None:
    """Of all entries, before the first."""
    host = Told()
    question = AgentController(cached("a", "b", "c"), host, Plugins.discover()).question("m1", NOW, {})
    assert question is not None
    (looks,) = host.told
    assert list(looks) == host.looked
    assert len(looks) == 3
    assert PackageVersion("tool") in looks[0]


def test_nothing_is_done_on_a_host_that_cannot_be_seen() -> None:
    """A package whose database cannot be read is not one that is absent: it would be installed, and a revision has failed."""
    controller = AgentController(cached("c"), Blind(), Plugins.discover())
    question = controller.question("m1", NOW, {})
    assert question is not None
    decision = controller.decide(question.snapshot, Policy())
    assert decision.effects == ()
    assert [note.code for note in decision.notes] == ["NotLooked"]
    report = decision.status.components["c"]
    assert (report.config.value, report.revision, report.reason) == ("Unknown", "", "")
