"""The code of the pages for plugin authors runs, and is that of the distributions that are installed in tests."""

import ast
import re
import subprocess
import sys
from collections.abc import Sized
from pathlib import Path

import pytest

from kubenode.components import conformance as components
from kubenode.inspections import conformance as inspections
from kubenode.providers import conformance as providers
from kubenode.providers.conformance.further import CAPABILITIES
from kubenode.remedies import conformance as remedies

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs" / "write-a").glob("*.md"))
THIRD_PARTY = ROOT / "tests" / "third_party"
BLOCK = re.compile(r"^`(\w+\.py)`\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> dict[str, str]:
    """Give the code of a page by file name; every block has one."""
    text = page.read_text()
    found = dict(BLOCK.findall(text))
    assert len(found) == text.count("```python"), f"{page.name}: a block lacks the name of its file"
    return found


def test_there_are_four_pages() -> None:
    """One for each kind of plugin."""
    assert [page.stem for page in PAGES] == ["component", "inspection", "provider", "remedy"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_the_distribution(page: Path) -> None:
    """What is shown is what pip installs in the tests, and its entry point."""
    for name, code in blocks(page).items():
        for file in THIRD_PARTY.glob(f"*/{name}"):
            assert code == file.read_text(), f"{page.name} and {file} differ"
    (entry,) = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)
    assert any(entry in file.read_text() for file in THIRD_PARTY.glob("*/pyproject.toml"))


@pytest.mark.parametrize(
    ("page", "laws"),
    [("component", components.LAWS), ("inspection", inspections.LAWS), ("remedy", remedies.LAWS)],
)
def test_a_page_has_a_row_for_every_law(page: str, laws: Sized) -> None:
    """Of the kit; that the plugin has a name, parameters and plain functions goes without saying."""
    _, _, after = (ROOT / "docs" / "write-a" / f"{page}.md").read_text().partition("## Laws")
    assert len(re.findall(r"^\| .* \|$", after, re.MULTILINE)) - len(["| law | why |"]) == len(laws) - 1


def test_the_providers_page_has_a_row_for_every_law() -> None:
    """In the table of laws, and for what only some clouds can do beside the method."""
    _, _, after = (ROOT / "docs" / "write-a" / "provider.md").read_text().partition("## Laws")
    common, _, further = after.partition("## What only some clouds can do")
    of_all = [check for check in providers.LAWS.values() if check not in providers.NEEDED]
    assert len(re.findall(r"^\| .* \|$", common, re.MULTILINE)) - len(["| law | why |"]) == len(of_all) - len(
        ["names", "functions"]
    )
    for kind in providers.NEEDED.values():
        (row,) = re.findall(rf"^\| `{CAPABILITIES[kind][0]}\(.*\|$", further, re.MULTILINE)
        assert row.strip("| ").count(" | ") == 2, f"{row} has no law"


def test_the_provider_of_the_page_is_as_short_as_it_says() -> None:
    """The class and its reader, without blank lines."""
    code = blocks(ROOT / "docs" / "write-a" / "provider.md")["kubenode_rack.py"]
    lines = code.splitlines()
    counted = [
        line
        for node in ast.parse(code).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in ("RackProvider", "_instance")
        for line in lines[
            min([node.lineno, *(one.lineno for one in node.decorator_list)]) - 1 : node.end_lineno
        ]
        if line.strip()
    ]
    assert 20 < len(counted) < 40


def test_the_code_of_the_pages_runs(tmp_path: Path) -> None:
    """Written to files as they say, their tests pass: every law of the four kits."""
    for page in PAGES:
        for name, code in blocks(page).items():
            (tmp_path / name).write_text(code)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert "50 passed" in result.stdout
