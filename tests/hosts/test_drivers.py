"""Our drivers and the probes of a component on a real host: adopted, gone back from, mended, drained and rebooted for, and removed.

And a secret in all that a component may carry, which is looked for in everything that is kept or told.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from kubenode.components import ContainerdParams, KubeletParams
from kubenode.runtime.parameters import structured
from tests.cluster.test_enrolment import World
from tests.cluster.waiting import until
from tests.hosts.agent import UNIT, Kept, kept
from tests.hosts.artifacts import TOKEN, Artifacts, served
from tests.hosts.fixture import Parts
from tests.hosts.kubelet import PROGRAM
from tests.hosts.ordeals import LEDGER
from tests.hosts.stage import Stage

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(600)]

OLD: Final = "1.6.20~ds1-1+deb12u2"
NEW: Final = "1.6.20~ds1-1+deb12u3"
SECRET: Final = "s3cr3t-of-a-test"
APP: Final = "/etc/systemd/system/app.service"
DROP_IN: Final = f"{APP}.d/50-name.conf"
_CHECK: Final = "/etc/systemd/system/containerd.service.d/10-check.conf"
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


def _daemons(node: Kept, server: Artifacts, version: str) -> tuple[str, dict[str, Any], str]:
    """Let the drivers of containerd and of the kubelet adopt a node that has all that they would write: nothing is restarted.

    What they render is taken by the real programs. Gives the entry of containerd, whose repairs come soon, its parameters, and its component.
    """
    host = node.host
    config = {"sandbox_image": "registry.k8s.io/pause:3.9", "registry_config_path": "/etc/containerd/certs.d"}
    containerd = {"package": "containerd", "config": config}
    artifact = {"path": PROGRAM, "url": server.url("good", "now"), "sha256": server.digest("now")}
    kubelet = {
        "api_server": ".".join(version.split(".")[:2]), "artifact": artifact, "config": _KUBELET,
        "config_file": "/etc/kubernetes/kubelet.json",
    }  # fmt: skip
    files = {
        "/etc/containerd/config.toml": structured(containerd, ContainerdParams, "p").config.content(),
        "/etc/kubernetes/kubelet.json": structured(kubelet, KubeletParams, "p").config.content(),
    }
    host.run("apt-get", "-q", "-y", "--allow-downgrades", "install", f"containerd={OLD}")
    for path, content in files.items():
        host.write(path, content.decode())
    host.run("systemctl", "restart", "containerd", "kubelet")
    until("Ready", node.is_ready, 60, node.told)
    assert json.loads(files["/etc/kubernetes/kubelet.json"])["clusterDNS"] == ["10.96.0.10"]
    assert host.run("apt-mark", "showhold") == ""
    runs = [_show(node, unit, "InvocationID") for unit in ("containerd", "kubelet")]

    node.install_agent()
    entry = node.entry("runtime")
    runtime = _component(
        node, "runtime", "containerd", version=OLD, disruption="restart", parameters=containerd
    )
    wanted = _component(
        node, "kubelet", "kubelet", version=version, disruption="restart", dependencies=[entry],
        parameters=kubelet,
    )  # fmt: skip
    _runs(node, "kubelet", wanted)
    _runs(node, entry, runtime)
    for name, at in ((entry, OLD), ("kubelet", version)):
        _well(node, name, at)
    assert [_show(node, unit, "InvocationID") for unit in ("containerd", "kubelet")] == runs
    assert {path: host.read(path).encode() for path in files} == files
    assert host.run("readlink", PROGRAM, check=False) == ""  # it is right, so it is not fetched
    assert 'sandbox_image = "registry.k8s.io/pause:3.9"' in host.run("containerd", "config", "dump")
    (held,) = [one["steps"] for one in node.journal() if one["is"] == "began"]
    assert [(step["act"], step["package"], step.get("then")) for step in held] == [
        ("InstallPackage", "containerd", None)
    ]
    return entry, containerd, runtime


def _holds(node: Kept, entry: str) -> None:
    """What was there is held as what we install is; a hold that is lost is put there again, and nothing is restarted for it."""
    host, run = node.host, _show(node, "containerd", "InvocationID")
    assert host.run("apt-mark", "showhold").split() == ["containerd"]
    host.run("apt-get", "-q", "-y", "upgrade")
    assert host.run("dpkg-query", "-W", "-f", "${Version}", "containerd") == OLD
    host.run("apt-mark", "unhold", "containerd")
    _until(node, "the hold", "apt-mark", "showhold", says="containerd")
    _well(node, entry, OLD)
    assert _show(node, "containerd", "InvocationID") == run


def _goes_back(node: Kept, entry: str, parameters: dict[str, Any], before: str) -> None:
    """A package whose new version does not start: the old one is there again, held and running; the rollout stops."""
    host = node.host
    host.write(
        "/srv/check",
        f"#!/bin/sh\n[ \"$(dpkg-query -W -f '${{Version}}' containerd)\" = '{OLD}' ]\n",
        mode=0o755,
    )
    host.write(_CHECK, "[Service]\nExecStartPre=/srv/check\n")
    host.run("systemctl", "daemon-reload")
    component = _component(
        node, "runtime-next", "containerd", version=NEW, disruption="restart", parameters=parameters
    )
    _runs(node, entry, component)
    until("the pause", lambda: node.is_paused(entry), 120, node.told)
    told = node.report(entry)
    assert (told["reason"], told["version"], told["state"]) == ("InstallFailed", OLD, "Running")
    assert "containerd.service" in told["message"]
    assert told["message"].endswith(
        "; the host is as it was before, but for packages that may have come along with containerd"
    )
    installed = host.run(
        "dpkg-query", "-W", "-f", "${db:Status-Want} ${db:Status-Status} ${Version}", "containerd"
    )
    assert installed == f"hold installed {OLD}"
    assert host.run("dpkg", "--audit") == ""
    assert host.run("systemctl", "is-active", "containerd").strip() == "active"
    until("Ready", node.is_ready, 60, node.told)
    host.run("rm", _CHECK)
    host.run("systemctl", "daemon-reload")
    _runs(node, entry, before)
    _well(node, entry, OLD)
    node.wait_complete(entry)


def _drained(node: Kept, world: World) -> None:
    """A file whose effect is drain: cordoned and drained by a permit, written when the last Pod has gone, and opened again."""
    plane, path = node.plane, "/etc/drains.conf"

    def at() -> Any:
        return world.admin.get(f"/api/v1/nodes/{node.name}")["spec"].get("unschedulable", False)

    def permits() -> list[tuple[str, str]]:
        holds = world.admin.get(LEDGER)["status"].get("holds", [])
        return [(one["machine"], one["cause"]) for one in holds if one["machine"] == node.name]

    def pod() -> Any:
        return world.admin.get(f"/api/v1/namespaces/default/pods/{name}")

    name = f"{node.name}-web"
    wanted = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "finalizers": ["test/stays"]},
        "spec": {"nodeName": node.name, "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "i"}]},
    }  # fmt: skip
    plane.kubectl("create", "-f", "-", input=json.dumps(wanted))
    assert (at(), permits()) == (False, [])
    parameters = {"path": path, "content": "# of a test\n", "effect": "drain"}
    _runs(node, "drains", _component(node, "drains", "file", parameters=parameters, disruption="drain"))
    until("the eviction", lambda: "deletionTimestamp" in pod()["metadata"], 90, node.told)
    assert at() is True
    assert permits() == [(node.name, "Rollout")]
    assert node.host.run("find", path, check=False) == ""
    plane.kubectl("patch", "pod", name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')
    _well(node, "drains")
    assert pod() is None
    until("the Node to be open again", lambda: not at(), 60, node.told)
    node.wait_complete("drains")
    assert permits() == []


def _units(node: Kept) -> None:
    """A unit of ours, and a file that it reads: whatever is changed by hand is as it was, by no more than it takes."""
    host = node.host
    probes = [
        {"exec": {"command": ["/usr/bin/test", "-e", "/etc/hostname"]}}, {"unit": "app.service"},
        {"http": {"port": 10248, "path": "/healthz"}}, {"tcp": {"port": 22}},
        {"version": {"command": ["/usr/bin/containerd", "--version"], "prints": OLD}},
    ]  # fmt: skip
    _runs(node, "conf", _component(node, "conf", "file", parameters=_CONF, dependencies=["app"]))
    until("its waiting", lambda: "depends on app" in node.report("conf").get("message", ""), 60, node.told)
    assert host.run("find", CONF, check=False) == ""
    _runs(node, "app", _component(node, "app", "unit", parameters=_UNIT, probes=probes))
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
        version = node.host.run(PROGRAM, "--version").split()[-1].removeprefix("v")
        entry, containerd, runtime = _daemons(node, artifacts, version)
        _holds(node, entry)
        _goes_back(node, entry, containerd, runtime)
        _drained(node, world)
        _units(node)
        _removed(node)
        _rebooted(node)
        _keeps_secrets(node, artifacts)
