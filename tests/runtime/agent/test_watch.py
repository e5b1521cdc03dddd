"""Hearing of changes, on a real file system and from the real kernel; floods and time by a fake."""

import asyncio
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kubenode.core.probe import (
    ArtifactAt,
    Exec,
    FileAccess,
    PackageHeld,
    PackageVersion,
    Probe,
    ReadFile,
    UnitEnabled,
    UnitState,
)
from kubenode.runtime.agent import watch as watching
from kubenode.runtime.agent.inotify import NAMES, OVERFLOW, Event, Inotify
from kubenode.runtime.agent.tree import Tree
from kubenode.runtime.agent.watch import EVERY, LONGEST, MOST, SETTLE, Watch

CONF = "/etc/app/app.conf"
SLOT = f"/opt/kubenode/artifacts/1-{'a' * 64}"


class Loop:
    """A loop whose time is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.alarms: list[tuple[float, Callable[[], None], Any]] = []
        self.readers: dict[int, Callable[[], None]] = {}

    def time(self) -> float:
        """Give the time."""
        return self.now

    def call_at(self, at: float, call: Callable[[], None]) -> Any:
        """Call at a time."""
        handle = type(
            "Handle", (), {"cancel": lambda _: self.alarms.remove(one) if one in self.alarms else None}
        )()
        one = (at, call, handle)
        self.alarms.append(one)
        return handle

    def call_later(self, after: float, call: Callable[[], None]) -> Any:
        """Call after some time."""
        return self.call_at(self.now + after, call)

    def add_reader(self, file: int, call: Callable[[], None]) -> None:
        """Call when there is something to read."""
        self.readers[file] = call

    def remove_reader(self, file: int) -> None:
        """Call no more."""
        self.readers.pop(file, None)

    def run(self, seconds: float) -> None:
        """Let time go by, with what is to be read looked for ten times a second."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            for call in list(self.readers.values()):
                call()
            self.now = round(self.now + 0.1, 6)
            for one in sorted(self.alarms, key=lambda one: one[0]):
                if one[0] <= self.now and one in self.alarms:
                    self.alarms.remove(one)
                    one[1]()


