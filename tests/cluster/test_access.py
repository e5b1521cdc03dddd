"""What somebody with a stolen certificate of an agent can do on a real server: judged by what is stored, not by codes.

The policies are tried twice: with the roles as they are installed, and with roles that allow everything.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import attrs
import pytest

from kubenode.core import wire
from kubenode.core.enrol.identity import groups_of, user_of
from kubenode.core.fields import fields_of
from kubenode.core.model import KINDS, MachineStatus
from kubenode.runtime.policies import AGENTS_NAMESPACE, AGENTS_PART
from kubenode.runtime.testing import install
from kubenode.runtime.testing.controlplane import ControlPlane
from kubenode.runtime.testing.servers import CONTROLLER_USER
from tests.cluster.access import (
    CSRS,
    MACHINES,
    MERGE,
    Asked,
    Client,
    admin,
    certified,
    let_read,
    machine_body,
)
from tests.cluster.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

RBAC = "/apis/rbac.authorization.k8s.io/v1"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{AGENTS_NAMESPACE}/leases"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@attrs.frozen
class Stage:
    """A server with two Machines, and the stolen certificate of the agent of one of them."""

    plane: ControlPlane
    admin: Client
    thief: Client
    own: Mapping[str, Any]

    def stored(self, name: str) -> Any:
        """Give a Machine as it is stored."""
        return self.admin.get(f"{MACHINES}/{name}")

    def _listed(self, path: str) -> Any:
        """List, also where the server says that it is not ready for it yet."""
        found: list[Any] = []

        def listed() -> bool:
            status, answer = self.admin.call("GET", path)
            found[:] = answer["items"] if status == 200 else []
            return status == 200

        until(path, listed)
        return found

    def everything(self) -> dict[str, Any]:
        """Give all objects of all kinds by path, but for what the servers themselves keep changing."""
        found: dict[str, Any] = {}
        for path, one in resources(self.admin):
            if "list" not in one["verbs"] or one["name"] in ("events", "componentstatuses"):
                continue
            for item in self._listed(f"{path}/{one['name']}"):
                metadata = item["metadata"]
                metadata.pop("managedFields", None)
                if one["name"] == "nodes":
                    _still(item)
                if one["name"] == "leases" and metadata["namespace"] == "kube-system":
                    continue
                found[f"{path}/{one['name']}/{metadata.get('namespace', '')}/{metadata['name']}"] = item
        return found


def _still(node: Any) -> None:
    """Leave out of a Node what the node lifecycle controller writes when nobody speaks for it: conditions and taints."""
    node["metadata"].pop("resourceVersion")
    node["spec"].pop("taints", None)
    node["status"].pop("conditions", None)


def resources(client: Client) -> list[tuple[str, Any]]:
    """Give every resource that the server offers, subresources too, with the path of its group and version."""
    groups = ["/api/v1", *(
        f"/apis/{version['groupVersion']}"
        for group in client.get("/apis")["groups"] for version in group["versions"]
    )]  # fmt: skip
    return [(path, one) for path in groups for one in client.get(path)["resources"]]


@contextmanager
def granted(stage: Stage, rules: list[Any], is_granted: Callable[[], bool]) -> Iterator[None]:
    """Let agents do more, as far as RBAC goes."""
    role = {"metadata": {"name": "generous"}, "rules": rules}
    bound = {
        "metadata": {"name": "generous"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "generous"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "kubenode:agents"}],
    }  # fmt: skip
    assert stage.admin.call("POST", f"{RBAC}/clusterroles", role)[0] == 201
    assert stage.admin.call("POST", f"{RBAC}/clusterrolebindings", bound)[0] == 201
    until("the role", is_granted)
    yield
    stage.admin.call("DELETE", f"{RBAC}/clusterrolebindings/generous")
    stage.admin.call("DELETE", f"{RBAC}/clusterroles/generous")
    until("its end", lambda: not is_granted())


@pytest.fixture(scope="module")
def stage(control_plane_folder: Path) -> Iterator[Stage]:
    """A control plane of its own, installed with enrolment; no controller runs, so nothing changes by itself."""
    with ControlPlane.start(control_plane_folder) as running:
        install(running, enrolment=True)
        boss = admin(running)
        with boss.kept():
            own = {}
            for name in ("m1", "m2"):
                status, made = boss.call("POST", MACHINES, machine_body(name))
                assert status == 201, made
                full = {"status": {**FOUND, "agent": {"version": "1"}}}
                status, made = boss.call("PATCH", f"{MACHINES}/{name}/status", full, MERGE)
                assert status == 200, made
                own[name] = made
                let_read(boss, made)
                boss.call(
                    "POST",
                    "/api/v1/nodes",
                    {"metadata": {"name": f"node-{name}", "labels": {"kubenode.dev/machine": name}}},
                )
            thief = certified(running, user_of("m1"), groups_of(own["m1"]["metadata"]["uid"]))
            with thief.kept():
                until("its role", lambda: thief.call("GET", f"{MACHINES}/m1")[0] == 200)
                forged = {"status": {"phase": "Failed"}}
                until(
                    "the policies",
                    lambda: thief.call("PATCH", f"{MACHINES}/m1/status", forged, MERGE)[0] == 403,
                )
                boss.call("PATCH", f"{MACHINES}/m1/status", {"status": FOUND}, MERGE)
                yield Stage(running, boss, thief, own)


FOUND: dict[str, Any] = {
    "phase": "Running", "observedGeneration": 1,
    "conditions": [{"type": "Ready", "status": "True", "reason": "AllReady", "lastTransitionTime": "2026-03-02T09:00:00Z"}],
    "nodeRef": {"name": "node-m1", "uid": "u1"}, "firstRunning": "2026-03-02T09:00:00Z",
    "enrolment": {"tokenID": "abc123", "key": "0f" * 32, "spent": True},
    "drain": {"opID": "remedy-1", "state": "Draining"},
    "instance": {"step": "Made", "provider": "memory", "attempt": 1, "token": "create-1", "id": "i-1"},
    "cloudEvents": {"instance": "i-1"},
}  # fmt: skip
FORGED: dict[str, Any] = {
    "phase": "Updating", "observedGeneration": 99,
    "conditions": [{"type": "Ready", "status": "False", "reason": "Forged", "lastTransitionTime": "2026-03-02T09:00:00Z"}],
    "nodeRef": {"name": "node-m2", "uid": "u2"}, "firstRunning": "2020-03-02T09:00:00Z",
    "enrolment": {"tokenID": "def456", "key": "1e" * 32, "spent": False},
    "drain": {"opID": "remedy-1", "state": "Drained"},
    "instance": {"step": "Gone", "provider": "memory", "attempt": 2, "token": "create-2", "id": "i-2"},
    "cloudEvents": {"instance": "i-2"},
}  # fmt: skip


def test_every_field_of_the_status_is_tried() -> None:
    """A field that is added to the class has to be added here."""
    wanted = {field.wire for field in fields_of(MachineStatus)} - {AGENTS_PART}
    assert set(FOUND) == set(FORGED) == wanted
    assert wire.load({**machine_body("m1"), "status": FORGED})


def test_an_agent_reads_its_machine_and_writes_its_part(stage: Stage) -> None:
    """What it is for works: get, watch and list by its name, and a patch of status.agent, as merge patch and as JSON patch."""
    assert stage.thief.call("GET", f"{MACHINES}/m1")[1]["metadata"]["name"] == "m1"
    listed = stage.thief.call("GET", f"{MACHINES}?fieldSelector=metadata.name%3Dm1")[1]
    assert [one["metadata"]["name"] for one in listed["items"]] == ["m1"]
    watch = f"{MACHINES}?watch=1&timeoutSeconds=1&resourceVersion=0&fieldSelector=metadata.name%3Dm1"
    assert stage.thief.call("GET", watch)[0] == 200
    before = stage.stored("m1")
    stage.thief.call("PATCH", f"{MACHINES}/m1/status", {"status": {"agent": {"version": "2"}}}, MERGE)
    assert stage.stored("m1")["status"]["agent"]["version"] == "2"
    assert _without_agent(stage.stored("m1")) == _without_agent(before)
    body = [{"op": "replace", "path": "/status/agent/version", "value": "3"}]
    stage.thief.call("PATCH", f"{MACHINES}/m1/status", body, JSON_PATCH)
    assert stage.stored("m1")["status"]["agent"]["version"] == "3"


# By discovery: every verb on every kind.

READS = frozenset({
    ("get", "machinecomponents", ""), ("get", "machines", "m1"), ("get", "certificatesigningrequests", ""), ("get", "leases", ""),
})  # fmt: skip
"""What the stolen certificate may read, by resource and, where limited, by name."""
WRITES = {
    "create": ("POST", "application/json"), "update": ("PUT", "application/json"), "patch": ("PATCH", MERGE),
    "apply": ("PATCH", APPLY), "delete": ("DELETE", "application/json"), "deletecollection": ("DELETE", "application/json"),
}  # fmt: skip


def _paths(path: str, one: Any, name: str, verb: str) -> Iterator[str]:
    """Give the URLs of a verb on a resource: in a namespace of ours, of agents and of the system, or in none."""
    resource, _, part = one["name"].partition("/")
    for namespace in (
        ("default", AGENTS_NAMESPACE, "kube-system", "kubenode-system") if one["namespaced"] else ("",)
    ):
        root = f"{path}/namespaces/{namespace}/{resource}" if namespace else f"{path}/{resource}"
        has_name = part or verb not in ("create", "list", "watch", "deletecollection")
        yield f"{root}/{name}{f'/{part}' if part else ''}" if has_name else root


def _named(one: Any, verb: str) -> tuple[str, ...]:
    if verb in ("create", "list", "watch", "deletecollection") and "/" not in one["name"]:
        return ("m1",)
    return ("m1", "m2", "node-m1", "node-m2", "kubenode-controller", "kubenode-agent-machine", "x")


def _refused(status: int, answer: Any) -> bool:
    """Tell whether a role refused it: that is asked before anything else, also of what does not exist or is no verb there."""
    return status == 403 and f'User "{user_of("m1")}" cannot ' in answer["message"]


@attrs.frozen
class Swept:
    """What became of many writes.

    Attributes:
        let: verb and resource of each that no role refused.
        done: those of them that were answered with a 2xx.
        changed: before and after, by path, of the objects that were made, changed or deleted.
    """

    let: set[tuple[str, str]] = attrs.field(factory=set)
    done: set[tuple[str, str]] = attrs.field(factory=set)
    changed: dict[str, Any] = attrs.field(factory=dict)
    tried: Counter[str] = attrs.field(factory=Counter)


def swept(stage: Stage, only: Iterable[str] = (), *, dry: bool = False) -> Swept:
    """Try every verb that writes on every resource, or on some; of those in GOOD with bodies that only a role refuses."""
    found, before = Swept(), stage.everything()
    for path, one in resources(stage.admin):
        if only and one["name"] not in only:
            continue
        for verb, (method, kind) in WRITES.items():
            more = {"dryRun": "All"} if dry else {}
            more |= {"fieldManager": "thief", "force": "true"} if verb == "apply" else {}
            for name in _named(one, verb):
                for url in _paths(path, one, name, verb):
                    body = None if method == "DELETE" else _body(path, one, name)
                    status, answer = stage.thief.call(method, f"{url}?{urlencode(more)}", body, kind)
                    found.tried[verb] += 1
                    if not _refused(status, answer):
                        found.let.add((verb, one["name"]))
                    if status < 300:
                        found.done.add((verb, one["name"]))
    after = stage.everything()
    found.changed.update({
        key: (before.get(key), after.get(key))
        for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    })  # fmt: skip
    return found


def _body(path: str, one: Any, name: str) -> Any:
    """Give an object of a kind: a good one of those in GOOD, else one with a bit of everything."""
    group, _, version = path.removeprefix("/apis/").removeprefix("/api/").rpartition("/")
    rest = GOOD.get(
        one["name"], {"spec": {"paused": True}, "status": {"phase": "Forged"}, "data": {"a": "Yg=="}}
    )
    head = {"apiVersion": f"{group}/{version}" if group else version, "kind": one["kind"]}
    return {**head, "metadata": {"name": name}, **rest}


_POD: Any = {
    "hostNetwork": True, "hostPID": True, "automountServiceAccountToken": False,
    "containers": [{"name": "a", "image": "a", "securityContext": {"privileged": True}}],
}  # fmt: skip
_PODS: Any = {"metadata": {"labels": {"a": "b"}}, "spec": _POD}
_SELECTOR: Any = {"matchLabels": {"a": "b"}}
GOOD: Mapping[str, Any] = {
    "pods": {"spec": _POD},
    "services": {"spec": {"ports": [{"port": 80}]}},
    "configmaps": {}, "secrets": {}, "serviceaccounts": {}, "namespaces": {}, "nodes": {},
    "deployments": {"spec": {"selector": _SELECTOR, "template": _PODS}},
    "daemonsets": {"spec": {"selector": _SELECTOR, "template": _PODS}},
    "jobs": {"spec": {"template": {"spec": {**_POD, "restartPolicy": "Never"}}}},
    "clusterroles": {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}]},
}  # fmt: skip
"""What makes an object good, by resource."""

SELF = frozenset({
    ("create", "selfsubjectreviews"), ("create", "selfsubjectaccessreviews"), ("create", "selfsubjectrulesreviews"),
})  # fmt: skip
"""Everybody may ask who he is and what he may do: nothing is stored."""
LET = SELF | {
    ("patch", "machines/status"), ("apply", "machines/status"), ("create", "certificatesigningrequests"),
    ("create", "leases"), ("update", "leases"), ("patch", "leases"), ("apply", "leases"),
}  # fmt: skip
"""What the roles of an agent let it write: limited further by the policies."""


def test_no_verb_on_any_kind_writes_but_to_its_own_part(stage: Stage) -> None:
    """No role lets it write but what agents are for, and every object of every kind is the same before and after."""
    found = swept(stage)
    assert found.let == LET
    assert found.done == {("create", "selfsubjectreviews")}  # the others want a question
    assert found.changed == {}
    assert found.tried.total() > 3000
    assert min(found.tried[verb] for verb in WRITES) > 200


def test_a_right_too_many_is_seen(stage: Stage) -> None:
    """Whatever else agents may make, also a privileged Pod, or delete, also where there is nothing to delete."""
    rules = [
        {"apiGroups": ["*"], "resources": list(GOOD), "verbs": ["create"]},
        {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["deletecollection"]},
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
        {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["delete"]},
    ]
    only = {name for rule in rules for name in rule["resources"]}
    path = "/api/v1/namespaces/default/pods"
    with granted(stage, rules, lambda: stage.thief.call("POST", path, {})[0] != 403):
        found = swept(stage, only, dry=True)
        stored = swept(stage, {"configmaps"})
    assert found.let == {
        *(("create", name) for name in GOOD), ("create", "pods/eviction"),
        ("deletecollection", "statefulsets"), ("delete", "poddisruptionbudgets"),
    }  # fmt: skip
    assert found.done == {*(("create", name) for name in GOOD), ("deletecollection", "statefulsets")}
    assert found.changed == {}
    for key in stored.changed:
        where, _, named = key.rpartition("/configmaps/")
        namespace, _, name = named.partition("/")
        assert stage.admin.call("DELETE", f"{where}/namespaces/{namespace}/configmaps/{name}")[0] == 200
    assert len(stored.changed) == 4, stored.changed


def test_what_it_reads_is_its_machine_and_what_all_machines_share(stage: Stage) -> None:
    """Every resource by every verb that reads, and by name; Secrets, Nodes, jobs, policies and other Machines it cannot."""
    allowed = set[tuple[str, str, str]]()
    for path, one in resources(stage.admin):
        if "selfsubject" in one["name"]:
            continue
        for verb in ("get", "list", "watch"):
            for name in _named(one, verb):
                for url in _paths(path, one, name, verb):
                    status, _ = stage.thief.call(
                        "GET", f"{url}?watch=1&timeoutSeconds=1" if verb == "watch" else url
                    )
                    if status in (200, 404, 405) and verb in one["verbs"]:
                        allowed.add((verb, one["name"], name if one["name"] == "machines" else ""))
    assert allowed == READS
    for selector in ("metadata.name%3Dm2", "metadata.name!%3Dm1", "status.phase%3DRunning", ""):
        assert stage.thief.call("GET", f"{MACHINES}?fieldSelector={selector}")[0] == 403
    assert stage.thief.call("GET", f"{MACHINES}?labelSelector=a%3Db")[0] == 403
    for url in ("/metrics", "/logs", "/debug/pprof/", "/configz", "/debug/flags/v"):
        assert stage.thief.call("GET", url)[0] == 403, url


def test_it_is_nobody_else(stage: Stage) -> None:
    """It impersonates no user, group, uid or service account, and gets no token of one."""
    before = stage.everything()
    for who in (
        {"Impersonate-User": "kubenode:agent:m2"},
        {"Impersonate-User": user_of("m1"), "Impersonate-Group": "system:masters"},
        {"Impersonate-User": user_of("m2"), "Impersonate-Group": "kubenode:agents", "Impersonate-Uid": "1"},
        {"Impersonate-User": "system:serviceaccount:kubenode-system:kubenode-controller"},
        {"Impersonate-User": "kubenode:test-admin", "Impersonate-Extra-scopes": "all"},
    ):
        assert stage.thief.call("GET", f"{MACHINES}/m2", headers=who)[0] == 403
        stage.thief.call(
            "PATCH", f"{MACHINES}/m2/status", {"status": {"agent": {"version": "x"}}}, MERGE, who
        )
    token = "/api/v1/namespaces/kubenode-system/serviceaccounts/kubenode-controller/token"
    assert (
        stage.thief.call(
            "POST", token, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        )[0]
        == 403
    )
    assert stage.everything() == before


def test_it_neither_approves_nor_signs(stage: Stage) -> None:
    """It may ask, also for another name, and that is all: its own role has no word for an answer."""
    asked = Asked(name="stolen-m2", user=user_of("m2"), groups=groups_of(stage.own["m2"]["metadata"]["uid"]))
    assert stage.thief.call("POST", CSRS, asked.body())[0] == 201
    before = stage.admin.get(f"{CSRS}/stolen-m2")
    said = [{"type": "Approved", "status": "True", "reason": "x", "message": ""}]
    stage.thief.call("PUT", f"{CSRS}/stolen-m2/approval", {**before, "status": {"conditions": said}})
    stage.thief.call("PATCH", f"{CSRS}/stolen-m2/approval", {"status": {"conditions": said}}, MERGE)
    stage.thief.call("PATCH", f"{CSRS}/stolen-m2/status", {"status": {"certificate": "eA=="}}, MERGE)
    stage.thief.call("DELETE", f"{CSRS}/stolen-m2")
    assert stage.admin.get(f"{CSRS}/stolen-m2") == before


# With roles that allow everything: the policies alone.


@pytest.fixture(scope="module")
def generous(stage: Stage) -> Iterator[Stage]:
    """Agents may do everything in our group, to Leases and to requests, as far as RBAC goes."""
    groups = ["kubenode.dev", "coordination.k8s.io", "certificates.k8s.io"]
    rules = [{"apiGroups": groups, "resources": ["*"], "verbs": ["*"]}]
    with granted(stage, rules, lambda: stage.thief.call("GET", f"{MACHINES}/m2")[0] == 200):
        yield stage


def bodies(name: str, value: Any) -> Iterator[tuple[str, str, Any]]:
    """Give all ways to write a field of the status of a Machine: method, content type, body."""
    yield "PATCH", MERGE, {"status": {name: value}}
    yield "PATCH", MERGE, {"status": {name: None}}
    yield "PATCH", MERGE, {"status": {name: value, "agent": {"version": "x"}}}
    yield "PATCH", JSON_PATCH, [{"op": "replace", "path": f"/status/{name}", "value": value}]
    yield "PATCH", JSON_PATCH, [{"op": "remove", "path": f"/status/{name}"}]
    yield "PATCH", APPLY, {"apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine", "status": {name: value}}


@pytest.mark.parametrize("name", FORGED)
def test_no_field_of_the_status_but_its_own_is_written(generous: Stage, name: str) -> None:
    """Of its own Machine, by every sort of patch, also together with what it may write; the whole object stays."""
    before = generous.stored("m1")
    for method, kind, body in bodies(name, FORGED[name]):
        more = "?fieldManager=thief&force=true" if kind == APPLY else ""
        generous.thief.call(method, f"{MACHINES}/m1/status{more}", body, kind)
        assert _bare(generous.stored("m1")) == _bare(before), body


def _bare(obj: Any) -> Any:
    """Leave out who owns which field."""
    return {
        **obj,
        "metadata": {key: value for key, value in obj["metadata"].items() if key != "managedFields"},
    }


def _without_agent(obj: Any) -> Any:
    """Leave out what an agent may change, and what changes with it."""
    metadata = {
        key: value
        for key, value in obj["metadata"].items()
        if key not in ("managedFields", "resourceVersion")
    }
    status = {key: value for key, value in obj["status"].items() if key != AGENTS_PART}
    return {**obj, "metadata": metadata, "status": status}


MORE: dict[str, Any] = {
    "no status": {"status": None},
    "an empty status": {"status": {"phase": None, "conditions": None, "agent": None}},
    "spec": {"spec": {"operation": None, "labels": {"a": "b"}, "deletionPolicy": "Terminate"}},
    "host": {"spec": {"host": {"address": "10.9.9.9"}}},
    "labels": {"metadata": {"labels": {"kubenode.dev/hold": "x"}}},
    "annotations": {"metadata": {"annotations": {"kubenode.dev/forced": "x"}}},
    "finalizers": {"metadata": {"finalizers": ["kubenode.dev/thief"]}},
    "owners": {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "x", "uid": "x"}]}},
    "all with its own": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"labels": {"a": "b"}}, "status": {"agent": {"version": "y"}},
    },
}  # fmt: skip


@pytest.mark.parametrize("what", MORE)
@pytest.mark.parametrize("part", ["", "/status"])
@pytest.mark.parametrize("name", ["m1", "m2"])
def test_nothing_else_of_a_machine_is_written(generous: Stage, name: str, part: str, what: str) -> None:
    """Own and foreign, the object and its status, as a patch and as a replacement."""
    before = generous.stored(name)
    generous.thief.call("PATCH", f"{MACHINES}/{name}{part}", MORE[what], MERGE)
    whole = {**before, **{key: value for key, value in MORE[what].items() if key != "metadata"}}
    whole["metadata"] = {**before["metadata"], **(MORE[what].get("metadata") or {})}
    generous.thief.call("PUT", f"{MACHINES}/{name}{part}", whole)
    after = generous.stored(name)
    assert _without_agent(after) == _without_agent(before)
    if name == "m2" or not part or what != "all with its own":
        assert after["status"].get("agent") == before["status"].get("agent")


def test_no_object_of_ours_is_made_changed_or_deleted(generous: Stage) -> None:
    """Every kind, its subresources, one and all of them; and Machines of other names."""
    before = generous.everything()
    for cls in KINDS:
        path = f"/apis/kubenode.dev/v1alpha1/{cls.KIND.plural}"
        body = {"apiVersion": cls.KIND.api_version, "kind": cls.KIND.name, "metadata": {"name": "cluster"}}
        body["spec"] = SPECS.get(cls.KIND.name, {})
        status, answer = generous.thief.call("POST", path, body)
        assert status == 403, (cls, answer)
        status, answer = generous.admin.call("POST", f"{path}?dryRun=All", body)
        assert status == 201, f"the body that was refused would not have been stored anyway: {answer}"
        generous.thief.call("DELETE", path)
        for name in ("m1", "m2", "cluster"):
            generous.thief.call("DELETE", f"{path}/{name}")
            for part in ("", "/status", "/scale"):
                generous.thief.call(
                    "PATCH", f"{path}/{name}{part}", {"spec": {"replicas": 0}, "status": {"a": 1}}, MERGE
                )
    assert generous.everything() == before


SPECS: dict[str, Any] = {
    "Machine": {"host": {"address": "h"}},
    "MachineSet": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"labels": {"a": "b"}, "spec": {"infrastructure": {"provider": "p"}}},
    },
    "MachineComponent": {"version": "1", "driver": "d"},
    "MachineComponentSet": {"name": "k", "component": "c"},
    "NodeRemedier": {"condition": {"type": "T"}, "ladder": [{"action": "a"}]},
    "RemedyOperationJob": {"machine": {"name": "m1", "uid": "u"}, "remedier": "r", "episode": 0, "cause": {"type": "T"}},
}  # fmt: skip


def test_a_lease_is_its_own_or_nobodys(generous: Stage) -> None:
    """It makes and renews the one of its name, with itself as holder, where agents have theirs; no other, and deletes none."""

    def lease(name: str, holder: str = user_of("m1"), **metadata: Any) -> Any:
        return {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, **metadata},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 600},
        }  # fmt: skip

    assert generous.admin.call("POST", LEASES, lease("m2", user_of("m2")))[0] == 201
    before = generous.everything()
    system = "/apis/coordination.k8s.io/v1/namespaces/kubenode-system/leases"
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}
    for path, body in (
        (LEASES, lease("m3")), (LEASES, lease("m1", user_of("m2"))), (LEASES, lease("m1", "")),
        (LEASES, lease("m1", finalizers=["a.b/c"])), (LEASES, lease("m1", ownerReferences=[owner])),
        (LEASES, {**lease("m1"), "metadata": {"generateName": "m1"}}),
        (system, lease("m1")), (system, lease("kubenode-controller")),
    ):  # fmt: skip
        generous.thief.call("POST", path, body)
    for method, body in (
        ("PUT", lease("m2")),
        ("PATCH", {"spec": {"holderIdentity": user_of("m1")}}),
        ("DELETE", None),
    ):
        generous.thief.call(method, f"{LEASES}/m2", body, MERGE if method == "PATCH" else "application/json")
    generous.thief.call("DELETE", LEASES)
    assert generous.everything() == before
    assert generous.thief.call("POST", LEASES, lease("m1"))[0] == 201
    body = {"spec": {"renewTime": "2026-03-02T09:00:00.000000Z"}}
    assert generous.thief.call("PATCH", f"{LEASES}/m1", body, MERGE)[0] == 200
    generous.thief.call("PATCH", f"{LEASES}/m1", {"spec": {"holderIdentity": user_of("m2")}}, MERGE)
    generous.thief.call("DELETE", f"{LEASES}/m1")
    assert generous.admin.get(f"{LEASES}/m1")["spec"]["holderIdentity"] == user_of("m1")


def test_a_certificate_without_the_uid_of_the_machine_writes_nothing(stage: Stage) -> None:
    """Nor one with another Machine's, nor one whose name is no agent's."""
    before = stage.stored("m1")
    uids = {name: one["metadata"]["uid"] for name, one in stage.own.items()}
    for user, groups in (
        (user_of("m1"), ("kubenode:agents",)), (user_of("m1"), groups_of(uids["m2"])),
        (user_of("m2"), groups_of(uids["m1"])), ("m1", groups_of(uids["m1"])), ("kubenode:agent:", groups_of(uids["m1"])),
    ):  # fmt: skip
        client = certified(stage.plane, user, groups)
        client.call("PATCH", f"{MACHINES}/m1/status", {"status": {"agent": {"version": "z"}}}, MERGE)
        assert stage.stored("m1") == before


# The controller.


def test_the_controller_deletes_no_other_secret_and_approves_no_stranger(stage: Stage) -> None:
    """What RBAC has no word for, the policies refuse: a Secret that is no token, and a request that no agent made."""
    taken = certified(stage.plane, CONTROLLER_USER, ())
    secrets = "/api/v1/namespaces/kube-system/secrets"
    labels = {"kubenode.dev/machine": "m1"}
    for name, kind, marks in (
        ("plain", "Opaque", labels),
        ("bootstrap-token-abc123", "bootstrap.kubernetes.io/token", {}),
    ):
        body = {
            "metadata": {"name": name, "labels": marks},
            "type": kind,
            "stringData": {"token-id": "abc123", "token-secret": "0123456789abcdef"},
        }
        assert stage.admin.call("POST", secrets, body)[0] == 201
    assert (
        stage.admin.call("POST", CSRS, Asked(name="strange", user="admin", groups=("admins",)).body())[0]
        == 201
    )
    before = stage.everything()
    for name in ("plain", "bootstrap-token-abc123"):
        for more in (
            "",
            "?dryRun=All",
            "?propagationPolicy=Orphan",
            "?dryRun=All&propagationPolicy=Foreground",
        ):
            _, answer = taken.call("DELETE", f"{secrets}/{name}{more}")
            assert "data" not in answer
        assert taken.call("GET", f"{secrets}/{name}")[0] == 403
    taken.call("DELETE", secrets)
    said = [{"type": "Approved", "status": "True", "reason": "x", "message": ""}]
    taken.call("PATCH", f"{CSRS}/strange/approval", {"status": {"conditions": said}}, MERGE)
    assert stage.everything() == before
    said[0]["type"] = "Denied"
    assert taken.call("PATCH", f"{CSRS}/strange/approval", {"status": {"conditions": said}}, MERGE)[0] == 200


def test_to_approve_takes_the_right_for_the_signer(stage: Stage) -> None:
    """Without that one the controller's approval is refused; with it, it is stored."""
    taken = certified(stage.plane, CONTROLLER_USER, ())
    asked = Asked(name="asked-m1", user=user_of("m1"), groups=groups_of(stage.own["m1"]["metadata"]["uid"]))
    assert stage.thief.call("POST", CSRS, asked.body())[0] == 201
    path = f"{RBAC}/clusterroles/kubenode-controller"
    role = stage.admin.get(path)
    rules = [one for one in role["rules"] if "signers" not in one["resources"]]
    assert len(rules) == len(role["rules"]) - 1
    body = {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "x", "message": ""}]}}

    def approved() -> int:
        return taken.call("PATCH", f"{CSRS}/asked-m1/approval?dryRun=All", body, MERGE)[0]

    assert approved() == 200
    stage.admin.call("PATCH", path, {"rules": rules}, MERGE)
    until("the loss", lambda: approved() == 403)
    stage.admin.call("PATCH", path, {"rules": role["rules"]}, MERGE)
    until("its return", lambda: approved() == 200)


