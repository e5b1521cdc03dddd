"""How what is asked of an API server is spelled in HTTP: paths, queries and bodies."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from kubenode.core.errors import Refused
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import FieldValidation, Propagation, Wanted

_ALL: Final = "All"
DRY: Final[Mapping[bool, dict[str, str]]] = {False: {}, True: {"dryRun": _ALL}}


def options(propagation: Propagation | None, *, dry_run: bool) -> Json:
    """Give the body of a deletion."""
    body: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
    if propagation is not None:
        body["propagationPolicy"] = propagation.value
    if dry_run:
        body["dryRun"] = [_ALL]
    return body


def period(grace: int | None) -> dict[str, int]:
    """Give the option that says how many seconds a Pod has to end; none leaves it as the Pod says."""
    return {} if grace is None else {"gracePeriodSeconds": grace}


def validation(wanted: FieldValidation | None) -> dict[str, str]:
    """Give the query that says what becomes of unknown fields; none leaves it to the server."""
    return {} if wanted is None else {"fieldValidation": wanted.value}


def selectors(labels: Wanted, fields: Wanted) -> dict[str, str]:
    """Give the query of a selection; what is given by names and values is joined by commas, in the order of names."""
    wanted = {"labelSelector": labels or "", "fieldSelector": fields or ""}
    written = {
        name: each
        if isinstance(each, str)
        else ",".join(f"{key}={value}" for key, value in sorted(each.items()))
        for name, each in wanted.items()
    }
    return {name: text for name, text in written.items() if text}


def path_of(kind: Kind, name: str | None = None, subresource: str = "") -> str:
    """Give the path of an object or of its subresource; without a name, of all objects of a kind.

    Raises:
        Refused: the name would make it the path of something else: of all objects, or of another one.
    """
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    if kind.namespace:
        root = f"{root}/namespaces/{quote(kind.namespace, safe='')}"
    if name is None:
        return f"{root}/{kind.plural}"
    if name in ("", ".", "..") or "/" in name:
        raise Refused(f"{name!r} is no name of an object")
    return f"{root}/{kind.plural}/{quote(name, safe='')}" + (f"/{subresource}" if subresource else "")


def body_of(value: object) -> bytes:
    """Write a body as JSON."""
    return orjson.dumps(value, default=_plain)


def _plain(value: object) -> dict[Any, Any]:
    """Write mappings that are not dicts, such as read-only ones."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
