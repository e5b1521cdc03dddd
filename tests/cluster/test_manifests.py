"""A real API server takes what `kubenode manifests` prints, and judges our objects as core does."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.manifests import install, to_yaml
from kubenode.runtime.testing import ControlPlane, ControlPlaneError
from tests.strategies import objects, parts

pytestmark = pytest.mark.cluster

_FEW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> ControlPlane:
    """A control plane on which all that `install` gives was applied."""
    control_plane.kubectl("apply", "-f", "-", input=to_yaml(install()))
    names = [obj["metadata"]["name"] for obj in install() if obj["kind"] == "CustomResourceDefinition"]
    control_plane.kubectl(
        "wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in names)
    )
    return control_plane


def _dry(control_plane: ControlPlane, raws: Sequence[m.Json], *, strict: bool = True) -> list[m.Json]:
    """Have objects judged, defaulted and thrown away; give them as they would be stored."""
    body = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(raws)})
    validate = "strict" if strict else "false"
    answer = control_plane.kubectl(
        "create", "--dry-run=server", f"--validate={validate}", "-o", "json", "-f", "-", input=body
    )
    found: list[m.Json] = []
    while answer.strip():
        made, end = json.JSONDecoder().raw_decode(answer.strip())
        found += made["items"] if made["kind"] == "List" else [made]
        answer = answer.strip()[end:]
    return found


def test_definitions_are_accepted_as_they_are(installed: ControlPlane) -> None:
    """Every CRD is structural and within the cost limits, and applying all again changes nothing."""
    for obj in install():
        if obj["kind"] == "CustomResourceDefinition":
            answer = json.loads(installed.kubectl("get", "crd", obj["metadata"]["name"], "-o", "json"))
            states = {one["type"]: one["status"] for one in answer["status"]["conditions"]}
            assert states["Established"] == states["NamesAccepted"] == "True"
            assert "NonStructuralSchema" not in states
    again = installed.kubectl("apply", "-f", "-", input=to_yaml(install()))
    assert all(line.endswith("unchanged") for line in again.splitlines()), again


@_FEW
@given(data=st.data())
def test_good_objects_are_accepted_and_read_as_written(installed: ControlPlane, data: st.DataObject) -> None:
    """What core generates is taken under strict field validation, and stored it reads as it was written."""
    written = [data.draw(objects(kind, fresh=True)) for kind in m.KINDS]
    stored = _dry(installed, [wire.dump(obj) for obj in written])
    for obj, raw in zip(written, stored, strict=True):
        seen = wire.read(raw, type(obj))
        assert seen.metadata.unknown == ()
        assert wire.dump(seen).get("spec") == wire.dump(obj).get("spec")


@_FEW
@given(status=parts(m.MachineStatus))
def test_a_good_status_is_stored_as_written(installed: ControlPlane, status: m.MachineStatus) -> None:
    """A merge patch from what is read to what is wanted makes it so, and then there is no patch left."""
    name = "status-as-written"
    machine = m.Machine(metadata=m.ObjectMeta(name=name), spec=m.MachineSpec(host=m.Host(address="h")))
    installed.kubectl("apply", "-f", "-", input=to_yaml([wire.dump(machine)]))
    seen = wire.read(json.loads(installed.kubectl("get", "machine", name, "-o", "json")), m.Machine)
    patch = wire.patch_of(wire.dump_part(seen.status), wire.dump_part(status))
    raw = installed.kubectl(
        "patch", "machine", name, "--subresource=status", "--type=merge", "-o", "json",
        "-p", json.dumps({"status": patch or {}}),
    )  # fmt: skip
    assert wire.read(json.loads(raw), m.Machine).status == status


def _machine(**spec: Any) -> m.Json:
    return _object("Machine", {"host": {"address": "h1"}, **spec})


def _set(**rollout: Any) -> m.Json:
    return _object("MachineComponentSet", {"name": "k", "component": "c", "rollout": rollout})


def _machines(**spec: Any) -> m.Json:
    made = {"labels": {"a": "b"}, "spec": {"infrastructure": {"provider": "p"}}}
    return _object("MachineSet", {"selector": {"matchLabels": {"a": "b"}}, "template": made, **spec})


def _remedier(**spec: Any) -> m.Json:
    return _object("NodeRemedier", {"condition": {"type": "T"}, "ladder": [{"action": "a"}], **spec})


def _object(kind: str, spec: m.Json, **metadata: Any) -> m.Json:
    named = {"name": "bad", **metadata}
    return {"apiVersion": "kubenode.dev/v1alpha1", "kind": kind, "metadata": named, "spec": spec}


def _entry(**entry: Any) -> m.Json:
    return _machine(components={"a": {"set": "s", "component": "c", "revision": "1", **entry}})


def _step(**step: Any) -> m.Json:
    return _machine(operation={"opID": "o", "job": "j", "attempt": 1, "action": "a", "steps": [step]})


_HOST = {"host": {"address": "h"}}
_BAD: tuple[m.Json, ...] = (
    _object("Machine", _HOST, name="x" * 64),
    _object("Machine", _HOST, name="Upper"),
    _object("Machine", _HOST, labels={"a b": "c"}),
    _object("Machine", _HOST, labels={"a": "x y"}),
    _object("Machine", _HOST, annotations={"a b": "c"}),
    _machine(host=None),
    _machine(host={"address": "-"}),
    _machine(host={}),
    _machine(infrastructure={"provider": "p"}),
    _machine(labels={"a b": "c"}),
    _machine(labels={"a": "x y"}),
    _machine(labels={f"k{number}": "" for number in range(65)}),
    _machine(taints=[{"key": "a", "effect": "NoExecute"}] * 2),
    _machine(taints=[{"key": "a", "effect": "Never"}]),
    _machine(deletionPolicy="Recycle"),
    _machine(components={"A_b": {"set": "s", "component": "c", "revision": "1"}}),
    _machine(components={"a": {"set": "s"}}),
    _entry(revision=7),
    _entry(revision="v7"),
    _entry(batch="3"),
    _entry(batch=-1, state="Gone"),
    _step(action="RestartUnit"),
    _step(action="Reboot", unit="u.service"),
    _step(action="Dance"),
    _set(batches=[]),
    _set(batches=[0]),
    _set(batches=[1, "101%"]),
    _set(batches=[1] * 33),
    _set(maxUnavailable=0),
    _set(maxUnavailable=True),
    _set(maxUnavailable=2**31),
    _set(observation="1d"),
    _set(observation=""),
    _set(observation="9000h"),
    _set(paused="yes", failureThreshold=-1),
    _set(excuse={"revision": "x", "failures": 0}),
    _machines(replicas=100_001),
    _machines(selector={}),
    _machines(selector={"matchLabels": {"a": "c"}}),
    _machines(selector={"matchLabels": {"c": "b"}}),
    _machines(deleteOrder="Random"),
    _machines(failureDomains=[""]),
    _machines(orphans="Adopt"),
    _machines(orphans="Terminate", template={
        "labels": {"a": "b"}, "spec": {"infrastructure": {"provider": "p"}, "deletionPolicy": "Release"},
    }),
    _object("MachineSet", {"selector": {"matchLabels": {"a": "b"}}}, name="x" * 55),
    _remedier(ladder=[]),
    _remedier(ladder=[{"action": "a", "timeout": "soon"}]),
    _remedier(verification={"dwell": "1h", "timeout": "1m"}),
    _remedier(condition={"type": "T", "status": "Maybe"}),
    _object("RiskPolicy", {"limits": [{"scope": "zone", "max": 1, "window": "1s"}]}),
    _object("RiskPolicy", {"limits": [{"scope": "zone", "max": 1, "window": "25h"}]}),
    _object("RiskPolicy", {"limits": [{"scope": "row", "max": 1}]}),
    _object("RiskPolicy", {"zoneBreaker": {"notReadyPercent": 0}}),
    _object("RiskPolicy", {"limits": [{"scope": "zone", "max": 1, "window": "soon"}]}),
    _object("RiskPolicy", {"limits": [{"scope": "zone", "max": 1, "window": ""}]}),
    _object("RiskPolicy", {"limits": [{"scope": "zone", "max": 2**31}]}),
    _object("RiskPolicy", {"limits": [{"scope": "zone", "max": -1}]}),
    _object("RiskPolicy", {"limits": [{"scope": "zone", "max": "0%"}]}),
    _object("RiskPolicy", {"limits": [{"scope": "node", "max": 1}]}),
    _object("RiskPolicy", {"limits": [{"scope": "node", "max": "10%", "window": "1h"}]}),
    _object("RiskPolicy", {"limits": [{"scope": "node", "max": 1, "window": "169h"}]}),
    _object("RiskPolicy", {"repairWidth": {"first": 0}}),
    _object("RiskPolicy", {"repairWidth": {"window": "169h"}}),
    _object("RiskPolicy", {"freeze": [{"scope": "node", "reason": "r"}]}),
    _object("RiskPolicy", {"freeze": [{"scope": "fleet", "name": "f", "reason": "r"}]}),
    _object("RiskLedger", {}, name="other"),
    _object("MachineComponent", {"version": "", "driver": "D"}),
    _object("RemedyOperationJob", {"machine": {"name": "m"}, "remedier": "r", "episode": 0, "cause": {"type": "T"}}),
)  # fmt: skip

_KEYED = re.compile(
    r"(metadata\.labels|metadata\.annotations|spec\.labels(?=\.a b)|spec\.components(?=\.A_b)).*"
)


def _of_server(control_plane: ControlPlane, raw: m.Json) -> set[str]:
    """Give the paths of the server's causes, but for its word that CEL was not run."""
    with pytest.raises(ControlPlaneError) as raised:
        _dry(control_plane, [raw], strict=False)
    _, _, causes = str(raised.value).partition(" is invalid: ")
    assert causes, raised.value
    lines = causes.split("\n* ") if causes.startswith("\n* ") else [causes]
    return {line.partition(": ")[0] for line in lines if line} - {"<nil>"}


