"""A running cluster as people meet it: `kubectl describe` shows our Events, and the command line does what it says."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from kubenode.runtime.documents import to_yaml
from kubenode.runtime.manifests import install as manifests
from kubenode.runtime.testing import install
from kubenode.runtime.testing.controlplane import ControlPlane
from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.cluster import waiting

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

KUBENODE = Path(sys.executable).with_name("kubenode")
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "upgrade.yaml"
until = partial(waiting.until, patience=60.0)
MACHINE = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "metadata": {"name": "m1"},
    "spec": {"host": {"address": "10.0.0.1"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def plane(control_plane_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane with our manifests and a controller that has the rights of these and no more."""
    log = tmp_path_factory.mktemp("live") / "controller.log"
    with ControlPlane.start(control_plane_folder) as running:
        install(running)
        config = str(running.kubeconfig(CONTROLLER_USER))
        with log.open("wb") as out:
            process = subprocess.Popen(
                [KUBENODE, "controller", "--kubeconfig", config, "--listen", "127.0.0.1:0"],
                stdout=out, stderr=subprocess.STDOUT,
            )  # fmt: skip
        running.kubectl("apply", "-f", "-", input=to_yaml((MACHINE,)))
        running.kubectl("apply", "-f", str(EXAMPLE))
        yield running
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, log.read_text()[-3000:]


