"""The machine set decider: as many machines as wanted, never more, and none deleted but the surplus."""

from collections.abc import Sequence
from itertools import islice

import attrs

from kubenode.core.decision import Decision, Delete, Effect, Note, SetFinalizers, soonest
from kubenode.core.machineset.claims import (
    MASS_DELETE,
    SCALED,
    Reason,
    claims,
    counted,
    leaving,
    leaving_unknown,
    leaving_with_crd,
    notes,
    surge,
)
from kubenode.core.machineset.crew import Crew, MachineSetSnapshot, crew_of, handed_over, made
from kubenode.core.machineset.ending import end_orphans
from kubenode.core.machineset.heed import heed
from kubenode.core.machineset.losses import Losses, judge_losses, lose_all
from kubenode.core.machineset.order import victims
from kubenode.core.machineset.orphans import judge_orphans, orphans_claim
from kubenode.core.machineset.outdated import replaceable, to_replace
from kubenode.core.machineset.stops import stops
from kubenode.core.model.condition import Claim, Condition, stated
from kubenode.core.model.machineset import MACHINESET_FINALIZER, RECORD_LIMIT, Leaver, MachineSetStatus
from kubenode.core.model.meta import Ref, Switch, ref
from kubenode.core.policy import Policy

__all__ = ["EFFECT_LIMIT", "MachineSetSnapshot", "decide"]

EFFECT_LIMIT = 16
"""Most machines that one decision makes, deletes or hands over."""
ASK_AGAIN = 10_000_000_000
"""How long a set that leaves waits for word of its CRD before it is decided about again, nanoseconds."""


def decide(seen: MachineSetSnapshot, policy: Policy) -> Decision[MachineSetStatus]:
    """Decide the next step of one set.

    Args:
        seen: the snapshot.
        policy: only its freezes and zone breakers, and only before a machine is replaced or an orphan terminated: what a
            deletion may disrupt, and when, is the machine controller's and the risk decider's to say.

    Returns:
        The whole status, and at most EFFECT_LIMIT machines to hand over, to make or to delete.

    Invariants: machines being deleted count until they are gone, so there are never more than `replicas`,
    and what the strategy's surge adds, but by lowering it; who is deleted is recorded in the status first, and the status is a
    compare-and-swap, so of two deciders only one chooses; a machine that a newer version wrote is counted
    and left alone; an orphan is terminated only if the set says so and its record stands; after a mass delete nothing is made or deleted before a person has spoken; a set that leaves
    deletes no machine while its CRD may be what was deleted.
    Source: api.md sections 1 and 4; reliability.md S3, S5, S25, F22.
    """
    owner = seen.set
    finalizers = owner.metadata.finalizers
    if owner.metadata.unknown:
        return _hands_off(seen, owner.metadata.unknown[0])
    held = MACHINESET_FINALIZER in finalizers
    if owner.metadata.deletion_timestamp is not None:
        return _dismantled(seen) if held else Decision()
    if not held:
        # Alone: a status written first would make this resourceVersion old.
        return _finalizers(
            seen, (*finalizers, MACHINESET_FINALIZER), "the finalizer is written before all else"
        )
    return _kept(seen, policy)


def _kept(seen: MachineSetSnapshot, policy: Policy) -> Decision[MachineSetStatus]:
    """Hand over first; when that is seen done, delete the surplus or make what lacks."""
    owner, crew = seen.set, crew_of(seen)
    losses = judge_losses(owner, crew.members, seen.now, seen.sightings)
    there = {one.metadata.uid for one in crew.members}
    going = tuple(leaver for leaver in owner.status.going if leaver.uid in there)
    lacking = owner.spec.replicas - len(crew.members)
    effects: tuple[Effect, ...] = ()
    stopped = stops(seen, policy, to_replace(owner, crew.live))
    if not losses.held:
        effects = tuple(islice(handed_over(owner, crew, room=lacking), EFFECT_LIMIT))
        if not effects:
            going, deletes = _shrunk(seen, crew, going, stopped.names)
            lacking += surge(owner, crew)
            effects = deletes or tuple(made(owner, crew, min(lacking, EFFECT_LIMIT)))
    status = attrs.evolve(counted(owner, crew.members), going=going, lost=losses.lost, losing=losses.losing)
    told = _told(seen, policy, crew, losses, status, effects)
    return attrs.evolve(
        told, notes=told.notes + stopped.notes, wake_at=soonest((told.wake_at, *stopped.thaws.values())),
        sightings={**told.sightings, **stopped.thaws},
    )  # fmt: skip


