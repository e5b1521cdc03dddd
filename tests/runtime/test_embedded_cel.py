"""CEL in the embedded store: what no schema of ours has."""

from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import pytest

from kubenode.core.crd import schema_of
from kubenode.core.model import KINDS, Json
from kubenode.core.schema import Cause
from kubenode.runtime.store.cel import Laws
from kubenode.runtime.store.embedded import EmbeddedStore

pytestmark = pytest.mark.skipif(find_spec("cel_expr_python") is None, reason="the extra cel is not installed")


def laws(rule: str, *, items: bool = False, type: str = "object", **more: Any) -> Laws:
    """Make the laws of a schema with one rule, at `spec` or at the items of the list-map `spec.list`."""
    ruled = {"x-kubernetes-validations": [{"rule": rule, **more}]}
    if items:
        item = {"type": "object", "properties": {"name": {"type": "string"}}, **ruled}
        keyed = {
            "type": "array",
            "items": item,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        }
        return Laws({"properties": {"spec": {"type": "object", "properties": {"list": keyed}}}})
    properties = {
        "at": {"type": "string", "format": "date-time"}, "for": {"type": "string", "format": "duration"},
        "a-b": {"type": "integer"}, "share": {"type": "number"}, "list": {"type": "array", "items": {"type": "integer"}},
    }  # fmt: skip
    return Laws({"properties": {"spec": {"type": type, "properties": properties, **ruled}}})


def spec(value: Any) -> Json:
    """Write an object."""
    return {"spec": value}


def test_all_our_rules_are_evaluated() -> None:
    """None is left unchecked when the extra is installed."""
    kinds = [(kind.KIND, schema_of(kind)) for kind in KINDS]
    assert EmbeddedStore(kinds, clock=lambda: datetime.now(UTC)).unchecked_rules == ()


@pytest.mark.parametrize(
    ("rule", "value", "message"),
    [
        ("self.x == 1", {"x": 1}, None),
        ("self.x == 1", {"x": 2}, "Invalid value: failed rule: self.x == 1"),
        ("self.x == 1", {}, 'Invalid value: "object": no such key: x evaluating rule: self.x == 1'),
        ("1 / self.x > 0", {"x": 0}, 'Invalid value: "object": division by zero evaluating rule: 1 / self.x > 0'),
        ("self.list[9] > 0", {"list": [1]},
         'Invalid value: "object": index out of bounds: 9 evaluating rule: self.list[9] > 0'),
        ("has(self.x)", {"x": None}, "Invalid value: failed rule: has(self.x)"),
        ("self.a__dash__b == 1", {"a-b": 1}, None),
        ("self.share == 1.0", {"share": 1}, None),
        ("self.at < timestamp('2026-01-02T00:00:00Z')", {"at": "2026-01-01t00:00:00z"}, None),
        ("self.__for__ >= duration('90s')", {"for": "1m30s"}, None),
        ("self.__for__ < duration('0s')", {"for": "-1m"}, None),
        ("self.at == 'x'", {"at": "x"}, None),
        ("self.__for__ == 'x'", {"for": "x"}, None),
        ("self.?x.orValue(3) == 3", {}, None),
        ("sets.contains(self.list, [1])", {"list": [1, 2]}, None),
    ],
)  # fmt: skip
def test_values_as_rules_see_them(rule: str, value: Json, message: str | None) -> None:
    """Escaped, typed, without nulls; failures in the server's words."""
    engine = laws(rule)
    assert engine.unchecked == []
    found = engine.faults(spec(value), None)
    assert [cause.message for cause in found] == ([] if message is None else [message])
    assert {cause.field for cause in found} <= {"spec"}


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("FieldValueForbidden", "Forbidden: no"), ("FieldValueRequired", "Required value: no"),
        ("FieldValueInvalid", 'Invalid value: "x": no'),
    ],
)  # fmt: skip
def test_reasons(reason: str, told: str) -> None:
    """Each has its words."""
    engine = laws("self == 'y'", type="string", reason=reason, message="no")
    assert engine.faults(spec("x"), None) == (Cause(reason, told, "spec"),)


def test_what_is_as_it_was_is_not_judged() -> None:
    """The very same value is left alone; of a list-map, an equal item of the same key."""
    engine = laws("self.x == 1", items=True)
    old = spec({"list": [{"name": "a", "x": 2}, {"name": "b", "x": 1}]})
    assert [cause.field for cause in engine.faults(old, None)] == ["spec.list[0]"]
    assert engine.faults(old, old) == ()
    moved = spec({"list": [{"name": "b", "x": 2}, {"name": "a", "x": 2}, {"name": "c", "x": 2}]})
    assert [cause.field for cause in engine.faults(moved, old)] == ["spec.list[0]", "spec.list[2]"]


def test_rules_about_the_old_value_of_an_item() -> None:
    """By its key; a new item has none."""
    engine = laws("self.x >= oldSelf.x", items=True)
    old = spec({"list": [{"name": "a", "x": 2}]})
    new = spec({"list": [{"name": "b", "x": 0}, {"name": "a", "x": 1}]})
    assert [cause.field for cause in engine.faults(new, old)] == ["spec.list[1]"]


@pytest.mark.parametrize(
    ("rule", "more"),
    [("math.least(self.x, 1) == 1", {}), ("self.x ==", {}), ("self.x == 1", {"messageExpression": "'no"})],
)
def test_rules_that_cannot_be_checked_are_told(rule: str, more: Json) -> None:
    """They break nothing."""
    engine = laws(rule, **more)
    assert engine.unchecked == [f"spec: {rule}"]
    assert engine.faults(spec({"x": 2}), None) == ()


@pytest.mark.parametrize(
    ("expression", "told"),
    [("'x is ' + string(self.x)", "x is 2"), ("self.none", "fixed"), ("' '", "fixed"), ("'a\\nb'", "fixed")],
)
def test_messages_that_are_made(expression: str, told: str) -> None:
    """One that fails, is blank or has lines gives way to the fixed one."""
    engine = laws("self.x == 1", messageExpression=expression, message="fixed")
    (cause,) = engine.faults(spec({"x": 2}), None)
    assert cause.message == f"Invalid value: {told}"


def test_an_old_value_that_is_optional() -> None:
    """The rule holds for new objects, too, with none."""
    engine = laws("oldSelf.hasValue() ? self.x > oldSelf.value().x : self.x == 1", optionalOldSelf=True)
    assert engine.faults(spec({"x": 1}), None) == ()
    assert len(engine.faults(spec({"x": 2}), None)) == 1
    assert engine.faults(spec({"x": 2}), spec({"x": 1})) == ()
    assert len(engine.faults(spec({"x": 0}), spec({"x": 1}))) == 1


def test_the_memory_of_verdicts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins anew when it is full."""
    monkeypatch.setattr("kubenode.runtime.store.cel._REMEMBERED", 2)
    engine = laws("self.matches('^[0-9]$')", type="string")
    for _ in range(2):
        assert [len(engine.faults(spec(str(number)), None)) for number in range(8, 12)] == [0, 0, 1, 1]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule is told as unchecked."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("kubenode.runtime.store.cel.importlib.import_module", missing)
    assert laws("self.x == 1").unchecked == ["spec: self.x == 1"]
