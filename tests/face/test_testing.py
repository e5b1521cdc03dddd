"""The page about tests: its examples run, and the suite of stores finds what is planted in one of a third party."""

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubenode import EmbeddedStore, Machine
from kubenode.runtime.testing.store import CASES
from tests.test_docs import blocks

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "testing.md"
EXAMPLES = ROOT / "docs" / "examples" / "python"
STORES = {case.name: case for case in CASES if not case.needs_api and not case.needs_cel}


def test_the_page_shows_the_examples() -> None:
    """One source: each block is a file, letter by letter. `test_platform.py` is run by tests/cluster."""
    shown = blocks(PAGE)
    assert set(shown) == {"test_veto.py", "test_platform.py", "traced.py", "test_traced.py"}
    for name, code in shown.items():
        assert code == (EXAMPLES / name).read_text(), name


def test_the_examples_pass(tmp_path: Path) -> None:
    """The veto is heard, and the store of a third party keeps to the contract, behaviour by behaviour."""
    assert len(STORES) >= 120
    for name in ("test_veto", "b_embed", "platform_app", "rack", "traced", "test_traced"):
        (tmp_path / f"{name}.py").write_text((EXAMPLES / f"{name}.py").read_text())
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert f"{2 + len(STORES)} passed" in result.stdout


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class of the example."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import traced

    yield traced.TracedStore
    del sys.modules["traced"]


def _careless(name: str, base: Any) -> Any:
    """Make the store of somebody who forgot one thing."""

    class Delete(base):  # type: ignore[misc]
        async def delete(self, kind: Any, name: str, *, uid: Any = None, resource_version: Any = None) -> Any:
            return await super().delete(kind, name, resource_version=resource_version)

    class Status(base):  # type: ignore[misc]
        async def patch(self, kind: Any, name: str, patch: Any, *, subresource: str = "") -> Any:
            return await super().patch(kind, name, patch)

    class Pages(base):  # type: ignore[misc]
        async def find(self, kind: Any, *, labels: Any = None, fields: Any = None, **_: Any) -> Any:
            return await super().find(kind, labels=labels, fields=fields)

    return {"delete": Delete, "status": Status, "pages": Pages}[name]


@pytest.mark.parametrize(
    ("fault", "case", "said"),
    [
        ("delete", "delete_of_another_uid", "expected Conflict, got the answer"),
        ("status", "status_survives_a_change_of_the_spec", "status_survives_a_change_of_the_spec met KeyError: 'status'"),
        ("status", "status_of_nothing", "expected ObjectNotFound, got the answer"),
        ("pages", "find_in_pages", "5 items"),
    ],
)  # fmt: skip
def test_a_fault_of_a_store_is_found(fault: str, case: str, said: str, traced: Callable[..., Any]) -> None:
    """By the case of the behaviour that it lacks, always as an AssertionError; without the fault it passes."""
    names = (f"case-{number}" for number in itertools.count())

    def run(store: Any) -> None:
        asyncio.run(asyncio.wait_for(STORES[case](store, Machine.KIND, lambda: next(names)), 60))

    run(traced(EmbeddedStore(), lambda _: None))
    with pytest.raises(AssertionError) as caught:
        run(_careless(fault, traced)(EmbeddedStore(), lambda _: None))
    assert said in str(caught.value)


def test_the_page_says_what_a_case_says() -> None:
    """The words of the page are among those tried above."""
    assert "`delete_of_another_uid` fails:\n\n    expected Conflict, got the answer\n" in PAGE.read_text()
