"""The engine on one screen: key -> snapshot -> decide -> apply -> requeue.

`Engine.step` takes what has happened and gives back what is to be called and when to wake. It does no
I/O and reads no clock; asyncio drives it in production (`drive.py`), a heap of virtual time in the
simulator (`runtime/sim/run.py`). A key whose call is under way is in hand: nobody decides it meanwhile.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, assert_never

import attrs

from kubenode.core import wire
from kubenode.core.change import patch_between
from kubenode.core.decision import NOTHING_SEEN, Decision
from kubenode.core.errors import Forbidden, KubenodeError, Retry
from kubenode.core.model import Json, Now, Object, ref
from kubenode.core.policy import Policy
from kubenode.runtime.engine.apply import Act, WriteStatus
from kubenode.runtime.engine.expect import Expectations, Written
from kubenode.runtime.engine.queue import Key, WorkQueue
from kubenode.runtime.store.cache import Cache, Change
from kubenode.runtime.store.contract import WatchEvent

REFUSED_PAUSE = 300_000_000_000
"""How long a key rests whose call can only fail the same way; any change of its objects wakes it sooner."""


@attrs.frozen(kw_only=True)
class Question:
    """All that one decision needs.

    Attributes:
        snapshot: what the decider is given.
        subject: the object whose status the Decision wants; None when there is none.
        stored: that status, or the part of it that is ours, as it stands; None when there is none.
        part: the name of that part within the status; empty when it is the whole.
    """

    snapshot: Any
    subject: Object | None = None
    stored: Any = None
    part: str = ""


class Controller(Protocol):
    """Thin: which keys, which snapshot, which decider."""

    @property
    def name(self) -> str:
        """The controller's name, the first half of its keys."""

    def concerns(self, change: Change) -> Iterable[str]:
        """Name the keys whose snapshot a change may alter."""

    def question(self, key: str, now: Now, sightings: Mapping[str, int]) -> Question | None:
        """Make the snapshot; None when the key's object is no more."""

    def decide(self, snapshot: Any, policy: Policy) -> Decision[Any]:
        """Ask the pure decider."""


@attrs.frozen(kw_only=True)
class Event:
    """The watch told of a change."""

    kind: type[Object]
    event: WatchEvent


@attrs.frozen(kw_only=True)
class Synced:
    """A whole listing arrived.

    Attributes:
        begins: a watch begins from it; else it was asked for while one goes on.
        read: items that were told as parts already, by name.
    """

    kind: type[Object]
    items: tuple[Json, ...]
    version: int
    begins: bool = True
    read: Mapping[str, Object] = attrs.field(factory=dict, repr=False)


@attrs.frozen(kw_only=True)
class Part:
    """Some items of a listing, read, whose Synced is to come: a long one is folded a little at a time."""

    kind: type[Object]
    read: tuple[Object, ...]


@attrs.frozen(kw_only=True)
class Done:
    """A call ended: what it wrote, or why it failed (then `written` is what came before the failure)."""

    key: Key
    written: tuple[Written, ...] = ()
    error: KubenodeError | None = None


@attrs.frozen(kw_only=True)
class Stirred:
    """Something outside the API changed that a key looks at, such as the host of an agent."""

    key: Key


Input: TypeAlias = Event | Part | Synced | Done | Stirred


@attrs.frozen(kw_only=True)
class Call:
    """Acts to be done in order, for one key; answered by one Done."""

    key: Key
    acts: tuple[Act, ...]


@attrs.frozen(kw_only=True)
class Relist:
    """A listing to be asked for, since the watch seems to have lost something; answered by one Synced."""

    kind: type[Object]


@attrs.frozen(kw_only=True)
class Step:
    """What one step of the engine asks for.

    Attributes:
        wake_at: in `Now.elapsed`; None: only an input can wake it.
        is_cut: keys are due that this step did not get to.
    """

    calls: tuple[Call | Relist, ...]
    wake_at: int | None
    is_cut: bool = False


@attrs.frozen(kw_only=True)
class Decided:
    """One decision, as recorded: for explain, traces and replay."""

    now: Now
    key: Key
    question: Question
    policy: Policy
    decision: Decision[Any]
    acts: tuple[Act, ...]


Recorder: TypeAlias = Callable[[Decided], None]
Fault: TypeAlias = Callable[[Key, Exception], None]
"""Is told of a bug of ours that one key ran into; may raise, or let the other keys go on."""


Heed: TypeAlias = Callable[[Key, Any, Policy], Iterable[Key]]
"""Is told of what was decided (None: its object is no more) and by which policy; names keys that this concerns."""


def heedless(key: Key, snapshot: Any, policy: Policy) -> Iterable[Key]:
    """Let no decision concern another key but by what it writes."""
    return ()


def raised(key: Key, error: Exception) -> None:
    """Raise what a key ran into: for the simulator and tests, where a bug must not be survived."""
    raise error


