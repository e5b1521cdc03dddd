"""How the open episode goes on: one move of its last attempt, or what it waits for.

    (none) --> Waiting --permit--> Acting --done--> Verifying --clear and Ready for dwell--> Succeeded
                  |                  |                  |
                  |                  '------ Failed <---'  --> next rung, or HandedOver
                  '-- clear by itself --> Cancelled

One decision makes one move. Whatever ends before the operation was written is withdrawn (ladder.py):
its permit goes back, and its rung counts as untried. An agent that does not answer at all is silent: then the provider acts,
where it can, in an attempt of its own on the same rung (`by_provider.py`).
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import assert_never

import attrs

from kubenode.core.decision import Note, SetOperation
from kubenode.core.errors import Problem, refusal
from kubenode.core.identity import deletion_op_id
from kubenode.core.model.machine import Machine
from kubenode.core.model.meta import ref
from kubenode.core.model.operation import AnswerState, Operation, OperationAnswer
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.remedy import (
    SILENT,
    WITHDRAWN,
    Attempt,
    AttemptState,
    JobPhase,
    RemedyOperationJob,
)
from kubenode.core.remedy.by_provider import asking, asking_key, replacing
from kubenode.core.remedy.case import BY_ITSELF, STAND_IN, Answer, Case, ended, failed, move
from kubenode.core.remedy.hindrance import hindered, limited, second_thoughts, unplanned
from kubenode.core.remedy.ladder import (
    ENDED,
    MAX_ATTEMPTS,
    begun,
    closed,
    is_closed,
    next_rung,
    stuck,
    within,
)
from kubenode.core.remedy.replace import irreplaceable
from kubenode.core.step import ConfirmMaintenance, ReplaceMachine, RestartInstance


def advance(case: Case) -> Answer:
    """Make the next move of an open episode, or say what it waits for.

    A move keeps what was seen until its status is written: should the write fail, no time limit begins
    again. Once written, what belonged to the state before is forgotten.
    """
    answer = _move_of(case)
    if answer.status == case.job.status:
        return answer
    known = {**case.sightings, **answer.sightings}
    own = {key: known[key] for key in _timers(case.job) if key in known}
    return attrs.evolve(answer, sightings=own)


def _timers(job: RemedyOperationJob) -> tuple[str, ...]:
    """Name the sightings that the job's state, as it stands, counts from."""
    last = job.status.attempts[-1] if job.status.attempts else None
    if last is not None and last.state is AttemptState.ACTING:
        return f"acting:{last.op_id}", asking_key(last)
    if last is not None and last.state is AttemptState.VERIFYING:
        return (f"verifying:{last.op_id}", f"clear:{last.op_id}")
    return (f"clear:{job.metadata.uid}",)


def _move_of(case: Case) -> Answer:
    last = case.job.status.attempts[-1] if case.job.status.attempts else None
    if last is None:
        return _between(case)
    match last.state:
        case AttemptState.WAITING:
            return _waiting(case, last)
        case AttemptState.ACTING:
            return _acting(case, last)
        case AttemptState.VERIFYING:
            return _verifying(case, last)
        case AttemptState.FAILED:
            return _between(case)
        case AttemptState.SUCCEEDED:
            return ended(case.job, JobPhase.SUCCEEDED, last.verdict, case.now.wall)
        case _:
            assert_never(last.state)


def leftover(machine: Machine, jobs: Iterable[RemedyOperationJob], holds: frozenset[str]) -> Operation | None:
    """Give the Machine's operation if its turn is over, or None.

    Over is: its attempt has ended, or its job is closed, as read; or no job knows it and no hold covers
    it (the job was deleted, and with it the permit).
    """
    operation = machine.spec.operation
    if operation is None:
        return None
    for job in jobs:
        for attempt in job.status.attempts:
            if attempt.op_id == operation.op_id:
                return operation if is_closed(job) or attempt.state in ENDED else None
    return None if operation.op_id in holds else operation


def _between(case: Case) -> Answer:
    """Nothing is under way: wait whether it clears by itself, else begin the next rung."""
    if case.over:
        return ended(case.job, JobPhase.CANCELLED, case.over, case.now.wall)
    if case.clear:
        return _clearing(case, Note(code="Clearing", text="clear; no rung is begun while it stays so"))
    silent = case.unanswered
    index = next_rung(case.job) if silent is None else silent.rung
    if index >= len(case.ladder) or len(case.job.status.attempts) >= MAX_ATTEMPTS:
        return ended(
            case.job, JobPhase.HANDED_OVER, "the ladder is at its end: a human's turn", case.now.wall
        )
    if case.worn is not None:
        over = ended(case.job, JobPhase.HANDED_OVER, case.worn.text, case.now.wall)
        return attrs.evolve(over, notes=(case.worn,))
    if case.stop is not None:  # whoever asked now would be first after the outage: a stampede
        return Answer(status=case.job.status, notes=(case.stop,), deferred=True)
    steps = case.steps(index) if silent is None else RestartInstance()
    if isinstance(steps, ReplaceMachine) and (why_not := irreplaceable(case.machine)):
        return ended(case.job, JobPhase.HANDED_OVER, f"{why_not}: a human's turn", case.now.wall)
    if isinstance(steps, Problem):
        reason, text = refusal(steps)
        status = stuck(case.job, reason, text, case.now.wall)
        return Answer(status=status, notes=(Note(code=reason, text=text),), deferred=True)
    action = case.ladder[index].action if silent is None else STAND_IN
    permit = deletion_op_id(case.machine.metadata.uid) if isinstance(steps, ReplaceMachine) else ""
    status = begun(case.job, rung=index, action=action, wall=case.now.wall, permit=permit)
    return Answer(status=status, notes=(Note(code="Begun", text=f"rung {index + 1}: {action}"),))


