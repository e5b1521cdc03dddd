"""How cattrs reads and writes our values, for `core/wire.py`: its only home in core.

A reader here takes what is wholly known, and raises anything when it stumbles; `core/reading.py` finds out over what.
The hooks of cattrs itself would take "3" and true for numbers.
"""

import enum
import functools
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from kubenode.core.fields import Field, Form, fields_of, is_model
from kubenode.core.forms import is_annotated, is_enum, is_map, is_tuple
from kubenode.core.model import IntOrPercent, Json, ObjectMeta
from kubenode.core.model.quantity import format_duration, parse_duration
from kubenode.core.reading import format_stamp, members, parse_stamp, plain_copy

Writes: TypeAlias = Callable[[Any], Json]

_MOST_SHARED: Final = 1024
"""Values of a class without parts that are kept to be given again."""
TYPE_META: Final = frozenset({"apiVersion", "kind"})


def _exactly(bare: type) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not bare:
            raise TypeError(value)
        return value

    return hook


def _text(value: Any, _: Any) -> str:
    """Read a text; equal ones are held once, as reasons and versions are the same on a whole fleet."""
    if type(value) is not str:
        raise TypeError(value)
    return sys.intern(value)


def _enum_hook(cls: type[enum.Enum]) -> Callable[[Any, Any], Any]:
    known = members(cls)
    return lambda value, _: known[value]


