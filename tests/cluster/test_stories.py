"""Import and hung on the real server: the controller and three simulated agents as processes of their own.

The final states are compared with those of the same stories on the embedded API, in canonical form.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.runtime.manifests import install, to_yaml
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.story import Cast, Stage
from kubenode.runtime.testing.canonical import canonical
from kubenode.runtime.testing.controlplane import ControlPlane

pytestmark = pytest.mark.cluster

HERE = Path(__file__).parent
CAST = HERE / "stories.yaml"
CONTROLLER = "system:serviceaccount:kubenode-system:kubenode-controller"
MACHINES = ("m1", "m2", "m3")
HUNG = "m2"
PATIENCE = 120.0


def embedded() -> tuple[dict[str, m.Json], dict[str, m.Json]]:
    """Play both stories on the embedded API; give the canonical states after each."""
    stage = Stage("real", Cast.read([CAST]), seed=0, tell=lambda _: None)
    stage.open()
    stage.until_running()
    simulation = stage.simulation
    simulation.rest(limit=timedelta(hours=1))
    imported = _embedded_state(stage)
    simulation.hosts[HUNG].hang(kernel_lines())
    simulation.rest(limit=timedelta(hours=1))
    return imported, _embedded_state(stage)


def _embedded_state(stage: Stage) -> dict[str, m.Json]:
    return canonical([raw for kind in m.WATCHED for raw in stage.simulation.objects(kind)])


class Real:
    """The real cluster with the processes on it."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self._plane = plane
        self._folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def kubenode(self, name: str, *arguments: str) -> None:
        """Start one process of ours; its log is kept."""
        log = (self._folder / f"{name}.log").open("wb")
        self.processes[name] = subprocess.Popen(
            [Path(sys.executable).with_name("kubenode"), *arguments], stdout=log, stderr=subprocess.STDOUT
        )
        log.close()

    def begin(self) -> None:
        """Start an agent process a machine."""
        for machine, zone in zip(MACHINES, "abc", strict=True):
            agent = self._plane.kubeconfig(f"kubenode:agent:{machine}", ("kubenode:agents",))
            kubelet = self._plane.kubeconfig(f"system:node:node-{machine}", ("system:nodes",))
            self.kubenode(
                machine, "sim", "agent", machine, "--kubeconfig", str(agent), "--kubelet-kubeconfig", str(kubelet),
                "--zone", zone, "--kmsg", str(self._folder / f"{machine}.kmsg"),
            )  # fmt: skip

    def logs(self) -> str:
        """Give the ends of all logs."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self._folder.glob("*.log"))
        )

    def end(self) -> None:
        """End every process that was started here; a graceful stop is part of the story."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        codes = {name: process.wait(timeout=30) for name, process in self.processes.items()}
        assert set(codes.values()) <= {0}, f"{codes}\n{self.logs()}"

    def state(self) -> dict[str, m.Json]:
        """Give the canonical state of the cluster."""
        plurals = ",".join(f"{kind.KIND.plural}.{kind.KIND.group}".rstrip(".") for kind in m.WATCHED)
        listed = json.loads(self._plane.kubectl("get", plurals, "-o", "json"))
        return canonical(listed["items"])

    def wait(self, what: str, done: Callable[[dict[str, m.Json]], bool]) -> dict[str, m.Json]:
        """Wait until the state is as wanted, and stays so for two seconds."""
        end = time.monotonic() + PATIENCE
        state: dict[str, Any] = {}
        while time.monotonic() < end:
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} died\n{self.logs()}"
            state = self.state()
            if done(state):
                time.sleep(2)
                settled = self.state()
                if settled == state:
                    return settled
            time.sleep(0.5)
        pytest.fail(
            f"{what} did not come within {PATIENCE} s\n{json.dumps(state, indent=1)[:6000]}\n{self.logs()}"
        )


@pytest.fixture
def plane(control_plane_folder: Path) -> Iterator[ControlPlane]:
    """A control plane of its own: the whole cluster is compared, so nobody else may be on it."""
    with ControlPlane.start(control_plane_folder) as running:
        yield running


@pytest.fixture
def real(plane: ControlPlane, tmp_path: Path) -> Iterator[Real]:
    """A cluster with our manifests and the controller with its own rights."""
    plane.kubectl("apply", "-f", "-", input=to_yaml(install()))
    names = [f"crd/{kind.KIND.plural}.{kind.KIND.group}" for kind in m.KINDS]
    plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
    one = Real(plane, tmp_path)
    with ExitStack() as stack:
        stack.callback(one.end)
        one.kubenode("controller", "controller", "--kubeconfig", str(plane.kubeconfig(CONTROLLER)))
        yield one


def test_import_and_hung_end_as_on_the_embedded_api(real: Real, plane: ControlPlane, tmp_path: Path) -> None:
    """Three machines are imported and one is healed; both states equal the embedded run's."""
    imported, healed = embedded()
    plane.kubectl("apply", "-f", "-", input=CAST.read_text())
    # A machine that runs before the controller has seen the sets would get from them in batches what it now brings up.
    real.wait("3 machines of each set", lambda state: _selected(state) == [3, 3])
    real.begin()
    state = real.wait("Running", lambda state: all(_phase(state, name) == "Running" for name in MACHINES))
    assert _without_totals(state) == _without_totals(imported)
    (tmp_path / f"{HUNG}.part").write_text("\n".join(kernel_lines()))
    (tmp_path / f"{HUNG}.part").rename(tmp_path / f"{HUNG}.kmsg")
    state = real.wait("the healing", lambda state: _closed(state) and _phase(state, HUNG) == "Running")
    assert _without_totals(state) == _without_totals(healed)


def _without_totals(state: dict[str, m.Json]) -> dict[str, m.Json]:
    """Leave out of how many machines a revision began: here the first may begin before the last object is there."""
    return {
        name: {
            **obj,
            "status": {word: value for word, value in obj.get("status", {}).items() if word != "total"},
        }
        for name, obj in state.items()
    }


def _selected(state: dict[str, m.Json]) -> list[int]:
    sets = [one for key, one in state.items() if key.startswith("MachineComponentSet/")]
    return [one.get("status", {}).get("selected", 0) for one in sets]


def _phase(state: dict[str, m.Json], name: str) -> str:
    return str(state.get(f"Machine/{name}", {}).get("status", {}).get("phase", ""))


def _closed(state: dict[str, m.Json]) -> bool:
    jobs = [one for key, one in state.items() if key.startswith("RemedyOperationJob/")]
    return bool(jobs) and all(job["status"].get("phase") == "Succeeded" for job in jobs)
