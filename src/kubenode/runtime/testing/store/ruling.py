"""The CEL rules of our kinds: laws over several fields, and about what a value was before."""

from typing import Any, Final

from kubenode.core.errors import ApiError, Refused
from kubenode.core.model import Json, Kind, MachineComponent, MachineComponentSet, MachineSet, RiskPolicy
from kubenode.core.schema import NOWHERE
from kubenode.runtime.store.contract import ApplyPatch, MergePatch, Store
from kubenode.runtime.testing.store.applying import HOST, config
from kubenode.runtime.testing.store.case import (
    Case,
    Fresh,
    causes,
    fails,
    holds,
    machine,
    metadata,
    remove,
    same,
    spec,
    status,
    told,
)
from kubenode.runtime.testing.store.swapping import ENTRY

EITHER: Final = "give either host (a machine that exists) or infrastructure (one to create)"
CREATED: Final = {"provider": "memory", "parameters": {}}
LABEL: Final = "^([-a-z0-9.]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
INVALID: Final = "FieldValueInvalid"


def broken(error: ApiError, *wanted: tuple[str, str]) -> None:
    """Assert that a write was refused for these (field, text), and for nothing else."""
    told(error, code=422, reason="Invalid")
    same(causes(error), {(INVALID, field, f"Invalid value: {text}") for field, text in wanted}, "causes")


def written(kind: Kind, name: str, /, **fields: Any) -> Json:
    """Write an object of any of our kinds."""
    named = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name}}
    return {**named, "spec": fields}


