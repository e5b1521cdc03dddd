"""What a host's write-ahead journal says of one op-id."""

import enum
from typing import Final

import attrs

ROLLED_BACK: Final = "RolledBack"
"""Begins, before a colon, the message of what was tried on trial, found bad, and gone back from."""


class JournalState(enum.Enum):
    """How far the steps of an op-id are."""

    STARTED = "started"
    DONE = "done"
    FAILED = "failed"


@attrs.frozen(kw_only=True)
class JournalEntry:
    """One op-id that was begun on this host.

    Attributes:
        boot_id: the boot in which it came to its state.
        message: why it failed; empty when it did not.
    """

    state: JournalState
    boot_id: str
    message: str = ""

    @property
    def is_failed(self) -> bool:
        """Whether its steps ran and one of them failed."""
        return self.state is JournalState.FAILED

    @property
    def is_rolled_back(self) -> bool:
        """Whether what it brought was found bad, so that the same again would be no better."""
        return self.is_failed and self.message.startswith(f"{ROLLED_BACK}: ")

    def is_running(self, boot_id: str) -> bool:
        """Tell whether its steps run now, in this boot."""
        return self.state is JournalState.STARTED and self.boot_id == boot_id

    def is_interrupted(self, boot_id: str) -> bool:
        """Tell whether the boot in which its steps ran is over."""
        return self.state is JournalState.STARTED and self.boot_id != boot_id
