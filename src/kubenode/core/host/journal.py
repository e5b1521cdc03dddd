"""What a host's write-ahead journal says of one op-id, and which op-ids of an entry it knows."""

import enum
from collections.abc import Mapping
from typing import Final

import attrs

from kubenode.core.identity import op_id
from kubenode.core.model.component import MachineComponent
from kubenode.core.model.entry import ComponentEntry
from kubenode.core.model.machine import Machine

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


def acts_of(
    what: str, machine: Machine, name: str, entry: ComponentEntry, component: MachineComponent,
    journal: Mapping[str, JournalEntry],
) -> tuple[tuple[str, ...], str]:  # fmt: skip
    """Give the op-ids of one kind of act that were begun for an entry, the first first, and that of the next.

    They are numbered, and depend on all that the entry wants: two sets may give one revision number to different
    components, and Running may become Stopped under the same one.
    """
    begun: list[str] = []
    while True:
        this = op_id(
            what, machine.metadata.uid, name, entry.set, entry.revision, component.metadata.uid,
            entry.state.value, len(begun),
        )  # fmt: skip
        if this not in journal:
            return tuple(begun), this
        begun.append(this)
