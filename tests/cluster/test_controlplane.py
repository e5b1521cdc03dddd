"""The real control plane does what tests of kubenode rely on, and nothing of it outlives its tests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import kubenode
from kubenode.runtime.testing import ControlPlane, ControlPlaneError
from tests.cluster.build import OLDEST, kubernetes_version

pytestmark = pytest.mark.cluster

_HOLDER = """
import sys, time
from pathlib import Path
from kubenode.runtime.testing import ControlPlane
print(ControlPlane.start(Path(sys.argv[1]), Path(sys.argv[2])).folder, flush=True)
time.sleep(600)
"""

_CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  ownerReferences: {owners}
"""


def _wait(until: Callable[[], bool], *, seconds: float = 60) -> bool:
    """Return whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not until():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _processes_of(folder: Path) -> list[str]:
    """Return the command lines of live processes that name the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # ended while we looked
            continue
        if str(folder) in command:
            found.append(command)
    return found


@contextmanager
def _namespace(control_plane: ControlPlane, name: str) -> Iterator[str]:
    control_plane.kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        control_plane.kubectl("delete", "namespace", name, "--wait=false")


def test_the_server_has_the_version_that_is_built(control_plane: ControlPlane) -> None:
    """The server says the version of go.mod, or with KUBEBUILDER_ASSETS one that is not older."""
    version = json.loads(control_plane.kubectl("version", "-o", "json"))["serverVersion"]
    if os.environ.get("KUBEBUILDER_ASSETS"):
        assert (int(version["major"]), int(version["minor"].rstrip("+"))) >= OLDEST
    else:
        assert version["gitVersion"] == kubernetes_version()
        assert kubernetes_version().startswith("v1.36.")


def test_a_client_certificate_is_its_user_and_groups(control_plane: ControlPlane) -> None:
    """The server takes the user and the groups of a kubeconfig, and adds system:authenticated."""
    kubeconfig = control_plane.kubeconfig("kubenode:agent:h1", ("kubenode:agents", "zone-a"))
    answer = control_plane.kubectl("--kubeconfig", str(kubeconfig), "auth", "whoami", "-o", "json")
    seen = json.loads(answer)["status"]["userInfo"]
    assert seen["username"] == "kubenode:agent:h1"
    assert seen["groups"] == ["kubenode:agents", "zone-a", "system:authenticated"]


def test_a_kubeconfig_is_made_once_for_a_user(control_plane: ControlPlane) -> None:
    """The same user and groups get the same file, other groups another one."""
    first = control_plane.kubeconfig("carol", ("a",))
    assert control_plane.kubeconfig("carol", ("a",)) == first
    assert control_plane.kubeconfig("carol", ("b",)) != first


def test_a_user_may_not_do_what_was_not_granted(control_plane: ControlPlane) -> None:
    """A user without grants is refused by RBAC, and the error says what the server answered."""
    kubeconfig = control_plane.kubeconfig("mallory")
    with pytest.raises(ControlPlaneError, match=r"Forbidden.*mallory.*cannot list resource \"nodes\""):
        control_plane.kubectl("--kubeconfig", str(kubeconfig), "get", "nodes")


def test_what_an_object_owns_goes_with_it(control_plane: ControlPlane) -> None:
    """The garbage collector runs: it deletes an object once its owner is gone."""
    with _namespace(control_plane, "garbage") as namespace:

        def make(name: str, owners: list[dict[str, str]]) -> dict[str, str]:
            text = _CONFIG_MAP.format(name=name, owners=json.dumps(owners))
            made = json.loads(
                control_plane.kubectl("-n", namespace, "create", "-o", "json", "-f", "-", input=text)
            )
            return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": made["metadata"]["uid"]}

        def names() -> str:
            return control_plane.kubectl("-n", namespace, "get", "configmaps", "-o", "name")

        make("owned", [make("owner", [])])
        assert "configmap/owned" in names()
        control_plane.kubectl("-n", namespace, "delete", "configmap", "owner")
        assert _wait(lambda: "configmap/owned" not in names())


def test_writes_are_in_the_audit_log(control_plane: ControlPlane) -> None:
    """A write leaves a line with who did what; a read leaves none."""
    kubeconfig = control_plane.kubeconfig("auditor", ("system:masters",))
    control_plane.kubectl("--kubeconfig", str(kubeconfig), "get", "namespaces")
    control_plane.kubectl("--kubeconfig", str(kubeconfig), "create", "namespace", "audited")
    events = map(json.loads, control_plane.audit_log.read_text().splitlines())
    seen = [event for event in events if event["user"]["username"] == "auditor"]
    assert [(event["verb"], event["objectRef"]["name"]) for event in seen] == [("create", "audited")]


