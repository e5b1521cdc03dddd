"""Tars as a test wants them, also such as no tool writes."""

import gzip
import io
import tarfile
from collections.abc import Iterable

import attrs


@attrs.frozen(kw_only=True)
class Entry:
    """One entry; `kind` is its type flag."""

    path: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    mode: int = 0o644
    leads: str = ""
    more: dict[str, str] = attrs.field(factory=dict)


def tar(*entries: Entry, form: int = tarfile.PAX_FORMAT, ends: bool = True) -> bytes:
    """Make a tar."""
    made = b"".join(_packed(one, form) for one in entries)
    return made + (bytes(1024) if ends else b"")


def _packed(one: Entry, form: int) -> bytes:
    info = tarfile.TarInfo(one.path)
    info.type, info.mode, info.linkname = one.kind, one.mode, one.leads
    info.size, info.pax_headers = len(one.content), one.more
    return info.tobuf(form) + one.content + bytes(-len(one.content) % 512)


def zipped(made: bytes) -> bytes:
    """Pack with gzip."""
    return gzip.compress(made, 1, mtime=0)


def plain(*entries: Entry) -> bytes:
    """Make a tar as tools make it: with tarfile, and gzip."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as opened:
        for one in entries:
            info = tarfile.TarInfo(one.path)
            info.type, info.mode, info.size = one.kind, one.mode, len(one.content)
            opened.addfile(info, io.BytesIO(one.content))
    return held.getvalue()


def folders(*paths: str) -> Iterable[Entry]:
    """Give entries of folders."""
    return (Entry(path=path, kind=tarfile.DIRTYPE, mode=0o755) for path in paths)
