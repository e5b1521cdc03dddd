"""The law of a change: it puts the value there, or nothing if somebody changed it since."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.model.meta import Ref
from kubenode.core.wish.wish import Unwished, Wish, swapped
from tests.core.wish.said import obeyed

VALUES = st.none() | st.booleans() | st.integers(0, 3) | st.text(max_size=2)
OBJECT = Ref(kind="Machine", name="n1", uid="u")


def thing(value: Any) -> dict[str, Any]:
    """Give an object with a value."""
    return {"metadata": {"uid": "u"}, "spec": {"word": value, "other": 1}}


@given(VALUES, VALUES)
def test_the_value_is_there_after_it_and_nothing_else_changed(before: Any, wanted: Any) -> None:
    """Done once it is so; asked again it is no change."""
    wish = Wish(object=OBJECT, operations=swapped(thing(before), ("spec", "word"), wanted), did="x")
    assert wish.changes == (before != wanted)
    after = obeyed(thing(before), wish)
    assert after is not None
    assert after["spec"] == {"word": wanted if before != wanted else before, "other": 1}
    assert swapped(after, ("spec", "word"), wanted) == ()


@given(VALUES, VALUES, VALUES)
def test_what_somebody_else_wrote_meanwhile_is_not_lost(before: Any, wanted: Any, meanwhile: Any) -> None:
    """The change is refused unless the value is still what was read."""
    wish = Wish(object=OBJECT, operations=swapped(thing(before), ("spec", "word"), wanted), did="x")
    if wish.changes:
        assert (obeyed(thing(meanwhile), wish) is None) == (meanwhile != before)


def test_another_object_of_that_name_is_not_changed() -> None:
    """The uid is tested first, so a new object of the same name is left alone."""
    wish = Wish(object=OBJECT, operations=swapped(thing(1), ("spec", "word"), 2), did="x")
    assert obeyed({**thing(1), "metadata": {"uid": "another"}}, wish) is None


@pytest.mark.parametrize("spec", [{}, {"word": None}, None])
def test_what_is_absent_is_set(spec: Any) -> None:
    """A test for null stands for what is not there; also where nothing is on the way."""
    path = ("spec", "word")
    test = swapped({"metadata": {"uid": "u"}, "spec": spec}, path, 1)[1]
    assert test == {"op": "test", "path": "/spec/word", "value": None}


def test_what_is_to_be_made_is_a_change() -> None:
    """A wish without operations changes something when it makes an object."""
    assert Wish(object=OBJECT, made={}, did="x").changes
    assert not Wish(object=OBJECT, did="x").changes


def test_a_refusal_names_the_object_and_what_to_do() -> None:
    """Where and fix stay apart from the text, as the command line shows them."""
    error = Unwished("rollout a", "is not paused", "look")
    assert (str(error), error.where, error.fix) == ("rollout a: is not paused", "rollout a", "look")
    assert Unwished("rollout a", "x").fix == ""
