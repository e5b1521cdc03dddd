"""The journal: what stands in it survives, what was cut short does not count, and it stays small."""

import errno
import json
import os
import stat
import zlib
from pathlib import Path

import pytest

from kubenode.core.host.journal import JournalState
from kubenode.core.step import (
    EnableUnit,
    InstallPackage,
    Reboot,
    ReloadUnit,
    RemoveFile,
    RemovePackage,
    RestartUnit,
    Step,
    StopUnit,
    WriteFile,
)
from kubenode.runtime.agent.acts import PutBack, dump, load
from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.journal import GROWN, MOST, Begun, Journal, JournalFailed
from kubenode.runtime.agent.tree import Form, Was

WRITE = WriteFile(path="/etc/x", content=b"\x00secret new", then=RestartUnit(unit="x.service"), mode=0o640)
STEPS: tuple[Step, ...] = (
    WRITE, InstallPackage(package="p", version="1", then=None), RemovePackage(package="p"), StopUnit(unit="x.service"),
    RestartUnit(unit="x.service"), Reboot(),
    ReloadUnit(unit="x.service"), EnableUnit(unit="x.service", enabled=True), EnableUnit(unit="x.service", enabled=False),
    WriteFile(path="/etc/x", content=b"\x00secret new", then=ReloadUnit(unit="x.service"), owner="kube", group="adm"),
    RemoveFile(path="/etc/x", content=b"secret old", then=RestartUnit(unit="x.service")),
    RemoveFile(path="/etc/x", content=b"secret old", then=None), InstallPackage(package="p", version="2", then=None, hold=False),
)  # fmt: skip
BACK = PutBack(path="/etc/x", was=Was(form=Form.FILE, content=b"secret old", mode=0o600, user=7, group=8))
LINK = PutBack(path="/etc/y", was=Was(form=Form.LINK, target="z"))


def whole(folder: Path) -> Journal:
    """A journal with an operation that is under way."""
    journal = Journal(folder)
    journal.began("a", "boot", STEPS)
    journal.begins("a", 0, Begun(undo=(BACK, RestartUnit(unit="x.service")), marks={"m": "1"}))
    journal.begins("a", 1, Begun(undo=(LINK, RemovePackage(package="p"))))
    journal.turns("a", "boot-2", back=True, why="it failed", again=True)
    return journal


@pytest.mark.parametrize("step", [*STEPS, BACK, LINK, InstallPackage(package="p", version="2", then=RestartUnit(unit="u.service"))], ids=lambda one: type(one).__name__)  # fmt: skip
def test_an_act_is_read_as_it_was_written(step: Step) -> None:
    """Of every kind."""
    kept = {}
    for content in (b"\x00secret new", b"secret old"):
        from kubenode.runtime.agent.acts import digest_of

        kept[digest_of(content)] = content
    assert load(dump(step), kept.__getitem__) == step


def test_what_stands_in_it_survives(tmp_path: Path) -> None:
    """Steps, ways back, marks, and how far it came: opened anew it is the same."""
    journal = whole(tmp_path)
    before = journal.open
    assert before[0].steps == STEPS
    assert before[0].begun[0] == Begun(undo=(BACK, RestartUnit(unit="x.service")), marks={"m": "1"})
    assert (before[0].turns, before[0].back, before[0].boot_id) == (1, True, "boot-2")
    journal.close()
    again = Journal(tmp_path)
    assert again.open == before
    again.ended("a", JournalState.FAILED, "boot-2", "why")
    again.close()
    last = Journal(tmp_path)
    assert (last.open, last.entries["a"].message, last.entries["a"].is_failed) == ((), "why", True)


def test_contents_are_in_no_line_and_not_kept_longer_than_needed(tmp_path: Path) -> None:
    """They may be secrets; nobody else may read them meanwhile."""
    journal = whole(tmp_path)
    kept = tmp_path / "kept"
    assert b"secret" not in (tmp_path / "journal").read_bytes()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in kept.iterdir()} == {0o600}
    assert sorted(one.read_bytes() for one in kept.iterdir()) == [b"\x00secret new", b"secret old"]
    journal.ended("a", JournalState.DONE, "boot")
    assert list(kept.iterdir()) == []
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o600


