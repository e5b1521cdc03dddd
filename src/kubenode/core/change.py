"""Reading and writing what has changed of an object, where most of it has not: what is the same is not looked into.

`core/wire.py` says what the results are; this module says them sooner.
"""

import functools
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from kubenode.core import converting, wire
from kubenode.core.fields import fields_of
from kubenode.core.model import Json, Object

T = TypeVar("T", bound=Object)

_ABSENT: Final = object()


class _Written(NamedTuple):
    """A field as it is written: its name here and on the wire, and the default that is left out."""

    name: str
    wire: str
    blank: Any


class _Read(NamedTuple):
    """A field as it is read: its name here and on the wire, and what reads it."""

    name: str
    wire: str
    read: Callable[[Any], Any]


def patch_between(old: Any, new: Any) -> Json | None:
    """Give the JSON merge patch that turns one value of a model class, written, into another; None when it is none.

    Args:
        old: what stands; None when nothing does.
        new: what is to stand.

    Returns:
        What `wire.patch_of` gives for the two as `wire.dump_part` writes them; fields that are equal are not written.
    """
    if type(old) is not type(new):
        return wire.patch_of({} if old is None else wire.dump_part(old), wire.dump_part(new))
    gone: Json = {}
    patch: Json = {}
    cls: Any = type(new)
    for part in _written(cls):
        one, other = getattr(old, part.name), getattr(new, part.name)
        if one is other or one == other:
            continue
        if _differ_as_lists(one, other):  # it is replaced whole, so what stands need not be written
            patch[part.wire] = wire.dump_part(other)
            continue
        before = {} if one == part.blank else {part.wire: wire.dump_part(one)}
        after = {} if other == part.blank else {part.wire: wire.dump_part(other)}
        for name, value in (wire.patch_of(before, after) or {}).items():
            (gone if value is None else patch)[name] = value
    return {**gone, **patch} or None


def read_again(raw: Json, cls: type[T], known: Json, before: T) -> T:
    """Give what `wire.read` gives; of metadata, spec and status, what is the very same as before is not read again.

    Args:
        raw: what a server serves; nobody changes it, nor `known`.
        cls: of which kind it is.
        known: an earlier state of the object.
        before: what was read from it.

    Raises:
        InvalidObjectError: something required is missing or cannot be read, so there is no object.
    """
    if before.metadata.unknown or not _names(cls).issuperset(raw):
        return wire.read(raw, cls)
    values: dict[str, Any] = {}
    try:
        for part in _read(cls):
            value = raw.get(part.wire, _ABSENT)
            if value is known.get(part.wire, _ABSENT):
                values[part.name] = getattr(before, part.name)
            elif value is not _ABSENT:
                values[part.name] = part.read(value)
        return cls(**values)
    except Exception:  # the walk of `wire.read` tells where
        return wire.read(raw, cls)


def _differ_as_lists(one: Any, other: Any) -> bool:
    """Tell whether two values are lists and differ as they are written; the first items that do tell it."""
    if type(one) is not tuple or type(other) is not tuple or not other:
        return False
    return len(one) != len(other) or any(
        this is not that
        and this != that
        and wire.patch_of({"": wire.dump_part(this)}, {"": wire.dump_part(that)})
        for this, that in zip(one, other, strict=True)
    )


@functools.cache
def _written(cls: type[Any]) -> tuple[_Written, ...]:
    return tuple(
        _Written(one.name, one.wire, one.default if converting.is_left_out(one, cls) else _ABSENT)
        for one in fields_of(cls)
    )


@functools.cache
def _read(cls: type[Any]) -> tuple[_Read, ...]:
    return tuple(_Read(one.name, one.wire, converting.part_reader(cls, one.name)) for one in fields_of(cls))


@functools.cache
def _names(cls: type[Any]) -> frozenset[str]:
    return converting.TYPE_META | {one.wire for one in fields_of(cls)}
