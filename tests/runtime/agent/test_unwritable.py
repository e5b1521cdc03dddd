"""A journal that cannot be written: it is read all the same, nothing is begun, and when it can be written all goes on."""

import asyncio
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from kubenode.core.host.journal import JournalState
from kubenode.core.step import Reboot, RestartUnit, Step
from kubenode.runtime.agent import journal as journals
from kubenode.runtime.agent import work
from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.journal import Begun, Journal, JournalFailed
from tests.runtime.agent.test_kept import Agent, Line, made, report, until
from tests.runtime.agent.test_work import CONF, UNIT, Host, write

READ_ONLY = "the journal cannot be written: Read-only file system; find out why, and remount it"
FULL = "the journal cannot be written: No space left on device; make room"
STEP = RestartUnit(unit="x.service")


class Sealed(Disk):
    """A disk that takes nothing while it is told so; what was open for writing takes nothing either.

    Attributes:
        error: with which it refuses; 0: it takes all.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, error: int = 0) -> None:
        self.error = error
        self._folder = str(folder)
        real = os.open

        def opened(path: Any, flags: int, *more: Any, dir_fd: int | None = None, **how: Any) -> int:
            if self.error and path == "journal" and flags & os.O_RDWR and self._is_ours(dir_fd):
                raise OSError(self.error, os.strerror(self.error))
            return real(path, flags, *more, dir_fd=dir_fd, **how)

        monkeypatch.setattr(journals.os, "open", opened)

    def _is_ours(self, folder: int | None) -> bool:
        return folder is not None and os.readlink(f"/proc/self/fd/{folder}").startswith(self._folder)

    def _refuses(self, folder: int) -> None:
        if self.error and self._is_ours(folder):
            raise OSError(self.error, os.strerror(self.error))

    def create(self, name: str, folder: int, *more: Any, **how: Any) -> int:
        """Make a file, or refuse."""
        self._refuses(folder)
        return super().create(name, folder, *more, **how)

    def write(self, file: int, data: bytes) -> None:
        """Write, or refuse after a half of it."""
        if self.error == errno.ENOSPC and self._is_ours(file):
            os.write(file, data[: len(data) // 2])
        self._refuses(file)
        super().write(file, data)

    def make_folder(self, name: str, folder: int, mode: int = 0o755) -> None:
        """Make a folder, or refuse; one that is there is there."""
        if not Path(f"/proc/self/fd/{folder}", name).exists():
            self._refuses(folder)
        super().make_folder(name, folder, mode)


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Sealed:
    """A disk whose folder `state` cannot be written when that is wanted."""
    return Sealed(monkeypatch, tmp_path / "state")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of an agent, with a journal in which one operation is over and one is not."""
    folder = tmp_path / "state"
    folder.mkdir()
    journal = Journal(folder)
    journal.began("over", "boot", (STEP,))
    journal.ended("over", JournalState.DONE, "boot")
    journal.began("open", "boot", (write(b"new"),))
    journal.close()
    return folder


def test_a_read_only_journal_is_read(state: Path, sealed: Sealed) -> None:
    """Nothing is begun, and that is said; when it can be written it is, after `mend` or without."""
    sealed.error = errno.EROFS
    journal = Journal(state, sealed)
    assert journal.trouble == READ_ONLY
    assert {name: one.state for name, one in journal.entries.items()} == {
        "over": JournalState.DONE,
        "open": JournalState.STARTED,
    }
    before = (state / "journal").read_bytes()
    for call in (lambda: journal.began("b", "boot", (STEP,)), journal.mend):
        with pytest.raises(JournalFailed, match="Read-only file system; find out why, and remount it"):
            call()
    assert ((state / "journal").read_bytes(), set(journal.entries)) == (before, {"over", "open"})
    sealed.error = 0
    journal.mend()
    assert journal.trouble == ""
    journal.began("b", "boot", (STEP,))
    journal.close()
    again = Journal(state)
    assert (set(again.entries), [one.op_id for one in again.open]) == ({"over", "open", "b"}, ["open", "b"])
    again.close()


def test_trouble_ends_with_a_write_that_succeeds(state: Path, sealed: Sealed) -> None:
    """Whoever wrote it."""
    sealed.error = errno.EROFS
    journal = Journal(state, sealed)
    sealed.error = 0
    journal.begins("open", 0, Begun(undo=()))
    assert journal.trouble == ""
    sealed.error = errno.ENOSPC
    with pytest.raises(JournalFailed):
        journal.began("b", "boot", (STEP,))
    assert journal.trouble == FULL
    journal.close()


