"""The file of a recording, `.knrec`: JSON lines, as gzip when its name ends in `.gz`.

    {"knrec": 1, "kubenode": "0.1.0", "policy": {...}}      a header, with the policy that stood first
    {"record": {"wall": ..., "elapsed": ..., ...}}          a line a decision, as `Record.to_json` gives it
    {"policy": {...}}                                       where another policy stands from here on
    {"end": 8113}                                           how many there were; without it the file is cut off

No line holds a time or a chance of its own, so equal runs give equal bytes.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import attrs

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model import Now
from kubenode.core.policy import Policy
from kubenode.runtime.record.coding import UnknownClass, canonical, decoded, text_of
from kubenode.runtime.record.deciders import SNAPSHOTS
from kubenode.runtime.record.record import Record

FORMAT: Final = 1


class RecordingError(InvalidObjectError):
    """A recording cannot be read: it is no recording, damaged, cut off, or of a newer version."""


class Recorder:
    """A sink that writes a recording; made by `recorder`, closed by the engine that was given it.

    A file that is not closed lacks only its last line. Not thread-safe.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._raw: IO[bytes] | None = None
        self._packed: gzip.GzipFile | None = None
        self._policy: Policy | None = None
        self._closed = False
        self.records = 0

    def __call__(self, record: Record) -> None:
        """Write one record, and the policy before it where it is another one. Raises OSError."""
        if self._closed:
            raise ValueError(f"{self._path}: the recording is closed")
        if self._policy is None:
            self._begin(record.policy)
        elif self._policy is not record.policy and self._policy != record.policy:
            self._line(f'{{"policy":{canonical(record.policy)}}}')
        self._policy = record.policy
        self._line(f'{{"record":{record.to_json()}}}')
        self.records += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write the last line and close the file; of a run without a decision, too. May be called again."""
        if self._closed:
            return
        if self._policy is None:
            self._begin(Policy())
        self._line(text_of({"end": self.records}))
        self._closed = True
        for file in (self._packed, self._raw):
            if file is not None:
                file.close()

    def _begin(self, policy: Policy) -> None:
        self._raw = self._path.open("wb")
        if self._path.suffix == ".gz":  # without a name and a time in it, equal recordings are equal files
            self._packed = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, mtime=0)
        head = {"knrec": FORMAT, "kubenode": version("kubenode")}
        self._line(f'{text_of(head)[:-1]},"policy":{canonical(policy)}}}')
        self._policy = policy

    def _line(self, text: str) -> None:
        line = text.encode("ascii") + b"\n"
        if self._packed is not None:
            self._packed.write(line)
        elif self._raw is not None:
            self._raw.write(line)
            self._raw.flush()  # what was written before the process is killed is there


def recorder(path: Path | str) -> Recorder:
    """Give a sink that writes a recording to a file, which is made with the first decision.

        Plugins.discover(sinks={"recording": recorder("monday.knrec")})

    Args:
        path: ends in `.knrec`, or in `.knrec.gz` to be a tenth as large and unreadable until it is closed.
    """
    return Recorder(Path(path))


@attrs.frozen(kw_only=True)
class Recording:
    """What an engine decided, and by what.

    Attributes:
        path: where it was read from.
        kubenode: the version that recorded it.
        policy: the policy that stood last; each record has the one that stood then.
        records: in the order in which they were decided.
        whole: False when its end is missing, as of a process that was killed.
    """

    path: Path
    kubenode: str
    policy: Policy
    records: tuple[Record, ...] = attrs.field(repr=False)
    whole: bool = True

    @classmethod
    def load(cls, path: Path | str, *, partial: bool = False) -> "Recording":
        """Read a recording, whole into memory.

        Args:
            path: of the file.
            partial: take what is there of one that is cut off.

        Raises:
            RecordingError: there is no such file, or it cannot be read; with the line.
        """
        return _Reading(Path(path)).read(partial=partial)


class _Reading:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._line = 0
        self._wrote = ""
        self._policy = Policy()
        self._records: list[Record] = []

    def read(self, *, partial: bool) -> Recording:
        whole = False
        for line in self._lines():
            self._line += 1
            if whole:
                raise self._wrong("goes on after its end", "take one recording a file")
            if not line.endswith("\n"):  # the process was killed while it wrote this
                break
            body = self._parsed(line)
            if self._line == 1:
                self._head(body)
            else:
                whole = self._body(body)
        if self._line == 0:
            raise self._wrong("is empty, not even a header")
        if not whole and not partial:
            raise self._wrong(
                f"is cut off after {len(self._records)} records; the process that wrote it was killed, or still runs",
                "take what is there: Recording.load(path, partial=True)",
            )
        return Recording(
            path=self._path, kubenode=self._wrote, policy=self._policy, records=tuple(self._records), whole=whole
        )  # fmt: skip

    def _lines(self) -> Iterable[str]:
        """Give the lines of the file as far as they can be unpacked."""
        try:
            with self._path.open("rb") as raw:
                packed = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                file: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
                for line in file:
                    yield line.decode("ascii")
        except (EOFError, zlib.error):
            return  # the packed stream is cut off: so is the recording
        except UnicodeDecodeError:
            self._line += 1
            raise self._wrong("is no JSON: it has bytes that no recording has") from None
        except OSError as error:
            raise self._wrong(f"cannot be read: {error.strerror or error}") from error

    def _parsed(self, line: str) -> Any:
        try:
            body = json.loads(line)
        except ValueError as error:
            raise self._wrong(f"is no JSON: {error}", "take another copy of the file") from None
        if not isinstance(body, dict):
            raise self._wrong("is no JSON object", "take another copy of the file")
        return body

    def _head(self, body: dict[str, Any]) -> None:
        if "knrec" not in body:
            raise self._wrong("has no header of a recording", "record one: kubenode demo --record FILE.knrec")
        self._wrote = str(body.get("kubenode", "an unknown version"))
        if body["knrec"] != FORMAT:
            raise self._wrong(
                f"has the format {body['knrec']!r}, recorded by kubenode {self._wrote}; kubenode {version('kubenode')} reads {FORMAT}",
                f"read it with kubenode {self._wrote}",
            )  # fmt: skip
        self._policy = self._of(Policy, lambda: decoded(body["policy"]))

    def _body(self, body: dict[str, Any]) -> bool:
        """Take one line; tell whether it is the end."""
        match body:
            case {"record": dict(record)}:
                self._records.append(self._of(Record, lambda: self._record(record)))
            case {"policy": dict(policy)}:
                self._policy = self._of(Policy, lambda: decoded(policy))
            case {"end": int(count)}:
                if count != len(self._records):
                    what = f"has {len(self._records)} records, and its last line says {count}"
                    raise self._wrong(what, "take another copy of the file")
                return True
            case _:
                raise self._wrong("is no line of a recording", "take another copy of the file")
        return False

    def _record(self, body: dict[str, Any]) -> Record:
        now = Now(wall=datetime.fromisoformat(body["wall"]), elapsed=body["elapsed"])
        snapshot, decision, acts = (decoded(body[part]) for part in ("snapshot", "decision", "acts"))
        if type(snapshot) not in SNAPSHOTS:
            raise TypeError(f"a value of type {type(snapshot).__name__} is no snapshot")
        return Record(
            now=now, controller=body["controller"], key=body["key"], snapshot=snapshot, policy=self._policy,
            decision=decision, acts=acts,
        )  # fmt: skip

    def _of(self, cls: type[Any], read: Callable[[], Any]) -> Any:
        """Read one value; say what is wrong with it, and whether a newer version wrote it."""
        try:
            value = read()
        except UnknownClass as unknown:
            raise self._wrong(
                f"{unknown} is not known to kubenode {version('kubenode')}; recorded by {self._wrote}",
                f"read it with kubenode {self._wrote}",
            ) from None  # fmt: skip
        except Exception as error:
            what = f"cannot be read: {type(error).__name__}: {error}"
            raise self._wrong(what, "take another copy of the file") from error
        if not isinstance(value, cls):
            raise self._wrong(f"has a {type(value).__name__} where a {cls.__name__} belongs")
        return value

    def _wrong(self, what: str, fix: str = "") -> RecordingError:
        problem = Problem(where="recording", what=what, fix=fix, file=str(self._path), line=self._line)
        return RecordingError((problem,))
