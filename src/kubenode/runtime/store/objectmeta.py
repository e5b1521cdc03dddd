"""The metadata of objects in the embedded store: what callers may write, and what is wrong with it."""

import json
import re
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, Final

from kubenode.core.model import Json, Kind
from kubenode.core.schema import Cause
from kubenode.runtime.store.refusals import (
    bad_request,
    no_such_namespace,
    no_such_place,
    not_allowed,
    other_namespace,
)

FIELDS: Final = frozenset({
    "name", "generateName", "namespace", "selfLink", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
    "managedFields",
})  # fmt: skip
"""All that the server knows in metadata; the rest is pruned."""

_OWNER: Final[Mapping[str, str]] = {
    "apiVersion": "string", "kind": "string", "name": "string", "uid": "string", "controller": "bool",
    "blockOwnerDeletion": "bool",
}  # fmt: skip
_NEVER_OWNERS: Final = frozenset({("v1", "Event")})
_BOTH_HELD: Final = frozenset({"orphan", "foregroundDeletion"})

_WRITABLE: Final = ("generateName", "labels", "annotations", "ownerReferences", "finalizers")
_MANAGED: Final = (
    "namespace", "name", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds",
)  # fmt: skip
_TYPES: Final[Mapping[str, str]] = {
    "name": "string", "generateName": "string", "uid": "string", "resourceVersion": "string",
    "labels": "map[string]string", "annotations": "map[string]string", "finalizers": "[]string",
    "ownerReferences": "[]v1.OwnerReference",
}  # fmt: skip

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_PART: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)
_VALUE: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", re.ASCII)

_BAD_NAME: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_ALPHANUMERIC: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_BAD_VALUE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_TOO_LONG: Final = "must be no more than 63 bytes"


def place(metadata: Json) -> str:
    """Give where an object is among those of its kind: its name, behind its namespace if it is in one."""
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else metadata["name"]


def placed(kind: Kind, name: str) -> str:
    """Give where the object of this name is, in the namespace that the kind names.

    Raises:
        ObjectNotFound: the kind has namespaces, and names none.
    """
    if not kind.namespaced:
        return name
    if not kind.namespace:
        raise no_such_place()
    return f"{kind.namespace}/{name}"


def homed(kind: Kind, metadata: Json, namespaces: Container[str]) -> Json:
    """Give the metadata of a new object with the namespace that it is created in, or with none.

    Raises:
        ObjectNotFound: there is no such namespace.
        Refused: it says another one, or none is asked for.
    """
    given = metadata.get("namespace")
    if not kind.namespaced:
        return {name: metadata[name] for name in metadata if name != "namespace"} if given else metadata
    if not kind.namespace:
        raise not_allowed()
    if given and given != kind.namespace:
        raise other_namespace()
    if kind.namespace not in namespaces:
        raise no_such_namespace(kind.namespace)
    return {**metadata, "namespace": kind.namespace}


def written(given: Json, kept: Json) -> Json:
    """Give the metadata after a write: what callers own from `given`, what the server owns from `kept`.

    Empty maps and lists are left out, as the server writes them; `kept` itself comes back when nothing changes.
    """
    after: Json = {name: kept[name] for name in _MANAGED if name in kept}
    after.update({name: _plain(name, given[name]) for name in _WRITABLE if given.get(name)})
    if "ownerReferences" in after and after["ownerReferences"] is not kept.get("ownerReferences"):
        after["ownerReferences"] = _owners(after["ownerReferences"], kept.get("ownerReferences"))
    same = after.keys() == kept.keys() and all(after[name] is kept[name] for name in after)
    return kept if same else after


def _owners(given: list[Json], kept: Any) -> Any:
    """Give references to owners as the server keeps them: each once, and only what it knows of them."""
    known = [{name: each[name] for name in _OWNER if each.get(name) is not None} for each in given]
    once = [each for at, each in enumerate(known) if each not in known[:at]]
    return kept if once == kept else once


