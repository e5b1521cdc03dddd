"""The cordon of a Node: ours carries the op-id of the permit it is for, and goes when that is gone; a person's is left.

Mark and cordon are one patch at one resourceVersion, so a crash leaves both or neither. Whoever cordons a Node that we
have cordoned already changes nothing on the server, so nobody can tell: the label `kubenode.dev/hold` says it.
"""

import enum
from collections.abc import Collection
from typing import Final

from kubenode.core.decision import PatchNode
from kubenode.core.model.meta import GROUP, ref
from kubenode.core.model.world import Node

CORDONED_BY: Final = f"{GROUP}/cordoned-by"
"""Annotation of a Node: the op-id for which we cordoned it."""


class Cordon(enum.Enum):
    """How a Node stands."""

    OPEN = "anything may be scheduled onto it"
    OURS = "we cordoned it"
    ANOTHERS = "a person cordoned it"
    UNDONE = "we cordoned it, and somebody has un-cordoned it"


def standing(node: Node) -> Cordon:
    """Say whether a Node is cordoned, and by whom."""
    if cordoned_by(node):
        return Cordon.OURS if node.spec.unschedulable else Cordon.UNDONE
    return Cordon.ANOTHERS if node.spec.unschedulable else Cordon.OPEN


def cordoned_by(node: Node) -> str:
    """Give the op-id for which we cordoned a Node; empty when we did not."""
    return node.metadata.annotations.get(CORDONED_BY, "")


def cordon(node: Node, op_id: str) -> PatchNode | None:
    """Give the patch that cordons a Node for an op-id; None when there is nothing to write.

    One that a person cordoned stays theirs. One that a person un-cordoned is not cordoned again: that would be a fight.
    """
    known = cordoned_by(node)
    if known == op_id or (not known and node.spec.unschedulable):
        return None
    closes = None if known else True
    return PatchNode(
        node=ref(node), resource_version=node.metadata.resource_version, annotations={CORDONED_BY: op_id},
        unschedulable=closes,
    )  # fmt: skip


def uncordon(node: Node, held: Collection[str] = ()) -> PatchNode | None:
    """Give the patch that takes back our cordon when its op-id is none of those held; None when there is nothing to take back."""
    known = cordoned_by(node)
    if not known or known in held:
        return None
    opens = False if node.spec.unschedulable else None
    return PatchNode(
        node=ref(node), resource_version=node.metadata.resource_version, annotations={CORDONED_BY: None},
        unschedulable=opens,
    )  # fmt: skip
