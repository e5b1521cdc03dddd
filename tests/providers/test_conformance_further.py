"""The provider kit finds each planted fault in a capability, with the words that mend it."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from kubenode.providers import (
    CloudEvent,
    CreateRequest,
    EventState,
    Guard,
    Instance,
    MemoryProvider,
    NotFound,
    Page,
    conformance,
)
from kubenode.providers.memory import MemoryParams
from tests.third_party.kit import broken, laws

EVENTS = "events-keep-their-ids-and-are-given-once"
NODE = "a-node-finds-its-instance"
CHOICES = "a-choice-is-one-placement"
GUARD = "a-guard-is-shown"


class Full(MemoryProvider):
    """A sound provider with every capability that the kit has a law for; maintenance is planned for all it makes."""

    def create(self, request: CreateRequest[MemoryParams]) -> Instance:
        """Create, and name the node."""
        made = super().create(request)
        return attrs.evolve(made, provider_id=f"full:///{made.zone}/{made.id}")

    def events(self, cursor: str | None) -> Page[CloudEvent]:
        """Give one event a page."""
        ids = [one.id for one in self.find({}, None).items]
        at = 0 if cursor is None else int(cursor)
        events = [CloudEvent(id=f"e-{one}", instance=one, type="reboot") for one in ids[at : at + 1]]
        return Page(items=tuple(events), cursor=str(at + 1) if at + 1 < len(ids) else None)

    def instance_of(self, provider_id: str) -> str | None:
        """Read our own form."""
        return provider_id.rpartition("/")[2] if provider_id.startswith("full:///") else None

    def confirm_event(self, event_id: str) -> None:
        """Nothing waits for consent."""
        raise NotFound(event_id)

    def choices(self, params: MemoryParams) -> tuple[MemoryParams, ...]:
        """Give the one zone."""
        return (params,)

    def guard(self, instance_id: str, guard: Guard) -> None:
        """Remember it."""
        self._instances[instance_id] = attrs.evolve(self._instances[instance_id], guard=guard)


test_full = conformance.provider(lambda wire: Full(), params=MemoryParams(), eventful=lambda wire: Full())


class LosesTags(Full):
    """Replaces the tags."""

    def set_tags(self, instance_id: str, tags: Mapping[str, str]) -> None:
        """Keep only the new ones."""
        self._instances[instance_id] = attrs.evolve(self._instances[instance_id], tags=dict(tags))


class AddsGuards(Full):
    """Never takes one away."""

    def guard(self, instance_id: str, guard: Guard) -> None:
        """Add to what was there."""
        known = self._instances[instance_id].guard or Guard()
        both = Guard(
            hands_off=known.hands_off or guard.hands_off, holds_end=known.holds_end or guard.holds_end
        )
        super().guard(instance_id, both)


class HidesGuards(Full):
    """Shows none."""

    def guard(self, instance_id: str, guard: Guard) -> None:
        """Do nothing with it."""


class FirstEvents(Full):
    """Gives the first page as if it was all."""

    def events(self, cursor: str | None) -> Page[CloudEvent]:
        """Forget the cursor."""
        return Page(items=super().events(None).items)


class NewIds(Full):
    """Makes up an id in every poll."""

    polls = 0

    def events(self, cursor: str | None) -> Page[CloudEvent]:
        """Number what it gives."""
        self.polls += 1
        page = super().events(cursor)
        return attrs.evolve(
            page, items=tuple(attrs.evolve(one, id=f"{one.id}-{self.polls}") for one in page.items)
        )


class OneId(Full):
    """Gives the type as the id."""

    def events(self, cursor: str | None) -> Page[CloudEvent]:
        """Name all alike."""
        page = super().events(cursor)
        return attrs.evolve(page, items=tuple(attrs.evolve(one, id=one.type) for one in page.items))


class EndlessEvents(Full):
    """Never says that a page is the last."""

    def events(self, cursor: str | None) -> Page[CloudEvent]:
        """Give a cursor that leads nowhere."""
        return Page(items=(), cursor="more")


class Rows(Full):
    """Gives the answer of its cloud."""

    def events(self, cursor: str | None) -> Any:
        """Give a list."""
        return []


class Nameless(Full):
    """Says nothing of the node."""

    def create(self, request: CreateRequest[MemoryParams]) -> Instance:
        """Leave provider_id out."""
        return attrs.evolve(super().create(request), provider_id="")


class OtherNode(Full):
    """Reads another form than it writes."""

    def instance_of(self, provider_id: str) -> str | None:
        """Give all of it."""
        return provider_id or None


class AnyCloud(Full):
    """Takes the last part of anything."""

    def instance_of(self, provider_id: str) -> str | None:
        """Never mind the scheme."""
        return provider_id.rpartition("/")[2] or None


class NoChoice(Full):
    """Has nothing to try."""

    def choices(self, params: MemoryParams) -> tuple[MemoryParams, ...]:
        """Give none."""
        return ()


class MoreChoices(Full):
    """Its choices have choices."""

    def choices(self, params: MemoryParams) -> tuple[MemoryParams, ...]:
        """Give two, whatever is asked."""
        return params, MemoryParams(zone="z")


class AnyConsent(Full):
    """Takes consent to anything."""

    def confirm_event(self, event_id: str) -> None:
        """Do nothing."""


class OddConsent(Full):
    """Fails as a dictionary does."""

    def confirm_event(self, event_id: str) -> None:
        """Look it up."""
        raise KeyError(event_id)


class AsyncTags(Full):
    """Its set_tags is a coroutine."""

    async def set_tags(self, instance_id: str, tags: Mapping[str, str]) -> None:  # type: ignore[override]
        """Do nothing."""


@pytest.mark.parametrize(
    ("fault", "law", "words"),
    [
        (LosesTags, "tags-are-added-and-kept", "add to the tags, and keep {'kubenode.dev/kit': 'kit'}"),
        (FirstEvents, EVENTS, "for which the cloud has planned maintenance; ask for the whole region"),
        (NewIds, EVENTS, "events() gave other ids in a second poll; an event keeps its id"),
        (OneId, EVENTS, "events() gave reboot twice in one poll"),
        (EndlessEvents, EVENTS, "events() gave the cursor 'more' twice, so it never ends"),
        (Rows, EVENTS, "events() gave something else; give Page("),
        (AnyConsent, "consent-to-nothing-is-not-found", "of an id that nobody knows raised nothing; raise NotFound"),
        (OddConsent, "consent-to-nothing-is-not-found", "of an id that nobody knows raised KeyError; raise NotFound"),
        (Nameless, NODE, "create() gave no provider_id"),
        (OtherNode, NODE, "instance_of('full:///a/i-00000000') is 'full:///a/i-00000000'; create() made 'i-00000000'"),
        (AnyCloud, NODE, "instance_of('no-cloud:///zone/x') is 'x'; give None"),
        (NoChoice, CHOICES, "choices() gave (); give at least one MemoryParams"),
        (MoreChoices, CHOICES, "choices() of a choice gave something else"),
        (AddsGuards, GUARD, "after guard(Guard(hands_off=False, holds_end=True)); show what"),
        (HidesGuards, GUARD, "get() shows None after guard(Guard(hands_off=True, holds_end=True))"),
        (AsyncTags, "methods-are-plain-functions", "AsyncTags.set_tags is async; write a plain def"),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found(
    fault: Callable[[], Full], law: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One law is broken, and its text says by what and what to write."""
    monkeypatch.setattr("kubenode.providers.conformance.looking.PAUSE", 0.0)
    kit = conformance.provider(lambda wire: fault(), params=MemoryParams(), eventful=lambda wire: fault())
    assert words in broken(kit, law)


def test_events_need_a_cloud_that_has_some() -> None:
    """An empty list proves nothing, so the kit asks for events, and wants them of the same kind of provider."""
    kit = conformance.provider(lambda wire: Full(), params=MemoryParams())
    assert EVENTS in laws(kit)
    assert "events() needs eventful=" in broken(kit, EVENTS)
    kit = conformance.provider(
        lambda wire: Full(), params=MemoryParams(), eventful=lambda wire: MemoryProvider()
    )
    assert "give one kind" in broken(kit, EVENTS)


def test_an_event_has_aware_times_and_knows_when_it_is_over() -> None:
    """A time without a zone is a mistake of the provider; what nobody knows is not over."""
    with pytest.raises(ValueError, match="not_before has no time zone"):
        CloudEvent(id="e", instance="i", type="t", not_before=datetime(2026, 3, 2))  # noqa: DTZ001 - the mistake
    at = datetime(2026, 3, 2, tzinfo=UTC)
    assert CloudEvent(id="e", instance="i", type="t", not_before=at, not_after=at).not_after == at
    over = {state for state in EventState if state.over}
    assert over == {EventState.EXECUTED, EventState.AVOIDED, EventState.CANCELED, EventState.FAILED}
