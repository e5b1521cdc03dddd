"""When repair of drift is held and when it is free again: tables, a story on a tiny set, then properties."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.decision import Decision, SetEntry
from kubenode.core.drift.count import VIEW_LIMIT, WINDOW, DriftCount, Suspect, told
from kubenode.core.drift.decide import DriftSnapshot, borne, decide
from kubenode.core.model.componentset import RepairWord
from kubenode.core.policy import Policy

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND = 1_000_000_000
WHY = "somebody's word"


def owner(word: RepairWord | None = None) -> m.MachineComponentSet:
    """Give a set that runs kubelet-1."""
    spec = m.MachineComponentSetSpec(name="kubelet", component="kubelet-1", repair=word)
    return m.MachineComponentSet(metadata=m.ObjectMeta(name="all", uid="uid-all"), spec=spec)


def suspect(
    number: int, *, after: float | None = None, drifting: bool = True, held: bool = False, component: str = "kubelet-1"
) -> Suspect:  # fmt: skip
    """Give a machine that began to drift so many seconds after START; None: it never did."""
    name = f"n{number:04}"
    entry = m.ComponentEntry(set="all", component=component, revision="1", held=WHY if held else "")
    return Suspect(
        machine=m.Ref(kind="Machine", name=name, uid=f"uid-{name}"), entry=entry,
        drifting=drifting and after is not None,
        drifted_at=None if after is None else START + timedelta(seconds=after),
    )  # fmt: skip


@attrs.define
class Fleet:
    """Machines of one set, and decisions on them applied at once."""

    machines: dict[str, Suspect] = attrs.Factory(dict)
    set: m.MachineComponentSet = attrs.Factory(owner)
    at: float = 0

    @classmethod
    def of(cls, count: int) -> "Fleet":
        """Give a set of machines that never drifted."""
        return cls(machines={one.machine.name: one for one in map(suspect, range(count))})

    def drift(self, *numbers: int) -> None:
        """Let machines drift now; what their entries say stays."""
        for number in numbers:
            entry = self.machines[f"n{number:04}"].entry
            one = attrs.evolve(suspect(number, after=self.at), entry=entry)
            self.machines[one.machine.name] = one

    def mend(self, *numbers: int) -> None:
        """Let machines be at target again."""
        for number in numbers:
            one = self.machines[f"n{number:04}"]
            self.machines[one.machine.name] = attrs.evolve(one, drifting=False)

    def snapshot(self) -> DriftSnapshot:
        """Give what the decider may see."""
        count = told(self.machines.values())
        now = m.Now(wall=START + timedelta(seconds=self.at), elapsed=round(self.at * SECOND))
        views = count.views(now.wall, lambda component: borne(self.set, component, len(count)))
        return DriftSnapshot(set=self.set, views=views, now=now)

    def decide(self) -> Decision[None]:
        """Decide, once."""
        return decide(self.snapshot(), Policy())

    def settle(self) -> Decision[None]:
        """Decide and write until nothing is written any more; give the last decision."""
        for _ in range(1000):
            decision = self.decide()
            if not decision.effects:
                return decision
            for effect in decision.effects:
                assert isinstance(effect, SetEntry)
                one = self.machines[effect.machine.name]
                assert (effect.expect, effect.name) == (one.entry, "kubelet")
                self.machines[effect.machine.name] = attrs.evolve(one, entry=effect.entry)
        raise AssertionError("no rest")

    def held(self) -> list[int]:
        """Name those whose repair is held, by number."""
        return [int(name[1:]) for name, one in sorted(self.machines.items()) if one.entry.held]


@pytest.mark.parametrize(
    ("machines", "most"), [(4, 3), (60, 3), (79, 3), (80, 4), (100, 5), (119, 5), (120, 6), (10_000, 500)]
)
def test_when_more_than_max_3_or_5_percent_of_a_set_report_the_same_drift_the_repair_is_held(
    machines: int, most: int
) -> None:
    """So many are borne; one more holds all that drift, and why is said."""
    fleet = Fleet.of(machines)
    fleet.drift(*range(most))
    decision = fleet.settle()
    assert (fleet.held(), decision.notes, decision.deferred) == ([], (), False)
    fleet.drift(most % machines)
    decision = fleet.settle()
    assert fleet.held() == list(range(most + 1))
    (note,) = decision.notes
    assert (note.code, note.scope, note.observed, note.limit) == ("DriftHeld", "set=all", most + 1, most)
    assert f"{most + 1} of {machines} machines of set all report that kubelet-1 drifted" in note.text
    assert "spec.repair" in note.text
    assert fleet.machines["n0000"].entry.held == note.text
    assert decision.deferred


@pytest.mark.parametrize(("apart", "held"), [(0, [0, 1, 2, 3]), (1, [])])
def test_within_10_minutes_is_exact(apart: int, held: list[int]) -> None:
    """A drift that began ten minutes ago to the second is not counted; a second less it is."""
    fleet = Fleet.of(20)
    fleet.drift(0)
    fleet.at = 599 + apart
    fleet.drift(1, 2, 3)
    fleet.settle()
    assert fleet.held() == held


def test_drift_of_another_component_of_the_set_is_another_drift() -> None:
    """Old and new version are counted apart, each against the whole set."""
    fleet = Fleet.of(10)
    fleet.drift(0, 1)
    for number in (2, 3):
        one = suspect(number, after=0, component="kubelet-0")
        fleet.machines[one.machine.name] = one
    fleet.settle()
    assert fleet.held() == []


def test_repaired_drifts_of_the_last_ten_minutes_count() -> None:
    """Who changes the file again after each repair is seen, though never many drift at once."""
    fleet = Fleet.of(10)
    for number in range(3):
        fleet.at = number * 60
        fleet.drift(number)
        assert fleet.settle().notes == ()
        fleet.mend(number)
    fleet.at = 200
    fleet.drift(3)
    fleet.settle()
    assert fleet.held() == [3]


def test_a_hold_does_not_end_by_time_alone() -> None:
    """A day later nothing has changed: somebody has to look."""
    fleet = Fleet.of(100)
    fleet.drift(*range(20))
    decision = fleet.settle()
    assert (len(fleet.held()), decision.wake_at, decision.notes[0].frees_at) == (20, None, None)
    fleet.at = 86_400
    decision = fleet.settle()
    assert (len(fleet.held()), decision.wake_at) == (20, None)
    fleet.drift(50)
    fleet.settle()
    assert len(fleet.held()) == 21


def test_a_hold_ends_when_no_machine_drifts() -> None:
    """Who is at target again is freed at once, the last one with the hold."""
    fleet = Fleet.of(100)
    fleet.drift(*range(7))
    fleet.settle()
    fleet.mend(*range(6))
    fleet.settle()
    assert fleet.held() == [6]
    fleet.mend(6)
    assert fleet.settle().notes == ()
    assert fleet.held() == []
    fleet.at = 700
    fleet.drift(1)
    fleet.settle()
    assert fleet.held() == []


def test_a_person_releases_as_many_as_the_word_names_and_no_more() -> None:
    """The word names component and number: too few, or another component, releases nothing; more drift holds again."""
    fleet = Fleet.of(100)
    fleet.drift(*range(20))
    fleet.settle()
    for word in (
        RepairWord(component="kubelet-1", machines=19),
        RepairWord(component="kubelet-0", machines=99),
    ):
        fleet.set = owner(word)
        fleet.settle()
        assert len(fleet.held()) == 20
    fleet.set = owner(RepairWord(component="kubelet-1", machines=20))
    assert fleet.settle().notes == ()
    assert fleet.held() == []
    fleet.drift(20)
    fleet.settle()
    assert len(fleet.held()) == 21


def test_where_a_word_covers_who_drifts_now_the_window_says_when_it_is_free() -> None:
    """Those repaired just before still count; the deadline is exact."""
    fleet = Fleet.of(100)
    fleet.set = owner(RepairWord(component="kubelet-1", machines=6))
    fleet.drift(0, 1, 2)
    fleet.mend(0, 1, 2)
    fleet.at = 60
    fleet.drift(3, 4, 5, 6)
    decision = fleet.settle()
    assert fleet.held() == [3, 4, 5, 6]
    assert decision.wake_at == decision.notes[0].frees_at == 600 * SECOND
    fleet.at = 599
    assert fleet.decide() == decision
    fleet.at = 600
    fleet.settle()
    assert fleet.held() == []


def test_an_entry_that_is_not_written_yet_keeps_the_deadline_of_the_window() -> None:
    """Before the first entry is held, time alone would end it, and the wake says so; the note promises nothing."""
    fleet = Fleet.of(10)
    fleet.drift(0, 1, 2, 3)
    decision = fleet.decide()
    assert (decision.wake_at, decision.notes[0].frees_at) == (600 * SECOND, None)
    fleet.at = 599
    assert decide(fleet.snapshot(), Policy()).effects == decision.effects
    fleet.at = 600
    assert fleet.decide() == Decision()


def test_a_set_that_goes_or_is_a_newer_versions_writes_nothing() -> None:
    """Neither holds nor frees."""
    fleet = Fleet.of(10)
    fleet.drift(*range(10))
    for change in ({"deletion_timestamp": START}, {"unknown": ("spec.new",)}):
        one = owner()
        fleet.set = attrs.evolve(one, metadata=attrs.evolve(one.metadata, **change))
        assert fleet.decide() == Decision()


def test_a_report_of_another_revision_or_component_is_no_drift_of_this_entry() -> None:
    """Nor is none at all."""
    entry = m.ComponentEntry(set="all", component="kubelet-1", revision="2")
    report = m.ComponentReport(component="kubelet-1", revision="2", drifting=True, drifted_at=START)
    where = m.Ref(kind="Machine", name="n1", uid="u")
    assert Suspect.of(where, entry, report).drifting
    for other in (None, attrs.evolve(report, revision="1"), attrs.evolve(report, component="kubelet-0")):
        assert Suspect.of(where, entry, other) == Suspect(machine=where, entry=entry)


# The fold.

SUSPECTS = st.builds(
    suspect, st.integers(0, 11), after=st.none() | st.integers(0, 1200), drifting=st.booleans(),
    held=st.booleans(), component=st.sampled_from(("kubelet-0", "kubelet-1")),
)  # fmt: skip


@given(
    moves=st.lists(SUSPECTS | st.integers(0, 11), max_size=40),
    at=st.integers(0, 2000),
    limit=st.integers(0, 12),
)
def test_a_count_kept_by_single_changes_is_one_made_afresh(
    moves: Sequence[Suspect | int], at: int, limit: int
) -> None:
    """Whatever came and went, in whatever order; and it is what one would count by looking at each."""
    count, there = DriftCount(), dict[str, Suspect]()
    for move in moves:
        if isinstance(move, int):
            count.moved(f"n{move:04}", None)
            there.pop(f"n{move:04}", None)
        else:
            count.moved(move.machine.name, move)
            there[move.machine.name] = move
    wall = START + timedelta(seconds=at)
    views = count.views(wall, lambda _: limit)
    assert views == told(reversed(there.values())).views(wall, lambda _: limit)
    assert (len(count), count.is_of_interest) == (len(there), bool(views))
    for view in views:
        mine = [one for one in there.values() if one.entry.component == view.component]
        starts = sorted(one.drifted_at for one in mine if one.drifted_at and one.drifted_at + WINDOW > wall)
        assert (view.recent, view.starts) == (len(starts), tuple(starts[-limit - 1 :]))
        assert view.drifting == sum(one.drifting for one in mine)
        assert view.held == sum(one.drifting and bool(one.entry.held) for one in mine)
        assert max(map(len, (view.to_hold, view.to_free, view.mended))) <= VIEW_LIMIT


@given(
    moves=st.lists(SUSPECTS, max_size=12), at=st.integers(0, 2000),
    word=st.none() | st.builds(RepairWord, component=st.just("kubelet-1"), machines=st.integers(1, 12)),
)  # fmt: skip
def test_at_rest_either_all_who_drift_are_held_or_nobody(
    moves: Sequence[Suspect], at: int, word: RepairWord | None
) -> None:
    """A hold is of the component, not of single machines; who does not drift is never left held; deadlines are exact."""
    fleet = Fleet(machines={one.machine.name: one for one in moves}, set=owner(word), at=at)
    decision = fleet.settle()
    for component in ("kubelet-0", "kubelet-1"):
        mine = [one for one in fleet.machines.values() if one.entry.component == component]
        assert len({bool(one.entry.held) for one in mine if one.drifting}) <= 1
        assert not any(one.entry.held for one in mine if not one.drifting)
        recent = sum(
            one.drifted_at is not None and one.drifted_at + WINDOW > START + timedelta(seconds=at)
            for one in mine
        )
        if recent > borne(fleet.set, component, len(fleet.machines)):
            assert all(one.entry.held for one in mine if one.drifting)
    if decision.wake_at is not None:
        fleet.at = decision.wake_at / SECOND - 1
        assert fleet.decide() == decision


@pytest.mark.parametrize("machines", [100, 10_000])
def test_a_change_of_one_machine_costs_the_same_in_a_larger_set(machines: int) -> None:
    """A fold looks at one machine, and a decision at no more than it can write, however many drift."""
    looked = list[str]()

    class Watched(dict[str, Suspect]):
        def __getitem__(self, name: str) -> Suspect:
            looked.append(name)
            return super().__getitem__(name)

    count = told(suspect(number, after=number % 7) for number in range(machines))
    count._known = Watched(count._known)
    count.moved("n0007", suspect(7, after=500))
    (view,) = count.views(START + timedelta(seconds=501), lambda _: 5)
    assert (view.drifting, len(view.starts)) == (machines, 6)
    assert len(looked) == VIEW_LIMIT
