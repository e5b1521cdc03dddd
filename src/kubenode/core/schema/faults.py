"""What is wrong with an object, told as the server tells it."""

import json
import math
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, Final

import attrs

from kubenode.core.model.meta import Json, matches
from kubenode.core.schema.walk import (
    FREE,
    INT_OR_STRING,
    LIST_KEYS,
    LIST_TYPE,
    NOTHING,
    NUMBER_FORMATS,
    TEXT_FORMATS,
    child_schema,
    compact,
    identities,
    join,
)

NOWHERE: Final = "<nil>"
"""The field of a cause that the server cannot place."""

BLOCKING: Final = frozenset({
    "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueNotSupported",
    "FieldValueTypeInvalid",
})  # fmt: skip
"""Reasons that keep the server from checking any rule of the object."""


@attrs.frozen
class Cause:
    """One fault of an object, as in the `details.causes` of a server's Status.

    Attributes:
        reason: the server's word for it, such as FieldValueRequired.
        message: what is wrong, in the server's words.
        field: the path, such as `spec.taints[0].key`.
    """

    reason: str
    message: str
    field: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def validate(obj: Json, schema: Json, *, known: Json | None = None) -> tuple[Cause, ...]:
    """Give all faults of an object, in the order of its fields; empty when it is valid."""
    causes: list[Cause] = []
    _check(obj, schema, known, "", causes)
    return tuple(causes)


def _check(value: Any, schema: Json, known: Any, path: str, causes: list[Cause]) -> None:
    if schema is FREE or (value is known and value is not None):
        return
    if value is None and (schema.get("nullable") or not _wanted(schema)):
        return
    if not _has_type(value, schema):
        causes.append(_wrong_type(value, schema, path))
        if schema.get(INT_OR_STRING):
            return
    if isinstance(value, str):
        _check_text(value, schema, path, causes)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, schema, path, causes)
    elif isinstance(value, dict):
        _check_object(value, schema, known, path, causes)
    elif isinstance(value, list):
        _check_list(value, schema, known, path, causes)
    if value is not None and "enum" in schema and not _is_one_of(value, schema["enum"]):
        allowed = ", ".join(map(compact, schema["enum"]))
        message = f"Unsupported value: {compact(value)}: supported values: {allowed}"
        causes.append(Cause("FieldValueNotSupported", message, path))


def _wanted(schema: Json) -> str:
    return "integer,string" if schema.get(INT_OR_STRING) else schema.get("type", "")


_NAMES: Final[dict[type, str]] = {
    type(None): "null", bool: "boolean", str: "string", list: "array", dict: "object",
}  # fmt: skip


def _type_name(value: Any) -> str:
    name = _NAMES.get(type(value))
    if name is not None:
        return name
    if isinstance(value, int):
        return "integer" if -(2**63) <= value < 2**63 else "number"
    return next((name for kind, name in _NAMES.items() if isinstance(value, kind)), "number")


def _has_type(value: Any, schema: Json) -> bool:
    wanted, found = _wanted(schema), _type_name(value)
    if not wanted or found == wanted:
        return True
    if wanted == "string" and found == "array" and schema.get("format") in TEXT_FORMATS:
        return True  # the server never looks at the type of a list where it knows the format
    whole = found == "integer" or (found == "number" and abs(value) < 2**53 and float(value).is_integer())
    if wanted == "integer":
        return whole
    if wanted == "integer,string":
        return whole or found == "string"
    return wanted == "number" and found in {"integer", "number"}


_GO_FORMATS: Final = {"integer": "int64", "number": "float64"}


def _wrong_type(value: Any, schema: Json, path: str) -> Cause:
    wanted, found = _wanted(schema), _type_name(value)
    told = schema.get("format")
    if told in TEXT_FORMATS | NUMBER_FORMATS and value is not None and not isinstance(value, str | list):
        wanted, found = told, _GO_FORMATS.get(found, "")
    message = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return Cause("FieldValueTypeInvalid", message, path)


def _check_text(value: str, schema: Json, path: str, causes: list[Cause]) -> None:
    # Of these three the server tells only the first. It says bytes and counts code points.
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        message = f"Too long: may not be more than {schema['maxLength']} bytes"
        causes.append(Cause("FieldValueTooLong", message, path))
    elif "minLength" in schema and len(value) < schema["minLength"]:
        causes.append(_invalid(value, f"should be at least {schema['minLength']} chars long", path))
    elif "pattern" in schema and not matches(schema["pattern"], value):
        causes.append(_invalid(value, f"should match '{schema['pattern']}'", path))
    is_formed = _FORMATS.get(schema.get("format", ""))
    if is_formed is not None and not is_formed(value):
        shown = compact(value)
        message = f"Invalid value: {shown}: {path} in body must be of type {schema['format']}: {shown}"
        causes.append(Cause("FieldValueTypeInvalid", message, path))


_BITS: Final = {"int32": 31, "int64": 63}


