"""The fields that objects can be selected by: how each is read, and which a CRD may declare."""

from collections.abc import Callable
from typing import Any, Final

from kubenode.core.model import Json

NAME: Final = "metadata.name"
"""The one field that every kind can be selected by."""


def by_path(path: str) -> Callable[[Json], str]:
    """Give what reads a field as the server compares it: what is not there is empty, true is `true`."""
    *places, last = path.split(".")

    def reader(obj: Json) -> str:
        holder: Any = obj
        for place in places:
            holder = holder.get(place)
            if holder is None:
                return ""
        value = holder.get(last)
        if isinstance(value, bool):
            return str(value).lower()
        return "" if value is None else str(value)

    return reader


def selectable_fault(path: str, schema: Json) -> str:
    """Say why objects of a schema cannot be selected by a field, in the server's words; empty when they can."""
    for name in path.split("."):
        below = schema.get("properties", {}).get(name)
        if below is None:
            return "is an invalid path: does not refer to a valid field"
        schema = below
    if path.partition(".")[0] == "metadata":
        return "must not point to fields in metadata"
    if schema.get("type") in {"string", "boolean", "integer"}:
        return ""
    return (
        "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are "
        "allowed."
    )


def by_name(obj: Json) -> str:
    """Read the field that every kind can be selected by."""
    name: str = obj["metadata"]["name"]
    return name
