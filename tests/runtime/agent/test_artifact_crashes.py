"""Artifacts that are installed, exchanged or removed, cut short before and after everything that is done to the disk or the host.

As in test_crashes: killed or with the power cut, once or twice, the next agent brings path, store and unit to where they
should be, or to where they were. Whoever looks at the path in between finds something whole.
"""

import base64
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import attrs
import pytest

from kubenode.core.host.journal import JournalState
from kubenode.core.step import (
    ArtifactFormat,
    InstallArtifact,
    RemoveArtifact,
    RestartUnit,
    Step,
    StopUnit,
    WriteFile,
)
from kubenode.runtime.agent.artifacts import Artifacts
from kubenode.runtime.agent.slots import STORE, Slots
from kubenode.runtime.agent.stage import Stage
from kubenode.runtime.agent.tree import Tree
from tests.runtime.agent.debian import Debian
from tests.runtime.agent.mortal import DEAD, MortalDisk
from tests.runtime.agent.tars import Entry, tar, zipped
from tests.runtime.agent.test_crashes import FIRST, OP, SECOND, WAYS, Way, after, agent, done, folder, life

__all__ = ["folder"]  # the fixture

TOOL, UNIT, OTHER = "/usr/local/bin/tool", "tool.service", "other.service"
THEIRS = b"theirs"
State: TypeAlias = tuple[bytes | None, bytes | None, str]
"""What stands at the path, what is kept beside it, and what the unit has read."""


def program(content: bytes) -> InstallArtifact:
    """Install a program, and let its unit run it."""
    url = f"http://x/data/{base64.b64encode(content).decode()}"
    sha256 = hashlib.sha256(content).hexdigest()
    return InstallArtifact(path=TOOL, url=url, sha256=sha256, then=RestartUnit(unit=UNIT))


def member(content: bytes) -> InstallArtifact:
    """The same, out of a tar with something beside it."""
    made = program(
        zipped(tar(Entry(path="bin/tool", content=content, mode=0o755), Entry(path="doc", content=b"d")))
    )
    return attrs.evolve(made, format=ArtifactFormat.TAR, member="bin/tool")


BAD = WriteFile(path="/etc/other.conf", content=b"bad", then=RestartUnit(unit=OTHER))


@attrs.frozen(kw_only=True)
class Scene:
    """What there is before, what is done, and how it may end."""

    before: tuple[Step, ...] = ()
    theirs: bool = False
    steps: tuple[Step, ...]
    old: State
    new: State
    slots: frozenset[int]


SCENES = {
    "anew": Scene(steps=(program(b"new"),), old=(None, None, ""), new=(b"new", None, "new"), slots=frozenset({0, 1})),
    "exchange": Scene(
        before=(program(b"older"), program(b"old")), steps=(member(b"new"),), old=(b"old", None, "old"),
        new=(b"new", None, "new"), slots=frozenset({1, 2}),
    ),
    "theirs": Scene(
        theirs=True, steps=(program(b"new"),), old=(THEIRS, None, "theirs"), new=(b"new", THEIRS, "new"),
        slots=frozenset({0, 1}),
    ),
    "gone back from": Scene(
        before=(program(b"old"),), steps=(member(b"new"), BAD), old=(b"old", None, "old"), new=(b"old", None, "old"),
        slots=frozenset({1}),
    ),
    "given back": Scene(
        theirs=True, steps=(member(b"new"), BAD), old=(THEIRS, None, "theirs"), new=(THEIRS, None, "theirs"),
        slots=frozenset({0}),
    ),
    "removed": Scene(
        before=(program(b"old"),), steps=(StopUnit(unit=UNIT), RemoveArtifact(path=TOOL)), old=(b"old", None, "old"), new=(None, None, "old"),
        slots=frozenset({1}),
    ),
}  # fmt: skip


def prepared(place: Path, scene: Scene) -> None:
    """Make the host as it is before."""
    made = Debian(place)
    (place / "state").mkdir(mode=0o700)
    made.path(TOOL).parent.mkdir(parents=True)
    made.path("/etc").mkdir()
    made.path("/etc/other.conf").write_text("good")
    if scene.theirs:
        made.path(TOOL).write_bytes(THEIRS)
        made.path(TOOL).chmod(0o755)
    made.unit(UNIT, reads=TOOL)
    made.unit(OTHER, reads="/etc/other.conf")
    for number, step in enumerate(scene.before):
        host = agent(place, MortalDisk())
        host._work.begin(f"before-{number}", (step,))
        done(host)


def state(place: Path) -> State:
    """Give what is to be seen; what stands at the path has to be whole."""
    host = Debian(place)
    path = host.led(TOOL)
    kept = path.parent / "tool.kubenode-replaced" if not host.path(TOOL).is_symlink() else None
    kept = host.path(TOOL).with_name("tool.kubenode-replaced") if kept is None else kept
    return (
        path.read_bytes() if os.path.lexists(path) else None,
        kept.read_bytes() if kept.exists() else None,
        host.state["units"][UNIT]["read"],
    )


