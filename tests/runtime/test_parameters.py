"""Parameters of plugins: taken by type or refused by path, and never made to fit."""

import enum
from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from kubenode.core.errors import InvalidObjectError
from kubenode.runtime.parameters import structured


class Level(enum.Enum):
    """One of a few words."""

    LOW = "low"
    MID = "mid"


@attrs.frozen
class Inner:
    """A part."""

    port: int


@attrs.frozen(kw_only=True)
class Everything:
    """One parameter of each type."""

    text: str = ""
    count: int = 0
    share: float = 0.0
    sure: bool = False
    maybe: str | None = None
    names: tuple[str, ...] = ()
    ports: list[int] = attrs.field(factory=list)
    zones: frozenset[str] = frozenset()
    seen: set[int] = attrs.field(factory=set)
    labels: Mapping[str, str] = attrs.field(factory=dict)
    level: Level = Level.LOW
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    raw: bytes = b""


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"text": 7}, "must be text, not a whole number @ $.text"),
        ({"text": None}, "must be text, not null @ $.text"),
        ({"text": ["a"]}, "must be text, not a list @ $.text"),
        ({"count": "7"}, "must be a whole number, not text @ $.count"),
        ({"count": 7.9}, "must be a whole number, not a number @ $.count"),
        ({"count": True}, "must be a whole number, not true or false @ $.count"),
        ({"share": "0.5"}, "must be a number, not text @ $.share"),
        ({"share": False}, "must be a number, not true or false @ $.share"),
        ({"share": float("nan")}, "must be a number, not NaN or infinity @ $.share"),
        ({"share": float("-inf")}, "must be a number, not NaN or infinity @ $.share"),
        ({"share": 10**400}, "must be a number, not a number of more than 300 digits @ $.share"),
        ({"sure": "false"}, "must be true or false, not text @ $.sure"),
        ({"sure": 1}, "must be true or false, not a whole number @ $.sure"),
        ({"maybe": 7}, "must be text, not a whole number @ $.maybe"),
        ({"names": "abc"}, "must be a list, not text @ $.names"),
        ({"names": ["a", 7]}, "must be text, not a whole number @ $.names[1]"),
        ({"ports": {"a": 1}}, "must be a list, not a mapping @ $.ports"),
        ({"ports": [1, "2"]}, "must be a whole number, not text @ $.ports[1]"),
        ({"zones": "abc"}, "must be a list, not text @ $.zones"),
        ({"zones": [1]}, "must be text, not a whole number @ $.zones"),
        ({"seen": ["a"]}, "must be a whole number, not text @ $.seen"),
        ({"labels": ["a"]}, "must be a mapping @ $.labels"),
        ({"labels": {"a": 1}}, "must be text, not a whole number @ $.labels['a']"),
        ({"level": "high"}, "must be one of low, mid @ $.level"),
        ({"inner": 7}, "must be a mapping @ $.inner"),
        ({"inners": [{"port": "x"}]}, "must be a whole number, not text @ $.inners[0].port"),
        ({"raw": 5}, "must be bytes, not a whole number @ $.raw"),
        ({"more": 1}, "extra fields found (more) @ $"),
    ],
)
def test_a_parameter_of_another_type_is_refused_and_never_converted(given: Any, says: str) -> None:
    """By its path, with what it must be and of which kind it is: the value itself may be a secret."""
    with pytest.raises(InvalidObjectError) as caught:
        structured(given, Everything, "here")
    (problem,) = caught.value.problems
    assert (problem.where, problem.what) == ("here", says)


def test_a_parameter_of_its_type_is_taken_as_it_is() -> None:
    """A whole number is a number too; lists become what the class asks for."""
    given = {
        "text": "7", "count": -(10**30), "share": 2, "sure": True, "maybe": "x", "names": ["a"], "ports": [1], "zones": ["z", "z"],
        "seen": [3], "labels": {"a": "b"}, "level": "low", "inner": {"port": 1}, "inners": [{"port": 2}],
    }  # fmt: skip
    found = structured(given, Everything, "here")
    assert found == Everything(
        text="7", count=-(10**30), share=2.0, sure=True, maybe="x", names=("a",), ports=[1], zones=frozenset({"z"}),
        seen={3}, labels={"a": "b"}, inner=Inner(1), inners=(Inner(2),),
    )  # fmt: skip
    assert [type(one) for one in (found.share, found.zones, found.seen)] == [float, frozenset, set]
    assert structured({"maybe": None}, Everything, "here") == Everything()
