"""A remedier that is a dry run: nothing is opened, nothing is disrupted, and what would be is said."""

from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core import model as m
from kubenode.core.deciding import decide as judge
from kubenode.core.decision import Create, Verdict
from kubenode.core.explain import explain
from kubenode.core.model.meta import FORCED
from kubenode.core.policy import Policy
from kubenode.core.remedy.decide import decide, rehearsed
from tests.core.remedy.world import NORMAL, OUTAGE, SECOND, START, World, closed_job, remedier

DRY = remedier(dry_run=True)
HELD = m.RiskPolicy(
    metadata=m.ObjectMeta(name="p"),
    spec=m.RiskPolicySpec(freeze=(m.Freeze(scope=m.Scope.CLUSTER, reason="power"),)),
)


def live(policy: Policy) -> Policy:
    """The same rules, none of them a dry run."""
    acting = tuple(attrs.evolve(one, spec=attrs.evolve(one.spec, dry_run=False)) for one in policy.remediers)
    return attrs.evolve(policy, remediers=acting)


def test_nothing_is_opened_and_what_would_be_is_said() -> None:
    """Until it lasts, that it does not yet; then the very job and rung that a live one opens at the same moment."""
    world, twin = World(policy=Policy(remediers=(DRY,))), World()
    world.run(29)
    (note,) = world.decide().notes
    assert (note.code, note.frees_at) == ("NotYet", 30 * SECOND)
    assert [one.opens for one in rehearsed(world.snapshot(), world.policy)] == [False]
    world.run(1)
    twin.run(30)
    decision = world.decide()
    (note,) = decision.notes
    assert (decision.effects, note.code, note.scope) == ((), "DryRun", "remedier hung")
    assert (
        note.text
        == f"remedier hung is a dry run; it would open {twin.job.metadata.name} on rung 1: restart-unit"
    )
    (found,) = rehearsed(world.snapshot(), world.policy)
    assert (found.job, found.rung, found.action, found.opens) == (
        twin.job.metadata.name,
        0,
        "restart-unit",
        True,
    )
    world.run(3600)
    assert not world.jobs
    assert not world.written


def test_when_it_is_no_dry_run_any_more_it_starts_as_it_would_have() -> None:
    """On its first rung, as its first episode: nothing that was rehearsed counts as tried."""
    world = World(policy=Policy(remediers=(DRY,)))
    world.run(3600)
    world.policy = live(world.policy)
    world.settle()
    assert (world.job.spec.episode, world.job.spec.first_rung) == (0, 0)
    world.run(60)
    assert world.attempts == [("restart-unit", "Succeeded")]


def test_explain_says_that_it_would_act_if_it_were_live() -> None:
    """And that was decided anew."""
    world = World(policy=Policy(remediers=(DRY,)))
    world.run(30)
    found = explain(world.snapshot(), world.policy)
    assert found.verdict is Verdict.DEFER
    assert found.text.startswith("DEFER  remedier hung is a dry run; it would open ")
    assert found.counterfactual == "would act if remedier hung were no dry run"
    assert judge(world.snapshot(), live(world.policy)).verdict is Verdict.ACT


def test_a_dry_run_beside_a_live_remedier_is_in_nobodys_way() -> None:
    """The live one acts, though the dry one comes first by name; while its episode is open the other would open none."""
    dry = attrs.evolve(DRY, metadata=m.ObjectMeta(name="a-dry", uid="uid-dry"))
    world = World(policy=Policy(remediers=(dry, remedier())), granting=False)
    world.run(30)
    assert world.job.spec.remedier == "hung"
    (found,) = rehearsed(world.snapshot(), world.policy)
    assert (found.remedier, found.opens) == ("a-dry", False)


@pytest.mark.parametrize("stopped", ["breaker", "freeze", "deletion", "well", "unclaimed"])
def test_what_would_stop_a_live_one_stops_it(stopped: str) -> None:
    """A breaker, people, a machine that is to go, a Node that is well or another one: then it would open nothing."""
    world = World(policy=Policy(remediers=(DRY,), risk=(HELD,) if stopped == "freeze" else ()))
    world.run(30)
    if stopped == "breaker":
        world.zones = OUTAGE
    elif stopped == "deletion":
        gone = attrs.evolve(world.machine.metadata, deletion_timestamp=world.now.wall)
        world.machine = attrs.evolve(world.machine, metadata=gone)
    elif stopped == "well":
        world.heal()
    elif stopped == "unclaimed":
        world.node = None
    assert not any(one.opens for one in rehearsed(world.snapshot(), world.policy))
    assert not any(note.code == "DryRun" for note in world.decide().notes)


def test_a_machine_that_goes_is_not_rehearsed() -> None:
    """Nothing would be opened for it, and nothing stands."""
    world = World(policy=Policy(remediers=(DRY,)))
    world.run(30)
    seen = world.snapshot()
    assert rehearsed(seen, world.policy)
    leaving = attrs.evolve(
        seen.machine, metadata=attrs.evolve(seen.machine.metadata, deletion_timestamp=START)
    )
    assert rehearsed(attrs.evolve(seen, machine=leaving), world.policy) == ()


