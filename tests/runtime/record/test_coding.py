"""What is recorded comes back as it was: every class that a decision can depend on, and nothing else."""

import enum
import json
import re
import typing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode import core
from kubenode.core import model as m
from kubenode.core.decision import ApiEffect, RunSteps
from kubenode.runtime.engine.apply import WriteStatus
from kubenode.runtime.record import Record, Recording, canonical
from kubenode.runtime.record.coding import UnknownClass, classes, decoded, encoded, tag, text_of
from kubenode.runtime.record.deciders import SNAPSHOTS, decided
from tests.strategies import objects

TEXTS = st.text(max_size=3) | st.sampled_from(["!", "", "\ud800", "é", "\u2028"])
PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | st.binary(max_size=4)
    | st.datetimes(timezones=st.just(UTC)) | st.timedeltas() | st.sampled_from(m.Switch) | st.builds(m.IntOrPercent, st.integers())
)  # fmt: skip
KEYS = TEXTS | st.tuples(TEXTS, st.integers(0, 3))
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.frozensets(TEXTS, max_size=3)
    ),
    max_leaves=8,
)


def same(one: Any, other: Any) -> bool:
    """Tell whether two values are equal and of the same types all through."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, tuple | list):
        return all(map(same, one, other))
    return all(same(value, other[key]) for key, value in one.items()) if isinstance(one, dict) else True


@given(VALUES)
def test_any_value_comes_back_as_it_was(value: Any) -> None:
    """Its types too: a tuple is no list, a key may be a tuple, and `!` is a key like another."""
    text = canonical(value)
    assert same(decoded(json.loads(text)), value)
    assert text.isascii()
    assert "\n" not in text


@given(VALUES)
def test_equal_values_have_one_text(value: Any) -> None:
    """Whatever the order of a mapping, and however often it went through the file."""
    turned = dict(reversed(value.items())) if type(value) is dict else value
    assert canonical(turned) == canonical(value) == canonical(decoded(encoded(value)))


@pytest.mark.parametrize("kind", m.KINDS, ids=lambda kind: kind.KIND.name)
@given(data=st.data())
def test_every_kind_comes_back_as_it_was(kind: type[m.Object], data: st.DataObject) -> None:
    """Whole, as a server may serve it."""
    obj = data.draw(objects(kind))
    again = decoded(encoded(obj))
    assert again == obj
    assert type(again) is kind


def test_what_an_enumeration_did_not_know_stays_text() -> None:
    """A newer version's value was kept by the reader, and is kept here."""
    condition = attrs.evolve(m.NodeCondition(type="Ready", status=m.Switch.TRUE), status="Perhaps")
    assert decoded(encoded(condition)) == condition


def test_every_snapshot_of_the_stories_comes_back_as_it_was(recording: Recording, hung: Path) -> None:
    """And decides the same, which is what it is kept for."""
    for record in recording.records:
        again = decoded(encoded(record.snapshot))
        assert again == record.snapshot
        assert type(again) is type(record.snapshot)
        assert decided(again, record.policy) == record.decision


def test_every_snapshot_has_its_decider() -> None:
    """Of all packages of core that decide for an engine: none is left out."""
    folder = Path(core.__file__).parent
    told = {
        word
        for file in folder.rglob("*.py")
        for word in re.findall(r"^class (\w+Snapshot)\b", file.read_text(), re.MULTILINE)
    }  # fmt: skip
    # A detector runs on the host and a node's labels follow from the machine's own decision.
    assert told - {"DetectSnapshot"} == {cls.__name__ for cls in SNAPSHOTS}


def _leaves(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, type):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _leaves(part)


def test_all_that_a_snapshot_can_hold_is_known() -> None:
    """No class of ours below a snapshot, an effect or an object is missing, and each has a tag of its own."""
    known = set(classes().values())
    assert {*SNAPSHOTS, *m.WATCHED, *typing.get_args(ApiEffect), RunSteps, WriteStatus} <= known
    for cls in known:
        for hint in typing.get_type_hints(cls).values() if attrs.has(cls) else ():
            for leaf in _leaves(hint):
                ours = leaf.__module__.startswith("kubenode") and (
                    attrs.has(leaf) or issubclass(leaf, enum.Enum)
                )
                assert not ours or leaf in known, leaf
    assert len({tag(cls) for cls in known}) == len(known)


@pytest.mark.parametrize("name", ["os.system", "builtins.type", "pathlib.Path", "model.machine.Machin"])
def test_no_other_class_is_ever_made(name: str) -> None:
    """A recording is data: it cannot name what to call."""
    with pytest.raises(UnknownClass, match=name):
        decoded({"!": name, "value": "x"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"!": "model.quantity.IntOrPercent", "amount": 1, "colour": 2}, "IntOrPercent.colour"),
        ({"!": "model.meta.Switch", "value": "Perhaps"}, "Switch 'Perhaps'"),
    ],
)
def test_what_a_newer_version_added_is_named(body: Any, said: str) -> None:
    """A field, or a word of an enumeration."""
    with pytest.raises(UnknownClass, match=said):
        decoded(body)


def test_what_cannot_be_recorded_is_named() -> None:
    """It would come back as something else."""
    with pytest.raises(TypeError, match="a value of type object cannot be recorded"):
        canonical((object(),))


def test_a_record_is_one_line_with_its_verdict(recording: Recording) -> None:
    """For an audit log: nothing else has to be known to read it."""
    lines = [record.to_json() for record in recording.records]
    bodies = [json.loads(line) for line in lines]
    assert all(list(body) == sorted(body) for body in bodies)
    assert {body["verdict"] for body in bodies} == {"act", "defer", "ignore"}
    assert {body["controller"] for body in bodies} >= {"machine", "risk", "remedy", "agent", "accept"}
    assert text_of(bodies[0]) == lines[0]
    first = recording.records[0]
    assert isinstance(first, Record)
    assert bodies[0]["elapsed"] == first.now.elapsed
    assert datetime.fromisoformat(bodies[0]["wall"]) - first.now.wall == timedelta(0)
