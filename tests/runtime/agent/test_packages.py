"""Packages: exact versions, and a package manager that is busy, interrupted, out of date or told to leave one alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kubenode.runtime.agent.commands import Ran
from kubenode.runtime.agent.packages import BROUGHT, HOLDS, LOCK_LIMIT, Notes, Packages
from kubenode.runtime.agent.tree import StepFailed, Tree
from tests.runtime.agent.debian import Debian

NOBODY = Notes(Tree(Path("/nonexistent")))
LOCKED = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (unattended-upgr)"
INTERRUPTED = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem."


class World:
    """A Debian, its packages, and how long was waited."""

    def __init__(self, folder: Path) -> None:
        self.debian = Debian(folder)
        self.debian.package("tool", "1.0", "2.0", "0.9")
        self.slept: list[float] = []
        self.packages = Packages(self.debian, self.slept.append, Notes(Tree(self.debian.root)))

    def changes(self) -> list[list[str]]:
        """What was called besides looks."""
        return [call for call in self.debian.calls() if call[0] != "dpkg-query"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One host."""
    return World(tmp_path)


@pytest.mark.parametrize("version", ["2.0", "0.9"])
def test_a_package_is_brought_to_an_exact_version(world: World, version: str) -> None:
    """Up or down, by one call that asks nothing, removes nothing and keeps configuration; then there is nothing to do."""
    world.packages.install("tool", version)
    world.packages.install("tool", version)
    assert world.packages.version("tool") == version
    call, hold = world.changes()
    assert call[0] == "apt-get"
    assert hold == ["apt-mark", "hold", "--", "tool"]
    assert call[-2:] == ["--", f"tool={version}"]
    assert {"-y", "--no-remove", "--allow-downgrades", "-oDpkg::Options::=--force-confold"} <= set(call)


def test_another_package_manager_is_waited_for(world: World) -> None:
    """Until it has ended."""
    world.debian.change(trouble=[LOCKED, LOCKED])
    world.packages.install("tool", "2.0")
    assert world.packages.version("tool") == "2.0"
    assert len(world.slept) == 2


def test_but_not_for_ever(world: World) -> None:
    """It may hang; the text says what to do."""
    world.debian.change(trouble=[LOCKED] * 1000)
    with pytest.raises(
        StepFailed, match=r"installing tool=2\.0: another package manager has run for 300 s; end it"
    ):
        world.packages.install("tool", "2.0")
    assert sum(world.slept) == LOCK_LIMIT
    assert world.packages.version("tool") == "1.0"


def test_an_interrupted_dpkg_is_repaired_first(world: World) -> None:
    """Though another one has the lock in between."""
    world.debian.change(
        trouble=[INTERRUPTED, "dpkg: error: dpkg frontend lock was locked by another process with pid 7"]
    )
    world.packages.install("tool", "2.0")
    calls = [call[0] for call in world.changes()]
    assert calls == ["apt-get", "dpkg", "dpkg", "apt-get", "apt-mark"]
    assert world.changes()[1][-2:] == ["--configure", "-a"]
    assert world.packages.version("tool") == "2.0"


def test_an_interrupted_dpkg_that_cannot_be_repaired_is_told(world: World) -> None:
    """In its own words; and not tried for ever."""
    world.debian.change(
        trouble=[
            INTERRUPTED,
            "dpkg: error processing package x (--configure):\n installed x package post-installation script subprocess returned error exit status 1",
        ]
    )
    with pytest.raises(StepFailed, match=r"dpkg --configure -a: dpkg: error processing package x"):
        world.packages.install("tool", "2.0")
    assert len(world.changes()) == 2


def test_lists_that_are_old_are_fetched_once(world: World) -> None:
    """A version that is nowhere is told after that."""
    says = r"installing tool=3\.0: E: Version '3\.0' for 'tool' was not found; apt-cache madison tool lists"
    with pytest.raises(StepFailed, match=says):
        world.packages.install("tool", "3.0")
    assert [call[-1] for call in world.changes()] == ["tool=3.0", "update", "tool=3.0"]
    assert world.debian.state["held"] == []


