"""Tars: what is plain is unpacked as it is, and what is hostile is refused before it can do anything."""

import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.stage import Filling
from kubenode.runtime.agent.tree import StepFailed
from kubenode.runtime.agent.untar import Limits, unpack
from tests.runtime.agent.tars import Entry, folders, plain, tar, zipped

SMALL = Limits(size=1 << 20, ratio=20, free=64 * 1024, entries=20, names=4096, depth=4, header=4096)


def unpacked(made: bytes, into: Path, limits: Limits = SMALL) -> dict[str, tuple[int, bytes]]:
    """Unpack onto a real disk; give the files that are there then, with their modes."""
    folder = os.open(into, os.O_RDONLY | os.O_DIRECTORY)
    filling = Filling(Disk(), 0)
    try:
        filling.into(folder, lambda place: unpack(io.BytesIO(made), len(made), place, limits))
    finally:
        os.close(folder)
    there = {
        str(path.relative_to(into)): (stat.S_IMODE(path.lstat().st_mode), path.read_bytes())
        for path in into.rglob("*")
        if path.is_file()
    }
    assert {one.path: one.mode for one in filling.files} == {path: mode for path, (mode, _) in there.items()}
    return there


GOOD = (
    *folders("./", "./bin/"), Entry(path="./bin/tool", content=b"x" * 1000, mode=0o775),
    Entry(path="etc/a", content=b"", mode=0o600), Entry(path="LICENSE", content=b"y" * 512, mode=0o666),
)  # fmt: skip
WANTED = {"bin/tool": (0o755, b"x" * 1000), "etc/a": (0o644, b""), "LICENSE": (0o644, b"y" * 512)}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_plain_tar_is_unpacked(tmp_path: Path, form: int) -> None:
    """As it is and with gzip; programs can be run, nothing can be written by others."""
    for name, made in (
        ("tar", tar(*GOOD, form=form)),
        ("gz", zipped(tar(*GOOD, form=form))),
        ("tool", plain(*GOOD)),
    ):
        (tmp_path / name).mkdir()
        assert unpacked(made, tmp_path / name) == WANTED
        assert stat.S_IMODE((tmp_path / name / "bin").stat().st_mode) == 0o755


def test_long_and_foreign_names(tmp_path: Path) -> None:
    """They stand in headers of their own; the prefix of ustar, too."""
    long = "/".join(["d" * 60] * 3) + "/" + "é" * 60
    for name, form in (("pax", tarfile.PAX_FORMAT), ("gnu", tarfile.GNU_FORMAT)):
        (tmp_path / name).mkdir()
        assert unpacked(tar(Entry(path=long, content=b"z"), form=form), tmp_path / name) == {
            long: (0o644, b"z")
        }
    prefixed = "/".join(["d" * 60] * 2) + "/" + "f" * 60
    (tmp_path / "ustar").mkdir()
    found = unpacked(tar(Entry(path=prefixed, content=b"z"), form=tarfile.USTAR_FORMAT), tmp_path / "ustar")
    assert found == {prefixed: (0o644, b"z")}


def test_a_comment_for_all_is_no_harm(tmp_path: Path) -> None:
    """As git writes one."""
    comment = tarfile.TarInfo.create_pax_global_header({"comment": "0123abc"})
    assert unpacked(comment + tar(*GOOD), tmp_path) == WANTED


def _checksum(block: bytes, at: int, value: bytes) -> bytes:
    """Change a header, and let its checksum be right again."""
    changed = bytearray(block)
    changed[at : at + len(value)] = value
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)


def _extended(records: bytes) -> bytes:
    """Give a file behind an extended header with these records."""
    return tar(
        Entry(path="h", kind=b"x", content=records), Entry(path="a", content=b"x"), form=tarfile.USTAR_FORMAT
    )


