"""Episodes of drift: sentences of the design first, then what could go wrong with them."""

from datetime import timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core.decision import Create, Decision, SetOperation
from kubenode.core.model.meta import FORCED, HOLD_LABEL
from kubenode.core.policy import Policy
from kubenode.core.remedy.decide import RemedySnapshot
from kubenode.core.remedy.decide import decide as decide_remedy
from kubenode.core.remedy.ladder import open_repair
from kubenode.core.remedy.repair import ATTEMPTS, SETTLE, decide, is_of_interest
from tests.core.remedy.drifting import DWELL, FROZEN, LASTED, SPOILT, WELL, Drifting, component, entry
from tests.core.remedy.world import OUTAGE, SECOND, START, machine, node


@pytest.mark.parametrize("disruption", m.Disruption)
def test_drift_of_class_drain_or_reboot_opens_a_job_and_no_other_class_does(disruption: m.Disruption) -> None:
    """Class none or restart the agent repairs by itself: for that there is nothing to ask."""
    world = Drifting.of(disruption=disruption)
    decision = world.decide()
    if disruption in (m.Disruption.NONE, m.Disruption.RESTART):
        assert decision == Decision()
        return
    (effect,) = decision.effects
    assert isinstance(effect, Create)
    job = effect.object
    assert isinstance(job, m.RemedyOperationJob)
    assert (job.spec.machine, job.spec.component, job.spec.remedier) == (
        m.MachineRef(name="n7", uid="uid-n7"),
        "net",
        "",
    )
    assert job.spec.cause == m.EpisodeCause(type="Drifted", message="net is not any more as net-1 wants it")


def test_a_drift_asks_only_when_it_was_seen_for_a_while_so_that_the_controller_can_hold_it_before() -> None:
    """Exactly: one nanosecond earlier nothing is opened; what is held meanwhile is looked at anew afterwards."""
    world = Drifting.of()
    world.sightings = {}
    decision = world.decide()
    assert LASTED == 30 * SECOND
    assert (decision.effects, decision.wake_at, decision.deferred) == ((), LASTED, True)
    assert (decision.notes[0].code, decision.notes[0].frees_at) == ("NotYet", LASTED)
    world.elapsed = LASTED - 1
    assert world.decide() == decision
    world.entries(net=entry(held="too many drift"))
    world.decide()
    world.entries(net=entry())
    world.elapsed = LASTED
    assert world.decide().wake_at == 2 * LASTED
    world.elapsed = 2 * LASTED
    assert len(world.decide().effects) == 1


def test_it_asks_and_with_its_permit_the_agent_repairs_and_the_drift_is_proven_gone() -> None:
    """Waiting -> permit -> operation -> answer -> at target and Ready for the dwell -> Succeeded; the place is given back."""
    world = Drifting.of(granting=False)
    world.run(600)
    assert world.attempts == [("repair", "Waiting")]
    assert world.written == []
    world.granting = True
    world.settle()
    (operation,) = world.written
    assert operation.steps == (m.OperationStep(action=m.StepAction.REPAIR, component="net"),)
    assert (operation.op_id, operation.job) == (world.job.status.attempts[0].op_id, world.job.metadata.name)
    assert world.attempts == [("repair", "Verifying")]
    world.run(DWELL - 1)
    assert world.attempts == [("repair", "Verifying")]
    world.run(1)
    assert (world.job.status.phase, world.attempts) == ("Succeeded", [("repair", "Succeeded")])
    assert (world.holds, len(world.jobs)) == (set(), 1)
    assert world.decide().effects == ()


def test_the_name_of_its_job_is_a_function_of_machine_component_and_number_of_closed_episodes() -> None:
    """Whatever the time, the Node, the zones and what else a stale observer believes."""
    world = Drifting.of()
    world.settle()
    (first,) = world.jobs
    other = Drifting.of(zones={}, elapsed=99 * SECOND)
    other.report(net=attrs.evolve(SPOILT, drifted_at=START - timedelta(days=1), message="else"))
    other.settle()
    assert set(other.jobs) == {first}
    world.run(DWELL)
    world.drift(0)
    assert len(world.jobs) == 2
    assert world.job.spec.episode == 1
    beside = Drifting.of("net", "zzz")
    beside.settle()
    assert set(beside.jobs) == {first}
    another = Drifting.of("zzz")
    another.settle()
    assert first not in another.jobs


