"""Hooks: when they are asked, what their answers do to a rollout, and what a person can say."""

from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.errors import Problem
from kubenode.core.inspection import Awaited, Fail, Inconclusive, Inspected, Pass
from kubenode.core.model.condition import find
from kubenode.core.policy import Policy
from kubenode.core.rollout.decide import decide
from kubenode.core.rollout.hooks import ASK_AGAIN, content, due
from kubenode.core.rollout.hooks import find as find_answers
from kubenode.core.rollout.revision import rolled_back
from tests.core.rollout.world import World, rolled_out

ERRORS = m.InspectionHook(name="errors", inspector="prometheus", parameters={"query": "up", "max": 1})
SMOKE = m.InspectionHook(name="smoke", inspector="http")
NANO = 1_000_000_000
MINUTE = 60 * NANO


def rolling(*hooks: m.InspectionHook, on_failure: m.OnFailure = m.OnFailure.PAUSE, **rollout: Any) -> World:
    """Give four machines that have begun to roll out in batches of two."""
    inspection = m.Inspection(hooks=hooks or (ERRORS,), on_failure=on_failure)
    sizes = {"batches": (m.IntOrPercent(2),), "max_unavailable": m.IntOrPercent(2), "min_ready_seconds": 0}
    world = rolled_out(4, inspection=m.Inspection(), **{**sizes, **rollout})
    world.ask("kubelet-2", inspection=inspection)
    return world


def said(world: World, type: str = "Progressing") -> tuple[str, str, str]:
    """Give phase, reason and message."""
    condition = find(world.owner.status.conditions, type)
    assert condition is not None
    return world.owner.status.phase, condition.reason, condition.message


def progress(world: World) -> m.Switch:
    """Give the condition's status."""
    condition = find(world.owner.status.conditions, "Progressing")
    assert condition is not None
    return condition.status


def state(world: World, name: str = "errors") -> m.InspectionState | None:
    """Give what stands of one hook."""
    batch = world.owner.status.batch
    found = [] if batch is None else [one.state for one in batch.inspections if one.name == name]
    return found[0] if found else None


def results(world: World) -> tuple[m.InspectionResult, ...]:
    """Give what stands of the open batch."""
    assert world.owner.status.batch is not None
    return world.owner.status.batch.inspections


def count_of(world: World, name: str = "errors") -> int:
    """Count the questions that one hook was asked."""
    return sum(ask.hook.name == name for ask in world.asked)


def again(world: World, count: int, batch: int = 1, revision: str = "2") -> None:
    """Let a person say that the hooks are asked again."""
    world.ask(inspect_again=m.InspectAgain(revision=revision, batch=batch, count=count))


# When they are asked.


def test_the_next_batch_waits_until_every_hook_has_passed() -> None:
    """While one has not answered, the rollout is in progress and says whom it waits for; nothing more begins."""
    world = rolling(ERRORS, SMOKE)
    world.answers = {"errors": Pass(text="0 <= 1")}
    decision = world.settle()
    text = "batch 1 is done and inspected: smoke has not answered yet"
    assert said(world) == ("Progressing", "Inspecting", text)
    assert [(note.code, note.text) for note in decision.notes] == [("Inspecting", text)]
    assert (len(world.touched), decision.deferred, decision.wake_at) == (2, True, None)
    assert [(one.name, one.state.value, one.text) for one in results(world)] == [
        ("errors", "Passed", "0 <= 1")
    ]
    world.answers["smoke"] = Pass()
    world.settle()
    assert said(world)[:2] == ("Complete", "Complete")
    assert len(world.touched) == 4


def test_nothing_is_asked_before_the_batch_has_closed_and_that_stands_in_the_status() -> None:
    """A question is about an end that everybody can see; each batch is asked about once."""
    world = rolling(answers := ERRORS)
    world.answers = {answers.name: Pass()}
    while not world.asked:
        batch = world.owner.status.batch
        assert batch is None or batch.closed_at is None
        assert world.rollout() or world.risk() or world.agents()
        world.snapshot()
    assert world.owner.status.batch is not None
    assert world.owner.status.batch.closed_at is not None
    world.settle()
    assert [(ask.batch.number, ask.revision.number) for ask in world.asked] == [(1, 2), (2, 2)]


