"""The wire: what is written is read back, by both readers, and what is not known is told."""

import copy
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.crd import schema_of
from kubenode.core.errors import InvalidObjectError
from kubenode.core.reading import format_stamp, parse_stamp
from kubenode.core.schema import defaulted, validate
from tests.strategies import free_form, objects

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SLOW = settings(suppress_health_check=list(HealthCheck), deadline=None)
KINDS = pytest.mark.parametrize("kind", m.KINDS, ids=lambda kind: kind.KIND.name)

MACHINE = m.Machine(
    metadata=m.ObjectMeta(name="h1", uid="u1", labels={"zone": "b"}),
    spec=m.MachineSpec(
        host=m.Host(address="10.0.0.1"),
        components={"kubelet": m.ComponentEntry(set="kubelet", component="kubelet-1.30", revision="7")},
        operation=m.Operation(
            op_id="op-1", job="job-1", attempt=1, action="reboot",
            steps=(m.OperationStep(action=m.StepAction.REBOOT),),
        ),
    ),
    status=m.MachineStatus(
        phase="Running",
        conditions=(m.Condition(type="Ready", reason="AllWell", last_transition_time=NOON),),
        agent=m.AgentStatus(version="1.0", components={"kubelet": m.ComponentReport(component="kubelet-1.30")}),
    ),
)  # fmt: skip


def _changed(raw: m.Json, path: str, value: Any) -> m.Json:
    """Give a copy with another value at a path of keys and indexes."""
    made = copy.deepcopy(raw)
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    at: Any = made
    for part in way:
        at = at[part]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return made


@KINDS
@SLOW
@given(data=st.data())
def test_what_is_written_is_read_by_both_readers(kind: type[m.Object], data: st.DataObject) -> None:
    """Dump, through JSON text, then read or load, gives the object; nothing in it is unknown."""
    obj = data.draw(objects(kind))
    raw = json.loads(json.dumps(wire.dump(obj)))
    assert wire.read(raw, kind) == obj
    assert wire.load(raw) == obj
    assert wire.read(raw, kind).metadata.unknown == ()


@KINDS
@SLOW
@given(data=st.data())
def test_schema_defaults_equal_python_defaults(kind: type[m.Object], data: st.DataObject) -> None:
    """A valid object stays valid and the same when the schema fills in its defaults, and its status is at rest."""
    obj: Any = data.draw(objects(kind))
    stored = defaulted(wire.dump(obj), schema_of(kind))
    assert validate(stored, schema_of(kind)) == ()
    seen: Any = wire.read(stored, kind)
    assert seen == obj
    if hasattr(obj, "status"):
        assert wire.patch_of(wire.dump_part(seen.status), wire.dump_part(obj.status)) is None


@pytest.mark.parametrize("raw", [
    {"kind": "Machine", "spec": {"host": {"address": "h"}}, "status": {"agent": {"components": {"a": {}}}}},
    {"kind": "Machine", "spec": {"infrastructure": {"provider": "p"}, "components": {
        "a": {"set": "s", "component": "c", "revision": "1"}}, "taints": [{"key": "k", "effect": "NoExecute"}]}},
    {"kind": "MachineComponent", "spec": {"version": "1", "driver": "d"}},
    {"kind": "MachineComponentSet", "spec": {"name": "n", "component": "c"}, "status": {}},
    {"kind": "MachineComponentSet", "spec": {"name": "n", "component": "c", "rollout": {"paused": True}}},
    {"kind": "NodeRemedier", "spec": {"condition": {"type": "T"}, "ladder": [{"action": "a"}], "verification": {}}},
    {"kind": "RemedyOperationJob", "spec": {
        "machine": {"name": "h", "uid": "u"}, "remedier": "r", "episode": 0, "cause": {"type": "T"}}, "status": {}},
    {"kind": "RiskPolicy"},
    {"kind": "RiskPolicy", "spec": {"limits": [{"scope": "zone", "max": "5%"}], "zoneBreaker": {}}},
    {"kind": "RiskLedger"},
    {"kind": "RiskLedger", "status": {}},
], ids=lambda raw: raw["kind"])  # fmt: skip
def test_minimal_objects_read_the_same_with_and_without_defaults(raw: m.Json) -> None:
    """Of an object that says only what it must, defaults of the schema change nothing."""
    raw = {"apiVersion": "kubenode.dev/v1alpha1", "metadata": {"name": "cluster"}, **raw}
    kind = wire.kind_of(raw["kind"])
    stored = defaulted(raw, schema_of(kind))
    assert wire.read(stored, kind) == wire.read(raw, kind) == wire.load(raw)
    assert ("spec" in stored) or "spec" in schema_of(kind)["required"]


