"""The agent exchanges itself, and whoever is at it is cut short before and after everything that is done to the disk or the host.

Old agent, new agent and fallback live in turn, each in a process of its own, and systemd starts them as it would: what
ended is started again, after a boot what is enabled. Whatever dies at whichever point, killed or with the power cut, in
the end the new agent runs and was proven, or the old one runs and says why not; and nothing is left of the trial.
"""

import hashlib
import os
import shutil
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import pytest

from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.host.trial import Arrival, Verdict
from kubenode.core.step import AGENT_PATH, AGENT_UNIT, UpgradeAgent
from kubenode.runtime.agent import fallback
from kubenode.runtime.agent.commands import Ran
from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.executor import Executor, Stopped
from kubenode.runtime.agent.fallback import Fallback
from kubenode.runtime.agent.host import About, RealHost
from kubenode.runtime.agent.journal import Journal
from kubenode.runtime.agent.slots import STORE
from kubenode.runtime.agent.stage import Supply
from kubenode.runtime.agent.tree import Tree, Was
from kubenode.runtime.agent.trial import TRIAL, Trials
from kubenode.runtime.agent.units import Units
from kubenode.runtime.agent.upgrade import Own
from tests.runtime.agent.debian import GOOD, Debian
from tests.runtime.agent.mortal import DEAD, MortalDisk
from tests.runtime.agent.tars import Entry, tar, zipped
from tests.runtime.agent.test_crashes import OP, WAYS, Way, done, folder

__all__ = ["folder"]  # the fixture

FIRST: Final = "first/bin"
"""Where the link leads before: to the folder of an import, from its own."""
ENDED: Final = 3
WITHIN: Final = 30


def bundle(kind: str) -> bytes:
    """Make a bundle whose program is of a kind."""
    return zipped(tar(Entry(path="bin/kubenode", content=kind.encode(), mode=0o755)))


def upgrade(kind: str) -> UpgradeAgent:
    """Upgrade to it."""
    sha256 = hashlib.sha256(bundle(kind)).hexdigest()
    return UpgradeAgent(url=f"http://x/{kind}", sha256=sha256, within=WITHIN)


class Systemd(Debian):
    """A Debian whose agent and fallback are units; what of them runs, a test runs in turn."""

    def __call__(self, argv: Sequence[str], limit: float) -> Ran:
        """Run a program; that of a bundle says its version, unless it is foreign."""
        if argv[0].endswith("/kubenode"):
            foreign = self.path(argv[0]).read_text() == "foreign"
            return Ran(code=126, tail="Exec format error") if foreign else GOOD
        ran = super().__call__(argv, limit)
        if "restart" in argv and argv[-1] == fallback.UNIT and ran.succeeded:
            Trials(self.root.parent / "state", Disk(), "fallback").watch()  # what it does first of all
        return ran

    def _systemctl(self, words: list[str]) -> Ran:
        if words[0] == "restart" and words[-1] == fallback.UNIT and self.path(fallback.UNIT_FILE).exists():
            self.unit(fallback.UNIT)
            return GOOD
        return GOOD if words[0] == "kill" else super()._systemctl(words)

    @property
    def run(self) -> str:
        """The run of the agent's unit."""
        return str(self.state["units"][AGENT_UNIT]["id"])

    def program(self) -> str:
        """Give the program that the agent's unit would run now, without links."""
        target = os.readlink(self.path(AGENT_PATH))
        return f"{target if target.startswith('/') else f'/opt/kubenode/{target}'}/kubenode"

    def kind(self) -> str:
        """Give of which kind that is."""
        return self.path(self.program()).read_text()


def fetch(url: str, take: Callable[[bytes], None]) -> None:
    """Give the bundle that a URL names."""
    take(bundle(url.rpartition("/")[2]))


def prepared(place: Path) -> None:
    """Make a host whose agent an import has brought."""
    made = Systemd(place)
    (place / "state").mkdir(mode=0o700)
    old = made.path(f"/opt/kubenode/{FIRST}/kubenode")
    old.parent.mkdir(parents=True)
    old.write_text("old")
    old.chmod(0o755)
    made.path(AGENT_PATH).symlink_to(FIRST)
    made.unit(AGENT_UNIT)


def forked(live: Callable[[], None]) -> int:
    """Live in a child; give how it exits."""
    child = os.fork()
    if not child:
        code = 1
        try:
            live()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@attrs.define
