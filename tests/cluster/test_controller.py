"""`kubenode controller` and `kubenode uninstall` as processes on a real server: rights, leases, bad starts, and the end."""

import asyncio
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubenode.core import model as m
from kubenode.core.lease import CONTROLLER, NAMESPACE, OBSERVER
from kubenode.runtime.controller.rights import rights
from kubenode.runtime.embed import Engine, Plugins
from kubenode.runtime.manifests import install, to_yaml
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.store.installed import INSTALL
from kubenode.runtime.store.kube import KubeStore
from kubenode.runtime.store.lease import DEGRADED
from kubenode.runtime.store.rights import Right, lease_events, lease_rights
from kubenode.runtime.testing.controlplane import ControlPlane, ControlPlaneError
from kubenode.runtime.testing.servers import CONTROLLER_USER, SECOND_USER
from tests.cluster.access import grant_second
from tests.cluster.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
KUBENODE = Path(sys.executable).with_name("kubenode")


class Process:
    """One `kubenode` that runs, and its log."""

    def __init__(self, log: Path, *arguments: str) -> None:
        self.path = log
        with log.open("wb") as output:
            self.popen = subprocess.Popen([KUBENODE, *arguments], stdout=output, stderr=subprocess.STDOUT)

    def log(self) -> str:
        """Give what it has said."""
        return self.path.read_text()

    def get(self, path: str) -> tuple[int, str]:
        """Ask its HTTP server."""
        found = re.search(r"event=listening address=(\S+)", self.log())
        if found is None:
            return 0, ""
        try:
            with urllib.request.urlopen(f"http://{found[1]}/{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def leads(self) -> bool:
        """Tell whether it leads."""
        return 'kubenode_engine_leads{engine="kubenode"} 1.0' in self.get("metrics")[1]

    def until_ready(self) -> None:
        """Wait until it can do its work."""
        until("readiness", lambda: self.get("readyz")[0] == 200, logs=self.log)

    def end(self) -> None:
        """Stop it in order; that is how it ends."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGCONT)
            self.popen.send_signal(signal.SIGTERM)
        assert self.popen.wait(timeout=60) == 0, self.log()[-3000:]


class Cluster:
    """A control plane with our manifests, and the processes on it."""

    def __init__(self, plane: ControlPlane, folder: Path, stack: ExitStack) -> None:
        self.plane = plane
        self.folder = folder
        self._stack = stack
        self._count = 0

    def run(self, *arguments: str) -> Process:
        """Start a process of ours, which is ended with the test."""
        self._count += 1
        process = Process(self.folder / f"{self._count}.log", *arguments)
        self._stack.callback(process.end)
        return process

    def controller(self, *more: str, user: str = CONTROLLER_USER) -> Process:
        """Start a controller with the credentials of a user, and a lease that ends soon."""
        config = str(self.plane.kubeconfig(user))
        return self.run(
            "controller", "--kubeconfig", config, "--lease-seconds", "3", "--listen", "127.0.0.1:0", *more
        )

    def agent(self, machine: str, zone: str) -> Process:
        """Start a simulated agent."""
        agent = self.plane.kubeconfig(f"kubenode:agent:{machine}", ("kubenode:agents",))
        kubelet = self.plane.kubeconfig(f"system:node:node-{machine}", ("system:nodes",))
        return self.run(
            "sim", "agent", machine, "--kubeconfig", str(agent), "--kubelet-kubeconfig", str(kubelet), "--zone", zone,
            "--kmsg", str(self.folder / f"{machine}.kmsg"),
        )  # fmt: skip

    def object(self, kind: str, name: str, *more: str) -> Any:
        """Read one object; empty when there is none."""
        try:
            return json.loads(self.plane.kubectl("get", kind, name, "-o", "json", *more))
        except ControlPlaneError:
            return {}

    def lease(self, name: str = CONTROLLER) -> Any:
        """Read a Lease."""
        return self.object("lease", name, "-n", NAMESPACE)

    def audit(self) -> list[Any]:
        """Read the audit log, of what was answered."""
        lines = self.plane.audit_log.read_text().splitlines()
        return [
            entry
            for entry in map(json.loads, lines)
            if entry["stage"] in ("ResponseComplete", "ResponseStarted")
        ]


@pytest.fixture(scope="module")
def plane(control_plane_folder: Path) -> Iterator[ControlPlane]:
    """A control plane of its own: rights are changed on it, and all is uninstalled at the end."""
    with ControlPlane.start(control_plane_folder) as running:
        yield running


def installed(plane: ControlPlane) -> None:
    """Apply the manifests, and wait until the kinds are served."""
    plane.kubectl("apply", "-f", "-", input=to_yaml(install()))
    names = [f"crd/{kind.KIND.plural}.{kind.KIND.group}" for kind in m.KINDS]
    plane.kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)


@pytest.fixture
def cluster(plane: ControlPlane, tmp_path: Path) -> Iterator[Cluster]:
    """The control plane with our manifests on it."""
    installed(plane)
    with ExitStack() as stack:
        yield Cluster(plane, tmp_path, stack)


# Starts that fail.


def refused(*arguments: str, home: Path) -> tuple[int, str]:
    """Run a controller that has to end by itself; give its exit status and what it said, but for its log."""
    done = subprocess.run(
        [KUBENODE, "controller", "--listen", "none", *arguments],
        capture_output=True, text=True, timeout=120, check=False, env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if not line.startswith("time=")]
    return done.returncode, "\n".join(said)


def test_a_controller_without_a_cluster_says_what_to_do(plane: ControlPlane, tmp_path: Path) -> None:
    """No kubeconfig, a context that is none, a token that nobody knows: one problem and its fix, exit status 1."""
    code, said = refused(home=tmp_path)
    assert code == 1
    assert said.splitlines()[1:] == [
        "    fix: name one with --kubeconfig, set KUBECONFIG, or run in a pod with a service account"
    ]
    config = json.loads(plane.admin_kubeconfig.read_text())
    code, said = refused("--kubeconfig", str(plane.admin_kubeconfig), "--context", "prod", home=tmp_path)
    assert (code, len(said.splitlines())) == (1, 2)
    assert said.splitlines()[0].endswith(": there is no context prod")
    assert "fix: take one of its contexts: " in said
    config["users"][0]["user"] = {"token": "expired"}
    (tmp_path / "expired").write_text(json.dumps(config))
    code, said = refused("--kubeconfig", str(tmp_path / "expired"), home=tmp_path)
    assert (code, len(said.splitlines())) == (1, 1)
    assert said.startswith("Unauthorized: the token or certificate has expired")
    assert "fix: log in again" in said


def test_a_controller_on_a_bare_cluster_says_what_is_missing(plane: ControlPlane, tmp_path: Path) -> None:
    """Of an admin the definitions; of our own account, which does not exist yet, the rights."""
    code, said = refused("--kubeconfig", str(plane.admin_kubeconfig), home=tmp_path)
    assert (code, len(said.splitlines())) == (1, 2)
    assert said.startswith("crd: not installed: machines, machinesets,")
    assert said.endswith("fix: kubenode manifests | kubectl apply -f -")
    code, said = refused("--kubeconfig", str(plane.kubeconfig(CONTROLLER_USER)), home=tmp_path)
    assert (code, len(said.splitlines())) == (1, 2)
    assert said.startswith("rbac: no permission to ")
    assert "fix: grant it: kubenode manifests | kubectl apply -f -" in said


def test_a_controller_on_older_definitions_does_not_start(cluster: Cluster, tmp_path: Path) -> None:
    """A field that the server would drop is named, and both revisions are."""
    crd = next(one for one in install() if one["metadata"]["name"] == "machinesets.kubenode.dev")
    older = yaml.safe_load(yaml.safe_dump(crd))
    properties = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    del properties["status"]["properties"]["observedGeneration"]
    older["metadata"]["annotations"]["kubenode.dev/schema-revision"] = "0000"
    cluster.plane.kubectl("apply", "-f", "-", input=to_yaml([older]))
    config = str(cluster.plane.kubeconfig(CONTROLLER_USER))
    try:
        code, said = refused("--kubeconfig", config, home=tmp_path)
    finally:
        installed(cluster.plane)
    assert (code, len(said.splitlines())) == (1, 2)
    assert "crd machinesets.kubenode.dev: is older than this program (schema 0000, not" in said
    assert "it would drop status.observedGeneration" in said


def without(cluster: Cluster, verbs: str, resource: str, namespace: str | None = None) -> None:
    """Take some verbs on one resource, or on those of one namespace, away from the controller."""
    wanted = ("Role" if namespace else "ClusterRole", CONTROLLER, namespace)
    role = next(
        one for one in install()
        if (one["kind"], one["metadata"].get("name"), one["metadata"].get("namespace")) == wanted
    )  # fmt: skip
    role = yaml.safe_load(yaml.safe_dump(role))
    kept = []
    for rule in role["rules"]:
        if resource in rule["resources"]:
            rest = [name for name in rule["resources"] if name != resource]
            kept += [{**rule, "resources": rest}] if rest else []
            left = [one for one in rule["verbs"] if one not in verbs.split(",")]
            kept += [{**rule, "resources": [resource], "verbs": left}]
        else:
            kept.append(rule)
    role["rules"] = [rule for rule in kept if rule["verbs"]]
    cluster.plane.kubectl("apply", "-f", "-", input=to_yaml([role]))


def test_a_controller_that_lacks_one_verb_does_not_start(cluster: Cluster, tmp_path: Path) -> None:
    """It is named."""
    config = str(cluster.plane.kubeconfig(CONTROLLER_USER))
    without(cluster, "patch", "nodes/status")
    try:
        until("the loss", lambda: refused("--kubeconfig", config, home=tmp_path)[0] == 1, patience=20)
        code, said = refused("--kubeconfig", config, home=tmp_path)
    finally:
        installed(cluster.plane)
    assert (code, len(said.splitlines())) == (1, 2)
    assert said.startswith("rbac: no permission to patch nodes/status\n")


# Rights.


def used(entries: list[Any], user: str) -> set[Right]:
    """Give the rights that a user's requests needed."""
    found = set[Right]()
    for entry in entries:
        ref = entry.get("objectRef") or {}
        if entry["user"]["username"] != user or not ref.get("resource"):
            continue
        resource = f"{ref['resource']}/{ref['subresource']}" if ref.get("subresource") else ref["resource"]
        is_named = resource == "customresourcedefinitions" or (
            resource == "leases" and entry["verb"] != "create"
        )
        anywhere = resource in ("pods/eviction", "poddisruptionbudgets")
        found.add(
            Right(
                group=ref.get("apiGroup", ""), resource=resource, verb=entry["verb"],
                name=ref.get("name", "") if is_named else "", namespace="" if anywhere else ref.get("namespace", ""),
            )
        )  # fmt: skip
    return {one for one in found if one.resource != "selfsubjectaccessreviews"}


def test_each_right_is_used_and_none_is_missing(cluster: Cluster) -> None:
    """All that the controllers do, with the rights of the manifests: the audit log has each right, and no refusal."""
    plane = cluster.plane
    controller = cluster.controller()
    observer = cluster.controller("--observe-only")
    agent = cluster.agent("m2", "b")
    wanted = {"MachineComponent", "MachineComponentSet", "NodeRemedier", "RiskPolicy"}
    cast = [
        one for one in yaml.safe_load_all((HERE / "stories.yaml").read_text())
        if one["kind"] in wanted or one["metadata"]["name"] == "m2"
    ]  # fmt: skip
    plane.kubectl("apply", "-f", "-", input=to_yaml(cast))
    pool = (
        (HERE / "machineset.yaml").read_text().replace("deletionPolicy: Release", "deletionPolicy: Terminate")
    )
    plane.kubectl("apply", "-f", "-", input=pool)

    def logs() -> str:
        return controller.log()[-4000:] + agent.log()[-1000:]

    def owned() -> int:
        return len(json.loads(plane.kubectl("get", "machines", "-l", "pool=scaled", "-o", "json"))["items"])

    def instances() -> list[str]:
        """Name the machines of the set whose instance is made."""
        found = json.loads(plane.kubectl("get", "machines", "-l", "pool=scaled", "-o", "json"))["items"]
        made = (one for one in found if one.get("status", {}).get("instance", {}).get("step") == "Made")
        return [one["metadata"]["name"] for one in made]

    def joined() -> bool:
        return all("nodeRef" in cluster.object("machine", one).get("status", {}) for one in instances())

    until(
        "Running",
        lambda: cluster.object("machine", "m2").get("status", {}).get("phase") == "Running",
        logs=logs,
    )
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"nodeName": "node-m2", "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "i"}]},
    }  # fmt: skip
    plane.kubectl("create", "-f", "-", input=yaml.safe_dump(pod))
    (cluster.folder / "m2.part").write_text("\n".join(kernel_lines()))
    (cluster.folder / "m2.part").rename(cluster.folder / "m2.kmsg")
    until("two instances of the set", lambda: len(instances()) == 2, logs=logs)
    for name in instances():
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{name}"}}
        plane.kubectl("create", "-f", "-", input=yaml.safe_dump(node))
        agent_says = json.dumps({"status": {"agent": {"nodeName": f"node-{name}"}}})
        plane.kubectl("patch", "machine", name, "--subresource=status", "--type=merge", "-p", agent_says)
    until("the Nodes of the set", joined, logs=logs)
    plane.kubectl("scale", "machineset", "pool", "--replicas=1")
    until("one machine of the set", lambda: owned() == 1, logs=logs)

    def healed() -> bool:
        jobs = json.loads(plane.kubectl("get", "remedyoperationjobs", "-o", "json"))["items"]
        return bool(jobs) and all(job.get("status", {}).get("phase") == "Succeeded" for job in jobs)

    until("the healing", healed, logs=logs)
    observer.until_ready()
    observer.end()
    controller.end()

    async def in_pages() -> None:
        """List as on a server without streams, which needs other rights."""
        async with KubeStore.connect(kubeconfig=plane.kubeconfig(CONTROLLER_USER)) as store:
            store._streams = False
            async with Engine(store, plugins=Plugins.discover(), observe_only=True) as engine:
                await engine.settled()

    asyncio.run(in_pages())
    granted = {*rights(), *lease_rights(CONTROLLER), *lease_rights(OBSERVER), lease_events()}
    entries = [one for one in cluster.audit() if one["user"]["username"] == CONTROLLER_USER]
    started = next(at for at, one in enumerate(entries) if one["responseStatus"]["code"] == 201)
    assert used(entries[started:], CONTROLLER_USER) == granted
    denied = [
        (one["verb"], one["requestURI"]) for one in entries[started:] if one["responseStatus"]["code"] == 403
    ]
    assert denied == []


