"""The Engine of embedders: it starts and ends what decides and acts, inside a host that has other things to do.

What is decided and how calls are made is `runtime/engine`; which controllers there are, `controller/wiring`.
Here is the life of it: inert, then running in the host's loop or in one of its own, then gone.
"""

import asyncio
import contextlib
import enum
import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from kubenode.core import model as m
from kubenode.core.decision import soonest
from kubenode.core.errors import InvalidObjectError, KubenodeError
from kubenode.core.policy import Policy
from kubenode.runtime.clock import Clock, SystemClock
from kubenode.runtime.controller.remedy import rung_problems
from kubenode.runtime.controller.rights import rights
from kubenode.runtime.controller.wiring import FIRST, NAMES, controllers
from kubenode.runtime.embed.arguments import check, check_within
from kubenode.runtime.embed.clouds import RESYNC, Clouds
from kubenode.runtime.embed.definitions import Definitions
from kubenode.runtime.embed.errors import EngineFailed, EngineMisused, NotSettled
from kubenode.runtime.embed.figures import Figures
from kubenode.runtime.embed.hosting import Hosting
from kubenode.runtime.embed.inspections import Inspections
from kubenode.runtime.embed.leading import Leading, lease_of
from kubenode.runtime.embed.outside import Outside
from kubenode.runtime.embed.own_loop import in_own_loop
from kubenode.runtime.embed.panel import Panel
from kubenode.runtime.embed.telling import Telling
from kubenode.runtime.embed.workloads import Workloads
from kubenode.runtime.engine.drive import Driver, survived
from kubenode.runtime.engine.loop import Stirred
from kubenode.runtime.engine.queue import Key
from kubenode.runtime.events.degraded import Degraded, Word
from kubenode.runtime.events.notice import NORMAL
from kubenode.runtime.observe.events import Events
from kubenode.runtime.observe.instances import Instances
from kubenode.runtime.plugins import Plugins
from kubenode.runtime.record import Sink
from kubenode.runtime.store.contract import Store
from kubenode.runtime.store.installed import Checked
from kubenode.runtime.store.lease import Lease
from kubenode.runtime.threads import called, ended
from kubenode.runtime.userdata.boots import Boots

if TYPE_CHECKING:
    from kubenode.runtime.enrolment import BootstrapToken
    from kubenode.runtime.metrics import EngineCollector
    from kubenode.runtime.userdata.settings import UserDataSettings

LOG = logging.getLogger("kubenode.engine")
GRACE: Final = timedelta(seconds=5)
"""How long sinks, reviewers and inspections are waited for at the end."""
REVIEW_LIMIT: Final = timedelta(seconds=5)
SETTLE_LIMIT: Final = timedelta(minutes=1)


class _Life(enum.Enum):
    NEW = "new"
    RUNNING = "running"
    OVER = "over"


