"""The operation that an agent is asked for: answered from the journal, and begun when the journal does not know it.

A Repair is what the controllers ask where a component of class drain or reboot has drifted: the permit is theirs, the
steps are the driver's, as the host looks now. A Reinstall is a remedy's: it installs all that a component brings once
more (`reinstall.py`).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kubenode.core.decision import Note, RunSteps
from kubenode.core.errors import Problem, refusal
from kubenode.core.host.drift import was_at_target
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.host.plan import (
    NO_REPAIRS,
    disruption,
    host_steps,
    reboots,
    reinstalled,
    repaired,
    takes_reboot,
)
from kubenode.core.host.reinstall import reinstallation
from kubenode.core.host.snapshot import NodeSnapshot
from kubenode.core.host.turn import Turn
from kubenode.core.model.component import Disruption
from kubenode.core.model.entry import ComponentReport
from kubenode.core.model.meta import ref
from kubenode.core.model.operation import AnswerState, Operation, OperationAnswer
from kubenode.core.step import Reboot, Step

INTERRUPTED = "interrupted by a reboot"
_ANSWERS: Final[Mapping[JournalState, AnswerState]] = MappingProxyType(
    {
        JournalState.STARTED: AnswerState.ACKNOWLEDGED,
        JournalState.DONE: AnswerState.DONE,
        JournalState.FAILED: AnswerState.FAILED,
    }
)


def answered(seen: NodeSnapshot, *, may_begin: bool) -> tuple[OperationAnswer | None, Turn]:
    """Answer the operation by the journal; begin it when it was never begun here."""
    operation = seen.machine.spec.operation
    if operation is None:  # the last word stands; nobody waits for another
        return seen.before.operation, Turn()
    entry = seen.host.journal.get(operation.op_id)
    if entry is not None:
        return _journalled(seen, operation, entry), Turn()
    said = seen.before.operation
    if said is not None and said.op_id == operation.op_id:
        if said.state is not AnswerState.ACKNOWLEDGED:
            return said, Turn()
        if seen.before.boot_id != seen.host.boot_id:
            # Acknowledged in another boot and not journalled: the journal is lost (a host imaged anew) or it
            # was never begun. Nobody knows which, so it is not run; the next rung asks anew.
            return _answered(operation, AnswerState.FAILED, "this host's journal does not know it"), Turn()
    if not may_begin:
        return said, Turn()
    if seen.host.withheld:  # nobody waits for what may never be begun: the next rung is asked for
        return _answered(operation, AnswerState.FAILED, seen.host.withheld), Turn()
    acknowledged = _answered(operation, AnswerState.ACKNOWLEDGED)
    unseen = unlooked(seen)
    if unseen:
        note = Note(
            code="NotLooked", text=f"operation {operation.op_id} waits: nobody has looked at {unseen} yet"
        )
        return acknowledged, Turn(note=note)
    by_driver, over = _by_driver(seen, operation)
    if over is not None:
        return over, Turn()
    if seen.running and not reboots(operation):
        # A reboot waits for nobody: steps that hang may be why it is asked for, and what it interrupts is tried again.
        note = Note(code="Busy", text=f"operation {operation.op_id} waits for {seen.running}")
        return acknowledged, Turn(note=note)
    classes = {name: _class_of(seen, name) for name in by_driver}
    steps = host_steps(operation.steps, by_driver)
    if not reboots(operation) and any(takes_reboot(plan, classes[name]) for name, plan in by_driver.items()):
        steps = (*steps, Reboot())  # one for all of them, and last
    run = RunSteps(
        machine=ref(seen.machine), op_id=operation.op_id, steps=steps, disruption=disruption(operation, classes.values()),
    )  # fmt: skip
    return acknowledged, Turn(run=run)


def unlooked(seen: NodeSnapshot) -> str:
    """Name an entry that the operation repairs and nobody could look at; empty when there is none.

    A look that fails is no finding: whether it has drifted, and what would mend it, is not known yet.
    """
    names = () if seen.machine.spec.operation is None else repaired(seen.machine.spec.operation)
    return next((name for name in names if seen.wanted(name) is not None and name not in seen.have), "")


def _class_of(seen: NodeSnapshot, name: str) -> Disruption:
    wanted = seen.wanted(name)
    return Disruption.NONE if wanted is None else wanted[1].spec.disruption


def _by_driver(
    seen: NodeSnapshot, operation: Operation
) -> tuple[Mapping[str, tuple[Step, ...]], OperationAnswer | None]:
    """Give the steps of each entry to repair or reinstall; or the answer, when nothing is to be done or it cannot be."""
    plans: dict[str, tuple[Step, ...]] = {}
    for name in (*repaired(operation), *reinstalled(operation)):
        again = name in reinstalled(operation)
        if not again and seen.is_at_target(name):
            continue
        plan = reinstallation(seen, name) if again else _plan(seen, name)
        if isinstance(plan, str):
            return NO_REPAIRS, _answered(operation, AnswerState.FAILED, f"{name}: {plan}")
        plans[name] = plan
    if repaired(operation) and not plans:
        return NO_REPAIRS, _answered(operation, AnswerState.DONE)
    return plans, None


def _plan(seen: NodeSnapshot, name: str) -> tuple[Step, ...] | str:
    """Give the steps that repair an entry that drifts; else why there are none. What never was at target is no drift."""
    wanted, plan = seen.wanted(name), seen.plans.get(name, ())
    if wanted is None:
        return "nothing says how it should be"
    if not was_at_target(seen.before.components.get(name, ComponentReport()), wanted[0]):
        return "it has not drifted; another revision is being brought in"
    if isinstance(plan, Problem):
        return ": ".join(refusal(plan))
    return plan or "drifted, and its driver has no steps"


def _journalled(seen: NodeSnapshot, operation: Operation, entry: JournalEntry) -> OperationAnswer:
    if entry.is_interrupted(seen.host.boot_id):
        names = repaired(operation)
        if reboots(operation) or (names and all(seen.is_at_target(name) for name in names)):
            return _answered(operation, AnswerState.DONE)
        if unlooked(seen):
            return _answered(operation, AnswerState.ACKNOWLEDGED)
        return _answered(operation, AnswerState.FAILED, INTERRUPTED)
    return _answered(operation, _ANSWERS[entry.state], entry.message)


def _answered(operation: Operation, state: AnswerState, message: str = "") -> OperationAnswer:
    return OperationAnswer(op_id=operation.op_id, state=state, message=message[:2048])
