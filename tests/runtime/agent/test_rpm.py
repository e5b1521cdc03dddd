"""RPM packages, by the real rpm and dnf below a root folder: packages that rpmbuild has made, in a repository of files.

What a host has besides is in docs/reference/components.md: what was not tested.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from kubenode.runtime.agent.commands import Commands, Ran
from kubenode.runtime.agent.packages import LOCK_LIMIT, Notes, Packages
from kubenode.runtime.agent.rpm import LOCKS, RpmPackages, package_manager
from kubenode.runtime.agent.tree import StepFailed, Tree
from tests.cluster.fixture import refuse

_NEEDED = ("rpm", "rpmbuild", "dnf", "createrepo_c")
_SPEC = """
Name: %{name_}
Version: %{ver}
Release: %{rel}
Epoch: %{ep}
Summary: of a test
License: none
BuildArch: noarch
%{?needs:Requires: %{needs}}
%description
Of a test.
%install
mkdir -p %{buildroot}/usr/share/%{name_}
echo %{ver}-%{rel} > %{buildroot}/usr/share/%{name_}/version
%files
/usr/share/%{name_}/version
"""
_BUILT = (
    ("tool", "1.0", "1", "0"),
    ("tool", "2.0", "1", "0"),
    ("tool", "0.5", "1.el9", "1"),
    ("user", "1", "1", "0"),
)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of three versions of a tool, and of what needs it."""
    missing = [one for one in _NEEDED if shutil.which(one) is None]
    if missing:
        refuse(
            f"there is no {missing[0]}: apt-get install rpm dnf createrepo-c dnf-plugins-core",
            in_ci=bool(os.environ.get("CI")),
        )
    folder = tmp_path_factory.mktemp("rpm")
    (folder / "one.spec").write_text(_SPEC)
    for name, version, release, epoch in _BUILT:
        words = {
            "name_": name,
            "ver": version,
            "rel": release,
            "ep": epoch,
            "_topdir": folder / "build",
            "_rpmdir": folder / "repo",
        }
        if name == "user":
            words["needs"] = "tool"
        defined = [word for key, value in words.items() for word in ("--define", f"{key} {value}")]
        subprocess.run(
            ["rpmbuild", "-bb", "--quiet", *defined, "one.spec"], cwd=folder, check=True, timeout=60
        )
    subprocess.run(["createrepo_c", "-q", "repo"], cwd=folder, check=True, timeout=60)
    return folder / "repo"


class Host:
    """A root with a dnf of its own configuration, and how long was waited."""

    def __init__(self, root: Path, repository: Path) -> None:
        self.root = root
        self.repository = repository
        self.calls: list[tuple[str, ...]] = []
        self.slept = 0.0
        self.lock: int | None = None
        self._run = Commands()
        plugins = root / "etc/dnf/plugins"
        plugins.mkdir(parents=True)
        self.locks = root / LOCKS[1:]
        self.locks.touch()
        (plugins / "versionlock.conf").write_text(f"[main]\nenabled=1\nlocklist={self.locks}\n")
        self.configure()
        self.packages = RpmPackages(self, self._sleep, Notes(Tree(root)), Tree(root))

    def configure(self, plugins: int = 1) -> None:
        """Write how dnf works."""
        (self.root / "etc/dnf/dnf.conf").write_text(
            f"[main]\ngpgcheck=0\nplugins={plugins}\npluginconfpath={self.root}/etc/dnf/plugins\nreposdir=/nonexistent\n"
            f"cachedir={self.root}/var/cache/dnf\n[local]\nname=local\nbaseurl=file://{self.repository}\n"
        )

    def __call__(self, argv: Sequence[str], limit: float) -> Ran:
        """Run a program on this root."""
        self.calls.append(tuple(argv))
        where = {
            "rpm": ("--root", str(self.root)),
            "dnf": (f"--config={self.root}/etc/dnf/dnf.conf", f"--installroot={self.root}", "--releasever=1"),
        }[argv[0]]
        return self._run((argv[0], *where, *argv[1:]), limit)

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds
        if self.lock is not None:
            os.close(self.lock)
            os.wait()
            self.lock = None

    def changes(self) -> list[str]:
        """Name what was called besides looks."""
        return [
            next(one for one in call[1:] if not one.startswith("-")) if call[0] == "dnf" else call[1]
            for call in self.calls
            if "--query" not in call
        ]

    def whole(self) -> list[str]:
        """Give what rpm knows and what stands there."""
        known = self(("rpm", "--query", "--all"), 60).out.split()
        return [
            *sorted(known),
            *(path.read_text().strip() for path in sorted(self.root.glob("usr/share/*/version"))),
        ]


@pytest.fixture
def host(tmp_path: Path, repository: Path) -> Host:
    """A root where nothing is installed."""
    return Host(tmp_path, repository)