@SLOW
@given(obj=objects(m.Machine))
def test_entries_and_operations_are_written_as_they_are_stored(obj: m.Machine) -> None:
    """A JSON patch `test` of what was read holds against what is stored: `SetEntry.expect` depends on it."""
    stored = defaulted(wire.dump(obj), schema_of(m.Machine))
    seen = wire.read(stored, m.Machine)
    for name, entry in seen.spec.components.items():
        assert wire.dump_part(entry) == stored["spec"]["components"][name]
    if seen.spec.operation is not None:
        assert wire.dump_part(seen.spec.operation) == stored["spec"]["operation"]


@pytest.mark.parametrize(("path", "value", "unknown"), [
    ("zz", 1, "zz"),
    ("spec/zz", {}, "spec.zz"),
    ("spec/components/kubelet/zz", [], "spec.components.kubelet.zz"),
    ("status/agent/components/kubelet/zz", 0, "status.agent.components.kubelet.zz"),
    ("spec/operation/steps/0/zz", 1, "spec.operation.steps[0].zz"),
    ("spec/operation/steps/0/action", "Reimage", "spec.operation.steps[0].action"),
    ("spec/components/kubelet/state", "Paused", "spec.components.kubelet.state"),
    ("spec/deletionPolicy", "Recycle", "spec.deletionPolicy"),
    ("spec/deletionPolicy", 7, "spec.deletionPolicy"),
    ("spec/labels", [], "spec.labels"),
    ("spec/labels", {"a": 1}, "spec.labels.a"),
    ("spec/components/kubelet/batch", True, "spec.components.kubelet.batch"),
    ("spec/components/kubelet/batch", "3", "spec.components.kubelet.batch"),
    ("spec/components/kubelet/batch", 1.9, "spec.components.kubelet.batch"),
    ("spec/components/kubelet", "gone", "spec.components.kubelet"),
    ("spec/components/kubelet/set", ..., "spec.components.kubelet.set"),
    ("status", [], "status"),
    ("status/observedGeneration", "x", "status.observedGeneration"),
    ("status/conditions/0/lastTransitionTime", "yesterday", "status.conditions[0].lastTransitionTime"),
    ("status/firstRunning", "2026-13-01T00:00:00Z", "status.firstRunning"),
    ("metadata/labels", {"a": 1}, "metadata.labels.a"),
])  # fmt: skip
def test_what_is_not_known_is_told_by_path(path: str, value: Any, unknown: str) -> None:
    """The lenient reader takes an object of a newer version, and says where it is one."""
    seen = wire.read(_changed(wire.dump(MACHINE), path, value), m.Machine)
    assert seen.metadata.unknown == (unknown,)
    assert attrs.evolve(seen.metadata, unknown=(), labels={}) == attrs.evolve(MACHINE.metadata, labels={})


def test_unknown_values_stay_text_and_are_written_back() -> None:
    """A value of a newer version is kept as it is."""
    raw = _changed(wire.dump(MACHINE), "spec/components/kubelet/state", "Paused")
    entry = wire.read(raw, m.Machine).spec.components["kubelet"]
    assert entry.state == "Paused"
    assert wire.dump_part(entry) == raw["spec"]["components"]["kubelet"]


def test_unreadable_parts_leave_the_rest_readable() -> None:
    """A field of a wrong type is at its default; an item that cannot be read is left out alone."""
    raw = _changed(wire.dump(MACHINE), "status/conditions/0/type", 7)
    raw["status"]["conditions"].append(
        {"type": "A", "reason": "B", "lastTransitionTime": "2026-03-02T12:00:00Z"}
    )
    raw["spec"]["taints"] = "none"
    seen = wire.read(raw, m.Machine)
    assert [condition.type for condition in seen.status.conditions] == ["A"]
    assert seen.spec.taints == ()
    assert seen.metadata.unknown == ("spec.taints", "status.conditions[0].type")


