"""Whole episodes in the tiny world."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Create, SetOperation
from kubenode.core.errors import Problem
from kubenode.core.health.zones import ZoneTally
from kubenode.core.policy import Policy
from kubenode.core.remedy.decide import decide
from tests.core.remedy.world import NORMAL, OUTAGE, SECOND, START, World, machine, node, remedier

T, F, U = m.Switch.TRUE, m.Switch.FALSE, m.Switch.UNKNOWN


def notes(world: World) -> set[str]:
    """Give the codes of the notes of a decision made now."""
    return {note.code for note in world.decide().notes}


def test_it_heals_on_the_first_rung() -> None:
    """Thirty seconds of the condition, a permit, a restart, ten seconds of health: Succeeded, and all is put away."""
    world = World()
    world.run(29)
    assert not world.jobs
    world.run(100)
    assert (world.job.status.phase, world.attempts) == ("Succeeded", [("restart-unit", "Succeeded")])
    assert world.job.status.closed_at == START + timedelta(seconds=40)
    assert [operation.action for operation in world.written] == ["restart-unit"]
    assert (world.machine.spec.operation, world.holds, len(world.done)) == (None, set(), 1)
    assert [one.type for one in world.job.status.conditions] == ["Closed"]


def test_a_rung_that_does_not_help_gives_way_to_the_next() -> None:
    """Each rung asks for its own permit under its own op-id."""
    world = World(heals=frozenset({"reboot"}))
    world.run(300)
    assert world.job.status.phase == "Succeeded"
    assert world.attempts == [("restart-unit", "Failed"), ("reboot", "Succeeded")]
    assert len({one.op_id for one in world.job.status.attempts}) == 2
    assert world.job.status.attempts[0].verdict == "not clear and Ready within 60 s"
    assert world.done == [one.op_id for one in world.job.status.attempts]


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (None, "the agent did not answer within 40 s"),
        (m.AnswerState.ACKNOWLEDGED, "the agent did not finish within 40 s"),
        (m.AnswerState.FAILED, "as told"),
    ],
)
def test_an_agent_that_does_not_do_it_costs_the_rung(said: m.AnswerState | None, verdict: str) -> None:
    """Silence and dawdling fail at the rung's time limit, a refusal at once; the next rung follows."""
    world = World(answers={"restart-unit": said})
    world.run(300)
    assert world.job.status.attempts[0].verdict == verdict
    assert world.attempts == [("restart-unit", "Failed"), ("reboot", "Succeeded")]
    assert [operation.action for operation in world.written] == ["restart-unit", "reboot"]


def test_at_the_end_of_the_ladder_a_human_takes_over() -> None:
    """While the condition goes on, also through Unknown and short calm, no new episode is opened."""
    world = World(heals=frozenset())
    world.run(1000)
    assert world.job.status.phase == "HandedOver"
    assert (world.holds, world.machine.spec.operation) == (set(), None)
    for hung, ready in ((T, T), (U, T), (T, U), (F, T), (T, T)):
        world.say(hung, ready)
        world.run(9)
    world.run(10_000)
    assert len(world.jobs) == 1
    assert notes(world) == {"HandedOver"}


def test_after_a_human_mended_it_the_next_fault_is_a_new_episode() -> None:
    """Once clear for the dwell, the condition counts anew; soon after, it begins where the ladder ended."""
    world = World(heals=frozenset())
    world.run(1000)
    world.say(F)
    world.run(11)
    world.say(T)
    world.heals = frozenset({"reboot"})
    world.run(300)
    assert (world.job.spec.episode, world.job.spec.first_rung) == (1, 1)
    assert (world.job.status.phase, world.attempts) == ("Succeeded", [("reboot", "Succeeded")])


def test_a_relapse_begins_at_the_next_rung() -> None:
    """Back within `relapse` the rung that helped only for a while is left out."""
    world = World()
    world.run(100)
    world.say(T)
    world.run(200)
    assert (world.job.spec.episode, world.attempts) == (1, [("reboot", "Succeeded")])
    world.run(3601)
    world.say(T)
    world.run(200)
    assert (world.job.spec.episode, world.attempts) == (2, [("restart-unit", "Succeeded")])


