"""One `decide` for all snapshots: who decides, what is said of wrong arguments, verdicts, and stamps by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.byhand import make_machine, make_node, make_tally
from kubenode.core.deciding import decide
from kubenode.core.decision import Create, Verdict
from kubenode.core.errors import InvalidObjectError
from kubenode.core.health.zones import ZoneTally
from kubenode.core.host.decide import HostSeen
from kubenode.core.host.decide import decide as decide_node
from kubenode.core.machine.decide import decide as decide_machine
from kubenode.core.machineset.decide import decide as decide_machineset
from kubenode.core.policy import BUILT_IN, HUNG_TASK, Policy
from kubenode.core.remedy.decide import decide as decide_remedy
from kubenode.core.remedy.repair import RepairSnapshot
from kubenode.core.remedy.repair import decide as decide_repair
from kubenode.core.risk.decide import decide as decide_fleet
from kubenode.core.rollout.decide import decide as decide_rollout
from kubenode.core.rollout.tally import Seat
from kubenode.core.snapshots import (
    FleetSnapshot,
    MachineSetSnapshot,
    MachineSnapshot,
    NodeSnapshot,
    RemedySnapshot,
    RolloutSnapshot,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLICY = Policy.default()
NODE = make_node("n7", zone="b")
MACHINE = make_machine(NODE, since=NOW)
SET = m.MachineComponentSet(
    metadata=m.ObjectMeta(name="kubelet", uid="u"),
    spec=m.MachineComponentSetSpec(name="kubelet", component="kubelet-1"),
)
GROUP = m.MachineSet(
    metadata=m.ObjectMeta(name="pool", uid="u"),
    spec=m.MachineSetSpec(
        replicas=1,
        selector=m.Selector(match_labels={"pool": "a"}),
        template=m.MachineTemplate(
            labels={"pool": "a"},
            spec=m.MachineTemplateSpec(infrastructure=m.Infrastructure(provider="memory")),
        ),
    ),
)
SNAPSHOTS: dict[str, tuple[Any, Any]] = {
    "machine": (MachineSnapshot(machine=MACHINE, node=NODE, now=NOW), decide_machine),
    "machineset": (MachineSetSnapshot(set=GROUP, now=NOW), decide_machineset),
    "rollout": (
        RolloutSnapshot(set=SET, component=None, tally=make_tally(SET, ()), now=NOW),
        decide_rollout,
    ),
    "node": (
        NodeSnapshot(machine=MACHINE, host=HostSeen(boot_id="b", node_name="n7", agent_version="1"), now=NOW),
        decide_node,
    ),
    "remedy": (RemedySnapshot(machine=MACHINE, node=NODE, now=NOW), decide_remedy),
    "repair": (RepairSnapshot(machine=MACHINE, node=NODE, now=NOW), decide_repair),
    "fleet": (FleetSnapshot(ledger=None, history=False, now=NOW), decide_fleet),
}


def hung(**changes: Any) -> m.NodeCondition:
    """Give the condition of a hung kernel."""
    return m.NodeCondition(type="KernelDeadlock", status=m.Switch.TRUE, reason="TaskHung", **changes)


def remedy(*conditions: m.NodeCondition, **changes: Any) -> RemedySnapshot:
    """Give a machine whose Node has these conditions, in a zone that is well."""
    node = make_node("n7", zone="b", conditions=conditions)
    fields: dict[str, Any] = {"zones": {"b": ZoneTally(nodes=10)}, "now": NOW, **changes}
    return RemedySnapshot(machine=make_machine(node, since=NOW), node=node, **fields)


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_the_type_of_the_snapshot_picks_the_decider(name: str) -> None:
    """It answers what that decider answers; only the verdict is filled in."""
    seen, decider = SNAPSHOTS[name]
    assert attrs.evolve(decide(seen, POLICY), moved=False) == decider(seen, POLICY)


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_a_snapshot_made_by_hand_takes_an_aware_datetime(name: str) -> None:
    """A naive one is refused, and so is what is no time at all."""
    seen, _ = SNAPSHOTS[name]
    assert seen.now.wall == NOW
    for wrong, said in (
        (NOW.replace(tzinfo=None), "now: 2026-03-02T09:00:00 has no time zone"),
        (1_772_442_000.0, "now: 1772442000.0 is no datetime"),
    ):
        with pytest.raises(InvalidObjectError) as caught:
            attrs.evolve(seen, now=wrong)
        assert str(caught.value) == f"{said}\n    fix: datetime.now(UTC)"


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (BUILT_IN, "policy: a value of type RiskPolicy is not a Policy; wrap it: Policy(risk=(policy,))"),
        (
            HUNG_TASK,
            "policy: a value of type NodeRemedier is not a Policy; wrap it: Policy(remediers=(policy,))",
        ),
        (
            {},
            "policy: a value of type dict is not a Policy; give Policy.default() or Policy.of(load(path))",
        ),
        (
            Policy,
            "policy: the class Policy is not a Policy; give Policy.default() or Policy.of(load(path))",
        ),
    ],
)
def test_what_is_no_policy_is_told_how_to_become_one(policy: Any, said: str) -> None:
    """Whichever snapshot it comes with."""
    for seen, _ in SNAPSHOTS.values():
        with pytest.raises(InvalidObjectError) as caught:
            decide(seen, policy)
        assert str(caught.value) == said


@pytest.mark.parametrize(
    ("seen", "what"), [(MACHINE, "a value of type Machine"), (RemedySnapshot, "the class RemedySnapshot")]
)
def test_what_is_no_snapshot_is_told_which_there_are(seen: Any, what: str) -> None:
    """An object is not a snapshot, nor is a class."""
    with pytest.raises(InvalidObjectError) as caught:
        decide(seen, POLICY)
    assert str(caught.value) == (
        f"seen: {what} is no snapshot; give one of FleetSnapshot, MachineSetSnapshot, MachineSnapshot, "
        "NodeSnapshot, RemedySnapshot, RolloutSnapshot"
    )


def test_a_verdict_is_act_defer_or_ignore() -> None:
    """ACT has effects, or records something new; DEFER would act but may not; IGNORE has nothing to do."""
    assert decide(remedy(), POLICY).verdict is Verdict.IGNORE
    assert decide(remedy(hung()), POLICY).verdict is Verdict.DEFER
    old = hung(last_transition_time=NOW - timedelta(minutes=5))
    assert decide(remedy(old), POLICY).verdict is Verdict.ACT
    opened = SNAPSHOTS["machineset"][0]
    assert decide(opened, POLICY).verdict is Verdict.ACT


def test_counts_and_conditions_alone_are_no_act() -> None:
    """A paused rollout that only says so is deferred, on the first look as on the next."""
    paused = attrs.evolve(
        SET,
        spec=attrs.evolve(SET.spec, rollout=m.Rollout(paused=True)),
        status=m.MachineComponentSetStatus(update=m.Revision(number=1, component="kubelet-1")),
    )
    machine = m.Ref(kind="Machine", name="n7", uid="uid-n7")
    component = m.MachineComponent(
        metadata=m.ObjectMeta(name="kubelet-1"),
        spec=m.MachineComponentSpec(version="1", driver="package", disruption=m.Disruption.RESTART),
    )
    seen = RolloutSnapshot(
        set=paused, component=component, now=NOW,
        tally=make_tally(paused, [Seat(machine=machine, available=True)]),
    )  # fmt: skip
    decision = decide(seen, POLICY)
    assert decision.status != paused.status
    assert decision.verdict is Verdict.DEFER
    going = attrs.evolve(paused, spec=SET.spec)
    decision = decide(attrs.evolve(seen, set=going), POLICY)
    assert (decision.effects, decision.moved, decision.verdict) == ((), True, Verdict.ACT)


def test_stamps_stand_in_for_sightings_when_now_is_a_datetime() -> None:
    """By exactly the rule's time, to the microsecond; and what was sighted counts before what is stamped."""
    for age, verdict in ((timedelta(seconds=90), Verdict.ACT), (timedelta(seconds=89), Verdict.DEFER)):
        seen = remedy(hung(last_transition_time=NOW - age))
        assert decide(seen, POLICY).verdict is verdict, age
    late = remedy(hung(last_transition_time=NOW - timedelta(seconds=89, microseconds=999_999)))
    assert decide(late, POLICY).verdict is Verdict.DEFER
    key = "hung-task:uid-n7:KernelDeadlock:True"
    sighted = remedy(
        hung(last_transition_time=NOW - timedelta(hours=1)), sightings={key: m.Now.at(NOW).elapsed}
    )
    assert decide(sighted, POLICY).verdict is Verdict.DEFER


