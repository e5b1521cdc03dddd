"""A component of one machine: the entry says what is wanted, the report what its agent found."""

import enum
from datetime import datetime
from typing import Annotated, ClassVar

import attrs

from kubenode.core.model.meta import Message, Name, Number, Shape, Text


class Running(enum.Enum):
    """Running; Stopped: installed and configured, and not running; Absent: not there, and removed where it is."""

    RUNNING = "Running"
    STOPPED = "Stopped"
    ABSENT = "Absent"


@attrs.frozen(kw_only=True)
class ComponentEntry:
    """What one component of one machine should be. Written whole, by the set it names."""

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    set: Annotated[Name, "the MachineComponentSet that wrote this entry"]
    component: Annotated[Name, "the MachineComponent to run"]
    revision: Annotated[str, Text(max=20, min=1, pattern="^[0-9]+$"), "the set's revision that wrote this"]
    batch: Annotated[int, Number(min=0, max=1_000_000), "the batch it was part of; 0 when it joined"] = 0
    state: Running = Running.RUNNING
    held: Annotated[str | None, Text(max=1024), "why drift is not repaired here; absent when it may be"] = (
        None
    )


class ConfigState(enum.Enum):
    """Whether its configuration is the wanted one: Current, Drifted or Unknown."""

    CURRENT = "Current"
    DRIFTED = "Drifted"
    UNKNOWN = "Unknown"


COMPONENT_MISSING = "ComponentMissing"
WAITING_FOR_DEPENDENCY = "WaitingForDependency"
WAITING_FOR_VALUE = "WaitingForValue"
JOURNAL_UNWRITABLE = "JournalUnwritable"
WAITS = frozenset({COMPONENT_MISSING, JOURNAL_UNWRITABLE, WAITING_FOR_DEPENDENCY, WAITING_FOR_VALUE})
"""Reasons of a report that say for what the wanted revision waits; its `revision` is still the one before."""


@attrs.frozen(kw_only=True)
class ComponentReport:
    """What the agent found of one component: version, configuration and running state, each apart.

    Attributes:
        component: the MachineComponent last installed whole; empty when none is.
        revision: the entry's revision that was last dealt with, done or failed.
        version: that is installed, as the driver finds it; empty when none is.
        state: what it is found doing: Running, Stopped or Absent.
        reason: why that revision failed here, or for what it waits: ComponentMissing, WaitingForDependency,
            WaitingForValue; empty when neither.
        message: more about the reason; without one, which probe fails and how.
        drifting: it was at target with that revision, and is not now.
        drifted_at: when that was last found to have begun, repaired since or not.
    """

    component: Annotated[str, Text(max=253)] = ""
    revision: Annotated[str, Text(max=20)] = ""
    version: Annotated[str, Text(max=128)] = ""
    config: ConfigState = ConfigState.UNKNOWN
    state: Running = Running.ABSENT
    reason: Annotated[str, Text(max=128)] = ""
    message: Message = ""
    drifting: bool = False
    drifted_at: datetime | None = None

    def is_of(self, entry: ComponentEntry) -> bool:
        """Tell whether it speaks of what an entry wants; what it says of another component or revision is no drift of it."""
        return (self.component, self.revision) == (entry.component, entry.revision)
