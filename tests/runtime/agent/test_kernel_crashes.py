"""Kernel settings that are cut short before and after everything that is done: killed, or with the power cut.

After a boot the kernel has the values and modules that the files of then say; what only ran before is gone.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubenode.components import Desired, KernelDriver, KernelParams
from kubenode.core.hookspecs import Have
from kubenode.core.host.journal import JournalState
from kubenode.core.model.entry import ConfigState, Running
from kubenode.core.step import RestartUnit, Step, WriteFile
from kubenode.runtime.agent.disk import Disk
from kubenode.runtime.agent.executor import Executor
from kubenode.runtime.agent.host import About, RealHost
from tests.runtime.agent.mortal import DEAD, MortalDisk
from tests.runtime.agent.test_crashes import FIRST, OP, SECOND, WAYS, Way, after, done, folder, life
from tests.runtime.agent.test_kernel import Linux

__all__ = ["folder"]  # the fixture

WANT = Desired(
    version="1", params=KernelParams(name="k", sysctl={"net.ipv4.ip_forward": "1"}, modules=("br_netfilter",))
)
STEPS = KernelDriver().plan(WANT, Have(version="", config=ConfigState.UNKNOWN, state=Running.ABSENT))
BAD = WriteFile(path="/etc/other.conf", content=b"bad", then=RestartUnit(unit="other.service"))
FORWARD, MODULE = "/proc/sys/net/ipv4/ip_forward", "/sys/module/br_netfilter/initstate"
SYSCTL, MODULES = "/etc/sysctl.d/90-k.conf", "/etc/modules-load.d/k.conf"
OLD, NEW = (False, False, "0", False), (True, True, "1", True)


def prepared(place: Path) -> None:
    """A host on which nothing is set."""
    made = Linux(place)
    (place / "state").mkdir(mode=0o700)
    made.path(FORWARD).parent.mkdir(parents=True)
    made.path(FORWARD).write_text("0\n")
    made.path("/etc").mkdir()
    made.path("/etc/other.conf").write_text("good")
    made.unit("other.service", reads="/etc/other.conf")


def booted(place: Path) -> None:
    """Boot: what the files say, and nothing else."""
    made = Linux(place)
    made.path(FORWARD).write_text("1\n" if made.path(SYSCTL).exists() else "0\n")
    shutil.rmtree(made.path("/sys"), ignore_errors=True)
    if made.path(MODULES).exists():
        made._ran(["modprobe", "--", "br_netfilter"])
    made.boot()


def agent(place: Path, disk: Disk, boot: str) -> RealHost:
    """The agent of that host."""
    point = disk.point if isinstance(disk, MortalDisk) else (lambda _: None)
    about = About(machine="m1", node="n1", boot_id=boot, version="1")
    run = Linux(place, point)
    return RealHost(
        about, place / "state", lambda: None, root=place / "root", run=run, disk=disk, sleep=lambda _: None
    )  # fmt: skip


def amiss(place: Path, boot: str, new: tuple[object, ...]) -> str:
    """Start the agent once more, and say what is wrong then; empty when nothing is."""
    entry = after(place, boot, born=agent)
    made = Linux(place)
    value = made.path(FORWARD).read_text().strip()
    now = (made.path(SYSCTL).exists(), made.path(MODULES).exists(), value, made.path(MODULE).exists())
    if os.listdir(place / "state" / "kept"):
        return "left behind"
    if entry is None:
        return "" if now == OLD else f"{now} of an operation that nobody knows"
    if entry.state is JournalState.STARTED:
        return "it is not over"
    return "" if now == (new if entry.state is JournalState.DONE else OLD) else f"{now}, {entry}"


def violations(top: Path, steps: tuple[Step, ...], way: Way) -> Iterator[str]:
    """Let it die at every point; say what is wrong after that."""
    prepared(top / "begin")
    shutil.copytree(top / "begin", top / "whole")
    disk = MortalDisk()
    host = agent(top / "whole", disk, FIRST)
    host.resume()
    host._work.begin(OP, steps)
    done(host)
    assert disk.count > 20
    if what := amiss(top / "whole", FIRST, NEW):
        yield f"not cut short at all: {what}"
    for at in range(1, disk.count + 1):
        place = top / f"at-{at}"
        shutil.copytree(top / "begin", place)
        code = life(place, MortalDisk(at, power=way.power, torn=way.torn), FIRST, steps, born=agent)
        assert code == DEAD, (at, code)
        if way.power:
            booted(place)
        if what := amiss(place, SECOND if way.power else FIRST, NEW):
            yield f"died before {at} of {disk.count}: {what}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("steps", [STEPS, (*STEPS, BAD)], ids=["set", "gone back from"])
def test_cut_short_anywhere_it_reaches_what_is_wanted_or_what_was(
    folder: Path, steps: tuple[Step, ...], way: str
) -> None:
    """At every point there is."""
    assert list(violations(folder, steps, WAYS[way])) == []


def test_the_enumeration_notices(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that forgets a value on the way back is found out."""
    whole = Executor.undo

    def forgetful(self: Executor, act: object) -> None:
        if type(act).__name__ != "SetSysctl":
            whole(self, act)  # type: ignore[arg-type]

    monkeypatch.setattr(Executor, "undo", forgetful)
    assert next(violations(folder, (*STEPS, BAD), Way()), "") != ""