def test_a_newer_versions_dry_run_is_not_rehearsed() -> None:
    """It is not understood."""
    strange = attrs.evolve(DRY, metadata=attrs.evolve(DRY.metadata, unknown=("spec.x",)))
    world = World(policy=Policy(remediers=(strange,)))
    world.run(60)
    assert rehearsed(world.snapshot(), world.policy) == ()


def test_after_a_human_got_it_a_dry_run_would_not_begin_either() -> None:
    """Its last episode, of when it was live, was handed over."""
    over = closed_job(phase=m.JobPhase.HANDED_OVER)
    world = World(policy=Policy(remediers=(DRY,)), jobs={over.metadata.name: over})
    world.run(60)
    assert [note.code for note in world.decide().notes] == ["HandedOver"]
    assert [one.opens for one in rehearsed(world.snapshot(), world.policy)] == [False]


# --- a dry run that begins while an episode is open -----------------------------------------------


def test_an_episode_that_waits_ends_untried() -> None:
    """It is cancelled, its attempt withdrawn; live again, the next begins on the same rung."""
    world = World(granting=False)
    world.run(30)
    world.policy = Policy(remediers=(DRY,))
    world.settle()
    assert (world.job.status.phase, world.job.status.attempts[-1].withdrawn) == ("Cancelled", True)
    assert not world.written
    world.policy = live(world.policy)
    world.settle()
    assert (world.job.spec.episode, world.job.spec.first_rung) == (1, 0)


def test_a_permit_that_came_too_late_is_given_back() -> None:
    """Between the permit and the operation it became a dry run."""
    world = World(granting=False)
    world.run(30)
    world.holds.add(world.job.status.attempts[-1].op_id)
    world.policy = Policy(remediers=(DRY,))
    world.settle()
    assert (world.job.status.phase, world.job.status.attempts[-1].withdrawn) == ("Cancelled", True)
    assert not world.written


@pytest.mark.parametrize(("heals", "phase"), [(True, "Succeeded"), (False, "Cancelled")])
def test_what_is_under_way_ends_by_its_own_terms_and_no_rung_follows(*, heals: bool, phase: str) -> None:
    """An act cannot be unmade; it is verified as long as its remedier says, and if it did not help that is all."""
    world = World(answers={"restart-unit": None})
    world.run(30)
    assert [one.action for one in world.written] == ["restart-unit"]
    world.policy = Policy(remediers=(DRY,))
    world.heals = frozenset({"restart-unit"} if heals else ())
    world.answers = {}
    world.run(9)
    assert world.job.status.phase == "Verifying"
    world.run(51)
    assert world.job.status.phase == phase
    assert [one.action for one in world.written] == ["restart-unit"]


def test_its_time_limit_stays_that_of_its_rung() -> None:
    """Forty seconds, as the ladder says, not the five minutes of a rung that is gone."""
    world = World(answers={"restart-unit": None})
    world.run(30)
    world.policy = Policy(remediers=(DRY,))
    world.run(39)
    assert world.job.status.phase == "Acting"
    world.run(1)
    assert (world.job.status.phase, world.job.status.attempts[-1].withdrawn) == ("Cancelled", False)


def test_what_a_person_forces_goes_on() -> None:
    """A dry run holds automation back, no human."""
    world = World(granting=False)
    world.run(30)
    job = world.job
    forced = attrs.evolve(job.metadata, annotations={FORCED: "ada: vendor is on the phone"})
    world.jobs[job.metadata.name] = attrs.evolve(job, metadata=forced)
    world.policy, world.granting = Policy(remediers=(DRY,)), True
    world.run(30)
    assert world.job.status.phase == "Succeeded"


# --- whatever happens -----------------------------------------------------------------------------

MOVES = st.lists(
    st.tuples(
        st.sampled_from(["hung", "well", "unready", "outage", "calm", "restart"]),
        st.integers(min_value=1, max_value=45),
    ),
    max_size=12,
)


@given(moves=MOVES, old=st.booleans(), frozen=st.booleans())
def test_it_disrupts_nothing_and_says_what_a_live_one_would_do_at_that_moment(
    moves: list[tuple[str, int]], *, old: bool, frozen: bool
) -> None:
    """No job, no operation; and `opens` exactly when the same rule, live, opens that very job now."""
    past = closed_job(ago=timedelta(minutes=5))
    world = World(
        policy=Policy(remediers=(DRY,), risk=(HELD,) if frozen else ()),
        jobs={past.metadata.name: past} if old else {},
    )
    known = dict(world.jobs)
    for move, seconds in moves:
        if move in ("hung", "well", "unready"):
            world.say(m.Switch(str(move == "hung")), m.Switch(str(move != "unready")))
        elif move == "restart":
            world.sightings = {}
        else:
            world.zones = OUTAGE if move == "outage" else NORMAL
        world.run(seconds)
        seen = world.snapshot()
        opened = [one.object for one in decide(seen, live(world.policy)).effects if isinstance(one, Create)]
        told = [(one.job, one.rung) for one in rehearsed(seen, world.policy) if one.opens]
        assert told == [
            (job.metadata.name, job.spec.first_rung)
            for job in opened
            if isinstance(job, m.RemedyOperationJob)
        ]
        assert world.jobs == known
        assert not world.written