class Engine:
    """Decides; its driver calls. Holds the cache, the queue, the expectations and the sightings."""

    def __init__(
        self, cache: Cache, controllers: Sequence[Controller], *, policy: Callable[[], Policy],
        fold: Callable[[Change], None] = lambda _: None, record: Recorder | None = None, fault: Fault = raised,
        observes: bool = False, heed: Heed = heedless,
    ) -> None:  # fmt: skip
        self.cache = cache
        self._controllers = {controller.name: controller for controller in controllers}
        self._policy = policy
        self._fold = fold
        self._record = record
        self._fault = fault
        self._observes = observes
        self._heed = heed
        self._queue = WorkQueue()
        self._expect = Expectations()
        self._sightings: dict[Key, Mapping[str, int]] = {}
        self._acts_of: dict[Key, tuple[Act, ...]] = {}
        self._repeats: set[Key] = set()
        self._troubled: set[Key] = set()
        self._unsynced = set(cache.kinds)
        self._denied: dict[Key, Forbidden] = {}
        self._term: int | None = 0

    def step(
        self, inputs: Iterable[Input], now: Now, *, term: int | None = 0, most: int | None = None
    ) -> Step:
        """Fold what has happened, decide every key that is due, and ask for the calls.

        Args:
            inputs: what has happened since the last step.
            now: the moment.
            term: in which this engine may decide; None when another one does: then it only folds.
            most: decide so many keys at most, so that a driver can look at other things in between; None is all.
        """
        calls: list[Call | Relist] = []
        for item in inputs:
            self._take(item, now)
        if term != self._term:
            self._begin(term, now)
        if term is None or self._unsynced:  # a cache that is not whole shows a world that never was
            return Step(calls=(), wake_at=None)
        left = itertools.count() if most is None else range(most)
        for _ in left:
            key = self._queue.take(now.elapsed)
            if key is None:
                break
            call = (
                self._blocked(key, now) if self._expect.unseen(key, self.cache) else self._guarded(key, now)
            )
            if call is not None:
                calls.append(call)
            if not isinstance(call, Call):
                self._queue.put_back(key)
        wake_at = self._queue.next_due()
        return Step(
            calls=tuple(calls), wake_at=wake_at, is_cut=wake_at is not None and wake_at <= now.elapsed
        )

    def waits_for(self) -> tuple[str, ...]:
        """Say what keeps it from rest: kinds not listed, own writes not seen, keys to be tried again; empty: nothing.

        What becomes due by time alone is no unrest.
        """
        unseen = (f"{key}: its own write has not been seen" for key in self._expect.waiting(self.cache))
        again = (f"{key}: is tried again" for key in self._troubled)
        return tuple(sorted((*self.unlisted(), *unseen, *again)))

    def unlisted(self) -> tuple[str, ...]:
        """Say which kinds were not listed yet."""
        return tuple(sorted(f"{kind.KIND.name}: not listed yet" for kind in self._unsynced))

    def denied(self) -> tuple[Forbidden, ...]:
        """Give the refusals of calls for want of a right; a key that has what it wanted is no longer among them."""
        return tuple(self._denied.values())

    def pending(self) -> int:
        """Give the number of keys that wait or are in hand."""
        return len(self._queue)

    def counts(self) -> Mapping[str, int]:
        """Give the number of objects of each kind."""
        return {kind.KIND.name: self.cache.count(kind) for kind in self.cache.kinds}

    def ask(self, controller: str, name: str, now: Now) -> Decision[Any] | None:
        """Decide one key as it stands, for `explain`: nothing is done and nothing is remembered."""
        asked = self._controllers[controller]
        question = asked.question(name, now, self._sightings.get(Key(controller, name), NOTHING_SEEN))
        return None if question is None else asked.decide(question.snapshot, self._policy())

    def _begin(self, term: int | None, now: Now) -> None:
        """Begin a term: what was seen in an earlier one was not watched in between, and every key is due."""
        self._term = term
        self._sightings.clear()
        self._acts_of.clear()
        self._repeats.clear()
        if term is None:
            return
        for kind in self.cache.kinds:
            for obj in self.cache.all(kind):
                self._concern(Change(kind=kind, before=None, after=obj), now)

    def _take(self, item: Input, now: Now) -> None:
        match item:
            case Event():
                change = self.cache.take(item.kind, item.event)
                self._changed(() if change is None else (change,), now)
            case Part():
                self._changed(self.cache.add(item.kind, item.read), now)
            case Synced():
                self._unsynced.discard(item.kind)
                self._changed(
                    self.cache.replace(
                        item.kind, item.items, item.version, begins=item.begins, read=item.read
                    ),
                    now,
                )
                self._expect.listed(item.kind.KIND.name)
            case Stirred():
                self._queue.add(item.key, now.elapsed)
            case Done():
                self._finish(item, now)
            case _:
                assert_never(item)

    def _changed(self, changes: Iterable[Change], now: Now) -> None:
        for change in changes:
            self._fold(change)
            self._concern(change, now)

    def _concern(self, change: Change, now: Now) -> None:
        for controller in self._controllers.values():
            for name in controller.concerns(change):
                self._queue.add(Key(controller.name, name), now.elapsed)

    def _finish(self, done: Done, now: Now) -> None:
        self._expect.add(done.key, done.written, now.elapsed)
        if done.error is not None:
            self._acts_of.pop(done.key, None)
        if isinstance(done.error, Forbidden):
            self._denied[done.key] = done.error
        elif done.error is None:
            self._denied.pop(done.key, None)
        if done.error is not None or done.key in self._repeats:
            self._troubled.add(done.key)
        if done.error is None and done.key in self._repeats:
            # It succeeded before with the very same acts, and was wanted again: the world does not follow.
            pause = self._queue.failed(done.key)
        elif done.error is None:
            self._queue.succeeded(done.key)
            pause = 0
        elif done.error.retry is Retry.NEVER:
            pause = REFUSED_PAUSE
        else:
            pause = max(self._queue.failed(done.key), _asked_pause(done.error))
        self._queue.add(done.key, now.elapsed + pause)
        self._queue.put_back(done.key)

    def _blocked(self, key: Key, now: Now) -> Relist | None:
        """Let a key wait for its own writes; when the watch seems to have lost them, list again."""
        unseen = self._expect.unseen(key, self.cache)
        relist = None
        if unseen is not None and self._expect.overdue(key, now.elapsed):
            if not self._expect.ask_again(key, now.elapsed):
                self._queue.add(key, now.elapsed)
                return None
            relist = Relist(kind=wire.kind_of(unseen.object.kind))
        self._queue.add(key, self._expect.due(key))
        return relist

    def _guarded(self, key: Key, now: Now) -> Call | None:
        """Decide a key; one that hits a bug of ours rests and is tried again, and the others go on."""
        try:
            return self._decide(key, now)
        except Exception as error:
            self._fault(key, error)
            self._troubled.add(key)
            self._queue.add(key, now.elapsed + self._queue.failed(key))
            return None

    def _decide(self, key: Key, now: Now) -> Call | None:
        controller = self._controllers[key.controller]
        question = controller.question(key.name, now, self._sightings.get(key, NOTHING_SEEN))
        if question is None:
            self._troubled.discard(key)
            self._sightings.pop(key, None)
            self._acts_of.pop(key, None)
            self._denied.pop(key, None)
            self._heeded(key, None, self._policy(), now)
            return None
        policy = self._policy()
        decision = controller.decide(question.snapshot, policy)
        if decision.sightings:
            self._sightings[key] = decision.sightings
        else:
            self._sightings.pop(key, None)
        acts = _acts(question, decision)
        if self._record is not None:
            self._record(
                Decided(now=now, key=key, question=question, policy=policy, decision=decision, acts=acts)
            )
        if decision.wake_at is not None:
            self._queue.add(key, max(decision.wake_at, now.elapsed + 1))
        self._heeded(key, question.snapshot, policy, now)
        self._troubled.discard(key)
        if acts and not self._observes:
            return self._called(key, acts)
        self._acts_of.pop(key, None)  # it is as wanted: what was done last is of no further use
        self._denied.pop(key, None)
        return None

    def _heeded(self, key: Key, snapshot: Any, policy: Policy, now: Now) -> None:
        for other in self._heed(key, snapshot, policy):
            self._queue.add(other, now.elapsed)

    def _called(self, key: Key, acts: tuple[Act, ...]) -> Call:
        """Make a call, and note whether it is the one that was made last: acts hold resourceVersions."""
        (self._repeats.add if self._acts_of.get(key) == acts else self._repeats.discard)(key)
        self._acts_of[key] = acts
        return Call(key=key, acts=acts)


def _acts(question: Question, decision: Decision[Any]) -> tuple[Act, ...]:
    """Give a Decision's effects, and before them the write of its status where that differs from what stands."""
    subject, stored, wanted = question.subject, question.stored, decision.status
    if subject is None or wanted is None or wanted == stored:  # at rest: nothing is dumped
        return decision.effects
    patch = patch_between(stored, wanted)
    if patch is None:
        return decision.effects
    write = WriteStatus(
        object=ref(subject),
        body={question.part: patch} if question.part else patch,
        resource_version=subject.metadata.resource_version,
    )
    return (write, *decision.effects)


def _asked_pause(error: KubenodeError) -> int:
    """Give the pause that a server asked for (Retry-After), nanoseconds."""
    asked = getattr(error, "retry_after", None)
    return 0 if asked is None else int(asked.total_seconds()) * 1_000_000_000
