"""`kubenode machine import` on real hosts: over their own sshd, with a real bundle, until the Machine is Running."""

import json
import logging
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from kubenode.runtime.policies import AGENTS_NAMESPACE
from tests.cluster.test_enrolment import KUBENODE, World
from tests.cluster.waiting import until
from tests.hosts.agent import UNIT, Kept, kept
from tests.hosts.artifacts import served
from tests.hosts.host import Host
from tests.hosts.stage import Stage
from tests.runtime.bootstrap.rooted import packed

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(600)]

LOG = logging.getLogger(__name__)
PYTHON: Final = "/usr/bin/python3.11"
MOST_KIB: Final = 60 << 10
"""Of a bundled agent at rest; tests/benchmarks/agent.py measures it with twelve components."""
CURL: Final = """#!/usr/bin/python3
import sys, urllib.request
urllib.request.urlretrieve(sys.argv[-1], sys.argv[sys.argv.index("-o") + 1])
"""
"""The root image has no curl; this one fetches what it is asked for."""
LEFT_OUT: Final = ("/var/log", "/run", "/tmp", "/proc", "/sys", "/dev", "/var/lib/systemd", "/root/.ssh")

WRITTEN: Final = ("/var/lib/containerd", "/var/lib/kubelet")
"""What daemons of the host write at any time."""
MARKS: Final = {
    "labels": {"pool": "brought"}, "annotations": {"team": "blue"},
    "taints": [{"key": "example.com/pool", "value": "brought", "effect": "PreferNoSchedule"}],
}  # fmt: skip
SPOILT: Final = "/etc/systemd/system/spoilt.service"


