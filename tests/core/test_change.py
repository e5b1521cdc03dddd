"""What has changed is read and written as the whole would be; and what has not changed is not looked into."""

import copy
import json
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.change import patch_between, read_again
from kubenode.core.errors import InvalidObjectError
from tests.strategies import objects

SLOW = settings(suppress_health_check=list(HealthCheck), deadline=None)
STATUSES = (m.Machine, m.MachineSet, m.MachineComponentSet, m.RemedyOperationJob, m.RiskLedger)

MACHINE = m.Machine(
    metadata=m.ObjectMeta(name="m1", uid="u1", resource_version="1"),
    spec=m.MachineSpec(host=m.Host(address="10.0.0.1")),
    status=m.MachineStatus(phase="Pending", agent=m.AgentStatus(boot_id="b1")),
)


@SLOW
@given(data=st.data())
def test_a_patch_between_is_the_patch_of_both_written(data: st.DataObject) -> None:
    """Of statuses that have all, some or no fields in common; and of one that is not there."""
    kind = data.draw(st.sampled_from(STATUSES))
    old, other = (data.draw(objects(kind)).status for _ in range(2))
    taken = data.draw(st.sets(st.sampled_from([field.name for field in attrs.fields(type(old))])))
    new = attrs.evolve(old, **{name: getattr(other, name) for name in taken})
    assert patch_between(old, new) == wire.patch_of(wire.dump_part(old), wire.dump_part(new))
    assert patch_between(None, new) == wire.patch_of({}, wire.dump_part(new))
    assert patch_between(new, copy.deepcopy(new)) is None


@SLOW
@given(data=st.data())
def test_reading_again_is_reading(data: st.DataObject) -> None:
    """Any later state, of which some parts are the very same and others are not, or are not there any more."""
    kind = data.draw(st.sampled_from(m.WATCHED))
    known, other = (json.loads(json.dumps(wire.dump(data.draw(objects(kind))))) for _ in range(2))
    taken = data.draw(st.sets(st.sampled_from(["metadata", "spec", "status"])))
    raw = {name: value for name, value in known.items() if name not in taken}
    raw |= {name: other[name] for name in taken if name in other}
    assert read_again(raw, kind, known, wire.read(known, kind)) == wire.read(raw, kind)


def test_what_is_the_very_same_is_not_read_again() -> None:
    """A new status: the spec is the object that was read before, though now it could not be read."""
    known = wire.dump(MACHINE)
    before = wire.read(known, m.Machine)
    known["spec"].clear()
    made = read_again({**known, "status": {"phase": "Running"}}, m.Machine, known, before)
    assert made.spec is before.spec
    assert made.metadata is before.metadata
    assert made.status == m.MachineStatus(phase="Running")


def read(**parts: Any) -> m.Machine:
    """Read MACHINE again with other parts."""
    known = wire.dump(MACHINE)
    return read_again({**known, **parts}, m.Machine, known, wire.read(known, m.Machine))


def test_what_is_not_known_is_told_as_ever() -> None:
    """A field of a newer version in the part that changed, and beside the parts."""
    status = {"phase": "Running", "mood": "well"}
    assert read(status=status).metadata.unknown == ("status.mood",)
    assert read(more={}).metadata.unknown == ("more",)


def test_what_was_not_known_before_is_not_forgotten() -> None:
    """The part it stands in is the same, so only reading the whole tells of it."""
    known = wire.dump(MACHINE)
    known["spec"]["mood"] = "well"
    before = wire.read(known, m.Machine)
    made = read_again({**known, "status": {"phase": "Running"}}, m.Machine, known, before)
    assert made.metadata.unknown == ("spec.mood",)


def test_what_cannot_be_read_is_refused_with_its_place() -> None:
    """As `wire.read` does."""
    with pytest.raises(InvalidObjectError, match=r"metadata\.name"):
        read(metadata={})


def test_a_status_that_is_gone_is_the_default() -> None:
    """So is one that is null."""
    known = wire.dump(MACHINE)
    before = wire.read(known, m.Machine)
    bare = {name: value for name, value in known.items() if name != "status"}
    assert read_again(bare, m.Machine, known, before).status == m.MachineStatus()
    assert read_again(known, m.Machine, bare, wire.read(bare, m.Machine)).status == MACHINE.status
