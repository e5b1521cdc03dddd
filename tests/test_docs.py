"""The code of the pages for plugin authors runs, and is that of the distributions that are installed in tests."""

import re
import subprocess
import sys
from collections.abc import Sized
from pathlib import Path

import pytest

from kubenode.components import conformance as components
from kubenode.inspections import conformance as inspections
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
    assert "41 passed" in result.stdout
