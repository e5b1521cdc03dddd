"""Mass deletes: machines that somebody else deletes, many at once, while as many are wanted as before.

Source: api.md section 4; S5, F22 and F23. A machine that the set itself deletes is no loss, nor is one whose
place was taken away by lower `replicas`. When none is left of several, however few they were, it is a mass delete too:
so it looks when the CRD of Machines is deleted, which asks for the deletion of every Machine at once.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import attrs

from kubenode.core.decision import NOTHING_SEEN, soonest
from kubenode.core.model.machine import Machine
from kubenode.core.model.machineset import RECORD_LIMIT, MachineSet
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import nanoseconds

WINDOW: Final = timedelta(minutes=10)
BORNE: Final = 5
BORNE_PERCENT: Final = 10

_SEEN = "deleting:"
_COUNTED = "counted:"


@attrs.frozen(kw_only=True)
class Losses:
    """What is lost.

    Attributes:
        lost: machines lost in mass deletes, ever.
        losing: uids of those still there.
        acknowledged: how many of `lost` a person knows of.
        sightings: when each deletion was first seen, and which are counted in a status not yet stored.
        wake_at: when the oldest deletion of a machine that is gone is forgotten.
    """

    lost: int
    losing: tuple[str, ...]
    acknowledged: int
    sightings: Mapping[str, int]
    wake_at: int | None

    @property
    def held(self) -> bool:
        """Whether more is lost than a person has acknowledged."""
        return self.lost > self.acknowledged


def judge_losses(
    owner: MachineSet, members: Sequence[Machine], now: Now, sightings: Mapping[str, int]
) -> Losses:
    """Count deletions first seen within the window; beyond what is borne they are losses, each counted once.

    Args:
        owner: the set, with what was counted before.
        members: its machines.
        now: the moment.
        sightings: what the last decision returned.

    Once something is lost and not acknowledged, every further deletion is lost too, so that a person who
    acknowledges a number acknowledges no more than that.
    """
    status, span = owner.status, nanoseconds(WINDOW)
    ours = {leaver.uid for leaver in status.going}
    there = {one.metadata.uid for one in members if one.metadata.deletion_timestamp is not None} - ours
    losing = tuple(uid for uid in status.losing if uid in there)
    known = _uncounted(sightings, status.lost, now.elapsed)
    first = {uid: known.get(uid, now.elapsed) for uid in sorted(there.difference(losing))}
    first |= {uid: since for uid, since in known.items() if uid not in there and since + span > now.elapsed}
    gone = {uid: since for uid, since in first.items() if uid not in there}
    recent = [uid for uid in sorted(first) if first[uid] + span > now.elapsed]
    live = sum(one.metadata.deletion_timestamp is None for one in members)
    unasked = min(len(recent), owner.spec.replicas - live)
    held = status.lost > owner.spec.acknowledged_losses
    limit = 0 if held else 1 if live == 0 else borne(len(members) + len(gone))
    fresh = _recorded(recent, gone, RECORD_LIMIT - len(losing)) if unasked > limit else []
    lost = status.lost + len(fresh)
    seen = {_SEEN + uid: since for uid, since in first.items() if uid not in fresh}
    return Losses(
        lost=lost, losing=(*losing, *(uid for uid in fresh if uid in there)),
        acknowledged=owner.spec.acknowledged_losses,
        # Until the new count is stored, only these marks know who is in it.
        sightings=seen | {_COUNTED + uid: lost for uid in fresh},
        wake_at=soonest(since + span for uid, since in gone.items() if uid not in fresh),
    )  # fmt: skip


def barred(owner: MachineSet, members: Sequence[Machine], machine: Machine) -> str:
    """Say why the instance of a machine that is being deleted may not be terminated; empty when it may.

    Losses that nobody has acknowledged hold it up, and so does a deletion that is one of too many at once and that the
    set has not counted yet: its machines are seen before their set has looked at them. Who the set itself deletes goes.
    """
    status, stamp = owner.status, machine.metadata.deletion_timestamp
    ours = {leaver.uid for leaver in status.going}
    if machine.metadata.uid in ours:
        return ""
    name = owner.metadata.name
    if status.lost > owner.spec.acknowledged_losses:
        return f"MachineSet {name} lost machines in a mass delete; nothing of it is terminated until its spec.acknowledgedLosses is {status.lost}"
    if owner.metadata.deletion_timestamp is not None and machine.metadata.uid not in status.losing:
        return f"MachineSet {name} is being deleted, and has not said yet that this machine goes with it"
    known = ours.union(status.losing)
    stamps = [
        one.metadata.deletion_timestamp for one in members
        if one.metadata.deletion_timestamp is not None and one.metadata.uid not in known
    ]  # fmt: skip
    live = sum(one.metadata.deletion_timestamp is None for one in members)
    recent = [one for one in stamps if stamp is not None and timedelta(0) <= stamp - one < WINDOW]
    limit = 1 if live == 0 else borne(len(members))
    if machine.metadata.uid in known or min(len(recent), owner.spec.replicas - live) <= limit:
        return ""
    return f"{len(recent)} machines of MachineSet {name} are being deleted at once by somebody else; it has to count them first"


def lose_all(owner: MachineSet, members: Sequence[Machine]) -> Losses:
    """Count every machine that the set did not choose to delete, each once: it goes because its CRD does.

    No more than the record has room for; the others are counted when those are gone, and need a word of their own.
    """
    status = owner.status
    ours = {leaver.uid for leaver in status.going}
    there = {one.metadata.uid for one in members}
    losing = tuple(uid for uid in status.losing if uid in there)
    fresh = _recorded(sorted(there - ours - set(losing)), {}, RECORD_LIMIT - len(losing))
    return Losses(
        lost=status.lost + len(fresh), losing=(*losing, *fresh), acknowledged=owner.spec.acknowledged_losses,
        sightings=NOTHING_SEEN, wake_at=None,
    )  # fmt: skip


def borne(machines: int) -> int:
    """Give how many machines of a set may be deleted within the window without anybody being asked.

    >>> borne(3), borne(200)
    (5, 20)
    """
    return max(BORNE, machines * BORNE_PERCENT // 100)


def _uncounted(sightings: Mapping[str, int], stored: int, now: int) -> dict[str, int]:
    """Give when each deletion that the stored status has not counted was first seen."""
    known: dict[str, int] = {}
    for key, value in sightings.items():
        kind, _, uid = key.partition(":")
        if f"{kind}:" == _SEEN:
            known[uid] = min(value, now)
        elif f"{kind}:" == _COUNTED and stored < value:
            known[uid] = now
    return known


def _recorded(recent: Sequence[str], gone: Mapping[str, int], room: int) -> list[str]:
    """Give those that can be counted: who is still there needs a place in the record, or would be counted again."""
    there = [uid for uid in recent if uid not in gone][: max(0, room)]
    return sorted([*there, *(uid for uid in recent if uid in gone)])
