"""Real hosts and a real API server in a network of their own, of which nothing is left afterwards.

Lives here: what hosts share, and who clears it away. When the process that tests is killed, its hosts are
killed with it (`supervise`), and with them go mounts, interfaces and the network. Folders and empty cgroups of
it are removed by the next `Stage`: they bear the name of a run whose lock nobody holds.
"""

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from kubenode.runtime.testing import ControlPlane
from kubenode.runtime.testing.supervise import Supervisor
from tests.hosts.host import Host
from tests.hosts.network import GATEWAY, Network
from tests.hosts.tools import hosts_cache

_CGROUPS: Final = Path("/sys/fs/cgroup")
_MARK: Final = "kubenode-hosts-"
_ENDED_WITHIN_S: Final = 10.0
_POLL_S: Final = 0.05


class Stage:
    """A network with an API server and any number of hosts, which all last as long as the block of `start`.

    Only what runs `inside` its network reaches the API server and the hosts.
    """

    def __init__(
        self, image: Path, binaries: Path, *, run: "_Run", network: Network, supervisor: Supervisor
    ) -> None:
        """Hold what `start` has made; call that instead."""
        self.network = network
        self._image = image
        self._binaries = binaries
        self._run = run
        self._supervisor = supervisor
        self._control_plane: ControlPlane | None = None
        self._hosts: dict[str, Host] = {}
        self._layers: list[Path] = []

    @classmethod
    @contextmanager
    def start(cls, image: Path, binaries: Path) -> Iterator[Self]:
        """Yield a stage without any host.

        Args:
            image: the root folder that hosts boot from (`image.root_image`).
            binaries: the programs of the control plane.
        """
        with ExitStack() as stack:
            run = stack.enter_context(_Run.begin(hosts_cache()))
            network = Network.create()
            stack.callback(network.close)
            with network.inside():
                supervisor = Supervisor(run.folder)  # what it starts is where it was made: in this network
            stack.callback(supervisor.close)
            stage = cls(image, binaries, run=run, network=network, supervisor=supervisor)
            stack.callback(stage._stop_control_plane)
            yield stage

    @property
    def control_plane(self) -> ControlPlane:
        """The control plane, started when first asked for; a node that is silent for ten seconds is Unknown to it."""
        if self._control_plane is None:
            with self.network.inside():
                self._control_plane = ControlPlane.start(self._binaries, node_grace_s=10, address=GATEWAY)
        return self._control_plane

    def _stop_control_plane(self) -> None:
        if self._control_plane is not None:
            self._control_plane.stop()

    @property
    def folder(self) -> Path:
        """Where its hosts have their files; its name is that of all that the machine has of it."""
        return self._run.folder

    def host(self, name: str, *layers: Path) -> Host:
        """Return a new host that is off; it lasts as long as the stage, or to the end of its own block.

        Args:
            name: what it is called, 12 characters at most, another one for each.
            layers: folders to lay over the image, the topmost first: programs that it is to have from the start.
        """
        made = Host(
            name,
            self.network.address(len(self._hosts) + 1),
            self._run.folder / name,
            layers=(*layers, self._image),
            cgroups=[top / name for top in self._run.cgroups],
            network=self.network,
            supervisor=self._supervisor,
        )
        self._hosts[name] = made
        return made

    def layer(self, program: Path, path: str) -> Path:
        """Return a folder to lay over the image, so that a host has the program at this path.

        Args:
            program: it becomes the program's second name; no host can change it.
            path: absolute, as the host sees it.
        """
        layer = self._run.folder / f"layer-{len(self._layers)}"
        self._layers.append(layer)
        target = layer / path.lstrip("/")
        target.parent.mkdir(parents=True)
        target.hardlink_to(program)
        return layer


class _Run:
    """The folder of one run and its cgroups, under a lock that says that the run is not over."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock

    @classmethod
    @contextmanager
    def begin(cls, cache: Path) -> Iterator["_Run"]:
        """Clear away what killed runs have left, and yield a new one."""
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "runs.lock").open("w") as one_by_one:
            # Else a session could take the new lock of another for one that was left.
            fcntl.flock(one_by_one, fcntl.LOCK_EX)
            for left in cache.glob(f"{_MARK}*.lock"):
                with suppress(BlockingIOError, FileNotFoundError):  # it runs; or has just ended
                    cls._taken(left)._end()
            lock_file = cache / f"{_MARK}{secrets.token_hex(4)}.lock"
            lock_file.touch(exist_ok=False)
            run = cls._taken(lock_file)
        try:
            run.folder.mkdir()
            yield run
        finally:
            run._end()

    @property
    def cgroups(self) -> Sequence[Path]:
        """The cgroup of the run in each hierarchy that systemd keeps its units in: one, or two where it is mixed."""
        if (_CGROUPS / "cgroup.controllers").exists():
            return (_CGROUPS / self.folder.name,)
        tops = (_CGROUPS / name for name in ("systemd", "unified"))
        return tuple(top / self.folder.name for top in tops if top.is_dir())

    @classmethod
    def _taken(cls, lock_file: Path) -> "_Run":
        lock = os.open(lock_file, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(lock)
            raise
        return cls(lock_file.with_suffix(""), lock)

    def _end(self) -> None:
        """Remove everything, the lock last."""
        for top in self.cgroups:
            _remove_cgroups(top)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_suffix(".lock").unlink(missing_ok=True)
        os.close(self._lock)


def _remove_cgroups(top: Path) -> None:
    """Remove a tree of cgroups, once what ran in it has ended."""
    deadline = time.monotonic() + _ENDED_WITHIN_S
    for folder, _, _ in os.walk(top, topdown=False):
        while True:
            try:
                Path(folder).rmdir()
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)
            else:
                break
