"""Reads the logs of a host, looks at it now and then, and holds the conditions that core/detect makes of both.

What it finds is told at once and put on the disk beside that, since a fault that it finds may be the disk's. Nothing that
hangs holds it up: looks and writes are done in threads, one at a time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import attrs

from kubenode.core.detect.decide import LOOK_LIMIT, DetectSnapshot, decide, merged
from kubenode.core.detect.facts import Facts, Service
from kubenode.core.detect.record import LogRecord
from kubenode.core.detect.rules import DetectRule
from kubenode.core.model.condition import Condition
from kubenode.core.model.meta import Switch
from kubenode.runtime.clock import Clock
from kubenode.runtime.detector.kept import KeptDetector, Known
from kubenode.runtime.detector.source import Batch, Source
from kubenode.runtime.threads import called

LOG = logging.getLogger("kubenode.agent")

LOOK_EVERY: Final = 15.0
"""Seconds from one look at the host to the next."""
LOOK_WITHIN: Final = 20.0
"""Seconds that a look may take until nothing is known of the host."""
GATHER: Final = 0.2
"""Seconds that lines gather in the log before more of them are read: so a flood costs no more than a part of a core."""
LONGER: Final = 2.5
"""How many times as long a steady stream gathers: to wake a core for it costs as much as some dozens of lines."""
_STREAM: Final = 50
"""Fewer lines are no stream: what comes after them may be a burst, which the kernel's buffer has to hold."""
SAVE_EVERY: Final = 30.0
"""Seconds after which what was read is put on the disk though it has told nothing."""
_LAST_SAVE: Final = 2.0
_AFTER_BUG: Final = 10.0
_IDLE = 10.0
"""Seconds after which a log is asked again that has said nothing, or could not be read."""


@attrs.frozen(kw_only=True)
class WatchedLog:
    """A log, and what is looked for in it.

    Attributes:
        name: by which what is known of it is kept; another source has another.
        formerly: by which an earlier version kept it, whatever the source was.
        events: what is told in the agent's log and nowhere else.
        services: whose health is told with it; of one log only.
    """

    name: str
    formerly: str = ""
    source: Source
    rules: tuple[DetectRule, ...]
    events: tuple[DetectRule, ...] = ()
    services: tuple[Service, ...] = ()


