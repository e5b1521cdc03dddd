"""The objects of one kind in the embedded store, and what the server would say of one that is written."""

import re
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import attrs

from kubenode.core.model import Json, Kind
from kubenode.core.model.meta import GROUP
from kubenode.core.schema import (
    BLOCKING,
    NOWHERE,
    Cause,
    check_supported,
    defaulted,
    prune,
    rules_in,
    validate,
)
from kubenode.core.schema.walk import FREE
from kubenode.runtime.store import objectmeta, refusals
from kubenode.runtime.store.cel import Laws
from kubenode.runtime.store.claims import Claims
from kubenode.runtime.store.contract import EventType, Wanted, WatchEvent
from kubenode.runtime.store.events import NATIVES, Native
from kubenode.runtime.store.history import History
from kubenode.runtime.store.paging import Pages
from kubenode.runtime.store.pods import NEW
from kubenode.runtime.store.selectable import NAME, by_name, by_path, selectable_fault
from kubenode.runtime.store.selector import Selection

Rules: TypeAlias = Callable[[Json], tuple[Cause, ...]]
"""Laws over several fields of an object, checked in Python."""

_NOT_CHECKED: Final = Cause(
    "FieldValueInvalid",
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
    NOWHERE,
)


_TOP: Final = re.compile(r"[.\[]")
_SUBRESOURCES: Final = frozenset({"", "status"})
_FIELDS: Final[Mapping[str, Callable[[Json], str]]] = MappingProxyType({NAME: by_name})