def test_a_hold_is_not_lifted(world: World) -> None:
    """Somebody wants the package as it is: neither installed over nor removed."""
    Notes(Tree(world.debian.root)).brought.note("tool")
    world.debian.change(held=["tool"])
    for act in (lambda: world.packages.install("tool", "2.0"), lambda: world.packages.remove("tool")):
        with pytest.raises(StepFailed, match=r"tool is held at 1\.0; apt-mark unhold tool"):
            act()
    assert world.changes() == []
    world.packages.install("tool", "1.0")  # what is there already is no matter of a hold


def test_a_hold_of_ours_is_lifted_for_a_change_and_put_there_again(world: World) -> None:
    """Only what is noted as ours; asked to hold nothing, ours goes, and a person's never does."""
    world.packages.install("tool", "2.0")
    assert (world.packages.held("tool"), world.packages.holds("tool")) == (True, True)
    world.packages.install("tool", "0.9")
    assert [call[:2] for call in world.changes() if call[0] == "apt-mark"] == [
        ["apt-mark", one] for one in ("hold", "unhold", "hold")
    ]
    assert world.debian.state["held"] == ["tool"]
    world.packages.install("tool", "0.9", hold=False)
    assert (world.packages.held("tool"), world.debian.path(f"{HOLDS}/tool").exists()) == (False, False)

    world.debian.change(held=["tool"])
    world.packages.install("tool", "0.9", hold=False)
    world.packages.install("tool", "0.9")
    assert (world.packages.held("tool"), world.packages.holds("tool")) == (True, False)
    with pytest.raises(StepFailed, match=r"tool is held at 0\.9; apt-mark unhold tool"):
        world.packages.install("tool", "2.0")


def test_what_is_there_already_is_only_held(world: World) -> None:
    """And it is not removed, neither by us nor by a way back: it was there before us."""
    world.packages.install("tool", "1.0")
    assert world.changes() == [["apt-mark", "hold", "--", "tool"]]
    world.packages.install("tool", "2.0")
    done = len(world.changes())
    for refuses in (world.packages.check_removal, world.packages.remove):
        with pytest.raises(
            StepFailed, match="tool was there before kubenode, so it is not removed; remove it by hand"
        ):
            refuses("tool")
    assert world.changes()[done:] == []
    assert (world.packages.version("tool"), world.packages.holds("tool")) == ("2.0", True)


def test_a_package_of_ours_is_removed_and_nothing_besides(world: World) -> None:
    """By dpkg, which refuses where another one needs it; let go before, and only if it is there."""
    world.debian.package("more", "", "1.0", "2.0")
    for version in ("1.0", "2.0"):
        world.packages.install("more", version)
    done = len(world.changes())
    world.packages.check_removal("more")
    world.packages.remove("more")
    world.packages.remove("more")
    assert world.changes()[done:] == [
        ["apt-mark", "unhold", "--", "more"],
        ["dpkg", "--remove", "--", "more"],
    ]
    assert (world.packages.held("more"), world.packages.holds("more"), world.packages.version("more")) == (
        None,
        False,
        "",
    )
    assert [world.debian.path(f"{folder}/more").exists() for folder in (HOLDS, BROUGHT)] == [False, False]


def test_what_a_person_brings_after_us_is_theirs(world: World) -> None:
    """Though we had the package before: killed after dpkg, what is noted is forgotten all the same."""
    world.debian.package("more", "", "1.0")
    world.packages.install("more", "1.0")
    world.debian.change(packages={"tool": "1.0"}, held=[])  # dpkg has removed it, and we were killed
    world.packages.remove("more")
    world.debian.change(packages={"tool": "1.0", "more": "1.0"}, held=["more"])  # by a person
    with pytest.raises(StepFailed, match="more was there before kubenode"):
        world.packages.remove("more")
    assert (world.packages.held("more"), world.packages.holds("more")) == (True, False)


def test_that_we_brought_it_is_noted_before_it_comes(world: World) -> None:
    """Killed in the middle of the installation, we know."""
    world.debian.package("more", "", "1.0")
    noted: list[bool] = []
    world.debian.point = lambda _: noted.append(world.debian.path(f"{BROUGHT}/more").exists())
    world.packages.install("more", "1.0", hold=False)
    assert noted[0] is True


