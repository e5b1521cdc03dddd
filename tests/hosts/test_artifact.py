"""The kubelet of a real node as an artifact: adopted, exchanged, refused where a server is hostile, mended, and cut short."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.test_enrolment import World
from tests.cluster.waiting import until
from tests.hosts.agent import JOURNAL, UNIT, Kept, kept
from tests.hosts.artifacts import TOKEN, Artifacts, served
from tests.hosts.fixture import Parts
from tests.hosts.kubelet import PROGRAM
from tests.hosts.stage import Stage

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(600)]

LOG = logging.getLogger(__name__)
STORE = "/opt/kubenode/artifacts"


@pytest.fixture(scope="module")
def world(session_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A controller beside the hosts, with the rights of the manifests and no more."""
    folder = tmp_path_factory.mktemp("controller")
    with session_stage.network.inside(), World.on(session_stage.control_plane, folder) as made:
        yield made


@pytest.fixture
def artifacts(stage: Stage, host_parts: Parts) -> Iterator[Artifacts]:
    """A server of two kubelets."""
    with served({"now": host_parts.kubelet, "next": host_parts.next_kubelet}) as server:
        yield server


def _component(
    node: Kept, server: Artifacts, name: str, version: str, how: str, file: str, **more: Any
) -> None:
    parameters = {
        "path": PROGRAM, "url": server.url(how, file), "sha256": server.digest(file), "unit": "kubelet.service", **more,
    }  # fmt: skip
    spec = {"version": version, "driver": "artifact", "parameters": parameters, "disruption": "restart"}
    node.apply("MachineComponent", name, spec)


def _imported(node: Kept, server: Artifacts) -> str:
    """Install the agent, and let it take over the kubelet that is there; give the name of the entry."""
    node.apply("RiskPolicy", "default", {"limits": [{"scope": "cluster", "max": 5}]})
    _component(node, server, f"{node.name}-now", "now", "good", "now")
    _component(node, server, f"{node.name}-next", "next", "good", "next")
    node.install_agent()
    entry = node.entry("kubelet")
    node.runs(entry, f"{node.name}-now")
    node.wait_running({entry: "now"})
    return entry


def _process(node: Kept) -> str:
    return node.host.run("systemctl", "show", "-P", "MainPID", "kubelet").strip()


def _says(node: Kept) -> str:
    return node.host.run(PROGRAM, "--version").split()[-1]


def _refused(node: Kept, entry: str, component: str, says: str) -> None:
    """Let a component be wanted that cannot be had, and see that this is told and nothing else happens."""
    process = _process(node)
    node.runs(entry, component)
    until(
        f"the refusal of {component}", lambda: says in node.report(entry).get("message", ""), 120, node.told
    )
    assert node.report(entry)["reason"] == "InstallFailed"
    assert _process(node) == process
    assert node.is_ready()


def test_a_kubelet_is_adopted_exchanged_and_mended(
    stage: Stage, world: World, kubelet: tuple[Path, ...], kubenode: tuple[Path, ...], artifacts: Artifacts, host_parts: Parts
) -> None:  # fmt: skip
    """What is right is not restarted; a later one comes by a rollout; a hostile server is told, and the node stays as it was."""
    with kept(stage, world, "artifact", *kubelet, *kubenode) as node:
        host, process = node.host, _process(node)
        entry = _imported(node, artifacts)
        assert _process(node) == process
        before = _says(node)

        begun = time.monotonic()
        node.runs(entry, f"{node.name}-next")
        node.wait_running({entry: "next"})
        node.wait_complete(entry)
        LOG.info("%s: %.1f s", "exchanged", time.monotonic() - begun)
        assert _says(node) == host_parts.next_version != before
        assert host.run("readlink", PROGRAM).strip() == f"{STORE}/1-{artifacts.digest('next')}/content"
        assert host.run(f"{PROGRAM}.kubenode-replaced", "--version").split()[-1] == before

        wrong = {"sha256": "0" * 64}
        for name, how, file, says, more in (
            ("wrong", "good", "now", "correct the component's url or sha256", wrong),
            ("loop", "loop", "now", "redirect more than 5 times", {}),
            ("cut", "truncated", "now", "ended after", {}),
        ):
            _component(node, artifacts, f"{node.name}-{name}", name, how, file, **more)
            _refused(node, entry, f"{node.name}-{name}", says)
        assert host.run("ls", STORE).split() == [f"1-{artifacts.digest('next')}"]
        node.runs(entry, f"{node.name}-next")
        node.wait_running({entry: "next"})

        since = datetime.now(UTC).replace(microsecond=0)
        host.run("install", "/bin/true", PROGRAM)

        def mended() -> bool:
            at = node.report(entry).get("driftedAt")
            return at is not None and datetime.fromisoformat(at) >= since and node.at_target(entry, "next")

        until("the repair", mended, 90, node.told)
        assert _says(node) == host_parts.next_version
        assert host.run("cmp", "/bin/true", f"{PROGRAM}.kubenode-replaced-2") == ""

        told = (
            host.read(JOURNAL),
            host.run("journalctl", "--no-pager", "-u", UNIT),
            str(node.machine()["status"]),
        )
        assert all(text and TOKEN not in text for text in told)


@pytest.mark.parametrize("how", ["killed", "power"])
def test_an_exchange_that_is_cut_short_comes_to_its_end_once(
    stage: Stage, world: World, kubelet: tuple[Path, ...], kubenode: tuple[Path, ...], artifacts: Artifacts, host_parts: Parts,
    how: str,
) -> None:  # fmt: skip
    """The agent is killed, or the host loses its power, while the server is in the middle of it."""
    with kept(stage, world, f"art-{how}", *kubelet, *kubenode) as node:
        host, entry = node.host, _imported(node, artifacts)
        _component(node, artifacts, f"{node.name}-stall", "stall", "stall", "next")
        node.runs(entry, f"{node.name}-stall")
        until("a download in the middle", artifacts.stalls.is_set, 120, node.told)
        assert "new" in host.run("ls", STORE).split()
        if how == "killed":
            host.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
        else:
            host.power_cut()
        artifacts.goes_on.set()
        if how == "power":
            host.power_on()
        node.wait_running({entry: "stall"})
        node.wait_complete(entry)
        assert _says(node) == host_parts.next_version
        assert host.run("ls", STORE).split() == [f"1-{artifacts.digest('next')}"]
        records = [one for one in node.journal() if one["is"] in ("began", "ended")]
        assert [one.get("state", "began") for one in records] == ["began", "done"]