def _plain(name: str, value: Any) -> Any:
    if name in {"labels", "annotations"} and None in value.values():
        return {key: "" if each is None else each for key, each in value.items()}
    return value


def decoded(kind: Kind, metadata: Any) -> Json:
    """Give metadata that the server could decode.

    Raises:
        Refused: it, or a field of it, has the wrong type.
    """
    if not isinstance(metadata, dict):
        raise _undecodable(kind, metadata, "Go value of type v1.ObjectMeta")
    for name, wanted in _TYPES.items():
        value = metadata.get(name)
        if value is not None and not _fits(value, wanted):
            raise _undecodable(kind, value, f"Go struct field ObjectMeta.{name} of type {wanted}")
    for owner in metadata.get("ownerReferences") or ():
        for name, value in owner.items():
            wanted = _OWNER.get(name, "")
            if wanted and value is not None and not isinstance(value, str if wanted == "string" else bool):
                raise _undecodable(
                    kind, value, f"Go struct field OwnerReference.ownerReferences.{name} of type {wanted}"
                )
    return metadata


def _fits(value: Any, wanted: str) -> bool:
    if wanted == "string":
        return isinstance(value, str)
    if wanted == "map[string]string":
        return isinstance(value, dict) and all(
            each is None or isinstance(each, str) for each in value.values()
        )
    inner = str if wanted == "[]string" else dict
    return isinstance(value, list) and all(isinstance(each, inner) for each in value)


def _undecodable(kind: Kind, value: Any, place: str) -> Exception:
    names = ((bool, "bool"), (str, "string"), (int | float, "number"), (list, "array"))
    found = next((name for types, name in names if isinstance(value, types)), "object")
    return bad_request(
        f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: '
        f"json: cannot unmarshal {found} into {place}"
    )


def faults(metadata: Json, before: Json | None, *, strict: bool = True) -> Iterator[Cause]:
    """Find what is wrong with metadata; of an object that exists, only with what has changed.

    Unless `strict`, any name will do that can be part of a path.
    """
    kept = before if before is not None else {}
    if metadata is kept:
        return
    if before is None:
        yield from _name_faults(metadata["name"]) if strict else _segment_faults(metadata["name"])
    if _changed("labels", metadata, kept):
        for name, value in metadata["labels"].items():
            yield from qualified_name_faults(name, "metadata.labels", name)
            yield from value_faults(value, "metadata.labels")
    for field, spelled in _QUALIFIED.items():
        if _changed(field, metadata, kept):
            for name in metadata[field]:
                yield from qualified_name_faults(name, f"metadata.{field}", spelled(name))
    if _changed("ownerReferences", metadata, kept):
        yield from _owner_faults(metadata["ownerReferences"])
    if _changed("finalizers", metadata, kept) and set(metadata["finalizers"]) >= _BOTH_HELD:
        shown = json.dumps(metadata["finalizers"], separators=(",", ":"), ensure_ascii=False)
        message = f"Invalid value: {shown}: finalizer orphan and foregroundDeletion cannot be both set"
        yield Cause("FieldValueInvalid", message, "metadata.finalizers")
    if "deletionTimestamp" in kept:
        held = kept.get("finalizers", ())
        fresh = [name for name in metadata.get("finalizers", ()) if name not in held]
        if fresh:
            found = ", ".join(f'"{name}"' for name in sorted(fresh))
            message = (
                "Forbidden: no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{found}}}"
            )
            yield from [
                Cause("FieldValueForbidden", message, "metadata.finalizers")
            ] * 2  # as the server says it


def immutable(given: Json, held: Json) -> Iterator[Cause]:
    """Find what a patch would change and no patch can; null changes nothing."""
    names = [
        "uid",
        "deletionGracePeriodSeconds",
        *(() if "deletionTimestamp" in held else ("deletionTimestamp",)),
    ]
    for name in names:
        value = given.get(name)
        if value is not None and value != held.get(name):
            shown = f'"{value}"' if isinstance(value, str) else value
            cause = Cause(
                "FieldValueInvalid", f"Invalid value: {shown}: field is immutable", f"metadata.{name}"
            )
            yield from [cause] * 2  # as the server says it


