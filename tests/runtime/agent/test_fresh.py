"""How old what an agent decides on may be: a second, and only if nothing was heard; never older than its own steps.

Older for a second after its detector has found something, which is to be told before anything that may hang.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kubenode.core.model import Now
from kubenode.core.probe import PackageVersion, Probe, ReadFile, UnitState
from kubenode.runtime.agent.controller import CannotLook
from kubenode.runtime.agent.host import STANDS
from tests.runtime.agent.test_work import CONF, Host, write

FILE = (ReadFile(CONF),)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> Now:
        """Give the time."""
        return Now(wall=datetime(2026, 3, 2, tzinfo=UTC), elapsed=int(self.seconds * 1e9))


class Watched:
    """What would hear of changes: it counts what it is told."""

    def __init__(self) -> None:
        self.begun = 0
        self.followed: list[Sequence[Probe]] = []

    def begin(self) -> None:
        """All is looked at anew."""
        self.begun += 1

    def follow(self, probes: Sequence[Probe]) -> None:
        """Watch these."""
        self.followed.append(probes)


class Looked(Host):
    """A host that is asked as a decision asks: how it is, then each entry's probes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.clock, self.watch = Clock(), Watched()
        self.agent._clock = self.clock  # type: ignore[assignment]
        self.agent.hears(self.watch)  # type: ignore[arg-type]

    def asked(self) -> bytes:
        """Ask, and give what is said to be in the file."""
        assert self.agent.seen("m1") is not None
        return self.agent.look("m1", FILE).files[CONF]

    def change(self, text: str) -> None:
        """Change the file by hand, a little later."""
        self.clock.seconds += 0.3
        self.debian.path(CONF).write_text(text)


@pytest.fixture
def host(tmp_path: Path) -> Looked:
    """A host that has been looked at just now."""
    made = Looked(tmp_path)
    assert made.asked() == b"old"
    return made


def test_what_was_found_just_now_stands(host: Looked) -> None:
    """A report of ours is no reason to look again; what was heard since then is not taken for answered."""
    host.change("new")
    assert host.asked() == b"old"
    assert (host.watch.begun, host.watch.followed) == (1, [FILE])
    host.clock.seconds += 0.69
    assert host.asked() == b"old"
    host.clock.seconds += 0.01
    assert host.asked() == b"new"
    assert (host.watch.begun, host.watch.followed) == (2, [FILE, FILE])


def test_what_was_heard_is_looked_at_at_once(host: Looked) -> None:
    """However soon after the last look; and then that look stands."""
    host.change("new")
    host.agent.heard()
    host.clock.seconds += 0.001
    assert host.asked() == b"new"
    assert host.watch.begun == 2
    host.change("newer")
    assert host.asked() == b"new"


def test_what_the_detector_tells_is_no_reason_to_look(host: Looked) -> None:
    """Nor is the report of it, which is heard of; but what was heard of is one, and so is time."""
    host.change("new")
    host.clock.seconds += STANDS - 0.4
    host.agent.detected()
    assert host.asked() == b"old"
    host.clock.seconds += 0.099
    assert host.asked() == b"old"
    assert host.watch.begun == 1
    host.clock.seconds += 0.001
    assert host.asked() == b"new"


def test_after_a_finding_nothing_old_stands_for_long(host: Looked) -> None:
    """A second later whatever asks gets a new look."""
    host.change("new")
    host.clock.seconds += 10
    host.agent.detected()
    host.clock.seconds += 0.999
    assert host.asked() == b"old"
    host.clock.seconds += 0.001
    assert host.asked() == b"new"


def test_a_finding_does_not_answer_what_was_heard(host: Looked) -> None:
    """In whichever order they come."""
    host.change("new")
    host.agent.heard()
    host.agent.detected()
    assert host.asked() == b"new"
    host.change("newer")
    host.agent.detected()
    host.agent.heard()
    assert host.asked() == b"newer"
    assert host.watch.begun == 3


def test_after_steps_nothing_older_stands(host: Looked) -> None:
    """Though they took no time, and nobody has told yet that they have ended; while they run nothing is taken for answered."""
    begun: list[int] = []

    def point(_: str) -> None:
        host.clock.seconds += 0.001
        assert host.asked() == b"old"
        begun.append(host.watch.begun)

    host.debian.point = point
    host.run(write(b"new"))
    assert begun == [1, 1]
    assert host.asked() == b"new"
    assert host.watch.begun == 2


def test_a_look_that_failed_does_not_bring_back_an_older_one(
    host: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is known then, until it can be looked at; what was found of others just now stands."""
    look = host.agent._looker.look
    package = (PackageVersion("tool"),)
    host.agent.look("m1", package)
    host.change("new")
    host.agent.heard()
    host.clock.seconds += 0.001

    def failing(probes: Sequence[Probe]) -> object:
        if probes == FILE:
            raise CannotLook("a disk hangs")
        return look(probes)

    monkeypatch.setattr(host.agent._looker, "look", failing)
    for _ in range(2):
        with pytest.raises(CannotLook):
            host.asked()
        assert host.agent.look("m1", package).packages == {"tool": "1.0"}
    monkeypatch.undo()
    assert host.asked() == b"new"
    assert host.watch.begun == 2


def test_what_was_not_asked_for_is_looked_at(host: Looked) -> None:
    """As when the Machine has got another entry meanwhile; it is watched from then on."""
    more = (*FILE, PackageVersion("tool"))
    host.change("new")
    assert host.asked() == b"old"
    assert host.agent.look("m1", more).files[CONF] == b"new"
    assert host.watch.followed == [FILE, more]


def test_what_was_foretold_is_looked_at_once(host: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it in one look; a failure is one of that moment, and what stands is not looked at again."""
    package, unit = (PackageVersion("tool"),), (UnitState("--x"),)
    looks: list[Sequence[Sequence[Probe]]] = []
    look = host.agent._looker.look_at_all

    def counted(wanted: Sequence[Sequence[Probe]]) -> object:
        looks.append(list(wanted))
        return look(wanted)

    monkeypatch.setattr(host.agent._looker, "look_at_all", counted)
    host.change("new")
    host.agent.heard()
    host.clock.seconds += 0.001
    assert host.agent.seen("m1") is not None
    host.agent.foretell("m1", (FILE, package, unit, FILE))
    assert host.agent.look("m1", FILE).files[CONF] == b"new"
    assert host.agent.look("m1", package).packages == {"tool": "1.0"}
    with pytest.raises(CannotLook, match="--x"):
        host.agent.look("m1", unit)
    assert looks == [[FILE, package, unit]]
    assert host.agent.seen("m1") is not None
    host.agent.foretell("m1", (FILE, package))
    assert host.agent.look("m1", package).packages == {"tool": "1.0"}
    assert len(looks) == 1


def test_a_look_into_which_steps_fall_is_no_state(host: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found before them stands, as while they run."""
    look = host.agent._looker.look
    package = (PackageVersion("tool"),)

    def overtaken(probes: Sequence[Probe]) -> object:
        found = look(probes)
        host.agent._work._under_way.add("op")
        return found

    host.change("half done")
    host.agent.heard()
    host.clock.seconds += 0.001
    monkeypatch.setattr(host.agent._looker, "look", overtaken)
    assert host.asked() == b"old"
    host.agent._work._under_way.clear()
    with pytest.raises(CannotLook, match="under way"):
        host.agent.look("m1", package)
    host.agent._work._under_way.clear()
    monkeypatch.undo()
    assert host.asked() == b"half done"
