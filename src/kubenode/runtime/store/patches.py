"""Merge patch and JSON patch on immutable JSON, as the API server reads them.

Nothing given is changed: a result is new along the path of the change and shares the rest with the old
state. What a patch leaves as it was is the very same object, so that "unchanged" is `is`.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from kubenode.core.model import Json

_ABSENT: Final = object()
_INDEX: Final = re.compile(r"[+-]?\d+", re.ASCII)
_REACH: Final = 8
"""How far a list is searched for an item that has moved."""
_EXACT: Final = 2**53
"""Up to here a whole number is the same number as an integer and as a float."""


class PatchFailed(Exception):
    """A JSON patch does not fit the object, or a `test` in it failed."""


def adopted(value: Any, before: Any = _ABSENT) -> Any:
    """Copy a caller's JSON; what is equal in `before` is `before`'s own object.

    Numbers become what the server would store: 1.0 is 1, and what int64 cannot hold is a float.

    Raises:
        TypeError: it is not JSON.
        ValueError: a number is not finite, or is beyond all floats.
    """
    if value is before:
        return before
    kind = type(value)
    if kind is str or kind is bool or value is None:  # most are
        return before if type(before) is kind and before == value else value
    if kind is dict or isinstance(value, Mapping):
        return _adopted_object(value, before)
    if isinstance(value, list | tuple):
        return _adopted_list(value, before)
    if not isinstance(value, str | int | float):
        raise TypeError(f"{value!r} is not JSON")
    if not isinstance(value, str):
        value = _number(value)
    return before if type(before) is type(value) and before == value else value


def merged(target: Any, patch: Mapping[str, Any]) -> Json:
    """Apply a merge patch (RFC 7386): null deletes, objects merge, all else is replaced."""
    base: Json = target if isinstance(target, dict) else {}
    changes: Json = {}
    gone: list[str] = []
    for name, value in patch.items():
        before = base.get(name, _ABSENT)
        if value is None:
            if before is not _ABSENT:
                gone.append(name)
            continue
        kind = type(value)
        below = kind is dict or (kind is not str and isinstance(value, Mapping))
        after = merged(before, value) if below else adopted(value, before)
        if after is not before:
            changes[name] = after
    if isinstance(target, dict) and not changes and not gone:
        return base
    result = {**base, **changes}
    for name in gone:
        del result[name]
    return result


def patched(target: Any, operations: Iterable[Mapping[str, Any]]) -> Any:
    """Apply a JSON patch (RFC 6902): test, add, replace and remove.

    As on the server, replace of a missing member adds it, test of a missing member against null passes,
    and -1 is the last index.

    Raises:
        PatchFailed: a test failed, a path leads nowhere, or the operation is another one.
    """
    for operation in operations:
        kind, steps = str(operation.get("op")), _steps(operation.get("path"))
        if kind == "test":
            _test(target, steps, operation.get("value"))
        elif kind == "remove":
            target = _changed(target, steps, _removed)
        elif kind in _PLACING:
            target = _changed(target, steps, partial(_PLACING[kind], operation.get("value")))
        else:
            raise PatchFailed(f"the operation {kind!r} is not supported")
    return target


def _adopted_object(value: Mapping[Any, Any], before: Any) -> Any:
    earlier = before if isinstance(before, dict) else {}
    copy: Json = {}
    same = before is earlier and len(value) == len(earlier)
    for name, inner in value.items():
        if not isinstance(name, str):
            raise TypeError(f"the key {name!r} is not JSON")
        known = earlier.get(name, _ABSENT)
        after = copy[name] = inner if inner is known else adopted(inner, known)
        same = same and after is known
    return before if same else copy


def _adopted_list(value: list[Any] | tuple[Any, ...], before: Any) -> Any:
    earlier = before if isinstance(before, list) else []
    copy: list[Any] = []
    place = 0
    for inner in value:
        place = _place(inner, earlier, place)
        copy.append(adopted(inner, earlier[place] if place < len(earlier) else _ABSENT))
        place += 1
    same = before is earlier and len(copy) == len(earlier)
    return before if same and all(one is other for one, other in zip(copy, earlier, strict=True)) else copy


def _place(value: Any, earlier: list[Any], expected: int) -> int:
    """Find an item in an earlier list, near where it is expected; items behind an inserted one have moved."""
    if expected < len(earlier) and earlier[expected] == value:
        return expected
    nearby = range(max(0, expected - _REACH), min(len(earlier), expected + _REACH))
    return next((at for at in nearby if earlier[at] == value), expected)


def _number(value: float) -> float:
    if isinstance(value, int):
        if abs(value) >= 2**1023:
            raise ValueError("a whole number of more than 300 digits is not JSON")
        return value if -(2**63) <= value < 2**63 else float(value)
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not JSON")
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _steps(path: Any) -> list[str]:
    if not isinstance(path, str) or not path.startswith("/"):
        raise PatchFailed(f"the path {path!r} does not begin with /")
    return [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]


def _changed(node: Any, steps: list[str], change: Callable[[Any, str], Any]) -> Any:
    """Give a node with a change made at the end of a path; only nodes along it are new."""
    if len(steps) == 1:
        return change(node, steps[0])
    inner = _child(node, steps[0])
    if inner is _ABSENT:
        raise PatchFailed(f"there is no {steps[0]!r}")
    after = _changed(inner, steps[1:], change)
    return node if after is inner else _with(node, steps[0], after)


def _child(node: Any, step: str) -> Any:
    if isinstance(node, dict):
        return node.get(step, _ABSENT)
    return node[_index(step, len(_listed(node)))]


def _with(node: Any, step: str, value: Any) -> Any:
    if isinstance(node, dict):
        return {**node, step: value}
    copy = list(_listed(node))
    copy[_index(step, len(copy))] = value
    return copy


def _listed(node: Any) -> list[Any]:
    if not isinstance(node, list):
        raise PatchFailed("a path leads into a plain value")
    return node


def _index(step: str, length: int) -> int:
    if not _INDEX.fullmatch(step) or not -length <= int(step) < length:
        raise PatchFailed(f"there is no item {step}")
    return int(step)


def _test(target: Any, steps: list[str], value: Any) -> None:
    for step in steps[:-1]:
        target = _child(target, step)
    found = None if target is _ABSENT else _child(target, steps[-1])
    found = None if found is _ABSENT else found
    if target is _ABSENT or adopted(value, found) is not found:
        raise PatchFailed(f"the test of {'/'.join(steps)!r} failed")


def _added(value: Any, node: Any, step: str) -> Any:
    if isinstance(node, dict):
        return _replaced(value, node, step)
    items = _listed(node)
    at = len(items) if step == "-" else _index(step, len(items) + 1) % (len(items) + 1)
    return [*items[:at], adopted(value), *items[at:]]


def _replaced(value: Any, node: Any, step: str) -> Any:
    before = _child(node, step)
    after = adopted(value, before)
    return node if after is before else _with(node, step, after)


def _removed(node: Any, step: str) -> Any:
    if isinstance(node, dict):
        if step not in node:
            raise PatchFailed(f"there is no {step!r}")
        return {name: value for name, value in node.items() if name != step}
    at = _index(step, len(_listed(node))) % len(node)
    return [*node[:at], *node[at + 1 :]]


_PLACING: Final[Mapping[str, Callable[[Any, Any, str], Any]]] = {"add": _added, "replace": _replaced}
