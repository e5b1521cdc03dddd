"""Every reason has a page with meaning, cause and fix; no page is about a reason that nobody says.

`python -m tests.docs.test_reasons` writes anew what is generated: who says it, and the index.
"""

import logging
import re
import types
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kubenode.core.decision import Decision, Note
from kubenode.core.model import condition as conditions
from kubenode.core.model.condition import Claim
from kubenode.core.model.now import Now
from kubenode.core.policy import Policy
from kubenode.runtime.embed.teller import Teller
from kubenode.runtime.engine.loop import Decided, Question
from kubenode.runtime.engine.queue import Key
from tests.docs.collect import FLOWS, OTHERS, SOURCE, Module, Said, collect, collected, parsed

FOLDER = Path(__file__).parents[2] / "docs" / "reference" / "reasons"
INDEX = FOLDER / "README.md"
SAID = collect()
WORDS = sorted({said.word for said in SAID})
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
PAGE = re.compile(
    r"# (?P<word>\w+)\n\n(?P<where>.+?)\n\nSaid by: (?P<rooms>.+?)\n\n"
    r"## Meaning\n\n(?P<meaning>.+?)\n\n## Cause\n\n(?P<cause>.+?)\n\n## Fix\n\n(?P<fix>.+?)\n",
    re.DOTALL,
)
HEAD = """# Every reason, a page each

A condition, a note or a failure has a `reason` (a note: a `code`): a fixed word. Its page says what it means, where it
comes from and what to do. `kubectl describe` shows conditions; notes are in `kubenode explain` and in the log of
`kubenode controller -v`.

| reason | where |
|---|---|
"""


def page(word: str) -> dict[str, str]:
    """Read the page of a reason by its parts."""
    found = PAGE.fullmatch((FOLDER / f"{word}.md").read_text(encoding="utf-8"))
    assert found is not None, (
        f"{word}.md: # {word}, where, Said by, ## Meaning, ## Cause, ## Fix; each with text"
    )
    return found.groupdict()


def rooms(word: str) -> str:
    """Give the folders that say a reason, as links."""
    said = sorted(one.room for one in SAID if one.word == word)
    return ", ".join(f"[{room}](../../../src/kubenode/{room})" for room in said)


def index() -> str:
    """Draw the index: a row a reason, and where it is seen."""
    rows = (f"| [{word}]({word}.md) | {' '.join(page(word)['where'].split())} |" for word in WORDS)
    return HEAD + "\n".join(rows) + "\n"


def test_every_reason_has_a_page_and_no_page_is_about_anything_else() -> None:
    """The pages are those of the reasons in the source."""
    assert sorted(file.stem for file in FOLDER.glob("*.md") if file != INDEX) == WORDS


@pytest.mark.parametrize("word", WORDS)
def test_a_page_has_meaning_cause_and_fix(word: str) -> None:
    """In this order, in sentences; and it names the folders whose code says it."""
    found = page(word)
    assert found["word"] == word
    assert found["rooms"] == rooms(word), "python -m tests.docs.test_reasons"
    for part in ("where", "meaning", "cause", "fix"):
        assert "## " not in found[part]
        assert found[part].endswith((".", ").")), f"{word}.md: {part} is no sentence"


@pytest.mark.parametrize("word", WORDS)
def test_a_page_names_conditions_and_fields_that_exist(word: str) -> None:
    """What stands in backticks where a page says who shows it is a word of the source."""
    for name in re.findall(r"`([A-Z]\w+)`", page(word)["where"]):
        assert f'"{name}"' in TEXT, f"{word}.md names {name}"


def test_the_index_is_drawn_from_the_pages() -> None:
    """It has them all, and what it says of each is what the page says."""
    assert INDEX.read_text(encoding="utf-8") == index(), "python -m tests.docs.test_reasons"


def test_nothing_is_explained_that_is_not_needed() -> None:
    """Each flow that is written down is in the source, and each folder that is left out is there."""
    source = TEXT.replace('"', "'")
    assert [flow for flow in FLOWS if flow.removeprefix("*") not in source] == []
    assert [room for room in OTHERS if not (SOURCE / room).exists()] == []


def test_the_log_names_the_reason_before_its_sentence(caplog: pytest.LogCaptureFixture) -> None:
    """So whoever is paged finds the page."""
    note = Note(code="ZoneOutage", text="zone b: 7 of 10 not ready, limit 5")
    decided = Decided(
        now=Now(wall=datetime(2026, 3, 2, tzinfo=UTC), elapsed=0), key=Key("remedy", "m1"),
        question=Question(snapshot=None, subject=None, stored=None), decision=Decision(notes=(note,)), acts=(), policy=Policy(),
    )  # fmt: skip
    with caplog.at_level(logging.DEBUG, logger="kubenode.engine"):
        Teller(observes=False).tell(decided)
    assert "ZoneOutage: zone b: 7 of 10 not ready, limit 5" in caplog.text


# The collector: how a reason can be said, and that none of these ways hides it.

WAYS = {
    "by keyword": 'def f():\n    return Note(code="Odd", text="")',
    "by a constant": 'ODD = "Odd"\ndef f():\n    return Note(code=ODD, text="")',
    "by position": 'def f():\n    return Claim.of("T", True, "Odd")',
    "by a local name": 'def f(x):\n    odd = "Odd" if x else ""\n    return Note(code=odd, text="")',
    "by a member of an enum": 'class E(enum.Enum):\n    ODD = "Odd"\ndef f():\n    return Note(code=E.ODD.value, text="")',
    "by an argument that is an enum": 'class E(enum.Enum):\n    ODD = "Odd"\ndef f(e: E):\n    return Note(code=e.value, text="")',
    "through a function of ours": 'def g(at, reason):\n    return Note(code=reason, text="")\ndef f():\n    return g(1, "Odd")',
    "as the beginning of a problem": 'def f(name):\n    return Problem(where="", what=f"Odd: no {name}")',
    "as the beginning of a problem that has a name": 'def f(name):\n    what = f"Odd: no {name}"\n    return what',
}


def module(source: str) -> Module:
    """Load a module of a few lines."""
    loaded = types.ModuleType("odd")
    exec(f"import enum\n{source}", vars(loaded) | {"__name__": "odd"}, vars(loaded))  # noqa: S102
    loaded.Claim, loaded.Note = Claim, Note  # type: ignore[attr-defined]
    return parsed(source, loaded, "room")


@pytest.mark.parametrize("way", WAYS)
def test_a_reason_is_found_however_it_is_said(way: str) -> None:
    """Each way that the source has, once."""
    source = Path(conditions.__file__).read_text(encoding="utf-8")
    found = collected([module(WAYS[way]), parsed(source, conditions, "core/model")])
    assert Said("Odd", "room") in found


@pytest.mark.parametrize("given", ['"Od" + end', "made()", "words[0]"])
def test_a_reason_that_cannot_be_followed_is_an_error(given: str) -> None:
    """It is never passed over."""
    with pytest.raises(AssertionError, match="say in FLOWS"):
        collected([module(f'def f(end, words):\n    return Note(code={given}, text="")')])


if __name__ == "__main__":
    for word in WORDS:
        file = FOLDER / f"{word}.md"
        text = re.sub(
            r"^Said by: .*$", f"Said by: {rooms(word)}", file.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        file.write_text(text, encoding="utf-8")
    INDEX.write_text(index(), encoding="utf-8")
