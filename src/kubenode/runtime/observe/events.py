"""The events of instances as they were last told, by provider: memory of polls, and when the next poll is to be.

One poll tells of all instances of an account in a region, so it costs by what happens and not by how many there are. It
makes no call and reads no clock; `runtime/embed/clouds.py` and the simulator do, and tell it. Nothing here decides what
an event means, or whether it is over: that is core/doctor's to say.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

import attrs

from kubenode.core.capability import CloudEvent, SupportsEndedEvents, SupportsEvents, SupportsProviderId
from kubenode.core.doctor.decide import THERE, EventSight
from kubenode.core.hookspecs import Page
from kubenode.core.instance.turn import MINUTE, pause
from kubenode.core.model.machine import Machine
from kubenode.runtime.observe.calls import PAGES, Failure, failure
from kubenode.runtime.plugins import Plugins

INTERVAL: Final = MINUTE
"""From the beginning of a poll to that of the next one."""
_REMEMBERED: Final = 16_384
"""ProviderIDs that are read once; then all are read anew."""
ASKED_AT_ONCE: Final = 100
"""Most ids of one question what became of them, as the contract says."""


@attrs.frozen(kw_only=True)
class Poll:
    """One poll of a provider.

    Attributes:
        began: `Now.elapsed` when it began.
        events: what it told, and what became of recorded events that it did not show.
        proves: what it does not tell is not known to the provider: all pages came, and all questions were answered.
    """

    began: int
    events: tuple[CloudEvent, ...]
    proves: bool = True


Polled: TypeAlias = Poll | Failure


@attrs.frozen(kw_only=True)
class _Tie:
    """Of which instance a machine is to know the events, and which are recorded there as open."""

    provider: str
    instance: str
    open: frozenset[str]


@attrs.define
class _Account:
    """One provider: one account in one region."""

    driver: SupportsEvents
    told: dict[str, tuple[CloudEvent, ...]] = attrs.field(factory=dict)
    tied: dict[str, dict[str, None]] = attrs.field(factory=dict)
    recorded: dict[str, frozenset[str]] = attrs.field(factory=dict)
    polled: int | None = None
    began: int | None = None
    waiting: set[str] = attrs.field(factory=set)
    polling: bool = False
    not_before: int = 0
    failures: int = 0

    def tie(self, name: str, tie: _Tie) -> None:
        """Let a machine know of the events of its instance."""
        self.tied.setdefault(tie.instance, {})[name] = None
        if tie.open:
            self.recorded[name] = tie.open

    def untie(self, name: str, tie: _Tie) -> None:
        """Let a machine know of them no longer."""
        self.recorded.pop(name, None)
        self.waiting.discard(name)
        names = self.tied[tie.instance]
        del names[name]
        if not names:
            del self.tied[tie.instance]


class Events:
    """What is known of the events of all instances. For one thread, that of the engine.

    Args:
        plugins: whose providers are polled, where they tell events.
    """

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._accounts: dict[str, _Account] = {}
        self._ties: dict[str, _Tie] = {}
        self._read_ids: dict[str, tuple[str, str] | None] = {}
        self.noticed: Callable[[], None] = _nobody
        """Is told that a provider is to be polled that was not."""

    # What decisions ask.

    def tells(self, provider: str) -> bool:
        """Say whether a provider tells events."""
        return self._driver(provider) is not None

    def sight(self, machine: Machine, provider_id: str = "") -> EventSight | None:
        """Give what was told of a machine's instance; None when it has none, or its provider tells no events.

        Args:
            machine: as it stands.
            provider_id: what its Node registered with: of which instance a host is that no provider was asked to make.
        """
        tie = self._tie(machine, provider_id)
        account = None if tie is None else self._account(tie.provider)
        self._bind(machine.metadata.name, None if account is None else tie)
        if tie is None or account is None:
            return None
        return EventSight(
            instance=tie.instance,
            events=account.told.get(tie.instance, ()),
            polled=account.polled,
            told=account.began,
        )

    def await_poll(self, name: str, *, waits: bool) -> None:
        """Note whether a machine is to be decided about anew after the next poll, whatever that tells."""
        tie = self._ties.get(name)
        if tie is not None:
            waiting = self._accounts[tie.provider].waiting
            (waiting.add if waits else waiting.discard)(name)

    def forget(self, name: str) -> None:
        """Forget a machine that is no more."""
        self._bind(name, None)

    # What those who call are told.

    @property
    def providers(self) -> tuple[str, ...]:
        """Name the providers that have an instance of a machine and tell events."""
        return tuple(name for name, account in self._accounts.items() if account.tied)

    def next_poll(self, provider: str) -> int | None:
        """Give when the next poll of a provider is to begin, in `Now.elapsed`; None: there is nothing to know, or one is under way."""
        account = self._accounts.get(provider)
        if account is None or account.polling or not account.tied:
            return None
        return account.not_before

    def begin(self, provider: str, now: int) -> Callable[[], Polled]:
        """Begin a poll; give what makes it, in any thread."""
        account = self._accounts[provider]
        account.polling, account.not_before = True, now + INTERVAL
        recorded = frozenset(one for ids in account.recorded.values() for one in ids)
        return partial(poll, account.driver, recorded, now)

    def polled(self, provider: str, poll: Polled, now: int) -> tuple[str, ...]:
        """Take what a poll told; give the machines that are to be decided about anew: those with events, that had some, or that wait."""
        account = self._accounts[provider]
        account.polling = False
        if isinstance(poll, Failure):
            account.failures += 1
            again = max(poll.retry_after, pause(account.failures, provider, "events"))
            account.not_before = max(account.not_before, now + again)
            return ()
        account.failures = 0
        before, account.began = account.told, poll.began
        if poll.proves:
            account.told, account.polled = _by_instance(poll.events), poll.began
        else:  # what it did not show is as it was: only a complete poll proves that it is told no more
            known = {event.id: event for some in before.values() for event in some}
            known.update((event.id, event) for event in poll.events)
            account.told = _by_instance(known.values())
        changed = {
            name
            for instance in before.keys() | account.told.keys()
            if before.get(instance) != account.told.get(instance)
            for name in account.tied.get(instance, ())
        }
        return tuple(sorted(changed | account.recorded.keys() | account.waiting))

    # How it is kept.

    def _tie(self, machine: Machine, provider_id: str) -> _Tie | None:
        instance, told = machine.status.instance, machine.status.cloud_events
        if instance is None and machine.spec.host is not None:
            found = self._named(provider_id)
        elif instance is None or not instance.id or instance.step not in THERE:
            return None
        else:
            found = (instance.provider, instance.id)
        if found is None:
            return None
        ids = () if told is None or told.instance != found[1] else (one.id for one in told.open)
        return _Tie(provider=found[0], instance=found[1], open=frozenset(ids))

    def _named(self, provider_id: str) -> tuple[str, str] | None:
        """Give the provider that tells events and reads a providerID, and its instance; None of one that nobody reads.

        What a provider reads is remembered: some load their SDK to know their region.
        """
        if provider_id and provider_id not in self._read_ids:
            if len(self._read_ids) >= _REMEMBERED:
                self._read_ids.clear()
            self._read_ids[provider_id] = next(self._readings(provider_id), None)
        return self._read_ids.get(provider_id)

    def _readings(self, provider_id: str) -> Iterator[tuple[str, str]]:
        for name, found in sorted(self._plugins.providers.items()):
            driver: object = found
            if isinstance(driver, SupportsProviderId) and self._driver(name) is not None:
                with suppress(Exception):  # one that has no region reads none
                    instance = driver.instance_of(provider_id)
                    if isinstance(instance, str) and instance:
                        yield name, instance

    def _account(self, provider: str) -> _Account | None:
        """Give the account of a provider that tells events; None of another one."""
        driver = self._driver(provider)
        return None if driver is None else self._accounts.setdefault(provider, _Account(driver=driver))

    def _driver(self, provider: str) -> SupportsEvents | None:
        found: object = self._plugins.providers.get(provider)
        return found if isinstance(found, SupportsEvents) else None

    def _bind(self, name: str, tie: _Tie | None) -> None:
        before = self._ties.pop(name, None)
        if before is not None and before != tie:
            self._accounts[before.provider].untie(name, before)
        if tie is not None:
            self._ties[name] = tie
        if tie is None or before == tie:
            return
        account = self._accounts[tie.provider]
        is_first = not account.tied
        account.tie(name, tie)
        if is_first:
            self.noticed()


def poll(provider: SupportsEvents, recorded: Collection[str], began: int) -> Polled:
    """Poll a provider: all pages, then what became of the recorded events that no page showed.

    Where that question fails, what the pages showed counts all the same; only that something was not shown proves nothing.
    """
    told: dict[str, CloudEvent] = {}
    cursor: str | None = None
    try:
        for _ in range(PAGES):
            page = provider.events(cursor)
            told.update((event.id, event) for event in _read(page))
            cursor = page.cursor
            if cursor is None:
                break
        else:
            return Failure(error="Unavailable", text=f"events() gave more than {PAGES} pages")
    except Exception as error:
        return failure(error, otherwise="Unavailable")
    ended = _ended(provider, sorted(set(recorded) - told.keys()))
    if ended is None:
        return Poll(began=began, events=tuple(told.values()), proves=False)
    return Poll(began=began, events=(*told.values(), *ended))


def _read(page: object) -> Iterable[CloudEvent]:
    """Give the events of a page; whatever else a plugin gives is no page."""
    if not isinstance(page, Page) or not all(isinstance(one, CloudEvent) for one in page.items):
        raise TypeError("events() gave something else than a Page of CloudEvents")
    return page.items


def _ended(provider: SupportsEvents, ids: list[str]) -> tuple[CloudEvent, ...] | None:
    """Ask what became of events; none where the provider cannot be asked, None where it did not answer."""
    if not isinstance(provider, SupportsEndedEvents):
        return ()
    try:
        return tuple(
            event
            for at in range(0, len(ids), ASKED_AT_ONCE)
            for event in provider.ended_events(tuple(ids[at : at + ASKED_AT_ONCE]))
        )
    except Exception:
        return None


def _by_instance(events: Iterable[CloudEvent]) -> dict[str, tuple[CloudEvent, ...]]:
    found: dict[str, list[CloudEvent]] = {}
    for event in events:
        found.setdefault(event.instance, []).append(event)
    return {instance: tuple(sorted(some, key=lambda one: one.id)) for instance, some in found.items()}


def _nobody() -> None:
    """Tell nobody."""
