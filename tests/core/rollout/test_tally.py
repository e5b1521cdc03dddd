"""The fold: what it counts, in which order it names who is next, and that it equals a recount."""

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.identity import digest
from kubenode.core.rollout.tally import JOIN_LIMIT, REVISION_LIMIT, Rate, Seat, Tally, TallyView, place_of
from tests.core.rollout.world import SET, entry, report, seat

UID = "uid-set"


def tally_of(*seats: Seat, revision: int | None = 2) -> Tally:
    """Give a tally told of these machines."""
    tally = Tally(SET, UID, revision)
    for one in seats:
        tally.moved(None, one)
    return tally


def recount(
    seats: dict[str, Seat],
    revision: int | None,
    limit: int,
    component: str = "",
    keep: int = 0,
    conditions: tuple[str, ...] = (),
) -> TallyView:
    """Count again from nothing, the slow way."""
    ours = [one for one in seats.values() if one.entry is None or one.entry.set == SET]
    theirs = sorted(one.machine.name for one in seats.values() if one not in ours)
    at = [one for one in ours if one.entry is not None and one.entry.revision == str(revision)]
    same = [one for one in ours if one.entry is not None and one.entry.component == component]
    if revision is not None:
        at += [one for one in same if not one.never_run and one not in at]
    behind = [one for one in ours if one not in at] if revision is not None else []
    places = sorted(place_of(UID, one) for one in seats.values())
    kept_from = places[max(0, len(places) - keep)] if keep and places else None

    def order(one: Seat) -> tuple[object, ...]:
        number = int(one.entry.revision) if one.entry is not None else 0
        first = number if one.never_run else 2 if one.held else one.available
        return first, one.zone, digest(UID, one.machine.uid), one.machine.name

    outdated = sorted((one for one in behind if not one.never_run), key=order)
    kept = [one for one in outdated if kept_from is not None and place_of(UID, one) >= kept_from]
    held = [one for one in outdated if one not in kept and one.held]
    candidates = [one for one in outdated if one not in kept and not one.held]
    up = [one for one in seats.values() if not one.never_run]
    return TallyView(
        revision=revision,
        selected=len(seats),
        up=len(up),
        unavailable=sum(not one.available for one in up),
        at_revision=len(at),
        updated=sum(one.at_target for one in at),
        outdated=len(outdated),
        kept=len(kept),
        kept_from=kept_from,
        held=len(held),
        held_first=tuple(held[:limit]),
        conflicts=len(theirs),
        conflict_names=tuple(theirs[:5]),
        contested=sum(one.rival != "" for one in ours),
        contested_names=tuple(sorted(one.machine.name for one in ours if one.rival))[:5],
        rivals=tuple(sorted({one.rival for one in ours if one.rival}))[:5],
        highest=max((int(one.entry.revision) for one in ours if one.entry is not None), default=0),
        candidates=tuple(candidates[:limit]),
        rates=tuple(
            Rate(
                type=kind,
                updated=sum(one.at_target and kind in one.faults for one in at),
                of_updated=sum(one.at_target for one in at),
                waiting=sum(kind in one.faults for one in outdated),
                of_waiting=len(outdated),
            )
            for kind in conditions
        ),
        joining=tuple(sorted((one for one in behind if one.never_run), key=order)[: min(limit, JOIN_LIMIT)]),
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"revision": "1"}, False),
        ({"component": "kubelet-0"}, False),
        ({"config": m.ConfigState.DRIFTED}, False),
        ({"config": m.ConfigState.UNKNOWN}, False),
        ({"state": m.Running.STOPPED}, False),
        ({"reason": "PackageBroken"}, False),
    ],
)
def test_at_target_means_all_three_states(change: dict[str, Any], expected: bool) -> None:
    """Version, configuration and running state must all be as the entry wants, of its revision, without a fault."""
    wanted = entry(2)
    found = attrs.evolve(report(wanted), **change)
    assert seat("a", entry=wanted, report=found).at_target is expected


def test_without_entry_or_report_nothing_is_at_target() -> None:
    """What nobody wants or nobody reports is not at target."""
    assert not seat("a", entry=entry(2)).at_target
    assert not seat("a", report=report(entry(2))).at_target


def test_candidates_in_order() -> None:
    """Unavailable ones first, then zones, then the stable hash, whatever the order of arrival."""
    seats = [
        seat("a", zone="z2"),
        seat("b", zone="z1"),
        seat("c", zone="z1"),
        seat("d", zone="z9", available=False),
    ]
    by_hash = sorted("bc", key=lambda name: digest(UID, f"uid-{name}"))
    expected = ["d", *by_hash, "a"]
    for arrived in (seats, seats[::-1]):
        assert [one.machine.name for one in tally_of(*arrived).view(10).candidates] == expected
    assert [one.machine.name for one in tally_of(*seats).view(2).candidates] == expected[:2]


def test_the_partition_keeps_the_last_in_the_fixed_order() -> None:
    """Kept are the last of all selected machines by zone and hash, available or not; a percentage rounds up."""
    seats = [
        seat("a", zone="z1"),
        seat("b", zone="z2", available=False),
        seat("c", zone="z3"),
        seat("d", zone="z4"),
    ]
    tally = tally_of(*seats)
    for keep, left in ((0, "bacd"), (1, "bac"), (3, "a"), (9, "")):
        view = tally.view(10, keep=m.IntOrPercent(keep))
        assert "".join(one.machine.name for one in view.candidates) == left
        assert (view.outdated, view.kept) == (4, 4 - len(left))
    assert tally.view(10, keep=m.IntOrPercent(26, percent=True)).kept == 2
    tally.moved(None, seat("e", zone="z9", entry=entry(2)))
    assert tally.view(10, keep=m.IntOrPercent(1)).kept == 0, "who is updated already takes a place, too"


