"""The file of a recording: lines of JSON, one a decision, that later versions read.

The first line says what it is, who wrote it and under which policy it began. A policy that is new gets a line and a
number; a record names the policy it was decided under by that number. A line is written whole or taken back, so
only the last one can be cut off: by the end of the process in the middle of it.
"""

import json
import os
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import attrs

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model import Json
from kubenode.core.policy import Policy
from kubenode.runtime.record import codec
from kubenode.runtime.record.record import Record
from kubenode.runtime.record.text import text

FORMAT: Final = "knrec"
VERSION: Final = 1
"""The newest version of the format that is written and read here; every older one is read too."""
_GZIP: Final = b"\x1f\x8b"


class Recorder:
    """A sink that writes a recording. Inert until it is entered; for one engine, or several that take turns.

    A file that is there already is not touched: it may be the night that somebody wants to look at.
    """

    def __init__(self, path: str | os.PathLike[str], policy: Policy | None = None) -> None:
        """Say where to write, and which policy holds when it begins; None: nobody has written one yet."""
        self._path = Path(path)
        self._policies = [Policy() if policy is None else policy]
        self._file: int = -1
        self._end = 0

    def __enter__(self) -> "Recorder":
        """Begin the file.

        Raises:
            InvalidObjectError: there is a file of that name, or none can be made there.
        """
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            raise _wrong(self._path, "is there already", "move it, or record under another name") from None
        except OSError as error:
            raise _wrong(self._path, f"cannot be written: {error.strerror}") from None
        head = {"format": FORMAT, "version": VERSION, "kubenode": version("kubenode")}
        self._write(text({**head, "policy": _policy_written(self._policies[0])}))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the file; what was recorded is on the disk then."""
        os.fsync(self._file)
        os.close(self._file)
        self._file = -1

    def __call__(self, record: Record) -> None:
        """Write one record.

        Raises:
            OSError: it cannot be written; the file is as it was before.
            ValueError: the recorder is not entered, or was left.
        """
        if self._file < 0:
            raise ValueError(
                "a Recorder records between entering and leaving it: with Recorder(path) as sink:"
            )
        number = self._number(record.policy)
        self._write(f'{{"under":{number},{record.to_json().removeprefix("{")}')

    def _number(self, policy: Policy) -> int:
        """Give the number of a policy; a new one is written first."""
        for number, known in enumerate(self._policies):
            if known is policy or known == policy:
                self._policies[number] = policy  # the next comparison is of one object with itself
                return number
        self._write(text({"policy": _policy_written(policy)}))
        self._policies.append(policy)
        return len(self._policies) - 1

    def _write(self, line: str) -> None:
        left = memoryview(f"{line}\n".encode())
        length = len(left)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            os.ftruncate(self._file, self._end)
            os.lseek(self._file, self._end, os.SEEK_SET)
            raise
        self._end += length


@attrs.frozen(kw_only=True)
class Recording:
    """A recording, read.

    Attributes:
        policy: the one under which it began; each record has its own.
        records: in the order of the decisions.
        kubenode: the version that recorded it.
        cut: the number of the last line, from 1, if it is cut off and so was left out; else 0.
    """

    policy: Policy
    records: tuple[Record, ...]
    kubenode: str
    cut: int = 0

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Recording":
        """Read a recording; one that was compressed by gzip too.

        Raises:
            InvalidObjectError: it cannot be read, is no recording, is corrupt or of a newer version; with the
                line, and what to do.
        """
        file = Path(path)
        lines = list(_lines(file))
        head, policies = _head(file, lines)
        records: list[Record] = []
        cut = 0
        for number, line in enumerate(lines[1:], 2):
            try:
                _take(json.loads(line), policies, records)
            except Exception as error:  # whatever of the line is not as it was written
                if number == len(lines) and not line.endswith(b"\n"):
                    cut = number
                    break
                raise _corrupt(file, number, str(head["kubenode"]), error) from error
        return cls(policy=policies[0], records=tuple(records), kubenode=str(head["kubenode"]), cut=cut)


def _take(raw: Json, policies: list[Policy], records: list[Record]) -> None:
    """Take one line: a policy, or a record."""
    if "under" in raw:
        records.append(Record.read(raw, policies[codec.read(raw["under"], int)]))
    else:
        policies.append(_policy_read(raw["policy"]))


def _head(file: Path, lines: list[bytes]) -> tuple[Json, list[Policy]]:
    if not lines:
        raise _wrong(file, "is empty: nothing was recorded")
    try:
        head = json.loads(lines[0])
        is_ours = head["format"] == FORMAT
        newest = head["version"] if is_ours else 0
    except (ValueError, KeyError, TypeError):
        is_ours, newest, head = False, 0, {}
    if not is_ours and len(lines) == 1 and not lines[0].endswith(b"\n"):
        raise _wrong(file, "is cut off before anything was recorded", line=1)
    if not is_ours:
        fix = "give a file that `kubenode demo --record` or a Recorder wrote"
        raise _wrong(file, "is no recording of kubenode", fix, line=1)
    if newest != VERSION:
        what = f"was recorded by kubenode {head.get('kubenode')}, in version {newest} of the format; known is {VERSION}"
        raise _wrong(file, what, f"read it with kubenode {head.get('kubenode')} or newer", line=1)
    try:
        return head, [_policy_read(head["policy"])]
    except Exception as error:
        raise _corrupt(file, 1, str(head.get("kubenode")), error) from error


def _policy_written(policy: Policy) -> Json:
    return {
        part: [codec.write_object(one) for one in getattr(policy, part)] for part in ("remediers", "risk")
    }


def _policy_read(raw: Json) -> Policy:
    parts: dict[str, Any] = {part: tuple(map(codec.read_object, raw[part])) for part in ("remediers", "risk")}
    return Policy(**parts)


def _lines(file: Path) -> Iterator[bytes]:
    """Give the lines of a file with their ends; of one that is compressed as far as it can be read."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _wrong(file, f"cannot be read: {error.strerror}") from None
    if not content.startswith(_GZIP):
        return iter(content.splitlines(keepends=True))
    unpacked, packed = [], content
    try:
        while packed.startswith(_GZIP):
            reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
            unpacked.append(reader.decompress(packed))
            packed = reader.unused_data
    except zlib.error as error:
        raise _wrong(file, f"is compressed, and damaged: {error}", "take another copy") from None
    return iter(b"".join(unpacked).splitlines(keepends=True))


def _corrupt(file: Path, line: int, recorder: str, error: Exception) -> InvalidObjectError:
    here = version("kubenode")
    if isinstance(error, json.JSONDecodeError):
        what, fix = "is no JSON", f"take another copy; the {line - 1} lines before it are sound"
    else:
        what = f"is not as kubenode {here} writes it: {type(error).__name__}: {error}"[:400]
        fix = (
            f"read it with kubenode {recorder}, which recorded it" if recorder != here
            else f"take another copy; the {line - 1} lines before it are sound"
        )  # fmt: skip
    return _wrong(file, what, fix, line=line)


def _wrong(file: Path, what: str, fix: str = "", *, line: int = 0) -> InvalidObjectError:
    where = f"line {line}" if line else "recording"
    return InvalidObjectError((Problem(where=where, what=what, fix=fix, file=str(file), line=line),))
