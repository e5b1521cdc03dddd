"""Server-side apply of the embedded store: what the conformance suite does not reach."""

from datetime import UTC, datetime

import pytest

from kubenode.core.crd import schema_of
from kubenode.core.errors import Conflict, Refused
from kubenode.core.model import Json, Machine, Node
from kubenode.runtime.store.contract import ApplyPatch, MergePatch
from kubenode.runtime.store.embedded import EmbeddedStore, now_or_never
from kubenode.runtime.store.ownership import Owner, applied, compare, fields, merge, remove, updated
from kubenode.runtime.store.typed import misfit

KIND = Machine.KIND
KEYED: Json = {
    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
    "items": {"type": "object", "properties": {"name": {"type": "string", "default": "d"}, "v": {"type": "integer"}}},
}  # fmt: skip
SET: Json = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
SCHEMA: Json = {
    "type": "object",
    "properties": {"list": KEYED, "set": SET, "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
}  # fmt: skip
A, B = Owner("A", "Apply"), Owner("B", "Apply")


def store(**more: str) -> EmbeddedStore:
    """Make a store."""
    kinds = [(KIND, schema_of(Machine)), (Node.KIND, None)]
    return EmbeddedStore(kinds, clock=lambda: datetime(2026, 1, 2, tzinfo=UTC), **more)


def test_fields_of_a_configuration() -> None:
    """Declared containers are not owned; items, keys of free maps and empty objects are."""
    config = {"list": [{"v": 1}], "set": ["x"], "free": {"a": {"b": 1}, "c": {}}}
    assert fields(config, SCHEMA) == {
        ("f:list", 'k:{"name":"d"}'), ("f:list", 'k:{"name":"d"}', "f:v"), ("f:set", 'v:"x"'),
        ("f:free", "f:a"), ("f:free", "f:a", "f:b"), ("f:free", "f:c"),
    }  # fmt: skip


def test_compare_tells_containers() -> None:
    """What comes and goes is told with what holds it; what changes its kind is one change."""
    assert compare({}, {"set": ["x"]}, SCHEMA) == ({("f:set",), ("f:set", 'v:"x"')}, set())
    assert compare({"set": ["x"]}, {}, SCHEMA) == (set(), {("f:set",), ("f:set", 'v:"x"')})
    assert compare({"free": {"a": 1}}, {"free": {"a": [1]}}, SCHEMA) == ({("f:free", "f:a")}, set())
    assert compare({"free": {"a": {}}}, {"free": {"a": 1}}, SCHEMA) == ({("f:free", "f:a")}, set())
    same = {"set": ["x", "y"]}
    assert compare(same, {"set": ["y", "x"]}, SCHEMA) == (set(), set())


@pytest.mark.parametrize(
    ("live", "config", "wanted"),
    [
        ("abc", "cb", "acb"), ("abc", "", "abc"), ("", "ba", "ba"), ("abcd", "db", "acdb"), ("ab", "xa", "xab"),
        ("abc", "cba", "cba"), ("ab", "bx", "abx"),
    ],
)  # fmt: skip
def test_the_order_of_merged_items(live: str, config: str, wanted: str) -> None:
    """The applied order, and foreign items where they stood."""
    before, said = {"set": list(live)}, {"set": list(config)}
    assert merge(before, said, SCHEMA) == {"set": list(wanted)}


def test_remove_empties_to_null() -> None:
    """A container that loses all becomes null; one that was empty stays."""
    assert remove({"free": {"a": 1}, "set": []}, SCHEMA, {("f:free", "f:a")}) == {"free": None, "set": []}


def test_nothing_applied_is_an_object() -> None:
    """Giving up the only field leaves an object."""
    after, owners = applied({"set": ["x"]}, {}, SCHEMA, {A: frozenset({("f:set", 'v:"x"')})}, A)
    assert after == {}
    assert owners == {A: frozenset()}


def test_an_update_without_change_changes_no_owner() -> None:
    """The very same owners come back."""
    owners = {A: frozenset({("f:set", 'v:"x"')})}
    assert updated({"set": ["x"]}, {"set": ["x"]}, SCHEMA, owners, B) is owners
    assert updated({"set": ["x"]}, {}, SCHEMA, owners, B) == {}


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"list": [{"v": "x"}]}, '.list[0].v: expected numeric, got &value.valueUnstructured{Value:"x"}'),
        ({"set": ["x", "x"]}, '.set: duplicate entries for key [="x"]'),
        ({"list": [None, {"v": None}], "free": {"a": [1]}, "set": None}, '.list: duplicate entries for key [name="d"]'),
        ({"list": [{}, {"name": "e"}], "free": 1}, ".free: expected map, got &{1}"),
        ({"free": {"a": [1, "x", {}]}}, ""),
    ],
)  # fmt: skip
def test_misfits(config: Json, fault: str) -> None:
    """The first fault is told; null fits everywhere."""
    assert misfit(config, SCHEMA) == fault


def test_the_manager_of_other_writes() -> None:
    """Named when the store is made."""
    api = store(field_manager="me")
    body = {
        "apiVersion": KIND.api_version, "kind": "Machine",
        "metadata": {"name": "m"}, "spec": {"host": {"address": "h"}},
    }  # fmt: skip
    now_or_never(api.create(KIND, body))
    other = {**body, "spec": {"host": {"address": "k"}}}
    with pytest.raises(
        Conflict, match=r'conflict with "me" using kubenode\.dev/v1alpha1: \.spec\.host\.address'
    ):
        now_or_never(api.patch(KIND, "m", ApplyPatch(other, "A")))


def test_a_kind_without_a_schema() -> None:
    """Maps are merged, lists replaced; metadata is typed all the same."""
    api = store()
    body: Json = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"a": {"b": [1]}}}
    now_or_never(api.patch(Node.KIND, "n", ApplyPatch(body, "A")))
    now_or_never(api.patch(Node.KIND, "n", MergePatch({"spec": {"a": {"c": 1}}})))
    made = now_or_never(api.patch(Node.KIND, "n", ApplyPatch({**body, "spec": {"a": {"b": [2]}}}, "A")))
    assert made["spec"] == {"a": {"b": [2], "c": 1}}
    wrong = {**body, "metadata": {"name": "n", "labels": {"a": 1}}}
    with pytest.raises(Refused, match=r"\.metadata\.labels\.a: expected string"):
        now_or_never(api.patch(Node.KIND, "n", ApplyPatch(wrong, "A")))


def test_an_object_that_nobody_owns() -> None:
    """Whoever applies first then meets what was there before."""
    api = store()
    body: Json = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "labels": {"a": "1"}}}
    now_or_never(api.create(Node.KIND, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}))
    now_or_never(api.patch(Node.KIND, "n", ApplyPatch(body, "A")))
    now_or_never(api.patch(Node.KIND, "n", ApplyPatch({**body, "metadata": {"name": "n"}}, "A")))
    now_or_never(api.patch(Node.KIND, "n", ApplyPatch(body, "A")))
    other = {**body, "metadata": {"name": "n", "labels": {"a": "2"}}}
    with pytest.raises(Conflict, match='with "A"'):
        now_or_never(api.patch(Node.KIND, "n", ApplyPatch(other, "B")))