def _told(
    seen: MachineSetSnapshot,
    policy: Policy,
    crew: Crew,
    losses: Losses,
    status: MachineSetStatus,
    effects: tuple[Effect, ...],
) -> Decision[MachineSetStatus]:
    """Add conditions and notes, and what becomes of orphans."""
    said = claims(seen.set, crew, losses)
    why = notes(seen.set, crew, losses, said)
    orphans = judge_orphans(seen)
    ends = end_orphans(seen, policy, orphans, held=losses.held)
    if ends.reason is Reason.ORPHANS_HELD:
        scope = f"machineset={seen.set.metadata.name}"
        why = (*why, Note(code=ends.reason.value, text=ends.text, scope=scope))
    acts = bool(ends.effects) or ends.records != seen.set.status.orphans_ended
    heeded = heed(seen, orphans, orphans_claim(orphans, ends.reason, ends.text), acts=acts)
    conditions = _stated(seen, (*said, *heeded.claims))
    return Decision(
        status=attrs.evolve(status, conditions=conditions, orphans_ended=ends.records),
        effects=(*effects, *ends.effects), notes=why, wake_at=soonest((losses.wake_at, ends.wake_at)),
        sightings={**losses.sightings, **orphans.sightings, **ends.sightings, **heeded.sightings}, deferred=bool(why),
    )  # fmt: skip


def _shrunk(
    seen: MachineSetSnapshot, crew: Crew, going: tuple[Leaver, ...], stopped: frozenset[str]
) -> tuple[tuple[Leaver, ...], tuple[Delete, ...]]:
    """Choose whom to delete of a surplus, or, when there is none, whom a successor replaces.

    Who is recorded and not deleted yet, because we crashed in between, is deleted now, or let off when
    the surplus is gone.

    Returns:
        The whole record, and the deletions.
    """
    owner = seen.set
    surplus = max(0, len(crew.live) - owner.spec.replicas - surge(owner, crew))
    live = {one.metadata.uid: one for one in crew.live}
    under_way = tuple(leaver for leaver in going if leaver.uid not in live)
    recorded = [leaver.uid for leaver in going if leaver.uid in live]
    known = [one for one in crew.live if not one.metadata.unknown]
    room = min(EFFECT_LIMIT, RECORD_LIMIT - len(under_way))
    if surplus:
        kept = [live[uid] for uid in recorded][:surplus]
        free = [one for one in known if one not in kept]
        chosen = [*kept, *victims(free, owner.spec.delete_order, min(surplus, room) - len(kept))]
    else:
        free = [one for one in known if one.metadata.name not in stopped]
        chosen = list(replaceable(owner, free, crew.live, frozenset(recorded)))[: max(0, room)]
    pending = tuple(Leaver(name=one.metadata.name, uid=one.metadata.uid) for one in chosen)
    deletes = tuple(Delete(object=_leaving(leaver)) for leaver in pending[:EFFECT_LIMIT])
    return under_way + pending, deletes


def _leaving(leaver: Leaver) -> Ref:
    return Ref(kind="Machine", name=leaver.name, uid=leaver.uid)


def _dismantled(seen: MachineSetSnapshot) -> Decision[MachineSetStatus]:
    """Delete the machines, and let the set go when the last one is gone; strays are given up, not deleted.

    Losses that nobody has acknowledged hold this up too: whoever deletes the machines may be deleting the
    sets as well.
    """
    owner, crew = seen.set, crew_of(seen)
    if not crew.members:
        rest = tuple(one for one in owner.metadata.finalizers if one != MACHINESET_FINALIZER)
        return _finalizers(seen, rest, "the last of its machines is gone")
    if seen.crd_leaving is None:
        told = _farewell(seen, crew, (leaving_unknown(crew),), ())
        return attrs.evolve(told, wake_at=seen.now.elapsed + ASK_AGAIN)
    if seen.crd_leaving:
        return _swept_away(seen, crew)
    effects: Sequence[Effect] = ()
    if owner.status.lost <= owner.spec.acknowledged_losses:
        effects = _given_up(seen, crew)
    return _farewell(seen, crew, (leaving(crew),), effects)


