"""How a structural schema is read: its keywords, the way down into it, and what of it is not supported."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from kubenode.core.model.meta import Json

PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING: Final = "x-kubernetes-int-or-string"
LIST_TYPE: Final = "x-kubernetes-list-type"
LIST_KEYS: Final = "x-kubernetes-list-map-keys"
MAP_TYPE: Final = "x-kubernetes-map-type"
RULES: Final = "x-kubernetes-validations"

TEXT_FORMATS: Final = frozenset({"date-time", "duration"})
NUMBER_FORMATS: Final = frozenset({"int32", "int64"})

FREE: Final[Json] = {PRESERVE: True}
"""The schema of what no schema describes."""
NOTHING: Final[Json] = {}

_TYPES: Final = frozenset({"object", "array", "string", "integer", "number", "boolean"})
_KEYWORDS: Final = frozenset({
    "type", "properties", "additionalProperties", "items", "required", "enum", "maxLength", "minLength", "pattern",
    "minimum", "maximum", "maxItems", "minItems", "maxProperties", "format", "nullable", "default", "description",
    "title", "example", PRESERVE, INT_OR_STRING, LIST_TYPE, LIST_KEYS, MAP_TYPE, RULES,
})  # fmt: skip


def check_supported(schema: Json) -> tuple[str, ...]:
    """Give what a schema says that this module would not check, each as `path: what`; empty when all is known."""
    return tuple(
        f"{path or 'the root'}: {what}" for path, each in _walk(schema, "") for what in _unsupported(each)
    )


def rules_in(schema: Json) -> tuple[str, ...]:
    """Give the CEL rules of a schema, each as `path: rule`."""
    return tuple(
        f"{path or 'the root'}: {rule['rule']}"
        for path, each in _walk(schema, "")
        for rule in each.get(RULES, ())
    )


def _walk(schema: Json, path: str) -> Iterator[tuple[str, Json]]:
    yield path, schema
    for name, below in schema.get("properties", NOTHING).items():
        yield from _walk(below, join(path, name))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _walk(schema["additionalProperties"], f"{path}[*]")
    if isinstance(schema.get("items"), dict):
        yield from _walk(schema["items"], f"{path}[]")


def _unsupported(schema: Json) -> Iterator[str]:
    for keyword in schema:
        if keyword not in _KEYWORDS:
            yield f"the keyword {keyword} is not supported"
    if not schema.get(INT_OR_STRING) and not schema.get(PRESERVE) and schema.get("type") not in _TYPES:
        yield f"the type {schema.get('type')!r} is not supported"
    if "format" in schema and schema["format"] not in TEXT_FORMATS | NUMBER_FORMATS:
        yield f"the format {schema['format']} is not supported"
    if schema.get("additionalProperties") is False or {"properties", "additionalProperties"} <= schema.keys():
        yield "additionalProperties is for maps only, and never false"
    if schema.get(LIST_TYPE) == "map" and not schema.get(LIST_KEYS):
        yield f"a list of type map needs {LIST_KEYS}"
    if "pattern" in schema and (fault := _pattern_fault(schema["pattern"])):
        yield f"the pattern {schema['pattern']} {fault}"


def _pattern_fault(pattern: str) -> str:
    if not pattern.startswith("^") or not pattern.endswith("$") or pattern.endswith(r"\$"):
        return "is not of the form ^...$"
    try:
        re.compile(pattern, re.ASCII)
    except re.error as error:
        return f"is no regular expression: {error}"
    bare = re.sub(r"\\.|\[\^?\]?(?:\\.|[^]\\])*\]", "", pattern)
    while bare != (bare := re.sub(r"\([^()]*\)", "", bare)):
        pass
    return "has a choice outside of parentheses, which ^ and $ do not span" if "|" in bare else ""


def child_schema(schema: Json, name: str) -> Json | None:
    """Give the schema of one field of an object; None when it is unknown."""
    declared: Json | None = schema.get("properties", NOTHING).get(name)
    if declared is not None:
        return declared
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        return more
    return FREE if more is True or schema.get(PRESERVE) else None


def join(path: str, name: str) -> str:
    """Give the path of a field."""
    return f"{path}.{name}" if path else name


def member(known: Any, name: str) -> Any:
    """Give what an earlier state has in a field; None when there is none."""
    return known.get(name) if isinstance(known, dict) else None


def identities(known: Any) -> frozenset[int]:
    """Give by which to tell that an item stood in an earlier list; valid while that list lives."""
    return frozenset(map(id, known)) if isinstance(known, list) else frozenset()


def compact(value: Any) -> str:
    """Give a value as JSON without blanks, as the server writes it in causes and in paths of managed fields."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
