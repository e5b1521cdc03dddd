"""Who asks, who holds and what has ended, read from sets and jobs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.identity import deletion_op_id, op_id
from kubenode.core.model import (
    Attempt,
    AttemptState,
    Batch,
    Cause,
    ComponentEntry,
    ComponentReport,
    EpisodeCause,
    MachineComponentSet,
    MachineComponentSetSpec,
    MachineComponentSetStatus,
    MachineRef,
    Member,
    MemberState,
    ObjectMeta,
    Ref,
    RemedyOperationJob,
    RemedyOperationJobSpec,
    RemedyOperationJobStatus,
    Revision,
    Rollout,
)
from kubenode.core.model.meta import FORCED
from kubenode.core.model.remedy import WITHDRAWN
from kubenode.core.risk.asks import (
    Ask,
    act_of_entry,
    ask_of_deletion,
    asks_of_job,
    asks_of_set,
    ended_of_job,
    ended_of_set,
    in_order,
)
from kubenode.core.risk.success import outcomes_of_job
from tests.core.risk.builders import START, ask

OVER = {MemberState.UPDATED, MemberState.FAILED, MemberState.GONE}


def mcs(
    *states: MemberState, paused: bool = False, phase: str = "Progressing", unknown: tuple[str, ...] = ()
) -> MachineComponentSet:
    """Make a set whose open batch has members in these states."""
    members = tuple(
        Member(name=f"m{i}", uid=f"u{i}", op_id=f"op{i}", state=state) for i, state in enumerate(states)
    )
    batch = Batch(number=1, opened_at=START, members=members)
    return MachineComponentSet(
        metadata=ObjectMeta(name="kubelet", unknown=unknown),
        spec=MachineComponentSetSpec(name="kubelet", component="kubelet-1", rollout=Rollout(paused=paused)),
        status=MachineComponentSetStatus(phase=phase, batch=batch),
    )


def asked(subject: MachineComponentSet, **more: Any) -> tuple[Ask, ...]:
    """Ask with every machine in zone b and in set cni beside its own."""
    return asks_of_set(subject, lambda _: "b", lambda _: ("cni",), **{"needs_permit": True, **more})


def job(*states: AttemptState, phase: str = "Acting", unknown: tuple[str, ...] = ()) -> RemedyOperationJob:
    """Make a job whose attempts are in these states."""
    attempts = tuple(
        Attempt(
            number=i + 1,
            rung=i,
            action="reboot",
            op_id=f"op{i}",
            state=state,
            since=START + timedelta(minutes=i),
        )
        for i, state in enumerate(states)
    )
    machine = MachineRef(name="m", uid="u")
    return RemedyOperationJob(
        metadata=ObjectMeta(name="j", unknown=unknown),
        spec=RemedyOperationJobSpec(
            machine=machine, remedier="r", episode=0, cause=EpisodeCause(type="KernelHung")
        ),
        status=RemedyOperationJobStatus(phase=phase, attempts=attempts),
    )


def test_members_ask_hold_or_have_ended() -> None:
    """A waiting member asks, a started one holds, the others have ended; all sets of the machine are named."""
    subject = mcs(*MemberState)
    waiting, started = asked(subject)
    assert waiting == Ask(
        op_id="op0", machine=Ref(kind="Machine", name="m0", uid="u0"), cause=Cause.ROLLOUT, zone="b", since=START,
        sets=("cni", "kubelet"), order=0, by="rollout of kubelet",
    )  # fmt: skip
    assert (started.op_id, started.order, started.waiting) == ("op1", 1, False)
    assert ended_of_set(subject) == {"op2", "op3", "op4", "op5"}


def test_what_asks_says_for_what() -> None:
    """A set the revision it brings, or brings back; an episode its rung; a machine that is to end that it is."""
    subject, second = mcs(MemberState.WAITING), Revision(number=2, component="kubelet-2")
    for current, what in ((None, "rollout"), (Revision(number=1, component="kubelet-2"), "rollback")):
        status = attrs.evolve(subject.status, update=second, current=current)
        (one,) = asked(attrs.evolve(subject, status=status))
        assert one.by == f"{what} of kubelet revision 2: kubelet-2"
    (one,) = asks_of_job(job(AttemptState.WAITING), "b", ())
    assert one.by == "reboot for KernelHung, job j attempt 1"
    leaver = m.Machine(metadata=ObjectMeta(name="m", uid="u"), spec=m.MachineSpec(host=m.Host(address="10.0.0.1")))  # fmt: skip
    assert ask_of_deletion(leaver, "a", begun=False).by == "deletion of the machine"


@pytest.mark.parametrize("held_back", [{"paused": True}, {"phase": "Paused"}, {"unknown": ("spec.new",)}])
def test_paused_rollout_asks_for_nothing_and_keeps_what_runs(held_back: dict[str, Any]) -> None:
    """Paused by its spec, by its own finding or by a newer version: nobody new, but who has started holds."""
    found = asked(mcs(MemberState.WAITING, MemberState.STARTED, **held_back))
    assert [(each.op_id, each.waiting) for each in found] == [("op1", False)]


def test_no_batch_or_no_disruption_asks_for_nothing() -> None:
    """Without an open batch, or where the component disrupts nothing, no permit is wanted."""
    subject = mcs(MemberState.WAITING)
    assert asked(subject, needs_permit=False) == ()
    idle = attrs.evolve(subject, status=MachineComponentSetStatus())
    assert (asked(idle), ended_of_set(idle)) == ((), frozenset())


@pytest.mark.parametrize(
    ("states", "phase", "asks", "ended"),
    [
        ([], "", [], set()),
        ([AttemptState.WAITING], "", [("op0", True)], set()),
        ([AttemptState.WAITING], "Waiting", [("op0", True)], set()),
        ([AttemptState.ACTING], "Acting", [("op0", False)], set()),
        ([AttemptState.VERIFYING], "Verifying", [("op0", False)], set()),
        ([AttemptState.FAILED, AttemptState.WAITING], "Waiting", [("op1", True)], {"op0"}),
        ([AttemptState.FAILED], "Acting", [], {"op0"}),
        ([AttemptState.SUCCEEDED], "Succeeded", [], {"op0"}),
        ([AttemptState.FAILED, AttemptState.ACTING], "HandedOver", [], {"op0", "op1"}),
        ([AttemptState.WAITING], "Cancelled", [], {"op0"}),
        ([AttemptState.WAITING], "Pondering", [("op0", False)], set()),
        ([AttemptState.ACTING], "Pondering", [("op0", False)], set()),
    ],
)  # fmt: skip
def test_last_attempt_speaks_for_a_job(
    states: list[AttemptState], phase: str, asks: list[tuple[str, bool]], ended: set[str]
) -> None:
    """The last attempt asks or holds; a closed job has ended; an unknown phase keeps and asks for nothing."""
    subject = job(*states, phase=phase)
    found = asks_of_job(subject, "b", ("kubelet", "cni"))
    assert [(each.op_id, each.waiting) for each in found] == asks
    assert all(
        (each.cause, each.zone, each.sets) == (Cause.REMEDY, "b", ("cni", "kubelet")) for each in found
    )
    assert ended_of_job(subject) == ended


def test_job_of_a_newer_version_keeps_what_it_has() -> None:
    """A job that says what this version does not know asks for nothing new."""
    (found,) = asks_of_job(job(AttemptState.WAITING, phase="Waiting", unknown=("status.new",)), "b", ())
    assert not found.waiting


def test_order_of_service() -> None:
    """Remedies before rollouts, then the oldest, then the given order, then the op-id; no age is last."""
    later = START + timedelta(seconds=1)
    expected = [
        ask("r-old", cause=Cause.REMEDY, since=START),
        ask("r-new", cause=Cause.REMEDY, since=later),
        ask("a", since=START, order=0),
        ask("b", since=START, order=0),
        ask("A", since=START, order=1),
        ask("z-naive", since=later.replace(tzinfo=None)),
        ask("ageless", since=None),
    ]
    assert list(in_order(reversed(expected))) == expected


@given(
    order=st.permutations(
        [ask("x"), ask("x", waiting=False), ask("x", "other"), ask("y"), ask("y", cause=Cause.REMEDY)]
    )
)
def test_one_ask_for_each_op_id(order: list[Ask]) -> None:
    """An op-id asks once; where records differ, one that holds outdoes one that waits, in any order of reading."""
    assert [(each.op_id, each.waiting, each.cause) for each in in_order(order)] == [
        ("y", True, Cause.REMEDY),
        ("x", False, Cause.ROLLOUT),
    ]


# --- forced, withdrawn, back, and what an entry tells ---------------------------------------------


def test_a_job_that_a_person_forces_is_asked_for_by_a_human() -> None:
    """The annotation makes it so, whatever it says; the remedier stays its own."""
    plain = job(AttemptState.WAITING)
    forced = attrs.evolve(plain, metadata=attrs.evolve(plain.metadata, annotations={FORCED: ""}))
    for one, cause in ((plain, Cause.REMEDY), (forced, Cause.HUMAN)):
        (found,) = asks_of_job(one, "b", (), "eu")
        assert (found.cause, found.remedier, found.region) == (cause, one.spec.remedier, "eu")


def test_a_job_of_drift_asks_as_drift_and_has_to_prove_itself() -> None:
    """Its place in the order is drift's; its outcomes are its component's own and nobody else's; a person may force it."""
    made = job(AttemptState.SUCCEEDED, AttemptState.WAITING)
    made = attrs.evolve(made, spec=attrs.evolve(made.spec, remedier="", component="net"))
    (found,) = asks_of_job(made, "b", ())
    assert (found.cause, found.remedier, found.waiting) == (Cause.DRIFT, "drift/net", True)
    assert [one.remedier for one in outcomes_of_job(made)] == ["drift/net"]
    forced = attrs.evolve(made, metadata=attrs.evolve(made.metadata, annotations={FORCED: ""}))
    assert [one.cause for one in asks_of_job(forced, "b", ())] == [Cause.HUMAN]


