"""A batch is the record by which the permits of its members are given back, so it stays until they are."""

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.policy import Policy
from kubenode.core.rollout.decide import decide
from kubenode.core.rollout.tally import Seat
from tests.core.rollout.world import World, entry, report, rolled_out

OP = "rollout-x"
AT = entry(2, name="kubelet-2", batch=1)


def last(state: m.MemberState, after: Seat | None, **rollout: object) -> World:
    """Give a rollout whose only batch has one member, in a state, whose machine is as told; None: it is gone."""
    world = rolled_out(1, **rollout)
    world.ask("kubelet-2")
    while world.owner.status.batch is None:
        assert world.rollout()
    batch = world.owner.status.batch
    assert batch is not None
    member = attrs.evolve(batch.members[0], op_id=OP, state=state)
    status = attrs.evolve(world.owner.status, batch=attrs.evolve(batch, members=(member,)))
    world.owner = attrs.evolve(world.owner, status=status)
    world.put(after, name="n000")
    return world


def machine(wanted: m.ComponentEntry, told: m.ComponentReport | None) -> Seat:
    """Give the machine with an entry and what its agent reports of it."""
    return attrs.evolve(rolled_out(1).seats["n000"], entry=wanted, report=told)


CASES: dict[str, tuple[m.MemberState, Seat | None, bool]] = {
    "updated": (m.MemberState.UPDATED, machine(AT, report(AT)), True),
    "failed, as its agent says": (m.MemberState.FAILED, machine(AT, report(AT, "StepFailed")), True),
    "failed by its deadline, while its agent may still act": (m.MemberState.FAILED, machine(AT, report(entry(1))), False),
    "failed by its deadline, and its agent was never heard": (m.MemberState.FAILED, machine(AT, None), False),
    "skipped, so that it never began": (m.MemberState.SKIPPED, machine(entry(1), report(entry(1))), True),
    "gone": (m.MemberState.GONE, None, True),
}  # fmt: skip


@pytest.mark.parametrize(("state", "after", "stays"), CASES.values(), ids=CASES)
def test_a_batch_stays_until_the_permits_of_what_is_over_are_given_back(
    state: m.MemberState, after: Seat | None, stays: bool
) -> None:
    """Then it is recorded at once. Who may still act keeps the permit without it, and the rollout is not held up."""
    world = last(state, after, failure_threshold=1)
    held = decide(world.snapshot(holds=frozenset({OP, "another's"})), Policy())
    assert held.status is not None
    assert len(held.status.batches) == (0 if stays else 1)
    if stays:
        assert held.status.phase == "Progressing"
        assert held.wake_at is None  # nothing but the ledger can change it
    free = decide(world.snapshot(holds=frozenset({"another's"})), Policy())
    assert free.status is not None
    assert len(free.status.batches) == 1


def test_its_observation_goes_on_meanwhile() -> None:
    """It is over when the permit is given back, and not begun again."""
    world = last(m.MemberState.UPDATED, machine(AT, report(AT)))
    world.holds = {OP: "n000"}
    assert world.rollout()
    sightings = dict(world.sightings)
    assert sightings
    assert not world.rollout()
    assert world.sightings == sightings


def test_a_rollout_is_complete_when_its_last_permit_is_given_back() -> None:
    """Not before; then at once."""
    world = last(m.MemberState.UPDATED, machine(AT, report(AT)))
    world.holds = {OP: "n000"}
    world.rollout()
    assert world.owner.status.phase == "Progressing"
    world.holds = {}
    world.rollout()
    assert world.owner.status.phase == "Complete"