def _optional_hook(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """Read what may be null; cattrs would look up the hook of what it is anew for each value."""
    inner = next(arg for arg in get_args(cls) if arg is not NoneType)
    hook = converter.get_structure_hook(inner)
    return lambda value, _: None if value is None else hook(value, inner)


def _list_hook(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    item = get_args(cls)[0]
    hook = converter.get_structure_hook(item)

    def read_list(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise TypeError(value)
        return tuple([hook(part, item) for part in value])

    return read_list


def _map_hook(cls: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    item = get_args(cls)[1]
    hook = converter.get_structure_hook(item)

    def read_map(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise TypeError(value)
        return {key: hook(part, item) for key, part in value.items()}

    return read_map


def _is_optional(cls: Any) -> bool:
    is_union = get_origin(cls) in (Union, UnionType)
    return is_union and len(get_args(cls)) == 2 and NoneType in get_args(cls)


def _spelling(cls: type[Any]) -> Any:
    """Tell cattrs how the fields are spelled; `metadata.unknown` is not on the wire."""
    return {
        field.name: override(rename=field.wire, omit=(field.wire == "unknown" and cls is ObjectMeta) or None)
        for field in fields_of(cls)
    }


def _converter(*, forbids: bool) -> Converter:
    """Make a reader; one that forbids stumbles over unknown fields, but for those of metadata."""
    made = Converter(detailed_validation=False)
    for bare in (bool, int):
        made.register_structure_hook(bare, _exactly(bare))
    made.register_structure_hook(str, _text)
    made.register_structure_hook(Any, lambda value, _: plain_copy(value))
    made.register_structure_hook(datetime, lambda value, _: parse_stamp(value))
    made.register_structure_hook(timedelta, lambda value, _: parse_duration(value))
    made.register_structure_hook_factory(is_model, lambda cls: _model_hook(cls, made, forbids=forbids))
    made.register_structure_hook(IntOrPercent, lambda value, _: IntOrPercent.parse(value))
    made.register_structure_hook_factory(is_enum, _enum_hook)
    # cattrs would look up the hook of what is annotated anew for each value.
    made.register_structure_hook_factory(is_annotated, lambda cls: made.get_structure_hook(get_args(cls)[0]))
    made.register_structure_hook_factory(_is_optional, lambda cls: _optional_hook(cls, made))
    made.register_structure_hook_factory(is_tuple, lambda cls: _list_hook(cls, made))
    made.register_structure_hook_factory(is_map, lambda cls: _map_hook(cls, made))
    return made


def _model_hook(cls: type[Any], converter: Converter, *, forbids: bool) -> Callable[[Any, Any], Any]:
    known = TYPE_META | {field.wire for field in fields_of(cls)}
    is_kind = hasattr(cls, "KIND")
    forbid = forbids and cls is not ObjectMeta and not is_kind
    hook = make_dict_structure_fn(
        cls, converter, _cattrs_forbid_extra_keys=forbid, _cattrs_detailed_validation=False, **_spelling(cls)
    )
    if _is_plain(cls):
        return _sharing(hook)
    if not (is_kind and forbids):
        return hook

    def read_kind(value: Any, bare: Any) -> Any:
        if not known.issuperset(value):
            raise ValueError(value)
        return hook(value, bare)

    return read_kind


def _is_plain(cls: type[Any]) -> bool:
    """Tell whether a class has no parts, but only values."""
    return all(field.told.form in (Form.SCALAR, Form.ENUM) for field in fields_of(cls))


def _sharing(hook: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Give equal values of a class without parts as one object, which is found sooner than it is made.

    A fleet says the same of a thousand machines. Nobody can tell, since values are frozen; what is held is bounded.
    """
    known: dict[tuple[Any, ...], Any] = {}

    def read_shared(value: Any, bare: Any) -> Any:
        try:
            # The types too: true is equal to 1, and must not be read as it.
            key = (*value, *value.values(), *map(type, value.values()))
            made = known.get(key)
        except (TypeError, AttributeError):  # it is no mapping of plain values: the hook knows what to say
            return hook(value, bare)
        if made is None:
            made = hook(value, bare)
            if len(known) >= _MOST_SHARED:
                known.clear()
            known[key] = made
        return made

    return read_shared


def _write_hook(cls: type[Any], converter: Converter) -> Callable[[Any], Json]:
    """Write a model class; None and what is empty by default are left out."""
    how = _spelling(cls)
    for field in fields_of(cls):
        how[field.name] = attrs.evolve(how[field.name], omit_if_default=is_left_out(field, cls))
    return make_dict_unstructure_fn(cls, converter, **how)


def is_left_out(field: Field, cls: type[Any]) -> bool:
    """Tell whether a default says nothing and is not written: it is None or empty; of metadata all are the server's to fill."""
    says_nothing = cls is ObjectMeta or field.default is None or field.default in ((), {})
    return not field.required and says_nothing


def writer(
    *, free: Callable[[Any], Any] = plain_copy, plain: Callable[[Writes], Writes] = lambda writes: writes
) -> Converter:
    """Make what writes parts of objects.

    Args:
        free: writes what is of free form.
        plain: is given what writes a class without parts, and gives what does so in its place.
    """
    made = Converter(detailed_validation=False)
    made.register_unstructure_hook(Any, free)
    made.register_unstructure_hook(datetime, format_stamp)
    made.register_unstructure_hook(timedelta, format_duration)
    made.register_unstructure_hook_factory(
        is_model, lambda cls: plain(_write_hook(cls, made)) if _is_plain(cls) else _write_hook(cls, made)
    )
    made.register_unstructure_hook(IntOrPercent, lambda value: value.wire)
    # A value that an enumeration does not know was kept as text by `read`.
    made.register_unstructure_hook_factory(is_enum, lambda _: lambda value: getattr(value, "value", value))
    made.register_unstructure_hook_factory(is_tuple, lambda cls: _list_writer(cls, made))
    made.register_unstructure_hook_factory(is_map, lambda cls: _map_writer(cls, made))
    return made


def _list_writer(cls: Any, converter: Converter) -> Callable[[Any], Any]:
    hook = converter.get_unstructure_hook(get_args(cls)[0])
    return lambda value: [hook(part) for part in value]


def _map_writer(cls: Any, converter: Converter) -> Callable[[Any], Any]:
    hook = converter.get_unstructure_hook(get_args(cls)[1])
    return lambda value: {key: hook(part) for key, part in value.items()}


WRITER: Final = writer()
"""Writes parts of objects as they are sent."""
_OURS: Final = _converter(forbids=True)
_THEIRS: Final = _converter(forbids=False)


def part_reader(cls: type[Any], name: str) -> Callable[[Any], Any]:
    """Give what reads one field of a kind when everything in it is known, and raises anything else when not."""
    of = attrs.fields_dict(cls)[name].type
    hook = (_OURS if cls.KIND.served else _THEIRS).get_structure_hook(of)
    return lambda raw: hook(raw, of)


@functools.cache
def reader(cls: type[Any]) -> Callable[[Any], Any]:
    """Compile the reader of a kind for objects in which everything is known."""
    hook = (_OURS if cls.KIND.served else _THEIRS).get_structure_hook(cls)
    return lambda raw: hook(raw, cls)
