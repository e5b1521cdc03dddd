"""The file: whole lines, nothing overwritten, and what is wrong with one is told with its line and the fix."""

import errno
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.policy import BUILT_IN, HUNG_TASK, Policy
from kubenode.runtime.record import Recorder, Recording, file
from tests.runtime.record.test_record import SNAPSHOTS, record

Copy = Callable[[], Path]


def problem(path: Path) -> Problem:
    """Give what is wrong with a recording."""
    with pytest.raises(InvalidObjectError) as caught:
        Recording.load(path)
    (found,) = caught.value.problems
    assert found.file == str(path)
    return found


def spoil(path: Path, number: int, change: Callable[[str], str]) -> None:
    """Change one line of a file, from 1."""
    lines = path.read_text().splitlines()
    lines[number - 1] = change(lines[number - 1])
    path.write_text("\n".join(lines) + "\n")


def test_the_first_line_says_what_it_is(tmp_path: Path) -> None:
    """Format, its version, who wrote it, and the policy as objects of the wire."""
    with Recorder(tmp_path / "x.knrec", Policy(risk=(BUILT_IN,))):
        pass
    (line,) = (tmp_path / "x.knrec").read_text().splitlines()
    head = json.loads(line)
    assert list(head) == ["format", "version", "kubenode", "policy"]
    assert (head["format"], head["version"]) == ("knrec", 1)
    assert head["policy"]["risk"][0]["kind"] == "RiskPolicy"
    read = Recording.load(tmp_path / "x.knrec")
    assert (read.policy, read.records, read.kubenode) == (Policy(risk=(BUILT_IN,)), (), head["kubenode"])


def test_a_policy_stands_there_once_and_is_named_by_number(tmp_path: Path) -> None:
    """Though engines take turns, each with its own; and what a newer version wrote in it is kept."""
    novel = attrs.evolve(HUNG_TASK, metadata=attrs.evolve(HUNG_TASK.metadata, unknown=("spec.novel",)))
    policies = [Policy(), Policy(risk=(BUILT_IN,)), Policy(remediers=(novel,))]
    turns = [0, 1, 0, 2, 1, 0]
    with Recorder(tmp_path / "x.knrec") as recorder:
        for turn in turns:
            recorder(record(SNAPSHOTS["machine"], policy=attrs.evolve(policies[turn])))
    lines = [json.loads(line) for line in (tmp_path / "x.knrec").read_text().splitlines()]
    assert [one["under"] for one in lines if "under" in one] == turns
    assert sum("policy" in one for one in lines) == len(policies)
    assert [one.policy for one in Recording.load(tmp_path / "x.knrec").records] == [
        policies[turn] for turn in turns
    ]


