"""Hearing of a change on the host at once: what the probes look at is watched, and a change asks for a look.

A word of the kernel is never believed to say what is there now; it asks for a look, and the look finds out. So words may
be lost, be too many, or be of our own acts: the periodic look goes on, a flood is one look, and a look discards what was
heard before it.

Of a path each folder is watched for the next name, so one that is missing, made later, moved or replaced is seen as well.
Units are seen by the cgroup that systemd makes for one that runs, packages by the file that dpkg writes.
"""

import asyncio
import errno
import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from kubenode.core.probe import (
    ArtifactAt,
    FileAccess,
    PackageHeld,
    PackageVersion,
    Probe,
    ReadFile,
    UnitEnabled,
    UnitState,
)
from kubenode.runtime.agent.inotify import CONTENT, MODIFY, NAMES, OVERFLOW, Inotify, Source
from kubenode.runtime.agent.slots import slot_of

LOG = logging.getLogger("kubenode.agent")

SETTLE: Final = 1.0
"""Seconds from a change to the look: what changes one thing often changes another right after it."""
EVERY: Final = 5.0
"""Seconds between two looks that changes ask for; twice as many after each while changes go on, up to LONGEST."""
LONGEST: Final = 60.0
MOST: Final = 1024
"""Folders that are watched."""
_BREATH: Final = 0.5
"""Seconds after which words are read again, so that a flood in a folder costs little."""
_DRAINS: Final = 128
_TURN: Final = 5.0
"""Seconds in which a loop that has not ended has its turn."""
_ANY: Final = "*"
_ITSELF: Final = ""
_PACKAGES: Final = "/var/lib/dpkg/status"
_UNITS: Final = ("/etc/systemd/system", "/run/systemd/system")
_TREES: Final = {
    "": ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"),
    "name=systemd": ("/sys/fs/cgroup/systemd",),
}
"""Where a tree of cgroups is, by what /proc/1/cgroup calls it."""
_EVENTS: Final = "cgroup.events"
_NOT_THERE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES)