def _clearing(case: Case, note: Note) -> Answer:
    """Cancel an episode that was clear for the dwell before anything (more) was done; until then wait."""
    key = f"clear:{case.job.metadata.uid}"
    since = case.since(key)
    due = since + nanoseconds(case.verification.dwell)
    if case.now.elapsed >= due:
        return ended(case.job, JobPhase.CANCELLED, BY_ITSELF, case.now.wall)
    return Answer(
        status=case.job.status, notes=(note,), deadlines=(due,), sightings={key: since}, deferred=True
    )


def _waiting(case: Case, attempt: Attempt) -> Answer:
    """The attempt asks for a permit."""
    if attempt.op_id in case.holds:
        refused = second_thoughts(case, attempt)
        if refused is not None:
            return refused
        return move(case, AttemptState.ACTING, "permitted")
    if case.over:
        return ended(case.job, JobPhase.CANCELLED, case.over, case.now.wall)
    why_not = unplanned(case, attempt)
    if why_not:
        return move(case, AttemptState.FAILED, f"{WITHDRAWN}{why_not}")
    note = case.stop or Note(code="NoPermit", text=f"{attempt.action} waits for a permit")
    if case.clear:
        return _clearing(case, note)
    return Answer(status=case.job.status, notes=(note,), deferred=True)


def _acting(case: Case, attempt: Attempt) -> Answer:
    """The attempt is permitted: write its operation, then wait for the agent's answer; or ask the provider."""
    told, steps = case.told(attempt), case.planned_for(attempt)
    if isinstance(steps, ReplaceMachine):
        return replacing(case, attempt)
    if told is not None or isinstance(steps, RestartInstance | ConfirmMaintenance):
        return asking(case, attempt, told)
    operation, answer = case.machine.spec.operation, _answer(case.machine, attempt)
    if answer is not None and answer.state is AnswerState.DONE:
        return move(case, AttemptState.VERIFYING, "done; being verified")
    if answer is not None and answer.state is AnswerState.FAILED:
        return failed(case, answer.message or "the agent says it failed")
    written = answer is not None or (operation is not None and operation.op_id == attempt.op_id)
    hindrance = None if written else hindered(case, attempt)
    if hindrance is not None:
        return hindrance
    due, limit, waits = limited(case, attempt)
    if case.now.elapsed >= due:
        return _late(case, answer, limit, written=written)
    if written:
        return attrs.evolve(
            waits, notes=(Note(code="Acting", text=f"{attempt.action} is with the agent", frees_at=due),)
        )
    return _write_operation(case, attempt, waits)


def _write_operation(case: Case, attempt: Attempt, waits: Answer) -> Answer:
    """Write the operation of an attempt that stands as Acting, if the place is free and its permit is open."""
    operation, steps = case.machine.spec.operation, case.steps(attempt.rung)
    if operation is not None and leftover(case.machine, case.jobs, case.holds) is None:
        text = f"the machine is busy with operation {operation.op_id} of {operation.job}"
        return attrs.evolve(waits, notes=(Note(code="OperationTaken", text=text),))
    if attempt.op_id not in case.holds or not isinstance(steps, tuple):
        text = f"the permit of {attempt.action} is not in the ledger"
        return attrs.evolve(waits, notes=(Note(code="NoPermit", text=text),))
    wanted = Operation(
        op_id=attempt.op_id, job=case.job.metadata.name, attempt=attempt.number, action=attempt.action,
        steps=steps,
    )  # fmt: skip
    effect = SetOperation(machine=ref(case.machine), expect=operation, operation=wanted)
    return attrs.evolve(waits, effects=(effect,), deferred=False)


def _answer(machine: Machine, attempt: Attempt) -> OperationAnswer | None:
    """Give the agent's word on this very attempt."""
    said = None if machine.status.agent is None else machine.status.agent.operation
    return said if said is not None and said.op_id == attempt.op_id else None


def _late(case: Case, answer: OperationAnswer | None, limit: timedelta, *, written: bool) -> Answer:
    if not written:
        return move(case, AttemptState.FAILED, f"{WITHDRAWN}could not be begun {within(limit)}")
    what = SILENT if answer is None else "the agent did not finish"
    return failed(case, f"{what} {within(limit)}")


def _verifying(case: Case, attempt: Attempt) -> Answer:
    """The agent did it: proven when clear and Ready without a break for the dwell, within the time limit."""
    begun_key, clear_key = f"verifying:{attempt.op_id}", f"clear:{attempt.op_id}"
    terms = case.verification
    limit = case.since(begun_key) + nanoseconds(terms.timeout)
    proven = case.since(clear_key) + nanoseconds(terms.dwell) if case.clear else None
    if proven is not None and case.now.elapsed >= proven:
        return _proven(case)
    if case.now.elapsed >= limit:
        return failed(case, f"not clear and Ready {within(terms.timeout)}")
    sightings = {begun_key: case.since(begun_key)}
    if proven is not None:
        sightings[clear_key] = case.since(clear_key)
    due = limit if proven is None else min(limit, proven)
    return Answer(
        status=case.job.status, deadlines=(due,), sightings=sightings, deferred=True,
        notes=(Note(code="Verifying", text=f"{attempt.action} is done; is it clear and Ready?", frees_at=due),),
    )  # fmt: skip


def _proven(case: Case) -> Answer:
    verdict = f"clear and Ready for {round(case.verification.dwell.total_seconds())} s"
    phase = JobPhase.SUCCEEDED if case.remedier is not None else JobPhase.CANCELLED
    text = verdict if case.remedier is not None else case.gone
    status = closed(case.job, phase, text, case.now.wall, AttemptState.SUCCEEDED, verdict)
    return Answer(status=status, notes=(Note(code=phase.value, text=text),))