def test_an_answer_stands_over_a_restart() -> None:
    """What passed and what failed is not asked for again by a controller that has forgotten everything."""
    world = rolling(ERRORS, SMOKE)
    world.answers = {"errors": Pass(), "smoke": Fail(text="503")}
    world.settle()
    assert (count_of(world), count_of(world, "smoke")) == (1, 1)
    for _ in range(3):
        world.sightings.clear()
        world.settle()
    assert (count_of(world), count_of(world, "smoke")) == (1, 1)
    assert said(world)[1] == "InspectionFailed"


def test_what_passed_is_asked_once_more_when_the_observation_is_over() -> None:
    """What shows only later is found; the time at which it is asked is the end of the observation exactly."""
    world = rolling(observation=timedelta(minutes=5))
    world.answers = {"errors": Pass()}
    while state(world) is None:
        assert world.rollout() or world.risk() or world.agents()
    decision = decide(world.snapshot(), Policy())
    assert said(world)[1] == "Observing"
    assert (decision.wake_at, count_of(world)) == (world.now.elapsed + 5 * MINUTE, 1)
    world.answers = {"errors": Fail(text="9 > 1")}
    world.now = world.now.plus(timedelta(minutes=5) - timedelta(microseconds=1))
    world.settle()
    assert [ask.observed for ask in world.asked] == [False, True]
    assert said(world)[1:] == (
        "InspectionFailed",
        'errors failed: 9 > 1; to ask again set spec.rollout.inspectAgain: {revision: "2", batch: 1, count: 1}',
    )
    assert len(world.touched) == 2


def test_a_question_that_the_observation_outlives_is_asked_anew_at_its_end() -> None:
    """An answer to the first question is none to the second."""
    world = rolling(observation=timedelta(seconds=30))
    while not world.asked:
        assert world.rollout() or world.risk() or world.agents()
        world.snapshot()
    (first,) = world.asked
    assert decide(world.snapshot(), Policy()).wake_at == world.now.elapsed + 30 * NANO
    assert said(world)[1] == "Inspecting"
    world.now = world.now.plus(timedelta(seconds=30))
    world.snapshot()
    assert [one.id != first.id for one in world.asked] == [False, True]
    world.answers = {"errors": Pass()}
    world.settle()
    assert said(world)[1] == "Complete"


def test_without_hooks_nothing_is_asked_or_stored() -> None:
    """An answer that nobody asked for changes nothing."""
    world = rolling()
    world.ask(inspection=m.Inspection())
    world.answers = {"errors": Fail(text="x")}
    world.settle()
    assert said(world)[1] == "Complete"
    world = rolling()
    world.answers = {"other": Fail(text="x"), "errors": Pass()}
    world.settle()
    assert (said(world)[1], world.asked != []) == ("Complete", True)


# What an answer does.


def test_a_failure_pauses_until_a_person_says_so() -> None:
    """It stands however long; the word of its text asks once more, and each higher count once more."""
    world = rolling()
    world.answers = {"errors": Fail(text="9 > 1")}
    decision = world.settle()
    assert said(world)[:2] == ("Paused", "InspectionFailed")
    assert (decision.wake_at, decision.effects, len(world.touched)) == (None, (), 2)
    world.answers = {"errors": Pass()}
    world.now = world.now.plus(timedelta(days=1))
    world.settle()
    assert (said(world)[0], count_of(world)) == ("Paused", 1)
    world.answers = {"errors": Fail(text="8 > 1")}
    again(world, 1)
    world.settle()
    assert said(world)[2].startswith("errors failed: 8 > 1; to ask again")
    assert said(world)[2].endswith("count: 2}")
    assert count_of(world) == 2
    world.answers = {"errors": Pass()}
    world.settle()
    assert count_of(world) == 2, "a word that was obeyed asks nothing more"
    again(world, 2)
    world.settle()
    assert said(world)[1] == "Complete"


@pytest.mark.parametrize(("batch", "revision"), [(2, "2"), (1, "1")])
def test_a_word_about_another_batch_or_revision_asks_nothing(batch: int, revision: str) -> None:
    """An old word releases nothing."""
    world = rolling()
    world.answers = {"errors": Fail(text="9 > 1")}
    world.settle()
    again(world, 5, batch=batch, revision=revision)
    world.settle()
    assert count_of(world) == 1


def test_while_it_is_asked_again_what_it_said_stands() -> None:
    """A rollout that is paused does not flicker, and wakes when the answer is due at the latest."""
    world = rolling()
    world.answers = {"errors": Fail(text="9 > 1")}
    world.settle()
    until = world.now.elapsed + 7 * NANO
    again(world, 1)
    world.answers = {"errors": Awaited(until=until)}
    world.rollout()
    assert said(world)[:2] == ("Paused", "InspectionFailed")
    assert decide(world.snapshot(), Policy()).wake_at == until


