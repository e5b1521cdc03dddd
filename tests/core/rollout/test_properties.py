"""What holds of every rollout."""

import random
from datetime import timedelta
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import SetEntry
from kubenode.core.errors import Problem
from kubenode.core.inspection import Awaited, Fail, Inconclusive, Pass
from kubenode.core.policy import Policy
from kubenode.core.rollout.batch import batch_size, max_unavailable
from kubenode.core.rollout.decide import decide
from kubenode.core.rollout.tally import JOIN_LIMIT, place_of
from tests.core.rollout.world import World, component, entry, report, rolled_out, seat

amounts = st.one_of(
    st.integers(1, 6).map(m.IntOrPercent), st.integers(1, 100).map(lambda n: m.IntOrPercent(n, percent=True))
)


HOOKS = (
    m.InspectionHook(name="errors", inspector="prometheus"),
    m.InspectionHook(name="smoke", inspector="http"),
)
ANSWERS = st.sampled_from([
    None, Pass(), Fail(text="ill"), Inconclusive(text="dark"), Awaited(until=10**15),
    Problem(where="x", what="PluginMissing: no plugin"),
])  # fmt: skip
INSPECTIONS = st.builds(
    m.Inspection,
    hooks=st.sampled_from([(), (), HOOKS[:1], HOOKS]),
    control_group=st.none() | st.builds(
        m.ControlGroup, conditions=st.just(("Hung",)), confidence=st.sampled_from([50, 95]),
        inconclusive=st.sampled_from(m.Inconclusive),
    ),
    on_failure=st.sampled_from(m.OnFailure),
)  # fmt: skip


