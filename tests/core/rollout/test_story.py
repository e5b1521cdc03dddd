"""Whole rollouts, told as text."""

from datetime import timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import SetEntry
from kubenode.core.model.condition import find
from kubenode.core.policy import Policy
from kubenode.core.rollout.decide import decide
from tests.core.rollout.world import World, entry, mcs, rolled_out, seat

WIDE = m.IntOrPercent(10, percent=True)


def said(world: World) -> tuple[str, str, str]:
    """Give phase, reason and message."""
    condition = find(world.owner.status.conditions, "Progressing")
    assert condition is not None
    return world.owner.status.phase, condition.reason, condition.message


def test_two_hundred_machines_in_six_batches() -> None:
    """Sizes 1 / 5 / 10 / 50 / 100 are increments and the last repeats: 200 machines are 1, 5, 10, 50, 100, 34."""
    world = rolled_out(200, max_unavailable=WIDE)
    world.ask("kubelet-2")
    world.settle()
    assert "\n".join(world.log) == (
        "Progressing: revision 2: 0 of 200 updated\n"
        "batch 1 opens with 1\n"
        "batch 2 opens with 5\n"
        "batch 3 opens with 10\n"
        "batch 4 opens with 50\n"
        "batch 5 opens with 100\n"
        "batch 6 opens with 34\n"
        "Complete: 200 of 200 updated"
    )
    assert [(one.number, one.size, one.updated, one.failed) for one in world.owner.status.batches] == [
        (1, 1, 1, 0), (2, 5, 5, 0), (3, 10, 10, 0), (4, 50, 50, 0), (5, 100, 100, 0), (6, 34, 34, 0),
    ]  # fmt: skip
    assert sorted(world.touched) == sorted(world.seats), "each machine is touched once"
    assert world.owner.status.current == m.Revision(number=2, component="kubelet-2")


def test_a_bad_machine_pauses_and_an_excuse_goes_on() -> None:
    """One failure beyond the threshold stops everything, says why and how to go on; excused, the rest completes."""
    world = rolled_out(200, max_unavailable=WIDE)
    world.bad["n117"] = "PackageBroken"
    world.ask("kubelet-2")
    world.settle()
    assert said(world) == (
        "Paused",
        "FailureThreshold",
        "n117 failed (PackageBroken): 1 failure > 0 allowed; "
        'to go on set spec.rollout.excuse: {revision: "2", failures: 1}',
    )
    assert world.owner.status.failed[0].message == "PackageBroken here"
    touched = len(world.touched)
    assert touched < 200
    world.ask(excuse=m.Excuse(revision="2", failures=1))
    world.settle()
    assert said(world) == ("Complete", "Complete", "199 of 200 updated, excused: 1")
    assert (world.owner.status.failures, world.owner.status.excused) == (1, 1)


def test_a_paused_rollout_touches_nobody() -> None:
    """A person's pause stops starts and batches, whatever permits are open; those started go on to their end."""
    world = rolled_out(20, max_unavailable=m.IntOrPercent(5), batches=(m.IntOrPercent(10),))
    world.ask("kubelet-2")
    while not world.touched:
        world.rollout()
        world.risk()
    world.ask(paused=True)
    started = list(world.touched)
    decision = world.settle()
    assert world.touched == started
    assert said(world) == ("Paused", "Paused", "spec.rollout.paused is true; to go on set it to false")
    assert [note.code for note in decision.notes] == ["Paused"]
    assert decision.deferred
    batch = world.owner.status.batch
    assert batch is not None
    states = [member.state for member in batch.members]
    assert states.count(m.MemberState.UPDATED) == len(started)
    assert states.count(m.MemberState.WAITING) == 10 - len(started)
    world.ask(paused=False)
    world.settle()
    assert said(world) == ("Complete", "Complete", "20 of 20 updated")


def test_an_open_permit_starts_nobody_while_paused() -> None:
    """A permit that was granted before the pause is not used."""
    world = rolled_out(3)
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    world.risk()
    assert world.holds
    world.ask(paused=True)
    assert decide(world.snapshot(), Policy()).effects == ()


