"""Who owns which field: server-side apply as a calculation on JSON, a schema and sets of paths.

A path is a tuple of elements, written as in `metadata.managedFields`: `f:name` for a field, `k:{...}` for an
item of a list-map by its keys, `v:...` for an item of a set. Nothing given is changed.
Where the server is surprising, so is this: it was compared with kube-apiserver 1.36 step by step.
"""

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias

from kubenode.core.model import Json
from kubenode.core.schema.walk import LIST_KEYS, LIST_TYPE, MAP_TYPE, NOTHING, compact

Path: TypeAlias = tuple[str, ...]
Paths: TypeAlias = frozenset[Path]

_ROOT: Final[Path] = ()
_NONE: Final[Paths] = frozenset()


class Owner(NamedTuple):
    """Who wrote: the same manager owns apart what it applied, what it wrote otherwise, and by subresource."""

    manager: str
    operation: str
    subresource: str = ""


Owners: TypeAlias = Mapping[Owner, Paths]


class _Child(NamedTuple):
    value: Any
    schema: Json
    declared: bool


def fields(value: Any, schema: Json, path: Path = _ROOT) -> set[Path]:
    """Give what a configuration owns that says this."""
    if _is_leaf(value, schema):
        return {path}
    owned = {path} if value == {} and path else set()
    for element, child in _children(value, schema).items():
        below = (*path, element)
        owned |= fields(child.value, child.schema, below)
        if not child.declared or child.value is None:
            owned.add(below)
    return owned


def compare(before: Any, after: Any, schema: Json, path: Path = _ROOT) -> tuple[set[Path], set[Path]]:
    """Give what was added or modified, and what was removed; None is absent. Containers are told, too."""
    if before is after:
        return set(), set()
    added = {path} if before is None else set()
    removed = {path} if after is None else set()
    present = [value for value in (before, after) if value is not None]
    if any(_is_leaf(value, schema) for value in present) or len({type(value) for value in present}) > 1:
        changed = not added and not removed and before != after
        return (added | {path} if changed else added), removed
    old = _children(before, schema) if before is not None else {}
    new = _children(after, schema) if after is not None else {}
    for element in {**old, **new}:
        one, other = old.get(element), new.get(element)
        below = (other or one or _ABSENT).schema
        more, less = compare(
            one.value if one else None, other.value if other else None, below, (*path, element)
        )
        added |= more
        removed |= less
    return added, removed


def conflicts(added: set[Path], owners: Owners, me: Owner) -> dict[Owner, Paths]:
    """Give who else owns what would be changed."""
    return {owner: owned & added for owner, owned in owners.items() if owner != me and owned & added}


def settle(added: set[Path], removed: set[Path], owners: Owners, me: Owner) -> dict[Owner, Paths]:
    """Give the owners when all but me lose what changed."""
    lost = added | removed
    return {owner: owned if owner == me else owned - lost for owner, owned in owners.items()}


def applied(live: Any, config: Json, schema: Json, owners: Owners, me: Owner) -> tuple[Any, Owners]:
    """Give an object with a configuration applied, and its owners before anybody loses a field.

    What I owned, no longer name, and nobody else owns, is removed.
    """
    last = owners.get(me, _NONE)
    owners = {**owners, me: frozenset(fields(config, schema))}
    after = merge(live, config, schema)
    if last:
        given_up = _named(last, schema) - _named(chain.from_iterable(owners.values()), schema)
        after = remove(after, schema, given_up)
    return ({} if after is None else after), owners


def updated(before: Any, after: Any, schema: Json, owners: Owners, me: Owner) -> Owners:
    """Give the owners after a write that was no apply: I own what I changed, others lose it."""
    added, removed = compare(before, after, schema)
    if not added and not removed:
        return owners
    owners = settle(added, removed, owners, me)
    mine = (owners.get(me, _NONE) - removed) | (added - {("f:metadata",)})
    return without_idle({**owners, me: mine})


def without_idle(owners: Owners) -> dict[Owner, Paths]:
    """Give the owners that own something."""
    return {owner: owned for owner, owned in owners.items() if owned}


