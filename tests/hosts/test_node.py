"""On a test host a real kubelet makes a real Node, real packages are installed, and kubenode itself runs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.build import kubernetes_version
from tests.cluster.waiting import until
from tests.hosts.bundle import KUBENODE
from tests.hosts.fixture import NEXT_KUBELET, Parts
from tests.hosts.host import Host, HostError
from tests.hosts.image import ARCHIVE
from tests.hosts.kubelet import PROGRAM, set_up_kubelet
from tests.hosts.stage import Stage

pytestmark = [pytest.mark.hosts, pytest.mark.nightly]

_KERNEL_SETTINGS: Final = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


@contextmanager
def _node(stage: Stage, name: str, kubelet: tuple[Path, ...], *more: Path) -> Iterator[Host]:
    """Yield a host whose Node is Ready; the Node goes with it."""
    with stage.host(name, *kubelet, *more) as host:
        set_up_kubelet(host, stage.control_plane)
        host.power_on()
        _wait_ready(stage, host)
        yield host
    stage.control_plane.kubectl("delete", "node", name)


def _seen(stage: Stage, host: Host) -> dict[str, Any] | None:
    """Return the Node of the host, or None while there is none."""
    found = stage.control_plane.kubectl("get", "node", host.name, "--ignore-not-found", "-o", "json")
    node: dict[str, Any] | None = json.loads(found) if found else None
    return node


def _ready(node: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the condition Ready where it is true."""
    conditions = node["status"].get("conditions", ()) if node else ()
    return next((one for one in conditions if one["type"] == "Ready" and one["status"] == "True"), None)


def _wait_ready(stage: Stage, host: Host) -> dict[str, Any]:
    """Wait until the kubelet of this boot says that its Node is Ready; return what it says of the host."""
    boot = host.boot_id

    def ready() -> bool:
        node = _seen(stage, host)
        return _ready(node) is not None and node is not None and node["status"]["nodeInfo"]["bootID"] == boot

    until(f"Ready of {host.name}", ready, 60, lambda: _journal(host, "kubelet"))
    node = _seen(stage, host)
    assert node is not None
    info: dict[str, Any] = node["status"]["nodeInfo"]
    return info


def _journal(host: Host, unit: str) -> str:
    return host.run("journalctl", "--no-pager", "-n", "40", "-u", unit)


def _settings() -> list[str]:
    return [Path("/proc/sys", name).read_text() for name in _KERNEL_SETTINGS]


def test_a_kubelet_registers_and_is_ready_again_after_a_power_cut(
    stage: Stage, kubelet: tuple[Path, ...]
) -> None:
    """Its Node says what the host is; after a cut the same Node is Ready with another boot. The machine's kernel settings are as before."""
    settings = _settings()
    with _node(stage, "real", kubelet) as host:
        first = _seen(stage, host)
        assert first is not None
        info = first["status"]["nodeInfo"]
        assert info["kubeletVersion"] == kubernetes_version()
        assert info["machineID"] == host.read("/etc/machine-id").strip()
        assert info["containerRuntimeVersion"].startswith("containerd://1.6.")
        assert {"type": "InternalIP", "address": host.address} in first["status"]["addresses"]
        host.power_cut()
        host.power_on()
        again = _wait_ready(stage, host)
        assert again["bootID"] != info["bootID"]
        second = _seen(stage, host)
        assert second is not None
        assert second["metadata"]["uid"] == first["metadata"]["uid"]
    assert _settings() == settings


def test_a_silent_node_is_unknown_until_its_network_is_back(stage: Stage, kubelet: tuple[Path, ...]) -> None:
    """With the network cut the controller-manager marks the Node, and it is Ready again by itself; the other one stays Ready."""
    with _node(stage, "silent", kubelet) as silent, _node(stage, "beside", kubelet) as beside:
        before = _ready(_seen(stage, beside))
        silent.cut_network()
        until("Unknown of the silent node", lambda: _ready(_seen(stage, silent)) is None, 60)
        silent.restore_network()
        until(
            "Ready of the silent node",
            lambda: _ready(_seen(stage, silent)),
            90,
            lambda: _journal(silent, "kubelet"),
        )
        after = _ready(_seen(stage, beside))
        assert before is not None
        assert after is not None
        assert after["lastTransitionTime"] == before["lastTransitionTime"]


def test_a_kubelet_is_exchanged_by_a_later_one(
    stage: Stage, kubelet: tuple[Path, ...], host_parts: Parts
) -> None:
    """A second version number is on the host, to upgrade to: once installed and restarted, the Node says it."""
    with _node(stage, "next", kubelet) as host:
        host.run("install", NEXT_KUBELET, f"{PROGRAM}.new")
        host.run("mv", f"{PROGRAM}.new", PROGRAM)
        host.run("systemctl", "restart", "kubelet")

        def said() -> str:
            node = _seen(stage, host)
            return str(node and node["status"]["nodeInfo"]["kubeletVersion"])

        until(
            "the later version",
            lambda: said() == host_parts.next_version,
            60,
            lambda: _journal(host, "kubelet"),
        )


def test_exact_versions_of_a_package_are_installed_while_the_node_is_ready(
    stage: Stage, kubelet: tuple[Path, ...]
) -> None:
    """The archive on the host has two versions of containerd; apt installs the one that is named, and dpkg says so."""
    with _node(stage, "apt", kubelet) as host:
        known = host.run("apt-cache", "madison", "containerd")
        versions = [line.split("|")[1].strip() for line in known.splitlines()]
        assert len(versions) >= 2, f"{ARCHIVE} is to have two versions to go between: {known}"
        newest, older = versions[:2]
        assert _installed(host) == newest
        for wanted in (older, newest):
            process = host.run("systemctl", "show", "-P", "MainPID", "containerd")
            host.run(
                "apt-get", "-q", "-y", "--allow-downgrades", "-o", "Dpkg::Options::=--force-confold",
                "install", f"containerd={wanted}",
            )  # fmt: skip
            assert _installed(host) == wanted
            host.run("systemctl", "restart", "containerd")
            assert host.run("systemctl", "show", "-P", "MainPID", "containerd") != process
            assert host.run("dpkg", "--audit") == ""
        _wait_ready(stage, host)
        with pytest.raises(HostError, match=r"Version '1\.0' for 'containerd' was not found"):
            host.run("apt-get", "-q", "-y", "install", "containerd=1.0")


def test_kubenode_runs_on_a_host(stage: Stage, kubenode: tuple[Path, ...]) -> None:
    """The wheel of what is checked out runs there with the Python of Debian, and with nothing else from the machine."""
    with stage.host("ours", *kubenode) as host:
        host.power_on()
        assert host.run(KUBENODE, "version").strip() == version("kubenode")
        assert "kubenode-components (kubenode " in host.run(KUBENODE, "plugins")


def _installed(host: Host) -> str:
    return host.run("dpkg-query", "-W", "-f", "${Version}", "containerd")
