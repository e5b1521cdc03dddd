"""The fold by which a set knows its machines without looking at each: counts, and who is next.

The controller keeps one `Tally` a set and tells it of every change; a decision is given only its
bounded, frozen `TallyView`. Whether a machine may be touched now is not decided here.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Final, TypeAlias, TypeVar

import attrs

from kubenode.core.identity import digest
from kubenode.core.model.drain import DrainRecord
from kubenode.core.model.entry import ComponentEntry, ComponentReport, ConfigState
from kubenode.core.model.meta import Ref
from kubenode.core.model.quantity import IntOrPercent

JOIN_LIMIT = 16
"""Most joining machines one decision sees, and so writes."""
NAMES_LIMIT = 5
"""Most machines in conflict, and most sets that want what this one has, that are named."""
REVISION_LIMIT = 2**31 - 1
"""The highest number a Revision can have; one more could not be stored."""

Place: TypeAlias = tuple[str, str, str]
"""Where a machine stands in the fixed order of a set: its zone, a stable hash, its name."""
NOBODY_KEPT = IntOrPercent(0)

_Key: TypeAlias = tuple[int, str, str, str]
_Fault: TypeAlias = tuple[str, str | None, bool]
"""A fault, the component of the entry (None: of the revision), and whether the machine is at target."""
_Span: TypeAlias = tuple[list[_Key], int, int]
_FREE: Final = (0, 1)
"""How the keys of those begin that may be next: of unavailable machines, of the others."""
_HELD: Final = 2
_K = TypeVar("_K", int, str, _Fault)
_T = TypeVar("_T", str, Place, _Key)


@attrs.frozen(kw_only=True)
class Seat:
    """One machine as one set sees it.

    Attributes:
        zone: of its Node; empty when it has none, which is a zone of its own.
        entry: what it should run under the set's `spec.name`; None when nobody wrote one.
        report: what its agent found under that name.
        available: its Node is Ready. Open holds are not counted here.
        never_run: it was never Running; nothing done to it needs a permit.
        faults: types of its Node's conditions that are True; `Ready`, when that is not True.
        held: a person put the label `kubenode.dev/hold` on it or on its Node.
        drain: of its Node, for an open permit; None while none asks for it.
        rival: another set with this `spec.name` that selects it too, the first by name; empty when there is none.
    """

    machine: Ref
    zone: str = ""
    entry: ComponentEntry | None = None
    report: ComponentReport | None = None
    available: bool
    never_run: bool = False
    held: bool = False
    faults: frozenset[str] = frozenset()
    rival: str = ""
    drain: DrainRecord | None = None

    def is_foreign(self, set_name: str) -> bool:
        """Tell whether another set wrote its entry: then this one leaves it alone."""
        return self.entry is not None and self.entry.set != set_name

    def is_at(self, set_name: str, number: int) -> bool:
        """Tell whether its entry was written by that set for that revision."""
        entry = self.entry
        return entry is not None and entry.set == set_name and entry.revision == str(number)

    @property
    def at_target(self) -> bool:
        """Whether version, configuration and running state are all as the entry wants them."""
        entry, report = self.entry, self.report
        return (
            entry is not None
            and report is not None
            and report.revision == entry.revision
            and report.component == entry.component
            and report.config is ConfigState.CURRENT
            and report.state is entry.state
            and report.reason == ""
            and not report.drifting
        )


@attrs.frozen(kw_only=True)
class Rate:
    """How many machines have a fault: of those updated, and of those that have run and wait for their turn."""

    type: str
    updated: int
    of_updated: int
    waiting: int
    of_waiting: int


@attrs.frozen(kw_only=True)
class TallyView:
    """What one decision may know of a set's machines.

    Attributes:
        revision: the update revision by which it was counted; None when the set has none yet.
        selected: all machines of the set.
        up: those that have run, so that they should be up.
        unavailable: those of `up` that are not available.
        at_revision: entries written for the revision, or for an earlier one with the same component.
        updated: those of `at_revision` whose machines are at target.
        outdated: machines that have run and whose entry is ours or missing, but has another component.
        kept: those of `outdated` that the partition keeps as they are.
        kept_from: the first place that the partition keeps; None when it keeps none.
        held: those of `outdated` that are not kept, and that a person holds by label; the first stand in `held_first`.
        conflicts: entries that name another set; the first by name stand in `conflict_names`.
        contested: machines whose entry is ours or missing, and that another set selects too under this `spec.name`; the
            first by name stand in `contested_names`, the first of those sets in `rivals`.
        highest: the highest revision in any entry of this set; 0 when there is none.
        candidates: the first of `outdated` that are neither kept nor held: unavailable ones first, then by zone, then
            by stable hash.
        rates: of the conditions asked for, in their order; empty without a revision.
        joining: machines that never ran, with an entry that is missing (these first) or not at the revision.
    """

    revision: int | None = None
    selected: int = 0
    up: int = 0
    unavailable: int = 0
    at_revision: int = 0
    updated: int = 0
    outdated: int = 0
    kept: int = 0
    kept_from: Place | None = None
    held: int = 0
    held_first: tuple[Seat, ...] = ()
    conflicts: int = 0
    conflict_names: tuple[str, ...] = ()
    contested: int = 0
    contested_names: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    highest: int = 0
    candidates: tuple[Seat, ...] = ()
    joining: tuple[Seat, ...] = ()
    rates: tuple[Rate, ...] = ()


def place_of(set_uid: str, seat: Seat) -> Place:
    """Give the place of a machine in the fixed order of a set."""
    return (seat.zone, digest(set_uid, seat.machine.uid), seat.machine.name)


class Tally:
    """Counts by state and revision, and those who are next, kept by single changes.

    Made anew when the set's update revision changes, and told of every seat again.

    Invariant: the view after any sequence of moves is the view of a new tally told of the same seats.
    """

    def __init__(self, set_name: str, set_uid: str, revision: int | None) -> None:
        self._set_name = set_name
        self._set_uid = set_uid
        self._revision = revision
        self._seats: dict[str, Seat] = {}
        self._up = self._unavailable = self._at_revision = self._updated = 0
        self._revisions: dict[int, int] = {}
        self._order: list[Place] = []
        self._behind: dict[str, list[_Key]] = {}
        self._behind_at_target: dict[str, int] = {}
        self._joining: list[_Key] = []
        self._faults: dict[_Fault, int] = {}
        self._conflicts: list[str] = []
        self._contested: list[str] = []
        self._rivals: dict[str, int] = {}

    def moved(self, before: Seat | None, after: Seat | None) -> None:
        """Fold one change of one machine; None stands for not selected. Telling it twice equals once."""
        for side in (before, after):
            known = self._seats.pop(side.machine.name, None) if side is not None else None
            if known is not None:
                self._fold(known, -1)
        if after is not None:
            self._seats[after.machine.name] = after
            self._fold(after, +1)

    def view(
        self,
        limit: int,
        *,
        component: str = "",
        keep: IntOrPercent = NOBODY_KEPT,
        conditions: tuple[str, ...] = (),
    ) -> TallyView:
        """Give the counts and at most `limit` candidates; costs what it returns.

        Args:
            limit: most candidates, and most that are held.
            component: of the revision; who has it by an earlier revision is not touched. Empty: nobody has.
            keep: how many machines, the last ones, are no candidates; a percentage of all, rounded up.
            conditions: types whose rates are wanted.
        """
        kept_from = self._kept_from(keep.scaled(len(self._seats), up=True))
        behind = [keys for name, keys in self._behind.items() if not name or name != component]
        open_ = [span for keys in behind for rank in _FREE for span in _span(keys, rank, kept_from)]
        hands = [span for keys in behind for span in _span(keys, _HELD, kept_from)]
        outdated, same = sum(map(len, behind)), self._behind.get(component, ()) if component else ()
        held, due = sum(end - begin for _, begin, end in hands), sum(end - begin for _, begin, end in open_)
        updated = self._updated + self._behind_at_target.get(component, 0)
        return TallyView(
            revision=self._revision,
            selected=len(self._seats),
            up=self._up,
            unavailable=self._unavailable,
            at_revision=self._at_revision + len(same),
            updated=updated,
            outdated=outdated,
            kept=outdated - due - held,
            kept_from=kept_from,
            held=held,
            held_first=self._first(hands, limit),
            conflicts=len(self._conflicts),
            conflict_names=tuple(self._conflicts[:NAMES_LIMIT]),
            contested=len(self._contested),
            contested_names=tuple(self._contested[:NAMES_LIMIT]),
            rivals=tuple(sorted(self._rivals)[:NAMES_LIMIT]),
            highest=max(self._revisions, default=0),
            candidates=self._first(open_, limit),
            joining=self._named(self._joining[: min(limit, JOIN_LIMIT)]),
            rates=tuple(self._rate(type_, component, updated, outdated) for type_ in conditions),
        )

    def _rate(self, type_: str, component: str, updated: int, outdated: int) -> Rate:
        """Count a fault. Who has the revision's component is updated when at target, whatever entry it is by."""
        found = [(fault, count) for fault, count in self._faults.items() if fault[0] == type_]
        behind = sum(
            count for (_, name, _), count in found if name is not None and not (name and name == component)
        )
        done = sum(
            count for (_, name, good), count in found if good and (name is None or name == component != "")
        )
        return Rate(type=type_, updated=done, of_updated=updated, waiting=behind, of_waiting=outdated)

    def _kept_from(self, keep: int) -> Place | None:
        return self._order[-min(keep, len(self._order))] if keep and self._order else None

    def _first(self, spans: list[_Span], limit: int) -> tuple[Seat, ...]:
        keys = sorted(key for keys, begin, end in spans for key in keys[begin : min(end, begin + limit)])
        return self._named(keys[:limit])

    def _named(self, keys: list[_Key]) -> tuple[Seat, ...]:
        return tuple(self._seats[name] for *_, name in keys)

    def _fold(self, seat: Seat, sign: int) -> None:
        self._up += sign * (not seat.never_run)
        self._unavailable += sign * (not seat.never_run and not seat.available)
        _place(self._order, place_of(self._set_uid, seat), sign)
        if seat.is_foreign(self._set_name):
            _place(self._conflicts, seat.machine.name, sign)
            return
        if seat.rival:
            _place(self._contested, seat.machine.name, sign)
            _count(self._rivals, seat.rival, sign)
        written = _number(seat.entry)
        if written:
            _count(self._revisions, written, sign)
        if self._revision is None:
            return
        if seat.is_at(self._set_name, self._revision):
            self._at_revision += sign
            self._updated += sign * seat.at_target
            self._fold_faults(seat, None, sign)
        elif seat.never_run:
            _place(self._joining, self._key(seat, written), sign)
        else:
            self._fold_behind(seat, sign)

    def _fold_behind(self, seat: Seat, sign: int) -> None:
        name = seat.entry.component if seat.entry is not None else ""
        keys = self._behind.setdefault(name, [])
        _place(keys, self._key(seat, _HELD if seat.held else int(seat.available)), sign)
        if not keys:
            del self._behind[name]
        if seat.at_target:
            _count(self._behind_at_target, name, sign)
        self._fold_faults(seat, name, sign)

    def _fold_faults(self, seat: Seat, name: str | None, sign: int) -> None:
        for type_ in seat.faults:
            _count(self._faults, (type_, name, seat.at_target), sign)

    def _key(self, seat: Seat, first: int) -> _Key:
        return (first, *place_of(self._set_uid, seat))


def _span(keys: list[_Key], rank: int, kept_from: Place | None) -> Iterator[_Span]:
    """Give where in sorted keys those of one rank stand that are not kept."""
    begin = bisect_left(keys, (rank, "", "", ""))
    end = (rank + 1, "", "", "") if kept_from is None else (rank, *kept_from)
    yield keys, begin, bisect_left(keys, end)


def _number(entry: ComponentEntry | None) -> int:
    """Give the revision of an entry; 0 when there is none, or none that a set could have written."""
    number = int(entry.revision) if entry is not None and entry.revision.isdecimal() else 0
    return number if number < REVISION_LIMIT else 0


def _count(counts: dict[_K, int], key: _K, sign: int) -> None:
    counts[key] = counts.get(key, 0) + sign
    if not counts[key]:
        del counts[key]


def _place(ordered: list[_T], key: _T, sign: int) -> None:
    if sign == 1:
        insort(ordered, key)
    else:
        del ordered[bisect_left(ordered, key)]
