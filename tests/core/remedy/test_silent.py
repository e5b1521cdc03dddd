"""An agent that is asked and says nothing: the provider acts in its place, with a permit of its own, and never twice."""

from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.errors import Problem
from kubenode.core.model.world import NodeInfo
from kubenode.core.remedy.case import STAND_IN
from kubenode.core.remedy.episode import advance
from kubenode.core.remedy.ladder import MAX_ATTEMPTS
from kubenode.core.step import RestartInstance
from tests.core.remedy.test_moves import ACTING, FAILED, STOP, WAITING, attempt, case, job
from tests.core.remedy.world import World, machine, node, remedier

SAID = "the agent did not answer within 40 s"
UNSUPPORTED = Problem(where="a silent agent", what="Unsupported: provider cloud cannot restart an instance")
MADE = m.InstanceStatus(step=m.InstanceStep.MADE, provider="cloud", attempt=1, token="t-1", id="i-1")


def silent(**changes: Any) -> World:
    """A host whose agent is frozen and whose provider can restart it, which helps."""
    one = machine()
    one = attrs.evolve(one, status=attrs.evolve(one.status, instance=MADE))
    hung = node(m.Switch.TRUE)
    hung = attrs.evolve(hung, status=attrs.evolve(hung.status, node_info=NodeInfo(boot_id="boot-1")))
    given = {
        "machine": one, "node": hung, "answers": {"restart-unit": None, "reboot": None},
        "stand_in": RestartInstance(), "heals": frozenset({"reboot-instance"}), **changes,
    }  # fmt: skip
    return World(**given)


def test_not_acknowledged_within_the_time_limit_the_provider_acts() -> None:
    """On the same rung, in an attempt that asks for a permit of its own; the operation is taken back before."""
    world = silent()
    world.run(30 + 39)
    assert (world.attempts, world.asked) == ([("restart-unit", "Acting")], [])
    world.run(1)
    assert world.machine.spec.operation is None
    assert [one.op_id for one in world.asked] == [world.job.status.attempts[1].op_id]
    assert world.attempts == [("restart-unit", "Failed"), (STAND_IN, "Verifying")]
    first, second = world.job.status.attempts
    assert (first.verdict, first.op_id != second.op_id, second.rung) == (SAID, True, 0)
    assert second.boot_id == "boot-1"
    world.run(10)
    assert (world.job.status.phase, world.attempts[-1]) == ("Succeeded", (STAND_IN, "Succeeded"))
    assert (len(world.written), world.done, len(world.asked)) == (1, [], 1)


@pytest.mark.parametrize("stand_in", [None, UNSUPPORTED])
def test_where_no_provider_can_the_next_rung_follows(stand_in: Problem | None) -> None:
    """As for a host that was there before."""
    world = silent(stand_in=stand_in)
    world.run(30 + 40)
    assert world.attempts == [("restart-unit", "Failed"), ("reboot", "Acting")]
    assert world.asked == []


def test_what_the_provider_did_in_vain_is_followed_by_the_next_rung() -> None:
    """Which the agent can do now: it is back."""
    world = silent(heals=frozenset({"reboot"}))
    world.answers = {"restart-unit": None}
    world.run(30 + 40 + 60)
    assert world.attempts == [("restart-unit", "Failed"), (STAND_IN, "Failed"), ("reboot", "Verifying")]
    world.run(10)
    assert world.job.status.phase == "Succeeded"
    assert len(world.asked) == 1


def test_an_agent_that_answers_is_not_silent() -> None:
    """Whether it is slow, or says that it failed."""
    for state in (m.AnswerState.ACKNOWLEDGED, m.AnswerState.FAILED):
        world = silent(answers={"restart-unit": state, "reboot": None})
        world.run(30 + 40)
        assert world.attempts == [("restart-unit", "Failed"), ("reboot", "Acting")]
        assert world.asked == []


def test_the_last_rung_is_handed_to_the_provider_too() -> None:
    """Before a human: the end of the ladder is not the end of what can be tried."""
    world = silent(heals=frozenset())
    world.run(30 + 40 + 60 + 300 + 60)
    assert world.attempts == [
        ("restart-unit", "Failed"), (STAND_IN, "Failed"), ("reboot", "Failed"), (STAND_IN, "Failed"),
    ]  # fmt: skip
    assert world.job.status.phase == "HandedOver"
    assert len(world.asked) == 2


@pytest.mark.parametrize("lives_for", [0, 1])
def test_wherever_the_controller_dies_the_host_is_restarted_once(lives_for: int) -> None:
    """Whether the process is gone before an act or right after it: another boot of the Node tells what was done."""
    decisions = silent()
    decisions.run(300)
    for number in range(decisions.decisions):
        world = silent(crash=lambda at, number=number: lives_for if at == number else None)  # type: ignore[misc]
        world.run(600)
        assert world.job.status.phase == "Succeeded", number
        assert len(world.asked) == 1, number
        assert world.boots == 2, number


