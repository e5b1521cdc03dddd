"""The agent from its start to its end, without a server: what it makes good first, what it refuses, how it ends."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from typer.testing import CliRunner

from kubenode.core.errors import InvalidObjectError
from kubenode.core.host.journal import JournalState
from kubenode.core.step import RestartUnit, WriteFile
from kubenode.runtime.agent import serve as serving
from kubenode.runtime.agent.enrol import Enrolment
from kubenode.runtime.agent.host import RealHost, boot_id
from kubenode.runtime.agent.journal import Journal, JournalFailed
from kubenode.runtime.agent.serve import Serving, serve
from kubenode.runtime.cli.app import app
from kubenode.runtime.detector.detector import Detector
from kubenode.runtime.detector.setting import Detecting
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.testing.authority import Authority
from tests.runtime.agent.debian import Debian

PLUGINS = Plugins.given()


@pytest.fixture
def wanted(tmp_path: Path) -> Serving:
    """An agent whose server is away."""
    debian = Debian(tmp_path)
    debian.path("/etc").mkdir()
    debian.unit("app.service", reads="/etc/x")
    authority, _ = Authority.create().identity.write(tmp_path, "ca")
    token = tmp_path / "token"
    token.write_text("abcdef.0123456789abcdef")
    state = tmp_path / "state"
    enrolment = Enrolment(
        machine="m1", server="https://127.0.0.1:1", authority=authority, state=state, token_file=token
    )  # fmt: skip
    return Serving(
        machine="m1", node="n1", state=state, enrolment=enrolment, version="1", root=debian.root, run=debian
    )  # fmt: skip


def lives(wanted: Serving, until: Callable[[], Any], ends: signal.Signals = signal.SIGTERM) -> None:
    """Run it until something is so, and end it by a signal to this process."""

    async def main() -> None:
        task = asyncio.ensure_future(serve(wanted, PLUGINS))
        end = time.monotonic() + 30
        while not until():
            assert time.monotonic() < end
            assert not task.done(), task.exception()
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), ends)
        await asyncio.wait_for(task, 30)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert signal.getsignal(ends) is not signal.SIG_IGN


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_it_waits_for_the_server(wanted: Serving, ends: signal.Signals) -> None:
    """Its key is on the disk by then or not; nothing else is left open."""
    lives(wanted, (wanted.state / "journal").exists, ends)
    Journal(wanted.state).close()  # nobody has it


def test_what_was_cut_short_is_made_good_without_the_server(wanted: Serving, tmp_path: Path) -> None:
    """Before it has a certificate, even."""
    wanted.state.mkdir(mode=0o700)
    journal = Journal(wanted.state)
    step = WriteFile(path="/etc/x", content=b"new", then=RestartUnit(unit="app.service"))
    journal.began("op", boot_id(), (step,))
    journal.close()
    debian = Debian(tmp_path)

    def over() -> bool:
        return b'"done"' in (wanted.state / "journal").read_bytes()

    lives(wanted, over)
    again = Journal(wanted.state)
    assert again.entries["op"].state is JournalState.DONE
    again.close()
    assert debian.state["units"]["app.service"]["read"] == "new"


def test_it_detects_while_it_waits_for_the_server(wanted: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that cannot reach anybody is the one whose faults matter; what is found stands on the disk at its end.

    It is told as what it is: no change of what is looked at, so a disk that hangs keeps nobody from telling it.
    """
    told: list[str] = []
    for name in ("heard", "detected"):
        monkeypatch.setattr(RealHost, name, lambda _, name=name: told.append(name))
    log = wanted.root / "kern.log"
    log.write_text("")
    state = wanted.state / "detector.json"

    def found() -> bool:
        if state.exists() and not log.stat().st_size:
            log.write_text("INFO: task dd:4121 blocked for more than 120 seconds.\n")
        return state.exists() and "TaskHung" in state.read_text()

    lives(attrs.evolve(wanted, detect=Detecting(kernel_log="/kern.log")), found)
    assert set(told) == {"detected"}


