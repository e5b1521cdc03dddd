"""The write-ahead journal of a host: what was begun, how far it came, and the way back of every step that was begun.

One file of lines, each with a checksum, that is only added to; a line that was cut short by a crash at the end is taken
away when the file is opened. A line that is damaged before the end may have been of any operation that was open there: nobody
goes on with one of these. A record stands on the disk before what it announces is done. The file is made anew, with
what still matters, when it has grown: operations that are over are remembered by op-id, the newest MOST of them, so that
none is run again.

What it says is known without the disk: who asks waits for no write that hangs. One that cannot be written, as on a disk
that is full or read-only, is opened all the same; `trouble` says why, nothing is begun, and `mend` tries it again.
"""

import fcntl
import json
import logging
import os
import threading
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import attrs

from kubenode.core.errors import KubenodeError, Retry
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.model import Json
from kubenode.core.step import Step
from kubenode.runtime.agent.acts import Undo, UnknownAct, contents, digest_of, dump, load
from kubenode.runtime.agent.disk import NOT_FOLLOWED, Disk
from kubenode.runtime.agent.tree import advice

LOG = logging.getLogger("kubenode.agent")

MOST: Final = 2048
"""Operations that are over and are remembered."""
GROWN: Final = 256 * 1024
"""Bytes of the file from which it is made anew, if half of it does not matter any more."""
_MESSAGE: Final = 2048
_FILE, _NEW = "journal", "journal.new"
_KEPT: Final = "kept"


class JournalFailed(KubenodeError):
    """The journal cannot be written or read, so nothing is begun.

    Attributes:
        fix: what to do about it, where the message does not say so.
    """

    retry = Retry.BACKOFF

    def __init__(self, message: str, fix: str = "") -> None:
        self.fix = fix
        super().__init__(message)


@attrs.frozen(kw_only=True)
class Begun:
    """A step that was begun: its way back, and what was noted before it, such as the boot it was begun in."""

    undo: tuple[Undo, ...]
    marks: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Open:
    """An operation that was begun and is not over.

    Attributes:
        boot_id: the boot in which it runs, or was last seen running.
        begun: of its steps those that were begun, in order; the last of them may be half done.
        back: whether it goes the way back.
        why: why it does, for people.
        turns: how often it was taken up again after the agent or the host had died.
    """

    op_id: str
    boot_id: str
    steps: tuple[Step, ...]
    begun: tuple[Begun, ...] = ()
    back: bool = False
    why: str = ""
    turns: int = 0