def test_a_first_start_on_a_disk_that_takes_nothing(tmp_path: Path, sealed: Sealed) -> None:
    """There is neither a journal nor a folder for contents; they are made when they can be."""
    (tmp_path / "state").mkdir()
    sealed.error = errno.ENOSPC
    journal = Journal(tmp_path / "state", sealed)
    assert (journal.trouble, dict(journal.entries)) == (FULL, {})
    with pytest.raises(JournalFailed, match="make room"):
        journal.began("a", "boot", (write(b"new"),))
    sealed.error = 0
    journal.began("a", "boot", (write(b"new"),))
    journal.close()
    again = Journal(tmp_path / "state")
    assert again.operation("a").steps == (write(b"new"),)
    again.close()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS])
def test_a_torn_journal_that_cannot_be_made_anew_is_read(state: Path, sealed: Sealed, error: int) -> None:
    """Nothing is ever added to the line that was cut short; made anew it is whole."""
    with (state / "journal").open("ab") as file:
        file.write(b'00000000 {"is":"ended","op":"open')
    sealed.error = error
    journal = Journal(state, sealed)
    assert journal.trouble in (FULL, READ_ONLY)
    assert set(journal.entries) == {"over", "open"}
    with pytest.raises(JournalFailed):
        journal.ended("open", JournalState.DONE, "boot")
    assert (state / "journal").read_bytes().endswith(b'"op":"open')
    sealed.error = 0
    journal.ended("open", JournalState.FAILED, "boot", "why")
    journal.close()
    assert b"00000000" not in (state / "journal").read_bytes()
    again = Journal(state)
    assert (again.entries["open"].state, again.entries["open"].message) == (JournalState.FAILED, "why")
    again.close()


@pytest.mark.parametrize("harm", ["link", "folder"])
def test_a_journal_that_cannot_be_read_ends_the_agent(tmp_path: Path, harm: str) -> None:
    """Nobody knows what was begun; with what to do about it, and nothing is left open."""
    if harm == "link":
        (tmp_path / "journal").symlink_to("elsewhere")
    else:
        (tmp_path / "journal").mkdir()
    for _ in range(2):  # whoever was refused has let go of it
        with pytest.raises(JournalFailed, match="the journal cannot be read: ") as raised:
            Journal(tmp_path)
        assert raised.value.fix == "see to it that the agent can read its own folder"


class Resealed(Host):
    """A host whose agent may come up when its folder cannot be written."""

    def __init__(self, folder: Path, disk: Sealed) -> None:
        self.disk = disk
        super().__init__(folder)

    def made(self) -> dict[str, Any]:
        """Let it have this disk."""
        return {"disk": self.disk}

    def withheld(self) -> str:
        """Give why nothing is begun, as a decision is told."""
        seen = self.agent.seen("m1")
        assert seen is not None
        return seen.withheld


def cut_short(folder: Path, sealed: Sealed, boot: str) -> Resealed:
    """Give a host that is not started, with an operation that was cut short in that boot, and a disk that is read-only since."""
    host = Resealed(folder, sealed)
    host.agent.close(10)
    journal = Journal(folder / "state")
    journal.began("op", boot, (write(b"new"),))
    journal.close()
    sealed.error = errno.EROFS
    return host


