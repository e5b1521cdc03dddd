"""Which rules of remedy a Node's conditions meet, since when, and when they count as clear.

`lasting` is counted from a sighting by this process, never from a stamp: stamps are written by many
clocks and are for people.
"""

from collections.abc import Iterable, Mapping

import attrs

from kubenode.core.model.machine import Machine
from kubenode.core.model.meta import Switch
from kubenode.core.model.now import Now
from kubenode.core.model.quantity import nanoseconds
from kubenode.core.model.remedy import ConditionMatch, NodeRemedier
from kubenode.core.model.world import Node, NodeCondition

READY = "Ready"


@attrs.frozen(kw_only=True)
class Match:
    """A remedier whose condition a Node has now.

    Attributes:
        since: `Now.elapsed` of the first sighting.
        due: `Now.elapsed` from which it has held for the rule's `lasting`.
    """

    remedier: NodeRemedier
    condition: NodeCondition
    since: int
    due: int


def sighting_key(remedier: NodeRemedier, node: Node) -> str:
    """Name the sighting of a remedier's condition on one incarnation of a Node."""
    rule = remedier.spec.condition
    return f"{remedier.metadata.name}:{node.metadata.uid}:{rule.type}:{rule.status.value}"


def evidence(rule: ConditionMatch, node: Node) -> NodeCondition | None:
    """Give the condition by which a Node meets a rule, or None; of several the first by reason and message."""
    found = [
        condition
        for condition in node.status.conditions
        if condition.type == rule.type
        and condition.status is rule.status
        and rule.reason in ("", condition.reason)
    ]
    return min(found, key=lambda condition: (condition.reason, condition.message), default=None)


def is_clear(rule: ConditionMatch, node: Node) -> bool:
    """Tell whether a Node is Ready and well by a rule; a condition that it does not carry is clear.

    Stricter than "does not match": Unknown is not clear (nobody looked), and the unhealthy status for
    another reason is not clear either (the node is as sick, only the name of it has changed).
    """
    if not node.ready:
        return False
    sick = (rule.status, Switch.UNKNOWN)
    return rule.type == READY or not any(
        condition.type == rule.type and condition.status in sick for condition in node.status.conditions
    )


def selecting(remediers: Iterable[NodeRemedier], machine: Machine) -> tuple[NodeRemedier, ...]:
    """Give the remediers that select a machine, by name."""
    chosen = (one for one in remediers if one.spec.selector.selects(machine.metadata.labels))
    return tuple(sorted(chosen, key=lambda one: one.metadata.name))


def matches(
    remediers: Iterable[NodeRemedier], node: Node, *, now: Now, sightings: Mapping[str, int]
) -> tuple[Match, ...]:
    """Find the remediers whose condition a Node has now, in the order given.

    Returns:
        Each with its first sighting: the remembered one, else now. A sighting ahead of `now` counts as now.
    """
    found = []
    for remedier in remediers:
        condition = evidence(remedier.spec.condition, node)
        if condition is not None:
            since = min(sightings.get(sighting_key(remedier, node), now.elapsed), now.elapsed)
            due = since + nanoseconds(remedier.spec.condition.lasting)
            found.append(Match(remedier=remedier, condition=condition, since=since, due=due))
    return tuple(found)
