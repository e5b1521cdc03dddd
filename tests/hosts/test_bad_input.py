"""What is wrong with a component, its server or the host: told, with what to do; the host as it was, and nothing in a loop.

One host has all of it at once, so that what one does wrong would be seen in another. What cannot be had in a test host is
elsewhere: a slow server and an endless one in tests/runtime/agent/test_download.py, a package manager that never ends in
test_packages.py, a wrong clock in test_clock.py.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.test_enrolment import World
from tests.cluster.waiting import until
from tests.hosts.agent import UNIT, Kept, kept
from tests.hosts.artifacts import Artifacts, served
from tests.hosts.fixture import Parts
from tests.hosts.stage import Stage

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(600)]

OLD: Final = "1.6.20~ds1-1+deb12u2"
NEW: Final = "1.6.20~ds1-1+deb12u3"
APP: Final = "/etc/systemd/system/app.service"
SEALED: Final = "/etc/sealed"
STORE: Final = "/opt/kubenode/artifacts"
TOOL: Final = "/usr/local/bin/tool"
_GOOD: Final = "[Service]\nExecStart=/usr/bin/sleep infinity\n"
_QUIET_S: Final = 12.0
"""Longer than the agent waits for its next look."""
_HELD_LOCK: Final = (
    "import fcntl, time\nwith open('/var/lib/dpkg/lock-frontend', 'w') as file:\n    fcntl.lockf(file, fcntl.LOCK_EX)\n"
    "    open('/run/locked', 'w').close()\n    time.sleep(600)\n"
)


@pytest.fixture(scope="module")
def world(session_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A controller beside the hosts, with the rights of the manifests and no more."""
    folder = tmp_path_factory.mktemp("controller")
    with session_stage.network.inside(), World.on(session_stage.control_plane, folder) as made:
        yield made


@pytest.fixture
def artifacts(stage: Stage, host_parts: Parts) -> Iterator[Artifacts]:
    """A server of a program."""
    with served({"tool": host_parts.kubelet}) as server:
        yield server


class _Bad:
    """Wants of a host, each an entry of its own."""

    def __init__(self, node: Kept, server: Artifacts) -> None:
        self.node = node
        self.server = server

    def component(self, name: str, version: str, driver: str, /, **spec: Any) -> str:
        """Make a component, and give its name."""
        full = f"{self.node.name}-{name}-{version.replace('~', '-').replace('+', '-')}"
        parameters = spec.pop("parameters")
        self.node.apply(
            "MachineComponent", full,
            {"version": version, "driver": driver, "parameters": parameters, "disruption": "none", **spec},
        )  # fmt: skip
        return full

    def wants(self, entry: str, component: str, seconds: int = 600) -> None:
        """Let the machine have a component."""
        rollout = {"batches": [1], "minReadySeconds": 1, "progressDeadlineSeconds": seconds}
        selector = {"matchLabels": {"test": self.node.name}}
        spec = {"name": entry, "component": component, "selector": selector, "rollout": rollout}
        self.node.apply("MachineComponentSet", f"{self.node.name}-{entry}", spec)

    def file(
        self, entry: str, version: str, path: str, content: str, unit: str | None = None, **spec: Any
    ) -> str:
        """Make a component that is a file."""
        parameters = {"path": path, "content": content} | ({} if unit is None else {"unit": unit})
        return self.component(entry, version, "file", parameters=parameters, **spec)

    def tool(self, version: str, how: str) -> str:
        """Make a component that is an artifact."""
        digest = self.server.digest("tool")
        parameters = {"path": TOOL, "url": self.server.url(how, "tool"), "sha256": digest}
        return self.component("tool", version, "artifact", parameters=parameters)

    def containerd(self, version: str, name: str = "runtime") -> str:
        """Make a component that is a package."""
        parameters = {"package": "containerd", "unit": "containerd.service", "hold": False}
        return self.component(name, version, "package", parameters=parameters)

    def comes(self, entry: str, version: str) -> None:
        """Wait until an entry is as it should be."""
        until(f"{entry} at {version}", lambda: self.node.at_target(entry, version), 90, self.node.told)

    def told(self, entry: str, reason: str, *says: str) -> None:
        """Wait until the report has a reason and a message with these words."""

        def is_told() -> bool:
            found = self.node.report(entry)
            return found.get("reason", "") == reason and all(one in found.get("message", "") for one in says)

        until(f"{reason} of {entry}", is_told, 90, lambda: f"{self.node.report(entry)}\n{self.node.told()}")


