"""Two that believe to lead and polled at different times: who polled last is heard, and neither writes for ever."""

from collections.abc import Mapping

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.capability import CloudEvent, EventState, Impact
from kubenode.core.decision import Decision
from kubenode.core.doctor.decide import STALE, UNLISTED, EventSight
from tests.core.doctor.given import (
    MINUTE,
    TOMORROW,
    conditions,
    counted,
    decided,
    event,
    evolved,
    machine,
    message,
    seen,
    sight,
    told,
)

OVER = event(state=EventState.EXECUTED)
OPENED = decided(seen(sight(event())))
CLOSED = decided(seen(sight(OVER), OPENED.status, sightings=OPENED.sightings)).status


@pytest.mark.parametrize(("polled", "reopens"), [(0, False), (4, False), (5, False), (6, True)])
def test_a_poll_that_began_before_what_stands_was_seen_is_not_written(polled: int, reopens: bool) -> None:
    """It is the older one, or may be: another has told since that the event is over. The next poll is waited for."""
    first = decided(seen(sight(event(), polled=min(polled, 5)), CLOSED, at=5))
    assert (first.status, first.deferred, first.wake_at) == (CLOSED, True, None)
    later = decided(seen(sight(event(), polled=polled), CLOSED, at=8, sightings=first.sightings))
    assert later.deferred is not reopens
    assert conditions(later.status)["CloudMaintenance"][0] == ("True" if reopens else "False")


def test_what_one_said_oneself_keeps_nobody_from_saying_more() -> None:
    """Nor does what is said of nothing, or of another instance."""
    days = decided(seen(sight(event(), polled=5), at=5))
    over = seen(sight(OVER, polled=5), days.status, at=6, sightings=days.sightings)
    assert (conditions(decided(over).status), decided(over).deferred) == (
        {"CloudMaintenance": ("False", "EventOver")},
        False,
    )
    for empty in (None, m.CloudEvents(), evolved(told(event()), instance="i-0")):
        fresh = decided(seen(sight(event("e-2"), polled=2), empty, at=5))
        assert ([one.id for one in fresh.status.open], fresh.deferred) == (["e-2"], False)  # type: ignore[union-attr]


def test_a_poll_that_was_not_complete_is_news_too() -> None:
    """Of what it showed; where the question for what is over fails for ever, it would else never be told."""
    first = decided(seen(sight(event(), polled=None, told=4), CLOSED, at=5))
    assert (first.status, first.deferred) == (CLOSED, True)
    news = decided(seen(sight(event(), polled=None, told=6), CLOSED, at=8, sightings=first.sightings))
    assert conditions(news.status) == {"CloudMaintenance": ("True", "RebootPlanned")}
    news = decided(seen(sight(event(), polled=2, told=6), CLOSED, at=8, sightings=first.sightings))
    assert conditions(news.status) == {"CloudMaintenance": ("True", "RebootPlanned")}


def test_who_has_polled_nothing_waits_for_nothing() -> None:
    """It keeps what stands by itself; a machine of which nothing stands is not written."""
    assert not decided(seen(sight(polled=None), CLOSED, at=5)).deferred
    assert decided(seen(sight(polled=2), at=5)) == Decision()


def test_what_is_late_counts_for_no_absence() -> None:
    """Polls from before the other's word say nothing about what that names; the count begins after it."""
    stands = told(event())
    first = decided(seen(sight(polled=4), stands, at=5))
    assert (first.status, counted(first.sightings)) == (stands, {"blind": 5})
    next_one = decided(seen(sight(polled=6), stands, at=6, sightings=first.sightings))
    assert (next_one.status, counted(next_one.sightings)) == (stands, {"unlisted:e-1": 6})
    sightings = next_one.sightings
    for at, closes in ((5 + UNLISTED, False), (6 + UNLISTED, True)):
        last = decided(seen(sight(polled=at), stands, at=at, sightings=sightings))
        assert (last.status != stands) is closes


