"""Objects to JSON and back: the only user of cattrs.

Two readers from one description. `load` is strict, for what people submit: every problem at once.
`read` is lenient, for what a server serves: what this version does not know ends in `metadata.unknown`.
Reading is fast because cattrs reads what is wholly known; only when it stumbles does the walk of
`core/reading.py` find out where and over what.
"""

import enum
import functools
import re
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, TypeVar, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from kubenode.core.crd import NAME_LIMITS, schema_of
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.fields import Field, Form, fields_of, is_model
from kubenode.core.forms import is_annotated, is_enum, is_map, is_tuple
from kubenode.core.metadata import metadata_problems
from kubenode.core.model import ASKED, KINDS, REMEDIATION, WATCHED, IntOrPercent, Json, Object, ObjectMeta
from kubenode.core.model.meta import LABEL
from kubenode.core.model.quantity import DURATION_PATTERN, PERCENT_PATTERN, format_duration, parse_duration
from kubenode.core.reading import (
    Fault,
    Finding,
    Walk,
    format_stamp,
    members,
    near,
    parse_stamp,
    plain_copy,
    unsendable,
    within_64_bits,
)
from kubenode.core.schema import NOWHERE, defaulted, prune, validate

T = TypeVar("T", bound=Object)
Writes: TypeAlias = Callable[[Any], Json]

_MOST_SHARED: Final = 1024
"""Values of a class without parts that are kept to be given again."""
_IN_BODY: Final = re.compile(r"Invalid value: (.*): \S+ in body (.*)", re.DOTALL)
_FORMS: Final[Mapping[str, str]] = {
    f"^{LABEL}$": "use lower-case letters, digits and '-'; begin and end with a letter or digit",
    "^[0-9]+$": 'use digits only, as in "7"',
    DURATION_PATTERN: "write hours, minutes and seconds, as in 1h30m or 90s",
    PERCENT_PATTERN: "write a number as in 3, or a percentage as in 10%",
}
"""What some patterns ask for, in words."""
TYPE_META: Final = frozenset({"apiVersion", "kind"})
_BY_NAME: Final[Mapping[str, type[Object]]] = {cls.KIND.name: cls for cls in (*WATCHED, *ASKED, *REMEDIATION)}


def kind_of(name: str) -> type[Object]:
    """Give the class of a kind.

    Raises:
        InvalidObjectError: no such kind.
    """
    found = _BY_NAME.get(name)
    if found is None:
        raise InvalidObjectError(
            (Problem(where="kind", what=f"{name!r} is no kind", fix=near(name, _BY_NAME)),)
        )
    return found


def dump(obj: Object, by: Converter | None = None) -> Json:
    """Write a whole object; what is None or empty by default is left out, and a status that says nothing.

    Args:
        obj: the object.
        by: what writes its parts, as `writer` gives it; None writes them as they are sent.
    """
    write = (_WRITER if by is None else by).unstructure
    kind = obj.KIND
    parts = {field.wire: (getattr(obj, field.name), field.default) for field in fields_of(type(obj))}
    written = {
        name: write(part) for name, (part, default) in parts.items() if name != "status" or part != default
    }
    return {"apiVersion": kind.api_version, "kind": kind.name, **written}


def dump_part(value: Any) -> Any:
    """Write any part of an object: a spec, a status, an entry, conditions, a quantity."""
    if type(value) is str:  # most are
        return value
    if isinstance(value, tuple | list):
        return [dump_part(item) for item in value]
    if isinstance(value, Mapping):
        return {key: dump_part(item) for key, item in value.items()}
    return _WRITER.unstructure(value)


def read(raw: Json, cls: type[T]) -> T:
    """Read what a server serves; what this version does not know is told by path in `metadata.unknown`.

    Unknown fields are left out (of kinds that are not ours, such as Nodes, without a word), unknown values of enumerations
    stay text, and what has a wrong type leaves its field at the default.

    Raises:
        InvalidObjectError: something required is missing or cannot be read, so there is no object.
    """
    try:
        made: T = _reader(cls)(raw)
    except Exception:  # whatever cattrs stumbled over, the walk tells where
        return _walked(raw, cls)
    return made


def load(raw: Json) -> Object:
    """Read what a person wrote.

    Raises:
        InvalidObjectError: with every problem at once; what is no JSON, but for too large a number, is told before all
            else.
    """
    if not isinstance(raw, dict):
        raise InvalidObjectError(
            (Problem(where="", what="is not an object", fix="begin with apiVersion: and kind:"),)
        )
    problems = [_problem(one) for one in unsendable(raw)]
    if problems:
        raw = within_64_bits(raw)
        if any(True for _ in unsendable(raw)):
            raise InvalidObjectError(tuple(problems))
    told = {problem.where for problem in problems}
    cls, of_type = _named(raw)
    problems += (one for one in of_type if one.where not in told)
    if cls is None:
        raise InvalidObjectError(tuple(problems))
    of_metadata = metadata_problems(raw.get("metadata"), NAME_LIMITS.get(cls.KIND.name, 253))
    problems += (one for one in of_metadata if one.where not in told)
    made = _judged(cls, raw, problems)
    if problems or made is None:
        raise InvalidObjectError(tuple(problems))
    return made