def test_what_clears_by_itself_is_left_alone() -> None:
    """While it waits for its permit, calm for the dwell cancels the episode; shorter calm does not."""
    world = World(granting=False)
    world.run(40)
    world.say(F)
    world.run(9)
    world.say(T)
    world.run(50)
    assert world.attempts == [("restart-unit", "Waiting")]
    world.say(F)
    world.run(10)
    assert world.job.status.phase == "Cancelled"
    assert world.job.status.attempts[-1].verdict == "withdrawn: cleared by itself"
    assert (world.written, world.done) == ([], [])


def test_the_permit_that_comes_too_late_is_not_used() -> None:
    """Clear at the very moment of the grant: nothing is done (F55)."""
    world = World(granting=False)
    world.run(40)
    world.say(F)
    world.granting = True
    world.settle()
    assert (world.job.status.phase, world.written) == ("Cancelled", [])


def test_a_node_that_heals_after_the_permit_is_not_touched() -> None:
    """Acting is written, the controller is gone for an hour, the Node heals: no operation is written."""
    world = World(granting=False)
    world.run(40)
    world.granting = True
    world.ledger()
    world.step()
    assert world.attempts == [("restart-unit", "Acting")]
    world.node = node(F)
    world.elapsed += 3600 * SECOND
    world.sightings = {}
    world.settle()
    assert (world.job.status.phase, world.written, world.holds) == ("Cancelled", [], set())
    assert world.job.status.attempts[0].verdict == "withdrawn: cleared by itself"
    world.say(T)
    world.run(31)
    assert (world.job.spec.episode, world.job.spec.first_rung) == (1, 0)


def test_in_an_outage_nothing_is_opened_and_afterwards_all_timers_start_afresh() -> None:
    """No job, a binding note, no timer; when the zone is back the condition must hold for its time again."""
    world = World()
    world.run(20)
    world.zones = OUTAGE
    decision = world.decide()
    assert decision.binding is not None
    assert decision.binding.text == "zone b: 7 of 10 not ready, limit 5"
    assert (decision.wake_at, decision.sightings, decision.deferred) == (None, {}, True)
    world.run(1000)
    assert not world.jobs
    world.zones = NORMAL
    world.run(29)
    assert not world.jobs
    world.run(1)
    assert len(world.jobs) == 1


def test_a_waiting_attempt_waits_through_an_outage() -> None:
    """It stays as it is and says why; no timer runs."""
    world = World(granting=False)
    world.run(40)
    world.zones = OUTAGE
    world.run(1000)
    assert world.attempts == [("restart-unit", "Waiting")]
    assert notes(world) == {"ZoneOutage"}


def test_an_outage_beside_an_open_job_resets_the_other_rules_too() -> None:
    """What another remedier had seen is dropped while the breaker is open."""
    world = World(policy=Policy(remediers=(remedier("a"), remedier("b"))), granting=False)
    world.run(31)
    assert set(world.decide().sightings) == {f"{name}:uid-node:KernelDeadlock:True" for name in "ab"}
    world.zones = OUTAGE
    assert world.decide().sightings == {}


def test_a_write_that_fails_begins_no_time_limit_again() -> None:
    """The decision that ends an attempt is made again until it is written."""
    world = World(answers={"restart-unit": None})
    world.run(31)
    world.elapsed += 40 * SECOND
    first, second = world.decide(), world.decide()
    assert first == second
    assert first.status is not None
    assert first.status.attempts[0].state is m.AttemptState.FAILED
    world.step()
    world.decide()
    assert not any(key.startswith("acting:") for key in world.sightings)


def test_a_permit_that_meets_an_outage_is_given_back() -> None:
    """The attempt is withdrawn, so that its hold does not keep other zones waiting; its rung asks again afterwards."""
    world = World(granting=False)
    world.run(40)
    world.zones, world.granting = OUTAGE, True
    world.ledger()
    world.granting = False
    world.run(1000)
    assert world.attempts == [("restart-unit", "Failed")]
    assert (world.holds, world.written, notes(world)) == (set(), [], {"ZoneOutage"})
    world.zones, world.granting = NORMAL, True
    world.settle()
    world.run(100)
    assert world.job.status.phase == "Succeeded"


