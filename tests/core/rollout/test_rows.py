"""A rollout, row by row: what is counted of machines, what is said when it stands, and what is compared."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.model.componentset import Excuse
from kubenode.core.model.inspection import ControlGroup, Inconclusive
from kubenode.core.policy import Policy
from kubenode.core.rollout.batch import batch_size
from kubenode.core.rollout.control import Verdict, compared
from kubenode.core.rollout.decide import BATCHES_LIMIT, FAILED_LIMIT, RolloutSnapshot, decide
from kubenode.core.rollout.inspect import Gate, GateState
from kubenode.core.rollout.member import Terms, judge
from kubenode.core.rollout.progress import Course, Held, Phase, Reason, left_alone, stop_of
from kubenode.core.rollout.revision import begun, excused, write
from kubenode.core.rollout.tally import (
    JOIN_LIMIT,
    NAMES_LIMIT,
    REVISION_LIMIT,
    Rate,
    Seat,
    Tally,
    TallyView,
    place_of,
)
from tests.core.rollout.world import SET, START, World, component, entry, mcs, report, seat

UID = "uid-set"
NOW = m.Now(wall=START + timedelta(microseconds=7), elapsed=0)
ONE = m.Revision(number=1, component="kubelet-1")


def test_the_limits_are_what_they_are() -> None:
    """As the page of the objects says them."""
    assert (JOIN_LIMIT, NAMES_LIMIT, REVISION_LIMIT, FAILED_LIMIT, BATCHES_LIMIT) == (
        16,
        5,
        2**31 - 1,
        64,
        32,
    )


# What is counted.


def view(*seats: Seat, revision: int | None = 2, of: str = "kubelet-2", **asked: Any) -> TallyView:
    """Count these machines."""
    tally = Tally(SET, UID, revision)
    for one in seats:
        tally.moved(None, one)
    return tally.view(10, component=of, **asked)


def at(name: str, revision: int, of: str, **changes: Any) -> Seat:
    """Give a machine at target with that entry."""
    wanted = entry(revision, name=of)
    return seat(name, entry=wanted, report=report(wanted), **changes)


def test_unavailable_are_those_that_ran_and_are_not_available() -> None:
    """Nobody else."""
    counted = view(
        seat("a"),
        seat("b", available=False),
        seat("c", available=False, never_run=True),
        seat("d", never_run=True),
    )
    assert (counted.selected, counted.up, counted.unavailable) == (4, 2, 1)


@pytest.mark.parametrize(
    ("revisions", "highest"),
    [((), 0), (("x",), 0), (("",), 0), (("7", "3"), 7), ((str(REVISION_LIMIT),), 0), ((str(REVISION_LIMIT - 1),), REVISION_LIMIT - 1)],
)  # fmt: skip
def test_the_highest_revision_is_one_that_a_set_can_have_written(
    revisions: tuple[str, ...], highest: int
) -> None:
    """What is no number, or none that could be stored, is none."""
    seats = [
        seat(f"n{place}", entry=attrs.evolve(entry(1), revision=text)) for place, text in enumerate(revisions)
    ]
    assert view(seat("bare"), *seats).highest == highest


def test_an_entry_is_at_a_revision_of_its_own_set() -> None:
    """Two sets may have the same number."""
    assert seat("a", entry=entry(2)).is_at(SET, 2)
    assert not seat("a", entry=entry(2)).is_at(SET, 3)
    assert not seat("a", entry=entry(2, of="other")).is_at(SET, 2)
    assert not seat("a").is_at(SET, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"drifting": True}, {"reason": "X"}, {"revision": "1"}, {"component": "kubelet-1"}, {"config": m.ConfigState.DRIFTED},
        {"state": m.Running.STOPPED},
    ],
)  # fmt: skip
def test_at_target_is_all_of_it(changes: dict[str, Any]) -> None:
    """One thing that is otherwise is enough."""
    one = at("a", 2, "kubelet-2")
    assert one.at_target
    assert one.report is not None
    assert not attrs.evolve(one, report=attrs.evolve(one.report, **changes)).at_target
    assert not attrs.evolve(one, report=None).at_target
    assert not attrs.evolve(one, entry=None).at_target


BAD = frozenset({"X", "Y"})


def test_a_fault_is_counted_where_its_machine_stands() -> None:
    """Updated: who has the revision's component and is at target, by whatever entry. Waiting: who has another, or none."""
    machines = (
        at("new", 2, "kubelet-2", faults=BAD), at("new-well", 2, "kubelet-2"),
        attrs.evolve(at("new-late", 2, "kubelet-2", faults=BAD), report=None),
        at("same", 1, "kubelet-2", faults=frozenset({"X"})), attrs.evolve(at("same-late", 1, "kubelet-2", faults=BAD), report=None),
        at("old", 1, "kubelet-1", faults=frozenset({"Y"})), at("old-well", 1, "kubelet-1"), seat("bare", faults=BAD),
    )  # fmt: skip
    rates = view(*machines, conditions=("X", "Y", "Z")).rates
    assert rates == (
        Rate(type="X", updated=2, of_updated=3, waiting=1, of_waiting=3),
        Rate(type="Y", updated=1, of_updated=3, waiting=2, of_waiting=3),
        Rate(type="Z", updated=0, of_updated=3, waiting=0, of_waiting=3),
    )


