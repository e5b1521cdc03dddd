"""The agent of one host: what was cut short is made good first, then it enrols, then the engine runs until it is told to stop."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from kubenode.core.decision import Decision
from kubenode.core.detect.clock import clock_conditions
from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.host.inspection import INSPECT_EVERY
from kubenode.core.host.trial import Arrival
from kubenode.core.model.condition import Condition
from kubenode.runtime.agent.address import Address
from kubenode.runtime.agent.commands import Commands, Runner
from kubenode.runtime.agent.connection import by_kubeconfig
from kubenode.runtime.agent.controller import agents
from kubenode.runtime.agent.enrol import Enrolment, enrol, renew
from kubenode.runtime.agent.host import About, Onlooker, RealHost, boot_id
from kubenode.runtime.agent.kept import KeptStore
from kubenode.runtime.agent.lease import keep_lease
from kubenode.runtime.agent.own import OwnMachine
from kubenode.runtime.agent.tree import StepFailed
from kubenode.runtime.agent.upgrade import Own
from kubenode.runtime.agent.watch import Watch
from kubenode.runtime.clock import Clock, SystemClock
from kubenode.runtime.detector.detector import Detector
from kubenode.runtime.detector.setting import Detecting, detector
from kubenode.runtime.engine.drive import Driver, survived
from kubenode.runtime.engine.loop import Stirred
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.store.client import Connection
from kubenode.runtime.store.transport import Limits, Timing
from kubenode.runtime.threads import called

LOG = logging.getLogger("kubenode.agent")

GRACE: Final = 20.0
"""Seconds that a step under way has to end when the agent is told to stop; else the next agent takes it up."""
_LAST_SAVE: Final = 2.0
"""Seconds that what is known of the Machine has to get to the disk when the agent is told to stop."""
_AFTER_BUG: Final = 10.0
"""Seconds after which a detector that has ended is started again."""
_REST_EVERY: Final = 0.2
_ARRIVING_EVERY: Final = 1.0
_LIMITS: Final = Limits(call=timedelta(seconds=10), patience=timedelta(seconds=10))
"""A server that does not answer is soon taken for one that is away: no call waits longer than the kubelet's do."""


@attrs.frozen(kw_only=True)
class Serving:
    """What an agent is told.

    Attributes:
        machine: the name of its Machine.
        node: the name of its Node.
        state: its own folder; made when it is not there.
        enrolment: with what it becomes the agent; None: a kubeconfig says who it is.
        kubeconfig: ready credentials.
        inspect: how often the host is looked at though nothing was heard.
        version: of the agent.
        detect: what the detector is told; None: there is none.
        once: end when all is done that can be done now.
        root: where the host's files are; another one than "/" is for tests.
        run: runs programs.
    """

    machine: str
    node: str
    state: Path
    enrolment: Enrolment | None = None
    kubeconfig: Path | None = None
    inspect: timedelta = INSPECT_EVERY
    version: str
    detect: Detecting | None = None
    once: bool = False
    root: Path = Path("/")
    run: Runner = attrs.field(factory=Commands)

    def connection(self) -> Connection:
        """Give how to reach the server. Raises InvalidObjectError."""
        if self.kubeconfig is not None:
            return by_kubeconfig(self.kubeconfig)
        if self.enrolment is None:
            problem = Problem(
                where="agent", what="neither a server nor a kubeconfig is named", fix="--server"
            )
            raise InvalidObjectError((problem,))
        return self.enrolment.connection()