class World:
    """One host, whose processes live in turn until all rests.

    Attributes:
        wanted: the kind of the new agent.
        at: which life is cut short, counted from 1; 0: none.
        points: how many points there were in each life.
        late: the fallback's time passes before the new agent has begun.
    """

    place: Path
    wanted: str
    way: Way = Way()
    at: int = 0
    point: int = 0
    late: bool = False
    is_late: bool = attrs.field(init=False, default=attrs.Factory(lambda self: self.late, takes_self=True))
    points: list[int] = attrs.Factory(list)
    boots: int = 1
    ran: str = ""

    def settle(self) -> str:
        """Let all live until nothing changes; give what is wrong when that does not come."""
        for _ in range(40):
            host = Systemd(self.place)
            if self.late and host.kind() == self.wanted and self._watching():
                self.late = False
                self._live(self._fallback)
            elif host.run != self.ran:
                self.ran = host.run
                if self._live(self._agent) == ENDED and not self._watching():
                    Systemd(self.place)._start(AGENT_UNIT)
            elif self._watching():
                self._live(self._fallback)
            else:
                return ""
        return "it never rests"

    def _watching(self) -> bool:
        """Tell whether systemd has a fallback to run."""
        host = Systemd(self.place)
        enabled = host.path(fallback.WANTED).is_symlink() and host.path(fallback.UNIT_FILE).exists()
        return enabled and (self.place / "state" / TRIAL).exists()

    def _live(self, live: Callable[[MortalDisk], int]) -> int:
        """Live once, and be cut short if it is this life's turn; then systemd starts what ended."""
        dies = len(self.points) + 1 == self.at
        counts = self.place / "points"
        disk = Counting(
            counts, self.point if dies else 0, power=dies and self.way.power, torn=dies and self.way.torn
        )
        code = live(disk)
        self.points.append(int(counts.read_text()) if counts.exists() else 0)
        if code == DEAD and self.way.power:
            self.boots += 1
            Systemd(self.place).boot()
        elif code == DEAD and live == self._agent:
            Systemd(self.place)._start(AGENT_UNIT)
        else:
            assert code in (0, ENDED, DEAD), code
        return code

    def _agent(self, disk: MortalDisk) -> int:
        host = Systemd(self.place, disk.point)
        kind, program, run = host.kind(), host.program(), host.run
        if kind in ("ends", "hangs"):
            return ENDED if kind == "ends" else 0

        def pause(_: float) -> None:
            if Systemd(self.place).run != run:
                raise Stopped

        def live() -> None:
            own = Own(
                program=program, run=run, state=str(self.place / "state"), server=lambda: ("10.0.0.1", 6443)
            )
            about = About(machine="m1", node="n1", boot_id=f"boot-{self.boots}", version="1", own=own)
            agent = RealHost(
                about, self.place / "state", lambda: None, root=host.root, run=host, disk=disk, sleep=pause,
                supply=Supply(fetch=fetch, left=0),
            )  # fmt: skip
            agent.arrives(Arrival.REPORTS)
            agent.resume()
            agent._work.begin(OP, (upgrade(self.wanted),))
            done(agent)

        return forked(live)

    def _fallback(self, disk: MortalDisk) -> int:
        host, now = Systemd(self.place, disk.point), [0]

        def pause(_: float) -> None:
            now[0] += 10_000_000_000
            if host.kind() == "ends":
                host._start(AGENT_UNIT)  # after RestartSec

        def live() -> None:
            trials = Trials(self.place / "state", disk, "fallback")
            units = Units(host, lambda _: None)
            tree = Tree(host.root, disk)
            Fallback(
                tree=tree, units=units, trials=trials, elapsed=lambda: now[0], pause=pause, reached=lambda *_: True
            ).run()  # fmt: skip

        return forked(live)

    def entry(self) -> JournalEntry | None:
        """Give what the journal says of the operation."""
        journal = Journal(self.place / "state")
        found = journal.entries.get(OP)
        journal.close()
        return found

    def amiss(self) -> str:
        """Say what is wrong once all rests; empty when nothing is."""
        if what := self.settle():
            return what
        host, entry = Systemd(self.place), self.entry()
        if entry is None or entry.state is JournalState.STARTED:
            return f"it is not over: {entry}"
        stays = entry.state is JournalState.DONE
        link = os.readlink(host.path(AGENT_PATH))
        if (link != FIRST, host.kind()) != (stays, self.wanted if stays else "old"):
            return f"the link leads to {link}: {entry}"
        store = host.path(STORE)
        slots = os.listdir(store) if store.exists() else []
        if len(slots) != stays:
            return f"slots {slots}: {entry}"
        left = {one.name for one in (self.place / "state").iterdir()}
        left -= {"journal", "kept", "upgrade.verdict"}
        left |= {one for one in os.listdir(host.path(AGENT_PATH).parent) if one.endswith(".new")}
        left |= set(os.listdir(self.place / "state" / "kept"))
        if left:
            return f"left behind: {left}"
        if self.wanted != "good" and not entry.is_rolled_back:
            return f"a bad one: {entry}"
        if self.wanted == "good" and not stays and not self.is_late:
            return f"a good one: {entry}"
        return ""


class Counting(MortalDisk):
    """Says in a file how many points there were, since its process ends."""

    def __init__(self, counts: Path, at: int, *, power: bool, torn: bool) -> None:
        super().__init__(at, power=power, torn=torn)
        self._counts = counts
        counts.unlink(missing_ok=True)

    def point(self, what: str = "") -> None:
        """Count, and die if this is the point."""
        self._counts.write_text(str(self.count + 1))
        super().point(what)


