"""What stands in Orphans is another process's word until this one has learned something newer (decision 0171).

Two that believe to lead, and whose looks at the provider differ, would else write what each has seen against the other, as
fast as the API answers. Only the word is held back: each end needs its record, which only one of them can write.
"""

from collections.abc import Mapping

import attrs

from kubenode.core.decision import NOTHING_SEEN
from kubenode.core.heard import Heard, heard
from kubenode.core.identity import digest
from kubenode.core.machineset.crew import MachineSetSnapshot
from kubenode.core.machineset.orphans import ORPHANS, Orphans
from kubenode.core.model.condition import MESSAGE_LIMIT, Claim, find


@attrs.frozen(kw_only=True)
class Heeded:
    """What is said of orphans.

    Attributes:
        claims: Orphans, or nothing.
        sightings: by which this process knows again what it said, and what somebody else did.
    """

    claims: tuple[Claim, ...]
    sightings: Mapping[str, int] = NOTHING_SEEN


def heed(seen: MachineSetSnapshot, found: Orphans, claims: tuple[Claim, ...], *, acts: bool) -> Heeded:
    """Say what stands, where that is another's word and not certainly older.

    Args:
        seen: the snapshot.
        found: the orphans that two looks have shown.
        claims: what this process has to say of them.
        acts: it also records an end, or asks for one.

    Invariant: a word that is held back is written only after a look that began after this process saw what stands, and
    when all that it showed was shown twice.
    """
    if seen.looked is None:
        return Heeded(claims=claims)
    now, said = seen.now.elapsed, find(seen.set.status.conditions, ORPHANS)
    stands = () if said is None else (Claim.again(said),)
    known = heard(_word(stands), now, seen.sightings)
    if not acts and _is_late(seen, seen.looked, found, known):
        claims = stands
    return Heeded(claims=claims, sightings=known.remembered(_word(claims), now))


def _is_late(seen: MachineSetSnapshot, looked: int, found: Orphans, known: Heard) -> bool:
    """Tell whether what this process has learned may be older than what stands; of what it has seen once it knows less."""
    answers = [one.answer.at for one in seen.orphan_sights.values() if one.answer is not None]
    unproven = len(found.ids) < len(seen.orphans)
    return (unproven and not known.own) or known.outlasts(max((looked, *answers)))


def _word(claims: tuple[Claim, ...]) -> str:
    return digest(
        "orphans",
        *(part for one in claims for part in (one.holds.value, one.reason, one.message[:MESSAGE_LIMIT])),
    )