async def serve(wanted: Serving, plugins: Plugins, clock: Clock | None = None) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        InvalidObjectError: what was given is wrong.
        NotEnrolled: the host cannot become the agent.
        JournalFailed: the journal cannot be read, or another agent runs here.
    """
    await _Agent(wanted, plugins, clock if clock is not None else SystemClock()).serve()


class _Agent:
    """One agent, from its start to its end."""

    def __init__(self, wanted: Serving, plugins: Plugins, clock: Clock) -> None:
        self._wanted = wanted
        self._plugins = plugins
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._driver: Driver | None = None
        self._work: asyncio.Task[None] | None = None
        self._address = Address(self._server, self._ask)
        self._store: OwnMachine | None = None
        self._clock_said: tuple[Condition, ...] = ()
        self._detector: Detector | None = None
        _own_folder(wanted.state)
        boot = boot_id()
        about = About(
            machine=wanted.machine, node=wanted.node, boot_id=boot, version=wanted.version,
            address=lambda: self._address.now, conditions=self._conditions,
            own=Own.process(str(wanted.state.absolute()), self._server),
        )  # fmt: skip
        if wanted.detect is not None:  # before the journal is held: rules that are wrong end it here
            self._detector = detector(
                wanted.detect, boot, wanted.state, clock, self._detected, root=wanted.root,
                unit=self._unit,
            )  # fmt: skip
        self._watch = None if wanted.once else Watch(wanted.root, self._loop, self._stir)
        self._host = RealHost(about, wanted.state, self._told, root=wanted.root, run=wanted.run)
        if self._watch is not None:
            self._host.hears(self._watch)

    async def serve(self) -> None:
        """Live until told to stop."""
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            self._loop.add_signal_handler(number, self._stop)
        try:
            self._host.resume()  # it needs no server
            self._work = asyncio.create_task(self._live())
            async with self._detecting():
                with suppress(asyncio.CancelledError):
                    await self._work
        finally:
            for number in numbers:
                self._loop.remove_signal_handler(number)
            if self._watch is not None:
                self._watch.close()
            if not self._host.close(GRACE):
                LOG.warning("event=cut-short why='a step did not end in time; the next agent takes it up'")
            LOG.info("event=stopped")

    @asynccontextmanager
    async def _detecting(self) -> AsyncIterator[None]:
        """Detect meanwhile, which needs no server either."""
        task = None if self._detector is None else asyncio.create_task(_detects(self._detector))
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    def _unit(self, name: str) -> str | None:
        return self._host.unit(name)

    def _conditions(self) -> tuple[Condition, ...]:
        found = () if self._detector is None else self._detector.conditions
        if self._store is not None:
            self._clock_said = clock_conditions(self._store.ahead, self._clock_said, self._wall())
        return (*found, *self._clock_said)

    def _stop(self) -> None:
        if self._driver is not None:
            self._driver.stop()
        elif self._work is not None:
            self._work.cancel()

    def _told(self) -> None:
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            self._loop.call_soon_threadsafe(self._stir)

    def _stir(self) -> None:
        self._host.heard()
        self._ask()

    def _detected(self) -> None:
        self._host.detected()
        self._ask()

    def _ask(self) -> None:
        if self._driver is not None:
            self._driver.tell(Stirred(key=Key("agent", self._wanted.machine)))

    def _wall(self) -> datetime:
        return self._clock.now().wall

    async def _live(self) -> None:
        wanted = self._wanted
        enrolment = wanted.enrolment
        # A certificate that looks over is for the server to judge, and for `renew`: the host is kept meanwhile.
        if enrolment is not None and (
            wanted.once or await called("kubenode identity", enrolment.certificate) is None
        ):
            await enrol(enrolment, self._wall())
        timing = Timing(clock=self._clock)
        store = OwnMachine.of(wanted.machine, wanted.connection, limits=_LIMITS, timing=timing)
        engine = agents(self._host, self._plugins, fault=survived, inspect=wanted.inspect)
        async with store:
            self._store = store
            kept = await called("kubenode kept", lambda: KeptStore(store, wanted.machine, wanted.state))
            self._host.settles(kept.wait)
            driver = self._driver = Driver(engine, kept, self._clock, hands=self._host, aside=True)
            LOG.info(
                "event=started machine=%s node=%s version=%s", wanted.machine, wanted.node, wanted.version
            )
            try:
                async with self._beside(store, kept):
                    await driver.run()
            finally:
                await called("kubenode kept", lambda: kept.wait(_LAST_SAVE))

    @asynccontextmanager
    async def _beside(self, store: OwnMachine, kept: KeptStore) -> AsyncIterator[None]:
        """Renew the certificate and the Lease meanwhile, and end when all is done if that is wanted."""
        every = self._wanted.inspect.total_seconds()
        tasks = [asyncio.create_task(self._address.follow(kept, every))]
        if not self._wanted.once:
            tasks.append(asyncio.create_task(keep_lease(store, self._wanted.machine, self._wall)))
        if self._wanted.enrolment is not None:
            renewal = renew(store, self._wanted.enrolment, self._wall, refused=lambda: kept.is_refused)
            tasks.append(asyncio.create_task(renewal))
        if self._wanted.once:
            tasks.append(asyncio.create_task(self._rested()))
        with suppress(StepFailed):  # then it cannot prove itself, and the agent before comes back
            if await called("kubenode trial", self._host.is_on_trial):
                tasks.append(asyncio.create_task(self._arriving(kept)))
        try:
            await self._address.known()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _server(self) -> tuple[str, int]:
        """Give host and port of the API server."""
        parts = urlsplit(self._wanted.connection().url)
        return parts.hostname or "", parts.port or 443

    async def _arriving(self, kept: KeptStore) -> None:
        """Say that this agent came up: it rests, so what it has to report is stored, here while the server is away."""
        driver = self._driver
        if driver is None:
            return
        while True:
            await driver.rest()
            self._host.arrives(Arrival.KEEPS if kept.is_away else Arrival.REPORTS)
            if not kept.is_away:
                return
            await asyncio.sleep(_ARRIVING_EVERY)

    async def _rested(self) -> None:
        driver = self._driver
        if driver is None:
            return
        rested = 0
        while rested < 2:  # what has just ended is looked at once more
            await driver.rest()
            rested = rested + 1 if self._host.idle() else 0
            await asyncio.sleep(_REST_EVERY)
        driver.stop()


async def _detects(detector: Detector) -> None:
    """Detect until cancelled. What ends it is a bug of ours; the agent goes on healing, and it is started again.

    That is safer than to end with it: the next agent would meet the same, and heal nothing between.
    """
    while True:
        try:
            await detector.run()
        except Exception as error:
            LOG.critical("event=detector-ended error=%r", error, exc_info=error)
        else:
            LOG.critical("event=detector-ended error=None")
        await asyncio.sleep(_AFTER_BUG)


def _own_folder(state: Path) -> None:
    """Make the agent's own folder, or see to it that it is its own.

    Raises:
        InvalidObjectError: others may write there, or it cannot be made.
    """
    fix = f"chmod 700 {state}, or name another --state-dir"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = state.stat()
    except OSError as error:
        raise InvalidObjectError((Problem(where=str(state), what=str(error.strerror), fix=fix),)) from error
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        what = "others than this user may get into it, and it will hold a key"
        raise InvalidObjectError((Problem(where=str(state), what=what, fix=fix),))


async def planned(wanted: Serving, plugins: Plugins, clock: Clock | None = None) -> Decision[Any] | None:
    """Look at the host and say what would be done on it; nothing is done, reported or journalled.

    Returns:
        What the agent would decide if it knew nothing of what was done before; None when there is no such Machine.

    Raises:
        KubenodeError: the server cannot be asked.
    """
    about = About(machine=wanted.machine, node=wanted.node, boot_id=boot_id(), version=wanted.version)
    moment = (clock if clock is not None else SystemClock()).now()
    engine = agents(Onlooker(about, root=wanted.root, run=wanted.run), plugins)
    async with OwnMachine.of(wanted.machine, wanted.connection) as store:
        for kind in engine.cache.kinds:
            found = await store.find(kind.KIND)
            engine.cache.replace(kind, found.items, int(found.resource_version))
    return await asyncio.to_thread(partial(engine.ask, "agent", wanted.machine, moment))
