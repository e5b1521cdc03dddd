"""A test host: real Debian with real systemd, in namespaces, that can be asked, cut off and lose its power.

Lives here: the life of one host. What it boots from is `image`, what it is connected to `network`; `stage`
makes hosts and takes care that nothing of them is left.
"""

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from kubenode.runtime.testing.supervise import Supervisor
from tests.hosts.network import BRIDGE, GATEWAY, PREFIX, Network

_BOOT: Final = Path(__file__).with_name("boot.sh")
_OWN_NAMESPACES: Final = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_ENVIRON: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
_BOOTED_WITHIN_S: Final = 60.0
_ENDED_WITHIN_S: Final = 60.0
_REBOOTS: Final = 133
"""With this code systemd-nspawn ends when the host has asked for a reboot."""
_COMMAND_WITHIN_S: Final = 120.0
_POLL_S: Final = 0.05
_LOG_LINES: Final = 20

_T = TypeVar("_T")


class HostError(Exception):
    """Says what a command on a host answered, or why the host did not do what was asked of it."""


class Host:
    """One host, on or off. Its files last from boot to boot; made by `Stage.host`.

    A power cut kills every process of it at once. What they had written and not synced is still there after it,
    since the kernel is the machine's and lives on: it is a cut for processes, not a test of fsync.
    """

    def __init__(
        self, name: str, address: str, folder: Path, *,
        layers: Sequence[Path], cgroups: Sequence[Path], network: Network, supervisor: Supervisor,
    ) -> None:  # fmt: skip
        """Make its files, without turning it on.

        Args:
            name: what it is called, 12 characters at most: its interface is named by it.
            address: its address in the network.
            folder: where to keep what it changes; made here.
            layers: the folders that it sees as its root, merged, the first on top.
            cgroups: a folder for it in each hierarchy of cgroups that systemd keeps its units in.
            network: what to connect it to.
            supervisor: what ends it when the tests end.
        """
        self.name = name
        self.address = address
        self._folder = folder
        self._layers = tuple(layers)
        self._cgroups = tuple(cgroups)
        self._network = network
        self._supervisor = supervisor
        self._launched: int | None = None
        self._leader: int | None = None
        for part in ("upper", "work", "root"):
            (folder / part).mkdir(parents=True)
        (folder / "upper").chmod(0o755)
        self.write("/etc/hostname", f"{name}\n")
        self.write("/etc/machine-id", f"{uuid.uuid4().hex}\n", mode=0o444)
        self.write("/etc/hosts", f"127.0.0.1 localhost\n{address} {name}\n")
        self.write(
            "/etc/systemd/network/10-host0.network",
            f"[Match]\nName=host0\n\n[Network]\nAddress={address}/{PREFIX}\nGateway={GATEWAY}\n",
        )

    def __enter__(self) -> Self:
        """Return itself, off as it was made."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut its power and remove its files."""
        self.power_cut()
        shutil.rmtree(self._folder)

    @property
    def is_on(self) -> bool:
        """Whether its first process lives."""
        return self._leader is not None and Path(f"/proc/{self._leader}").exists()

    @property
    def boot_id(self) -> str:
        """What the kernel calls this boot; it is another one after each."""
        return self.run("cat", "/proc/sys/kernel/random/boot_id").strip()

    def power_on(self) -> None:
        """Boot it, and return when systemd has started all it has to, after about two seconds.

        Raises:
            HostError: it does not come up within a minute, or a unit has failed; with what is known.
        """
        if self.is_on:
            raise HostError(f"{self.name} is on")
        lower = ":".join(map(str, self._layers))
        boot = ("sh", _BOOT, self._folder, lower, *self._cgroups, "--", *self._nspawn())
        launched = self._supervisor.start(self.name, [*_OWN_NAMESPACES, *map(str, boot)], self._log)
        self._launched = launched
        self._leader = self._await(lambda: _first_process(launched), "its first process")
        state = self._await(self._booted, "systemd to have started everything")
        if state != "running":
            raise HostError(f"{self.name} is {state}:\n{self.run('systemctl', '--failed', '--no-legend')}")

    def power_off(self) -> None:
        """Shut it down in order, and return when nothing of it runs."""
        self._end(signal.SIGTERM)

    def power_cut(self) -> None:
        """Kill every process of it at once, and return when none is left; nothing is told to any of them."""
        self._end(signal.SIGKILL)

    def await_reboot(self) -> None:
        """Wait until it goes down for a reboot that something on it has asked for, and boot it, as its firmware would.

        Raises:
            HostError: it does not go down within a minute, or does not ask for a boot.
        """
        self._await_end()
        code = self._supervisor.exit_code(self.name)
        if code != _REBOOTS:
            raise HostError(f"{self.name} ended with code {code}, and asked for no boot; {self._said()}")
        self._launched = self._leader = None
        self.power_on()

    def command(self, *argv: str) -> list[str]:
        """Return the command line that runs this one on the host, as root, with the rights that root has there.

        Raises:
            HostError: it is off.
        """
        if self._leader is None or not self.is_on:
            raise HostError(f"{self.name} is off")
        # Whoever only enters the namespaces keeps the rights of the machine's root: to set its clock, for one.
        rights = ",".join(("-all", *(f"+cap_{number}" for number in _rights(self._leader))))
        return [
            "setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}",
            "nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "--", *argv,
        ]  # fmt: skip

    def run(self, *argv: str, input: str = "", check: bool = True) -> str:
        """Run a command on the host, without a shell, and return its standard output.

        Args:
            argv: the command.
            input: what it reads from standard input.
            check: whether an exit code other than 0 is an error.

        Raises:
            HostError: the host is off, or the command failed; with what it said.
            subprocess.TimeoutExpired: it runs for more than two minutes.
        """
        done = subprocess.run(
            self.command(*argv), input=input, env=_ENVIRON, capture_output=True, check=False, text=True,
            timeout=_COMMAND_WITHIN_S,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise HostError(
                f"{self.name}: {' '.join(argv)} ended with code {done.returncode}:\n{done.stderr}{done.stdout}"
            )
        return done.stdout

    def read(self, path: str) -> str:
        """Return the text of a file on the host, which is on.

        Raises:
            HostError: it cannot be read.
        """
        return self.run("cat", "--", path)

    def place(self, path: str) -> Path:
        """Return where this machine sees a file of the host, which is on, in this boot: to look often and at no cost."""
        return Path(f"/proc/{self._leader}/root{path}")

    def write(self, path: str, content: str, *, mode: int = 0o644) -> None:
        """Write a file on the host, and the folders to it; while it is off, too.

        Raises:
            HostError: it cannot be written; or the host is off and the path begins with a link, as /bin.
        """
        if self.is_on:
            self.run("install", "-D", "-m", f"{mode:o}", "/dev/stdin", path, input=content)
            return
        kept = self._place(path)
        kept.write_text(content)
        kept.chmod(mode)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link on the host, and the folders to it, while it is off."""
        self._place(path).symlink_to(target)

    def cut_network(self) -> None:
        """Lose all that it sends and is sent, without any word of it."""
        self._network.cut(self.name)

    def restore_network(self) -> None:
        """Undo `cut_network`."""
        self._network.restore(self.name)

    def _place(self, path: str) -> Path:
        """Return where a file of this path is kept, of which nothing is there, while the host is off."""
        kept = self._folder / "upper" / path.lstrip("/")
        top = path.split("/")[1]
        if any((layer / top).is_symlink() for layer in self._layers):
            raise HostError(f"/{top} is a link, which a folder of that name would hide: say where {path} is")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        return kept

    @property
    def _log(self) -> Path:
        return self._folder / "console.log"

    def _nspawn(self) -> tuple[str, ...]:
        return (
            "systemd-nspawn",
            f"--directory={self._folder / 'root'}",
            f"--machine={self.name}",
            f"--network-bridge={BRIDGE}",
            "--register=no",
            "--keep-unit",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--console=pipe",
            "--capability=CAP_SYSLOG",
            # The kubelet opens the kernel log. The machine's own is not the host's to read, or to write.
            "--bind=/dev/null:/dev/kmsg",
            "--boot",
        )

    def _booted(self) -> str | None:
        """Return what systemd says of itself once it has done all jobs of the boot."""
        state = self.run("systemctl", "is-system-running", check=False).strip()
        return state if state in ("running", "degraded", "maintenance") else None

    def _end(self, number: signal.Signals) -> None:
        if self._launched is None:
            return
        with suppress(ProcessLookupError, FileNotFoundError):
            # Before it has a first process, there is nothing in it to tell: what launches it is killed.
            if self._leader is None:
                os.kill(self._launched, signal.SIGKILL)
            else:
                os.kill(_parent(self._leader), number)
        self._await_end()
        self._launched = self._leader = None

    def _await_end(self) -> None:
        deadline = time.monotonic() + _ENDED_WITHIN_S
        while self._supervisor.exit_code(self.name) is None or self.is_on:
            if time.monotonic() > deadline:
                raise HostError(f"{self.name} has not ended within {_ENDED_WITHIN_S:.0f} s; {self._said()}")
            time.sleep(_POLL_S)

    def _await(self, found: Callable[[], _T | None], what: str) -> _T:
        deadline = time.monotonic() + _BOOTED_WITHIN_S
        while not (result := found()):
            ended = self._supervisor.exit_code(self.name)
            if ended is not None:
                raise HostError(f"{self.name} ended with code {ended}; {self._said()}")
            if time.monotonic() > deadline:
                raise HostError(f"{self.name}: waited {_BOOTED_WITHIN_S:.0f} s for {what}; {self._said()}")
            time.sleep(_POLL_S)
        return result

    def _said(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "its console ends:\n" + "\n".join(lines)


def _first_process(launched: int) -> int | None:
    """Return the first process of the host that this one has launched, or None while there is none."""
    with suppress(FileNotFoundError, ProcessLookupError):
        depth = len(_numbers(launched))
        for nspawn in _children(launched):
            for process in _children(nspawn):
                numbers = _numbers(process)  # of the helpers of systemd-nspawn one less
                runs = Path(f"/proc/{process}/comm").read_text().strip()
                # By then it has given up the rights that a host is not to have.
                if len(numbers) == depth + 2 and numbers[-1] == "1" and runs == "systemd":
                    return process
    return None


def _rights(process: int) -> list[int]:
    """Return the numbers of the capabilities that a process and its children can have."""
    status = Path(f"/proc/{process}/status").read_text()
    bounding = int(next(line for line in status.splitlines() if line.startswith("CapBnd:")).split()[1], 16)
    return [number for number in range(bounding.bit_length()) if bounding >> number & 1]


def _numbers(process: int) -> list[str]:
    """Return the numbers of a process in the namespaces that it is in, the outermost first."""
    status = Path(f"/proc/{process}/status").read_text()
    return next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _parent(process: int) -> int:
    """Return the parent of a process."""
    # The name in the second field may have blanks; the fourth is the parent.
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