@pytest.mark.parametrize(
    ("name", "code"),
    [("breaker", "ZoneOutage"), ("freeze", "Frozen"), ("label", "Held"), ("hold of drift", "DriftHeld")],
)
def test_no_job_is_opened_in_a_scope_whose_breaker_is_open_or_that_people_stopped(
    name: str, code: str
) -> None:
    """The answer is a deferral with its note; when it is over, the job is opened."""
    world = Drifting.of()
    before = attrs.evolve(world)
    if name == "breaker":
        world.zones = OUTAGE
    elif name == "freeze":
        world.policy = FROZEN
    elif name == "label":
        labels = {HOLD_LABEL: "ada"}
        world.machine = attrs.evolve(
            world.machine, metadata=attrs.evolve(world.machine.metadata, labels=labels)
        )
    else:
        world.entries(net=entry(held="too many drift"))
    decision = world.decide()
    assert (decision.effects, decision.deferred) == ((), True)
    assert [note.code for note in decision.notes] == [code]
    world.zones, world.policy, world.machine = before.zones, before.policy, before.machine
    world.run(SETTLE.total_seconds())
    assert len(world.jobs) == 1


def test_a_permit_that_an_outage_or_a_hold_overtakes_is_given_back() -> None:
    """Before the operation is written it is looked once more."""
    for stop in ({"zones": OUTAGE}, {"policy": FROZEN}, {}):
        world = Drifting.of()
        while not world.holds:
            world.step()
            world.ledger()
        for name, value in stop.items():
            setattr(world, name, value)
        if not stop:
            world.entries(net=entry(held="too many drift"))
        world.step()
        (attempt,) = world.job.status.attempts
        assert attempt.withdrawn
        world.ledger()
        assert (world.written, world.holds) == ([], set())


def test_attempts_are_capped_then_a_human() -> None:
    """Three repairs that do not help; then nothing more until it was at target for a while, then a new episode."""
    world = Drifting.of(heals=frozenset())
    world.run(3600 * 3)
    assert world.attempts == [("repair", "Failed")] * ATTEMPTS
    assert ATTEMPTS == 3
    assert world.job.status.phase == "HandedOver"
    world.run(86_400 * 30)
    assert (len(world.jobs), len(world.written)) == (1, ATTEMPTS)
    world.report(net=WELL)
    world.run(DWELL)
    world.heals = frozenset({"repair"})
    world.drift(DWELL)
    assert (len(world.jobs), world.job.status.phase) == (2, "Succeeded")


def test_after_a_restart_what_was_handed_over_stays_a_humans_until_it_was_seen_clear() -> None:
    """The safe side."""
    world = Drifting.of(heals=frozenset())
    world.run(3600 * 3)
    world.sightings = {}
    world.run(3600)
    assert len(world.jobs) == 1
    assert [note.code for note in world.decide().notes] == ["HandedOver"]


def test_that_it_was_seen_clear_is_remembered_through_the_episode_of_another_component() -> None:
    """Else what a person mended, and drifts anew meanwhile, would stay a human's turn."""
    world = Drifting.of("net", "abc", heals=frozenset())
    world.report(abc=WELL)
    world.run(3600 * 3)
    assert [job.status.phase for job in world.jobs.values()] == ["HandedOver"]
    world.report(net=WELL)
    world.run(DWELL)
    world.heals, world.answers = frozenset({"repair"}), {"repair": None}
    world.report(abc=SPOILT)
    world.run(60)
    assert [job.spec.component for job in world.jobs.values()] == ["net", "abc"]
    world.report(net=SPOILT)
    world.run(60)
    world.answers = {}
    world.run(300)
    assert [(job.spec.component, job.spec.episode) for job in world.jobs.values()] == [
        ("net", 0),
        ("abc", 0),
        ("net", 1),
    ]


def test_attempts_on_a_machine_within_a_week_are_capped_with_those_of_its_remedies() -> None:
    """One cap for the machine: the built-in one is ten a week; drift that comes back again and again is not healed."""
    world = Drifting.of()
    for _ in range(12):
        world.run(7200)
        world.report(net=SPOILT)
    tried = [one for job in world.jobs.values() for one in job.status.attempts if not one.withdrawn]
    assert len(tried) == 10
    assert world.job.status.phase == "HandedOver"


def test_a_relapse_within_the_hour_begins_at_the_next_rung() -> None:
    """So what comes back at once is a human's after three repairs, not after three of each episode."""
    world = Drifting.of()
    world.run(DWELL)
    for _ in range(4):
        world.drift(DWELL)
    begins = [job.spec.first_rung for job in sorted(world.jobs.values(), key=lambda job: job.spec.episode)]
    assert begins[:3] == [0, 1, 2]