def test_an_inconclusive_answer_pauses_and_is_asked_again_after_a_minute() -> None:
    """Exactly then; it goes on by itself when the source is back."""
    world = rolling()
    world.answers = {"errors": Inconclusive(text="no data")}
    while state(world) is None:
        assert world.rollout() or world.risk() or world.agents()
    word = 'spec.rollout.inspectAgain: {revision: "2", batch: 1, count: 1}'
    text = f"errors cannot tell: no data; is asked again after 1m, or at once with {word}"
    assert said(world) == ("Paused", "HookInconclusive", text)
    since = results(world)[0].since
    decision = decide(world.snapshot(), Policy())
    assert decision.wake_at == world.now.elapsed + 60 * NANO
    world.answers = {}
    world.now = world.now.plus(ASK_AGAIN - timedelta(microseconds=1))
    before = decide(world.snapshot(), Policy())
    world.now = world.now.plus(timedelta(microseconds=1))
    after = decide(world.snapshot(), Policy())
    assert (before.status, before.status != after.status) == (decision.status, True)
    assert "is being asked again, or at once" in after.notes[0].text
    assert count_of(world) == 2
    world.answers = {"errors": Inconclusive(text="no data")}
    world.rollout()
    world.rollout()
    assert (count_of(world), results(world)[0].since) == (2, since), "it says so since the first time"
    world.now = world.now.plus(ASK_AGAIN)
    world.answers = {"errors": Inconclusive(text="half the data")}
    while results(world)[0].text != "half the data":
        assert world.rollout()
    assert results(world)[0].since == world.now.wall, "what it says now it says since now"
    assert count_of(world) == 3
    again(world, 1)
    world.answers = {"errors": Pass()}
    world.settle()
    assert said(world)[1] == "Complete"


def test_an_inconclusive_answer_is_asked_again_at_once_after_a_restart() -> None:
    """Nobody knows when it was asked."""
    world = rolling()
    world.answers = {"errors": Inconclusive(text="no data")}
    while state(world) is None:
        assert world.rollout() or world.risk() or world.agents()
    world.sightings.clear()
    world.answers = {"errors": Pass()}
    world.settle()
    assert said(world)[1] == "Complete"


def test_a_failure_is_told_before_what_cannot_be_told() -> None:
    """And every one of each kind."""
    world = rolling(SMOKE, ERRORS, attrs.evolve(SMOKE, name="third"))
    world.answers = {
        "smoke": Inconclusive(text="no data"), "errors": Fail(text="x" * 5000), "third": Fail(text="503"),
    }  # fmt: skip
    world.rollout()
    while len(results(world) if world.owner.status.batch else ()) < 3:
        assert world.rollout() or world.risk() or world.agents()
    assert said(world)[2].startswith(f"errors failed: {'x' * 200}; third failed: 503; to ask again")
    assert len(results(world)[1].text) == 1024


def test_what_is_asked_decides_whose_answer_it_is() -> None:
    """A corrected query is another question; one that is taken away is asked no more."""
    world = rolling(ERRORS, SMOKE)
    world.answers = {"errors": Fail(text="9 > 1"), "smoke": Pass()}
    world.settle()
    mended = attrs.evolve(ERRORS, parameters={"query": "up", "max": 10})
    assert content(mended) != content(ERRORS)
    world.ask(inspection=m.Inspection(hooks=(mended, SMOKE)))
    world.answers = {}
    world.rollout()
    assert said(world)[1] == "Inspecting"
    assert [one.name for one in results(world)] == ["smoke"]
    assert (count_of(world), count_of(world, "smoke")) == (2, 1)
    world.ask(inspection=m.Inspection(hooks=(SMOKE,)))
    world.answers = {"smoke": Pass()}
    world.settle()
    assert said(world)[1] == "Complete"
    assert count_of(world, "smoke") == 2, "once a batch"


def test_questions_that_change_places_are_asked_anew() -> None:
    """What another hook was answered to the same question is no answer of this one."""
    one, other = attrs.evolve(SMOKE, parameters={"path": "/a"}), attrs.evolve(ERRORS, inspector="http")
    world = rolling(one, other, observation=timedelta(minutes=5))
    world.answers = {one.name: Pass(), other.name: Pass()}
    while not results(world) if world.owner.status.batch else True:
        assert world.rollout() or world.risk() or world.agents()
    swapped = (attrs.evolve(one, name=other.name), attrs.evolve(other, name=one.name))
    world.ask(inspection=m.Inspection(hooks=swapped))
    world.answers = {}
    world.rollout()
    assert (said(world)[1], results(world)) == ("Inspecting", ())


