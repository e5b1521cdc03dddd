"""Sentences of a component upgrade that no story tells whole: what a batch is, when it closes, what begins a rollout."""

from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.model.condition import find
from kubenode.core.policy import Policy
from kubenode.core.rollout.decide import decide
from kubenode.core.rollout.inspect import GateState, is_over, judge_gate
from kubenode.core.rollout.tally import place_of
from tests.core.rollout.test_properties import minded_worlds, worlds
from tests.core.rollout.world import START, World, entry, report, rolled_out, seat

MINUTE = timedelta(minutes=1)


def reason(world: World) -> str:
    """Give the reason of Progressing."""
    condition = find(world.owner.status.conditions, "Progressing")
    assert condition is not None
    return condition.reason


def members(world: World) -> tuple[m.Member, ...]:
    """Give the members of the open batch."""
    batch = world.owner.status.batch
    return batch.members if batch is not None else ()


def turn(world: World) -> None:
    """Let everybody take one step."""
    world.rollout()
    world.risk()
    world.agents()
    world.now = world.now.plus(timedelta(seconds=1))


def test_a_percentage_is_of_the_machines_selected_when_the_revision_began() -> None:
    """Half of ten is five, also after ten more have joined and run."""
    world = rolled_out(10, batches=(m.IntOrPercent(50, percent=True),), max_unavailable=m.IntOrPercent(20))
    world.ask("kubelet-2")
    world.rollout()
    for i in range(10):
        world.put(seat(f"late{i}", entry=entry(1), report=report(entry(1))))
    world.settle()
    assert [one.size for one in world.owner.status.batches] == [5, 5, 5, 5]
    assert world.owner.status.total == 10
    world.ask("kubelet-3")
    world.settle()
    assert [one.size for one in world.owner.status.batches] == [10, 10]


def test_a_batch_is_a_gate_not_a_concurrency() -> None:
    """Of an open batch of eight no more than two are ever under way, since no more may be unavailable."""
    world = rolled_out(8, batches=(m.IntOrPercent(8),), max_unavailable=m.IntOrPercent(2))
    world.ask("kubelet-2")
    most = 0
    while reason(world) != "Complete" or not world.touched:
        turn(world)
        assert not world.owner.status.batches or world.owner.status.batches[-1].size == 8
        under_way = [one for one in members(world) if one.state is m.MemberState.STARTED]
        most = max(most, len(under_way))
    assert most == 2
    assert len(world.owner.status.batches) == 1


@given(world=worlds(), shocks=st.lists(st.tuples(st.integers(0, 9), st.sampled_from("dgnu")), max_size=12))
def test_members_are_fixed_when_it_opens(world: World, shocks: list[tuple[int, str]]) -> None:
    """Whoever joins, goes or falls ill: of one batch of one revision name, uid, op-id and health never change."""
    seen: dict[tuple[int, int], tuple[tuple[str, str, str, bool], ...]] = {}
    for at, what in [*shocks, (0, "n"), (0, "n")]:
        names = sorted(world.seats)
        name = names[at % len(names)] if names else ""
        if what == "d" and name:
            world.evolve(name, available=False)
        elif what == "u" and name:
            world.evolve(name, available=True)
        elif what == "g" and name:
            world.put(None, name)
        elif what == "n":
            world.put(seat(f"late{len(seen)}-{at}", zone="a", available=False))
        turn(world)
        update = world.owner.status.update
        if (batch := world.owner.status.batch) is not None and update is not None:
            who = tuple((one.name, one.uid, one.op_id, one.healthy) for one in batch.members)
            assert seen.setdefault((update.number, batch.number), who) == who


@given(count=st.integers(1, 12), size=st.integers(1, 12), data=st.data())
def test_members_are_ordered_by_zone_then_stable_hash(count: int, size: int, data: st.DataObject) -> None:
    """A batch takes those who come first of all that are to be updated, the unavailable ones before the others."""
    world = rolled_out(count, batches=(m.IntOrPercent(size),))
    for name in list(world.seats):
        world.evolve(
            name, zone=data.draw(st.sampled_from(["", "a", "b"])), available=data.draw(st.booleans())
        )
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    order = sorted(world.seats.values(), key=lambda one: (one.available, place_of("uid-set", one)))
    assert [one.name for one in members(world)] == [one.machine.name for one in order[:size]]


