"""The four stories on a real cluster: processes with credentials of their own, and how a run is played and judged.

The controller, or two of them, and the hosts are processes; the test plays the people: who applies manifests, pulls
cables, and lets a rollout go on after a failure.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from kubenode.core import model as m
from kubenode.core.lease import CONTROLLER, NAMESPACE
from kubenode.core.model.meta import ZONE_LABEL
from kubenode.runtime.documents import to_yaml
from kubenode.runtime.testing import install
from kubenode.runtime.testing.canonical import canonical
from kubenode.runtime.testing.controlplane import ControlPlane
from tests.cluster.access import MERGE, admin, grant_second
from tests.cluster.faults import plot
from tests.cluster.faults.forked import Forked
from tests.cluster.faults.host_process import HostProcess
from tests.cluster.faults.judge import USERS, Entry, audited, judge
from tests.cluster.faults.proxy import Proxy
from tests.cluster.waiting import until

KUBENODE: Final = Path(sys.executable).with_name("kubenode")
ROOT: Final = Path(__file__).parents[3]
NODE_GRACE_S: Final = 10
PATIENCE: Final = 180.0
TICK: Final = 0.2
LEASE: Final = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{CONTROLLER}"
LOOK: Final = 1.0
"""How often the whole state is looked at; kubectl is no small program."""


class Controller:
    """One controller, which may be started again and again: its credentials, its proxy, its process, its log."""

    def __init__(
        self, number: int, plane: ControlPlane, folder: Path, stack: ExitStack, *, proxied: bool
    ) -> None:
        self.user = USERS[number]
        self._folder = folder / f"controller-{number}"
        self._folder.mkdir()
        self.log = self._folder / "log"
        self._config = plane.kubeconfig(self.user)
        self.proxy = None
        if proxied:
            self.proxy = stack.enter_context(Proxy(self._config, plane.folder / "pki", self._folder))
            self._config = self.proxy.kubeconfig
        self.program = [str(KUBENODE)]
        self.options: list[str] = []
        self.path: list[str] = []
        """Folders with more that is installed."""
        self.forks = False
        """Whether it is started by a fork, which costs no imports; then it is the program of today."""
        self.popen: subprocess.Popen[bytes] | Forked | None = None
        stack.callback(self.kill)

    def start(self) -> None:
        """Start it, or start it again."""
        words = ["controller", "--kubeconfig", str(self._config), "--listen", "127.0.0.1:0", *self.options]
        if self.forks:
            self.popen = Forked(words, self.log, self.path)
            return
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                [*self.program, *words], stdout=output, stderr=subprocess.STDOUT, cwd=ROOT,
                env={**os.environ, **({"PYTHONPATH": ":".join(self.path)} if self.path else {})},
            )  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.popen is not None
        self.popen.send_signal(number)

    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self.popen is not None and self.popen.poll() is None

    def stop(self) -> None:
        """End it in order."""
        assert self.popen is not None
        self.popen.send_signal(signal.SIGTERM)
        assert self.popen.wait(timeout=60) == 0, self.said()

    def kill(self) -> None:
        """End it, whatever it does."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()

    def leads(self) -> bool:
        """Tell whether it leads, by the last that it said."""
        said = re.findall(r"event=lease-(taken|lost)", self.log.read_text())
        return self.is_alive() and bool(said) and said[-1] == "taken"

    def said(self) -> str:
        """Give the end of its log."""
        return self.log.read_text()[-6000:] if self.log.exists() else ""


