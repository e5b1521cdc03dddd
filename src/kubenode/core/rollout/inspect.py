"""The gate at the end of a batch: every member ended, then inspected, observed, and inspected until the end of that.

Three inspections: those that were updated are still available, the control group, and the hooks.
"""

import enum
from collections.abc import Iterable
from datetime import timedelta

import attrs

from kubenode.core.model.batch import Batch, BatchRecord, MemberState
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.rollout.hooks import NOTHING_ASKED, Findings
from kubenode.core.rollout.member import ENDED
from kubenode.core.rollout.tally import Seat


class GateState(enum.Enum):
    """How far a batch is with its gate."""

    OPEN = "open"
    """Members are still under way, or there is no batch."""
    OBSERVING = "observing"
    INCONCLUSIVE = "inconclusive"
    """An inspection cannot say that all is well, whether or not the observation is over."""
    WORSE = "worse"
    """Updated machines have a fault more often than those not yet updated."""
    TOO_FEW = "too few"
    """Of so few machines nothing can be told, and the set wants to be paused then."""
    FAILED = "failed by a hook"
    """A hook says that the updated machines do harm."""
    DOUBTFUL = "doubtful to a hook"
    """A hook cannot tell."""
    INSPECTING = "asked about"
    """A hook has not answered: at first, or once more when the observation is over."""
    UNAPPROVED = "unapproved"
    """All is well, and a person is to say that the next batch may follow."""
    PASSED = "passed"


@attrs.frozen(kw_only=True)
class Gate:
    """What the gate says.

    Attributes:
        since: `Now.elapsed` at which this process first saw the batch closed; None while it is open.
        until: when the observation ends; None unless nothing else keeps the gate shut meanwhile.
        wakes: when a hook is asked again, or has not answered in time; only when hooks keep it shut.
        finding: what the control group or the hooks say; only when that keeps it shut.
        suspects: names of updated members that are not available; only when inconclusive.
    """

    state: GateState
    since: int | None = None
    until: int | None = None
    wakes: tuple[int, ...] = ()
    suspects: tuple[str, ...] = ()
    finding: str = ""


NO_BATCH = Gate(state=GateState.OPEN)


def is_over(batch: Batch) -> bool:
    """Tell whether every member is Updated, Failed, Gone or Skipped."""
    return all(member.state in ENDED for member in batch.members)


def proves(batch: Batch) -> bool:
    """Tell whether a machine that was available when the batch opened was updated: only then may the next grow."""
    return any(member.healthy and member.state is MemberState.UPDATED for member in batch.members)


def suspects_of(batch: Batch, seats: Iterable[Seat]) -> tuple[str, ...]:
    """Name the updated members that are not available, sorted."""
    updated = {member.uid for member in batch.members if member.state is MemberState.UPDATED}
    return tuple(
        sorted(seat.machine.name for seat in seats if seat.machine.uid in updated and not seat.available)
    )


def judge_gate(
    batch: Batch,
    seats: Iterable[Seat],
    observation: timedelta,
    now: Now,
    since: int | None,
    *,
    approved: bool = True,
    way_back: bool = False,
    findings: Findings = NOTHING_ASKED,
) -> Gate:
    """Judge whether the next batch may follow this one.

    Args:
        batch: with its members judged.
        seats: machines of the members, in any order.
        observation: how long a closed batch is watched; zero for not at all.
        now: the moment of the decision.
        since: when it was first seen closed; None for now. A restart observes afresh.
        approved: whether nobody is asked, or a person has agreed already.
        findings: what the control group and the hooks say.
        way_back: it brings back what was last everywhere; then it is neither inspected nor observed.

    Returns:
        INCONCLUSIVE for as long as a suspect is not available, else WORSE or TOO_FEW by the control group, else FAILED or
        DOUBTFUL by a hook, else INSPECTING until all hooks have answered, else OBSERVING until exactly the end, then
        INSPECTING until all have answered once more, then UNAPPROVED until a person agrees.

    What is wrong pauses at once; the observation goes on meanwhile and is not begun again (api.md section 4).
    """
    if not is_over(batch):
        return NO_BATCH
    since = now.elapsed if since is None else since
    decided = Gate(state=GateState.PASSED if approved else GateState.UNAPPROVED, since=since)
    if way_back:
        return decided
    suspects = suspects_of(batch, seats)
    if suspects:
        return Gate(state=GateState.INCONCLUSIVE, since=since, suspects=suspects)
    if findings.control is not None:
        state = GateState.WORSE if findings.control.worse else GateState.TOO_FEW
        return Gate(state=state, since=since, finding=findings.control.text)
    until = since + nanoseconds(observation)
    runs = now.elapsed < until
    shut, finding = _asked(findings, runs=runs)
    if shut is not None:
        end = until if runs and shut is GateState.INSPECTING else None
        return Gate(state=shut, since=since, until=end, wakes=findings.wakes, finding=finding)
    return Gate(state=GateState.OBSERVING, since=since, until=until) if runs else decided


def _asked(findings: Findings, *, runs: bool) -> tuple[GateState | None, str]:
    """Give what the hooks keep the gate shut by, and why; None when they do not."""
    if findings.failed:
        return GateState.FAILED, findings.failed
    if findings.doubtful:
        return GateState.DOUBTFUL, findings.doubtful
    wanted = findings.silent or (() if runs else findings.early)
    return (GateState.INSPECTING, ", ".join(wanted)) if wanted else (None, "")


def recorded(batch: Batch) -> BatchRecord:
    """Give what is kept of a batch when its gate is passed."""
    states = [member.state for member in batch.members]
    return BatchRecord(
        number=batch.number,
        size=len(states),
        updated=states.count(MemberState.UPDATED),
        failed=states.count(MemberState.FAILED),
        skipped=states.count(MemberState.SKIPPED),
    )
