"""Selectors of labels and fields, on listings and watches."""

from typing import Final

from kubenode.core.errors import Refused
from kubenode.core.model import Json, Kind
from kubenode.runtime.store.contract import Api, EventType, Watch
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    api_case,
    events,
    fails,
    holds,
    machine,
    metadata,
    same,
    spec,
    status,
    told,
    version,
)
from kubenode.runtime.testing.store.watching import initial_events


async def _zones(store: Api, kind: Kind, fresh: Fresh) -> tuple[str, list[str]]:
    """Make one Machine in zone a, one in zone b and one in none; give what marks them, and their names."""
    names = sorted(fresh() for _ in range(3))
    mark = f"example.com/of={names[0]}"
    for name, zone in zip(names, ({"zone": "a", "size": "3"}, {"zone": "b", "size": "12"}, {}), strict=True):
        await store.create(kind, machine(name, metadata={"labels": {"example.com/of": names[0], **zone}}))
    return mark, names


async def _selected(store: Api, kind: Kind, labels: str) -> list[str]:
    return [item["metadata"]["name"] for item in (await store.find(kind, labels=labels)).items]


async def labels_in_a_set(store: Api, kind: Kind, fresh: Fresh) -> None:
    """`in` wants one of the values; an empty list wants an empty value."""
    mark, (one, two, _) = await _zones(store, kind, fresh)
    same(await _selected(store, kind, f"{mark},zone in (a, b,c)"), [one, two], "names")
    same(await _selected(store, kind, f"{mark},zone in ()"), [], "names with an empty value")


async def labels_not_in_a_set(store: Api, kind: Kind, fresh: Fresh) -> None:
    """`notin` wants none of the values, and is content with no label at all."""
    mark, (_, two, three) = await _zones(store, kind, fresh)
    same(await _selected(store, kind, f"{mark},zone notin (a)"), [two, three], "names")


async def labels_that_exist(store: Api, kind: Kind, fresh: Fresh) -> None:
    """A key alone wants the label, whatever its value."""
    mark, (one, two, _) = await _zones(store, kind, fresh)
    same(await _selected(store, kind, f"zone,{mark}"), [one, two], "names")


async def labels_that_do_not_exist(store: Api, kind: Kind, fresh: Fresh) -> None:
    """`!key` wants no such label."""
    mark, (_, _, three) = await _zones(store, kind, fresh)
    same(await _selected(store, kind, f"!zone,{mark}"), [three], "names")


async def labels_unequal(store: Api, kind: Kind, fresh: Fresh) -> None:
    """`!=` is content with no label, too; `==` is `=`."""
    mark, (one, two, three) = await _zones(store, kind, fresh)
    same(await _selected(store, kind, f"{mark} , zone != a"), [two, three], "names of !=")
    same(await _selected(store, kind, f"{mark},zone==a"), [one], "names of ==")


async def labels_compared_as_numbers(store: Api, kind: Kind, fresh: Fresh) -> None:
    """`>` and `<` want a whole number: 12 is more than 3, and no label is neither."""
    mark, (one, two, _) = await _zones(store, kind, fresh)
    same(await _selected(store, kind, f"{mark},size>3"), [two], "names of >")
    same(await _selected(store, kind, f"{mark},size<12"), [one], "names of <")
    same(await _selected(store, kind, f"{mark},zone>1"), [], "names where the label is no number")


