"""How large a batch is, and how much may be unavailable."""

from datetime import timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.identity import op_id
from kubenode.core.rollout.batch import batch_size, max_unavailable, next_batch, next_number
from kubenode.core.rollout.decide import needs_permit
from kubenode.core.rollout.hooks import NOTHING_ASKED, Findings
from kubenode.core.rollout.inspect import GateState, judge_gate, proves
from kubenode.core.rollout.revision import begun, excused, is_approved, joins, named_to_skip, write
from kubenode.core.rollout.tally import TallyView
from tests.core.rollout.world import START, component, entry, mcs, seat

P = m.IntOrPercent.parse


@pytest.mark.parametrize(
    ("sizes", "number", "total", "expected"),
    [
        ((1, 5, 10), 1, 200, 1),
        ((1, 5, 10), 3, 200, 10),
        ((1, 5, 10), 4, 200, 10),
        ((1, 5, 10), 1_000_000, 200, 10),
        (("1%",), 1, 1, 1),
        (("1%",), 1, 101, 2),
        (("10%",), 1, 25, 3),
        (("100%",), 1, 200, 200),
        (("100%",), 1, 10_000, 500),
        ((10**9,), 1, 3, 500),
        (("50%",), 1, 0, 1),
        ((0,), 1, 10, 1),
        ((), 3, 10, 1),
    ],
)
def test_batch_size(sizes: tuple[int | str, ...], number: int, total: int, expected: int) -> None:
    """The last size repeats, percentages round up, and every size is from 1 to the limit."""
    assert batch_size([P(size) for size in sizes], number, total) == expected


@pytest.mark.parametrize(
    ("amount", "up", "expected"),
    [
        (1, 200, 1),
        (0, 200, 1),
        (7, 3, 7),
        ("10%", 25, 2),
        ("10%", 9, 1),
        ("1%", 3, 1),
        ("100%", 0, 1),
        ("50%", 5, 2),
    ],
)
def test_max_unavailable(amount: int | str, up: int, expected: int) -> None:
    """Percentages round down, but one machine may always be touched."""
    assert max_unavailable(mcs(max_unavailable=P(amount)), up) == expected


def test_members_are_the_first_candidates_and_their_op_ids_are_functions() -> None:
    """Whoever opens the batch computes the same members and op-ids."""
    update = m.Revision(number=4, component="kubelet-1")
    status = m.MachineComponentSetStatus(
        update=update, total=9, batches=(m.BatchRecord(number=1, size=1, updated=1, failed=0),), proven=1
    )
    batch = next_batch(mcs(batches=(P(1), P(2))), status, [seat("b"), seat("a"), seat("c")], m.Now.at(START))
    assert batch == m.Batch(
        number=2,
        opened_at=START,
        members=tuple(
            m.Member(name=name, uid=f"uid-{name}", op_id=op_id("rollout", "uid-set", 4, f"uid-{name}"))
            for name in "ba"
        ),
    )


def test_no_candidates_no_batch() -> None:
    """Without candidates or a revision nothing opens."""
    status = m.MachineComponentSetStatus()
    assert next_number(status) == 1
    assert next_batch(mcs(), status, [seat("a")], m.Now.at(START)) is None
    status = m.MachineComponentSetStatus(update=m.Revision(number=1, component="x"))
    assert next_batch(mcs(), status, [], m.Now.at(START)) is None


@pytest.mark.parametrize("disruption", list(m.Disruption))
def test_all_but_class_none_need_a_permit(disruption: m.Disruption) -> None:
    """Restart, drain and reboot are asked for."""
    assert needs_permit(component("x", disruption)) is (disruption is not m.Disruption.NONE)


def test_without_a_revision_nobody_joins() -> None:
    """A set that has no revision yet has nothing to give to a machine that joins."""
    joining = [seat("new", never_run=True)]
    assert joins(mcs(), m.MachineComponentSetStatus(), joining) == ()
    status = m.MachineComponentSetStatus(update=m.Revision(number=1, component="kubelet-1"))
    assert [effect.machine.name for effect in joins(mcs(), status, joining)] == ["new"]
    assert joins(mcs(), status, [seat("new", never_run=True, entry=entry(1, of="others"))]) == ()