class Bench:
    """A watch of a root, on a loop of its own; a look follows what is wanted."""

    def __init__(
        self, root: Path, *probes: Probe, source: Callable[[], Any] = Inotify, looks: bool = True
    ) -> None:
        self.root = root
        self.loop = Loop()
        self.told: list[float] = []
        self.probes = probes
        self.looks = looks
        self.watch = Watch(root, self.loop, self._tell, source)  # type: ignore[arg-type]

    def _tell(self) -> None:
        self.told.append(self.loop.now)
        if self.looks:
            self.look()

    def look(self) -> None:
        """Look at all that is wanted."""
        self.watch.begin()
        self.watch.follow(self.probes)

    def hears(self) -> bool:
        """Tell whether a look is asked for in the time in which one is."""
        before = len(self.told)
        self.loop.run(LONGEST + 2 * SETTLE)
        return len(self.told) > before


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with the folder of a file and the file."""
    (tmp_path / "etc/app").mkdir(parents=True)
    (tmp_path / "etc/app/app.conf").write_text("right")
    return tmp_path


@pytest.fixture
def bench(root: Path) -> Iterator[Bench]:
    """A watch of that file."""
    made = Bench(root, ReadFile(path=CONF))
    made.look()
    yield made
    made.watch.close()


def _again(folder: Path) -> None:
    (folder / "app.conf").unlink()
    folder.rmdir()
    folder.mkdir()
    (folder / "app.conf").write_text("other")


def _over(folder: Path) -> None:
    (folder / "new").write_text("other")
    (folder / "new").rename(folder / "app.conf")


def _linked(folder: Path) -> None:
    (folder / "link").symlink_to("elsewhere")
    (folder / "link").rename(folder / "app.conf")


CHANGES: dict[str, Callable[[Path], Any]] = {
    "content": lambda folder: (folder / "app.conf").write_text("other"),
    "appended": lambda folder: (folder / "app.conf").open("a").close(),
    "mode": lambda folder: (folder / "app.conf").chmod(0o600),
    "owner": lambda folder: os.chown(folder / "app.conf", os.geteuid(), os.getegid()),
    "deleted": lambda folder: (folder / "app.conf").unlink(),
    "renamed over": _over,
    "link in its place": _linked,
    "moved away": lambda folder: (folder / "app.conf").rename(folder / "old"),
    "folder made again": _again,
    "folder moved away": lambda folder: folder.rename(folder.parent / "old"),
    "folder above moved away": lambda folder: folder.parent.rename(folder.parent.parent / "old"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_a_file_asks_for_a_look(bench: Bench, what: str) -> None:
    """Once; whoever does it, and however."""
    CHANGES[what](bench.root / "etc/app")
    assert bench.hears()
    assert len(bench.told) == 1


def test_what_comes_after_a_change_of_folders_is_heard_too(bench: Bench) -> None:
    """The watch is of the path, not of the folder that once was there."""
    _again(bench.root / "etc/app")
    assert bench.hears()
    (bench.root / "etc/app/app.conf").write_text("third")
    assert bench.hears()
    (bench.root / "etc").rename(bench.root / "old")
    assert bench.hears()
    (bench.root / "old/app/app.conf").write_text("not there any more")
    bench.look()
    assert not bench.hears()
    (bench.root / "etc/app").mkdir(parents=True)
    (bench.root / "etc/app/app.conf").write_text("fourth")
    assert bench.hears()


def test_a_folder_that_is_made_later_is_followed_all_the_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The nearest that is there is watched, and each that comes; that it is not there is nothing to speak of."""
    bench = Bench(tmp_path, ReadFile(path=CONF))
    bench.look()
    (tmp_path / "var").mkdir()
    assert not bench.hears()
    for folder in ("etc", "etc/app"):
        (tmp_path / folder).mkdir()
        assert bench.hears()
    (tmp_path / "etc/app/app.conf").write_text("x")
    assert bench.hears()
    bench.watch.close()
    assert caplog.records == []


def _held_by_the_kernel(bench: Bench) -> int:
    source = bench.watch._source
    assert source is not None
    return Path(f"/proc/self/fdinfo/{source.file}").read_text().count("inotify wd:")


def test_a_look_that_was_not_made_lets_nothing_go(bench: Bench) -> None:
    """As when an earlier one hangs: what was watched before is heard of still; after two of them it is let go."""
    bench.watch.begin()
    (bench.root / "etc/app/app.conf").write_text("other")
    bench.looks = False
    assert bench.hears()
    assert _held_by_the_kernel(bench) == bench.watch.watches == 3
    bench.watch.begin()
    assert _held_by_the_kernel(bench) == bench.watch.watches == 0
    bench.look()
    assert _held_by_the_kernel(bench) == bench.watch.watches == 3


def test_what_nobody_looks_at_asks_for_nothing(bench: Bench) -> None:
    """Other files of the folder, and who only reads."""
    (bench.root / "etc/app/other").write_text("x")
    (bench.root / "etc/other").mkdir()
    (bench.root / "etc/app/app.conf").read_text()
    os.listdir(bench.root / "etc/app")
    assert not bench.hears()


@pytest.mark.parametrize("turn", [1, -1])
def test_a_folder_may_be_on_the_way_of_one_file_and_hold_another(root: Path, turn: int) -> None:
    """Whichever is looked at first, the kernel is asked for both."""
    (root / "etc/hosts").write_text("")
    bench = Bench(root, *(ReadFile(path=CONF), ReadFile(path="/etc/hosts"))[::turn])
    bench.look()
    (root / "etc/hosts").write_text("x")
    assert bench.hears()
    (root / "etc/app").rename(root / "etc/old")
    assert bench.hears()
    bench.watch.close()


