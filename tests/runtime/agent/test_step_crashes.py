"""Steps of files, of units and of a package that is held or removed, cut short before and after everything they do on a real filesystem.

What was written is put back and loaded again, what was removed is there again, and our hold stands wherever it stood.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubenode.core.host.journal import JournalState
from kubenode.core.step import (
    EnableUnit,
    InstallPackage,
    ReloadUnit,
    RemoveFile,
    RemovePackage,
    RestartUnit,
    Step,
    WriteFile,
)
from kubenode.runtime.agent.executor import Executor
from kubenode.runtime.agent.packages import Noted, Notes, Packages
from kubenode.runtime.agent.tree import Tree
from tests.runtime.agent.debian import Debian
from tests.runtime.agent.mortal import DEAD, MortalDisk
from tests.runtime.agent.test_crashes import FIRST, SECOND, WAYS, Way, after, agent, done, folder, life

__all__ = ["folder"]  # the fixture

CONF, DROP_IN, UNIT, PACKAGE = "/etc/app/app.conf", "/etc/app/more.conf", "app.service", "tool"
STEPS: tuple[Step, ...] = (
    WriteFile(path=CONF, content=b"new", then=ReloadUnit(unit=UNIT), mode=0o640, owner="nobody"),
    EnableUnit(unit=UNIT, enabled=True),
    RemoveFile(path=DROP_IN, content=b"more", then=ReloadUnit(unit=UNIT)),
    InstallPackage(package=PACKAGE, version="2.0", then=None),
)
BAD = WriteFile(path="/etc/app/bad.conf", content=b"bad", then=RestartUnit(unit="bad.service"))
REMOVES: tuple[Step, ...] = (RemovePackage(package=PACKAGE),)
OURS = (True, True)
"""Whether the hold and the package are noted as ours."""
OLD = (("old", 0o644, "root"), "old", True, "disabled", ("1.0", ["tool"], OURS))
NEW = (("new", 0o640, "nobody"), "new", False, "enabled", ("2.0", ["tool"], OURS))
GONE = (*OLD[:4], (None, [], (False, False)))


def prepared(place: Path) -> None:
    """A host on which all is old, with a package that we hold."""
    made = Debian(place)
    made.path("/etc/app").mkdir(parents=True)
    for path, text in ((CONF, "old"), (DROP_IN, "more"), (BAD.path, "good")):
        made.path(path).write_text(text)
        made.path(path).chmod(0o644)
    made.unit(UNIT, reads=CONF)
    made.unit("bad.service", reads=BAD.path)
    made.package(PACKAGE, "1.0", "2.0")
    notes = Notes(Tree(made.root))
    notes.holds.note(PACKAGE)
    notes.brought.note(PACKAGE)
    made.change(held=[PACKAGE])
    (place / "state").mkdir(mode=0o700)


def now(place: Path) -> Any:
    """What there is."""
    made = Debian(place)
    state, tree = made.state, Tree(made.root)
    access = tree.access(CONF)
    assert access is not None
    file = (made.path(CONF).read_text(), access.mode, access.owner)
    unit, notes = state["units"][UNIT], Notes(tree)
    return (
        file, unit["read"], made.path(DROP_IN).exists(), unit.get("enabled", "disabled"),
        (state["packages"].get(PACKAGE), state["held"], (notes.holds.has(PACKAGE), notes.brought.has(PACKAGE))),
    )  # fmt: skip


def violations(place: Path, steps: tuple[Step, ...], way: Way) -> Iterator[str]:
    """Let it die at every point, and say what is wrong after the next agent."""
    whole = place / "whole"
    prepared(whole)
    disk = MortalDisk()
    host = agent(whole, disk)
    host.resume()
    host._work.begin("component-1", steps)
    done(host)
    end = GONE if REMOVES[0] in steps else NEW
    if now(whole) != (OLD if BAD in steps else end):
        yield f"not cut short at all: {now(whole)}"
    for at in range(1, disk.count + 1):
        one = place / f"at-{at}"
        prepared(one)
        assert life(one, MortalDisk(at, power=way.power, torn=way.torn), steps=steps) == DEAD
        if way.power:
            Debian(one).boot()
        entry = after(one, SECOND if way.power else FIRST)
        wanted = end if entry is not None and entry.state is JournalState.DONE else OLD
        if now(one) != wanted:
            yield f"died before {at} of {disk.count}: {now(one)}, {entry}"
        if left := [path.name for path in (one / "root/etc/app").iterdir() if path.name.startswith(".")]:
            yield f"died before {at} of {disk.count}: left {left}"


@pytest.mark.parametrize(
    ("steps", "way"),
    [
        (STEPS, "power-cut"),
        (STEPS, "torn"),
        ((*STEPS, BAD), "killed"),
        ((*STEPS, BAD), "power-cut"),
        (REMOVES, "killed"),
        (REMOVES, "power-cut"),
        ((*REMOVES, BAD), "power-cut"),
    ],
)
def test_cut_short_anywhere_it_reaches_what_is_wanted_or_what_was(
    folder: Path, steps: tuple[Step, ...], way: str
) -> None:
    """Also where the last step fails."""
    assert list(violations(folder, steps, WAYS[way])) == []


def no_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load nothing again."""
    monkeypatch.setattr(Executor, "_load", lambda self, then: None)


def no_note(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget whose a hold is."""
    monkeypatch.setattr(Noted, "has", lambda self, package: False)


def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget nothing of a package that is not there."""
    removes = Packages.remove

    def gone(self: Packages, package: str) -> None:
        if self.version(package):
            removes(self, package)

    monkeypatch.setattr(Packages, "remove", gone)


def no_hold_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put no hold there again."""
    monkeypatch.setattr("kubenode.runtime.agent.packages.Packages.holds", lambda self, package: False)


@pytest.mark.parametrize("fault", [no_reload, no_note, no_hold_back, early])
def test_what_would_go_wrong_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch, fault: Any) -> None:
    """By the same enumeration."""
    fault(monkeypatch)
    steps = {no_hold_back: (*STEPS, BAD), early: REMOVES}.get(fault, STEPS)
    assert next(violations(folder, steps, Way()), "") != ""
