"""Deletion drains: a machine that is to end is cordoned, its Pods are evicted as budgets allow, and then it goes on."""

from datetime import timedelta
from typing import Any

import pytest

from kubenode.core import model as m
from kubenode.core.decision import Evict, PatchNode, SetEntry
from kubenode.core.identity import deletion_op_id
from kubenode.core.node.cordon import CORDONED_BY
from kubenode.core.step import Reboot
from kubenode.runtime.engine.apply import CrashPoint
from kubenode.runtime.sim.run import CONTROLLER
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.story import Cast, Stage, examples
from kubenode.runtime.sim.workload import App, Apps
from kubenode.runtime.store.embedded import now_or_never
from tests.stories import drifting

HOUR = timedelta(hours=1)


def staged(machines: int = 3) -> tuple[Stage, Apps]:
    """Machines that are Running and at rest, and nothing on them."""
    cast = Cast.read([examples() / "hung.yaml"]).with_machines(machines)
    stage = Stage("test", cast, seed=0, tell=lambda _: None)
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=HOUR)
    return stage, Apps(stage.simulation)


def message(stage: Stage, name: str) -> str:
    """Give the message of the condition Drained; empty when there is none."""
    machine = stage.read(m.Machine, name)
    return next((one.message for one in machine.status.conditions if one.type == "Drained"), "")


def effects(stage: Stage) -> list[Any]:
    """Note the evictions and patches of Nodes."""
    done: list[Any] = []

    def note(point: CrashPoint) -> None:
        if not point.after and isinstance(point.act, Evict | PatchNode):
            done.append(point.act)

    stage.simulation.processes[CONTROLLER].watchman = note
    return done


def delete(stage: Stage, name: str, policy: str = "Terminate") -> None:
    """Ask for the deletion of a machine."""
    stage.simulation.change(m.Machine, name, {"spec": {"deletionPolicy": policy}})
    now_or_never(stage.simulation.store.delete(m.Machine.KIND, name))


def said(stage: Stage, name: str, type: str = "Drained") -> str:
    """Give the reason of a condition; empty when there is none."""
    machine = stage.read(m.Machine, name)
    return next((one.reason for one in machine.status.conditions if one.type == type), "")


def test_deletion_drains_the_node() -> None:
    """Cordon first, then evictions with the uid, then Drained; and only then what ends the machine."""
    stage, apps = staged()
    done = effects(stage)
    apps.add(App(name="web", replicas=3, spare=1), ["node-n001", "node-n002", "node-n003"])
    apps.add(App(name="agent", owner="DaemonSet"), ["node-n001"])
    (web,) = (pod for pod in apps.on("node-n001") if pod.name.startswith("web"))
    delete(stage, "n001")
    assert stage.simulation.run_until(lambda: said(stage, "n001") == "PodsGone", limit=HOUR)
    stage.simulation.rest(limit=HOUR)
    machine, node = stage.read(m.Machine, "n001"), stage.read(m.Node, "node-n001")
    assert machine.status.phase == "Draining"
    assert said(stage, "n001", "Ready") == "TerminateUnsupported"
    assert node.spec.unschedulable
    op_id = deletion_op_id(machine.metadata.uid)
    assert node.metadata.annotations[CORDONED_BY] == op_id
    assert [pod.owner for pod in apps.on("node-n001")] == ["DaemonSet"]
    cordon, evict = done
    assert cordon.unschedulable is True
    assert (evict.pod.name, evict.pod.uid) == (web.name, web.uid)
    assert [hold.op_id for hold in stage.read(m.RiskLedger, "cluster").status.holds] == [op_id]


def test_a_host_that_is_released_is_not_drained() -> None:
    """What runs on it goes on."""
    stage, apps = staged()
    done = effects(stage)
    apps.add(App(name="web", replicas=3, spare=1), ["node-n001", "node-n002", "node-n003"])
    delete(stage, "n001", "Release")
    stage.simulation.rest(limit=HOUR)
    assert [one.metadata.name for one in stage.all(m.Machine)] == ["n002", "n003"]
    assert not any(isinstance(one, Evict) or one.unschedulable for one in done)
    assert len(apps.on("node-n001")) == 1


