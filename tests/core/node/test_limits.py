"""What is not written, how long a name may be, and what is the kubelet's to say."""

import pytest

from kubenode.core import model as m
from kubenode.core.node.mirror import plan_mirror
from kubenode.core.node.sync import Marks, label_value
from tests.core.node.test_mirror import READY, found, node


@pytest.mark.parametrize(
    ("marks", "differ"),
    [
        (Marks(), False), (Marks(conflicts=("label a",)), False), (Marks(labels={"a": "1"}), False),
        (Marks(applies=True), True), (Marks(records={"a": None}), True), (Marks(taints=()), True),
    ],
)  # fmt: skip
def test_any_one_change_is_to_be_written(marks: Marks, differ: bool) -> None:
    """What is to be applied, the record of taints, and taints, of which it may be that none are left; a conflict is no change."""
    assert marks.differ is differ


@pytest.mark.parametrize(("length", "whole"), [(62, True), (63, True), (64, False), (65, False)])
def test_a_name_is_kept_whole_up_to_63_characters(length: int, whole: bool) -> None:
    """As long as a label's value may be; a longer one ends in a digest."""
    value = label_value("n" * length)
    assert (value == "n" * length) is whole
    assert len(value) == min(length, 63)


@pytest.mark.parametrize(
    "type", ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"]
)
def test_these_are_the_kubelets(type: str) -> None:
    """What every kubelet, or the route controller for it, writes: never ours, not even where we recorded it."""
    mirror = plan_mirror(node(READY, m.NodeCondition(type=type), ours=type), (found(type),))
    assert mirror.conditions is None
    assert [note.code for note in mirror.notes] == ["KubeletsCondition"]
