"""The host doctor, row by row: what opens a condition, what closes it, and what does neither."""

from datetime import timedelta, timezone

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.capability import EventState, Impact
from kubenode.core.doctor.decide import MINUTE, STALE, UNLISTED
from kubenode.core.doctor.reasons import KINDS, TYPES
from kubenode.core.model.cloudevents import EVENT_ID_LIMIT, OPEN_LIMIT
from tests.core.doctor.given import (
    TOMORROW,
    WALL,
    Days,
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

OVER = [state for state in EventState if state.over]
OPEN = [state for state in EventState if not state.over]


def test_the_limits_are_what_they_are() -> None:
    """Ten minutes, an hour; 32 events, ids of 256 characters."""
    assert (MINUTE, UNLISTED, STALE) == (60 * 10**9, 600 * 10**9, 3600 * 10**9)
    assert (OPEN_LIMIT, EVENT_ID_LIMIT) == (32, 256)
    assert TYPES == ("CloudMaintenance", "CloudFailure", "CloudNotice")


@pytest.mark.parametrize(
    ("impact", "type", "reason"),
    [
        (Impact.REBOOT, "CloudMaintenance", "RebootPlanned"),
        (Impact.REDEPLOY, "CloudMaintenance", "RedeployPlanned"),
        (Impact.STOP, "CloudMaintenance", "StopPlanned"),
        (Impact.RETIRE, "CloudMaintenance", "RetirementPlanned"),
        (Impact.RECLAIM, "CloudMaintenance", "ReclaimPlanned"),
        (Impact.FAILURE, "CloudFailure", "HostFailing"),
        (Impact.DISK, "CloudFailure", "DiskFailing"),
        (Impact.BRIEF, "CloudNotice", "ShortPause"),
        (Impact.BILLING, "CloudNotice", "PaymentDue"),
        (Impact.OTHER, "CloudNotice", "EventUnknown"),
    ],
)
def test_an_event_opens_the_condition_of_what_it_does(impact: Impact, type: str, reason: str) -> None:
    """One condition, and the record from which it is known again."""
    status = told(event(impact=impact))
    assert conditions(status) == {type: ("True", reason)}
    [record] = status.open
    assert (record.id, record.type, record.state, record.not_before) == (
        "e-1", "instance-reboot", "scheduled", TOMORROW,
    )  # fmt: skip
    assert (record.condition, record.reason, status.instance) == (type, reason, "i-1")


def test_every_impact_has_a_condition() -> None:
    """Of those that we set."""
    assert KINDS.keys() == set(Impact)
    assert {type for type, _ in KINDS.values()} == set(TYPES)


@pytest.mark.parametrize("state", OPEN)
def test_what_is_not_over_is_open(state: EventState) -> None:
    """Also a state that nobody knows."""
    assert conditions(told(event(state=state))) == {"CloudMaintenance": ("True", "RebootPlanned")}


@pytest.mark.parametrize("state", OVER)
def test_what_is_over_already_when_it_is_first_told_writes_nothing(state: EventState) -> None:
    """A cloud shows finished ones for days."""
    decision = decided(seen(sight(event(state=state))))
    assert (decision.status, decision.effects, decision.wake_at, decision.sightings) == (None, (), None, {})


def test_a_machine_without_events_is_not_written() -> None:
    """However often it is asked, whoever tells nothing."""
    for known in (sight(), sight(polled=None), None):
        decision = decided(seen(known))
        assert (decision.status, decision.wake_at, decision.sightings) == (None, None, {})


def test_the_message_names_instance_event_state_and_time() -> None:
    """Whatever people need to find it in the console."""
    assert message(told(event())) == (
        "i-1: instance-reboot, event e-1, scheduled, not before 2026-07-02T12:00:00Z"
    )
    assert (
        message(told(event(state=EventState.EXECUTING, not_before=None)))
        == "i-1: instance-reboot, event e-1, executing"
    )


def test_times_are_kept_as_the_wire_keeps_them() -> None:
    """In UTC and whole seconds: else what is read back would differ, and be written again for ever."""
    odd = TOMORROW.replace(microsecond=999_999).astimezone(timezone(timedelta(hours=8)))
    [record] = told(event(not_before=odd)).open
    assert record.not_before is not None
    assert record.not_before.isoformat() == "2026-07-02T12:00:00+00:00"


def test_what_a_cloud_says_too_much_is_cut() -> None:
    """A type is a word."""
    [record] = told(event(type="x" * 129)).open
    assert record.type == "x" * 128


@pytest.mark.parametrize(("length", "recorded"), [(0, 0), (1, 1), (256, 1), (257, 0)])
def test_an_event_without_a_usable_id_is_not_recorded(length: int, recorded: int) -> None:
    """It could not be known again."""
    status = decided(seen(sight(event("e" * length)))).status
    assert len(status.open if status is not None else ()) == recorded


@pytest.mark.parametrize("state", OVER)
def test_a_condition_closes_when_the_cloud_says_that_it_is_over(state: EventState) -> None:
    """It stays as False, and says how it ended."""
    days = Days()
    days.poll(event())
    status = days.poll(event(state=state))
    assert conditions(status) == {"CloudMaintenance": ("False", "EventOver")}
    assert message(status) == f"i-1: instance-reboot, event e-1, is {state.value}"
    assert status is not None
    assert status.open == ()
    assert days.poll() == status, "and is not written again"


def test_its_stamp_moves_only_when_its_status_does() -> None:
    """A MachineHealthCheck counts from it."""
    days = Days()
    first = days.poll(event(), after=0)
    second = days.poll(event(state=EventState.EXECUTING))
    assert first is not None
    assert second is not None
    assert second.conditions[0].last_transition_time == first.conditions[0].last_transition_time == WALL
    assert second.conditions[0].message != first.conditions[0].message
    third = days.poll(event(state=EventState.EXECUTED))
    assert third is not None
    assert third.conditions[0].last_transition_time == WALL + timedelta(minutes=2)
    assert {one.observed_generation for one in (*first.conditions, *third.conditions)} == {0}


class TestSilence:
    """A poll that does not show an event."""

    def test_a_list_that_is_empty_once_closes_nothing(self) -> None:
        """It may be wrong; the event is the same one when it is shown again."""
        days = Days()
        before = days.poll(event())
        assert days.poll() == before
        assert days.poll(event()) == before
        assert days.poll(after=UNLISTED - 1) == before, "what counts begins anew"

    def test_polls_that_do_not_show_it_for_ten_minutes_close_it(self) -> None:
        """Exactly then, by when they began; and it says so."""
        days = Days()
        before = days.poll(event())
        days.poll()
        assert days.poll(after=UNLISTED - 1) == before
        after = days.poll(after=1)
        assert conditions(after) == {"CloudMaintenance": ("False", "EventUnlisted")}
        assert message(after) == "i-1: instance-reboot, event e-1, is not told any more"
        assert counted(days.sightings) == {}

    def test_time_alone_closes_nothing(self) -> None:
        """No poll, no evidence: neither a failed one nor none at all."""
        days = Days()
        days.poll(event())
        days.poll()
        days.poll(after=UNLISTED - MINUTE, polled=False)
        status = days.poll(after=10 * UNLISTED, polled=False)
        assert conditions(status) == {"CloudMaintenance": ("True", "RebootPlanned")}

    def test_a_restart_counts_anew(self) -> None:
        """What this process has not polled, it knows nothing of."""
        days = Days()
        before = days.poll(event())
        days.poll()
        days.restart()
        assert days.decide(sight(polled=None)) == before
        days.poll(after=UNLISTED)
        assert days.poll(after=UNLISTED - 1) == before
        assert conditions(days.poll(after=1)) == {"CloudMaintenance": ("False", "EventUnlisted")}

    def test_nobody_who_polls_knows_nothing(self) -> None:
        """A provider whose plugin is gone closes nothing, and what was counted is kept."""
        days = Days()
        before = days.poll(event())
        days.poll()
        counted = days.sightings
        assert days.decide(None) == before
        assert (days.sightings, bool(counted)) == (counted, True)

    def test_after_an_hour_it_says_that_it_may_be_old(self) -> None:
        """It stays open: whoever acts on it acts on what was last known. A poll mends it."""
        days = Days()
        days.poll(event())
        decision = decided(seen(sight(event(), polled=days.at), days.stored, days.at))
        assert decision.wake_at == days.at + STALE
        assert "more than an hour" not in message(days.poll(event(), after=STALE - 1, polled=False))
        old = days.poll(event(), after=1, polled=False)
        assert conditions(old) == {"CloudMaintenance": ("True", "RebootPlanned")}
        assert message(old).startswith(
            "as of more than an hour ago, no poll has succeeded since: i-1: instance-reboot"
        )
        known = sight(event(), polled=days.last)
        again = decided(seen(known, days.stored, days.at, sightings=days.sightings))
        assert again.wake_at is None
        assert message(days.poll(event())).startswith("i-1: instance-reboot")

    def test_the_hour_of_a_process_that_has_not_polled_begins_with_it(self) -> None:
        """And is remembered."""
        known = told(event())
        first = decided(seen(sight(polled=None), known, at=5))
        assert (first.wake_at, counted(first.sightings)) == (5 + STALE, {"blind": 5})
        later = decided(seen(sight(polled=None), known, at=5 + STALE, sightings=first.sightings))
        assert "more than an hour" in message(later.status)
        assert (later.wake_at, counted(later.sightings)) == (None, {"blind": 5})
        early = decided(seen(sight(polled=None), known, at=4 + STALE, sightings=first.sightings))
        assert early.status == known

    def test_what_is_closed_does_not_grow_old(self) -> None:
        """Nothing is to be woken for."""
        days = Days()
        days.poll(event())
        days.poll(event(state=EventState.AVOIDED))
        decision = decided(seen(sight(polled=days.at), days.stored, days.at))
        assert (decision.wake_at, decision.status) == (None, days.stored)


class TestSeveral:
    """More than one event of one instance."""

    def test_the_most_urgent_one_gives_the_reason(self) -> None:
        """What has begun, then by time, what has none last; each is named."""
        soon = event("b-soon", impact=Impact.STOP, not_before=TOMORROW - timedelta(hours=1))
        later = event("a-later", impact=Impact.RETIRE, not_before=TOMORROW)
        asked = event(
            "0-asked", impact=Impact.REDEPLOY, state=EventState.INQUIRING, not_before=None, type="redeploy"
        )
        begun = event("z-begun", impact=Impact.REBOOT, state=EventState.EXECUTING)
        status = told(asked, later, begun, soon)
        assert [one.id for one in status.open] == ["z-begun", "b-soon", "a-later", "0-asked"]
        assert conditions(status) == {"CloudMaintenance": ("True", "RebootPlanned")}
        assert [part.split(", ")[1] for part in message(status).split("; ")] == [
            "event z-begun", "event b-soon", "event a-later", "event 0-asked",
        ]  # fmt: skip
        assert conditions(told(asked, later, soon)) == {"CloudMaintenance": ("True", "StopPlanned")}

    def test_of_those_that_begin_at_once_the_first_by_id_is_told_first(self) -> None:
        """So that the order in which a cloud lists them changes nothing."""
        both = (event("a", impact=Impact.STOP), event("b", impact=Impact.RETIRE))
        assert told(*both) == told(*reversed(both))
        assert conditions(told(*both)) == {"CloudMaintenance": ("True", "StopPlanned")}

    def test_each_type_has_its_own_condition(self) -> None:
        """One closes, the others stay; the order is fixed."""
        days = Days()
        days.poll(
            event("n", impact=Impact.OTHER), event("f", impact=Impact.FAILURE), event("m", impact=Impact.STOP)
        )
        status = days.poll(
            event("n", impact=Impact.OTHER),
            event("f", EventState.EXECUTED, impact=Impact.FAILURE),
            event("m", impact=Impact.STOP),
        )
        assert conditions(status) == {
            "CloudMaintenance": ("True", "StopPlanned"),
            "CloudFailure": ("False", "EventOver"),
            "CloudNotice": ("True", "EventUnknown"),
        }
        assert status is not None
        assert tuple(one.type for one in status.conditions) == TYPES

    def test_a_condition_is_true_while_one_event_of_its_type_is_open(self) -> None:
        """And the ones that ended are no more named."""
        days = Days()
        days.poll(event("a"), event("b", impact=Impact.RETIRE))
        status = days.poll(event("a", EventState.CANCELED), event("b", impact=Impact.RETIRE))
        assert conditions(status) == {"CloudMaintenance": ("True", "RetirementPlanned")}
        assert "event a" not in message(status)

    def test_all_that_end_at_once_are_named(self) -> None:
        """The first by urgency gives the reason."""
        days = Days()
        days.poll(event("a"), event("b", not_before=TOMORROW + timedelta(hours=1)))
        days.poll(event("b"))
        status = days.poll(event("b", EventState.EXECUTED), after=UNLISTED)
        assert conditions(status) == {"CloudMaintenance": ("False", "EventUnlisted")}
        assert message(status) == (
            "i-1: instance-reboot, event a, is not told any more; instance-reboot, event b, is executed"
        )

    def test_an_event_that_becomes_another_kind_leaves_the_first_condition(self) -> None:
        """A newer version may know a word that an older one did not."""
        days = Days()
        days.poll(event(impact=Impact.OTHER))
        status = days.poll(event(impact=Impact.STOP))
        assert conditions(status) == {
            "CloudMaintenance": ("True", "StopPlanned"),
            "CloudNotice": ("False", "NoEventOpen"),
        }
        assert message(status, "CloudNotice") == "i-1: no event of this kind is open any more"
        assert days.poll(event(impact=Impact.STOP)) == status

    def test_no_more_are_recorded_than_fit_and_what_is_recorded_stays(self) -> None:
        """Newer ones wait, however urgent: what is recorded is not closed to make room."""
        days = Days()
        known = [event(f"e-{number:02}") for number in range(OPEN_LIMIT)]
        days.poll(*known)
        urgent = event("urgent", not_before=WALL)
        status = days.poll(*known, urgent)
        assert status is not None
        assert [one.id for one in status.open] == [one.id for one in known]
        ended = attrs.evolve(known[0], state=EventState.EXECUTED)
        status = days.poll(ended, *known[1:], urgent)
        assert status is not None
        assert [one.id for one in status.open] == ["urgent", *(one.id for one in known[1:])]

    def test_of_too_many_new_ones_the_most_urgent_are_recorded(self) -> None:
        """One more than fit."""
        many = [event(f"e-{n:02}", not_before=TOMORROW - timedelta(hours=n)) for n in range(OPEN_LIMIT + 1)]
        assert [one.id for one in told(*many).open] == [f"e-{n:02}" for n in range(OPEN_LIMIT, 0, -1)]


class TestInstances:
    """Whose events they are."""

    @pytest.mark.parametrize("step", [m.InstanceStep.CREATING, m.InstanceStep.GONE])
    def test_what_was_told_of_an_instance_that_is_no_more_is_taken_away(self, step: m.InstanceStep) -> None:
        """All of it: the Node that shows it goes too."""
        one = machine(told(event()), step)
        assert decided(seen(sight(event()), one=one)).status == m.CloudEvents()
        assert decided(seen(sight(event()), one=machine(None, step))).status is None

    @pytest.mark.parametrize("step", [m.InstanceStep.MADE, m.InstanceStep.TERMINATING, None])
    def test_while_it_may_be_there_it_is_told_of(self, step: m.InstanceStep | None) -> None:
        """Also of a host that no provider made, where somebody polls for it."""
        status = decided(seen(sight(event()), one=machine(None, step))).status
        assert conditions(status) == {"CloudMaintenance": ("True", "RebootPlanned")}

    def test_another_instance_begins_with_nothing(self) -> None:
        """What was told of the one before says nothing of it; nor does it last on the new Node."""
        old = evolved(told(event()), instance="i-0")
        assert decided(seen(sight(polled=0), old)).status == m.CloudEvents()
        fresh = decided(seen(sight(event("e-2", impact=Impact.FAILURE)), old)).status
        assert conditions(fresh) == {"CloudFailure": ("True", "HostFailing")}

    def test_what_a_newer_version_wrote_is_left_alone(self) -> None:
        """And it says so."""
        one = machine(told(event()), unknown=("spec.colour", "spec.shape"))
        decision = decided(seen(sight(), one=one, at=UNLISTED))
        assert decision.status == one.status.cloud_events
        [note] = decision.notes
        assert (note.code, note.text) == (
            "NewerVersion",
            "Machine c1 is a newer version's: spec.colour, spec.shape is not known here",
        )
