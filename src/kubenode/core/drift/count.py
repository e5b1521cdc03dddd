"""The fold by which a set knows who drifts without looking at each machine.

The controller keeps one `DriftCount` a set and tells it of every change; a decision is given only its bounded,
frozen views. When a drift began stands in the agent's report, so a controller that has just started counts the same.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final, TypeVar

import attrs

from kubenode.core.model.entry import ComponentEntry, ComponentReport
from kubenode.core.model.meta import Ref

WINDOW: Final = timedelta(minutes=10)
VIEW_LIMIT: Final = 16
"""Most machines of each sort that one decision sees, and so writes."""

_K = TypeVar("_K", str, tuple[datetime, str])


@attrs.frozen(kw_only=True)
class Suspect:
    """One machine with an entry of the set.

    Attributes:
        drifting: its agent reports that the component was at target and is not now.
        drifted_at: when that last began, repaired since or not; None when it never did.
    """

    machine: Ref
    entry: ComponentEntry
    drifting: bool = False
    drifted_at: datetime | None = None

    @classmethod
    def of(cls, machine: Ref, entry: ComponentEntry, report: ComponentReport | None) -> "Suspect":
        """Read a report; what it says of another component or revision is no drift of this entry."""
        if report is None or not report.is_of(entry):
            return cls(machine=machine, entry=entry)
        return cls(machine=machine, entry=entry, drifting=report.drifting, drifted_at=report.drifted_at)


@attrs.frozen(kw_only=True)
class DriftView:
    """What one decision may know of the drift of one MachineComponent in one set.

    Attributes:
        machines: all that have an entry of the set, whatever its component.
        recent: those whose drift began within WINDOW, repaired since or not.
        drifting: those that drift now.
        held: those of `drifting` whose repair is held.
        starts: when the `recent` drifts began, the earliest first; only the last `limit` + 1 of them.
        to_hold: the first, by name, that drift and are not held.
        to_free: the first, by name, that drift and are held.
        mended: the first, by name, that are held and do not drift.
    """

    component: str
    machines: int
    recent: int = 0
    drifting: int = 0
    held: int = 0
    starts: tuple[datetime, ...] = ()
    to_hold: tuple[Suspect, ...] = ()
    to_free: tuple[Suspect, ...] = ()
    mended: tuple[Suspect, ...] = ()


@attrs.define
class _Group:
    """The machines of one component."""

    starts: list[tuple[datetime, str]] = attrs.field(factory=list)
    loose: list[str] = attrs.field(factory=list)
    held: list[str] = attrs.field(factory=list)
    mended: list[str] = attrs.field(factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be said of the component."""
        return not (self.starts or self.loose or self.held or self.mended)


class DriftCount:
    """Who drifts and since when, by component, kept by single changes.

    Invariant: the views after any sequence of moves are those of a new count told of the same machines.
    """

    def __init__(self) -> None:
        self._known: dict[str, Suspect] = {}
        self._groups: dict[str, _Group] = {}

    def moved(self, name: str, after: Suspect | None) -> None:
        """Fold one change of the machine of that name; None: it is gone, or has no entry of the set any more."""
        before = self._known.pop(name, None)
        if before is not None:
            self._fold(before, -1)
        if after is not None:
            self._known[name] = after
            self._fold(after, +1)

    def views(self, wall: datetime, limit: Callable[[str], int]) -> tuple[DriftView, ...]:
        """Give a view of each component that drifts, drifted, or is held; costs what it returns.

        Args:
            wall: the moment, as stamps tell it.
            limit: of a component, how many recent drifts are borne; so a decision can tell when they are so few again.
        """
        return tuple(
            self._view(name, group, wall, limit(name)) for name, group in sorted(self._groups.items())
        )

    @property
    def is_of_interest(self) -> bool:
        """Whether any machine drifts, drifted, or is held."""
        return bool(self._groups)

    def __len__(self) -> int:
        """How many machines have an entry of the set."""
        return len(self._known)

    def _view(self, component: str, group: _Group, wall: datetime, limit: int) -> DriftView:
        # A start is recent while start + WINDOW > wall; one in the future, of a clock that is wrong, is too.
        begin = bisect_left(group.starts, (wall - WINDOW, "\U0010ffff"))
        recent = len(group.starts) - begin
        return DriftView(
            component=component, machines=len(self._known), recent=recent,
            drifting=len(group.loose) + len(group.held), held=len(group.held),
            starts=tuple(at for at, _ in group.starts[max(begin, len(group.starts) - limit - 1) :]),
            to_hold=self._named(group.loose), to_free=self._named(group.held), mended=self._named(group.mended),
        )  # fmt: skip

    def _named(self, names: list[str]) -> tuple[Suspect, ...]:
        return tuple(self._known[name] for name in names[:VIEW_LIMIT])

    def _fold(self, one: Suspect, sign: int) -> None:
        group = self._groups.setdefault(one.entry.component, _Group())
        name = one.machine.name
        if one.drifted_at is not None:
            _place(group.starts, (one.drifted_at, name), sign)
        if one.drifting:
            _place(group.held if one.entry.held else group.loose, name, sign)
        elif one.entry.held:
            _place(group.mended, name, sign)
        if group.is_empty:
            del self._groups[one.entry.component]


def _place(ordered: list[_K], key: _K, sign: int) -> None:
    if sign > 0:
        insort(ordered, key)
    else:
        del ordered[bisect_left(ordered, key)]


def told(suspects: Iterable[Suspect]) -> DriftCount:
    """Make a count of machines all told at once."""
    made = DriftCount()
    for one in suspects:
        made.moved(one.machine.name, one)
    return made
