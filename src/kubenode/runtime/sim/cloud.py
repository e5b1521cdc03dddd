"""A simulated cloud: a provider in memory, the hosts of its instances, and what goes wrong between it and a controller.

The instances and the count of calls are the cloud's truth; nobody's view of them. A view belongs to one process, and
is gone with it.
"""

import enum
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

import attrs

from kubenode.core import model as m
from kubenode.core.capability import CloudEvent, EventState
from kubenode.core.decision import CloudEffect
from kubenode.core.errors import (
    Ambiguous,
    Busy,
    CapacityExhausted,
    NotFound,
    ProviderError,
    Throttled,
    Unavailable,
)
from kubenode.core.hookspecs import CreateRequest, Instance, InstanceState, Page, Power
from kubenode.core.instance.seen import MACHINE_TAG, MACHINE_UID_TAG
from kubenode.providers.memory import MemoryParams, MemoryProvider
from kubenode.providers.pace import Pace
from kubenode.runtime.engine.loop import Input, Stirred
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.observe.calls import answered, look, made
from kubenode.runtime.observe.events import Events
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.plugins import Plugins

T = TypeVar("T")
EVENTS_A_PAGE: Final = 2
BOOT: Final = timedelta(seconds=60)
"""How long an instance takes until its agent is heard and its Node registers."""


class CloudFault(enum.Enum):
    """What becomes of one call."""

    NONE = "none"
    THROTTLED = "throttled"
    """It is refused, and nothing is done."""
    TIMEOUT = "timeout"
    """It is done, and its answer does not come."""
    UNHEARD = "unheard"
    """It is not done, and no answer comes."""
    BUSY = "busy"
    """It is refused, since another one is under way."""


Choose = Callable[[str], CloudFault]
"""Takes the name of a call (create, delete, find, get) and gives its fault."""


def no_fault(_: str) -> CloudFault:
    """Let a call be."""
    return CloudFault.NONE


def _nobody(_: Input) -> None:
    """Tell nobody: the process is not there yet."""


def _to_nobody(_: str) -> None:
    """Tell nobody."""


@attrs.frozen(kw_only=True)
class SimParams(MemoryParams):
    """What `spec.infrastructure.parameters` says in the simulator: where, and where else when there is no capacity."""

    fallback: tuple[str, ...] = ()


class _Memory(MemoryProvider):
    """The provider in memory, whose instances a test may change as a person could in the cloud's console."""

    def put(self, one: Instance) -> None:
        """Set an instance."""
        self._instances[one.id] = one


@attrs.frozen(kw_only=True)
class Termination:
    """An instance that a call ended.

    Attributes:
        at: when, elapsed nanoseconds.
        instance: its id.
        machine: name of the machine that it was of, by its tag.
        machine_uid: that machine's uid, by its tag.
        held: the ledger had an open hold of that machine when the call came.
    """

    at: int
    instance: str
    machine: str
    machine_uid: str
    held: bool


def all_of(find: Callable[[Mapping[str, str], str | None], Page[Instance]]) -> tuple[Instance, ...]:
    """Give the instances of all pages."""
    items: list[Instance] = []
    cursor: str | None = None
    while True:
        page = find({}, cursor)
        items += page.items
        cursor = page.cursor
        if cursor is None:
            return tuple(items)


