"""Whose act is over: attempts and members, by every state they can be in."""

import pytest

from kubenode.core.model import (
    AttemptState,
    Batch,
    Cause,
    JobPhase,
    MachineComponentSet,
    MachineComponentSetSpec,
    MachineComponentSetStatus,
    Member,
    MemberState,
    ObjectMeta,
    Ref,
)
from kubenode.core.risk.asks import Ask, asks_of_job, asks_of_set, ended_of_job, ended_of_set
from tests.core.risk.builders import START
from tests.core.risk.test_asks import job


@pytest.mark.parametrize("phase", [*JobPhase])
@pytest.mark.parametrize("state", [*AttemptState])
def test_what_has_ended_asks_for_nothing(phase: JobPhase, state: AttemptState) -> None:
    """An attempt by its own end or by its episode's; and then it is told as ended."""
    over = phase in (JobPhase.SUCCEEDED, JobPhase.HANDED_OVER, JobPhase.CANCELLED)
    over = over or state in (AttemptState.SUCCEEDED, AttemptState.FAILED)
    one = job(state, phase=phase.value)
    asks = asks_of_job(one, "a", ("kubelet",))
    op_id = one.status.attempts[-1].op_id
    assert [each.waiting for each in asks] == ([] if over else [state is AttemptState.WAITING])
    assert (op_id in ended_of_job(one)) is over


@pytest.mark.parametrize("state", [*MemberState])
def test_a_member_that_has_ended_asks_for_nothing(state: MemberState) -> None:
    """And is told as ended."""
    over = state in (MemberState.UPDATED, MemberState.FAILED, MemberState.GONE, MemberState.SKIPPED)
    member = Member(name="n1", uid="uid-n1", op_id="op", state=state)
    batch = Batch(number=1, opened_at=START, members=(member,))
    mcs = MachineComponentSet(
        metadata=ObjectMeta(name="kubelets", uid="u"),
        spec=MachineComponentSetSpec(name="kubelet", component="kubelet-1"),
        status=MachineComponentSetStatus(batch=batch),
    )
    asks = asks_of_set(mcs, lambda _: "a", lambda _: (), needs_permit=True)
    assert [each.waiting for each in asks] == ([] if over else [state is MemberState.WAITING])
    assert ended_of_set(mcs) == (frozenset({"op"}) if over else frozenset())


def test_an_ask_by_hand_is_the_first_of_its_age() -> None:
    """And waits, for no remedier, and brings nothing back."""
    one = Ask(op_id="op", machine=Ref(kind="Machine", name="m", uid="u"), cause=Cause.ROLLOUT)
    assert (one.order, one.waiting, one.remedier, one.rollback) == (0, True, "", False)
