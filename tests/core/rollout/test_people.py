"""What people may say to a rollout: keep, approve, skip, go back; and how batches grow only after proof."""

from datetime import timedelta

from kubenode.core import model as m
from kubenode.core.model.condition import find
from tests.core.rollout.world import World, entry, rolled_out, seat


def said(world: World) -> tuple[str, str, str]:
    """Give phase, reason and message."""
    condition = find(world.owner.status.conditions, "Progressing")
    assert condition is not None
    return world.owner.status.phase, condition.reason, condition.message


def test_a_partition_keeps_the_last_machines_until_it_is_lowered() -> None:
    """Three of ten stay at the revision they have; the rollout says so and waits; lowered, it goes on."""
    world = rolled_out(10, max_unavailable=m.IntOrPercent(10))
    world.ask("kubelet-2", partition=m.IntOrPercent(30, percent=True))
    decision = world.settle()
    text = "7 of 10 updated; 3 stay at the revision they have; to go on lower spec.rollout.partition"
    assert said(world) == ("Paused", "Partition", text)
    assert [(note.code, note.observed) for note in decision.notes] == [("Partition", 3)]
    assert (decision.deferred, decision.wake_at) == (True, None)
    assert len(world.touched) == 7
    assert world.owner.status.current == m.Revision(number=1, component="kubelet-1"), "it is not complete"
    world.put(seat("new", available=False, never_run=True))
    world.settle()
    assert world.seats["new"].entry == entry(1), "who joins gets what completed last"
    world.put(None, "new")
    world.ask(partition=m.IntOrPercent(1))
    world.settle()
    assert (len(world.touched), world.view().kept) == (10, 1)
    world.ask(partition=m.IntOrPercent(0))
    world.settle()
    assert said(world) == ("Complete", "Complete", "10 of 10 updated")


def test_a_partition_raised_in_the_middle_spares_who_waits() -> None:
    """Members of the open batch that are kept now and have not started end as Skipped; later they take their turn."""
    world = rolled_out(6, batches=(m.IntOrPercent(6),), max_unavailable=m.IntOrPercent(1))
    world.ask("kubelet-2")
    while len(world.touched) < 2:
        world.rollout()
        world.risk()
        world.agents()
        world.now = world.now.plus(timedelta(seconds=1))
    world.ask(partition=m.IntOrPercent(100, percent=True))
    world.settle()
    assert len(world.touched) == 2
    assert world.owner.status.batches[0] == m.BatchRecord(number=1, size=6, updated=2, failed=0, skipped=4)
    assert world.holds == {}
    world.ask(partition=m.IntOrPercent(0))
    world.settle()
    assert said(world)[2] == "6 of 6 updated"
    assert len(world.touched) == 6


def test_a_closed_batch_waits_for_a_person() -> None:
    """With approval Manual each batch, the last too, waits for a word that names its revision and number."""
    world = rolled_out(6, approval=m.Approval.MANUAL, batches=(m.IntOrPercent(1), m.IntOrPercent(5)))
    world.ask("kubelet-2")
    decision = world.settle()
    text = 'batch 1 is done; to go on set spec.rollout.approve: {revision: "2", batch: 1}'
    assert said(world) == ("Paused", "AwaitingApproval", text)
    assert [note.code for note in decision.notes] == ["AwaitingApproval"]
    assert (decision.deferred, decision.wake_at, len(world.touched)) == (True, None, 1)
    world.ask(approve=m.Approve(revision="1", batch=9))
    world.settle()
    assert len(world.touched) == 1, "an old word says nothing"
    world.ask(approve=m.Approve(revision="2", batch=1))
    world.settle()
    assert (said(world)[1], len(world.touched)) == ("AwaitingApproval", 6)
    assert world.owner.status.current == m.Revision(number=1, component="kubelet-1")
    world.ask(approve=m.Approve(revision="2", batch=2))
    world.settle()
    assert said(world) == ("Complete", "Complete", "6 of 6 updated")


def test_a_word_before_the_end_does_not_shorten_the_observation() -> None:
    """What is approved beforehand is observed and inspected all the same; what is not available outweighs the word."""
    word = m.Approve(revision="2", batch=9)
    world = rolled_out(
        1, approval=m.Approval.MANUAL, approve=word, observation=timedelta(minutes=10), min_ready_seconds=0
    )
    world.ask("kubelet-2")
    while world.owner.status.batch is None or world.owner.status.batch.closed_at is None:
        world.rollout()
        world.risk()
        world.agents()
    assert said(world)[1] == "Observing"
    world.evolve("n000", available=False)
    world.settle()
    assert said(world)[1] == "InspectionInconclusive"
    world.evolve("n000", available=True)
    world.settle()
    assert said(world)[2] == "1 of 1 updated"


