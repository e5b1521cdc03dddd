"""Freeze, hold, forced episodes, and the cap of attempts on one machine."""

from datetime import timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Create, SetOperation
from kubenode.core.model.meta import FORCED, HOLD_LABEL
from kubenode.core.policy import Policy
from kubenode.core.remedy.decide import decide
from kubenode.core.remedy.worn import worn_out
from tests.core.remedy.world import NORMAL, OUTAGE, SECOND, START, World, closed_job, node, remedier

WEEK = timedelta(days=7)


def frozen_by(scope: m.Scope, name: str = "", until: int | None = None) -> Policy:
    """The usual remedier, and a freeze until so many seconds from the start."""
    end = None if until is None else START + timedelta(seconds=until)
    spec = m.RiskPolicySpec(freeze=(m.Freeze(scope=scope, name=name, until=end, reason="power"),))
    return Policy(remediers=(remedier(),), risk=(m.RiskPolicy(metadata=m.ObjectMeta(name="p"), spec=spec),))


def capped(amount: int, window: timedelta = WEEK) -> Policy:
    """The usual remedier, and so many attempts a machine."""
    limit = m.Limit(scope=m.Scope.NODE, window=window, max=m.IntOrPercent(amount))
    spec = m.RiskPolicySpec(limits=(limit,))
    return Policy(remediers=(remedier(),), risk=(m.RiskPolicy(metadata=m.ObjectMeta(name="p"), spec=spec),))


def label(world: World, *, node_too: bool = False) -> None:
    """Put the hold on the Machine, or on its Node."""
    target = world.node if node_too else world.machine
    assert target is not None
    held = attrs.evolve(
        target.metadata, labels={**target.metadata.labels, HOLD_LABEL: "disk is being swapped"}
    )
    if isinstance(target, m.Node):
        world.node = attrs.evolve(target, metadata=held)
    else:
        world.machine = attrs.evolve(target, metadata=held)


def force(world: World) -> None:
    """Force the latest job."""
    job = world.job
    metadata = attrs.evolve(job.metadata, annotations={FORCED: "ada: vendor is on the phone"})
    world.jobs[job.metadata.name] = attrs.evolve(job, metadata=metadata)


def opens(world: World) -> bool:
    """Tell whether a decision would open a job now."""
    return any(isinstance(effect, Create) for effect in world.decide().effects)


# --- freeze --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        (m.Scope.ZONE, "b"),
        (m.Scope.NODE, "n7"),
        (m.Scope.REGION, ""),
        (m.Scope.CLUSTER, ""),
        (m.Scope.FLEET, ""),
    ],
)
def test_in_a_frozen_scope_no_job_opens(scope: m.Scope, name: str) -> None:
    """The answer is a deferral with its note, and nothing else changes however long it lasts."""
    world = World(policy=frozen_by(scope, name))
    world.run(4000)
    decision = world.decide()
    assert (world.jobs, decision.effects, decision.deferred, decision.wake_at) == ({}, (), True, None)
    assert [note.code for note in decision.notes] == ["Frozen"]


def test_a_freeze_of_a_set_concerns_the_machines_it_selects() -> None:
    """As the snapshot names them."""
    policy = frozen_by(m.Scope.SET, "kubelet")
    world = World(policy=policy)
    world.run(31)
    assert world.jobs
    other = World(policy=policy, elapsed=31 * SECOND, sightings={"hung:uid-node:KernelDeadlock:True": 0})
    decision = decide(attrs.evolve(other.snapshot(), sets=("kubelet",)), policy)
    assert (decision.effects, [note.code for note in decision.notes]) == ((), ["Frozen"])


def test_a_freeze_ends_to_the_microsecond_and_the_health_timers_went_on() -> None:
    """Thirty seconds had long passed, so the job opens when it thaws, and not before."""
    world = World(policy=frozen_by(m.Scope.ZONE, "b", until=100))
    world.settle()
    world.run(50)
    assert world.decide().wake_at == 100 * SECOND
    world.elapsed = 100 * SECOND - 1
    assert not opens(world)
    world.elapsed = 100 * SECOND
    assert opens(world)


def test_a_freeze_before_its_time_is_up_says_not_yet() -> None:
    """What does not last long enough is not frozen, it is early; both moments wake it."""
    world = World(policy=frozen_by(m.Scope.ZONE, "b", until=10))
    decision = world.decide()
    assert ([note.code for note in decision.notes], decision.wake_at) == (["NotYet"], 10 * SECOND)


def test_a_permit_that_a_freeze_overtakes_is_given_back() -> None:
    """Granted, but not begun: within one decision the attempt is withdrawn, and its rung is not used up."""
    world = World()
    world.sightings = {"hung:uid-node:KernelDeadlock:True": 0}
    world.elapsed = 31 * SECOND
    world.step()
    world.step()
    world.ledger()
    assert world.holds
    world.policy = frozen_by(m.Scope.CLUSTER)
    world.settle()
    assert (world.holds, world.written) == (set(), [])
    assert world.job.status.attempts[-1].withdrawn
    world.policy = Policy(remediers=(remedier(),))
    world.run(60)
    assert world.attempts[-1] == ("restart-unit", "Succeeded")


def test_what_has_begun_goes_on_in_a_freeze() -> None:
    """An operation that is with the agent is verified as always."""
    world = World(answers={"restart-unit": None})
    world.run(31)
    assert len(world.written) == 1
    world.policy = frozen_by(m.Scope.CLUSTER)
    world.answers = {}
    world.run(60)
    assert world.job.status.phase == "Succeeded"