def merge(live: Any, config: Any, schema: Json) -> Any:
    """Merge a configuration into an object: maps and list-maps by key, sets by value, the rest is replaced."""
    if live is None or _is_leaf(config, schema) or _is_leaf(live, schema) or type(live) is not type(config):
        return config
    old, new = _children(live, schema), _children(config, schema)
    merged = {
        element: merge(old[element].value if element in old else None, child.value, child.schema)
        for element, child in new.items()
    }
    values = {**{element: child.value for element, child in old.items()}, **merged}
    if isinstance(config, dict):
        return {element[2:]: value for element, value in values.items()}
    return [values[element] for element in _interleaved(list(old), list(new))]


def remove(value: Any, schema: Json, gone: Paths | set[Path], path: Path = _ROOT) -> Any:
    """Give a value without some paths and all below them; a container that they empty becomes None."""
    if _is_leaf(value, schema):
        return value
    kept = {
        element: remove(child.value, child.schema, gone, (*path, element))
        for element, child in _children(value, schema).items()
        if (*path, element) not in gone
    }
    if not kept and value:
        return None
    if isinstance(value, dict):
        return {element[2:]: child for element, child in kept.items()}
    return list(kept.values())


def is_merged_list(schema: Json) -> bool:
    """Tell whether a list is merged by item."""
    return schema.get(LIST_TYPE) in {"map", "set"}


def _is_leaf(value: Any, schema: Json) -> bool:
    if isinstance(value, dict):
        return schema.get(MAP_TYPE) == "atomic"
    return not (isinstance(value, list) and is_merged_list(schema))


_ABSENT: Final = _Child(None, NOTHING, False)


def _children(value: Any, schema: Json) -> dict[str, _Child]:
    if isinstance(value, dict):
        declared = schema.get("properties", NOTHING)
        more = schema.get("additionalProperties")
        free = more if isinstance(more, dict) else NOTHING
        return {
            f"f:{name}": _Child(inner, declared.get(name, free), name in declared)
            for name, inner in value.items()
        }
    if schema[LIST_TYPE] == "set":
        return {f"v:{compact(inner)}": _Child(inner, NOTHING, False) for inner in value}
    below = schema.get("items", NOTHING)
    return {f"k:{key_of(inner, schema)}": _Child(inner, below, False) for inner in value}


def key_of(item: Json, schema: Json) -> str:
    """Give the keys of an item of a list-map as compact JSON; a key that is missing has its default."""
    declared = schema.get("items", NOTHING).get("properties", NOTHING)
    return compact(
        {
            name: item.get(name, declared.get(name, NOTHING).get("default"))
            for name in sorted(schema[LIST_KEYS])
        }
    )


def _interleaved(old: list[str], new: list[str]) -> list[str]:
    """Merge two orders: of the new one what it names, while what only the old one names stays in place."""
    named = set(new)
    common = [element for element in new if element in set(old)]
    found: list[str] = []
    left, right = 0, 0
    while left < len(old) or right < len(new):
        if left < len(old) and right < len(new) and old[left] == new[right]:
            found.append(new[right])
            left, right, common = left + 1, right + 1, common[1:]
        elif (
            left < len(old)
            and right < len(new)
            and old[left] in named
            and common[:1] not in ([], [old[left]])
        ):
            left += 1
        elif left < len(old) and old[left] not in named:
            found.append(old[left])
            left += 1
        else:
            left += left < len(old) and old[left] in found
            if right < len(new):
                found.append(new[right])
                common = common[1:] if common[:1] == [new[right]] else common
                right += 1
    return found


def _named(paths: Iterable[Path], schema: Json) -> set[Path]:
    """Add the declared parents of paths: they count as owned; items and keys of free maps do not."""
    named: set[Path] = set()
    for path in paths:
        named.add(path)
        below = schema
        for depth, element in enumerate(path[:-1], 1):
            declared = below.get("properties", NOTHING)
            more = below.get("additionalProperties")
            is_declared = element.startswith("f:") and element[2:] in declared
            if is_declared:
                named.add(path[:depth])
                below = declared[element[2:]]
            elif element.startswith("k:"):
                below = below.get("items", NOTHING)
            else:
                below = more if isinstance(more, dict) else NOTHING
    return named
