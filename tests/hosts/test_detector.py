"""What the detector of a real host finds is healed: from a line of the log, or a program that hangs, to a verified remedy."""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.test_enrolment import World
from tests.cluster.waiting import until
from tests.hosts.agent import Kept, kept
from tests.hosts.stage import Stage

pytestmark = [pytest.mark.hosts, pytest.mark.nightly, pytest.mark.timeout(600)]

LOG = logging.getLogger(__name__)

KERNEL_LOG: Final = "/var/log/kern.log"
"""A test host does not get the machine's own kernel log: what its kernel says stands here."""
HUNG: Final = "INFO: task dd:4121 blocked in I/O wait for more than 120 seconds."
_JOBS: Final = "/apis/kubenode.dev/v1alpha1/remedyoperationjobs"


@pytest.fixture(scope="module")
def world(session_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A controller beside the hosts, with the rights of the manifests and no more."""
    folder = tmp_path_factory.mktemp("controller")
    with session_stage.network.inside(), World.on(session_stage.control_plane, folder) as made:
        yield made


def _remedier(node: Kept, condition: str, unit: str) -> None:
    """Let a condition be healed by a restart of a unit."""
    ladder = [{"action": "restart-unit", "parameters": {"unit": unit}, "timeout": "1m"}]
    spec = {
        "condition": {"type": condition, "status": "True", "for": "1s"}, "ladder": ladder,
        "verification": {"dwell": "3s", "timeout": "3m"},
    }  # fmt: skip
    node.apply("NodeRemedier", f"{node.name}-{condition.lower()}", spec)


def _condition(world: World, name: str, type: str) -> Any:
    """Give a condition of a Node; empty while there is none."""
    found = world.admin.get(f"/api/v1/nodes/{name}")
    conditions = found["status"].get("conditions", ()) if found else ()
    return next((one for one in conditions if one["type"] == type), {})


def _jobs(world: World, name: str, condition: str) -> list[Any]:
    """Give the episodes of a machine over a condition."""
    items = world.admin.get(_JOBS)["items"]
    return [
        one for one in items
        if one["spec"]["machine"]["name"] == name and one["spec"]["cause"]["type"] == condition
    ]  # fmt: skip


def _run_of(node: Kept, unit: str) -> str:
    return node.host.run("systemctl", "show", "-P", "InvocationID", unit).strip()


def _phase(world: World, node: Kept, condition: str) -> str:
    """Give how far the one episode over a condition is."""
    (job,) = _jobs(world, node.name, condition)
    return str(job.get("status", {}).get("phase", ""))


def test_what_is_found_on_a_host_is_healed(
    stage: Stage, world: World, kubelet: tuple[Path, ...], kubenode: tuple[Path, ...]
) -> None:
    """A containerd that hangs is restarted, with a permit, and that is verified; so is a hung task, whose condition ends with the boot."""
    with kept(stage, world, "found", *kubelet, *kubenode) as node:
        host = node.host

        def told() -> str:
            return json.dumps(world.admin.get(_JOBS)["items"], indent=1)[-6000:] + node.told()

        node.apply("RiskPolicy", "default", {"limits": [{"scope": "cluster", "max": 1}]})
        host.write(KERNEL_LOG, "")
        node.install_agent(f"--kernel-log={KERNEL_LOG}")
        until("Running", lambda: node.phase() == "Running", 120, told, every=0.5)
        found = ("KernelDeadlock", "ContainerRuntimeUnhealthy", "KubeletUnhealthy", "LogFlood")
        until("what is well", lambda: all(_condition(world, "found", one) for one in found), 60, told)
        assert {_condition(world, "found", one)["status"] for one in found} == {"False"}

        _remedier(node, "ContainerRuntimeUnhealthy", "containerd.service")
        begun, before = time.monotonic(), _run_of(node, "containerd.service")
        host.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", "containerd.service")
        until("a job", lambda: _jobs(world, "found", "ContainerRuntimeUnhealthy"), 150, told, every=0.5)
        LOG.info("%s: %.1f s", "hang_found", time.monotonic() - begun)
        until(
            "the end",
            lambda: _phase(world, node, "ContainerRuntimeUnhealthy") == "Succeeded",
            150,
            told,
            every=0.5,
        )
        LOG.info("%s: %.1f s", "hang_healed", time.monotonic() - begun)
        assert _run_of(node, "containerd.service") not in ("", before)
        assert _condition(world, "found", "ContainerRuntimeUnhealthy")["status"] == "False"
        until("Running", lambda: node.phase() == "Running" and node.is_ready(), 60, told)

        _remedier(node, "KernelDeadlock", "containerd.service")
        begun, before = time.monotonic(), _run_of(node, "containerd.service")
        host.run("tee", "-a", KERNEL_LOG, input=f"{HUNG}\n")
        until("a job", lambda: _jobs(world, "found", "KernelDeadlock"), 60, told)
        LOG.info("%s: %.1f s", "line_found", time.monotonic() - begun)
        until("the act", lambda: _phase(world, node, "KernelDeadlock") == "Verifying", 60, told)
        LOG.info("%s: %.1f s", "line_acted_on", time.monotonic() - begun)
        assert _run_of(node, "containerd.service") not in ("", before)
        assert _condition(world, "found", "KernelDeadlock")["message"] == HUNG
        host.power_cut()  # what a hung task needs in the end
        host.power_on()
        until("the end", lambda: _phase(world, node, "KernelDeadlock") == "Succeeded", 180, told, every=0.5)
        assert _condition(world, "found", "KernelDeadlock")["status"] == "False"
        assert len(_jobs(world, "found", "ContainerRuntimeUnhealthy")) == 1
        world.plane.kubectl("delete", "noderemediers", "-l", "test=found")
