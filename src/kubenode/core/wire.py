"""Objects to JSON and back.

Two readers from one description. `load` is strict, for what people submit: every problem at once.
`read` is lenient, for what a server serves: what this version does not know ends in `metadata.unknown`.
Reading is fast because `core/converting.py` reads what is wholly known, by cattrs; only when that stumbles does the walk
of `core/reading.py` find out where and over what.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import attrs
from cattrs import Converter

from kubenode.core.converting import TYPE_META, WRITER, reader
from kubenode.core.crd import NAME_LIMITS, schema_of
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.fields import fields_of
from kubenode.core.metadata import metadata_problems
from kubenode.core.model import ASKED, KINDS, REMEDIATION, WATCHED, Json, Object
from kubenode.core.model.meta import LABEL
from kubenode.core.model.quantity import DURATION_PATTERN, PERCENT_PATTERN
from kubenode.core.reading import Fault, Finding, Walk, near, plain_copy, unsendable, within_64_bits
from kubenode.core.schema import NOWHERE, defaulted, prune, validate

T = TypeVar("T", bound=Object)
_IN_BODY: Final = re.compile(r"Invalid value: (.*): \S+ in body (.*)", re.DOTALL)
_FORMS: Final[Mapping[str, str]] = {
    f"^{LABEL}$": "use lower-case letters, digits and '-'; begin and end with a letter or digit",
    "^[0-9]+$": 'use digits only, as in "7"',
    DURATION_PATTERN: "write hours, minutes and seconds, as in 1h30m or 90s",
    PERCENT_PATTERN: "write a number as in 3, or a percentage as in 10%",
}
"""What some patterns ask for, in words."""
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
    write = (WRITER if by is None else by).unstructure
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
    return WRITER.unstructure(value)


def read(raw: Json, cls: type[T]) -> T:
    """Read what a server serves; what this version does not know is told by path in `metadata.unknown`.

    Unknown fields are left out (of kinds that are not ours, such as Nodes, without a word), unknown values of enumerations
    stay text, and what has a wrong type leaves its field at the default.

    Raises:
        InvalidObjectError: something required is missing or cannot be read, so there is no object.
    """
    try:
        made: T = reader(cls)(raw)
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
