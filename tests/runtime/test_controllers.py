"""The controllers wired together: what is gone lets go, what is forged means nothing, what is shared counts once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.decision import Decision
from kubenode.core.health.zones import ZoneTally
from kubenode.core.identity import op_id
from kubenode.core.model.meta import FORCED, HOLD_LABEL
from kubenode.core.policy import Policy
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.controller.machine import MachineController
from kubenode.runtime.controller.risk import RiskController
from kubenode.runtime.engine.apply import CrashPoint, Watchman, WriteStatus
from kubenode.runtime.sim.process import SimulatedCrash
from kubenode.runtime.sim.run import AGENTS, CONTROLLER
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.story import Cast, Stage, examples
from kubenode.runtime.store.cache import Cache, Change
from kubenode.runtime.store.contract import EventType, WatchEvent
from kubenode.runtime.store.embedded import now_or_never

HOUR = timedelta(hours=1)
WHEN = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def stage() -> Stage:
    """Six machines, Running and at rest, with the hung story's rules."""
    cast = Cast.read([examples() / "hung.yaml"]).with_machines(6)
    stage = Stage("test", cast, seed=0, tell=lambda _: None)
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=HOUR)
    return stage


def ledger(stage: Stage) -> m.RiskLedger:
    """The ledger as it stands."""
    found: m.RiskLedger = stage.read(m.RiskLedger, "cluster")
    return found


def test_the_episode_of_a_machine_that_vanished_lets_go(stage: Stage) -> None:
    """Finalizer stripped and deleted while nobody looked: the job is cancelled, its permit closed, others are healed."""
    simulation = stage.simulation
    simulation.hosts["n003"].hang(kernel_lines())
    simulation.run_until(lambda: bool(ledger(stage).status.holds), limit=HOUR)
    kind = m.Machine.KIND
    simulation.change(m.Machine, "n003", {"metadata": {"finalizers": None}})
    now_or_never(simulation.store.delete(kind, "n003"))
    simulation.processes[CONTROLLER].start()
    simulation.hosts["n004"].hang(kernel_lines())
    simulation.rest(limit=HOUR)
    phases = {job.spec.machine.name: job.status.phase for job in stage.all(m.RemedyOperationJob)}
    assert phases == {"n003": "Cancelled", "n004": "Succeeded"}
    assert ledger(stage).status.holds == ()


def status_writes(stage: Stage) -> dict[str, list[WriteStatus]]:
    """Note the status writes of Machines, by the process that makes them."""
    written: dict[str, list[WriteStatus]] = {name: [] for name in stage.simulation.processes}

    def watchman(name: str) -> Watchman:
        def note(point: CrashPoint) -> None:
            if isinstance(point.act, WriteStatus) and point.act.object.kind == "Machine" and not point.after:
                written[name].append(point.act)

        return note

    for name, process in stage.simulation.processes.items():
        process.watchman = watchman(name)
    return written


def test_the_controllers_never_write_the_agents_part_and_the_agent_writes_no_other(stage: Stage) -> None:
    """Through an episode of remedy, both writing the same object, no list has two writers."""
    written = status_writes(stage)
    stage.simulation.hosts["n003"].hang(kernel_lines())
    stage.simulation.rest(limit=HOUR)
    assert stage.phases() == {"Running": 6}
    assert written[CONTROLLER]
    assert not [act for act in written[CONTROLLER] if "agent" in act.body]
    assert written[AGENTS]
    assert {frozenset(act.body) for act in written[AGENTS]} == {frozenset({"agent"})}


