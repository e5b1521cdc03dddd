"""The text of a record is what the standard library writes, whoever writes it."""

import json
import math
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubenode.runtime.record import text as module
from kubenode.runtime.record.text import Float, marked, text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(value=JSON, in_order=st.booleans())
@example(
    value={"b": 1, "a": ["\x7f", "\u00e9", "\u2028", "\ud800", "".join(map(chr, range(0x20))), '"\\/']},
    in_order=True,
)
@example(value=[2**63 - 1, -(2**63), 2**64, 1e16, 1e-7, 1.0, -0.0, math.inf, math.nan], in_order=False)
def test_it_is_what_the_standard_library_writes(value: Any, in_order: bool) -> None:
    """Byte for byte, or what a recording says would depend on what else is installed."""
    assert text(marked(value), in_order=in_order) == json.dumps(
        value, separators=(",", ":"), sort_keys=in_order
    )


def test_most_is_written_by_orjson(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library is asked only for what the two write differently."""
    asked: list[Any] = []
    monkeypatch.setattr(module.json, "dumps", lambda value, **_: asked.append(value) or "")
    assert text({"b": [1, None, True, "plain"], "a": {}}) == '{"b":[1,null,true,"plain"],"a":{}}'
    assert not asked
    left = ["\u00e9", "\x7f", 2**64, Float(1.5)]
    for value in left:
        text([value])
    assert asked == [[value] for value in left]


@pytest.mark.parametrize("value", [datetime.now(UTC), object(), {1, 2}])
def test_what_is_not_json_is_not_written(value: object) -> None:
    """Nor is a time: whoever writes one says how."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        text({"x": value})


def test_it_is_written_without_orjson_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes with an extra that who records a simulation may not have."""
    monkeypatch.setitem(sys.modules, "orjson", None)
    module._fast.cache_clear()
    try:
        assert text({"b": "\u00e9", "a": 1}) == '{"b":"\\u00e9","a":1}'
        assert text({"b": "e", "a": 1}, in_order=True) == '{"a":1,"b":"e"}'
    finally:
        module._fast.cache_clear()