FILE = Entry(path="a", content=b"x")
LONG = tar(Entry(path="é" * 80), form=tarfile.GNU_FORMAT)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "a link out": (tar(Entry(path="a", kind=tarfile.SYMTYPE, leads="/etc"), Entry(path="a/passwd")), "is a symbolic link"),
    "a link within": (tar(Entry(path="a", kind=tarfile.SYMTYPE, leads="b")), "is a symbolic link"),
    "a long link": (tar(Entry(path="a", kind=tarfile.SYMTYPE, leads="l" * 200), form=tarfile.GNU_FORMAT), "is a symbolic link"),
    "a hard link": (tar(FILE, Entry(path="b", kind=tarfile.LNKTYPE, leads="/etc/shadow")), "is a hard link"),
    "a device": (tar(Entry(path="sda", kind=tarfile.BLKTYPE)), "is a device"),
    "a terminal": (tar(Entry(path="tty", kind=tarfile.CHRTYPE)), "is a device"),
    "a pipe": (tar(Entry(path="p", kind=tarfile.FIFOTYPE)), "is a pipe"),
    "a sparse file": (tar(Entry(path="s", kind=tarfile.GNUTYPE_SPARSE)), "is a sparse file"),
    "another kind": (tar(Entry(path="s", kind=b"Z")), "of a kind that is not known"),
    "an absolute path": (tar(Entry(path="/etc/x")), "is no plain path"),
    "up": (tar(Entry(path="../x")), "is no plain path"),
    "up within": (tar(Entry(path="a/../../x")), "is no plain path"),
    "up in a long name": (tar(Entry(path="d/" * 80 + "../" * 90 + "x")), "is no plain path"),
    "up by a header": (tar(Entry(path="a", more={"path": "../x"})), "is no plain path"),
    "two slashes": (tar(Entry(path="a//b")), "is no plain path"),
    "a line feed": (tar(Entry(path="a\nb")), "is no plain path"),
    "a long part": (tar(Entry(path="a" * 256)), "is no plain path"),
    "a name of nothing": (tar(Entry(path="./")), "is no plain path"),
    "set-uid": (tar(Entry(path="su", mode=0o4755)), "has a set-uid"),
    "set-gid": (tar(Entry(path="su", mode=0o2755)), "has a set-uid"),
    "sticky": (tar(Entry(path="t", mode=0o1777, kind=tarfile.DIRTYPE)), "has a set-uid"),
    "a capability": (tar(Entry(path="c", more={"SCHILY.xattr.security.capability": "x"})), "which is not taken"),
    "sparse by header": (tar(Entry(path="c", more={"GNU.sparse.major": "1"})), "which is not taken"),
    "a file twice": (tar(FILE, FILE), "is in the archive twice"),
    "a file twice, by another name": (tar(FILE, Entry(path="./a")), "is in the archive twice"),
    "a folder twice": (tar(*folders("a", "a")), "is in the archive twice"),
    "a file that is a folder": (tar(FILE, Entry(path="a/b")), "is in the archive twice"),
    "a folder that is a file": (tar(Entry(path="a/b"), FILE), "is in the archive twice"),
    "a folder with a content": (tar(Entry(path="a", kind=tarfile.DIRTYPE, content=b"x")), "is a folder with a content"),
    "too deep": (tar(Entry(path="a/b/c/d/e")), "more than 4 folders deep"),
    "too many": (tar(*(Entry(path=str(number)) for number in range(21))), "more than 20 entries"),
    "too many by a path": (tar(*(Entry(path=f"{number}/a") for number in range(11))), "more than 20 entries"),
    "too long names": (tar(*(Entry(path=f"{number}" + "n" * 250) for number in range(17))), "or too long names"),
    "a bomb": (zipped(tar(Entry(path="b", content=bytes(500_000)))), "unpacks to more than"),
    "a bomb behind the end": (zipped(tar(FILE) + bytes(500_000)), "unpacks to more than"),
    "a header bomb": (tar(Entry(path="h", more={"comment": "x" * 5000})), "a header of more than 4096 bytes"),
    "a long name bomb": (tar(Entry(path="n" * 5000), form=tarfile.GNU_FORMAT), "a header of more than 4096 bytes"),
    "paths for all": (tarfile.TarInfo.create_pax_global_header({"path": "x"}) + tar(FILE), "sets path of all its entries"),
    "two headers": (LONG[:1024] + LONG, "two extended headers"),
    "a name that is no text": (_checksum(tar(FILE), 0, b"\xff"), "is not UTF-8"),
    "a size that is no number": (_checksum(tar(FILE), 124, b"x"), "no number where one belongs"),
    "a size of another base": (_checksum(tar(FILE), 124, b"\x80"), "no number where one belongs"),
    "a negative size": (_checksum(tar(FILE), 124, b"-1"), "no number where one belongs"),
    "a huge size": (_checksum(tar(FILE), 124, b"77777777777"), "ends in the middle"),
    "a damaged extended header": (_extended(b"99 path=x\n"), "an extended header cannot be read"),
    "an extended header of words": (_extended(b"path=x\n"), "an extended header cannot be read"),
    "an extended header without a line feed": (_extended(b"9 path=xyz"), "an extended header cannot be read"),
    "a zero in a name": (_extended(b"12 path=a\0b\n"), "a name with a zero in it"),
    "a size of words": (_extended(b"12 size=1e9\n"), "a size is no number"),
    "a size of many digits": (_extended(b"30 size=" + b"9" * 21 + b"\n"), "a size is no number"),
    "another checksum": (b"b" + tar(FILE)[1:], "another checksum"),
    "no tar": (b"#!/bin/sh\n" * 200, "no number where one belongs"),
    "nothing": (b"", "ends in the middle, or is none"),
    "cut in a file": (tar(Entry(path="a", content=b"x" * 2000), ends=False)[:1500], "ends in the middle"),
    "cut in the filling": (tar(Entry(path="a", content=b"x" * 100), ends=False)[:700], "ends in the middle"),
    "cut before the end": (tar(FILE, ends=False), "ends in the middle"),
    "half an end": (tar(FILE)[:-512], "ends in the middle"),
    "cut gzip": (zipped(tar(*GOOD))[:-9], "ends in the middle"),
    "damaged gzip": (zipped(tar(*GOOD))[:-8] + bytes(8), "cannot be unpacked by gzip"),
    "behind the end": (tar(FILE) + b"x", "something behind its end"),
    "behind gzip": (zipped(tar(FILE)) + b"x", "something behind its end"),
    "two of gzip": (zipped(tar(FILE)) * 2, "something behind its end"),
    "xz": (b"\xfd7zXZ\0" + bytes(600), "is packed with xz; pack it with gzip"),
    "bzip2": (b"BZh91AY" + bytes(600), "is packed with bzip2; pack it with gzip"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(600), "is packed with zstd; pack it with gzip"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_hostile_is_refused(tmp_path: Path, what: str) -> None:
    """With why; and nothing stands beside the folder, nor a link in it."""
    made, says = HOSTILE[what]
    inside = tmp_path / "top" / "content"
    inside.mkdir(parents=True)
    with pytest.raises(StepFailed, match=says):
        unpacked(made, inside)
    assert [one.name for one in (tmp_path / "top").iterdir()] == ["content"]
    assert [one.name for one in tmp_path.iterdir()] == ["top"]
    assert not [one for one in inside.rglob("*") if one.is_symlink()]


LIMITED: dict[str, tuple[Limits, bytes, bytes]] = {
    "depth": (SMALL, tar(Entry(path="a/b/c/d")), tar(Entry(path="a/b/c/d/e"))),
    "entries": (
        SMALL, tar(*(Entry(path=str(number)) for number in range(20))), tar(*(Entry(path=str(number)) for number in range(21))),
    ),
    "names": (Limits(names=6), tar(Entry(path="a/bcd")), tar(Entry(path="a/bcde"))),
    "size": (Limits(size=2560), tar(Entry(path="a", content=b"x" * 1024)), tar(Entry(path="a", content=b"x" * 1025))),
    "free": (Limits(free=2560, ratio=0), tar(Entry(path="a", content=b"x" * 1024)), tar(Entry(path="a", content=b"x" * 1025))),
    "ratio": (Limits(free=0, ratio=1), tar(FILE), zipped(tar(FILE))),
}  # fmt: skip


@pytest.mark.parametrize("what", LIMITED)
def test_a_limit_is_where_it_is(tmp_path: Path, what: str) -> None:
    """What just fits is taken, the next one is not."""
    limits, fits, exceeds = LIMITED[what]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert unpacked(fits, tmp_path / "a", limits)
    with pytest.raises(StepFailed):
        unpacked(exceeds, tmp_path / "b", limits)


PARTS = st.sampled_from(["a", "b", "bin", ".", "..", "", "é", "x" * 99, "\n", "c d"])
PATHS = st.lists(PARTS, min_size=1, max_size=6).map("/".join)
KINDS = st.sampled_from([tarfile.REGTYPE] * 6 + [tarfile.DIRTYPE] * 3 + [
    tarfile.AREGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, b"Z",
])  # fmt: skip
ENTRIES = st.builds(
    lambda path, kind, mode, content, leads, more: Entry(
        path=path, kind=kind, mode=mode, content=b"" if kind == tarfile.DIRTYPE else content, leads=leads, more=more
    ),
    PATHS, KINDS, st.sampled_from([0o644, 0o755, 0o777, 0o400, 0o4755, 0o2755, 0o1777]), st.binary(max_size=600),
    PATHS, st.dictionaries(st.sampled_from(["path", "comment", "mtime"]), PATHS.filter(bool), max_size=1),
)  # fmt: skip
FORMS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
DAMAGE = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=3)


