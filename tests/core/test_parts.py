"""The shelf `kubenode.model`: what stands beside a decider is there under its name, and loads no decider before its use."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from kubenode.core import parts


def test_type_checkers_see_the_parts_that_there_are() -> None:
    """What is imported for type checkers is what loads late, from the same places; all of it is listed."""
    source = ast.parse(Path(parts.__file__).read_text())
    block = next(node for node in source.body if isinstance(node, ast.If))
    for_checkers = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert for_checkers == vars(parts)["_HOME"]
    assert set(dir(parts)) == {*for_checkers, *vars(parts)["model"].__all__}


@pytest.mark.parametrize("name", sorted(vars(parts)["_HOME"]))
def test_every_part_loads(name: str) -> None:
    """Each name is what its home says it is, and the second look finds it without the table."""
    vars(parts).pop(name, None)
    found = getattr(parts, name)
    assert found is getattr(sys.modules[vars(parts)["_HOME"][name]], name)
    assert vars(parts)[name] is found


def test_a_name_that_is_not_there_is_told() -> None:
    """A misspelt part is an AttributeError that names it."""
    with pytest.raises(AttributeError, match="no attribute 'Taut'"):
        parts.Taut  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(("name", "others"), [
    ("RemedySnapshot", ("machine", "machineset", "rollout", "host")),
    ("NodeSnapshot", ("machine", "machineset", "rollout", "risk")),
])  # fmt: skip
def test_a_decider_loads_by_itself(name: str, others: tuple[str, ...]) -> None:
    """Who makes a snapshot for one decider pays for that one."""
    code = f"import sys; from kubenode import Policy, {name}, decide, model; model.make_node; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {f"kubenode.core.{other}.decide" for other in others}.isdisjoint(loaded)
