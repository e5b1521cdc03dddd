"""What the three hosts of a story are to run: the components, their sets, and the inspection of a batch.

A bare host gets all of it from kubenode: how the kubelet joins (a bootstrap kubeconfig, by which it asks for its own
certificate), its unit, that it is started at boot, containerd as a package, the kubelet as an artifact.
"""

import http.server
import json
import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qs

from tests.hosts.artifacts import Artifacts
from tests.hosts.fleet import DAEMONS, Fleet
from tests.hosts.kubelet import PROGRAM
from tests.hosts.network import GATEWAY

POOL: Final = {"pool": "story"}
BOOT_FILE: Final = "/etc/systemd/system/multi-user.target.d/kubelet.conf"
BOOT_TEXT: Final = "[Unit]\nWants=kubelet.service\n"
CONFIG: Final = "/var/lib/kubelet/config.yaml"
TOOL: Final = "/usr/local/bin/tool"

_UNIT: Final = f"""[Unit]
Description=kubelet
After=containerd.service network.target
StartLimitIntervalSec=0

[Service]
ExecStart={PROGRAM} --config={CONFIG} --bootstrap-kubeconfig=/etc/kubernetes/bootstrap.conf \
--kubeconfig=/var/lib/kubelet/kubeconfig --cert-dir=/var/lib/kubelet/pki --node-ip=${{node.address}}
Restart=always
RestartSec=500ms
"""
_CONFIG: Final = {
    "cgroups_per_qos": False,
    "container_runtime_endpoint": "unix:///run/containerd/containerd.sock",
    "enforce_node_allocatable": [],
    "fail_cgroup_v1": False,
    "fail_swap_on": False,
    "node_status_update_frequency": "1s",
}


class Wishes:
    """The components and sets of one story.

    Attributes:
        containerd: name of its entry, whose repairs come soon; `kubelet` and `boot` likewise.
    """

    def __init__(self, fleet: Fleet, artifacts: Artifacts) -> None:
        self._fleet = fleet
        self._artifacts = artifacts
        self.containerd = self.kubelet = self.boot = ""

    def choose_names(self) -> None:
        """Choose the names of entries, once there are Machines."""
        self.containerd, self.kubelet, self.boot = map(self._fleet.entry, ("containerd", "kubelet", "boot"))

    def join(self) -> None:
        """Let every host of the pool get what it needs for a kubelet, in all three at once."""
        self._component("join-1", "1", "file", path="/etc/kubernetes/bootstrap.conf", content=self._joining())
        self._component("unit-1", "1", "file", path="/etc/systemd/system/kubelet.service", content=_UNIT)
        self._component("boot-1", "1", "file", path=BOOT_FILE, content=BOOT_TEXT)
        for entry, component in (("join", "join-1"), ("unit", "unit-1"), (self.boot, "boot-1")):
            self.roll(entry, component, batches=[3])

    def containerd_is(self, name: str, version: str, **config: Any) -> None:
        """Make a component of containerd: a version of the package, and its configuration."""
        self._component(
            name, version, "containerd", disruption="restart", package="containerd", config=config
        )

    def kubelet_is(self, name: str, version: str, file: str, **config: Any) -> None:
        """Make a component of the kubelet: a file of the server, and its configuration."""
        artifact = {
            "path": PROGRAM,
            "url": self._artifacts.url("good", file),
            "sha256": self._artifacts.digest(file),
        }
        self._component(
            name, version, "kubelet", disruption="restart", dependencies=[self.containerd, "join", "unit"],
            api_server="1.36", artifact=artifact, config={**_CONFIG, **config},
        )  # fmt: skip

    def tool_is(self, name: str, how: str, file: str, **more: str) -> None:
        """Make a component of a program without a unit, served in some way."""
        given = {"url": self._artifacts.url(how, file), "sha256": self._artifacts.digest(file), **more}
        self._component(name, name, "artifact", path=TOOL, **given)

    def roll(
        self,
        entry: str,
        component: str,
        *,
        batches: list[int],
        labels: Mapping[str, str] = POOL,
        **rollout: Any,
    ) -> None:
        """Let the hosts that have the labels run a component under an entry; the set is called as the entry."""
        how = {"batches": batches, "maxUnavailable": max(batches), "minReadySeconds": 1, **rollout}
        selector = {"matchLabels": labels}
        spec = {"name": entry, "component": component, "selector": selector, "rollout": how}
        self._fleet.apply("MachineComponentSet", entry, spec)

    def _component(
        self, name: str, version: str, driver: str, *, disruption: str = "none", dependencies: list[str] | None = None,
        **parameters: Any,
    ) -> None:  # fmt: skip
        spec = {
            "version": version, "driver": driver, "parameters": parameters, "disruption": disruption,
            "dependencies": dependencies or [],
        }  # fmt: skip
        self._fleet.apply("MachineComponent", name, spec)

    def _joining(self) -> str:
        """Make a token with which kubelets may ask for their certificates, and give the kubeconfig that has it."""
        plane, token = self._fleet.plane, (secrets.token_hex(3), secrets.token_hex(8))
        data = {
            "token-id": token[0], "token-secret": token[1], "usage-bootstrap-authentication": "true",
        }  # fmt: skip
        held = {
            "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token", "stringData": data,
            "metadata": {"name": f"bootstrap-token-{token[0]}", "namespace": "kube-system"},
        }  # fmt: skip
        plane.kubectl("apply", "-f", "-", input=json.dumps(held))
        for role in (
            "system:node-bootstrapper",
            "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        ):
            name = f"story-{role.rpartition(':')[2]}"
            plane.kubectl(
                "create", "clusterrolebinding", name, f"--clusterrole={role}", "--group=system:bootstrappers"
            )
        authority = b64encode(plane.ca_file.read_bytes()).decode()
        return json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "join",
            "clusters": [{"name": "join", "cluster": {"server": plane.url, "certificate-authority-data": authority}}],
            "users": [{"name": "join", "user": {"token": ".".join(token)}}],
            "contexts": [{"name": "join", "context": {"cluster": "join", "user": "join"}}],
        })  # fmt: skip