def test_what_is_wrong_is_told_and_changes_nothing(
    stage: Stage, world: World, kubelet: tuple[Path, ...], kubenode: tuple[Path, ...], artifacts: Artifacts
) -> None:
    """Ten things at once: each has its condition, the rollouts stop, the host stays as it was; mended, all comes to its end."""
    with kept(stage, world, "bad", *kubelet, *kubenode) as node:
        host, bad = node.host, _Bad(node, artifacts)
        node.apply("RiskPolicy", "default", {"limits": [{"scope": "cluster", "max": 50}]})
        host.run("mkdir", "-p", SEALED)
        node.install_agent()
        bad.wants("app", bad.file("app", "1", APP, _GOOD, "app.service"))
        bad.wants("runtime", bad.containerd(OLD))
        bad.wants("sealed", bad.file("sealed", "1", f"{SEALED}/conf", "first\n"))
        for entry, version in (("app", "1"), ("runtime", OLD), ("sealed", "1")):
            bad.comes(entry, version)

        host.run("mount", "--bind", SEALED, SEALED)
        host.run("mount", "-o", "remount,bind,ro", SEALED)
        host.run("mkdir", "-p", STORE)
        host.run("mount", "-t", "tmpfs", "-o", "size=150M,mode=0755", "none", STORE)
        host.run("apt-mark", "hold", "containerd")
        wrong = {
            "app": bad.file("app", "2", APP, "[Service]\nExecStart=/usr/bin/false\n", "app.service"),
            "runtime": bad.containerd(NEW),
            "sealed": bad.file("sealed", "2", f"{SEALED}/conf", "second\n"),
            "none": bad.component("none", "1.0", "package", parameters={"package": "kubenode-none"}),
            "gone": bad.component("gone", "9.9", "package", parameters={"package": "runc"}),
            "tool": bad.tool("1", "good"),
            "left": bad.file("left", "1", "/srv/left", "", dependencies=["right"]),
            "right": bad.file("right", "1", "/srv/right", "", dependencies=["left"]),
        }
        for entry, component in wrong.items():
            bad.wants(entry, component)
        lies = {"version": {"command": ["/bin/echo", "0.9"]}}
        bad.wants("lies", bad.file("lies", "2", "/srv/lies", "", probes=[lies]), 10)

        bad.told("app", "InstallFailed", "app.service", "journalctl -u app.service", "as it was before")
        bad.told("runtime", "InstallFailed", "held", "apt-mark unhold containerd")
        bad.told(
            "sealed",
            "InstallFailed",
            "Read-only file system; find out why, and remount it",
            "as it was before",
        )
        bad.told(
            "none",
            "InstallFailed",
            "Unable to locate package kubenode-none",
            "apt-cache madison kubenode-none",
        )
        bad.told("gone", "InstallFailed", "Version '9.9' for 'runc' was not found", "apt-cache madison runc")
        bad.told("tool", "InstallFailed", "would be left on its disk; make room")
        for entry in ("left", "right"):
            bad.told(entry, "DependencyCircle", "wait for each other; take one of these dependencies away")
        bad.told("lies", "", "/bin/echo does not print 2")
        for entry in (*wrong, "lies"):
            until(f"the pause of {entry}", lambda entry=entry: node.is_paused(entry), 60, node.told)

        assert (host.read(APP), host.run("systemctl", "is-active", "app").strip()) == (_GOOD, "active")
        assert host.run("dpkg-query", "-W", "-f", "${Version}", "containerd") == OLD
        assert host.read(f"{SEALED}/conf") == "first\n"
        assert host.run("find", TOOL, "/srv/left", "/srv/right", check=False) == ""
        assert host.run("dpkg", "--audit") == ""
        assert node.is_ready()

        before = _written(node)
        time.sleep(_QUIET_S)
        assert _written(node) == before
        begun = [one["op"] for one in node.journal() if one["is"] == "began"]
        assert len(begun) == 3 + 6 + 1  # what came, what failed, and what lies

        host.run("umount", SEALED)
        host.run("umount", STORE)
        host.run("apt-mark", "unhold", "containerd")
        bad.wants("app", bad.file("app", "3", APP, f"{_GOOD}Nice=1\n", "app.service"))
        bad.wants("sealed", bad.file("sealed", "3", f"{SEALED}/conf", "third\n"))
        bad.wants("tool", bad.tool("2", "good"))
        bad.wants("left", bad.file("left", "2", "/srv/left", ""))
        truth = {"version": {"command": ["/bin/echo", "3"]}}
        bad.wants("lies", bad.file("lies", "3", "/srv/lies", "", probes=[truth]))
        for entry, version in (
            ("app", "3"),
            ("sealed", "3"),
            ("tool", "2"),
            ("left", "2"),
            ("lies", "3"),
        ):
            bad.comes(entry, version)
            node.wait_complete(entry)
        bad.comes(
            "right", "1"
        )  # what it waited for has come; a failure that was counted stays one until a person excuses it

        host.run("systemd-run", "--unit=locks", "python3", "-c", _HELD_LOCK)
        until("the lock", lambda: host.run("find", "/run", "-maxdepth", "1", "-name", "locked"))
        bad.wants("runtime", bad.containerd(NEW, "again"))
        until("a step", lambda: _open(node), 60, node.told)
        before = _written(node)
        time.sleep(_QUIET_S)
        assert _written(node) == before
        assert host.run("dpkg-query", "-W", "-f", "${Version}", "containerd") == OLD
        host.run("systemctl", "stop", "locks")
        bad.comes("runtime", NEW)
        node.wait_complete("runtime")
        assert host.run("systemctl", "show", "-P", "NRestarts", UNIT).strip() == "0"


def _written(node: Kept) -> tuple[str, int]:
    """Give what changes with every write of the agent: to the server, and to its journal."""
    return node.machine()["metadata"]["resourceVersion"], len(node.journal())


def _open(node: Kept) -> bool:
    """Tell whether something was begun and has not ended."""
    records = node.journal()
    return {one["op"] for one in records if one["is"] == "began"} != {
        one["op"] for one in records if one["is"] == "ended"
    }