def handed(*attempts: m.Attempt, **changes: Any) -> Any:
    """The episode after these attempts, with a provider that can restart the instance."""
    one = machine()
    one = attrs.evolve(one, status=attrs.evolve(one.status, instance=MADE))
    return case(job(*attempts), **{"machine": one, "stand_in": RestartInstance(), **changes})


DUMB = attempt(FAILED, verdict=SAID)


@pytest.mark.parametrize(
    ("changes", "action"),
    [
        ({}, STAND_IN),
        ({"stand_in": None}, "reboot"),
        ({"stop": STOP}, ""),
        ({"clear": True}, ""),
        ({"remedier": None}, ""),
        ({"remedier": remedier(ladder=remedier().spec.ladder[:1])}, STAND_IN),
    ],
)
def test_it_begins_as_any_rung_does(changes: dict[str, Any], action: str) -> None:
    """Not while something stops it, and not when it cleared meanwhile."""
    answer = advance(handed(DUMB, **changes))
    assert answer.status is not None
    begun = [one for one in answer.status.attempts if one.state is WAITING]
    assert [one.action for one in begun] == ([action] if action else [])


def test_what_was_withdrawn_is_tried_again_and_what_failed_is_not() -> None:
    """A silent agent stays silent while nothing was done about it."""
    stands_in = attrs.evolve(attempt(FAILED, 2, verdict="withdrawn: cluster: frozen"), action=STAND_IN)
    again = advance(handed(DUMB, stands_in)).status
    assert again is not None
    assert (again.attempts[-1].action, again.attempts[-1].rung) == (STAND_IN, 0)
    tried = attrs.evolve(stands_in, verdict="not clear and Ready within 60 s")
    after = advance(handed(DUMB, tried)).status
    assert after is not None
    assert (after.attempts[-1].action, after.attempts[-1].rung) == ("reboot", 1)


def test_an_attempt_of_that_name_without_a_silent_agent_is_not_on_the_ladder() -> None:
    """Nor on another rung than the one that was silent, nor one before it."""
    for attempts in (
        (attrs.evolve(attempt(ACTING), action=STAND_IN),),
        (DUMB, attrs.evolve(attempt(ACTING, 2, rung=1), action=STAND_IN)),
        (attempt(FAILED, verdict="the agent did not finish within 40 s"), attrs.evolve(attempt(ACTING, 2), action=STAND_IN)),
    ):  # fmt: skip
        held = frozenset(one.op_id for one in attempts)
        answer = advance(handed(*attempts, holds=held))
        assert answer.status is not None
        assert answer.status.attempts[-1].verdict == "withdrawn: the ladder was edited"
        assert answer.effects == ()


def test_a_provider_that_is_gone_meanwhile_is_not_asked() -> None:
    """It could when the attempt began."""
    stands_in = attrs.evolve(attempt(ACTING, 2), action=STAND_IN)
    given = {"holds": frozenset({"op-2"}), "remedier": remedier()}
    for stand_in, text in (
        (None, "withdrawn: Unsupported: reboot-instance: nobody can restart the instance"),
        (UNSUPPORTED, "withdrawn: Unsupported: a silent agent: provider cloud cannot restart an instance"),
    ):
        answer = advance(handed(DUMB, stands_in, stand_in=stand_in, **given))
        assert answer.status is not None
        assert answer.status.attempts[-1].verdict == text


def test_so_many_attempts_are_recorded_and_no_more() -> None:
    """Then it is a human's turn, silent or not."""
    before = [attempt(FAILED, number, verdict="withdrawn: x") for number in range(1, MAX_ATTEMPTS)]
    full = (*before, attrs.evolve(DUMB, number=MAX_ATTEMPTS))
    answer = advance(handed(*full))
    assert answer.status is not None
    assert answer.status.phase == "HandedOver"
    assert advance(handed(*full[1:])).notes[0].code == "Begun"


def test_only_what_was_tried_is_silent() -> None:
    """A verdict of another state says nothing."""
    assert DUMB.is_silent
    assert not attempt(ACTING, verdict=SAID).is_silent
    assert not attempt(FAILED, verdict="the agent did not finish within 40 s").is_silent


def test_only_who_was_silent_before_is_stood_in_for() -> None:
    """A ladder may be edited while an episode is open: a restart by the provider was an act of its own if nobody had been silent."""
    own = attrs.evolve(attempt(FAILED, verdict="it did not help"), action=STAND_IN)
    later = attempt(FAILED, number=2, verdict=SAID)
    assert handed(own, later).rung(own) is None
    assert handed(attrs.evolve(own, number=3), later).rung(attrs.evolve(own, number=3)) is not None