def _judged(made: bytes) -> tuple[dict[str, tuple[int, bytes]] | None, Path]:
    """Unpack among neighbours that must stay as they are; give what came, None when it was refused."""
    with tempfile.TemporaryDirectory(prefix="kubenode-untar-") as name:
        top = Path(name)
        inside = top / "slot" / "content"
        inside.mkdir(parents=True)
        (top / "etc").mkdir()
        (top / "etc" / "passwd").write_text("root")
        try:
            found: dict[str, tuple[int, bytes]] | None = unpacked(made, inside)
        except StepFailed:
            found = None
        assert sorted(str(one.relative_to(top)) for one in _outside(top, inside)) == [
            "etc",
            "etc/passwd",
            "slot",
        ]
        assert (top / "etc" / "passwd").read_text() == "root"
        for one in inside.rglob("*"):
            held = one.lstat()
            assert stat.S_ISREG(held.st_mode) or stat.S_ISDIR(held.st_mode)
            assert stat.S_IMODE(held.st_mode) in (
                (0o755,) if stat.S_ISDIR(held.st_mode) else (0o755, 0o644, 0o600)
            )
            assert held.st_nlink == 1 or stat.S_ISDIR(held.st_mode)
        return found, inside


def _outside(top: Path, inside: Path) -> Iterator[Path]:
    return (one for one in top.rglob("*") if one != inside and inside not in one.parents)