@st.composite
def rollouts(draw: st.DrawFn) -> dict[str, Any]:
    """Give any settings of a rollout that is not paused."""
    return {
        "batches": tuple(draw(st.lists(amounts, min_size=1, max_size=4))),
        "max_unavailable": draw(amounts),
        "min_ready_seconds": draw(st.sampled_from([0, 1, 10])),
        "progress_deadline_seconds": draw(st.sampled_from([20, 600])),
        "observation": timedelta(seconds=draw(st.sampled_from([0, 7]))),
    }


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Give a world in the middle of a rollout, perturbed."""
    world = rolled_out(draw(st.integers(0, 8)), **draw(rollouts()))
    world.ask("kubelet-2")
    for name in list(world.seats):
        world.evolve(name, available=draw(st.integers(0, 5)) > 0, held=draw(st.integers(0, 9)) == 0)
    world.bad = {name: "Broken" for name in world.seats if draw(st.integers(0, 5)) == 0}
    if draw(st.booleans()):
        world.put(seat("new", available=False, never_run=True))
    if draw(st.booleans()):
        world.put(seat("theirs", entry=entry(7, of="others")))
    for _ in range(draw(st.integers(0, 25))):
        getattr(world, draw(st.sampled_from(["rollout", "rollout", "risk", "agents"])))()
        world.now = world.now.plus(timedelta(seconds=draw(st.integers(0, 2))))
    change: dict[str, Any] = draw(
        st.sampled_from([{}, {}, {"paused": True}, {"name": "kubelet-3"}, {"name": "kubelet-1"}])
    )
    if change:
        world.ask(**change)
    return world


@st.composite
def minded_worlds(draw: st.DrawFn) -> World:
    """Give such a world in which people have said what they want kept, skipped or approved."""
    world = draw(worlds())
    update = world.owner.status.update
    number = str(update.number) if update is not None else "1"
    named = tuple(sorted(draw(st.sets(st.sampled_from(["n000", "n001", "n003", "new"]), min_size=1))))
    world.ask(
        partition=draw(
            st.sampled_from([m.IntOrPercent(0), m.IntOrPercent(2), m.IntOrPercent(30, percent=True)])
        ),
        approval=draw(st.sampled_from(m.Approval)),
        approve=draw(
            st.none() | st.integers(1, 3).map(lambda batch: m.Approve(revision=number, batch=batch))
        ),
        skip=draw(st.none() | st.just(m.Skip(revision=number, machines=named))),
        inspection=draw(INSPECTIONS),
    )
    for hook in HOOKS:
        answer = draw(ANSWERS)
        if answer is not None:
            world.answers[hook.name] = answer
    for name in sorted(world.seats) if draw(st.booleans()) else ():
        world.evolve(name, faults=frozenset(draw(st.sets(st.sampled_from(["Hung"])))))
    for _ in range(draw(st.integers(0, 6))):
        getattr(world, draw(st.sampled_from(["rollout", "agents", "risk"])))()
    return world


@given(world=minded_worlds(), seed=st.integers())
def test_same_input_same_output_whatever_the_order_of_members(world: World, seed: int) -> None:
    """Deciding twice gives the same, and the order in which machines are handed over does not matter."""
    seen = world.snapshot()
    members = list(seen.members)
    random.Random(seed).shuffle(members)
    assert decide(seen, Policy()) == decide(seen, Policy())
    assert decide(attrs.evolve(seen, members=tuple(members)), Policy()) == decide(seen, Policy())


@given(world=minded_worlds())
def test_one_decision_touches_a_batch_and_those_who_join(world: World) -> None:
    """At most the members of the batch and JOIN_LIMIT machines, each once; no entry of another set is written."""
    status = world.owner.status
    size = len(status.batch.members) if status.batch is not None else 0
    effects = decide(world.snapshot(), Policy()).effects
    assert all(isinstance(effect, SetEntry) for effect in effects)
    written = [effect for effect in effects if isinstance(effect, SetEntry)]
    assert len(written) == len({effect.machine for effect in written}) <= size + JOIN_LIMIT
    assert all(effect.expect is None or effect.expect.set == effect.entry.set for effect in written)


@given(world=minded_worlds())
def test_at_rest_and_exact_deadlines(world: World) -> None:
    """Applied to an unchanged world a Decision comes to rest; then nothing differs until exactly its deadline."""
    for _ in range(12):
        if not world.rollout():
            break
    decision = decide(world.snapshot(), Policy())
    assert decision.effects == ()
    assert decision.status is not None
    assert decision.status == world.owner.status
    assert decide(world.snapshot(sightings=decision.sightings), Policy()) == decision
    if decision.wake_at is None:
        later = m.Now(wall=world.now.wall + timedelta(days=400), elapsed=world.now.elapsed + 10**17)
        assert decide(world.snapshot(now=later), Policy()) == decision
        return
    assert decision.wake_at > world.now.elapsed
    just_before = m.Now(wall=world.now.wall, elapsed=decision.wake_at - 1)
    at = m.Now(wall=world.now.wall, elapsed=decision.wake_at)
    assert decide(world.snapshot(now=just_before), Policy()) == decision
    late = Inconclusive(text="it has not answered in time")
    world.answers = {
        name: late if isinstance(one, Awaited) and one.until <= decision.wake_at else one
        for name, one in world.answers.items()
    }
    assert decide(world.snapshot(now=at), Policy()) != decision


@given(world=worlds())
def test_failures_are_counted_once(world: World) -> None:
    """Every failed machine stands once among the failed, and the count is theirs."""
    world.ask(failure_threshold=100)
    world.settle()
    failed = world.owner.status.failed
    assert len({one.uid for one in failed}) == len(failed) == world.owner.status.failures


@given(world=worlds())
def test_no_more_starts_once_the_failures_exceed(world: World) -> None:
    """From the decision that records one failure too many, nobody is started and no batch opens, until excused."""
    world.bad = dict.fromkeys(world.seats, "Broken")
    world.ask("kubelet-2", paused=False)
    world.settle()
    status = world.owner.status
    if status.failures == 0:
        assert set(world.seats) <= {"new", "theirs"} or status.phase == "Complete" or status.held
        return
    assert status.phase == "Paused"
    entries = world.end()
    world.bad = {}
    world.evolve(next(iter(world.seats)), zone="elsewhere")
    world.settle()
    assert world.end() == entries


@given(world=worlds(), rounds=st.integers(1, 60))
def test_unavailable_never_exceeds_what_may_be(world: World, rounds: int) -> None:
    """With permits that obey, machines that a rollout makes unavailable never exceed maxUnavailable."""
    broken = {name for name, one in world.seats.items() if not one.available}
    for _ in range(rounds):
        world.rollout()
        world.risk()
        world.agents()
        world.now = world.now.plus(timedelta(seconds=1))
        ours = {name for name in world.absent() if not world.seats[name].never_run} - broken
        assert len(ours) <= max_unavailable(world.owner, world.tally.view(0).up)


@given(world=worlds())
def test_every_machine_ends_at_the_last_revision(world: World) -> None:
    """Whatever came before, an unpaused rollout with failures allowed ends with every own machine at the last."""
    world.ask(paused=False, failure_threshold=100)
    decision = world.settle()
    status = world.owner.status
    assert status.update is not None
    assert decision.wake_at is None
    broken = {name for name, one in world.seats.items() if not one.available}
    if status.phase != "Complete":
        assert broken or any(one.held for one in world.seats.values())
        waits = "WaitingForPermits" in {note.code for note in decision.notes}
        assert status.phase == "Paused" or waits, "machines that are down use up maxUnavailable"
        return
    for name, one in world.seats.items():
        assert one.entry is not None
        assert (
            one.is_foreign("kubelets") if name == "theirs" else one.entry.component == status.update.component
        )
    assert status.current == status.update


@given(world=minded_worlds())
def test_who_is_kept_or_skipped_is_not_touched(world: World) -> None:
    """No entry of the update revision is written to a machine that the partition keeps or a person skips or holds."""
    world.ask(paused=False, failure_threshold=100)
    world.rollout()  # a changed component begins its revision, of which the words do not speak
    rollout, update = world.owner.spec.rollout, world.owner.status.update
    assert update is not None
    skip = rollout.skip
    named = set(skip.machines) if skip is not None and skip.revision == str(update.number) else set()
    kept = {
        name
        for name, one in world.seats.items()
        if (start := world.view().kept_from) is not None and place_of("uid-set", one) >= start
    }
    held = {name for name, one in world.seats.items() if one.held}
    spared = {name for name in named | kept | held if name in world.seats and not world.seats[name].never_run}
    before = {name: world.seats[name].entry for name in spared}
    world.answers = {
        hook.name: Pass() for hook in HOOKS
    }  # else one that cannot tell is asked every minute, for ever
    world.settle()
    assert {name: world.seats[name].entry for name in spared} == before


@given(world=worlds(), partition=st.integers(0, 9), approved=st.booleans())
def test_words_taken_back_change_no_end(world: World, partition: int, approved: bool) -> None:
    """A partition lowered in the end, labels taken away and batches approved come to where an unminded rollout comes."""
    world.ask(paused=False, failure_threshold=100)
    world.ask(approval=m.Approval.MANUAL, partition=m.IntOrPercent(partition))
    world.settle()
    world.ask(partition=m.IntOrPercent(0), approval=m.Approval.MANUAL if approved else m.Approval.AUTOMATIC)
    update = world.owner.status.update
    assert update is not None
    world.ask(approve=m.Approve(revision=str(update.number), batch=1_000_000))
    for name in list(world.seats):
        world.evolve(name, held=False)
    world.settle()
    assert world.view().kept == 0
    assert world.owner.status.phase == "Complete" or not all(one.available for one in world.seats.values())


@given(count=st.integers(1, 8), rounds=st.integers(0, 40), back=st.booleans(), data=st.data())
def test_going_back_leaves_who_never_left(count: int, rounds: int, back: bool, data: st.DataObject) -> None:
    """From A to B and back to A, at any moment: all end at A, and who is still at A is not touched."""
    world = rolled_out(count, **data.draw(rollouts()))
    world.ask("kubelet-2")
    for _ in range(rounds):
        world.rollout()
        world.risk()
        world.agents()
        world.now = world.now.plus(timedelta(seconds=1))
    if back:
        world.ask("kubelet-3")
        world.rollout()
    left = sorted(set(world.touched))
    world.touched.clear()
    world.ask("kubelet-1")
    world.settle()
    assert sorted(world.touched) == left
    assert {one.component for one in world.end().values() if one is not None} == {"kubelet-1"}
    status = world.owner.status
    assert (status.phase, status.updated) == ("Complete", count)
    assert status.update is not None
    assert status.update.component == "kubelet-1"


@given(data=st.data(), count=st.integers(1, 8), settings_=rollouts())
def test_from_every_prefix_of_effects_the_end_is_the_same(
    data: st.DataObject, count: int, settings_: dict[str, Any]
) -> None:
    """A crash after the status and any number of effects, and a start without memory, changes no final entry."""

    def ready() -> World:
        world = rolled_out(count, **settings_)
        world.ask("kubelet-2")
        return world

    whole, broken = ready(), ready()
    whole.settle()
    for _ in range(data.draw(st.integers(1, 6))):
        broken.crash_after = data.draw(st.integers(0, count))
        for _ in range(data.draw(st.integers(1, 10))):
            broken.rollout()
            broken.risk()
            broken.agents()
            broken.now = broken.now.plus(timedelta(seconds=1))
    broken.crash_after = None
    broken.settle()
    assert broken.end() == whole.end()
    assert sorted(broken.touched) == sorted(whole.touched), "each machine is touched once, crash or not"
    assert broken.owner.status.batches == whole.owner.status.batches


@given(count=st.integers(1, 40), sizes=st.lists(amounts, min_size=1, max_size=4))
def test_batches_are_increments(count: int, sizes: list[m.IntOrPercent]) -> None:
    """Recorded sizes are those asked for, one after another, the last one cut to what is left."""
    world = rolled_out(count, batches=tuple(sizes), disruption=m.Disruption.NONE)
    world.ask("kubelet-2")
    world.settle()
    taken = 0
    expected: list[int] = []
    while taken < count:
        expected.append(min(batch_size(sizes, len(expected) + 1, count), count - taken))
        taken += expected[-1]
    assert [one.size for one in world.owner.status.batches] == expected[-32:]


@given(world=minded_worlds())
def test_every_snapshot_gets_a_decision(world: World) -> None:
    """A world that makes no sense becomes a condition, never an exception."""
    strange = m.MachineComponentSetStatus(
        batch=m.Batch(number=1, opened_at=world.now.wall, members=(m.Member(name="x", uid="y", op_id="z"),))
    )
    for status in (strange, world.owner.status):
        world.owner = attrs.evolve(world.owner, status=status)
        for found in (None, component("kubelet-1")):
            assert decide(world.snapshot(component=found), Policy()).notes is not None


def test_ready_reports_of_an_older_revision_do_not_count() -> None:
    """A machine that is at target of what it ran before is not updated."""
    world = rolled_out(1)
    assert world.seats["n000"].report == report(entry(1))
    world.ask("kubelet-2")
    world.deaf = {"n000"}
    for _ in range(5):
        world.rollout()
        world.risk()
    batch = world.owner.status.batch
    assert batch is not None
    assert [member.state for member in batch.members] == [m.MemberState.STARTED]