def test_no_batch_opens_while_stopped() -> None:
    """Neither a person's pause nor a failure in the batch that has just closed lets the next one open."""
    world = rolled_out(5)
    world.ask("kubelet-2", paused=True)
    world.settle()
    assert (world.owner.status.batch, world.log) == (
        None,
        [
            "Progressing: revision 2: 0 of 5 updated",
            "Paused: spec.rollout.paused is true; to go on set it to false",
        ],
    )
    world.bad = dict.fromkeys(world.seats, "PackageBroken")
    world.ask(paused=False)
    world.settle()
    assert world.owner.status.batch is None
    assert world.owner.status.batches == (m.BatchRecord(number=1, size=1, updated=0, failed=1),)


def test_a_pause_does_not_undo_what_is_complete() -> None:
    """With nothing left to do a paused set is Complete, and says nothing of the pause."""
    world = rolled_out(2)
    world.ask(paused=True)
    decision = world.settle()
    assert said(world) == ("Complete", "Complete", "2 of 2 updated")
    assert (decision.notes, decision.deferred) == ((), False)


def test_a_change_in_the_middle_converges_to_the_last() -> None:
    """A third component while the second rolls out: a new revision, waiting members let go, all end at the third."""
    world = rolled_out(30, max_unavailable=m.IntOrPercent(3), batches=(m.IntOrPercent(10),))
    world.ask("kubelet-2")
    while len(world.touched) < 5:
        world.rollout()
        world.risk()
        world.agents()
        world.now = world.now.plus(timedelta(seconds=1))
    world.ask("kubelet-3")
    world.rollout()
    assert world.owner.status.batch is None
    assert world.owner.status.update == m.Revision(number=3, component="kubelet-3")
    world.settle()
    assert {one.component for one in world.end().values() if one} == {"kubelet-3"}
    assert said(world) == ("Complete", "Complete", "30 of 30 updated")


def test_going_back_is_a_new_revision() -> None:
    """Setting the old component again gives a third revision; the failure of the second is forgotten."""
    world = rolled_out(10, max_unavailable=m.IntOrPercent(3))
    world.bad = dict.fromkeys(world.seats, "PackageBroken")
    world.ask("kubelet-2")
    world.settle()
    assert said(world)[1] == "FailureThreshold"
    assert len(world.touched) == 1
    world.bad = {}
    world.ask("kubelet-1")
    world.settle()
    assert world.owner.status.update == m.Revision(number=3, component="kubelet-1")
    assert said(world) == ("Complete", "Complete", "10 of 10 updated")
    assert world.owner.status.failures == 0


def test_joining_machines_get_the_stable_revision() -> None:
    """A machine that never ran gets what completed last, without a permit; when it has run it takes its turn."""
    world = rolled_out(3)
    world.ask("kubelet-2", paused=True)
    world.put(seat("new", available=False, never_run=True))
    world.settle()
    assert world.seats["new"].entry == entry(1)
    assert said(world)[1] == "Paused"
    world.evolve("new", available=True, never_run=False)
    world.ask(paused=False)
    world.settle()
    turn = world.seats["new"].entry
    assert turn is not None
    assert (turn.revision, turn.component) == ("2", "kubelet-2")
    assert turn.batch in (1, 2), "it was part of a batch"
    assert said(world) == ("Complete", "Complete", "4 of 4 updated")


def test_the_first_revision_is_given_to_joining_machines() -> None:
    """While no revision completed, a machine that joins gets the first; many are written 16 at a time."""
    world = World.of(mcs(), 0)
    for i in range(40):
        world.put(seat(f"new{i:02}", available=False, never_run=True))
    world.rollout()
    assert world.touched == []
    for expected in (16, 32, 40, 40):
        world.rollout()
        assert len(world.touched) == expected
    assert {one.entry for one in world.seats.values()} == {entry(1)}


