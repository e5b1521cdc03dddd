"""Events of core/v1, which are no custom resources: how the server reads, writes, judges and selects them.

They are the objects that `kubectl describe` shows and `kubectl events` lists. Those about cluster-scoped objects, as
all of ours are, live in the namespace `default`. Other than custom resources they have no status, no generation and
no schema that is validated: what cannot be read into a Go struct is refused, and what is empty is left out.
Source: kubernetes pkg/apis/core/validation/events.go and pkg/registry/core/event, observed on kube-apiserver 1.36.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

import attrs

from kubenode.core.model import Json, Kind
from kubenode.core.schema import Cause
from kubenode.core.schema.walk import MAP_TYPE
from kubenode.runtime.store import objectmeta
from kubenode.runtime.store.golang import MICRO_TIME, NUMBER, TEXT, TIME, Struct, read, structure, written
from kubenode.runtime.store.selectable import by_path

EVENT: Final = Kind(name="Event", plural="events", group="", version="v1", served=False, namespaced=True)
"""Name a namespace with `EVENT.within("default")`; as it stands it is those of all namespaces, which can be read only."""

_SYSTEM: Final = "kube-system"
_DEFAULT: Final = "default"
_LONGEST: Final = 128
_LONGEST_MESSAGE: Final = 1024

_REFERENCE: Final = Struct(
    "ObjectReference",
    dict.fromkeys(
        ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"), TEXT
    ),
)  # fmt: skip
_EVENT: Final = Struct(
    "Event",
    {
        "involvedObject": _REFERENCE, "reason": TEXT, "message": TEXT,
        "source": Struct("EventSource", {"component": TEXT, "host": TEXT}),
        "firstTimestamp": TIME, "lastTimestamp": TIME, "count": NUMBER, "type": TEXT, "eventTime": MICRO_TIME,
        "series": attrs.evolve(
            Struct("EventSeries", {"count": NUMBER, "lastObservedTime": MICRO_TIME}), optional=True
        ),
        "action": TEXT, "related": attrs.evolve(_REFERENCE, optional=True),
        "reportingComponent": attrs.evolve(TEXT, shown=True), "reportingInstance": attrs.evolve(TEXT, shown=True),
    },
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Native:
    """A kind that the server has of its own, not of a CRD.

    Attributes:
        schema: which fields there are, for pruning and for owners.
        blank: an object of it that says nothing; what is as in it, nobody owns.
        fields: what it can be selected by, and what reads it.
        read: gives an object as the server would write it; raises ValueError with the server's words.
        faults: what is wrong with an object.
    """

    schema: Json
    blank: Json
    fields: Mapping[str, Callable[[Json], str]]
    read: Callable[[Json], Json]
    faults: Callable[[Json], tuple[Cause, ...]]


def _read(obj: Json) -> Json:
    """Give an Event without what is empty, its times in UTC."""
    named = {"apiVersion": EVENT.api_version, "kind": EVENT.name, "metadata": obj["metadata"]}
    return {**named, **written(_EVENT, read(_EVENT, obj))}


def _faults(event: Json) -> tuple[Cause, ...]:
    found = _new_faults(event) if event["eventTime"] is not None else _old_faults(event)
    return tuple(found)


def _old_faults(event: Json) -> Iterator[Cause]:
    about = event["involvedObject"].get("namespace", "")
    if about != event["metadata"]["namespace"] and (about or event["metadata"]["namespace"] != _DEFAULT):
        yield _misplaced(about)


def _new_faults(event: Json) -> Iterator[Cause]:
    """Judge an Event that has an eventTime, as those of events.k8s.io have."""
    about = event["involvedObject"].get("namespace", "")
    if not about and event["metadata"]["namespace"] not in {_DEFAULT, _SYSTEM}:
        yield _misplaced(about)
    component = event["reportingComponent"]
    if not component:
        yield _required("reportingComponent")
    yield from objectmeta.qualified_name_faults(component, "reportingComponent", component)
    for name in ("reportingInstance", "action", "reason"):
        value = event.get(name, "")
        if not value:
            yield _required(name)
        yield from _length_faults(name, value, _LONGEST)
    yield from _length_faults("message", event.get("message", ""), _LONGEST_MESSAGE)


def _misplaced(namespace: str) -> Cause:
    message = f'Invalid value: "{namespace}": does not match event.namespace'
    return Cause("FieldValueInvalid", message, "involvedObject.namespace")


def _required(field: str) -> Cause:
    return Cause("FieldValueRequired", "Required value", field)


def _length_faults(field: str, value: str, limit: int) -> Iterator[Cause]:
    if len(value.encode()) > limit:
        yield Cause("FieldValueInvalid", f'Invalid value: "": can have at most {limit} characters', field)


def _source(event: Json) -> str:
    component: str = event["source"].get("component") or event["reportingComponent"]
    return component


NATIVES: Final[Mapping[tuple[str, str], Native]] = MappingProxyType({
    (EVENT.group, EVENT.plural): Native(
        schema={**structure(_EVENT), "properties": {
            **structure(_EVENT)["properties"],
            **{name: {**structure(_REFERENCE), MAP_TYPE: "atomic"} for name in ("involvedObject", "related")},
        }},
        blank=written(_EVENT, {}),
        fields={
            **{path: by_path(path) for path in (
                *(f"involvedObject.{name}" for name in _REFERENCE.fields),
                "reason", "reportingComponent", "type", "metadata.namespace",
            )},
            "source": _source,
        },
        read=_read, faults=_faults,
    ),
})  # fmt: skip
"""By group and plural, the kinds that are served as the server serves its own."""
