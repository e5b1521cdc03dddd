"""Settings and modules of the kernel: set and seen to be set, and as they were when a later step fails."""

from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from kubenode.core.host.journal import JournalState
from kubenode.core.step import SetKernel, Step, WriteFile
from kubenode.runtime.agent.commands import Ran
from kubenode.runtime.agent.executor import Stopped
from kubenode.runtime.agent.tree import Tree
from tests.runtime.agent.debian import Debian
from tests.runtime.agent.test_work import Host, write

FORWARD, MODULE = "net.ipv4.ip_forward", "br-netfilter"
FILES = ("/etc/modules-load.d/k.conf", "/etc/sysctl.d/90-k.conf")


def kernel(*modules: str, **settings: str) -> SetKernel:
    """Set the kernel; of settings a line stands for each dot."""
    return SetKernel(
        name="k",
        modules=modules,
        sysctl=tuple((key.replace("__", "."), value) for key, value in settings.items()),
    )


class Linux(Debian):
    """A Debian with modules: loaded by modprobe as the kernel shows it.

    Attributes:
        used: a module that something uses.
        brings: the file of a setting that comes and goes with modules.
    """

    used = ""
    brings = ""

    def _ran(self, argv: list[str]) -> Ran:
        if argv[0] not in ("modprobe", "rmmod"):
            return super()._ran(argv)
        assert argv[1] == "--"
        state = self.path(f"/sys/module/{argv[2].replace('-', '_')}/initstate")
        if argv[2] == "none":
            return Ran(code=1, tail="modprobe: FATAL: Module none not found in directory /lib/modules/6.1")
        if argv[0] == "rmmod" and argv[2] == self.used:
            return Ran(code=1, tail="rmmod: ERROR: Module is in use")
        if argv[0] == "rmmod":
            state.unlink()
        elif argv[2] != "builtin":
            state.parent.mkdir(parents=True, exist_ok=True)
            state.write_text("live\n")
            if self.brings:
                self.path(self.brings).parent.mkdir(parents=True)
                self.path(self.brings).write_text("0\n")
        return Ran(code=0)