@attrs.define(kw_only=True)
class Table:
    """The objects of one kind.

    Attributes:
        schema: None for a kind that is stored unchecked.
        status_schema: what of it describes the status; None when nothing does.
        laws: the CEL rules of the schema.
        objects: each at its place, which is its name, behind its namespace if it has one.
        places: of all, sorted.
        fields: what the kind can be selected by, and what reads it.
        native: what the server does for a kind of its own; None for what is made from a CRD, and for what is stored
            unchecked.
        new: has the status that every new object has; empty for none.
        subresources: what can be written of an object; empty for the object.
    """

    kind: Kind
    schema: Json | None
    status_schema: Json | None
    rules: Rules | None
    history: History
    pages: Pages
    claims: Claims
    laws: Laws
    objects: dict[str, Json] = attrs.field(factory=dict)
    places: list[str] = attrs.field(factory=list)
    fields: Mapping[str, Callable[[Json], str]] = _FIELDS
    native: Native | None = None
    new: Json = attrs.field(factory=dict)
    subresources: frozenset[str] = _SUBRESOURCES

    @classmethod
    def of(
        cls, kind: Kind, schema: Json | None, rules: Rules | None, *, window: int, manager: str, laws: bool
    ) -> "Table":
        """Make an empty table, whose writes are `manager`'s; `laws` tells whether to evaluate CEL.

        Raises:
            ValueError: the schema uses what is not supported.
        """
        native = NATIVES.get((kind.group, kind.plural)) if schema is None else None
        if native is not None:
            return cls._native(kind, native, window=window, manager=manager)
        unsupported = check_supported(schema) if schema is not None else ()
        told = (
            ((path, selectable_fault(path, schema)) for path in kind.selectable) if schema is not None else ()
        )
        unsupported = (*unsupported, *(f".{path} {fault}" for path, fault in told if fault))
        if laws and schema is not None and kind.group != GROUP:  # ours are priced once, by the tests
            from kubenode.runtime.store.cel_budget import refused

            unsupported = (*unsupported, *refused(schema))
        if unsupported:
            raise ValueError(f"the schema of {kind.name}: {'; '.join(unsupported)}")
        history = History(window)
        status = NEW.get((kind.group, kind.plural))
        new: Json = {} if status is None else {"status": status}
        return cls(
            kind=kind, schema=schema, status_schema=(schema or {}).get("properties", {}).get("status"), rules=rules, history=history, pages=Pages(history),
            claims=Claims(kind, schema, manager), laws=Laws(schema or {}, evaluated=laws),
            fields=MappingProxyType({**_FIELDS, **{path: by_path(path) for path in kind.selectable}}), new=new,
        )  # fmt: skip

    @classmethod
    def _native(cls, kind: Kind, native: Native, *, window: int, manager: str) -> "Table":
        history = History(window)
        return cls(
            kind=kind, schema=native.schema, status_schema=None, rules=None, history=history, pages=Pages(history),
            claims=Claims(kind, native.schema, manager, native.blank), laws=Laws({}, evaluated=False),
            fields=MappingProxyType({**_FIELDS, **native.fields}), native=native, subresources=frozenset({""}),
        )  # fmt: skip

    def selection(self, labels: Wanted, fields: Wanted, namespace: str = "") -> Selection:
        """Make a selection of these objects. Raises Refused."""
        return Selection.of(labels, fields, self.fields, namespace)

    def held(self, place: str) -> Json:
        """Give one object. Raises ObjectNotFound."""
        held = self.objects.get(place)
        if held is None:
            raise refusals.not_found(self.kind, place.rpartition("/")[2])
        return held

    def put(self, obj: Json) -> None:
        """Keep an object, or its next state."""
        place = objectmeta.place(obj["metadata"])
        if place not in self.objects:
            insort(self.places, place)
        self.objects[place] = obj

    def drop(self, obj: Json) -> None:
        """Forget an object."""
        place = objectmeta.place(obj["metadata"])
        del self.objects[place]
        del self.places[bisect_left(self.places, place)]
        self.claims.drop(place)

    def bookmark(self, version: int, metadata: Json | None = None) -> WatchEvent:
        """Make a bookmark of a version."""
        kind = {"apiVersion": self.kind.api_version, "kind": self.kind.name}
        marked = {**kind, "metadata": {**(metadata or {}), "resourceVersion": str(version)}}
        return WatchEvent(type=EventType.BOOKMARK, object=marked)

    def tidied(
        self, obj: Json, metadata: Json, known: Json | None, *, is_applied: bool
    ) -> tuple[Json, list[str]]:
        """Give an object pruned and filled in, and the paths of what was pruned."""
        unknown = _unknown(metadata)
        if self.schema is None:
            return obj, unknown
        whole = obj
        obj, dropped = prune(obj, self.schema, known=known)
        if self.native is not None:
            found = self.read(self.native, obj, is_patch=known is not None)
            return found, self._in_order(whole, unknown, dropped)
        if dropped:
            unknown += sorted(dropped)
        return defaulted(obj, self.schema, known=known, keeps_null=is_applied), unknown

    def check_subresource(self, name: str, subresource: str) -> None:
        """Refuse a subresource that objects do not have."""
        if subresource not in self.subresources:
            raise refusals.no_such_place() if self.native else refusals.not_found(self.kind, name)

    def pruned(self, obj: Json, known: Json | None) -> tuple[Json, list[str]]:
        """Give a whole object without what the schema does not know, and the paths of that."""
        metadata = obj.get("metadata")
        unknown: list[str] = []
        if isinstance(metadata, dict) and (unknown := _unknown(metadata)):
            known_of_it = {name: value for name, value in metadata.items() if name in objectmeta.FIELDS}
            obj = {**obj, "metadata": known_of_it}
        dropped: tuple[str, ...] = ()
        whole = obj
        if self.schema is not None:
            obj, dropped = prune(obj, self.schema, known=known)
        return obj, self._in_order(whole, unknown, dropped)

    def _in_order(self, obj: Json, unknown: list[str], dropped: Iterable[str]) -> list[str]:
        """Give the paths of unknown fields as the server tells them: of a struct as they come, else sorted."""
        if self.native is None:
            return [*unknown, *sorted(dropped)]
        order = {name: at for at, name in enumerate(obj)}
        return sorted([*unknown, *dropped], key=lambda path: order[_TOP.split(path, 1)[0]])

    def read(self, native: Native, obj: Json, *, is_patch: bool = False) -> Json:
        """Give a native object as it is written. Raises Refused when it cannot be decoded."""
        try:
            return native.read(obj)
        except ValueError as fault:
            if is_patch:
                raise refusals.bad_patch(obj, str(fault)) from fault
            raise refusals.undecodable(self.kind, str(fault)) from fault

    def status_tidied(
        self, status: Any, metadata: Json, known: Any, *, is_applied: bool
    ) -> tuple[Any, list[str]]:
        """Give a status as `tidied` gives it within its object, and the paths of what was pruned."""
        schema = self.status_schema or FREE
        status, dropped = prune(status, schema, known=known, path="status")
        filled = defaulted(status, schema, known=known, keeps_null=is_applied)
        return filled, [*_unknown(metadata), *sorted(dropped)]

    def check_type(self, name: str, obj: Json, *, exists: bool = False) -> None:
        """Refuse an object that does not say that it is of this kind; one that exists in other words."""
        kind, given = self.kind, obj.get("kind")
        if self.native is not None:
            self._check_registered(obj, exists=exists)
            return
        if not given or not isinstance(given, str):
            message = (
                f"the object provided is unrecognized (must be of type {kind.name}): Object 'Kind' is missing"
            )
            raise refusals.bad_request(message)
        version, expected = obj.get("apiVersion") or "", kind.api_version
        if version != expected and exists and given == kind.name:
            raise refusals.wrong_version(kind, name, version)
        if version != expected and not exists:
            raise refusals.bad_request(
                f"the API version in the data ({version}) does not match the expected API version ({expected})"
            )
        if given != kind.name:
            raise refusals.wrong_kind(kind, name, given)

    def _check_registered(self, obj: Json, *, exists: bool) -> None:
        """Refuse a native object of another kind; one that does not say is taken for one of this."""
        version, given = obj.get("apiVersion") or self.kind.api_version, obj.get("kind") or self.kind.name
        if (version, given) != (self.kind.api_version, self.kind.name):
            scheme = "pkg/runtime/scheme.go:111"
            fault = f'no kind "{given}" is registered for version "{version}" in scheme "{scheme}"'
            if exists:
                raise refusals.bad_patch(obj, fault)
            raise refusals.undecodable(self.kind, fault, as_kind=given, as_version=version)

    def identified(self, given: object, held: Json, *, is_status: bool) -> tuple[Json, tuple[Cause, ...]]:
        """Give the metadata of a patched object, and what of it no patch can change.

        Of a status the server looks at that only for kinds that are not made from a CRD.

        Raises:
            Conflict: it has another resourceVersion.
            Refused: it has another name, or cannot be read.
        """
        if given is held:
            return held, ()
        name: str = held["name"]
        kind, custom = self.kind, self.schema is not None and self.native is None
        if given is None:
            raise refusals.other_name(name, "")
        metadata = objectmeta.decoded(kind, given)
        if metadata.get("name") != name:
            raise refusals.other_name(name, metadata.get("name") or "")
        if "namespace" in held and metadata.get("namespace") not in {None, "", held["namespace"]}:
            raise refusals.other_namespace()
        version = metadata.get("resourceVersion")
        if not version and custom:
            raise refusals.unversioned(kind, name)
        if version and parse_version(version) != parse_version(held["resourceVersion"]):
            raise refusals.modified(kind, name)
        return metadata, () if is_status and custom else tuple(objectmeta.immutable(metadata, held))

    def judge(
        self, after: Json, before: Json | None, *, known: tuple[Cause, ...] = (), is_status: bool = False
    ) -> None:
        """Refuse a write whose object has faults that it did not have before, or that are known already.

        Raises:
            Conflict: one of them is the uid.
            Refused: with all causes.
        """
        metadata = after["metadata"]
        native = self.native is not None
        causes = [
            *known,
            *objectmeta.faults(metadata, before["metadata"] if before else None, strict=not native),
        ]
        causes.extend(self._status_faults(after, before) if is_status else self._faults(after, before))
        # Laws are looked at only in an object whose schema would let them run.
        if causes and any(cause.reason in BLOCKING for cause in causes):
            causes.extend([_NOT_CHECKED] if self.rules or (self.schema and rules_in(self.schema)) else [])
        else:
            causes.extend(self.laws.faults(after, before))
            if self.rules is not None and (broken := self.rules(after)):
                old = self.rules(before) if before is not None else ()
                causes.extend(cause for cause in broken if cause not in old)
        if causes:
            raise refusals.invalid(self.kind, metadata["name"], causes)

    def _faults(self, after: Json, before: Json | None) -> tuple[Cause, ...]:
        if self.native is not None:
            return self.native.faults(after)
        return () if self.schema is None else validate(after, self.schema, known=before)

    def _status_faults(self, after: Json, before: Json | None) -> tuple[Cause, ...]:
        """Judge a status as if it stood alone: so does the server, whose texts then leave `status.` out."""
        if self.schema is None or "status" not in after:
            return ()
        known = before.get("status") if before is not None else None
        return tuple(map(_below_status, validate(after["status"], self.status_schema or {}, known=known)))


def _unknown(metadata: Json) -> list[str]:
    return [f"metadata.{name}" for name in metadata if name not in objectmeta.FIELDS]


def _below_status(cause: Cause) -> Cause:
    below = cause.field and cause.field != NOWHERE
    return attrs.evolve(cause, field=f"status.{cause.field}" if below else "status")


def parse_version(version: str) -> int:
    """Read a resourceVersion. Raises Refused, with the 500 of the server."""
    if not (version.isascii() and version.isdigit()):
        raise refusals.bad_version(version)
    return int(version)