def _check_number(value: float, schema: Json, path: str, causes: list[Cause]) -> None:
    if not -math.inf < value < math.inf:  # no JSON; only a hand-made mapping has it
        causes.append(
            Cause("FieldValueInvalid", f"Invalid value: {value}: {path} in body is no number", path)
        )
        return
    told = schema.get("format")
    limit = 2 ** _BITS[told] if told in _BITS else 0
    if limit and (value != int(value) or not -limit <= value < limit):
        message = f'Invalid value: "": Checked value must be of type integer with format {told} in {path}'
        causes.append(Cause("FieldValueInvalid", message, NOWHERE))
    as_float = _type_name(value) == "number"
    for keyword, wanted, beyond in (("maximum", "less", 1), ("minimum", "greater", -1)):
        if keyword not in schema:
            continue
        # A server keeps a bound as a float, though it shows it in shortest digits.
        kept = int(float(schema[keyword])) if isinstance(schema[keyword], int) else schema[keyword]
        if (value - kept) * beyond > 0:
            shown, bound = (_go_float(each) if as_float else each for each in (value, kept))
            message = f"Invalid value: {shown}: {path} in body should be {wanted} than or equal to {bound}"
            causes.append(Cause("FieldValueInvalid", message, path))


def _go_float(value: float) -> str:
    """Write a float as Go does: with an exponent from a million on, and below 0.0001."""
    if abs(value) >= 2**1023:  # beyond any float, and beyond any bound of ours
        return f"{Decimal(value):.0e}"
    sign, digits, shift = Decimal(repr(float(value))).normalize().as_tuple()
    exponent = len(digits) + int(shift) - 1
    if -5 < exponent < 6:
        return repr(float(value)).removesuffix(".0")
    first, *rest = map(str, digits)
    mantissa = f"{first}.{''.join(rest)}" if rest else first
    return f"{'-' * sign}{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"


def _check_object(value: Json, schema: Json, known: Any, path: str, causes: list[Cause]) -> None:
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        causes.append(_too_many(len(value), schema["maxProperties"], path))
    causes.extend(
        Cause("FieldValueRequired", "Required value", join(path, name))
        for name in schema.get("required", ()) if name not in value
    )  # fmt: skip
    earlier = known if isinstance(known, dict) else NOTHING
    for name, inner in value.items():
        old = earlier.get(name)
        if inner is old and inner is not None:  # judged when it was written
            continue
        below = child_schema(schema, name)
        if below is not None:
            _check(inner, below, old, join(path, name), causes)


def _check_list(value: list[Any], schema: Json, known: Any, path: str, causes: list[Cause]) -> None:
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        causes.append(_too_many(len(value), schema["maxItems"], path))
    if "minItems" in schema and len(value) < schema["minItems"]:
        causes.append(_invalid(len(value), f"should have at least {schema['minItems']} items", path))
    below = schema.get("items", FREE)
    seen = identities(known)
    for at, inner in enumerate(value):
        if id(inner) not in seen:
            _check(inner, below, None, f"{path}[{at}]", causes)
    if schema.get(LIST_TYPE) in {"map", "set"}:
        _check_distinct(value, schema, path, causes)


def _key(item: Any, schema: Json) -> str:
    """Give what must be unique of an item, as JSON with sorted keys."""
    if schema.get(LIST_TYPE) == "map" and isinstance(item, dict):
        item = {name: item[name] for name in schema[LIST_KEYS] if name in item}
    return json.dumps(item, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _check_distinct(value: list[Any], schema: Json, path: str, causes: list[Cause]) -> None:
    times: dict[str, int] = {}
    for at, item in enumerate(value):
        if schema[LIST_TYPE] == "map" and not isinstance(item, dict):
            continue  # told as a wrong type
        key = _key(item, schema)
        times[key] = times.get(key, 0) + 1
        if times[key] == 2:
            causes.append(Cause("FieldValueDuplicate", f"Duplicate value: {key}", f"{path}[{at}]"))


def _invalid(value: Any, fault: str, path: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {compact(value)}: {path} in body {fault}", path)


def _too_many(count: int, limit: int, path: str) -> Cause:
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {limit} items", path)


def _is_one_of(value: Any, allowed: list[Any]) -> bool:
    return any(one == value and isinstance(one, bool) == isinstance(value, bool) for one in allowed)


# Formats, as lenient as the server.

_DATE_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d([.,]\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_GO_DURATION: Final = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+|[+-]?0", re.ASCII)
_WORDED_DURATION: Final = re.compile(
    r"\d+\s*(ns|nano|us|µs|micro|ms|milli|s|m(?!onth)|hour|hr(?!s)|h(?!r)|d|w)", re.ASCII | re.IGNORECASE
)


def _is_date_time(text: str) -> bool:
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return False
    try:
        date.fromisoformat(found[1])
    except ValueError:
        return found[1].startswith("0000")  # a year that Go has and Python has not
    return True


def _is_duration(text: str) -> bool:
    return bool(_GO_DURATION.fullmatch(text) or _WORDED_DURATION.search(text))


_FORMATS: Final[dict[str, Callable[[str], bool]]] = {"date-time": _is_date_time, "duration": _is_duration}
