"""Kernel log records: the format, and whatever else may stand there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.detect.record import TEXT_LIMIT, LogRecord, parse

GOOD: dict[str, tuple[bytes | str, LogRecord]] = {
    "kernel": (
        "3,1205,4832120877,-;INFO: task dockerd:4121 blocked for more than 120 seconds.",
        LogRecord(
            facility=0, level=3, sequence=1205, microseconds=4832120877,
            text="INFO: task dockerd:4121 blocked for more than 120 seconds.",
        ),
    ),
    "user space": (b"12,339,5140900,-;hello\n", LogRecord(facility=1, level=4, sequence=339, microseconds=5140900, text="hello")),
    "systemd": ("30,5,7,-;systemd[1]: x", LogRecord(facility=3, level=6, sequence=5, microseconds=7, text="systemd[1]: x")),
    "keys": (
        b"6,1,2,-;pci 0000:00: enabled\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00\n",
        LogRecord(facility=0, level=6, sequence=1, microseconds=2, text="pci 0000:00: enabled"),
    ),
    "more fields": ("6,1,2,c,caller=T1;x", LogRecord(facility=0, level=6, sequence=1, microseconds=2, text="x")),
    "semicolons": ("6,1,2,-;a;b", LogRecord(facility=0, level=6, sequence=1, microseconds=2, text="a;b")),
    "empty": ("6,1,2,-;", LogRecord(facility=0, level=6, sequence=1, microseconds=2, text="")),
    "escaped": (rb"6,1,2,-;caf\xc3\xa9 \x5c", LogRecord(facility=0, level=6, sequence=1, microseconds=2, text="caf\u00e9 \\")),
    "no escape": (rb"6,1,2,-;\xzz", LogRecord(facility=0, level=6, sequence=1, microseconds=2, text=r"\xzz")),
    "bad UTF-8": (rb"6,1,2,-;a\xff" + b"\xfe", LogRecord(facility=0, level=6, sequence=1, microseconds=2, text="a\ufffd\ufffd")),
    "colours": (rb"6,1,2,-;\x1b[31mred" + b"\x1b[0m", LogRecord(facility=0, level=6, sequence=1, microseconds=2, text="[31mred[0m")),
    "controls": (rb"6,1,2,-;a\x00b\x0ac\x7f" + b"\x00", LogRecord(facility=0, level=6, sequence=1, microseconds=2, text="abc")),
    "direction": ("6,1,2,-;a\u202eb\u200bc", LogRecord(facility=0, level=6, sequence=1, microseconds=2, text="abc")),
    "surrogate": ("6,1,2,-;a\udc80", LogRecord(facility=0, level=6, sequence=1, microseconds=2, text="a?")),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_record(name: str) -> None:
    """Each record is read as what it is."""
    line, expected = GOOD[name]
    assert parse(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        "", "\n", " SUBSYSTEM=pci", "# a comment", "hello", "6,1,2;x", "6,1,2,-", "6,1,2,-\n;x", "a,1,2,-;x", "-6,1,2,-;x",
        "6, 1,2,-;x", "+6,1,2,-;x", "6,1.5,2,-;x", "\u0666,1,2,-;x", "6,\u00b2,2,-;x", f"{'9' * 5000},1,2,-;x",
        f"6,{'9' * 20},2,-;x", f"6,1,2,{'-' * 300};x", b"\x00\xff\xfe", "[    1.2] INFO: task dd:4 blocked for more than 120 seconds.",
    ],
)  # fmt: skip
def test_rubbish(line: str | bytes) -> None:
    """What is no record is none."""
    assert parse(line) is None


def test_huge() -> None:
    """A line of a megabyte is cut, and costs no more than its beginning."""
    record = parse(b"3,1,2,-;" + b"x" * (1 << 20))
    assert record is not None
    assert record.text == "x" * TEXT_LIMIT


def test_escapes_are_cut_as_characters() -> None:
    """The limit counts characters, not the bytes that stand for them."""
    record = parse(b"3,1,2,-;" + rb"\xf0\x9f\x98\x80" * (TEXT_LIMIT + 50))
    assert record is not None
    assert record.text == "\U0001f600" * TEXT_LIMIT


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda text: b"3,1,2,-;" + text))
def test_total(line: bytes) -> None:
    """No bytes raise, and every text is printable and bounded."""
    record = parse(line)
    if record is not None:
        assert len(record.text) <= TEXT_LIMIT
        assert record.text == "" or record.text.isprintable()


@given(st.text(max_size=300))
def test_total_for_text(line: str) -> None:
    """No text raises either."""
    parse(line)
    parse(f"3,1,2,-;{line}")


@given(
    st.integers(0, 191), st.integers(0, 10**18), st.integers(0, 10**18),
    st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"), max_size=200),
)  # fmt: skip
def test_round_trip(priority: int, sequence: int, microseconds: int, text: str) -> None:
    """What a kernel writes is what is read."""
    expected = LogRecord(
        facility=priority >> 3, level=priority & 7, sequence=sequence, microseconds=microseconds, text=text
    )
    assert parse(f"{priority},{sequence},{microseconds},-;{text}\n") == expected
