"""Three bare hosts that become nodes, and what a story of them asks and does; on the server, on the hosts, side by side.

Lives here: waiting, breaking and looking. What they are to run is in `wishes`.
"""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import attrs

from kubenode.core.host.drift import delay
from tests.cluster.access import MACHINES, Client, admin
from tests.cluster.test_enrolment import KUBENODE, World
from tests.cluster.waiting import until
from tests.hosts.agent import JOURNAL, UNIT
from tests.hosts.host import Host
from tests.hosts.stage import Stage

DAEMONS: Final = ("containerd.service", "kubelet.service")
KERNEL_LOG: Final = "/var/log/kern.log"
"""A test host does not get the machine's own kernel log: what its kernel says stands here."""

_API: Final = "kubenode.dev/v1alpha1"
_APPLY: Final = "application/apply-patch+yaml"
_SETS: Final = "/apis/kubenode.dev/v1alpha1/machinecomponentsets"
_OPTIONS: Final = f"OPTIONS=--inspect-seconds 10 --kernel-log={KERNEL_LOG}\n"
_SOON_NS: Final = 1_500_000_000
_EVERY: Final = 0.05


def side_by_side(*calls: Callable[[], object]) -> None:
    """Make all calls at the same time, each in a thread of this network; the first that fails is raised when all have ended."""
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()


@attrs.frozen
class Seen:
    """What a set's status said at a moment, by the clock of this machine, which is the hosts'."""

    at: float
    status: Mapping[str, Any]

    @property
    def batch(self) -> Mapping[str, Any]:
        """The open batch; empty when there is none."""
        found: Mapping[str, Any] = self.status.get("batch") or {}
        return found


