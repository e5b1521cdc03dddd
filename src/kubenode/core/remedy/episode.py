"""How the open episode goes on: one move of its last attempt, or what it waits for.

    (none) --> Waiting --permit--> Acting --done--> Verifying --clear and Ready for dwell--> Succeeded
                  |                  |                  |
                  |                  '------ Failed <---'  --> next rung, or HandedOver
                  '-- clear by itself --> Cancelled

One decision makes one move. Whatever ends before the operation was written is withdrawn (ladder.py):
its permit goes back, and its rung counts as untried.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias, assert_never

import attrs

from kubenode.core.decision import NOTHING_SEEN, Decision, Effect, Note, RebootInstance, SetOperation, soonest
from kubenode.core.errors import Problem
from kubenode.core.instance.seen import ProviderAnswer
from kubenode.core.instance.turn import due as due_again
from kubenode.core.model.condition import find
from kubenode.core.model.instance import InstanceStep
from kubenode.core.model.machine import (
    AnswerState,
    DrainState,
    Machine,
    Operation,
    OperationAnswer,
    OperationStep,
)
from kubenode.core.model.meta import ref
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.remedy import (
    WITHDRAWN,
    Attempt,
    AttemptState,
    JobPhase,
    NodeRemedier,
    RemedyOperationJob,
    RemedyOperationJobStatus,
    Rung,
    Verification,
)
from kubenode.core.node.drain import DRAINED, DRAINING, GOES_ON, drained_for
from kubenode.core.remedy.ladder import (
    ENDED,
    MAX_ATTEMPTS,
    begun,
    closed,
    is_closed,
    moved,
    next_rung,
    stuck,
    within,
)
from kubenode.core.step import RestartInstance, refusal

REMEDIER_GONE = "its remedier is gone or does not select this machine any more"
BY_ITSELF = "cleared by itself"
ASKED_AGAIN: Final = frozenset({"Throttled", "Unavailable", "Ambiguous", "Busy"})
"""What a provider answers that a repeat may mend; all else is a person's, or the next rung's."""
Planned: TypeAlias = tuple[OperationStep, ...] | RestartInstance | Problem
"""What is done on a rung: by the agent, by the provider; or why nothing can be."""


@attrs.frozen(kw_only=True)
class Answer:
    """What came out, before it is a Decision."""

    status: RemedyOperationJobStatus | None = None
    effects: tuple[Effect, ...] = ()
    notes: tuple[Note, ...] = ()
    deadlines: tuple[int, ...] = ()
    sightings: Mapping[str, int] = NOTHING_SEEN
    deferred: bool = False

    @property
    def decision(self) -> Decision[RemedyOperationJobStatus]:
        """The Decision."""
        return Decision(
            status=self.status, effects=self.effects, notes=self.notes, wake_at=soonest(self.deadlines),
            sightings=self.sightings, deferred=self.deferred,
        )  # fmt: skip


@attrs.frozen(kw_only=True)
class Case:
    """An open episode on a Node that is certain.

    Attributes:
        remedier: None when it is gone or selects this machine no more; then what is under way ends as
            Cancelled and nothing new begins.
        gone: what that is called.
        halted: why its remedier, which is there, begins nothing new; what is under way ends by its own terms.
        clear: whether the Node is Ready and what the episode is about clear now.
        stop: what lets nothing begin here: an open breaker of the Node's zone, a freeze, a hold. None for a
            job that a person forces.
        worn: that too many remedies were tried on this machine lately.
        planned: by index of the rung.
        drains: actions for which the Node is drained first.
        answer: of the provider to what it was asked last.
    """

    machine: Machine
    job: RemedyOperationJob
    remedier: NodeRemedier | None
    gone: str = REMEDIER_GONE
    halted: str = ""
    clear: bool
    stop: Note | None
    worn: Note | None
    planned: Mapping[int, Planned]
    holds: frozenset[str]
    drains: frozenset[str] = frozenset()
    answer: ProviderAnswer | None = None
    jobs: tuple[RemedyOperationJob, ...]
    now: Now
    sightings: Mapping[str, int]

    @property
    def ladder(self) -> tuple[Rung, ...]:
        """The rungs; none when the remedier is gone."""
        return () if self.remedier is None else self.remedier.spec.ladder

    @property
    def verification(self) -> Verification:
        """When the remedy counts as proven; the built-in terms when the remedier is gone."""
        return Verification() if self.remedier is None else self.remedier.spec.verification

    @property
    def over(self) -> str:
        """Why nothing new begins and the episode ends as Cancelled; empty while it goes on."""
        return self.gone if self.remedier is None else self.halted

    def since(self, key: str) -> int:
        """Give `Now.elapsed` of a first sighting: the remembered one, else now."""
        return min(self.sightings.get(key, self.now.elapsed), self.now.elapsed)

    def rung(self, attempt: Attempt) -> Rung | None:
        """Give the rung of an attempt, if it still stands on the ladder."""
        rung = self.ladder[attempt.rung] if attempt.rung < len(self.ladder) else None
        return rung if rung is not None and rung.action == attempt.action else None

    def steps(self, index: int) -> Planned:
        """Give the planned steps of a rung, or why there are none."""
        none = Problem(where=f"ladder[{index}]", what="PluginFailed: its action planned no steps")
        return self.planned.get(index) or none

    def told(self, attempt: Attempt) -> ProviderAnswer | None:
        """Give the provider's answer to this very attempt, in the life of this process."""
        return self.answer if self.answer is not None and self.answer.op_id == attempt.op_id else None