class Engine:
    """The controllers of kubenode, on a store. Inert until it is entered or run; an engine runs once.

        async with Engine(store, plugins=plugins, policy=policy):
            await serve()

    Leaving the block begins nothing more, lets calls under way end, and cancels its own tasks only. When it
    fails, the block is cancelled, and `EngineFailed` is raised from it. Without a loop of your own:
    `run()`, in a thread if you like, and `stop()` from any; or `run_until_settled()`.

    Args:
        store: entered already, but for `run` and `run_until_settled`, which enter it themselves.
        plugins: None discovers what is installed, when the engine starts.
        policy: joins what stands in the store: all limits of both bind; a NodeRemedier stands in for one of
            the same name. What is in the store stays in force: nobody's freeze is overruled by your code.
        identity: who this is, in logs, and in the names of tasks and threads.
        controllers: which of them decide, by name; None is all but `enrol`, which approves certificates of agents on a
            real cluster. The others are somebody else's business.
        lease: the name of a Lease in `kubenode-system`; decide only while it is held: of several engines with the
            same one, one acts. When it is lost, calls under way are dropped, and the engine waits for its turn.
        observe_only: write nothing at all but that lease; say in the log, and to the sinks, what would be done next.
        sinks: by name, told every decision, beside those of `plugins`; closed at the end if they have `close`.
        review_within: a reviewer that has not answered by then has denied.
        user_data: with what instances enrol whose Machine says `agent: UserData`; needs the rights of
            `kubenode manifests --user-data`.

    Raises:
        InvalidObjectError: an argument is wrong; every problem at once.
        PluginError: a sink is none.
    """

    def __init__(  # noqa: PLR0913 - all but the store have a default, and a name
        self, store: Store, *, plugins: Plugins | None = None, policy: Policy | None = None, identity: str = "kubenode",
        controllers: Collection[str] | None = None, observe_only: bool = False, sinks: Mapping[str, Sink] | None = None,
        review_within: timedelta = REVIEW_LIMIT, lease: "Lease | str | None" = None,
        user_data: "UserDataSettings | None" = None,
    ) -> None:  # fmt: skip
        check(
            store=store, plugins=plugins, policy=policy, controllers=controllers, observe_only=observe_only,
            review_within=review_within,
        )  # fmt: skip
        only = NAMES if controllers is None else tuple(controllers)
        self.identity = identity
        self._store = store
        self._plugins = plugins
        self._policy = policy if policy is not None else Policy()
        self._only = only
        self._observes = observe_only
        self._sinks = dict(Plugins.given(sinks={} if sinks is None else sinks).sinks)
        self._review_within = review_within
        self._user_data = user_data
        self._clock: Clock = SystemClock()
        self._life = _Life.NEW
        self._stop_asked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._driver: Driver | None = None
        self._degraded = Degraded(self._lost, self._clock, self._said_of_lease)
        self._leading = Leading(
            lease_of(lease), store, self._clock, self._led, self._look_again, self._degraded.condition
        )
        self._task: asyncio.Task[None] | None = None
        self._hosting = Hosting()
        self._closing = False
        self._failure: BaseException | None = None
        self._outside: Outside | None = None
        self._telling = Telling(store, self._clock, identity, observes=observe_only, changed=self._look_again)

    def __repr__(self) -> str:
        what = ", ".join(self._only) if self._only != NAMES else "all controllers"
        observes = ", observes" if self._observes else ""
        return f"<Engine {self.identity!r} {self._life.value}: {what}{observes}>"

    # In an event loop.

    async def __aenter__(self) -> Self:
        """Start; what was discovered, and what of it is wrong, is logged.

        Raises:
            EngineMisused: it has run before.
            NotInstalled: the server lacks what is needed, or is too old; every problem with its fix.
            InvalidObjectError: a rung of `policy` names a remedy that no plugin brings, or has wrong parameters.
        """
        if self._life is not _Life.NEW:
            raise EngineMisused(f"engine {self.identity!r} is {self._life.value}; an engine runs once, make another")  # fmt: skip
        self._life = _Life.RUNNING
        self._hosting.enter()
        try:
            await self._start()
        except BaseException:
            self._life = _Life.OVER
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; raise EngineFailed if that is why the block was cancelled."""
        self._closing = True
        told = isinstance(error, asyncio.CancelledError)
        try:
            await self._hosting.finished(asyncio.ensure_future(self._shut()), self._hurry, told=told)
        finally:
            self._life = _Life.OVER
        self._loop = None
        ours = self._hosting.uncancelled()
        if self._failure is None:
            return
        failed = EngineFailed(f"engine {self.identity!r} failed: {_said(self._failure)}")
        if error is None or (isinstance(error, asyncio.CancelledError) and ours):
            raise failed from self._failure
        error.add_note(str(failed))  # the block has an error of its own, which must not be hidden

    async def wait(self) -> None:
        """Wait until the engine is told to stop. One that fails cancels its host instead, as told above."""
        if self._task is None:
            raise EngineMisused("wait() is for a running engine; fix: async with engine: await engine.wait()")
        await asyncio.wait({self._task})

    async def settled(self, within: timedelta = SETTLE_LIMIT) -> datetime | None:
        """Wait until all is done that can be done now.

        Returns:
            When more is to be done by time alone; None when only a change can bring more.

        Raises:
            NotSettled: there is still something to do after `within`; with what.
            EngineMisused: it does not run.
            InvalidObjectError: `within` is no timedelta above zero.
        """
        check_within(within)
        driver = self._driver
        if driver is None or self._task is None or self._task.done():
            raise EngineMisused("settled() is for a running engine; fix: async with engine: await engine.settled()")  # fmt: skip
        resting = asyncio.ensure_future(driver.rest())
        try:
            await asyncio.wait(
                {resting, self._task}, timeout=within.total_seconds(), return_when=asyncio.FIRST_COMPLETED
            )
            if not resting.done():
                stopped = ("the engine was told to stop",) if self._task.done() else ()
                raise NotSettled(within, stopped or driver.waits_for())
            at = soonest(
                (resting.result(), None if self._outside is None else self._outside.clouds.next_look)
            )
        finally:
            resting.cancel()
        if at is None:
            return None
        now = self._clock.now()
        return now.wall + timedelta(microseconds=(at - now.elapsed) // 1000)

    # What can be asked of it at any time, from the thread of its loop.

    @property
    def runs(self) -> bool:
        """Whether it was started, and has neither ended nor failed."""
        return self._task is not None and not self._task.done()

    def unready(self) -> tuple[str, ...]:
        """Say why it cannot do all of its work, with what to do about it; empty when it can, also when another leads."""
        if not self.runs or self._driver is None:
            return ("it does not run",)
        lease = self._leading.trouble
        return (
            *self._driver.troubles(), *self._driver.engine.unlisted(), *self._lost_besides(), *((f"lease: {lease}",) if lease else ()),
        )  # fmt: skip

    def figures(self) -> Figures:
        """Give its numbers, for metrics of your own; `Engine.collector` has them for Prometheus."""
        return self._telling.figures(self._driver, self.unready(), leads=self._leading.leads)

    @staticmethod
    def collector(*engines: "Engine") -> "EngineCollector":
        """Give one Prometheus collector for some engines, to be registered by you. Needs the extra `metrics`."""
        from kubenode.runtime.metrics import EngineCollector

        return EngineCollector(engines)

    # Without a loop.

    def run(self) -> None:
        """Run in an event loop of its own, and return when `stop` was called.

        Raises:
            EngineMisused: an event loop runs in this thread, or the engine has run before.
            EngineFailed: it met what it cannot go on with.
        """
        in_own_loop(
            "run()",
            "async with engine: await engine.wait()",
            self._run(),
            self.stop,
            name=f"kubenode {self.identity}",
        )

    def run_until_settled(self, within: timedelta = SETTLE_LIMIT) -> datetime | None:
        """Do all that can be done now, then end: for cron and notebooks.

        Returns:
            When more is to be done by time alone; None when only a change can bring more.

        Raises:
            NotSettled: there is still something to do after `within`; with what.
            EngineMisused: an event loop runs in this thread, or the engine has run before.
            EngineFailed: it met what it cannot go on with.
            InvalidObjectError: `within` is no timedelta above zero.
        """
        check_within(within)
        fix = "async with engine: await engine.settled()"
        return in_own_loop(
            "run_until_settled()", fix, self._settle(within), self.stop, name=f"kubenode {self.identity}"
        )

    def stop(self) -> None:
        """Tell it to stop, from any thread, also before it has begun; returns at once. The block of a host goes on."""
        self._stop_asked = True
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile, and its loop is closed
                loop.call_soon_threadsafe(self._stop_now)

    async def _run(self) -> None:
        async with self._entered(), self:
            await self.wait()

    async def _settle(self, within: timedelta) -> datetime | None:
        async with self._entered(), self:
            return await self.settled(within)

    def _entered(self) -> Any:
        """Give the store as a context manager; one that has nothing to open may have none."""
        return self._store if hasattr(self._store, "__aenter__") else contextlib.nullcontext(self._store)

    # Its life.

    async def _start(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        if isinstance(self._store, Checked):
            await self._store.check(
                m.KINDS, rights(self._only, observes=self._observes, user_data=self._user_data is not None)
            )
        plugins = self._plugins
        if plugins is None:
            plugins = await called(f"kubenode {self.identity} plugins", Plugins.discover)
        for problem in plugins.problems:
            LOG.error("event=plugin-problem engine=%s %s", self.identity, problem)
        if "remedy" in self._only:
            wrong = tuple(rung_problems(plugins, self._policy.remediers))
            if wrong:
                raise InvalidObjectError(wrong)
        outside = self._outside = self._around(plugins)
        self._telling.open({**plugins.sinks, **self._sinks})
        core = controllers(
            plugins, self._telling.decided, survived, policy=self._policy, only=self._only, panel=outside.panel,
            inspections=outside.inspections, observes=self._observes, crd_leaving=outside.set_crd,
            machines_leaving=outside.machine_crd, workloads=outside.workloads, instances=outside.clouds.view,
            events=outside.clouds.events,
        )  # fmt: skip
        self._driver = Driver(
            core, self._store, self._clock, clouds=outside.clouds, first=(FIRST,) if "risk" in self._only else (),
            busy=self._asking, term=self._leading.term, heard=self._telling.heard,
            stepped=lambda: self._degraded.look(leads=self._leading.leads),
        )  # fmt: skip
        if self._stop_asked:
            self._driver.stop()
        self._task = loop.create_task(self._driver.run(), name=f"kubenode {self.identity} engine")
        self._task.add_done_callback(self._ended)
        if not {"machine", "doctor"}.isdisjoint(self._only):
            outside.clouds.start(self._ended)
        self._leading.start(f"kubenode {self.identity} lease", self._ended)
        self._telling.start(self._ended)
        LOG.info("event=started engine=%s controllers=%s observes=%s", self.identity, ",".join(self._only), self._observes)  # fmt: skip

    async def _tell_token(self, token: "BootstrapToken") -> str:
        """Let the server know a token; say why it does not. That is no answer of a provider, and it is asked again."""
        from kubenode.runtime.enrolment import announce

        try:
            await announce(self._store, token)
        except KubenodeError as error:
            return f"the server takes no bootstrap token for its agent: {error}"
        return ""

    def _around(self, plugins: Plugins) -> Outside:
        """Give those whom it asks; nobody is asked yet."""
        name, clock = self.identity, self._clock
        set_crd, machine_crd = (
            Definitions(self._store, kind=kind, stir=partial(self._stir, of), ended=self._ended, name=name)
            for kind, of in ((m.MachineSet, "machineset"), (m.Machine, "machine"))
        )
        return Outside(
            panel=Panel(
                plugins.reviewers, within=self._review_within, clock=clock, post=self._post,
                stir=partial(self._stir, *FIRST.key), name=name,
            ),
            inspections=Inspections(
                plugins.inspections, clock=clock, post=self._post, stir=partial(self._stir, "rollout"), name=name
            ),
            set_crd=set_crd, machine_crd=machine_crd,
            workloads=Workloads(
                self._store, clock=clock, stir=partial(self._stir, "machine"), ended=self._ended, name=name
            ),
            clouds=Clouds(
                Instances(plugins, resync=RESYNC, boots=Boots(self._user_data, self._tell_token)), Events(plugins), clock=clock, post=self._post, stir=self._stir,
                leads=lambda: self._leading.leads, ended=self._look_again, name=name,
            ),
        )  # fmt: skip

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Let the host know of a failure: once, and only while it is in its block."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        self._failure = error
        LOG.critical("event=failed engine=%s error=%r", self.identity, error, exc_info=error)
        if not self._closing:
            self._hosting.cancel(f"engine {self.identity!r} failed")

    async def _shut(self) -> None:
        """End the driver, then the threads."""
        if self._driver is not None and self._task is not None:
            self._driver.stop()
            await asyncio.wait({self._task})
        if self._outside is not None:
            await self._outside.end()
        await self._telling.finish()
        await self._leading.end()
        told = self._telling.close()
        asked = () if self._outside is None else self._outside.workers
        for workers in asked:
            workers.end(drop=True)
        left = await ended((*told, *asked), within=GRACE)
        for what in left:
            LOG.warning("event=call-never-returned engine=%s call=%r fix='give it a time limit'", self.identity, what)  # fmt: skip
        LOG.info("event=stopped engine=%s", self.identity)

    def _hurry(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _stop_now(self) -> None:
        if self._driver is not None:
            self._driver.stop()

    def _post(self, call: Callable[[], None]) -> None:
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know
                loop.call_soon_threadsafe(call)

    def _stir(self, controller: str, name: str) -> None:
        """Let a controller decide about an object again: somebody outside has answered."""
        if self._driver is not None:
            self._driver.tell(Stirred(key=Key(controller, name)))

    def _look_again(self) -> None:
        if self._driver is not None:
            self._driver.stir()

    def _asking(self) -> tuple[str, ...]:
        answers = () if self._outside is None else self._outside.waits_for()
        return (*self._leading.waits(), *answers)

    def _lost(self) -> tuple[str, ...]:
        driver = self._driver.lost() if self._driver is not None else ()
        lease = self._leading.lost
        return (*driver, *self._lost_besides(), *((f"lease: {lease}",) if lease else ()))

    def _lost_besides(self) -> tuple[str, ...]:
        """Say which rights are lacking for what is asked and told beside the driver."""
        asked = self._outside.lost() if self._outside is not None else ()
        return (*asked, *self._telling.lost())

    def _led(self) -> None:
        if self._driver is not None:
            self._driver.led()
        if self._outside is not None:
            self._outside.clouds.view.noticed()
        keeper = self._leading.keeper
        if keeper is not None and (term := keeper.term()) is not None:
            self._said_of_lease(Word.LEADING, f"{keeper.holder} leads, term {term}", type=NORMAL)

    def _said_of_lease(self, reason: Word, message: str, *, type: str) -> None:
        self._telling.of_lease(self._leading.keeper, reason.value, message, type=type)


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, KubenodeError) else f"{type(error).__name__}: {error}"
