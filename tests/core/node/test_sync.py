"""Labels, annotations and taints on a Node: whose a field is, as a table; then what must hold for any Node."""

import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import ApplyNode, PatchNode
from kubenode.core.model.meta import (
    MACHINE_LABEL,
    SYNCED_ANNOTATIONS,
    SYNCED_LABELS,
    SYNCED_TAINTS,
    ObjectMeta,
    matches,
)
from kubenode.core.node.sync import Marks, label_value, plan_marks, plan_removal, recorded, with_records
from tests.core.machine.world import applied

NO = m.TaintEffect.NO_SCHEDULE
EXECUTE = m.TaintEffect.NO_EXECUTE
CLAIM = {MACHINE_LABEL: "m1"}


def taint(key: str, value: str = "", effect: m.TaintEffect = NO) -> m.Taint:
    """Make a taint."""
    return m.Taint(key=key, value=value, effect=effect)


def node(
    labels: dict[str, str] | None = None, ours: dict[str, str] | None = None, taints: tuple[m.Taint, ...] = (),
    our_taints: dict[str, str] | None = None,
) -> m.Node:  # fmt: skip
    """A Node on which these fields stand, and of which these are recorded as ours."""
    ours = CLAIM | (ours or {})
    annotations = {SYNCED_LABELS: json.dumps(ours, sort_keys=True, separators=(",", ":"))}
    if our_taints is not None:
        annotations[SYNCED_TAINTS] = json.dumps(our_taints, sort_keys=True, separators=(",", ":"))
    return m.Node(
        metadata=ObjectMeta(
            name="n1", uid="u", resource_version="4", labels=CLAIM | (labels or {}), annotations=annotations
        ),
        spec=m.NodeSpec(taints=taints),
    )


FIELDS: dict[
    str, tuple[dict[str, str], dict[str, str], dict[str, str], dict[str, str], dict[str, str], bool]
] = {
    # what: (on the Node, recorded, wanted) -> (on the Node after, record after, conflict)
    "missing": ({}, {}, {"a": "1"}, {"a": "1"}, {"a": "1"}, False),
    "there, another's": ({"a": "1"}, {}, {"a": "1"}, {"a": "1"}, {}, False),
    "there, ours": ({"a": "1"}, {"a": "1"}, {"a": "1"}, {"a": "1"}, {"a": "1"}, False),
    "ours, to change": ({"a": "1"}, {"a": "1"}, {"a": "2"}, {"a": "2"}, {"a": "2"}, False),
    "ours, taken away": ({}, {"a": "1"}, {"a": "1"}, {"a": "1"}, {"a": "1"}, False),
    "ours, changed by another": ({"a": "9"}, {"a": "1"}, {"a": "1"}, {"a": "9"}, {}, True),
    "ours, changed by another to what is wanted now": (
        {"a": "2"},
        {"a": "1"},
        {"a": "2"},
        {"a": "2"},
        {"a": "2"},
        False,
    ),
    "another's value": ({"a": "9"}, {}, {"a": "1"}, {"a": "9"}, {}, True),
    "ours, no longer wanted": ({"a": "1"}, {"a": "1"}, {}, {}, {}, False),
    "no longer wanted, changed by another": ({"a": "9"}, {"a": "1"}, {}, {"a": "9"}, {}, False),
    "no longer wanted, gone already": ({}, {"a": "1"}, {}, {}, {}, False),
    "foreign": ({"x": "1"}, {}, {}, {"x": "1"}, {}, False),
}
SHARED = {"there, another's": {"a": "1"}}
"""What is recorded of a field that can have several owners, where that differs: that we want it too."""


@pytest.mark.parametrize("name", FIELDS)
def test_label(name: str) -> None:
    """A label is changed only when it is missing or ours, and given up only when it was ours."""
    there, ours, wanted, after, record, conflict = FIELDS[name]
    one = node(there, ours)
    marks = plan_marks(one, machine="m1", labels=wanted, taints=())
    assert marks.labels == CLAIM | SHARED.get(name, record)
    assert marks.annotations == {}
    assert applied(one, marks.apply(one)).metadata.labels == CLAIM | after
    assert marks.applies is (after != there or SHARED.get(name, record) != ours)
    assert marks.conflicts == ((f"label a is {there['a']!r}, wanted {wanted['a']!r}",) if conflict else ())
    assert not marks.patches


