"""Hypothesis strategies for our objects, made from the same marks as their schemas: what is generated is valid."""

import functools
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import attrs
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.crd import NAME_LIMITS
from kubenode.core.fields import Field, Form, Told, fields_of, shape_of
from kubenode.core.model.meta import LABEL, Items, Keys, Number, Text, matches
from kubenode.core.model.risk import LEDGER

T = TypeVar("T", bound=m.Object)

FEW = 3
"""Most items of a generated list or map."""

_TEXTS = (
    "", "a", "7", "0042", "b-1", "kubelet", "kubelet-1.30.4", "v1.30.4+k3s1", "Ready", "KernelDeadlock", "True", "null",
    "zone=b", "set", "10.0.0.1", "fe80::1", "host.example.org", "example.org/role", "a_b.c", "kubelet.service", "1e3",
    "a: b # c", " x ", "é", "日本", "\N{GRINNING FACE}", "\u2028", '"', "\\n", "x" * 63, "z" * 253, "9" * 20,
    "/usr/bin/crictl", "abc123", "0f" * 32,
)  # fmt: skip
"""Texts that fit one pattern or another, and some that have made trouble elsewhere."""
_WORDS = st.sampled_from([text for text in _TEXTS if len(text) < 64 and re.fullmatch(LABEL, text)])
_LABELS = st.dictionaries(_WORDS | _WORDS.map(lambda word: f"example.org/{word}"), _WORDS, max_size=FEW)
_STAMPS = st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)) | st.just(
    datetime(2026, 3, 2, 9, 0, 0, 120_000, tzinfo=UTC)
)
_DURATIONS = st.integers(10, 86_400).map(lambda seconds: timedelta(seconds=seconds))
_QUANTITIES = st.builds(m.IntOrPercent, st.integers(1, 10_000)) | st.builds(
    m.IntOrPercent, st.integers(1, 100), st.just(value=True)
)

free_form = st.dictionaries(
    st.sampled_from(_TEXTS),
    st.recursive(
        st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.sampled_from(_TEXTS),
        lambda inner: (
            st.lists(inner, max_size=FEW) | st.dictionaries(st.sampled_from(_TEXTS), inner, max_size=FEW)
        ),
        max_leaves=6,
    ),
    max_size=FEW,
)
"""Parameters: JSON objects without nulls."""


def objects(cls: type[T], *, fresh: bool = False) -> st.SearchStrategy[T]:
    """Give whole valid objects of a kind.

    Args:
        cls: the kind.
        fresh: as a person writes them: nothing in them that a server or a controller fills in.
    """
    made = {field.name: _field(field) for field in fields_of(cls) if field.name != "metadata"}
    if fresh:
        made.pop("status", None)
    checks = _checks(cls)
    whole = st.builds(cls, metadata=metadata(cls, fresh=fresh), **made)
    return whole.filter(lambda one: all(check(one) for check in checks))


def metadata(cls: type[m.Object], *, fresh: bool = False) -> st.SearchStrategy[m.ObjectMeta]:
    """Give metadata for objects of a kind."""
    words = st.lists(_WORDS, min_size=1, max_size=FEW).map(".".join)
    names = st.just(LEDGER) if cls is m.RiskLedger else words
    written = {
        "name": names.filter(lambda name: len(name) <= NAME_LIMITS.get(cls.KIND.name, 253)),
        "labels": _LABELS,
        "annotations": st.dictionaries(_WORDS, st.sampled_from(_TEXTS), max_size=FEW),
        "finalizers": st.lists(_WORDS.map(lambda word: f"example.org/{word}"), max_size=FEW).map(tuple),
    }
    served = {
        "uid": st.uuids().map(str),
        "generation": st.integers(1, 2**53),
        "resource_version": st.integers(1, 2**53).map(str),
        "creation_timestamp": st.none() | _STAMPS,
        "deletion_timestamp": st.none() | _STAMPS,
    }
    return st.builds(m.ObjectMeta, **written, **({} if fresh else served))