def _of_core(raw: m.Json) -> set[str]:
    """Give the paths of core's problems; of a bad key the server only tells the map."""
    with pytest.raises(InvalidObjectError) as raised:
        wire.load(raw)
    return {_KEYED.sub(r"\1", problem.where) for problem in raised.value.problems}


@pytest.mark.parametrize("raw", _BAD, ids=lambda raw: json.dumps(raw["spec"])[:60])
def test_bad_objects_are_refused_at_the_same_places(installed: ControlPlane, raw: m.Json) -> None:
    """The server finds fault where core does."""
    ours, theirs = _of_core(raw), _of_server(installed, raw)
    assert ours <= theirs
    # Core judges no law over a part that is broken already; the server does, where the part has the right type.
    assert all(any(place.startswith(f"{more}[") for place in ours) for more in theirs - ours), theirs


def test_what_is_immutable_stays(installed: ControlPlane) -> None:
    """Rules over the state before: core cannot see it, so only the server refuses."""
    component = _object(
        "MachineComponent", {"version": "1", "driver": "d", "parameters": {"a": {"b": 1}}}, name="fixed"
    )
    machine = _object("Machine", _HOST, name="fixed")
    installed.kubectl("apply", "-f", "-", input=to_yaml([component, machine]))
    for changes in ({"parameters": {"a": {"b": 2}}}, {"version": "2"}, {"parameters": None}):
        with pytest.raises(ControlPlaneError, match="is immutable"):
            installed.kubectl(
                "patch", "machinecomponent", "fixed", "--type=merge", "-p", json.dumps({"spec": changes})
            )
    owner = _machines()
    owner["metadata"]["name"] = "fixed"
    owner["spec"]["template"]["labels"]["c"] = "d"
    installed.kubectl("apply", "-f", "-", input=to_yaml([owner]))
    selector = {"spec": {"selector": {"matchLabels": {"c": "d"}}}}
    with pytest.raises(ControlPlaneError, match=r"spec\.selector: .*is immutable"):
        installed.kubectl("patch", "machineset", "fixed", "--type=merge", "-p", json.dumps(selector))
    patch = {"spec": {"host": None, "infrastructure": {"provider": "p"}}}
    with pytest.raises(ControlPlaneError, match=r"spec\.host: .*cannot be removed"):
        installed.kubectl("patch", "machine", "fixed", "--type=merge", "-p", json.dumps(patch))


