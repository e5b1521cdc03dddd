"""Snapshots and decisions as JSON and back, driven by the types of their fields.

Objects are written as on the wire, with what a newer version wrote and this one did not know beside it; all else by
the names of its fields. What is None or empty by default is left out, every other default is written, so that
a default that changes does not change what was recorded. Reading takes nothing that it does not know.
"""

import base64
import enum
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, Union, get_args, get_origin

import attrs
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from kubenode.core import converting, wire
from kubenode.core.accept.decide import AcceptSnapshot
from kubenode.core.decision import Decision
from kubenode.core.doctor.decide import DoctorSnapshot
from kubenode.core.drift.decide import DriftSnapshot
from kubenode.core.enrol.decide import EnrolSnapshot
from kubenode.core.external.decide import ExternalSnapshot
from kubenode.core.forms import is_annotated, is_enum, is_map, is_tuple
from kubenode.core.host.decide import NodeSnapshot
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.machineset.crew import MachineSetSnapshot
from kubenode.core.model import WATCHED, Json, Object
from kubenode.core.model.cloudevents import CloudEvents
from kubenode.core.model.componentset import MachineComponentSetStatus
from kubenode.core.model.condition import AcceptedStatus
from kubenode.core.model.machine import AgentStatus, Enrolment, MachineStatus
from kubenode.core.model.machineset import MachineSetStatus
from kubenode.core.model.remediation import KubenodeRemediationStatus
from kubenode.core.model.remedy import DryRun, RemedyOperationJobStatus
from kubenode.core.model.risk import RiskLedgerStatus
from kubenode.core.reading import format_stamp, members, parse_stamp, plain_copy
from kubenode.core.remedy.abandoned import AbandonedSnapshot
from kubenode.core.remedy.decide import RemedySnapshot
from kubenode.core.remedy.rehearse import RehearsalSnapshot
from kubenode.core.remedy.repair import RepairSnapshot
from kubenode.core.risk.decide import FleetSnapshot
from kubenode.core.rollout.decide import RolloutSnapshot
from kubenode.runtime.record.text import Float, marked, text

Hook: TypeAlias = Callable[[Any, Any], Any]

SNAPSHOTS: Final[Mapping[str, tuple[type[Any], Any]]] = {
    "machine": (MachineSnapshot, Decision[MachineStatus]),
    "machineset": (MachineSetSnapshot, Decision[MachineSetStatus]),
    "rollout": (RolloutSnapshot, Decision[MachineComponentSetStatus]),
    "drift": (DriftSnapshot, Decision[MachineComponentSetStatus]),
    "remedy": (RemedySnapshot, Decision[RemedyOperationJobStatus]),
    "repair": (RepairSnapshot, Decision[RemedyOperationJobStatus]),
    "rehearsal": (RehearsalSnapshot, Decision[DryRun]),
    "abandoned": (AbandonedSnapshot, Decision[RemedyOperationJobStatus]),
    "accept": (AcceptSnapshot, Decision[AcceptedStatus]),
    "risk": (FleetSnapshot, Decision[RiskLedgerStatus]),
    "agent": (NodeSnapshot, Decision[AgentStatus]),
    "enrol": (EnrolSnapshot, Decision[Enrolment]),
    "doctor": (DoctorSnapshot, Decision[CloudEvents]),
    "external": (ExternalSnapshot, Decision[KubenodeRemediationStatus]),
}
"""The snapshots of all deciders by the word that stands in a recording, and what is decided from each."""
_WORDS: Final[Mapping[type[Any], str]] = {snapshot: word for word, (snapshot, _) in SNAPSHOTS.items()}
_VALUES: Final = frozenset({str, int, bool, datetime, NoneType})
_MOST_HELD: Final = 256
"""Values of a class without parts that are held with what is written of them."""
_EMPTY: Final[tuple[Any, ...]] = (None, "", (), {}, frozenset())


def write(value: Any, cls: Any) -> Any:
    """Write a value of a type as JSON."""
    return _CONVERTER.get_unstructure_hook(cls)(value)


def read(raw: Any, cls: Any) -> Any:
    """Read what `write` wrote of a value of that type.

    Raises:
        Exception: whatever comes of JSON that is not as it was written; `file.py` says where and what to do.
    """
    return _CONVERTER.get_structure_hook(cls)(raw, cls)


def word_of(snapshot: Any) -> str:
    """Give the word by which a recording names a class of snapshots."""
    return _WORDS[type(snapshot)]


def canonical(decision: Decision[Any], word: str) -> str:
    """Give the one text of a decision: keys are sorted, so that equal decisions are equal byte for byte."""
    _, cls = SNAPSHOTS[word]
    return text(write(decision, cls), in_order=True)