async def requirements_are_all_met(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Two of one key that exclude each other select nothing."""
    mark, _ = await _zones(store, kind, fresh)
    same(await _selected(store, kind, f"{mark},zone=a,zone=b"), [], "names")


async def operators_may_be_keys(store: Api, kind: Kind, fresh: Fresh) -> None:
    """`in` and `notin` are words like others where no operator can be."""
    name, other = fresh(), fresh()
    await store.create(kind, machine(other))
    await store.create(kind, machine(name, metadata={"labels": {"in": "notin"}}))
    for labels in ("in", "in=notin", "in in (notin)", "in notin(in)"):
        same(await _selected(store, kind, f"{labels},in"), [name], f"names of {labels}")


async def label_selectors_that_cannot_be_read(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400, and what was expected where."""
    fresh()
    part = (
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
        "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
    )
    number = "for 'Gt', 'Lt' operators, the value must be an integer"
    for labels, fault in (
        ("a,", "found '', expected: identifier after ','"),
        ("a=1,=", "found '=', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("!a=1", "found '=', expected: ',' or 'end of string'"),
        ("a=1 b=2", "found 'b', expected: ',' or 'end of string'"),
        ("a in (1", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in 1", "unable to parse requirement: found '1' expected: '('"),
        ("b c", "unable to parse requirement: found 'c', expected: in, notin, =, ==, !=, gt, lt"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a=(1)", "unable to parse requirement: found '(', expected: identifier"),
        ("_x", f'unable to parse requirement: <nil>: Invalid value: "_x": {part}'),
        ("/a", 'unable to parse requirement: <nil>: Invalid value: "/a": prefix part must be non-empty'),
        ("a>x", f'unable to parse requirement: values[0]: Invalid value: "x": {number}'),
    ):
        error = await fails(Refused, store.find(kind, labels=labels))
        told(error, code=400, reason="BadRequest")
        same(error.status["message"], fault, f"message of {labels}")


async def labels_that_cannot_be_values(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400: what no label can be, none can be compared with."""
    fresh()
    for value, fault in (("_", "a valid label must be"), ("x" * 64, "must be no more than 63 bytes")):
        error = await fails(Refused, store.find(kind, labels=f"a={value}"))
        lead = f'unable to parse requirement: values[0][a]: Invalid value: "{value}": {fault}'
        holds(error.status["message"].startswith(lead), error.status["message"])


async def fields_unequal(store: Api, kind: Kind, fresh: Fresh) -> None:
    """`metadata.name!=` leaves objects out."""
    mark, (one, two, three) = await _zones(store, kind, fresh)
    found = await store.find(kind, labels=mark, fields=f"metadata.name!={one},metadata.name!={two}")
    same([item["metadata"]["name"] for item in found.items], [three], "names")
    both = await store.find(kind, fields=f"metadata.name={one},metadata.name={two}")
    same(both.items, (), "what has two names")


async def field_selectors_that_cannot_be_read(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400: no operator, a wrong escape, an operator in a value."""
    fresh()
    for fields, fault in (
        ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        (
            "metadata.name in (a)",
            "invalid selector: 'metadata.name in (a)'; can't understand 'metadata.name in (a)'",
        ),
        ("metadata.name=a\\b", "invalid field selector: invalid escape sequence: \\b"),
        ("metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
        (" metadata.name=a", "field label not supported:  metadata.name"),
    ):
        error = await fails(Refused, store.find(kind, fields=fields))
        told(error, code=400, reason="BadRequest")
        same(error.status["message"], fault, f"message of {fields}")


async def watch_of_a_selection(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Who enters is ADDED, who leaves is DELETED in its selected state at the new version; others are not told."""
    name, other = fresh(), fresh()
    listing = await store.find(kind)
    await store.create(kind, machine(other))
    await store.create(kind, machine(name))
    entered = await store.patch(kind, name, metadata(labels={"example.com/of": name}))
    changed = await store.patch(kind, name, spec(labels={"a": "1"}))
    left = await store.patch(kind, name, metadata(labels={"example.com/of": None}))
    await store.patch(kind, name, spec(labels={"a": "2"}))
    await store.delete(kind, name)
    back = await store.create(kind, machine(name, metadata={"labels": {"example.com/of": name}}))
    chosen = f"example.com/of in ({name},{other})"
    watch = await store.watch(kind, resource_version=listing.resource_version, labels=chosen)
    try:
        found = await events(watch, name, 4)
    finally:
        await watch.close()
    types = [EventType.ADDED, EventType.MODIFIED, EventType.DELETED, EventType.ADDED]
    same([event.type for event in found], types, "types")
    same([found[0].object, found[1].object, found[3].object], [entered, changed, back], "objects")
    same(version(found[2].object), version(left), "version of who left")
    same(found[2].object["metadata"]["labels"], {"example.com/of": name}, "labels of who left")


async def watch_of_a_selection_tells_deletes(store: Api, kind: Kind, fresh: Fresh) -> None:
    """DELETED for what was selected at the end; nothing for what was not."""
    name, other = fresh(), fresh()
    listing = await store.find(kind)
    await store.create(kind, machine(name, metadata={"labels": {"example.com/of": name}}))
    await store.create(kind, machine(other))
    await store.delete(kind, other)
    await store.delete(kind, name)
    start = listing.resource_version
    watch = await store.watch(kind, resource_version=start, labels={"example.com/of": name})
    try:
        found = [event for event in await _told(watch, 2) if event[0] is not EventType.BOOKMARK]
    finally:
        await watch.close()
    same(found, [(EventType.ADDED, name), (EventType.DELETED, name)], "events")


async def _told(watch: Watch, count: int) -> list[tuple[EventType, str]]:
    found: list[tuple[EventType, str]] = []
    while len(found) < count:
        batch = await watch.events()
        found += [(event.type, event.object["metadata"].get("name", "")) for event in batch]
    return found


async def watch_by_name(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Only the object of that name is told."""
    name, other = fresh(), fresh()
    listing = await store.find(kind)
    await store.create(kind, machine(other))
    await store.create(kind, machine(name))
    await store.delete(kind, name)
    start = listing.resource_version
    watch = await store.watch(kind, resource_version=start, fields={"metadata.name": name})
    try:
        found = [event for event in await _told(watch, 2) if event[0] is not EventType.BOOKMARK]
    finally:
        await watch.close()
    same(found, [(EventType.ADDED, name), (EventType.DELETED, name)], "events")


async def watch_of_a_selection_with_initial_events(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Only what is selected is told before the mark."""
    mark, (one, two, _) = await _zones(store, kind, fresh)
    labels = f"{mark},zone"
    watch = await store.watch(kind, resource_version="", bookmarks=True, initial=True, labels=labels)
    try:
        found: list[Json] = [event.object for event in await initial_events(watch)]
    finally:
        await watch.close()
    same([item["metadata"]["name"] for item in found[:-1]], [one, two], "names")


async def watch_with_a_selector_that_cannot_be_read(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400, at the latest when events are asked for."""
    fresh()

    async def ask(*, labels: str = "", fields: str = "") -> None:
        watch = await store.watch(kind, resource_version="1", labels=labels, fields=fields)
        try:
            await watch.events()
        finally:
            await watch.close()

    told(await fails(Refused, ask(labels="a in")), code=400, reason="BadRequest")
    error = await fails(Refused, ask(fields="spec.x=1"))
    same(error.status["message"], "field label not supported: spec.x", "message")


async def fields_that_the_kind_declares(store: Api, kind: Kind, fresh: Fresh) -> None:
    """Those of its CRD's selectableFields; what is not there is as an empty text."""
    mark, (one, two, three) = await _zones(store, kind, fresh)
    await store.patch(
        kind, one, status(phase="Running", nodeRef={"name": "n-1", "uid": "u"}), subresource="status"
    )
    await store.patch(kind, two, status(phase="Running"), subresource="status")
    for fields, wanted in (
        ("status.phase=Running", [one, two]), ("status.phase!=Running", [three]), ("status.phase=", [three]),
        ("status.nodeRef.name=n-1", [one]), ("status.nodeRef.name=", [two, three]),
        (f"status.phase=Running,metadata.name!={one}", [two]), ("status.phase=Running,status.nodeRef.name==n-1", [one]),
    ):  # fmt: skip
        found = (await store.find(kind, labels=mark, fields=fields)).items
        same([item["metadata"]["name"] for item in found], wanted, f"names by {fields}")


async def fields_that_the_kind_does_not_declare(store: Api, kind: Kind, fresh: Fresh) -> None:
    """400, of a part of a declared one too, on listings and watches."""
    for field in (
        "spec.deletionPolicy",
        "status.nodeRef",
        "status.nodeRef.uid",
        "metadata.namespace",
        "phase",
    ):
        text = f"field label not supported: {field}"
        error = await fails(Refused, store.find(kind, fields={field: "x"}))
        told(error, code=400, reason="BadRequest")
        same(error.status["message"], text, "message")
        error = await fails(Refused, _first_events(store, kind, {field: "x"}))
        same((error.code, error.status["message"]), (400, text), "answer to a watch")


async def _first_events(store: Api, kind: Kind, fields: dict[str, str]) -> None:
    watch = await store.watch(kind, resource_version="", fields=fields, initial=True)
    try:
        await watch.events()
    finally:
        await watch.close()


async def watch_by_a_declared_field(store: Api, kind: Kind, fresh: Fresh) -> None:
    """An object comes and goes with its phase, DELETED in the last state that was selected."""
    name = fresh()
    start = (await store.find(kind)).resource_version
    await store.create(kind, machine(name))
    running = await store.patch(kind, name, status(phase="Running"), subresource="status")
    labelled = await store.patch(kind, name, metadata(labels={"a": "1"}))
    await store.patch(kind, name, status(phase="Updating"), subresource="status")
    watch = await store.watch(kind, resource_version=start, fields={"status.phase": "Running"})
    try:
        added, modified, deleted = await events(watch, name, 3)
    finally:
        await watch.close()
    same((added.type, added.object), (EventType.ADDED, running), "first")
    same((modified.type, modified.object), (EventType.MODIFIED, labelled), "second")
    same((deleted.type, deleted.object["status"]["phase"]), (EventType.DELETED, "Running"), "third")


CASES: Final[tuple[Case, ...]] = tuple(
    api_case(behaviour) for behaviour in (
        labels_in_a_set, labels_not_in_a_set, labels_that_exist, labels_that_do_not_exist, labels_unequal,
        labels_compared_as_numbers, requirements_are_all_met, operators_may_be_keys,
        label_selectors_that_cannot_be_read, labels_that_cannot_be_values, fields_unequal,
        field_selectors_that_cannot_be_read, watch_of_a_selection, watch_of_a_selection_tells_deletes,
        watch_by_name, watch_of_a_selection_with_initial_events, watch_with_a_selector_that_cannot_be_read,
        fields_that_the_kind_declares, fields_that_the_kind_does_not_declare, watch_by_a_declared_field,
    )
)  # fmt: skip
