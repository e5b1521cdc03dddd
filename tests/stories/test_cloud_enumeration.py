"""Every effect of the stories of clouds, and every look, meets every disturbance: same end, as many instances ever made.

An effect is a write to the store or a call of a provider. Below them the sabotages: for each disturbance a mistake that
only it brings to light. A part of what is milder is played here, and all of it at night.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import CloudEffect, CreateInstance, TerminateInstance
from kubenode.core.hookspecs import Instance
from kubenode.core.instance import evidence, intent, keep, leave, settle
from kubenode.core.instance.seen import Case
from kubenode.core.instance.turn import Turn
from kubenode.core.model.instance import InstanceStatus
from kubenode.runtime.engine import apply as applying
from kubenode.runtime.observe import instances
from kubenode.runtime.observe.calls import Failure, Look, look, made
from kubenode.runtime.sim import cloud as clouds
from kubenode.runtime.sim import process as running
from kubenode.runtime.sim.run import Simulation
from tests.stories import clouding
from tests.stories.disturbing import (
    ALL,
    CLOUD_MODES,
    CLOUDS,
    LOOK_MODES,
    MODES,
    Played,
    differences,
    differences_by_looks,
    play,
)

whole = cache(play)
Patch = pytest.MonkeyPatch

FEWEST = {
    "cloud-create": (20, 2),
    "cloud-replace": (75, 6),
    "cloud-delete": (54, 4),
    "cloud-scale-down": (62, 4),
    "cloud-gone": (38, 4),
    "cloud-mute": (33, 20),
}
"""Effects and looks of each story as it is now: one that had fewer would no longer be the story whose name it has."""
CALLS = {
    "cloud-create": "2 creates, 0 deletes",
    "cloud-replace": "4 creates, 2 deletes",
    "cloud-delete": "2 creates, 2 deletes",
    "cloud-scale-down": "3 creates, 2 deletes",
    "cloud-gone": "3 creates, 0 deletes",
    "cloud-mute": "3 creates, 1 deletes",
}
CALLED = (CreateInstance, TerminateInstance)
MILD = ("timeout", "throttled")
"""What is not done, and is told of as such or not at all: of writes it is a milder form of what else they meet."""
LIKE_OTHERS = ("cloud-gone", "cloud-mute")
"""Stories whose writes are mostly those of the others."""


def part_of(story: str, mode: str) -> slice:
    """Give which of the effects are disturbed by day: in each mode others, and all calls besides."""
    step = 4 if mode in MILD else 3 if story in LIKE_OTHERS else 1
    return slice((*MODES, *MILD).index(mode) % step, None, step)


@pytest.mark.parametrize("story", CLOUDS)
def test_undisturbed_no_call_is_wasted(story: str) -> None:
    """One create an instance, one termination of each that goes."""
    one = whole(story)
    assert one.told.passed
    assert (len(one.effects), len(one.looks)) >= FEWEST[story]
    assert one.told.summary == CALLS[story]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", CLOUD_MODES)
@pytest.mark.parametrize("story", CLOUDS)
def test_a_disturbance_of_any_effect_changes_nothing(story: str, mode: str) -> None:
    """No instance more or less was ever made, none was ended twice, and in the end all is the same."""
    part = part_of(story, mode)
    assert list(differences(story, mode, whole(story), part=part)) == []
    if part.step > 1:
        assert list(differences(story, mode, whole(story), of=CALLED)) == []


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", CLOUD_MODES)
@pytest.mark.parametrize("story", CLOUDS)
def test_all_of_them(story: str, mode: str) -> None:
    """What is left out by day."""
    assert list(differences(story, mode, whole(story), part=ALL)) == []
    assert list(differences_by_looks(story, mode, whole(story), part=ALL)) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", LOOK_MODES)
def test_a_disturbance_of_any_look_changes_nothing(mode: str) -> None:
    """One that fails, shows what was a while ago, or shows nothing at all; and a crash at it, or a second controller."""
    for story in CLOUDS:
        part = slice(LOOK_MODES.index(mode) % 4, None, 4) if story == "cloud-mute" else ALL
        assert list(differences_by_looks(story, mode, whole(story), part)) == [], story


def elsewhere(simulation: Simulation) -> None:
    """Let somebody ask for other parameters while the controller is down."""
    for raw in simulation.objects(m.Machine):
        change: m.Json = {"spec": {"infrastructure": {"parameters": {"zone": "c"}}}}
        simulation.change(m.Machine, raw["metadata"]["name"], change)


def broken(story: str, mode: str, on_crash: Callable[[Simulation], None]) -> str:
    """Give the first checks that fail when an effect is disturbed, whatever else is different."""
    for victim in range(len(whole(story).effects)):
        one = play(story, mode, victim, on_crash=on_crash)
        if failed := [f"{check.name}: {check.found}" for check in one.told.checks if not check.passed]:
            return "; ".join(failed)
    return ""


@pytest.mark.parametrize("mode", ["before", "after"])
def test_parameters_that_change_at_a_crash_make_no_second_instance(mode: str) -> None:
    """What was asked for is settled by the parameters that the intent has pinned, before any other is asked for."""
    assert broken("cloud-create", mode, elsewhere) == ""


def caught(story: str, mode: str, of: type | None = None, part: slice = ALL) -> str:
    """Give the first difference under a sabotage that does no harm to the undisturbed story."""
    undisturbed: Played = play(story)
    assert undisturbed.differs(whole(story)) == ""
    return next(differences(story, mode, undisturbed, of=of, part=part), "")


def caught_by_looks(story: str, mode: str) -> str:
    """Give the first difference that a disturbed look makes under such a sabotage."""
    undisturbed: Played = play(story)
    assert undisturbed.differs(whole(story)) == ""
    return next(differences_by_looks(story, mode, undisturbed), "")


TWO = "as many were ever made for each machine as need be"


def test_a_crash_catches_an_intent_that_is_written_after_the_call(monkeypatch: Patch) -> None:
    """Nobody knows what was asked for, and other parameters have another token."""
    begin, apply = intent.begin, applying.apply

    def at_once(case: Case, infrastructure: m.Infrastructure, *, attempt: int, choice: int) -> Turn:
        turn = begin(case, infrastructure, attempt=attempt, choice=choice)
        assert turn.instance is not None
        sight = attrs.evolve(case.sight, pinned=case.sight.wanted)
        return attrs.evolve(turn, effects=(intent.ask(attrs.evolve(case, sight=sight), turn.instance, 0),))

    def call_first(acts: Any, *more: Any) -> Any:
        return apply(tuple(sorted(acts, key=lambda act: not isinstance(act, CreateInstance))), *more)

    whole("cloud-create")
    monkeypatch.setattr(keep, "begin", at_once)
    monkeypatch.setattr(running, "apply", call_first)
    assert play("cloud-create").differs(whole("cloud-create")) == ""
    assert TWO in broken("cloud-create", "after", elsewhere)


def test_lost_catches_a_timeout_that_is_taken_for_a_failure(monkeypatch: Patch) -> None:
    """Another attempt, with a token of its own, while the first has made one."""
    whole("cloud-create")
    monkeypatch.setattr(settle, "_ambiguous", lambda case, instance, _: settle.again(case, instance))
    assert TWO in caught("cloud-create", "lost", CreateInstance)


def taking(monkeypatch: Patch, error: str) -> None:
    """Let a termination that fails in a way be taken for done."""

    def optimist(launches: Any, effect: CloudEffect) -> Instance | Failure | None:
        given = made(launches, effect)
        done = isinstance(given, Failure) and given.error == error and isinstance(effect, TerminateInstance)
        return None if done else given

    monkeypatch.setattr(clouds, "made", optimist)


@pytest.mark.parametrize(
    ("mode", "error"), [("timeout", "Ambiguous"), ("throttled", "Throttled"), ("conflict", "Busy")]
)
def test_each_catches_an_end_that_is_taken_for_done(mode: str, error: str, monkeypatch: Patch) -> None:
    """It was not, and nobody asks again."""
    whole("cloud-delete")
    taking(monkeypatch, error)
    assert caught("cloud-delete", mode, TerminateInstance)


@pytest.mark.parametrize("mode", ["throttled", "conflict"])
def test_each_catches_a_token_that_is_thrown_away(mode: str, monkeypatch: Patch) -> None:
    """Each refusal begins another attempt: as many instances, and more tokens."""

    def impatient(case: Case, _: Any) -> Turn:
        assert case.instance is not None
        return settle.again(case, case.instance)

    whole("cloud-create")
    monkeypatch.setattr(settle, "postponed", impatient)
    assert "each token made one" in caught("cloud-create", mode, CreateInstance)


def test_without_an_attempt_in_its_token_a_lost_instance_is_never_made_anew(monkeypatch: Patch) -> None:
    """No disturbance is needed: the token gives what is no more."""
    monkeypatch.setattr(intent, "token_of", lambda uid, _, launch: f"create-{uid}-{launch}")
    monkeypatch.setattr(clouding, "LONG", timedelta(minutes=10))
    assert TWO in failed("cloud-gone")


def test_second_catches_who_writes_without_a_precondition(monkeypatch: Patch) -> None:
    """Whoever leads by an old Lease puts what it decided on an old view in the place of what stands by now."""
    whole("cloud-gone")
    monkeypatch.setattr(applying, "_precondition", lambda where, _: {"uid": where.uid})
    assert caught("cloud-gone", "second", part=slice(len(whole("cloud-gone").effects) // 2, None))


def test_second_catches_who_takes_what_it_once_saw_for_what_there_is(monkeypatch: Patch) -> None:
    """The first has seen the instance run, and the second has proven that it is gone."""
    whole("cloud-gone")
    monkeypatch.setattr(instances, "_forget", nothing_of)
    assert caught("cloud-gone", "second")


def nothing_of(*_: Any, **__: Any) -> None:
    """Forget nothing."""


def _one_look_is_proof(monkeypatch: Patch) -> None:
    for name in ("VISIBLE", "ABSENCE"):
        monkeypatch.setattr(evidence, name, 0)
    monkeypatch.setattr(instances, "doubted", lambda *_: False)


def test_an_empty_look_catches_who_takes_one_for_proof(monkeypatch: Patch) -> None:
    """What it does not show is made again."""
    whole("cloud-replace")
    _one_look_is_proof(monkeypatch)
    assert caught_by_looks("cloud-replace", "empty")


@pytest.mark.parametrize("mode", ["timeout", "throttled", "conflict"])
def test_a_failed_look_catches_who_takes_it_for_an_empty_one(mode: str, monkeypatch: Patch) -> None:
    """No answer is no news."""

    def blind(provider: Any, known: Any, began: int) -> Any:
        given = look(provider, known, began)
        return (
            Look(began=began, instances=(), absent=frozenset(known)) if isinstance(given, Failure) else given
        )

    whole("cloud-replace")
    _one_look_is_proof(monkeypatch)
    monkeypatch.setattr(clouds, "look", blind)
    assert caught_by_looks("cloud-replace", mode)


def test_a_stale_look_catches_who_is_not_told_that_it_was_wrong(monkeypatch: Patch) -> None:
    """It showed two instances of a machine, and the next one shows that there is one."""
    state = instances.Instances._state

    def own_only(self: instances.Instances, scope: Any, name: str) -> object:
        own, _, *more = state(self, scope, name)  # type: ignore[misc, attr-defined]
        return (own, more)

    whole("cloud-gone")
    monkeypatch.setattr(instances.Instances, "_state", own_only)
    assert "InstanceTwice" in caught_by_looks("cloud-gone", "stale")


def failed(story: str) -> str:
    """Give the checks that the undisturbed story fails, with what was found."""
    return "; ".join(f"{check.name}: {check.found}" for check in play(story).told.checks if not check.passed)


@pytest.mark.parametrize("story", ["cloud-replace", "cloud-delete", "cloud-scale-down"])
def test_a_termination_without_a_permit_is_noticed(story: str, monkeypatch: Patch) -> None:
    """A machine that was Running waits for the window; without its permit its instance goes at once."""
    ended = leave._ended

    def unasked(case: Case, instance: InstanceStatus, *, permitted: bool, barred: str) -> Turn:
        return ended(case, instance, permitted=True, barred=barred)

    monkeypatch.setattr(leave, "_ended", unasked)
    assert "was terminated at" in failed(story)
