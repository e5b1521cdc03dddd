"""The agent's conditions on the Node, so that everybody who reads Nodes sees what it found.

The agent may not write the Node's status itself (it could write labels there); the controller mirrors
`status.agent.conditions`, by type. Types that are ours stand in an annotation that is written *before*
a condition appears and shrinks only *after* it is gone: from any crash point between the two writes the
record covers all that is ours. A Node takes one write a decision, since the second would be decided on
a resourceVersion that the first has made old.
"""

from collections.abc import Mapping

import attrs

from kubenode.core.decision import Note, PatchNodeConditions
from kubenode.core.model.condition import Condition
from kubenode.core.model.meta import GROUP, ref
from kubenode.core.model.world import Node, NodeCondition

MIRRORED_CONDITIONS = f"{GROUP}/mirrored-conditions"
KUBELETS_OWN = frozenset({"Ready", "MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"})


@attrs.frozen(kw_only=True)
class Mirror:
    """What has to change about the mirrored conditions of a Node.

    Attributes:
        annotations: the record, where it changes; to be written first.
        conditions: all conditions of the Node, ours and foreign; None when they stay.
        notes: conditions that are not mirrored, and why.
    """

    annotations: Mapping[str, str | None] = attrs.field(factory=dict)
    conditions: tuple[NodeCondition, ...] | None = None
    notes: tuple[Note, ...] = ()

    def patch(self, node: Node) -> PatchNodeConditions | None:
        """Give the effect that writes the conditions; None when they stay."""
        if self.conditions is None:
            return None
        version = node.metadata.resource_version
        return PatchNodeConditions(node=ref(node), resource_version=version, conditions=self.conditions)


def plan_mirror(node: Node, found: tuple[Condition, ...]) -> Mirror:
    """Plan the conditions that an agent found on its Node; with none found, take all of ours back.

    A type that is kubelet's, or that stands on the Node and is not recorded as ours, is left alone.

    Invariant: foreign conditions are never touched, and keep their order; the record covers all ours.
    """
    ours = _recorded(node)
    there = {condition.type for condition in node.status.conditions}
    wanted: dict[str, NodeCondition] = {}
    notes: list[Note] = []
    for condition in sorted(found, key=lambda one: one.type):
        if condition.type in KUBELETS_OWN:
            text = f"the agent reports {condition.type}, which is the kubelet's to say"
            notes.append(Note(code="KubeletsCondition", text=text))
        elif condition.type in there and condition.type not in ours:
            text = f"Node condition {condition.type} is another's; it is not mirrored"
            notes.append(Note(code="ForeignCondition", text=text))
        else:
            wanted.setdefault(condition.type, _mirrored(condition))
    record = sorted(wanted.keys() | (ours & there))
    after = _placed(node.status.conditions, ours, wanted)
    written = ",".join(record) or None
    return Mirror(
        annotations={} if written == node.metadata.annotations.get(MIRRORED_CONDITIONS) else {MIRRORED_CONDITIONS: written},
        conditions=None if after == node.status.conditions else after,
        notes=tuple(notes),
    )  # fmt: skip


def _recorded(node: Node) -> frozenset[str]:
    text = node.metadata.annotations.get(MIRRORED_CONDITIONS, "")
    # Whatever the record says: kubelet's conditions are never ours.
    return frozenset(text.split(",")) - KUBELETS_OWN - {""}


def _mirrored(condition: Condition) -> NodeCondition:
    """Give the Node's form of a condition. Its times are the agent's, in whole seconds, as a Node keeps them."""
    at = condition.last_transition_time.replace(microsecond=0)
    return NodeCondition(
        type=condition.type, status=condition.status, reason=condition.reason, message=condition.message,
        last_transition_time=at, last_heartbeat_time=at,
    )  # fmt: skip


def _placed(
    there: tuple[NodeCondition, ...], ours: frozenset[str], wanted: Mapping[str, NodeCondition]
) -> tuple[NodeCondition, ...]:
    """Put each wanted condition in its old place, new ones at the end, and leave out what is ours and gone."""
    kept: list[NodeCondition] = []
    for condition in there:
        if condition.type in wanted:
            kept.append(wanted[condition.type])
        elif condition.type not in ours:
            kept.append(condition)
    known = {condition.type for condition in kept}
    return (*kept, *(condition for type, condition in wanted.items() if type not in known))
