"""One line of the kernel log, parsed: `prio,seq,usec,flags;text`, then perhaps ` KEY=value` lines.

A record comes from the host and is not trusted: it may be cut, forged, huge or no text at all. Whatever
is not a record is None; no input raises. Who wrote a record is its facility: user space cannot write
facility 0 (the kernel's), so only that is believed (rules.py).

Source: Linux Documentation/ABI/testing/dev-kmsg.
"""

import re
from typing import NamedTuple

TEXT_LIMIT = 2048
"""Most characters kept of a text; the kernel's own lines have under 1,000."""
# An escape is four bytes, a character up to four of them: more than 2048 times 16 cannot matter.
_HEAD = re.compile(rb"([0-9]{1,9}),([0-9]{1,19}),([0-9]{1,19}),[^;\n]{0,256};([^\n]{0,32768})")
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")


class LogRecord(NamedTuple):
    """One record of the kernel log; a tuple, for there are a thousand a second and one is made in a third of the time.

    Its number comes first: so records are sorted as they were written.

    Attributes:
        sequence: its number in this boot, without gaps.
        facility: who wrote it; 0 is the kernel.
        level: 0 (emergency) to 7 (debug).
        microseconds: since boot, on the kernel's monotonic clock.
        text: printable characters only, at most `TEXT_LIMIT`.
    """

    sequence: int
    facility: int
    level: int
    microseconds: int
    text: str


def parse(line: bytes | str) -> LogRecord | None:
    r"""Parse one record as read from /dev/kmsg; None when it is none.

    >>> parse("3,1042,5140900,-;INFO: task dd:456 blocked for more than 120 seconds.\n SUBSYSTEM=cpu")
    LogRecord(sequence=1042, facility=0, level=3, microseconds=5140900, text='INFO: task dd:456 blocked for more than 120 seconds.')
    >>> parse("not a record") is None
    True
    """
    raw = line if isinstance(line, bytes) else line.encode("utf-8", errors="replace")
    found = _HEAD.match(raw)
    if found is None:
        return None
    priority, sequence, microseconds, text = found.groups()
    who = int(priority)
    return LogRecord(int(sequence), who >> 3, who & 7, int(microseconds), _clean(text))


def _clean(raw: bytes) -> str:
    """Undo the kernel's escapes and keep what can be printed: no control, direction or colour characters."""
    if b"\\x" in raw:
        raw = _ESCAPE.sub(lambda escape: bytes((int(escape.group(1), 16),)), raw)
    return printable(raw.decode("utf-8", errors="replace"))


def printable(text: str) -> str:
    """Keep what can be printed of a text, and no more of it than is looked at."""
    if text.isprintable():  # as nearly all are; to look at each character takes longer than all the rest
        return text[:TEXT_LIMIT]
    return "".join(char for char in text if char.isprintable())[:TEXT_LIMIT]
