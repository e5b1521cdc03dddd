"""The rung `replace`: the Machine is deleted, once its Node is drained, under the permit of its deletion; or it is a human's turn."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Delete, SetOperation
from kubenode.core.identity import deletion_op_id
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import Policy
from kubenode.core.remedy.abandoned import GRACE, AbandonedSnapshot
from kubenode.core.remedy.abandoned import decide as decide_abandoned
from kubenode.core.remedy.episode import advance
from kubenode.core.remedy.replace import irreplaceable, is_replacing
from kubenode.core.step import ReplaceMachine
from tests.core.remedy.test_moves import ACTING, AT, FAILED, NOW, STOP, WAITING, case, job
from tests.core.remedy.world import SECOND, START, World, machine, node, remedier

PERMIT = deletion_op_id("uid-n7")
RULE = remedier(ladder=(m.Rung(action="replace", timeout=timedelta(seconds=40)),))
OWNER = m.SetRef(name="workers", uid="uid-workers")
MADE = m.InstanceStatus(step=m.InstanceStep.MADE, provider="cloud", attempt=1, token="t-1", id="i-1")


def made(**spec: Any) -> m.Machine:
    """A machine that a set has made, on a cloud."""
    one = machine()
    cloud = m.Infrastructure(provider="cloud")
    given = {"host": None, "infrastructure": cloud, "set_ref": OWNER, **spec}
    return attrs.evolve(
        one, spec=attrs.evolve(one.spec, **given), status=attrs.evolve(one.status, instance=MADE)
    )


def acting(**changes: Any) -> Any:
    """The permit is there."""
    one = m.Attempt(
        number=1, rung=0, action="replace", op_id=PERMIT, state=ACTING, since=START, verdict="permitted"
    )
    given = {
        "machine": made(), "remedier": RULE, "holds": frozenset({PERMIT}), "planned": {0: ReplaceMachine()},
        "drains": frozenset({"replace"}), **changes,
    }  # fmt: skip
    if "state" in given:
        drained = m.DrainRecord(op_id=PERMIT, state=given.pop("state"))
        status = attrs.evolve(given["machine"].status, drain=drained)
        given["machine"] = attrs.evolve(given["machine"], status=status)
    return case(job(one, phase="Acting"), **given)


def last(answer: Any) -> tuple[m.AttemptState, str]:
    """How far the attempt is, and why."""
    attempt = answer.status.attempts[-1]
    return attempt.state, attempt.verdict


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (made(), ""),
        (made(deletion_policy=m.DeletionPolicy.TERMINATE), ""),
        (machine(), "NotReplaceable: its host was there before it, and nothing here can make another"),
        (machine(set_ref=OWNER, deletion_policy=m.DeletionPolicy.TERMINATE), "NotReplaceable: its host was there before it, and nothing here can make another"),
        (made(set_ref=None), "NotReplaceable: it belongs to no MachineSet, so nothing would make another"),
        (made(deletion_policy=m.DeletionPolicy.RELEASE), "NotReplaceable: its deletionPolicy is Release, so its instance would stay"),
    ],
)  # fmt: skip
def test_only_what_its_set_would_make_anew_is_replaced(one: m.Machine, why: str) -> None:
    """Every other machine is handed to a human, with the reason, and no permit is asked for."""
    assert irreplaceable(one) == why
    answer = advance(case(job(), machine=one, remedier=RULE, planned={0: ReplaceMachine()}))
    assert answer.status is not None
    assert answer.effects == ()
    if why:
        assert (answer.status.phase, answer.status.attempts) == ("HandedOver", ())
        [said] = answer.status.conditions
        assert (said.type, said.reason, said.message) == ("Closed", "HandedOver", f"{why}: a human's turn")
    else:
        [begun] = answer.status.attempts
        assert (begun.action, begun.op_id, begun.state) == ("replace", PERMIT, WAITING)


def test_a_machine_that_leaves_its_set_meanwhile_is_not_deleted() -> None:
    """It is looked at once more before the one act that cannot be taken back."""
    why = "withdrawn: NotReplaceable: it belongs to no MachineSet, so nothing would make another"
    answer = advance(acting(machine=made(set_ref=None), state=m.DrainState.DRAINED))
    assert (last(answer), answer.effects) == ((FAILED, why), ())


@pytest.mark.parametrize("state", list(m.DrainState))
def test_the_node_is_drained_first(state: m.DrainState) -> None:
    """For the op-id of the deletion; a drain that was given up ends the rung, and nothing is deleted."""
    answer = advance(acting(state=state))
    if state in (m.DrainState.DRAINED, m.DrainState.FORCED):
        assert answer.effects == (Delete(object=m.Ref(kind="Machine", name="n7", uid="uid-n7")),)
        assert (answer.status, answer.deferred) == (acting().job.status, False)
        assert answer.deadlines == (AT + 40 * SECOND,)
    else:
        assert answer.effects == ()
    assert (last(answer)[0] is FAILED) is (state is m.DrainState.GIVEN_UP)


def test_without_its_permit_nothing_is_deleted() -> None:
    """Somebody took it out of the ledger; then it could not be begun in time."""
    answer = advance(acting(holds=frozenset(), drains=frozenset()))
    assert (answer.effects, answer.deferred) == ((), True)
    assert [(note.code, note.text) for note in answer.notes] == [
        ("NoPermit", "the permit of replace is not in the ledger")
    ]
    for before, ends in ((40, True), (39, False)):
        sightings = {f"acting:{PERMIT}": AT - before * SECOND}
        late = advance(acting(holds=frozenset(), drains=frozenset(), sightings=sightings))
        assert (last(late) == (FAILED, "withdrawn: could not be begun within 40 s")) is ends


@pytest.mark.parametrize(
    "change", [{"stop": STOP}, {"clear": True}, {"halted": "a dry run"}, {"remedier": None}]
)
def test_it_is_thought_over_once_more(change: dict[str, Any]) -> None:
    """A machine that is well by now is kept."""
    answer = advance(acting(state=m.DrainState.DRAINED, **change))
    assert answer.effects == ()
    assert answer.status.attempts[-1].withdrawn


def replaced() -> World:
    """The machine after its deletion was asked for."""
    world = World(machine=made(), policy=Policy(remediers=(RULE,)))
    world.run(30)
    assert world.machine.metadata.deletion_timestamp is not None
    return world


def test_the_episode_waits_for_the_end_of_its_machine_and_keeps_the_permit() -> None:
    """Which is the deletion's; no operation is written, and nothing has a time limit any more."""
    world = replaced()
    assert (world.attempts, world.holds, world.written) == ([("replace", "Acting")], {PERMIT}, [])
    decision = world.decide()
    assert (decision.effects, decision.wake_at, decision.deferred) == ((), None, True)
    assert [note.code for note in decision.notes] == ["Replacing"]
    assert decision.status == world.job.status
    world.node = None  # it goes before its Machine does
    assert world.decide().status == world.job.status
    assert not any(isinstance(one, SetOperation) for one in decision.effects)