def test_what_was_cut_short_waits_for_the_journal(
    tmp_path: Path, sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would fail on a disk that takes nothing, go a way back that fails too, and leave the host between both."""
    monkeypatch.setattr(work, "_AGAIN", 0.01)
    host = Resealed(tmp_path, sealed)
    assert host.withheld() == ""
    host.agent.close(10)
    journal = Journal(tmp_path / "state")
    journal.began("op", "boot-1", (write(b"new"),))
    journal.close()
    sealed.error = errno.EROFS
    waits: list[float] = []
    paused = asyncio.Event()

    def waiting(seconds: float) -> None:
        waits.append(seconds)
        pause(seconds)
        if len(waits) == 3:
            paused.set()

    host.start()
    pause = host.agent._work.pause
    monkeypatch.setattr(host.agent._work, "pause", waiting)
    asyncio.run(until(paused.is_set))
    assert host.withheld() == READ_ONLY
    assert host.said()[0] is JournalState.STARTED
    assert (host.now()[0], host.agent._work.is_under_way()) == ("old", False)
    assert host.agent.unit(UNIT) == "active", "the detector may ask meanwhile"
    sealed.error = 0
    host.rest()
    assert (host.said(), host.now()[0]) == ((JournalState.DONE, ""), "new")
    assert host.withheld() == ""
    host.agent.close(10)


def test_whoever_hears_that_the_journal_can_be_written_finds_what_was_cut_short_under_way(
    tmp_path: Path, sealed: Sealed, caplog: pytest.LogCaptureFixture
) -> None:
    """Though it is some seconds before it goes on: another operation would be begun beside it, or it be told as interrupted."""
    host = cut_short(tmp_path, sealed, "boot-0")
    host.start()
    asyncio.run(until(lambda: "event=not-written" in caplog.text))  # it waits for half a minute now
    assert host.withheld() == READ_ONLY
    found: list[tuple[bool, bool]] = []

    def look() -> None:
        seen = host.agent.seen("m1")
        assert seen is not None
        found.append((seen.journal["op"].is_running(seen.boot_id), host.agent._work.is_under_way()))

    sealed.error = 0
    host.hears = look
    asyncio.run(until(lambda: not host.withheld() and found))
    assert found == [(True, True)]
    assert host.agent.close(10)


def test_an_agent_that_ends_while_it_waits_for_its_journal_ends(tmp_path: Path, sealed: Sealed) -> None:
    """What was cut short is for the next one."""
    host = cut_short(tmp_path, sealed, "boot-1")
    host.start()
    assert host.agent.close(10)
    sealed.error = 0
    host.start()
    host.rest()
    assert (host.said()[0], host.now()[0]) == (JournalState.DONE, "new")
    host.agent.close(10)


def test_a_look_tries_whether_the_journal_can_be_written(tmp_path: Path, sealed: Sealed) -> None:
    """One try at a time, behind whoever looks; the end of the trouble is told, once."""
    sealed.error = errno.ENOSPC
    host = Resealed(tmp_path, sealed)
    for _ in range(5):
        assert host.withheld() == FULL
        host.rest()
    assert host.told == 0
    sealed.error = 0
    assert host.withheld() == FULL
    host.rest()
    assert host.told == 1
    assert host.withheld() == ""
    host.run(write(b"new"))
    assert (host.said()[0], host.now()[0]) == (JournalState.DONE, "new")
    host.agent.close(10)


@pytest.mark.parametrize("step", [Reboot(), RestartUnit(unit=UNIT)])
def test_what_a_reboot_ended_is_known_so_without_the_journal(
    tmp_path: Path, sealed: Sealed, step: Step
) -> None:
    """It is written when it can be, and not done again."""
    host = Resealed(tmp_path, sealed)
    host.agent.close(10)
    journal = Journal(tmp_path / "state")
    journal.began("op", "boot-0", (step,))
    journal.close()
    for error in (errno.EROFS, 0):
        sealed.error = error
        host.die()
        seen = host.agent.seen("m1")
        assert seen is not None
        assert seen.journal["op"].is_interrupted("boot-1")
    assert host.debian.calls("systemctl") == []
    host.agent.close(10)
    again = Journal(tmp_path / "state")
    assert again.open == ()
    again.close()
    assert host.debian.path(CONF).read_text() == "old"


def test_an_agent_begins_nothing_and_reports_until_it_can(tmp_path: Path, sealed: Sealed) -> None:
    """Why stands in its report; when there is room, the next look finds that out, and what waited is begun."""

    async def run() -> None:
        api, name = await made(tmp_path)
        sealed.error = errno.ENOSPC
        async with Agent(Line(api), tmp_path, sealed).runs() as agent:
            async with asyncio.timeout(30):
                while (await report(api, name)).get("reason") != "JournalUnwritable":
                    await asyncio.sleep(0.02)
            assert (await report(api, name))["message"] == FULL
            assert not agent.path.exists()
            sealed.error = 0
            agent.stir()
            await until(agent.path.exists)
            async with asyncio.timeout(30):
                while (await report(api, name)).get("version") != "1":
                    await asyncio.sleep(0.02)
            assert (await report(api, name)).get("reason", "") == ""

    asyncio.run(run())