@given(
    entries=st.lists(ENTRIES, max_size=6),
    form=FORMS,
    gz=st.booleans(),
    damage=DAMAGE,
    cut=st.integers(0, 6000),
)
def test_no_tar_does_anything_else(
    entries: list[Entry], form: int, gz: bool, damage: list[tuple[int, int]], cut: int
) -> None:
    """Whatever is in it, damaged or cut: it is unpacked below its folder, or refused; nothing else is there afterwards."""
    made = bytearray(tar(*entries, form=form))
    for at, value in damage:
        made[at % len(made)] = value
    whole = bytes(made[: len(made) - cut if cut < len(made) and cut % 3 == 0 else len(made)])
    _judged(zipped(whole) if gz else whole)


@given(entries=st.lists(ENTRIES, max_size=6), form=FORMS)
def test_what_is_taken_is_what_others_read(entries: list[Entry], form: int) -> None:
    """Of an archive that is unpacked tarfile reads the same files with the same contents."""
    made = tar(*entries, form=form)
    found, _ = _judged(made)
    if found is None:
        return
    with tarfile.open(fileobj=io.BytesIO(made)) as opened:
        read = {os.path.normpath(one.name): opened.extractfile(one) for one in opened if one.isfile()}
    assert {path: content for path, (_, content) in found.items()} == {
        path: file.read() for path, file in read.items() if file is not None
    }
