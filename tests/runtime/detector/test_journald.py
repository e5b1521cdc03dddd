"""A log of journald: who is believed, where it goes on, and a program that ends. A script stands for journalctl."""

import asyncio
import fcntl
import json
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.runtime.detector.journald import JOURNALCTL, Journald, record
from tests.runtime.detector.logs import HUNG, batch, run, texts

SCRIPT = """
import json, sys, time
lines = open(sys.argv[1]).read().splitlines()
after = next((a.partition("=")[2] for a in sys.argv if a.startswith("--after-cursor=")), "")
words = [a for a in sys.argv[2:] if a == "+" or a[:2] != "--"]
matches = [dict(w.split("=", 1) for w in one.split()) for one in " ".join(words).split(" + ")]
seen = not after
for line in lines:
    held = json.loads(line) if line.startswith("{") else {}
    if seen and (not held or any(all(held.get(name) == one[name] for name in one) for one in matches)):
        print(line, flush=True)
    seen = seen or held.get("__CURSOR") == after
if "--follow" in sys.argv:
    time.sleep(600)
"""


def entry(number: int, message: Any, **more: Any) -> dict[str, Any]:
    """An entry of the kernel's."""
    return {
        "__CURSOR": f"c{number}", "__MONOTONIC_TIMESTAMP": str(number * 1000), "MESSAGE": message, "PRIORITY": "3",
        "SYSLOG_FACILITY": "0", "_TRANSPORT": "kernel", **more,
    }  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a test writes entries."""
    (tmp_path / "journalctl.py").write_text(SCRIPT)
    return tmp_path / "entries"


def reader(journal: Path, *words: str, identifier: str | None = None) -> Journald:
    """Read what is there."""
    argv = (sys.executable, str(journal.parent / "journalctl.py"), str(journal), *words)
    return Journald(identifier, argv)


def write(journal: Path, *entries: Any) -> None:
    """Let these be in the journal."""
    journal.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in entries))


async def gathered(source: Journald, count: int) -> list[str]:
    """Read until there are so many."""
    told: list[str] = []
    while len(told) < count:
        told += texts(await batch(source))
    return told


def test_it_is_asked_for_this_boot_and_what_comes() -> None:
    """All of it, as JSON, without a pager; nobody's terminal is guessed at."""
    assert JOURNALCTL[0] == "journalctl"
    assert {"--output=json", "--follow", "--boot", "--lines=all", "--no-pager"} <= set(JOURNALCTL)


def test_entries_are_read_and_gone_on_with(journal: Path) -> None:
    """By the cursor of the last that was given: nothing twice, nothing missed."""
    write(journal, entry(1, HUNG), entry(2, "two"), entry(3, "sshd", _TRANSPORT="syslog"), entry(4, "four"))

    async def main() -> None:
        first = reader(journal, "--follow")
        first.begin("", -1)
        found = await batch(first, most=1)
        while not found.records:
            found = await batch(first, most=1)
        (one,) = found.records
        assert (one.text, one.facility, one.level, one.sequence, one.microseconds) == (HUNG, 0, 3, 0, 1000)
        assert found.position == "c1"
        first.close()
        first.close()
        second = reader(journal, "--follow")
        second.begin(found.position, one.sequence)
        assert await gathered(second, 2) == ["two", "four"]
        assert (await batch(second, within=0.05)).records == ()
        second.close()

    run(main)


def test_a_busy_journal_is_kept_up_with(journal: Path) -> None:
    """A thousand entries that wait are one reading: more than five times as many come in a second."""
    entries = [entry(number, f"line {number} {'x' * 200}") for number in range(2500)]
    write(journal, *entries)

    def waiting(source: Journald) -> int:
        """How many entries are in its pipe."""
        assert source._process is not None
        assert source._process.stdout is not None
        piped = int.from_bytes(fcntl.ioctl(source._process.stdout, termios.FIONREAD, bytes(4)), sys.byteorder)
        return piped // (len(json.dumps(entries[-1])) + 1)

    async def main() -> None:
        source = reader(journal, "--follow")
        source.begin("", -1)
        (first, *_) = await gathered(source, 1)
        assert first.startswith("line 0 ")
        while len(source._lines):  # what was read ahead is a reading of its own
            await batch(source)
        async with asyncio.timeout(60):
            while waiting(source) < 1000:
                await asyncio.sleep(0.01)
        assert len((await batch(source, most=1000)).records) == 1000
        source.close()

    run(main)


