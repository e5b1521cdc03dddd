"""The rollout controller wired: people's labels and freezes reach the decider, and their end wakes it."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.model.meta import HOLD_LABEL
from kubenode.core.model.world import Node, NodeCondition, NodeStatus
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.controller.rollout import RolloutController
from kubenode.runtime.sim.story import Cast, Stage, examples
from kubenode.runtime.store.cache import Cache, Change
from kubenode.runtime.store.contract import EventType, WatchEvent

HOUR = timedelta(hours=1)
WHEN = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.fixture
def stage() -> Stage:
    """Six machines, Running and at rest, with the upgrade story's component; nothing has changed yet."""
    stage = Stage(
        "test", Cast.read([examples() / "upgrade.yaml"]).with_machines(6), seed=0, tell=lambda _: None
    )
    stage.open()
    stage.until_running()
    stage.simulation.rest(limit=HOUR)
    return stage


def updated(stage: Stage) -> list[str]:
    """Name the machines whose entry asks for the new component."""
    found = []
    for machine in stage.all(m.Machine):
        entry = machine.spec.components.get("node-exporter")
        if entry is not None and entry.component == "node-exporter-1.9.0":
            found.append(machine.metadata.name)
    return sorted(found)


@pytest.mark.parametrize("kind", [m.Machine, m.Node])
def test_a_rollout_passes_over_who_is_held_until_the_label_goes(stage: Stage, kind: type[m.Object]) -> None:
    """On the Machine or on its Node: all others are updated, the set says that one is held; then it takes its turn."""
    simulation, names = stage.simulation, sorted(one.metadata.name for one in stage.all(m.Machine))
    name = "n003" if kind is m.Machine else "node-n003"
    simulation.change(kind, name, {"metadata": {"labels": {HOLD_LABEL: "vendor"}}})
    stage.change()
    simulation.rest(limit=24 * HOUR)
    owner = stage.read(m.MachineComponentSet, "node-exporter")
    assert updated(stage) == [one for one in names if one != "n003"]
    assert (owner.status.phase, owner.status.held) == ("Paused", 1)
    assert "n003 held by label kubenode.dev/hold" in owner.status.conditions[0].message
    simulation.change(kind, name, {"metadata": {"labels": {HOLD_LABEL: None}}})
    simulation.rest(limit=24 * HOUR)
    assert updated(stage) == names
    assert stage.read(m.MachineComponentSet, "node-exporter").status.phase == "Complete"


def test_a_freeze_and_its_end_wake_the_sets_with_an_open_batch() -> None:
    """A RiskPolicy, and a Node whose readiness turned, concern them; sets at rest and heartbeats concern nobody."""
    cache = Cache(m.WATCHED)
    inventory = Inventory(cache)
    controller = RolloutController(cache, inventory)
    batch = m.Batch(number=1, opened_at=WHEN, members=(m.Member(name="n1", uid="U", op_id="op"),))
    for name, open_ in (("open", batch), ("rest", None)):
        owner = m.MachineComponentSet(
            metadata=m.ObjectMeta(name=name, uid=name, resource_version="1"),
            spec=m.MachineComponentSetSpec(name=name, component="c"),
            status=m.MachineComponentSetStatus(batch=open_),
        )
        raw = wire.dump(owner)
        raw["metadata"].update(uid=name, resourceVersion="1")
        change = cache.take(m.MachineComponentSet, WatchEvent(type=EventType.ADDED, object=raw))
        assert change is not None
        inventory.fold(change)
    policy = m.RiskPolicy(metadata=m.ObjectMeta(name="p"), spec=m.RiskPolicySpec())
    for before, after in ((None, policy), (policy, None)):
        assert list(controller.concerns(Change(kind=m.RiskPolicy, before=before, after=after))) == ["open"]
    down = Node(metadata=m.ObjectMeta(name="far"))
    ready = NodeCondition(type="Ready", status=m.Switch.TRUE)
    up = attrs.evolve(down, status=NodeStatus(conditions=(ready,)))
    assert list(controller.concerns(Change(kind=m.Node, before=down, after=up))) == ["open"]
    assert list(controller.concerns(Change(kind=m.Node, before=up, after=up))) == []
