"""What the server finds wrong with an applied configuration before it merges it: its shape, by the schema."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from kubenode.core.model import Json
from kubenode.core.schema.walk import FREE, LIST_TYPE, child_schema
from kubenode.runtime.store.ownership import is_merged_list, key_of

_SCALARS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_GO_NAMES: Final = {"integer": "numeric", "number": "numeric"}


def misfit(value: Any, schema: Json) -> str:
    """Give the first fault of a configuration as `.path: fault`, or nothing; null fits everywhere."""
    return next(_misfits(value, schema, ""), "")


def _misfits(value: Any, schema: Json, path: str) -> Iterator[str]:
    wanted = schema.get("type", "")
    if value is None or schema is FREE:
        return
    if wanted == "object":
        yield from _in_map(value, schema, path)
    elif wanted == "array":
        yield from _in_list(value, schema, path)
    elif wanted in _SCALARS and not _SCALARS[wanted](value):
        shown = json.dumps(value, ensure_ascii=False)
        name = _GO_NAMES.get(wanted, wanted)
        yield f"{path}: expected {name}, got &value.valueUnstructured{{Value:{shown}}}"


def _in_map(value: Any, schema: Json, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: expected map, got &{{{value}}}"
        return
    for name, inner in value.items():
        below = child_schema(schema, name)
        if below is None:
            yield f"{path}.{name}: field not declared in schema"
        else:
            yield from _misfits(inner, below, f"{path}.{name}")


def _in_list(value: Any, schema: Json, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: expected list, got &{{{value}}}"
        return
    below = schema.get("items", FREE)
    seen: set[str] = set()
    for at, inner in enumerate(value):
        fault = misfit(inner, below)
        if fault:
            yield f"{path}[{at}]{fault}"
        elif is_merged_list(schema):
            yield from _repeated(inner, schema, path, seen)


def _repeated(item: Any, schema: Json, path: str, seen: set[str]) -> Iterator[str]:
    if schema[LIST_TYPE] == "set":
        key, shown = json.dumps(item), f"[={json.dumps(item)}]"
    else:
        key = key_of(item or {}, schema)
        keys = json.loads(key).items()
        shown = f"[{','.join(f'{name}={json.dumps(each)}' for name, each in keys)}]"
    if key in seen:
        yield f"{path}: duplicate entries for key {shown}"
    seen.add(key)