@pytest.mark.parametrize("name", FIELDS)
def test_annotation(name: str) -> None:
    """Annotations follow the same table."""
    there, ours, wanted, after, record, conflict = FIELDS[name]
    noted = {SYNCED_ANNOTATIONS: json.dumps(ours, separators=(",", ":"))} if ours else {}
    bare = node()
    one = attrs.evolve(
        bare,
        metadata=attrs.evolve(bare.metadata, annotations={**bare.metadata.annotations, **noted, **there}),
    )
    marks = plan_marks(one, machine="m1", labels={}, taints=(), annotations=wanted)
    assert marks.annotations == SHARED.get(name, record)
    assert marks.labels == CLAIM
    written = applied(one, marks.apply(one)).metadata.annotations
    assert {key: value for key, value in written.items() if "/synced-" not in key} == after
    assert recorded(written.get(SYNCED_ANNOTATIONS, "")) == SHARED.get(name, record)
    assert marks.applies is (after != there or SHARED.get(name, record) != ours)
    assert marks.conflicts == (
        (f"annotation a is {there['a']!r}, wanted {wanted['a']!r}",) if conflict else ()
    )
    assert not marks.patches


def test_our_own_annotations_are_not_a_specs_to_set() -> None:
    """Whoever could, would say what is recorded, or for whom a Node is cordoned."""
    own = {SYNCED_LABELS: "{}", "kubenode.dev/cordoned-by": "x", "kubenode.development": "y"}
    marks = plan_marks(node(), machine="m1", labels={}, taints=(), annotations=own)
    assert marks.annotations == {"kubenode.development": "y"}


@pytest.mark.parametrize("name", FIELDS)
def test_taint(name: str) -> None:
    """Taints follow the same table, by key and effect."""
    there, ours, wanted, expected, record, conflict = FIELDS[name]
    foreign = taint("theirs", "7", EXECUTE)
    on_node = (foreign, *(taint(key, value) for key, value in there.items()))
    one = node(taints=on_node, our_taints={f"{key}:NoSchedule": value for key, value in ours.items()})
    marks = plan_marks(
        one, machine="m1", labels={}, taints=tuple(taint(key, value) for key, value in wanted.items())
    )
    after = on_node if marks.taints is None else marks.taints
    assert after[0] == foreign
    assert {one.key: one.value for one in after[1:]} == expected
    assert (marks.taints is None) is (expected == there)
    assert recorded(str(marks.records.get(SYNCED_TAINTS, one.metadata.annotations[SYNCED_TAINTS]) or "")) == {
        f"{key}:NoSchedule": value for key, value in record.items()
    }
    assert marks.conflicts == (
        (f"taint a:NoSchedule is {there['a']!r}, wanted {wanted['a']!r}",) if conflict else ()
    )
    assert not marks.applies


def test_one_key_two_effects() -> None:
    """Taints of one key and different effects are different taints."""
    one = node(taints=(taint("a", "1", EXECUTE),))
    marks = plan_marks(one, machine="m1", labels={}, taints=(taint("a", "1"),))
    assert marks.taints == (taint("a", "1", EXECUTE), taint("a", "1"))


def test_claim() -> None:
    """A Node gets the label that says whose it is, and a stale one of ours is taken over."""
    fresh = m.Node(metadata=ObjectMeta(name="n1"))
    assert plan_marks(fresh, machine="m1", labels={MACHINE_LABEL: "fake"}, taints=()).labels == CLAIM
    assert plan_marks(node(), machine="m2", labels={}, taints=()).labels == {MACHINE_LABEL: "m2"}


def test_claim_of_another_is_a_conflict() -> None:
    """A claim that we have no record of is not overwritten."""
    one = m.Node(metadata=ObjectMeta(name="n1", labels={MACHINE_LABEL: "m9"}))
    marks = plan_marks(one, machine="m1", labels={}, taints=())
    assert not marks.differ
    assert marks.conflicts == (f"label {MACHINE_LABEL} is 'm9', wanted 'm1'",)