def test_what_another_said_is_as_young_as_it_is() -> None:
    """Whoever said it had polled: so who cannot poll calls it old only an hour after it came."""
    mine = decided(seen(sight(polled=None), told(event()), at=5))
    assert mine.wake_at == 5 + STALE
    other = told(event(state=EventState.EXECUTING))
    heard = decided(seen(sight(polled=None), other, at=9 * MINUTE, sightings=mine.sightings))
    assert heard.wake_at == 9 * MINUTE + STALE
    early, late = (
        decided(seen(sight(polled=None), other, at=at, sightings=heard.sightings))
        for at in (9 * MINUTE + STALE - 1, 9 * MINUTE + STALE)
    )
    assert early.status == other
    assert "more than an hour" in message(late.status)
    own = decided(seen(sight(event(), polled=0), at=0))
    stale = seen(sight(event(), polled=0), own.status, at=STALE, sightings=own.sightings)
    assert "more than an hour" in message(decided(stale).status)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "e-2"},
        {"type": "system-reboot"},
        {"state": EventState.INQUIRING},
        {"impact": Impact.STOP},
        {"not_before": None},
        {"not_before": TOMORROW.replace(hour=3)},
    ],
)
def test_any_other_word_is_anothers(change: dict[str, object]) -> None:
    """Whatever of the record or of its conditions is another."""
    said = decided(seen(sight(event(), polled=5), at=5))
    other = told(event(**change))
    assert decided(seen(sight(event(), polled=5), other, at=6, sightings=said.sightings)).status == other
    assert not decided(seen(sight(event(), polled=5), said.status, at=6, sightings=said.sightings)).deferred


@pytest.mark.parametrize(
    "change",
    [{"type": "CloudNotice"}, {"status": m.Switch.FALSE}, {"reason": "StopPlanned"}, {"message": "soon"}],
)
def test_another_word_of_a_condition_is_anothers(change: dict[str, object]) -> None:
    """Though the record is the same; a stamp is no word."""
    said = decided(seen(sight(event(), polled=5), at=5))
    assert said.status is not None
    [condition] = said.status.conditions
    other = evolved(said.status, conditions=(attrs.evolve(condition, **change),))  # type: ignore[arg-type]
    assert decided(seen(sight(event(), polled=5), other, at=6, sightings=said.sightings)).deferred
    stamped = attrs.evolve(condition, last_transition_time=TOMORROW)
    other = evolved(said.status, conditions=(stamped,))
    assert not decided(seen(sight(event(), polled=5), other, at=6, sightings=said.sightings)).deferred


# Two at once.


@attrs.define
class Poller:
    """A process that believes to lead: what it polled last, and what it remembers."""

    sight: EventSight = attrs.field(factory=lambda: sight(polled=None))
    sightings: Mapping[str, int] = attrs.field(factory=dict)
    waits: bool = False

    def decide(self, stored: m.CloudEvents | None, at: int) -> m.CloudEvents | None:
        """Decide, and give what is wanted."""
        decision = decided(seen(self.sight, one=machine(stored), at=at, sightings=self.sightings))
        self.sightings, self.waits = decision.sightings, decision.deferred
        return stored if decision.status is None else decision.status


IDS = ("a", "b")
EVENTS = st.builds(
    event, id=st.sampled_from(IDS), state=st.sampled_from(EventState), impact=st.sampled_from(Impact)
)
LISTS = st.lists(EVENTS, max_size=2, unique_by=lambda one: one.id).map(tuple)
POLLS = st.lists(st.tuples(st.integers(0, 1), LISTS, st.integers(0, 1)), max_size=8)


@attrs.define
class Race:
    """Two of them, over one machine."""

    stored: m.CloudEvents | None = None
    pollers: tuple[Poller, Poller] = attrs.field(factory=lambda: (Poller(), Poller()))
    now: int = 0

    def poll(self, who: int, events: tuple[CloudEvent, ...], first: int) -> None:
        """Let one of them poll, a minute later, and both write until neither wants to."""
        self.now += MINUTE
        self.pollers[who].sight = sight(*events, polled=self.now)
        writes, quiet, turn = 0, 0, first
        while quiet < 2:
            wanted = self.pollers[turn % 2].decide(self.stored, self.now)
            quiet = quiet + 1 if wanted == self.stored else 0
            writes += wanted != self.stored
            assert writes <= 4, "they write against each other"
            self.stored, turn = wanted, turn + 1


@given(POLLS, LISTS, st.integers(0, 1))
def test_they_come_to_rest_and_who_polled_last_is_heard(
    polls: list[tuple[int, tuple[CloudEvent, ...], int]], truth: tuple[CloudEvent, ...], first: int
) -> None:
    """After each poll, in no time; and when both have polled, what is told to be open is open, and what is over is not."""
    two = Race()
    for who, events, begins in polls:
        two.poll(who, events, begins)
    for who in (0, 1, 0):
        two.poll(who, truth, first)
    open_ids = set() if two.stored is None else {one.id for one in two.stored.open}
    assert {one.id for one in truth if not one.state.over} <= open_ids
    assert not open_ids & {one.id for one in truth if one.state.over}
    assert not any(one.waits for one in two.pollers)