def test_batches_are_numbered_on_from_the_last_that_is_kept() -> None:
    """Only the last records are kept, and the number does not start anew for that."""
    kept = (m.BatchRecord(number=40, size=1, updated=1, failed=0),)
    assert next_number(m.MachineComponentSetStatus(batches=kept)) == 41


def test_a_revision_is_numbered_above_the_last_and_above_every_entry() -> None:
    """The number only rises, whichever of status and entries was lost; the total is of the moment it begins."""
    owner = attrs.evolve(
        mcs("b"), status=m.MachineComponentSetStatus(update=m.Revision(number=4, component="a"), total=3)
    )
    for highest, number in ((0, 5), (4, 5), (9, 10)):
        status = begun(owner, TallyView(selected=7, highest=highest))
        assert (status.update, status.total) == (m.Revision(number=number, component="b"), 7)


def test_a_revision_begins_with_nothing_counted() -> None:
    """Failures, excuses and batches of the last revision are gone; what completed last stays."""
    first = m.Revision(number=1, component="kubelet-0")
    old = m.MachineComponentSetStatus(
        current=first,
        update=first,
        updated=4,
        failures=1,
        excused=1,
        failed=(m.Failure(name="n1", uid="u1", reason="PackageBroken"),),
        batches=(m.BatchRecord(number=1, size=1, updated=0, failed=1),),
    )
    old = attrs.evolve(old, skipped=2, proven=1)
    status = begun(attrs.evolve(mcs(), status=old), TallyView(selected=5, highest=1))
    second = m.Revision(number=2, component="kubelet-1")
    expected = m.MachineComponentSetStatus(current=first, update=second, revisions=(first, second), total=5)
    assert status == expected


def test_the_last_ten_revisions_are_remembered() -> None:
    """Whatever is asked for, the history stays bounded and ends with the update revision."""
    owner = mcs()
    for number in range(1, 14):
        owner = attrs.evolve(mcs(f"kubelet-{number}"), status=begun(owner, TallyView()))
        assert owner.status.revisions[-1] == owner.status.update
    assert [one.number for one in owner.status.revisions] == list(range(4, 14))


@pytest.mark.parametrize(
    ("ends", "proves_it"),
    [
        ([(True, m.MemberState.UPDATED)], True),
        ([(False, m.MemberState.UPDATED), (True, m.MemberState.UPDATED)], True),
        ([(False, m.MemberState.UPDATED)], False),
        ([(False, m.MemberState.UPDATED), (True, m.MemberState.FAILED)], False),
        ([(False, m.MemberState.UPDATED), (True, m.MemberState.GONE)], False),
        ([(True, m.MemberState.SKIPPED)], False),
        ([], False),
    ],
)
def test_only_an_updated_machine_that_was_available_is_proof(
    ends: list[tuple[bool, m.MemberState]], proves_it: bool
) -> None:
    """A machine that was down already, failed, is gone or was skipped says nothing good of the revision."""
    members = tuple(
        m.Member(name=f"n{i}", uid=f"u{i}", op_id=f"o{i}", healthy=healthy, state=state)
        for i, (healthy, state) in enumerate(ends)
    )
    assert proves(m.Batch(number=1, opened_at=START, members=members)) is proves_it


def test_members_record_whether_they_were_available() -> None:
    """What proof a batch can give is fixed when it opens."""
    status = m.MachineComponentSetStatus(update=m.Revision(number=1, component="x"), total=2)
    owner = mcs(batches=(P(2),))
    batch = next_batch(owner, status, [seat("down", available=False), seat("up")], m.Now.at(START))
    assert batch is not None
    assert [member.healthy for member in batch.members] == [False, True]


