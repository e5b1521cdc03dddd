"""Instances that were made for a machine of the set which is no more: which they are, and what is said of them.

An orphan is what a Machine left whose finalizer somebody took away, or one that a backup does not know. A wrong tag, or a
restored backup, makes orphans of all instances at once: so who terminates them is a person, unless `spec.orphans` says
otherwise (ending.py).
"""

from collections.abc import Mapping
from typing import Final

import attrs

from kubenode.core.instance.evidence import ABSENCE
from kubenode.core.machineset.claims import Reason
from kubenode.core.machineset.crew import MachineSetSnapshot
from kubenode.core.model.condition import Claim

ORPHANS: Final = "Orphans"
_NAMED = 10


@attrs.frozen(kw_only=True)
class Orphans:
    """What is to be thought of them.

    Attributes:
        ids: of those that two looks have shown, a while apart, sorted.
        sightings: when each was first shown.
    """

    ids: tuple[str, ...]
    sightings: Mapping[str, int]


def judge_orphans(seen: MachineSetSnapshot) -> Orphans:
    """Judge what the last look showed; one that a look does not show any more is forgotten.

    A Machine may be made, and its instance with it, before its event has come: so one look proves nothing.
    """
    first = {_key(one): min(seen.sightings.get(_key(one), at), at) for one, at in seen.orphans.items()}
    ids = tuple(sorted(one for one, at in seen.orphans.items() if at - first[_key(one)] >= ABSENCE))
    return Orphans(ids=ids, sightings=first)


def orphans_claim(found: Orphans, reason: Reason, doing: str) -> tuple[Claim, ...]:
    """Claim Orphans while there are some; it takes no part in anything. `doing`: what is done to them, or why nothing is."""
    if not found.ids:
        return ()
    more = "" if len(found.ids) <= _NAMED else f" and {len(found.ids) - _NAMED} more"
    text = (
        f"{len(found.ids)} instances were made for machines of this set that are no more: {', '.join(found.ids[:_NAMED])}{more}; "
        f"{doing}"
    )
    return (Claim.of(ORPHANS, True, reason.value, text),)


def _key(instance_id: str) -> str:
    return f"orphan:{instance_id}"
