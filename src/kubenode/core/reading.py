"""Reads JSON into model classes and finds everything that is wrong on the way, with its path.

One walk serves both readers of `core/wire.py`. It goes on after a fault: a field that cannot be read stays
at its default, an item that cannot be read is left out, a value that an enumeration does not know stays text.
"""

import difflib
import enum
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, assert_never

import attrs

from kubenode.core.fields import Field, Form, Told, fields_of, shape_of
from kubenode.core.model.meta import Keys, matches
from kubenode.core.model.quantity import IntOrPercent, parse_duration

_STAMP: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_UNREAD: Final = object()


class Fault(enum.Enum):
    """What kind of fault it is."""

    FIELD = "unknown field"
    VALUE = "unknown value"
    WRONG = "wrong type or form"
    MISSING = "missing"
    LAW = "breaks a law over several fields"


@attrs.frozen(kw_only=True)
class Finding:
    """One fault: where, what, and what to write instead."""

    path: str
    fault: Fault
    what: str
    fix: str = ""


@attrs.frozen(kw_only=True)
class Walk:
    """One walk over one object; `found` grows.

    Attributes:
        strict: whether laws (key patterns, rules over several fields) are judged too.
    """

    strict: bool
    found: list[Finding] = attrs.field(factory=list)

    def tell(self, path: str, fault: Fault, what: str, fix: str = "") -> Any:
        """Note a fault; give the mark of an unread value."""
        self.found.append(Finding(path=path, fault=fault, what=what, fix=fix))
        return _UNREAD

    def object(
        self, cls: type[Any], raw: Any, path: str, ignored: frozenset[str] = frozenset()
    ) -> Any | None:
        """Read a model class; None when it cannot be made.

        Args:
            cls: the class.
            raw: what stands there.
            path: where it stands; empty for the whole.
            ignored: keys that are dealt with elsewhere.
        """
        made = self._object(cls, raw, path, ignored)
        return None if made is _UNREAD else made

    def _object(self, cls: type[Any], raw: Any, path: str, ignored: frozenset[str] = frozenset()) -> Any:
        if not isinstance(raw, dict):
            return self._not(path, "a mapping", raw, "indent its fields below it, as in {name: value}")
        before = len(self.found)
        fields = fields_of(cls)
        names = [field.wire for field in fields]
        for key in raw:
            if key not in names and key not in ignored:
                self.tell(join(path, key), Fault.FIELD, "is no field of " + cls.__name__, near(key, names))
        parts = {field.name: self._field(field, raw, path) for field in fields if field.wire not in ignored}
        if any(part is _UNREAD for part in parts.values()):
            return _UNREAD
        made = cls(**{name: part for name, part in parts.items() if part is not attrs.NOTHING})
        if self.strict and len(self.found) == before:
            self._judge(made, path)
        return made

    def _field(self, field: Field, raw: Mapping[str, Any], path: str) -> Any:
        """Give what stands in a field; NOTHING for its default, _UNREAD when it has none."""
        where = join(path, field.wire)
        value = raw.get(field.wire)
        if value is None:
            if not field.required:
                return attrs.NOTHING
            about = f"{field.wire}: {field.told.doc}" if field.told.doc else f"{field.wire}: ..."
            return self.tell(where, Fault.MISSING, "is missing", f"add {about}")
        part = self._value(field.told, value, where)
        return attrs.NOTHING if part is _UNREAD and not field.required else part

    def _value(self, said: Told, value: Any, path: str) -> Any:
        match said.form:
            case Form.SCALAR:
                return self._scalar(said.bare, value, path)
            case Form.ENUM:
                return self._enum(said.bare, value, path)
            case Form.MODEL:
                return self._object(said.bare, value, path)
            case Form.LIST:
                return self._list(said, value, path)
            case Form.MAP | Form.FREE:
                return self._mapping(said, value, path)
            case _:
                assert_never(said.form)

    def _list(self, said: Told, value: Any, path: str) -> Any:
        if not isinstance(value, list) or said.item is None:
            return self._not(path, "a list", value, "put '- ' before each item")
        item = said.item
        read = [self._value(item, part, f"{path}[{index}]") for index, part in enumerate(value)]
        return tuple(part for part in read if part is not _UNREAD)

    def _mapping(self, said: Told, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            return self._not(path, "a mapping", value, "write key: value pairs below it")
        item = said.item
        if item is None:
            return plain_copy(value)
        bounds = said.mark(Keys)
        if self.strict and bounds is not None:
            for key in value:
                self._key(key, bounds, path)
        read = {key: self._value(item, part, join(path, key)) for key, part in value.items()}
        return {key: part for key, part in read.items() if part is not _UNREAD}

    def _key(self, key: str, bounds: Keys, path: str) -> None:
        if len(key) > bounds.key_max:
            self.tell(join(path, key), Fault.LAW, f"the key is longer than {bounds.key_max} characters")
        elif bounds.pattern is not None and not matches(bounds.pattern, key):
            self.tell(join(path, key), Fault.LAW, f"{key!r} is no key here", f"keys match {bounds.pattern}")

    def _enum(self, cls: type[enum.Enum], value: Any, path: str) -> Any:
        if not isinstance(value, str):
            return self._not(path, "a string", value, _quoted(value))
        member = members(cls).get(value)
        if member is None:
            known = tuple(members(cls))
            self.tell(path, Fault.VALUE, f"{value!r} is not one of {', '.join(known)}", near(value, known))
            return value
        return member

    def _scalar(self, bare: Any, value: Any, path: str) -> Any:
        if bare in {bool, int, str}:
            if type(value) is bare:
                return value
            return self._not(path, _WORDS[bare], value, _scalar_fix(bare, value))
        parse, fix = _PARSERS[bare]
        if not isinstance(value, str) and not (bare is IntOrPercent and type(value) is int):
            return self._not(
                path, "a string" if bare is not IntOrPercent else "a number or a percentage", value, fix
            )
        try:
            return parse(value)
        except ValueError as error:
            return self.tell(path, Fault.WRONG, str(error), fix)

    def _not(self, path: str, wanted: str, value: Any, fix: str) -> Any:
        return self.tell(path, Fault.WRONG, f"must be {wanted}, not {described(value)}", fix)

    def _judge(self, made: Any, path: str) -> None:
        """Judge the laws over several fields of an object that is sound in itself."""
        for rule in shape_of(type(made)).rules:
            if rule.check is not None and not rule.check(made):
                self.tell((path + rule.path).removeprefix("."), Fault.LAW, rule.message)


def join(path: str, key: str) -> str:
    """Give the path of a field or of a map's value, as the server writes it."""
    return f"{path}.{key}" if path else key


def near(word: str, known: Iterable[str]) -> str:
    """Say what was probably meant, else what there is."""
    words = list(known)
    lower = {other.lower(): other for other in words}
    close = difflib.get_close_matches(str(word).lower(), lower, n=1)
    if close:
        return f"did you mean {lower[close[0]]!r}?"
    return f"known: {', '.join(words)}" if words else "remove it"


@functools.cache
def members(cls: type[enum.Enum]) -> Mapping[str, enum.Enum]:
    """Give the members of an enumeration by their wire value."""
    return {member.value: member for member in cls}


@functools.lru_cache(maxsize=4096)
def parse_stamp(text: str) -> datetime:
    """Read an RFC 3339 time as UTC; digits beyond a microsecond are dropped.

    Raises:
        ValueError: no such time, or no time zone.
    """
    match = _STAMP.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time like '2026-03-02T09:00:00Z'")
    day, time, fraction, zone = match.groups()
    offset = "+00:00" if zone in "Zz" else zone
    return datetime.fromisoformat(f"{day}T{time}.{(fraction or '')[:6]:0<6}{offset}").astimezone(UTC)


def format_stamp(value: datetime) -> str:
    """Write a time as RFC 3339 in UTC, parts of a second only where there are any.

    Raises:
        ValueError: it has no time zone.
    """
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone: datetime.now(UTC), not datetime.now()")
    return value.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def plain_copy(value: Any) -> Any:
    """Copy JSON, so that whoever owns the original may change it."""
    if isinstance(value, dict):
        return {key: plain_copy(part) for key, part in value.items()}
    return [plain_copy(part) for part in value] if isinstance(value, list) else value


def unsendable(value: Any, path: str = "") -> Iterator[Finding]:
    """Tell what of a value is no JSON, or would be stored as something else: a server is never sent it."""
    what = fix = ""
    if isinstance(value, dict):
        for key, part in value.items():
            if isinstance(key, str):
                where = join(path, ascii(key)[1:-1])
                yield from unsendable(key, where)
                yield from unsendable(part, where)
            else:
                what, fix = f"has {described(key)} for a key", "put it in quotes"
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from unsendable(part, f"{path}[{index}]")
    elif isinstance(value, str):
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            what, fix = f"{ascii(value)[:60]} is not UTF-8", "write bytes as text, as in base64"
    elif isinstance(value, float):
        if value - value != 0:  # NaN and the infinities
            what, fix = f"{value} is no number of JSON", "write a number, or leave it out"
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            what, fix = "is a number that does not fit 64 bits", "write a smaller one, or text in quotes"
    elif value is not None:
        what, fix = f"is of type {type(value).__name__}, which is no JSON", "write text, numbers, lists and mappings"  # fmt: skip
    if what:
        yield Finding(path=path, fault=Fault.WRONG, what=what, fix=fix)


def within_64_bits(value: Any) -> Any:
    """Copy JSON with every whole number that does not fit 64 bits as the nearest that does, so that the rest can be judged."""
    if isinstance(value, dict):
        return {key: within_64_bits(part) for key, part in value.items()}
    if isinstance(value, list):
        return [within_64_bits(part) for part in value]
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return min(max(value, -(2**63)), 2**63 - 1) if is_whole else value


def described(value: Any) -> str:
    """Name a JSON value for people, short."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"the string {value[:60]!r}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int) and abs(value) >= 10**30:
        return "a number of more than 30 digits"
    return f"the number {value}"


def _quoted(value: Any) -> str:
    if isinstance(value, bool):
        return 'put it in quotes, as in "yes" or "true"'
    if isinstance(value, float):
        return f'put it in quotes, else digits are lost (1.30 becomes 1.3), as in "{value}"'
    if isinstance(value, int) and abs(value) < 10**30:
        return f'put it in quotes: "{value}"'
    return "write one string"


def _scalar_fix(bare: type, value: Any) -> str:
    if bare is str:
        return _quoted(value)
    if bare is bool:
        return "write true or false, without quotes"
    return "write a whole number, without quotes"


_WORDS: Final[Mapping[type, str]] = {bool: "true or false", int: "a whole number", str: "a string"}
_PARSERS: Final[Mapping[type, tuple[Callable[[Any], Any], str]]] = {
    datetime: (parse_stamp, "write it as in 2026-03-02T09:00:00Z"),
    timedelta: (parse_duration, "write hours, minutes and seconds, as in 1h30m or 90s"),
    IntOrPercent: (IntOrPercent.parse, "write a number as in 3, or a percentage as in 10%"),
}
