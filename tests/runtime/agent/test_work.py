"""Operations on a host: once, in order, put back when a step fails, and taken up after a crash, but not for ever."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubenode.core.decision import RunSteps
from kubenode.core.host.journal import JournalState
from kubenode.core.model import Disruption, Ref
from kubenode.core.probe import PackageVersion, ReadFile, UnitState
from kubenode.core.step import (
    EnableUnit,
    InstallPackage,
    Reboot,
    ReloadUnit,
    RemoveFile,
    RemovePackage,
    RestartUnit,
    Step,
    StopUnit,
    WriteFile,
)
from kubenode.runtime.agent.controller import CannotLook
from kubenode.runtime.agent.executor import Stopped
from kubenode.runtime.agent.host import About, RealHost
from kubenode.runtime.agent.journal import Journal, JournalFailed
from kubenode.runtime.agent.packages import Notes
from kubenode.runtime.agent.tree import Tree
from tests.runtime.agent.debian import Debian, nothing

CONF, UNIT = "/etc/app/app.conf", "app.service"


class Host:
    """A host and its agent, which can die and start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.debian = Debian(folder)
        self.debian.path(CONF).parent.mkdir(parents=True)
        self.debian.path(CONF).write_text("old")
        self.debian.unit(UNIT, reads=CONF)
        self.debian.package("tool", "1.0", "2.0")
        (folder / "state").mkdir()
        self.told = 0
        self.hears: Callable[[], object] = lambda: None
        self.boot = 1
        self.waited = 0
        self.start()

    def start(self) -> None:
        """Start the agent."""
        about = About(machine="m1", node="n1", boot_id=f"boot-{self.boot}", version="1")
        self.agent = RealHost(
            about,
            self.folder / "state",
            self._heard,
            root=self.debian.root,
            run=self.debian,
            sleep=self._sleep,
            **self.made(),
        )
        self.agent.resume()

    def made(self) -> dict[str, Any]:
        """Give what the agent is made with besides."""
        return {}

    def _heard(self) -> None:
        self.told += 1
        self.hears()

    def _sleep(self, seconds: float) -> None:
        """Time stands still; who waits for the host to go down waits until the agent is ended."""
        if seconds == 1.0:
            self.waited += 1
            if self.waited > 1000:
                return
            raise Stopped

    def run(self, *steps: Step, op: str = "op") -> None:
        """Run steps, and wait."""
        ref = Ref(kind="Machine", name="m1", uid="u")
        effect = RunSteps(machine=ref, op_id=op, steps=steps, disruption=Disruption.RESTART)
        asyncio.run(self.agent.run(effect))
        self.rest()

    def rest(self) -> None:
        """Wait until nothing runs."""
        end = time.monotonic() + 20
        while not self.agent.idle():
            assert time.monotonic() < end
            time.sleep(0.001)

    def die(self, reboot: bool = False) -> None:
        """End the agent; start it again, perhaps in another boot."""
        self.agent.close(10)
        self.boot += reboot
        self.start()
        self.rest()

    def said(self, op: str = "op") -> tuple[JournalState, str]:
        """Give what is known of an operation."""
        seen = self.agent.seen("m1")
        assert seen is not None
        return seen.journal[op].state, seen.journal[op].message

    def now(self) -> tuple[str, str, str]:
        """Give what is in the file, what the unit has read of it, and the package."""
        state = self.debian.state
        return (
            self.debian.path(CONF).read_text(),
            state["units"][UNIT]["read"],
            state["packages"].get("tool", ""),
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """One host."""
    return Host(tmp_path)


def write(content: bytes) -> WriteFile:
    """Write the configuration, and let the unit read it."""
    return WriteFile(path=CONF, content=content, then=RestartUnit(unit=UNIT))


def test_steps_are_done_in_order_and_once(host: Host) -> None:
    """The same op-id again does nothing, in this life of the agent and the next."""
    steps = (write(b"new"), InstallPackage(package="tool", version="2.0", then=None))
    host.run(*steps)
    assert (host.said(), host.now()) == ((JournalState.DONE, ""), ("new", "new", "2.0"))
    assert host.told == 1
    calls = len(host.debian.calls())
    host.run(*steps)
    host.die()
    host.run(*steps)
    host.die(reboot=True)
    host.run(*steps)
    assert len(host.debian.calls()) == calls


def test_a_bad_configuration_is_put_back(host: Host) -> None:
    """What the unit reads is what it read before, and it runs; what was done before it is undone too."""
    host.run(InstallPackage(package="tool", version="2.0", then=None), write(b"bad"))
    state, why = host.said()
    assert state is JournalState.FAILED
    assert why.startswith(f"step 2 of 2, write {CONF}: systemctl restart {UNIT}: Job for {UNIT} failed")
    assert why.endswith("; the host is as it was before, but for packages that may have come along with tool")
    assert host.now() == ("old", "old", "1.0")
    assert host.debian.state["units"][UNIT]["active"] == "active"


def test_what_cannot_be_put_back_is_told(host: Host) -> None:
    """The old version is no more to be had; the rest is put back."""
    host.debian.package("tool", "1.0", "2.0")
    host.debian.change(archive={"tool": ["2.0"]})
    host.run(InstallPackage(package="tool", version="2.0", then=None), write(b"bad"))
    _, why = host.said()
    assert "; and on the way back: install tool=1.0: installing tool=1.0: E: Version" in why
    assert host.now() == ("old", "old", "2.0")


def test_a_step_without_a_way_back_is_not_begun(host: Host) -> None:
    """A folder stands where a file should be."""
    host.debian.path(CONF).unlink()
    host.debian.path(CONF).mkdir()
    host.run(write(b"new"))
    assert host.said() == (
        JournalState.FAILED,
        f"step 1 of 1, write {CONF}: {CONF} is no plain file; move it away",
    )
    assert host.debian.calls("apt-get") == []


UNDONE: dict[str, tuple[Step, Callable[[Host], Any], Any]] = {
    "remove": (RemovePackage(package="tool"), lambda host: host.debian.state["packages"].get("tool"), "1.0"),
    "stop": (StopUnit(unit=UNIT), lambda host: host.debian.state["units"][UNIT]["active"], "active"),
    "a new file": (
        WriteFile(path="/srv/a/b", content=b"x", then=None), lambda host: host.debian.path("/srv").exists(), False,
    ),
    "a file that goes": (
        RemoveFile(path=CONF, content=b"old", then=None), lambda host: host.debian.path(CONF).exists(), True,
    ),
    "a start at boot": (
        EnableUnit(unit=UNIT, enabled=True), lambda host: host.debian.state["units"][UNIT].get("enabled", "disabled"), "disabled",
    ),
    "a unit that is started by a reload": (
        ReloadUnit(unit="rests.service"), lambda host: host.debian.state["units"]["rests.service"]["active"], "inactive",
    ),
    "a hold": (
        InstallPackage(package="tool", version="1.0", then=None), lambda host: host.debian.state["held"], [],
    ),
    "a new package": (
        InstallPackage(package="more", version="1", then=None),
        lambda host: host.debian.state["packages"].get("more"), None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", UNDONE)
def test_every_kind_of_step_is_undone(host: Host, what: str) -> None:
    """When a later one fails."""
    step, look, before = UNDONE[what]
    state = host.debian.state
    host.debian.change(archive={**state["archive"], "more": ["1"]})
    host.debian.unit("rests.service", active=False)
    Notes(Tree(host.debian.root)).brought.note("tool")
    assert look(host) == before
    seen: list[Any] = []
    host.debian.point = lambda _: seen.append(look(host))
    host.run(step, write(b"bad"))
    assert host.said()[0] is JournalState.FAILED
    assert look(host) == before
    assert any(one != before for one in seen)


def test_what_was_only_held_brought_nothing_along(host: Host) -> None:
    """The host is as it was; of two that were installed both are named."""
    host.debian.package("more", "", "1")
    hold = InstallPackage(package="tool", version="1.0", then=None)
    host.run(hold, write(b"bad"))
    assert host.said()[1].endswith("; the host is as it was before")
    both = (
        InstallPackage(package=name, version=version, then=None)
        for name, version in (("more", "1"), ("tool", "2.0"))
    )
    host.run(*both, write(b"bad"), op="two")
    assert host.said("two")[1].endswith(
        "as it was before, but for packages that may have come along with more and tool"
    )


def test_what_was_there_before_us_is_not_removed_and_nothing_is_stopped_for_it(host: Host) -> None:
    """It is known before the first step; with what to do about it."""
    host.run(StopUnit(unit=UNIT), RemovePackage(package="tool"))
    assert host.said() == (
        JournalState.FAILED,
        "tool was there before kubenode, so it is not removed; remove it by hand, and the entry is at target, or take the entry away",
    )
    assert [call for call in host.debian.calls() if call[0] == "dpkg" or "stop" in call] == []
    assert host.debian.state["packages"]["tool"] == "1.0"


def test_a_unit_that_a_file_brought_is_stopped_again(host: Host) -> None:
    """It was not there before; nor is its file afterwards."""
    path = "/etc/systemd/system/more.service"
    state = host.debian.state
    state["units"]["more.service"] = {"active": "inactive", "reads": path, "read": "", "id": "", "file": path}
    host.debian.change(units=state["units"])
    file = WriteFile(path=path, content=b"[Service]", then=RestartUnit(unit="more.service"))
    host.run(file, write(b"bad"))
    assert host.said()[1].endswith("; the host is as it was before")
    assert host.debian.state["units"]["more.service"]["active"] == "inactive"
    assert host.debian.state["units"]["more.service"]["id"]
    assert not host.debian.path("/etc/systemd").exists()


def test_a_hold_of_ours_is_there_again_on_the_way_back(host: Host) -> None:
    """It was lifted for the change."""
    host.run(InstallPackage(package="tool", version="1.0", then=None))
    host.run(InstallPackage(package="tool", version="2.0", then=None), write(b"bad"), op="two")
    assert (host.now()[2], host.debian.state["held"]) == ("1.0", ["tool"])


def test_a_file_that_was_changed_meanwhile_is_not_removed(host: Host) -> None:
    """It is not what was written there."""
    host.debian.path(CONF).write_text("mine")
    host.run(RemoveFile(path=CONF, content=b"old", then=RestartUnit(unit=UNIT)))
    assert host.said() == (
        JournalState.FAILED,
        f"step 1 of 1, remove {CONF}: {CONF} is not what was written there, so it stays; look at it, and remove it by hand; "
        "the host is as it was before",
    )
    assert host.debian.path(CONF).read_text() == "mine"
    assert [call[2:] for call in host.debian.calls("systemctl") if "restart" in call] == []


def test_what_reads_a_file_that_goes_is_told(host: Host) -> None:
    """Removed again it is removed; and what was there is read again when a later step fails."""
    remove = RemoveFile(path=CONF, content=b"old", then=RestartUnit(unit=UNIT))
    host.run(remove, write(b"bad"))
    assert host.now()[:2] == ("old", "old")
    host.run(remove, remove, op="two")
    assert host.said("two")[0] is JournalState.DONE
    assert host.debian.state["units"][UNIT]["read"] == ""


def test_a_reload_is_no_restart(host: Host) -> None:
    """The unit reads its file in the run that it is in; also what was put back."""
    run = host.debian.state["units"][UNIT]["id"]
    reload = ReloadUnit(unit=UNIT)
    host.run(WriteFile(path=CONF, content=b"new", then=reload))
    assert host.now()[:2] == ("new", "new")
    host.run(WriteFile(path=CONF, content=b"newer", then=reload), StopUnit(unit="none.service"), op="two")
    host.run(
        WriteFile(path=CONF, content=b"newest", then=reload), RestartUnit(unit="none.service"), op="three"
    )
    assert host.said("three")[0] is JournalState.FAILED
    assert host.now()[:2] == ("newer", "newer")
    assert host.debian.state["units"][UNIT]["id"] == run


def test_systemd_reads_a_drop_in_of_a_new_folder(host: Host) -> None:
    """Which it does not see by itself: NeedDaemonReload stays no. On the way back it is told again."""
    path = f"/etc/systemd/system/{UNIT}.d/10-more.conf"
    host.run(WriteFile(path=path, content=b"[Service]", then=RestartUnit(unit=UNIT)), write(b"bad"))
    assert host.said()[1].endswith("; the host is as it was before")
    calls = [" ".join(call[2:]) for call in host.debian.calls("systemctl") if "show" not in call]
    reload, restart = "daemon-reload", f"restart -- {UNIT}"
    assert calls[:2] == [reload, restart]
    assert calls[-2:] == [reload, restart]


def test_what_is_half_done_is_not_looked_at(host: Host) -> None:
    """While steps run, what was found before they began stands; what was not looked at before is not known."""
    file, package = (ReadFile(CONF), UnitState(UNIT)), (PackageVersion("tool"),)
    assert host.agent.look("m1", file).files[CONF] == b"old"
    seen: list[object] = []

    def point(_: str) -> None:
        seen.append(host.debian.path(CONF).read_text())
        seen.append(host.agent.look("m1", file).files[CONF])
        with pytest.raises(CannotLook, match="under way"):
            host.agent.look("m1", package)

    host.debian.point = point
    host.run(write(b"new"))
    host.debian.point = nothing
    assert seen == ["new", b"old"] * 2
    assert host.said()[0] is JournalState.DONE
    assert host.agent.look("m1", file).files[CONF] == b"new"
    assert host.agent.look("m1", package).packages["tool"] == "1.0"


def test_who_is_told_of_the_end_finds_what_was_done(host: Host) -> None:
    """Nobody comes a second time, so the steps are over when their end is told."""
    file = (ReadFile(CONF),)
    assert host.agent.look("m1", file).files[CONF] == b"old"
    seen: list[bytes] = []
    host.hears = lambda: seen.append(host.agent.look("m1", file).files[CONF])
    host.run(write(b"new"))
    assert seen == [b"new"]


def test_a_reboot_is_asked_for_and_judged_by_the_boot(host: Host) -> None:
    """Until the boot is another one it is under way; the steps after it follow then; it happens once."""
    host.run(write(b"new"), Reboot(), InstallPackage(package="tool", version="2.0", then=None))
    assert host.said()[0] is JournalState.STARTED
    assert host.debian.calls("systemctl").count(["systemctl", "--no-ask-password", "reboot"]) == 1
    assert host.now() == ("new", "new", "1.0")
    host.die(reboot=True)
    assert (host.said()[0], host.now()[2]) == (JournalState.DONE, "2.0")
    host.die(reboot=True)
    assert host.debian.calls("systemctl").count(["systemctl", "--no-ask-password", "reboot"]) == 1


def test_a_reboot_that_was_asked_for_cuts_nothing_short(host: Host) -> None:
    """The agent was restarted once before it: that is one time, and the reboot no second one."""

    def die(when: str) -> None:
        if when == "after":
            host.debian.point = nothing
            raise Stopped

    host.debian.point = die
    host.run(write(b"new"), Reboot(), InstallPackage(package="tool", version="2.0", then=None))
    host.die()
    assert host.said()[0] is JournalState.STARTED
    host.die(reboot=True)
    assert (host.said(), host.now()) == ((JournalState.DONE, ""), ("new", "new", "2.0"))
    assert host.debian.calls("systemctl").count(["systemctl", "--no-ask-password", "reboot"]) == 1


def test_an_agent_that_ends_before_its_host_is_cut_short(host: Host) -> None:
    """As long as the boot is the same it counts: a host that never goes down is not asked for ever."""
    host.run(write(b"new"), Reboot())
    host.die()
    host.die()
    state, why = host.said()
    assert (state, why) == (JournalState.FAILED, "it was cut short twice; the host is as it was before")
    assert host.now() == ("old", "old", "1.0")


def test_a_host_that_does_not_go_down_has_failed(host: Host) -> None:
    """The agent is still there long after."""
    host.waited = 1000
    host.run(Reboot())
    state, why = host.said()
    assert state is JournalState.FAILED
    assert "is still in the same boot after 600 s" in why


def test_a_restart_that_ended_the_agent_is_not_repeated(host: Host) -> None:
    """It is seen by the unit's run: the agent's own unit can be restarted by it."""

    def die(when: str) -> None:
        if when == "after" and host.debian.calls()[-1][2:3] == ["restart"]:
            host.debian.point = lambda _: None
            raise Stopped

    host.debian.point = die
    host.run(RestartUnit(unit=UNIT))
    assert host.said()[0] is JournalState.STARTED
    host.die()
    assert host.said()[0] is JournalState.DONE
    assert [call[2] for call in host.debian.calls("systemctl") if "restart" in call] == ["restart"]


def test_a_restart_that_another_boot_cut_short_is_left_at_that(host: Host) -> None:
    """Everything has been started anew; the decider says what becomes of it."""

    def die(when: str) -> None:
        host.debian.point = lambda _: None
        raise Stopped

    host.debian.point = die
    host.run(RestartUnit(unit=UNIT))
    starts = host.debian.state["starts"]
    host.die(reboot=True)
    seen = host.agent.seen("m1")
    assert seen is not None
    assert seen.journal["op"].is_interrupted(seen.boot_id)
    assert host.debian.state["starts"] == starts


def test_what_kills_the_agent_each_time_is_not_repeated_for_ever(host: Host) -> None:
    """Forwards twice, back twice; then it is given up."""
    lives = 0

    def die(when: str) -> None:
        nonlocal lives
        if when == "after":  # it has done its work: the way back has something to do
            lives += 1
            raise Stopped

    host.debian.point = die
    host.run(write(b"new"))
    for _ in range(10):
        host.die()
    assert lives == 4
    state, why = host.said()
    assert state is JournalState.FAILED
    assert "the way back was cut short too, and is given up" in why


def test_a_journal_that_cannot_be_written_begins_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a failure that is told; the next start of the agent tries again."""

    def full(self: Journal, line: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_append", full)
        host.run(write(b"new"))
    assert (host.now()[0], host.told) == ("old", 1)
    why = "the journal cannot be written: No space left on device; make room"
    assert host.said() == (JournalState.FAILED, why)
    host.die()
    host.run(write(b"new"))
    assert host.now()[0] == "new"


def test_a_journal_that_fills_up_on_the_way_leads_back(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that cannot be announced is not done."""
    begins = Journal.begins

    def full(self: Journal, op_id: str, index: int, begun: Any) -> None:
        if index:
            raise JournalFailed("the journal cannot be written: No space left on device")
        begins(self, op_id, index, begun)

    monkeypatch.setattr(Journal, "begins", full)
    host.run(write(b"new"), InstallPackage(package="tool", version="2.0", then=None))
    assert (host.said()[0], host.now()) == (JournalState.FAILED, ("old", "old", "1.0"))


def test_a_bug_of_a_step_ends_it_as_failed(host: Host) -> None:
    """And is told."""

    def bug(when: str) -> None:
        raise ZeroDivisionError("x")

    host.debian.point = bug
    host.run(write(b"new"))
    assert host.said() == (JournalState.FAILED, "a bug of ours: ZeroDivisionError: x")


def test_a_host_knows_itself_and_no_other(host: Host) -> None:
    """What it says of another machine is nothing."""
    assert host.agent.seen("m2") is None
    seen = host.agent.seen("m1")
    assert seen is not None
    assert (seen.boot_id, seen.node_name, seen.agent_version) == ("boot-1", "n1", "1")
