"""Small objects of every kind the inventory folds, and a world that follows them as an engine does."""

from datetime import UTC, datetime

import attrs

from kubenode.core import model as m
from kubenode.core import wire
from kubenode.core.model.remedy import Cause as Sickness
from kubenode.runtime.controller.inventory import Inventory
from kubenode.runtime.store.cache import Cache, Change
from kubenode.runtime.store.contract import EventType, WatchEvent

RAN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = m.Now(wall=RAN, elapsed=0)
READY = m.NodeCondition(type="Ready", status=m.Switch.TRUE)
ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"


def machine(
    name: str, pool: str = "a", *, phase: str = "Running", node: str = "", owner: str = "", gone: bool = False
) -> m.Machine:
    """A machine of a pool; in a phase other than Pending it has been Running."""
    ref = m.SetRef(name=owner, uid=f"uid-{owner}") if owner else None
    metadata = m.ObjectMeta(
        name=name, uid=f"uid-{name}", labels={"pool": pool}, deletion_timestamp=RAN if gone else None
    )
    status = m.MachineStatus(
        phase=phase, first_running=None if phase == "Pending" else RAN, agent=m.AgentStatus(node_name=node)
    )
    return m.Machine(metadata=metadata, spec=m.MachineSpec(set_ref=ref), status=status)


def node(name: str, *, zone: str = "z1", region: str = "r1", ready: bool = True) -> m.Node:
    """A Node of a zone."""
    metadata = m.ObjectMeta(name=name, uid=f"uid-{name}", labels={ZONE: zone, REGION: region})
    return m.Node(metadata=metadata, status=m.NodeStatus(conditions=(READY,) if ready else ()))


def machine_set(name: str, pool: str) -> m.MachineSet:
    """A set of all machines of a pool."""
    template = m.MachineTemplate(
        labels={"pool": pool}, spec=m.MachineTemplateSpec(infrastructure=m.Infrastructure(provider="memory"))
    )
    spec = m.MachineSetSpec(selector=m.Selector(match_labels={"pool": pool}), template=template)
    return m.MachineSet(metadata=m.ObjectMeta(name=name, uid=f"uid-{name}"), spec=spec)


def component_set(name: str, pool: str, *, is_open: bool = False) -> m.MachineComponentSet:
    """A set that runs a component on a pool, perhaps with an open batch."""
    spec = m.MachineComponentSetSpec(
        selector=m.Selector(match_labels={"pool": pool}), name=name, component=f"{name}-1"
    )
    batch = m.Batch(number=1, opened_at=RAN, members=()) if is_open else None
    return m.MachineComponentSet(
        metadata=m.ObjectMeta(name=name, uid=f"uid-{name}"), spec=spec,
        status=m.MachineComponentSetStatus(batch=batch),
    )  # fmt: skip


def episode(
    machine: str, number: int, *states: m.AttemptState, phase: str = "Acting"
) -> m.RemedyOperationJob:
    """An episode of a machine, with attempts in these states."""
    name = f"{machine}-{number}"
    ref = m.MachineRef(name=machine, uid=f"uid-{machine}")
    attempts = tuple(
        m.Attempt(number=at, rung=0, action="reboot", op_id=f"{name}-{at}", state=state, since=RAN)
        for at, state in enumerate(states, start=1)
    )
    return m.RemedyOperationJob(
        metadata=m.ObjectMeta(name=name, uid=f"uid-{name}"),
        spec=m.RemedyOperationJobSpec(machine=ref, remedier="r", episode=number, cause=Sickness(type="Sick")),
        status=m.RemedyOperationJobStatus(phase=phase, attempts=attempts),
    )


def served(obj: m.Object, version: int) -> m.Json:
    """The object as a server serves it."""
    return wire.dump(attrs.evolve(obj, metadata=attrs.evolve(obj.metadata, resource_version=str(version))))  # type: ignore[misc]


class World:
    """A cache and an inventory that follow a watch, as an engine's do."""

    def __init__(self) -> None:
        self.cache = Cache(m.WATCHED)
        self.inventory = Inventory(self.cache)
        self.version = 0

    def tell(self, obj: m.Object, *, gone: bool = False) -> Change | None:
        """Let the watch tell of an object."""
        self.version += 1
        told = WatchEvent(
            type=EventType.DELETED if gone else EventType.MODIFIED, object=served(obj, self.version)
        )
        change = self.cache.take(type(obj), told)
        if change is not None:
            self.inventory.fold(change)
        return change

    def counts(self) -> object:
        """What the risk decider weighs."""
        kept = self.inventory
        absent = {one: kept.absent(one) for one in ("x", "y") if kept.absent(one)}
        return kept.zones(), kept.up(), absent

    def crews(self) -> object:
        """The machines of each MachineSet, and which of them another set selects too."""
        crews = self.inventory.crews
        return {
            owner.metadata.name: {
                one.metadata.name: crews.is_selected_by_another(one, owner)
                for one in crews.machines(owner.metadata.name)
            }
            for owner in self.cache.all(m.MachineSet)
        }

    def sets(self) -> object:
        """The component sets of each machine and those with an open batch, as the index has them."""
        kept = self.inventory.sets
        machines = [one.metadata.name for one in self.cache.all(m.Machine)]
        return {name: kept.selecting(name) for name in machines}, kept.open()

    def compared(self) -> tuple[dict[str, tuple[m.MachineComponentSet, ...]], object]:
        """The same, each machine compared with each set."""
        sets = sorted(self.cache.all(m.MachineComponentSet), key=lambda one: one.metadata.name)
        return {
            machine.metadata.name: tuple(
                one for one in sets if one.spec.selector.selects(machine.metadata.labels)
            )
            for machine in self.cache.all(m.Machine)
        }, tuple(one for one in sets if one.status.batch is not None)

    def recounted(self) -> "World":
        """A world that is told of all that is there now, and of nothing before."""
        fresh = World()
        for kind in (m.MachineComponentSet, m.MachineSet, m.Node, m.Machine):
            for obj in self.cache.all(kind):
                fresh.tell(obj)
        return fresh