def hang(stage: Stage, name: str) -> None:
    """Let a kernel hang, and all of it be over."""
    stage.simulation.hosts[name].hang(kernel_lines())
    stage.simulation.rest(limit=6 * HOUR)


def policy(stage: Stage, name: str, **drain: Any) -> None:
    """Give a machine a drain policy."""
    stage.simulation.change(m.Machine, name, {"spec": {"drain": drain}})


def job(stage: Stage) -> m.RemedyOperationJob:
    """Give the one episode."""
    (found,) = stage.all(m.RemedyOperationJob)
    assert isinstance(found, m.RemedyOperationJob)
    return found


def left_as_it_was(stage: Stage, name: str) -> None:
    """No cordon, no permit and no word of a drain is left."""
    node, machine = stage.read(m.Node, f"node-{name}"), stage.read(m.Machine, name)
    assert not node.spec.unschedulable
    assert CORDONED_BY not in node.metadata.annotations
    assert machine.status.drain is None
    assert said(stage, name) == ""
    assert stage.read(m.RiskLedger, "cluster").status.holds == ()


def reboots(stage: Stage, name: str) -> int:
    """Count the reboots of a host."""
    return sum(isinstance(step, Reboot) for span in stage.simulation.hosts[name].spans for step in span.steps)


NODES = ["node-n001", "node-n002", "node-n003"]


def test_a_reboot_drains_first() -> None:
    """No Pod is left that was not evicted (a hung kubelet ends none); in the end the Node takes Pods again."""
    stage, apps = staged()
    apps.add(App(name="web", replicas=3, spare=1), NODES)
    there: list[int] = []

    def note() -> None:
        if reboots(stage, "n001"):
            there.append(sum(not pod.deleting for pod in apps.on("node-n001")))

    stage.simulation.watch(note)
    hang(stage, "n001")
    assert job(stage).status.phase == "Succeeded"
    assert reboots(stage, "n001") == 1
    assert there[0] == 0
    left_as_it_was(stage, "n001")
    assert len(apps.all()) == 3


def test_a_budget_that_blocks_ends_the_rung_when_its_time_is_over() -> None:
    """GiveUp: it is named while it blocks, nothing is rebooted, the next rung begins, here a human's turn."""
    stage, apps = staged()
    policy(stage, "n001", timeout="10m")
    apps.add(App(name="db", replicas=3, spare=0), NODES)
    told: list[str] = []
    stage.simulation.watch(lambda: told.append(message(stage, "n001")))
    hang(stage, "n001")
    assert "1 are held up: default/db-1 (PodDisruptionBudget default/db: 3 healthy, 3 needed)" in told
    assert job(stage).status.phase == "HandedOver"
    assert (
        job(stage)
        .status.attempts[-1]
        .verdict.startswith("its Node could not be drained: not done within 10m")
    )
    assert reboots(stage, "n001") == 0
    assert len(apps.on("node-n001")) == 1
    left_as_it_was(stage, "n001")


def test_a_budget_that_blocks_is_overruled_by_a_policy_that_says_so() -> None:
    """Force: after the time the reboot goes on, and the Pod is still there."""
    stage, apps = staged()
    policy(stage, "n001", timeout="10m", onTimeout="Force")
    apps.add(App(name="db", replicas=3, spare=0), NODES)
    before = stage.simulation.time.elapsed
    hang(stage, "n001")
    assert job(stage).status.phase == "Succeeded"
    assert reboots(stage, "n001") == 1
    (span,) = (
        one
        for one in stage.simulation.hosts["n001"].spans
        if any(isinstance(step, Reboot) for step in one.steps)
    )
    assert span.began - before >= 600 * 10**9
    left_as_it_was(stage, "n001")