def test_what_clears_by_itself_is_cancelled_and_asks_no_more() -> None:
    """A person mended it while the job waited."""
    world = Drifting.of(granting=False)
    world.settle()
    world.report(net=WELL)
    world.run(DWELL)
    assert (world.job.status.phase, world.written) == ("Cancelled", [])


def test_another_revision_or_no_entry_ends_the_episode() -> None:
    """What is being brought in is no drift; what is not wanted is nobody's to repair."""
    world = Drifting.of(granting=False)
    world.settle()
    world.entries(net=entry("net-2", revision="4"))
    world.run(DWELL)
    assert world.job.status.phase == "Cancelled"
    world = Drifting.of(granting=False)
    world.settle()
    world.machine = attrs.evolve(world.machine, spec=attrs.evolve(world.machine.spec, components={}))
    world.settle()
    assert world.job.status.phase == "Cancelled"


def test_one_component_at_a_time() -> None:
    """Two that drift have their episodes one after the other, by name."""
    world = Drifting.of("net", "abc")
    world.settle()
    assert [job.spec.component for job in world.jobs.values()] == ["abc"]
    world.run(DWELL + SETTLE.total_seconds())
    world.run(DWELL)
    assert sorted(job.spec.component for job in world.jobs.values()) == ["abc", "net"]
    assert all(job.status.phase == "Succeeded" for job in world.jobs.values())


def test_a_silent_agent_costs_the_attempt() -> None:
    """After fifteen minutes; it is not asked the same again."""
    world = Drifting.of(answers={"repair": None})
    world.run(15 * 60 - 1)
    assert world.attempts == [("repair", "Acting")]
    world.run(1)
    assert world.attempts[0] == ("repair", "Failed")
    assert len({one.op_id for one in world.written}) == len(world.written)


def test_what_a_person_forces_goes_on_whatever_stops_automation() -> None:
    """An outage, a freeze, a cap: none of them."""
    world = Drifting.of(granting=False)
    world.settle()
    name = world.job.metadata.name
    forced = attrs.evolve(world.job.metadata, annotations={FORCED: "ada: now"})
    world.jobs[name] = attrs.evolve(world.job, metadata=forced)
    world.zones, world.policy, world.granting = OUTAGE, FROZEN, True
    world.run(DWELL)
    assert world.job.status.phase == "Succeeded"


def test_a_machine_whose_node_is_not_certain_or_that_goes_is_left_alone() -> None:
    """Nor one that was never Running."""
    contest = m.Condition(
        type="NodeReady",
        status=m.Switch.FALSE,
        reason="Conflict",
        message="two machines",
        last_transition_time=START,
    )
    world = Drifting.of()
    for status in ({"conditions": (contest,)}, {"first_running": None}):
        one = attrs.evolve(world.machine, status=attrs.evolve(world.machine.status, **status))
        assert decide(attrs.evolve(world.snapshot(), machine=one), Policy()).effects == ()
    for change in ({"deletion_timestamp": START}, {"unknown": ("spec.new",)}):
        one = attrs.evolve(world.machine, metadata=attrs.evolve(world.machine.metadata, **change))
        assert decide(attrs.evolve(world.snapshot(), machine=one), Policy()).effects == ()
        world.settle()
    assert decide(attrs.evolve(world.snapshot(), machine=one), Policy()).status == world.job.status
    gone = attrs.evolve(
        world.machine, metadata=attrs.evolve(world.machine.metadata, deletion_timestamp=START)
    )
    answer = decide(attrs.evolve(world.snapshot(), machine=gone), Policy())
    assert answer.status is not None
    assert answer.status.phase == "Cancelled"
    answer = decide(attrs.evolve(world.snapshot(), node=None), Policy())
    assert answer.status is not None
    assert answer.status.phase == "Cancelled"
    doubted = attrs.evolve(world.machine, status=attrs.evolve(world.machine.status, conditions=(contest,)))
    answer = decide(attrs.evolve(world.snapshot(), machine=doubted), Policy())
    assert (answer.status, [note.code for note in answer.notes]) == (world.job.status, ["Conflict"])


def test_a_newer_versions_episode_is_left_alone_and_says_so() -> None:
    """Its phase is not known here."""
    world = Drifting.of()
    world.settle()
    name = world.job.metadata.name
    world.jobs[name] = attrs.evolve(world.job, status=attrs.evolve(world.job.status, phase="Pondering"))
    answer = world.decide()
    assert answer.effects == ()
    assert answer.status is not None
    assert answer.status.conditions[-1].reason == "NewerVersion"


