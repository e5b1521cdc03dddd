"""What holds a rollout up, and what would let it go on: mostly a person's word."""

from bisect import bisect_left

import attrs

from kubenode.core.decision import Note
from kubenode.core.errors import Problem
from kubenode.core.levers.change import Change
from kubenode.core.model.batch import Batch, MemberState
from kubenode.core.model.componentset import Approve, Excuse, Rollout
from kubenode.core.model.inspection import ControlGroup, Inconclusive, InspectionResult, InspectionState
from kubenode.core.model.meta import HOLD_LABEL
from kubenode.core.policy import Policy
from kubenode.core.rollout.control import is_significant
from kubenode.core.rollout.hooks import content
from kubenode.core.rollout.inspect import suspects_of
from kubenode.core.rollout.progress import Code, Reason, some
from kubenode.core.rollout.tally import Rate, place_of
from kubenode.core.snapshots import RolloutSnapshot


def change(
    seen: RolloutSnapshot, policy: Policy, note: Note, status_failures: int
) -> Change[RolloutSnapshot] | None:
    """Give the world in which this note would not stand; None when no single word or machine decides that.

    Args:
        seen: the snapshot.
        policy: stays as it is.
        note: what holds the rollout up.
        status_failures: failures as the Decision counts them, with those that it has just found.
    """
    rollout, update, batch = seen.set.spec.rollout, seen.set.status.update, seen.set.status.batch
    group = rollout.inspection.control_group
    match note.code:
        case Reason.PAUSED.value:
            return _said(seen, policy, attrs.evolve(rollout, paused=False), "spec.rollout.paused is false")
        case Reason.FAILURE_THRESHOLD.value if update is not None and status_failures:
            excuse = Excuse(revision=str(update.number), failures=status_failures)
            word = f'spec.rollout.excuse: {{revision: "{update.number}", failures: {status_failures}}}'
            text = f"failures <= {note.limit} (now {note.observed}), as with {word}"
            return _said(seen, policy, attrs.evolve(rollout, excuse=excuse), text)
        case Reason.AWAITING_APPROVAL.value if update is not None and batch is not None:
            approve = Approve(revision=str(update.number), batch=batch.number)
            text = f'spec.rollout.approve is {{revision: "{update.number}", batch: {batch.number}}}'
            return _said(seen, policy, attrs.evolve(rollout, approve=approve), text)
        case Reason.HELD.value:
            return _let_go(seen, policy)
        case Reason.INSPECTION_INCONCLUSIVE.value if batch is not None:
            return _well(seen, policy, batch)
        case Reason.HOOK_INCONCLUSIVE.value | Reason.INSPECTION_FAILED.value | Reason.INSPECTING.value if (
            batch is not None
        ):
            return _passed(seen, policy, batch)
        case Reason.PLUGIN_MISSING.value | Reason.PARAMETERS_INVALID.value:
            return _could_be_asked(seen, policy)
        case Reason.CONTROL_GROUP_WORSE.value if group is not None:
            return _alike(seen, policy, group)
        case Reason.CONTROL_GROUP_TOO_SMALL.value if group is not None:
            going_on = attrs.evolve(group, inconclusive=Inconclusive.CONTINUE)
            inspection = attrs.evolve(rollout.inspection, control_group=going_on)
            text = "spec.rollout.inspection.controlGroup.inconclusive is Continue"
            return _said(seen, policy, attrs.evolve(rollout, inspection=inspection), text)
        case Code.WAITING_FOR_PERMITS.value if batch is not None:
            wanting = [member for member in batch.members if member.state is MemberState.WAITING]
            holds = seen.holds | {member.op_id for member in wanting}
            names = some([member.name for member in wanting])
            text = f"the ledger held permits for {names} (explain the fleet to see why not)"
            return Change(seen=attrs.evolve(seen, holds=holds), policy=policy, text=text)
        case _:
            return None


def _said(
    seen: RolloutSnapshot, policy: Policy, rollout: Rollout, text: str
) -> Change[RolloutSnapshot] | None:
    owner = attrs.evolve(seen.set, spec=attrs.evolve(seen.set.spec, rollout=rollout))
    return None if owner == seen.set else Change(seen=attrs.evolve(seen, set=owner), policy=policy, text=text)


def _well(seen: RolloutSnapshot, policy: Policy, batch: Batch) -> Change[RolloutSnapshot]:
    members = tuple(attrs.evolve(seat, available=True) for seat in seen.members)
    text = f"{some(suspects_of(batch, seen.members))} were available"
    return Change(seen=attrs.evolve(seen, members=members), policy=policy, text=text)


def _let_go(seen: RolloutSnapshot, policy: Policy) -> Change[RolloutSnapshot]:
    """Take the label away from those who are held."""
    tally, uid = seen.tally, seen.set.metadata.uid
    free = tuple(attrs.evolve(seat, held=False) for seat in tally.held_first)
    candidates = sorted((*tally.candidates, *free), key=lambda seat: (seat.available, place_of(uid, seat)))
    changed = attrs.evolve(tally, held=tally.held - len(free), held_first=(), candidates=tuple(candidates))
    text = f"nobody held {some([seat.machine.name for seat in free])} by label {HOLD_LABEL}"
    return Change(seen=attrs.evolve(seen, tally=changed), policy=policy, text=text)


def _passed(seen: RolloutSnapshot, policy: Policy, batch: Batch) -> Change[RolloutSnapshot]:
    """Let every hook have passed, also at the end of the observation."""
    hooks = seen.set.spec.rollout.inspection.hooks
    known = {result.name: result for result in batch.inspections}
    results = tuple(
        InspectionResult(
            name=hook.name, state=InspectionState.PASSED, of=content(hook), since=seen.now.wall, observed=True
        )
        for hook in hooks
    )
    lacking = [
        hook.name for hook in hooks
        if (result := known.get(hook.name)) is None or result.state is not InspectionState.PASSED or not result.observed
    ]  # fmt: skip
    status = attrs.evolve(seen.set.status, batch=attrs.evolve(batch, inspections=results))
    changed = attrs.evolve(seen, set=attrs.evolve(seen.set, status=status), inspections={})
    return Change(seen=changed, policy=policy, text=f"{some(lacking)} passed")


def _could_be_asked(seen: RolloutSnapshot, policy: Policy) -> Change[RolloutSnapshot]:
    given = {name: one for name, one in seen.inspections.items() if not isinstance(one, Problem)}
    names = sorted(seen.inspections.keys() - given.keys())
    text = f"{some(names)} could be asked"
    return Change(seen=attrs.evolve(seen, inspections=given), policy=policy, text=text)


def _alike(seen: RolloutSnapshot, policy: Policy, group: ControlGroup) -> Change[RolloutSnapshot]:
    """Let so few updated machines have each fault that it could be chance."""
    rates, said = list(seen.tally.rates), list[str]()
    for index, rate in enumerate(rates):
        if rate.of_waiting and is_significant(rate, group):
            rates[index] = borne = _borne(rate, group)
            said.append(f"{rate.type} on {borne.updated} updated machines or fewer (now {rate.updated})")
    tally = attrs.evolve(seen.tally, rates=tuple(rates))
    return Change(seen=attrs.evolve(seen, tally=tally), policy=policy, text=" and ".join(said))


def _borne(rate: Rate, group: ControlGroup) -> Rate:
    """Give the rate with the most faults among the updated that could be chance; none always could."""
    worse = bisect_left(
        range(rate.updated), True, key=lambda few: is_significant(attrs.evolve(rate, updated=few), group)
    )
    return attrs.evolve(rate, updated=worse - 1)
