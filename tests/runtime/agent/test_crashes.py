"""An operation of two steps, cut short before and after everything that it does to the disk or the host.

It is killed, or the power is cut. The next agent brings the host to where it should be, or to where it was; never in
between.
"""

import base64
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import attrs
import pytest

from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.step import InstallPackage, RestartUnit, Step, WriteFile
from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.executor import Executor
from kubenode.runtime.agent.host import About, RealHost
from kubenode.runtime.agent.journal import Journal
from kubenode.runtime.agent.stage import Supply
from tests.runtime.agent.debian import Debian
from tests.runtime.agent.mortal import DEAD, MortalDisk

CONF, UNIT, TOOL, PACKAGE = "/etc/app/app.conf", "app.service", "tool.service", "tool"
OP = "component-1"
STEPS = (
    WriteFile(path=CONF, content=b"new", then=RestartUnit(unit=UNIT)),
    InstallPackage(package=PACKAGE, version="2.0", then=RestartUnit(unit=TOOL)),
)
FIRST, SECOND = "boot-1", "boot-2"


def debian(folder: Path) -> Debian:
    """A host on which all is old."""
    made = Debian(folder)
    made.path(CONF).parent.mkdir(parents=True)
    made.path(CONF).write_text("old")
    made.unit(UNIT, reads=CONF)
    made.unit(TOOL)
    made.package(PACKAGE, "1.0", "2.0")
    (folder / "state").mkdir(mode=0o700)
    return made


def fetch(url: str, take: Callable[[bytes], None]) -> None:
    """Give what a URL says itself."""
    take(base64.b64decode(url.partition("/data/")[2]))


def agent(folder: Path, disk: Disk | None = None, boot: str = FIRST) -> RealHost:
    """The agent of that host."""
    point = disk.point if isinstance(disk, MortalDisk) else (lambda _: None)
    about = About(machine="m1", node="n1", boot_id=boot, version="1")
    return RealHost(
        about, folder / "state", lambda: None, root=folder / "root", run=Debian(folder, point), disk=disk,
        sleep=lambda _: None, supply=Supply(fetch=fetch, left=0),
    )  # fmt: skip


Born: TypeAlias = Callable[[Path, MortalDisk, str], RealHost]
"""Makes the agent of a host in a folder, in one boot."""


def done(host: RealHost) -> None:
    """Wait until it rests, and end it."""
    end = time.monotonic() + 60
    while not host.idle():
        assert time.monotonic() < end, "it does not come to rest"
        time.sleep(0.001)
    assert host.close(10)


def life(
    folder: Path, disk: MortalDisk, boot: str = FIRST, steps: tuple[Step, ...] = STEPS, *, born: Born = agent
) -> int:
    """Live once in a child: take up what there is, begin the operation, and rest; give how it exits."""
    child = os.fork()
    if not child:
        code = 1
        try:
            host = born(folder, disk, boot)
            host.resume()
            host._work.begin(OP, steps)
            done(host)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def after(folder: Path, boot: str, *, born: Born = agent) -> JournalEntry | None:
    """Start the agent once more, let it come to rest, and give what its journal says of the operation."""
    host = born(folder, MortalDisk(), boot)
    host.resume()
    done(host)
    journal = Journal(folder / "state")
    entry = journal.entries.get(OP)
    journal.close()
    return entry


def amiss(folder: Path, boot: str) -> str:
    """Start the agent once more, and say what is wrong then; empty when nothing is."""
    entry = after(folder, boot)
    seen = Debian(folder)
    state = seen.state
    found = seen.path(CONF).read_text() if seen.path(CONF).exists() else "nothing"
    now = (found, state["units"][UNIT]["read"], state["packages"][PACKAGE])
    new, old = ("new", "new", "2.0"), ("old", "old", "1.0")
    left = [one.name for one in seen.path(CONF).parent.iterdir() if one.name != "app.conf"]
    kept = os.listdir(folder / "state" / "kept")
    if left or kept:
        return f"left behind: {left} {kept}"
    if entry is None:
        return "" if now == old else f"{now} of an operation that nobody knows"
    if entry.state is JournalState.STARTED:
        return "it is not over"
    return "" if now == (new if entry.state is JournalState.DONE else old) else f"{now}, {entry}"


