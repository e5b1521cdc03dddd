"""What each controller does in the stories needs no right that the table does not give it."""

from collections import defaultdict
from functools import cache

import pytest

from kubenode.core import wire
from kubenode.core.decision import (
    ApplyNode,
    Create,
    Delete,
    Evict,
    PatchNode,
    PatchNodeConditions,
    SetFinalizers,
)
from kubenode.runtime.controller.rights import rights
from kubenode.runtime.controller.wiring import NAMES
from kubenode.runtime.engine.apply import Act, WriteStatus, reaches
from kubenode.runtime.engine.loop import Decided
from kubenode.runtime.sim.run import Simulation
from tests.stories.disturbing import PLAYS, cast_of


def needed(act: Act) -> str:
    """Say which right an act needs."""
    if isinstance(act, Evict):
        return "create pods/eviction"
    plural = wire.kind_of(reaches(act).kind).KIND.plural
    match act:
        case Create():
            return f"create {plural}"
        case Delete():
            return f"delete {plural}"
        case WriteStatus() | PatchNodeConditions():
            return f"patch {plural}/status"
        case SetFinalizers() | ApplyNode() | PatchNode():
            return f"patch {plural}"
        case _:
            return "patch machines"


@cache
def used(story: str) -> dict[str, set[str]]:
    """Play a story and give what each controller needed."""
    found: dict[str, set[str]] = defaultdict(set)

    def note(decided: Decided) -> None:
        found[decided.key.controller] |= {needed(act) for act in decided.acts}

    def attend(simulation: Simulation) -> None:
        simulation.listen(note)

    assert PLAYS[story](cast_of(story), 0, lambda _: None, attend).passed
    return {name: acts for name, acts in found.items() if name in NAMES}


@pytest.mark.parametrize("story", PLAYS)
def test_what_a_controller_does_is_among_its_rights(story: str) -> None:
    """By name of the controller: an engine that runs only some of them is checked for the rights of just those."""
    for name, texts in used(story).items():
        assert texts <= {str(right) for right in rights((name,))}, name


def test_the_stories_use_what_is_granted() -> None:
    """Nothing is granted that no story uses, and nothing is granted to nobody."""
    done = set[str]().union(*(texts for story in PLAYS for texts in used(story).values()))
    # Events are no decisions: the recorder makes them of what was decided.
    writes = {
        str(right) for right in rights()
        if right.verb not in ("get", "list", "watch") and right.resource != "events"
    }  # fmt: skip
    assert writes == done