def test_without_a_component_nobody_has_it() -> None:
    """Not even a machine without an entry."""
    (rate,) = view(seat("bare", faults=BAD), of="", conditions=("X",)).rates
    assert rate == Rate(type="X", updated=0, of_updated=0, waiting=1, of_waiting=1)


# What is compared.

GROUP = ControlGroup(conditions=("X",), confidence=95, inconclusive=Inconclusive.PAUSE)


@pytest.mark.parametrize(
    ("rate", "group", "worse"),
    [
        (Rate(type="X", updated=0, of_updated=2, waiting=0, of_waiting=5), GROUP, None),
        (Rate(type="X", updated=0, of_updated=2, waiting=0, of_waiting=4), GROUP, False),
        (Rate(type="X", updated=2, of_updated=2, waiting=0, of_waiting=5), GROUP, True),
        (Rate(type="X", updated=2, of_updated=2, waiting=1, of_waiting=5), GROUP, False),
        (Rate(type="X", updated=2, of_updated=2, waiting=0, of_waiting=0), GROUP, None),
        (Rate(type="X", updated=0, of_updated=2, waiting=0, of_waiting=4), attrs.evolve(GROUP, inconclusive=Inconclusive.CONTINUE), None),
        (Rate(type="X", updated=2, of_updated=2, waiting=0, of_waiting=5), None, None),
    ],
)  # fmt: skip
def test_what_the_control_group_says(rate: Rate, group: ControlGroup | None, worse: bool | None) -> None:
    """Two against five can be told at 95 % (1 in 21), two against four cannot (1 in 15), nor two against five of which one has it too (1 in 7); without others there is nothing to tell."""
    found = compared((rate,), group)
    assert (None if found is None else found.worse) is worse
    assert found is None or isinstance(found, Verdict)


# What is said.


def test_a_batch_without_sizes_is_one_by_one() -> None:
    """And no size is less."""
    assert [batch_size((), number, 50) for number in (1, 2, 9)] == [1, 1, 1]


def status(**changes: Any) -> m.MachineComponentSetStatus:
    """Give the status of a set at its first revision."""
    return m.MachineComponentSetStatus(**({"update": ONE, "total": 9} | changes))


WAITS = m.Member(name="n1", uid="uid-n1", op_id="op")
BATCH = m.Batch(number=1, opened_at=START, members=(WAITS,))


@pytest.mark.parametrize(
    ("outdated", "kept", "held", "skipped", "batch", "reason"),
    [
        (3, 3, 0, 0, None, Reason.PARTITION), (3, 2, 1, 0, None, Reason.HELD), (3, 0, 3, 0, None, Reason.HELD), (3, 1, 1, 1, None, Reason.HELD),
        (3, 2, 0, 0, None, None), (3, 3, 0, 0, BATCH, None), (0, 0, 0, 0, None, None), (2, 0, 0, 2, None, None), (3, 1, 1, 0, None, None),
        (3, 1, 0, 1, None, None), (4, 3, 0, 0, None, None), (4, 3, 0, 1, None, Reason.PARTITION),
    ],
)  # fmt: skip
def test_a_rollout_of_which_only_the_held_and_kept_are_left_stands(
    outdated: int, kept: int, held: int, skipped: int, batch: m.Batch | None, reason: Reason | None
) -> None:
    """Only when nobody else is: not while a batch is open, or one more waits for its turn."""
    counted = TallyView(outdated=outdated, kept=kept, held=held)
    found = left_alone(status(skipped=skipped, batch=batch), counted, Held(names=("n1",)[:held], count=held))
    assert (None if found is None else found.reason) is reason
    if found is not None and reason is Reason.HELD:
        assert (found.observed, found.limit) == (held, 0)


@pytest.mark.parametrize(
    ("failures", "excused_by_hand", "said"),
    [
        (1, 0, "n0 failed (Bad): 1 failure > 0 allowed"), (2, 0, "n0 failed (Bad), n1 failed (Bad): 2 failures > 0 allowed"), (2, 1, "n1 failed (Bad): 1 failure > 0 allowed"),
        (5, 0, "n0 failed (Bad), n1 failed (Bad), n2 failed (Bad) and 2 more: 5 failures > 0 allowed"),
    ],
)  # fmt: skip
def test_failures_are_told_by_name_and_number(failures: int, excused_by_hand: int, said: str) -> None:
    """One is one; three are named."""
    failed = tuple(
        m.Failure(name=f"n{number}", uid=f"u{number}", reason="Bad", message="x")
        for number in range(failures)
    )
    stop = stop_of(
        mcs(), status(failures=failures, failed=failed, excused=excused_by_hand), component("kubelet-1")
    )
    assert stop is not None
    assert stop.text.startswith(f"{said}; to go on set spec.rollout.excuse: ")


