"""The drift decider: when more machines of a set report the same drift than is borne, its repair is held.

Whoever changes a file on many machines at once may be right, or may be the attacker whom a restart of everything would
help; a person is to look. The hold is a word in the entry of each machine that drifts: it has one writer, the
controller; the agent obeys it; an entry of a new revision is written whole and has none.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from kubenode.core.decision import NOTHING_SEEN, Decision, Note, SetEntry, soonest
from kubenode.core.drift.count import WINDOW, DriftView, Suspect
from kubenode.core.model.componentset import MachineComponentSet
from kubenode.core.model.now import Now, moment
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.policy import Policy

BORNE: Final = 3
BORNE_PERCENT: Final = 5
DRIFT_HELD: Final = "DriftHeld"


@attrs.frozen(kw_only=True)
class DriftSnapshot:
    """One set and who drifts of it.

    Attributes:
        views: one of each component that drifts, drifted, or is held.
    """

    set: MachineComponentSet
    views: tuple[DriftView, ...] = ()
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN


def borne(owner: MachineComponentSet, component: str, machines: int) -> int:
    """Give how many machines of a set may report the same drift within WINDOW without its repair being held.

    A person's word raises the number, for the component that it names.
    """
    return max(BORNE, machines * BORNE_PERCENT // 100, _said(owner, component))


def _said(owner: MachineComponentSet, component: str) -> int:
    """Give how many drifting machines a person's word covers; 0 without one."""
    word = owner.spec.repair
    return word.machines if word is not None and word.component == component else 0


def decide(seen: DriftSnapshot, policy: Policy) -> Decision[None]:
    """Decide whose repair is held, and whose no longer.

    Args:
        seen: the snapshot.
        policy: not looked at: repair of class none or restart takes no permit, and others are not begun.

    Returns:
        Entries to write, with or without the word that holds, each if it is still what was read; at most
        VIEW_LIMIT of each sort and component. No status: the entries are the record.

    Invariants: a hold begins when more than `borne` machines report the same drift within WINDOW, and then stands,
    whatever time passes, until no machine drifts, or a person's word covers all that do; an entry of another set is
    never written.
    Source: api.md section 4, "Drift".
    """
    owner = seen.set
    if owner.metadata.deletion_timestamp is not None or owner.metadata.unknown:
        return Decision(sightings=seen.sightings)
    effects: list[SetEntry] = []
    notes: list[Note] = []
    wakes: list[int | None] = []
    for view in seen.views:
        limit = borne(owner, view.component, view.machines)
        lasts = view.drifting > _said(owner, view.component)
        holds = view.drifting > 0 and (view.recent > limit or (view.held > 0 and lasts))
        effects += _written(owner, view, _why(owner, view, limit) if holds else "")
        if holds:
            thins = _thins_at(view, limit, seen.now)
            notes.append(Note(
                code=DRIFT_HELD, text=_why(owner, view, limit), scope=f"set={owner.metadata.name}",
                observed=max(view.recent, view.drifting), limit=limit, frees_at=None if lasts else thins,
            ))  # fmt: skip
            wakes.append(None if lasts and view.held else thins)
    return Decision(
        effects=tuple(effects), notes=tuple(notes), wake_at=soonest(wakes), deferred=bool(notes),
        sightings=seen.sightings,
    )  # fmt: skip


def _why(owner: MachineComponentSet, view: DriftView, limit: int) -> str:
    return (
        f"repair is held: {max(view.recent, view.drifting)} of {view.machines} machines of set {owner.metadata.name} report that "
        f"{view.component} drifted, and at most {limit} within ten minutes are borne. Find who changes it; to have "
        f"them repaired, set spec.repair of the set to {{component: {view.component}, machines: N}}, N being how many"
    )


def _written(owner: MachineComponentSet, view: DriftView, why: str) -> Iterator[SetEntry]:
    """Hold who drifts and free who does not; without a reason free everybody."""
    name = owner.spec.name
    for one in view.to_hold if why else view.to_free:
        yield _entry(name, one, why[:1024])
    for one in view.mended:
        yield _entry(name, one, "")


def _entry(name: str, one: Suspect, held: str) -> SetEntry:
    entry = attrs.evolve(one.entry, held=held or None)
    return SetEntry(machine=one.machine, name=name, expect=one.entry, entry=entry)


def _thins_at(view: DriftView, limit: int, now: Now) -> int | None:
    """Give when so few drifts are recent that no hold would begin; None when they are so few already."""
    if view.recent <= limit:
        return None
    return now.elapsed + nanoseconds(view.starts[0] + WINDOW - now.wall)
