"""Kernel settings of a real host: set, mended, there again after a boot; and a module that cannot be had.

The hosts share the kernel of the machine, so settings are of their own network only, and no module is ever loaded: that
modprobe is called, and undone, is shown in tests/runtime/agent/test_kernel.py.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.test_enrolment import World
from tests.cluster.waiting import until
from tests.hosts.agent import Kept, kept
from tests.hosts.stage import Stage

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(600)]

KEY = "net.ipv4.conf.lo.log_martians"
FILE = "/etc/sysctl.d/90-kubernetes.conf"


@pytest.fixture(scope="module")
def world(session_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A controller beside the hosts, with the rights of the manifests and no more."""
    folder = tmp_path_factory.mktemp("controller")
    with session_stage.network.inside(), World.on(session_stage.control_plane, folder) as made:
        yield made


def _component(node: Kept, name: str, **parameters: Any) -> None:
    spec = {"version": name, "driver": "kernel", "parameters": {"name": "kubernetes", **parameters}}
    node.apply("MachineComponent", f"{node.name}-{name}", spec)


def _value(node: Kept) -> str:
    return node.host.run("sysctl", "-n", KEY).strip()


def test_a_setting_is_set_mended_and_there_after_a_boot(
    stage: Stage, world: World, kubelet: tuple[Path, ...], kubenode: tuple[Path, ...]
) -> None:
    """What was changed by hand is set again; a module that is not to be had leaves all as it was, and says so."""
    with kept(stage, world, "kernel", *kubelet, *kubenode) as node:
        host = node.host
        assert _value(node) == "0"
        _component(node, "on", sysctl={KEY: "1"})
        _component(node, "more", sysctl={KEY: "0"}, modules=["kubenode-none"])
        node.install_agent()
        entry = node.entry("kernel")
        node.runs(entry, f"{node.name}-on")
        node.wait_running({entry: "on"})
        assert (_value(node), host.read(FILE)) == ("1", f"{KEY} = 1\n")

        host.run("sysctl", "-w", f"{KEY}=0")
        until("the repair", lambda: _value(node) == "1", 90, node.told)
        node.wait_running({entry: "on"})

        host.power_cut()
        host.power_on()
        assert _value(node) == "1"
        node.wait_running({entry: "on"})

        node.runs(entry, f"{node.name}-more")
        until(
            "the refusal",
            lambda: "modprobe kubenode-none" in node.report(entry).get("message", ""),
            90,
            node.told,
        )
        assert node.report(entry)["reason"] == "InstallFailed"
        assert node.report(entry)["message"].endswith("; the host is as it was before")
        assert (_value(node), host.read(FILE)) == ("1", f"{KEY} = 1\n")
        assert host.run("find", "/etc/modules-load.d", "-name", "kubernetes.conf") == ""
