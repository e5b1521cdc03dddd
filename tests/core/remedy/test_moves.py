"""An episode, move by move: what comes next, what is noted, and what its state counts from."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Note, SetOperation
from kubenode.core.remedy.abandoned import GRACE
from kubenode.core.remedy.case import Answer, Case
from kubenode.core.remedy.episode import advance, leftover
from kubenode.core.remedy.ladder import MAX_ATTEMPTS, begun, closed, is_closed, moved, open_job
from kubenode.core.remedy.match import is_clear
from tests.core.remedy.world import HUNG, SECOND, START, STEPS, machine, node, remedier

T, F = m.Switch.TRUE, m.Switch.FALSE
WAITING, ACTING, VERIFYING, FAILED, SUCCEEDED = (
    m.AttemptState.WAITING, m.AttemptState.ACTING, m.AttemptState.VERIFYING, m.AttemptState.FAILED,
    m.AttemptState.SUCCEEDED,
)  # fmt: skip
AT = 1000 * SECOND
NOW = m.Now(wall=START + timedelta(seconds=1000), elapsed=AT)
STOP = Note(code="Frozen", text="cluster: frozen", scope="cluster", observed=0, limit=0)
PLANNED = {0: STEPS["restart-unit"], 1: STEPS["reboot"]}


def attempt(state: m.AttemptState, number: int = 1, rung: int = 0, **changes: Any) -> m.Attempt:
    """Give an attempt of the ladder of `remedier()`."""
    action = ("restart-unit", "reboot")[rung]
    return m.Attempt(
        number=number, rung=rung, action=action, op_id=f"op-{number}", state=state, since=START, **changes
    )


def job(*attempts: m.Attempt, **status: Any) -> m.RemedyOperationJob:
    """Give the open episode with these attempts."""
    return m.RemedyOperationJob(
        metadata=m.ObjectMeta(name="n7-job", uid="uid-job"),
        spec=m.RemedyOperationJobSpec(
            machine=m.MachineRef(name="n7", uid="uid-n7"), remedier="hung", episode=0, cause=m.EpisodeCause(type=HUNG)
        ),
        status=m.RemedyOperationJobStatus(**({"phase": "Waiting", "attempts": attempts} | status)),
    )  # fmt: skip


def case(one: m.RemedyOperationJob, **changes: Any) -> Case:
    """Give an episode on a Node that hangs, with nothing that stops it."""
    fields: dict[str, Any] = {
        "machine": machine(), "clear": False, "job": one, "remedier": remedier(), "stop": None, "worn": None,
        "planned": PLANNED, "holds": frozenset(), "jobs": (one,), "now": NOW, "sightings": {}, **changes,
    }  # fmt: skip
    return Case(**fields)


def told(answer: Answer) -> tuple[str, str, str, str]:
    """Give the phase, state and verdict of the last attempt, and the first note's code."""
    assert answer.status is not None
    last = answer.status.attempts[-1]
    return answer.status.phase, last.state.value, last.verdict, answer.notes[0].code


def answered(state: m.AnswerState | None, message: str = "", op_id: str = "op-1", **spec: Any) -> m.Machine:
    """Give the machine whose agent answers an operation."""
    one = machine(**spec)
    said = None if state is None else m.OperationAnswer(op_id=op_id, state=state, message=message)
    return attrs.evolve(
        one, status=attrs.evolve(one.status, agent=m.AgentStatus(node_name="node-7", operation=said))
    )


DRAINS = frozenset({"restart-unit"})


def drained(state: str, op_id: str = "op-1") -> m.Machine:
    """Give the machine whose Node is, or could not be, drained for an op-id."""
    one = machine()
    record = m.DrainRecord(op_id=op_id, state=m.DrainState(state))
    said = m.Condition(type="Drained", status=m.Switch.FALSE, reason="DrainTimedOut", message="by a budget", last_transition_time=NOW.wall)  # fmt: skip
    return attrs.evolve(one, status=attrs.evolve(one.status, drain=record, conditions=(said,)))


