"""F57: the Node goes away in the middle of a drain, or comes back as another, or Pods come again on it."""

from kubenode.core import model as m
from kubenode.core.decision import Evict
from kubenode.runtime.sim.stories.hung import kernel_lines
from kubenode.runtime.sim.story import Stage
from kubenode.runtime.sim.workload import App, Apps
from kubenode.runtime.store.embedded import now_or_never
from tests.runtime.test_draining import (
    HOUR,
    NODES,
    delete,
    effects,
    hang,
    job,
    left_as_it_was,
    policy,
    reboots,
    said,
    staged,
)


def delete_node(stage: Stage, name: str) -> None:
    """Delete a Node, as a cloud's controller does whose look at an instance went wrong."""
    now_or_never(stage.simulation.store.delete(m.Node.KIND, f"node-{name}"))


def blocked(stage: Stage, apps: Apps) -> None:
    """Hang a kernel, and let the drain before its reboot be blocked."""
    policy(stage, "n001", timeout="10m")
    apps.add(App(name="db", replicas=3, spare=0), NODES)
    stage.simulation.hosts["n001"].hang(kernel_lines())
    assert stage.simulation.run_until(lambda: said(stage, "n001") == "DrainBlocked", limit=HOUR)


def test_a_node_that_is_deleted_while_it_is_drained_is_not_rebooted() -> None:
    """F57: the episode was about that Node, so it is cancelled: no eviction, no reboot of what is gone, no permit that stays."""
    stage, apps = staged()
    blocked(stage, apps)
    done = effects(stage)
    delete_node(stage, "n001")
    stage.simulation.rest(limit=6 * HOUR)
    assert done == []
    assert reboots(stage, "n001") == 0
    assert job(stage).status.phase == "Cancelled"
    assert job(stage).status.attempts[-1].verdict == "the Node that this episode was about is gone"
    assert said(stage, "n001", "NodeReady") == "NodeGone"
    assert stage.read(m.Machine, "n001").status.drain is None
    assert stage.read(m.RiskLedger, "cluster").status.holds == ()
    assert len(apps.on("node-n001")) == 1, "its budget still says that it may not go"


def test_a_node_that_comes_back_under_its_name_is_another() -> None:
    """F57: deleted and registered anew in mid-drain: the episode ends, and its host, which still hangs, gets one of its own, with a permit of its own."""
    stage, apps = staged()
    blocked(stage, apps)
    old = stage.read(m.Node, "node-n001")
    done = effects(stage)
    delete_node(stage, "n001")
    again = {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-n001", "labels": dict(old.metadata.labels)},
        "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]},
    }  # fmt: skip
    now_or_never(stage.simulation.store.create(m.Node.KIND, again))
    stage.simulation.rest(limit=6 * HOUR)
    new = stage.read(m.Node, "node-n001")
    assert new.metadata.uid != old.metadata.uid
    first, second = stage.all(m.RemedyOperationJob)
    assert isinstance(first, m.RemedyOperationJob)
    assert isinstance(second, m.RemedyOperationJob)
    assert (first.status.phase, second.status.phase) == ("Cancelled", "HandedOver")
    assert first.status.attempts[-1].op_id != second.status.attempts[-1].op_id
    assert second.status.attempts[-1].verdict.startswith("its Node could not be drained: not done within 10m")
    assert not any(isinstance(one, Evict) for one in done), "the budget holds for the new Node too"
    assert reboots(stage, "n001") == 0
    left_as_it_was(stage, "n001")


def test_a_node_that_is_deleted_while_its_machine_ends_holds_nothing_up() -> None:
    """F57: a deletion goes on: there is nobody left to drain."""
    stage, apps = staged()
    apps.add(App(name="db", replicas=3, spare=0), NODES)
    delete(stage, "n001")
    assert stage.simulation.run_until(lambda: said(stage, "n001") == "DrainBlocked", limit=HOUR)
    assert said(stage, "n001", "Ready") != "TerminateUnsupported"
    done = effects(stage)
    delete_node(stage, "n001")
    stage.simulation.rest(limit=HOUR)
    assert done == []
    assert said(stage, "n001", "Ready") == "TerminateUnsupported", "what follows a drain"
    assert stage.read(m.Machine, "n001").status.phase == "Deleting"


def test_pods_that_come_again_in_mid_drain_go_too() -> None:
    """F57: somebody binds a Pod to the cordoned Node when the first has gone: the reboot waits for that one too."""
    stage, apps = staged()
    apps.add(App(name="web", replicas=3, spare=1), NODES)
    there: list[int] = []

    def come() -> None:
        if "late" not in apps._apps and any(pod.deleting for pod in apps.on("node-n001")):
            apps.add(App(name="late"), ["node-n001"])
        if reboots(stage, "n001"):
            there.append(sum(not pod.deleting for pod in apps.on("node-n001")))

    stage.simulation.watch(come)
    done = effects(stage)
    hang(stage, "n001")
    evicted = [one.pod.name.partition("-")[0] for one in done if isinstance(one, Evict)]
    assert evicted == ["web", "late"]
    assert job(stage).status.phase == "Succeeded"
    assert reboots(stage, "n001") == 1
    assert there[0] == 0
    left_as_it_was(stage, "n001")