def test_a_package_is_brought_to_an_exact_version_up_and_down(host: Host) -> None:
    """By name, epoch, version and release; locked there, and then there is nothing to do."""
    assert (host.packages.version("tool"), host.packages.held("tool")) == ("", None)
    for version in ("1.0-1", "2.0-1", "1.0-1", "1:0.5-1.el9"):
        host.packages.install("tool", version)
        assert (host.packages.version("tool"), host.packages.holds("tool")) == (version, True)
        assert host.whole() == [f"tool-{version.removeprefix('1:')}.noarch", version.removeprefix("1:")]
    done = len(host.changes())
    host.packages.install("tool", "1:0.5-1.el9")
    assert host.changes()[done:] == []
    # What upgrades all leaves it: dnf itself does not see what is newer.
    host.packages.install("tool", "1.0-1")
    assert host(("dnf", "-y", "-q", "upgrade"), 60).code == 0
    assert host.packages.version("tool") == "1.0-1"
    host.packages.install("tool", "1.0-1", hold=False)
    assert (host.packages.held("tool"), host.packages.holds("tool")) == (False, False)


def test_what_is_there_is_put_down_anew_when_that_is_asked_for(host: Host) -> None:
    """Its files are what they were; it is locked as before, and a lock of somebody else is not lifted for it."""
    host.packages.install("tool", "1.0-1")
    (file,) = host.root.glob("usr/share/*/version")
    file.write_text("damaged")
    host.packages.install("tool", "1.0-1")
    assert file.read_text() == "damaged"
    host.packages.install("tool", "1.0-1", anew=True)
    assert host.whole() == ["tool-1.0-1.noarch", "1.0-1"]
    assert host.packages.holds("tool")
    host.packages.install("tool", "1.0-1", hold=False)
    host.locks.write_text("tool-0:1.0-1.*\n")
    with pytest.raises(StepFailed, match=r"tool is locked at 1\.0-1; dnf versionlock delete tool"):
        host.packages.install("tool", "1.0-1", anew=True)


def test_a_lock_of_somebody_else_is_not_lifted(host: Host) -> None:
    """It is told, with what to do; what is there at its version is left as it is."""
    host.packages.install("tool", "1.0-1", hold=False)
    host.locks.write_text("# by hand\n!tool-0:9-1.*\ntoolbox-0:1-1.*\ntool-0:1.0-1.*\n")
    for act in (lambda: host.packages.install("tool", "2.0-1"), lambda: host.packages.remove("tool")):
        with pytest.raises(StepFailed, match=r"tool is locked at 1\.0-1; dnf versionlock delete tool"):
            act()
    host.packages.install("tool", "1.0-1")
    assert (host.packages.held("tool"), host.packages.holds("tool")) == (True, False)
    host.packages.install("tool", "1.0-1", hold=False)
    assert host.packages.held("tool") is True


def test_a_pattern_locks_what_it_matches(host: Host) -> None:
    """As dnf has it."""
    host.packages.install("tool", "1.0-1", hold=False)
    for line, held in (("to*", True), ("*-0:1.0-1.*", True), ("too", False), ("toolbox-0:1.0-1.*", False)):
        host.locks.write_text(f"{line}\n")
        assert host.packages.held("tool") is held


def test_a_transaction_that_was_cut_short_is_repaired(host: Host) -> None:
    """Two versions are none; whichever is wanted, there is one afterwards, and all of it."""
    for wanted in ("2.0-1", "1.0-1"):
        host.packages.install("tool", "1.0-1")
        both = str(host.repository / "noarch/tool-2.0-1.noarch.rpm")
        assert host(("rpm", "--install", "--force", both), 60).code == 0
        assert len(host.whole()) == 3
        assert host.packages.version("tool") == ""
        host.packages.install("tool", wanted)
        assert host.whole() == [f"tool-{wanted}.noarch", wanted]
        assert host.packages.holds("tool")
    assert "remove" in host.changes()


def test_another_rpm_that_runs_is_waited_for(host: Host) -> None:
    """And not for ever."""
    host.packages.install("tool", "1.0-1")
    (lock,) = host.root.rglob(".rpm.lock")
    for act in (lambda: host.packages.install("tool", "2.0-1"), lambda: host.packages.remove("tool")):
        host.lock = _locked(lock)
        before = host.slept
        act()
        assert host.slept > before
    assert host.whole() == []


def _locked(path: Path) -> int:
    """Let a child lock a file, since a lock of one's own locks nothing; it ends when what is given is closed."""
    release, hold = os.pipe()
    ready, told = os.pipe()
    if not os.fork():
        os.close(hold)
        with path.open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            os.write(told, b"x")
            os.read(release, 1)
        os._exit(0)
    os.close(release)
    os.close(told)
    os.read(ready, 1)
    os.close(ready)
    return hold


