"""Both readers agree on all valid input: what the strict one takes the lenient one reads as the same object."""

import contextlib
import copy
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.crd import schema_of
from kubenode.core.errors import InvalidObjectError
from kubenode.core.schema import defaulted, prune
from tests.mistakes import BASES, Place, bad_objects, places_in, statuses, value_at
from tests.strategies import objects

KINDS = pytest.mark.parametrize("kind", m.KINDS, ids=lambda kind: kind.KIND.name)
OFTEN: Final = settings(max_examples=max(settings.default.max_examples // 2, 10))
"""Each example is a whole object, read six times."""


def agree(raw: m.Json, kind: type[m.Object]) -> m.Object:
    """Read an object that the strict reader takes in every way in which it may come; give it."""
    made = wire.load(raw)
    assert type(made) is kind
    assert made.metadata.unknown == ()
    assert wire.read(raw, kind) == made
    schema = schema_of(kind)
    served = defaulted(prune(raw, schema)[0], schema)
    assert wire.read(served, kind) == made, "as a server serves it, its defaults filled in"
    written = wire.dump(made)
    assert wire.load(written) == wire.read(written, kind) == made, "as it is written back"
    assert wire.dump(wire.load(written)) == written
    return made


def accepted(raw: m.Json) -> bool:
    """Tell whether the strict reader takes it."""
    try:
        wire.load(raw)
    except InvalidObjectError:
        return False
    return True


def lacking(raw: Any, at: Place, *, null: bool) -> Any:
    """Give a copy without what stands at a place, or with a null there; an item of a list stays."""
    holder = made = copy.deepcopy(raw)
    for step in at[:-1]:
        holder = holder[step] if isinstance(holder, list) else (holder or {}).get(step)
    if isinstance(holder, dict) and null:
        holder[at[-1]] = None
    elif isinstance(holder, dict):
        holder.pop(at[-1], None)
    return made


@KINDS
@OFTEN
@given(data=st.data())
def test_what_is_left_out_or_null_is_the_same_to_both(kind: type[m.Object], data: st.DataObject) -> None:
    """Of any good object, whatever may be taken away or made null is: both read the same of it."""
    raw: Any = wire.dump(data.draw(objects(kind)))
    schemas = schema_of(kind)["properties"]
    places = [
        at for part in ("spec", "status") if part in raw
        for at, _ in places_in(raw[part], schemas[part], (part,)) if len(at) > 1
    ]  # fmt: skip
    for at in data.draw(st.lists(st.sampled_from(places), max_size=4, unique=True)) if places else ():
        less = lacking(raw, at, null=data.draw(st.booleans()))
        raw = less if accepted(less) else raw
    agree(raw, kind)


@KINDS
@OFTEN
@given(data=st.data())
def test_an_odd_value_that_is_good_is_the_same_to_both(kind: type[m.Object], data: st.DataObject) -> None:
    """Of objects with one odd value those that are good are read alike; over others the lenient reader never breaks."""
    part = data.draw(st.sampled_from(["spec", "metadata", *(["status"] if kind in BASES else [])]))
    raw = data.draw(statuses(kind) if part == "status" else bad_objects(kind, part))
    if accepted(raw):
        agree(raw, kind)
    else:
        with contextlib.suppress(InvalidObjectError):
            wire.read(raw, kind)


def test_a_reader_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lenient reader that drops a field does not pass."""
    raw = BASES[m.Machine]
    assert agree(raw, m.Machine)
    without = {**raw, "spec": {"infrastructure": {"provider": "p"}}}
    assert value_at(raw, ("spec", "host", "address")) == "a"
    other = wire.read(without, m.Machine)
    monkeypatch.setattr(wire, "read", lambda *_: other)
    with pytest.raises(AssertionError):
        agree(raw, m.Machine)