def test_a_machine_that_lost_its_entry_gets_a_further_batch() -> None:
    """After completion a machine without the entry is a candidate again: a batch of the same revision."""
    world = rolled_out(7, max_unavailable=m.IntOrPercent(7))
    world.ask("kubelet-2")
    world.settle()
    last = world.owner.status.batches[-1].number
    world.evolve("n003", entry=None)
    world.settle()
    assert world.seats["n003"].entry == entry(2, name="kubelet-2", batch=last + 1)
    assert world.owner.status.batches[-1] == m.BatchRecord(number=last + 1, size=1, updated=1, failed=0)


def test_an_entry_of_another_set_is_left_alone() -> None:
    """It is a conflict that is told, never a candidate, and holds up nobody else."""
    world = rolled_out(5, max_unavailable=m.IntOrPercent(5))
    theirs = entry(9, of="others")
    world.evolve("n002", entry=theirs)
    world.ask("kubelet-2")
    decision = world.settle()
    assert world.seats["n002"].entry == theirs
    assert said(world) == ("Complete", "Complete", "4 of 5 updated, in conflict: 1")
    conflict = find(world.owner.status.conditions, "Conflict")
    assert conflict is not None
    assert (conflict.status, conflict.reason) == (m.Switch.TRUE, "OtherSet")
    assert conflict.message == "spec.components.kubelet of n002 names another set and is left alone"
    assert [(note.code, note.observed) for note in decision.notes] == [("Conflict", 1)]
    world.evolve("n002", entry=None)
    world.settle()
    assert find(world.owner.status.conditions, "Conflict") is None
    assert said(world)[2] == "5 of 5 updated"


def test_a_set_whose_machines_another_set_wants_too_says_so_and_keeps_them() -> None:
    """Both have the condition: this one's entries stand, and its rollouts go on; it ends with the overlap."""
    world = rolled_out(5, max_unavailable=m.IntOrPercent(5))
    for name in ("n001", "n003"):
        world.evolve(name, rival="others")
    world.evolve("n004", rival="more")
    world.evolve("n002", entry=entry(9, of="others"), rival="others")
    world.ask("kubelet-2")
    decision = world.settle()
    assert said(world) == ("Complete", "Complete", "4 of 5 updated, in conflict: 1")
    conflict = find(world.owner.status.conditions, "Conflict")
    assert conflict is not None
    assert conflict.message == (
        "spec.components.kubelet of n002 names another set and is left alone; "
        "spec.components.kubelet of n001, n003, n004 is wanted by more, others too; "
        "rename one set's spec.name, or make the selectors disjoint"
    )
    assert [(note.code, note.observed, note.text) for note in decision.notes] == [
        ("Conflict", 4, conflict.message)
    ]
    world.evolve("n002", entry=None, rival="")
    assert [(note.code, note.observed) for note in world.settle().notes] == [("Conflict", 3)]
    conflict = find(world.owner.status.conditions, "Conflict")
    assert conflict is not None
    assert conflict.message.startswith(
        "spec.components.kubelet of n001, n003, n004 is wanted by more, others"
    )
    for name in ("n001", "n003", "n004"):
        world.evolve(name, rival="")
    assert world.settle().notes == ()
    assert find(world.owner.status.conditions, "Conflict") is None


@pytest.mark.parametrize("taken", ["waiting", "started"])
def test_a_member_that_another_set_takes_is_gone(taken: str) -> None:
    """A conflict inside an open batch ends the member and never wedges the batch."""
    world = rolled_out(4, batches=(m.IntOrPercent(2),), max_unavailable=m.IntOrPercent(2))
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    if taken == "started":
        world.risk()
        world.rollout()
    batch = world.owner.status.batch
    assert batch is not None
    world.evolve(batch.members[0].name, entry=entry(4, of="others"))
    world.settle()
    assert said(world)[2] == "3 of 4 updated, in conflict: 1"
    assert world.owner.status.batches[0] == m.BatchRecord(number=1, size=2, updated=1, failed=0)


