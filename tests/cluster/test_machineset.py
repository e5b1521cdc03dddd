"""A MachineSet on a real API server, scaled with kubectl while the controller process runs."""

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubenode.core import model as m
from kubenode.core.model.meta import ZONE_LABEL
from kubenode.runtime.manifests import install, to_yaml
from kubenode.runtime.testing.controlplane import ControlPlane
from tests.cluster.waiting import until

pytestmark = pytest.mark.cluster

SET = Path(__file__).with_name("machineset.yaml")
CONTROLLER = "system:serviceaccount:kubenode-system:kubenode-controller"
PATIENCE = 60.0


@pytest.fixture
def plane(control_plane_folder: Path) -> Iterator[ControlPlane]:
    """A control plane of its own: a controller acts on the whole of it."""
    with ControlPlane.start(control_plane_folder) as running:
        running.kubectl("apply", "-f", "-", input=to_yaml(install()))
        names = [f"crd/{kind.KIND.plural}.{kind.KIND.group}" for kind in m.KINDS]
        running.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
        yield running


@pytest.fixture
def log(plane: ControlPlane, tmp_path: Path) -> Iterator[Path]:
    """The log of a running controller with its own rights; it stops gracefully in the end."""
    path = tmp_path / "controller.log"
    kubeconfig = str(plane.kubeconfig(CONTROLLER))
    with path.open("wb") as out:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("kubenode"), "controller", "--kubeconfig", kubeconfig],
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    yield path
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0, path.read_text()[-3000:]


def machines(plane: ControlPlane) -> list[m.Json]:
    """Give all machines as they are served."""
    found: list[m.Json] = json.loads(plane.kubectl("get", "machines", "-o", "json"))["items"]
    return found


def wait(what: str, done: Callable[[], bool], log: Path) -> None:
    """Wait until something is so."""
    until(what, done, PATIENCE, logs=lambda: log.read_text()[-3000:])


def mass_delete(plane: ControlPlane) -> m.Json:
    """Give the set's condition of that name, with how many Machines it has lost."""
    status = json.loads(plane.kubectl("get", "ms", "pool", "-o", "json"))["status"]
    found: m.Json = next((one for one in status["conditions"] if one["type"] == "MassDelete"), {})
    return {**found, "lost": status.get("lost", 0)}


def test_a_set_is_made_scaled_and_deleted(plane: ControlPlane, log: Path) -> None:
    """Up and down with kubectl scale, spread over zones; an orphan is adopted; the set goes last."""

    def scaled(count: int) -> bool:
        status = json.loads(plane.kubectl("get", "ms", "pool", "-o", "json")).get("status", {})
        first = status.get("conditions", [{}])[0]
        return (status.get("replicas"), first.get("reason")) == (count, "AtReplicas")

    plane.kubectl("apply", "-f", "-", input=SET.read_text())
    wait("two machines", lambda: scaled(2), log)
    uid = json.loads(plane.kubectl("get", "ms", "pool", "-o", "json"))["metadata"]["uid"]
    for one in machines(plane):
        assert one["spec"]["setRef"] == {"name": "pool", "uid": uid}
        assert one["metadata"]["labels"]["kubenode.dev/machineset"] == "pool"
        assert one["metadata"]["finalizers"] == ["kubenode.dev/machine"]
        assert "ownerReferences" not in one["metadata"]
    plane.kubectl("scale", "machineset", "pool", "--replicas=5", "--current-replicas=2")
    wait("five machines", lambda: scaled(5), log)
    zones = Counter(one["metadata"]["labels"][ZONE_LABEL] for one in machines(plane))
    assert sorted(zones.values()) == [2, 3]
    scale = json.loads(plane.kubectl("get", "--raw", "/apis/kubenode.dev/v1alpha1/machinesets/pool/scale"))
    assert scale["status"] == {"replicas": 5, "selector": "pool=scaled"}
    plane.kubectl("scale", "machineset", "pool", "--replicas=1")
    wait("one machine", lambda: scaled(1) and len(machines(plane)) == 1, log)
    (name,) = [one["metadata"]["name"] for one in machines(plane)]
    orphan = [{"op": "remove", "path": "/spec/setRef"}]
    plane.kubectl("patch", "machine", name, "--type=json", "-p", json.dumps(orphan))
    wait("the adoption", lambda: all(one["spec"].get("setRef") for one in machines(plane)), log)
    plane.kubectl("delete", "machineset", "pool", "--timeout=60s")
    assert machines(plane) == []


def test_a_deleted_crd_leaves_machines_with_their_finalizers_and_holds_their_set(
    plane: ControlPlane, log: Path
) -> None:
    """Every Machine is to go at once: nothing is terminated, none is made, and the set says why and waits for a word."""
    plane.kubectl(
        "apply",
        "-f",
        "-",
        input=SET.read_text().replace("deletionPolicy: Release", "deletionPolicy: Terminate"),
    )
    wait("two machines", lambda: len(machines(plane)) == 2, log)
    uids = {one["metadata"]["uid"] for one in machines(plane)}
    plane.kubectl("delete", "crd", "machines.kubenode.dev", "--wait=false")

    wait("the mass delete", lambda: mass_delete(plane).get("status") == "True", log)
    assert (mass_delete(plane)["reason"], mass_delete(plane)["lost"]) == ("MachinesLost", 2)
    left = machines(plane)
    assert {one["metadata"]["uid"] for one in left} == uids
    for one in left:
        assert "deletionTimestamp" in one["metadata"]
        assert one["metadata"]["finalizers"] == ["kubenode.dev/machine"]


def test_a_deleted_crd_of_machinesets_leaves_all_machines_until_a_person_speaks(
    plane: ControlPlane, log: Path
) -> None:
    """Every set is to go at once: none deletes a machine, each says which CRD it is; one word lets the CRD go too."""
    plane.kubectl("apply", "-f", "-", input=SET.read_text())
    wait("two machines", lambda: len(machines(plane)) == 2, log)
    uids = {one["metadata"]["uid"] for one in machines(plane)}
    plane.kubectl("delete", "crd", "machinesets.kubenode.dev", "--wait=false")

    wait("the mass delete", lambda: mass_delete(plane).get("status") == "True", log)
    assert (mass_delete(plane)["reason"], mass_delete(plane)["lost"]) == ("MachinesLost", 2)
    assert "the CRD machinesets.kubenode.dev is being deleted" in mass_delete(plane)["message"]
    left = machines(plane)
    assert {one["metadata"]["uid"] for one in left} == uids
    assert not any("deletionTimestamp" in one["metadata"] for one in left)
    word = {"spec": {"acknowledgedLosses": 2}}
    plane.kubectl("patch", "ms", "pool", "--type=merge", "-p", json.dumps(word))
    plane.kubectl("wait", "--for=delete", "--timeout=60s", "crd/machinesets.kubenode.dev")
    assert machines(plane) == []