def test_an_answer_to_what_was_not_asked_changes_nothing() -> None:
    """Neither of a hook whose answer stands, nor when it is asked again: then the question is another."""
    world = rolling(observation=timedelta(minutes=5))
    world.answers = {"errors": Pass(text="fine")}
    while state(world) is None:
        assert world.rollout() or world.risk() or world.agents()
    batch = world.owner.status.batch
    assert batch is not None
    found = find_answers(world.owner, batch, 2, {"errors": Fail(text="9 > 1")}, world.now, world.sightings)
    assert (found.results, found.failed) == (batch.inspections, "")


def test_until_what_is_asked_once_more_has_answered_no_batch_follows() -> None:
    """At the end of the observation; the first answer does not stand for the second."""
    world = rolling(observation=timedelta(minutes=5))
    world.answers = {"errors": Pass()}
    while state(world) is None:
        assert world.rollout() or world.risk() or world.agents()
    world.answers = {}
    world.now = world.now.plus(timedelta(minutes=5))
    world.settle()
    assert (said(world)[1], len(world.touched)) == ("Inspecting", 2)


def test_whoever_is_asked_again_is_waited_for_and_not_decided_about_at_once() -> None:
    """The minute is over; the next wake is the end of the question's time, not the end of that minute."""
    world = rolling()
    world.answers = {"errors": Inconclusive(text="no data")}
    while state(world) is None:
        assert world.rollout() or world.risk() or world.agents()
    world.now = world.now.plus(ASK_AGAIN + timedelta(seconds=1))
    until = world.now.elapsed + 7 * NANO
    world.answers = {"errors": Awaited(until=until)}
    assert decide(world.snapshot(), Policy()).wake_at == until


def test_a_failure_within_the_observation_does_not_wake_at_its_end() -> None:
    """Nothing comes of the observation's end then: a person is asked."""
    world = rolling(observation=timedelta(minutes=5))
    world.answers = {"errors": Fail(text="9 > 1")}
    decision = world.settle()
    assert (said(world)[1], decision.wake_at) == ("InspectionFailed", None)


def test_an_answer_is_stamped_in_whole_seconds() -> None:
    """As every time of ours in a status."""
    world = rolling()
    world.now = world.now.plus(timedelta(milliseconds=300))
    world.answers = {"errors": Fail(text="9 > 1")}
    world.settle()
    assert results(world)[0].since.microsecond == 0


def test_a_longer_timeout_is_no_other_question() -> None:
    """What has passed need not be asked again for it."""
    slow = attrs.evolve(ERRORS, timeout=timedelta(minutes=9))
    assert content(slow) == content(ERRORS)
    assert len({content(ERRORS), content(SMOKE), content(attrs.evolve(ERRORS, inspector="http"))}) == 3


def test_what_a_roll_back_says_is_bounded() -> None:
    """As the schema bounds it: one character more would be refused by the server."""
    owner = rolling().owner
    word = rolled_back(owner, owner.status, "x" * 5000).status.rolled_back
    assert word is not None
    assert len(word.text) == 2048


# Hooks that cannot be asked.

MISSING = Problem(
    where="inspector http", what="PluginMissing: no plugin brings the inspection 'http'", fix="known: none"
)
WRONG = Problem(where="inspector http", what="ParametersInvalid: parameters.url: is missing")


@pytest.mark.parametrize(
    ("problem", "reason", "text"),
    [
        (MISSING, "PluginMissing", "inspection smoke: inspector http: no plugin brings the inspection 'http'; known: none"),
        (WRONG, "ParametersInvalid", "inspection smoke: inspector http: parameters.url: is missing"),
    ],
)  # fmt: skip
def test_a_hook_that_cannot_be_asked_stops_the_rollout_before_it_begins(problem: Problem, reason: str, text: str) -> None:  # fmt: skip
    """Nobody finds out after the first batch; when it can be asked the rollout begins."""
    world = rolling(SMOKE)
    world.answers = {"smoke": problem}
    decision = world.settle()
    assert said(world) == ("Paused", reason, text)
    assert [(note.code, note.text) for note in decision.notes] == [(reason, text)]
    assert world.touched == []
    world.answers = {"smoke": Pass()}
    world.settle()
    assert said(world)[1] == "Complete"