_LATE = itertools.count(1)


def work_of_a_machine(cluster: Cluster) -> Callable[[], object]:
    """Give a machine to be looked at; done when it has a phase."""
    name = f"late-{next(_LATE)}"
    body = {"apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": {"name": name},
            "spec": {"host": {"address": "10.0.0.9"}}}  # fmt: skip
    cluster.plane.kubectl("create", "-f", "-", input=to_yaml([body]))
    return lambda: cluster.object("machine", name).get("status", {}).get("phase")


def work_of_a_permit(cluster: Cluster) -> Callable[[], object]:
    """Give another version to be rolled out, whose start needs a permit; done when it runs."""
    component = {"apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineComponent", "metadata": {"name": "chrony-9"},
                 "spec": {"version": "9", "driver": "package", "parameters": {"package": "chrony", "unit": "chrony.service"}}}  # fmt: skip
    cluster.plane.kubectl("apply", "-f", "-", input=to_yaml([component]))
    patch = {"spec": {"component": "chrony-9", "rollout": {"minReadySeconds": 0}}}
    cluster.plane.kubectl("patch", "mcs", "chrony", "--type=merge", "-p", json.dumps(patch))

    def runs() -> bool:
        found = cluster.object("machine", "m2").get("status", {}).get("agent", {}).get("components", {})
        return bool(found.get("chrony", {}).get("version") == "9")

    return runs