def test_what_is_under_way_goes_on_in_an_outage() -> None:
    """The agent has the operation already: its answer counts, and it is verified."""
    world = World(answers={"restart-unit": m.AnswerState.ACKNOWLEDGED})
    world.run(31)
    world.zones, world.answers = OUTAGE, {}
    world.run(60)
    assert world.job.status.phase == "Succeeded"


def test_unknown_during_a_reboot_is_the_same_episode() -> None:
    """True, Unknown, True again while verifying: one job, no second remedy (F51)."""
    world = World(heals=frozenset())
    world.run(31)
    for hung, ready in ((U, U), (T, F), (U, U), (F, F)):
        world.say(hung, ready)
        world.run(5)
    world.say(F)
    world.run(30)
    assert len(world.jobs) == 1
    assert world.attempts == [("restart-unit", "Succeeded")]


def test_a_flapping_node_is_not_proven() -> None:
    """The dwell must pass without a break (F43)."""
    world = World(heals=frozenset())
    world.run(31)
    for _ in range(6):
        world.say(F)
        world.run(8)
        world.say(T)
        world.run(1)
    world.run(10)
    assert world.attempts[0] == ("restart-unit", "Failed")


def test_two_remediers_take_turns() -> None:
    """One open job a machine; the second rule's turn comes when the first has ended and its condition still holds."""
    second = remedier("b", condition=m.ConditionMatch(type="DiskFull"))
    world = World(policy=Policy(remediers=(second, remedier("a"))))
    both = node(T)
    full = m.NodeCondition(type="DiskFull", status=T)
    world.node = attrs.evolve(both, status=m.NodeStatus(conditions=(*both.status.conditions, full)))
    world.answers = {"reboot": None}
    world.run(0)
    assert [job.spec.remedier for job in world.jobs.values()] == ["b"]
    world.run(31)
    assert len([job for job in world.jobs.values() if job.status.closed_at is None]) <= 1


def test_a_deleted_machine_ends_its_episode() -> None:
    """Being deleted, the machine's open job is Cancelled and its operation cleared."""
    world = World(answers={"restart-unit": None})
    world.run(31)
    assert world.machine.spec.operation is not None
    meta = attrs.evolve(world.machine.metadata, deletion_timestamp=START)
    world.machine = attrs.evolve(world.machine, metadata=meta)
    world.settle()
    assert (world.job.status.phase, world.machine.spec.operation, world.holds) == ("Cancelled", None, set())
    world.run(1000)
    assert len(world.jobs) == 1


@pytest.mark.parametrize("uid", ["", "uid-other"])
def test_a_node_that_is_gone_or_another_ends_the_episode(uid: str) -> None:
    """An episode is about one incarnation of a Node."""
    world = World(granting=False)
    world.run(31)
    sick = node(T)
    world.node = attrs.evolve(sick, metadata=attrs.evolve(sick.metadata, uid=uid)) if uid else None
    world.settle()
    assert world.job.status.phase == "Cancelled"
    world.run(1000)
    assert len(world.jobs) == 1


@pytest.mark.parametrize("change", [{"first_running": None}, {"node_ref": None}])
def test_a_machine_that_never_ran_is_not_remedied(change: dict[str, Any]) -> None:
    """Before its first Running, or without a Node of its own, a machine has no episodes."""
    world = World()
    world.machine = attrs.evolve(world.machine, status=attrs.evolve(world.machine.status, **change))
    world.run(1000)
    assert not world.jobs


