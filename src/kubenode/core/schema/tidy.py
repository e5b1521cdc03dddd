"""What the server does to an object before it judges it: pruning, then defaults."""

from typing import Any, Final

from kubenode.core.model.meta import Json
from kubenode.core.schema.walk import FREE, NOTHING, child_schema, identities, join

ALWAYS_KEPT: Final = ("apiVersion", "kind", "metadata")


def prune(
    obj: Json, schema: Json, *, known: Json | None = None, path: str = ""
) -> tuple[Json, tuple[str, ...]]:
    """Give an object, or what stands at a path within one, without the fields its schema does not know.

    At the root, apiVersion, kind and metadata are always kept, whole.

    Returns:
        It, and the paths of what it is without.
    """
    dropped: list[str] = []
    pruned: Json = _pruned(obj, schema, known, path, dropped)
    return pruned, tuple(dropped)


def defaulted(obj: Json, schema: Json, *, known: Json | None = None, keeps_null: bool = False) -> Json:
    """Give an object with its defaults, parents first, and without nulls in fields that are not nullable.

    A default is set into an object that exists, never below an absent parent.

    Args:
        obj: what was written.
        schema: of the object.
        known: an earlier state that passed already.
        keeps_null: leave nulls without a default for validation to find, as the server does in an apply.
    """
    filled: Json = _filled(obj, schema, known, keeps_null)
    return filled


def _pruned(value: Any, schema: Json, known: Any, path: str, dropped: list[str]) -> Any:
    if value is known or schema is FREE:
        return value
    if isinstance(value, dict):
        return _pruned_object(value, schema, known, path, dropped)
    if isinstance(value, list) and "items" in schema:
        below, seen = schema["items"], identities(known)
        items = [
            inner if id(inner) in seen else _pruned(inner, below, None, f"{path}[{at}]", dropped)
            for at, inner in enumerate(value)
        ]
        return items if _differ(items, value) else value
    return value


def _pruned_object(value: Json, schema: Json, known: Any, path: str, dropped: list[str]) -> Json:
    kept: Json = {}
    changed = False
    earlier = known if isinstance(known, dict) else NOTHING
    for name, inner in value.items():
        old = earlier.get(name)
        if inner is old and inner is not None:  # it was tidied when it was written
            kept[name] = inner
            continue
        below = FREE if not path and name in ALWAYS_KEPT else child_schema(schema, name)
        if below is None:
            dropped.append(join(path, name))
            continue
        after = inner
        if isinstance(inner, dict | list):
            after = _pruned(inner, below, old, join(path, name), dropped)
        changed = changed or after is not inner
        kept[name] = after
    return kept if changed or len(kept) < len(value) else value


def _differ(left: list[Any], right: list[Any]) -> bool:
    return any(one is not other for one, other in zip(left, right, strict=True))


def _filled(value: Any, schema: Json, known: Any, keeps_null: bool) -> Any:
    if value is known or schema is FREE:
        return value
    if isinstance(value, dict):
        return _filled_object(value, schema, known, keeps_null)
    if isinstance(value, list) and "items" in schema:
        below, seen = schema["items"], identities(known)
        items = [inner if id(inner) in seen else _filled_item(inner, below, keeps_null) for inner in value]
        return items if _differ(items, value) else value
    return value


def _filled_item(value: Any, schema: Json, keeps_null: bool) -> Any:
    lacking = value is None and "default" in schema and not schema.get("nullable")
    return _filled(_default(schema) if lacking else value, schema, None, keeps_null)


def _filled_object(value: Json, schema: Json, known: Any, keeps_null: bool) -> Json:
    filled: Json = {}
    changed = False
    earlier = known if isinstance(known, dict) else NOTHING
    for name, inner in value.items():
        old = earlier.get(name)
        if inner is old and inner is not None:
            filled[name] = inner
            continue
        below = child_schema(schema, name) or FREE
        after = inner
        if inner is None and below is not FREE and not below.get("nullable"):
            if "default" in below:
                after = _default(below)
            elif not keeps_null:
                changed = True
                continue
        if isinstance(after, dict | list):
            after = _filled(after, below, old, keeps_null)
        changed = changed or after is not inner
        filled[name] = after
    for name, below in schema.get("properties", NOTHING).items():
        if name not in filled and "default" in below:
            filled[name] = _filled(_default(below), below, None, keeps_null)
            changed = True
    return filled if changed else value


def _default(schema: Json) -> Any:
    return _copy(schema["default"])


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(inner) for name, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value