def test_a_silent_agent_fails_at_the_progress_deadline() -> None:
    """A member is failed exactly progressDeadlineSeconds after it was first seen with its entry."""
    world = rolled_out(2, progress_deadline_seconds=60)
    world.deaf = set(world.seats)
    world.ask("kubelet-2")
    while not world.touched:
        world.rollout()
        world.risk()
    world.rollout()
    began = world.now.elapsed
    decision = decide(world.snapshot(), Policy())
    assert decision.wake_at == began + 60_000_000_000
    world.now = m.Now(wall=world.now.wall, elapsed=began + 60_000_000_000)
    world.rollout()
    failed = world.owner.status.failed
    assert [(one.reason, one.message) for one in failed] == [
        ("ProgressDeadlineExceeded", "after 60 s its component is not at target")
    ]
    assert said(world)[1] == "FailureThreshold"


def test_flapping_starts_the_ready_time_anew_and_ends_at_the_deadline() -> None:
    """Ready must hold without a gap; a machine that never holds it is failed once the deadline has passed."""
    world = rolled_out(1, min_ready_seconds=30, progress_deadline_seconds=100)
    world.ask("kubelet-2")
    while not _at_target(world):
        world.rollout()
        world.risk()
        world.agents()
    began = world.now.elapsed
    for _ in range(4):
        world.evolve("n000", available=True)
        world.rollout()
        assert decide(world.snapshot(), Policy()).wake_at == world.now.elapsed + 30_000_000_000
        world.now = world.now.plus(timedelta(seconds=29))
        assert not world.owner.status.failures
        world.evolve("n000", available=False)
        world.rollout()
    assert world.now.elapsed - began == 4 * 29_000_000_000
    assert [one.message for one in world.owner.status.failed] == ["after 100 s its Node is not available"]


def _at_target(world: World) -> bool:
    wanted = world.seats["n000"].entry
    return wanted is not None and wanted.revision == "2" and world.seats["n000"].at_target


def test_a_closed_batch_is_observed_before_the_next_opens() -> None:
    """The next batch opens exactly when the observation ends, and the note says when that is."""
    world = rolled_out(
        2, batches=(m.IntOrPercent(1),), observation=timedelta(minutes=10), min_ready_seconds=0
    )
    world.ask("kubelet-2")
    while world.owner.status.batch is None or world.owner.status.batch.closed_at is None:
        world.rollout()
        world.risk()
        world.agents()
    decision = decide(world.snapshot(), Policy())
    until = world.now.elapsed + 600_000_000_000
    assert decision.wake_at == until
    assert said(world)[1:] == ("Observing", "batch 1 is done and observed for 10m")
    assert [(note.code, note.frees_at) for note in decision.notes] == [("Observing", until)]
    assert decision.deferred
    world.now = m.Now(wall=world.now.wall, elapsed=until)
    world.rollout()
    assert world.owner.status.batch is not None
    assert world.owner.status.batch.number == 2


def test_an_unavailable_updated_machine_makes_the_inspection_inconclusive() -> None:
    """It pauses the rollout and names the machine, until that is available again."""
    world = rolled_out(
        2, batches=(m.IntOrPercent(1),), observation=timedelta(minutes=10), min_ready_seconds=0
    )
    world.ask("kubelet-2")
    while world.owner.status.batch is None or world.owner.status.batch.closed_at is None:
        world.rollout()
        world.risk()
        world.agents()
    [suspect] = world.touched
    world.evolve(suspect, available=False)
    decision = world.settle()
    assert said(world) == (
        "Paused",
        "InspectionInconclusive",
        f"{suspect} updated but not available; goes on when available again",
    )
    assert (decision.wake_at, decision.deferred) == (None, True)
    assert world.touched == [suspect]
    world.evolve(suspect, available=True)
    world.settle()
    assert said(world)[2] == "2 of 2 updated"


def test_class_none_asks_for_no_permit() -> None:
    """Members of a component that disrupts nothing start at once, bound only by the size of the batch."""
    world = rolled_out(20, disruption=m.Disruption.NONE, batches=(m.IntOrPercent(8),))
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    world.rollout()
    assert len(world.touched) == 8
    world.settle()
    assert said(world)[2] == "20 of 20 updated"