def test_a_status_by_hand_without_a_revision_stops_nothing_and_breaks_nothing() -> None:
    """What no decider wrote: failures, an excuse, an open batch, and no revision they are of."""
    owner = mcs(excuse=Excuse(revision="1", failures=3))
    lost = status(update=None, failures=9, batch=BATCH)
    assert stop_of(owner, lost, component("kubelet-1")) is None
    assert excused(owner, lost) == 0
    assert excused(owner, status(failures=9)) == 3
    decision = decide(
        RolloutSnapshot(set=attrs.evolve(owner, status=lost), component=None, tally=TallyView(), now=NOW),
        Policy(),
    )
    assert decision.notes[0].code == "ComponentMissing"
    assert decision.status is not None
    assert decision.status.batch == BATCH


def test_revisions_are_numbered_from_one_and_above_all_that_are_there() -> None:
    """Of the set, and of any entry."""
    for update, highest, number in (
        (None, 0, 1),
        (None, 6, 7),
        (ONE, 0, 2),
        (ONE, 6, 7),
        (attrs.evolve(ONE, number=9), 6, 10),
    ):
        owner = attrs.evolve(mcs("kubelet-2"), status=status(update=update))
        after = begun(owner, TallyView(highest=highest)).update
        assert after == m.Revision(number=number, component="kubelet-2")


# Members.


def judged(one: Seat, *, now: int = 0, sightings: dict[str, int] | None = None) -> Any:
    """Judge one member, to be ready for 10 s within 60 s."""
    terms = Terms(set_name=SET, revision=1, min_ready_ns=10, deadline_ns=60)
    started = attrs.evolve(BATCH, members=(attrs.evolve(WAITS, state=m.MemberState.STARTED),))
    return judge(started, (one,), terms, attrs.evolve(NOW, elapsed=now), sightings or {})


READY = at("n1", 1, "kubelet-1")
SINCE = {"started:uid-n1:1": 0, "ready:uid-n1:1": 5}


@pytest.mark.parametrize(
    ("one", "now", "state", "dwells", "wakes"),
    [
        (READY, 14, "Started", (15,), (15,)), (READY, 15, "Updated", (), ()), (READY, 60, "Updated", (), ()),
        (attrs.evolve(READY, report=None), 59, "Started", (), (60,)), (attrs.evolve(READY, report=None), 60, "Failed", (), ()),
        (attrs.evolve(READY, available=False), 59, "Started", (), (60,)), (seat("n1"), 5, "Waiting", (), ()),
        (seat("n1", entry=entry(1, of="other")), 5, "Gone", (), ()),
    ],
)  # fmt: skip
def test_a_member_is_ready_for_its_time_or_fails_at_its_deadline(
    one: Seat, now: int, state: str, dwells: tuple[int, ...], wakes: tuple[int, ...]
) -> None:
    """To the nanosecond; who waits or has ended wakes nobody."""
    found = judged(one, now=now, sightings=SINCE)
    assert found.batch.members[0].state.value == state
    assert (found.dwells, found.wakes) == (dwells, wakes)


@pytest.mark.parametrize(
    ("reason", "message", "told"),
    [("Bad", "words", ("Bad", "words")), ("Bad", "", ("Bad", "Bad")), ("no word", "", ("UnreadableReason", "no word")), ("no word", "w", ("UnreadableReason", "w"))],
)  # fmt: skip
def test_a_failure_is_told_in_the_agents_words(reason: str, message: str, told: tuple[str, str]) -> None:
    """Its message, else its reason; a reason that is no word is kept out of the status."""
    assert READY.report is not None
    failed = attrs.evolve(READY, report=attrs.evolve(READY.report, reason=reason, message=message))
    (failure,) = judged(failed).failures
    assert (failure.reason, failure.message) == told


def test_a_member_that_the_partition_keeps_is_skipped() -> None:
    """From the very place on from which it keeps; whoever stands before it goes on waiting."""
    world = World.of(mcs(batches=(m.IntOrPercent(6),), max_unavailable=m.IntOrPercent(6)), 6)
    world.rollout()
    world.rollout()
    assert world.owner.status.batch is not None
    order = sorted(world.seats.values(), key=lambda one: place_of(UID, one))
    world.ask(partition=m.IntOrPercent(2))
    world.rollout()
    skipped = {one.name for one in world.owner.status.batch.members if one.state is m.MemberState.SKIPPED}
    assert skipped == {one.machine.name for one in order[-2:]}