def test_a_machine_of_which_nothing_is_reported_drifts_not() -> None:
    """No agent, or one that does not speak of the component, or of another revision of it."""
    seen = Drifting.of().snapshot()
    silent = attrs.evolve(seen.machine, status=attrs.evolve(seen.machine.status, agent=None))
    mute = attrs.evolve(seen.machine, status=attrs.evolve(seen.machine.status, agent=m.AgentStatus()))
    other = Drifting.of()
    other.report(net=attrs.evolve(SPOILT, revision="2"))
    for one in (silent, mute, other.machine):
        assert decide(attrs.evolve(seen, machine=one), Policy()) == Decision()


def test_a_component_that_is_not_there_or_a_newer_versions_opens_nothing() -> None:
    """Its class is not known, and what is not known is not repaired."""
    seen = Drifting.of().snapshot()
    assert decide(attrs.evolve(seen, components={}), Policy()) == Decision()
    one = component("net-1", m.Disruption.REBOOT)
    newer = attrs.evolve(one, metadata=attrs.evolve(one.metadata, unknown=("spec.new",)))
    assert decide(attrs.evolve(seen, components={"net-1": newer}), Policy()) == Decision()


def test_a_remedy_and_a_repair_are_open_side_by_side_and_neither_takes_the_others_place() -> None:
    """The remedy decider does not take an episode of drift for its own, nor clears its operation while it runs."""
    world = Drifting.of(answers={"repair": m.AnswerState.ACKNOWLEDGED})
    world.settle()
    assert world.machine.spec.operation is not None
    seen = RemedySnapshot(
        machine=world.machine, node=world.node, jobs=tuple(world.jobs.values()), holds=frozenset(world.holds), now=world.now
    )  # fmt: skip
    assert decide_remedy(seen, Policy()) == Decision()
    closed = attrs.evolve(
        world.job, status=attrs.evolve(world.job.status, phase="Cancelled", closed_at=START)
    )
    (effect,) = decide_remedy(attrs.evolve(seen, jobs=(closed,)), Policy()).effects
    assert isinstance(effect, SetOperation)
    assert effect.operation is None


def test_only_a_machine_that_drifts_or_has_an_episode_to_end_or_remember_is_looked_at() -> None:
    """So all others cost a glance."""
    world = Drifting.of()
    assert is_of_interest(world.machine, ())
    world.report(net=WELL)
    assert not is_of_interest(world.machine, ())
    world.drift(0)
    job = world.job
    for phase, matters in (
        ("", True),
        ("Waiting", True),
        ("HandedOver", True),
        ("Pondering", True),
        ("Succeeded", False),
        ("Cancelled", False),
    ):
        told = attrs.evolve(job, status=attrs.evolve(job.status, phase=phase))
        assert is_of_interest(machine(), (told,)) is matters
        of_a_remedy = attrs.evolve(told, spec=attrs.evolve(told.spec, component="", remedier="hung"))
        assert not is_of_interest(machine(), (of_a_remedy,))
        assert open_repair((of_a_remedy,)) is None


def test_a_class_that_asks_no_more_ends_the_episode() -> None:
    """The agent repairs it by itself from then on, and a permit for it is not waited for."""
    world = Drifting.of(granting=False)
    world.settle()
    assert world.job.status.phase == "Waiting"
    world.disruption = m.Disruption.NONE
    world.settle()
    assert world.job.status.phase == "Cancelled"


def test_what_is_at_target_on_a_node_that_is_not_ready_is_not_seen_clear() -> None:
    """Its agent's word is not enough: what was handed over stays a human's."""
    world = Drifting.of(heals=frozenset())
    world.run(3600 * 3)
    world.report(net=WELL)
    world.node = node(ready=m.Switch.FALSE)
    world.run(DWELL)
    world.node = node()
    world.heals = frozenset({"repair"})
    world.drift(DWELL)
    assert [job.status.phase for job in world.jobs.values()] == ["HandedOver"]


def labelled(world: Drifting, **labels: str) -> None:
    """Let a person label the Machine."""
    world.machine = attrs.evolve(world.machine, metadata=attrs.evolve(world.machine.metadata, labels=labels))


def test_what_a_person_allows_asks_for_nothing() -> None:
    """Of that component, while the label is there; an episode that is open ends by itself."""
    world = Drifting.of()
    labelled(world, **{"allow-drift.kubenode.dev/other": ""})
    assert len(world.decide().effects) == 1
    labelled(world, **{"allow-drift.kubenode.dev/net": ""})
    assert world.decide() == Decision()
    world = Drifting.of(granting=False)
    world.run(60)
    assert world.attempts == [("repair", "Waiting")]
    labelled(world, **{"allow-drift.kubenode.dev/net": ""})
    world.run(DWELL)
    assert world.job.status.phase == "Cancelled"