def test_objects_and_url_survive_a_restart_of_the_api_server(control_plane: ControlPlane) -> None:
    """After a restart the server has the same URL and the same objects, and the controllers go on."""
    with _namespace(control_plane, "restarted") as namespace:
        control_plane.kubectl("-n", namespace, "create", "configmap", "kept")
        url = control_plane.url
        control_plane.restart_apiserver()
        assert control_plane.url == url
        assert "configmap/kept" in control_plane.kubectl("-n", namespace, "get", "configmaps", "-o", "name")


def test_history_is_gone_after_a_compaction(control_plane_folder: Path, tmp_path: Path) -> None:
    """What stood at an earlier version is read before it, and after it refused; with bodies, the audit log has what a write left."""
    with ControlPlane.start(
        control_plane_folder, tmp_path, controller_manager=False, audit_bodies=True
    ) as plane:
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "kept"},
                 "spec": {"holderIdentity": "ada"}}  # fmt: skip
        made = json.loads(plane.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(lease)))
        version = made["metadata"]["resourceVersion"]
        earlier = f"/apis/coordination.k8s.io/v1/leases?resourceVersion={version}&resourceVersionMatch=Exact"
        plane.kubectl("create", "configmap", "later")
        assert "kept" in plane.kubectl("get", "--raw", earlier)
        assert plane.compact() > int(version)
        plane.restart_apiserver()
        with pytest.raises(ControlPlaneError, match=r"too old|Expired|compacted"):
            plane.kubectl("get", "--raw", earlier)
        events = map(json.loads, plane.audit_log.read_text().splitlines())
        assert "ada" in {
            (event.get("responseObject") or {}).get("spec", {}).get("holderIdentity") for event in events
        }


@pytest.mark.parametrize("whose", ["tests", "supervisor"])
def test_nothing_is_left_of_killed_tests(control_plane_folder: Path, tmp_path: Path, whose: str) -> None:
    """SIGKILL of the process that tests ends its servers and removes its folder; of the supervisor, its servers."""
    environ = {**os.environ, "PYTHONPATH": str(Path(kubenode.__file__).parents[1])}
    command = [sys.executable, "-c", _HOLDER, str(control_plane_folder), str(tmp_path)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            folder = Path(holder.stdout.readline().strip())
            assert folder.parent == tmp_path
            running = "\n".join(_processes_of(folder))
            for program in ("etcd", "kube-apiserver", "kube-controller-manager", "supervise.py"):
                assert f"/{program} " in running
            os.kill(holder.pid if whose == "tests" else _supervisor_of(holder.pid), signal.SIGKILL)
            assert _wait(lambda: not _processes_of(folder), seconds=10)
            if whose == "tests":
                assert _wait(lambda: not folder.exists(), seconds=10)
        finally:
            holder.kill()


def _supervisor_of(holder: int) -> int:
    """Return the one child of the process that holds a control plane."""
    children = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()
    assert len(children) == 1
    return int(children[0])


def test_stop_leaves_nothing_and_may_be_called_again(control_plane_folder: Path, tmp_path: Path) -> None:
    """When stop returns, no process and no file is left; the caller's folder stays."""
    with ControlPlane.start(control_plane_folder, tmp_path, controller_manager=False) as running:
        folder = running.folder
        assert not any("kube-controller-manager " in command for command in _processes_of(folder))
        running.stop()
        assert _processes_of(folder) == []
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    """The error has what the server wrote before it ended, and the folder is gone."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    etcd = binaries / "etcd"
    etcd.write_text("#!/bin/sh\necho the disk is on fire\nexit 3\n")
    etcd.chmod(0o755)
    with pytest.raises(ControlPlaneError, match=r"(?s)etcd ended with code 3.*the disk is on fire"):
        ControlPlane.start(binaries, tmp_path)
    assert list(tmp_path.iterdir()) == [binaries]


def test_a_port_that_is_taken_is_left_for_another(tmp_path: Path) -> None:
    """A server that finds its port taken is started again on another; five times, then the error says so."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    etcd = binaries / "etcd"
    etcd.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho bind: address already in use\nexit 1\n')
    etcd.chmod(0o755)
    with pytest.raises(ControlPlaneError, match="etcd found none of 5 ports free"):
        ControlPlane.start(binaries, tmp_path)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == len(set(calls)) == 5


def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    """A folder without the programs gives an error with the name of the first one."""
    with pytest.raises(ControlPlaneError, match=r"etcd cannot be run.*No such file"):
        ControlPlane.start(tmp_path / "nowhere", tmp_path)
    assert list(tmp_path.iterdir()) == []