def test_a_skipped_machine_is_left_alone_as_long_as_the_word_stands() -> None:
    """Skipped before its turn or while it waits, it is not touched and is counted apart; unnamed, it takes its turn."""
    world = rolled_out(4, batches=(m.IntOrPercent(4),))
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    batch = world.owner.status.batch
    assert batch is not None
    last = batch.members[-1].name
    world.ask(skip=m.Skip(revision="2", machines=(last, "nobody")))
    decision = world.settle()
    assert said(world) == ("Complete", "Complete", "3 of 4 updated, skipped: 1")
    assert (decision.notes, decision.deferred) == ((), False)
    assert world.owner.status.skipped == 1
    assert world.owner.status.batches == (m.BatchRecord(number=1, size=4, updated=3, failed=0, skipped=1),)
    assert last not in world.touched
    world.ask(skip=None)
    world.settle()
    assert (said(world)[2], world.owner.status.skipped) == ("4 of 4 updated", 0)
    assert world.owner.status.batches[-1].number == 2


def test_who_has_begun_is_not_skipped() -> None:
    """A member with the entry comes to its own end, so that its permit is not given back while it acts."""
    world = rolled_out(1)
    world.ask("kubelet-2")
    while not world.touched:
        world.rollout()
        world.risk()
    world.ask(skip=m.Skip(revision="2", machines=("n000",)))
    world.rollout()
    assert [one.state for one in _members(world)] == [m.MemberState.STARTED]
    world.settle()
    assert said(world)[2] == "1 of 1 updated"


def test_revisions_are_remembered() -> None:
    """Each change of the component is a numbered line of the history; going back adds one."""
    world = rolled_out(2)
    for name in ("kubelet-2", "kubelet-3", "kubelet-1"):
        world.ask(name)
        world.settle()
    assert [(one.number, one.component) for one in world.owner.status.revisions] == [
        (1, "kubelet-1"), (2, "kubelet-2"), (3, "kubelet-3"), (4, "kubelet-1"),
    ]  # fmt: skip


def test_going_back_leaves_alone_who_never_left() -> None:
    """A to B and back: only machines that got B are touched again; the others keep their entry of the first revision."""
    world = rolled_out(12, batches=(m.IntOrPercent(3),))
    world.ask("kubelet-2")
    while len(world.touched) < 2:
        world.rollout()
        world.risk()
        world.agents()
        world.now = world.now.plus(timedelta(seconds=1))
    went = sorted(world.touched)
    world.touched.clear()
    world.ask("kubelet-1")
    world.settle()
    assert sorted(world.touched) == went
    assert said(world) == ("Complete", "Complete", "12 of 12 updated")
    left = {one.revision for name, one in world.end().items() if one is not None and name not in went}
    assert left == {"1"}


def test_batches_grow_only_after_proof() -> None:
    """Machines that were down already are updated first, one by one, until a machine that was up has shown that it works."""
    world = rolled_out(20, batches=(m.IntOrPercent(1), m.IntOrPercent(5), m.IntOrPercent(10)))
    for name in ("n004", "n009"):
        world.evolve(name, available=False)
    world.ask("kubelet-2")
    world.settle()
    assert [one.size for one in world.owner.status.batches] == [1, 1, 1, 5, 10, 2]
    assert world.owner.status.proven == 4
    assert set(world.touched[:2]) == {"n004", "n009"}
    assert said(world)[2] == "20 of 20 updated"


def test_a_batch_that_failed_proves_nothing() -> None:
    """A failure that is borne does not let the next batch grow."""
    world = rolled_out(4, batches=(m.IntOrPercent(1), m.IntOrPercent(2)), failure_threshold=4)
    world.bad = dict.fromkeys(world.seats, "PackageBroken")
    world.ask("kubelet-2")
    world.settle()
    assert [one.size for one in world.owner.status.batches] == [1, 1, 1, 1]


def _members(world: World) -> tuple[m.Member, ...]:
    batch = world.owner.status.batch
    return batch.members if batch is not None else ()
