"""Which lines of a log are a fault: a pattern, the condition and reason that it means, and when that is over.

Conditions and reasons are node-problem-detector's, so that existing alerts keep working; three things are
better. `task ... blocked` is a condition here, since it is what gets repaired; both wordings are known: Linux since
March 2026 also says `blocked in I/O wait for more than` (commit 73d40c42f6); and conditions recover.
"""

import enum
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

import attrs

from kubenode.core.detect.record import LogRecord

KERNEL = 0
"""The one facility that user space cannot write."""
NO_FAULT = "NoFault"


class Clears(enum.Enum):
    """When a fault is over; a new boot ends all of them."""

    BOOT = "boot"
    """Not before the next boot: nothing else tells."""
    QUIET = "quiet"
    """When no line has repeated it for a while."""
    COUNTED = "counted"
    """The same, and the kernel's counter of hung tasks stands still; without that counter not before the next boot,
    since the log goes silent after ten lines."""
    WRITABLE = "writable"
    """When every file system that the lines name can be written again, or is gone."""


def _compiled(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    # ASCII: the kernel's digits, not every script's.
    return pattern if isinstance(pattern, re.Pattern) else re.compile(pattern, re.ASCII)


@attrs.frozen(kw_only=True)
class DetectRule:
    """A line that means a fault.

    Attributes:
        condition: the type of the condition that becomes True.
        reason: its reason then.
        pattern: a regular expression, found anywhere in the text; ASCII classes only.
        facility: whose lines are believed; None: everybody's, where the log is no kernel's.
        times: how many lines make the fault.
        within: in which time these have to come.
        clears: when it is over.
        skips: a line with any of these in it is none.
        well: the reason of the condition while there is no fault.
        well_message: its message then.
    """

    condition: str
    reason: str
    pattern: re.Pattern[str] = attrs.field(converter=_compiled)
    facility: int | None = KERNEL
    times: int = 1
    within: timedelta = timedelta()
    clears: Clears = Clears.BOOT
    skips: tuple[str, ...] = ()
    well: str = NO_FAULT
    well_message: str = ""

    def found_in(self, records: Sequence[LogRecord]) -> list[int]:
        """Give which records are this fault, and the word of who is believed, by their places."""
        search = self.pattern.search  # first, and by itself: nearly all records are of no rule
        return [
            place
            for place, record in enumerate(records)
            if search(record.text) is not None and self._believes(record)
        ]

    def finds(self, record: LogRecord) -> bool:
        """Tell whether a record is this fault, and the word of who is believed."""
        return bool(self.found_in((record,)))

    def _believes(self, record: LogRecord) -> bool:
        return self.facility in (None, record.facility) and not any(one in record.text for one in self.skips)

    @property
    def key(self) -> str:
        """What names it among all rules: no two of one condition have the same reason but as one fault in two wordings."""
        return f"{self.condition}/{self.reason}"


def types_of(rules: Iterable[DetectRule]) -> tuple[str, ...]:
    """Give the conditions of some rules, each once, in their order."""
    return tuple(dict.fromkeys(rule.condition for rule in rules))


BUILT_IN: Final[tuple[DetectRule, ...]] = (
    DetectRule(
        condition="KernelDeadlock",
        reason="TaskHung",
        # A task's name may have spaces, and is at most 15 characters (a kernel thread's 63).
        pattern=r"task [\S ]{1,64}:\d+ blocked (?:in I/O wait )?for more than \d+ seconds",
        clears=Clears.COUNTED,
    ),
    DetectRule(
        condition="ReadonlyFilesystem",
        reason="FilesystemIsReadOnly",
        pattern=r"Remounting filesystem read-only",
        clears=Clears.WRITABLE,
    ),
)
"""What a kernel says of a host that hangs or cannot write; a simulated host says no more."""

OF_HOSTS: Final[tuple[DetectRule, ...]] = (
    *BUILT_IN,
    DetectRule(
        condition="FrequentOOMKilling",
        reason="OOMStorm",
        # Of a cgroup that reaches its own limit, too: who is killed again and again never gets anywhere.
        pattern=r"Killed process \d+ \(",
        times=5,
        within=timedelta(minutes=10),
        clears=Clears.QUIET,
    ),
)
"""What every agent of a real host looks for in the kernel log."""