def advance(case: Case) -> Answer:
    """Make the next move of an open episode, or say what it waits for.

    A move keeps what was seen until its status is written: should the write fail, no time limit begins
    again. Once written, what belonged to the state before is forgotten.
    """
    answer = _move_of(case)
    if answer.status == case.job.status:
        return answer
    own = {key: case.sightings[key] for key in _timers(case.job) if key in case.sightings}
    return attrs.evolve(answer, sightings=own)


def _timers(job: RemedyOperationJob) -> tuple[str, ...]:
    """Name the sightings that the job's state, as it stands, counts from."""
    last = job.status.attempts[-1] if job.status.attempts else None
    if last is not None and last.state is AttemptState.ACTING:
        return (f"acting:{last.op_id}",)
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


def ended(
    job: RemedyOperationJob, phase: JobPhase, verdict: str, wall: datetime, *, tried: bool = True
) -> Answer:
    """Close the episode; an attempt that had not begun to act is withdrawn."""
    last = job.status.attempts[-1] if job.status.attempts else None
    untried = last is not None and (last.state is AttemptState.WAITING or not tried)
    status = closed(
        job, phase, verdict, wall, AttemptState.FAILED, f"{WITHDRAWN}{verdict}" if untried else verdict
    )
    return Answer(status=status, notes=(Note(code=phase.value, text=verdict),))


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
    index = next_rung(case.job)
    if index >= len(case.ladder) or len(case.job.status.attempts) >= MAX_ATTEMPTS:
        return ended(
            case.job, JobPhase.HANDED_OVER, "the ladder is at its end: a human's turn", case.now.wall
        )
    if case.worn is not None:
        over = ended(case.job, JobPhase.HANDED_OVER, case.worn.text, case.now.wall)
        return attrs.evolve(over, notes=(case.worn,))
    if case.stop is not None:  # whoever asked now would be first after the outage: a stampede
        return Answer(status=case.job.status, notes=(case.stop,), deferred=True)
    steps = case.steps(index)
    if isinstance(steps, Problem):
        reason, text = refusal(steps)
        status = stuck(case.job, reason, text, case.now.wall)
        return Answer(status=status, notes=(Note(code=reason, text=text),), deferred=True)
    action = case.ladder[index].action
    status = begun(case.job, rung=index, action=action, wall=case.now.wall)
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
        refused = _second_thoughts(case, attempt)
        if refused is not None:
            return refused
        return _move(case, AttemptState.ACTING, "permitted")
    if case.over:
        return ended(case.job, JobPhase.CANCELLED, case.over, case.now.wall)
    why_not = _unplanned(case, attempt)
    if why_not:
        return _move(case, AttemptState.FAILED, f"{WITHDRAWN}{why_not}")
    note = case.stop or Note(code="NoPermit", text=f"{attempt.action} waits for a permit")
    if case.clear:
        return _clearing(case, note)
    return Answer(status=case.job.status, notes=(note,), deferred=True)