# --- hold ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("node_too", [False, True])
def test_a_held_machine_opens_no_job_and_goes_no_rung_further(node_too: bool) -> None:
    """On the Machine or on its Node; the note says so, and the next decision without it goes on."""
    world = World()
    label(world, node_too=node_too)
    world.run(4000)
    decision = world.decide()
    assert (world.jobs, [note.code for note in decision.notes]) == ({}, ["Held"])
    assert (decision.notes[0].scope, decision.notes[0].limit, decision.deferred) == ("machine n7", 0, True)
    world.machine = World().machine
    world.node = node(m.Switch.TRUE)
    world.settle()
    assert world.jobs


def test_a_hold_stops_between_rungs() -> None:
    """The first rung failed; the second waits for the person."""
    world = World(heals=frozenset())
    world.run(31)
    label(world)
    world.run(4000)
    assert world.attempts == [("restart-unit", "Failed")]
    assert [note.code for note in world.decide().notes] == ["Held"]


# --- what a person forces ------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["freeze", "hold", "outage", "worn"])
def test_a_forced_episode_goes_on_whatever_stops_automation(why: str) -> None:
    """Freeze, hold, open breaker and cap are not in the way of a person's word; the ledger records whose it was."""
    world = World(heals=frozenset({"reboot"}))
    world.run(31)
    if why == "hold":
        label(world)
    world.policy = {"freeze": frozen_by(m.Scope.CLUSTER), "worn": capped(1)}.get(why, world.policy)
    world.zones = OUTAGE if why == "outage" else NORMAL
    if why == "worn":
        force(world)
    world.run(61)
    if why != "worn":
        assert world.attempts == [("restart-unit", "Failed")]
    force(world)
    world.run(400)
    assert world.attempts == [("restart-unit", "Failed"), ("reboot", "Succeeded")]
    assert world.job.status.phase == "Succeeded"


# --- the cap -------------------------------------------------------------------------------------


def test_attempts_per_machine_and_week_are_capped_then_a_human() -> None:
    """The ladder has another rung, but enough was tried: handed over, with the reason, and nothing more is begun."""
    world = World(heals=frozenset(), policy=capped(1))
    world.run(4000)
    assert (world.attempts, world.job.status.phase) == ([("restart-unit", "Failed")], "HandedOver")
    text = "machine n7: 1 remedies tried within 168h, limit 1: a human's turn"
    assert world.job.status.conditions[0].message == text
    assert len(world.jobs) == 1


def test_the_cap_counts_all_episodes_of_the_machine_whatever_remedier() -> None:
    """Closed ones too; what was withdrawn is none; an episode at the cap is handed over before its first rung."""
    closed = closed_job()
    other = attrs.evolve(
        closed,
        spec=attrs.evolve(closed.spec, remedier="disk"),
        metadata=attrs.evolve(closed.metadata, name="a"),
    )
    world = World(jobs={"a": other}, policy=capped(1))
    world.run(60)
    assert (world.attempts, world.job.status.phase) == ([], "HandedOver")
    world = World(jobs={"other": closed_job(withdrawn=True)}, policy=capped(1))
    world.run(60)
    assert world.attempts == [("restart-unit", "Succeeded")]


def test_the_built_in_cap_is_ten_a_week() -> None:
    """Whoever wrote none has this one."""
    attempts = tuple(
        m.Attempt(number=i, rung=0, action="x", op_id=f"o{i}", state=m.AttemptState.FAILED, since=START)
        for i in range(1, 11)
    )
    job = attrs.evolve(closed_job(), status=attrs.evolve(closed_job().status, attempts=attempts))
    for count, phase in ((9, "Succeeded"), (10, "HandedOver")):
        status = attrs.evolve(job.status, attempts=attempts[:count])
        world = World(jobs={"old": attrs.evolve(job, status=status)})
        world.run(60)
        assert world.job.status.phase == phase


@pytest.mark.parametrize(
    ("ago", "amount", "expected"),
    [(0, 1, 3600), (3599, 1, 1), (3600, 1, None), (-60, 1, 3660), (0, 2, None), (0, 0, "never")],
)
def test_what_is_worn_frees_when_enough_attempts_have_left_the_window(
    ago: int, amount: int, expected: int | str | None
) -> None:
    """Exactly; a stamp that lies ahead counts; a cap of none never frees."""
    job = closed_job()
    stamp = START - timedelta(seconds=ago)
    attempts = (attrs.evolve(job.status.attempts[0], since=stamp),)
    job = attrs.evolve(job, status=attrs.evolve(job.status, attempts=attempts))
    limit = m.Limit(scope=m.Scope.NODE, window=timedelta(hours=1), max=m.IntOrPercent(amount))
    note = worn_out("n7", (job,), (limit,), m.Now(wall=START, elapsed=0))
    if expected is None:
        assert note is None
        return
    assert note is not None
    assert (note.code, note.observed, note.limit) == ("AttemptsCapped", 1, amount)
    assert note.frees_at == (None if expected == "never" else int(expected) * SECOND)


def test_a_late_sight_of_the_label_still_comes_before_the_operation() -> None:
    """Acting, but not written: the label takes the permit back before the first irrevocable write."""
    world = World()
    world.sightings = {"hung:uid-node:KernelDeadlock:True": 0}
    world.elapsed = 31 * SECOND
    world.step()
    world.step()
    world.ledger()
    world.step()
    assert world.job.status.phase == "Acting"
    label(world)
    assert not any(isinstance(effect, SetOperation) for effect in world.decide().effects)
    world.settle()
    assert (world.written, world.holds) == ([], set())


def test_a_limit_of_a_node_without_a_window_says_nothing() -> None:
    """The schema refuses it, since a node never has more than one act at once; a hand-made one does no harm."""
    limit = m.Limit(scope=m.Scope.NODE, max=m.IntOrPercent(1))
    assert worn_out("n7", (closed_job(),), (limit,), m.Now(wall=START, elapsed=0)) is None