def run(plane: ControlPlane, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of ours."""
    command = [KUBENODE, *words, "--kubeconfig", str(plane.admin_kubeconfig)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def said(plane: ControlPlane, *words: str, code: int = 0) -> Any:
    """Run it with -o json, and give the document."""
    done = run(plane, *words, "-o", "json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_describe_shows_events_of_a_machine(plane: ControlPlane) -> None:
    """By kind, name and uid, as kubectl looks for them: phases in our words, said by kubenode."""
    until("the events", lambda: "phase is" in plane.kubectl("describe", "machine", "m1"))
    text = plane.kubectl("describe", "machine", "m1")
    _, found, table = text.partition("Events:")
    assert found
    line = next(line for line in table.splitlines() if "phase is" in line)
    kind, reason, *_ = line.split()
    assert (kind, reason in ("Pending", "Importing")) == ("Normal", True)
    assert " kubenode " in line


def test_words_reach_a_rollout(plane: ControlPlane) -> None:
    """Paused and resumed through the server, tested against what was read; status, get and explain answer."""
    until("the set", lambda: run(plane, "rollout", "status", "node-exporter").returncode != 3)
    dry = said(plane, "rollout", "pause", "node-exporter", "--dry-run")
    assert dry["changes"][0]["changed"]

    def paused() -> Any:
        raw = json.loads(plane.kubectl("get", "mcs", "node-exporter", "-o", "json"))
        return raw["spec"]["rollout"].get("paused", False)

    assert not paused()
    said(plane, "rollout", "pause", "node-exporter")
    assert paused()
    said(plane, "rollout", "resume", "node-exporter")
    assert not paused()
    (machine,) = said(plane, "machine", "get")["items"]
    assert machine["metadata"]["name"] == "m1"
    decisions = said(plane, "machine", "explain", "m1")["decisions"]
    assert "machine" in {one["controller"] for one in decisions}
    assert said(plane, "history")["acts"] == []
    watched = run(plane, "rollout", "status", "node-exporter", "--watch", "--timeout", "5", "-o", "json")
    assert watched.returncode in (0, 3), watched.stderr


def test_freezing_and_lifting(plane: ControlPlane) -> None:
    """The policy is made, changed and emptied; the schema of the server takes it, and it is accepted."""
    said(plane, "freeze", "--scope", "zone=b", "--for", "2h", "--reason", "power")
    said(plane, "freeze", "--scope", "cluster", "--reason", "change stop")

    def policy() -> Any:
        return json.loads(plane.kubectl("get", "riskpolicy", "kubenode-freeze", "-o", "json"))

    assert [one["scope"] for one in policy()["spec"]["freeze"]] == ["zone", "cluster"]
    until(
        "acceptance",
        lambda: (
            [one["status"] for one in policy().get("status", {}).get("conditions", ())] == ["True", "True"]
        ),
    )
    said(plane, "unfreeze", "--scope", "cluster")
    said(plane, "unfreeze", "--scope", "zone=b")
    assert policy()["spec"].get("freeze", []) == []
    assert run(plane, "unfreeze", "--scope", "zone=b").returncode == 1


def asked(config: Path, *words: str) -> tuple[int, list[str]]:
    """Run a command line as somebody else; give its exit status and what it said on stderr."""
    command = [KUBENODE, *words, "--kubeconfig", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


WORDS = (
    ("machine", "get"), ("machine", "explain", "m1"), ("history",), ("rollout", "status", "node-exporter"),
    ("rollout", "pause", "node-exporter"), ("freeze", "--scope", "cluster", "--reason", "x"), ("unfreeze", "--scope", "cluster"),
)  # fmt: skip


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_who_may_not_ask_is_told_so_in_one_line(
    plane: ControlPlane, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A token that has expired, and a right that is missing: exit status 1, what is wrong, and the fix."""
    config = json.loads(plane.admin_kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "expired"}
    (tmp_path / "expired").write_text(json.dumps(config))
    code, said = asked(tmp_path / "expired", *words)
    assert (code, len(said)) == (1, 1)
    assert said[0].startswith("Unauthorized: the token or certificate has expired")
    assert "fix: log in again" in said[0]
    code, said = asked(plane.kubeconfig("nobody"), *words)
    assert (code, len(said)) == (1, 2)
    assert 'is forbidden: User "nobody" cannot ' in said[0]
    assert said[1].startswith("    fix: have it granted to you, or name another --context")


def test_a_cluster_that_is_not_there_is_one_clear_line(plane: ControlPlane, tmp_path: Path) -> None:
    """No kubeconfig, or a context that it does not have: exit status 1, one line that says so, nothing on stdout."""
    gone = subprocess.run(
        [KUBENODE, "machine", "get", "--kubeconfig", str(tmp_path / "none")],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "there is no such file\n    fix: name one with --kubeconfig" in gone.stderr
    other = run(plane, "machine", "get", "--context", "no-such")
    assert (other.returncode, other.stdout) == (1, "")


def test_a_machine_is_created_and_deleted_and_waited_for(plane: ControlPlane) -> None:
    """Progress on stderr; no Node comes from this cloud, so it is not Ready in time; then it is gone."""
    words = ("machine", "create", "c9", "--provider", "memory", "--wait", "--timeout", "8")
    done = run(plane, *words)
    assert done.returncode == 3
    assert "Machine c9: asked for from provider memory" in done.stdout
    told = done.stderr.splitlines()
    assert told[-1].startswith("Machine c9 is not Ready after 8 s; it goes on")
    assert any(line.startswith(("c9: Creating", "c9: Provisioning")) for line in told), told
    instance = said(plane, "machine", "get", "c9")["status"]["instance"]["id"]
    done = run(plane, "machine", "delete", "c9", "--wait", "--timeout", "60")
    assert done.returncode == 0, done.stderr
    assert f"instance {instance} of provider memory is terminated" in done.stdout
    assert run(plane, "machine", "get", "c9").returncode == 1


# With a host.


@pytest.fixture
def hosted(plane: ControlPlane, tmp_path: Path) -> Iterator[None]:
    """The host of m1, with its agent and kubelet."""
    agent = plane.kubeconfig("kubenode:agent:m1", ("kubenode:agents",))
    kubelet = plane.kubeconfig("system:node:node-m1", ("system:nodes",))
    with (tmp_path / "agent.log").open("wb") as out:
        process = subprocess.Popen(
            [KUBENODE, "sim", "agent", "m1", "--kubeconfig", str(agent), "--kubelet-kubeconfig", str(kubelet)],
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    yield
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)


def test_a_rollout_is_approved_and_undone_and_history_tells_of_it(plane: ControlPlane, hosted: None) -> None:
    """Every disruptive act with op-id, cause and limits; the words do on a real server what they say."""
    name = "node-exporter"

    def version() -> Any:
        found = json.loads(plane.kubectl("get", "machine", "m1", "-o", "json"))["status"].get("agent", {})
        return found.get("components", {}).get(name, {}).get("version")

    def status() -> Any:
        return json.loads(run(plane, "rollout", "status", name, "-o", "json").stdout)

    until("the first version", lambda: version() == "1.9.0")
    until("rest", lambda: status()["phase"] == "Complete")
    rollout = {"minReadySeconds": 0, "observation": "0s", "approval": "Manual"}
    patch = {"spec": {"component": "node-exporter-1.8.2", "rollout": rollout}}
    plane.kubectl("patch", "mcs", name, "--type=merge", "-p", json.dumps(patch))
    until("the gate", lambda: status()["reason"] == "AwaitingApproval")
    assert version() == "1.8.2"
    stands = said(plane, "rollout", "status", name, code=1)
    assert f"kubenode rollout approve {name}" in stands["next"]
    (member,) = stands["batch"]["members"]
    acts = said(plane, "history")["acts"]
    (act,) = [one for one in acts if one["op_id"] == member["op_id"]]
    assert (act["machine"], act["cause"], act["state"]) == ("m1", "Rollout", "Succeeded")
    assert "cluster" in act["scopes"]
    assert f"set {name}" in act["scopes"]
    assert any(limit.startswith("cluster: 40 in flight") for limit in act["limits"]), act["limits"]
    assert member["op_id"] in [one["op_id"] for one in said(plane, "history", "--since", "1h")["acts"]]
    assert [one["op_id"] for one in said(plane, "machine", "history", "m1")["acts"]] == [member["op_id"]]
    said(plane, "rollout", "approve", name)
    assert run(plane, "rollout", "status", name, "--watch", "--timeout", "50").returncode == 0
    assert status()["phase"] == "Complete"
    said(plane, "rollout", "undo", name)
    until("the way back", lambda: version() == "1.9.0")
    said(plane, "rollout", "skip", name, "m1")
    spec = json.loads(plane.kubectl("get", "mcs", name, "-o", "json"))["spec"]
    assert (spec["component"], spec["rollout"]["skip"]["machines"]) == ("node-exporter-1.9.0", ["m1"])


# The last one: a kind is taken away.


def test_kinds_that_are_older_or_missing_are_named(plane: ControlPlane) -> None:
    """A word that an older CRD would drop is not said, and of a kind that is gone nothing is asked: exit status 1, and the fix."""
    until("the controller", lambda: plane.kubectl("get", "leases", "-n", "kubenode-system", "-o", "name"))
    crd = next(one for one in manifests() if one["metadata"]["name"] == "riskpolicies.kubenode.dev")
    older = json.loads(json.dumps(crd))
    properties = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    del properties["spec"]["properties"]["freeze"]
    del properties["spec"]["default"]["freeze"]
    older["spec"]["versions"][0]["additionalPrinterColumns"] = []
    plane.kubectl("replace", "-f", "-", input=to_yaml((older,)))
    words = ("freeze", "--scope", "zone=c", "--reason", "x")

    def refused() -> bool:
        code, said = asked(plane.admin_kubeconfig, *words, "--dry-run") if not made() else (0, [])
        return code == 1 and "is older than this program: it does not know" in said[0]

    def made() -> bool:
        return run(plane, *words, "--dry-run").returncode == 0

    until("the older kind", refused)
    code, said = asked(plane.admin_kubeconfig, *words)
    assert (code, len(said)) == (1, 2)
    assert said[0].startswith(
        "crd riskpolicies.kubenode.dev: is older than this program: it does not know spec.freeze"
    )
    assert said[1] == "    fix: kubenode manifests | kubectl apply -f -"
    plane.kubectl("delete", "crd", "riskpolicies.kubenode.dev")
    code, said = asked(plane.admin_kubeconfig, *words)
    assert (code, said) == (
        1, ["crd: the server does not serve this kind", "    fix: kubenode manifests | kubectl apply -f -"]
    )  # fmt: skip