def test_a_persons_cordon_is_never_undone() -> None:
    """The Node was cordoned before: it is drained without a mark of ours, and stays cordoned."""
    stage, apps = staged()
    apps.add(App(name="web", replicas=3, spare=1), NODES)
    stage.simulation.change(m.Node, "node-n001", {"spec": {"unschedulable": True}})
    hang(stage, "n001")
    node = stage.read(m.Node, "node-n001")
    assert job(stage).status.phase == "Succeeded"
    assert node.spec.unschedulable
    assert CORDONED_BY not in node.metadata.annotations
    assert apps.on("node-n001") == ()


def test_a_cordon_that_somebody_undoes_is_not_fought_over() -> None:
    """Nothing more is evicted; the rung is given up in its time, and nothing of ours is left."""
    stage, apps = staged()
    policy(stage, "n001", timeout="10m")
    apps.add(App(name="db", replicas=3, spare=0), NODES)
    stage.simulation.hosts["n001"].hang(kernel_lines())
    stage.simulation.run_until(lambda: said(stage, "n001") == "DrainBlocked", limit=HOUR)
    stage.simulation.change(m.Node, "node-n001", {"spec": {"unschedulable": None}})
    assert stage.simulation.run_until(lambda: said(stage, "n001") == "CordonUndone", limit=HOUR)
    stage.simulation.rest(limit=6 * HOUR)
    assert job(stage).status.phase == "HandedOver"
    left_as_it_was(stage, "n001")


def test_a_cordon_whose_permit_is_gone_is_taken_back() -> None:
    """Whatever a process left behind: ours goes when its op-id holds nothing any more."""
    stage, _ = staged()
    stage.simulation.change(
        m.Node,
        "node-n001",
        {"metadata": {"annotations": {CORDONED_BY: "remedy-0"}}, "spec": {"unschedulable": True}},
    )
    stage.simulation.rest(limit=HOUR)
    left_as_it_was(stage, "n001")


@pytest.mark.parametrize("disruption", [m.Disruption.DRAIN, m.Disruption.REBOOT])
def test_a_component_that_drains_or_reboots_waits_for_the_drain(disruption: m.Disruption) -> None:
    """The entry is written when the Node is empty; the next machine follows when this one takes Pods again."""
    stage = Stage("test", drifting.cast_of(3, disruption=disruption), seed=0, tell=lambda _: None)
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=HOUR)
    apps = Apps(stage.simulation)
    apps.add(App(name="web", replicas=3, spare=1), NODES)
    done: list[str] = []

    def note(point: CrashPoint) -> None:
        if isinstance(point.act, SetEntry) and not point.after:
            left = [pod for pod in apps.on(f"node-{point.act.machine.name}") if not pod.deleting]
            done.append(f"{point.act.machine.name}: {len(left)}")

    stage.simulation.processes[CONTROLLER].watchman = note
    stage.simulation.change(
        m.MachineComponentSet, drifting.NAME, {"spec": {"component": f"{drifting.NAME}-2"}}
    )
    stage.simulation.rest(limit=6 * HOUR)
    assert sorted(done) == ["n001: 0", "n002: 0", "n003: 0"]
    assert stage.read(m.MachineComponentSet, drifting.NAME).status.phase == "Complete"
    for name in ("n001", "n002", "n003"):
        left_as_it_was(stage, name)
    assert len(apps.all()) == 3