def test_a_decider_that_touched_the_agents_part_would_be_found(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check above can fail: one forged report, and the controllers' write has an `agent` in it."""
    decide = MachineController.decide

    def meddling(self: MachineController, snapshot: Any, policy: Policy) -> Decision[Any]:
        decision = decide(self, snapshot, policy)
        if (
            decision.status is None or written[CONTROLLER]
        ):  # once, since the agent would set it right for ever
            return decision
        return attrs.evolve(decision, status=attrs.evolve(decision.status, agent=None))

    written = status_writes(stage)
    monkeypatch.setattr(MachineController, "decide", meddling)
    stage.simulation.hosts["n003"].hang(kernel_lines())
    stage.simulation.rest(limit=HOUR)
    assert [act for act in written[CONTROLLER] if "agent" in act.body]


def test_a_ledger_of_another_name_means_nothing(stage: Stage) -> None:
    """A forged hold is no permit, and the real ledger stays in force."""
    simulation = stage.simulation
    simulation.create(m.RiskLedger(metadata=m.ObjectMeta(name="other")))
    simulation.change(m.RiskLedger, "other", {"spec": {}})
    simulation.hosts["n003"].hang(kernel_lines())
    simulation.rest(limit=HOUR)
    assert [job.status.phase for job in stage.all(m.RemedyOperationJob)] == ["Succeeded"]
    assert stage.phases() == {"Running": 6}


def test_policies_and_remediers_say_that_they_are_in_force(stage: Stage) -> None:
    """Accepted is True for what is understood, and False with the fix where a plugin is missing."""
    stage.simulation.create(
        m.NodeRemedier(
            metadata=m.ObjectMeta(name="gpu"),
            spec=m.NodeRemedierSpec(
                condition=m.ConditionMatch(type="GpuLost"), ladder=(m.Rung(action="gpu-reset"),)
            ),
        )
    )
    stage.simulation.rest(limit=HOUR)
    said = {
        one.metadata.name: [(c.type, c.status.value, c.reason) for c in one.status.conditions]
        for one in (*stage.all(m.NodeRemedier), *stage.all(m.RiskPolicy))
    }
    assert said == {
        "hung-task": [("Accepted", "True", "InForce")],
        "default": [("Accepted", "True", "InForce"), ("Effective", "True", "Limits")],
        "gpu": [("Accepted", "False", "PluginMissing")],
    }


def test_one_bad_key_does_not_stop_the_others(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fault handler that survives, a decider's bug costs its own machine only."""
    from kubenode.runtime.controller.remedy import RemedyController
    from kubenode.runtime.controller.wiring import FIRST

    question = RemedyController.question

    def faulty(self: RemedyController, key: str, now: m.Now, sightings: dict[str, int]) -> object:
        if key == "n001":
            raise ZeroDivisionError
        return question(self, key, now, sightings)

    monkeypatch.setattr(RemedyController, "question", faulty)
    told: list[str] = []
    process = stage.simulation.controller(fault=lambda key, error: told.append(f"{key} {error!r}"))
    stage.simulation.processes[CONTROLLER] = process
    process.start()
    process.inputs.append(FIRST)
    stage.simulation.hosts["n003"].hang(kernel_lines())
    stage.simulation.run_until(lambda: not stage.simulation.hosts["n003"].hung, limit=HOUR)
    assert not stage.simulation.hosts["n003"].hung
    assert set(told) == {"remedy/n001 ZeroDivisionError()"}
    assert len(told) < 300  # it rests between its tries, and longer each time


def test_a_node_that_three_machines_claim_counts_once() -> None:
    """One NotReady Node is one NotReady Node: no outage is made of a mix-up."""
    cache = Cache(m.WATCHED)
    inventory = Inventory(cache)

    def put(obj: m.Object) -> None:
        held = cache._objects[type(obj)]
        change = Change(kind=type(obj), before=held.get(obj.metadata.name), after=obj)
        held[obj.metadata.name] = obj
        inventory.fold(change)

    def node(ready: m.Switch) -> m.Node:
        labels = {"topology.kubernetes.io/zone": "a"}
        status = m.NodeStatus(conditions=(m.NodeCondition(type="Ready", status=ready),))
        return m.Node(metadata=m.ObjectMeta(name="n", labels=labels), status=status)

    for name in ("m1", "m2", "m3"):
        agent = m.AgentStatus(node_name="n")
        put(
            m.Machine(
                metadata=m.ObjectMeta(name=name, uid=name),
                spec=m.MachineSpec(),
                status=m.MachineStatus(agent=agent),
            )
        )
    assert inventory.zones() == {}
    put(node(m.Switch.TRUE))
    assert inventory.zones() == {"a": ZoneTally(nodes=1)}
    put(node(m.Switch.FALSE))
    assert inventory.zones() == {"a": ZoneTally(nodes=1, not_ready=1)}
    assert inventory.claimants("n") == ("m1", "m2", "m3")


def test_the_first_writes_of_a_new_cluster_may_fail(stage: Stage) -> None:
    """However late the ledger comes, no machine is Running before it, so no history counts as lost."""
    assert ledger(stage).status.blind_until == 0
    late = Stage("late", Cast.read([examples() / "hung.yaml"]).with_machines(3), seed=0, tell=lambda _: None)
    refused = 0

    def crash(point: CrashPoint) -> None:
        nonlocal refused
        is_ledger = isinstance(point.act, WriteStatus) and point.act.object.kind == "RiskLedger"
        if is_ledger and refused < 5 and not point.after:
            refused += 1
            raise SimulatedCrash

    late.simulation.processes[CONTROLLER].watchman = crash
    late.open()
    late.until_running()
    assert (refused, ledger(late).status.blind_until) == (5, 0)


def test_a_held_machine_is_left_alone_until_the_label_goes(stage: Stage) -> None:
    """On the Machine: no episode opens for its hung task; without the label it is healed."""
    simulation = stage.simulation
    simulation.change(m.Machine, "n003", {"metadata": {"labels": {HOLD_LABEL: "vendor"}}})
    simulation.hosts["n003"].hang(kernel_lines())
    simulation.rest(limit=HOUR)
    assert list(stage.all(m.RemedyOperationJob)) == []
    simulation.change(m.Machine, "n003", {"metadata": {"labels": {HOLD_LABEL: None}}})
    simulation.rest(limit=HOUR)
    assert [job.status.phase for job in stage.all(m.RemedyOperationJob)] == ["Succeeded"]


def test_a_person_forces_an_episode_through_a_freeze(stage: Stage) -> None:
    """The permit of the annotated job is given at once, and the ledger says that it was a human's."""
    simulation = stage.simulation
    stop = m.RiskPolicy(
        metadata=m.ObjectMeta(name="stop"),
        spec=m.RiskPolicySpec(limits=(m.Limit(scope=m.Scope.ZONE, max=m.IntOrPercent(0)),)),
    )
    simulation.create(stop)
    simulation.hosts["n003"].hang(kernel_lines())
    simulation.run_until(lambda: bool(stage.all(m.RemedyOperationJob)), limit=HOUR)
    simulation.rest(limit=HOUR)
    (job,) = stage.all(m.RemedyOperationJob)
    assert (job.status.phase, ledger(stage).status.holds) == ("Waiting", ())
    freeze = {"freeze": [{"scope": "cluster", "reason": "power"}]}
    simulation.change(m.RiskPolicy, "stop", {"spec": freeze})
    simulation.change(m.RemedyOperationJob, job.metadata.name, {"metadata": {"annotations": {FORCED: "ada"}}})
    simulation.run_until(lambda: bool(ledger(stage).status.holds), limit=HOUR)
    assert [hold.cause for hold in ledger(stage).status.holds] == [m.Cause.HUMAN]
    simulation.rest(limit=HOUR)
    assert [job.status.phase for job in stage.all(m.RemedyOperationJob)] == ["Succeeded"]


def test_a_permit_outlives_a_progress_deadline_while_the_agent_may_still_work() -> None:
    """The set wrote the member off; its entry stands and the agent has not answered: it asks as one that holds.

    Its answer, done or failed, ends that; and a ledger that is made anew is told of the act by the entry.
    """
    cache = Cache(m.WATCHED)
    inventory = Inventory(cache)
    act = op_id("rollout", "S", 2, "U")
    member = m.Member(name="n1", uid="U", op_id=act, state=m.MemberState.FAILED)
    owner = m.MachineComponentSet(
        metadata=m.ObjectMeta(name="kubelet", uid="S", resource_version="1"),
        spec=m.MachineComponentSetSpec(name="kubelet", component="kubelet-2"),
        status=m.MachineComponentSetStatus(
            update=m.Revision(number=2, component="kubelet-2"),
            batch=m.Batch(number=1, opened_at=WHEN, members=(member,)),
        ),
    )
    row = m.Hold(
        op_id=act, machine="n1", machine_uid="U", cause=m.Cause.ROLLOUT, scopes=("cluster",), since=5
    )

    def machine(report: m.ComponentReport | None, version: int) -> m.Machine:
        entry = m.ComponentEntry(set="kubelet", component="kubelet-2", revision="2")
        return m.Machine(
            metadata=m.ObjectMeta(name="n1", uid="U", resource_version=str(version)),
            spec=m.MachineSpec(host=m.Host(address="h"), components={"kubelet": entry}),
            status=m.MachineStatus(
                phase="Updating", first_running=WHEN,
                agent=m.AgentStatus(components={} if report is None else {"kubelet": report}),
            ),
        )  # fmt: skip

    def tell(obj: m.Object) -> None:
        raw = wire.dump(obj)
        raw["metadata"].update(uid=obj.metadata.uid, resourceVersion=obj.metadata.resource_version)
        change = cache.take(type(obj), WatchEvent(type=EventType.MODIFIED, object=raw))
        assert change is not None
        inventory.fold(change)

    def held() -> list[str]:
        question = RiskController(cache, inventory).question("cluster", m.Now(wall=WHEN, elapsed=0), {})
        assert question is not None
        return [ask.op_id for ask in question.snapshot.asks if not ask.waiting]

    tell(owner)
    tell(machine(None, 2))
    assert held() == [act], "no ledger: what is under way is found by its entry"
    status = m.RiskLedgerStatus(checkpoint=9, holds=(row,))
    tell(m.RiskLedger(metadata=m.ObjectMeta(name="cluster", uid="L", resource_version="3"), status=status))
    assert held() == [act], "written off by time alone"
    tell(machine(m.ComponentReport(revision="1"), 4))
    assert held() == [act], "the agent has dealt with the revision before"
    for version, reason in ((5, "Digest"), (6, "")):
        tell(machine(m.ComponentReport(revision="2", reason=reason), version))
        assert held() == []