@pytest.mark.parametrize("state", list(m.MemberState))
def test_it_closes_when_every_member_is_updated_failed_or_gone(state: m.MemberState) -> None:
    """One member that waits or is under way keeps it open; one that a person skips does not."""
    ended = {m.MemberState.UPDATED, m.MemberState.FAILED, m.MemberState.GONE, m.MemberState.SKIPPED}
    batch = m.Batch(
        number=1,
        opened_at=START,
        members=tuple(
            m.Member(name=f"n{i}", uid=f"u{i}", op_id=f"o{i}", state=one)
            for i, one in enumerate([m.MemberState.UPDATED, m.MemberState.FAILED, m.MemberState.GONE, state])
        ),
    )
    assert is_over(batch) is (state in ended)
    gate = judge_gate(batch, [], timedelta(0), m.Now.at(START), None)
    assert gate.state is (GateState.PASSED if state in ended else GateState.OPEN)


def test_a_member_that_is_gone_does_not_hold_up_its_batch() -> None:
    """Machines deleted in the middle end as Gone; what is left of the batch closes it."""
    world = rolled_out(3, batches=(m.IntOrPercent(3),))
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    for one in members(world)[:2]:
        world.put(None, one.name)
    world.settle()
    assert world.owner.status.batches == (m.BatchRecord(number=1, size=3, updated=1, failed=0),)
    assert world.owner.status.phase == "Complete"


def test_an_inspection_pauses_at_once_and_the_observation_goes_on() -> None:
    """A suspect is told when it is seen, not when the observation ends; well again, the rest of that is waited for."""
    world = rolled_out(2, batches=(m.IntOrPercent(1),), observation=10 * MINUTE, min_ready_seconds=0)
    world.ask("kubelet-2")
    while not members(world) or reason(world) != "Observing":
        world.rollout()
        world.risk()
        world.agents()
    closed, [suspect] = world.now, world.touched
    world.now = closed.plus(3 * MINUTE)
    world.evolve(suspect, available=False)
    world.rollout()
    assert (world.owner.status.phase, reason(world)) == ("Paused", "InspectionInconclusive")
    world.now = closed.plus(5 * MINUTE)
    world.evolve(suspect, available=True)
    world.rollout()
    assert reason(world) == "Observing"
    assert decide(world.snapshot(), Policy()).wake_at == closed.plus(10 * MINUTE).elapsed
    world.now = m.Now(wall=world.now.wall, elapsed=closed.plus(10 * MINUTE).elapsed - 1)
    world.rollout()
    assert (reason(world), len(world.touched)) == ("Observing", 1)
    world.now = m.Now(wall=world.now.wall, elapsed=world.now.elapsed + 1)
    world.settle()
    assert world.owner.status.phase == "Complete"


def test_a_way_back_waits_for_no_inspection() -> None:
    """Neither does an inspection keep a person from setting the old component back, nor does one slow the way back."""
    world = rolled_out(4, batches=(m.IntOrPercent(2),), observation=10 * MINUTE, min_ready_seconds=0)
    world.ask("kubelet-2", approval=m.Approval.MANUAL)
    while not members(world) or reason(world) != "Observing":
        world.rollout()
        world.risk()
        world.agents()
    went = sorted(world.touched)
    world.evolve(went[0], available=False)
    world.ask("kubelet-1")
    world.rollout()
    world.rollout()
    assert sorted(one.name for one in members(world)) == went
    assert world.owner.status.batches == ()
    world.ask(approval=m.Approval.AUTOMATIC)
    began = world.now
    while reason(world) != "Complete":
        turn(world)
        assert reason(world) in ("RollingOut", "Complete")
        if any(one.state is m.MemberState.UPDATED for one in members(world)):
            world.evolve(went[0], available=False)
    assert world.now.wall - began.wall < 2 * MINUTE, "it was not observed"


def test_an_excuse_covers_the_failures_so_far_and_no_later_one() -> None:
    """After `resume` the next failure pauses again, and is counted alone against the threshold."""
    world = rolled_out(6, batches=(m.IntOrPercent(1),), min_ready_seconds=0)
    world.bad = dict.fromkeys(world.seats, "PackageBroken")
    world.ask("kubelet-2")
    world.settle()
    assert world.owner.status.failures == 1
    world.ask(excuse=m.Excuse(revision="2", failures=1))
    decision = world.settle()
    assert (world.owner.status.failures, world.owner.status.excused, reason(world)) == (
        2,
        1,
        "FailureThreshold",
    )
    assert [(note.observed, note.limit) for note in decision.notes] == [(1, 0)]
    assert len(world.touched) == 2