def test_the_server_finds_no_fault_in_the_policies(stage: Stage) -> None:
    """It checks the types of every expression, and has no warning."""
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"

    def checked() -> bool:
        found = stage.admin.get(path)["items"]
        return all(one.get("status", {}).get("observedGeneration") for one in found)

    until("the check", checked)
    ours = {one["metadata"]["name"]: one["status"] for one in stage.admin.get(path)["items"]}
    assert len(ours) == 5
    assert {name: status.get("typeChecking") for name, status in ours.items()} == {name: {} for name in ours}


def test_without_the_policy_all_of_it_would_be_stored(generous: Stage) -> None:
    """So it is the policy that refuses, and what is tried above is no nonsense."""
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/kubenode-agent-machine"
    assert generous.admin.call("DELETE", path)[0] == 200
    dry = "?dryRun=All"

    def patched(name: str, part: str, body: Any) -> Any:
        return generous.thief.call("PATCH", f"{MACHINES}/{name}{part}{dry}", body, MERGE)

    until("its end", lambda: patched("m1", "/status", {"status": {"phase": "Failed"}})[0] == 200)
    for name in ("m1", "m2"):
        for field, value in FORGED.items():
            status, answer = patched(name, "/status", {"status": {field: value}})
            assert (status, answer["status"][field] == FOUND[field]) == (200, False), field
        for what, body in MORE.items():
            if what != "no status" and "status" not in body:
                status, answer = patched(name, "", body)
                assert status == 200, answer
    assert "phase" not in patched("m1", "/status", MORE["no status"])[1].get("status", {})
    assert generous.thief.call("DELETE", f"{MACHINES}/m2{dry}")[0] == 200
