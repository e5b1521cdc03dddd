"""A drain on a real server: real Pods on a simulated Node, a real budget that blocks, real evictions."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubenode.core.identity import deletion_op_id
from kubenode.core.node.cordon import CORDONED_BY
from kubenode.runtime.testing import install
from kubenode.runtime.testing.controlplane import ControlPlane, ControlPlaneError
from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.cluster.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

KUBENODE = Path(sys.executable).with_name("kubenode")
NODE = "node-m1"
MACHINE = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": {"name": "m1"},
    "spec": {"host": {"address": "10.0.0.1"}, "deletionPolicy": "Terminate"},
}  # fmt: skip


@pytest.fixture
def plane(control_plane_folder: Path, tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane with a controller that has our rights and no more, and one host."""
    with ControlPlane.start(control_plane_folder) as running:
        install(running)
        agent = str(running.kubeconfig("kubenode:agent:m1", ("kubenode:agents",)))
        kubelet = str(running.kubeconfig(f"system:node:{NODE}", ("system:nodes",)))
        commands = [
            ["controller", "--kubeconfig", str(running.kubeconfig(CONTROLLER_USER)), "--listen", "127.0.0.1:0"],
            ["sim", "agent", "m1", "--kubeconfig", agent, "--kubelet-kubeconfig", kubelet, "--zone", "a",
             "--kmsg", str(tmp_path / "m1.kmsg")],
        ]  # fmt: skip
        processes = []
        for number, command in enumerate(commands):
            with (tmp_path / f"{number}.log").open("wb") as out:
                processes.append(subprocess.Popen([KUBENODE, *command], stdout=out, stderr=subprocess.STDOUT))
        running.kubectl("apply", "-f", "-", input=yaml.safe_dump(MACHINE))
        yield running
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(timeout=60) for process in processes] == [0, 0]


def read(plane: ControlPlane, kind: str, name: str) -> Any:
    """Read one object; empty when there is none."""
    try:
        return json.loads(plane.kubectl("get", kind, name, "-o", "json"))
    except ControlPlaneError:
        return {}


def said(plane: ControlPlane, type: str) -> tuple[str, str]:
    """Give reason and message of a condition of the machine."""
    for one in read(plane, "machine", "m1").get("status", {}).get("conditions", ()):
        if one["type"] == type:
            return one["reason"], one.get("message", "")
    return "", ""


def start(plane: ControlPlane, name: str, grace: int = 0, priority: str = "", **metadata: Any) -> None:
    """Start a Pod on the Node, and say that it is ready."""
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}, **metadata},
        "spec": {"nodeName": NODE, "terminationGracePeriodSeconds": grace, "containers": [{"name": "c", "image": "i"}],
                 **({"priorityClassName": priority} if priority else {})},
    }  # fmt: skip
    plane.kubectl("create", "-f", "-", input=yaml.safe_dump(pod))
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    plane.kubectl("patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps(ready))


def budget(plane: ControlPlane, name: str, needed: int) -> None:
    """Say how many Pods of an application are needed."""
    one = {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name},
        "spec": {"minAvailable": needed, "selector": {"matchLabels": {"app": name}}},
    }  # fmt: skip
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump(one))


def pods(plane: ControlPlane) -> dict[str, bool]:
    """Give the Pods of the Node, and whether each is ending."""
    found = json.loads(
        plane.kubectl("get", "pods", "-A", "-o", "json", "--field-selector", f"spec.nodeName={NODE}")
    )
    return {one["metadata"]["name"]: "deletionTimestamp" in one["metadata"] for one in found["items"]}


def start_those_that_stay_longer(plane: ControlPlane) -> None:
    """Start a static Pod's mirror, one to be left out, one that ends by itself, and one of the last tier."""
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": NODE,
        "controller": True,
        "uid": read(plane, "node", NODE)["metadata"]["uid"],
    }
    start(plane, "static", annotations={"kubernetes.io/config.mirror": "hash"}, ownerReferences=[node])
    for name, word in (("left", "skip"), ("batch", "wait")):
        start(plane, name, labels={"app": name, "kubenode.dev/drain": word})
    start(plane, "critical", priority="system-node-critical")