class Stage:
    """A cluster with controllers and hosts on it, and the people around it."""

    def __init__(
        self,
        plane: ControlPlane,
        folder: Path,
        stack: ExitStack,
        *,
        controllers: int,
        proxied: bool,
        apart: bool,
    ) -> None:
        self.plane = plane
        self.controllers = [
            Controller(number, plane, folder, stack, proxied=proxied) for number in range(controllers)
        ]
        if controllers > 1:  # one waits for the other's lease to end
            for one in self.controllers:
                one.options = ["--lease-seconds", "5"]
        names = [one.metadata.name for one in plot.cast().of(m.Machine)]
        together = None if apart else HostProcess(folder, "hosts")
        self._hosts = {name: together or HostProcess(folder, f"host-{name}") for name in names}
        for one in self.host_processes:
            stack.callback(one.end)
        self._resumed: set[str] = set()

    @property
    def host_processes(self) -> list[HostProcess]:
        """Give the processes of the hosts: one, or one for each."""
        return list(dict.fromkeys(self._hosts.values()))

    def host(self, machine: str, **order: Any) -> None:
        """Tell the host of a machine to do something."""
        self._hosts[machine].tell(machine=machine, **order)

    def add_hosts(self, *, late: bool) -> None:
        """Start the hosts of the machines."""
        for one in plot.cast().of(m.Machine):
            name = one.metadata.name
            if name.startswith(plot.LATE) != late:
                continue
            spec = plot.spec_of(one)
            agent = self.plane.kubeconfig(f"kubenode:agent:{name}", ("kubenode:agents",))
            kubelet = self.plane.kubeconfig(f"system:node:{spec.node}", ("system:nodes",))
            self.host(
                name, do="add", agent=str(agent), kubelet=str(kubelet), node=spec.node,
                zone=one.metadata.labels[ZONE_LABEL], refuses=sorted(spec.refuses),
                step=spec.step_time.total_seconds(), boot=spec.boot_time.total_seconds(),
            )  # fmt: skip

    def apply(self, *, late: bool = False, machines: bool | None = None) -> None:
        """Apply what is asked for; of that only Machines, or only the rest."""
        wanted = [
            one for one in plot.manifests(late=late)
            if machines is None or (one["kind"] == "Machine") == machines
        ]  # fmt: skip
        self.plane.kubectl("apply", "--server-side", "-f", "-", input=to_yaml(wanted))

    def raw(self) -> list[Any]:
        """Give all objects that matter."""
        plurals = ",".join(f"{kind.KIND.plural}.{kind.KIND.group}".rstrip(".") for kind in m.WATCHED)
        items: list[Any] = json.loads(self.plane.kubectl("get", plurals, "-o", "json"))["items"]
        return items

    def audited(self) -> list[Entry]:
        """Read the audit log."""
        return audited(self.plane.audit_log)

    def written(self, one: Controller) -> int:
        """Count what a controller has written, but for its Lease."""
        return sum(
            entry.user == one.user and entry.wrote and entry.resource != "leases" for entry in self.audited()
        )

    def until(
        self, what: str, done: Callable[[], object], patience: float = PATIENCE, every: float = TICK
    ) -> None:
        """Wait until something is true."""
        until(what, done, patience, logs=self.told, every=every)

    def told(self) -> str:
        """Give the ends of all logs."""
        logs = {one.user: one.said() for one in self.controllers}
        return "\n".join(
            f"--- {name}\n{text}"
            for name, text in {
                **logs,
                **{f"hosts {one.pid}": one.said() for one in self.host_processes},
            }.items()
        )

    def free_lease(self) -> None:
        """End the Lease of whoever is dead, as its duration would: nothing is fenced by it, so nobody has to wait."""
        code, answer = admin(self.plane).call("PATCH", LEASE, {"spec": {"holderIdentity": None}}, MERGE)
        assert code == 200, answer

    # The stories.

    def prepare(self) -> None:
        """Import all machines but the late ones; nothing goes wrong yet."""
        for one in self.controllers:
            if not one.is_alive():
                one.start()
        # The machines first: how many there are when a set begins is kept in its status. The hosts last: a set that
        # comes to machines that run already would be a rollout.
        self.apply(machines=True)
        self.until("their phases", lambda: all(_phases(self.raw()).values()), every=LOOK)
        self.apply(machines=False)
        self.add_hosts(late=False)
        self.until("Running", lambda: set(_phases(self.raw()).values()) == {"Running"}, every=LOOK)

    def begin(self) -> None:
        """Let all four stories begin; what is still to come of them comes by itself, in a thread."""
        for name in plot.CUT:
            self.host(name, do="link", up=False)
        for name in plot.HUNG:
            self.host(name, do="hang")
        self.apply(late=True)
        self.add_hosts(late=True)
        begun = time.monotonic()

        def later() -> None:
            time.sleep(max(0.0, begun + plot.SCARS.total_seconds() - time.monotonic()))
            for name in plot.SCARRED:
                self.host(name, do="hang")
            time.sleep(max(0.0, begun + plot.OUTAGE.total_seconds() - time.monotonic()))
            for name in plot.CUT:
                self.host(name, do="link", up=True)

        threading.Thread(target=later, daemon=True).start()

    def look_after(self, raw: list[Any]) -> None:
        """Be who is on call: a rollout that a failure has paused is let go on, with the failure excused."""
        for one in raw:
            status = one.get("status", {})
            if (
                one["kind"] != "MachineComponentSet"
                or status.get("phase") != "Paused"
                or not status.get("failures")
            ):
                continue
            excuse = {"revision": str(status["update"]["number"]), "failures": status["failures"]}
            body = json.dumps({"spec": {"rollout": {"excuse": excuse}}})
            self.plane.kubectl("patch", "mcs", one["metadata"]["name"], "--type=merge", "-p", body)

    def finish(self, patience: float = PATIENCE, during: Callable[[], None] = lambda: None) -> None:
        """Wait for the end, and judge the run."""
        expected = plot.embedded()
        end = time.monotonic() + patience
        state: Mapping[str, m.Json] = {}
        while state != expected.state:
            if time.monotonic() > end:
                pytest.fail(f"another end:\n{_differ(state, expected.state)}\n{self.told()}")
            during()
            raw = self.raw()
            self.look_after(raw)
            state = canonical(raw)
            time.sleep(LOOK)
        time.sleep(2)
        raw = self.raw()
        assert canonical(raw) == expected.state, _differ(canonical(raw), expected.state)
        done = {machine: host for one in self.host_processes for machine, host in one.done().items()}
        machines = [one for one in raw if one["kind"] == "Machine"]
        checks = judge(self.audited(), done, machines, expected.acts)
        failed = [check for check in checks if not check.passed]
        assert not failed, f"{failed}\n{self.told()}"