@pytest.fixture(scope="module")
def world(session_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A controller beside the hosts."""
    folder = tmp_path_factory.mktemp("controller")
    with session_stage.network.inside(), World.on(session_stage.control_plane, folder) as made:
        yield made


class Admin:
    """Whoever imports a host: with a key that it knows, and its key as it shows it itself."""

    def __init__(self, stage: Stage, host: Host, folder: Path, bundle: Path) -> None:
        self.host, self._folder = host, folder
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id")], check=True)
        host.write("/root/.ssh/authorized_keys", (folder / "id.pub").read_text(), mode=0o600)
        until(
            "sshd",
            lambda: "ssh-ed25519" in host.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub", check=False),
            30,
            str,
        )
        self.key = host.run("ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub").split()[1]
        (folder / "known").write_text("")
        plane = stage.control_plane
        self._words = [
            str(KUBENODE), "machine", "import", host.address, "--name", host.name, "--identity", str(folder / "id"),
            "--known-hosts", str(folder / "known"), "--kubeconfig", str(plane.admin_kubeconfig), "--bundle", str(bundle),
            "-o", "json",
        ]  # fmt: skip

    def run(self, *more: str, code: int = 0) -> tuple[Any, str]:
        """Import; give the document, and the progress."""
        done = subprocess.run(
            [*self._words, *more], capture_output=True, text=True, check=False, timeout=400
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)["hosts"][0], done.stderr


def _broken(folder: Path) -> Path:
    """Make a bundle whose agent ends at once."""
    return packed(folder, b'#!/bin/sh\n[ "$1" = version ] || { echo "not today"; exit 1; }\n')


def _files(host: Host) -> set[str]:
    """Give what there is: kind, mode, owner, where a link leads, and the size of files that nobody else writes."""
    skipped = [word for path in LEFT_OUT for word in ("-path", path, "-prune", "-o")]
    sized = ["-type", "f", *(word for path in WRITTEN for word in ("!", "-path", f"{path}/*"))]
    told = "%p %y %m %U:%G %l"
    return set(
        host.run(
            "find", "/", "-xdev", *skipped, "(", *sized, "-printf", f"{told}%s\\n", ")", "-o", "-printf", f"{told}\\n"
        ).splitlines()
    )  # fmt: skip


def _rest(node: Kept) -> int:
    process = node.host.run("systemctl", "show", "-P", "MainPID", UNIT).strip()
    status = node.host.run("cat", f"/proc/{process}/status")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1])


def _marked(node: Kept, world: World) -> None:
    """Labels, annotations and taints of the Machine come onto its Node, and what is there already stays."""

    def marks() -> tuple[Any, Any, list[Any]]:
        found = world.admin.get(f"/api/v1/nodes/{node.name}")
        meta, spec = found["metadata"], found["spec"]
        return meta["labels"], meta["annotations"], spec.get("taints", [])

    labels, annotations, taints = marks()
    node.plane.kubectl("patch", "machine", node.name, "--type=merge", "-p", json.dumps({"spec": MARKS}))

    def there() -> bool:
        now = marks()
        return (
            MARKS["labels"].items() <= now[0].items() and MARKS["annotations"].items() <= now[1].items()
            and all(taint in now[2] for taint in MARKS["taints"])
        )  # fmt: skip

    until("the marks of the Machine", there, 60, node.told)
    now = marks()
    assert (labels.items() <= now[0].items(), set(annotations) <= set(now[1])) == (True, True)
    assert all(taint in now[2] for taint in taints)


def _but_its_own(host: Host) -> set[str]:
    """Give what there is but for what the agent writes at any time."""
    return {line for line in _files(host) if not line.startswith("/var/lib/kubenode/")}


def _changed(node: Kept, admin: Admin, word: tuple[str, ...], folder: Path) -> None:
    """What has changed is put right, and the agent has come back when it says so; a bundle that does not run is not believed for what the agent before has reported."""
    host = node.host
    env = host.run("cat", "/etc/kubenode/agent.env")
    host.write("/etc/kubenode/agent.env", env.replace("https://", "https://old."), mode=0o600)

    def sign() -> str:
        words = ("get", "lease", "-n", AGENTS_NAMESPACE, node.name, "-o", "jsonpath={.spec.renewTime}")
        return str(node.plane.kubectl(*words))

    signed = sign()
    mended, _ = admin.run(*word)
    assert ([step.split()[0] for step in mended["steps"]], mended["phase"]) == (
        ["write", "enable"],
        "Running",
    )
    until("a Lease that the new one has renewed", lambda: sign() > signed, 30, node.told)
    before = _but_its_own(host)
    failed, said = admin.run(*word, "--bundle", str(_broken(folder)), code=1)
    message = failed["error"]["message"]
    assert message.startswith("its agent ends again and again; it said: "), said
    assert message.endswith(" | not today; the host is as it was"), said
    assert _but_its_own(host) == before
    assert host.run("systemctl", "is-active", UNIT).strip() == "active"


def _spoilt(node: Kept) -> None:
    """Let the hosts of a pool run a unit that does not start."""
    content = "[Service]\nExecStart=/usr/bin/false\n"
    for name, text in (("spoilt-1", content), ("spoilt-2", content.replace("false", "sleep infinity"))):
        parameters = {"path": SPOILT, "content": text, "unit": "spoilt.service"}
        node.apply("MachineComponent", name, {"version": "1", "driver": "file", "parameters": parameters})
    _rolled(node, "spoilt-1")


def _rolled(node: Kept, component: str) -> None:
    selector, rollout = {"matchLabels": {"pool": "spoilt"}}, {"batches": [1], "minReadySeconds": 1}
    spec = {"name": "spoilt", "component": component, "selector": selector, "rollout": rollout}
    node.apply("MachineComponentSet", f"{node.name}-spoilt", spec)


def test_a_running_node_is_imported_whole(
    stage: Stage, world: World, kubelet: tuple[Path, ...], agent_bundle: Path, tmp_path: Path
) -> None:
    """A key that nobody knows is refused; dry run; failed and undone; imported until Running, nothing else restarted; again: nothing."""
    with kept(stage, world, "brought", *kubelet) as node:
        host = node.host
        admin = Admin(stage, host, tmp_path, agent_bundle)
        host.run("mv", PYTHON, f"{PYTHON}.away")  # a bundle brings its own
        before, boot = _files(host), host.boot_id
        kubelet_since = host.run("systemctl", "show", "-P", "InvocationID", "kubelet", "containerd")
        refused, _ = admin.run(code=1)
        assert admin.key in refused["error"]["message"]
        assert "then --host-key SHA256:..." in refused["error"]["fix"]
        word = ("--host-key", admin.key)
        would, _ = admin.run(*word, "--dry-run")
        assert (would["created"], _files(host)) == (True, before)
        assert world.admin.get(f"/apis/kubenode.dev/v1alpha1/machines/{host.name}") is None

        failed, said = admin.run(*word, "--bundle", str(_broken(tmp_path)), code=1)
        assert "its agent ends again and again; it said: not today" in failed["error"]["message"], said
        assert failed["error"]["message"].endswith("the host is as it was"), said
        assert failed["error"]["fix"] == "mend what it says, and repeat the command"
        assert _files(host) == before
        begun = time.monotonic()
        done, said = admin.run(*word)
        LOG.info("imported over SSH: %.1f s", time.monotonic() - begun)
        assert (done["phase"], done["steps"]) == ("Running", would["steps"])
        for text in ("its certificate is approved", "has reported", "Running"):
            assert text in said
        assert (node.phase(), node.is_ready(), host.boot_id) == ("Running", True, boot)
        assert host.run("systemctl", "show", "-P", "InvocationID", "kubelet", "containerd") == kubelet_since
        assert host.run("find", "/etc/kubenode/token", check=False) == ""
        assert host.run("stat", "-c", "%a %U", "/etc/kubenode/agent.env").split() == ["600", "root"]
        _marked(node, world)
        again, _ = admin.run(*word)
        assert (again["steps"], again["phase"]) == ([], "Running")
        _changed(node, admin, word, tmp_path)
        resident = _rest(node)
        LOG.info("bundled agent: %d KiB", resident)
        assert resident < MOST_KIB


def test_a_line_that_is_pasted_imports_a_host(
    stage: Stage, world: World, kubelet: tuple[Path, ...], agent_bundle: Path
) -> None:
    """A person pastes one line into the root shell of a host; the bundle comes by URL and digest. A second time it refuses.

    A component that fails meanwhile is told, leaves nothing on the host, and does not end the import.
    """
    with served({"bundle": agent_bundle}) as server, kept(stage, world, "pasted", *kubelet) as node:
        host = node.host
        host.write("/usr/local/bin/curl", CURL, mode=0o755)
        since = host.run("systemctl", "show", "-P", "InvocationID", "kubelet", "containerd")
        node.apply("RiskPolicy", "default", {"limits": [{"scope": "cluster", "max": 5}]})
        _spoilt(node)
        asked = subprocess.run(
            [
                str(KUBENODE), "machine", "import", host.address, "--name", host.name, "--paste", "--bundle", str(agent_bundle),
                "--bundle-url", server.url("good", "bundle"), "--kubeconfig", str(stage.control_plane.admin_kubeconfig), "-o", "json",
                "--label", "pool=spoilt",
            ],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        line = json.loads(asked.stdout)["line"]
        assert host.run("sh", "-c", line).splitlines()[-1] == "kubenode: the agent is started"
        until("the failure", lambda: node.report("spoilt").get("reason") == "InstallFailed", 120, node.told)
        assert node.report("spoilt")["message"].endswith("; the host is as it was before")
        assert host.run("find", SPOILT, check=False) == ""
        assert (node.phase(), node.is_ready()) == ("Initializing", True)
        _rolled(node, "spoilt-2")
        until("Running", lambda: node.phase() == "Running", 120, node.told)
        assert (node.at_target("spoilt", "1"), node.is_ready()) == (True, True)
        assert host.run("systemctl", "show", "-P", "InvocationID", "kubelet", "containerd") == since
        assert host.run("stat", "-c", "%a %U", "/etc/kubenode/token").split() == [
            "600",
            "root",
        ]  # it was good once
        assert "so this host has an agent" in host.run("sh", "-c", f"{line} 2>&1 || true")