class Kernel(Host):
    """A host whose kernel can be seen."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.agent.close(10)
        self.debian: Linux = Linux(folder)
        self.start()
        for key, value in (("net/ipv4/ip_forward", "0\n"), ("net/ipv4/tcp_rmem", "4096\t131072\t6291456\n")):
            path = self.debian.path(f"/proc/sys/{key}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(value)

    def value(self, key: str = "net/ipv4/ip_forward") -> str:
        """Give a running value."""
        return self.debian.path(f"/proc/sys/{key}").read_text()

    def loaded(self) -> list[str]:
        """Name the modules that are loaded."""
        modules = self.debian.path("/sys/module")
        return (
            [one.name for one in modules.iterdir() if (one / "initstate").exists()]
            if modules.exists()
            else []
        )

    def calls(self) -> Sequence[Sequence[str]]:
        """Give what was called of modprobe and rmmod."""
        return [call for call in self.debian.calls() if call[0] in ("modprobe", "rmmod")]

    def done(self, *steps: Step, op: str = "op") -> None:
        """Do steps that succeed."""
        self.run(*steps, op=op)
        assert self.said(op) == (JournalState.DONE, "")

    def failed(self, *steps: Step, op: str = "op") -> str:
        """Do steps that fail; give why."""
        self.run(*steps, op=op)
        state, why = self.said(op)
        assert state is JournalState.FAILED
        return why


@pytest.fixture
def host(tmp_path: Path) -> Kernel:
    """One host."""
    return Kernel(tmp_path)


def test_a_setting_is_set(host: Kernel) -> None:
    """In place, since /proc has no other way, and for the next boot; one that has the value already is not touched."""
    inode = host.debian.path("/proc/sys/net/ipv4/ip_forward").stat().st_ino
    host.done(kernel(net__ipv4__ip_forward="1"))
    assert host.value() == "1\n"
    assert host.debian.path("/proc/sys/net/ipv4/ip_forward").stat().st_ino == inode
    assert host.debian.path(FILES[1]).read_text() == "net.ipv4.ip_forward = 1\n"
    assert not host.debian.path(FILES[0]).exists()
    host.done(kernel(net__ipv4__tcp_rmem="4096 131072  6291456"), op="op2")
    assert host.value("net/ipv4/tcp_rmem") == "4096\t131072\t6291456\n"


def test_a_module_is_loaded_once(host: Kernel) -> None:
    """Its name has a dash or a line; what is built in has no state, and is loaded as well."""
    host.done(kernel(MODULE, "br_netfilter", "builtin"))
    assert host.loaded() == ["br_netfilter"]
    assert host.calls() == [["modprobe", "--", MODULE], ["modprobe", "--", "builtin"]]
    assert host.debian.path(FILES[0]).read_text() == "br-netfilter\nbr_netfilter\nbuiltin\n"


def test_all_of_it_is_undone(host: Kernel) -> None:
    """The old value is back, and what we have loaded is unloaded; what was loaded before stays, as does what is built in."""
    host.done(kernel("overlay"), op="before")
    why = host.failed(kernel("overlay", MODULE, "builtin", net__ipv4__ip_forward="1"), write(b"bad"))
    assert why.endswith("; the host is as it was before")
    assert (host.value(), host.loaded()) == ("0\n", ["overlay"])
    assert host.debian.path(FILES[0]).read_text() == "overlay\n"
    assert not host.debian.path(FILES[1]).exists()
    assert [list(call) for call in host.calls()][-1] == ["rmmod", "--", MODULE]


def test_a_module_that_is_used_stays_and_is_told(host: Kernel) -> None:
    """The rest is undone."""
    host.debian.used = MODULE
    why = host.failed(kernel(MODULE, net__ipv4__ip_forward="1"), write(b"bad"))
    assert (
        f"and on the way back: unload module {MODULE}: rmmod {MODULE}: rmmod: ERROR: Module is in use" in why
    )
    assert (host.value(), host.loaded()) == ("0\n", ["br_netfilter"])


def test_a_setting_may_come_with_its_module(host: Kernel) -> None:
    """It is not there before; its way back is that the module goes."""
    host.debian.brings = "/proc/sys/net/bridge/x"
    host.done(kernel(MODULE, net__bridge__x="1"))
    assert host.value("net/bridge/x") == "1\n"


WRONG: dict[str, tuple[SetKernel, str]] = {
    "no setting": (kernel(net__ipv4__none="1"), "the kernel has no setting net.ipv4.none; load the module that brings it"),
    "a path": (SetKernel(name="k", sysctl=(("net/../../../etc/app/app.conf", "1"),)), "is no kernel setting such as"),
    "no module": (kernel("none"), "modprobe none: modprobe: FATAL: Module none not found"),
    "an option": (kernel("--remove"), "is no module such as"),
    "a file elsewhere": (attrs.evolve(kernel("overlay"), name="../x"), "is not a plain absolute path"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_done_leads_back(host: Kernel, what: str) -> None:
    """With why."""
    step, says = WRONG[what]
    why = host.failed(WriteFile(path="/etc/x", content=b"x", then=None), step)
    assert says in why
    assert why.endswith("; the host is as it was before")
    assert not [path for path in ("/etc/x", *FILES) if host.debian.path(path).exists()]


def test_a_value_that_the_kernel_does_not_keep_is_told(host: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes another one of it; the old one is back."""
    adjust = Tree.adjust
    monkeypatch.setattr(
        Tree,
        "adjust",
        lambda self, path, content: adjust(self, path, b"7\n" if content == b"9\n" else content),
    )
    why = host.failed(kernel(net__ipv4__ip_forward="9"))
    assert "the kernel has taken another value for net.ipv4.ip_forward" in why
    assert host.value() == "0\n"


def test_no_link_is_followed(host: Kernel) -> None:
    """Out of /proc."""
    path = host.debian.path("/proc/sys/net/ipv4/ip_forward")
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert "the kernel has no setting" in host.failed(kernel(net__ipv4__ip_forward="1"))


def test_values_are_not_in_the_journal(host: Kernel) -> None:
    """Neither the new nor the old one: there are secrets among them, as of addresses."""
    host.debian.path("/proc/sys/net/ipv4/ip_forward").write_text("old-secret\n")
    during: list[str] = []
    host.debian.point = lambda _: during.append((host.folder / "state" / "journal").read_text())
    step = kernel(MODULE, net__ipv4__ip_forward="new-secret")
    host.done(step)
    journal = (host.folder / "state" / "journal").read_text()
    assert "SetKernel" in during[0]
    assert "SetSysctl" in during[0]
    assert not [text for text in (*during, journal, repr(step)) if "secret" in text]


def test_cut_short_it_goes_on(host: Kernel) -> None:
    """The value is set by the next agent, and what was noted before the first try is the way back."""

    def die(when: str) -> None:
        host.debian.point = lambda _: None
        raise Stopped

    host.debian.point = die
    host.run(kernel(MODULE, net__ipv4__ip_forward="1"), write(b"bad"))
    assert host.said()[0] is JournalState.STARTED
    host.die(reboot=True)
    assert host.said()[1].endswith("; the host is as it was before")
    assert (host.value(), host.loaded()) == ("0\n", [])
