"""Whatever clouds tell, in whatever order, and however often polls fail: a condition follows evidence, and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.capability import CloudEvent, EventState, Impact
from kubenode.core.doctor.decide import UNLISTED
from tests.core.doctor.given import MINUTE, Days, counted, decided, event, seen, sight

IDS = ("a", "b", "c")
EVENTS = st.builds(
    event, id=st.sampled_from(IDS), state=st.sampled_from(EventState), impact=st.sampled_from(Impact)
)
LISTS = st.lists(EVENTS, max_size=3, unique_by=lambda one: one.id).map(tuple)
POLLS = st.lists(st.tuples(LISTS, st.booleans(), st.sampled_from((1, 4, 11))), max_size=12)


def open_ids(status: m.CloudEvents | None) -> set[str]:
    """The ids that are recorded."""
    return set() if status is None else {one.id for one in status.open}


@given(POLLS)
def test_an_event_leaves_only_on_evidence(polls: list[tuple[tuple[CloudEvent, ...], bool, int]]) -> None:
    """Told to be over, or not shown by complete polls for ten minutes; and one that is shown as open is open."""
    days, missing = Days(), dict[str, int]()
    for events, complete, minutes in polls:
        before = open_ids(days.stored)
        after = open_ids(days.poll(*events, after=minutes * MINUTE, polled=complete))
        shown = {one.id: one for one in events}
        for id in IDS:
            if id in shown:
                missing.pop(id, None)
            elif complete:
                missing.setdefault(id, days.at)
        for id in before - after:
            over = id in shown and shown[id].state.over
            assert over or days.at - missing[id] >= UNLISTED
        assert {one.id for one in events if not one.state.over} <= after


@given(POLLS)
def test_a_condition_is_true_exactly_while_an_event_of_its_type_is_open(
    polls: list[tuple[tuple[CloudEvent, ...], bool, int]],
) -> None:
    """And none is there whose type was never opened; what stands is decided the same again."""
    days, opened = Days(), set[str]()
    for events, complete, minutes in polls:
        status = days.poll(*events, after=minutes * MINUTE, polled=complete)
        wanted = set() if status is None else {one.condition for one in status.open}
        opened |= wanted
        said = {} if status is None else {one.type: one.status for one in status.conditions}
        assert {type for type, holds in said.items() if holds is m.Switch.TRUE} == wanted
        assert said.keys() == opened
        assert m.Switch.UNKNOWN not in said.values()
        known = sight(*days.shown.values(), polled=days.last)
        again = decided(seen(known, days.stored, days.at, sightings=days.sightings))
        assert (again.status, counted(again.sightings)) == (status, counted(days.sightings))


@given(LISTS, st.permutations(range(3)))
def test_the_order_in_which_a_cloud_lists_changes_nothing(
    events: tuple[CloudEvent, ...], order: list[int]
) -> None:
    """Byte for byte."""
    others = tuple(events[at] for at in order if at < len(events))
    assert decided(seen(sight(*events))) == decided(seen(sight(*others)))


@given(LISTS, LISTS, st.integers(0, 200))
def test_it_wakes_exactly_when_something_changes(
    first: tuple[CloudEvent, ...], second: tuple[CloudEvent, ...], minutes: int
) -> None:
    """One nanosecond earlier it is the same, and then it is another."""
    days = Days()
    days.poll(*first)
    known = sight(*second, polled=days.at)
    decision = decided(seen(known, days.stored, days.at + minutes * MINUTE))
    if decision.wake_at is None:
        later = decided(seen(known, days.stored, days.at + (minutes + 500) * MINUTE))
        assert later.status is None or later.status.open == (decision.status or later.status).open
        return
    early = decided(seen(known, decision.status, decision.wake_at - 1, sightings=decision.sightings))
    then = decided(seen(known, decision.status, decision.wake_at, sightings=decision.sightings))
    assert early.status == decision.status
    assert then.status != decision.status