class Fleet:
    """Three hosts, named n1 to n3; each Machine is named by the host's address, as `kubenode machine import` does."""

    def __init__(self, stage: Stage, world: World, hosts: Sequence[Host]) -> None:
        """Hold hosts that are on; call `made` instead."""
        self.plane = stage.control_plane
        self.world = world
        self.hosts = tuple(hosts)
        self.chapters = 0
        self._of_thread = threading.local()
        self._clients = ExitStack()

    @classmethod
    @contextmanager
    def made(cls, stage: Stage, folder: Path) -> Iterator[Self]:
        """Yield three bare hosts that are on, with a controller beside them that writes into the folder.

        Bare is Debian and sshd, and files with options for the agent to come.
        """
        hosts = [stage.host(name) for name in ("n1", "n2", "n3")]
        plane = stage.control_plane
        with ThreadPoolExecutor() as pool, ExitStack() as stack:
            booting = [pool.submit(_boot_bare, host) for host in hosts]
            world = stack.enter_context(World.on(plane, folder))
            for future in booting:
                future.result()
            fleet = cls(stage, world, hosts)
            stack.enter_context(fleet._clients)
            yield fleet

    @contextmanager
    def chapter(self, number: int) -> Iterator[None]:
        """Let a part of the story run only where all before it went well."""
        assert self.chapters == number - 1, "the story did not come this far"
        yield
        self.chapters = number

    # The server.

    @property
    def _admin(self) -> Client:
        if not hasattr(self._of_thread, "client"):
            self._of_thread.client = self._clients.enter_context(admin(self.plane).kept())
        client: Client = self._of_thread.client
        return client

    def apply(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        """Make an object, or change it."""
        path = f"/apis/{_API}/{kind.lower().removesuffix('y')}{'ies' if kind.endswith('y') else 's'}/{name}"
        body = {"apiVersion": _API, "kind": kind, "metadata": {"name": name}, "spec": spec}
        status, answer = self._admin.call("PATCH", f"{path}?fieldManager=story&force=true", body, _APPLY)
        assert status in (200, 201), answer

    def get(self, path: str) -> Any:
        """Give an object, None when there is none."""
        return self._admin.get(path)

    def machine(self, host: Host) -> Any:
        """Give the Machine of a host as it is stored; empty when there is none."""
        return self.get(f"{MACHINES}/{host.address}") or {}

    def node(self, host: Host) -> Any:
        """Give the Node of a host; empty when there is none."""
        return self.get(f"/api/v1/nodes/{host.name}") or {}

    def condition(self, host: Host, type: str) -> Any:
        """Give a condition of the Node of a host; empty while there is none."""
        conditions = self.node(host).get("status", {}).get("conditions", ())
        return next((one for one in conditions if one["type"] == type), {})

    def is_ready(self, host: Host) -> bool:
        """Tell whether the Node of a host is Ready."""
        return bool(self.condition(host, "Ready").get("status") == "True")

    def report(self, host: Host, entry: str) -> Any:
        """Give what the agent of a host says of an entry."""
        status = self.machine(host).get("status", {})
        return status.get("agent", {}).get("components", {}).get(entry, {})

    def set(self, name: str) -> Any:
        """Give a MachineComponentSet."""
        return self.get(f"{_SETS}/{name}") or {}

    def progress(self, name: str) -> str:
        """Give the reason of a set's Progressing."""
        conditions = self.set(name).get("status", {}).get("conditions", ())
        return next((one["reason"] for one in conditions if one["type"] == "Progressing"), "")

    def entry(self, prefix: str) -> str:
        """Give a name for an entry whose first repair is put off on no host for long: the hash that spreads repairs is of the name."""
        uids = [self.machine(host)["metadata"]["uid"] for host in self.hosts]
        names = (f"{prefix}{number}" for number in range(1_000_000))
        return next(name for name in names if all(delay(uid, name, 0) < _SOON_NS for uid in uids))

    # Waiting.

    def until(self, what: str, true: Callable[[], object], patience: float = 60.0) -> None:
        """Wait until something is true, asked often."""
        until(what, true, patience, self.told, every=_EVERY)

    def wait_well(self, host: Host, versions: Mapping[str, str], patience: float = 90.0) -> None:
        """Wait until the agent of a host says that all entries are at their versions, the Machine is Running and its Node Ready."""

        def well() -> bool:
            status = self.machine(host).get("status", {})
            said = status.get("agent", {}).get("components", {})
            told = all(_at_target(said.get(entry, {}), version) for entry, version in versions.items())
            return told and status.get("phase") == "Running" and self.is_ready(host)

        self.until(f"{host.name} well", well, patience)

    def wait_healed(self, host: Host, entry: str, version: str, since: datetime) -> None:
        """Wait until an entry is at target again, with a drift that was reported after this moment."""

        def healed() -> bool:
            found = self.report(host, entry)
            at = found.get("driftedAt")
            return at is not None and datetime.fromisoformat(at) >= since and _at_target(found, version)

        self.until(f"the repair of {entry} on {host.name}", healed, 90)

    def wait_complete(self, name: str, component: str, patience: float = 90.0) -> None:
        """Wait until a set's rollout of a component is over."""

        def over() -> bool:
            current = self.set(name).get("status", {}).get("current") or {}
            return current.get("component") == component and self.progress(name) == "Complete"

        self.until(f"the end of the rollout of {component}", over, patience)

    def stopped(self, name: str, component: str) -> tuple[Host, str]:
        """Wait until the rollout of a component has stopped at one host, and its Machine says why; give both."""

        def stands() -> bool:
            update = self.set(name).get("status", {}).get("update") or {}
            return update.get("component") == component and self.progress(name) == "FailureThreshold"

        self.until(f"an end of {component}", stands)
        (failure,) = self.set(name)["status"]["failed"]
        assert failure["reason"] == "InstallFailed", failure
        host = next(host for host in self.hosts if host.address == failure["name"])

        def says() -> bool:
            conditions = self.machine(host)["status"]["conditions"]
            ready = next(one for one in conditions if one["type"] == "ComponentsReady")
            return ready["reason"] == "ComponentFailed" and failure["message"] in ready["message"]

        self.until(f"the word of {host.name} that {component} failed", says)
        return host, failure["message"]

    @contextmanager
    def followed(self, name: str) -> Iterator[list[Seen]]:
        """Note what the status of a set says while the block runs, each time that it has changed."""
        seen: list[Seen] = []
        over = threading.Event()

        def follow() -> None:
            with admin(self.plane).kept() as client:
                while not over.is_set():
                    status = client.get(f"{_SETS}/{name}").get("status", {})
                    if not seen or seen[-1].status != status:
                        seen.append(Seen(time.time(), status))
                    over.wait(_EVERY / 2)

        thread = threading.Thread(target=follow)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()

    # The hosts.

    @contextmanager
    def undisturbed(self, *hosts: Host) -> Iterator[None]:
        """Fail if, while the block runs, one of these hosts boots, or its kubelet or containerd is started anew."""
        before = [(host.boot_id, self.runs(host)) for host in hosts]
        yield
        assert [(host.boot_id, self.runs(host)) for host in hosts] == before, self.told()

    def runs(self, host: Host) -> list[str]:
        """Name the present run of the kubelet and of containerd of a host; another one after each start."""
        found = host.run("systemctl", "show", "-P", "InvocationID", *DAEMONS).split()
        assert len(found) == len(DAEMONS), found
        return found

    def disturbed(self, host: Host, since: float) -> list[float]:
        """Give when systemd of a host had to do with its kubelet or containerd, in order."""
        host.run("journalctl", "--sync")
        units = [word for unit in DAEMONS for word in (f"UNIT={unit}", "+")][:-1]
        lines = host.run(
            "journalctl", "-o", "json", "--no-pager", f"--since=@{int(since)}", *units
        ).splitlines()
        times = (int(json.loads(line)["__REALTIME_TIMESTAMP"]) / 1e6 for line in lines)
        return [at for at in times if at >= since]

    def journal(self, host: Host) -> list[dict[str, Any]]:
        """Give the records of the agent's journal of a host."""
        lines = host.place(JOURNAL).read_text().splitlines()
        return [json.loads(text) for line in lines if (text := line.partition(" ")[2]).endswith("}")]

    def at_step(self, host: Host, index: int, strike: Callable[[], object]) -> None:
        """Wait until an operation that begins from now on has begun a step, and strike while it is at it."""
        known = {record["op"] for record in self.journal(host)}

        def begun() -> bool:
            return any(
                record["is"] == "step" and record["index"] == index and record["op"] not in known
                for record in self.journal(host)
            )

        until(f"step {index} of {host.name}", begun, 60, self.told, every=0.005)
        strike()

    def kill_agent(self, host: Host) -> None:
        """Kill the agent of a host, and nothing else."""
        host.run("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)

    def told(self) -> str:
        """Give what is known, for a failure."""
        parts = [self.world.tail()]
        for host in self.hosts:
            log = host.run("journalctl", "--no-pager", "-n", "50", "-u", UNIT) if host.is_on else "off\n"
            found = self.machine(host)
            parts.append(f"== {host.name}\n{json.dumps(found.get('status'), indent=1)}\n{log}")
        return "\n".join(parts)


def _boot_bare(host: Host) -> None:
    """Boot a host, and take containerd away, which the image has."""
    host.write("/etc/kubenode/agent.env", _OPTIONS, mode=0o600)
    host.write(f"/etc/systemd/system/{UNIT}.d/soon.conf", "[Service]\nRestartSec=1\n")
    host.write(KERNEL_LOG, "")
    host.power_on()
    host.run("dpkg", "--purge", "containerd")


def _at_target(found: Mapping[str, Any], version: str) -> bool:
    said = found.get("version"), found.get("config"), found.get("state"), found.get("drifting", False)
    return said == (version, "Current", "Running", False)


def import_hosts(fleet: Fleet, bundle: Path, folder: Path, *labels: str) -> "subprocess.Popen[str]":
    """Begin `kubenode machine import` of all hosts at once: by a key that they know, and by keys that the admin knows."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id")], check=True)
    public, known = (folder / "id.pub").read_text(), []
    for host in fleet.hosts:
        host.write("/root/.ssh/authorized_keys", public, mode=0o600)
        known.append(f"{host.address} {host.read('/etc/ssh/ssh_host_ed25519_key.pub')}")
    (folder / "known").write_text("".join(known))
    words = [
        str(KUBENODE), "machine", "import", *(host.address for host in fleet.hosts), "--identity", str(folder / "id"),
        "--known-hosts", str(folder / "known"), "--kubeconfig", str(fleet.plane.admin_kubeconfig),
        "--bundle", str(bundle), *(word for label in labels for word in ("--label", label)), "--timeout", "150", "-o", "json",
    ]  # fmt: skip
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def now() -> datetime:
    """Give this second: reports of drift are to the second."""
    return datetime.now(UTC).replace(microsecond=0)