def test_a_missing_component_starts_nothing() -> None:
    """A component that does not exist begins no revision; the condition says what to do; it goes on by itself."""
    world = rolled_out(3)
    missing = world.components.pop("kubelet-2")
    world.ask("kubelet-2")
    world.put(seat("new", available=False, never_run=True))
    world.settle()
    assert world.touched == []
    assert said(world)[:2] == ("Paused", "ComponentMissing")
    assert "'kubelet-2'" in said(world)[2]
    assert world.owner.status.update == m.Revision(number=1, component="kubelet-1")
    world.components["kubelet-2"] = missing
    world.settle()
    assert said(world)[2] == "4 of 4 updated"


def test_a_set_of_a_newer_version_is_left_alone() -> None:
    """Nothing changes but one condition that names what is not known."""
    world = rolled_out(3)
    world.ask("kubelet-2")
    metadata = attrs.evolve(world.owner.metadata, unknown=("spec.rollout.canary", "spec.x"))
    world.owner = attrs.evolve(world.owner, metadata=metadata)
    before = world.owner.status
    world.settle()
    condition = find(world.owner.status.conditions, "Progressing")
    assert condition is not None
    assert (condition.status, condition.reason) == (m.Switch.UNKNOWN, "NewerVersion")
    assert condition.message.startswith("spec.rollout.canary ")
    assert attrs.evolve(world.owner.status, conditions=()) == attrs.evolve(before, conditions=())


def test_a_set_under_deletion_is_left_alone() -> None:
    """A set that is to go starts nothing more."""
    world = rolled_out(3)
    world.ask("kubelet-2")
    metadata = attrs.evolve(world.owner.metadata, deletion_timestamp=world.now.wall)
    world.owner = attrs.evolve(world.owner, metadata=metadata)
    decision = decide(world.snapshot(), Policy())
    assert (decision.status, decision.effects) == (None, ())
    assert [note.code for note in decision.notes] == ["Deleting"]


def test_a_tally_of_another_revision_is_not_used() -> None:
    """A tally that lags behind the status is waited for, and what was seen is kept."""
    world = rolled_out(3)
    old = world.tally.view(10)
    world.ask("kubelet-2")
    world.rollout()
    decision = decide(world.snapshot(tally=old, sightings={"x": 1}), Policy())
    assert (decision.status, decision.effects, decision.deferred) == (None, (), True)
    assert decision.sightings == {"x": 1}


def test_a_set_made_anew_never_takes_old_entries_for_its_own() -> None:
    """A set whose status was lost numbers its revisions above all entries that bear its name."""
    world = rolled_out(4, max_unavailable=m.IntOrPercent(4))
    world.ask("kubelet-2")
    world.settle()
    world.owner = attrs.evolve(world.owner, status=m.MachineComponentSetStatus())
    world.settle()
    assert world.owner.status.update == m.Revision(number=3, component="kubelet-2")
    assert said(world)[2] == "4 of 4 updated"


def test_unavailable_machines_go_first() -> None:
    """Who is broken already heads the first batch."""
    world = rolled_out(9)
    world.evolve("n007", available=False)
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    batch = world.owner.status.batch
    assert batch is not None
    assert [member.name for member in batch.members] == ["n007"]


def test_an_unwritten_entry_is_written_again_while_the_permit_is_open() -> None:
    """A crash between status and entry is made good; without a permit the member waits again."""
    world = rolled_out(3)
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    world.risk()
    world.crash_after = 0
    world.rollout()
    assert world.touched == []
    assert _states(world) == [m.MemberState.STARTED]
    [effect] = decide(world.snapshot(), Policy()).effects
    assert isinstance(effect, SetEntry)
    without = decide(world.snapshot(holds=frozenset()), Policy())
    assert without.effects == ()
    assert without.status is not None
    assert without.status.batch is not None
    assert [member.state for member in without.status.batch.members] == [m.MemberState.WAITING]


def _states(world: World) -> list[m.MemberState]:
    batch = world.owner.status.batch
    return [member.state for member in batch.members] if batch is not None else []


def test_a_machine_replaced_under_its_name_is_gone() -> None:
    """A member is one incarnation: the same name with another uid is another machine, with its own turn."""
    world = rolled_out(2)
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    batch = world.owner.status.batch
    assert batch is not None
    name = batch.members[0].name
    world.put(seat(name, machine=m.Ref(kind="Machine", name=name, uid="another")))
    world.settle()
    assert world.owner.status.batches[0] == m.BatchRecord(number=1, size=1, updated=0, failed=0)
    assert said(world)[2] == "2 of 2 updated"


