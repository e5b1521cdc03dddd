"""The schema: pruning, defaults, and every fault by path."""

from typing import Any, Final

from kubenode.core.errors import Refused
from kubenode.core.model import Kind
from kubenode.runtime.store.contract import Store
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    case,
    causes,
    condition,
    fails,
    holds,
    machine,
    same,
    spec,
    status,
    taint,
    told,
)
from kubenode.runtime.testing.store.swapping import ENTRY


async def unknown_fields_are_pruned(store: Store, kind: Kind, fresh: Fresh) -> None:
    """At the root, in the spec, in items, in map values and in metadata."""
    body = machine(
        fresh(), junk=1, taints=[{**taint("a"), "junk": 1}], components={"a": {**ENTRY, "junk": 1}}
    )
    body["metadata"]["junk"] = 1
    made = await store.create(kind, {**body, "junk": {"a": 1}})
    holds("junk" not in made, "a field of the root is left")
    holds("junk" not in made["metadata"], "a field of metadata is left")
    holds("junk" not in made["spec"], "a field of the spec is left")
    same(made["spec"]["taints"], [taint("a")], "taints")
    same(made["spec"]["components"], {"a": ENTRY}, "components")


async def unknown_fields_are_no_change(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A patch of nothing else writes nothing."""
    name = fresh()
    made = await store.create(kind, machine(name))
    same(await store.patch(kind, name, spec(junk=1)), made, "the answer")


async def free_form_is_kept(store: Store, kind: Kind, fresh: Fresh) -> None:
    """What no schema describes survives, nulls and all."""
    name = fresh()
    parameters: dict[str, Any] = {
        "size": 3,
        "ratio": 0.5,
        "on": True,
        "none": None,
        "deep": [{"a": None}, [], 1],
    }
    infrastructure = {"provider": "memory", "parameters": parameters}
    made = await store.create(kind, machine(name, host=None, infrastructure=infrastructure))
    same(made["spec"]["infrastructure"]["parameters"], parameters, "parameters")
    holds("host" not in made["spec"], "a null is left")


async def defaults_are_filled_in(store: Store, kind: Kind, fresh: Fresh) -> None:
    """In the spec and below, never below what is not there."""
    short = {name: value for name, value in ENTRY.items() if name not in {"batch", "state"}}
    made = await store.create(
        kind, machine(fresh(), components={"a": short}, taints=[{"key": "a", "effect": "NoExecute"}])
    )
    same(made["spec"]["taints"][0]["value"], "", "value of the taint")
    same(made["spec"]["labels"], {}, "labels")
    same(made["spec"]["components"]["a"], {**short, "batch": 0, "state": "Running"}, "entry")
    holds("deletionPolicy" not in made["spec"], "a field without a default was made")
    holds("infrastructure" not in made["spec"], "an absent parent was made")


async def whole_numbers_are_integers(store: Store, kind: Kind, fresh: Fresh) -> None:
    """1.0 is stored as 1."""
    made = await store.create(kind, machine(fresh(), components={"a": {**ENTRY, "batch": 2.0}}))
    same(made["spec"]["components"]["a"]["batch"], 2, "batch")


async def required_fields(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422 with the path; a null is as good as missing."""
    body = machine(fresh(), taints=[{"effect": "NoSchedule"}], host={"address": None})
    error = await fails(Refused, store.create(kind, body))
    told(error, code=422, reason="Invalid")
    wanted = {
        ("FieldValueRequired", "spec.taints[0].key", "Required value"),
        ("FieldValueRequired", "spec.host.address", "Required value"),
    }
    same(causes(error), wanted, "causes")
    body = machine(fresh())
    del body["spec"]
    error = await fails(Refused, store.create(kind, body))
    same(causes(error), {("FieldValueRequired", "spec", "Required value")}, "causes")


async def wrong_types(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Neither true nor "1" nor 1.5 is an integer, and 1 is no text."""
    name = fresh()
    await store.create(kind, machine(name))
    for wrong, found in ((True, ""), (1.5, "float64"), ([], "array"), ({}, ""), ("1", "string")):
        error = await fails(
            Refused, store.patch(kind, name, spec(components={"a": {**ENTRY, "batch": wrong}}))
        )
        field = "spec.components.a.batch"
        what = "integer" if found in {"array", "string"} else "int64"
        message = f'Invalid value: "{found}": {field} in body must be of type {what}: "{found}"'
        holds(
            ("FieldValueTypeInvalid", field, message) in causes(error),
            f"causes of {wrong!r}: {causes(error)}",
        )
    for wrong, found in ((True, "boolean"), (1, "integer"), (1.5, "number"), ([], "array"), ({}, "object")):
        error = await fails(Refused, store.patch(kind, name, spec(labels={"a": wrong})))
        message = f'Invalid value: "{found}": spec.labels.a in body must be of type string: "{found}"'
        same(causes(error), {("FieldValueTypeInvalid", "spec.labels.a", message)}, f"causes of {wrong!r}")


async def values_outside_an_enum(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422, naming what is supported; a wrong type is told besides."""
    name = fresh()
    await store.create(kind, machine(name))
    field, allowed = "spec.deletionPolicy", 'supported values: "Release", "Terminate"'
    error = await fails(Refused, store.patch(kind, name, spec(deletionPolicy="Nope")))
    same(
        causes(error), {("FieldValueNotSupported", field, f'Unsupported value: "Nope": {allowed}')}, "causes"
    )
    error = await fails(Refused, store.patch(kind, name, spec(deletionPolicy=3)))
    message = 'Invalid value: "integer": spec.deletionPolicy in body must be of type string: "integer"'
    wanted = {
        ("FieldValueNotSupported", field, f"Unsupported value: 3: {allowed}"),
        ("FieldValueTypeInvalid", field, message),
    }
    same(causes(error), wanted, "causes")


async def texts_that_do_not_fit(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Length is counted in code points; of length and pattern only the first fault is told."""
    name = fresh()
    await store.create(kind, machine(name))
    field = "spec.host.address"
    error = await fails(Refused, store.patch(kind, name, spec(host={"address": "_" * 254})))
    same(causes(error), {("FieldValueTooLong", field, "Too long: may not be more than 253 bytes")}, "causes")
    error = await fails(Refused, store.patch(kind, name, spec(host={"address": ""})))
    message = f'Invalid value: "": {field} in body should be at least 1 chars long'
    same(causes(error), {("FieldValueInvalid", field, message)}, "causes")
    for text, shown in (("a b", "a b"), ("a\n", "a\\n"), ("é", "é")):
        error = await fails(Refused, store.patch(kind, name, spec(host={"address": text})))
        message = f"Invalid value: \"{shown}\": {field} in body should match '^[A-Za-z0-9]([-A-Za-z0-9.:]*[A-Za-z0-9])?$'"
        same(causes(error), {("FieldValueInvalid", field, message)}, f"causes of {text!r}")


async def numbers_that_do_not_fit(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Limits, fractions and what 64 bits cannot hold; a cause that is of no field is of `<nil>`."""
    name = fresh()
    await store.create(kind, machine(name))
    field = "spec.components.a.batch"
    no_int64 = ("FieldValueInvalid", "<nil>",
                f'Invalid value: "": Checked value must be of type integer with format int64 in {field}')  # fmt: skip
    no_integer = ("FieldValueTypeInvalid", field,
                  f'Invalid value: "float64": {field} in body must be of type int64: "float64"')  # fmt: skip
    for number, wanted in (
        (-1, {(-1, "greater than or equal to 0")}), (1_000_001, {(1000001, "less than or equal to 1000000")}),
        (1.5, {no_int64, no_integer}), (-1.5, {no_int64, no_integer, (-1.5, "greater than or equal to 0")}),
        (2**63, {no_int64, no_integer, ("9.223372036854776e+18", "less than or equal to 1e+06")}),
        (1e300, {no_int64, no_integer, ("1e+300", "less than or equal to 1e+06")}),
    ):  # fmt: skip
        error = await fails(
            Refused, store.patch(kind, name, spec(components={"a": {**ENTRY, "batch": number}}))
        )
        told_of = {
            one if len(one) == 3 else
            ("FieldValueInvalid", field, f"Invalid value: {one[0]}: {field} in body should be {one[1]}")
            for one in wanted
        }  # fmt: skip
        same(causes(error), told_of, f"causes of {number}")


async def numbers_and_lists_that_do_not_fit(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Every fault is told at once, each by its path."""
    name = fresh()
    await store.create(kind, machine(name))
    operation = {"opID": "o", "job": "j", "attempt": 0, "action": "reboot", "steps": []}
    error = await fails(Refused, store.patch(kind, name, spec(operation=operation)))
    at = "spec.operation"
    wanted = {
        ("FieldValueInvalid", f"{at}.attempt",
         f"Invalid value: 0: {at}.attempt in body should be greater than or equal to 1"),
        ("FieldValueInvalid", f"{at}.steps", f"Invalid value: 0: {at}.steps in body should have at least 1 items"),
    }  # fmt: skip
    same(causes(error), wanted, "causes")
    taints = [taint(f"t{number}") for number in range(33)]
    error = await fails(Refused, store.patch(kind, name, spec(taints=taints)))
    message = "Too many: 33: must have at most 32 items"
    same(causes(error), {("FieldValueTooMany", "spec.taints", message)}, "causes")


async def duplicate_keys_of_a_list(store: Store, kind: Kind, fresh: Fresh) -> None:
    """422, once for each key, at its second place."""
    name = fresh()
    await store.create(kind, machine(name))
    error = await fails(
        Refused, store.patch(kind, name, spec(taints=[taint("a"), taint("b"), taint("a"), taint("a")]))
    )
    message = 'Duplicate value: {"effect":"NoSchedule","key":"a"}'
    same(causes(error), {("FieldValueDuplicate", "spec.taints[2]", message)}, "causes")
    error = await fails(
        Refused,
        store.patch(kind, name, status(conditions=[condition("A"), condition("A")]), subresource="status"),
    )
    wanted = {("FieldValueDuplicate", "status.conditions[1]", 'Duplicate value: {"type":"A"}')}
    same(causes(error), wanted, "causes")


async def faults_of_a_status(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Told as if the status stood alone: the text leaves `status.` out, the field has it."""
    name = fresh()
    await store.create(kind, machine(name))
    error = await fails(Refused, store.patch(kind, name, status(phase=5), subresource="status"))
    message = 'Invalid value: "integer": phase in body must be of type string: "integer"'
    same(causes(error), {("FieldValueTypeInvalid", "status.phase", message)}, "causes")


async def date_times(store: Store, kind: Kind, fresh: Fresh) -> None:
    """RFC 3339, as leniently as the server reads it."""
    name = fresh()
    await store.create(kind, machine(name))
    for good in ("2026-01-02T03:04:05Z", "2026-01-02t03:04:05.123456z", "2026-01-02T03:04:05+25:00"):
        made = await store.patch(kind, name, status(firstRunning=good), subresource="status")
        same(made["status"]["firstRunning"], good, "firstRunning")
    for bad in ("2026-02-30T00:00:00Z", "2026-01-02T24:00:00Z", "2026-01-02T03:04:05", "2026-01-02", "now"):
        error = await fails(Refused, store.patch(kind, name, status(firstRunning=bad), subresource="status"))
        same({field for _, field, _ in causes(error)}, {"status.firstRunning"}, f"fields of {bad}")


async def a_refused_write_changes_nothing(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The message has one cause bare and several in brackets, and the details name the Kind."""
    name = fresh()
    made = await store.create(kind, machine(name))
    error = await fails(Refused, store.patch(kind, name, spec(deletionPolicy="Nope", labels={"a": 1})))
    told(error, code=422, reason="Invalid")
    holds(error.status["message"].startswith(f'Machine.kubenode.dev "{name}" is invalid: ['), str(error))
    same({key: error.status["details"][key] for key in ("name", "group", "kind")},
         {"name": name, "group": "kubenode.dev", "kind": "Machine"}, "details")  # fmt: skip
    same(await store.get(kind, name), made, "the object")


CASES: Final[tuple[Case, ...]] = tuple(
    case(behaviour) for behaviour in (
        unknown_fields_are_pruned, unknown_fields_are_no_change, free_form_is_kept, defaults_are_filled_in,
        whole_numbers_are_integers, required_fields, wrong_types, values_outside_an_enum, texts_that_do_not_fit,
        numbers_that_do_not_fit,
        numbers_and_lists_that_do_not_fit, duplicate_keys_of_a_list, faults_of_a_status, date_times,
        a_refused_write_changes_nothing,
    )
)  # fmt: skip