class Metrics(http.server.ThreadingHTTPServer):
    """Answers as Prometheus does how many of a node's daemons are active; it looks at the hosts themselves.

    Attributes:
        asked: when, and for which nodes, it was asked.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, fleet: Fleet) -> None:
        super().__init__((GATEWAY, 0), _Query)
        self._fleet = fleet
        self.asked: list[tuple[float, tuple[str, ...]]] = []

    @property
    def hooks(self) -> list[dict[str, Any]]:
        """The inspection of a batch: on each of its updated nodes both daemons are active."""
        url = f"http://{GATEWAY}:{self.server_address[1]}"
        parameters = {"url": url, "query": "${nodes}", "min": len(DAEMONS)}
        return [{"name": "daemons", "inspector": "prometheus", "parameters": parameters}]

    def active(self, nodes: str) -> dict[str, int]:
        """Give the number of active daemons by node."""
        named = set(nodes.split("|"))
        hosts = [host for host in self._fleet.hosts if host.name in named]
        self.asked.append((time.time(), tuple(host.name for host in hosts)))
        states = {
            host.name: host.run("systemctl", "is-active", *DAEMONS, check=False).split() for host in hosts
        }
        return {name: said.count("active") for name, said in states.items()}


class _Query(http.server.BaseHTTPRequestHandler):
    server: Metrics

    def do_POST(self) -> None:
        """Answer `/api/v1/query`; the query is the names of nodes."""
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        found = self.server.active(parse_qs(asked)["query"][0])
        result = [{"metric": {"node": name}, "value": [0, str(value)]} for name, value in found.items()]
        body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def measured(fleet: Fleet) -> Iterator[Metrics]:
    """Yield a server; it ends with the block."""
    with Metrics(fleet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