def rolling(cluster: Cluster) -> None:
    """Run a machine with an agent and a component of a set."""
    wanted = {"MachineComponent", "MachineComponentSet", "RiskPolicy"}
    cast = [
        one for one in yaml.safe_load_all((HERE / "stories.yaml").read_text())
        if one["kind"] in wanted or one["metadata"]["name"] == "m2"
    ]  # fmt: skip
    cluster.plane.kubectl("apply", "-f", "-", input=to_yaml(cast))
    agent = cluster.agent("m2", "b")

    def ready() -> bool:
        found = cluster.object("machine", "m2").get("status", {})
        return bool(found.get("phase") == "Running" and "chrony" in found["agent"]["components"])

    until("Running", ready, logs=agent.log)


def condition(cluster: Cluster) -> Any:
    """Read what the Lease says of its holder; empty when that can do all."""
    annotations = cluster.lease()["metadata"].get("annotations") or {}
    return json.loads(annotations.get(DEGRADED, "{}"))


def described(cluster: Cluster) -> str:
    """Give the Events of the Lease, as kubectl shows them."""
    return cluster.plane.kubectl("describe", "lease", CONTROLLER, "-n", NAMESPACE).partition("Events:")[2]


def has_led(cluster: Cluster) -> Process:
    """Start a controller that leads."""
    controller = cluster.controller()
    controller.until_ready()
    until("the lead", controller.leads, logs=controller.log)
    return controller