def write_object(obj: Object) -> Json:
    """Write an object as on the wire, and beside it what its version wrote and this one does not know."""
    unknown = list(obj.metadata.unknown)
    return {**wire.dump(obj, _OBJECTS), **({"unknown": unknown} if unknown else {})}


def read_object(raw: Json) -> Object:
    """Read what `write_object` wrote."""
    known = dict(raw)
    unknown = tuple(known.pop("unknown", ()))
    obj: Any = wire.read(known, wire.kind_of(known["kind"]))
    found: Object = attrs.evolve(obj, metadata=attrs.evolve(obj.metadata, unknown=unknown))
    return found


# How cattrs reads and writes each form of type.


def _exactly(bare: type) -> Hook:
    def hook(value: Any, _: Any) -> Any:
        if type(value) is not bare:
            raise TypeError(f"{value!r} is no {bare.__name__}")
        return value

    return hook


def _is_object(cls: Any) -> bool:
    return cls is Object or cls in WATCHED


def _is_union(cls: Any) -> bool:
    return get_origin(cls) in (Union, UnionType)


def _is_set(cls: Any) -> bool:
    return get_origin(cls) is frozenset


def _bare(cls: Any) -> Any:
    return get_args(cls)[0] if is_annotated(cls) else cls


def _read_union(cls: Any, converter: Converter) -> Hook:
    """Read a value of one of several types: null, a list, or a mapping that says which class it is."""
    parts = [part for part in map(_bare, get_args(cls)) if part is not NoneType]
    if len(parts) == 1:
        (only,) = parts
        inner = converter.get_structure_hook(only)
        return lambda value, _: None if value is None else inner(value, only)
    named = {part.__name__: (part, converter.get_structure_hook(part)) for part in parts if attrs.has(part)}
    lists = [(part, converter.get_structure_hook(part)) for part in parts if is_tuple(part)]
    nullable = NoneType in get_args(cls)

    def read_one(value: Any, _: Any) -> Any:
        if value is None and nullable:
            return None
        if isinstance(value, list):
            ((part, hook),) = lists
        elif "kind" in value and "apiVersion" in value:
            return read_object(value)
        else:
            value = dict(value)
            part, hook = named[value.pop("is")]
        return hook(value, part)

    return read_one


def _write_union(cls: Any, converter: Converter) -> Callable[[Any], Any]:
    parts = [part for part in map(_bare, get_args(cls)) if part is not NoneType]
    if len(parts) == 1:
        (only,) = parts
        inner = converter.get_unstructure_hook(only)
        return lambda value: None if value is None else inner(value)
    named = {part: converter.get_unstructure_hook(part) for part in parts if attrs.has(part)}
    lists = [converter.get_unstructure_hook(part) for part in parts if is_tuple(part)]

    def write_one(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, tuple):
            (hook,) = lists
            return hook(value)
        if type(value) in WATCHED:
            return write_object(value)
        # No class has a field of this name: it is a word of Python.
        return {"is": type(value).__name__, **named[type(value)](value)}

    return write_one


def _read_tuple(cls: Any, converter: Converter) -> Hook:
    """Read a list; of one type throughout, or of a type a place."""
    parts = get_args(cls)
    if len(parts) == 2 and parts[1] is Ellipsis:
        item = parts[0]
        hook = converter.get_structure_hook(item)
        return lambda value, _: tuple([hook(part, item) for part in _listed(value)])
    places = [(part, converter.get_structure_hook(part)) for part in parts]
    return lambda value, _: tuple(
        hook(one, part) for one, (part, hook) in zip(_listed(value), places, strict=True)
    )


def _write_tuple(cls: Any, converter: Converter) -> Callable[[Any], Any]:
    parts = get_args(cls)
    if len(parts) == 2 and parts[1] is Ellipsis:
        hook = converter.get_unstructure_hook(parts[0])
        return lambda value: [hook(part) for part in value]
    hooks = [converter.get_unstructure_hook(part) for part in parts]
    return lambda value: [hook(one) for one, hook in zip(value, hooks, strict=True)]


def _read_set(cls: Any, converter: Converter) -> Hook:
    (item,) = get_args(cls)
    hook = converter.get_structure_hook(item)
    return lambda value, _: frozenset(hook(part, item) for part in _listed(value))


def _write_set(cls: Any, converter: Converter) -> Callable[[Any], Any]:
    """Write a set in an order that does not depend on the hash seed."""
    (item,) = get_args(cls)
    hook = converter.get_unstructure_hook(item)
    return lambda value: sorted((hook(part) for part in value), key=text)