def test_a_torn_tail_does_not_count(tmp_path: Path) -> None:
    """At whichever byte it was cut: what was whole before it stands, and more can be added."""
    journal = whole(tmp_path)
    journal.ended("a", JournalState.DONE, "boot")
    journal.began("b", "boot", (Reboot(),))
    journal.close()
    data = (tmp_path / "journal").read_bytes()
    last = data.rindex(b"\n", 0, -1) + 1
    for length in range(last, len(data)):
        (tmp_path / "journal").write_bytes(data[:length])
        cut = Journal(tmp_path)
        assert (cut.open, set(cut.entries)) == ((), {"a"}), length
        cut.began("c", "boot", (Reboot(),))
        cut.close()
        again = Journal(tmp_path)
        assert set(again.entries) == {"a", "c"}
        again.close()


def test_a_flipped_bit_takes_one_record_and_no_other(tmp_path: Path) -> None:
    """What comes after it stands: an op-id that was forgotten would be run again."""
    journal = Journal(tmp_path)
    for name in "abc":
        journal.began(name, "boot", (Reboot(),))
        journal.ended(name, JournalState.DONE, "boot")
    journal.close()
    lines = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"done", b"dome")
    (tmp_path / "journal").write_bytes(b"".join(lines))
    again = Journal(tmp_path)
    assert again.open == ()  # whoever took it up might bring back what other operations have changed since
    assert again.lost == {"a": "a line of it that may be of this operation cannot be read"}
    assert {name for name, entry in again.entries.items() if entry.state is JournalState.DONE} == {"b", "c"}
    again.ended("a", JournalState.FAILED, "boot", "why")
    again.close()
    assert Journal(tmp_path).lost == {}


STOPS: tuple[Step, ...] = (StopUnit(unit="x.service"), StopUnit(unit="y.service"))


@pytest.mark.parametrize("line", range(4))
def test_nobody_goes_on_with_an_operation_of_which_a_line_is_lost(tmp_path: Path, line: int) -> None:
    """Without its beginning it is known all the same; without a step its way back would lack that, and its steps be mixed up."""
    journal = Journal(tmp_path)
    journal.began("a", "boot", STOPS)
    for index, unit in enumerate(("x.service", "y.service")):
        journal.begins("a", index, Begun(undo=(RestartUnit(unit=unit),)))
    journal.turns("a", "boot", back=True, why="it failed")
    journal.close()
    lines = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    lines[line] = b"#" + lines[line]
    (tmp_path / "journal").write_bytes(b"".join(lines))
    again = Journal(tmp_path)
    if line == 3:  # cut short at the end: it was never announced
        assert [(one.op_id, len(one.begun), one.back) for one in again.open] == [("a", 2, False)]
        return
    assert (again.open, set(again.lost)) == ((), {"a"})
    assert again.entries["a"].is_failed
    again.began("b", "boot", STOPS)
    assert [one.op_id for one in again.open] == ["b"]


def test_what_begins_after_a_damaged_line_is_whole(tmp_path: Path) -> None:
    """Only what was open there is in doubt."""
    journal = Journal(tmp_path)
    journal.began("a", "boot", STOPS)
    journal.ended("a", JournalState.DONE, "boot")
    journal.began("b", "boot", STOPS)
    journal.begins("b", 0, Begun(undo=(RestartUnit(unit="x.service"),)))
    before = journal.open
    journal.close()
    lines = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal").write_bytes(b"".join([lines[0], b"#\n", *lines[1:]]))
    again = Journal(tmp_path)
    assert (again.open, again.lost, again.entries["a"].state) == (before, {}, JournalState.DONE)


