"""The page of our drivers says what they take: its examples are read, and it names every parameter."""

import re
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from kubenode.components import ContainerdConfig, KubeletConfig, register_components
from kubenode.runtime.parameters import structured

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "components.md"
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)]
DRIVERS = {driver.name: driver for driver in register_components()}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one["metadata"]["name"])
def test_an_example_is_taken(example: dict[str, Any]) -> None:
    """By the driver that it names."""
    spec = example["spec"]
    assert structured(spec["parameters"], DRIVERS[spec["driver"]].params, "spec.parameters") is not None


@pytest.mark.parametrize("name", DRIVERS)
def test_every_parameter_is_on_the_page(name: str) -> None:
    """In the section of its driver."""
    (section,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    shapes = {"containerd": [ContainerdConfig], "kubelet": [KubeletConfig]}.get(name, [])
    for shape in (DRIVERS[name].params, *shapes):
        assert [field.name for field in attrs.fields(shape) if f"`{field.name}`" not in section] == []
