"""Our drivers and the probes of a component on a real host: installed, mended, rebooted for, and removed.

And a secret in all that a component may carry, which is looked for in everything that is kept or told.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.test_enrolment import World
from tests.cluster.waiting import until
from tests.hosts.agent import UNIT, Kept, kept
from tests.hosts.artifacts import TOKEN, Artifacts, served
from tests.hosts.fixture import Parts
from tests.hosts.kubelet import PROGRAM
from tests.hosts.stage import Stage

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(600)]

OLD: Final = "1.6.20~ds1-1+deb12u2"
NEW: Final = "1.6.20~ds1-1+deb12u3"
SECRET: Final = "s3cr3t-of-a-test"
APP: Final = "/etc/systemd/system/app.service"
DROP_IN: Final = f"{APP}.d/50-name.conf"
CONF: Final = "/etc/app.conf"
_OWN: Final = (
    "[Service]\nExecStart=/usr/bin/sleep infinity\nExecReload=/usr/bin/touch /run/app-reloaded\n"
    "[Install]\nWantedBy=multi-user.target\n"
)
_KUBELET: Final = {
    "cgroups_per_qos": False, "container_runtime_endpoint": "unix:///run/containerd/containerd.sock",
    "enforce_node_allocatable": [], "fail_cgroup_v1": False, "fail_swap_on": False, "node_status_update_frequency": "1s",
    "cluster_dns": ["10.96.0.10"], "eviction_hard": {"memory.available": "1Mi"}, "max_pods": 50,
}  # fmt: skip


_UNIT: Final = {
    "unit": "app.service", "content": _OWN, "enabled": True,
    "drop_ins": {"50-name": "[Service]\nEnvironment=NAME=${machine.name}\n"},
}  # fmt: skip
_CONF: Final = {
    "path": CONF, "content": f"{SECRET}\n", "mode": "0640", "owner": "nobody", "group": "adm", "unit": "app.service",
    "effect": "reload",
}  # fmt: skip


@pytest.fixture(scope="module")
def world(session_stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A controller beside the hosts, with the rights of the manifests and no more."""
    folder = tmp_path_factory.mktemp("controller")
    with session_stage.network.inside(), World.on(session_stage.control_plane, folder) as made:
        yield made


@pytest.fixture
def artifacts(stage: Stage, host_parts: Parts) -> Iterator[Artifacts]:
    """A server of the kubelet."""
    with served({"now": host_parts.kubelet}) as server:
        yield server


def _component(node: Kept, name: str, driver: str, /, version: str = "1", **spec: Any) -> str:
    full = f"{node.name}-{name}"
    node.apply("MachineComponent", full, {"version": version, "driver": driver, "disruption": "none", **spec})
    return full


def _runs(node: Kept, entry: str, component: str, state: str = "Running") -> None:
    selector, rollout = {"matchLabels": {"test": node.name}}, {"batches": [1], "minReadySeconds": 1}
    spec = {"name": entry, "component": component, "selector": selector, "rollout": rollout, "state": state}
    node.apply("MachineComponentSet", f"{node.name}-{entry}", spec)


def _well(node: Kept, entry: str, version: str = "1") -> None:
    until(
        f"{entry} at {version}", lambda: node.at_target(entry, version), 90,
        lambda: f"{node.report(entry)}\n{node.told()}",
    )  # fmt: skip


def _show(node: Kept, unit: str, what: str) -> str:
    return node.host.run("systemctl", "show", "-P", what, unit).strip()


def _until(node: Kept, what: str, *argv: str, says: str) -> None:
    until(what, lambda: node.host.run(*argv, check=False).strip() == says, 90, node.told)


