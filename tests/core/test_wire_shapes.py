"""A list where a map is served, and a map where a list is: told by path, and nothing else is lost."""

from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core import wire
from tests.core.test_wire import MACHINE, _changed


@pytest.mark.parametrize(
    ("path", "value"),
    [("status/conditions", {}), ("status/conditions", "none"), ("spec/taints", {"key": "a"}), ("spec/components", [])],
)  # fmt: skip
def test_a_part_of_another_shape_is_told_by_path(path: str, value: Any) -> None:
    """It is at its default, and the rest of the object as it was."""
    seen = wire.read(_changed(wire.dump(MACHINE), path, value), m.Machine)
    part, name = path.split("/")
    assert seen.metadata.unknown == (f"{part}.{name}",)
    assert not getattr(getattr(seen, part), name)
    assert seen.metadata.name == MACHINE.metadata.name
