"""What docstrings show is what happens."""

import doctest
import importlib
from pathlib import Path

import pytest

import kubenode

ROOT = Path(kubenode.__file__).parent
SHOWING = sorted(
    ".".join(("kubenode", *file.relative_to(ROOT).with_suffix("").parts))
    for file in ROOT.rglob("*.py")
    if ">>> " in file.read_text()
)


@pytest.mark.parametrize("name", SHOWING)
def test_what_a_docstring_shows_happens(name: str) -> None:
    """Every example of a module is run, and there is one."""
    found = doctest.testmod(
        importlib.import_module(name), raise_on_error=False, optionflags=doctest.FAIL_FAST
    )
    assert found.attempted
    assert not found.failed


def test_what_is_best_shown_is_shown() -> None:
    """Amounts, windows, batches and explanations: whoever reads them reads an example first."""
    shown = {name.removeprefix("kubenode.core.") for name in SHOWING}
    assert shown >= {"model.quantity", "risk.window", "rollout.batch", "explain", "deciding", "byhand"}


def test_a_wrong_example_is_found() -> None:
    """The check can fail."""
    example = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "planted", None, None)
    said: list[str] = []
    assert doctest.DocTestRunner().run(example, out=said.append).failed == 1
    assert "Expected:\n    3\nGot:\n    2" in said[0]
