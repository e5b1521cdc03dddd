"""Objects with one mistake each, or none: good ones of every kind, changed once as the kind's own schema suggests.

Judged by core and a real server (`tests/cluster/test_agreement.py`), and by both readers (`tests/core/test_readers.py`).
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

import attrs
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.crd import schema_of
from tests.strategies import objects

Place: TypeAlias = tuple[str | int, ...]
"""The keys and positions that lead to a value of an object."""


SET: Final[m.Json] = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "MachineSet", "metadata": {"name": "s"},
    "spec": {
        "replicas": 1, "selector": {"matchLabels": {"a": "b"}},
        "template": {"labels": {"a": "b"}, "spec": {"infrastructure": {"provider": "p"}}},
    },
}  # fmt: skip
JOB: Final[m.Json] = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "RemedyOperationJob", "metadata": {"name": "j"},
    "spec": {"machine": {"name": "m", "uid": "u"}, "remedier": "r", "episode": 1, "cause": {"type": "T"}},
}  # fmt: skip
POLICY: Final[m.Json] = {
    "apiVersion": "kubenode.dev/v1alpha1", "kind": "RiskPolicy", "metadata": {"name": "p"},
}  # fmt: skip


_V1: Final = "kubenode.dev/v1alpha1"
BASES: Final[dict[type[m.Object], m.Json]] = {
    m.Machine: {
        "apiVersion": _V1, "kind": "Machine", "metadata": {"name": "m"}, "spec": {"host": {"address": "a"}},
    },
    m.MachineSet: SET,
    m.MachineComponentSet: {
        "apiVersion": _V1, "kind": "MachineComponentSet", "metadata": {"name": "c"}, "spec": {"name": "c", "component": "c"},
    },
    m.NodeRemedier: {
        "apiVersion": _V1, "kind": "NodeRemedier", "metadata": {"name": "r"},
        "spec": {"condition": {"type": "T"}, "ladder": [{"action": "reboot"}]},
    },
    m.RemedyOperationJob: JOB,
    m.RiskPolicy: POLICY,
    m.RiskLedger: {"apiVersion": _V1, "kind": "RiskLedger", "metadata": {"name": "cluster"}},
}  # fmt: skip
"""One object of each kind that has a status; the server keeps it while its statuses are judged."""


def places_in(value: Any, schema: m.Json, at: Place = ()) -> Iterator[tuple[Place, m.Json]]:
    """Give every place that an object has and its schema knows, with the schema of what stands there."""
    yield at, schema
    if isinstance(value, dict):
        for key, part in value.items():
            below = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if below is not None:
                yield from places_in(part, below, (*at, key))
    elif isinstance(value, list) and "items" in schema:
        for index, part in enumerate(value):
            yield from places_in(part, schema["items"], (*at, index))


_ODD_TEXTS: Final = (
    "", " ", "a b", "a\n", "\n", "\t", "\x00", "a\x07", "\x7f", "é", "日本", "\N{GRINNING FACE}", "\u2028", "\ufeff",
    "-a", "a-", "A", "a/b", "a//b", "/", ".", "..", "a.b", "true", "null", "1", "-1", "0", "1e3", "NaN", "${x}", "'",
    "x" * 64, "x" * 254, "x" * 318, "é" * 200, "Never", "restartunit",
)  # fmt: skip
_ODD_AMOUNTS: Final = (
    "1d", "-1s", "1.5h", "PT1H", "9000h", "8784h", "8785h", "1s1h", "1h1h", "99999999999999999999h", "1h 1m", "1ms", "0s", "1H",
    "0%", "1%", "100%", "101%", "10", "-1%", "1.5%", "%", "010%", "1%%", "1Gi",
    "yesterday", "2026-01-01", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z",
    "2026-01-01T23:59:60Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00+01:00",
    "2026-01-01T00:00:00,5Z", "0000-01-01T00:00:00Z", "2026-01-01T00:00:00.123456789Z", "2026-01-01t00:00:00z",
    "2026-01-01T00:00:00+99:99", "2026-1-1T0:0:0Z", "9999-12-31T23:59:59-23:59",
)  # fmt: skip
_ODD_NUMBERS: Final = (
    0, -1, 1, 2**31 - 1, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30,
    0.0, 1.0, 1.5, -0.0, 1e15, 1e17, 1e300, 5e-324,
)  # fmt: skip
_ODD_VALUES: Final = (
    *_ODD_TEXTS,
    *_ODD_AMOUNTS,
    *_ODD_NUMBERS,
    True,
    False,
    None,
    [],
    {},
    [None],
    [{}],
    {"a": None},
)
_METADATA: Final = (
    ("name", ("", "Upper", "a b", "a..b", "-a", "a.", "x" * 64, "x" * 254, "é", "a\n", 7, None, [])),
    ("labels", ({"a b": "c"}, {"a": "x y"}, {"a": "x" * 64}, {"": ""}, {"x" * 64: ""}, {"a/b/c": ""}, {"é": ""},
        {"a": 1}, {"a": True}, {"a": None}, [], "a", {"A.b/c": ""}, {"a\n": ""}, {"a": "b\n"}, {"/a": ""})),
    ("annotations", ({"a b": "c"}, {"a": "x y"}, {"UP/a": ""}, {"": ""}, {"a": 1}, {"a": None}, [], {"a": "x" * 262_144})),
    ("finalizers", (["a/b"], ["a b"], [""], ["a"], "a", [1], [None], ["a/b", "a/b"], ["x" * 64 + "/a"], ["a/" + "x" * 64], ["a/b/c"])),
    ("namespace", ("default", "", None)),
    ("generateName", ("a-", "A", "")),
    ("ownerReferences", ([], [{}], "a", [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}])),
    ("surplus", ("x", {})),
    ("uid", ("x", 7)),
    ("resourceVersion", ("", "x", 7)),
    ("generation", (1, "x", 2**64)),
    ("creationTimestamp", (None, "2026-01-01T00:00:00Z", "soon")),
)  # fmt: skip
"""What may stand in metadata, each field with values of all kinds."""


@attrs.frozen(kw_only=True)
class Change:
    """One change of an object at a place."""

    at: Place
    name: str
    make: Callable[[Any], Any] = attrs.field(repr=False)


def changes(value: Any, schema: m.Json, at: Place) -> Iterator[Change]:
    """Give every change that the schema of a value suggests, but for other values of odd types."""
    if isinstance(value, dict):
        yield Change(at=at, name="an unknown field", make=lambda old: {**old, "surplus": 1})
        yield Change(at=at, name="an odd key", make=lambda old: {**old, "A b": next(iter(old.values()), "x")})
        yield Change(at=at, name="an empty key", make=lambda old: {**old, "": next(iter(old.values()), "x")})
        for key in value:
            yield Change(
                at=at,
                name=f"without {key}",
                make=lambda old, key=key: {k: v for k, v in old.items() if k != key},
            )
        if "additionalProperties" in schema and value:
            most, one = schema["maxProperties"], next(iter(value.values()))
            yield Change(
                at=at,
                name="too many keys",
                make=lambda old: {**old, **{f"k{i}": one for i in range(most + 1)}},
            )
            yield Change(at=at, name="a long key", make=lambda old: {**old, "x" * 318: one})
    if isinstance(value, list) and value:
        most = schema["maxItems"]
        yield Change(at=at, name="twice the first", make=lambda old: [old[0], *old])
        yield Change(at=at, name="too many items", make=lambda old: [old[0]] * (most + 1))
        yield Change(at=at, name="a null item", make=lambda old: [*old, None])
    for word in ("minimum", "maximum"):
        if word in schema:
            for step in (-1, 0, 1):
                yield Change(
                    at=at, name=f"{word} {step:+}", make=lambda _, word=word, step=step: schema[word] + step
                )
    for word in ("minLength", "maxLength"):
        if word in schema:
            for step in (-1, 0, 1):
                count = max(schema[word] + step, 0)
                yield Change(at=at, name=f"{word} {step:+}", make=lambda _, count=count: "x" * count)


@st.composite
def bad_objects(draw: st.DrawFn, cls: type[m.Object], part: str) -> m.Json:
    """Give an object of a kind with one change in its spec or metadata; most of them are bad."""
    raw = wire.dump(draw(objects(cls, fresh=True)))
    if part == "metadata":
        field, values = draw(st.sampled_from(_METADATA))
        raw["metadata"] = {**raw["metadata"], field: draw(st.sampled_from(values))}
        return raw
    return draw(changed(cls, raw, part, wire.dump(draw(objects(cls, fresh=True)))))


@st.composite
def changed(draw: st.DrawFn, cls: type[m.Object], raw: m.Json, part: str, another: m.Json) -> m.Json:
    """Give an object with one change in its spec or status; sometimes it is half of another's."""
    schema = schema_of(cls)["properties"][part]
    if draw(st.integers(0, 4)) == 0:  # two good halves may break a law over both
        other = another.get(part, {})
        keys = draw(st.sets(st.sampled_from(sorted(schema.get("properties", {"": {}})))))
        kept = {k: v for k, v in raw.get(part, {}).items() if k not in keys}
        return {**raw, part: {**kept, **{k: v for k, v in other.items() if k in keys}}}
    at, below = draw(st.sampled_from(list(places_in(raw.get(part, {}), schema, (part,)))))
    old = value_at(raw, at)
    suggested = list(changes(old, below, at))
    odd = Change(at=at, name="an odd value", make=lambda _: draw(st.sampled_from(_ODD_VALUES)))
    change = draw(st.sampled_from([*suggested, odd])) if suggested and draw(st.booleans()) else odd
    return replaced(raw, at, change.make(old))


@st.composite
def statuses(draw: st.DrawFn, cls: type[m.Object]) -> m.Json:
    """Give the object of `BASES` with a status: whole, or with one change."""
    one, another = wire.dump(draw(objects(cls))), wire.dump(draw(objects(cls)))
    raw = {**BASES[cls], "status": one.get("status", {})}
    return raw if draw(st.integers(0, 9)) == 0 else draw(changed(cls, raw, "status", another))


def value_at(raw: Any, at: Place) -> Any:
    """Give what stands at a place; an empty mapping for a spec that is not there."""
    for step in at:
        raw = raw.get(step, {}) if isinstance(raw, dict) else raw[step]
    return raw


def replaced(raw: m.Json, at: Place, value: Any) -> m.Json:
    """Give a copy with another value at a place."""
    made = copy.deepcopy(raw)
    value_at(made, at[:-1])[at[-1]] = value
    return made