def amiss(place: Path, boot: str, scene: Scene) -> str:
    """Start the agent once more, and say what is wrong then; empty when nothing is."""
    looked = state(place)[0]
    if looked not in (scene.old[0], scene.new[0], b"new"):
        return f"the path led to {looked!r}"
    entry = after(place, boot)
    now = state(place)
    store = Debian(place).path(STORE)
    names = os.listdir(store) if store.exists() else []
    beside = {one.name for one in Debian(place).path(TOOL).parent.iterdir()} - {
        "tool",
        "tool.kubenode-replaced",
    }
    kept = os.listdir(place / "state" / "kept")
    slots = Slots(Tree(Debian(place).root))
    broken = [name for name in names if slots.whole(name) is None]
    if beside or kept or broken:
        return f"left behind: {beside} {kept} {broken}"
    if entry is None:
        return "" if now == scene.old else f"{now} of an operation that nobody knows"
    if entry.state is JournalState.STARTED:
        return "it is not over"
    if len(names) not in scene.slots:
        return f"{len(names)} slots: {names}; {entry}"
    return "" if now == (scene.new if entry.state is JournalState.DONE else scene.old) else f"{now}, {entry}"


def violations(top: Path, scene: Scene, way: Way, *, again: int = 0, every: int = 1) -> Iterator[str]:
    """Let it die at every point, or every so many; say what is wrong after that."""
    prepared(top / "begin", scene)
    shutil.copytree(top / "begin", top / "whole", symlinks=True)
    disk = MortalDisk()
    host = agent(top / "whole", disk)
    host.resume()
    host._work.begin(OP, scene.steps)
    done(host)
    if what := amiss(top / "whole", FIRST, scene):
        yield f"not cut short at all: {what}"
    for at in range(1, disk.count + 1, every):
        place = top / f"at-{at}"
        shutil.copytree(top / "begin", place, symlinks=True)
        code = life(place, MortalDisk(at, power=way.power, torn=way.torn), FIRST, scene.steps)
        assert code == DEAD, (at, code)
        boot = _booted(place, SECOND) if way.power else FIRST
        if again:
            code = life(place, MortalDisk(again, power=way.power), boot, scene.steps)
            assert code in (0, DEAD), (at, code)
            boot = _booted(place, "boot-3") if way.power else FIRST
        if what := amiss(place, boot, scene):
            yield f"died before {at} of {disk.count}: {what}"
        shutil.rmtree(place)


def _booted(place: Path, boot: str) -> str:
    Debian(place).boot()
    return boot


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scene", SCENES)
def test_cut_short_anywhere_it_reaches_what_is_wanted_or_what_was(folder: Path, scene: str, way: str) -> None:
    """At every point there is."""
    assert list(violations(folder, SCENES[scene], WAYS[way])) == []


@pytest.mark.parametrize(("way", "again"), [("killed", 3), ("power-cut", 9)])
@pytest.mark.parametrize("scene", ["exchange", "theirs", "given back"])
def test_cut_short_twice_it_does_so_too(folder: Path, scene: str, way: str, again: int) -> None:
    """The second time while the first is being made good."""
    assert list(violations(folder, SCENES[scene], WAYS[way], again=again)) == []


# What the enumeration would notice.


def no_folder_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync files and not their names, but for those of the journal."""
    whole = MortalDisk.sync

    def sync(self: MortalDisk, descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}") and "/root/" in os.readlink(
            f"/proc/self/fd/{descriptor}"
        ):
            self.point()
        else:
            whole(self, descriptor)

    monkeypatch.setattr(MortalDisk, "sync", sync)


def no_content_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync all but the bytes of what was fetched."""
    whole = MortalDisk.sync

    def sync(self: MortalDisk, descriptor: int) -> None:
        if "/new/" in os.readlink(f"/proc/self/fd/{descriptor}") and not os.path.isdir(
            f"/proc/self/fd/{descriptor}"
        ):
            self.point()
        else:
            whole(self, descriptor)

    monkeypatch.setattr(MortalDisk, "sync", sync)


def no_clearing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave what was cut short."""
    monkeypatch.setattr(Stage, "clear", lambda self: None)


def no_second_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace what somebody else has put there."""
    monkeypatch.setattr(Artifacts, "_keep_other", lambda self, path, kept: None)


def no_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give nothing back."""
    monkeypatch.setattr(Artifacts, "give_back", lambda self, path, kept: None)


SABOTAGE: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str, Way]] = {
    "no-folder-sync": (no_folder_sync, "exchange", Way(power=True)),
    "no-content-sync": (no_content_sync, "exchange", Way(power=True)),
    "no-clearing": (no_clearing, "anew", Way()),
    "no-second-name": (no_second_name, "theirs", Way()),
    "no-way-back": (no_way_back, "given back", Way()),
}


@pytest.mark.parametrize("what", SABOTAGE)
def test_the_enumeration_notices(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """An agent that is careless in one way is found out."""
    spoil, scene, way = SABOTAGE[what]
    prepare = SCENES[scene]
    spoil(monkeypatch)
    assert next(violations(folder, prepare, way), "") != ""