@pytest.mark.parametrize(
    ("state", "ours"),
    [
        ("install ok unpacked", False), ("install ok half-configured", False), ("install reinstreq half-installed", False),
        ("deinstall ok config-files", True), ("unknown ok not-installed", True),
    ],
)  # fmt: skip
def test_what_is_half_installed_is_there(tmp_path: Path, state: str, ours: bool) -> None:
    """Whoever began it: made whole it is not ours, and where it is ours it is removed in any state."""
    calls: list[list[str]] = []
    answers = [state, "install ok installed", "install ok installed"]

    def run(argv: list[str], limit: float) -> Ran:
        calls.append(list(argv))
        return Ran(code=0, out=f"{answers.pop(0) if argv[0] == 'dpkg-query' else ''} 2.0\n")

    tree = Tree(tmp_path)
    packages = Packages(run, print, Notes(tree))
    packages.install("tool", "2.0", hold=False)
    assert Notes(tree).brought.has("tool") is ours

    Notes(tree).brought.note("tool")
    calls.clear()
    answers[:] = [state, "unknown ok not-installed"]
    packages.remove("tool")
    assert (["dpkg", "--remove", "--", "tool"] in calls) is not ours
    assert not Notes(tree).brought.has("tool")


@pytest.mark.parametrize("name", ["-oAPT::x=1", "--purge", "a b", "a;b", "", "a/b", "a=1"])
def test_what_is_no_package_reaches_no_program(world: World, name: str) -> None:
    """Not as an option, not as two."""
    for act in (lambda: world.packages.install(name, "1"), lambda: world.packages.version(name)):
        with pytest.raises(StepFailed, match="is not the name of a package"):
            act()
    assert world.debian.calls() == []


@pytest.mark.parametrize("version", ["", "-1", "1 2", "1*", "1;x", "$(x)", "1\n"])
def test_what_is_no_version_reaches_no_program(world: World, version: str) -> None:
    """A pattern would let apt choose."""
    with pytest.raises(StepFailed, match="is not the version of a package"):
        world.packages.install("tool", version)
    assert world.debian.calls() == []


ANSWERS: dict[str, tuple[Ran, str]] = {
    "whole": (Ran(code=0, out="install ok installed 1:2.0-1\n"), "1:2.0-1"),
    "half": (Ran(code=0, out="install ok half-configured 2.0\n"), ""),
    "removed": (Ran(code=0, out="deinstall ok config-files 2.0\n"), ""),
    "two": (Ran(code=0, out="unknown ok not-installed \ninstall ok installed 3\n"), "3"),
    "none": (Ran(code=1, tail="no packages found"), ""),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_a_version_is_one_that_is_whole(what: str) -> None:
    """What is half configured is not installed."""
    ran, version = ANSWERS[what]
    assert Packages(lambda argv, limit: ran, print, NOBODY).version("tool") == version


def test_nobody_can_tell_when_dpkg_cannot() -> None:
    """That is no answer, least of all that a package is absent."""
    broken: dict[str, Callable[..., Ran]] = {
        "code": lambda argv, limit: Ran(code=2, tail="dpkg-query: error: failed to open"),
        "time": lambda argv, limit: Ran(code=None),
        "gone": lambda argv, limit: Ran(code=127, tail="there is no program dpkg-query"),
    }
    for run in broken.values():
        with pytest.raises(StepFailed):
            Packages(run, print, NOBODY).version("tool")


def test_a_package_that_is_broken_is_installed_anew(tmp_path: Path) -> None:
    """Though its version is the right one."""
    calls: list[list[str]] = []

    def run(argv: list[str], limit: float) -> Ran:
        calls.append(list(argv))
        state = "reinstreq" if len(calls) == 1 else "ok"
        return Ran(code=0, out=f"install {state} installed 2.0\n")

    Packages(run, print, Notes(Tree(tmp_path))).install("tool", "2.0", hold=False)
    assert "--reinstall" in calls[1]


@pytest.mark.parametrize(("anew", "changes"), [(True, 1), (False, 0)])
def test_a_package_at_its_version_is_installed_anew_when_that_is_asked(
    tmp_path: Path, anew: bool, changes: int
) -> None:
    """Its files may be damaged; else it is left as it is."""
    calls: list[list[str]] = []

    def run(argv: list[str], limit: float) -> Ran:
        calls.append(list(argv))
        return Ran(code=0, out="install ok installed 2.0\n")

    Packages(run, print, Notes(Tree(tmp_path))).install("tool", "2.0", hold=False, anew=anew)
    installs = [argv for argv in calls if "install" in argv]
    assert len(installs) == changes
    assert all("--reinstall" in argv and argv[-1] == "tool=2.0" for argv in installs)