def test_effects() -> None:
    """One carries labels and annotations, the other the taints, each at the version that was read."""
    marks = Marks(labels={"a": "1"}, annotations={"b": "2"}, records={"r": "x"}, taints=(taint("t"),))
    where = m.Ref(kind="Node", name="n1", uid="u")
    assert marks.apply(node()) == ApplyNode(
        node=where, resource_version="4", labels={"a": "1"}, annotations={"b": "2"}
    )
    assert marks.patch(node(), {"more": None}) == PatchNode(
        node=where, resource_version="4", annotations={"r": "x", "more": None}, taints=(taint("t"),)
    )


def test_each_apply_records_what_it_says() -> None:
    """In one write with it; of nothing there is no record."""
    effect = ApplyNode(
        node=m.Ref(kind="Node", name="n1"), resource_version="4", labels={"b": "1", "a": "2"}, annotations={}
    )
    assert with_records(effect) == {SYNCED_LABELS: '{"a":"2","b":"1"}'}
    assert with_records(attrs.evolve(effect, labels={}, annotations={"c": "3"})) == {
        "c": "3", SYNCED_ANNOTATIONS: '{"c":"3"}',
    }  # fmt: skip


def test_removal() -> None:
    """All that is ours goes, records included, and what is foreign stays."""
    one = node({"a": "1", "x": "1"}, {"a": "1"}, (taint("x"), taint("t", "1")), {"t:NoSchedule": "1"})
    marks = plan_removal(one)
    assert (marks.labels, marks.annotations, marks.applies) == ({}, {}, True)
    assert applied(one, marks.apply(one)).metadata.labels == {"x": "1"}
    assert marks.taints == (taint("x"),)
    assert marks.records == {SYNCED_TAINTS: None}
    assert not plan_removal(m.Node(metadata=ObjectMeta(name="n1", labels={"x": "1"}))).differ


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "null", '"a"', "7", "[" * 100_000, '{"a": 1, "b": null}', "NaN"]
)
def test_spoilt_record(text: str) -> None:
    """A record that somebody spoilt records nothing: then nothing is removed and nothing breaks."""
    assert recorded(text) == {}


@given(st.text("abc019-.", min_size=1, max_size=251).map(lambda text: f"a{text}z"))
def test_label_value(name: str) -> None:
    """Any machine's name makes a label value that a server takes, and short names are kept."""
    value = label_value(name)
    assert matches("^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$", value)
    assert len(value) <= 63
    assert len(name) > 63 or value == name


def test_long_names_stay_apart() -> None:
    """Two long names that begin alike are not mistaken for each other."""
    assert label_value("n" * 100 + "a") != label_value("n" * 100 + "b")


MAPS = st.dictionaries(st.sampled_from(("a", "b", "c/d", "theirs")), st.sampled_from(("", "1", "2")))


@given(MAPS, MAPS, MAPS)
def test_written_once(there: dict[str, str], ours: dict[str, str], wanted: dict[str, str]) -> None:
    """After the plan is carried out, the same plan is empty, and a conflict stays one."""
    taints = tuple(taint(key, value) for key, value in there.items())
    one = node(there, ours, taints, {f"{key}:NoSchedule": value for key, value in ours.items()})
    want = tuple(taint(key, value) for key, value in wanted.items())
    first = plan_marks(one, machine="m1", labels=wanted, taints=want)
    second = plan_marks(_after(one, first), machine="m1", labels=wanted, taints=want)
    assert not second.differ
    assert second.conflicts == first.conflicts


def _after(one: m.Node, marks: Marks) -> m.Node:
    one = applied(one, marks.apply(one))
    changed = {**one.metadata.annotations, **marks.records}
    annotations = {key: value for key, value in changed.items() if value is not None}
    meta = attrs.evolve(one.metadata, annotations=annotations)
    spec = one.spec if marks.taints is None else m.NodeSpec(taints=marks.taints)
    return attrs.evolve(one, metadata=meta, spec=spec)
