"""Patches on immutable JSON: what they share, and what they never touch."""

import copy
import json
from itertools import combinations
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kubenode.core.model import Json
from kubenode.runtime.store.patches import PatchFailed, adopted, merged, patched

SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, "a", "b"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("xyz"), inner),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("xyz"), VALUES)


def told(value: Any) -> str:
    """Write JSON so that equal text is equal value; true is not 1."""
    return json.dumps(value, sort_keys=True)


def plainly_merged(target: Any, patch: Any) -> Any:
    """Give the pseudocode of RFC 7386, as it stands there."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = plainly_merged(result.get(name), value)
    return result


@given(OBJECTS, OBJECTS)
def test_merge_is_the_rfc(target: Json, patch: Json) -> None:
    """The result is RFC 7386's, nothing given changes, and what is unchanged is the same object."""
    before = copy.deepcopy((target, patch))
    result = merged(target, patch)
    assert told(result) == told(plainly_merged(target, patch))
    assert (target, patch) == before
    assert (result is target) == (told(result) == told(target))


@given(VALUES, VALUES)
def test_adopting_copies_and_shares(value: Any, before: Any) -> None:
    """The value is kept; equal to what was, it is what was."""
    result = adopted(value, before)
    assert told(result) == told(value)
    assert (told(value) != told(before)) or result is before
    assert adopted(copy.deepcopy(before), before) is before


@given(st.lists(VALUES.map(lambda value: {"v": value}), min_size=1, max_size=6), st.data())
def test_moved_items_are_shared(items: list[Json], data: st.DataObject) -> None:
    """Where one item is taken out and another put in, the others stay the same objects, as far as each is another."""
    assume(all(one != other for one, other in combinations(items, 2)))  # 0 and False are equal, too
    out = data.draw(st.integers(0, len(items) - 1))
    into = data.draw(st.integers(0, len(items) - 1))
    rest = [*items[:out], *items[out + 1 :]]
    result = adopted(copy.deepcopy([*rest[:into], {"new": 1}, *rest[into:]]), items)
    shared = [item for item in result if "new" not in item]
    assert told(shared) == told(rest)
    assert {id(item) for item in shared} <= {id(item) for item in items}


@pytest.mark.parametrize(
    ("number", "stored"),
    [(1.0, 1), (-0.0, 0), (1.5, 1.5), (2**63, float(2**63)), (2.0**53, 2.0**53), (True, True)],
)
def test_numbers_become_what_a_server_stores(number: float, stored: float) -> None:
    """Whole ones are integers, those beyond int64 floats."""
    assert told(adopted({"a": number})) == told({"a": stored})


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        (("add", "/a/~1~0", 1), {"a": {"/~": 1}, "l": [1, 2]}),
        (("add", "/l/2", 3), {"a": {}, "l": [1, 2, 3]}),
        (("add", "/l/-1", 3), {"a": {}, "l": [1, 2, 3]}),
        (("add", "/l/01", 3), {"a": {}, "l": [1, 3, 2]}),
        (("replace", "/l/-2", 3), {"a": {}, "l": [3, 2]}),
        (("remove", "/l/-1", None), {"a": {}, "l": [1]}),
        (("remove", "/a", None), {"l": [1, 2]}),
    ],
)
def test_operations(operation: tuple[str, str, Any], wanted: Json) -> None:
    """Each as the server does it; what was is left alone."""
    target = {"a": {}, "l": [1, 2]}
    assert patched(target, [dict(zip(("op", "path", "value"), operation, strict=True))]) == wanted
    assert target == {"a": {}, "l": [1, 2]}


@pytest.mark.parametrize("path", ["/l/3", "/l/-4", "/l/x", "/l/", "/l/ 1", "/n/a", "/l/0/a", "l", "", None])
def test_paths_that_lead_nowhere(path: Any) -> None:
    """The patch fails."""
    with pytest.raises(PatchFailed):
        patched({"l": [1, 2]}, [{"op": "add", "path": path, "value": 1}])