def test_who_has_the_component_already_is_not_next() -> None:
    """An entry of an earlier revision with the same component counts as at the revision, updated if at target."""
    done, late = entry(1, name="kubelet-1"), entry(2, name="kubelet-2")
    seats = [
        seat("a", entry=done, report=report(done)),
        seat("b", entry=done),
        seat("c", entry=late),
        seat("d"),
    ]
    view = tally_of(*seats, revision=3).view(10, component="kubelet-1")
    assert {one.machine.name for one in view.candidates} == {"c", "d"}
    assert (view.at_revision, view.updated, view.outdated) == (2, 1, 2)


def test_joining_missing_entries_first() -> None:
    """Machines that never ran come with no entry first, then the oldest; those at the revision are done."""
    new = {"available": False, "never_run": True}
    seats = [seat("at", entry=entry(2), **new), seat("old", entry=entry(1), **new), seat("none", **new)]
    view = tally_of(*seats).view(10)
    assert [one.machine.name for one in view.joining] == ["none", "old"]
    assert (view.selected, view.up, view.unavailable, view.outdated) == (3, 0, 0, 0)


def test_a_view_is_bounded() -> None:
    """However many wait, a view names no more than were asked for, and no more joining ones than one decision writes."""
    seats = [seat(f"n{i:03}", never_run=i % 2 == 0) for i in range(100)]
    view = tally_of(*seats).view(30)
    assert (len(view.candidates), len(view.joining), view.outdated) == (30, JOIN_LIMIT, 50)


def test_entries_that_no_set_could_have_written_do_not_raise_the_number() -> None:
    """A revision beyond what a status can store, or none at all, is not counted as the highest."""
    wild = [entry(REVISION_LIMIT), entry(3), attrs.evolve(entry(1), revision="x")]
    assert tally_of(*(seat(f"n{i}", entry=one) for i, one in enumerate(wild))).view(1).highest == 3


def test_without_a_revision_nobody_is_next() -> None:
    """A set that has no revision yet has no candidates and nobody at it."""
    view = tally_of(seat("a"), seat("b", never_run=True), revision=None).view(10)
    assert (view.selected, view.outdated, view.candidates, view.joining) == (2, 0, (), ())


names = st.sampled_from([f"n{i}" for i in range(6)])
entries = st.builds(
    lambda of, number, name: entry(number, of=of, name=name),
    st.sampled_from([SET, SET, "others"]),
    st.integers(1, 4),
    st.sampled_from(["kubelet-1", "kubelet-2"]),
)


@st.composite
def seats(draw: st.DrawFn, name: str) -> Seat:
    """Give any machine of that name, in two incarnations."""
    wanted = draw(st.none() | entries)
    done = (
        draw(st.sampled_from([None, report(wanted), report(wanted, "Broken")]))
        if wanted is not None
        else None
    )
    return seat(
        name,
        machine=m.Ref(kind="Machine", name=name, uid=f"uid-{name}-{draw(st.integers(1, 2))}"),
        zone=draw(st.sampled_from(["", "a", "b"])),
        entry=wanted,
        report=done,
        available=draw(st.booleans()),
        never_run=draw(st.booleans()),
        held=draw(st.booleans()),
        faults=draw(st.frozensets(st.sampled_from(["Hung", "Ready"]))),
        rival=draw(st.sampled_from(["", "", *(f"other-{number}" for number in range(7))])),
    )


moves = st.lists(names.flatmap(lambda name: st.tuples(st.just(name), st.none() | seats(name))), max_size=40)


@given(moves=moves, revision=st.none() | st.integers(1, 3), limit=st.integers(0, 8), keep=st.integers(0, 8))
def test_the_fold_equals_a_recount(
    moves: list[tuple[str, Seat | None]], revision: int | None, limit: int, keep: int
) -> None:
    """After any sequence of moves the view is what a recount gives, and what any other order of arrival gives."""
    tally, known = Tally(SET, UID, revision), dict[str, Seat]()
    for name, after in moves:
        tally.moved(known.pop(name, None), after)
        if after is not None:
            known[name] = after
        assert tally.view(limit) == recount(known, revision, limit)
        both = ("Ready", "Hung")
        seen = tally.view(limit, component="kubelet-1", keep=m.IntOrPercent(keep), conditions=both)
        assert seen == recount(known, revision, limit, "kubelet-1", keep, both)
    turned = tally_of(*(known[name] for name in sorted(known, reverse=True)), revision=revision)
    assert turned.view(limit) == tally.view(limit)


@given(moves=moves)
def test_telling_a_move_twice_equals_once(moves: list[tuple[str, Seat | None]]) -> None:
    """A repeated change does not count twice."""
    once, twice, known = Tally(SET, UID, 2), Tally(SET, UID, 2), dict[str, Seat]()
    for name, after in moves:
        before = known.pop(name, None)
        once.moved(before, after)
        twice.moved(before, after)
        twice.moved(before, after)
        if after is not None:
            known[name] = after
    assert once.view(8) == twice.view(8)