def test_a_link_in_a_path_is_not_followed(tmp_path: Path) -> None:
    """As in a look: there is no file at that path, and one that comes is heard of by the link's going."""
    (tmp_path / "real/app").mkdir(parents=True)
    (tmp_path / "etc").symlink_to("real")
    bench = Bench(tmp_path, ReadFile(path=CONF))
    bench.look()
    (tmp_path / "real/app/app.conf").write_text("x")
    assert not bench.hears()
    (tmp_path / "etc").unlink()
    (tmp_path / "real").rename(tmp_path / "etc")
    assert bench.hears()
    bench.watch.close()


def test_our_own_write_is_answered_by_the_look_after_it(bench: Bench) -> None:
    """It asks for no second one, and so never for looks without end."""
    Tree(bench.root).write(CONF, b"ours", 0o644)
    bench.loop.run(0.5)
    bench.look()  # steps have ended
    assert not bench.hears()
    (bench.root / "etc/app/app.conf").write_text("not ours")
    assert bench.hears()


def test_the_watches_follow_what_is_wanted(bench: Bench) -> None:
    """What no probe names any more is let go with the second look, and what is new is there with the first."""
    (bench.root / "srv").mkdir()
    few = bench.watch.watches
    bench.probes = (FileAccess(path="/srv/x"),)
    for _ in range(3):
        bench.look()
    assert bench.watch.watches == few - 1  # /, /srv in place of /, /etc, /etc/app
    assert _held_by_the_kernel(bench) == few - 1
    (bench.root / "etc/app/app.conf").write_text("nobody's")
    assert not bench.hears()
    (bench.root / "srv/x").write_text("")
    assert bench.hears()


def _unit(root: Path, kind: str, top: str, unit: str = "system.slice/app.service") -> Path:
    (root / "proc/1").mkdir(parents=True)
    (root / "proc/1/cgroup").write_text(f"4:memory:/other\n{kind}:/host/init.scope\n")
    folder = root / top[1:] / "host" / unit
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    ("kind", "top", "unit"),
    [
        ("0:", "/sys/fs/cgroup", "system.slice/app.service"),
        ("0:", "/sys/fs/cgroup/unified", "system.slice/app.service"),
        ("1:name=systemd", "/sys/fs/cgroup/systemd", "system.slice/app.service"),
        ("0:", "/sys/fs/cgroup", "system.slice/system-app.slice/app@1.service"),
    ],
)
def test_a_unit_that_stops_starts_or_dies_is_heard_of(tmp_path: Path, kind: str, top: str, unit: str) -> None:
    """By its cgroup, in whichever tree of cgroups systemd keeps it; another unit's is another's."""
    cgroup = _unit(tmp_path, kind, top, unit)
    (cgroup / "cgroup.events").write_text("populated 1")
    bench = Bench(tmp_path, UnitState(unit=cgroup.name))
    bench.look()
    with (cgroup / "cgroup.events").open("r+") as file:  # the kernel's own is never closed
        file.write("populated 0")
        file.flush()
        assert bench.hears()
    (cgroup / "cgroup.events").unlink()
    cgroup.rmdir()
    assert bench.hears()
    cgroup.with_name("other.service").mkdir()
    assert not bench.hears()
    cgroup.mkdir()
    assert bench.hears()
    bench.watch.close()


def test_a_unit_that_is_disabled_or_masked_is_heard_of(tmp_path: Path) -> None:
    """By the links of its start at boot, wherever they are, and by its file."""
    units = tmp_path / "etc/systemd/system"
    (units / "multi-user.target.wants").mkdir(parents=True)
    link = units / "multi-user.target.wants/app.service"
    bench = Bench(tmp_path, UnitEnabled(unit="app.service"), UnitState(unit="app.service"))
    bench.look()
    link.symlink_to("/lib/systemd/system/app.service")
    assert bench.hears()
    link.unlink()
    assert bench.hears()
    (units / "other.target.requires").mkdir()
    assert bench.hears()
    (units / "other.target.requires/app.service").symlink_to("x")
    assert bench.hears()
    (units / "multi-user.target.wants/other.service").symlink_to("x")
    assert not bench.hears()
    (units / "app.service").symlink_to("/dev/null")
    assert bench.hears()
    bench.watch.close()