def patch_of(old: Any, new: Any) -> Json | None:
    """Give the JSON merge patch that turns one wire mapping into another, or None when they are equal.

    A null in `new` cannot be written by a merge patch; it counts as absent.
    """
    patch: Json = {key: None for key, value in old.items() if value is not None and new.get(key) is None}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            inner = patch_of(before, value)
            if inner is not None:
                patch[key] = inner
        elif value is not None and not _same(before, value):
            patch[key] = _bare(value)
    return patch or None


def _same(one: Any, other: Any) -> bool:
    """Compare JSON; true is not 1, and an absent key is a null."""
    if isinstance(one, dict) and isinstance(other, dict):
        return patch_of(one, other) is None
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _bare(value: Any) -> Any:
    """Leave nulls out of mappings, where a merge patch would take them for a removal."""
    if isinstance(value, dict):
        return {key: _bare(part) for key, part in value.items() if part is not None}
    return plain_copy(value)


def _named(raw: Json) -> tuple[type[Object] | None, list[Problem]]:
    """Find the class that an object says it is of."""
    problems: list[Problem] = []
    name, version = raw.get("kind"), raw.get("apiVersion")
    cls = next((cls for cls in KINDS if cls.KIND.name == name), None)
    if cls is None:
        what = "is missing" if name is None else f"{name!r} is no kind of kubenode"
        problems.append(
            Problem(where="kind", what=what, fix=near(str(name), [one.KIND.name for one in KINDS]))
        )
    wanted = KINDS[0].KIND.api_version
    if version != wanted:
        what = "is missing" if version is None else f"{version!r} is not known"
        problems.append(Problem(where="apiVersion", what=what, fix=f"write apiVersion: {wanted}"))
    return cls, problems


def _judged(cls: type[Object], raw: Json, problems: list[Problem]) -> Object | None:
    """Read an object and add its problems; one a place, and the walk, which knows what to write, goes first."""
    walk = Walk(strict=True)
    made: Object | None = walk.object(cls, raw, "", TYPE_META)
    told = {problem.where for problem in problems} | TYPE_META
    for finding in walk.found:
        # Of the fields of metadata our class has only those that we look at.
        known = finding.fault is Fault.FIELD and finding.path.startswith("metadata.")
        if finding.path not in told and not known:
            problems.append(_problem(finding))
    told |= {finding.path for finding in walk.found}
    schema = schema_of(cls)
    for cause in validate(defaulted(prune(raw, schema)[0], schema), schema):
        # The server tells a number that does not fit its format twice, once without a place.
        if cause.field not in told | {NOWHERE}:
            what, fix = _in_short(cause.message), _form(cause.message)
            problems.append(Problem(where=cause.field, what=what, fix=fix))
            told.add(cause.field)
    return made


def _in_short(message: str) -> str:
    """Leave out of a server's text what is said already: that it is invalid, and where."""
    match = _IN_BODY.fullmatch(message)
    return f"{match[1]} {match[2]}" if match else message


def _form(message: str) -> str:
    """Say in words what a pattern asks for, where we have words."""
    return next((words for pattern, words in _FORMS.items() if message.endswith(f"'{pattern}'")), "")


def _problem(finding: Finding) -> Problem:
    return Problem(where=finding.path, what=finding.what, fix=finding.fix)


def _walked(raw: Json, cls: type[T]) -> T:
    walk = Walk(strict=False)
    made = walk.object(cls, raw, "", TYPE_META)
    if made is None:
        raise InvalidObjectError(
            tuple(_problem(f) for f in walk.found if f.fault in {Fault.MISSING, Fault.WRONG})
        )
    ours = cls.KIND.served
    unknown = tuple(
        finding.path for finding in walk.found
        if finding.fault is not Fault.FIELD or (ours and not finding.path.startswith("metadata."))
    )  # fmt: skip
    found: T = attrs.evolve(made, metadata=attrs.evolve(made.metadata, unknown=unknown))
    return found


# How cattrs reads and writes our values. Its own hooks would take "3" and true for numbers.


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


_WRITER: Final = writer()
_OURS: Final = _converter(forbids=True)
_THEIRS: Final = _converter(forbids=False)


def part_reader(cls: type[Any], name: str) -> Callable[[Any], Any]:
    """Give what reads one field of a kind when everything in it is known, and raises anything else when not."""
    of = attrs.fields_dict(cls)[name].type
    hook = (_OURS if cls.KIND.served else _THEIRS).get_structure_hook(of)
    return lambda raw: hook(raw, of)


@functools.cache
def _reader(cls: type[Any]) -> Callable[[Any], Any]:
    """Compile the reader of a kind for objects in which everything is known."""
    hook = (_OURS if cls.KIND.served else _THEIRS).get_structure_hook(cls)
    return lambda raw: hook(raw, cls)