@attrs.define
class SimCloud:
    """The provider `memory`, with hosts behind its instances.

    Attributes:
        calls: how often each method was called.
        asked: how often a create was asked for, by its token, whatever came of it.
        created: the ids that were made, by their tokens: the truth about what was ever made.
        terminations: instances that a call ended, in order; not those that ended behind everybody's back.
        stuck: ids whose end is accepted and never comes.
        full: zones without capacity.
        pace: the budget of calls; a call that it refuses is not made.
        hidden: ids that neither a look nor a question shows, as a cloud that is late, or wrong.
        raises: what every call raises at present; None: nothing.
        choose: which calls fail, and how.
        born: is told of an instance that was made.
        died: is told of one that is no more.
        elapsed: the time, nanoseconds.
        held: tells whether the ledger has an open hold of a machine, by its uid.
    """

    born: Callable[[Instance], None]
    died: Callable[[Instance], None]
    elapsed: Callable[[], int]
    held: Callable[[str], bool]
    choose: Choose = no_fault
    raises: ProviderError | None = None
    calls: Counter[str] = attrs.field(factory=Counter)
    asked: Counter[str] = attrs.field(factory=Counter)
    created: dict[str, str] = attrs.field(factory=dict)
    terminations: list[Termination] = attrs.field(factory=list)
    stuck: set[str] = attrs.field(factory=set)
    full: set[str] = attrs.field(factory=set)
    pace: Pace | None = None
    hidden: set[str] = attrs.field(factory=set)
    name: str = "memory"
    params: type[SimParams] = SimParams
    _memory: _Memory = attrs.field(factory=_Memory)

    @property
    def made(self) -> tuple[Instance, ...]:
        """Give all that were ever made, whatever anybody is shown."""
        return all_of(self._memory.find)

    @property
    def alive(self) -> tuple[Instance, ...]:
        """Give the instances that there are."""
        return tuple(one for one in self.made if one.state is not InstanceState.TERMINATED)

    @property
    def terminated(self) -> Counter[str]:
        """Count how often calls ended each instance, by id."""
        return Counter(one.instance for one in self.terminations)

    def end(self, instance_id: str) -> bool:
        """Terminate an instance behind everybody's back; tell whether there was one."""
        one = self._memory.get(instance_id)
        if one.state is InstanceState.TERMINATED:
            return False
        self._memory.delete(instance_id)
        self.died(one)
        return True

    def choices(self, params: SimParams) -> tuple[SimParams, ...]:
        """Give the placements to try in turn."""
        zones = (params.zone, *params.fallback)
        return tuple(SimParams(zone=zone) for zone in zones)

    def create(self, request: CreateRequest[MemoryParams]) -> Instance:
        """Create an instance, or give the one that this token made before."""

        def call() -> Instance:
            if request.params.zone in self.full:
                raise CapacityExhausted(f"no machine is to be had in zone {request.params.zone}")
            one = self._memory.create(request)
            one = attrs.evolve(one, provider_id=f"sim:///{one.zone}/{one.id}")
            self._memory.put(one)
            if request.token not in self.created:
                self.created[request.token] = one.id
                self.born(one)
            return one

        self.asked[request.token] += 1
        return self._called("create", call)

    def get(self, instance_id: str) -> Instance:
        """Look at one instance."""
        return self._called(
            "get", lambda: self._memory.get("?" if instance_id in self.hidden else instance_id)
        )

    def find(self, tags: Mapping[str, str], cursor: str | None) -> Page[Instance]:
        """Give a page of those that bear these tags."""

        def call() -> Page[Instance]:
            page = self._memory.find(tags, cursor)
            return attrs.evolve(page, items=tuple(one for one in page.items if one.id not in self.hidden))

        return self._called("find", call)

    def delete(self, instance_id: str) -> None:
        """Terminate an instance."""

        def call() -> None:
            if instance_id not in self.stuck and self.end(instance_id):
                one = self._memory.get(instance_id)
                uid = one.tags.get(MACHINE_UID_TAG, "")
                self.terminations.append(Termination(
                    at=self.elapsed(), instance=one.id, machine=machine_of(one), machine_uid=uid, held=self.held(uid),
                ))  # fmt: skip

        self._called("delete", call)

    def change(self, instance_id: str, **change: Any) -> None:
        """Change an instance, as a person would in the cloud's console: its tags, its state."""
        self._memory.put(attrs.evolve(self._memory.get(instance_id), **change))

    def _called(self, what: str, call: Callable[[], T]) -> T:
        writes = what in ("create", "delete", "power")
        if self.pace is not None:
            self.pace.go(writes=writes)
        self.calls[what] += 1
        if self.raises is not None:
            raise self.raises
        fault = self.choose(what)
        if fault is CloudFault.THROTTLED:
            raise Throttled("slow down", retry_after=timedelta(seconds=1))
        if fault is CloudFault.BUSY:
            raise Busy("another call is under way")
        if fault is CloudFault.NONE:
            return call()
        if fault is CloudFault.TIMEOUT:
            call()
        raise Ambiguous("no answer") if writes else Unavailable("no answer")