@pytest.mark.parametrize(
    ("approval", "approve", "expected"),
    [
        (m.Approval.AUTOMATIC, None, True),
        (m.Approval.MANUAL, None, False),
        (m.Approval.MANUAL, m.Approve(revision="2", batch=2), False),
        (m.Approval.MANUAL, m.Approve(revision="2", batch=3), True),
        (m.Approval.MANUAL, m.Approve(revision="2", batch=9), True),
        (m.Approval.MANUAL, m.Approve(revision="1", batch=9), False),
    ],
)
def test_approval_names_revision_and_batch(
    approval: m.Approval, approve: m.Approve | None, expected: bool
) -> None:
    """A word for a batch covers those before it, and no other revision."""
    assert is_approved(mcs(approval=approval, approve=approve), 2, 3) is expected


@pytest.mark.parametrize(("revision", "expected"), [("2", {"a", "b"}), ("1", set())])
def test_skip_names_a_revision(revision: str, expected: set[str]) -> None:
    """An old word skips nobody."""
    status = m.MachineComponentSetStatus(update=m.Revision(number=2, component="x"))
    skip = m.Skip(revision=revision, machines=("b", "a"))
    assert named_to_skip(attrs.evolve(mcs(skip=skip), status=status)) == expected
    assert named_to_skip(mcs(skip=skip)) == set()


@pytest.mark.parametrize("state", list(m.Running))
def test_an_entry_bears_the_state_that_the_set_wants(state: m.Running) -> None:
    """The running state is written with the component."""
    owner = attrs.evolve(mcs(), spec=attrs.evolve(mcs().spec, state=state))
    effect = write(owner, seat("a"), m.Revision(number=2, component="kubelet-1"), 3)
    assert effect.entry == attrs.evolve(entry(2, batch=3), state=state)


def test_no_more_is_excused_than_failed() -> None:
    """A generous word excuses what failed so far and is counted as that much."""
    update = m.Revision(number=2, component="kubelet-1")
    owner = mcs(excuse=m.Excuse(revision="2", failures=9))
    assert excused(owner, m.MachineComponentSetStatus(update=update, failures=3)) == 3


def test_only_updated_members_are_inspected() -> None:
    """A failed machine that is not available says nothing new; an updated one makes the gate inconclusive."""
    states = {"bad": m.MemberState.FAILED, "good": m.MemberState.UPDATED}
    members = tuple(
        m.Member(name=name, uid=f"uid-{name}", op_id=name, state=state) for name, state in states.items()
    )
    batch, now = m.Batch(number=1, opened_at=START, members=members), m.Now.at(START)
    gate = judge_gate(batch, [seat("bad", available=False), seat("good")], timedelta(0), now, None)
    assert (gate.state, gate.suspects) == (GateState.PASSED, ())
    gate = judge_gate(batch, [seat("bad"), seat("good", available=False)], timedelta(0), now, None)
    assert (gate.state, gate.suspects) == (GateState.INCONCLUSIVE, ("good",))


@pytest.mark.parametrize(
    ("findings", "state", "ends"),
    [
        (NOTHING_ASKED, GateState.OBSERVING, True), (Findings(silent=("smoke",)), GateState.INSPECTING, True),
        (Findings(failed="no"), GateState.FAILED, False), (Findings(doubtful="?"), GateState.DOUBTFUL, False),
    ],
)  # fmt: skip
def test_the_end_of_the_observation_is_told_while_it_may_open_the_gate(
    findings: Findings, state: GateState, ends: bool
) -> None:
    """What a hook found does not pass with time, so nobody is woken for it."""
    member = m.Member(name="a", uid="uid-a", op_id="a", state=m.MemberState.UPDATED)
    batch, now = m.Batch(number=1, opened_at=START, members=(member,)), m.Now.at(START)
    minute = timedelta(minutes=1)
    gate = judge_gate(batch, [seat("a")], minute, now, None, findings=findings)
    assert gate.state is state
    assert gate.until == (now.plus(minute).elapsed if ends else None)
    over = judge_gate(batch, [seat("a")], minute, now.plus(minute), now.elapsed, findings=findings)
    assert over.until is None
