"""Reads a tar as a stream: plain files and folders, each once, below one folder; everything else is refused.

Written for what a hostile archive does, and so not with `tarfile`: that follows links, reads headers of any size into
memory and knows a dozen forms of entries. Nothing is sought, and nothing larger than a header is held.
"""

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

import attrs

from kubenode.core.naming import is_path
from kubenode.runtime.agent.tree import StepFailed

_BLOCK: Final = 512
_PART: Final = 64 * 1024
_ZEROS: Final = bytes(_BLOCK)
_FILE, _OLD_FILE, _FOLDER, _NEXT, _ALL, _LONG = b"0", b"\0", b"5", b"x", b"g", b"L"
_REFUSED: Final = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe",
    b"K": "a symbolic link", b"S": "a sparse file",
}  # fmt: skip
_SPECIAL_BITS: Final = 0o7000
_MAGIC: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)


class Stream(Protocol):
    """What is read from."""

    def read(self, size: int, /) -> bytes:
        """Give at most this many bytes; none at the end."""


class Place(Protocol):
    """Where entries go."""

    def folder(self, path: str) -> None:
        """Make a folder; those above it have been made."""

    def file(self, path: str, mode: int, parts: Iterator[bytes]) -> None:
        """Make a file of what the parts give; the folders above it have been made."""


@attrs.frozen(kw_only=True)
class Limits:
    """What a tar may cost.

    Attributes:
        size: bytes that come out, headers included.
        ratio: bytes that come out for one that goes in, above `free`.
        free: bytes that may come out whatever went in.
        entries: files and folders, those included that are only named in the path of another.
        names: characters of all paths.
        depth: folders in each other.
        header: bytes of the extended header of one entry.
    """

    size: int = 4 << 30
    ratio: int = 100
    free: int = 16 << 20
    entries: int = 10_000
    names: int = 1 << 20
    depth: int = 32
    header: int = 64 * 1024


def unpack(packed: Stream, size: int, place: Place, limits: Limits | None = None) -> None:
    """Unpack a tar, as it is or with gzip.

    Args:
        packed: gives it.
        size: how many bytes it has.
        place: where the entries go, in order.
        limits: what it may cost.

    Raises:
        StepFailed: it is no tar, holds what is refused, or costs too much; what was placed before is there.
        OSError: it cannot be read or placed.
    """
    limits = Limits() if limits is None else limits
    first = packed.read(_BLOCK)
    kind = next((name for magic, name in _MAGIC if first.startswith(magic)), "")
    if kind not in ("", "gzip"):
        raise StepFailed(f"the archive is packed with {kind}; pack it with gzip, or not")
    whole = _Again(first, packed)
    try:
        _Tar(_Counted(_Gzip(whole) if kind else whole, size, limits), limits).into(place)
    except zlib.error:
        raise StepFailed("the archive is damaged: it cannot be unpacked by gzip") from None


class _Again:
    """A stream of which the beginning was read already."""

    def __init__(self, first: bytes, rest: Stream) -> None:
        self._first = first
        self._rest = rest

    def read(self, size: int) -> bytes:
        if self._first:
            part, self._first = self._first[:size], self._first[size:]
            return part
        return self._rest.read(size)


class _Gzip:
    """What comes out of gzip, never more at once than is asked for; its checksum is compared at the end."""

    def __init__(self, packed: Stream) -> None:
        self._packed = packed
        self._left = b""
        self._unpacks = zlib.decompressobj(wbits=31)

    def read(self, size: int) -> bytes:
        while not self._unpacks.eof:
            if not self._left:
                self._left = self._packed.read(_PART)
            ended = not self._left
            part = self._unpacks.decompress(self._left, size)
            self._left = self._unpacks.unconsumed_tail
            if part:
                return part
            if ended and not self._unpacks.eof:
                raise StepFailed("the archive ends in the middle")
        behind = self._unpacks.unused_data or self._packed.read(1)
        if behind:
            raise StepFailed("the archive has something behind its end")
        return b""