@pytest.mark.parametrize("probe", [PackageVersion(package="app"), PackageHeld(package="app")])
def test_a_package_that_is_moved_is_heard_of(tmp_path: Path, probe: Probe) -> None:
    """Dpkg writes its file anew and renames it."""
    folder = tmp_path / "var/lib/dpkg"
    folder.mkdir(parents=True)
    (folder / "status").write_text("old")
    bench = Bench(tmp_path, probe)
    bench.look()
    (folder / "lock").write_text("")
    assert not bench.hears()
    (folder / "status-new").write_text("new")
    (folder / "status-new").rename(folder / "status")
    assert bench.hears()
    bench.watch.close()


def test_an_artifact_is_watched_at_its_path_and_where_that_leads(tmp_path: Path) -> None:
    """The link is switched; the program that it leads to is changed in place. A link elsewhere is no artifact of ours."""
    target = f"{SLOT}/content"
    (tmp_path / SLOT[1:]).mkdir(parents=True)
    (tmp_path / target[1:]).write_text("program")
    (tmp_path / "usr").mkdir()
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "usr/app"
    link.symlink_to(target)
    bench = Bench(tmp_path, ArtifactAt(path="/usr/app"))
    bench.look()
    (tmp_path / target[1:]).write_text("changed")
    assert bench.hears()
    new = tmp_path / "usr/new"
    new.symlink_to("/elsewhere/app")
    new.rename(link)
    assert bench.hears()
    (tmp_path / "elsewhere/app").write_text("x")
    assert not bench.hears()
    bench.look()
    (tmp_path / target[1:]).write_text("again")
    assert not bench.hears()
    bench.watch.close()


class Fake:
    """What tells what a test puts into it."""

    def __init__(self) -> None:
        self.file = -1
        self.words: list[Event] = []
        self.error = 0
        self.added: list[Path] = []
        self.closed = False

    def add(self, path: Path, mask: int, *, folder: bool) -> int:
        """Watch, or not."""
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        if path not in self.added:
            self.added.append(path)
        return self.added.index(path) + 1

    def remove(self, watch: int) -> None:
        """Watch no longer."""

    def read(self) -> tuple[Event, ...]:
        """Give all at once."""
        words, self.words = tuple(self.words), []
        return words

    def close(self) -> None:
        """Close it."""
        self.closed = True


def test_an_overflow_is_one_look(root: Path) -> None:
    """What was lost is not known, so all is looked at; a watch that ends with its folder asks for nothing."""
    fake = Fake()
    bench = Bench(root, ReadFile(path=CONF), source=lambda: fake)
    bench.look()
    fake.words = [Event(one, 0x8000, "") for one in (1, 2, 3)]
    assert not bench.hears()
    fake.words = [Event(-1, OVERFLOW, "")] * 3
    assert bench.hears()
    assert len(bench.told) == 1


def test_a_flood_is_a_look_now_and_then(root: Path) -> None:
    """The first a second after the first change, then ever more seldom while it goes on; later as at first."""
    fake = Fake()
    bench = Bench(root, ReadFile(path=CONF), source=lambda: fake)
    bench.look()
    word = Event(3, NAMES, "app.conf")
    begun = bench.loop.now
    for _ in range(6000):
        fake.words = [word] * 10
        bench.loop.run(0.1)
    gaps = [round(b - a) for a, b in zip(bench.told, bench.told[1:], strict=False)]
    assert bench.told[0] - begun == pytest.approx(SETTLE, abs=0.2)
    assert gaps[:5] == [5, 10, 20, 40, 60]
    assert set(gaps[5:]) == {LONGEST}
    assert len(bench.told) < 16
    bench.loop.run(3 * LONGEST)
    bench.told.clear()
    for _ in range(int(EVERY + 3) * 10):
        fake.words = [word]
        bench.loop.run(0.1)
    assert [round(b - a) for a, b in zip(bench.told, bench.told[1:], strict=False)] == [EVERY]


