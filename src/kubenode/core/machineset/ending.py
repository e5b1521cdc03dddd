"""Orphans whose end a person allowed the set to ask for: one at a time, few in an hour, and none that might be in use.

An orphan has no Machine, so there is nothing that a permit could be for: one that a Node runs on is left to a person, and
the end of the others disrupts nothing. Source: api.md section 3; decisions 0100 and 0154.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import attrs

from kubenode.core.decision import NOTHING_SEEN, Note, TerminateInstance, soonest
from kubenode.core.health.freeze import elapsed_at, frozen, lasting, thaws
from kubenode.core.health.zones import open_breaker
from kubenode.core.identity import op_id
from kubenode.core.instance.evidence import leaving
from kubenode.core.instance.seen import (
    MACHINE_TAG,
    MACHINE_UID_TAG,
    MANAGED_TAG,
    SET_UID_TAG,
    OrphanSight,
    ProviderAnswer,
)
from kubenode.core.instance.turn import MINUTE, due
from kubenode.core.machineset.claims import Reason
from kubenode.core.machineset.crew import MachineSetSnapshot
from kubenode.core.machineset.losses import borne
from kubenode.core.machineset.orphans import Orphans
from kubenode.core.model.machineset import MachineSet, OrphanEnd, OrphanPolicy
from kubenode.core.model.meta import ref
from kubenode.core.policy import Policy

CAP: Final = 3
"""Most orphans of one set whose end is asked for within an hour."""
FRESH: Final = timedelta(minutes=5)
"""A record older than this is written anew before the provider is asked: it tells when that was."""
PASSING: Final = frozenset({"Ambiguous", "Throttled", "Unavailable", "Busy"})
"""Refusals that pass by themselves; what a person has to mend is asked for again RARELY."""
RARELY: Final = 60 * MINUTE
WINDOW: Final = timedelta(hours=1) + FRESH
"""For so long a record counts."""


@attrs.frozen(kw_only=True)
class Endings:
    """What becomes of the orphans of a set now.

    Attributes:
        records: all of the status, with the one that is chosen now.
        effects: the end of one whose record stands.
        reason: of condition Orphans.
        text: what is done to them, or why nothing is.
        sightings: when each record stops to count, and of freezes that bind.
        wake_at: when a record stops to count, or a freeze ends.
    """

    records: tuple[OrphanEnd, ...]
    effects: tuple[TerminateInstance, ...] = ()
    reason: Reason = Reason.ORPHANS_FOUND
    text: str = (
        f"nothing is done to them: terminate them at the provider, or take their tag {SET_UID_TAG} away"
    )
    sightings: Mapping[str, int] = NOTHING_SEEN
    wake_at: int | None = None


def end_orphans(seen: MachineSetSnapshot, policy: Policy, found: Orphans, *, held: bool) -> Endings:
    """Choose an orphan and record it, or ask for the end of the one whose record stands.

    Args:
        seen: the snapshot.
        policy: its freezes and zone breakers bind here too.
        found: the orphans that two looks have shown.
        held: more machines are lost than a person has acknowledged.

    Invariants: nothing is asked for whose record does not stand in the set that was read, so a crash never exceeds CAP; as
    long as a look shows the one that was asked for, no other is.
    """
    owner = seen.set
    counts = _counting(seen)
    kept = tuple(
        one for one in owner.status.orphans_ended if counts[_key(one)] > seen.now.elapsed or _shown(seen, one)
    )
    over = {key: end for key, end in counts.items() if end > seen.now.elapsed}
    base = Endings(records=kept, sightings=over, wake_at=soonest(over.values()))
    if owner.spec.orphans is OrphanPolicy.REPORT or not found.ids:
        return base
    why = _all_held(seen, held)
    if why:
        return _held(base, why)
    pursued = next((one for one in kept if _shown(seen, one)), None)
    wanted = found.ids if pursued is None else (pursued.id,)
    bars = [_bar(seen, policy, found, one) for one in wanted]
    barred = [bar for bar in bars if bar is not None]
    if len(barred) == len(bars):
        return _barred(base, seen, policy, barred)
    if pursued is not None:
        return _pursued(base, seen, pursued)
    if len(over) >= CAP:
        return _held(base, f"{len(over)} were terminated within an hour, limit {CAP}; the next one waits")
    chosen = wanted[bars.index(None)]
    record = OrphanEnd(provider=seen.orphan_sights[chosen].provider, id=chosen, at=seen.now.wall)
    return attrs.evolve(
        base, records=(*kept, record), reason=Reason.ORPHANS_ENDING, text=f"{chosen} is terminated next"
    )


def _counting(seen: MachineSetSnapshot) -> Mapping[str, int]:
    """Give when each record stops to count, by the wall clock and by the time since this process first read it."""
    return {
        _key(one): max(end := elapsed_at(one.at + WINDOW, seen.now), seen.sightings.get(_key(one), end))
        for one in seen.set.status.orphans_ended
    }


def _key(one: OrphanEnd) -> str:
    return f"ended:{one.provider}/{one.id}"


def _shown(seen: MachineSetSnapshot, one: OrphanEnd) -> bool:
    sight = seen.orphan_sights.get(one.id)
    return sight is not None and sight.provider == one.provider


def _held(base: Endings, why: str) -> Endings:
    return attrs.evolve(base, reason=Reason.ORPHANS_HELD, text=f"none is terminated now: {why}")


def _all_held(seen: MachineSetSnapshot, held: bool) -> str:
    """Say why none of them is touched; empty where that is not so."""
    most = borne(seen.set.spec.replicas)
    if held:
        return "more machines are lost than spec.acknowledgedLosses says"
    if len(seen.orphans) > most:
        return (
            f"{len(seen.orphans)} at once are more than the {most} that are borne, as after a backup was restored; "
            f"look at each, and terminate it at the provider or take its tag {SET_UID_TAG} away"
        )
    return ""


def _barred(base: Endings, seen: MachineSetSnapshot, policy: Policy, bars: list[Note]) -> Endings:
    """Say what bars the first of them; what a freeze bars may go when that ends."""
    frees = [bar.frees_at for bar in bars if bar.frees_at is not None]
    ends = thaws(policy.limits, seen.now, seen.sightings) if frees else {}
    return attrs.evolve(
        _held(base, bars[0].text),
        sightings={**base.sightings, **ends},
        wake_at=soonest((base.wake_at, *frees)),
    )


def _bar(seen: MachineSetSnapshot, policy: Policy, found: Orphans, one: str) -> Note | None:
    """Say why an orphan is not terminated now; None: nothing stands against it."""
    sight = seen.orphan_sights.get(one)
    if sight is None or one not in found.ids:
        return _note(f"{one} has to be shown by another look first")
    why = _not_ours(seen.set, sight) or _in_use(sight)
    if why:
        return _note(f"{one}: {why}")
    if sight.frozen is not None and seen.now.elapsed < sight.frozen.until:
        return _note(f"{one}: {sight.frozen.text}", frees_at=sight.frozen.until)
    return _stopped(seen, policy, sight)


def _note(text: str, *, frees_at: int | None = None) -> Note:
    return Note(code=Reason.ORPHANS_HELD.value, text=text, frees_at=frees_at)


def _not_ours(owner: MachineSet, sight: OrphanSight) -> str:
    tags = sight.instance.tags
    if tags.get(SET_UID_TAG) != owner.metadata.uid or tags.get(MANAGED_TAG) != "true":
        return f"its tags {MANAGED_TAG} and {SET_UID_TAG} do not say that it was made for this set"
    if not sight.instance.provider_id:
        return (
            f"provider {sight.provider} tells no providerID of it, so nobody knows whether a Node runs on it"
        )
    return "" if tags.get(MACHINE_UID_TAG) else f"it bears no tag {MACHINE_UID_TAG}"


def _in_use(sight: OrphanSight) -> str:
    if sight.doubt:
        return sight.doubt
    if leaving(sight.instance):
        return "its end has begun"
    if sight.machine:
        return f"Machine {sight.machine} says that it has it"
    if sight.node:
        return (
            f"Node {sight.node} runs on it, or may; drain it, delete the Node, and the instance is terminated"
        )
    return ""


def _stopped(seen: MachineSetSnapshot, policy: Policy, sight: OrphanSight) -> Note | None:
    """Give the freeze or the breaker that binds. Its region and sets are not known: so every freeze of one binds."""
    ends = thaws(policy.limits, seen.now, seen.sightings)
    zone, name = sight.instance.zone, sight.instance.tags.get(MACHINE_TAG, "")
    freezes = [
        frozen(zone, (one.name,), policy.limits, seen.now, ends, region=one.name, machine=name)
        for risk in policy.limits for one in risk.spec.freeze
    ]  # fmt: skip
    return max((one for one in freezes if one is not None), key=lasting, default=None) or open_breaker(
        zone, seen.zones, policy.limits
    )


def _again(answer: ProviderAnswer) -> int:
    """Give from when a look that still shows one lets its end be asked for again."""
    return due(answer) if answer.error in PASSING else answer.at + RARELY


def _pursued(base: Endings, seen: MachineSetSnapshot, record: OrphanEnd) -> Endings:
    """Ask for an end, again only after a look that began when an answer was long enough ago still shows it."""
    owner, sight, one = seen.set, seen.orphan_sights[record.id], record.id
    asked = op_id("orphan", owner.metadata.uid, sight.provider, one)
    answer = sight.answer if sight.answer is not None and sight.answer.op_id == asked else None
    ending = attrs.evolve(base, reason=Reason.ORPHANS_ENDING, text=f"{one} is being terminated")
    if answer is not None and answer.error in ("", "NotFound"):
        return ending
    if answer is not None and seen.orphans[one] < _again(answer):
        return _held(
            base,
            f"the end of {one} is asked for again if a look still shows it: {answer.error}: {answer.text}",
        )
    if seen.now.wall - record.at > FRESH:
        fresh = attrs.evolve(record, at=seen.now.wall)
        return attrs.evolve(
            ending, records=tuple(fresh if other is record else other for other in base.records)
        )
    effect = TerminateInstance(
        machine=ref(owner), provider=sight.provider, op_id=asked, instance=one,
        tries=0 if answer is None else answer.tries,
    )  # fmt: skip
    return attrs.evolve(ending, effects=(effect,))