def test_a_batch_is_stamped_in_whole_seconds() -> None:
    """When it opens and when it closes; else what is read back would differ."""
    world = World.of(mcs(observation=timedelta(minutes=5), min_ready_seconds=0), 3)
    world.now = attrs.evolve(world.now, wall=START + timedelta(microseconds=123_456))
    for _ in range(12):
        world.rollout()
        world.risk()
        world.agents()
    batch = world.owner.status.batch
    assert batch is not None
    assert (batch.opened_at, batch.closed_at) == (START, START)


@pytest.mark.parametrize(
    ("record", "permits", "state"),
    [
        (("op-n1", "GivenUp"), {"op-n1"}, "Failed"), (("op-n1", "GivenUp"), set(), "Waiting"),
        (("op-n1", "Draining"), {"op-n1"}, "Waiting"), (("op-n1", "Drained"), {"op-n1"}, "Waiting"),
        (("op-x", "GivenUp"), {"op-n1"}, "Waiting"), (("op-x", "GivenUp"), {"op-n1", "op-x"}, "Failed"),
        (None, {"op-n1"}, "Waiting"), (("op-n1", "GivenUp"), {"op-x"}, "Waiting"), (("op-x", "GivenUp"), {"op-x"}, "Waiting"),
    ],
)  # fmt: skip
def test_a_member_whose_node_could_not_be_drained_fails(
    record: tuple[str, str] | None, permits: set[str], state: str
) -> None:
    """Of a permit that is open, and where a drain is asked for at all: that of its permit, or of one that shares it."""
    drain = None if record is None else m.DrainRecord(op_id=record[0], state=m.DrainState(record[1]))
    waits = attrs.evolve(WAITS, op_id="op-n1")
    terms = Terms.of(mcs(), 1, drained_by=frozenset(permits))
    found = judge(
        attrs.evolve(BATCH, members=(waits,)), (attrs.evolve(seat("n1"), drain=drain),), terms, NOW, {}
    )
    assert found.batch.members[0].state.value == state
    assert [one.reason for one in found.failures] == (["DrainTimedOut"] if state == "Failed" else [])


@pytest.mark.parametrize("state", list(m.MemberState))
def test_who_has_ended_stays_so(state: m.MemberState) -> None:
    """Though its machine is gone, or back and at the revision; whoever has not is then Gone, or goes on."""
    batch = attrs.evolve(BATCH, members=(attrs.evolve(WAITS, state=state),))
    terms = Terms(set_name=SET, revision=1, min_ready_ns=10, deadline_ns=60)
    found = judge(batch, (), terms, NOW, {}).batch.members[0].state
    ended = {m.MemberState.UPDATED, m.MemberState.FAILED, m.MemberState.GONE, m.MemberState.SKIPPED}
    assert found is (state if state in ended else m.MemberState.GONE)
    found = judge(batch, (READY,), terms, NOW, {}).batch.members[0].state
    assert found is (state if state in ended else m.MemberState.STARTED)


@pytest.mark.parametrize("state", list(GateState))
def test_a_gate_that_a_person_or_the_world_opens_is_a_pause(state: GateState) -> None:
    """Suspects, a worse or too small group, a hook that says no or cannot tell, an approval; an observation ends by itself."""
    pauses = {
        GateState.INCONCLUSIVE, GateState.WORSE, GateState.TOO_FEW, GateState.FAILED, GateState.DOUBTFUL, GateState.UNAPPROVED,
    }  # fmt: skip
    assert (Course(stop=None, gate=Gate(state=state)).phase is Phase.PAUSED) is (state in pauses)


def test_the_terms_of_a_set_are_in_nanoseconds() -> None:
    """Of its revision, and of whom to spare."""
    terms = Terms.of(mcs(min_ready_seconds=10, progress_deadline_seconds=60), 3, frozenset({"uid-n1"}))
    assert (terms.min_ready_ns, terms.deadline_ns) == (10_000_000_000, 60_000_000_000)
    assert (terms.set_name, terms.revision, terms.spared) == (SET, 3, {"uid-n1"})


def test_nothing_is_counted_that_nobody_told() -> None:
    """A view and those held, by hand."""
    view_fields = attrs.asdict(TallyView(), recurse=False)
    numbers = {name: value for name, value in view_fields.items() if isinstance(value, int)}
    assert len(numbers) == 11
    assert set(numbers.values()) == {0}
    assert (Held().names, Held().count) == ((), 0)


def test_an_entry_of_no_batch_is_of_batch_0() -> None:
    """As of machines that join."""
    assert write(mcs(), seat("n1"), ONE).entry.batch == 0
    assert write(mcs(), seat("n1"), ONE, 7).entry.batch == 7
