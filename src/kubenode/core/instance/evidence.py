"""What looks prove: that an instance is there, that it is no more, or nothing yet."""

from typing import Final

import attrs

from kubenode.core.hookspecs import Instance, InstanceState
from kubenode.core.instance.reasons import InstanceReason
from kubenode.core.instance.seen import MACHINE_UID_TAG, Case
from kubenode.core.instance.turn import INSTANCE_READY, MINUTE, Turn, claim, seen_since, waits
from kubenode.core.model.condition import Claim, find

VISIBLE: Final = 5 * MINUTE
"""For so long after a create a look that does not show the instance says nothing, and longer if the provider says so:
clouds show it later than they make it."""
ABSENCE: Final = MINUTE
"""So long after the first look that does not show it, a second one has to say the same."""
BORNE: Final = 5
BORNE_PERCENT: Final = 10

_LEAVING = frozenset({InstanceState.TERMINATED, InstanceState.DELETING})


def dead(one: Instance) -> bool:
    """Tell whether the provider says that an instance is no more."""
    return one.state is InstanceState.TERMINATED


def leaving(one: Instance) -> bool:
    """Tell whether the end of an instance has begun; it counts until it is no more."""
    return one.state in _LEAVING


@attrs.frozen(kw_only=True)
class Absence:
    """What is to be thought of an instance that looks do not show.

    Attributes:
        proven: it is no more.
        first: when the first look began that counts; None: none has.
        look: from when the next look is of use.
        key: under which `first` is remembered.
    """

    proven: bool
    first: int | None
    look: int
    key: str

    def remembered(self, turn: Turn) -> Turn:
        """Let a turn remember the first look that counts."""
        return turn if self.first is None else seen_since(turn, **{self.key: self.first})


def visible_within(case: Case) -> int:
    """Give how long after a create a look that does not show the instance says nothing, nanoseconds."""
    told = case.sight.blind
    return VISIBLE if told is None else max(VISIBLE, told)


def absence(case: Case, *, visible: int, key: str) -> Absence:
    """Judge an instance that the last look did not show, if one was made: two looks prove it, a while apart.

    Args:
        case: with the last look.
        visible: from when a look would show it; those that began before, whoever counted them, prove nothing.
        key: under which the first look that counts is remembered.

    Never from doubtful looks: an empty list is no evidence that all are gone (F22).
    """
    looked = case.sight.looked
    if looked is None:
        return Absence(proven=False, first=None, look=visible, key=key)
    if not case.sight.missing or looked < visible or case.sight.doubt:
        return Absence(proven=False, first=None, look=max(visible, looked + 1), key=key)
    known = case.sightings.get(key, looked)
    first = known if known >= visible else looked
    return Absence(proven=looked - first >= ABSENCE, first=first, look=first + ABSENCE, key=key)


def doubted(known: int, missing: int) -> bool:
    """Tell whether so many instances are missing at once that the look is doubted: more than are borne, or all of several.

    Args:
        known: instances of the provider that Machines say they have, and whose end nobody asked for.
        missing: how many of them the last look did not show.

    >>> doubted(200, 20), doubted(200, 21), doubted(2, 2), doubted(1, 1)
    (False, True, True, False)
    """
    borne = max(BORNE, known * BORNE_PERCENT // 100)
    return missing > borne or (missing > 1 and missing == known)


def stranger(case: Case, one: Instance) -> tuple[InstanceReason, str] | None:
    """Say why an instance that the status names is not to be touched; None when it is certainly the machine's."""
    if case.sight.rivals:
        others = ", ".join(case.sight.rivals)
        text = f"Machine {others} says that {one.id} is its instance too; delete the Machine that is wrong, with deletionPolicy Release"
        return InstanceReason.INSTANCE_CONFLICT, text
    owner = one.tags.get(MACHINE_UID_TAG)
    if owner is None:
        text = (
            f"{one.id} does not bear the tag {MACHINE_UID_TAG}; if it is this machine's, give it the tag with the value "
            f"{case.uid}; else delete the Machine with deletionPolicy Release"
        )
        return InstanceReason.INSTANCE_UNTAGGED, text
    if owner != case.uid:
        text = (
            f"{one.id} is the instance of another machine, by its tag {MACHINE_UID_TAG}={owner}, perhaps of another cluster; "
            "delete this Machine with deletionPolicy Release"
        )
        return InstanceReason.INSTANCE_FOREIGN, text
    return None


def standing(case: Case) -> Claim | None:
    """Give the claim that stands, while nobody has looked since this process began."""
    said = find(case.machine.status.conditions, INSTANCE_READY)
    return None if said is None else Claim.again(said)


def twice(case: Case, ids: tuple[str, ...]) -> Turn:
    """Say that a machine has several instances: which one is its own is a person's to say (S12)."""
    text = (
        f"{' and '.join(sorted(ids))} bear the uid of this machine; terminate all but one, "
        f"or take their tag {MACHINE_UID_TAG} away"
    )
    return waits(case, claim(False, InstanceReason.INSTANCE_TWICE, text))
