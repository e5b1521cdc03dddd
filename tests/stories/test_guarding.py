"""Machines of Cluster API bear `skip-remediation` while an upgrade has its permit: no moment less, no moment longer, and who else."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest

from kubenode.core.decision import GuardInstance
from kubenode.core.hookspecs import Guard
from kubenode.core.machine import guard
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.providers.clusterapi import reading
from kubenode.runtime.controller import inventory
from tests.stories.adopting import cast_of
from tests.stories.disturbing import ALL, CLOUD_MODES, differences, play
from tests.stories.guarding import MOMENT, PLAYS, SCENES, looks_soon
from tests.stories.guarding import play as played

STORY = "guard-done"
FEWEST = 100
"""Effects of the story as it is now: with fewer it would no longer be what it is called."""
Patch = pytest.MonkeyPatch
whole = cache(play)


def failed(scene: str) -> str:
    """Give the checks that a scene fails, with what was found; to the second."""
    told = played(scene, cast_of(2), 0, lambda _: None, slack=MOMENT)
    return "; ".join(f"{one.name}: {one.found}" for one in told.checks if not one.passed)


@pytest.mark.parametrize("scene", SCENES)
def test_hands_are_off_from_the_permit_to_its_end(scene: str) -> None:
    """To the second: also of one that fails, goes back or is paused, of a controller that is started anew, and beside a person."""
    assert failed(scene) == ""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", CLOUD_MODES)
def test_a_disturbance_of_any_effect_changes_nothing(mode: str) -> None:
    """In each mode a few others, and each word to the management cluster; all of them at night."""
    undisturbed, number = whole(STORY), CLOUD_MODES.index(mode)
    assert undisturbed.told.passed
    assert len(undisturbed.effects) >= FEWEST
    part = slice(number, None, 2 * len(CLOUD_MODES))
    assert list(differences(STORY, mode, undisturbed, part=part, on_crash=looks_soon)) == []
    assert list(differences(STORY, mode, undisturbed, of=GuardInstance, on_crash=looks_soon)) == []


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", CLOUD_MODES)
@pytest.mark.parametrize("story", [one for one in PLAYS if one != "guard-refused"])
def test_all_of_them(story: str, mode: str) -> None:
    """What is left out by day; where every word is refused for an hour there is nothing else to refuse."""
    assert list(differences(story, mode, whole(story), part=ALL, on_crash=looks_soon)) == []


# What the checks must notice.


def test_who_acts_before_hands_are_off_is_noticed(monkeypatch: Patch) -> None:
    """A permit counts at once."""
    monkeypatch.setattr(inventory, "may_begin", lambda _: True)
    assert "bore none when" in failed("refused")


def test_hands_that_stay_off_are_noticed(monkeypatch: Patch) -> None:
    """Nothing is taken back."""
    wanted = guard._wanted

    def always(seen: MachineSnapshot, *, holds_end: bool) -> Guard:
        hands_off = (
            wanted(seen, holds_end=holds_end).hands_off or seen.machine.status.first_running is not None
        )
        return Guard(hands_off=hands_off, holds_end=holds_end)

    monkeypatch.setattr(guard, "_wanted", always)
    assert "nothing of ours is left but the hook" in failed("done")


@pytest.mark.parametrize("scene", ["persons", "taken-over"])
def test_a_persons_word_that_is_taken_away_is_noticed(scene: str, monkeypatch: Patch) -> None:
    """Whatever its value, it would be taken for ours."""
    told = reading.guarding

    def greedy(one: Mapping[str, Any], wanted: Guard) -> Mapping[str, str | None]:
        gone = {} if wanted.hands_off else {reading.SKIP: None}
        return {**told(one, wanted), **gone}

    monkeypatch.setattr(reading, "guarding", greedy)
    assert "nothing of ours is left but the hook" in failed(scene)
