"""Operations on a real host, each in a thread of its own: steps in order, the way back when one fails, and after a crash.

An operation that was cut short goes on where it was, once. Cut short again, it goes the way back: whatever a step does
to the agent or the host, it is not repeated for ever.

All that waits for a disk waits in the thread of an operation, its first record too: its op-id is known before that.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import attrs

from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.step import InstallPackage, Reboot, RestartUnit, Step
from kubenode.runtime.agent.acts import Undo, named
from kubenode.runtime.agent.executor import BOOT, Executor, Stopped
from kubenode.runtime.agent.journal import Journal, JournalFailed, Open
from kubenode.runtime.agent.tree import StepFailed
from kubenode.runtime.agent.trial import RolledBack

LOG = logging.getLogger("kubenode.agent")

MOST_TURNS: Final = 3
"""How often an operation is taken up after a crash: once forwards, then back, and once more back."""
_AGAIN: Final = 30.0
"""Seconds after which what could not be written is tried again."""


class Work:
    """What is done on one host.

    Args:
        journal: of the host.
        executor: does the steps.
        boot_id: of this boot.
        told: is told when an operation is over; in the operation's thread.

    Attributes:
        settle: waits until what an operation was decided on stands on the disk; in the operation's thread.
    """

    def __init__(self, journal: Journal, executor: Executor, boot_id: str, told: Callable[[], None]) -> None:
        self._journal = journal
        self._executor = executor
        self._boot_id = boot_id
        self._told = told
        self.settle: Callable[[], object] = lambda: None
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._under_way: set[str] = set()
        self._cut_short: set[str] = set()
        self._unwritten: dict[str, JournalEntry] = {}
        self._mends: threading.Thread | None = None

    def entries(self) -> dict[str, JournalEntry]:
        """What the journal knows, what is being written into it, and what failed because it could not be written.

        As long as an operation is under way it is not over, though its end may stand there already: its host is not
        looked at yet, and whoever took the look before it for the one after it would begin it anew.
        """
        under_way = self._goes_on()  # asked before the journal: an end that is told is seen
        runs = JournalEntry(state=JournalState.STARTED, boot_id=self._boot_id)
        return {**self._unwritten, **self._journal.entries, **dict.fromkeys(under_way, runs)}

    def trouble(self) -> str:
        """Say why nothing can be begun, with what to do about it; empty while something can. Then that is tried again."""
        if self._journal.trouble and (self._mends is None or not self._mends.is_alive()):
            self._mends = self._started("journal", self._mend)
        return self._journal.trouble

    def _mend(self) -> None:
        with suppress(JournalFailed):
            self._journal.mend()
            LOG.info("event=journal-mended")
            self._told()

    def pause(self, seconds: float) -> None:
        """Wait; raises Stopped when the agent is told to stop."""
        if self._stopping.wait(seconds):
            raise Stopped

    def begin(self, op_id: str, steps: Sequence[Step]) -> None:
        """Start steps, which are journalled first, unless this op-id is known: then nothing is run again.

        Where the journal cannot be written nothing is begun; that is known as a failure, until the agent ends.
        """
        if op_id in self.entries():
            return
        self._unwritten[op_id] = JournalEntry(state=JournalState.STARTED, boot_id=self._boot_id)
        self._under_way.add(op_id)
        self._start(op_id, lambda: self._fresh(op_id, steps))

    def _fresh(self, op_id: str, steps: Sequence[Step]) -> None:
        """Journal steps and do them."""
        self.settle()
        try:
            self._journal.began(op_id, self._boot_id, steps)
        except JournalFailed as error:
            LOG.warning("event=not-begun op=%s error=%s", op_id, error)
            self._not_begun(op_id, str(error))
            return
        del self._unwritten[op_id]
        LOG.info("event=begun op=%s steps=%d", op_id, len(steps))
        self._worked(op_id, again=False)

    def _not_begun(self, op_id: str, why: str) -> None:
        failed = JournalEntry(state=JournalState.FAILED, boot_id=self._boot_id, message=why)
        self._unwritten[op_id] = failed
        self._is_over(op_id)

    def resume(self) -> None:
        """Take up what was not over when the agent or the host died; called once, before anything is begun."""
        lost = self._journal.lost
        for op_id in lost:
            self._start(op_id, partial(self._ended, op_id, self._journal.entries[op_id]))
        for one in self._journal.open:
            if one.boot_id != self._boot_id and _is_over_by_reboot(one, self._boot_id):
                # The reboot ended it, and whoever asked for it is told by its boot.
                over = JournalEntry(state=JournalState.STARTED, boot_id=one.boot_id)
                self._start(one.op_id, partial(self._ended, one.op_id, over))
            else:
                self._cut_short.add(one.op_id)
                self._start(one.op_id, partial(self._again, one.op_id))

    def _ended(self, op_id: str, entry: JournalEntry) -> None:
        """Write that an operation was over when the agent started; what cannot be written is known anew the next time."""
        with suppress(JournalFailed):
            self._journal.ended(op_id, entry.state, entry.boot_id or self._boot_id, entry.message)

    def _again(self, op_id: str) -> None:
        """Go on with an operation that was cut short; not before the journal can be written."""
        if self._journal.trouble:
            self._written(self._journal.mend)
        self._under_way.add(op_id)
        self._cut_short.discard(op_id)
        self._take_up(self._journal.operation(op_id))
        self._worked(op_id, again=True)

    def stop(self, within: float) -> bool:
        """Begin no further step, and wait for those under way; tell whether they ended."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(within)
        return not any(thread.is_alive() for thread in self._threads)

    def idle(self) -> bool:
        """Tell whether nothing runs, and everybody has been told."""
        return not any(thread.is_alive() for thread in self._threads)

    def is_under_way(self) -> bool:
        """Tell whether an operation has begun and is not over; one that is over is not, while its end is still told."""
        return bool(self._goes_on())

    def _goes_on(self) -> set[str]:
        """Give what has begun and is not over; what was cut short is that as soon as the journal can be written."""
        return self._under_way | (set() if self._journal.trouble else self._cut_short)

    def _start(self, op_id: str, work: Callable[[], None]) -> None:
        self._started(op_id, partial(self._run, op_id, work))

    def _started(self, name: str, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name=f"kubenode {name}", daemon=True)
        with self._starting:
            thread.start()
            self._threads = [*(one for one in self._threads if one.is_alive()), thread]
        return thread

    def _take_up(self, one: Open) -> None:
        bounded = self._is_bounded(one)
        back = one.back or (one.turns > 0 and not bounded)
        why = one.why or ("it was cut short twice" if back else "")
        LOG.warning(
            "event=taken-up op=%s step=%d back=%s turns=%d", one.op_id, len(one.begun), back, one.turns
        )
        with suppress(JournalFailed):  # then the next crash counts as this one
            self._journal.turns(one.op_id, self._boot_id, back=back, why=why, again=not bounded)

    def _is_bounded(self, one: Open) -> bool:
        """Tell whether the step that was begun last has a limit of its own, as the trial of a new agent has."""
        half = len(one.begun) - 1
        try:
            return half >= 0 and self._executor.is_bounded(one.steps[half], one.begun[half].marks)
        except StepFailed:
            return False

    def _run(self, op_id: str, work: Callable[[], None]) -> None:
        try:
            self._guarded(op_id, work)
        except Stopped:
            LOG.info("event=cut-short op=%s", op_id)

    def _guarded(self, op_id: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Stopped:
            raise
        except Exception as error:
            LOG.critical("event=bug op=%s error=%r", op_id, error, exc_info=error)
            self._end(op_id, JournalState.FAILED, f"a bug of ours: {type(error).__name__}: {error}")

    def _worked(self, op_id: str, *, again: bool) -> None:
        """Do what is left of an operation, forwards or back."""
        one = self._journal.operation(op_id)
        if not one.back:
            why = self._forwards(one, again=again)
            if not why:
                self._end(op_id, JournalState.DONE)
                return
            LOG.warning("event=step-failed op=%s error=%s", op_id, why)
            with suppress(JournalFailed):  # a crash on the way back then begins with the step that failed
                self._journal.turns(op_id, self._boot_id, back=True, why=why)
            one = self._journal.operation(op_id)
            one = one if one.back else _turned(one, why)
        elif one.turns > MOST_TURNS:
            self._end(
                op_id, JournalState.FAILED, f"{one.why}; the way back was cut short too, and is given up"
            )
            return
        amiss = self._back(one)
        end = _as_before(one) if not amiss else f"; and on the way back: {'; '.join(amiss)}"
        self._end(op_id, JournalState.FAILED, f"{one.why}{end if one.begun else ''}")

    def _forwards(self, one: Open, *, again: bool) -> str:
        """Do the steps that are left; give why one failed, or nothing."""
        if not one.begun:
            try:
                self._executor.check(one.steps)
            except StepFailed as error:
                return str(error)
        half = len(one.begun) - 1 if again else -1
        for index in range(max(half, 0), len(one.steps)):
            if self._stopping.is_set():
                raise Stopped
            step = one.steps[index]
            try:
                if index == half:  # its way back is known from before, when the host was as it was
                    begun = one.begun[index]
                else:
                    begun = self._executor.before(step)
                    self._journal.begins(one.op_id, index, begun)
                LOG.info("event=step op=%s step=%d does=%r", one.op_id, index, named(step))
                self._executor.do(step, begun.marks, again=index == half)
            except RolledBack as error:
                return str(error)
            except (StepFailed, JournalFailed) as error:
                return f"step {index + 1} of {len(one.steps)}, {named(step)}: {error}"
        return ""

    def _back(self, one: Open) -> list[str]:
        """Undo what was begun, the last first; give what could not be undone."""
        amiss: list[str] = []
        for begun in reversed(one.begun):
            for act in begun.undo:
                LOG.info("event=undo op=%s does=%r", one.op_id, named(act))
                try:
                    self._executor.undo(act)
                except StepFailed as error:
                    amiss.append(f"{named(act)}: {error}")
        return amiss

    def _end(self, op_id: str, state: JournalState, message: str = "") -> None:
        self._written(lambda: self._journal.ended(op_id, state, self._boot_id, message))
        LOG.info("event=ended op=%s state=%s message=%r", op_id, state.value, message)
        self._is_over(op_id)

    def _is_over(self, op_id: str) -> None:
        self._cut_short.discard(op_id)
        self._under_way.discard(op_id)  # before anybody is told: who then looks at the host finds it at rest
        self._told()

    def _written(self, write: Callable[[], None]) -> None:
        """Write what has to stand in the journal before anything else, however long that cannot be done."""
        while True:
            try:
                write()
            except JournalFailed as error:
                LOG.warning("event=not-written error=%s", error)
                self.pause(_AGAIN)
            else:
                return


def _as_before(one: Open) -> str:
    """Say that the way back is gone, and what stays: a package manager may bring more than what it is told to."""
    brought = [
        step.package
        for step, begun in zip(one.steps, one.begun, strict=False)
        if isinstance(step, InstallPackage) and not any(_is_that(act, step.version) for act in begun.undo)
    ]
    more = f", but for packages that may have come along with {' and '.join(brought)}" if brought else ""
    return f"; the host is as it was before{more}"


def _is_that(act: Undo, version: str) -> bool:
    """Tell whether a way back leads to the very version: nothing was installed then, it was only held."""
    return isinstance(act, InstallPackage) and act.version == version


def _turned(one: Open, why: str) -> Open:
    """Turn an operation to its way back in memory, when the journal could not be written."""
    return attrs.evolve(one, back=True, why=why)


def _is_over_by_reboot(one: Open, boot_id: str) -> bool:
    """Tell whether there is nothing to go on with in another boot: units were to be restarted, or the host."""
    if not all(isinstance(step, RestartUnit | Reboot) for step in one.steps):
        return False
    rebooting = bool(one.begun) and isinstance(one.steps[len(one.begun) - 1], Reboot)
    return not (rebooting and one.begun[-1].marks.get(BOOT) != boot_id)