def test_nobody_is_waited_for_for_ever(tmp_path: Path) -> None:
    """What hangs is told."""
    slept: list[float] = []

    def run(argv: Sequence[str], limit: float) -> Ran:
        if "--query" in argv:
            return Ran(code=1, out="package tool is not installed\n")
        return Ran(code=1, tail="error: can't create transaction lock on /var/lib/rpm/.rpm.lock")

    packages = RpmPackages(run, slept.append, Notes(Tree(tmp_path)), Tree(tmp_path))
    with pytest.raises(StepFailed, match=r"installing tool-1-1: another package manager has run for 300 s"):
        packages.install("tool", "1-1")
    assert sum(slept) == LOCK_LIMIT


def test_what_is_not_to_be_had_is_told_with_what_to_do(host: Host) -> None:
    """After the lists were fetched anew; and nothing is changed or locked."""
    with pytest.raises(
        StepFailed,
        match=r"installing tool-9-1: Error: Unable to find a match: tool-0:9-1; dnf list --showduplicates",
    ):
        host.packages.install("tool", "9-1")
    assert sum("--refresh" in call for call in host.calls) == 1
    assert (host.whole(), host.locks.read_text()) == ([], "")


def test_without_versionlock_it_is_told(host: Host) -> None:
    """What asks for no hold does without."""
    host.configure(plugins=0)
    with pytest.raises(
        StepFailed, match=r"locking tool: dnf has no versionlock; install its plugin, or write hold: false"
    ):
        host.packages.install("tool", "1.0-1")
    host.packages.install("tool", "1.0-1", hold=False)
    assert host.packages.version("tool") == "1.0-1"


def test_nothing_is_removed_besides(host: Host) -> None:
    """It is refused where another package needs it; removed it is gone, and so is our lock."""
    host.packages.install("tool", "1.0-1")
    host.packages.install("user", "1-1")
    with pytest.raises(StepFailed, match=r"removing tool: .*tool is needed by"):
        host.packages.remove("tool")
    host.packages.remove("user")
    host.packages.check_removal("tool")
    host.packages.remove("tool")
    host.packages.remove("tool")
    host.packages.check_removal("tool")
    assert (host.whole(), [line for line in host.locks.read_text().split() if "tool" in line]) == ([], [])


def test_what_was_there_before_us_is_not_removed(host: Host) -> None:
    """It is brought to another version, and stays; what a person brings again after us is theirs."""
    host.packages.install("tool", "1.0-1")
    host(("rpm", "--erase", "--", "tool"), 60)  # and we were killed
    host.packages.remove("tool")
    host(("rpm", "--install", "--", str(host.repository / "noarch/tool-1.0-1.noarch.rpm")), 60)
    host.packages.install("tool", "2.0-1")
    for refuses in (host.packages.check_removal, host.packages.remove):
        with pytest.raises(StepFailed, match="tool was there before kubenode, so it is not removed"):
            refuses("tool")
    assert host.packages.version("tool") == "2.0-1"


@pytest.mark.parametrize(
    ("name", "version"),
    [("-y", "1-1"), ("a b", "1-1"), ("tool", "1"), ("tool", "1-1 --x"), ("tool", "-1-1"), ("tool", "*-1")],
)
def test_what_is_no_package_or_version_reaches_no_program(tmp_path: Path, name: str, version: str) -> None:
    """Not as an option, not as a pattern."""
    called: list[object] = []

    def run(argv: Sequence[str], limit: float) -> Ran:
        called.append(argv)
        return Ran(code=0)

    with pytest.raises(StepFailed, match=r"is not the (name|version) of a package"):
        RpmPackages(run, print, Notes(Tree(tmp_path)), Tree(tmp_path)).install(name, version)
    assert called == []


def test_nobody_can_tell_when_rpm_cannot(tmp_path: Path) -> None:
    """That is no answer."""
    for ran in (
        Ran(code=1, tail="error: rpmdb: damaged header"),
        Ran(code=None),
        Ran(code=127, tail="there is no program rpm"),
    ):
        packages = RpmPackages(lambda argv, limit, ran=ran: ran, print, Notes(Tree(tmp_path)), Tree(tmp_path))
        with pytest.raises(StepFailed):
            packages.version("tool")


def test_a_host_says_itself_which_it_has(tmp_path: Path) -> None:
    """A Debian on which somebody has installed dnf is a Debian."""

    def kind() -> type:
        return type(package_manager(Tree(tmp_path), lambda argv, limit: Ran(code=0), print))

    assert kind() is Packages
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/dnf").touch()
    (tmp_path / "etc").mkdir()
    assert kind() is RpmPackages
    (tmp_path / "etc/debian_version").touch()
    assert kind() is Packages