def _daemons(node: Kept, server: Artifacts, version: str) -> None:
    """Give the host containerd and its kubelet by their own drivers; what is rendered is taken by the real programs."""
    config = {"sandbox_image": "registry.k8s.io/pause:3.9", "registry_config_path": "/etc/containerd/certs.d"}
    parameters = {"package": "containerd", "config": config}
    runtime = _component(
        node, "runtime", "containerd", version=OLD, disruption="restart", parameters=parameters
    )
    artifact = {"path": PROGRAM, "url": server.url("good", "now"), "sha256": server.digest("now")}
    minor = ".".join(version.split(".")[:2])
    parameters = {
        "api_server": minor,
        "artifact": artifact,
        "config": _KUBELET,
        "config_file": "/etc/kubernetes/kubelet.json",
    }
    kubelet = _component(
        node,
        "kubelet",
        "kubelet",
        version=version,
        disruption="restart",
        dependencies=["runtime"],
        parameters=parameters,
    )
    program = _show(node, "kubelet", "MainPID")
    _runs(node, "kubelet", kubelet)
    until(
        "its waiting",
        lambda: "depends on runtime" in node.report("kubelet").get("message", ""),
        60,
        node.told,
    )
    assert _show(node, "kubelet", "MainPID") == program
    _runs(node, "runtime", runtime)
    for entry, wanted in (("runtime", OLD), ("kubelet", version)):
        _well(node, entry, wanted)
    assert json.loads(node.host.read("/etc/kubernetes/kubelet.json"))["clusterDNS"] == ["10.96.0.10"]
    assert node.host.run("readlink", PROGRAM, check=False) == ""  # it is right, so it is not fetched
    told = node.host.run("containerd", "config", "dump")
    assert 'sandbox_image = "registry.k8s.io/pause:3.9"' in told
    until("Ready", node.is_ready, 60, node.told)


def _holds(node: Kept) -> None:
    """What we have installed is left by whoever upgrades all; what a person holds is not lifted."""
    host = node.host
    assert host.run("apt-mark", "showhold").split() == ["containerd"]
    host.run("apt-get", "-q", "-y", "upgrade")
    assert host.run("dpkg-query", "-W", "-f", "${Version}", "containerd") == OLD


def _units(node: Kept) -> None:
    """A unit of ours, and a file that it reads: whatever is changed by hand is as it was, by no more than it takes."""
    host = node.host
    probes = [
        {"exec": {"command": ["/usr/bin/test", "-e", "/etc/hostname"]}}, {"unit": "app.service"},
        {"http": {"port": 10248, "path": "/healthz"}}, {"tcp": {"port": 22}},
        {"version": {"command": ["/usr/bin/containerd", "--version"], "prints": OLD}},
    ]  # fmt: skip
    _runs(node, "app", _component(node, "app", "unit", parameters=_UNIT, probes=probes))
    _runs(node, "conf", _component(node, "conf", "file", parameters=_CONF, dependencies=["app"]))
    for entry in ("app", "conf"):
        _well(node, entry)
    assert f"NAME={node.name}" in _show(node, "app", "Environment")
    assert host.run("systemctl", "is-enabled", "app").strip() == "enabled"
    assert host.run("stat", "-c", "%a %U %G", CONF).strip() == "640 nobody adm"
    host.run("rm", "/run/app-reloaded")

    run = _show(node, "app", "InvocationID")
    host.run("systemctl", "disable", "app")
    host.run("chmod", "0666", CONF)
    _until(node, "the start at boot", "systemctl", "is-enabled", "app", says="enabled")
    _until(node, "the mode", "stat", "-c", "%a %U %G", CONF, says="640 nobody adm")
    _until(node, "the reload", "find", "/run", "-name", "app-reloaded", says="/run/app-reloaded")
    assert _show(node, "app", "InvocationID") == run

    host.run("systemctl", "stop", "ssh")
    until(
        "what a probe says",
        lambda: "127.0.0.1 port 22" in node.report("app").get("message", ""),
        60,
        node.told,
    )
    host.run("systemctl", "start", "ssh")
    for entry in ("app", "conf"):
        _well(node, entry)


def _removed(node: Kept) -> None:
    """Absent takes away what was written, and that only; what depends on the other goes first."""
    _runs(node, "conf", _component(node, "conf-2", "file", parameters=_CONF, dependencies=["app"]), "Absent")
    until(
        "conf to go", lambda: node.machine()["spec"]["components"]["conf"]["state"] == "Absent", 60, node.told
    )
    _runs(node, "app", _component(node, "app-2", "unit", parameters=_UNIT), "Absent")
    _until(node, "the end of both", "find", CONF, APP, DROP_IN, "-maxdepth", "0", says="")
    for entry in ("app", "conf"):
        until(
            f"{entry} Absent", lambda entry=entry: node.report(entry).get("state") == "Absent", 60, node.told
        )
        node.wait_complete(entry)
    assert _show(node, "app", "LoadState") == "not-found"
    assert [step["act"] for one in node.journal() if one["is"] == "began" for step in one["steps"]][-5:] == [
        "RemoveFile", "StopUnit", "EnableUnit", "RemoveFile", "RemoveFile",
    ]  # fmt: skip