def test_it_has_succeeded_when_the_machine_is_gone() -> None:
    """Api.md: an episode ends when the node uid is gone; what somebody else deletes is cancelled as before."""
    world = replaced()
    seen = AbandonedSnapshot(job=world.job, there=False, now=world.now)
    first = decide_abandoned(seen, Policy())
    assert first.wake_at == world.elapsed + nanoseconds(GRACE)
    due = attrs.evolve(seen, sightings=first.sightings, now=world.now.plus(GRACE))
    over = decide_abandoned(due, Policy()).status
    assert over is not None
    assert (over.phase, over.attempts[-1].state) == ("Succeeded", m.AttemptState.SUCCEEDED)
    assert over.attempts[-1].verdict == "replaced: machine n7 (uid-n7) is gone"
    assert over.conditions[0].message == "replaced: machine n7 (uid-n7) is gone"


def test_what_somebody_else_deletes_is_no_replacement() -> None:
    """Neither before the attempt acts, nor under another op-id, nor without an attempt."""
    world = World(machine=made(), policy=Policy(remediers=(RULE,)), granting=False)
    world.run(30)
    assert world.attempts == [("replace", "Waiting")]
    assert not is_replacing(world.job)
    meta = attrs.evolve(world.machine.metadata, deletion_timestamp=NOW.wall)
    world.machine = attrs.evolve(world.machine, metadata=meta)
    world.settle()
    assert world.job.status.phase == "Cancelled"
    one = acting().job
    assert is_replacing(one)
    other = attrs.evolve(one.status.attempts[0], op_id="remedy-1")
    assert not is_replacing(attrs.evolve(one, status=attrs.evolve(one.status, attempts=(other,))))
    assert not is_replacing(attrs.evolve(one, status=attrs.evolve(one.status, attempts=())))


def test_a_node_that_is_well_again_is_not_replaced_while_it_waits() -> None:
    """It cancels itself, and its permit goes back."""
    world = World(machine=made(), policy=Policy(remediers=(RULE,)), granting=False)
    world.run(30)
    world.node = node(m.Switch.FALSE)
    world.granting = True
    world.run(30)
    assert (world.job.status.phase, world.holds) == ("Cancelled", set())
    assert world.machine.metadata.deletion_timestamp is None
