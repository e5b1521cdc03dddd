"""The owners of the objects of one kind in the embedded store, kept beside the objects.

An object that was never applied has no entry: the store's own manager has written all of it, and its owners
are worked out when somebody applies. So writers that do not use server-side apply pay nothing for it.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from kubenode.core.model import Json, Kind
from kubenode.core.schema import Cause
from kubenode.core.schema.walk import FREE, LIST_KEYS, LIST_TYPE, MAP_TYPE, PRESERVE
from kubenode.runtime.store import objectmeta, refusals
from kubenode.runtime.store.contract import ApplyPatch
from kubenode.runtime.store.ownership import (
    Owner,
    Owners,
    Path,
    applied,
    compare,
    conflicts,
    settle,
    updated,
    without_idle,
)
from kubenode.runtime.store.patches import adopted
from kubenode.runtime.store.typed import misfit

_LONGEST_MANAGER: Final = 128
_TEXT: Final[Json] = {"type": "string"}
_TEXTS: Final[Json] = {"type": "object", "additionalProperties": _TEXT}
_OWNED: Final[Json] = {
    "generateName": _TEXT,
    "labels": _TEXTS,
    "annotations": _TEXTS,
    "finalizers": {"type": "array", "items": _TEXT, LIST_TYPE: "set"},
    "ownerReferences": {
        "type": "array", LIST_TYPE: "map", LIST_KEYS: ["uid"],
        "items": {"type": "object", MAP_TYPE: "atomic", PRESERVE: True, "properties": {"uid": _TEXT}},
    },
}  # fmt: skip
"""What of metadata can be owned."""
_METADATA: Final[Json] = {
    "type": "object",
    "properties": {**dict.fromkeys(objectmeta.FIELDS, FREE), **_OWNED},
}
_TYPE: Final[Json] = {"apiVersion": _TEXT, "kind": _TEXT}
_BEFORE: Final = "before-first-apply"


class Claims:
    """Who owns which field of each object of a kind.

    Args:
        kind: whose objects.
        schema: of the kind; None merges all maps and replaces all lists.
        manager: who makes the writes that are no apply.
        blank: an object that says nothing; nobody owns what is as in it.
    """

    def __init__(self, kind: Kind, schema: Json | None, manager: str, blank: Json | None = None) -> None:
        self._kind = kind
        self._manager = manager
        self._blank = blank or {}
        base = schema if schema is not None else {"type": "object", **FREE}
        self._schema: Json = {
            **base,
            "properties": {**base.get("properties", {}), **_TYPE, "metadata": _METADATA},
        }
        self._owners: dict[str, Owners] = {}

    def applied(
        self, name: str, before: Json | None, patch: ApplyPatch, *, is_status: bool
    ) -> tuple[Json, Owners]:
        """Give an object with a configuration applied, and its owners then; nothing is noted.

        Raises:
            Conflict: another manager owns a field.
            Refused: the configuration names another kind or does not fit the schema, or nobody applies it.
        """
        config = self._checked(name, patch)
        live = before if before is not None else {}
        me = Owner(patch.manager, "Apply", "status" if is_status else "")
        owners = self.owners(live) if before is not None else {}
        shown, wanted = _view(live, is_status=is_status), _view(config, is_status=is_status)
        after, claimed = applied(shown, wanted, self._schema, owners, me)
        added, removed = compare(shown, after, self._schema)
        others = conflicts(added, owners, me)
        if others and not patch.force:
            raise self._conflict([(owner, path) for owner in others for path in others[owner]])
        claimed = without_idle(settle(added, removed, claimed, me))
        return _with_view(live, config, after, is_status=is_status), claimed

    def owners(self, obj: Json) -> Owners:
        """Give who owns an object as it is now."""
        known = self._owners.get(objectmeta.place(obj["metadata"]))
        if known:
            return known
        if known is not None:  # all was given up
            everything, _ = compare(self._blank, _view(obj, is_status=False), self._schema)
            return {Owner(_BEFORE, "Update"): frozenset(everything)}
        owners: Owners = {}
        for is_status, subresource in ((False, ""), (True, "status")):
            me = Owner(self._manager, "Update", subresource)
            owners = updated(self._blank, _view(obj, is_status=is_status), self._schema, owners, me)
        return owners

    def note(self, before: Json | None, after: Json, owners: Owners | None, *, is_status: bool) -> None:
        """Remember who owns an object after a write: of an apply its owners, else None."""
        name = objectmeta.place(after["metadata"])
        if owners is not None:
            self._owners[name] = owners
        elif name in self._owners and before is not None:
            me = Owner(self._manager, "Update", "status" if is_status else "")
            old, new = _view(before, is_status=is_status), _view(after, is_status=is_status)
            self._owners[name] = updated(old, new, self._schema, self._owners[name], me)

    def drop(self, name: str) -> None:
        """Forget an object."""
        self._owners.pop(name, None)

    def _checked(self, name: str, patch: ApplyPatch) -> Json:
        """Give the configuration of an apply that the server would begin with."""
        if not patch.manager:
            raise _no_manager("FieldValueRequired", "Required value: is required for apply patch")
        if len(patch.manager.encode()) > _LONGEST_MANAGER:
            message = f"Too long: may not be more than {_LONGEST_MANAGER} bytes"
            raise _no_manager("FieldValueTooLong", message)
        config: Json = adopted(patch.body)
        metadata = config.get("metadata")
        if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
            raise refusals.bad_request("metadata.managedFields must be nil")
        version, named = config.get("apiVersion") or "/", config.get("kind") or ""
        if (version, named) != (self._kind.api_version, self._kind.name):
            shown = "/," if version == "/" else f"{version},"
            raise refusals.bad_request(f"invalid object type: {shown} Kind={named}")
        fault = misfit(config, self._schema)
        if fault:
            raise refusals.untyped(self._kind, name, fault)
        return config

    def _conflict(self, found: list[tuple[Owner, Path]]) -> Exception:
        found.sort(key=lambda each: (each[0], _order(each[1])))
        told: dict[str, list[str]] = {}
        for owner, path in found:
            told.setdefault(self._shown(owner), []).append(_spelled(path))
        return refusals.owned(told)

    def _shown(self, owner: Owner) -> str:
        shown = _quoted(owner.manager)
        if owner.subresource:
            shown += f" with subresource {_quoted(owner.subresource)}"
        return f"{shown} using {self._kind.api_version}" if owner.operation == "Update" else shown


def _no_manager(reason: str, message: str) -> Exception:
    options = Kind(name="PatchOptions", plural="patchoptions", group="meta.k8s.io", version="v1")
    return refusals.invalid(options, "", (Cause(reason, message, "fieldManager"),))


def _view(obj: Json, *, is_status: bool) -> Json:
    """Give what of an object a writer can own."""
    if is_status:
        return {"status": obj["status"]} if "status" in obj else {}
    view = {
        name: value for name, value in obj.items() if name not in {"apiVersion", "kind", "metadata", "status"}
    }
    metadata = obj.get("metadata") or {}
    owned = {name: metadata[name] for name in _OWNED if name in metadata}
    return {**view, "metadata": owned} if owned else view


def _with_view(live: Json, config: Json, view: Json, *, is_status: bool) -> Json:
    """Give an object with what was merged, and with the preconditions that the configuration names."""
    held = live.get("metadata", {})
    given = config.get("metadata") or {}
    asked = {name: given[name] for name in objectmeta.FIELDS if name in given and name not in _OWNED}
    if is_status:
        rest = {name: value for name, value in live.items() if name != "status"}
        return {**rest, **view, "metadata": {**held, **asked}}
    kept = {name: value for name, value in held.items() if name not in _OWNED}
    metadata = {**kept, **asked, **(view.get("metadata") or {})}
    status = {"status": live["status"]} if "status" in live else {}
    named = {"apiVersion": config["apiVersion"], "kind": config["kind"]}
    return {**named, **view, "metadata": metadata, **status}


def _order(path: Path) -> list[tuple[bool, str]]:
    """Give the server's order: at each node what ends there, before what goes on."""
    return [(at < len(path), element) for at, element in enumerate(path, 1)]


def _spelled(path: Path) -> str:
    return "".join(_steps(path))


def _steps(path: Path) -> Iterator[str]:
    for element in path:
        what, value = element[0], element[2:]
        if what == "f":
            yield f".{value}"
        elif what == "v":
            yield f"[={value}]"
        else:
            keys: dict[str, Any] = json.loads(value)
            yield f"[{','.join(f'{key}={_quoted(each)}' for key, each in keys.items())}]"


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