def test_an_excused_machine_keeps_its_entry_so_that_its_agent_retries() -> None:
    """Nothing takes the revision from it again; when its agent at last succeeds it counts as updated."""
    world = rolled_out(3, max_unavailable=m.IntOrPercent(3))
    world.bad = {"n001": "PackageBroken"}
    world.ask("kubelet-2", excuse=m.Excuse(revision="2", failures=1))
    world.settle()
    condition = find(world.owner.status.conditions, "Progressing")
    assert condition is not None
    assert (world.owner.status.phase, condition.message) == ("Complete", "2 of 3 updated, excused: 1")
    kept = world.seats["n001"].entry
    assert kept is not None
    assert kept.revision == "2"
    assert world.touched.count("n001") == 1
    world.evolve("n001", report=report(kept))
    world.settle()
    assert (world.owner.status.updated, world.owner.status.failures) == (3, 1)
    assert world.touched.count("n001") == 1


def test_unavailable_machines_count_in_batch_size() -> None:
    """Two that are down fill a batch of two: nobody else is in it."""
    world = rolled_out(6, batches=(m.IntOrPercent(2),))
    for name in ("n001", "n005"):
        world.evolve(name, available=False)
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    assert {one.name for one in members(world)} == {"n001", "n005"}
    assert not any(one.healthy for one in members(world))


def test_a_change_that_comes_while_a_machine_is_under_way_waits_for_its_own_permit() -> None:
    """The permit of the revision before starts nobody for the next one, whether it had been used or not."""
    world = rolled_out(4, batches=(m.IntOrPercent(2),), max_unavailable=m.IntOrPercent(2))
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    world.risk()
    before = dict(world.holds)
    assert len(before) == 2
    world.ask("kubelet-3")
    for _ in range(4):
        world.rollout()
    assert world.touched == []
    assert {one.op_id for one in members(world)}.isdisjoint(before)
    assert {one.name for one in members(world)} == set(before.values())
    world.settle()
    assert {one.component for one in world.end().values() if one is not None} == {"kubelet-3"}


settings_changes: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "batches": st.just((m.IntOrPercent(3),)),
        "max_unavailable": st.just(m.IntOrPercent(4)),
        "failure_threshold": st.integers(0, 3),
        "observation": st.just(timedelta(seconds=3)),
        "paused": st.booleans(),
        "partition": st.integers(0, 3).map(m.IntOrPercent),
        "min_ready_seconds": st.integers(0, 30),
    },
)


@given(world=minded_worlds(), changes=settings_changes, state=st.sampled_from(m.Running))
def test_only_a_changed_component_starts_a_rollout(
    world: World, changes: dict[str, Any], state: m.Running
) -> None:
    """Whatever else of the spec changes, in whatever moment, the update revision stays the one it is.

    But for a roll back, where a set asks for one.
    """
    world.ask(inspection=attrs.evolve(world.owner.spec.rollout.inspection, on_failure=m.OnFailure.PAUSE))
    world.rollout()
    before = world.owner.status.update
    world.ask(**changes)
    world.owner = attrs.evolve(world.owner, spec=attrs.evolve(world.owner.spec, state=state))
    for _ in range(6):
        turn(world)
    assert world.owner.status.update == before
    world.ask("kubelet-9")
    world.components["kubelet-9"] = attrs.evolve(world.components["kubelet-1"])
    world.rollout()
    after = world.owner.status.update
    assert after is not None
    assert before is not None
    assert (after.component, after.number > before.number) == ("kubelet-9", True)


@given(world=minded_worlds())
def test_no_machine_that_has_run_is_touched_without_its_permit(world: World) -> None:
    """An open batch asks; an entry of class restart is written only to a machine whose op-id is among the holds."""
    seen = world.snapshot()
    held = {one.uid for one in members(world) if one.op_id in seen.holds}
    for effect in decide(seen, Policy()).effects:
        machine = getattr(effect, "machine", None)
        assert machine is not None
        assert machine.uid in held or world.seats[machine.name].never_run