@pytest.mark.parametrize(("problem", "reason"), [(MISSING, "PluginMissing"), (WRONG, "ParametersInvalid")])
def test_a_hook_that_cannot_be_asked_any_more_stops_the_next_batch(problem: Problem, reason: str) -> None:
    """Its plugin goes in the middle, or comes back and takes other parameters: the open batch is not passed."""
    world = rolling(SMOKE)
    world.settle()
    world.answers = {"smoke": problem}
    world.settle()
    assert said(world)[:2] == ("Paused", reason)
    assert len(world.touched) == 2


@pytest.mark.parametrize("problem", [MISSING, WRONG])
def test_a_hook_that_cannot_be_asked_holds_up_nothing_that_is_complete(problem: Problem) -> None:
    """It only keeps a batch from opening, and none is to open."""
    world = rolling(SMOKE)
    world.answers = {"smoke": Pass()}
    world.settle()
    world.answers = {"smoke": problem}
    world.settle()
    assert said(world)[0] == "Complete"


def test_nothing_is_asked_about_a_set_that_goes_or_is_not_understood() -> None:
    """Nor while nobody has said which revision it is about."""
    world = rolling()
    while not world.asked:
        assert world.rollout() or world.risk() or world.agents()
        world.snapshot()
    owner = world.owner
    assert len(due(owner, world.now, world.sightings)) == 1
    goes = attrs.evolve(owner.metadata, deletion_timestamp=world.now.wall)
    newer = attrs.evolve(owner.metadata, unknown=("spec.rollout.later",))
    for other in (
        attrs.evolve(owner, metadata=goes),
        attrs.evolve(owner, metadata=newer),
        attrs.evolve(owner, status=attrs.evolve(owner.status, update=None)),
    ):
        assert due(other, world.now, world.sightings) == ()


def test_what_ends_by_itself_is_progress_and_what_waits_for_a_person_is_none() -> None:
    """For `kubectl wait` and alerts: Progressing is False only when somebody has to do something."""
    world = rolling(observation=timedelta(minutes=5), approval=m.Approval.MANUAL)
    while not world.asked:
        assert world.rollout() or world.risk() or world.agents()
        world.snapshot()
    world.rollout()
    states = {said(world)[1]: progress(world)}
    world.answers = {"errors": Pass()}
    world.rollout()
    states |= {said(world)[1]: progress(world)}
    world.settle()
    states |= {said(world)[1]: progress(world)}
    assert states == {
        "Inspecting": m.Switch.TRUE, "Observing": m.Switch.TRUE, "AwaitingApproval": m.Switch.FALSE,
    }  # fmt: skip


def test_a_set_that_is_complete_stays_so_without_the_plugin() -> None:
    """There is nothing to inspect."""
    world = rolling(SMOKE)
    world.answers = {"smoke": Pass()}
    world.settle()
    world.answers = {"smoke": MISSING}
    world.settle()
    assert said(world)[:2] == ("Complete", "Complete")


def test_a_way_back_asks_nobody_and_needs_no_plugin() -> None:
    """It waits for no inspection."""
    world = rolling(SMOKE)
    world.answers = {"smoke": Fail(text="503")}
    world.settle()
    asked = len(world.asked)
    world.answers = {"smoke": MISSING}
    world.ask("kubelet-1")
    world.settle()
    assert said(world)[:2] == ("Complete", "Complete")
    assert len(world.asked) == asked
    assert {one.entry.component for one in world.seats.values() if one.entry} == {"kubelet-1"}


# Rolling back.


def test_a_failure_rolls_back_where_the_set_says_so() -> None:
    """The last complete component comes back everywhere and stays, whoever decides after; the set says why."""
    world = rolling(on_failure=m.OnFailure.ROLL_BACK)
    world.answers = {"errors": Fail(text="9 > 1")}
    world.settle()
    assert said(world) == ("Complete", "Complete", "4 of 4 updated")
    text = "kubelet-2 is not rolled out: errors failed: 9 > 1; to try kubelet-2 again set spec.component to another, then back"
    assert said(world, "RolledBack") == ("Complete", "InspectionFailed", text)
    assert world.owner.spec.component == "kubelet-2", "the spec is people's"
    assert {one.entry.component for one in world.seats.values() if one.entry} == {"kubelet-1"}
    assert (world.owner.status.update, count_of(world)) == (m.Revision(number=3, component="kubelet-1"), 1)
    world.sightings.clear()
    assert not world.rollout()