def _second_thoughts(case: Case, attempt: Attempt) -> Answer | None:
    """Look once more before the first irrevocable write; None when it may go on.

    Between the permit and the operation hours may lie (a restart, an outage). A permit that cannot be
    used now is given back, so that it does not keep others waiting.
    """
    if case.over:
        return ended(case.job, JobPhase.CANCELLED, case.over, case.now.wall, tried=False)
    if case.clear:
        return ended(case.job, JobPhase.CANCELLED, BY_ITSELF, case.now.wall, tried=False)
    why_not = case.stop.text if case.stop is not None else _unplanned(case, attempt)
    return _move(case, AttemptState.FAILED, f"{WITHDRAWN}{why_not}", case.stop) if why_not else None


def _unplanned(case: Case, attempt: Attempt) -> str:
    """Say why an attempt's rung cannot be done as it stands; empty when it can."""
    if case.rung(attempt) is None:
        return "the ladder was edited"
    steps = case.steps(attempt.rung)
    return ": ".join(refusal(steps)) if isinstance(steps, Problem) else ""


def _acting(case: Case, attempt: Attempt) -> Answer:
    """The attempt is permitted: write its operation, then wait for the agent's answer; or ask the provider."""
    told, steps = case.told(attempt), case.steps(attempt.rung)
    if told is not None or isinstance(steps, RestartInstance):
        return _asking(case, attempt, told)
    operation, answer = case.machine.spec.operation, _answer(case.machine, attempt)
    if answer is not None and answer.state is AnswerState.DONE:
        return _move(case, AttemptState.VERIFYING, "done; being verified")
    if answer is not None and answer.state is AnswerState.FAILED:
        return _failed(case, answer.message or "the agent says it failed")
    written = answer is not None or (operation is not None and operation.op_id == attempt.op_id)
    hindrance = None if written else _second_thoughts(case, attempt) or _undrained(case, attempt)
    if hindrance is not None:
        return hindrance
    due, limit, waits = _limited(case, attempt)
    if case.now.elapsed >= due:
        return _late(case, answer, limit, written=written)
    if written:
        return attrs.evolve(
            waits, notes=(Note(code="Acting", text=f"{attempt.action} is with the agent", frees_at=due),)
        )
    return _write_operation(case, attempt, waits)


def _limited(case: Case, attempt: Attempt) -> tuple[int, timedelta, Answer]:
    """Give until when an attempt that acts may do so, how long that is in all, and what waits until then."""
    key = f"acting:{attempt.op_id}"
    rung = case.rung(attempt)
    limit = Rung(action=attempt.action).timeout if rung is None else rung.timeout
    due = case.since(key) + nanoseconds(limit)
    return (
        due,
        limit,
        Answer(status=case.job.status, deadlines=(due,), sightings={key: case.since(key)}, deferred=True),
    )


