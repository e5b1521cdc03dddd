"""A decision on one machine, case by case: what opens an episode, what stops it, and whose it is."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Create, SetOperation
from kubenode.core.errors import Problem
from kubenode.core.model.condition import Condition
from kubenode.core.policy import Policy
from kubenode.core.remedy.decide import RemedySnapshot, decide
from kubenode.core.remedy.match import sighting_key
from tests.core.remedy.test_moves import (
    ACTING,
    ACTS,
    AT,
    FAILED,
    HELD,
    NOW,
    ONE,
    PLANNED,
    PROVES,
    WAITING,
    attempt,
    job,
    operation,
)
from tests.core.remedy.world import NORMAL, SECOND, START, STEPS, closed_job, machine, node, remedier

T, F = m.Switch.TRUE, m.Switch.FALSE


def snapshot(*jobs: m.RemedyOperationJob, **changes: Any) -> RemedySnapshot:
    """Give a machine whose Node has hung for long."""
    fields: dict[str, Any] = {
        "machine": machine(), "node": node(T), "jobs": jobs, "zones": NORMAL, "now": NOW,
        "steps": {("hung", index): steps for index, steps in PLANNED.items()},
        "sightings": {sighting_key(remedier(name), node(T)): 0 for name in ("hung", "other")}, **changes,
    }  # fmt: skip
    return RemedySnapshot(**fields)


HUNG_ONLY = Policy(remediers=(remedier(),))


def codes(seen: RemedySnapshot, policy: Policy = HUNG_ONLY) -> list[str]:
    """Give the codes of what is noted."""
    return [note.code for note in decide(seen, policy).notes]


def newer(one: Any) -> Any:
    """Give an object that a newer version wrote."""
    return attrs.evolve(one, metadata=attrs.evolve(one.metadata, unknown=("spec.canary",)))


def test_a_node_without_a_uid_is_nobodys() -> None:
    """Two empty names of an incarnation are no proof that it is the same."""
    nameless = attrs.evolve(machine().status, node_ref=m.NodeRef(name="node-7", uid=""))
    there = attrs.evolve(node(T), metadata=attrs.evolve(node(T).metadata, uid=""))
    assert snapshot(machine=attrs.evolve(machine(), status=nameless), node=there).claimed is None
    assert snapshot().claimed == node(T)


def test_a_newer_versions_machine_is_left_alone_with_and_without_an_episode() -> None:
    """The status that stands stays; only an episode that is itself a newer version's says so."""
    assert decide(snapshot(machine=newer(machine())), HUNG_ONLY).status is None
    assert decide(snapshot(ONE, machine=newer(machine())), HUNG_ONLY).status == ONE.status
    for strange in (newer(ONE), job(phase="Paused")):
        status = decide(snapshot(strange), HUNG_ONLY).status
        assert status is not None
        assert [one.reason for one in status.conditions] == ["NewerVersion"]
    for seen in (
        snapshot(machine=newer(machine())),
        snapshot(ONE, machine=newer(machine())),
        snapshot(newer(ONE)),
    ):
        assert codes(seen) == ["NewerVersion"]


def test_what_is_over_or_another_remediers_does_not_bind_an_episode() -> None:
    """A closed episode of a newer version, and a remedier of one that is not this episode's."""
    assert "NewerVersion" not in codes(snapshot(newer(closed_job(ago=timedelta(hours=9)))))
    both = Policy(remediers=(remedier(), newer(remedier("other"))))
    assert codes(snapshot(ONE), both) == ["NoPermit"]
    assert codes(snapshot(ONE), Policy(remediers=(newer(remedier()), remedier("other")))) == ["NewerVersion"]


@pytest.mark.parametrize(
    ("reason", "contested"),
    [("NodeReady", False), ("NodeNotReady", False), ("Conflict", True), ("NodeChanged", True)],
)
def test_only_a_contest_of_the_node_stops_all(reason: str, contested: bool) -> None:
    """Whatever else the machine controller says of it."""
    claim = Condition(type="NodeReady", status=F, reason=reason, message="x", last_transition_time=START)
    one = attrs.evolve(machine(), status=attrs.evolve(machine().status, conditions=(claim,)))
    decision = decide(snapshot(machine=one), HUNG_ONLY)
    assert ([note.code for note in decision.notes] == [reason]) is contested
    assert bool(decision.effects) is not contested