def _phases(raw: list[Any]) -> dict[str, str]:
    return {
        one["metadata"]["name"]: one.get("status", {}).get("phase", "")
        for one in raw
        if one["kind"] == "Machine"
    }


def _differ(found: Mapping[str, m.Json], expected: Mapping[str, m.Json]) -> str:
    """Say where two states differ."""
    lines = list[str]()

    def compare(where: str, one: Any, other: Any) -> None:
        if isinstance(one, dict) and isinstance(other, dict):
            for key in sorted(one.keys() | other.keys()):
                compare(f"{where}.{key}", one.get(key), other.get(key))
        elif one != other:
            lines.append(f"{where}: {json.dumps(one)[:300]} instead of {json.dumps(other)[:300]}")

    compare("", dict(found), dict(expected))
    return "\n".join(lines[:40])


@contextmanager
def staged(
    binaries: Path, folder: Path, *, controllers: int = 1, proxied: bool = True, apart: bool = False
) -> Iterator[Stage]:
    """Give a stage on a control plane of its own: the whole cluster is compared, so nobody else may be on it.

    With `apart` each host is a process of its own, which costs half a minute of a core; else one process has all.
    """
    with ExitStack() as stack:
        plane = stack.enter_context(
            ControlPlane.start(binaries, folder, audit_bodies=True, node_grace_s=NODE_GRACE_S)
        )
        install(plane)
        grant_second(plane)
        yield Stage(plane, folder, stack, controllers=controllers, proxied=proxied, apart=apart)
