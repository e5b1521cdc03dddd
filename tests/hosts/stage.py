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
from contextlib import contextmanager, suppress
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
    """A network with an API server and any number of hosts; as a context manager all is gone at the end of the block.

    Only what runs `inside` reaches the API server and the hosts.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        image: Path,
        *,
        run: "_Run",
        network: Network,
        supervisor: Supervisor,
    ) -> None:
        """Hold what `start` has made; call that instead."""
        self.control_plane = control_plane
        self.network = network
        self._image = image
        self._run = run
        self._supervisor = supervisor
        self._hosts: dict[str, Host] = {}
        self._layers: list[Path] = []

    @classmethod
    @contextmanager
    def start(cls, image: Path, binaries: Path) -> Iterator[Self]:
        """Yield a stage with a running control plane and no host.

        Args:
            image: the root folder that hosts boot from (`image.root_image`).
            binaries: the programs of the control plane.
        """
        with _Run.begin(hosts_cache()) as run:
            network = Network.create()
            try:
                with network.inside():
                    # What it starts is where it was made: in this network.
                    supervisor = Supervisor(run.folder)
                    try:
                        control_plane = ControlPlane.start(binaries, node_grace_s=10, address=GATEWAY)
                    except BaseException:
                        supervisor.close()
                        raise
                try:
                    yield cls(control_plane, image, run=run, network=network, supervisor=supervisor)
                finally:
                    supervisor.close()
                    control_plane.stop()
            finally:
                network.close()

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
        for left in cache.glob(f"{_MARK}*.lock"):
            with suppress(BlockingIOError, FileNotFoundError):  # it runs; or another session was faster
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
