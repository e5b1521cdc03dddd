"""The law of phases: one table, phase x signal -> phase, total over both.

A *phase* is one word for people about where a machine is in its life; programs read conditions. A
*signal* is an observed fact (`signals.py` says which one holds). Nothing else moves a phase: if a move
is not in the table, it does not happen, and no code beside `next_phase` may write one. So the table is
worth reading as a whole (docs/reference/phases.md draws it), and these are the rules behind it:

* **Almost every signal names the phase it leads to, wherever the machine was**: nothing heard of a host
  is Pending, an agent that reports is Importing, a registered Node is Initializing, all healthy is
  Running, an open hold is Updating or Repairing by its kind. That is why a controller that was away
  comes back to the right phase at once, without walking through those it missed.
* **Running stays Running when something turns unhealthy** (IMPAIRED): the conditions say what; whoever
  counts available machines must go on counting this one. Updating and Repairing end in Running, healthy
  or not, once their hold is closed.
* **A Node that never was healthy is Initializing**, also when the machine was Running with an earlier
  incarnation of it (REGISTERED): a re-imaged host begins anew. Until it is healthy it stays there.
* **Unknown has no memory**: its row is Pending's. Whoever was silent is, when heard again, what the
  signals then name.
* **Failed waits for a spec change or a person.** Of all signals but deletion only SPEC_CHANGED moves it,
  to Pending; what is retried does not fail, it keeps its phase.
* **Draining and Deleting are left by nothing but each other**: a deletion cannot be taken back, but the
  Node may vanish, or register late.
* **What is contested stays as it is**: when it is not certain which machine a Node is, nothing is
  concluded from it. Where a spec change says nothing about the phase, the phase stays too.

`Deleted` is not a phase: what is deleted is not stored. A stored phase that is none of these is a newer
version's, and is not ours to move (`decide.py` keeps its hands off).
"""

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


class Phase(enum.Enum):
    """Where a machine is in its life."""

    PENDING = "Pending"
    PROVISIONING = "Provisioning"
    IMPORTING = "Importing"
    INITIALIZING = "Initializing"
    RUNNING = "Running"
    UPDATING = "Updating"
    REPAIRING = "Repairing"
    DRAINING = "Draining"
    DELETING = "Deleting"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class Signal(enum.Enum):
    """An observed fact that may move a phase; of several that hold, the first named here counts."""

    SPEC_CHANGED = "the spec changed since the phase was written"
    DELETING_NODE = "deletion is asked, and the Node is there"
    DELETING = "deletion is asked, and no Node is there"
    UNACTIONABLE = "the spec names no host and no infrastructure, or both"
    CONTESTED = "which machine the Node is, is not certain"
    UPDATE_HELD = "a hold for an update is open"
    REPAIR_HELD = "a hold for a repair is open"
    INSTANCE_WANTED = "an instance is asked for, and none is there"
    INSTANCE_STARTING = "an instance is there, and nothing was ever heard of it"
    SILENT = "Node and agent are silent"
    NOTHING_HEARD = "a host is given, and nothing was ever heard of it"
    REPORTED = "the agent has reported, and no Node is registered"
    REGISTERED = "a Node is registered that was never healthy"
    IMPAIRED = "a Node that was healthy once is not all healthy"
    HEALTHY = "the Node is Ready and every component is at target"


_NAMED: Final[Mapping[Signal, Phase]] = {
    Signal.DELETING_NODE: Phase.DRAINING,
    Signal.DELETING: Phase.DELETING,
    Signal.UNACTIONABLE: Phase.FAILED,
    Signal.UPDATE_HELD: Phase.UPDATING,
    Signal.REPAIR_HELD: Phase.REPAIRING,
    Signal.INSTANCE_WANTED: Phase.PROVISIONING,
    Signal.INSTANCE_STARTING: Phase.PROVISIONING,
    Signal.SILENT: Phase.UNKNOWN,
    Signal.NOTHING_HEARD: Phase.PENDING,
    Signal.REPORTED: Phase.IMPORTING,
    Signal.REGISTERED: Phase.INITIALIZING,
    Signal.IMPAIRED: Phase.RUNNING,
    Signal.HEALTHY: Phase.RUNNING,
}
"""The phase a signal names. SPEC_CHANGED and CONTESTED name none: the phase stays."""

_KNOWS_BETTER: Final[Mapping[Phase, Mapping[Signal, Phase]]] = {
    # On the way to its first healthy moment with this Node, a machine is not Running before it comes.
    Phase.PROVISIONING: {Signal.IMPAIRED: Phase.INITIALIZING},
    Phase.IMPORTING: {Signal.IMPAIRED: Phase.INITIALIZING},
    Phase.INITIALIZING: {Signal.IMPAIRED: Phase.INITIALIZING},
    Phase.DRAINING: {**dict.fromkeys(Signal, Phase.DRAINING), Signal.DELETING: Phase.DELETING},
    Phase.DELETING: {**dict.fromkeys(Signal, Phase.DELETING), Signal.DELETING_NODE: Phase.DRAINING},
    Phase.FAILED: {
        **dict.fromkeys(Signal, Phase.FAILED),
        Signal.SPEC_CHANGED: Phase.PENDING,
        Signal.DELETING_NODE: Phase.DRAINING,
        Signal.DELETING: Phase.DELETING,
    },
}
"""Where a phase does not follow what the signal names."""


def _row(phase: Phase) -> Mapping[Signal, Phase]:
    known = {**dict.fromkeys(Signal, phase), **_NAMED, **_KNOWS_BETTER.get(phase, {})}
    return MappingProxyType({signal: known[signal] for signal in Signal})


NEXT: Final[Mapping[Phase, Mapping[Signal, Phase]]] = MappingProxyType(
    {phase: _row(phase) for phase in Phase}
)
"""The law."""


def next_phase(phase: Phase, signal: Signal) -> Phase:
    """Give the phase after a signal: a look-up in `NEXT`, which has every pair.

    >>> next_phase(Phase.IMPORTING, Signal.HEALTHY)
    <Phase.RUNNING: 'Running'>
    >>> next_phase(Phase.RUNNING, Signal.IMPAIRED)
    <Phase.RUNNING: 'Running'>
    """
    return NEXT[phase][signal]