def _read_map(cls: Any, converter: Converter) -> Hook:
    """Read a mapping; one whose keys are no strings is a list of pairs."""
    key, item = get_args(cls)
    hook = converter.get_structure_hook(item)
    if _bare(key) is str:
        return lambda value, _: {name: hook(part, item) for name, part in value.items()}
    name_hook = converter.get_structure_hook(key)
    return lambda value, _: {name_hook(name, key): hook(part, item) for name, part in _listed(value)}


def _write_map(cls: Any, converter: Converter) -> Callable[[Any], Any]:
    key, item = get_args(cls)
    hook = converter.get_unstructure_hook(item)
    if _bare(key) is str:
        return lambda value: {name: hook(part) for name, part in value.items()}
    name_hook = converter.get_unstructure_hook(key)
    return lambda value: [[name_hook(name), hook(part)] for name, part in value.items()]


def _listed(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError(f"{value!r} is no list")
    return value


def _read_enum(cls: type[enum.Enum]) -> Hook:
    """Read a member by its value; a value of a newer version stays the text that it was."""
    known = members(cls)
    return lambda value, _: known.get(value, value)


def _write_class(cls: Any, converter: Converter) -> Callable[[Any], Json]:
    fields = attrs.fields(get_origin(cls) or cls)
    how: dict[str, Any] = {
        field.name: override(omit_if_default=True) for field in fields if _default(field) in _EMPTY
    }
    hook = make_dict_unstructure_fn(cls, converter, **how)
    return _once(hook) if all(_is_value(field.type) for field in fields) else hook


def _is_value(cls: Any) -> bool:
    """Tell whether a type is of single values, or one of those or None."""
    parts = [_bare(part) for part in get_args(cls)] if _is_union(cls) else [_bare(cls)]
    return all(is_enum(part) or part in _VALUES for part in parts)


def _once(writes: converting.Writes) -> converting.Writes:
    """Write a value of a class without parts once, as long as it is held.

    Reading gives equal ones as one object, and a decision what it was given: most values of a record stood in the one before.
    """
    known: dict[int, tuple[Any, Json]] = {}

    def write_once(value: Any) -> Json:
        found = known.get(id(value))
        if found is None:  # what is known is held, so nothing else has its id
            if len(known) >= _MOST_HELD:
                known.clear()
            found = known[id(value)] = (value, writes(value))
        return found[1]

    return write_once


def _default(field: "attrs.Attribute[Any]") -> Any:
    default: Any = field.default
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]  # a class, stubbed as a function


def _made() -> Converter:
    made = Converter(detailed_validation=False, forbid_extra_keys=True)
    for bare in (bool, int, str):
        made.register_structure_hook(bare, _exactly(bare))
        made.register_unstructure_hook(bare, lambda value: value)
    made.register_structure_hook(Any, lambda value, _: plain_copy(value))
    made.register_unstructure_hook(Any, marked)
    made.register_unstructure_hook(float, Float)
    made.register_structure_hook(bytes, lambda value, _: base64.b64decode(value, validate=True))
    made.register_unstructure_hook(bytes, lambda value: base64.b64encode(value).decode())
    made.register_structure_hook(datetime, lambda value, _: parse_stamp(value))
    made.register_unstructure_hook(datetime, format_stamp)
    made.register_structure_hook(timedelta, lambda value, _: timedelta(microseconds=value))
    made.register_unstructure_hook(timedelta, lambda value: value // timedelta(microseconds=1))
    pairs: tuple[tuple[Callable[[Any], bool], Any, Any], ...] = (
        (
            attrs.has,
            lambda cls: make_dict_structure_fn(
                cls, made, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=False
            ),
            lambda cls: _write_class(cls, made),
        ),
        (is_enum, _read_enum, lambda _: lambda value: getattr(value, "value", value)),
        (
            is_annotated,
            lambda cls: made.get_structure_hook(_bare(cls)),
            lambda cls: made.get_unstructure_hook(_bare(cls)),
        ),
        (is_tuple, lambda cls: _read_tuple(cls, made), lambda cls: _write_tuple(cls, made)),
        (_is_set, lambda cls: _read_set(cls, made), lambda cls: _write_set(cls, made)),
        (is_map, lambda cls: _read_map(cls, made), lambda cls: _write_map(cls, made)),
        (_is_union, lambda cls: _read_union(cls, made), lambda cls: _write_union(cls, made)),
        (_is_object, lambda _: lambda value, _: read_object(value), lambda _: write_object),
    )
    for applies, reads, writes in pairs:
        made.register_structure_hook_factory(applies, reads)
        made.register_unstructure_hook_factory(applies, writes)
    return made


_CONVERTER: Final = _made()
_OBJECTS: Final = converting.writer(free=marked, plain=_once)
