"""Revisions of a set: when a new one begins, which one a machine gets, and the entry that says so."""

from collections.abc import Iterable

import attrs

from kubenode.core.decision import SetEntry
from kubenode.core.model.batch import RolledBack
from kubenode.core.model.componentset import (
    REVISIONS_LIMIT,
    Approval,
    MachineComponentSet,
    MachineComponentSetStatus,
    Revision,
)
from kubenode.core.model.entry import ComponentEntry
from kubenode.core.rollout.tally import JOIN_LIMIT, Seat, TallyView


def has_changed(owner: MachineComponentSet) -> bool:
    """Tell whether the set asks for another component than its update revision has."""
    update = owner.status.update
    return update is None or update.component != owner.component


def begun(owner: MachineComponentSet, tally: TallyView) -> MachineComponentSetStatus:
    """Give the status with which the next revision begins; what the last one counted is gone.

    Its number is above any that an entry bears, so that a set whose status was lost, or which was made
    anew under the same name, never takes old entries and reports for its own. Going back to an earlier
    component is a new revision too; machines that still have that component are not touched by it. Members of an open batch are let go: whoever got its entry already
    is a candidate of the new revision, and a permit whose op-id stands nowhere is closed.
    """
    status = owner.status
    known = status.revisions or ((status.update,) if status.update is not None else ())
    last = max((tally.highest, *(one.number for one in known)))
    update = Revision(number=last + 1, component=owner.component)
    return attrs.evolve(
        status,
        update=update,
        revisions=(*known, update)[-REVISIONS_LIMIT:],
        total=tally.selected,
        updated=0,
        failures=0,
        excused=0,
        skipped=0,
        held=0,
        proven=0,
        failed=(),
        rolled_back=kept_back(owner),
        batch=None,
        batches=(),
    )


def kept_back(owner: MachineComponentSet) -> RolledBack | None:
    """Give what is not rolled out though the spec names it; once the spec names another component, it is forgotten."""
    word = owner.status.rolled_back
    return word if word is not None and word.component == owner.spec.component else None


def rolled_back(
    owner: MachineComponentSet, status: MachineComponentSetStatus, text: str
) -> MachineComponentSet:
    """Give a set that goes back to its last complete component, because an inspection failed the one of its spec.

    Args:
        owner: the set; it has completed a revision, of another component.
        status: where its rollout stands.
        text: what the inspection said.
    """
    word = RolledBack(component=owner.spec.component, text=text[:2048])
    return attrs.evolve(owner, status=attrs.evolve(status, rolled_back=word))


def excused(owner: MachineComponentSet, status: MachineComponentSetStatus) -> int:
    """Give how many of the update revision's failures a person excused."""
    excuse = owner.spec.rollout.excuse
    if excuse is None or status.update is None or excuse.revision != str(status.update.number):
        return 0
    return min(status.failures, excuse.failures)


def named_to_skip(owner: MachineComponentSet) -> frozenset[str]:
    """Name the machines that a person wants the update revision to leave alone."""
    skip, update = owner.spec.rollout.skip, owner.status.update
    if skip is None or update is None or skip.revision != str(update.number):
        return frozenset()
    return frozenset(skip.machines)


def is_approved(owner: MachineComponentSet, revision: int, batch: int) -> bool:
    """Tell whether the next batch may follow this one as far as people are concerned."""
    rollout = owner.spec.rollout
    if rollout.approval is Approval.AUTOMATIC:
        return True
    word = rollout.approve
    return word is not None and word.revision == str(revision) and batch <= word.batch


def write(owner: MachineComponentSet, seat: Seat, revision: Revision, batch: int = 0) -> SetEntry:
    """Give the effect that brings a machine to a revision, if its entry is still what was seen."""
    return SetEntry(
        machine=seat.machine,
        name=owner.spec.name,
        expect=seat.entry,
        entry=ComponentEntry(
            set=owner.metadata.name,
            component=revision.component,
            revision=str(revision.number),
            batch=batch,
            state=owner.spec.state,
        ),
    )


def joins(
    owner: MachineComponentSet, status: MachineComponentSetStatus, joining: Iterable[Seat]
) -> tuple[SetEntry, ...]:
    """Give the entries of machines that never ran: the stable revision, at once and without a permit.

    The stable revision is the last that completed; the first one, while none did.

    Returns:
        At most JOIN_LIMIT effects, in the order of `joining`.
    """
    stable = status.current or status.update
    if stable is None:
        return ()
    name, number = owner.metadata.name, stable.number
    due = [seat for seat in joining if not seat.is_at(name, number) and not seat.is_foreign(name)]
    return tuple(write(owner, seat, stable) for seat in due[:JOIN_LIMIT])
