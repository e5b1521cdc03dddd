"""The story of the remedy `replace`, undisturbed and disturbed at each of its effects, and what its checks must notice."""

from functools import cache

import pytest

from kubenode.core.machine import decide as machine
from kubenode.core.machine.draining import Draining
from kubenode.core.remedy import by_provider
from kubenode.core.risk.binding import Round
from tests.stories.disturbing import ALL, CLOUD_MODES, differences, differences_by_looks, play

STORY = "replacement"
FEWEST = 100
"""Effects of the story as it is now: with fewer it would no longer be what it is called."""
Patch = pytest.MonkeyPatch
whole = cache(play)


def test_two_sick_machines_are_replaced_one_after_another() -> None:
    """From what the kernel says to a successor that runs; two creates and two ends more than without."""
    one = whole(STORY)
    assert one.told.passed, [check for check in one.told.checks if not check.passed]
    assert one.told.summary == "5 creates, 2 deletes"
    assert len(one.effects) >= FEWEST


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", CLOUD_MODES)
def test_a_disturbance_of_any_effect_changes_nothing(mode: str) -> None:
    """In each mode a few others; all of them at night."""
    part = slice(3 * CLOUD_MODES.index(mode), None, 3 * len(CLOUD_MODES))
    assert list(differences(STORY, mode, whole(STORY), part=part)) == []


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", CLOUD_MODES)
def test_all_of_them(mode: str) -> None:
    """What is left out by day."""
    assert list(differences(STORY, mode, whole(STORY), part=ALL)) == []
    assert list(differences_by_looks(STORY, mode, whole(STORY), part=ALL)) == []


def failed() -> str:
    """Give the checks that the undisturbed story fails, with what was found."""
    return "; ".join(f"{one.name}: {one.found}" for one in play(STORY).told.checks if not one.passed)


def test_a_limit_that_is_ignored_is_noticed(monkeypatch: Patch) -> None:
    """Both machines are disturbed at once, which the story sees for itself, and not only by the ledger."""
    monkeypatch.setattr(Round, "_in_flight", lambda *_: None)
    assert "one after another was disturbed: 2 at once" in failed()


def test_a_deletion_that_does_not_wait_for_the_drain_is_noticed(monkeypatch: Patch) -> None:
    """Neither the remedy's nor the machine's own."""
    monkeypatch.setattr(by_provider, "hindered", lambda *_: None)
    monkeypatch.setattr(machine, "begins_to_end", lambda *_: False)
    monkeypatch.setattr(machine, "plan_drain", lambda _: Draining())
    assert "nothing was there that could go when an instance ended: web" in failed()
