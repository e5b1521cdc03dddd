"""What is looked at once more between the permit of an attempt and its first irrevocable act: may it still, and is the Node drained?"""

from datetime import timedelta

from kubenode.core.decision import Note
from kubenode.core.errors import Problem, refusal
from kubenode.core.model.condition import find
from kubenode.core.model.drain import DrainState
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.remedy import WITHDRAWN, Attempt, AttemptState, JobPhase, Rung
from kubenode.core.node.drain import DRAINED, DRAINING, GOES_ON, drained_for
from kubenode.core.remedy.case import BY_ITSELF, Answer, Case, ended, failed, move
from kubenode.core.remedy.replace import irreplaceable
from kubenode.core.step import ReplaceMachine


def hindered(case: Case, attempt: Attempt) -> Answer | None:
    """Say what keeps an attempt that is permitted from its act now; None: nothing does."""
    return second_thoughts(case, attempt) or _undrained(case, attempt)


def second_thoughts(case: Case, attempt: Attempt) -> Answer | None:
    """Look once more before the first irrevocable write; None when it may go on.

    Between the permit and the operation hours may lie (a restart, an outage). A permit that cannot be
    used now is given back, so that it does not keep others waiting. What a provider was perhaps asked for counts as tried.
    """
    untried = attempt.asked_at is None
    if case.over:
        return ended(case.job, JobPhase.CANCELLED, case.over, case.now.wall, tried=not untried)
    if case.clear:
        return ended(case.job, JobPhase.CANCELLED, BY_ITSELF, case.now.wall, tried=not untried)
    why_not = case.stop.text if case.stop is not None else unplanned(case, attempt)
    return (
        move(case, AttemptState.FAILED, f"{WITHDRAWN if untried else ''}{why_not}", case.stop)
        if why_not
        else None
    )


def unplanned(case: Case, attempt: Attempt) -> str:
    """Say why an attempt's rung cannot be done as it stands; empty when it can."""
    if case.rung(attempt) is None:
        return "the ladder was edited"
    steps = case.planned_for(attempt)
    if isinstance(steps, ReplaceMachine):
        return irreplaceable(case.machine)
    return ": ".join(refusal(steps)) if isinstance(steps, Problem) else ""


def limited(case: Case, attempt: Attempt) -> tuple[int, timedelta, Answer]:
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
        return failed(case, f"its Node could not be drained: {text}")
    note = Note(code=DRAINING, text=f"{attempt.action} waits for the drain: {text}")
    return Answer(status=case.job.status, notes=(note,), deferred=True)
