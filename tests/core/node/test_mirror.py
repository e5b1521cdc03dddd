"""The agent's conditions on the Node: recorded before they appear, forgotten after they are gone."""

from datetime import UTC, datetime

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.model.condition import Condition
from kubenode.core.model.meta import ObjectMeta
from kubenode.core.node.mirror import KUBELETS_OWN, MIRRORED_CONDITIONS, Mirror, plan_mirror

AT = datetime(2026, 7, 1, 12, 0, 0, 250_000, tzinfo=UTC)
WHOLE = AT.replace(microsecond=0)
READY = m.NodeCondition(type="Ready", status=m.Switch.TRUE, reason="KubeletReady", last_heartbeat_time=WHOLE)
THEIRS = m.NodeCondition(type="Custom", status=m.Switch.TRUE)


def found(type: str = "KernelDeadlock", holds: m.Switch = m.Switch.TRUE) -> Condition:
    """A condition as an agent reports it."""
    return Condition(type=type, status=holds, reason="TaskHung", message="task dd:1", last_transition_time=AT)


def shown(type: str = "KernelDeadlock", holds: m.Switch = m.Switch.TRUE) -> m.NodeCondition:
    """The same on a Node."""
    return m.NodeCondition(
        type=type, status=holds, reason="TaskHung", message="task dd:1",
        last_transition_time=WHOLE, last_heartbeat_time=WHOLE,
    )  # fmt: skip


def node(*conditions: m.NodeCondition, ours: str | None = None) -> m.Node:
    """A Node with these conditions, of which these types are recorded as ours."""
    annotations = {} if ours is None else {MIRRORED_CONDITIONS: ours}
    meta = ObjectMeta(name="n1", uid="u", resource_version="4", annotations=annotations)
    return m.Node(metadata=meta, status=m.NodeStatus(conditions=conditions))


def test_record_first() -> None:
    """A new type is to be recorded, and the plan says what follows."""
    mirror = plan_mirror(node(READY, THEIRS), (found(),))
    assert mirror == Mirror(
        annotations={MIRRORED_CONDITIONS: "KernelDeadlock"}, conditions=(READY, THEIRS, shown())
    )
    recorded = plan_mirror(node(READY, THEIRS, ours="KernelDeadlock"), (found(),))
    assert recorded == Mirror(conditions=(READY, THEIRS, shown()))


def test_at_rest() -> None:
    """A condition that stands there as reported is left, in whole seconds as a Node keeps them."""
    assert plan_mirror(node(shown(), READY, ours="KernelDeadlock"), (found(),)) == Mirror()


def test_change_keeps_its_place() -> None:
    """A changed condition stays where it is."""
    mirror = plan_mirror(node(shown(), READY, ours="KernelDeadlock"), (found(holds=m.Switch.FALSE),))
    assert mirror == Mirror(conditions=(shown(holds=m.Switch.FALSE), READY))


def test_dropped() -> None:
    """A type no longer reported goes from the Node, and is forgotten only when it has gone."""
    mirror = plan_mirror(node(shown(), READY, ours="KernelDeadlock"), ())
    assert mirror == Mirror(conditions=(READY,))
    gone = plan_mirror(node(READY, ours="KernelDeadlock"), ())
    assert gone == Mirror(annotations={MIRRORED_CONDITIONS: None})


@pytest.mark.parametrize("type", sorted(KUBELETS_OWN))
def test_kubelets_own(type: str) -> None:
    """What the kubelet says is never said by us, reported, recorded or neither."""
    for ours in (None, type):
        for there in ((READY,), (READY, m.NodeCondition(type=type))):
            mirror = plan_mirror(node(*there, ours=ours), (found(type),))
            assert mirror.conditions is None
            assert mirror.annotations in ({}, {MIRRORED_CONDITIONS: None})
            assert [note.code for note in mirror.notes] == ["KubeletsCondition"]


def test_foreign() -> None:
    """A type that another writes to this Node (node-problem-detector) is left to it, and that is said."""
    theirs = m.NodeCondition(type="KernelDeadlock", status=m.Switch.FALSE)
    mirror = plan_mirror(node(READY, theirs), (found(),))
    assert (mirror.conditions, mirror.annotations) == (None, {})
    assert [note.code for note in mirror.notes] == ["ForeignCondition"]


def test_twice_reported() -> None:
    """Of a type that a broken agent reports twice, one is shown, whatever the order."""
    same = attrs.evolve(found(), message="other")
    mirror = plan_mirror(node(ours="KernelDeadlock"), (found(), same))
    assert mirror.conditions == (shown(),)


def test_sorted() -> None:
    """New conditions are placed by type, whatever the agent's order."""
    both = (found("B"), found("A"))
    assert plan_mirror(node(READY), both) == plan_mirror(node(READY), both[::-1])
    assert plan_mirror(node(READY), both).conditions == (READY, shown("A"), shown("B"))


def test_effect() -> None:
    """The effect carries the whole list at the version that was read; none when nothing changes."""
    effect = plan_mirror(node(READY, ours="KernelDeadlock"), (found(),)).patch(node(READY))
    assert effect is not None
    assert (effect.resource_version, effect.conditions) == ("4", (READY, shown()))
    assert Mirror().patch(node()) is None