def says(controller: Process, words: str) -> None:
    """Wait until readiness says what is lost, and see that it says how to mend it."""
    until("the loss", lambda: words in controller.get("readyz")[1], logs=controller.log)
    code, text = controller.get("readyz")
    assert code == 503
    assert f"fix: grant the rights: {INSTALL}" in text


def tells(cluster: Cluster, controller: Process, event: str) -> None:
    """Wait for an Event of the Lease; a pattern of its type, reason and message."""
    until("the Event", lambda: re.search(event, described(cluster)), logs=controller.log)


def recovers(cluster: Cluster, controller: Process) -> None:
    """Wait until nothing is lost any more, and that is told; it is the same process."""
    until("its return", lambda: controller.get("readyz")[0] == 200, logs=controller.log)
    until("no condition", lambda: not condition(cluster))
    tells(cluster, controller, r"Normal +Restored ")
    assert controller.popen.poll() is None


LOST = {
    "patch machines/status": (work_of_a_machine, 'cannot patch resource "machines/status"'),
    "list,watch nodes": (work_of_a_machine, 'cannot list resource "nodes"'),
    "patch riskledgers/status": (work_of_a_permit, 'cannot patch resource "riskledgers/status"'),
}
"""By right what cannot be done without it, and how the server says so."""


@pytest.mark.parametrize("right", LOST)
def test_a_lost_right_degrades_and_its_return_is_noticed(cluster: Cluster, right: str) -> None:
    """Readiness, the metric, a condition and an Event name it; granted again, the work is done without a restart."""
    work, words = LOST[right]
    verbs, resource = right.split()
    controller = has_led(cluster)
    if work is work_of_a_permit:
        rolling(cluster)
    without(cluster, verbs, resource)
    time.sleep(1)  # an authorizer is told of a role by a watch
    if resource == "nodes":  # else the watch that is open goes on
        cluster.plane.restart_apiserver()
        until("the loss", lambda: words in controller.get("readyz")[1], logs=controller.log)
    done = work(cluster)

    try:
        says(controller, words)
        assert 'kubenode_engine_ready{engine="kubenode"} 0.0' in controller.get("metrics")[1]
        until("the condition", lambda: words in condition(cluster).get("message", ""), logs=controller.log)
        assert (condition(cluster)["type"], condition(cluster)["status"]) == ("Degraded", "True")
        tells(cluster, controller, rf"Warning +Degraded .*{words}")
        assert controller.get("healthz")[0] == 200
        assert not done()
    finally:
        installed(cluster.plane)
    until("the work", done, logs=controller.log)
    recovers(cluster, controller)