def whole(top: Path, wanted: str, *, late: bool = False) -> World:
    """Let nobody be cut short; give the world after that."""
    prepared(top / "begin")
    shutil.copytree(top / "begin", top / "whole", symlinks=True)
    world = World(top / "whole", wanted, late=late)
    assert world.amiss() == ""
    return world


def violations(
    top: Path, wanted: str, way: Way, *, late: bool = False, every: int = 1
) -> Iterator[tuple[int, int, str, JournalEntry | None]]:
    """Cut short each life at each of its points, or each so many; give what is wrong after that, and how it ended."""
    lives = whole(top, wanted, late=late).points
    for at, points in enumerate(lives, 1):
        for point in range(1 + at % every, points + 1, every):
            place = top / f"at-{at}-{point}"
            shutil.copytree(top / "begin", place, symlinks=True)
            world = World(place, wanted, way=way, at=at, point=point, late=late)
            what = world.amiss()
            yield at, point, what, world.entry()
            shutil.rmtree(place)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ("good", ""),
        ("ends", "RolledBack: it ended 3 times before it had reported; the host is as it was before"),
        ("hangs", "RolledBack: it did not come up within 30 s; the host is as it was before"),
        ("foreign", "RolledBack: it does not run here: kubenode version: Exec format error; the host is as it was before"),
    ],
)  # fmt: skip
def test_whole_it_ends_so(folder: Path, wanted: str, why: str) -> None:
    """Once, and said."""
    world = whole(folder, wanted)
    entry = world.entry()
    assert entry is not None
    assert (entry.state, entry.message) == (JournalState.FAILED if why else JournalState.DONE, why)
    begun = [
        line for line in (world.place / "state" / "journal").read_text().splitlines() if '"began"' in line
    ]
    assert len(begun) <= 1


def test_one_that_is_late_is_gone_back_from_though_it_is_good(folder: Path) -> None:
    """The verdict stands whoever comes after it."""
    entry = whole(folder, "good", late=True).entry()
    assert entry is not None
    assert entry.is_rolled_back


CUT = {
    **{f"{wanted}-{way}": (wanted, way, False) for wanted in ("good", "ends", "hangs") for way in WAYS},
    **{f"late-{way}": ("good", way, True) for way in ("killed", "power-cut")},
}
"""Late: the new agent comes between the verdict and what follows from it, too."""


@pytest.mark.parametrize("cut", CUT)
def test_cut_short_one_of_both_runs_and_is_told(folder: Path, cut: str) -> None:
    """At every eleventh point of every life, from another one on in each."""
    wanted, way, late = CUT[cut]
    found = list(violations(folder, wanted, WAYS[way], late=late, every=11))
    assert len(found) > 6
    assert [(at, point, what) for at, point, what, _ in found if what] == []


@pytest.mark.nightly
@pytest.mark.parametrize("cut", CUT)
def test_cut_short_anywhere_one_of_both_runs_and_is_told(folder: Path, cut: str) -> None:
    """At every point of every life."""
    wanted, way, late = CUT[cut]
    found = list(violations(folder, wanted, WAYS[way], late=late))
    assert len(found) > 70
    assert [(at, point, what) for at, point, what, _ in found if what] == []


# What the enumeration would notice.


def no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the exchange itself as a crash, as any step that was cut short."""
    monkeypatch.setattr(Executor, "is_bounded", lambda self, step, marks: False)


def not_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the fallback, and do not enable it."""
    put = Tree.put

    def forgetful(self: Tree, path: str, was: Was) -> None:
        if path != fallback.WANTED:
            put(self, path, was)

    monkeypatch.setattr(Tree, "put", forgetful)
    monkeypatch.setattr(
        World, "_watching", lambda self: self.boots == 1 and (self.place / "state" / TRIAL).exists()
    )


def no_verdict_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fallback go back without saying so first: an agent that comes meanwhile judges otherwise."""

    def conclude(self: Trials, trial: str, verdict: Verdict) -> Verdict:
        return verdict

    whole_conclude = Trials.conclude
    monkeypatch.setattr(
        Trials,
        "conclude",
        lambda self, trial, verdict: (conclude if "fallback" in self._new else whole_conclude)(
            self, trial, verdict
        ),
    )


SABOTAGE: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str, Way, bool]] = {
    "no-bound": (no_bound, "good", Way(), False),
    "not-enabled": (not_enabled, "hangs", Way(power=True), False),
    "no-verdict-first": (no_verdict_first, "good", Way(), True),
}


@pytest.mark.parametrize("what", SABOTAGE)
def test_the_enumeration_notices(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """An upgrade that is careless in one way is found out."""
    spoil, wanted, way, late = SABOTAGE[what]
    spoil(monkeypatch)
    assert any(amiss for *_, amiss, _ in violations(folder, wanted, way, late=late))