def test_a_machine_that_is_to_end_is_drained(plane: ControlPlane) -> None:
    """Cordon; who may go goes, tier by tier; who ends in its own time is waited for, a budget is named; opened when it is let go."""
    until(
        "Running", lambda: read(plane, "machine", "m1").get("status", {}).get("phase") == "Running",
        logs=lambda: read(plane, "machine", "m1"),
    )  # fmt: skip
    sets = {
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "logs"},
        "spec": {
            "selector": {"matchLabels": {"app": "logs"}},
            "template": {"metadata": {"labels": {"app": "logs"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    }  # fmt: skip
    plane.kubectl("create", "-f", "-", input=yaml.safe_dump(sets))
    owner = {
        "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "logs", "controller": True,
        "uid": read(plane, "daemonset", "logs")["metadata"]["uid"],
    }  # fmt: skip
    start(plane, "logs", ownerReferences=[owner])
    start(plane, "web")
    start(plane, "slow", grace=600)
    start(plane, "db")
    budget(plane, "db", needed=1)
    start_those_that_stay_longer(plane)
    stay = {"logs": False, "static": False, "left": False, "batch": False}
    plane.kubectl("delete", "machine", "m1", "--wait=false")
    until("the eviction of who may go", lambda: pods(plane) == {"db": False, "critical": False, "slow": True, **stay}, logs=lambda: pods(plane))  # fmt: skip
    node, uid = read(plane, "node", NODE), read(plane, "machine", "m1")["metadata"]["uid"]
    assert node["spec"]["unschedulable"] is True
    assert node["metadata"]["annotations"][CORDONED_BY] == deletion_op_id(uid)
    until("the budget's name", lambda: "PodDisruptionBudget default/db: 1 healthy, 1 needed" in said(plane, "Drained")[1], logs=lambda: said(plane, "Drained"))  # fmt: skip
    assert said(plane, "Drained")[0] == "Draining"
    assert "default/batch is waited for: label kubenode.dev/drain=wait" in said(plane, "Drained")[1]
    assert "1 of higher priority follow" in said(plane, "Drained")[1]
    plane.kubectl("delete", "pod", "slow", "--grace-period=0", "--force")
    until(
        "the blockage",
        lambda: said(plane, "Drained")[0] == "DrainBlocked",
        logs=lambda: said(plane, "Drained"),
    )
    budget(plane, "db", needed=0)
    until("the eviction of db", lambda: pods(plane) == {"critical": False, **stay}, logs=lambda: pods(plane))
    plane.kubectl(
        "patch",
        "pod",
        "batch",
        "--subresource=status",
        "--type=merge",
        "-p",
        '{"status": {"phase": "Succeeded"}}',
    )
    until(
        "the end of the drain",
        lambda: said(plane, "Drained")[0] == "PodsGone",
        logs=lambda: said(plane, "Drained"),
    )
    assert pods(plane) == stay
    until(
        "what is next",
        lambda: said(plane, "Ready")[0] == "TerminateUnsupported",
        logs=lambda: said(plane, "Ready"),
    )
    plane.kubectl("patch", "machine", "m1", "--type=merge", "-p", '{"spec": {"deletionPolicy": "Release"}}')
    until("the release", lambda: not read(plane, "machine", "m1"))
    node = read(plane, "node", NODE)
    assert not node["spec"].get("unschedulable")
    assert CORDONED_BY not in node["metadata"].get("annotations", {})
    assert evictions(plane) == {("web", 201), ("slow", 201), ("db", 201), ("critical", 201)}


def evictions(plane: ControlPlane) -> set[tuple[str, int]]:
    """Give who was asked to go, and what was answered: a budget that blocks is never run into."""
    entries = [json.loads(line) for line in plane.audit_log.read_text().splitlines()]
    return {
        (one["objectRef"]["name"], one["responseStatus"]["code"]) for one in entries
        if one.get("objectRef", {}).get("subresource") == "eviction"
    }  # fmt: skip
