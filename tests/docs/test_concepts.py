"""What docs/concepts.md shows is drawn from the code, and is what the code says now.

`python -m tests.docs.test_concepts` draws it anew.
"""

import re
from pathlib import Path

import pytest

from kubenode.core.machine.phase import NEXT, Phase
from kubenode.core.model import KINDS
from tests.docs.draw import DRAWN, job_phases, machine_phases

PAGE = Path(__file__).parents[2] / "docs" / "concepts.md"
PLACE = re.compile(r"<!-- drawn: ([\w ]+) -->\n(.*?)<!-- end -->", re.DOTALL)


def placed(page: str) -> dict[str, str]:
    """Give what the page shows in each place."""
    return dict(PLACE.findall(page))


def drawn(page: str) -> str:
    """Give the page with everything drawn anew."""
    return PLACE.sub(lambda place: f"<!-- drawn: {place[1]} -->\n\n{DRAWN[place[1]]()}\n\n<!-- end -->", page)


@pytest.mark.parametrize("name", DRAWN)
def test_the_page_shows_what_the_code_says(name: str) -> None:
    """Each picture and table is there, once, as it is drawn now."""
    shown = placed(PAGE.read_text(encoding="utf-8"))
    assert shown[name].strip() == DRAWN[name](), "python -m tests.docs.test_concepts"


def test_nothing_else_is_drawn() -> None:
    """Every place of the page has a drawing."""
    assert sorted(name for name, _ in PLACE.findall(PAGE.read_text(encoding="utf-8"))) == sorted(DRAWN)
    assert PAGE.read_text(encoding="utf-8").count("```mermaid") == sum(
        "mermaid" in draw() for draw in DRAWN.values()
    )


def test_every_move_of_the_law_is_an_arrow() -> None:
    """Read back from the picture, the arrows are the moves of the table: none is left out, none made up."""
    told = {(source, target) for source, target in arrows(machine_phases())}
    moves = {
        (phase.value, after.value) for phase in Phase for after in NEXT[phase].values() if after is not phase
    }
    assert told == moves


def arrows(picture: str) -> set[tuple[str, str]]:
    """Read the arrows of a flow chart; from `any` there is one from every phase but those it names."""
    found = set[tuple[str, str]]()
    for source, others, target in re.findall(
        r'(\w+)(?:\(\["any(?: \(but ([\w, ]+)\))?"\]\))? -->\|".*?"\| (\w+)', picture
    ):
        if source.startswith("any"):
            but = {target, *others.split(", ")}
            found |= {(phase.value, target) for phase in Phase if phase.value not in but}
        else:
            found.add((source, target))
    return found


def test_an_episode_ends_in_three_ways_and_never_leaves_an_end() -> None:
    """The picture of an episode has no dead end and no way out of an end."""
    pairs = re.findall(r"(\S+) --> (\S+)", job_phases())
    ends = {source for source, target in pairs if target == "[*]"}
    assert ends == {"Succeeded", "HandedOver", "Cancelled"}
    assert all(target == "[*]" for source, target in pairs if source in ends)
    assert {target for _, target in pairs} - {"[*]"} <= {source for source, _ in pairs}


def test_every_kind_is_listed() -> None:
    """Those that the API has."""
    table = placed(PAGE.read_text(encoding="utf-8"))["kinds"]
    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE)[1:] == [cls.KIND.name for cls in KINDS]


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
