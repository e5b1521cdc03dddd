"""Objects as Go structs: what the server's decoder reads and refuses, and what its encoder leaves out.

For kinds that are the server's own; custom resources are judged by their schema instead. The refusals are those of
encoding/json and of Go's `time.Parse`, raised as ValueError.
"""

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import attrs

from kubenode.core.model import Json

_INT32: Final = range(-(2**31), 2**31)
_DATE: Final = (
    ("2006", r"\d{4}"), ("-", "-"), ("01", r"\d\d"), ("-", "-"), ("02", r"\d\d"), ("T", "T"), ("15", r"\d\d"),
    (":", ":"), ("04", r"\d\d"), (":", ":"),
)  # fmt: skip
_ZONE: Final = ("Z07:00", r"Z|[+-]\d\d:\d\d")
_LAYOUTS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "v1.Time": (*_DATE, ("05", r"\d\d(?:[.,]\d+)?"), _ZONE),
    "v1.MicroTime": (*_DATE, ("05", r"\d\d"), (".000000", r"\.\d{6}"), _ZONE),
}


@attrs.frozen
class Scalar:
    """A field with one value.

    Attributes:
        type: in Go.
        shown: it is written also when it is empty.
    """

    type: str
    shown: bool = False


@attrs.frozen
class Struct:
    """A field with fields of its own.

    Attributes:
        name: of the type, in package v1.
        fields: in order.
        optional: a pointer, which is left out when it is null; else it is written also when it is empty.
    """

    name: str
    fields: Mapping[str, "Form"]
    optional: bool = False


Form: TypeAlias = Scalar | Struct

TEXT: Final = Scalar("string")
NUMBER: Final = Scalar("int32")
TIME: Final = Scalar("v1.Time", shown=True)
MICRO_TIME: Final = Scalar("v1.MicroTime", shown=True)

_SCHEMAS: Final[Mapping[str, Json]] = {
    "string": {"type": "string"}, "int32": {"type": "integer"},
    "v1.Time": {"type": "string", "nullable": True}, "v1.MicroTime": {"type": "string", "nullable": True},
}  # fmt: skip


def structure(struct: Struct) -> Json:
    """Give the schema of a struct: which fields there are."""
    return {
        "type": "object",
        "properties": {
            name: structure(form) if isinstance(form, Struct) else _SCHEMAS[form.type]
            for name, form in struct.fields.items()
        },
    }


def in_key_order(value: Any) -> Any:
    """Give a value as Go writes maps: by key, at each level. So is what a patch has made before it is decoded."""
    if isinstance(value, dict):
        return {name: in_key_order(value[name]) for name in sorted(value)}
    return [in_key_order(item) for item in value] if isinstance(value, list) else value


def read(struct: Struct, value: Json) -> Json:
    """Give what of an object the decoder keeps, its times in UTC.

    Raises:
        ValueError: it cannot be decoded, in Go's words: a time that cannot be read, else the first wrong type.
    """
    faults: list[str] = []
    found = dict(_read_fields(struct, value, "", faults))
    if faults:
        raise ValueError(faults[0])
    return found


def _read_fields(struct: Struct, value: Json, path: str, faults: list[str]) -> Iterator[tuple[str, Any]]:
    for name, given in value.items():
        form = struct.fields.get(name)
        if form is None or given is None:
            continue
        place = f"{path}.{name}" if path else name
        if isinstance(form, Scalar) and form.type in _LAYOUTS:
            yield name, _time(given, form.type)
        elif fault := _misfit(given, form):
            found, wanted = fault
            faults.append(
                f"json: cannot unmarshal {found} into Go struct field {struct.name}.{place} of type {wanted}"
            )
        elif isinstance(form, Struct):
            yield name, dict(_read_fields(form, given, place, faults))
        else:
            yield name, given


def _misfit(value: Any, form: Form) -> tuple[str, str] | None:
    """Give what a value is and what it should be, in Go's words; None when it fits."""
    wanted = f"v1.{form.name}" if isinstance(form, Struct) else form.type
    types: type = {"string": str, "int32": int}.get(wanted, dict)
    if isinstance(value, types) and not isinstance(value, bool):
        return (f"number {value}", wanted) if wanted == "int32" and value not in _INT32 else None
    names = ((bool, "bool"), (str, "string"), (int | float, "number"), (list, "array"))
    found = next((name for each, name in names if isinstance(value, each)), "object")
    return f"number {value}" if found == "number" and wanted == "int32" else found, wanted


def written(struct: Struct, value: Json) -> Json:
    """Give what of a decoded object the encoder writes."""
    return dict(_shown_fields(struct, value))


def _shown_fields(struct: Struct, value: Json) -> Iterator[tuple[str, Any]]:
    for name, form in struct.fields.items():
        given = value.get(name)
        if isinstance(form, Struct):
            if given is not None or not form.optional:
                yield name, written(form, given or {})
        elif given or form.shown:
            yield name, given if given or form.type != "string" else ""


def _time(text: Any, form: str) -> str:
    """Read a time with Go's layout, and write it as Go does."""
    if not isinstance(text, str):
        raise ValueError("json: cannot unmarshal number into Go value of type string")
    layout = _LAYOUTS[form]
    at = 0
    for piece, pattern in layout:
        found = re.compile(pattern, re.ASCII).match(text, at)
        if found is None:
            whole = "".join(each for each, _ in layout)
            raise ValueError(f'parsing time "{text}" as "{whole}": cannot parse "{text[at:]}" as "{piece}"')
        at = found.end()
    if at < len(text):
        raise ValueError(f'parsing time "{text}": extra text: "{text[at:]}"')
    return _in_utc(text, form)


def _in_utc(text: str, form: str) -> str:
    """Give a time in UTC; what is out of range Go finds in this order."""
    year, month, day, hour, minute, second = (int(part) for part in re.findall(r"\d+", text)[:6])
    zone = re.search(r"([+-])(\d\d):(\d\d)$", text[19:])
    east, away = (int(zone[2]), int(zone[3])) if zone else (0, 0)
    bounds = (
        ("month", month, 1, 12), ("hour", hour, 0, 23), ("minute", minute, 0, 59), ("second", second, 0, 59),
        ("time zone offset hour", east, 0, 24), ("time zone offset minute", away, 0, 60),
    )  # fmt: skip
    wrong = [name for name, value, least, most in bounds if not least <= value <= most]
    if not wrong and not 1 <= day <= monthrange(max(year, 1), month)[1]:
        wrong = ["day"]
    if wrong:
        raise ValueError(f'parsing time "{text}": {wrong[0]} out of range')
    digits = re.match(r".{19}[.,](\d{1,6})", text)
    micro = int(digits[1].ljust(6, "0")) if digits else 0
    shift = timedelta(hours=east, minutes=away) * (-1 if zone and zone[1] == "-" else 1)
    try:
        moment = datetime(year, month, day, hour, minute, second, micro, tzinfo=UTC) - shift
    except (ValueError, OverflowError) as beyond:  # the years 0 and 10000, which only Go knows
        raise ValueError(f'parsing time "{text}": year out of range') from beyond
    fraction = f".{moment.microsecond:06d}" if form == "v1.MicroTime" else ""
    return f"{moment.year:04d}-{moment:%m-%dT%H:%M:%S}{fraction}Z"