def test_a_program_that_ends_is_told_and_started_anew(journal: Path) -> None:
    """From where it was."""
    write(journal, entry(1, "one"))

    async def main() -> None:
        source = reader(journal)
        source.begin("", -1)
        assert await gathered(source, 1) == ["one"]
        assert "has ended" in (await batch(source, within=0.5)).blind
        write(journal, entry(1, "one"), entry(2, "two"))
        assert await gathered(source, 1) == ["two"]
        source.close()

    run(main)


def test_a_program_that_is_not_there() -> None:
    """As on a host without journald."""

    async def main() -> None:
        source = Journald(None, ("/none/journalctl",))
        assert (
            await batch(source, within=0)
        ).blind == "/none/journalctl cannot be read: No such file or directory"

    run(main)


def test_what_journald_missed_of_the_kernel_is_lost(journal: Path) -> None:
    """By its own word, which no program can write; of a flood that overran it, too."""
    missed = {
        "MESSAGE_ID": "e9bf28e6e834481bb6f48f548ad13606",
        "_TRANSPORT": "driver",
        "SYSLOG_FACILITY": "3",
    }
    write(
        journal,
        entry(1, "one"),
        entry(2, "Missed 5400 kernel messages", **missed),
        entry(3, "Missed 7 kernel messages", **{**missed, "_TRANSPORT": "journal"}),
        entry(4, "Missed 9 kernel messages"),
        entry(5, "Journal started", **{**missed, "MESSAGE_ID": "f77379a8490b408bbe5f6940505a777b"}),
        entry(6, "another wording", **missed),
        entry(7, "last"),
    )

    async def main() -> None:
        source = reader(journal)
        source.begin("", -1)
        told, lost = [], 0
        while "last" not in told:
            found = await batch(source)
            told += [one.text for one in found.records if one.facility == 0]
            lost += found.lost
        assert (told, lost) == (["one", "Missed 9 kernel messages", "last"], 5401)
        assert (found.position, found.records[-1].sequence) == ("c7", 4)
        source.close()

    run(main)


def test_rubbish_is_skipped(journal: Path) -> None:
    """Also a line that is too long, which is counted."""
    write(
        journal,
        entry(1, "one"),
        "rubbish",
        "[1]",
        entry(2, "x" * 300_000),
        '{"MESSAGE": null}',
        entry(3, "three"),
    )

    async def main() -> None:
        source = reader(journal)
        source.begin("", -1)
        told, lost = [], 0
        while "three" not in told:
            found = await batch(source)
            told += texts(found)
            lost += found.lost
        assert (told, lost) == (["one", "three"], 1)
        source.close()

    run(main)


BELIEVED: dict[str, tuple[dict[str, Any], bool, int | None]] = {
    "the kernel": ({}, False, 0),
    "the kernel, of root": ({}, True, 0),
    "a program that says it is the kernel": ({"_TRANSPORT": "syslog"}, False, 1),
    "a program of root": ({"_TRANSPORT": "journal", "_UID": "0", "SYSLOG_FACILITY": "3"}, True, 3),
    "a program of a user": ({"_TRANSPORT": "journal", "_UID": "1000"}, True, None),
    "a program of nobody": ({"_TRANSPORT": "stdout"}, True, None),
    "no facility": ({"SYSLOG_FACILITY": None}, False, None),
    "no number": ({"SYSLOG_FACILITY": "x"}, False, None),
    "no time": ({"__MONOTONIC_TIMESTAMP": "x"}, False, None),
    "a message of numbers": ({"MESSAGE": [300]}, False, None),
    "a message of text": ({"MESSAGE": ["x"]}, False, None),
}


@pytest.mark.parametrize("what", BELIEVED)
def test_who_is_believed(what: str) -> None:
    """Only what journald itself has seen counts: what a program says of itself does not make it the kernel."""
    more, of_root, facility = BELIEVED[what]
    found = record({**entry(1, "x"), **more}, 1, of_root=of_root)
    assert (None if found is None else found.facility) == facility


def test_a_message_that_is_no_text() -> None:
    """Is a list of its bytes, and is cleaned like every other."""
    found = record(entry(1, list(b"a\x1b[31m\xff")), 1, of_root=False)
    assert found is not None
    assert found.text == "a[31m\ufffd"


@given(st.dictionaries(
    st.sampled_from(("MESSAGE", "_TRANSPORT", "SYSLOG_FACILITY", "PRIORITY", "__MONOTONIC_TIMESTAMP", "_UID")),
    st.none() | st.text(max_size=6) | st.integers() | st.lists(st.integers(-1, 300), max_size=4) | st.booleans(),
), st.booleans())  # fmt: skip
def test_no_entry_raises(held: dict[str, Any], of_root: bool) -> None:
    """And a program is never the kernel."""
    found = record(held, 1, of_root=of_root)
    if found is not None and held.get("_TRANSPORT") != "kernel":
        assert found.facility >= 1