def test_a_lost_right_to_tell_events_degrades_too(cluster: Cluster) -> None:
    """The work goes on; readiness, the condition and an Event where it still may name it, and what was last is told later."""
    words = 'cannot create resource "events"'
    controller = has_led(cluster)
    without(cluster, "create,patch", "events", "default")
    time.sleep(1)  # an authorizer is told of a role by a watch
    done = work_of_a_machine(cluster)
    try:
        until("the work", done, logs=controller.log)
        says(controller, words)
        until("the condition", lambda: words in condition(cluster).get("message", ""), logs=controller.log)
        tells(cluster, controller, rf"Warning +Degraded .*{words}")
        assert controller.log().count("event=event-dropped") == 1
        assert controller.leads()
    finally:
        installed(cluster.plane)
    recovers(cluster, controller)


def test_a_lost_right_to_the_lease_ends_the_lead_and_its_return_begins_another(cluster: Cluster) -> None:
    """Nothing can be written on it: readiness, one line of the log and an Event say so; it decides nothing, and lives on."""
    words = 'cannot patch resource "leases"'
    controller = has_led(cluster)
    without(cluster, "create,get,patch", "leases", NAMESPACE)
    try:
        says(controller, "lease: ")
        tells(cluster, controller, rf"Warning +Degraded .*{words}")
        until("the end of its term", lambda: not controller.leads(), logs=controller.log)
        done = work_of_a_machine(cluster)
        time.sleep(5)
        assert not done()
        (line,) = re.findall(r".*event=lease-trouble.*", controller.log())
        assert words in line
        assert f"fix: grant the rights: {INSTALL}" in line
        assert controller.get("healthz")[0] == 200
    finally:
        installed(cluster.plane)
    until("its return", lambda: controller.get("readyz")[0] == 200, logs=controller.log)
    until("the work", done, logs=controller.log)
    tells(cluster, controller, r"Normal +Leading .*term 2")
    assert controller.popen.poll() is None