def effects(folder: Path) -> int:
    """Count what the whole operation does."""
    debian(folder)
    disk = MortalDisk()
    host = agent(folder, disk)
    host.resume()
    host._work.begin(OP, STEPS)
    done(host)
    return disk.count


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: what syncs would do is known, and a thousand lives are lived."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="kubenode-", dir=memory) as made:
        yield Path(made)


@attrs.frozen
class Way:
    """How it dies."""

    power: bool = False
    torn: bool = False


WAYS = {"killed": Way(), "power-cut": Way(power=True), "torn": Way(torn=True)}


def violations(folder: Path, way: Way, *, again: int = 0) -> Iterator[str]:
    """Let it die at every point, `again` once more that many points into its next life; say what is wrong after that."""
    last = effects(folder / "whole")
    assert last > 20
    if what := amiss(folder / "whole", FIRST):
        yield f"not cut short at all: {what}"
    for at in range(1, last + 1):
        place = folder / f"at-{at}"
        debian(place)
        code = life(place, MortalDisk(at, power=way.power, torn=way.torn))
        assert code == DEAD, (at, code)
        boot = FIRST
        if way.power:
            boot = SECOND
            Debian(place).boot()
        if again:
            code = life(place, MortalDisk(again, power=way.power), boot)
            assert code in (0, DEAD), (at, code)
            if way.power:
                Debian(place).boot()
                boot = "boot-3"
        what = amiss(place, boot)
        if what:
            yield f"died before {at} of {last}: {what}"


@pytest.mark.parametrize("way", WAYS)
def test_cut_short_anywhere_it_reaches_what_is_wanted_or_what_was(folder: Path, way: str) -> None:
    """At every point there is."""
    assert list(violations(folder, WAYS[way])) == []


@pytest.mark.parametrize(
    ("way", "again"), [("killed", 2), ("killed", 9), ("power-cut", 5), ("power-cut", 14)]
)
def test_cut_short_twice_it_does_so_too(folder: Path, way: str, again: int) -> None:
    """The second time while the first is being made good."""
    assert list(violations(folder, WAYS[way], again=again)) == []


# What the enumeration would notice.


def no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Announce nothing before it is done."""
    monkeypatch.setattr(Journal, "begins", lambda self, op_id, index, begun: None)
    monkeypatch.setattr(Journal, "_append", lambda self, line: None)


def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rest content with what the kernel has."""
    monkeypatch.setattr(MortalDisk, "sync", lambda self, descriptor: self.point())


def no_folder_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync files and not their names."""
    whole = MortalDisk.sync

    def sync(self: MortalDisk, descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            self.point()
        else:
            whole(self, descriptor)

    monkeypatch.setattr(MortalDisk, "sync", sync)


def no_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a file that is there for a step that is done."""
    do = Executor.do

    def forgetful(self: Executor, step: object, marks: object, *, again: bool) -> None:
        if again and isinstance(step, WriteFile):
            return
        do(self, step, marks, again=again)  # type: ignore[arg-type]

    monkeypatch.setattr(Executor, "do", forgetful)


def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the way back of a step that was half done."""
    monkeypatch.setattr(Executor, "undo", lambda self, act: None)


SABOTAGE: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Way, int]] = {
    "no-record": (no_record, Way(), 0),
    "no-sync": (no_sync, Way(power=True), 0),
    "no-folder-sync": (no_folder_sync, Way(power=True), 0),
    "no-then": (no_then, Way(), 0),
    "no-way-back": (in_place, Way(), 9),
}


@pytest.mark.parametrize("what", SABOTAGE)
def test_the_enumeration_notices(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """An agent that is careless in one way is found out."""
    spoil, way, again = SABOTAGE[what]
    spoil(monkeypatch)
    assert next(violations(folder, way, again=again), "") != ""