@attrs.define
class EventfulCloud(SimCloud):
    """A cloud that tells events too, a few a page, and what became of those that it shows no longer.

    Attributes:
        shown: by their ids.
        past: as they ended, by their ids.
        restarts: ids of instances that were restarted, by token.
        consents: ids of events that were consented to.
        rebooted: is told of each.
    """

    rebooted: Callable[[str], None] = _to_nobody
    restarts: dict[str, str] = attrs.field(factory=dict)
    consents: list[str] = attrs.field(factory=list)
    shown: dict[str, CloudEvent] = attrs.field(factory=dict)
    past: dict[str, CloudEvent] = attrs.field(factory=dict)

    def events(self, cursor: str | None) -> Page[CloudEvent]:
        """Give a page of those that are not over."""

        def call() -> Page[CloudEvent]:
            rest = sorted(one for one in self.shown if cursor is None or one > cursor)
            page = tuple(self.shown[one] for one in rest[:EVENTS_A_PAGE])
            return Page(items=page, cursor=page[-1].id if len(rest) > EVENTS_A_PAGE else None)

        return self._called("events", call)

    def ended_events(self, event_ids: tuple[str, ...]) -> tuple[CloudEvent, ...]:
        """Give those that are over."""
        return self._called(
            "ended_events", lambda: tuple(self.past[one] for one in event_ids if one in self.past)
        )

    def power(self, instance_id: str, action: Power, token: str) -> None:
        """Restart an instance, once a token; what was planned for it is avoided thereby, as by ECS."""

        def call() -> None:
            self._memory.power(instance_id, action, token)
            if token not in self.restarts:
                self.restarts[token] = instance_id
                self.rebooted(instance_id)
            for event in [one for one in self.shown.values() if one.instance == instance_id]:
                self.finish(event.id, EventState.AVOIDED)

        self._called("power", call)

    def confirm_event(self, event_id: str) -> None:
        """Do what waits for consent at once: the instance is restarted, and the event executed."""

        def call() -> None:
            event = self.shown.get(event_id)
            if event is None or event.state is not EventState.INQUIRING:
                raise NotFound(f"no event {event_id} waits for consent")
            self.consents.append(event_id)
            self.rebooted(event.instance)
            self.finish(event_id, EventState.EXECUTED)

        self._called("confirm_event", call)

    def tell(self, event: CloudEvent) -> None:
        """Plan an event, or change one."""
        self.shown[event.id] = event

    def finish(self, event_id: str, state: EventState) -> None:
        """Let an event be over: it is shown no longer, and who asks for it hears how it ended."""
        self.past[event_id] = attrs.evolve(self.shown.pop(event_id), state=state)


@attrs.define
class SimClouds:
    """One process's way to the providers: calls in place, and looks when one is of use.

    Args:
        now: virtual time.
        later: does something after a delay.
    """

    now: Callable[[], m.Now]
    later: Callable[[timedelta, Callable[[], None]], None]
    tell: Callable[[Input], None] = _nobody
    view: Instances = attrs.field(factory=lambda: Instances(Plugins()))
    events: Events = attrs.field(factory=lambda: Events(Plugins()))
    _timers: dict[str, int] = attrs.field(factory=dict)

    def start(self, view: Instances, events: Events) -> None:
        """Begin with views that have seen nothing, as a process does."""
        self.view, self.events = view, events
        self._timers.clear()

    async def ask(self, effect: CloudEffect) -> None:
        """Make the call of an effect, unless its provider is frozen."""
        now = self.now().elapsed
        answer = self.view.gate(effect, now)
        if answer is None:
            given = made(self.view.launches, effect)
            answer = answered(effect, given, self.now().elapsed)
        self._stir("machine", self.view.answered(effect, answer))

    def resync(self) -> None:
        """Look at each provider, though nobody wants it: what an engine does every few minutes, and no simulation that is to rest."""
        for provider in self.view.providers:
            self._look(provider, self.now().elapsed)

    def plan(self) -> None:
        """See to it that the next look at each provider, and the next poll, is made in time; after each turn."""
        for provider in self.view.providers:
            self._plan(
                f"look at {provider}", partial(self.view.next_look, provider), partial(self._look, provider)
            )
        for provider in self.events.providers:
            self._plan(
                f"poll of {provider}", partial(self.events.next_poll, provider), partial(self._poll, provider)
            )

    def _plan(self, what: str, wanted: Callable[[], int | None], work: Callable[[int], None]) -> None:
        at, known, now = wanted(), self._timers.get(what), self.now().elapsed
        if at is not None and (known is None or known <= now or at < known):
            at = max(at, now)
            self._timers[what] = at
            delay = timedelta(microseconds=-(-(at - now) // 1000))
            self.later(delay, partial(self._due, what, at, wanted, work))

    def _due(self, what: str, at: int, wanted: Callable[[], int | None], work: Callable[[int], None]) -> None:
        if self._timers.get(what) != at:
            return
        del self._timers[what]
        now, due = self.now().elapsed, wanted()
        if due is not None and due <= now:
            work(now)

    def _look(self, provider: str, now: int) -> None:
        known = self.view.begin(provider, now)
        found = self.view.launches.provider(provider)
        if found is not None:
            self._stir("machine", self.view.looked(provider, look(found, known, now), now))
            self._stir("machineset", self.view.sets_to_tell(provider))

    def _poll(self, provider: str, now: int) -> None:
        self._stir("doctor", self.events.polled(provider, self.events.begin(provider, now)(), now))

    def _stir(self, controller: str, names: tuple[str, ...]) -> None:
        for name in names:
            self.tell(Stirred(key=Key(controller, name)))


def machine_of(one: Instance) -> str:
    """Give the name of the machine that an instance is of, by its tag."""
    return one.tags.get(MACHINE_TAG, one.id)