def test_a_flood_is_not_read_all_the_time(root: Path) -> None:
    """Ten minutes of words that do not concern us are read twice a second, however many come."""
    fake = Fake()
    reads = 0

    def read() -> tuple[Event, ...]:
        nonlocal reads
        reads += 1
        return (Event(3, NAMES, "other"),) * 100

    bench = Bench(root, ReadFile(path=CONF), source=lambda: fake)
    bench.look()
    fake.read = read  # type: ignore[method-assign]
    bench.loop.run(60)
    assert 100 <= reads <= 121
    assert bench.told == []
    bench.watch.begin()  # ends, though there is always one more
    assert reads < 300


def _none() -> Any:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _no_library() -> Any:
    raise ModuleNotFoundError("ctypes")


@pytest.mark.parametrize(("source", "says"), [(_none, "Too many open files"), (_no_library, "ctypes")])
def test_where_nothing_can_be_watched_it_is_said_once(
    root: Path, source: Callable[[], Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And the looks go on."""
    caplog.set_level(logging.WARNING, "kubenode.agent")
    bench = Bench(root, ReadFile(path=CONF), source=source)
    for _ in range(3):
        bench.look()
    assert [says in one.message for one in caplog.records] == [True]
    assert bench.watch.watches == 0
    bench.watch.close()


def test_a_limit_of_the_kernel_is_said_once_and_ends_when_it_ends(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What can be watched is; with the next look after that all of it."""
    caplog.set_level(logging.WARNING, "kubenode.agent")
    fake = Fake()
    fake.error = errno.ENOSPC
    bench = Bench(root, ReadFile(path=CONF), source=lambda: fake)
    for _ in range(3):
        bench.look()
    assert [f"{root}: No space left" in one.message for one in caplog.records] == [True]
    assert bench.watch.watches == 0
    fake.error = 0
    bench.look()
    assert bench.watch.watches == 3


def test_a_machine_with_very_many_folders_watches_so_many(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The rest is looked at every period, and that is said."""
    fake = Fake()
    paths = (ReadFile(path=f"/folder{number}/x") for number in range(2 * MOST))
    bench = Bench(tmp_path, *paths, source=lambda: fake)
    bench.look()
    assert bench.watch.watches == len(fake.added) == MOST
    assert [f"{MOST} folders are watched" in one.message for one in caplog.records] == [True]


def test_a_check_is_not_watched_and_nothing_is_left_open(root: Path) -> None:
    """What programs answer cannot be; the kernel is told once for all that a path shares with others."""
    fake = Fake()
    bench = Bench(root, Exec(argv=("true",)), source=lambda: fake)
    bench.look()
    assert fake.added == []
    bench.probes = (ReadFile(path=CONF), FileAccess(path=CONF), ReadFile(path="/etc/app/b"))
    bench.look()
    assert sorted(fake.added) == [root, root / "etc", root / "etc/app"]
    files = len(os.listdir("/proc/self/fd"))
    real = Bench(root, ReadFile(path=CONF))
    real.look()
    assert len(os.listdir("/proc/self/fd")) == files + 1
    (root / "etc/app/app.conf").write_text("x")
    real.loop.run(0.2)
    real.watch.close()
    real.look()
    real.watch.close()
    assert len(os.listdir("/proc/self/fd")) == files
    assert real.loop.readers == {}
    assert real.loop.alarms == []


def test_it_is_heard_on_a_real_loop_in_a_second_or_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the loop's own time and reader."""
    monkeypatch.setattr(watching, "SETTLE", 0.05)

    async def run() -> None:
        heard = asyncio.Event()
        watch = Watch(root, asyncio.get_running_loop(), heard.set)
        watch.begin()
        watch.follow((ReadFile(path=CONF),))
        await asyncio.to_thread(lambda: (time.sleep(0.01), (root / "etc/app/app.conf").write_text("x")))
        await asyncio.wait_for(heard.wait(), 20)
        watch.close()

    asyncio.run(run())