@pytest.mark.parametrize("reason", ["Conflict", "NodeChanged"])
def test_a_contested_node_is_not_touched(reason: str) -> None:
    """Two machines that say they are one Node: no episode, and an open one stands still (S12)."""
    claim = m.Condition(type="NodeReady", status=F, reason=reason, last_transition_time=START)
    for granting in (True, False):
        world = World(granting=granting)
        if not granting:
            world.run(31)
        before = dict(world.jobs)
        world.machine = attrs.evolve(
            world.machine, status=attrs.evolve(world.machine.status, conditions=(claim,))
        )
        world.granting = True
        world.run(1000)
        assert (world.jobs, world.written) == (before, [])
        assert notes(world) == {reason}


@pytest.mark.parametrize("what", ["machine", "job", "phase", "remedier"])
def test_a_newer_versions_object_is_left_alone(what: str) -> None:
    """What has fields or a phase that this version does not know is not touched."""
    world = World(granting=False)
    world.run(31)
    name = world.job.metadata.name
    if what == "machine":
        meta = attrs.evolve(world.machine.metadata, unknown=(".spec.new",))
        world.machine = attrs.evolve(world.machine, metadata=meta)
    elif what == "job":
        meta = attrs.evolve(world.job.metadata, unknown=(".status.new",))
        world.jobs[name] = attrs.evolve(world.job, metadata=meta)
    elif what == "phase":
        world.jobs[name] = attrs.evolve(world.job, status=attrs.evolve(world.job.status, phase="Draining"))
    else:
        newer = remedier()
        newer = attrs.evolve(newer, metadata=attrs.evolve(newer.metadata, unknown=(".spec.new",)))
        world.policy = Policy(remediers=(newer,))
    before = dict(world.jobs)
    world.granting = True
    world.run(1000)
    told = [c for c in world.job.status.conditions if c.type == "Recognised"]
    assert [c.reason for c in told] == (["NewerVersion"] if what in ("job", "phase") else [])
    bare = attrs.evolve(
        world.job, status=attrs.evolve(world.job.status, conditions=before[name].status.conditions)
    )
    assert ({name: bare}, world.written) == (before, [])
    assert notes(world) == {"NewerVersion"}


def test_a_newer_remedier_opens_nothing_and_others_do() -> None:
    """Only the remedier that is not understood is left out."""
    newer = remedier("a")
    newer = attrs.evolve(newer, metadata=attrs.evolve(newer.metadata, unknown=(".spec.new",)))
    world = World(policy=Policy(remediers=(newer,)))
    world.run(1000)
    assert not world.jobs
    world.policy = Policy(remediers=(newer, remedier("b")))
    world.run(31)
    assert [job.spec.remedier for job in world.jobs.values()] == ["b"]


BROKEN = Problem(
    where="NodeRemedier hung, rung restart-unit", what="PluginMissing: no such action", fix="known: reboot"
)


def test_a_missing_plugin_burns_no_permit() -> None:
    """The job says PluginMissing and asks for nothing; when the plugin is there, it goes on with the same rung."""
    world = World(broken={("hung", 0): BROKEN})
    world.run(100)
    status = world.job.status
    assert (status.phase, status.attempts, world.holds) == ("Waiting", (), set())
    assert [(one.type, one.reason) for one in status.conditions] == [("PluginMissing", "PluginMissing")]
    assert "known: reboot" in status.conditions[0].message
    world.broken = {}
    world.run(100)
    assert (world.job.status.phase, world.attempts) == ("Succeeded", [("restart-unit", "Succeeded")])


@pytest.mark.parametrize("granted", [False, True])
def test_a_plugin_that_goes_missing_gives_the_permit_back(granted: bool) -> None:
    """A waiting attempt whose rung cannot be planned any more is withdrawn, and not escalated."""
    world = World(granting=False)
    world.run(31)
    world.granting = granted
    world.ledger()
    world.broken = {("hung", 0): BROKEN}
    world.run(100)
    assert world.attempts == [("restart-unit", "Failed")]
    assert (world.holds, world.written) == (set(), [])
    world.broken, world.granting = {}, True
    world.run(100)
    assert world.attempts == [("restart-unit", "Failed"), ("restart-unit", "Succeeded")]


