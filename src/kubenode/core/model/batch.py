"""Batches of a rollout: which machines are changed now, what became of them, and what is kept of batches before."""

import enum
from datetime import datetime
from typing import Annotated

import attrs

from kubenode.core.model.inspection import HOOKS_LIMIT, InspectionResult
from kubenode.core.model.meta import Items, Message, Name, Number, OpId, Reason, Uid, Wire

BATCH_LIMIT = 500
"""Most members one batch can have; larger sizes are cut to it, so that its record stays bounded."""


class MemberState(enum.Enum):
    """How far one member of the open batch is: Waiting for its permit, Started, Updated, Failed, Gone or Skipped."""

    WAITING = "Waiting"
    """Asks for a permit (or for room, where none is needed)."""
    STARTED = "Started"
    """Its entry is written or may be; it holds its permit."""
    UPDATED = "Updated"
    FAILED = "Failed"
    GONE = "Gone"
    SKIPPED = "Skipped"
    """Not touched, because `skip` names it, `partition` keeps it or a person holds it by label."""


@attrs.frozen(kw_only=True)
class Member:
    """One machine of the open batch.

    Attributes:
        name: name of the Machine.
        healthy: it was available when the batch opened; only such a one proves anything of the revision.
    """

    name: Name
    uid: Uid
    op_id: Annotated[OpId, Wire(name="opID")]
    state: MemberState = MemberState.WAITING
    healthy: bool = True


@attrs.frozen(kw_only=True)
class Batch:
    """The open batch: its members are fixed when it opens.

    Attributes:
        number: of the batch, from 1 in each revision.
        opened_at: when its members were chosen.
        closed_at: when its last member ended; set while it is observed, absent before.
        members: its machines, and how far each is.
        inspections: what the hooks said of it.
    """

    number: Annotated[int, Number(min=1, max=1_000_000)]
    opened_at: datetime
    closed_at: datetime | None = None
    members: Annotated[tuple[Member, ...], Items(max=BATCH_LIMIT)]
    inspections: Annotated[tuple[InspectionResult, ...], Items(max=HOOKS_LIMIT)] = ()


@attrs.frozen(kw_only=True)
class Failure:
    """A machine on which the revision failed.

    Attributes:
        name: name of the Machine.
    """

    name: Name
    uid: Uid
    reason: Reason
    message: Message = ""


@attrs.frozen(kw_only=True)
class BatchRecord:
    """A closed batch.

    Attributes:
        number: of the batch, from 1 in each revision.
        size: how many machines were its members.
        updated: how many of them were updated.
        failed: on how many of them the revision failed.
        skipped: how many of them were not touched, by a person's word.
    """

    number: Annotated[int, Number(min=1, max=1_000_000)]
    size: Annotated[int, Number(min=0, max=BATCH_LIMIT)]
    updated: Annotated[int, Number(min=0, max=BATCH_LIMIT)]
    failed: Annotated[int, Number(min=0, max=BATCH_LIMIT)]
    skipped: Annotated[int, Number(min=0, max=BATCH_LIMIT)] = 0


@attrs.frozen(kw_only=True)
class RolledBack:
    """A component that an inspection failed, so that the last complete one came back.

    It counts for as long as `spec.component` names it.

    Attributes:
        component: the MachineComponent that was rolled back.
    """

    component: Name
    text: Annotated[Message, "what the inspection said"] = ""
