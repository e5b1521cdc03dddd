"""Every relative link of the docs leads somewhere, every page can be found, and decisions are in order."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubenode.core.decision import Verdict
from kubenode.core.model.component import Disruption
from kubenode.core.model.risk import Scope

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted((*DOCS.rglob("*.md"), *ROOT.glob("*.md")))
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$|^ {4}[^\n]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[tuple[str, Path]]:
    """Give the links of a page that lead to a file or folder here, as written and where they lead."""
    for link in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        if not re.match(r"[a-z]+:", link):
            path, _, _ = link.partition("#")
            yield link, (page.parent / path).resolve() if path else page


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    """To a file or folder of this repository; with an anchor, to a heading of it."""
    for link, target in links(page):
        assert target.exists(), f"{link}: no such file"
        assert target.is_relative_to(ROOT), f"{link}: leads out of the repository"
        _, _, anchor = link.partition("#")
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


def test_every_page_is_reached_from_the_readme() -> None:
    """Following links, and folders for what lies in them."""
    reached, pending = set[Path](), [ROOT / "README.md"]
    while pending:
        page = pending.pop()
        if page in reached:
            continue
        reached.add(page)
        for _, target in links(page):
            pending += (
                sorted(target.glob("*.md")) if target.is_dir() else [target] if target.suffix == ".md" else []
            )
    assert [page.relative_to(ROOT).as_posix() for page in PAGES if page not in reached] == []


def test_decisions_are_numbered_without_duplicates() -> None:
    """The number of the file is that of its title, and no two have the same."""
    numbers = [path.name[:4] for path in DECISIONS]
    assert len(set(numbers)) == len(numbers)
    for path, number in zip(DECISIONS, numbers, strict=True):
        title, _, _ = path.read_text(encoding="utf-8").partition("\n")
        assert re.fullmatch(rf"# {number} \S.*", title), f"{path.name}: {title}"


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_context_and_choice(path: Path) -> None:
    """What was asked, and what was taken; in a dozen lines."""
    text = path.read_text(encoding="utf-8")
    assert re.search(r"^Context: \S", text, re.MULTILINE)
    assert re.search(r"^Choice: \S", text, re.MULTILINE)
    assert text.index("Context: ") < text.index("Choice: ")
    assert len(text.splitlines()) <= 14


def test_the_glossary_has_the_words_of_the_tables() -> None:
    """Whatever names a verdict, a scope or a disruption class; and no word twice."""
    rows = re.findall(
        r"^\| (?!word|---)(.+?) \| (.+) \|$", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    words = [word.strip() for row, _ in rows for word in row.split(",")]
    assert len(set(words)) == len(words)
    text = " ".join(meaning for _, meaning in rows)
    for kind in (Verdict, Scope, Disruption):
        assert [one.value for one in kind if not re.search(rf"\b{one.value}\b", text, re.IGNORECASE)] == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    """A link is read with its anchor; what stands in code is none."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A head, of sorts\n[a](gone.md) [b](#a-head-of-sorts) `[c](code.md)`\n\n    [d](code.md)\n\n[e](https://e.x)\n"
    )
    assert list(links(page)) == [("gone.md", tmp_path / "gone.md"), ("#a-head-of-sorts", page)]
    assert anchors(page) == {"a-head-of-sorts"}