def test_a_recording_that_is_there_is_never_overwritten(hung: Copy) -> None:
    """It may be the night that somebody wants to look at."""
    path = hung()
    before = path.read_bytes()
    with pytest.raises(InvalidObjectError, match=r"is there already(.|\n)*another name"), Recorder(path):
        pass
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Before anything is played."""
    with (
        pytest.raises(InvalidObjectError, match="cannot be written: No such file"),
        Recorder(tmp_path / "no" / "x"),
    ):
        pass


def test_what_was_recorded_is_in_the_file_at_once(tmp_path: Path) -> None:
    """A process that dies loses no line that was written."""
    with Recorder(tmp_path / "x.knrec") as recorder:
        for count in range(1, 4):
            recorder(record(SNAPSHOTS["agent"]))
            assert len(Recording.load(tmp_path / "x.knrec").records) == count


def test_a_recorder_outside_its_block_says_how_it_is_used(tmp_path: Path) -> None:
    """Neither before it is entered nor after it was left."""
    recorder = Recorder(tmp_path / "x.knrec")
    with pytest.raises(ValueError, match="with Recorder"):
        recorder(record(SNAPSHOTS["machine"]))
    with recorder:
        pass
    with pytest.raises(ValueError, match="with Recorder"):
        recorder(record(SNAPSHOTS["machine"]))


def test_a_line_that_cannot_be_written_whole_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full in the middle of a line: the file stays whole, and goes on when there is room."""
    path, room, write = tmp_path / "x.knrec", [100], os.write

    def full(number: int, data: memoryview) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(number, data[: room[0]])
        room[0] -= written
        return written

    with Recorder(path) as recorder:
        recorder(record(SNAPSHOTS["machine"]))
        before = path.read_bytes()
        monkeypatch.setattr(file.os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            recorder(record(SNAPSHOTS["agent"]))
        monkeypatch.undo()
        assert path.read_bytes() == before
        recorder(record(SNAPSHOTS["risk"]))
    assert [type(one.snapshot) for one in Recording.load(path).records] == [
        type(SNAPSHOTS[kind]) for kind in ("machine", "risk")
    ]


def test_a_last_line_that_is_cut_off_is_left_out_and_said(hung: Copy) -> None:
    """Wherever it is cut: all before it is read."""
    path = hung()
    whole = path.read_bytes()
    records = Recording.load(path).records
    count = whole.count(b"\n")
    begin = whole[:-1].rindex(b"\n") + 1
    for end in (begin + 1, (begin + len(whole)) // 2, len(whole) - 2):
        path.write_bytes(whole[:end])
        read = Recording.load(path)
        assert read.cut == count
        assert read.records == records[:-1]
    path.write_bytes(whole[:begin] + b"\0" * 512)  # as a file system leaves it after a loss of power
    assert Recording.load(path).cut == count


def test_a_compressed_recording_is_read_too(hung: Copy) -> None:
    """Also one that was cut off, and one that was compressed in two parts."""
    path = hung()
    whole, records = path.read_bytes(), Recording.load(path).records
    begin = whole.index(b"\n") + 1
    path.write_bytes(gzip.compress(whole[:begin]) + gzip.compress(whole[begin:]))
    assert Recording.load(path).records == records
    packed = gzip.compress(whole)
    path.write_bytes(packed[: len(packed) // 2])
    read = Recording.load(path)
    assert read.cut == len(read.records) + 2 + (whole.count(b'{"policy"'))
    assert read.records == records[: len(read.records)]
    path.write_bytes(packed[:100] + b"\xff" * 50 + packed[150:])
    assert "damaged" in problem(path).what


def test_a_corrupt_line_is_named_with_what_can_be_done(hung: Copy) -> None:
    """The lines before it are sound."""
    path = hung()
    spoil(path, 17, lambda line: line.replace(":", ";", 1))
    found = problem(path)
    assert (found.line, found.where, found.what) == (17, "line 17", "is no JSON")
    assert found.fix == "take another copy; the 16 lines before it are sound"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"kind":"', '"kind":"no-such-'), ('"snapshot":{', '"snapshot":{"novel":1,'), ('"elapsed":', '"elapsed":"7",'),
        ('"under":2', '"under":77'), ('"under":2', '"under":true'), ('"acts":', '"atcs":'),
    ],
)  # fmt: skip
def test_a_line_that_says_something_else_is_named(old: str, new: str, hung: Copy) -> None:
    """A word that is not known, a type that is wrong, a part that is missing: nothing is guessed."""
    path = hung()
    lines = path.read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if number > 1 and old in line)
    spoil(path, number, lambda line: line.replace(old, new, 1))
    found = problem(path)
    assert found.line == number
    assert "is not as kubenode" in found.what or found.what == "is no JSON"
    assert found.fix


def test_a_line_of_another_version_names_that_version(hung: Copy) -> None:
    """Whoever recorded it can read it."""
    path = hung()
    spoil(path, 1, lambda line: line.replace('"kubenode":"', '"kubenode":"9.'))
    spoil(path, 5, lambda line: line.replace('"snapshot":{', '"snapshot":{"novel":1,'))
    found = problem(path)
    assert found.line == 5
    assert found.fix.startswith("read it with kubenode 9.")


def test_a_newer_format_says_which_version_reads_it(hung: Copy) -> None:
    """And which is known here."""
    path = hung()
    spoil(
        path,
        1,
        lambda line: line.replace('"version":1', '"version":2').replace('"kubenode":"', '"kubenode":"9.'),
    )
    found = problem(path)
    assert "in version 2 of the format; known is 1" in found.what
    assert found.fix.startswith("read it with kubenode 9.")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"), (b"\x7fELF\xff\xfe\n", "is no recording of kubenode"), (b"kind: Machine\n", "is no recording"),
        (b'{"format":"knrec","ver', "is cut off before anything was recorded"), (b"[]\n", "is no recording"),
        (b'{"format":"knrec","version":1,"kubenode":"x","policy":{}}\n', "is not as kubenode"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_told(content: bytes, what: str, tmp_path: Path) -> None:
    """An empty file, another program's, another format of ours."""
    path = tmp_path / "x.knrec"
    path.write_bytes(content)
    assert what in problem(path).what


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """As what it is, with its name."""
    assert problem(tmp_path / "no.knrec").what == "cannot be read: No such file or directory"