@pytest.mark.parametrize("how", ["raises", "ends"])
def test_a_detector_that_ends_is_told_of_and_started_again(
    wanted: Serving, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After it has found something: it goes on where it was, so nothing is found anew or missed; the agent lives meanwhile."""
    monkeypatch.setattr(serving, "_AFTER_BUG", 0.05)
    log, state, runs = wanted.root / "kern.log", wanted.state / "detector.json", [0]
    log.write_text("")
    run = Detector.run

    async def bad(self: Detector) -> None:
        runs[0] += 1
        if runs[0] > 1:
            await run(self)
        real = asyncio.ensure_future(run(self))
        while not _found(log, state, "TaskHung"):
            await asyncio.sleep(0.01)
        real.cancel()
        await asyncio.gather(real, return_exceptions=True)
        if how == "raises":
            raise ZeroDivisionError

    monkeypatch.setattr(Detector, "run", bad)

    def again() -> bool:
        if runs[0] == 2 and "EXT4-fs" not in log.read_text():
            log.write_text(log.read_text() + "EXT4-fs (sda1): Remounting filesystem read-only\n")
        return runs[0] == 2 and "FilesystemIsReadOnly" in state.read_text()

    lives(attrs.evolve(wanted, detect=Detecting(kernel_log="/kern.log")), again)
    assert runs == [2]
    assert caplog.text.count("event=detector-ended") == 1
    assert caplog.text.count("event=found type=KernelDeadlock status=True") == 1


def _found(log: Path, state: Path, reason: str) -> bool:
    """Let the kernel tell of a task that hangs, once its log is followed, and tell whether that is kept."""
    if state.exists() and not log.stat().st_size:
        log.write_text("INFO: task dd:4121 blocked for more than 120 seconds.\n")
    return state.exists() and reason in state.read_text()


def test_rules_that_are_wrong_end_it_before_it_holds_anything(wanted: Serving, tmp_path: Path) -> None:
    """Neither the journal nor a log is left open; with the file that is wrong."""
    rules = tmp_path / "rules.json"
    rules.write_text('{"plugin": "custom"}')
    with pytest.raises(InvalidObjectError, match=r"rules\.json: plugin: 'custom' is no log"):
        asyncio.run(serve(attrs.evolve(wanted, detect=Detecting(rule_files=(rules,))), PLUGINS))
    Journal(wanted.state).close()


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_that_others_may_enter_is_refused(wanted: Serving, mode: int) -> None:
    """It will hold a key; nothing is written there."""
    wanted.state.mkdir()
    wanted.state.chmod(mode)
    with pytest.raises(InvalidObjectError, match="others than this user may get into it"):
        asyncio.run(serve(wanted, PLUGINS))
    assert list(wanted.state.iterdir()) == []


def test_a_second_agent_is_told(wanted: Serving) -> None:
    """The first goes on."""
    wanted.state.mkdir(mode=0o700)
    first = Journal(wanted.state)
    with pytest.raises(JournalFailed, match="another agent runs here"):
        asyncio.run(serve(wanted, PLUGINS))
    first.close()


def test_an_agent_without_a_way_to_a_server_is_told(wanted: Serving) -> None:
    """At once."""
    with pytest.raises(InvalidObjectError, match="neither a server nor a kubeconfig"):
        asyncio.run(serve(attrs.evolve(wanted, enrolment=None), PLUGINS))


MISUSED: dict[str, tuple[list[str], int, str]] = {
    "nothing": ([], 2, "name a server and its --ca, or --kubeconfig"),
    "half": (["--server", "https://10.0.0.1"], 2, "name a server and its --ca"),
    "both": (["--kubeconfig", "x", "--ca", "y"], 2, "in place of --server"),
    "no file": (["--kubeconfig", "/none"], 1, "/none: cannot be read"),
    "too often": (["--kubeconfig", "x", "--inspect-seconds", "1"], 2, "greater than or equal to 10"),
    "no rules": (["--kubeconfig", "x", "--rules", "/none"], 1, "/none: it cannot be read"),
    "no token": (["--server", "https://10.0.0.1", "--ca", "/none"], 3, "no token to ask for one"),
    "no https": (
        ["--server", "http://10.0.0.1", "--ca", "/none", "--token-file", "TOKEN"],
        1,
        "no URL such as",
    ),
}


@pytest.mark.parametrize("what", MISUSED)
def test_what_is_misused_is_told(tmp_path: Path, what: str) -> None:
    """With the exit status of the manual, and what to do."""
    words, code, text = MISUSED[what]
    token = tmp_path / "token"
    token.write_text("abcdef.0123456789abcdef")
    given = [word.replace("TOKEN", str(token)) for word in words]
    ran = CliRunner().invoke(app, ["agent", "m1", "--state-dir", str(tmp_path / "state"), *given])
    assert (ran.exit_code, text in ran.output) == (code, True), ran.output
