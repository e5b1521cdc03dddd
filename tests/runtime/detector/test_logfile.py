"""A log that is a file: rotated, cut, gone, left and taken up again."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.runtime.detector.lines import Lines
from kubenode.runtime.detector.logfile import LogFile
from tests.runtime.detector.logs import batch, run, texts


def opened(path: Path, position: str = "", number: int = -1, message: str = "") -> LogFile:
    """Begin to read."""
    pattern = re.compile(message) if message else None
    source = LogFile(path, lambda: 7_000_000, message=pattern, poll=0.005)
    source.begin(position, number)
    return source


def add(path: Path, text: str) -> None:
    """Write to the end of a file."""
    with path.open("a") as file:
        file.write(text)


def test_lines_are_read_as_they_come(tmp_path: Path) -> None:
    """From the end of the file on, once they are whole, with numbers of our own."""
    path = tmp_path / "log"
    add(path, "old\n")

    async def main() -> None:
        source = opened(path, number=41)
        assert texts(await batch(source, within=0.01)) == []
        add(path, "one\ntwo\nthr")
        found = await batch(source)
        assert texts(found) == ["one", "two"]
        assert [(one.sequence, one.microseconds, one.facility) for one in found.records] == [
            (42, 7000, 0),
            (43, 7000, 0),
        ]
        add(path, "ee\n\n")
        assert texts(await batch(source)) == ["three"]
        source.close()

    run(main)


def test_who_reads_on_reads_nothing_twice(tmp_path: Path) -> None:
    """Nor misses what was written meanwhile; half a line is read when it is whole."""
    path = tmp_path / "log"
    add(path, "")

    async def main() -> None:
        first = opened(path)
        await batch(first, within=0.01)
        add(path, "one\ntwo\nhal")
        found = await batch(first, most=1)
        assert texts(found) == ["one"]
        first.close()
        add(path, "f\n")
        second = opened(path, found.position, found.records[-1].sequence)
        again = await batch(second)
        assert (texts(again), again.lost) == (["two", "half"], 0)
        assert [one.sequence for one in again.records] == [1, 2]
        second.close()

    run(main)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_file_that_is_rotated(tmp_path: Path, restarted: bool) -> None:
    """Is read to its end under its other name, and then its successor from its beginning."""
    path = tmp_path / "k[e]rn.log"
    add(path, "")

    async def main() -> None:
        source = opened(path)
        add(path, "")
        await batch(source, within=0.01)
        add(path, "one\n")
        found = await batch(source)
        if restarted:
            source.close()
            source = opened(path, found.position, found.records[-1].sequence)
        add(path, "two\n")
        path.rename(tmp_path / "k[e]rn.log.1")
        told: list[str] = []
        if restarted:
            add(path, "three\n")
            while len(told) < 2:
                told += texts(await batch(source))
        else:
            told += texts(await batch(source, within=0.05))
            add(path, "three\n")
            told += texts(await batch(source))
        assert told == ["two", "three"]
        source.close()

    run(main)


def test_a_file_that_is_cut(tmp_path: Path) -> None:
    """Is read from its beginning; that something may have been missed is said."""
    path = tmp_path / "log"
    add(path, "a long line that was there before\n")

    async def main() -> None:
        source = opened(path)
        await batch(source, within=0.01)
        add(path, "one\nhalf")
        assert texts(await batch(source)) == ["one"]
        os.truncate(path, 0)
        lost = (await batch(source)).lost
        add(path, "two\n")
        assert texts(await batch(source)) == ["two"]
        assert lost == 1
        source.close()

    run(main)


def test_a_file_that_was_taken_away_meanwhile(tmp_path: Path) -> None:
    """The one that is there now is read from its beginning, and it is said that lines were missed."""
    path = tmp_path / "log"
    add(path, "one\n")

    async def main() -> None:
        source = opened(path, position="1:4", number=9)
        found = await batch(source)
        assert (texts(found), found.lost, found.records[0].sequence) == (["one"], 1, 10)
        source.close()

    run(main)


@pytest.mark.parametrize("position", ["x", "1", ":", "-1:4", "\u0661:\u0661", "0:0"])
def test_a_position_that_is_none(tmp_path: Path, position: str) -> None:
    """Is as no position."""
    path = tmp_path / "log"
    add(path, "one\n")

    async def main() -> None:
        source = opened(path, position)
        found = await batch(source, within=0.01)
        assert (texts(found), found.lost) == ([], 0)
        source.close()

    run(main)


def test_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    """Is told, and read once it is there."""
    path = tmp_path / "log"

    async def main() -> None:
        source = opened(path)
        assert (await batch(source, within=0)).blind == f"{path} cannot be read: No such file or directory"
        os.mkfifo(path)
        assert (await batch(source, within=0)).blind == f"{path} cannot be read: it is no plain file"
        path.unlink()
        add(path, "old\n")
        assert (await batch(source, within=0)).blind == ""
        add(path, "new\n")
        assert texts(await batch(source)) == ["new"]
        source.close()

    run(main)


def test_the_message_of_a_line(tmp_path: Path) -> None:
    """Is its last group; a line without one is skipped, and counted as read."""
    path = tmp_path / "log"
    add(path, "")

    async def main() -> None:
        source = opened(path, message=r"(kernel): (?:\[.*\] )?(.*)|(nothing)")
        await batch(source, within=0.01)
        add(path, "Nov 30 kernel: [1.2] nothing\nsshd: x\nNov 30 kernel: [1.3] oops\n")
        found = await batch(source)
        assert texts(found) == ["", ""]
        source.close()
        again = opened(path, found.position, message=r"kernel: (?:\[.*\] )?(.*)")
        assert texts(await batch(again, within=0.01)) == []
        again.close()

    run(main)


@given(st.binary(max_size=400), st.lists(st.integers(1, 50), max_size=20))
def test_lines_are_the_same_however_they_come(data: bytes, sizes: list[int]) -> None:
    """Bytes are neither lost nor counted twice, and no line that is kept is longer than is allowed."""
    lines = Lines(longest=20)
    at = 0
    for size in (*sizes, len(data) + 1):
        lines.feed(data[at : at + size])
        at += size
    taken = lines.take(10_000)
    expected = [one if len(one) <= 20 else b"" for one in data.split(b"\n")[:-1]]
    assert [one for one, _ in taken] == expected
    assert sum(length for _, length in taken) == len(data) - len(data.split(b"\n")[-1])
    assert lines.lost() == sum(len(one) > 20 for one in data.split(b"\n")[:-1])
    assert lines.lost() == 0


def test_a_line_without_an_end_is_not_kept() -> None:
    """A gigabyte takes no more memory than a line."""
    lines = Lines(longest=1000)
    for _ in range(1000):
        lines.feed(b"x" * 1000)
    assert len(lines._part) <= 1000
    lines.feed(b"\nnext\n")
    assert lines.take(9) == [(b"", 1_000_001), (b"next", 5)]