class Watch:
    """Watches what the probes of one host look at. To be closed.

    `begin` and `follow` may be called in another thread than the loop's, one at a time.

    Args:
        root: where the host's files are.
        loop: that runs in the thread in which this is made.
        told: asks for a look.
        source: where words of changes come from.
    """

    def __init__(
        self, root: Path, loop: asyncio.AbstractEventLoop, told: Callable[[], None],
        source: Callable[[], Source] = Inotify,
    ) -> None:  # fmt: skip
        self._root = root
        self._loop = loop
        self._thread = threading.get_ident()
        self._told = told
        self._open = source
        self._source: Source | None = None
        self._is_closed = False
        self._before: dict[int, set[str]] = {}
        self._names: dict[int, set[str]] = {}
        self._added: dict[Path, tuple[int, int]] = {}
        self._said: set[str] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._breath: asyncio.TimerHandle | None = None
        self._last = -math.inf
        self._pause = EVERY

    @property
    def watches(self) -> int:
        """How many folders and files are watched."""
        return len(self._before.keys() | self._names.keys())

    def begin(self) -> None:
        """Say that all will be looked at now: it answers what was heard, and what no probe names any more is let go."""
        if threading.get_ident() == self._thread:
            self._begin()
            return
        begun = threading.Event()

        def begins() -> None:
            self._begin()
            begun.set()

        with suppress(RuntimeError):  # the loop has been closed meanwhile
            self._loop.call_soon_threadsafe(begins)
            begun.wait(_TURN)

    def _begin(self) -> None:
        if self._is_closed:
            return
        if self._source is None:
            try:
                self._source = self._open()
            except (OSError, ImportError, AttributeError) as error:
                self._say(f"{type(error).__name__}: {error}")
                return
            self._resume()
        for _ in range(_DRAINS):
            if not self._source.read():
                break
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        for watch in self._before.keys() - self._names.keys():
            self._source.remove(watch)
        self._before, self._names, self._added = self._names, {}, {}

    def follow(self, probes: Sequence[Probe]) -> None:
        """Watch what probes look at; called before that is looked at, so that no change falls between."""
        if self._source is None:
            return
        for probe in probes:
            for path in self._paths(probe):
                self._path(self._source, path)

    def close(self) -> None:
        """Watch nothing any more."""
        self._is_closed = True
        source, self._source = self._source, None
        for handle in (self._alarm, self._breath):
            if handle is not None:
                handle.cancel()
        if source is not None:
            self._loop.remove_reader(source.file)
            source.close()

    def _paths(self, probe: Probe) -> Iterator[str]:
        """Give the paths whose change may change what a probe finds; after a slash at the end: any name there."""
        match probe:
            case ReadFile() | FileAccess():
                yield probe.path
            case ArtifactAt():
                yield probe.path
                with suppress(OSError):
                    target = os.readlink(self._root / probe.path[1:])
                    if slot_of(target) is not None:
                        yield target
            case UnitState():
                yield from (f"{top}/{probe.unit}" for top in _UNITS)
                yield from self._cgroups(probe.unit)
            case UnitEnabled():
                yield f"{_UNITS[0]}/"
                for folder in sorted(self._root.glob(f"{_UNITS[0][1:]}/*.[wr]*s")):  # .wants and .requires
                    yield f"{_UNITS[0]}/{folder.name}/{probe.unit}"
            case PackageVersion() | PackageHeld():
                yield _PACKAGES
            case _:  # what programs and servers answer cannot be watched
                return

    def _cgroups(self, unit: str) -> Iterator[str]:
        """Give where systemd makes the cgroup of a unit, in each tree of cgroups that it keeps units in."""
        template, _, instance = unit.partition("@")
        below = f"system.slice/system-{template}.slice" if instance else "system.slice"
        for top in self._trees():
            yield f"{top}/{below}/{unit}/{_EVENTS}"

    def _trees(self) -> Iterator[str]:
        """Give where systemd keeps the cgroups of its units, as its own stands in them: one tree, or two where it is mixed."""
        try:
            lines = (self._root / "proc/1/cgroup").read_text().splitlines()
        except (OSError, ValueError):
            return
        for _, kind, own in (line.split(":", 2) for line in lines):
            for top in _TREES.get(kind, ()):
                yield top + own.removesuffix("/init.scope").rstrip("/")

    def _path(self, source: Source, path: str) -> None:
        """Watch each folder of a path for the next name, as far as there are folders."""
        *above, last = path[1:].split("/")
        folder = self._root
        for part in above:
            if not self._add(source, folder, part, NAMES):
                return
            folder /= part
        if last == _EVENTS:
            self._add(source, folder / last, _ITSELF, MODIFY)
        else:
            self._add(source, folder, last or _ANY, NAMES | CONTENT)

    def _add(self, source: Source, path: Path, name: str, mask: int) -> bool:
        watch, known = self._added.get(path, (-1, 0))
        if mask & ~known:
            if len(self._names) >= MOST:
                self._say(f"{MOST} folders are watched, more are not")
                return False
            try:
                watch = source.add(path, mask, folder=name != _ITSELF)
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    self._say(f"{path}: {error.strerror}")
                return False
            self._added[path] = (watch, mask | known)
        self._names.setdefault(watch, set()).add(name)
        return True

    def _say(self, why: str) -> None:
        """Say once that something is not watched; it is looked at every period."""
        if why not in self._said:
            self._said.add(why)
            LOG.warning("event=not-watched why=%r", why)

    def _resume(self) -> None:
        self._breath = None
        if self._source is not None:
            self._loop.add_reader(self._source.file, self._readable)

    def _readable(self) -> None:
        source = self._source
        if source is None:
            return
        self._loop.remove_reader(source.file)
        self._breath = self._loop.call_later(_BREATH, self._resume)
        for event in source.read():
            names = self._names.get(event.watch, set()) | self._before.get(event.watch, set())
            if {event.name, _ANY} & names or event.mask & OVERFLOW:
                self._heard()
                return

    def _heard(self) -> None:
        if self._alarm is None:
            at = max(self._loop.time() + SETTLE, self._last + self._pause)
            self._alarm = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._loop.time()
        goes_on = now - self._last <= 2 * self._pause
        self._pause = min(2 * self._pause, LONGEST) if goes_on else EVERY
        self._last = now
        self._told()
