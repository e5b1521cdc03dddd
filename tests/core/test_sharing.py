"""Equal parts of a fleet are held once: nothing that is read differs by it, and it costs less time and room."""

import gc
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.model import Json
from tests.strategies import objects

COMPONENTS = 12


def raw(number: int, *, alike: bool = True) -> Json:
    """Make a machine of a fleet as a server serves it: a dozen components, as wanted and as found."""
    stamp = f"2026-03-02T09:{number % 60:02}:{number // 60 % 60:02}Z"
    revision = "4" if alike else str(number)
    entries = {
        f"c{at}": {
            "set": f"s{at}",
            "component": f"c{at}-1.2.3",
            "revision": revision,
            "batch": 2,
            "state": "Running",
        }
        for at in range(COMPONENTS)
    }
    reports = {
        f"c{at}": {"component": f"c{at}-1.2.3", "revision": revision, "version": "1.2.3", "config": "Current", "state": "Running"}
        for at in range(COMPONENTS)
    }  # fmt: skip
    conditions = [
        {"type": type_, "status": "True", "reason": "AllGood", "message": "all as it should be", "lastTransitionTime": stamp}
        for type_ in ("Ready", "NodeReady", "AgentReady", "ComponentsReady", "LabelsSynced")
    ]  # fmt: skip
    text = json.dumps(
        {
            "apiVersion": "kubenode.dev/v1alpha1", "kind": "Machine",
            "metadata": {"name": f"n{number}", "uid": f"u{number}", "resourceVersion": str(number)},
            "spec": {"host": {"address": "10.0.0.1"}, "labels": {"rack": f"r{number % 40}"}, "components": entries},
            "status": {"phase": "Running", "conditions": conditions, "agent": {"components": reports}},
        }
    )  # fmt: skip
    made: Json = json.loads(text)  # so that no text is the very same as another machine's
    return made


def in_use() -> int:
    """Give the bytes in use, without the interpreter's table of texts, which is no machine's and doubles at once."""
    return sum(trace.size for trace in tracemalloc.take_snapshot().traces if trace.size < 100_000)


def test_equal_parts_of_two_machines_are_one_object() -> None:
    """Entries, reports, and every text; machines stay two."""
    one, other = (wire.read(raw(number), m.Machine) for number in (1, 2))
    assert one != other
    assert one.spec.components["c3"] is other.spec.components["c3"]
    assert one.status.agent is not None
    assert other.status.agent is not None
    assert one.status.agent.components["c3"] is other.status.agent.components["c3"]
    assert one.status.conditions[0] is not other.status.conditions[0]
    assert one.status.conditions[0].message is other.status.conditions[0].message


@pytest.mark.parametrize(
    ("first", "then"), [({"batch": 1}, {"batch": True}), ({"batch": 1}, {"batch": 1.0}), ({"batch": 0}, {"batch": False})]
)  # fmt: skip
def test_what_is_equal_in_python_and_not_in_json_is_not_mixed_up(first: Json, then: Json) -> None:
    """True is no number, and 1.0 no integer: they are told as unknown, whatever was read before."""
    machines = [raw(1), raw(1)]
    for machine, change in zip(machines, (first, then), strict=True):
        machine["spec"]["components"]["c0"] |= change
    read, odd = (wire.read(machine, m.Machine) for machine in machines)
    assert read.metadata.unknown == ()
    assert odd.metadata.unknown == ("spec.components.c0.batch",)


@given(st.data())
def test_reading_again_gives_an_equal_object(data: st.DataObject) -> None:
    """With what was read before in hand, and without."""
    obj = data.draw(objects(data.draw(st.sampled_from(m.KINDS))))
    text = json.dumps(wire.dump(obj))
    assert wire.read(json.loads(text), type(obj)) == wire.read(json.loads(text), type(obj)) == obj


def test_what_is_kept_to_be_given_again_is_bounded() -> None:
    """Machines that share nothing do not stay in memory when they are gone."""
    for number in range(200):
        wire.read(raw(number, alike=False), m.Machine)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1000, 3000):
            wire.read(raw(number, alike=False), m.Machine)
        gc.collect()
        held = in_use()
    finally:
        tracemalloc.stop()
    assert held < 4_000_000


def test_a_machine_of_a_fleet_is_small() -> None:
    """Less than 4,000 bytes with a dozen components and five conditions of its own times; unshared it is 10,000."""
    count = 500
    machines = [wire.read(raw(number), m.Machine) for number in range(count)]
    texts = [json.dumps(raw(number)) for number in range(count)]
    machines.clear()
    gc.collect()
    tracemalloc.start()
    try:
        machines += [wire.read(json.loads(text), m.Machine) for text in texts]
        gc.collect()
        held = in_use()
    finally:
        tracemalloc.stop()
    assert held / count < 4_000
