"""The real agent on a test host, as an administrator would set it up, and the Machine that it is the agent of.

Lives here: unit, credentials, and what a test asks server, host and journal. kubenode itself is a layer of the host:
the fixture `kubenode`.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kubenode.core.host.drift import REPAIR_LIMIT, delay
from tests.cluster.access import MACHINES
from tests.cluster.test_enrolment import KUBENODE, World
from tests.cluster.waiting import until
from tests.hosts.host import Host
from tests.hosts.kubelet import set_up_kubelet
from tests.hosts.stage import Stage

UNIT: Final = "kubenode-agent.service"
JOURNAL: Final = "/var/lib/kubenode/journal"

_UNIT_FILE: Final = Path(__file__).resolve().parents[2] / "docs" / "examples" / UNIT
_API: Final = "kubenode.dev/v1alpha1"
_SOON_NS: Final = 5_000_000_000
_SETS: Final = "/apis/kubenode.dev/v1alpha1/machinecomponentsets"


class Kept:
    """A host with a kubelet whose agent keeps it as its Machine says; the Machine has the host's name."""

    def __init__(self, stage: Stage, host: Host, world: World) -> None:
        """Hold them; call `kept` instead."""
        self.host = host
        self.name = host.name
        self.plane = stage.control_plane
        self._world = world

    def apply(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        """Make an object, or change it."""
        metadata = {"name": name, "labels": {"test": self.name}}
        text = json.dumps({"apiVersion": _API, "kind": kind, "metadata": metadata, "spec": spec})
        self.plane.kubectl("apply", "-f", "-", input=text)

    def install_agent(self, *options: str, spec: Mapping[str, Any] | None = None) -> None:
        """Make the Machine and its token, and start the agent on the host, which is on, with more options.

        Args:
            options: of the agent.
            spec: of the Machine; that of a host that was there before, if not given.
        """
        self.apply("Machine", self.name, spec or {"host": {"address": self.host.address}})
        token = subprocess.run(
            [KUBENODE, "machine", "token", self.name, "--kubeconfig", str(self.plane.admin_kubeconfig)],
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        settings = f"MACHINE={self.name}\nSERVER={self.plane.url}\nOPTIONS={' '.join(('--inspect-seconds 10', *options))}\n"
        self.host.write("/etc/kubenode/agent.env", settings, mode=0o600)
        self.host.write("/etc/kubenode/ca.crt", self.plane.ca_file.read_text(), mode=0o600)
        self.host.write("/etc/kubenode/token", token.stdout, mode=0o600)
        self.host.write(f"/etc/systemd/system/{UNIT}", _UNIT_FILE.read_text())
        self.host.run("systemctl", "daemon-reload")
        self.host.run("systemctl", "enable", "--now", UNIT)

    def runs(self, entry: str, component: str) -> None:
        """Let the machine run a component, by a set of its own for this entry."""
        rollout = {"batches": [1], "minReadySeconds": 1}
        selector = {"matchLabels": {"test": self.name}}
        spec = {"name": entry, "component": component, "selector": selector, "rollout": rollout}
        self.apply("MachineComponentSet", f"{self.name}-{entry}", spec)

    def entry(self, prefix: str) -> str:
        """Give a name for an entry whose repairs are not put off for long: the hash that spreads them is of the name."""
        uid = self.machine()["metadata"]["uid"]
        names = (f"{prefix}{number}" for number in range(100_000))
        return next(n for n in names if all(delay(uid, n, i) < _SOON_NS for i in range(REPAIR_LIMIT)))

    def machine(self) -> Any:
        """Give the Machine as it is stored."""
        return self._world.admin.get(f"{MACHINES}/{self.name}")

    def report(self, entry: str) -> Any:
        """Give what the agent says of an entry."""
        return self.machine().get("status", {}).get("agent", {}).get("components", {}).get(entry, {})

    def phase(self) -> str:
        """Give the phase of the Machine."""
        return str(self.machine().get("status", {}).get("phase", ""))

    def is_ready(self) -> bool:
        """Tell whether the Node is Ready."""
        node = self._world.admin.get(f"/api/v1/nodes/{self.name}")
        conditions = node["status"].get("conditions", ()) if node else ()
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def at_target(self, entry: str, version: str) -> bool:
        """Tell whether the agent says that an entry is at this version and all is as it should be."""
        found = self.report(entry)
        states = found.get("version"), found.get("config"), found.get("state"), found.get("drifting", False)
        return states == (version, "Current", "Running", False)

    def wait_running(self, versions: Mapping[str, str]) -> None:
        """Wait until all entries are at their versions, the Machine is Running and its Node is Ready."""

        def well() -> bool:
            told = all(self.at_target(entry, version) for entry, version in versions.items())
            return told and self.phase() == "Running" and self.is_ready()

        until(f"Running of {self.name}", well, 180, self.told, every=0.5)

    def wait_complete(self, entry: str) -> None:
        """Wait until the rollout of an entry's set is over."""

        def over() -> bool:
            conditions = self._world.admin.get(f"{_SETS}/{self.name}-{entry}")["status"].get("conditions", ())
            return any((one["type"], one["reason"]) == ("Progressing", "Complete") for one in conditions)

        until(f"the end of the rollout of {entry}", over, 120, self.told, every=0.5)

    def is_paused(self, entry: str) -> bool:
        """Tell whether the rollout of an entry's set has stopped at this machine."""
        conditions = (
            self._world.admin.get(f"{_SETS}/{self.name}-{entry}").get("status", {}).get("conditions", ())
        )
        stopped = ("Progressing", "False", "FailureThreshold")
        return any((one["type"], one["status"], one["reason"]) == stopped for one in conditions)

    def mark(self, *words: str) -> None:
        """Label the Machine, as `kubectl label` takes it: `KEY=VALUE`, `KEY-`."""
        self.plane.kubectl("label", "machine", self.name, *words)

    def told(self) -> str:
        """Give what is known, for a failure."""
        said = self.host.run("journalctl", "--no-pager", "-n", "60", "-u", UNIT) if self.host.is_on else "off"
        seen = self.machine()
        return (
            json.dumps({"spec": seen["spec"], "status": seen.get("status")}, indent=1)
            + said
            + self._world.tail()
        )

    def journal(self) -> list[dict[str, Any]]:
        """Give the records of the agent's journal that are on the disk."""
        return [json.loads(line.partition(" ")[2]) for line in self.host.read(JOURNAL).splitlines()]

    def remove(self) -> None:
        """Take all of it from the server."""
        self.plane.kubectl("delete", "machinecomponentsets", "-l", f"test={self.name}")
        self.plane.kubectl("delete", "machine", self.name, "--timeout=60s", "--ignore-not-found")
        self.plane.kubectl("delete", "node", self.name)


@contextmanager
def kept(stage: Stage, world: World, name: str, *layers: Path) -> Iterator[Kept]:
    """Yield a host whose Node is Ready and that has no agent yet; all of it goes afterwards."""
    with stage.host(name, *layers) as host:
        set_up_kubelet(host, stage.control_plane)
        host.power_on()
        made = Kept(stage, host, world)
        until(
            f"Ready of {name}", made.is_ready, 60, lambda: host.run("journalctl", "-n", "40", "-u", "kubelet")
        )
        yield made
        made.remove()
