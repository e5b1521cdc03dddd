"""The engine in production: asyncio lists, watches, sleeps and calls for it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, assert_never

from kubenode.core import wire
from kubenode.core.errors import (
    ApiError,
    Expired,
    Forbidden,
    InvalidObjectError,
    ObjectNotFound,
)
from kubenode.core.model import Json, Object
from kubenode.runtime.clock import Clock
from kubenode.runtime.engine.apply import NO_CLOUDS, Clouds, CrashPoint, Hands, NoHands, apply, pass_by
from kubenode.runtime.engine.loop import Call, Done, Engine, Event, Input, Part, Relist, Step, Synced
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.store.contract import Store, Watch
from kubenode.runtime.store.fence import TermOver, check_fence, set_fence
from kubenode.runtime.store.following import follow, in_turn
from kubenode.runtime.store.installed import INSTALL, how_to_be_allowed, refusal
from kubenode.runtime.threads import called

LOG = logging.getLogger("kubenode.engine")
AT_A_TIME: Final = 100
"""Keys that are decided, and objects that are read, before anything else has its turn."""
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
GRACE = 30.0
"""Seconds that a call under way is given to end by itself once the driver was told to stop."""


class Driver:
    """Feeds one engine from a Store and does its calls. Inert until `run`; leaves no task behind.

    With `aside` each step of the engine is made in a thread: its questions may wait for a host that hangs, and everything
    else goes on meanwhile. One that has not ended when the driver is told to stop is left behind, and nothing of it is done.
    """

    def __init__(  # noqa: PLR0913 - all but three have a default, and a name
        self, engine: Engine, store: Store, clock: Clock, *, hands: Hands | None = None, clouds: Clouds = NO_CLOUDS,
        first: Sequence[Input] = (), calls_in_flight: int = 16, busy: Callable[[], tuple[str, ...]] = tuple,
        term: Callable[[], int | None] | None = None, heard: Callable[[Done], None] = lambda _: None,
        stepped: Callable[[], None] = lambda: None, aside: bool = False,
    ) -> None:  # fmt: skip
        self.engine = engine
        self._store = store
        self._clock = clock
        self._hands = hands if hands is not None else NoHands()
        self._clouds = clouds
        self._inbox: list[Input] = list(first)
        self._stirred = asyncio.Event()
        self._stopping = asyncio.Event()
        self._places = asyncio.Semaphore(calls_in_flight)
        self._calls: dict[asyncio.Task[None], int | None] = {}
        self._failure: BaseException | None = None
        self._told: dict[type[Object], int] = {}
        self._busy = busy
        self._term = term
        self._heard = heard
        self._stepped = stepped
        self._aside = aside
        self.calls: Counter[tuple[str, str]] = Counter()
        self._dropped: set[asyncio.Task[None]] = set()
        self._wake_at: int | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._resting: list[asyncio.Future[int | None]] = []
        self._trouble: dict[type[Object], tuple[type[ApiError], str]] = {}

    def tell(self, item: Input) -> None:
        """Hand an input to the engine; from the loop's own thread."""
        if isinstance(item, Done):
            self._heard(item)
        self._inbox.append(item)
        self._stirred.set()

    def stop(self) -> None:
        """Decide and begin nothing more; calls under way are given time to end by themselves."""
        self._stopping.set()
        self._stirred.set()

    def led(self) -> None:
        """Let it look at whether it may decide: a term has begun or ended. Calls of a term that is over are dropped."""
        for task, of in self._calls.items():
            if self._term is not None and self._term() != of:
                self._dropped.add(task)
                task.cancel()
        self._stirred.set()

    def stir(self) -> None:
        """Let it look at whether it rests: somebody it waits for has ended."""
        self._stirred.set()

    @property
    def in_flight(self) -> int:
        """How many calls are under way."""
        return len(self._calls)

    def troubles(self) -> tuple[str, ...]:
        """Say what it cannot do at the moment, and why; empty when it can do all."""
        return (*self._unfollowed(ApiError), *self._denied())

    def lost(self) -> tuple[str, ...]:
        """Say of these what was taken away: the right to read a kind, the kind itself, the right to write something."""
        return (*sorted(self._unfollowed(Forbidden, ObjectNotFound)), *self._denied())

    def _unfollowed(self, *why: type[ApiError]) -> tuple[str, ...]:
        """Say which kinds cannot be listed or watched for one of these reasons."""
        if not self._trouble:  # it is asked before every step
            return ()
        return tuple(
            f"{kind.KIND.name}: {text}"
            for kind, (error, text) in self._trouble.items()
            if issubclass(error, why)
        )

    def _denied(self) -> tuple[str, ...]:
        return tuple(sorted(set(map(refusal, self.engine.denied()))))

    def _may_decide(self) -> int | None:
        """Give the term to decide in; None while another leads, and while a kind may not be seen any more.

        What is remembered of it would be decided on as if it were so: a Node that was Ready stays Ready.
        """
        if self._unfollowed(Forbidden):
            return None
        return 0 if self._term is None else self._term()

    def waits_for(self) -> tuple[str, ...]:
        """Say what keeps it from rest; empty when all is done that can be done now."""
        calls = (f"{len(self._calls)} calls are under way",) if self._calls else ()
        inputs = ("changes have come that were not looked at",) if self._inbox else ()
        return (*self.engine.waits_for(), *calls, *inputs, *self._busy(), *self._unfollowed(ApiError))

    async def rest(self) -> int | None:
        """Wait until all is done that can be done now; give `Now.elapsed` at which time alone brings more, if it does."""
        waiter = asyncio.get_running_loop().create_future()
        self._resting.append(waiter)
        self._stirred.set()
        at: int | None = await waiter
        return at

    async def run(self) -> None:
        """Run until `stop`; what fails unexpectedly ends it and is raised."""
        async with asyncio.TaskGroup() as group:
            follow = [group.create_task(self._follow(kind)) for kind in self.engine.cache.kinds]
            try:
                await self._decide()
                if self._calls:
                    await asyncio.wait(self._calls, timeout=GRACE)
                if self._failure is not None:
                    raise self._failure
            finally:
                self._silence()
                left = (*follow, *self._calls)
                for task in left:
                    task.cancel()
                await asyncio.wait(left)

    async def _decide(self) -> None:
        while not self._stopping.is_set():
            self._stirred.clear()
            inputs, self._inbox = self._inbox, []
            term = self._may_decide()
            step = await self._step(inputs, term)
            if step is None:
                return
            self._stepped()
            for call in step.calls:
                task = asyncio.create_task(self._do(call, term))
                self._calls[task] = term
                task.add_done_callback(partial(self._ended, call))
            self._wake_at = step.wake_at
            if self._resting and not step.is_cut and not self.waits_for():
                self._rested()
            await self._sleep(step.wake_at)

    async def _step(self, inputs: Sequence[Input], term: int | None) -> Step | None:
        """Let the engine make a step; None when the driver is told to stop meanwhile."""
        step = partial(self.engine.step, inputs, self._clock.now(), term=term, most=AT_A_TIME)
        if not self._aside:
            return step()
        stepping = asyncio.ensure_future(called("kubenode step", step))
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((stepping, stopped), return_when=asyncio.FIRST_COMPLETED)
            return stepping.result() if stepping.done() else None
        finally:
            stopped.cancel()
            stepping.cancel()

    def _rested(self) -> None:
        waiters, self._resting = self._resting, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(self._wake_at)

    async def _sleep(self, wake_at: int | None) -> None:
        pause = None if wake_at is None else (wake_at - self._clock.now().elapsed) / 1e9
        if self._inbox or (pause is not None and pause <= 0):
            await asyncio.sleep(0)  # let calls and watches have their turn
            return
        if pause is not None:
            self._wake_in(pause)
        await self._stirred.wait()

    def _wake_in(self, pause: float) -> None:
        """Be stirred after some seconds, or before: an alarm that rings too soon costs less than setting it anew each step."""
        loop = asyncio.get_running_loop()
        at = loop.time() + pause
        if self._alarm is not None and loop.time() < self._alarm.when() <= at:
            return
        self._silence()
        self._alarm = loop.call_at(at, self._stirred.set)

    def _silence(self) -> None:
        alarm, self._alarm = self._alarm, None
        if alarm is not None:
            alarm.cancel()

    def _ended(self, call: Call | Relist, task: asyncio.Task[None]) -> None:
        self._calls.pop(task, None)
        if task in self._dropped and task.cancelled() and isinstance(call, Call):
            self._drop(call)  # it was cancelled before its first step, so it could not say so itself
        self._dropped.discard(task)
        if self._resting:  # whether it was the last is looked at after the next step
            self._stirred.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
            LOG.critical("event=call-crashed error=%r", error)
            self.stop()

    async def _do(self, call: Call | Relist, term: int | None) -> None:
        if self._term is not None:
            of = self._term
            set_fence(lambda: of() == term)
        try:
            async with self._places:
                if self._stopping.is_set():  # it waited for its place; nothing of it has begun
                    return
                match call:
                    case Relist():
                        await self._relist(call.kind)
                    case Call():
                        self.tell(await self._apply(call))
                    case _:
                        assert_never(call)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task not in self._dropped or self._stopping.is_set():
                raise
            task.uncancel()
            if isinstance(call, Call):
                self._drop(call)

    def _drop(self, call: Call) -> None:
        LOG.warning("event=dropped key=%s why='the term is over'", call.key)
        self.tell(Done(key=call.key, error=TermOver("the term is over")))

    async def _apply(self, call: Call) -> Done:
        acts = "; ".join(type(act).__name__ for act in call.acts)
        watch = pass_by if self._term is None else _guard
        outcome = await apply(call.acts, self._store, self._hands, watch, self._clouds)
        result = "ok" if outcome.error is None else type(outcome.error).__name__
        self.calls[call.key.controller, result] += 1
        if outcome.error is None:
            LOG.info("event=acted key=%s acts=%r", call.key, acts)
        else:
            LOG.warning("event=failed key=%s acts=%r error=%s: %s", call.key, acts, result, outcome.error)
        return Done(key=call.key, written=outcome.written, error=outcome.error)

    async def _relist(self, kind: type[Object]) -> None:
        try:
            listing = await self._store.find(kind.KIND)
        except ApiError as error:  # the watch goes on, and the key asks again
            LOG.warning("event=relist-failed kind=%s error=%s", kind.KIND.name, error)
            return
        items = await in_turn(listing.items, partial(_readable, kind))
        await self._synced(kind, items, int(listing.resource_version), begins=False)

    async def _synced(
        self, kind: type[Object], items: Sequence[Object | Json], version: int, *, begins: bool = True
    ) -> None:
        """Tell a listing in parts, so that calls, the lease and others have their turn in between."""
        read: dict[str, Object] = {}
        unread: list[Json] = []
        for start in range(0, len(items), AT_A_TIME):
            part: list[Object] = []
            for one in items[start : start + AT_A_TIME]:
                if isinstance(one, dict):
                    unread.append(one)
                else:
                    part.append(one)
            read.update((one.metadata.key, one) for one in part)
            self.tell(Part(kind=kind, read=tuple(part)))
            await asyncio.sleep(0)
        self.tell(Synced(kind=kind, items=tuple(unread), version=version, begins=begins, read=read))

    async def _follow(self, kind: type[Object]) -> None:
        """List, then watch; again, after growing pauses, when the server has forgotten or cannot be asked."""
        pause = FIRST_PAUSE
        while True:
            self._told[kind] = 0
            try:
                await self._list_and_watch(kind)
            except ApiError as error:
                level = logging.INFO if isinstance(error, Expired) else logging.WARNING
                text = f"{type(error).__name__}: {error}{_advice(error)}"
                self._trouble[kind] = (type(error), text)  # not the error, which holds all that was listed
                self._stirred.set()
                LOG.log(level, "event=watch-ended kind=%s error=%s", kind.KIND.name, text)
            pause = FIRST_PAUSE if self._told[kind] else pause
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _list(self, kind: type[Object]) -> Watch:
        """List, and give the watch that goes on from there; nothing of the listing is held here after that."""
        found, watch = await follow(self._store, kind.KIND, partial(_readable, kind))
        try:
            await self._synced(kind, found.items, int(found.resource_version))
        except BaseException:
            await watch.close()
            raise
        return watch

    async def _list_and_watch(self, kind: type[Object]) -> None:
        watch = await self._list(kind)
        try:
            self._trouble.pop(kind, None)
            while True:
                for event in await watch.events():
                    self._told[kind] += 1
                    self.tell(Event(kind=kind, event=event))
        finally:
            await watch.close()


def _readable(kind: type[Object], raw: Json) -> Object | Json:
    """Read an object; one that cannot be read stays as it came, for the cache to say so."""
    try:
        return wire.read(raw, kind)
    except InvalidObjectError:
        return raw


def _guard(point: CrashPoint) -> None:
    """Let each act be begun only in the term in which it was decided; a store looks once more before it sends."""
    if not point.after:
        check_fence()


def _advice(error: ApiError) -> str:
    if isinstance(error, ObjectNotFound):
        return f"; fix: install the CRDs: {INSTALL}"
    return how_to_be_allowed(error)


def survived(key: Key, error: Exception) -> None:
    """Tell of a bug of ours that one key ran into; the other keys go on."""
    LOG.critical("event=bug key=%s error=%r", key, error, exc_info=error)