def test_what_was_withdrawn_is_no_outcome() -> None:
    """Nothing was done, so it neither helped nor failed: it shuts no gate and narrows nobody."""
    made = job(AttemptState.FAILED, AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.WAITING)
    first = attrs.evolve(made.status.attempts[0], verdict=f"{WITHDRAWN}zone b is down")
    status = attrs.evolve(made.status, attempts=(first, *made.status.attempts[1:]))
    found = outcomes_of_job(attrs.evolve(made, status=status))
    assert [(one.succeeded, one.remedier) for one in found] == [(True, "r"), (False, "r")]


@pytest.mark.parametrize(
    ("current", "update", "back"),
    [
        (None, (1, "a"), False),
        ((1, "a"), None, False),
        ((1, "a"), (2, "b"), False),
        ((1, "a"), (3, "a"), True),
        ((3, "a"), (3, "a"), False),
        ((2, "b"), (3, "a"), False),
    ],
)
def test_a_rollback_brings_back_what_was_last_complete(
    current: tuple[int, str] | None, update: tuple[int, str] | None, back: bool
) -> None:
    """Not the first revision, not one further back, not the one that is complete."""
    made = mcs(MemberState.WAITING)
    status = attrs.evolve(
        made.status,
        current=None if current is None else Revision(number=current[0], component=current[1]),
        update=None if update is None else Revision(number=update[0], component=update[1]),
    )
    (found,) = asked(attrs.evolve(made, status=status))
    assert found.rollback is back