# Two of them.


def test_one_that_observes_writes_nothing_but_its_lease(cluster: Cluster) -> None:
    """By the audit log, with all the rights of a controller and work to do; it says what it would do, and leads nobody away."""
    grant_second(cluster.plane)
    before = len(cluster.audit())
    observer = cluster.controller("--observe-only", user=SECOND_USER)
    observer.until_ready()
    done = work_of_a_machine(cluster)
    would = r"event=would key=machine/(late-\d+) acts='SetFinalizers Machine \1'"
    until("what it would do", lambda: re.search(would, observer.log()), logs=observer.log)
    leading = cluster.controller()
    until("the work of the real one", done, logs=leading.log)
    observer.end()
    wrote = {
        (one["objectRef"]["resource"], one["objectRef"].get("name", OBSERVER))
        for one in cluster.audit()[before:]
        if one["user"]["username"] == SECOND_USER and one["verb"] in ("create", "patch", "delete", "update")
    }
    assert wrote - {("selfsubjectaccessreviews", OBSERVER)} == {("leases", OBSERVER)}
    assert cluster.lease(OBSERVER)["metadata"]["name"] == OBSERVER


def test_a_leader_that_was_stopped_does_not_act_when_it_wakes(cluster: Cluster) -> None:
    """SIGSTOP in the middle of its writes, for longer than its lease: it drops what it had begun, and changes nothing."""
    grant_second(cluster.plane)

    def without_phase() -> int:
        """Count the Machines of this test that nobody has told a phase of."""
        found = json.loads(cluster.plane.kubectl("get", "machines", "-o", "json"))["items"]
        ours = [one for one in found if one["metadata"]["name"].startswith("stopped-")]
        return sum(not one.get("status", {}).get("phase") for one in ours)

    def stopped_at_its_first_write(attempt: int) -> Process:
        """Give a controller work, and stop it as soon as the audit log tells of a write for it."""
        machines = [
            {"apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": {"name": f"stopped-{attempt}-{number}"},
             "spec": {"host": {"address": f"10.0.{attempt}.{number}"}}}
            for number in range(1, 101)
        ]  # fmt: skip
        cluster.plane.kubectl("apply", "-f", "-", input=to_yaml(machines))
        with cluster.plane.audit_log.open() as log:
            log.seek(0, os.SEEK_END)
            started = cluster.controller()
            written = re.compile(
                rf'"verb":"patch","user":{{"username":"{CONTROLLER_USER}".*"name":"stopped-{attempt}-'
            )
            # Only what is new is read: the whole log takes as long to read as the work takes that is to be interrupted.
            while not written.search(log.readline()):
                assert started.popen.poll() is None, started.log()
        started.popen.send_signal(signal.SIGSTOP)
        return started

    def stopped_in_the_middle() -> tuple[Process, int]:
        """Give one that was stopped, and how many Machines it had left; a slow machine may tell of a first write too late."""
        for attempt in range(1, 11):
            stopped = stopped_at_its_first_write(attempt)
            if (left := without_phase()) > 10:
                return stopped, left
            stopped.end()
        pytest.fail("no controller could be stopped in the middle of its work")

    def written(user: str, since: int = 0) -> list[Any]:
        """Give the entries of what a user has written, but for its Lease."""
        return [
            one for one in cluster.audit()[since:]
            if one["user"]["username"] == user and one["verb"] in ("create", "patch", "delete", "update")
            and one["objectRef"]["resource"] not in ("leases", "selfsubjectaccessreviews")
        ]  # fmt: skip

    first, left = stopped_in_the_middle()
    second = cluster.controller(user=SECOND_USER)
    until("the second leads", second.leads, logs=second.log)
    until("the work", lambda: not without_phase(), logs=second.log)
    assert len(written(SECOND_USER)) >= left
    woken = len(cluster.audit())
    first.popen.send_signal(signal.SIGCONT)
    first.until_ready()
    until("what was dropped", lambda: "the term is over" in first.log(), logs=first.log)
    for _ in range(10):
        assert second.leads()
        assert not first.leads()
    # A request may have been half way into its socket: the server refuses it, for its state is no more, or has given up on it.
    late = written(CONTROLLER_USER, woken)
    assert len(late) < 16
    assert {one["responseStatus"]["code"] for one in late} <= {409, 422, 504}
    second.end()
    until("the first leads again", first.leads, patience=15, logs=first.log)
    assert cluster.lease()["spec"]["leaseTransitions"] >= 2


