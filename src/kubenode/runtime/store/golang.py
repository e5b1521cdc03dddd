"""Objects as Go structs: what the server's decoder reads and refuses, and what its encoder leaves out.

For kinds that are the server's own; custom resources are judged by their schema instead. The refusals are those of
encoding/json and of Go's `time.Parse`, raised as ValueError.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, NoReturn, TypeAlias

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


def read(struct: Struct, value: Json, path: str) -> Json:
    """Give what of an object the decoder keeps, its times in UTC.

    Raises:
        ValueError: it cannot be decoded, in Go's words.
    """
    return dict(_read_fields(struct, value, path))


def _read_fields(struct: Struct, value: Json, path: str) -> Iterator[tuple[str, Any]]:
    for name, form in struct.fields.items():
        given = value.get(name)
        if given is None:
            continue
        place = f"{path}.{name}" if path else name
        if isinstance(form, Struct):
            if not isinstance(given, dict):
                _refuse(given, struct, place, f"v1.{form.name}")
            yield name, read(form, given, place)
        elif form.type == "string":
            if not isinstance(given, str):
                _refuse(given, struct, place, form.type)
            yield name, given
        elif form.type == "int32":
            yield name, _number(given, struct, place)
        else:
            yield name, _time(given, form.type)


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


def _number(value: Any, struct: Struct, place: str) -> int:
    if not isinstance(value, int | float) or isinstance(value, bool):
        _refuse(value, struct, place, "int32")
    if value != int(value) or int(value) not in _INT32:
        _refuse(value, struct, place, "int32", shown=f"number {value}")
    return int(value)


def _refuse(value: Any, struct: Struct, place: str, wanted: str, shown: str = "") -> NoReturn:
    names = ((bool, "bool"), (str, "string"), (int | float, "number"), (list, "array"))
    found = shown or next((name for types, name in names if isinstance(value, types)), "object")
    raise ValueError(
        f"json: cannot unmarshal {found} into Go struct field {struct.name}.{place} of type {wanted}"
    )


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
    year, month, day, hour, minute, second = (int(part) for part in re.findall(r"\d+", text)[:6])
    digits = re.match(r".{19}[.,](\d{1,6})", text)
    micro = int(digits[1].ljust(6, "0")) if digits else 0
    zone = re.search(r"([+-])(\d\d):(\d\d)$", text[19:])
    shift = timedelta(hours=int(zone[2]), minutes=int(zone[3])) if zone else timedelta()
    try:
        away = timezone(-shift if zone and zone[1] == "-" else shift)
        moment = datetime(year, month, day, hour, minute, second, micro, tzinfo=away).astimezone(UTC)
    except (ValueError, OverflowError) as wrong:
        part = next(
            (each for each in ("month", "day", "hour", "minute", "second") if each in str(wrong)), "day"
        )
        raise ValueError(f'parsing time "{text}": {part} out of range') from wrong
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if form == "v1.MicroTime" else "%Y-%m-%dT%H:%M:%SZ")
