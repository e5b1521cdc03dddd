"""Structural schemas: tables of the server's words, and laws."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.crd import schema_of
from kubenode.core.model import KINDS, Json
from kubenode.core.schema import Cause, check_supported, defaulted, prune, rules_in, validate

TEXT: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
ITEM: Json = {
    "type": "object", "required": ["name"],
    "properties": {"name": TEXT, "port": {"type": "integer", "default": 80}, "tags": {"type": "array", "items": TEXT}},
}  # fmt: skip
SCHEMA: Json = {
    "type": "object",
    "properties": {
        "metadata": {"type": "object"},
        "spec": {
            "type": "object",
            "properties": {
                "text": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]+$"},
                "number": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 9},
                "ratio": {"type": "number"},
                "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
                "amount": {"x-kubernetes-int-or-string": True, "minimum": 1, "pattern": "^[0-9]+%$"},
                "since": {"type": "string", "format": "date-time"},
                "wait": {"type": "string", "format": "duration"},
                "maybe": {"type": "string", "nullable": True, "default": "d"},
                "set": {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set", "maxItems": 3},
                "map": {
                    "type": "array", "items": ITEM, "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                },
                "labels": {"type": "object", "additionalProperties": TEXT, "maxProperties": 2},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "deep": {
                    "type": "object", "default": {},
                    "properties": {"in": {"type": "object", "default": {"set": 1}, "properties": {
                        "set": INTEGER, "left": {"type": "integer", "default": 2},
                    }}},
                },
            },
        },
    },
}  # fmt: skip


def spec(**fields: Any) -> Json:
    """Write an object."""
    return {"spec": fields}


def faults(**fields: Any) -> set[tuple[str, str, str]]:
    """Give the causes of an object with these fields."""
    return {
        (one.reason.removeprefix("FieldValue"), one.field, one.message)
        for one in validate(spec(**fields), SCHEMA)
    }


def of_type(field: str, wanted: str, found: str) -> tuple[str, str, str]:
    """Write the cause of a wrong type."""
    message = f'Invalid value: "{found}": {field} in body must be of type {wanted}: "{found}"'
    return ("TypeInvalid", field, message)


def ill_formed(field: str, wanted: str, value: str) -> tuple[str, str, str]:
    """Write the cause of a text that is not of its format."""
    shown = json.dumps(value)
    return (
        "TypeInvalid",
        field,
        f"Invalid value: {shown}: {field} in body must be of type {wanted}: {shown}",
    )


def bad(field: str, value: str, what: str) -> tuple[str, str, str]:
    """Write the cause of an invalid value."""
    return ("Invalid", field, f"Invalid value: {value}: {field} in body {what}")


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"text": 1}, {of_type("spec.text", "string", "integer")}),
        ({"text": None}, {of_type("spec.text", "string", "null")}),
        ({"text": "abcde"}, {("TooLong", "spec.text", "Too long: may not be more than 4 bytes")}),
        ({"text": "1"}, {bad("spec.text", '"1"', "should be at least 2 chars long")}),
        ({"text": "a1"}, {bad("spec.text", '"a1"', "should match '^[a-z]+$'")}),
        ({"text": "ab\n"}, {bad("spec.text", '"ab\\n"', "should match '^[a-z]+$'")}),
        ({"text": "\U0001f600" * 4}, {bad("spec.text", '"😀😀😀😀"', "should match '^[a-z]+$'")}),
        ({"number": 1.0}, set()),
        ({"number": 0}, {bad("spec.number", "0", "should be greater than or equal to 1")}),
        ({"number": 10}, {bad("spec.number", "10", "should be less than or equal to 9")}),
        ({"number": True}, {of_type("spec.number", "int32", "")}),
        ({"number": "1"}, {of_type("spec.number", "integer", "string")}),
        (
            {"number": 2**31},
            {
                bad("spec.number", "2147483648", "should be less than or equal to 9"),
                ("Invalid", "<nil>",
                 'Invalid value: "": Checked value must be of type integer with format int32 in spec.number'),
            },
        ),
        ({"ratio": 1}, set()),
        ({"ratio": 0.5}, set()),
        ({"ratio": 2**70}, set()),
        ({"ratio": False}, {of_type("spec.ratio", "number", "boolean")}),
        ({"mode": "C"}, {("NotSupported", "spec.mode", 'Unsupported value: "C": supported values: "A", "B"')}),
        (
            {"mode": ["A"]},
            {
                of_type("spec.mode", "string", "array"),
                ("NotSupported", "spec.mode", 'Unsupported value: ["A"]: supported values: "A", "B"'),
            },
        ),
        ({"amount": 1}, set()),
        ({"amount": "5%"}, set()),
        ({"amount": 0}, {bad("spec.amount", "0", "should be greater than or equal to 1")}),
        ({"amount": "x"}, {bad("spec.amount", '"x"', "should match '^[0-9]+%$'")}),
        ({"amount": 1.5}, {of_type("spec.amount", "integer,string", "number")}),
        ({"amount": True}, {of_type("spec.amount", "integer,string", "boolean")}),
        ({"since": "2026-02-30T00:00:00Z"}, {ill_formed("spec.since", "date-time", "2026-02-30T00:00:00Z")}),
        ({"since": 5}, {of_type("spec.since", "date-time", "int64")}),
        ({"since": 0.5}, {of_type("spec.since", "date-time", "float64")}),
        ({"since": ["x", 1]}, set()),
        ({"since": None}, {of_type("spec.since", "string", "null")}),
        ({"maybe": None}, set()),
        ({"set": "a"}, {of_type("spec.set", "array", "string")}),
        ({"set": ["a", 1]}, {of_type("spec.set[1]", "string", "integer")}),
        ({"set": ["a", "b", "a"]}, {("Duplicate", "spec.set[2]", 'Duplicate value: "a"')}),
        (
            {"set": ["a"] * 4},
            {
                ("TooMany", "spec.set", "Too many: 4: must have at most 3 items"),
                ("Duplicate", "spec.set[1]", 'Duplicate value: "a"'),
            },
        ),
        ({"map": [{}]}, {("Required", "spec.map[0].name", "Required value")}),
        ({"map": [{"name": "a"}, 5]}, {of_type("spec.map[1]", "object", "integer")}),
        (
            {"map": [{"name": "a"}, {"name": "a", "port": 1}]},
            {("Duplicate", "spec.map[1]", 'Duplicate value: {"name":"a"}')},
        ),
        ({"map": [{"name": "a", "tags": [0]}]}, {of_type("spec.map[0].tags[0]", "string", "integer")}),
        ({"labels": {"a": 1}}, {of_type("spec.labels.a", "string", "integer")}),
        (
            {"labels": dict.fromkeys("abc", "")},
            {("TooMany", "spec.labels", "Too many: 3: must have at most 2 items")},
        ),
        ({"free": {"a": [None, {"b": float(1)}]}}, set()),
        ({"free": []}, {of_type("spec.free", "object", "array")}),
    ],
)  # fmt: skip
def test_faults(fields: Json, wanted: set[tuple[str, str, str]]) -> None:
    """Each fault is told once, in the server's words."""
    assert faults(**fields) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:05Z", "2026-01-02t03:04:05z", "2026-01-02T03:04:05,5Z", "2026-01-02T03:04:05.123+25:00",
        "0000-01-01T00:00:00Z",
    ],
)  # fmt: skip
def test_date_times(text: str) -> None:
    """What the server takes for a date-time."""
    assert faults(since=text) == set()


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-02T03:04:60Z", "2026-01-02T24:00:00Z", "2026-01-02T03:04:05", "2026-01-02T03:04:05+0200", "",
        "2026-01-02", "٢026-01-02T03:04:05Z",
    ],
)  # fmt: skip
def test_no_date_times(text: str) -> None:
    """What it does not."""
    assert {one[0] for one in faults(since=text)} == {"TypeInvalid"}