def test_failures_within_the_threshold_are_borne() -> None:
    """Failures up to the threshold neither pause nor need an excuse; one more does."""
    world = rolled_out(12, failure_threshold=2, max_unavailable=m.IntOrPercent(4))
    world.bad = {"n001": "PackageBroken", "n002": "UnitFailed"}
    world.ask("kubelet-2")
    world.settle()
    assert said(world) == ("Complete", "Complete", "10 of 12 updated, failures borne: 2")


def test_a_failure_that_is_no_word_is_stored_readably() -> None:
    """A broken agent's reason cannot make the server refuse the set's status."""
    world = rolled_out(1)
    world.bad = {"n000": "exit code 1\n"}
    world.ask("kubelet-2")
    world.settle()
    assert [(one.reason, one.message) for one in world.owner.status.failed] == [
        ("UnreadableReason", "exit code 1\n here")
    ]


def test_many_failures_are_counted_whole_and_named_in_part() -> None:
    """Beyond three names the rest is a number; beyond 64 only the count grows."""
    world = rolled_out(
        100, disruption=m.Disruption.NONE, batches=(m.IntOrPercent(100, percent=True),), failure_threshold=3
    )
    world.bad = dict.fromkeys(world.seats, "PackageBroken")
    world.ask("kubelet-2")
    world.settle()
    status = world.owner.status
    assert (status.failures, len(status.failed)) == (100, 64)
    assert " and 97 more: 100 failures > 3 allowed" in said(world)[2]
    world.ask(excuse=m.Excuse(revision="2", failures=96))
    world.settle()
    assert said(world)[2].startswith("4 machines failed: 4 failures > 3 allowed")
    world.ask(excuse=m.Excuse(revision="2", failures=100))
    world.settle()
    assert said(world)[2] == "0 of 100 updated, excused: 100"


def test_an_excuse_of_another_revision_excuses_nothing() -> None:
    """An old word does not excuse a new fault."""
    world = rolled_out(1, excuse=m.Excuse(revision="1", failures=5))
    world.bad = {"n000": "PackageBroken"}
    world.ask("kubelet-2")
    world.settle()
    assert said(world)[1] == "FailureThreshold"


def test_waiting_for_permits_is_told() -> None:
    """The note and the condition say how many members wait."""
    world = rolled_out(5, batches=(m.IntOrPercent(3),))
    world.ask("kubelet-2")
    world.rollout()
    world.rollout()
    decision = decide(world.snapshot(), Policy())
    assert [(note.code, note.text) for note in decision.notes] == [
        ("WaitingForPermits", "batch 1: waiting for permits 3 of 3")
    ]
    assert decision.deferred
    assert said(world)[2] == "revision 2, batch 1: 3 waiting"


def test_a_set_in_a_phase_of_a_newer_version_is_left_alone() -> None:
    """A phase that this version does not know is not overwritten."""
    world = rolled_out(3)
    world.ask("kubelet-2")
    world.owner = attrs.evolve(world.owner, status=attrs.evolve(world.owner.status, phase="Frobbing"))
    before = world.owner.status
    world.settle()
    condition = find(world.owner.status.conditions, "Progressing")
    assert condition is not None
    assert (condition.reason, "Frobbing" in condition.message) == ("NewerVersion", True)
    assert attrs.evolve(world.owner.status, conditions=()) == attrs.evolve(before, conditions=())


def test_on_a_bare_host_the_entries_its_node_needs_are_written_before_the_node_registers() -> None:
    """Without a Node, a zone or a permit, while another machine's batch is open: the stable revision, at once."""
    world = rolled_out(2)
    world.ask("kubelet-2")
    world.rollout()
    world.put(seat("bare", available=False, never_run=True, zone=""))
    world.rollout()
    assert world.seats["bare"].entry == entry(1)
    assert "bare" not in {member.name for member in world.owner.status.batch.members}  # type: ignore[union-attr]
    assert world.holds == {}