def test_an_edited_ladder_is_asked_for_anew() -> None:
    """A permit for one action is not used for another."""
    world = World(granting=False)
    world.run(31)
    world.policy = Policy(remediers=(remedier(ladder=(m.Rung(action="reboot"),)),))
    world.granting = True
    world.run(100)
    assert world.attempts == [("restart-unit", "Failed"), ("reboot", "Succeeded")]


def test_a_plan_without_steps_is_the_plugins_fault() -> None:
    """An operation needs at least one step."""
    world = World(broken={("hung", 0): ()})  # type: ignore[dict-item]
    world.run(100)
    assert [one.type for one in world.job.status.conditions] == ["PluginFailed"]


@pytest.mark.parametrize("heals", [True, False])
def test_without_its_remedier_what_is_under_way_ends_and_is_cancelled(heals: bool) -> None:
    """A waiting job is Cancelled at once; one that acts is answered and verified first, and then Cancelled."""
    waiting = World(granting=False)
    waiting.run(31)
    waiting.policy = Policy()
    waiting.settle()
    assert waiting.job.status.phase == "Cancelled"
    world = World(answers={"restart-unit": m.AnswerState.ACKNOWLEDGED})
    world.run(31)
    world.policy = Policy()
    world.answers = {"restart-unit": m.AnswerState.DONE}
    world.heals = frozenset({"restart-unit"} if heals else ())
    world.settle()
    assert world.attempts == [("restart-unit", "Verifying")]
    world.run(700)
    assert world.job.status.phase == "Cancelled"
    assert world.attempts == [("restart-unit", "Succeeded" if heals else "Failed")]
    assert (world.holds, world.machine.spec.operation) == (set(), None)


def test_between_two_rungs_what_clears_is_watched_and_not_remedied() -> None:
    """The first rung failed and the Node became well late: nothing more is begun, and calm for the dwell ends it."""
    world = World(answers={"restart-unit": None})
    world.run(31)
    world.elapsed += 40 * SECOND
    world.step()
    assert world.attempts == [("restart-unit", "Failed")]
    world.say(F)
    assert notes(world) == {"Clearing"}
    world.run(10)
    assert (world.job.status.phase, len(world.written)) == ("Cancelled", 1)


@pytest.mark.parametrize("turns", [0, 1])
def test_without_its_remedier_a_permit_is_not_used(turns: int) -> None:
    """Granted, or even Acting, but not yet written: the job is Cancelled and the permit given back."""
    world = World(granting=False)
    world.run(31)
    world.granting = True
    world.ledger()
    for _ in range(turns):
        world.step()
    world.policy = Policy()
    world.settle()
    assert (world.job.status.phase, world.written, world.holds) == ("Cancelled", [], set())
    assert world.job.status.attempts[0].verdict.startswith("withdrawn: ")


def test_a_remedier_deleted_between_two_rungs_ends_the_episode() -> None:
    """So does one whose selector leaves the machine out now."""
    world = World(broken={("hung", 0): BROKEN})
    world.run(31)
    elsewhere = m.Selector(match_labels={"pool": "b"})
    world.policy = Policy(remediers=(remedier(selector=elsewhere),))
    world.settle()
    assert world.job.status.phase == "Cancelled"


def foreign(job: str) -> m.Operation:
    """Make an operation that no job here knows."""
    step = m.OperationStep(action=m.StepAction.REBOOT)
    return m.Operation(op_id="maintenance-1", job=job, attempt=1, action="reboot", steps=(step,))


def test_another_live_operation_is_waited_for() -> None:
    """An operation that a hold covers is not replaced; the attempt waits, and gives up unescalated."""
    world = World(machine=machine(operation=foreign("other")), answers={"reboot": None})
    world.holds = {"maintenance-1"}
    world.run(30)
    world.holds.add(world.job.status.attempts[0].op_id)
    world.step()
    world.step()
    assert notes(world) == {"OperationTaken"}
    assert (world.written, world.machine.spec.operation) == ([], foreign("other"))
    world.elapsed += 41 * SECOND
    world.step()
    assert world.job.status.attempts[0].verdict == "withdrawn: could not be begun within 40 s"


