"""Structural schemas: what stood there already is left as it is, and what an apply writes as null."""

import copy

from kubenode.core.model import Json
from kubenode.core.schema import Cause, defaulted, validate
from kubenode.core.schema.walk import member
from tests.core.test_schema import SCHEMA, spec


def test_what_stood_there_gets_no_default_anew() -> None:
    """A default of a newer schema is for what is written now: the very same part is left, a copy is not."""
    old = spec(map=[{"name": "a"}], deep={"in": {"set": 1}})
    new = spec(map=old["spec"]["map"], deep=old["spec"]["deep"], ratio=1)
    kept = defaulted(new, SCHEMA, known=old)["spec"]
    assert kept == {"map": [{"name": "a"}], "deep": {"in": {"set": 1}}, "ratio": 1, "mode": "A", "maybe": "d"}
    assert kept["deep"] is old["spec"]["deep"]
    anew = defaulted(copy.deepcopy(new), SCHEMA, known=old)["spec"]
    assert anew["map"] == [{"name": "a", "port": 80}]
    assert anew["deep"] == {"in": {"set": 1, "left": 2}}


def test_an_apply_keeps_a_null_for_validation_to_find() -> None:
    """One with a default gets it, one that may be null stays, and any other is a fault that is told."""
    given = spec(text=None, mode=None, maybe=None)
    assert defaulted(given, SCHEMA)["spec"] == {
        "mode": "A",
        "maybe": None,
        "deep": {"in": {"set": 1, "left": 2}},
    }
    kept = defaulted(given, SCHEMA, keeps_null=True)
    assert kept["spec"] == {"text": None, "mode": "A", "maybe": None, "deep": {"in": {"set": 1, "left": 2}}}
    assert [_field(cause) for cause in validate(kept, SCHEMA)] == ["spec.text"]


def _field(cause: Cause) -> str:
    return cause.field


def test_a_member_of_what_is_no_object_is_not_there() -> None:
    """Of an earlier state of any shape."""
    known: Json = {"a": 1}
    assert [member(each, "a") for each in (known, {}, [known], None, "a")] == [1, None, None, None, None]