@functools.cache
def parts(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Give valid values of any model class that is no kind: a spec, a status, an entry."""
    made = st.builds(cls, **{field.name: _field(field) for field in fields_of(cls)})
    if cls in LIKELY:
        made = made.map(LIKELY[cls])
    checks = _checks(cls)
    return made.filter(lambda one: all(check(one) for check in checks))


def _checks(cls: type[Any]) -> list[Callable[[Any], bool]]:
    return [rule.check for rule in shape_of(cls).rules if rule.check is not None]


def _self_selecting(spec: m.MachineSetSpec) -> m.MachineSetSpec:
    """Give the template the labels that are selected: by chance it would hardly ever have them."""
    wanted = spec.selector.match_labels or {"pool": "general"}
    template = attrs.evolve(spec.template, labels={**spec.template.labels, **wanted})
    return attrs.evolve(spec, selector=m.Selector(match_labels=wanted), template=template)


def _one_way(probe: m.ComponentProbe) -> m.ComponentProbe:
    """Keep the first way of a probe; by chance there would hardly ever be one."""
    ways = {name: getattr(probe, name) for name in ("exec", "http", "tcp", "unit", "version")}
    first = next((name for name, way in ways.items() if way is not None), None)
    kept = {name: way if name == first else None for name, way in ways.items()}
    return attrs.evolve(probe, **(kept if first else {**kept, "unit": "kubelet.service"}))


def _with_program(probe: Any) -> Any:
    """Let a command begin with the path of a program."""
    return attrs.evolve(probe, command=("/usr/bin/crictl", *probe.command[1:]))


def _one_cause(spec: m.RemedyOperationJobSpec) -> m.RemedyOperationJobSpec:
    """Keep one of rule and drift: by chance a job would mostly have both or none."""
    if spec.remedier and spec.component:
        return attrs.evolve(spec, **{"remedier" if spec.episode % 2 else "component": ""})
    return spec if spec.remedier or spec.component else attrs.evolve(spec, remedier="hung-task")


LIKELY: Mapping[type[Any], Callable[[Any], Any]] = {
    m.MachineSetSpec: _self_selecting,
    m.RemedyOperationJobSpec: _one_cause,
    m.ComponentProbe: _one_way,
    m.ExecProbe: _with_program,
    m.VersionProbe: _with_program,
}
"""What makes a value that fits its fields likely to fit its rules too."""


def _field(field: Field) -> st.SearchStrategy[Any]:
    value = _value(field.told)
    return st.none() | value if field.told.optional else value


def _value(said: Told) -> st.SearchStrategy[Any]:
    match said.form:
        case Form.SCALAR:
            return _scalar(said)
        case Form.ENUM:
            return st.sampled_from(said.bare)
        case Form.MODEL:
            return parts(said.bare)
        case Form.FREE:
            return free_form
        case Form.LIST:
            return _list(said)
        case Form.MAP:
            return _map(said)


def _scalar(said: Told) -> st.SearchStrategy[Any]:
    whole = {bool: st.booleans(), datetime: _STAMPS, timedelta: _DURATIONS, m.IntOrPercent: _QUANTITIES}
    if said.bare in whole:
        return whole[said.bare]
    if said.bare is int:
        number = said.mark(Number)
        return st.integers(-(2**63), 2**63 - 1) if number is None else st.integers(number.min, number.max)
    text = said.mark(Text) or Text(max=20)
    return _text(text.max, text.min, text.pattern)


def _text(most: int, least: int = 0, pattern: str | None = None) -> st.SearchStrategy[str]:
    fitting = [
        text for text in _TEXTS if least <= len(text) <= most and (not pattern or matches(pattern, text))
    ]
    assert fitting, f"no text of tests/strategies.py fits {pattern}"
    return st.sampled_from(fitting)


def _list(said: Told) -> st.SearchStrategy[Any]:
    assert said.item is not None
    bounds = said.mark(Items) or Items(max=FEW)
    keys = (
        [field.name for field in fields_of(said.item.bare) if field.wire in bounds.key] if bounds.key else []
    )
    return st.lists(
        _value(said.item),
        min_size=bounds.min,
        max_size=min(bounds.max, max(bounds.min, FEW)),
        unique_by=(lambda one: tuple(getattr(one, key) for key in keys)) if keys else None,
    ).map(tuple)


def _map(said: Told) -> st.SearchStrategy[Any]:
    assert said.item is not None
    bounds = said.mark(Keys) or Keys(max=FEW)
    return st.dictionaries(
        _text(bounds.key_max, 1, bounds.pattern), _value(said.item), max_size=min(bounds.max, FEW)
    )
