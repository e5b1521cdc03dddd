"""What a machine's cloud has told, kept in its status: conditions that open by an event and close only on evidence.

A list that does not show an event any more proves nothing by itself: a poll may fail, be late or be wrong. So an event
is over when the cloud says so, or when polls did not show it for UNLISTED and the cloud, asked by its id, does not know it.
The machine controller shows the conditions on the Node; rules of remedy go by these.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import attrs

from kubenode.core.capability import CloudEvent, EventState
from kubenode.core.decision import NOTHING_SEEN, Decision, Note
from kubenode.core.doctor.reasons import TYPES, DoctorReason, kind_of
from kubenode.core.heard import Heard, first_said, heard
from kubenode.core.identity import digest
from kubenode.core.model.cloudevents import EVENT_ID_LIMIT, OPEN_LIMIT, CloudEvents, OpenEvent
from kubenode.core.model.condition import Claim, find, stated
from kubenode.core.model.instance import InstanceStep
from kubenode.core.model.machine import Machine
from kubenode.core.model.meta import Switch
from kubenode.core.model.now import Now, moment
from kubenode.core.policy import Policy

MINUTE: Final = 60_000_000_000
UNLISTED: Final = 10 * MINUTE
"""So long complete polls must not show an event, nor the cloud know its id, until it counts as over."""
STALE: Final = 60 * MINUTE
"""After so long without a complete poll what is open says that it may be old; it stays open."""
NEWER_VERSION: Final = "NewerVersion"
NOTHING: Final = CloudEvents()
THERE: Final = frozenset({InstanceStep.MADE, InstanceStep.TERMINATING})
"""Steps of an instance of which events are told; those who poll go by it, too."""
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_BLIND: Final = "blind"


@attrs.frozen(kw_only=True)
class EventSight:
    """What polls told of one instance, in the life of this process.

    Attributes:
        instance: its id.
        events: those of the last complete poll, what the cloud said of recorded ones that it did not show, and what later
            polls that were not complete told besides; over ones too.
        polled: `Now.elapsed` when the last complete poll began; None: there was none. What that poll did not show was
            asked for by its id, where the provider can be asked.
        told: `Now.elapsed` when the last poll began that told anything, complete or not; None: there was none.
    """

    instance: str
    events: tuple[CloudEvent, ...] = ()
    polled: int | None = None
    told: int | None = None


@attrs.frozen(kw_only=True)
class DoctorSnapshot:
    """One machine, and what its cloud tells.

    Attributes:
        sight: None: nobody polls for its instance, or it has none.
    """

    machine: Machine
    sight: EventSight | None = None
    now: Now = attrs.field(converter=moment)
    sightings: Mapping[str, int] = NOTHING_SEEN


@attrs.frozen(kw_only=True)
class _End:
    """An event that was recorded as open, and is over."""

    event: OpenEvent
    reason: DoctorReason
    text: str


@attrs.frozen(kw_only=True)
class _Judged:
    """What is open, what has ended, and since when what is open was not shown."""

    open: tuple[OpenEvent, ...]
    ends: tuple[_End, ...]
    unlisted: Mapping[str, int]


def decide(seen: DoctorSnapshot, policy: Policy) -> Decision[CloudEvents]:
    """Decide what the status says of the events of one machine's instance.

    Args:
        seen: the snapshot.
        policy: has nothing to say here: what is done about a condition is a NodeRemedier's.

    Returns:
        `status` is the wanted `status.cloudEvents`; None where there is none and nothing to say. No effects.

    Invariants: a condition is True while an event of its type is open; an event that was recorded stays open until the
    cloud says that it is over, or until complete polls and the cloud itself have not known it for UNLISTED; of a poll
    that failed nothing follows, nor of one that began before another process's word was seen here: `deferred` until the
    next one. A machine without events is not written.
    Source: api.md section 4, "Cloud maintenance (Host Doctor)".
    """
    machine, sight, stored = seen.machine, seen.sight, seen.machine.status.cloud_events
    if machine.metadata.unknown:
        text = f"Machine {machine.metadata.name} is a newer version's: {', '.join(machine.metadata.unknown)} is not known here"
        return Decision(status=stored, notes=(Note(code=NEWER_VERSION, text=text),))
    if not _is_there(machine):
        return Decision(status=None if stored is None else NOTHING)
    if sight is None:
        return Decision(status=stored, sightings=seen.sightings)
    known = stored if stored is not None and stored.instance == sight.instance else NOTHING
    stands = None if known == NOTHING else heard(_word(known), seen.now.elapsed, seen.sightings)
    late = stands is not None and sight.told is not None and stands.outlasts(sight.told)
    if late:
        sight = attrs.evolve(sight, events=(), polled=None)
    judged = _judged(known, sight, seen.sightings)
    if not judged.open and not known.conditions:
        return Decision(status=None if stored is None else NOTHING)
    return attrs.evolve(_said(seen, known, judged, sight, stands), deferred=late)


def _is_there(machine: Machine) -> bool:
    """Tell whether there is an instance that events could be about; who has none by a provider may have one all the same."""
    instance = machine.status.instance
    return instance is None or instance.step in THERE


# What is open.


def _judged(known: CloudEvents, sight: EventSight, sightings: Mapping[str, int]) -> _Judged:
    told = {event.id: event for event in sight.events if 0 < len(event.id) <= EVENT_ID_LIMIT}
    current = [_recorded(event) for event in told.values() if not event.state.over]
    ends: list[_End] = []
    unlisted: dict[str, int] = {}
    for event in known.open:
        shown = told.get(event.id)
        if shown is not None:
            ends += _ended(event, shown.state)
        elif sight.polled is None:
            current.append(event)
        else:
            first = sightings.get(_key(event), sight.polled)
            if sight.polled - first >= UNLISTED:
                ends.append(
                    _End(event=event, reason=DoctorReason.EVENT_UNLISTED, text="is not told any more")
                )
            else:
                current.append(event)
                unlisted[_key(event)] = first
    return _Judged(open=_most_urgent(current, known), ends=tuple(ends), unlisted=unlisted)


def _key(event: OpenEvent) -> str:
    return f"unlisted:{event.id}"


def _ended(event: OpenEvent, state: EventState) -> Iterator[_End]:
    if state.over:
        yield _End(event=event, reason=DoctorReason.EVENT_OVER, text=f"is {state.value}")


def _recorded(event: CloudEvent) -> OpenEvent:
    type, why = kind_of(event)
    begins = event.not_before
    return OpenEvent(
        id=event.id, type=event.type[:128], state=event.state.value, condition=type, reason=why.value,
        not_before=None if begins is None else begins.astimezone(UTC).replace(microsecond=0),
    )  # fmt: skip


def _most_urgent(events: Iterable[OpenEvent], known: CloudEvents) -> tuple[OpenEvent, ...]:
    """Give as many as are recorded, the most urgent first; what is recorded is left out for nothing new."""
    before = {event.id for event in known.open}
    chosen = sorted(events, key=lambda one: (one.id not in before, *_urgency(one)))[:OPEN_LIMIT]
    return tuple(sorted(chosen, key=_urgency))


def _urgency(event: OpenEvent) -> tuple[datetime, str]:
    """Order by when it begins: what has begun first, what may begin at any time last."""
    if event.state == EventState.EXECUTING.value:
        return (_FIRST, event.id)
    return (event.not_before if event.not_before is not None else _LAST, event.id)


# What is said.


def _said(
    seen: DoctorSnapshot, known: CloudEvents, judged: _Judged, sight: EventSight, stands: Heard | None
) -> Decision[CloudEvents]:
    now, blind = seen.now.elapsed, {}
    told = sight.polled
    if told is None:
        told = blind[_BLIND] = seen.sightings.get(_BLIND, now)
    if stands is not None and not stands.own:
        told = max(told, stands.since)  # whoever said it had polled
    stale = now - told >= STALE
    claims = [claim for type in TYPES for claim in _claims(type, known, judged, sight.instance, stale=stale)]
    status = CloudEvents(
        instance=sight.instance, open=judged.open,
        conditions=stated(known.conditions, claims, wall=seen.now.wall, generation=0),
    )  # fmt: skip
    ages, word = bool(judged.open) and not stale, _word(status)
    said = first_said(word, now) if stands is None else stands.remembered(word, now)
    return Decision(
        status=status, wake_at=told + STALE if ages else None, sightings={**judged.unlisted, **blind, **said}
    )


def _claims(type: str, known: CloudEvents, judged: _Judged, instance: str, *, stale: bool) -> Iterator[Claim]:
    """Give the claim of one type of condition; none where it was never opened."""
    mine = [event for event in judged.open if event.condition == type]
    said = find(known.conditions, type)
    ends = [end for end in judged.ends if end.event.condition == type]
    if mine:
        text = "; ".join(_told(event) for event in mine)
        old = "as of more than an hour ago, no poll has succeeded since: " if stale else ""
        yield Claim.of(type, True, mine[0].reason, f"{old}{instance}: {text}")
    elif ends:
        text = "; ".join(f"{end.event.type}, event {end.event.id}, {end.text}" for end in ends)
        yield Claim.of(type, False, ends[0].reason.value, f"{instance}: {text}")
    elif said is not None and said.status is Switch.TRUE:
        text = f"{instance}: no event of this kind is open any more"
        yield Claim.of(type, False, DoctorReason.NO_EVENT_OPEN.value, text)
    elif said is not None:
        yield Claim.again(said)


def _told(event: OpenEvent) -> str:
    begins = "" if event.not_before is None else f", not before {event.not_before:%Y-%m-%dT%H:%M:%SZ}"
    return f"{event.type}, event {event.id}, {event.state}{begins}"


def _word(status: CloudEvents) -> str:
    """Give a digest of what is said of an instance, but for the stamps."""
    events = (
        part
        for one in status.open
        for part in (one.id, one.type, one.state, str(one.not_before), one.condition)
    )
    said = (
        part for one in status.conditions for part in (one.type, one.status.value, one.reason, one.message)
    )
    return digest(status.instance, *events, *said)
