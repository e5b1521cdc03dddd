"""An episode whose machine is gone: nobody would end it, and its permit would be held for ever.

The episodes of a machine that is there are `decide.py`'s. Called by runtime/controller/abandoned.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import attrs

from kubenode.core.decision import NOTHING_SEEN, Decision, Note
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.remedy import AttemptState, JobPhase, RemedyOperationJob, RemedyOperationJobStatus
from kubenode.core.policy import Policy
from kubenode.core.remedy.ladder import closed, is_closed
from kubenode.core.remedy.replace import is_replacing

GRACE: Final = timedelta(seconds=30)
"""How long the machine must have been unseen: a cache may show the episode before its machine."""


@attrs.frozen(kw_only=True)
class AbandonedSnapshot:
    """One episode, and whether its machine (by uid) is there."""

    job: RemedyOperationJob
    there: bool
    now: Now
    sightings: Mapping[str, int] = NOTHING_SEEN


def decide(seen: AbandonedSnapshot, policy: Policy) -> Decision[RemedyOperationJobStatus]:
    """End an open episode whose machine has been gone for the grace: it succeeded if it replaced it, else it is cancelled.

    Returns:
        The stored status and no deadline while the machine is there, or the episode is closed or a newer
        version's. Closing it lets the risk decider close its hold (api.md section 3: when the owner's uid
        is gone).
    """
    if seen.there or is_closed(seen.job) or seen.job.metadata.unknown:
        return Decision()
    key = f"gone:{seen.job.metadata.uid}"
    since = min(seen.sightings.get(key, seen.now.elapsed), seen.now.elapsed)
    due = since + nanoseconds(GRACE)
    text = f"machine {seen.job.spec.machine.name} ({seen.job.spec.machine.uid}) is gone"
    if seen.now.elapsed < due:
        note = Note(code="MachineGone", text=text, frees_at=due)
        return Decision(notes=(note,), wake_at=due, sightings={key: since}, deferred=True)
    if is_replacing(seen.job):
        text = f"replaced: {text}"
        status = closed(seen.job, JobPhase.SUCCEEDED, text, seen.now.wall, AttemptState.SUCCEEDED)
    else:
        status = closed(seen.job, JobPhase.CANCELLED, text, seen.now.wall)
    return Decision(status=status, notes=(Note(code="MachineGone", text=text),), sightings={key: since})
