"""What rules see of a schema: the type of each value for the engine, and how large it can get.

The engine checks a rule against protobuf messages made of the schema; a value whose type has no such form (a list of
lists, a number or a text) is dynamic there. Sizes are those by which the server prices rules.
Source: kubernetes apiserver pkg/cel/common/schemas.go and pkg/cel/limits.go, 1.36.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from kubenode.core.model import Json
from kubenode.core.schema.walk import INT_OR_STRING
from kubenode.runtime.store.cel import spellings

Path: TypeAlias = tuple[str, ...]
"""The way to a value: self or oldSelf, then fields, and `@items`, `@keys` or `@values`."""

LARGEST_REQUEST: Final = 3 * 1024 * 1024
_EMBEDDED: Final = "x-kubernetes-embedded-resource"
_TEXT: Final[Json] = {"type": "string"}
_META: Final[Json] = {
    "kind": _TEXT, "apiVersion": _TEXT, "metadata": {"type": "object", "properties": {"name": _TEXT, "generateName": _TEXT}},
}  # fmt: skip
_TIMES: Final[Mapping[str, tuple[str, int, int]]] = MappingProxyType({
    "duration": ("duration", 3, 32), "date": ("timestamp", 12, 12), "date-time": ("timestamp", 21, 32),
})  # fmt: skip
"""By format: the type, and the shortest and longest form in JSON."""
_SMALLEST: Final[Mapping[str, tuple[str, int]]] = MappingProxyType({
    "boolean": ("bool", 4), "number": ("double", 1), "integer": ("int", 1),
})  # fmt: skip


@attrs.frozen(kw_only=True)
class Shape:
    """A value of a schema.

    Attributes:
        kind: `struct`, `list`, `map`, `dyn`, or the name of a simple type.
        most: how many elements or characters it can have; 0 for what has none.
        least: bytes of JSON that it has at least.
        fields: of a struct, by their names in rules.
        items: of a list or map.
    """

    kind: str
    most: int = 0
    least: int = 2
    fields: Mapping[str, "Shape"] = MappingProxyType({})
    items: "Shape | None" = None


def shape_of(schema: Json, *, is_root: bool = False) -> Shape | None:
    """Give what rules see of a schema; None when they see nothing."""
    if schema.get(INT_OR_STRING):
        return Shape(kind="dyn", most=_longest(schema), least=1)
    if is_root:
        schema = {
            **schema,
            "type": schema.get("type", ""),
            "properties": {**schema.get("properties", {}), **_META},
        }
    match schema.get("type"):
        case "array":
            items = _inner(schema.get("items"))
            if items is None:
                return None
            most = max(0, schema.get("maxItems", (LARGEST_REQUEST - 2) // (items.least + 1)))
            return Shape(kind="list", most=most, items=items)
        case "object":
            return _object(schema)
        case "string":
            return _string(schema)
        case kind:
            simple = _SMALLEST.get(kind or "")
            return None if simple is None else Shape(kind=simple[0], least=simple[1])


def _inner(schema: Any) -> Shape | None:
    return shape_of(schema, is_root=bool(schema.get(_EMBEDDED))) if isinstance(schema, dict) else None


def _object(schema: Json) -> Shape | None:
    if isinstance(more := schema.get("additionalProperties"), dict):
        items = _inner(more)
        if items is None:
            return None
        most = max(0, schema.get("maxProperties", (LARGEST_REQUEST - 2) // (items.least + 6)))
        return Shape(kind="map", most=most, items=items)
    fields: dict[str, Shape] = {}
    least, required = 2, schema.get("required", ())
    for name, below in schema.get("properties", {}).items():
        inner = _inner(below)
        if inner is not None:
            fields[spellings(name)[-1]] = inner
            if name in required and "default" not in below:
                least += len(name.encode()) + inner.least + 4
    return Shape(kind="struct", fields=fields, least=least)


def _string(schema: Json) -> Shape:
    told = schema.get("format", "")
    if told in _TIMES:
        kind, least, most = _TIMES[told]
        return Shape(kind=kind, most=most, least=least)
    if told == "byte":
        return Shape(kind="bytes", most=max(0, schema.get("maxLength", LARGEST_REQUEST - 2)))
    if "maxLength" not in schema and schema.get("enum"):
        return Shape(kind="string", most=max(len(str(each).encode()) for each in schema["enum"]))
    return Shape(kind="string", most=_longest(schema))


def _longest(schema: Json) -> int:
    """Give the bytes that a text can have: four for each character that is allowed."""
    return max(0, 4 * schema["maxLength"]) if "maxLength" in schema else LARGEST_REQUEST - 2


def most_at(shape: Shape, path: Path) -> int | None:
    """Give how large the value at the end of a path can be; None when the path leads nowhere."""
    at: Shape | None = shape
    for name in path[1:]:  # the first is self, or oldSelf
        if at is None:
            return None
        if name in {"@items", "@values"}:
            at = at.items
        elif name == "@keys":  # of a list, that is its index
            at = Shape(kind="string") if at.kind == "map" else None
        else:
            at = at.fields.get(name)
    return at.most if at is not None else None