def _rebooted(node: Kept) -> None:
    """A file of class reboot: written, one reboot by the agent, and at target in the boot after it."""
    host, boot = node.host, node.host.boot_id
    parameters = {"path": "/etc/modprobe.d/app.conf", "content": "# of a test\n", "effect": "reboot"}
    component = _component(node, "boots", "file", parameters=parameters, disruption="reboot")
    _runs(node, "boots", component)
    until("the end of the boot", lambda: not host.is_on, 120, lambda: "still on")
    host.power_cut()  # what is left of a host that is down
    host.power_on()
    _well(node, "boots")
    node.wait_complete("boots")
    assert node.machine()["status"]["agent"]["bootID"] == host.boot_id != boot
    (began,) = [
        one
        for one in node.journal()
        if one["is"] == "began" and any(s["act"] == "Reboot" for s in one["steps"])
    ]
    assert [step["act"] for step in began["steps"]] == ["WriteFile", "Reboot"]
    (ended,) = [one for one in node.journal() if one["is"] == "ended" and one["op"] == began["op"]]
    assert ended["state"] == "done"


def _keeps_secrets(node: Kept, server: Artifacts) -> None:
    """Also where the step fails that carries one."""
    broken = {
        "path": "/etc/systemd/system/broken.service",
        "content": f"[Service]\nExecStart=/usr/bin/false\n# {SECRET}\n",
        "unit": "broken.service",
    }
    _runs(node, "broken", _component(node, "broken", "file", parameters=broken))
    argument = {"version": {"command": ["/bin/echo", SECRET]}}
    plain = {"path": "/srv/plain", "content": SECRET}
    _runs(node, "says", _component(node, "says", "file", parameters=plain, probes=[argument]))
    wrong = {"path": "/usr/local/bin/wrong", "url": server.url("good", "now"), "sha256": "0" * 64}
    _runs(node, "wrong", _component(node, "wrong", "artifact", parameters=wrong))
    setting = {"name": "secret", "sysctl": {"net.ipv4.conf.lo.log_martians": SECRET}}
    _runs(node, "setting", _component(node, "setting", "kernel", parameters=setting))
    for entry, says in (
        ("broken", "broken.service"),
        ("says", "/bin/echo does not print"),
        ("wrong", "SHA-256"),
        ("setting", "log_martians"),
    ):
        until(
            f"what {entry} says",
            lambda entry=entry, says=says: says in node.report(entry).get("message", ""),
            90,
            node.told,
        )
    host = node.host
    kept = host.run(
        "grep", "-rlE", f"{SECRET}|{TOKEN}", "/var/lib/kubenode", "/opt/kubenode/artifacts", check=False
    ).split()
    assert [path for path in kept if not path.endswith("/applied.json")] == []
    told = (host.run("journalctl", "--no-pager", "-u", UNIT), json.dumps(node.machine()))
    assert all(text and SECRET not in text and TOKEN not in text for text in told)
    assert host.run("stat", "-c", "%a %U", "/var/lib/kubenode").split() == ["700", "root"]


def test_drivers_and_probes_on_a_real_host(
    stage: Stage, world: World, kubelet: tuple[Path, ...], kubenode: tuple[Path, ...], artifacts: Artifacts, host_parts: Parts
) -> None:  # fmt: skip
    """One after the other, on one host."""
    with kept(stage, world, "drivers", *kubelet, *kubenode) as node:
        node.apply("RiskPolicy", "default", {"limits": [{"scope": "cluster", "max": 50}]})
        node.install_agent()
        version = node.host.run(PROGRAM, "--version").split()[-1].removeprefix("v")
        _daemons(node, artifacts, version)
        _holds(node)
        _units(node)
        _removed(node)
        _rebooted(node)
        _keeps_secrets(node, artifacts)
