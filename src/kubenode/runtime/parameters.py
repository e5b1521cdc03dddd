"""Free-form parameters, as they stand in an object or a file, read into a plugin's own class: by type, or not at all.

A value that is refused may be a secret in the wrong place: what it is is said, never the value.
"""

import enum
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin

import cattrs
from cattrs.cols import (
    homogenous_tuple_structure_factory,
    is_any_set,
    is_mutable_sequence,
    is_sequence,
    list_structure_factory,
)
from cattrs.v import format_exception, transform_error

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.forms import is_enum

P = TypeVar("P")
_OF_JSON: Mapping[type, str] = MappingProxyType({
    bool: "true or false", int: "a whole number", float: "a number", str: "text",
})  # fmt: skip
_SAID: Mapping[type, str] = MappingProxyType({**_OF_JSON, bytes: "bytes"})


def structured(raw: Mapping[str, Any], shape: type[P], where: str) -> P:
    """Read free-form parameters into a plugin's own class.

    A value is taken as it is: 7 is no text, "7" no number, 1 no truth, NaN no number, and a text no list of letters.

    Raises:
        InvalidObjectError: every problem at once, each with its path below `where`.
    """
    try:
        return _STRICT.structure(raw, shape)
    except Exception as error:
        texts = transform_error(error, format_exception=_told)
        raise InvalidObjectError(tuple(Problem(where=where, what=text) for text in texts)) from None


def _as_it_is(value: Any, cls: Any) -> Any:
    if cls is float and type(value) in (int, float) and abs(value) <= _LARGEST and math.isfinite(value):
        return float(value)
    if cls is not float and type(value) is cls:
        return value
    raise ValueError(f"must be {_SAID[cls]}, not {_kind(value)}")


def _kind(value: Any) -> str:
    """Say what a value is."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN or infinity"
    if isinstance(value, int) and abs(value) > _LARGEST:
        return "a number of more than 300 digits"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    found = (said for cls, said in _OF_JSON.items() if isinstance(value, cls))
    return next(found, "null" if value is None else "something else")


_LARGEST = 2**1023
"""Beyond it a whole number is no float."""


def _listed(make: Callable[[Any, cattrs.Converter], Any]) -> Callable[[Any, cattrs.Converter], Any]:
    """Give a factory of hooks that take lists, and no text for a list of its letters."""

    def factory(cls: Any, converter: cattrs.Converter) -> Any:
        hook = make(cls, converter)

        def read(value: Any, kind: Any) -> Any:
            if not isinstance(value, list | tuple):
                raise ValueError(f"must be a list, not {_kind(value)}")
            return hook(value, kind)

        return read

    return factory


def _set_of(cls: Any, converter: cattrs.Converter) -> Any:
    (item,) = get_args(cls) or (Any,)
    kind = set if get_origin(cls) is set or cls is set else frozenset
    return lambda value, _: kind(converter.structure(part, item) for part in value)


def _word_of(value: Any, cls: type[enum.Enum]) -> enum.Enum:
    found = next((one for one in cls if type(one.value) is type(value) and one.value == value), None)
    if found is None:
        raise ValueError(f"must be one of {', '.join(str(one.value) for one in cls)}")
    return found


def _told(error: BaseException, kind: Any) -> str:
    """Say what a value is not; what a plugin's own validator says stands as it is."""
    if isinstance(error, InvalidObjectError):
        return "; ".join(f"{one.what}, fix: {one.fix}" if one.fix else one.what for one in error.problems)
    if type(error) is ValueError and str(error):
        return str(error)
    if isinstance(error, AttributeError):  # it was asked for its keys
        return "must be a mapping"
    return format_exception(error, kind)


def _converter() -> cattrs.Converter:
    strict = cattrs.Converter(forbid_extra_keys=True)
    for cls in _SAID:
        strict.register_structure_hook(cls, _as_it_is)
    strict.register_structure_hook_func(is_enum, _word_of)
    for wanted, make in (
        (is_sequence, homogenous_tuple_structure_factory), (is_mutable_sequence, list_structure_factory), (is_any_set, _set_of),
    ):  # fmt: skip
        strict.register_structure_hook_factory(wanted, _listed(make))
    return strict


_STRICT = _converter()