def test_after_a_roll_back_another_component_is_rolled_out_and_then_the_same_again() -> None:
    """The word is about one component while the spec names it."""
    world = rolling(on_failure=m.OnFailure.ROLL_BACK)
    world.answers = {"errors": Fail(text="9 > 1")}
    world.settle()
    world.answers = {"errors": Pass()}
    world.ask("kubelet-3")
    world.settle()
    assert world.owner.status.rolled_back is None
    assert find(world.owner.status.conditions, "RolledBack") is None
    assert {one.entry.component for one in world.seats.values() if one.entry} == {"kubelet-3"}
    world.ask("kubelet-2")
    world.settle()
    assert {one.entry.component for one in world.seats.values() if one.entry} == {"kubelet-2"}


def test_the_spec_that_follows_a_roll_back_forgets_it() -> None:
    """Set to what runs, nothing is to be done; set back, it is tried again."""
    world = rolling(on_failure=m.OnFailure.ROLL_BACK)
    world.answers = {"errors": Fail(text="9 > 1")}
    world.settle()
    world.ask("kubelet-1")
    world.settle()
    assert (world.owner.status.rolled_back, world.owner.status.update) == (None, m.Revision(number=3, component="kubelet-1"))  # fmt: skip
    world.answers = {"errors": Pass()}
    world.ask("kubelet-2")
    world.settle()
    assert {one.entry.component for one in world.seats.values() if one.entry} == {"kubelet-2"}


def test_with_nothing_to_go_back_to_a_failure_pauses() -> None:
    """The first revision of a set."""
    world = rolling(on_failure=m.OnFailure.ROLL_BACK)
    world.owner = attrs.evolve(world.owner, status=attrs.evolve(world.owner.status, current=None))
    world.answers = {"errors": Fail(text="9 > 1")}
    world.settle()
    assert said(world)[:2] == ("Paused", "InspectionFailed")


@pytest.mark.parametrize("on_failure", m.OnFailure)
def test_a_worse_control_group_is_a_failure_too(on_failure: m.OnFailure) -> None:
    """It pauses, or it rolls back with its numbers."""
    group = m.ControlGroup(conditions=("Hung",), confidence=50)
    world = rolling()
    world.ask(inspection=m.Inspection(control_group=group, on_failure=on_failure))
    while len(world.touched) < 2:
        world.rollout()
        world.risk()
    for name in world.touched:
        world.evolve(name, faults=frozenset({"Hung"}))
    world.settle()
    back = world.owner.status.rolled_back
    if on_failure is m.OnFailure.PAUSE:
        assert (said(world)[1], back) == ("ControlGroupWorse", None)
    else:
        assert back is not None
        assert (
            back.text == "Hung: 2 of 2 updated machines, 0 of 2 not yet updated; more than by chance (50 %)"
        )


# What holds of every run.

ANSWERS = st.sampled_from([Pass(text="well"), Fail(text="ill"), Inconclusive(text="dark"), None, MISSING])


@given(st.data(), st.sampled_from([0, 90]), st.booleans())
def test_no_batch_follows_one_that_a_hook_has_not_passed(data: st.DataObject, observation: int, back: bool) -> None:  # fmt: skip
    """Whatever is answered and forgotten: a batch is closed for good only by a pass of every hook, asked at its end."""
    world = rolling(
        ERRORS, SMOKE, observation=timedelta(seconds=observation),
        on_failure=m.OnFailure.ROLL_BACK if back else m.OnFailure.PAUSE,
    )  # fmt: skip
    for turn in range(40):
        drawn: dict[str, Inspected | None] = {name: data.draw(ANSWERS) for name in ("errors", "smoke")}
        world.answers = {name: one for name, one in drawn.items() if one is not None}
        if data.draw(st.integers(0, 9)) == 0:
            world.sightings.clear()
        if data.draw(st.integers(0, 9)) == 0:
            again(world, turn + 1)
        before = world.owner.status
        final = {ask.hook.name for ask in due(world.owner, world.now, world.sightings) if ask.observed}
        world.rollout()
        after = world.owner.status
        world.risk()
        world.agents()
        if len(after.batches) > len(before.batches) and not before.rolls_back:
            stood = {one.name: one for one in before.batch.inspections} if before.batch else {}
            for name in ("errors", "smoke"):
                one = stood.get(name)
                now_passed = isinstance(world.answers.get(name), Pass) and name in final
                assert now_passed or (
                    one is not None and one.state is m.InspectionState.PASSED and one.observed
                )
        world.now = world.now.plus(timedelta(seconds=data.draw(st.sampled_from([1, 30, 61]))))