def test_an_unknown_phase_is_read_like_any_other() -> None:
    """A phase is text: it says nothing about what else is known."""
    seen = wire.read(_changed(wire.dump(MACHINE), "status/phase", "Hibernating"), m.Machine)
    assert (seen.status.phase, seen.metadata.unknown) == ("Hibernating", ())


@pytest.mark.parametrize(("path", "value", "where"), [
    ("metadata", ..., "metadata"),
    ("metadata/name", ..., "metadata.name"),
    ("metadata/name", 7, "metadata.name"),
    ("spec", ..., "spec"),
    ("spec", "x", "spec"),
])  # fmt: skip
def test_without_what_is_required_there_is_no_object(path: str, value: Any, where: str) -> None:
    """Only a missing or unreadable required part raises, and names it."""
    with pytest.raises(InvalidObjectError) as raised:
        wire.read(_changed(wire.dump(MACHINE), path, value), m.Machine)
    assert [problem.where for problem in raised.value.problems] == [where]


def test_nulls_are_absent() -> None:
    """A null counts as nothing there, as the server drops it."""
    raw = wire.dump(MACHINE)
    for path in ("spec/operation", "spec/labels", "spec/deletionPolicy", "status/agent", "metadata/labels"):
        raw = _changed(raw, path, None)
    seen = wire.read(raw, m.Machine)
    assert seen.metadata.unknown == ()
    assert (seen.spec.operation, seen.status.agent) == (None, None)
    assert wire.load(raw) == seen


def test_metadata_that_the_server_takes_is_taken() -> None:
    """Keys of annotations may have capital letters in their domain; prefixes, owners and finalizers may stand."""
    raw = wire.dump(MACHINE)
    raw["metadata"] |= {
        "annotations": {"Example.org/a": "b"}, "generateName": "a-", "finalizers": ["example.org/a"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}],
    }  # fmt: skip
    assert wire.load(raw).metadata.annotations == {"Example.org/a": "b"}