@pytest.mark.parametrize(
    "text", ["1h30m", "-1.5h", "0", "1d", "2 hours 3 minutes", "P1D", "1e3s", "x 5 weeks"]
)
def test_durations(text: str) -> None:
    """What the server takes for a duration."""
    assert faults(wait=text) == set()


@pytest.mark.parametrize("text", ["5", "1y", "1hrs", "", "h"])
def test_no_durations(text: str) -> None:
    """What it does not."""
    assert faults(wait=text) == {ill_formed("spec.wait", "duration", text)}


def test_floats_are_written_as_go_does() -> None:
    """With an exponent from a million on, the limit like the value."""
    schema = {"type": "number", "maximum": 1_000_000, "minimum": 0}
    for value, shown, limit in (
        (1234567.5, "1.2345675e+06", "less than or equal to 1e+06"),
        (-0.00001, "-1e-05", "greater than or equal to 0"),
        (-0.5, "-0.5", "greater than or equal to 0"),
        (1e21, "1e+21", "less than or equal to 1e+06"),
        (1_000_001, "1000001", "less than or equal to 1000000"),
    ):
        (cause,) = validate({"a": value}, {"type": "object", "properties": {"a": schema}})
        assert cause.message == f"Invalid value: {shown}: a in body should be {limit}"