def test_an_orphaned_operation_is_cleared() -> None:
    """Its job was deleted and no hold covers it: it is taken away, also from a healthy machine."""
    world = World(machine=machine(operation=foreign("gone")), node=node(F))
    world.settle()
    assert world.machine.spec.operation is None


def test_without_its_permit_in_the_ledger_no_operation_is_written() -> None:
    """Acting stands, but the ledger was rebuilt: the attempt waits until its hold is there."""
    world = World(granting=False)
    world.run(31)
    world.granting = True
    world.ledger()
    world.step()
    world.holds.clear()
    world.granting = False
    world.settle()
    assert (world.attempts, world.written) == ([("restart-unit", "Acting")], [])
    assert notes(world) == {"NoPermit"}


def test_a_job_without_end_is_a_humans() -> None:
    """When a job can record no more attempts, it is handed over."""
    world = World(granting=False)
    world.run(31)
    for _ in range(40):
        world.zones, world.granting = OUTAGE, True
        world.ledger()
        world.granting = False
        world.settle()
        world.zones = NORMAL
        world.settle()
    assert world.job.status.phase == "HandedOver"
    assert len(world.job.status.attempts) == 32


def test_a_job_found_succeeded_but_open_is_closed() -> None:
    """A status that no decision writes gets an end too."""
    world = World()
    world.run(100)
    job = world.job
    world.jobs[job.metadata.name] = attrs.evolve(
        job, status=attrs.evolve(job.status, phase="Verifying", closed_at=None)
    )
    world.settle()
    assert world.job.status.phase == "Succeeded"
    assert world.job.status.closed_at is not None


def test_the_operation_says_what_was_planned() -> None:
    """It carries the permit's op-id, the job, the attempt's number and the planned steps."""
    world = World(answers={"restart-unit": None})
    world.run(31)
    attempt = world.job.status.attempts[0]
    (operation,) = world.written
    assert (operation.op_id, operation.job, operation.attempt) == (attempt.op_id, world.job.metadata.name, 1)
    assert operation.steps[0].unit == "containerd.service"


def test_a_job_carries_its_cause_and_a_label_the_server_takes() -> None:
    """Foreign texts are cut to our bounds, and a machine's long name to a label's."""
    world = World()
    meta = attrs.evolve(world.machine.metadata, name=f"{'n' * 62}.{'m' * 40}")
    world.machine = attrs.evolve(world.machine, metadata=meta)
    loud = m.NodeCondition(type="KernelDeadlock", status=T, reason="R" * 500, message="x" * 9000)
    world.node = attrs.evolve(node(None), status=m.NodeStatus(conditions=(loud,)))
    world.elapsed, world.sightings = 30 * SECOND, {"hung:uid-node:KernelDeadlock:True": 0}
    (effect,) = world.decide().effects
    assert isinstance(effect, Create)
    assert isinstance(effect.object, m.RemedyOperationJob)
    assert effect.object.metadata.labels == {"kubenode.dev/machine": "n" * 62}
    assert (len(effect.object.spec.cause.reason), len(effect.object.spec.cause.message)) == (128, 2048)


def test_a_frozen_cluster_acts_nowhere() -> None:
    """Every zone down: the fault is ours, and the note says so (F48)."""
    world = World(zones={"b": ZoneTally(nodes=4, not_ready=4), "c": ZoneTally(nodes=3, not_ready=3)})
    world.run(1000)
    assert not world.jobs
    assert notes(world) == {"ClusterOutage"}


def test_the_status_is_written_before_the_operation_is_cleared() -> None:
    """The decision that ends an attempt does not clear; the next one, which reads the end, does."""
    world = World(answers={"restart-unit": None})
    world.run(31)
    world.elapsed += 100 * SECOND
    decision = decide(world.snapshot(), world.policy)
    assert decision.status is not None
    assert decision.status.attempts[0].state is m.AttemptState.FAILED
    assert decision.effects == ()
    world.step()
    (effect,) = world.decide().effects
    assert isinstance(effect, SetOperation)
    assert effect.operation is None