MACHINE = Ref(kind="Machine", name="m0", uid="u0")
ENTRY = ComponentEntry(set="kubelet", component="kubelet-1", revision="3")


@pytest.mark.parametrize(
    ("entry", "report", "acting"),
    [
        (None, None, False),
        (attrs.evolve(ENTRY, set="other"), None, False),
        (ENTRY, None, True),
        (ENTRY, ComponentReport(revision="2"), True),
        (ENTRY, ComponentReport(revision="3"), False),
        (ENTRY, ComponentReport(revision="3", reason="Digest"), False),
    ],
)
def test_an_act_may_still_run_until_its_agent_has_reported_on_the_entry(
    entry: ComponentEntry | None, report: ComponentReport | None, acting: bool
) -> None:
    """Done or failed; and its op-id is the one under which the set asked."""
    made = attrs.evolve(mcs(), metadata=ObjectMeta(name="kubelet", uid="S"))
    update = Revision(number=3, component="kubelet-1")
    made = attrs.evolve(made, status=attrs.evolve(made.status, update=update))
    expected = op_id("rollout", "S", 3, "u0") if acting else ""
    assert act_of_entry(made, MACHINE, entry, report) == expected


@pytest.mark.parametrize("update", [None, Revision(number=4, component="kubelet-0")])
def test_a_set_that_goes_on_to_another_revision_lets_the_act_go(update: Revision | None) -> None:
    """Its next revision asks for the same machine; were it kept, setting the component back could never begin."""
    made = attrs.evolve(mcs(), metadata=ObjectMeta(name="kubelet", uid="S"))
    made = attrs.evolve(made, status=attrs.evolve(made.status, update=update))
    assert act_of_entry(made, MACHINE, ENTRY, None) == ""


@pytest.mark.parametrize("begun", [False, True])
def test_a_machine_that_is_to_end_asks(begun: bool) -> None:
    """Since its deletion was asked for, with the rollouts; it holds as soon as its Node is being drained."""
    when = datetime(2026, 7, 1, tzinfo=UTC)
    one = m.Machine(
        metadata=m.ObjectMeta(name="n7", uid="uid-n7", deletion_timestamp=when), spec=m.MachineSpec(host=m.Host(address="h"))
    )  # fmt: skip
    found = ask_of_deletion(one, "b", "eu", begun=begun)
    assert (found.op_id, found.machine) == (deletion_op_id("uid-n7"), m.ref(one))
    assert (found.cause, found.since, found.waiting) == (m.Cause.ROLLOUT, when, not begun)
    assert found.scopes == ("cluster", "region=eu", "zone=b")
