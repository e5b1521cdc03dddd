"""Snapshots, Decisions and policies as JSON and back, whole: what is read equals what was written.

Not the wire form of an object, which leaves out defaults and needs the reader to know the type. Here every
value says what it is: `{"!": "model.machine.Machine", "metadata": ...}`. So a union, a Mapping with keys of tuples and a
text that an enumeration did not know come back as they were, and nothing is guessed. The classes are those
that a snapshot, a Decision, an act or a policy can hold, found by their annotations; no other is ever made.
"""

import enum
import functools
import json
import typing
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import attrs

from kubenode.core import model as m
from kubenode.core.decision import Decision
from kubenode.core.policy import Policy
from kubenode.runtime.engine.apply import Act
from kubenode.runtime.record.deciders import SNAPSHOTS

MARK: Final = "!"
"""The key that says what a JSON object is; a plain mapping with such a key is written as pairs."""
_MICROSECOND: Final = timedelta(microseconds=1)


class UnknownClass(Exception):
    """Something in a recording is of a class, or has a field, that this version does not have."""


def canonical(value: Any) -> str:
    """Give the one text of a value: sorted keys, no spaces, ASCII. Equal values have equal texts.

    Raises:
        TypeError: it holds something that no snapshot, Decision, act or policy holds.
    """
    return text_of(encoded(value))


def text_of(body: Any) -> str:
    """Give the one text of a JSON value."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def encoded(value: Any) -> Any:
    """Give a value as JSON.

    Raises:
        TypeError: it cannot be recorded.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is tuple:
        return [encoded(part) for part in value]
    names = _fields(kind)
    if names is not None:
        return {MARK: tag(kind), **{name: encoded(getattr(value, name)) for name in names}}
    if isinstance(value, enum.Enum):
        return {MARK: tag(kind), "value": value.value}
    if isinstance(value, Mapping):
        return _mapping(value)
    return _plain(value)


def _mapping(value: Mapping[Any, Any]) -> Any:
    if all(type(key) is str for key in value) and MARK not in value:
        return {key: encoded(part) for key, part in value.items()}
    pairs = ([encoded(key), encoded(part)] for key, part in value.items())
    return {MARK: "mapping", "items": sorted(pairs, key=text_of)}


def _plain(value: Any) -> Any:
    match value:
        case frozenset():
            return {MARK: "set", "items": sorted(map(encoded, value), key=text_of)}
        case list():
            return {MARK: "list", "items": [encoded(part) for part in value]}
        case datetime():
            return {MARK: "time", "value": value.isoformat()}
        case timedelta():
            return {MARK: "span", "microseconds": value // _MICROSECOND}
        case bytes():
            return {MARK: "bytes", "base64": b64encode(value).decode()}
        case _:
            raise TypeError(f"a value of type {type(value).__name__} cannot be recorded")


def decoded(body: Any) -> Any:
    """Give the value that JSON was written from.

    Raises:
        UnknownClass: it is of a newer version.
        ValueError, TypeError, KeyError: it was not written by `encoded`.
    """
    if isinstance(body, list):
        return tuple(decoded(part) for part in body)
    if not isinstance(body, dict):
        return body
    if MARK not in body:
        return {key: decoded(part) for key, part in body.items()}
    name = body[MARK]
    plain = _PLAIN.get(name)
    if plain is not None:
        return plain(body)
    cls = classes().get(name)
    if cls is None:
        raise UnknownClass(str(name))
    if issubclass(cls, enum.Enum):
        return _member(cls, body["value"])
    return _made(cls, body)


def _member(cls: type[enum.Enum], value: Any) -> Any:
    try:
        return cls(value)
    except ValueError:
        raise UnknownClass(f"{cls.__name__} {value!r}") from None


def _made(cls: type[Any], body: Mapping[str, Any]) -> Any:
    names = _fields(cls) or ()
    unknown = sorted(body.keys() - {MARK, *names})
    if unknown:
        raise UnknownClass(f"{cls.__name__}.{unknown[0]}")
    return cls(**{name: decoded(part) for name, part in body.items() if name != MARK})


_PLAIN: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = MappingProxyType({
    "mapping": lambda body: {decoded(key): decoded(part) for key, part in body["items"]},
    "set": lambda body: frozenset(map(decoded, body["items"])),
    "list": lambda body: [decoded(part) for part in body["items"]],
    "time": lambda body: datetime.fromisoformat(body["value"]),
    "span": lambda body: timedelta(microseconds=body["microseconds"]),
    "bytes": lambda body: b64decode(body["base64"], validate=True),
})  # fmt: skip


_FIELDS: Final[dict[type[Any], tuple[str, ...] | None]] = {}


def _fields(cls: type[Any]) -> tuple[str, ...] | None:
    """Give the names of the fields of an attrs class; None for another class."""
    if cls not in _FIELDS:
        _FIELDS[cls] = tuple(field.name for field in attrs.fields(cls)) if attrs.has(cls) else None
    return _FIELDS[cls]


def tag(cls: type[Any]) -> str:
    """Give the name by which a recording knows a class: two modules may each have a `Cause`.

    >>> tag(m.Machine)
    'model.machine.Machine'
    """
    return f"{cls.__module__}.{cls.__qualname__}".removeprefix("kubenode.").removeprefix("core.")


@functools.cache
def classes() -> Mapping[str, type[Any]]:
    """Give every class that can stand in a recording, by its tag."""
    found: dict[str, type[Any]] = {}
    waiting: list[Any] = [*SNAPSHOTS, Decision, Act, Policy, *m.WATCHED]
    while waiting:
        for cls in _named_in(waiting.pop()):
            if tag(cls) not in found:
                found[tag(cls)] = cls
                waiting += typing.get_type_hints(cls).values() if attrs.has(cls) else ()
    return MappingProxyType(found)


def _named_in(annotation: Any) -> Iterable[type[Any]]:
    """Give the classes of ours that an annotation names, however deep."""
    if isinstance(annotation, type) and (attrs.has(annotation) or issubclass(annotation, enum.Enum)):
        yield annotation
    for part in (typing.get_origin(annotation), *typing.get_args(annotation)):
        if part is not None and part is not annotation:
            yield from _named_in(part)