class Unsynced(Disk):
    """A disk that takes what is added to the journal and cannot say that it stands there."""

    def __init__(self) -> None:
        self.fails = False

    def sync(self, descriptor: int) -> None:
        """Sync, but for the journal itself when told so."""
        if self.fails and os.readlink(f"/proc/self/fd/{descriptor}").endswith("/journal"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(descriptor)


def test_what_was_told_as_not_begun_is_not_found_as_begun(tmp_path: Path) -> None:
    """The next agent reads what the kernel holds of the file, also what was never synced; nobody waits for it any more."""
    disk = Unsynced()
    journal = Journal(tmp_path, disk)
    journal.began("a", "boot", STOPS)
    disk.fails = True
    with pytest.raises(JournalFailed, match="Input/output error"):
        journal.began("b", "boot", (Reboot(),))
    journal.close()
    again = Journal(tmp_path)
    assert [one.op_id for one in again.open] == ["a"]


def test_an_operation_whose_content_is_lost_has_failed(tmp_path: Path) -> None:
    """It is known, so it is not run again, and nobody goes on with half of it."""
    for damage in (Path.unlink, lambda path: path.write_bytes(b"other")):
        folder = tmp_path / str(damage)[-20:].strip("<>")
        folder.mkdir(parents=True)
        whole(folder).close()
        for one in (folder / "kept").iterdir():
            damage(one)
        again = Journal(folder)
        assert again.open == ()
        assert again.entries["a"].is_failed
        assert "damaged" in again.entries["a"].message


def test_it_stays_small(tmp_path: Path) -> None:
    """Ten thousand operations: the newest are known, and the file does not grow without end."""

    class Fast(Disk):
        def sync(self, descriptor: int) -> None:
            return

    journal = Journal(tmp_path, Fast())
    largest = 0
    for number in range(MOST * 2):
        journal.began(f"op-{number}", "boot", (RestartUnit(unit="x.service"),))
        journal.ended(f"op-{number}", JournalState.DONE, "boot")
        largest = max(largest, (tmp_path / "journal").stat().st_size)
    names = [f"op-{number}" for number in range(MOST, MOST * 2)]
    assert list(journal.entries) == names
    assert largest < 4 * GROWN
    journal.close()
    assert list(Journal(tmp_path).entries) == names


def test_two_agents_do_not_share_one(tmp_path: Path) -> None:
    """The second is told; when the first has gone it may."""
    first = Journal(tmp_path)
    with pytest.raises(JournalFailed, match="another agent runs here"):
        Journal(tmp_path)
    first.close()
    Journal(tmp_path).close()


class Full(Disk):
    """A disk that is full when told so; a line may be there in part."""

    def __init__(self) -> None:
        self.full = False

    def write(self, file: int, data: bytes) -> None:
        """Write, or half of it."""
        if self.full:
            os.write(file, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(file, data)


def test_a_full_disk_begins_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    """What could not be written is not there; when there is room again, all that was known is."""
    disk = Full()
    journal = Journal(tmp_path, disk)
    journal.began("a", "boot", (Reboot(),))
    disk.full = True
    for _ in range(3):
        with pytest.raises(JournalFailed, match="cannot be written: No space left on device"):
            journal.began("b", "boot", (Reboot(),))
        with pytest.raises(JournalFailed):
            journal.ended("a", JournalState.DONE, "boot")
    assert set(journal.entries) == {"a"}
    disk.full = False
    journal.began("c", "boot", (Reboot(),))
    journal.close()
    again = Journal(tmp_path)
    assert [one.op_id for one in again.open] == ["a", "c"]
    again.close()


def test_a_record_of_a_later_version_is_passed_over(tmp_path: Path) -> None:
    """What it says is for later versions."""
    journal = Journal(tmp_path)
    journal._write({"is": "noted", "op": "a", "more": 1})
    journal.ended("b", JournalState.DONE, "x")
    journal.close()
    again = Journal(tmp_path)
    assert set(again.entries) == {"b"}
    again.close()


def test_an_operation_of_a_later_version_is_left_to_that(tmp_path: Path) -> None:
    """Nobody else knows its way back: this version does not run meanwhile, says so, and loses nothing of it."""
    text = json.dumps({"is": "began", "op": "b", "boot": "x", "steps": [{"act": "Repaint", "colour": "red"}]})
    line = f"{zlib.crc32(text.encode()):08x} {text}\n"
    (tmp_path / "journal").write_text(line)
    for _ in range(2):  # whoever was refused has let go of it
        with pytest.raises(
            JournalFailed, match="operation b was begun by a newer kubenode, and its act Repaint"
        ):
            Journal(tmp_path)
    assert (tmp_path / "journal").read_text() == line