class Detector:
    """Finds what is wrong with one host.

    Args:
        logs: what is read; the first is the kernel's, and is judged with what a look at the host tells.
        boot_id: of this boot.
        kept: where what is known survives.
        look: looks at the host; may hang.
        clock: for the moment of a decision.
        told: is called when the conditions are others; in the loop's thread.
        gather: seconds between two readings of a log that has more.
        look_every: seconds between two looks.
    """

    def __init__(
        self, logs: Sequence[WatchedLog], boot_id: str, kept: KeptDetector, look: Callable[[], Facts], clock: Clock,
        told: Callable[[], None], *, gather: float = GATHER, look_every: float = LOOK_EVERY,
    ) -> None:  # fmt: skip
        self._logs = tuple(logs)
        self._boot_id = boot_id
        self._kept = kept
        self._look = look
        self._clock = clock
        self._told = told
        self._gather = gather
        self._look_every = look_every
        loaded = kept.load()
        self._known = {log.name: _taken_over(log, loaded) for log in self._logs}
        self._saved = loaded
        self._blind: dict[str, str] = {}
        self._facts = Facts()
        self._looks: asyncio.Task[Facts] | None = None
        self._saves: asyncio.Task[bool] | None = None
        self._urgent = asyncio.Event()
        self._seen = asyncio.Event()
        """The host has been looked at, so that it is known whether an old line still means anything."""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What is found, as of now; of an earlier boot nothing before this one was looked at."""
        return merged(
            known.state.conditions for known in self._known.values() if known.state.boot_id == self._boot_id
        )

    async def run(self) -> None:
        """Detect until cancelled; then what is known is put on the disk, if that takes no time."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._survived(self._looking))
                group.create_task(self._survived(self._saving))
                for log in self._logs:
                    group.create_task(self._survived(partial(self._reading, log)))
        finally:
            for log in self._logs:
                log.source.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_SAVE):
                    await self._save()
            left = [task for task in (self._looks, self._saves) if task is not None]
            for task in left:  # what hangs is left behind in its thread
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _survived(self, run: Callable[[], Awaitable[None]]) -> None:
        """Run it again after a defect: a detector that is dead looks like a host that is well."""
        while True:
            try:
                await run()
            except Exception as error:
                LOG.critical("event=bug part=detector error=%r", error, exc_info=error)
                await asyncio.sleep(_AFTER_BUG)

    async def _reading(self, log: WatchedLog) -> None:
        await self._seen.wait()
        known = self._of_this_boot(log)
        log.source.begin(known.position, known.state.sequence)
        gathered = self._gather
        while True:
            batch = await log.source.read(LOOK_LIMIT, _IDLE)
            self._judge(log, batch, attrs.evolve(self._facts, ailing={}))
            if batch.records or batch.lost:
                gathered = gathering(len(batch.records), gathered, self._gather)
                await asyncio.sleep(gathered)

    async def _looking(self) -> None:
        while True:
            try:
                await self._looked()
            finally:
                self._seen.set()
            await asyncio.sleep(self._look_every)

    async def _looked(self) -> None:
        self._facts = await self._facts_now()
        for log in self._logs:
            self._judge(log, Batch(blind=self._blind.get(log.name, "")), self._facts)

    async def _facts_now(self) -> Facts:
        """Look at the host; while an earlier look hangs nothing is known of it."""
        if self._looks is None or self._looks.done():
            self._looks = asyncio.ensure_future(called("kubenode facts", self._look))
        try:
            async with asyncio.timeout(LOOK_WITHIN):
                return await asyncio.shield(self._looks)
        except TimeoutError:
            LOG.warning("event=not-looked why='a look at the host has not ended after %.0f s'", LOOK_WITHIN)
            return Facts()

    def _of_this_boot(self, log: WatchedLog) -> Known:
        """Give what is known of a log; from another boot's neither numbers nor position go on."""
        known = self._known[log.name]
        return known if known.state.boot_id == self._boot_id else Known()

    def _judge(self, log: WatchedLog, batch: Batch, facts: Facts) -> None:
        before, known = self.conditions, self._of_this_boot(log)
        self._blind[log.name] = batch.blind
        snapshot = DetectSnapshot(
            records=batch.records, state=self._known[log.name].state, facts=facts if log is self._logs[0] else Facts(), lost=batch.lost,
            blind=batch.blind, boot_id=self._boot_id, now=self._clock.now(),
        )  # fmt: skip
        state = decide(snapshot, log.rules, log.services).status
        if state is None:
            return
        self._known[log.name] = Known(state=state, position=batch.position or known.position)
        if log.events and known.state.sequence < state.sequence:
            _tell_events(log, batch.records, known.state.sequence)
        if batch.position and not known.position:  # who is killed now begins at no other place
            self._urgent.set()
        after = self.conditions
        if after != before:
            self._tell(before, after)

    def _tell(self, before: tuple[Condition, ...], after: tuple[Condition, ...]) -> None:
        for one in sorted(set(after) - set(before), key=lambda condition: condition.type):
            LOG.log(
                logging.WARNING if one.status is Switch.TRUE else logging.INFO,
                "event=found type=%s status=%s reason=%s message=%r",
                one.type, one.status.value, one.reason, one.message,
            )  # fmt: skip
        self._urgent.set()
        self._told()

    async def _saving(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SAVE_EVERY):
                    await self._urgent.wait()
            self._urgent.clear()
            await self._save()

    async def _save(self) -> None:
        """Put on the disk what is known, after what is being put there; what cannot be put there is tried again."""
        if self._saves is not None and not self._saves.done():
            await asyncio.shield(self._saves)
        known = dict(self._known)
        if known == self._saved:
            return
        self._saves = asyncio.ensure_future(called("kubenode detector", lambda: self._kept.save(known)))
        if await asyncio.shield(self._saves):
            self._saved = known


def gathering(count: int, gathered: float, least: float) -> float:
    """Give for how many seconds lines gather next.

    Args:
        count: lines that were read.
        gathered: seconds in which these had gathered.
        least: seconds for which any gather; a stream so long that half as many come as are looked at at once, but no longer
            than `LONGER` times that.
    """
    if count < _STREAM:
        return least
    return min(LONGER * least, max(least, gathered * LOOK_LIMIT / 2 / count))


def _taken_over(log: WatchedLog, loaded: Mapping[str, Known]) -> Known:
    """Give what is kept of a log; what an earlier version kept only where its position is this source's."""
    former = loaded.get(log.formerly)
    if log.name in loaded or former is None or not log.source.gave(former.position):
        return loaded.get(log.name, Known())
    return former


def _tell_events(log: WatchedLog, records: Sequence[LogRecord], cursor: int) -> None:
    """Log what rules of events find, each reason once a reading: a flood of them is one line."""
    found: dict[str, tuple[str, int]] = {}
    for record in records:
        for rule in log.events:
            if record.sequence > cursor and rule.finds(record):
                text, times = found.get(rule.reason, (record.text, 0))
                found[rule.reason] = (text, times + 1)
    for reason, (text, times) in found.items():
        LOG.warning("event=seen log=%s reason=%s times=%d message=%r", log.name, reason, times, text)
