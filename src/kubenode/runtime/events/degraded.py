"""What a controller cannot do, because a right or a kind was taken away while it runs: a condition, and Events about its Lease.

The condition stands in an annotation of the Lease, which its holder writes anyway (decision 0092). A server that is away is
no matter of this: nobody could be told.
"""

import enum
import json
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from kubenode.core.model import Switch
from kubenode.core.reading import format_stamp
from kubenode.runtime.clock import Clock
from kubenode.runtime.events.notice import NORMAL, WARNING

LONGEST: Final = 1024
"""Most characters of the condition's message."""


class Word(enum.Enum):
    """Reasons of Events about a Lease; Degraded is the type of its condition, too."""

    LEADING = "Leading"
    DEGRADED = "Degraded"
    RESTORED = "Restored"


class Say(Protocol):
    """Tells an Event about the Lease."""

    def __call__(self, reason: Word, message: str, *, type: str) -> None:
        """Tell it; where there is no Lease, nobody."""


class Degraded:
    """Looks at what was lost, and tells of its changes. For the thread of the loop; it does not wait.

    Args:
        lost: says what cannot be done, a sentence each, with its fix.
        clock: for the stamp of the condition.
        say: tells an Event.
    """

    def __init__(self, lost: Callable[[], tuple[str, ...]], clock: Clock, say: Say) -> None:
        self._lost = lost
        self._clock = clock
        self._say = say
        self._told: tuple[str, ...] = ()
        self._since: datetime | None = None

    def look(self, *, leads: bool) -> None:
        """Look again; who does not lead tells nothing, and tells it when it leads."""
        lost = self._lost()
        if not lost:
            self._since = None
        elif self._since is None:
            self._since = self._clock.now().wall
        if leads and lost and lost != self._told:
            self._say(Word.DEGRADED, "; ".join(lost), type=WARNING)
        if leads and self._told and not lost:
            self._say(Word.RESTORED, "all that it needs is there again", type=NORMAL)
        self._told = lost if leads else ()

    def condition(self) -> str:
        """Give the condition as JSON, in the form that conditions have; empty where nothing is lost."""
        lost = self._lost()
        if not lost:
            return ""
        since = self._since if self._since is not None else self._clock.now().wall
        return json.dumps({
            "type": Word.DEGRADED.value, "status": Switch.TRUE.value, "reason": "Lost", "message": "; ".join(lost)[:LONGEST],
            "lastTransitionTime": format_stamp(since.replace(microsecond=0)),
        })  # fmt: skip