@pytest.mark.parametrize(("cause", "phase"), [("update", "Updating"), ("reboot", "Repairing")])
def test_a_drain_for_an_update_or_a_reboot_is_a_condition_inside_updating_or_repairing(
    cause: str, phase: str
) -> None:
    """Whenever a machine that is not to go has the condition Drained, that is its phase; it is never Draining."""
    if cause == "update":
        stage = Stage("test", drifting.cast_of(2, disruption=m.Disruption.DRAIN), seed=0, tell=lambda _: None)
        stage.open()
        stage.until_running()
        stage.simulation.rest(limit=HOUR)
        apps = Apps(stage.simulation)
    else:
        stage, apps = staged()
    apps.add(App(name="web", replicas=2, spare=1), NODES[:2])
    seen: set[tuple[str, bool]] = set()

    def note() -> None:
        for machine in stage.all(m.Machine):
            seen.add((machine.status.phase, any(one.type == "Drained" for one in machine.status.conditions)))

    stage.simulation.watch(note)
    if cause == "update":
        body: m.Json = {"spec": {"component": f"{drifting.NAME}-2"}}
        stage.simulation.change(m.MachineComponentSet, drifting.NAME, body)
        stage.simulation.rest(limit=6 * HOUR)
    else:
        hang(stage, "n001")
    assert (phase, True) in seen
    assert {where for where, drained in seen if drained} == {phase}
    assert "Draining" not in {where for where, _ in seen}


def test_a_member_whose_node_cannot_be_drained_fails() -> None:
    """With the reason; the rollout stops, nothing was written to it, and its Node takes Pods again."""
    stage = Stage("test", drifting.cast_of(3), seed=0, tell=lambda _: None)
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=HOUR)
    for name in ("n001", "n002", "n003"):
        policy(stage, name, timeout="10m")
    apps = Apps(stage.simulation)
    apps.add(App(name="db", replicas=3, spare=0), NODES)
    stage.simulation.change(
        m.MachineComponentSet, drifting.NAME, {"spec": {"component": f"{drifting.NAME}-2"}}
    )
    stage.simulation.rest(limit=6 * HOUR)
    owner = stage.read(m.MachineComponentSet, drifting.NAME)
    (failed,) = owner.status.failed
    assert failed.reason == "DrainTimedOut"
    assert stage.read(m.Machine, failed.name).spec.components[drifting.NAME].component == f"{drifting.NAME}-1"
    left_as_it_was(stage, failed.name)


def test_repair_of_drift_drains_first() -> None:
    """Drift of class reboot: the file is put right when no Pod is left."""
    stage = Stage("test", drifting.cast_of(3), seed=0, tell=lambda _: None)
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=HOUR)
    apps = Apps(stage.simulation)
    apps.add(App(name="web", replicas=3, spare=1), NODES)
    host = stage.simulation.hosts["n002"]
    left: list[int] = []
    drifting.spoil(host)
    stage.simulation.watch(
        lambda: left.append(len(apps.on("node-n002"))) if host.files[drifting.PATH] == drifting.GOOD else None
    )
    stage.simulation.rest(limit=6 * HOUR)
    assert job(stage).status.phase == "Succeeded"
    assert left[0] == 0
    left_as_it_was(stage, "n002")


def test_a_machine_whose_node_we_cordoned_counts_as_unavailable() -> None:
    """Though its Node is Ready; when the cordon is gone, it does not any more."""
    stage = Stage("test", drifting.cast_of(2), seed=0, tell=lambda _: None)
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=HOUR)
    Apps(stage.simulation).add(App(name="db", replicas=2, spare=0), NODES[:2])
    for name in ("n001", "n002"):
        policy(stage, name, timeout="10m")
    stage.simulation.change(
        m.MachineComponentSet, drifting.NAME, {"spec": {"component": f"{drifting.NAME}-2"}}
    )
    names = ("n001", "n002")
    stage.simulation.run_until(lambda: any(said(stage, one) == "DrainBlocked" for one in names), limit=HOUR)
    fold: Any = stage.simulation.processes[CONTROLLER].engine._fold
    uids = {stage.read(m.Machine, one).metadata.uid for one in names if said(stage, one) == "DrainBlocked"}
    assert len(uids) == 1
    assert fold.__self__.absent(drifting.NAME) == uids
    stage.simulation.rest(limit=6 * HOUR)
    assert fold.__self__.absent(drifting.NAME) == frozenset()