@pytest.mark.parametrize("beyond", [0, 1, 95, 96, 97])
def test_bounds_beyond_float_are_those_that_the_server_keeps(beyond: int) -> None:
    """2**62 is shown as ...8000 and kept as ...7904; so is every number between refused, as the server does."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer", "maximum": 4_611_686_018_427_388_000}},
    }
    value = 2**62 + beyond
    told = [cause.message for cause in validate({"a": value}, schema)]
    text = f"Invalid value: {value}: a in body should be less than or equal to 4611686018427387904"
    assert told == ([text] if beyond else [])


def test_required_at_the_root() -> None:
    """The path has no dot before it."""
    assert validate({}, {"type": "object", "required": ["spec"]}) == (
        Cause("FieldValueRequired", "Required value", "spec"),
    )
    assert str(Cause("FieldValueRequired", "Required value", "spec")) == "spec: Required value"


def test_pruning() -> None:
    """Unknown fields go, at any depth; the type, the metadata and what is free stay."""
    obj = {
        "apiVersion": "v1", "kind": "K", "metadata": {"name": "n", "junk": 1}, "junk": {"a": 1},
        "spec": {
            "junk": 1, "map": [{"name": "a", "junk": 1}, 5], "labels": {"any": "x"}, "free": {"any": {"x": 1}},
            "text": {"odd": 1}, "set": [{"odd": 1}],
        },
    }  # fmt: skip
    before = copy.deepcopy(obj)
    pruned, dropped = prune(obj, SCHEMA)
    assert dropped == ("junk", "spec.junk", "spec.map[0].junk", "spec.text.odd", "spec.set[0].odd")
    assert pruned["metadata"] == {"name": "n", "junk": 1}
    assert pruned["spec"] == {
        "map": [{"name": "a"}, 5], "labels": {"any": "x"}, "free": {"any": {"x": 1}}, "text": {}, "set": [{}],
    }  # fmt: skip
    assert obj == before


def test_defaults() -> None:
    """Parents first, into what exists only; a null is absent unless it is allowed."""
    assert defaulted({}, SCHEMA) == {}
    filled = defaulted(
        spec(text=None, mode=None, maybe=None, map=[{"name": "a"}, None], free={"a": None}), SCHEMA
    )
    assert filled == spec(
        mode="A", maybe=None, map=[{"name": "a", "port": 80}, None], free={"a": None},
        deep={"in": {"set": 1, "left": 2}},
    )  # fmt: skip
    assert defaulted(spec(deep={"in": {}}), SCHEMA)["spec"]["deep"] == {"in": {"left": 2}}
    assert defaulted(spec(labels={"a": None}), SCHEMA)["spec"]["labels"] == {}
    items = {"type": "array", "items": {"type": "string", "default": "x"}}
    assert defaulted({"a": [None, "y"]}, {"type": "object", "properties": {"a": items}}) == {"a": ["x", "y"]}


def test_defaults_are_not_shared_with_the_schema() -> None:
    """Whoever changes an object does not change the schema."""
    filled = defaulted(spec(), SCHEMA)
    filled["spec"]["deep"]["in"]["set"] = 9
    assert SCHEMA["properties"]["spec"]["properties"]["deep"]["properties"]["in"]["default"] == {"set": 1}


def test_what_is_known_is_not_looked_at_again() -> None:
    """An unchanged fault is not told again, nor an unchanged item; a changed neighbour is."""
    old = spec(labels={"a": 1, "b": "x"}, map=[{"name": 1}, {"name": 2}], text="TOO")
    moved = old["spec"]["map"][1]
    new = spec(labels={**old["spec"]["labels"], "b": 2}, map=[moved], text=old["spec"]["text"])
    assert [cause.field for cause in validate(new, SCHEMA, known=old)] == ["spec.labels.b"]
    assert prune({**old}, {"type": "object", "properties": {"spec": {"type": "object"}}}, known=old)[1] == ()
    assert defaulted(old, SCHEMA, known=old) is old


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"type": "object", "anyOf": []}, "the root: the keyword anyOf is not supported"),
        ({"type": "string", "format": "email"}, "the root: the format email is not supported"),
        ({"type": "string", "pattern": "abc"}, "the root: the pattern abc is not of the form ^...$"),
        ({"type": "string", "pattern": "^a\\$"}, "the root: the pattern ^a\\$ is not of the form ^...$"),
        (
            {"type": "string", "pattern": "^a|b$"},
            "the root: the pattern ^a|b$ has a choice outside of parentheses, which ^ and $ do not span",
        ),
        ({"properties": {}}, "the root: the type None is not supported"),
        ({"type": "object", "additionalProperties": False},
         "the root: additionalProperties is for maps only, and never false"),
        ({"type": "array", "items": TEXT, "x-kubernetes-list-type": "map"},
         "the root: a list of type map needs x-kubernetes-list-map-keys"),
        ({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "file"}}}},
         "a[]: the type 'file' is not supported"),
        ({"type": "object", "additionalProperties": {"type": "integer", "multipleOf": 2}},
         "[*]: the keyword multipleOf is not supported"),
    ],
)  # fmt: skip
def test_what_is_not_supported(schema: Json, fault: str) -> None:
    """Refused loudly, by path."""
    assert check_supported(schema) == (fault,)


def test_patterns() -> None:
    """A pattern that is none is told; choices within parentheses or classes are fine."""
    assert "is no regular expression" in check_supported({"type": "string", "pattern": "^($"})[0]
    for pattern in ("^(a|b)$", "^[|]$", r"^a\|b$", "^((a|b)c|d)$", "^[^]|]$"):
        assert check_supported({"type": "string", "pattern": pattern}) == ()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_our_kinds_are_supported(kind: Any) -> None:
    """Every schema that we ship can be checked here."""
    assert check_supported(schema_of(kind)) == ()


def test_rules_are_listed() -> None:
    """With the path of what they are about."""
    rule = {"x-kubernetes-validations": [{"rule": "self > 0"}]}
    item = {"type": "integer", **rule}
    schema = {
        "type": "object", **rule,
        "properties": {
            "a": {"type": "array", "items": item}, "b": {"type": "object", "additionalProperties": item},
        },
    }  # fmt: skip
    assert rules_in(schema) == ("the root: self > 0", "a[]: self > 0", "b[*]: self > 0")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)
FIELDS = st.sampled_from([*SCHEMA["properties"]["spec"]["properties"], "junk"])
ITEMS = st.lists(st.dictionaries(st.sampled_from(["name", "port", "tags", "junk"]), VALUES), max_size=3)
OBJECTS = st.dictionaries(FIELDS, VALUES | ITEMS, max_size=6).map(lambda fields: {"spec": fields})


@given(OBJECTS)
def test_nothing_given_is_changed(obj: Json) -> None:
    """Neither object nor schema; and no JSON makes it fail."""
    before, schema = copy.deepcopy(obj), copy.deepcopy(SCHEMA)
    pruned, _ = prune(obj, SCHEMA)
    validate(defaulted(pruned, SCHEMA), SCHEMA)
    validate(obj, SCHEMA)
    assert (obj, SCHEMA) == (before, schema)


@given(OBJECTS)
def test_what_is_tidy_stays_as_it_is(obj: Json) -> None:
    """Pruning and defaults are done after once: the very same object comes back."""
    tidy = defaulted(prune(obj, SCHEMA)[0], SCHEMA)
    again, dropped = prune(tidy, SCHEMA)
    assert again is tidy
    assert dropped == ()
    assert defaulted(tidy, SCHEMA) is tidy


@given(OBJECTS)
def test_pruning_drops_what_it_tells(obj: Json) -> None:
    """Something is dropped exactly when the object changes."""
    pruned, dropped = prune(obj, SCHEMA)
    assert (pruned != obj) == bool(dropped)


@given(OBJECTS, OBJECTS)
def test_knowledge_only_hides(old: Json, new: Json) -> None:
    """With a known state nothing is told that is not told without it; of the known state itself, nothing."""
    told = validate(new, SCHEMA)
    assert set(validate(new, SCHEMA, known=old)) <= set(told)
    assert validate(new, SCHEMA, known=new) == ()