NODE: m.Json = {
    "apiVersion": "v1", "kind": "Node",
    "metadata": {"name": "n1", "managedFields": [{}], "ownerReferences": [], "labels": {"a": "b"}},
    "spec": {"podCIDR": "10.0.0.0/24", "unschedulable": True, "taints": [
        {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-03-02T12:00:00Z"}]},
    "status": {"capacity": {"cpu": "4"}, "images": [], "conditions": [
        {"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-03-02T12:00:00Z", "lastTransitionTime": None}]},
}  # fmt: skip


def test_nodes_are_read_without_telling_unknown_fields() -> None:
    """A Node is not ours: most of it is unknown to us, and that means nothing."""
    seen = wire.read(NODE, m.Node)
    assert seen.metadata.unknown == ()
    assert seen.ready
    assert seen.status.conditions[0].last_heartbeat_time == NOON
    odd = wire.read(_changed(NODE, "spec/taints/0/effect", "Odd"), m.Node)
    assert odd.metadata.unknown == ("spec.taints[0].effect",)
    assert odd.spec.taints[0].effect == "Odd"


def test_parameters_are_not_shared_with_the_raw_object() -> None:
    """Whoever owns the JSON may change it afterwards."""
    raw = {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineComponent", "metadata": {"name": "x"},
        "spec": {"version": "1", "driver": "d", "parameters": {"a": [1]}},
    }  # fmt: skip
    seen = wire.read(raw, m.MachineComponent)
    written = wire.dump(seen)
    raw["spec"]["parameters"]["a"].append(2)  # type: ignore[index]
    written["spec"]["parameters"]["a"].append(3)
    assert seen.spec.parameters == {"a": [1]}


@pytest.mark.parametrize(("text", "read"), [
    ("2026-03-02T12:00:00Z", NOON),
    ("2026-03-02t12:00:00z", NOON),
    ("2026-03-02T14:00:00+02:00", NOON),
    ("2026-03-02T12:00:00.5Z", NOON.replace(microsecond=500_000)),
    ("2026-03-02T12:00:00,000001Z", NOON.replace(microsecond=1)),
    ("2026-03-02T12:00:00.123456789Z", NOON.replace(microsecond=123_456)),
])  # fmt: skip
def test_times_are_read_as_the_server_writes_them(text: str, read: datetime) -> None:
    """RFC 3339, with a zone and any number of digits."""
    assert parse_stamp(text) == read
    assert parse_stamp(text).tzinfo is UTC


@pytest.mark.parametrize("text", ["", "2026-03-02", "2026-03-02T12:00:00", "2026-02-30T12:00:00Z", "12:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Without a zone, or no day of any month."""
    with pytest.raises(ValueError, match=r".+"):
        parse_stamp(text)


def test_times_are_written_in_utc() -> None:
    """With Z, parts of a second only where there are any, and never without a zone."""
    assert format_stamp(NOON) == "2026-03-02T12:00:00Z"
    assert format_stamp(NOON.astimezone(timezone(timedelta(hours=2)))) == "2026-03-02T12:00:00Z"
    assert format_stamp(NOON.replace(microsecond=1)) == "2026-03-02T12:00:00.000001Z"
    with pytest.raises(ValueError, match="no time zone"):
        format_stamp(NOON.replace(tzinfo=None))


def test_spelling_is_kubernetes_own() -> None:
    """Fields are camelCase; initials as Kubernetes writes them; nothing empty is written."""
    written = wire.dump(MACHINE)
    assert written["spec"]["operation"]["opID"] == "op-1"
    assert written["status"]["conditions"][0]["lastTransitionTime"] == "2026-03-02T12:00:00Z"
    assert set(written["metadata"]) == {"name", "uid", "labels"}
    assert set(written["spec"]) == {"host", "components", "operation"}
    beat = m.NodeCondition(type="Ready", last_heartbeat_time=NOON)
    assert wire.dump_part((beat,))[0]["lastHeartbeatTime"] == "2026-03-02T12:00:00Z"
    assert wire.dump_part({"a": m.IntOrPercent(5, percent=True)}) == {"a": "5%"}
    assert "status" not in wire.dump(attrs.evolve(MACHINE, status=m.MachineStatus()))


def test_kinds_are_found_by_name() -> None:
    """Every kind that is read has a class; another name gets a suggestion."""
    assert [wire.kind_of(kind.KIND.name) for kind in m.WATCHED] == list(m.WATCHED)
    with pytest.raises(InvalidObjectError, match="did you mean 'Machine'"):
        wire.kind_of("machines")


# The strict reader.


def _problems(raw: Any) -> dict[str, tuple[str, str]]:
    with pytest.raises(InvalidObjectError) as raised:
        wire.load(raw)
    found = {problem.where: (problem.what, problem.fix) for problem in raised.value.problems}
    assert len(found) == len(raised.value.problems), raised.value
    return found


@pytest.mark.parametrize(("path", "value", "where", "says"), [
    ("apiVersion", "kubenode.dev/v1", "apiVersion", "kubenode.dev/v1alpha1"),
    ("apiVersion", ..., "apiVersion", "is missing"),
    ("kind", "machine", "kind", "did you mean 'Machine'?"),
    ("kind", ..., "kind", "is missing"),
    ("metadata", ..., "metadata", "is missing"),
    ("metadata", "h1", "metadata", "must be a mapping"),
    ("metadata/name", ..., "metadata.name", "is missing"),
    ("metadata/name", 7, "metadata.name", 'put it in quotes: "7"'),
    ("metadata/name", "My_Host", "metadata.name", "my-host"),
    ("metadata/name", "---", "metadata.name", "lower-case"),
    ("metadata/name", "x" * 64, "metadata.name", "at most 63"),
    ("metadata/uid", {}, "metadata.uid", "must be a string"),
    ("metadata/finalizers", "x", "metadata.finalizers", "must be a list"),
    ("metadata/namespace", "default", "metadata.namespace", "no namespace"),
    ("metadata/lables", {}, "metadata.lables", "did you mean 'labels'?"),
    ("metadata/labels", [], "metadata.labels", "must be a mapping"),
    ("metadata/labels", {"a b": "c"}, "metadata.labels.a b", "is no key"),
    ("metadata/labels", {"A.b/c": "c"}, "metadata.labels.A.b/c", "is no key"),
    ("metadata/labels", {"a": True}, "metadata.labels.a", '"true"'),
    ("metadata/labels", {"a": "x y"}, "metadata.labels.a", "no label value"),
    ("metadata/annotations", {"A b": "c"}, "metadata.annotations.A b", "is no key"),
    ("metadata/finalizers", ["a b"], "metadata.finalizers[0]", "is no finalizer"),
    ("metadata/generateName", "A", "metadata.generateName", "begins no name"),
    ("metadata/generateName", 7, "metadata.generateName", "must be a string"),
    ("metadata/generation", 2**63, "metadata.generation", "does not fit 64 bits"),
    ("metadata/ownerReferences", {}, "metadata.ownerReferences", "must be a list"),
    ("metadata/ownerReferences", ["n"], "metadata.ownerReferences[0]", "must be a mapping"),
    ("metadata/ownerReferences", [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": ""}],
     "metadata.ownerReferences[0].uid", "missing"),
    ("metadata/annotations", {"a": 3}, "metadata.annotations.a", '"3"'),
    ("metadata/annotations", {"a": "x" * 300_000}, "metadata.annotations", "262144"),
    ("spec", ..., "spec", "is missing"),
    ("spec/compnents", {}, "spec.compnents", "did you mean 'components'?"),
    ("spec/host", ..., "spec", "either host"),
    ("spec/infrastructure", {"provider": "aws"}, "spec", "either host"),
    ("spec/host/address", "-x-", "spec.host.address", "should match"),
    ("spec/host/address", "", "spec.host.address", "at least 1 chars"),
    ("spec/host/address", "x" * 254, "spec.host.address", "253"),
    ("spec/components/Kube_let", {"set": "s", "component": "c", "revision": "1"}, "spec.components.Kube_let", "no key"),
    ("spec/components/" + "k" * 64, {"set": "s", "component": "c", "revision": "1"},
     "spec.components." + "k" * 64, "longer than 63"),
    ("spec/components/kubelet/revision", 7, "spec.components.kubelet.revision", 'put it in quotes: "7"'),
    ("spec/components/kubelet/revision", 1.1, "spec.components.kubelet.revision", "digits are lost"),
    ("spec/components/kubelet/revision", "v7", "spec.components.kubelet.revision", "digits only"),
    ("spec/components/kubelet/set", True, "spec.components.kubelet.set", "quotes"),
    ("spec/components/kubelet/set", ..., "spec.components.kubelet.set", "add set: the MachineComponentSet"),
    ("spec/components/kubelet/batch", "3", "spec.components.kubelet.batch", "without quotes"),
    ("spec/components/kubelet/batch", -1, "spec.components.kubelet.batch", "greater than or equal to 0"),
    ("spec/components/kubelet/state", "running", "spec.components.kubelet.state", "did you mean 'Running'?"),
    ("spec/operation/steps", [], "spec.operation.steps", "at least 1 items"),
    ("spec/operation/steps", {}, "spec.operation.steps", "must be a list"),
    ("spec/operation/steps/0/action", "RestartUnit", "spec.operation.steps[0]", "unit goes with action"),
    ("spec/taints", [{"key": "a", "effect": "NoExecute"}] * 2, "spec.taints[1]", "Duplicate"),
    ("spec/labels", {f"k{n}": "" for n in range(65)}, "spec.labels", "at most 64"),
    ("status/firstRunning", "today", "status.firstRunning", "2026-03-02T09:00:00Z"),
])  # fmt: skip
def test_each_mistake_is_told_with_its_path_and_what_to_do(
    path: str, value: Any, where: str, says: str
) -> None:
    """One mistake, one problem, at the place where it was made."""
    found = _problems(_changed(wire.dump(MACHINE), path, value))
    assert list(found) == [where]
    assert says in " ".join(found[where])


@pytest.mark.parametrize(("spec", "where", "says"), [
    ({"rollout": {"batches": [1, "0%"]}}, "spec.rollout.batches[1]", "from '1%' to '100%'"),
    ({"rollout": {"batches": [0, 5]}}, "spec.rollout.batches", "a number from 1"),
    ({"rollout": {"batches": []}}, "spec.rollout.batches", "at least 1 items"),
    ({"rollout": {"maxUnavailable": 0}}, "spec.rollout.maxUnavailable", "set paused: true"),
    ({"rollout": {"maxUnavailable": True}}, "spec.rollout.maxUnavailable", "a number or a percentage"),
    ({"rollout": {"maxUnavailable": -1}}, "spec.rollout.maxUnavailable", "negative"),
    ({"rollout": {"maxUnavailable": 2**31}}, "spec.rollout.maxUnavailable", "less than or equal to 2147483647"),
    ({"rollout": {"observation": "1d"}}, "spec.rollout.observation", "1h30m"),
    ({"rollout": {"observation": 60}}, "spec.rollout.observation", "1h30m"),
    ({"rollout": {"observation": "9000h"}}, "spec.rollout.observation", "more than a year"),
    ({"rollout": {"observation": ""}}, "spec.rollout.observation", "1h30m"),
    ({"rollout": {"paused": "yes"}}, "spec.rollout.paused", "without quotes"),
    ({"selector": {"matchLabels": {"a": "x y"}}}, "spec.selector.matchLabels.a", "should match"),
    ({"name": "Kubelet"}, "spec.name", "lower-case"),
])  # fmt: skip
def test_each_mistake_of_a_set_is_told(spec: m.Json, where: str, says: str) -> None:
    """Quantities, durations and rules over several fields."""
    raw = {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineComponentSet", "metadata": {"name": "kubelet"},
        "spec": {"name": "kubelet", "component": "kubelet-1.30", **spec},
    }  # fmt: skip
    found = _problems(raw)
    assert list(found) == [where]
    assert says in " ".join(found[where])


def test_all_mistakes_are_told_at_once() -> None:
    """Unknown fields, types, bounds and rules of sound parts in one round, where a server needs three."""
    raw = wire.dump(MACHINE)
    for path, value in {
        "apiVersion": "v1", "metadata/name": "A", "spec/zz": 1, "spec/components/kubelet/revision": 7,
        "spec/operation/steps/0/action": "RestartUnit", "spec/deletionPolicy": "release", "spec/host/address": "-",
    }.items():  # fmt: skip
        raw = _changed(raw, path, value)
    assert list(_problems(raw)) == [
        "apiVersion", "metadata.name", "spec.zz", "spec.components.kubelet.revision", "spec.operation.steps[0]",
        "spec.deletionPolicy", "spec.host.address",
    ]  # fmt: skip


@pytest.mark.parametrize("raw", [None, [], "x", {}, {"kind": 7}])
def test_what_is_no_object_is_refused(raw: Any) -> None:
    """Whatever is submitted, the answer is a list of problems."""
    assert _problems(raw)


@pytest.mark.parametrize(
    ("value", "where", "what"),
    [
        (float("nan"), "", "nan is no number of JSON"),
        (float("inf"), "", "inf is no number of JSON"),
        ("\ud800", "", r"'\ud800' is not UTF-8"),
        ("a\udfffb", "", r"'a\udfffb' is not UTF-8"),
        ({"\ud800": 1}, r".\ud800", r"'\ud800' is not UTF-8"),
        ([0, (1,)], "[1]", "is of type tuple, which is no JSON"),
        ({"a": [{7: 1}]}, ".a[0]", "has the number 7 for a key"),
        ({10**40: 1}, "", "has a number of more than 30 digits for a key"),
    ],
)
def test_what_is_no_json_is_told_before_all_else(value: Any, where: str, what: str) -> None:
    """With its place, and with what to write; nothing else is looked at."""
    raw = {"kind": "Machine", "spec": {"zz": 1, "x": value}}
    with pytest.raises(InvalidObjectError) as caught:
        wire.load(raw)
    ((found, says, fix),) = [(one.where, one.what, one.fix) for one in caught.value.problems]
    assert (found, says) == (f"spec.x{where}", what)
    assert fix


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**5000], ids=("most", "least", "endless"))
def test_a_number_beyond_64_bits_is_told_with_all_else(value: int) -> None:
    """Once at its place, and what was given is left as it was."""
    spec = {"zz": 1, "host": {"address": value}, "components": {"a": {"revision": [value]}}}
    raw = {"kind": "Machine", "apiVersion": value, "metadata": {"name": "m"}, "spec": spec}
    with pytest.raises(InvalidObjectError) as caught:
        wire.load(raw)
    told = sorted((one.where, one.what) for one in caught.value.problems)
    fits = "is a number that does not fit 64 bits"
    assert [one for one in told if one[1] == fits] == [
        ("apiVersion", fits), ("spec.components.a.revision[0]", fits), ("spec.host.address", fits)
    ]  # fmt: skip
    assert [where for where, what in told if what != fits and "is missing" not in what] == [
        "spec.components.a.revision", "spec.zz"
    ]  # fmt: skip
    assert spec["host"] == {"address": value}


@pytest.mark.parametrize(
    "value", [None, True, 0, 2**63 - 1, -(2**63), 0.5, -1e300, "", "\x00", "\ud7ff", "\ue000", "\U0001f600", [{"a": []}]]
)  # fmt: skip
def test_whatever_is_json_is_free_form(value: Any) -> None:
    """Its neighbours are kept as they are."""
    raw = {
        "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineComponent", "metadata": {"name": "c"},
        "spec": {"version": "1", "driver": "file", "parameters": {"x": value}},
    }  # fmt: skip
    loaded = wire.load(raw)
    assert isinstance(loaded, m.MachineComponent)
    assert loaded.spec.parameters == {"x": value}


@SLOW
@given(data=st.data(), junk=free_form | st.none() | st.integers() | st.text() | st.lists(st.integers()))
def test_readers_never_fail_otherwise(data: st.DataObject, junk: Any) -> None:
    """Whatever stands anywhere, the readers answer or raise InvalidObjectError; the lenient one takes what the strict takes."""
    raw = wire.dump(MACHINE)
    paths = sorted(_paths(raw))
    raw = _changed(raw, data.draw(st.sampled_from(paths)), junk)
    try:
        strict: m.Object | None = wire.load(raw)
    except InvalidObjectError:
        strict = None
    try:
        lenient: m.Object | None = wire.read(raw, m.Machine)
    except InvalidObjectError:
        lenient = None
    if strict is not None:
        assert lenient == strict


def _paths(raw: Any, path: str = "") -> list[str]:
    inner = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    found = [path] if path else []
    for key, value in inner:
        found += _paths(value, f"{path}/{key}" if path else str(key))
    return found


# Merge patches.


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7386, as written there."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


@SLOW
@given(old=free_form, new=free_form)
def test_a_patch_of_turns_old_into_new(old: m.Json, new: m.Json) -> None:
    """Applied to the old it gives the new; there is none exactly when they are equal."""
    patch = wire.patch_of(old, new)
    assert json.dumps(_merged(old, patch or {}), sort_keys=True) == json.dumps(new, sort_keys=True)
    assert (patch is None) == (json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True))


@SLOW
@given(data=st.data())
def test_a_patch_of_two_statuses_turns_one_into_the_other(data: st.DataObject) -> None:
    """The same for what controllers write, where old and new have most fields in common."""
    kind = data.draw(st.sampled_from([m.Machine, m.MachineComponentSet, m.RiskLedger]))
    old, new = (wire.dump(data.draw(objects(kind))).get("status", {}) for _ in range(2))
    assert _merged(old, wire.patch_of(old, new) or {}) == new


@pytest.mark.parametrize(("old", "new", "patch"), [
    ({"a": 1}, {"a": 1}, None),
    ({"a": 1}, {"a": True}, {"a": True}),
    ({"a": [1]}, {"a": [True]}, {"a": [True]}),
    ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": None, "c": 3}}),
    ({"a": {"b": 1}}, {}, {"a": None}),
    ({"a": {"b": 1}}, {"a": {}}, {"a": {"b": None}}),
    ({"a": 1}, {"a": {}}, {"a": {}}),
    ({}, {"a": {"b": None}}, {"a": {}}),
    ({"a": None}, {}, None),
])  # fmt: skip
def test_patches(old: m.Json, new: m.Json, patch: m.Json | None) -> None:
    """A table of small cases; a null in the new is absent."""
    assert wire.patch_of(old, new) == patch