def _asking(case: Case, attempt: Attempt, told: ProviderAnswer | None) -> Answer:
    """The attempt is permitted, and the provider's: ask it, and again while its answer may be another one next time."""
    if told is not None and not told.error:
        return _move(case, AttemptState.VERIFYING, "done; being verified")
    if told is not None and told.error not in ASKED_AGAIN:
        return _failed(case, f"the provider says {told.error}: {told.text}")
    hindrance = None if told is not None else _second_thoughts(case, attempt) or _undrained(case, attempt)
    if hindrance is not None:
        return hindrance
    due, limit, waits = _limited(case, attempt)
    if case.now.elapsed >= due:
        said = "was not asked" if told is None else f"said {told.error} last: {told.text}"
        return _failed(case, f"not done {within(limit)}: the provider {said}")
    if told is not None and case.now.elapsed < (again := due_again(told)):
        text = f"{attempt.action} is asked for again: the provider says {told.error}"
        note = Note(code="AskedAgain", text=text, frees_at=again)
        return attrs.evolve(waits, notes=(note,), deadlines=(*waits.deadlines, again))
    return _ask(case, attempt, waits, 0 if told is None else told.tries)


def _ask(case: Case, attempt: Attempt, waits: Answer, tries: int) -> Answer:
    """Ask the provider, while the permit is open and the instance is there."""
    instance = case.machine.status.instance
    if attempt.op_id not in case.holds:
        text = f"the permit of {attempt.action} is not in the ledger"
        return attrs.evolve(waits, notes=(Note(code="NoPermit", text=text),))
    if instance is None or instance.step is not InstanceStep.MADE:
        return _failed(case, "the machine has no instance that a provider could restart")
    effect = RebootInstance(
        machine=ref(case.machine), provider=instance.provider, op_id=attempt.op_id, instance=instance.id,
        tries=tries,
    )  # fmt: skip
    return attrs.evolve(waits, effects=(effect,), deferred=False)


def _undrained(case: Case, attempt: Attempt) -> Answer | None:
    """Wait until the Node is drained, if the action needs it, and count the rung as failed when it could not be; None: go on.

    The drain has a time limit of its own, so the rung's begins when it is over.
    """
    if attempt.action not in case.drains or attempt.op_id not in case.holds:
        return None
    state = drained_for(case.machine.status.drain, case.holds)
    if state in GOES_ON:
        return None
    said = find(case.machine.status.conditions, DRAINED)
    text = "its Node is to be drained first" if said is None else said.message
    if state is DrainState.GIVEN_UP:
        return _failed(case, f"its Node could not be drained: {text}")
    note = Note(code=DRAINING, text=f"{attempt.action} waits for the drain: {text}")
    return Answer(status=case.job.status, notes=(note,), deferred=True)


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
        return _move(case, AttemptState.FAILED, f"{WITHDRAWN}could not be begun {within(limit)}")
    what = "did not answer" if answer is None else "did not finish"
    return _failed(case, f"the agent {what} {within(limit)}")


def _verifying(case: Case, attempt: Attempt) -> Answer:
    """The agent did it: proven when clear and Ready without a break for the dwell, within the time limit."""
    begun_key, clear_key = f"verifying:{attempt.op_id}", f"clear:{attempt.op_id}"
    terms = case.verification
    limit = case.since(begun_key) + nanoseconds(terms.timeout)
    proven = case.since(clear_key) + nanoseconds(terms.dwell) if case.clear else None
    if proven is not None and case.now.elapsed >= proven:
        return _proven(case)
    if case.now.elapsed >= limit:
        return _failed(case, f"not clear and Ready {within(terms.timeout)}")
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


def _failed(case: Case, verdict: str) -> Answer:
    """End an attempt that was really tried; without its remedier the episode ends with it."""
    if case.remedier is None:
        status = closed(case.job, JobPhase.CANCELLED, case.gone, case.now.wall, AttemptState.FAILED, verdict)
        return Answer(status=status, notes=(Note(code=JobPhase.CANCELLED.value, text=case.gone),))
    return _move(case, AttemptState.FAILED, verdict)


def _move(case: Case, state: AttemptState, verdict: str, note: Note | None = None) -> Answer:
    status = moved(case.job, state, verdict, case.now.wall)
    return Answer(status=status, notes=(note or Note(code=state.value, text=verdict),))