_AGENT = ("kubenode:agent:h1", "kubenode:agents")
_CONTROLLER = ("system:serviceaccount:kubenode-system:kubenode-controller", "system:serviceaccounts")


@pytest.mark.parametrize(("who", "verb", "what", "may"), [
    (_AGENT, "watch", "machines", True),
    (_AGENT, "get", "machinecomponents", True),
    (_AGENT, "list", "machinecomponents", False),
    (_AGENT, "watch", "machinecomponents", False),
    (_AGENT, "patch", "machines/status", True),
    (_AGENT, "patch", "machines", False),
    (_AGENT, "get", "remedyoperationjobs", False),
    (_AGENT, "patch", "nodes/status", False),
    (_CONTROLLER, "list", "noderemediers", True),
    (_CONTROLLER, "patch", "machines", True),
    (_CONTROLLER, "patch", "riskledgers/status", True),
    (_CONTROLLER, "create", "remedyoperationjobs", True),
    (_CONTROLLER, "patch", "nodes/status", True),
    (_CONTROLLER, "delete", "machines", True),
    (_CONTROLLER, "create", "machines", True),
    (_CONTROLLER, "patch", "machinesets/status", True),
    (_CONTROLLER, "delete", "machinesets", False),
    (_CONTROLLER, "get", "secrets", False),
])  # fmt: skip
def test_roles_allow_what_they_say(
    installed: ControlPlane, who: tuple[str, str], verb: str, what: str, may: bool
) -> None:
    """Agents read machines and write their status; the controller does what its effects need."""
    resource, _, part = what.partition("/")
    asked = [
        "auth",
        "can-i",
        verb,
        resource,
        f"--subresource={part}",
        f"--as={who[0]}",
        f"--as-group={who[1]}",
    ]
    try:
        answer = installed.kubectl(*asked)
    except ControlPlaneError:
        answer = "no"
    assert (answer.strip() == "yes") == may