def test_stamps_never_count_on_the_clocks_of_a_process() -> None:
    """The engine counts from what it saw itself, whatever is written in objects."""
    seen = remedy(
        hung(last_transition_time=NOW - timedelta(hours=1)), now=m.Now(wall=NOW, elapsed=12 * 3600 * 10**9)
    )
    assert decide(seen, POLICY).verdict is Verdict.DEFER


@pytest.mark.parametrize(
    ("state", "age", "verdict"),
    [
        (m.AttemptState.ACTING, timedelta(minutes=9), ""),
        (m.AttemptState.ACTING, timedelta(minutes=10), "the agent did not answer within 600 s"),
        (m.AttemptState.VERIFYING, timedelta(minutes=9), ""),
        (m.AttemptState.VERIFYING, timedelta(minutes=10), "not clear and Ready within 600 s"),
    ],
)
def test_an_attempt_runs_since_its_stamp(state: m.AttemptState, age: timedelta, verdict: str) -> None:
    """Its time limits are counted from when it entered its state."""
    attempt = m.Attempt(number=1, rung=0, action="reboot", op_id="op", state=state, since=NOW - age)
    seen = with_job(attempt, hung())
    decision = decide(seen, POLICY)
    assert decision.status is not None
    assert decision.status.attempts[-1].verdict == verdict