def test_what_is_left_over_is_cleared_after_the_episode_is_opened() -> None:
    """One effect a decision: the new episode first."""
    left = snapshot(machine=machine(operation=operation("nobodys")))
    (effect,) = decide(left, HUNG_ONLY).effects
    assert isinstance(effect, Create)
    (effect,) = decide(attrs.evolve(left, node=node(F)), HUNG_ONLY).effects
    assert isinstance(effect, SetOperation)
    assert (effect.expect, effect.operation) == (operation("nobodys"), None)


HANDED = closed_job(phase=m.JobPhase.HANDED_OVER, rung=1)
CLEARED = "cleared:uid-old0"


@pytest.mark.parametrize(
    ("last", "hung", "dwell", "seen", "remembered", "opens"),
    [
        (HANDED, T, 10, None, None, False), (HANDED, T, 10, 10, 10, True), (HANDED, T, 10, 9.999999, None, False),
        (HANDED, F, 10, 3, 3, False), (HANDED, F, 10, None, 0, False), (HANDED, T, 0, None, None, False), (HANDED, T, 0, 0, 0, True),
        (closed_job(), F, 10, 3, None, False), (closed_job(), T, 10, 30, None, True),
    ],
)  # fmt: skip
def test_after_a_hand_over_it_has_to_be_clear_for_the_dwell(
    last: m.RemedyOperationJob,
    hung: m.Switch,
    dwell: float,
    seen: float | None,
    remembered: float | None,
    opens: bool,
) -> None:
    """As this process has seen it; then the next time is a new episode. After any other end nothing is asked."""
    policy = Policy(remediers=(remedier(verification=m.Verification(dwell=timedelta(seconds=dwell))),))
    sightings = {sighting_key(remedier(), node(T)): 0}
    if seen is not None:
        sightings[CLEARED] = AT - int(seen * SECOND)
    decision = decide(snapshot(last, node=node(hung), sightings=sightings), policy)
    assert decision.sightings.get(CLEARED) == (None if remembered is None else AT - int(remembered * SECOND))
    assert any(isinstance(effect, Create) for effect in decision.effects) is opens


@pytest.mark.parametrize(("length", "kept"), [(62, 62), (63, 63), (64, 63)])
def test_an_episode_is_labelled_by_its_machine(length: int, kept: int) -> None:
    """As far as a label goes."""
    one = attrs.evolve(machine(), metadata=attrs.evolve(machine().metadata, name="n" * length))
    (effect,) = decide(snapshot(machine=one), HUNG_ONLY).effects
    assert isinstance(effect, Create)
    assert effect.object.metadata.labels["kubenode.dev/machine"] == "n" * kept


def test_of_several_remediers_an_episode_is_its_owns() -> None:
    """Its ladder, its terms and what its plugin planned; what others see meanwhile is kept, but not what is not understood."""
    first = remedier("first", ladder=(m.Rung(action="reboot"),))
    strange = newer(remedier("strange"))
    steps = {
        ("hung", 0): STEPS["restart-unit"],
        ("other", 0): Problem(where="x", what="PluginFailed: y"),
        ("first", 0): STEPS["reboot"],
    }
    seen = snapshot(ACTS, holds=HELD, steps=steps, sightings={sighting_key(remedier("strange"), node(T)): 5})
    decision = decide(seen, Policy(remediers=(first, remedier(), remedier("other"), strange)))
    (effect,) = decision.effects
    assert isinstance(effect, SetOperation)
    assert effect.operation is not None
    assert (effect.operation.action, effect.operation.steps) == ("restart-unit", STEPS["restart-unit"])
    assert decision.wake_at == AT + 40 * SECOND
    watched = {key.partition(":")[0] for key in decision.sightings if key.endswith(":True")}
    assert watched == {"first", "hung", "other"}


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (ONE, "withdrawn: the machine is being deleted"), (ACTS, "the machine is being deleted"), (PROVES, "the machine is being deleted"),
        (job(attempt(FAILED), attempt(WAITING, 2)), "withdrawn: the machine is being deleted"),
        (job(attempt(WAITING), attempt(ACTING, 2), phase="Acting"), "the machine is being deleted"),
    ],
)  # fmt: skip
def test_an_attempt_that_had_begun_is_not_withdrawn_when_the_machine_goes(
    one: m.RemedyOperationJob, verdict: str
) -> None:
    """By its last attempt: what only waited says nothing against its rung."""
    going = attrs.evolve(machine(), metadata=attrs.evolve(machine().metadata, deletion_timestamp=START))
    status = decide(snapshot(one, machine=going), HUNG_ONLY).status
    assert status is not None
    assert (status.phase, status.attempts[-1].verdict) == ("Cancelled", verdict)