class Journal:
    """The journal of one host; one agent at a time has it open. Safe to use from several threads.

    Args:
        folder: the agent's own, where nobody else may write.
        disk: does what is done.

    Raises:
        JournalFailed: it cannot be read, or another agent has it.
    """

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._disk = disk if disk is not None else Disk()
        self._writing = threading.RLock()
        """Held while something is written, however long that takes."""
        self._lock = threading.Lock()
        """Held while what is known is read or changed, and never while anything is written."""
        self._trouble = ""
        self._open: dict[str, Open] = {}
        self._over: dict[str, JournalEntry] = {}
        self._lost: dict[str, str] = {}
        self._size, self._least = 0, 0
        self._file: int | None = None
        self._folder = -1
        self._kept = -1
        try:
            self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
        except BlockingIOError as error:
            self.close()
            fix = "end it: systemctl stop kubenode-agent"
            raise JournalFailed(f"{folder}: another agent runs here", fix) from error
        except OSError as error:
            self.close()
            fix = "see to it that the agent can read its own folder"
            raise JournalFailed(f"{folder}: the journal cannot be read: {error.strerror}", fix) from error
        except JournalFailed:
            self.close()
            raise

    def close(self) -> None:
        """Let another one have it; may be called again."""
        for descriptor in (self._file, self._kept, self._folder):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
        self._file, self._kept, self._folder = None, -1, -1

    @property
    def trouble(self) -> str:
        """Why nothing can be written, with what to do about it; empty as long as the last write did not fail."""
        return self._trouble

    def mend(self) -> None:
        """See to it that it can be written; raises JournalFailed while it cannot."""
        with self._explained():
            self._keep(iter(()))
            self._rewrite()

    @property
    def entries(self) -> Mapping[str, JournalEntry]:
        """What is known, by op-id."""
        with self._lock:
            running = {
                one.op_id: JournalEntry(state=JournalState.STARTED, boot_id=one.boot_id)
                for one in self._open.values()
            }
            lost = {
                op_id: JournalEntry(
                    state=JournalState.FAILED, boot_id="", message=f"the journal is damaged: {why}"
                )
                for op_id, why in self._lost.items()
            }
            return {**self._over, **running, **lost}

    @property
    def open(self) -> tuple[Open, ...]:
        """The operations that are not over, in the order in which they were begun."""
        with self._lock:
            return tuple(self._open.values())

    @property
    def lost(self) -> Mapping[str, str]:
        """Operations that were not over and of which so much is lost that nobody can go on, and why."""
        with self._lock:
            return dict(self._lost)

    def operation(self, op_id: str) -> Open:
        """Give an operation that is not over. Raises LookupError."""
        with self._lock:
            return self._open[op_id]

    def began(self, op_id: str, boot_id: str, steps: Sequence[Step]) -> None:
        """Write that an operation begins; nothing of it may be done before this returns.

        Raises:
            JournalFailed: it does not stand there.
        """
        with self._explained():
            self._keep(content for step in steps for content in contents(step))
            self._write({
                "is": "began", "op": op_id, "boot": boot_id, "steps": [dump(step) for step in steps],
            })  # fmt: skip

    def begins(self, op_id: str, index: int, begun: Begun) -> None:
        """Write that a step begins, with its way back; raises JournalFailed."""
        with self._explained():
            self._keep(content for act in begun.undo for content in contents(act))
            undo = [dump(act) for act in begun.undo]
            self._write({"is": "step", "op": op_id, "index": index, "undo": undo, "marks": {**begun.marks}})

    def turns(self, op_id: str, boot_id: str, *, back: bool, why: str = "", again: bool = False) -> None:
        """Write that an operation goes on, forwards or back; raises JournalFailed.

        Args:
            op_id: which.
            boot_id: of this boot.
            back: whether it goes the way back from now on.
            why: why it does.
            again: whether the agent or the host had died meanwhile.
        """
        with self._explained():
            turns = self._open[op_id].turns + again
            self._write({
                "is": "turn", "op": op_id, "boot": boot_id, "back": back, "why": why[:_MESSAGE], "turns": turns,
            })  # fmt: skip

    def ended(self, op_id: str, state: JournalState, boot_id: str, message: str = "") -> None:
        """Write that an operation is over; raises JournalFailed. Then what was kept for it is deleted."""
        with self._explained():
            self._write({
                "is": "ended", "op": op_id, "state": state.value, "boot": boot_id, "message": message[:_MESSAGE],
            })  # fmt: skip
            self._sweep()

    # What is on the disk.

    def _kept_folder(self) -> int:
        with suppress(FileExistsError):
            self._disk.make_folder(_KEPT, self._folder, 0o700)
            self._disk.sync(self._folder)
        return self._opened_kept()

    def _opened_kept(self) -> int:
        return os.open(_KEPT, os.O_RDONLY | os.O_DIRECTORY | NOT_FOLLOWED, dir_fd=self._folder)

    def _read(self) -> None:
        """Read what there is, and open it for writing where that can be done."""
        with suppress(JournalFailed), self._explained():
            self._kept = self._kept_folder()
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | NOT_FOLLOWED
            self._file = os.open(_FILE, flags, 0o600, dir_fd=self._folder)
        if self._kept < 0:
            with suppress(FileNotFoundError):
                self._kept = self._opened_kept()
        lines = self._lines_there()
        records = list(map(_record, lines))
        self._take_all(records)
        self._size = sum(map(len, lines))
        damaged = records.count(None)
        if damaged:
            LOG.warning("event=journal-damaged lines=%d", damaged)
            self._unsure()  # nothing is added to a line that was cut short
            with suppress(JournalFailed), self._explained():
                self._rewrite()
        self._sweep()

    def _lines_there(self) -> list[bytes]:
        """Give the lines that stand on the disk; none where there is no file, and none was made."""
        try:
            file = os.open(_FILE, os.O_RDONLY | NOT_FOLLOWED, dir_fd=self._folder)
        except FileNotFoundError:
            return []
        with os.fdopen(file, "rb") as opened:
            return opened.readlines()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Write, one at a time; turn what the disk says into JournalFailed, and remember it until a write succeeds."""
        with self._writing:
            try:
                yield
            except OSError as error:
                trouble = f"the journal cannot be written: {error.strerror}{advice(error)}"
                if trouble != self._trouble:
                    LOG.warning("event=journal-not-written error=%s", trouble)
                self._trouble = trouble
                raise JournalFailed(trouble) from error
            self._trouble = ""

    def _write(self, record: Json) -> None:
        """Add a record, and fold it once it is on the disk."""
        line = _line(record)
        if self._file is None:  # what was added last may be there in part, or not
            self._rewrite()
        try:
            self._append(line)
        except OSError:
            self._take_back()
            raise
        self._size += len(line)
        self._take(record)
        if self._size >= max(GROWN, 2 * self._least):
            with suppress(OSError):  # it goes on growing, and is tried again
                self._rewrite()

    def _append(self, line: bytes) -> None:
        if self._file is None:
            raise OSError(5, "the journal is not open")
        self._disk.write(self._file, line)
        self._disk.sync(self._file)

    def _take_back(self) -> None:
        """Take away what a failed write has left: told as not begun, it must not be found as begun at the next start."""
        if self._file is not None:
            with suppress(OSError):
                self._disk.cut(self._file, self._size)
        self._unsure()

    def _unsure(self) -> None:
        """Forget the file: after a failed write nobody knows what it holds, so the next record goes into a new one."""
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def _lines(self) -> Iterator[bytes]:
        """Give all that matters."""
        for op_id, entry in self._over.items():
            yield _line({
                "is": "ended", "op": op_id, "state": entry.state.value, "boot": entry.boot_id, "message": entry.message,
            })  # fmt: skip
        for one in self._open.values():
            yield _line({
                "is": "began", "op": one.op_id, "boot": one.boot_id, "steps": [dump(step) for step in one.steps],
            })  # fmt: skip
            for index, begun in enumerate(one.begun):
                undo = [dump(act) for act in begun.undo]
                yield _line({
                    "is": "step", "op": one.op_id, "index": index, "undo": undo, "marks": {**begun.marks},
                })  # fmt: skip
            yield _line({
                "is": "turn", "op": one.op_id, "boot": one.boot_id, "back": one.back, "why": one.why, "turns": one.turns,
            })  # fmt: skip

    def _rewrite(self) -> None:
        """Make the file anew, whole and on the disk before it takes the place of the old one."""
        with suppress(FileNotFoundError):
            self._disk.unlink(_NEW, self._folder)
        data = b"".join(self._lines())
        file = self._disk.create(_NEW, self._folder, 0o600, os.O_RDWR | os.O_EXCL | os.O_APPEND)
        try:
            self._disk.write(file, data)
            self._disk.sync(file)
            self._disk.rename(_NEW, _FILE, self._folder)
            self._disk.sync(self._folder)
        except OSError:
            os.close(file)
            self._unsure()
            raise
        self._unsure()
        self._file, self._size, self._least = file, len(data), len(data)

    def _keep(self, found: Iterator[bytes]) -> None:
        """Keep contents beside the journal, on the disk."""
        if self._kept < 0:
            self._kept = self._kept_folder()
        names = set(os.listdir(self._kept))
        for content in found:
            name = digest_of(content)
            if name in names:
                continue
            new = f"{name}.new"
            with suppress(FileNotFoundError):
                self._disk.unlink(new, self._kept)
            file = self._disk.create(new, self._kept, 0o600)
            try:
                self._disk.write(file, content)
                self._disk.sync(file)
            finally:
                os.close(file)
            self._disk.rename(new, name, self._kept)
            names.add(name)
        self._disk.sync(self._kept)

    def _content(self, digest: str) -> bytes:
        """Give a content that was kept; raises OSError when it is not what it was."""
        file = os.open(digest, os.O_RDONLY | NOT_FOLLOWED, dir_fd=self._kept)
        with os.fdopen(file, "rb") as opened:
            content = opened.read()
        if digest_of(content) != digest:
            raise OSError(5, "it is not what was written")
        return content

    def _sweep(self) -> None:
        """Delete contents that no open operation needs."""
        needed = {
            digest_of(content)
            for one in self._open.values()
            for act in (*one.steps, *(act for begun in one.begun for act in begun.undo))
            for content in contents(act)
        }
        with suppress(OSError):  # it is tried again after the next operation
            for name in set(os.listdir(self._kept)) - needed:
                self._disk.unlink(name, self._kept)

    # What the records mean.

    def _take_all(self, records: Sequence[Json | None]) -> None:
        """Fold all records of a file, None where a line is damaged; what is damaged at its end was never announced."""
        over = {
            one["op"]: index for index, one in enumerate(records) if one is not None and one["is"] == "ended"
        }
        doubtful = False
        for index, record in enumerate(records):
            if record is None:
                doubtful = True
                continue
            if doubtful:
                self._lose(set(self._open), "a line of it that may be of this operation cannot be read")
                doubtful = False
            if index >= over.get(record["op"], 0):  # of what is over the contents are gone
                self._take(record)

    def _lose(self, op_ids: Collection[str], why: str) -> None:
        """Know of operations, and that nobody can go on with them."""
        with self._lock:
            for op_id in op_ids:
                self._open.pop(op_id, None)
                self._lost[op_id] = why
        for op_id in sorted(op_ids):
            LOG.warning("event=operation-lost op=%s why=%r", op_id, why)

    def _take(self, record: Json) -> None:
        op_id = record["op"]
        try:
            self._folded(op_id, record)
        except UnknownAct as error:
            raise _newer(op_id, error) from error
        except (OSError, LookupError, TypeError, ValueError) as error:
            self._lose((op_id,), f"{type(error).__name__}: {error}")

    def _folded(self, op_id: str, record: Json) -> None:
        match record["is"]:
            case "began":
                steps = tuple(load(raw, self._content) for raw in record["steps"])
                self._goes_on(Open(op_id=op_id, boot_id=record["boot"], steps=steps))
            case "step" | "turn" if op_id not in self._open:
                if op_id not in self._lost:
                    self._lose((op_id,), "its beginning cannot be read")
            case "step":
                one = self._open[op_id]
                undo = tuple(load(raw, self._content) for raw in record["undo"])
                begun = (*one.begun[: record["index"]], Begun(undo=undo, marks=record["marks"]))
                self._goes_on(attrs.evolve(one, begun=begun))
            case "turn":
                self._goes_on(attrs.evolve(
                    self._open[op_id], boot_id=record["boot"], back=record["back"], why=record["why"],
                    turns=record["turns"],
                ))  # fmt: skip
            case "ended":
                state = JournalState(record["state"])
                self._ends(
                    op_id, JournalEntry(state=state, boot_id=record["boot"], message=record["message"])
                )
            case _:
                LOG.warning("event=journal-record-unknown op=%s is=%s", op_id, record["is"])

    def _goes_on(self, one: Open) -> None:
        with self._lock:
            self._open[one.op_id] = one

    def _ends(self, op_id: str, entry: JournalEntry) -> None:
        with self._lock:
            for known in (self._open, self._lost, self._over):
                known.pop(op_id, None)
            self._over[op_id] = entry
            while len(self._over) > MOST:
                del self._over[next(iter(self._over))]


def _newer(op_id: str, act: UnknownAct) -> JournalFailed:
    """Refuse a journal with which this version cannot go on: whoever began that can, so nothing is given up for it."""
    what = f"operation {op_id} was begun by a newer kubenode, and its act {act} is not known here"
    return JournalFailed(f"{what}; start that version until it is done")


def _line(record: Json) -> bytes:
    text = json.dumps(record, ensure_ascii=True, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _record(line: bytes) -> Json | None:
    """Give the record of a line; None when it is not whole."""
    head, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or head != b"%08x" % zlib.crc32(text):
        return None
    found: Json = json.loads(text)
    return found
