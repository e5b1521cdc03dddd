"""What a set says of itself: its counts, its conditions, and why it stands still."""

import enum
from collections import Counter
from collections.abc import Sequence

import attrs

from kubenode.core.decision import Note
from kubenode.core.machineset.crew import Crew
from kubenode.core.machineset.losses import Losses, borne
from kubenode.core.machineset.order import Standing, is_ready, standing
from kubenode.core.machineset.outdated import outdated
from kubenode.core.model.condition import Claim
from kubenode.core.model.machine import Machine
from kubenode.core.model.machineset import MACHINESET_CRD, MachineSet, MachineSetStatus, StrategyType

SCALED = "Scaled"
MASS_DELETE = "MassDelete"
CONFLICT = "Conflict"
UP_TO_DATE = "UpToDate"
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
    ALL_CURRENT = "AllCurrent"
    OUTDATED_STAY = "OutdatedStay"
    WAITING_FOR_SUCCESSORS = "WaitingForSuccessors"
    OTHER_SET = "OtherSet"
    NO_ROOM = "NoRoom"
    ORPHANS_FOUND = "OrphansFound"
    ORPHANS_ENDING = "OrphansEnding"
    ORPHANS_HELD = "OrphansHeld"


def counted(owner: MachineSet, members: Sequence[Machine]) -> MachineSetStatus:
    """Count the machines, each once, and write the selector as text."""
    counts = Counter(map(standing, members))
    updated = len(members) - counts[Standing.DELETING] - len(outdated(owner, members))
    ready = sum(is_ready(one) and standing(one) is not Standing.DELETING for one in members)
    labels = sorted(owner.spec.selector.match_labels.items())
    return attrs.evolve(
        owner.status, observed_generation=owner.metadata.generation, replicas=len(members), ready=ready,
        available=counts[Standing.AVAILABLE], starting=counts[Standing.STARTING],
        unavailable=counts[Standing.UNAVAILABLE], deleting=counts[Standing.DELETING], updated=updated,
        selector=",".join(f"{key}={value}" for key, value in labels),
    )  # fmt: skip


def claims(owner: MachineSet, crew: Crew, losses: Losses) -> tuple[Claim, ...]:
    """Claim Scaled, MassDelete and UpToDate, and Conflict where another set selects the same machines."""
    mass = Claim.of(MASS_DELETE, losses.held, *_loss(crew, losses))
    return (_scaled(owner, crew, losses), mass, _up_to_date(owner, crew), *_conflict(crew))


def leaving(crew: Crew) -> Claim:
    """Claim Scaled of a set that is being deleted."""
    text = f"the set is being deleted; {len(crew.members)} of its machines go before it"
    return Claim.of(SCALED, False, Reason.DELETING.value, text)


def leaving_unknown(crew: Crew) -> Claim:
    """Claim Scaled of a set that is being deleted, while nobody knows whether its CRD is."""
    text = (
        f"the set is being deleted; none of its {len(crew.members)} machines is deleted before the server has said "
        f"whether the CRD {MACHINESET_CRD} is being deleted"
    )
    return Claim.of(SCALED, False, Reason.DELETING.value, text)


def leaving_with_crd(crew: Crew, losses: Losses) -> tuple[Claim, ...]:
    """Claim Scaled and MassDelete of a set whose CRD is being deleted."""
    if not losses.held:
        return leaving(crew), Claim.of(MASS_DELETE, False, Reason.NONE_LOST.value)
    why = f"the CRD {MACHINESET_CRD} is being deleted, and every set with it"
    text = f"{why}; nothing is deleted until spec.acknowledgedLosses is {losses.lost}"
    more = (
        f"{why}; to delete the {len(crew.members)} machines of this one, set spec.acknowledgedLosses to {losses.lost}; "
        "to keep a machine, remove its spec.setRef"
    )
    return (
        Claim.of(SCALED, False, Reason.MASS_DELETE.value, text),
        Claim.of(MASS_DELETE, True, Reason.MACHINES_LOST.value, more),
    )


def _scaled(owner: MachineSet, crew: Crew, losses: Losses) -> Claim:
    wanted, have, live = owner.spec.replicas, len(crew.members), len(crew.live)
    if losses.held:
        text = (
            f"{live} of {wanted}; nothing is made or deleted until spec.acknowledgedLosses is {losses.lost}"
        )
        return Claim.of(SCALED, False, Reason.MASS_DELETE.value, text)
    if live > wanted + surge(owner, crew):
        return Claim.of(SCALED, False, Reason.SCALING_DOWN.value, f"{live - wanted} too many")
    if have < wanted:
        return Claim.of(SCALED, False, Reason.SCALING_UP.value, f"{wanted - have} to be made")
    if live < wanted:
        text = f"{wanted - live} to be made when those that are being deleted are gone"
        return Claim.of(SCALED, False, Reason.WAITING_FOR_DELETIONS.value, text)
    return Claim.of(SCALED, True, Reason.AT_REPLICAS.value)


def surge(owner: MachineSet, crew: Crew) -> int:
    """Give how many machines more than `replicas` there are to be now, so that outdated ones can be replaced."""
    strategy = owner.spec.strategy
    if strategy.type is StrategyType.ON_DELETE:
        return 0
    return min(strategy.max_surge, len(outdated(owner, crew.live)))


def _up_to_date(owner: MachineSet, crew: Crew) -> Claim:
    """Say how many machines are of an earlier template, and what becomes of them."""
    old = len(outdated(owner, crew.live))
    if not old:
        return Claim.of(UP_TO_DATE, True, Reason.ALL_CURRENT.value)
    text = f"{old} machines are of an earlier template"
    if owner.spec.strategy.type is StrategyType.ON_DELETE:
        text += "; they stay until somebody deletes them (strategy OnDelete)"
        return Claim.of(UP_TO_DATE, False, Reason.OUTDATED_STAY.value, text)
    going = len(crew.members) - len(crew.live)
    if going:
        text += f"; {going} are being deleted, each until its machine controller lets it go"
        return Claim.of(UP_TO_DATE, False, Reason.WAITING_FOR_DELETIONS.value, text)
    text += "; each is deleted when a successor is available"
    return Claim.of(UP_TO_DATE, False, Reason.WAITING_FOR_SUCCESSORS.value, text)


def _loss(crew: Crew, losses: Losses) -> tuple[str, str]:
    if not losses.held:
        return Reason.NONE_LOST.value, ""
    borne_text = (
        f"more than the {borne(len(crew.members))} within ten minutes that are borne"
        if crew.live
        else "and none is left"
    )
    text = (
        f"{losses.lost - losses.acknowledged} machines were deleted by somebody else, {borne_text}; to go on, set "
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
    if said[2].reason in (Reason.WAITING_FOR_SUCCESSORS.value, Reason.WAITING_FOR_DELETIONS.value):
        found.append(Note(code=said[2].reason, text=said[2].message, scope=scope))
    found += (Note(code=claim.reason, text=claim.message, scope=scope) for claim in said[3:])
    return tuple(found)