def _swept_away(seen: MachineSetSnapshot, crew: Crew) -> Decision[MachineSetStatus]:
    """Hold a set whose CRD is being deleted, until a person acknowledges as many losses as it has machines."""
    losses = lose_all(seen.set, crew.members)
    effects: Sequence[Effect] = ()
    if not losses.held:
        recorded = {*losses.losing, *(leaver.uid for leaver in seen.set.status.going)}
        effects = _given_up(
            seen, attrs.evolve(crew, live=tuple(one for one in crew.live if one.metadata.uid in recorded))
        )
    told = _farewell(seen, crew, leaving_with_crd(crew, losses), effects)
    status = attrs.evolve(told.status or seen.set.status, lost=losses.lost, losing=losses.losing)
    if losses.held:  # with numbers, so that what would let it go on can be said
        lost, known = losses.lost, losses.acknowledged
        told = attrs.evolve(
            told, notes=tuple(attrs.evolve(note, observed=lost, limit=known) for note in told.notes)
        )
    return attrs.evolve(told, status=status)


def _given_up(seen: MachineSetSnapshot, crew: Crew) -> tuple[Effect, ...]:
    known = [one for one in crew.live if not one.metadata.unknown and one not in crew.strays]
    return (*handed_over(seen.set, crew, room=0), *(Delete(object=ref(one)) for one in known))


def _farewell(
    seen: MachineSetSnapshot, crew: Crew, said: tuple[Claim, ...], effects: Sequence[Effect]
) -> Decision[MachineSetStatus]:
    """Say how far a set is that leaves; its condition MassDelete stays as it was unless something is said of it.

    At most EFFECT_LIMIT effects are done, and no deletion that the record has no room for.
    """
    effects = effects[:EFFECT_LIMIT]
    owner, claim = seen.set, said[0]
    spoken = {one.type for one in said}
    others = tuple(
        one for one in owner.status.conditions if one.type == MASS_DELETE and one.type not in spoken
    )
    there = {one.metadata.uid for one in crew.members}
    going = tuple(leaver for leaver in owner.status.going if leaver.uid in there)
    known = {leaver.uid for leaver in going}
    # Recorded first, as when it shrinks: else nobody could tell them from those that somebody else deletes at once.
    fresh = [one.object for one in effects if isinstance(one, Delete) and one.object.uid not in known]
    chosen = {one.uid: one for one in fresh[: max(0, RECORD_LIMIT - len(going))]}
    going += tuple(Leaver(name=one.name, uid=one.uid) for one in chosen.values())
    done = [one for one in effects if not isinstance(one, Delete) or one.object.uid in known | chosen.keys()]
    status = attrs.evolve(counted(owner, crew.members), conditions=_stated(seen, said) + others, going=going)
    note = Note(code=claim.reason, text=claim.message, scope=f"machineset={owner.metadata.name}")
    return Decision(status=status, effects=tuple(done), notes=(note,), deferred=not done)


def _finalizers(
    seen: MachineSetSnapshot, finalizers: tuple[str, ...], why: str
) -> Decision[MachineSetStatus]:
    metadata = seen.set.metadata
    effect = SetFinalizers(
        object=ref(seen.set), finalizers=finalizers, resource_version=metadata.resource_version
    )
    return Decision(effects=(effect,), notes=(Note(code="Finalizer", text=why),))


def _hands_off(seen: MachineSetSnapshot, what: str) -> Decision[MachineSetStatus]:
    """Leave a newer version's set alone, but say so."""
    status = seen.set.status
    text = f"{what} is not known to this version; upgrade kubenode, or remove it"
    claim = Claim(type=SCALED, holds=Switch.UNKNOWN, reason=Reason.NEWER_VERSION.value, message=text)
    others = tuple(one for one in status.conditions if one.type != SCALED)
    note = Note(code=claim.reason, text=text, scope=f"machineset={seen.set.metadata.name}")
    conditions = _stated(seen, (claim,)) + others
    return Decision(status=attrs.evolve(status, conditions=conditions), notes=(note,), deferred=True)


def _stated(seen: MachineSetSnapshot, said: tuple[Claim, ...]) -> tuple[Condition, ...]:
    owner = seen.set
    return stated(owner.status.conditions, said, wall=seen.now.wall, generation=owner.metadata.generation)
