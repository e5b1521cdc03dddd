"""Names that load late: `kubenode.model` and the snapshots are what their stubs say, and load no decider before its use."""

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from kubenode.core import model, parts, snapshots
from kubenode.core.deciding import standing
from kubenode.core.late import Late
from tests.core.test_deciding import MACHINE, SNAPSHOTS


def told(module: ModuleType) -> dict[str, str]:
    """Read what type checkers are told of a module: of each name, where it is from."""
    stub = ast.parse(Path(str(module.__file__)).with_suffix(".pyi").read_text())
    imports = (node for node in stub.body if isinstance(node, ast.ImportFrom))
    found = {alias.name: str(one.module) for one in imports for alias in one.names}
    return {name: home for name, home in found.items() if home.startswith("kubenode.core.") and name != "*"}


@pytest.mark.parametrize("module", [parts, snapshots])
def test_type_checkers_are_told_what_there_is(module: ModuleType) -> None:
    """From the same places."""
    late: Late = vars(module)["_LATE"]
    assert told(module) == late.home


@pytest.mark.parametrize("module", [parts, snapshots])
def test_every_name_loads(module: ModuleType) -> None:
    """Each is what it is where it is from."""
    late: Late = vars(module)["_LATE"]
    for name, home in late.home.items():
        vars(module).pop(name, None)
        found = getattr(module, name)
        assert found is getattr(sys.modules[home], name)


def test_a_part_is_looked_for_once() -> None:
    """The second time it is an attribute as others are; all of them are listed."""
    vars(parts).pop("make_node", None)
    assert (
        vars(parts)["make_node"] if parts.make_node is None else vars(parts)["make_node"] is parts.make_node
    )
    assert dir(parts) == sorted({*vars(parts)["_LATE"].home, *model.__all__})


@pytest.mark.parametrize("module", [parts, snapshots])
def test_a_name_that_is_not_there_is_told(module: ModuleType) -> None:
    """A misspelt one is an AttributeError that says where it was looked for."""
    with pytest.raises(AttributeError, match=rf"module '{module.__name__}' has no attribute 'Taut'"):
        module.Taut  # noqa: B018 - it raises


def test_any_snapshot_is_one_of_all() -> None:
    """The union holds each of them."""
    assert all(isinstance(seen, snapshots.Snapshot) for seen, _ in SNAPSHOTS.values())
    assert not isinstance(MACHINE, snapshots.Snapshot)


def test_each_snapshot_is_named_and_nothing_else() -> None:
    """By where its class is too: another class of the name is none, one made from it is it."""
    assert {snapshots.kind_of(seen) for seen, _ in SNAPSHOTS.values()} <= set(vars(snapshots)["_LATE"].home)

    class Theirs(snapshots.NodeSnapshot):
        """Somebody's own."""

    Theirs.__name__ = "FleetSnapshot"
    assert snapshots.kind_of(Theirs.__new__(Theirs)) == "NodeSnapshot"
    assert snapshots.kind_of(MACHINE) == ""


def test_what_stands_is_the_stored_status() -> None:
    """Of each kind of snapshot, None where nothing is stored yet."""
    assert standing(SNAPSHOTS["machine"][0]) == MACHINE.status
    assert standing(SNAPSHOTS["remedy"][0]) is None


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
