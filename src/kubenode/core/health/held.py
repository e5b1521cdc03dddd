"""A person's hand on one machine, by labels; their values are for people.

`kubenode.dev/hold`, on the Machine or on its Node: while it is there nothing automatic disrupts the machine; what a person
forces goes on. Asked by core/remedy before it opens or goes on with an episode, by core/machine, which shows it, and by the
runtime for core/risk.

`allow-drift.kubenode.dev/ENTRY`, on the Machine: what somebody changed of that component stays, until the entry wants another
revision. It is reported as any drift, and repaired by nobody: asked by core/host, by core/remedy and by the runtime for core/drift.
"""

from kubenode.core.decision import Note
from kubenode.core.model.machine import Machine
from kubenode.core.model.meta import DRIFT_ALLOWED, HOLD_LABEL
from kubenode.core.model.world import Node


def held_by(machine: Machine, node: Node | None) -> tuple[Machine | Node, ...]:
    """Give those of a machine and the Node that it is that bear the label."""
    both = (machine,) if node is None else (machine, node)
    return tuple(one for one in both if HOLD_LABEL in one.metadata.labels)


def is_held(machine: Machine, node: Node | None) -> bool:
    """Tell whether a machine or the Node that it is bears the label."""
    return bool(held_by(machine, node))


def held_note(machine: str) -> Note:
    """Say that a machine is held; only a person frees it."""
    scope = f"machine {machine}"
    text = f"{scope}: label {HOLD_LABEL} on the Machine or its Node; nothing automatic disrupts it"
    return Note(code="Held", text=text, scope=scope, observed=0, limit=0)


def allows_drift(machine: Machine, entry: str) -> bool:
    """Tell whether a person lets the drift of an entry be."""
    return DRIFT_ALLOWED + entry in machine.metadata.labels
