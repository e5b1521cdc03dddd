"""The providers of an embedded engine: calls in threads with a time limit, looks when one is of use, polls of events.

A call that is given up while it is under way may be done all the same: it is ambiguous, and never failed. One that
waited so long for a thread is not begun any more. Writers and readers have threads of their own, so that a look that
hangs keeps nobody from terminating.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import attrs

from kubenode.core.decision import (
    CloudEffect,
    ConfirmEvent,
    CreateInstance,
    GuardInstance,
    RebootInstance,
    TerminateInstance,
)
from kubenode.core.hookspecs import Instance
from kubenode.runtime.clock import Clock
from kubenode.runtime.embed.asking import Post
from kubenode.runtime.observe.calls import TEXT_LIMIT, Failure, Look, answered, look, made
from kubenode.runtime.observe.events import Events, Polled
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.threads import Workers

if TYPE_CHECKING:
    from kubenode.runtime.enrolment import BootstrapToken

R = TypeVar("R")
Work: TypeAlias = Callable[[str, int], Coroutine[Any, Any, None]]
"""What looks at a provider or polls it, at a moment."""
_CALLS: Final[Mapping[type[CloudEffect], str]] = {
    CreateInstance: "create", TerminateInstance: "delete", RebootInstance: "reboot", ConfirmEvent: "confirm",
    GuardInstance: "guard",
}  # fmt: skip
LOG = logging.getLogger("kubenode.engine")
WRITERS: Final = 8
"""Most creates and deletes of one provider at a time."""
CALL_LIMIT: Final = 120.0
"""Seconds after which the answer of a create or delete is waited for no longer; SDKs have shorter limits of their own."""
LOOK_LIMIT: Final = 300.0
"""The same of a look, which is many calls."""
RESYNC: Final = 300_000_000_000
"""So long after a look the next one is made although nobody wants it, nanoseconds."""


@attrs.define
class _Call:
    """A call that a thread is to make: whether it began, and whether it is waited for no longer."""

    began: bool = False
    over: bool = False


class Clouds:
    """Makes calls and looks for one engine. Its methods are for the thread of the loop.

    Args:
        view: what is remembered of them.
        events: what they told of events.
        clock: the engine's.
        post: runs something in the thread of the loop; from any thread.
        stir: makes the engine decide again, by the name of a controller and of an object.
        leads: tells whether the engine decides at present; who does not, does not look.
        ended: is told that a look has ended, whatever it showed.
        name: of the engine, for the threads.
    """

    def __init__(
        self, view: Instances, events: Events, *, clock: Clock, post: Post, stir: Callable[[str, str], None], leads: Callable[[], bool],
        ended: Callable[[], None], name: str
    ) -> None:  # fmt: skip
        self.view = view
        self.events = events
        view.noticed = events.noticed = self._notice
        self._clock = clock
        self._post = post
        self._stir = stir
        self._leads = leads
        self._ended = ended
        self._name = name
        self._noticed = asyncio.Event()
        self._workers: dict[str, Workers] = {}
        self._running: asyncio.Task[None] | None = None
        self._looks: set[asyncio.Task[None]] = set()
        self.call_limit, self.look_limit = CALL_LIMIT, LOOK_LIMIT

    @property
    def workers(self) -> tuple[Workers, ...]:
        """The threads, to be ended with the engine."""
        return tuple(self._workers.values())

    @property
    def busy(self) -> bool:
        """Whether a look or a poll is under way, or due."""
        now = self._clock.now().elapsed
        due = self.next_look
        return bool(self._looks) or (due is not None and due <= now)

    @property
    def next_look(self) -> int | None:
        """When the next look or poll is due, in `Now.elapsed`; None: nobody wants one."""
        return min((at for _, at, _, _ in self._wanted() if at is not None), default=None)

    async def ask(self, effect: CloudEffect) -> None:
        """Make the call of an effect, unless its provider is frozen; what came of it is in the view."""
        answer = self.view.gate(effect, self._clock.now().elapsed)
        if answer is None:
            what = _CALLS[type(effect)]
            given = await self._tokened(effect, what)
            answer = answered(effect, given, self._clock.now().elapsed)
            result = answer.error or "ok"
            LOG.info(
                "event=%s provider=%s machine=%s result=%s",
                what,
                effect.provider,
                effect.machine.name,
                result,
            )
        for name in self.view.answered(effect, answer):
            self._stir("machine", name)

    async def _tokened(self, effect: CloudEffect, what: str) -> Instance | Failure | None:
        """Make the call; what it brings to enrol an agent with, the server is told first."""
        freezes, boots, token = self.view.freezes(effect.provider), self.view.launches.boots, None
        if isinstance(effect, CreateInstance):
            token = boots.token(effect, self._clock.now().wall)
            if token is not None and (fault := await boots.tell(token)):
                return Failure(error="Unavailable", text=f"nothing was sent: {fault}"[:TEXT_LIMIT])
        return await self._called(
            f"{effect.provider} writer", WRITERS, f"{what} of {effect.machine.name}",
            partial(self._made, effect, freezes, token), self.call_limit,
        )  # fmt: skip

    def _made(
        self, effect: CloudEffect, freezes: int, token: "BootstrapToken | None"
    ) -> Instance | Failure | None:
        """Make the call, unless the provider froze while it waited for its thread. In that thread."""
        refused = self.view.frozen_since(effect.provider, freezes)
        return refused if refused is not None else made(self.view.launches, effect, token)

    def start(self, ended: Callable[[asyncio.Task[None]], None]) -> None:
        """Look from now on; the task is given to `ended` when it has ended, also when it failed."""
        self._running = asyncio.get_running_loop().create_task(
            self.run(), name=f"kubenode {self._name} looks"
        )
        self._running.add_done_callback(ended)

    async def end(self) -> None:
        """Look no more; calls and their threads go on."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})

    async def run(self) -> None:
        """Look when a look is of use, and poll, until cancelled."""
        try:
            while True:
                self._noticed.clear()
                at = self._begin_looks() if self._leads() else None
                pause = None if at is None else max(0.0, (at - self._clock.now().elapsed) / 1e9)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._noticed.wait()
        finally:
            for task in self._looks:
                task.cancel()

    def _notice(self) -> None:
        self._noticed.set()

    def _wanted(self) -> Iterator[tuple[str, int | None, Work, str]]:
        """Give each look and poll that there may be, when it is due, and what makes it for which provider."""
        for one in self.view.providers:
            yield f"look at {one}", self.view.next_look(one), self._look, one
        for one in self.events.providers:
            yield f"poll of {one}", self.events.next_poll(one), self._poll, one

    def _begin_looks(self) -> int | None:
        """Begin those that are due; give when the next one is."""
        now, later = self._clock.now().elapsed, list[int]()
        for what, at, work, provider in self._wanted():
            if at is not None and at > now:
                later.append(at)
            elif at is not None:
                task = asyncio.get_running_loop().create_task(
                    work(provider, now), name=f"kubenode {self._name} {what}"
                )
                self._looks.add(task)
                task.add_done_callback(self._look_ended)
        return min(later, default=None)

    def _look_ended(self, task: "asyncio.Task[None]") -> None:
        self._looks.discard(task)
        self._noticed.set()
        self._ended()

    async def _look(self, provider: str, now: int) -> None:
        driver = self.view.launches.provider(provider)
        known = self.view.begin(provider, now)
        if driver is None:
            return
        seen: Look | Failure = await self._called(
            f"{provider} reader", 1, f"look at {provider}", partial(look, driver, known, now), self.look_limit
        )
        if isinstance(seen, Failure):
            LOG.warning("event=look-failed provider=%s error=%s: %s", provider, seen.error, seen.text)
        for name in self.view.looked(provider, seen, self._clock.now().elapsed):
            self._stir("machine", name)
        for name in self.view.sets_to_tell(provider):
            self._stir("machineset", name)

    async def _poll(self, provider: str, now: int) -> None:
        told: Polled = await self._called(
            f"{provider} events", 1, f"poll of {provider}", self.events.begin(provider, now), self.look_limit
        )
        if isinstance(told, Failure):
            LOG.warning("event=poll-failed provider=%s error=%s: %s", provider, told.error, told.text)
        for name in self.events.polled(provider, told, self._clock.now().elapsed):
            self._stir("doctor", name)

    async def _called(
        self, who: str, threads: int, about: str, call: Callable[[], R], limit: float
    ) -> R | Failure:
        """Let a thread call, and give its answer, or say that none came in time."""
        state, answer = _Call(), asyncio.get_running_loop().create_future()

        def run() -> None:
            if state.over:
                return
            state.began = True
            given = call()
            self._post(partial(_settle, answer, given))

        workers = self._workers.setdefault(
            who, Workers(f"kubenode {self._name} provider {who}", threads=threads)
        )
        workers.submit(about, run)
        try:
            async with asyncio.timeout(limit):
                given: R = await answer
                return given
        except TimeoutError:
            if state.began:
                return Failure(error="Ambiguous", text=f"no answer within {limit:g} s")
            return Failure(
                error="Unavailable", text=f"no thread was free within {limit:g} s, and nothing was sent"
            )
        finally:
            state.over = True


def _settle(answer: "asyncio.Future[R]", given: R) -> None:
    if not answer.done():  # else it came too late
        answer.set_result(given)
