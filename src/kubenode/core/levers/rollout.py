"""What holds a rollout up, and what would let it go on: mostly a person's word."""

import attrs

from kubenode.core.deciding import RolloutSnapshot
from kubenode.core.decision import Note
from kubenode.core.levers.change import Change
from kubenode.core.model.componentset import Approve, Excuse, MemberState, Rollout
from kubenode.core.policy import Policy
from kubenode.core.rollout.progress import Code, Reason


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
        case Reason.INSPECTION_INCONCLUSIVE.value:
            return _well(seen, policy)
        case Code.WAITING_FOR_PERMITS.value if batch is not None:
            wanting = [member for member in batch.members if member.state is MemberState.WAITING]
            holds = seen.holds | {member.op_id for member in wanting}
            names = ", ".join(member.name for member in wanting[:3])
            more = f" and {len(wanting) - 3} more" if len(wanting) > 3 else ""
            text = f"the ledger held permits for {names}{more} (explain the fleet to see why not)"
            return Change(seen=attrs.evolve(seen, holds=holds), policy=policy, text=text)
        case _:
            return None


def _said(
    seen: RolloutSnapshot, policy: Policy, rollout: Rollout, text: str
) -> Change[RolloutSnapshot] | None:
    owner = attrs.evolve(seen.set, spec=attrs.evolve(seen.set.spec, rollout=rollout))
    return None if owner == seen.set else Change(seen=attrs.evolve(seen, set=owner), policy=policy, text=text)


def _well(seen: RolloutSnapshot, policy: Policy) -> Change[RolloutSnapshot]:
    away = [seat for seat in seen.members if not seat.available]
    members = tuple(attrs.evolve(seat, available=True) for seat in seen.members)
    text = f"{', '.join(sorted(seat.machine.name for seat in away)[:3])} were available"
    return Change(seen=attrs.evolve(seen, members=members), policy=policy, text=text)