@pytest.mark.parametrize(
    ("state", "phase"), [(m.AttemptState.VERIFYING, "Succeeded"), (m.AttemptState.WAITING, "Cancelled")]
)
def test_a_node_is_clear_since_the_last_stamp_of_ready_and_cause(state: m.AttemptState, phase: str) -> None:
    """It is well when both are, and both have to say since when."""
    for ready, cause, ended in (
        (70, 60, True),
        (60, 70, True),
        (59, 70, False),
        (70, 59, False),
        (None, 70, False),
    ):
        attempt = m.Attempt(
            number=1, rung=0, action="reboot", op_id="op", state=state, since=NOW - timedelta(minutes=5)
        )
        well = attrs.evolve(hung(last_transition_time=NOW - timedelta(seconds=cause)), status=m.Switch.FALSE)
        seen = with_job(attempt, well)
        assert seen.node is not None
        stamp = None if ready is None else NOW - timedelta(seconds=ready)
        conditions = (
            attrs.evolve(seen.node.status.conditions[0], last_transition_time=stamp),
            *seen.node.status.conditions[1:],
        )
        node = attrs.evolve(seen.node, status=m.NodeStatus(conditions=conditions))
        decision = decide(attrs.evolve(seen, node=node), POLICY)
        assert decision.status is not None
        assert (decision.status.phase == phase) is ended, (ready, cause)


def with_job(attempt: m.Attempt, condition: m.NodeCondition) -> RemedySnapshot:
    """Give a machine with an open episode whose one attempt is in this state, permitted and written."""
    seen = remedy(condition)
    operation = m.Operation(
        op_id="op", job="j", attempt=1, action="reboot", steps=(m.OperationStep(action=m.StepAction.REBOOT),)
    )
    machine = attrs.evolve(seen.machine, spec=attrs.evolve(seen.machine.spec, operation=operation))
    job = m.RemedyOperationJob(
        metadata=m.ObjectMeta(name="j", uid="uid-j"),
        spec=m.RemedyOperationJobSpec(
            machine=m.MachineRef(name="n7", uid=machine.metadata.uid), remedier="hung-task", episode=0,
            cause=m.EpisodeCause(type="KernelDeadlock"),
        ),
        status=m.RemedyOperationJobStatus(phase=attempt.state.value, attempts=(attempt,)),
    )  # fmt: skip
    steps = {("hung-task", 0): operation.steps}
    return attrs.evolve(seen, machine=machine, jobs=(job,), steps=steps)


def test_a_closed_batch_is_observed_since_its_stamp() -> None:
    """The observation ends when it has lasted, not when somebody first looks."""
    member = m.Member(name="n7", uid="uid-n7", op_id="op", state=m.MemberState.UPDATED)
    for age, verdict in ((timedelta(minutes=5), Verdict.ACT), (timedelta(minutes=4), Verdict.DEFER)):
        batch = m.Batch(number=1, opened_at=NOW - timedelta(hours=1), closed_at=NOW - age, members=(member,))
        owner = attrs.evolve(
            SET,
            spec=attrs.evolve(SET.spec, rollout=m.Rollout(observation=timedelta(minutes=5))),
            status=m.MachineComponentSetStatus(
                update=m.Revision(number=1, component="kubelet-1"), batch=batch
            ),
        )
        seat = Seat(machine=m.Ref(kind="Machine", name="n7", uid="uid-n7"), available=True)
        seen = RolloutSnapshot(
            set=owner, component=None, tally=make_tally(owner, ()), members=(seat,), now=NOW
        )
        assert decide(seen, POLICY).verdict is verdict, age


def test_a_policy_is_made_of_objects() -> None:
    """In any order; what is no part of one, or there twice, is told at once."""
    assert Policy.of([BUILT_IN, HUNG_TASK]) == Policy.default()
    with pytest.raises(InvalidObjectError) as caught:
        Policy.of([BUILT_IN, MACHINE, BUILT_IN])
    assert [problem.where for problem in caught.value.problems] == ["Machine n7", "RiskPolicy built-in"]
    assert "fix: leave it out" in str(caught.value)


def test_the_default_policy_heals_within_the_built_in_limits() -> None:
    """It is shown whole, and binds as an empty one does."""
    assert Policy.default().limits == Policy().limits == (BUILT_IN,)
    (effect,) = decide(remedy(hung(last_transition_time=NOW - timedelta(minutes=2))), POLICY).effects
    assert isinstance(effect, Create)
