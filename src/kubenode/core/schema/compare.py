"""What an older schema would drop: the fields of one schema that another one does not have."""

from collections.abc import Iterator

from kubenode.core.model import Json


def lacking(served: Json, wanted: Json, path: str = "") -> Iterator[str]:
    """Give the paths that `wanted` has and `served` would drop in silence; metadata is the server's own.

    Bounds, enumerations and rules are not compared: where those differ the server refuses aloud.
    """
    if served.get("x-kubernetes-preserve-unknown-fields"):
        return
    known = served.get("properties") or {}
    for name, part in (wanted.get("properties") or {}).items():
        if not path and name in ("apiVersion", "kind", "metadata"):
            continue
        below = f"{path}.{name}" if path else name
        if name in known:
            yield from lacking(known[name], part, below)
        elif "additionalProperties" not in served:
            yield below
    for name, mark in (("items", "[]"), ("additionalProperties", ".*")):
        part = wanted.get(name)
        if isinstance(part, dict):
            inner = served.get(name)
            if isinstance(inner, dict):
                yield from lacking(inner, part, f"{path}{mark}")
            else:
                yield f"{path}{mark}"
