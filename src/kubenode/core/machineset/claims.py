"""What a set says of itself: its counts, its conditions, and why it stands still."""

import enum
from collections import Counter
from collections.abc import Sequence

import attrs

from kubenode.core.decision import Note
from kubenode.core.machineset.crew import Crew
from kubenode.core.machineset.losses import Losses, borne
from kubenode.core.machineset.order import Standing, is_ready, standing
from kubenode.core.model.condition import Claim
from kubenode.core.model.machine import Machine
from kubenode.core.model.machineset import MachineSet, MachineSetStatus

SCALED = "Scaled"
MASS_DELETE = "MassDelete"
CONFLICT = "Conflict"
_NAMED = 3


class Reason(enum.Enum):
    """All reasons of a MachineSet's conditions, and codes of its notes."""

    AT_REPLICAS = "AtReplicas"
    SCALING_UP = "ScalingUp"
    SCALING_DOWN = "ScalingDown"
    WAITING_FOR_DELETIONS = "WaitingForDeletions"
    MASS_DELETE = "MassDelete"
    DELETING = "Deleting"
    NEWER_VERSION = "NewerVersion"
    MACHINES_LOST = "MachinesLost"
    NONE_LOST = "NoneLost"
    OTHER_SET = "OtherSet"
    NO_ROOM = "NoRoom"


def counted(owner: MachineSet, members: Sequence[Machine]) -> MachineSetStatus:
    """Count the machines, each once, and write the selector as text."""
    counts = Counter(map(standing, members))
    ready = sum(is_ready(one) and standing(one) is not Standing.DELETING for one in members)
    labels = sorted(owner.spec.selector.match_labels.items())
    return attrs.evolve(
        owner.status, observed_generation=owner.metadata.generation, replicas=len(members), ready=ready,
        available=counts[Standing.AVAILABLE], starting=counts[Standing.STARTING],
        unavailable=counts[Standing.UNAVAILABLE], deleting=counts[Standing.DELETING],
        selector=",".join(f"{key}={value}" for key, value in labels),
    )  # fmt: skip


def claims(owner: MachineSet, crew: Crew, losses: Losses) -> tuple[Claim, ...]:
    """Claim Scaled and MassDelete, and Conflict where another set selects the same machines."""
    mass = Claim.of(MASS_DELETE, losses.held, *_loss(crew, losses))
    return (_scaled(owner, crew, losses), mass, *_conflict(crew))


def leaving(crew: Crew) -> Claim:
    """Claim Scaled of a set that is being deleted."""
    text = f"the set is being deleted; {len(crew.members)} of its machines go before it"
    return Claim.of(SCALED, False, Reason.DELETING.value, text)


def _scaled(owner: MachineSet, crew: Crew, losses: Losses) -> Claim:
    wanted, have, live = owner.spec.replicas, len(crew.members), len(crew.live)
    if losses.held:
        text = (
            f"{live} of {wanted}; nothing is made or deleted until spec.acknowledgedLosses is {losses.lost}"
        )
        return Claim.of(SCALED, False, Reason.MASS_DELETE.value, text)
    if live > wanted:
        return Claim.of(SCALED, False, Reason.SCALING_DOWN.value, f"{live - wanted} too many")
    if have < wanted:
        return Claim.of(SCALED, False, Reason.SCALING_UP.value, f"{wanted - have} to be made")
    if live < wanted:
        text = f"{wanted - live} to be made when those that are being deleted are gone"
        return Claim.of(SCALED, False, Reason.WAITING_FOR_DELETIONS.value, text)
    return Claim.of(SCALED, True, Reason.AT_REPLICAS.value)


def _loss(crew: Crew, losses: Losses) -> tuple[str, str]:
    if not losses.held:
        return Reason.NONE_LOST.value, ""
    text = (
        f"{losses.lost - losses.acknowledged} machines were deleted by somebody else, more than the "
        f"{borne(len(crew.members))} within ten minutes that are borne; to go on, set "
        f"spec.acknowledgedLosses to {losses.lost}. Those being deleted have finalizers of their own"
    )
    return Reason.MACHINES_LOST.value, text


def _conflict(crew: Crew) -> tuple[Claim, ...]:
    if not crew.contested:
        return ()
    named = ", ".join(crew.contested[:_NAMED])
    text = f"{len(crew.contested)} machines are selected by another set too, and adopted by none: {named}"
    return (Claim.of(CONFLICT, True, Reason.OTHER_SET.value, text),)


def notes(owner: MachineSet, crew: Crew, losses: Losses, said: Sequence[Claim]) -> tuple[Note, ...]:
    """Say what is not done, and what binds."""
    scope = f"machineset={owner.metadata.name}"
    scaled = said[0]
    found: list[Note] = []
    if losses.held:
        found.append(Note(
            code=Reason.MASS_DELETE.value, text=said[1].message, scope=scope,
            observed=losses.lost, limit=losses.acknowledged,
        ))  # fmt: skip
    elif scaled.reason == Reason.WAITING_FOR_DELETIONS.value:
        found.append(Note(
            code=scaled.reason, text=scaled.message, scope=scope,
            observed=len(crew.members), limit=owner.spec.replicas,
        ))  # fmt: skip
    room = max(0, owner.spec.replicas - len(crew.members))
    if len(crew.joiners) > room:
        text = f"{len(crew.joiners) - room} machines that the set selects are not adopted: it has enough"
        found.append(Note(code=Reason.NO_ROOM.value, text=text, scope=scope))
    found += (Note(code=claim.reason, text=claim.message, scope=scope) for claim in said[2:])
    return tuple(found)
