"""Which kernel lines are a fault: a pattern, and the condition and reason that it means.

Conditions and reasons are node-problem-detector's, so that existing alerts keep working; two things are
better. `task ... blocked` is a condition here, since it is what gets repaired, and both wordings are
known: Linux since March 2026 also says `blocked in I/O wait for more than` (commit 73d40c42f6).
"""

import re
from typing import Final

import attrs

from kubenode.core.detect.record import LogRecord

KERNEL = 0
"""The one facility that user space cannot write."""


def _compiled(pattern: str) -> re.Pattern[str]:
    # ASCII: the kernel's digits, not every script's.
    return re.compile(pattern, re.ASCII)


@attrs.frozen(kw_only=True)
class DetectRule:
    """A kernel line that means a fault until the next boot.

    Attributes:
        condition: the type of the condition that becomes True.
        reason: its reason then.
        pattern: a regular expression, found anywhere in the text; ASCII classes only.
    """

    condition: str
    reason: str
    pattern: re.Pattern[str] = attrs.field(converter=_compiled)

    def finds(self, record: LogRecord) -> bool:
        """Tell whether a record is this fault, and the kernel's own word."""
        return record.facility == KERNEL and self.pattern.search(record.text) is not None


BUILT_IN: Final[tuple[DetectRule, ...]] = (
    DetectRule(
        condition="KernelDeadlock",
        reason="TaskHung",
        # A task's name may have spaces, and is at most 15 characters (a kernel thread's 63).
        pattern=r"task [\S ]{1,64}:\d+ blocked (?:in I/O wait )?for more than \d+ seconds",
    ),
    DetectRule(
        condition="ReadonlyFilesystem",
        reason="FilesystemIsReadOnly",
        pattern=r"Remounting filesystem read-only",
    ),
)
"""What every agent looks for."""