def _name_faults(name: str) -> Iterator[Cause]:
    if not name:
        message = "Required value: name or generateName is required"
        yield Cause("FieldValueRequired", message, "metadata.name")
    elif len(name) > 253:
        yield _invalid(name, "must be no more than 253 characters", "metadata.name")
    elif not _LABEL.fullmatch(name):
        yield _invalid(name, _BAD_NAME, "metadata.name")


def _segment_faults(name: str) -> Iterator[Cause]:
    if not name:
        yield from _name_faults(name)
    elif name in {".", ".."}:
        yield _invalid(name, f"may not be '{name}'", "metadata.name")
    else:
        for sign in "/%":
            if sign in name:
                yield _invalid(name, f"may not contain '{sign}'", "metadata.name")


def _owner_faults(owners: list[Json]) -> Iterator[Cause]:
    field = "metadata.ownerReferences"
    for owner in owners:
        version = owner.get("apiVersion") or ""
        if not version.rpartition("/")[2] or version.count("/") > 1:
            yield _invalid(version, "version must not be empty", f"{field}.apiVersion")
        for name in ("kind", "name", "uid"):
            if not owner.get(name):
                yield _invalid("", "must not be empty", f"{field}.{name}")
        if (version, owner.get("kind")) in _NEVER_OWNERS:
            shown = json.dumps(_in_order(owner), separators=(",", ":"), ensure_ascii=False)
            message = (
                f"Invalid value: {shown}: /{version}, Kind={owner['kind']} is disallowed from being an owner"
            )
            yield Cause("FieldValueInvalid", message, field)
    first, *others = [owner for owner in owners if owner.get("controller")] or [{}]
    shown = json.dumps([_in_order(owner) for owner in owners], separators=(",", ":"), ensure_ascii=False)
    for other in others:
        message = (
            f'Invalid value: {shown}: Only one reference can have Controller set to true. Found "true" in '
            f"references for {_named(first)} and {_named(other)}"
        )
        yield Cause("FieldValueInvalid", message, field)


def _named(owner: Json) -> str:
    return f"{owner.get('kind') or ''}/{owner.get('name') or ''}"


def _in_order(owner: Json) -> Json:
    return {name: owner[name] for name in _OWNER if name in owner}


def _changed(field: str, metadata: Json, kept: Json) -> bool:
    return field in metadata and metadata[field] is not kept.get(field)


_QUALIFIED: Final[Mapping[str, Callable[[str], str]]] = {"annotations": str.lower, "finalizers": str}
"""Fields whose keys or items are qualified names, and how they are read: annotations in any case."""


def value_faults(value: str, field: str) -> Iterator[Cause]:
    """Find what is wrong with the value of a label."""
    if len(value) > 63:
        yield _invalid(value, _TOO_LONG, field)
    elif not _VALUE.fullmatch(value):
        yield _invalid(value, _BAD_VALUE, field)


def qualified_name_faults(name: str, field: str, spelled: str) -> Iterator[Cause]:
    """Find what is wrong with a qualified name, such as the key of a label; `spelled` is how it is read."""
    prefix, slash, part = spelled.rpartition("/")
    if "/" in prefix:
        message = (
            f"a valid label key {_ALPHANUMERIC} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')"
        )
        yield _invalid(name, message, field)
        return
    if slash and not prefix:
        yield _invalid(name, "prefix part must be non-empty", field)
    elif prefix and not _LABEL.fullmatch(prefix):
        yield _invalid(name, f"prefix part {_BAD_NAME}", field)
    if not part:
        yield _invalid(name, "name part must be non-empty", field)
    if len(part) > 63:
        yield _invalid(name, f"name part {_TOO_LONG}", field)
    elif not _PART.fullmatch(part):
        yield _invalid(name, f"name part {_ALPHANUMERIC}", field)


def _invalid(value: str, fault: str, field: str) -> Cause:
    return Cause("FieldValueInvalid", f'Invalid value: "{value}": {fault}', field)