class _Counted:
    """What comes out, up to what it may be."""

    def __init__(self, stream: Stream, packed: int, limits: Limits) -> None:
        self._stream = stream
        self._most = min(limits.size, max(limits.free, packed * limits.ratio))
        self._came = 0

    def read(self, size: int) -> bytes:
        """Give this many bytes, fewer at the end only."""
        parts: list[bytes] = []
        left = size
        while left and (part := self._stream.read(left)):
            parts.append(part)
            left -= len(part)
        self._came += size - left
        if self._came > self._most:
            raise StepFailed(f"the archive unpacks to more than {self._most} bytes, the most for its size")
        return b"".join(parts)


@attrs.frozen(kw_only=True)
class _Header:
    path: str
    kind: bytes
    mode: int
    size: int


class _Tar:
    """One archive that is read once."""

    def __init__(self, stream: _Counted, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._listed: set[str] = set()
        self._names = 0

    def into(self, place: Place) -> None:
        more: dict[str, str] = {}
        while (header := self._header(more)) is not None:
            if more and header.kind in (_NEXT, _LONG, _ALL):
                raise StepFailed("the archive has two extended headers for one entry")
            more = {}
            if header.kind in (_NEXT, _LONG):
                more = self._extended(header)
            elif header.kind == _ALL:
                _check_global(_records(self._extra(header)))
            else:
                self._entry(header, place)
        self._rest()

    def _header(self, more: dict[str, str]) -> _Header | None:
        """Give the next header; None at the end."""
        block = self._stream.read(_BLOCK)
        if len(block) < _BLOCK:
            raise StepFailed("the archive ends in the middle, or is none")
        if block == _ZEROS:
            if more or self._stream.read(_BLOCK) != _ZEROS:
                raise StepFailed("the archive ends in the middle")
            return None
        told = _number(block[148:156])
        if told != sum(block[:148]) + sum(block[156:]) + 8 * 0x20:
            raise StepFailed("the archive is none, or damaged: a header has another checksum")
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and block[345]:
            name = f"{_text(block[345:500])}/{name}"
        size = int(more["size"]) if "size" in more else _number(block[124:136])
        return _Header(
            path=more.get("path", name), kind=block[156:157], mode=_number(block[100:108]), size=size
        )

    def _extra(self, header: _Header) -> bytes:
        if header.size > self._limits.header:
            raise StepFailed(f"the archive has a header of more than {self._limits.header} bytes")
        return b"".join(self._data(header.size))

    def _extended(self, header: _Header) -> dict[str, str]:
        data = self._extra(header)
        if header.kind == _LONG:
            return {"path": _text(data)}
        records = _records(data)
        for key in records:
            if key.startswith(
                ("SCHILY.xattr.security.", "SCHILY.acl.", "GNU.sparse.", "LIBARCHIVE.xattr.security.")
            ):
                raise StepFailed(f"the archive sets {key} of a file, which is not taken")
        size = records.get("size", "0")
        if not (size.isascii() and size.isdigit() and len(size) < 20):
            raise StepFailed("the archive is damaged: a size is no number")
        return {key: records[key] for key in ("path", "size") if key in records}

    def _entry(self, header: _Header, place: Place) -> None:
        path = header.path.removesuffix("/") if header.kind == _FOLDER else header.path
        shown = repr(path[:200])
        if header.kind not in (_FILE, _OLD_FILE, _FOLDER):
            what = _REFUSED.get(header.kind, "of a kind that is not known")
            raise StepFailed(f"{shown} of the archive is {what}; only files and folders are taken")
        while path.startswith("./"):
            path = path[2:]
        if header.kind == _FOLDER and path in ("", "."):
            return
        self._check(path, shown, header)
        for above in _above(path):
            if above not in self._folders:
                self._add(self._folders, above)
                place.folder(above)
        if header.kind == _FOLDER:
            self._listed.add(path)
            if path not in self._folders:
                self._add(self._folders, path)
                place.folder(path)
            return
        self._add(self._files, path)
        parts = self._data(header.size)
        place.file(path, 0o755 if header.mode & 0o100 else 0o644, parts)
        for _ in parts:  # whoever takes less than all does not spoil what follows
            continue

    def _check(self, path: str, shown: str, header: _Header) -> None:
        names = path.split("/")
        if not is_path(f"/{path}") or max(len(name.encode()) for name in names) > 255:
            raise StepFailed(f"{shown} of the archive is no plain path below its folder")
        if len(names) > self._limits.depth:
            raise StepFailed(f"{shown} of the archive is more than {self._limits.depth} folders deep")
        if header.mode & _SPECIAL_BITS:
            raise StepFailed(f"{shown} of the archive has a set-uid, set-gid or sticky bit; none is taken")
        if header.kind == _FOLDER and header.size:
            raise StepFailed(f"{shown} of the archive is a folder with a content")
        folders = self._listed if header.kind == _FOLDER else self._folders
        if path in self._files or path in folders or any(above in self._files for above in _above(path)):
            raise StepFailed(f"{shown} is in the archive twice, or is a file and a folder")

    def _add(self, to: set[str], path: str) -> None:
        to.add(path)
        self._names += len(path)
        if len(self._files) + len(self._folders) > self._limits.entries or self._names > self._limits.names:
            raise StepFailed(f"the archive has more than {self._limits.entries} entries, or too long names")

    def _data(self, size: int) -> Iterator[bytes]:
        """Give the content that follows, and read what fills its last block."""
        left = size
        while left:
            part = self._stream.read(min(left, _PART))
            if not part:
                raise StepFailed("the archive ends in the middle")
            left -= len(part)
            if not left and len(self._stream.read(-size % _BLOCK)) < -size % _BLOCK:
                raise StepFailed("the archive ends in the middle")
            yield part

    def _rest(self) -> None:
        """Read to the end, where gzip has its checksum; there is nothing but zeros."""
        while part := self._stream.read(_PART):
            if part.count(0) != len(part):
                raise StepFailed("the archive has something behind its end")


def _above(path: str) -> Iterator[str]:
    """Give the folders of a path, the uppermost first."""
    names = path.split("/")
    return ("/".join(names[:count]) for count in range(1, len(names)))


def _number(field: bytes) -> int:
    """Read a number of a header: octal digits. Larger ones stand in extended headers, or are not taken."""
    text = field.strip(b"\0 ")
    if not text:
        return 0
    if text.translate(None, b"01234567"):
        raise StepFailed("the archive is none, or damaged: a header has no number where one belongs")
    return int(text, 8)


def _text(field: bytes) -> str:
    try:
        return field.partition(b"\0")[0].decode()
    except UnicodeDecodeError:
        raise StepFailed("the archive has a name that is not UTF-8") from None


def _records(data: bytes) -> dict[str, str]:
    """Read the records of an extended header, each its length, a space, KEY=VALUE and a line feed."""
    found: dict[str, str] = {}
    while data:
        digits, space, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 10 else 0
        record = data[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if not (space and equals and record.endswith(b"\n") and len(data) >= length):
            raise StepFailed("the archive is damaged: an extended header cannot be read")
        if key in (b"path", b"size") and b"\0" in value:
            raise StepFailed("the archive has a name with a zero in it")
        found[key.decode(errors="replace")] = _text(value[:-1]) if key in (b"path", b"size") else ""
        data = data[length:]
    return found


def _check_global(records: dict[str, str]) -> None:
    """Refuse what would name or measure every entry alike; a comment, as git writes one, is none of it."""
    for key in records:
        if key in ("path", "size", "linkpath") or key.startswith(("SCHILY.", "GNU.", "LIBARCHIVE.")):
            raise StepFailed(f"the archive sets {key} of all its entries, which is not taken")