async def rule_of_two_fields(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A machine has a host or an infrastructure: not neither, not both; 422 with the rule's message."""
    name = fresh()
    broken(await fails(Refused, store.create(kind, machine(name, host=None))), ("spec", EITHER))
    both = machine(name, infrastructure=CREATED)
    broken(await fails(Refused, store.create(kind, both)), ("spec", EITHER))
    made = await store.create(kind, machine(name))
    error = await fails(Refused, store.patch(kind, name, spec(infrastructure=CREATED)))
    broken(error, ("spec", EITHER))
    same(await store.get(kind, name), made, "the object after a refusal")


async def rule_about_the_old_value(store: Store, kind: Kind, fresh: Fresh) -> None:
    """It is looked at when a value changes, not at create; `fieldPath` says where it is told."""
    name = fresh()
    await store.create(kind, machine(name))
    error = await fails(Refused, store.patch(kind, name, spec(host=None, infrastructure=CREATED)))
    broken(error, ("spec.host", "cannot be removed once set"))
    other = fresh()
    await store.create(kind, machine(other, host=None, infrastructure=CREATED))
    changed = await store.patch(kind, other, spec(host=HOST, infrastructure=None))
    same(changed["spec"]["host"], HOST, "host")


async def rules_of_several_places(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Each is told at its place."""
    name = fresh()
    await store.create(kind, machine(name))
    error = await fails(Refused, store.patch(kind, name, spec(host=None, labels={"-": "1"})))
    keys = f"keys must have at most 317 characters and match {LABEL}"
    broken(error, ("spec", EITHER), ("spec.host", "cannot be removed once set"), ("spec.labels", keys))


async def rule_of_the_keys_of_a_map(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Keys are looked at on create and on patch."""
    name = fresh()
    pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
    wanted = ("spec.components", f"keys must have at most 63 characters and match {pattern}")
    broken(await fails(Refused, store.create(kind, machine(name, components={"A": ENTRY}))), wanted)
    await store.create(kind, machine(name))
    for key in ("A", "a_b", "x" * 64):
        broken(await fails(Refused, store.patch(kind, name, spec(components={key: ENTRY}))), wanted)


async def rule_of_the_items_of_a_list(store: Store, kind: Kind, fresh: Fresh) -> None:
    """The place of the item is told."""
    operation = {
        "opID": "1", "job": "j", "attempt": 1, "action": "reboot",
        "steps": [{"action": "Reboot"}, {"action": "RestartUnit"}],
    }  # fmt: skip
    error = await fails(Refused, store.create(kind, machine(fresh(), operation=operation)))
    text = "unit goes with action RestartUnit, as in {action: RestartUnit, unit: kubelet.service}"
    broken(error, ("spec.operation.steps[1]", text))


async def rules_wait_for_a_sound_schema(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A wrong type anywhere keeps all rules from being looked at, which is told; a wrong pattern does not."""
    name = fresh()
    error = await fails(Refused, store.create(kind, machine(name, host=None, labels={"a": 1})))
    same({field for _, field, _ in causes(error)}, {"spec.labels.a"}, "fields beside a wrong type")
    remark = (
        "Invalid value: null: some validation rules were not checked because the object was invalid; "
        "correct the existing errors to complete validation"
    )
    found = [cause["message"] for cause in error.status["details"]["causes"] if cause["field"] == NOWHERE]
    same(found, [remark], "the remark")
    error = await fails(Refused, store.create(kind, machine(name, host=None, labels={"a": "_"})))
    same({field for _, field, _ in causes(error)}, {"spec", "spec.labels.a"}, "fields beside a wrong pattern")


async def rules_of_the_status(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Through /status, with the whole path."""
    name = fresh()
    await store.create(kind, machine(name))
    agent: Json = {"components": {"x" * 64: {}}}
    error = await fails(Refused, store.patch(kind, name, status(agent=agent), subresource="status"))
    broken(error, ("status.agent.components", "keys must have at most 63 characters"))


async def rules_of_what_is_applied(store: Store, kind: Kind, fresh: Fresh) -> None:
    """An apply is judged as it is merged."""
    name = fresh()
    patch = ApplyPatch(config(name, spec={"labels": {"a": "1"}}), "A")
    broken(await fails(Refused, store.patch(kind, name, patch)), ("spec", EITHER))
    await store.patch(kind, name, ApplyPatch(config(name, spec={"host": HOST}), "A"))
    both = ApplyPatch(config(name, spec={"infrastructure": {"provider": "memory"}}), "B")
    broken(await fails(Refused, store.patch(kind, name, both)), ("spec", EITHER))


async def rule_of_what_never_changes(store: Store, kind: Kind, fresh: Fresh) -> None:
    """A component is immutable, its labels are not; the same again is no change."""
    other, name = MachineComponent.KIND, fresh()
    try:
        body = written(other, name, version="1", driver="package", parameters={"a": [1, None]})
        made = await store.create(other, body)
        error = await fails(Refused, store.patch(other, name, spec(parameters={"a": [2]})))
        broken(error, ("spec", "is immutable; make a MachineComponent of another name"))
        same(await store.patch(other, name, MergePatch({"spec": body["spec"]})), made, "the same again")
        labelled = await store.patch(other, name, metadata(labels={"a": "1"}))
        same(labelled["spec"], made["spec"], "spec")
    finally:
        await remove(store, other, name)


async def rules_of_batches(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Numbers and percentages: a rule may ask for the type; `fieldPath` without the value."""
    other, name = MachineComponentSet.KIND, fresh()
    many = "every batch is a number from 1 or a percentage from '1%' to '100%'"
    out = "is a number from 1 or a percentage from '1%' to '100%'; to stop, set paused: true"
    try:
        for rollout, field, text in (
            ({"batches": [1, -1]}, "batches", many), ({"batches": [0]}, "batches", many),
            ({"maxUnavailable": 0}, "maxUnavailable", out),
        ):  # fmt: skip
            body = written(other, name, name="x", component="x-1", rollout=rollout)
            error = await fails(Refused, store.create(other, body))
            wanted = (INVALID, f"spec.rollout.{field}", f"Invalid value: {text}")
            holds(wanted in causes(error), f"causes of {rollout}: {causes(error)}")
        body = written(other, name, name="x", component="x-1", rollout={"maxUnavailable": "0%"})
        error = await fails(Refused, store.create(other, body))
        at = "spec.rollout.maxUnavailable"
        wanted = (INVALID, at, f"Invalid value: \"0%\": {at} in body should match '^([1-9][0-9]?|100)%$'")
        same(causes(error), {wanted}, "causes of 0%")
        good = {"batches": [1, "50%"], "maxUnavailable": "10%"}
        made = await store.create(other, written(other, name, name="x", component="x-1", rollout=good))
        same(made["spec"]["rollout"]["batches"], [1, "50%"], "batches")
    finally:
        await remove(store, other, name)


async def rule_of_a_text(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Of a plain value the value is told."""
    other = MachineComponentSet.KIND
    body = written(other, fresh(), name="x", component="x-1", rollout={"observation": "9999h"})
    error = await fails(Refused, store.create(other, body))
    broken(error, ("spec.rollout.observation", '"9999h": is more than a year'))


async def rules_of_a_selector(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Fields are compared with each other, and with what they were."""
    other, name = MachineSet.KIND, fresh()
    labels = {"pool": "a"}
    template = {"labels": labels, "spec": {"infrastructure": CREATED}}
    fields: Json = {"selector": {"matchLabels": labels}, "template": template}
    try:
        none = {**fields, "selector": {"matchLabels": {}}}
        error = await fails(Refused, store.create(other, written(other, name, **none)))
        broken(error, ("spec.selector", "select by at least one label, as in matchLabels: {pool: general}"))
        await store.create(other, written(other, name, **fields))
        change = spec(selector={"matchLabels": {"pool": "b"}}, template={"labels": {"pool": "b"}})
        broken(await fails(Refused, store.patch(other, name, change)), ("spec.selector", "is immutable"))
    finally:
        await remove(store, other, name)


async def rules_of_windows(store: Store, kind: Kind, fresh: Fresh) -> None:
    """Durations are compared as such."""
    other = RiskPolicy.KIND
    limits = [{"scope": "zone", "window": "48h", "max": 2}]
    error = await fails(Refused, store.create(other, written(other, fresh(), limits=limits)))
    text = "is from 10s to 24h, of scope node to 168h, as in {scope: zone, window: 1h, max: 2}"
    broken(error, ("spec.limits[0].window", text))


CASES: Final[tuple[Case, ...]] = tuple(
    Case(name=behaviour.__name__, run=behaviour, needs_cel=True) for behaviour in (
        rule_of_two_fields, rule_about_the_old_value, rules_of_several_places, rule_of_the_keys_of_a_map,
        rule_of_the_items_of_a_list, rules_wait_for_a_sound_schema, rules_of_the_status, rules_of_what_is_applied,
        rule_of_what_never_changes, rules_of_batches, rule_of_a_text, rules_of_a_selector, rules_of_windows,
    )
)  # fmt: skip