def test_an_orderly_end_hands_over_at_once(cluster: Cluster) -> None:
    """Nobody waits for the duration, here a minute; the one that ended released the Lease."""
    grant_second(cluster.plane)
    long = ("--lease-seconds", "60")
    first = cluster.controller(*long)
    until("the first leads", first.leads, logs=first.log)
    second = cluster.controller(*long, user=SECOND_USER)
    second.until_ready()
    first.end()
    assert "event=lease-released" in first.log()
    until("the second leads", second.leads, patience=30, logs=second.log)


# The end.


def kubenode(plane: ControlPlane, *arguments: str) -> tuple[int, str]:
    """Run a command as the admin; give its exit status and all that it said."""
    done = subprocess.run(
        [KUBENODE, *arguments, "--kubeconfig", str(plane.admin_kubeconfig)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_uninstalling_releases_all_and_terminates_nothing(cluster: Cluster) -> None:
    """Refused while a controller runs; then definitions that hung in deletion go, Nodes stay, and nothing was terminated."""
    plane = cluster.plane
    controller = cluster.controller()
    until("a leader", controller.leads, logs=controller.log)
    body = {"apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": {"name": "last"},
            "spec": {"host": {"address": "10.0.0.99"}}}  # fmt: skip
    plane.kubectl("apply", "-f", "-", input=to_yaml([body]))
    until("its finalizer", lambda: cluster.object("machine", "last").get("metadata", {}).get("finalizers"))
    code, said = kubenode(plane, "uninstall")
    assert code == 1
    assert "holds the Lease, so a controller runs; fix: stop it first" in said
    controller.end()
    nodes = plane.kubectl("get", "nodes", "-o", "name")
    # As people do it: the definitions first. They hang, for nobody answers their finalizers.
    plane.kubectl("delete", "crd", "machines.kubenode.dev", "machinesets.kubenode.dev", "--wait=false")
    with pytest.raises(ControlPlaneError):
        plane.kubectl("wait", "--for=delete", "crd/machines.kubenode.dev", "--timeout=3s")
    code, said = kubenode(plane, "uninstall", "--dry-run", "-o", "json")
    assert code == 0
    would = {(one["kind"], one["name"]) for one in json.loads(said)["released"]}
    assert ("Machine", "last") in would
    assert cluster.object("machine", "last")["metadata"]["finalizers"]
    code, said = kubenode(plane, "uninstall")
    assert code == 0, said
    assert f"{len(would)} objects released; next: kubenode manifests | kubectl delete -f -" in said
    code, said = kubenode(plane, "uninstall")
    assert (code, said.splitlines()[0]) == (
        0,
        "0 objects released; next: kubenode manifests | kubectl delete -f -",
    )
    plane.kubectl("delete", "-f", "-", "--ignore-not-found", "--timeout=90s", input=to_yaml(install()))
    left = plane.kubectl("get", "crd", "-o", "name")
    assert "kubenode.dev" not in left
    assert plane.kubectl("get", "nodes", "-o", "name") == nodes
    assert plane.kubectl("get", "clusterroles", "-o", "name").count("kubenode") == 0
