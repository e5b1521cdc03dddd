"""The law of what an older schema drops: each path it lacks is named once, at its top; nothing else is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.schema.compare import lacking

TEXT = {"type": "string"}
SCHEMAS = st.recursive(
    st.just(TEXT),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(
            lambda parts: {"type": "object", "properties": parts}
        ),
        inner.map(lambda one: {"type": "array", "items": one}),
        inner.map(lambda one: {"type": "object", "additionalProperties": one}),
    ),
    max_leaves=8,
)


def fields(**properties: Any) -> dict[str, Any]:
    """Give an object schema."""
    return {"type": "object", "properties": properties}


def items(part: Any) -> dict[str, Any]:
    """Give a list schema."""
    return {"type": "array", "items": part}


def keys(part: Any) -> dict[str, Any]:
    """Give a schema of a map."""
    return {"type": "object", "additionalProperties": part}


@pytest.mark.parametrize(
    ("served", "wanted", "paths"),
    [
        (fields(), fields(a=TEXT), ["a"]),
        ({"type": "object"}, fields(a=TEXT), ["a"]),
        (fields(a=fields()), fields(a=fields(b=TEXT, c=fields(d=TEXT))), ["a.b", "a.c"]),
        (fields(a=items(fields())), fields(a=items(fields(b=TEXT))), ["a[].b"]),
        (fields(a=keys(fields())), fields(a=keys(fields(b=TEXT))), ["a.*.b"]),
        (fields(a={"type": "array"}), fields(a=items(TEXT)), ["a[]"]),
        (fields(a={"type": "object"}), fields(a=keys(TEXT)), ["a.*"]),
        (fields(a=keys(TEXT)), fields(a=fields(b=TEXT)), []),
        (fields(a={"type": "object", "x-kubernetes-preserve-unknown-fields": True}), fields(a=fields(b=TEXT)), []),
        (fields(), fields(apiVersion=TEXT, kind=TEXT, metadata=fields(name=TEXT)), []),
        (fields(spec=fields()), fields(spec=fields(kind=TEXT)), ["spec.kind"]),
        (fields(a={"type": "string", "maxLength": 3}), fields(a={"type": "string", "maxLength": 9}), []),
        (fields(a=TEXT, old=TEXT), fields(a=TEXT), []),
    ],
)  # fmt: skip
def test_rows(served: dict[str, Any], wanted: dict[str, Any], paths: list[str]) -> None:
    """Fields at every depth, in lists and maps; not what is bounded otherwise, kept whole, or the server's own."""
    assert list(lacking(served, wanted)) == paths


@given(SCHEMAS)
def test_a_schema_lacks_nothing_of_itself(schema: dict[str, Any]) -> None:
    """Whatever its shape."""
    assert list(lacking(schema, schema)) == []


@given(SCHEMAS)
def test_a_new_field_is_the_only_one_named(schema: dict[str, Any]) -> None:
    """Added beside others."""
    assert list(lacking(fields(old=schema), fields(old=schema, new=schema))) == ["new"]