def operation(op_id: str = "op-1") -> m.Operation:
    """Give an operation of this episode."""
    return m.Operation(
        op_id=op_id, job="n7-job", attempt=1, action="restart-unit", steps=STEPS["restart-unit"]
    )


HELD = frozenset({"op-1"})
GONE = "its remedier is gone or does not select this machine any more"
ONE = job(attempt(WAITING))
ACTS = job(attempt(ACTING), phase="Acting")
PROVES = job(attempt(VERIFYING), phase="Verifying")
MOVES: dict[str, tuple[Case, tuple[str, str, str, str]]] = {
    "waits": (case(ONE), ("Waiting", "Waiting", "", "NoPermit")),
    "waits while stopped": (case(ONE, stop=STOP), ("Waiting", "Waiting", "", "Frozen")),
    "clear while it waits": (case(ONE, clear=True), ("Waiting", "Waiting", "", "NoPermit")),
    "waits, its remedier is gone": (case(ONE, remedier=None), ("Cancelled", "Failed", f"withdrawn: {GONE}", "Cancelled")),
    "waits, the ladder was edited": (
        case(job(attempt(WAITING, rung=1)), remedier=remedier(ladder=remedier().spec.ladder[:1])),
        ("Waiting", "Failed", "withdrawn: the ladder was edited", "Failed"),
    ),
    "permitted": (case(ONE, holds=HELD), ("Acting", "Acting", "permitted", "Acting")),
    "permitted and stopped": (case(ONE, holds=HELD, stop=STOP), ("Waiting", "Failed", "withdrawn: cluster: frozen", "Frozen")),
    "permitted, its remedier is gone": (
        case(ONE, holds=HELD, remedier=None), ("Cancelled", "Failed", f"withdrawn: {GONE}", "Cancelled"),
    ),
    "permitted and clear": (case(ONE, holds=HELD, clear=True), ("Cancelled", "Failed", "withdrawn: cleared by itself", "Cancelled")),
    "permitted, no steps": (
        case(ONE, holds=HELD, planned={}), ("Waiting", "Failed", "withdrawn: PluginFailed: ladder[0]: its action planned no steps", "Failed"),
    ),
    "to be written, and stopped": (case(ACTS, holds=HELD, stop=STOP), ("Waiting", "Failed", "withdrawn: cluster: frozen", "Frozen")),
    "to be written, and gone": (case(ACTS, holds=HELD, remedier=None), ("Cancelled", "Failed", f"withdrawn: {GONE}", "Cancelled")),
    "to be written, no permit": (case(ACTS), ("Acting", "Acting", "", "NoPermit")),
    "to be drained": (case(ACTS, holds=HELD, drains=DRAINS), ("Acting", "Acting", "", "Draining")),
    "being drained": (case(ACTS, holds=HELD, drains=DRAINS, machine=drained("Draining")), ("Acting", "Acting", "", "Draining")),
    "being drained, and clear": (
        case(ACTS, holds=HELD, drains=DRAINS, clear=True), ("Cancelled", "Failed", "withdrawn: cleared by itself", "Cancelled"),
    ),
    "drained for another": (
        case(ACTS, holds=HELD, drains=DRAINS, machine=drained("Drained", "op-9")), ("Acting", "Acting", "", "Draining"),
    ),
    "not to be drained": (
        case(ACTS, holds=HELD, drains=DRAINS, machine=drained("GivenUp")),
        ("Waiting", "Failed", "its Node could not be drained: by a budget", "Failed"),
    ),
    "to be drained, no permit": (case(ACTS, drains=DRAINS), ("Acting", "Acting", "", "NoPermit")),
    "written": (case(ACTS, holds=HELD, stop=STOP, machine=machine(operation=operation())), ("Acting", "Acting", "", "Acting")),
    "another's stands there": (
        case(ACTS, holds=frozenset({"op-1", "op-9"}), machine=machine(operation=operation("op-9"))), ("Acting", "Acting", "", "OperationTaken"),
    ),
    "the agent is at it": (
        case(ACTS, machine=answered(m.AnswerState.ACKNOWLEDGED)), ("Acting", "Acting", "", "Acting"),
    ),
    "another operation was answered": (
        case(ACTS, machine=answered(m.AnswerState.DONE, op_id="op-0")), ("Acting", "Acting", "", "NoPermit"),
    ),
    "done": (case(ACTS, machine=answered(m.AnswerState.DONE)), ("Verifying", "Verifying", "done; being verified", "Verifying")),
    "failed": (case(ACTS, machine=answered(m.AnswerState.FAILED, "exit 1")), ("Waiting", "Failed", "exit 1", "Failed")),
    "failed without words": (case(ACTS, machine=answered(m.AnswerState.FAILED)), ("Waiting", "Failed", "the agent says it failed", "Failed")),
    "failed, its remedier is gone": (
        case(ACTS, remedier=None, machine=answered(m.AnswerState.FAILED, "exit 1")), ("Cancelled", "Failed", "exit 1", "Cancelled"),
    ),
    "late, never written": (
        case(ACTS, sightings={"acting:op-1": AT - 40 * SECOND}), ("Waiting", "Failed", "withdrawn: could not be begun within 40 s", "Failed"),
    ),
    "late, no answer": (
        case(ACTS, machine=machine(operation=operation()), sightings={"acting:op-1": AT - 40 * SECOND}),
        ("Waiting", "Failed", "the agent did not answer within 40 s", "Failed"),
    ),
    "late, not finished": (
        case(ACTS, machine=answered(m.AnswerState.ACKNOWLEDGED), sightings={"acting:op-1": AT - 40 * SECOND}),
        ("Waiting", "Failed", "the agent did not finish within 40 s", "Failed"),
    ),
    "just not late": (case(ACTS, holds=HELD, sightings={"acting:op-1": AT - 40 * SECOND + 1}, machine=machine(operation=operation())), ("Acting", "Acting", "", "Acting")),
    "proven": (case(PROVES, clear=True, sightings={"clear:op-1": AT - 10 * SECOND}), ("Succeeded", "Succeeded", "clear and Ready for 10 s", "Succeeded")),
    "just not proven": (case(PROVES, clear=True, sightings={"clear:op-1": AT - 10 * SECOND + 1}), ("Verifying", "Verifying", "", "Verifying")),
    "proven, its remedier is gone": (
        case(PROVES, remedier=None, clear=True, sightings={"clear:op-1": 0}), ("Cancelled", "Succeeded", "clear and Ready for 60 s", "Cancelled"),
    ),
    "never clear": (case(PROVES, sightings={"verifying:op-1": AT - 60 * SECOND}), ("Waiting", "Failed", "not clear and Ready within 60 s", "Failed")),
    "just not too late": (case(PROVES, sightings={"verifying:op-1": AT - 60 * SECOND + 1}), ("Verifying", "Verifying", "", "Verifying")),
    "stored as proven": (case(job(attempt(SUCCEEDED, verdict="well"))), ("Succeeded", "Succeeded", "well", "Succeeded")),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_a_move_of_an_episode(name: str) -> None:
    """One state, one look at the world, one move."""
    seen, expected = MOVES[name]
    answer = advance(seen)
    assert told(answer) == expected
    assert answer.status is not None
    if expected[0] == "Cancelled":
        why = GONE if seen.remedier is None else "cleared by itself"
        assert [answer.notes[0].text, answer.status.conditions[-1].message] == [why, why]


def test_the_verification_of_nobody_is_the_built_in_one() -> None:
    """Sixty seconds, as the row above says, by the API's default."""
    assert case(ONE, remedier=None).verification == m.Verification()
    assert case(ONE, remedier=None).ladder == ()


def test_an_operation_is_written_over_one_whose_turn_is_over() -> None:
    """With what was read, so that of two writers one loses."""
    old = operation("op-0")
    first, second = attempt(FAILED), attempt(ACTING, 2, 1)
    one = job(attrs.evolve(first, op_id="op-0"), second, phase="Acting")
    (effect,) = advance(case(one, holds=frozenset({"op-2"}), machine=machine(operation=old))).effects
    assert isinstance(effect, SetOperation)
    assert effect.expect == old
    assert effect.operation is not None
    assert (effect.operation.op_id, effect.operation.attempt, effect.operation.steps) == (
        "op-2",
        2,
        STEPS["reboot"],
    )


@pytest.mark.parametrize(
    ("one", "holds", "over"),
    [
        (ACTS, HELD, False), (ACTS, frozenset(), False), (job(attempt(FAILED)), HELD, True), (job(attempt(SUCCEEDED)), HELD, True),
        (attrs.evolve(ACTS, status=attrs.evolve(ACTS.status, phase="Cancelled")), HELD, True),
        (attrs.evolve(ACTS, status=attrs.evolve(ACTS.status, closed_at=START)), HELD, True),
        (None, HELD, False), (None, frozenset(), True),
    ],
)  # fmt: skip
def test_whose_turn_is_over(one: m.RemedyOperationJob | None, holds: frozenset[str], over: bool) -> None:
    """Its attempt ended or its episode closed, as read; or nobody knows it and no permit covers it."""
    found = leftover(machine(operation=operation()), () if one is None else (one,), holds)
    assert (found is not None) is over
    assert leftover(machine(), () if one is None else (one,), holds) is None


SEEN = dict.fromkeys(
    ("acting:op-1", "verifying:op-1", "clear:op-1", "clear:uid-job", "verifying:op-2", "clear:op-2", "x"),
    AT - SECOND,
)


@pytest.mark.parametrize(
    ("seen", "kept"),
    [
        (case(ONE, holds=HELD), {"clear:uid-job"}),
        (case(ACTS, machine=answered(m.AnswerState.DONE)), {"acting:op-1"}),
        (case(PROVES, sightings={}), {"verifying:op-1"}),
        (case(PROVES, remedier=remedier(verification=m.Verification(timeout=timedelta(0), dwell=timedelta(0)))), {"verifying:op-1", "clear:op-1"}),
        (case(job(attempt(FAILED), attempt(VERIFYING, 2), phase="Verifying"), remedier=remedier(verification=m.Verification(timeout=timedelta(0)))), {"verifying:op-2", "clear:op-2"}),
        (case(job(attempt(VERIFYING), attempt(FAILED, 2))), {"clear:uid-job"}),
        (case(job()), {"clear:uid-job"}),
    ],
)  # fmt: skip
def test_a_move_keeps_what_its_state_counts_from(seen: Case, kept: set[str]) -> None:
    """Until the new status is written; nothing of other states, and nothing else."""
    answer = advance(attrs.evolve(seen, sightings=SEEN))
    if answer.status != seen.job.status:
        assert set(answer.sightings) == kept
        assert all(answer.sightings[key] == AT - SECOND for key in kept)
    else:
        assert set(answer.sightings) <= kept


def test_the_limits_are_what_they_are() -> None:
    """32 attempts an episode; thirty seconds for a machine that is not seen."""
    assert (32, timedelta(seconds=30)) == (MAX_ATTEMPTS, GRACE)


@pytest.mark.parametrize(("tries", "phase"), [(31, "Waiting"), (32, "HandedOver"), (33, "HandedOver")])
def test_an_episode_has_so_many_attempts_and_then_is_a_humans(tries: int, phase: str) -> None:
    """Withdrawn or not; its rungs are not at their end."""
    attempts = (attempt(FAILED, number, verdict="withdrawn: x") for number in range(tries))
    answer = advance(case(job(*attempts)))
    assert answer.status is not None
    assert answer.status.phase == phase


@pytest.mark.parametrize("phase", list(m.JobPhase))
def test_a_closing_stamp_closes_whatever_the_phase(phase: m.JobPhase) -> None:
    """And so does a closed phase without a stamp."""
    assert is_closed(job(phase=phase.value, closed_at=START))
    assert is_closed(job(phase=phase.value)) is (
        phase in (m.JobPhase.SUCCEEDED, m.JobPhase.HANDED_OVER, m.JobPhase.CANCELLED)
    )


def test_attempts_are_numbered_from_one() -> None:
    """Each by the last before it, and named by its number."""
    numbers = []
    one = job()
    for _ in range(3):
        one = attrs.evolve(one, status=begun(one, rung=0, action="restart-unit", wall=START))
        numbers.append(one.status.attempts[-1].number)
    assert numbers == [1, 2, 3]
    assert len({each.op_id for each in one.status.attempts}) == 3


@pytest.mark.parametrize(
    ("state", "last", "verdict", "ends"),
    [
        (WAITING, FAILED, "", ("Failed", "over")), (WAITING, FAILED, "own", ("Failed", "own")), (ACTING, None, "own", ("Acting", "was")),
        (FAILED, SUCCEEDED, "own", ("Failed", "was")), (SUCCEEDED, FAILED, "own", ("Succeeded", "was")),
    ],
)  # fmt: skip
def test_closing_ends_the_last_attempt_if_it_has_not_ended(
    state: m.AttemptState, last: m.AttemptState | None, verdict: str, ends: tuple[str, str]
) -> None:
    """By its own words, else by those of the episode; what has ended stays as it ended."""
    status = closed(job(attempt(state, verdict="was")), m.JobPhase.CANCELLED, "over", START, last, verdict)
    assert (status.attempts[-1].state.value, status.attempts[-1].verdict) == ends
    assert closed(job(), m.JobPhase.CANCELLED, "over", START, FAILED).attempts == ()


@pytest.mark.parametrize(("length", "kept"), [(2047, 2047), (2048, 2048), (2049, 2048)])
def test_a_verdict_is_cut_as_the_server_would_refuse_it(length: int, kept: int) -> None:
    """2,048 characters."""
    status = moved(ONE, FAILED, "x" * length, START)
    assert len(status.attempts[-1].verdict) == kept


def test_a_rule_of_ready_itself_is_clear_when_the_node_is_ready() -> None:
    """Even the one that calls Ready sick."""
    assert is_clear(m.ConditionMatch(type="Ready", status=T), node(F))


def test_every_state_of_an_attempt_has_its_phase() -> None:
    """What is proven is Verifying until its episode is closed; what failed waits for the next rung."""
    phases = {state: moved(ONE, state, "x", START).phase for state in m.AttemptState}
    assert phases == {
        WAITING: "Waiting", ACTING: "Acting", VERIFYING: "Verifying", SUCCEEDED: "Verifying", FAILED: "Waiting",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("state", "first"), [(WAITING, False), (ACTING, True), (VERIFYING, True), (FAILED, False)]
)
def test_of_two_open_episodes_the_one_under_way_comes_first(state: m.AttemptState, first: bool) -> None:
    """Acting or being verified; else the first by name."""
    other = attrs.evolve(job(), metadata=m.ObjectMeta(name="a-job", uid="uid-a"))
    assert (open_job((other, job(attempt(state)))) == job(attempt(state))) is first


@pytest.mark.parametrize("state", [m.DrainState.DRAINED, m.DrainState.FORCED])
def test_an_operation_is_written_when_its_node_is_drained(state: m.DrainState) -> None:
    """Or when its policy lets it go on; until then no time limit of the rung has begun."""
    answer = advance(case(ACTS, holds=HELD, drains=DRAINS, machine=drained(state.value)))
    assert len(answer.effects) == 1
    waits = advance(case(ACTS, holds=HELD, drains=DRAINS, machine=drained("Draining")))
    assert (waits.effects, waits.sightings, waits.deadlines, waits.deferred) == ((), {}, (), True)
