"""A machine and its Node that take Decisions, as strictly as an API server would."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import attrs

from kubenode.core import model as m
from kubenode.core.decision import (
    NOTHING_SEEN,
    ApplyNode,
    Decision,
    Delete,
    Effect,
    Evict,
    GuardInstance,
    PatchNode,
    PatchNodeConditions,
    SetFinalizers,
)
from kubenode.core.instance.seen import InstanceSight
from kubenode.core.machine.decide import MachineSnapshot, decide
from kubenode.core.model.condition import Condition, find
from kubenode.core.model.meta import FINALIZER, SYNCED_ANNOTATIONS, SYNCED_LABELS, ObjectMeta
from kubenode.core.model.world import Pod, PodDisruptionBudget
from kubenode.core.node.sync import recorded, with_records
from kubenode.core.node.workload import Workload
from kubenode.core.policy import Policy

START = m.Now.at(datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC))
POLICY = Policy()
T = TypeVar("T", m.Machine, m.Node)


def machine(name: str = "m1", **spec: object) -> m.Machine:
    """An imported machine, its finalizer set."""
    given = {"host": m.Host(address="10.0.0.7")} | spec
    return m.Machine(
        metadata=ObjectMeta(name=name, uid=f"uid-{name}", resource_version="1", finalizers=(FINALIZER,)),
        spec=m.MachineSpec(**given),  # type: ignore[arg-type]
    )


def node(ready: m.Switch | None = m.Switch.TRUE, **given: object) -> m.Node:
    """A Node as its kubelet registers it."""
    said = (
        ()
        if ready is None
        else (m.NodeCondition(type="Ready", status=ready, reason="Kubelet", message="says so"),)
    )
    meta = {"name": "node-7", "uid": "node-uid", "resource_version": "1"} | given
    return m.Node(metadata=ObjectMeta(**meta), status=m.NodeStatus(conditions=said))  # type: ignore[arg-type]


def agent(**given: object) -> m.AgentStatus:
    """An agent that has reported from the host of `node()`."""
    return m.AgentStatus(**({"version": "0.1.0", "boot_id": "b1", "node_name": "node-7"} | given))  # type: ignore[arg-type]


def entry(
    component: str = "kubelet-1", revision: str = "1", state: m.Running = m.Running.RUNNING
) -> m.ComponentEntry:
    """An entry of the set `kubelet`."""
    return m.ComponentEntry(set="kubelet", component=component, revision=revision, state=state)


def report(component: str = "kubelet-1", revision: str = "1", **given: object) -> m.ComponentReport:
    """A report of a component at the target of `entry()`."""
    good = {"config": m.ConfigState.CURRENT, "state": m.Running.RUNNING} | given
    return m.ComponentReport(component=component, revision=revision, **good)  # type: ignore[arg-type]


def with_status(one: m.Machine, **status: object) -> m.Machine:
    """The machine with parts of its status changed."""
    return attrs.evolve(one, status=attrs.evolve(one.status, **status))


def with_meta(one: m.Machine, **meta: object) -> m.Machine:
    """The machine with parts of its metadata changed."""
    return attrs.evolve(one, metadata=attrs.evolve(one.metadata, **meta))


def deleted(one: m.Machine) -> m.Machine:
    """The machine after somebody asked for its deletion."""
    at = START.wall - timedelta(minutes=1)
    return with_meta(one, deletion_timestamp=at, generation=one.metadata.generation + 1)


@attrs.define(kw_only=True)
class World:
    """What a machine's decisions see and change."""

    machine: m.Machine | None
    node: m.Node | None = None
    rival: str = ""
    wanted: frozenset[str] = frozenset()
    hold: m.Cause | None = None
    holds: frozenset[str] = frozenset()
    drains: str = ""
    pods: tuple[Pod, ...] = ()
    budgets: tuple[PodDisruptionBudget, ...] = ()
    sightings: Mapping[str, int] = NOTHING_SEEN
    sight: InstanceSight | None = None
    barred: str = ""
    now: m.Now = START
    writes: int = 0

    @property
    def seen(self) -> MachineSnapshot:
        """The snapshot of this world."""
        assert self.machine is not None
        return MachineSnapshot(
            machine=self.machine,
            node=self.node,
            rival=self.rival,
            wanted=self.wanted,
            hold=self.hold,
            holds=self.holds,
            drains=self.drains,
            workload=self.look,
            sight=self.sight,
            barred=self.barred,
            now=self.now,
            sightings=self.sightings,
        )

    @property
    def look(self) -> Workload | None:
        """A look at the Node of this moment."""
        if self.node is None:
            return None
        return Workload(
            node=self.node.metadata.name, pods=self.pods, budgets=self.budgets, at=self.now.elapsed
        )

    def decide(self) -> Decision[m.MachineStatus]:
        """Decide on this world."""
        return decide(self.seen, POLICY)

    def apply(self, decision: Decision[m.MachineStatus], crash_after: int = 100) -> None:
        """Do what was decided: the status when it differs, then the effects; stop after so many writes."""
        self.sightings = decision.sightings
        for done, write in enumerate(self._writes(decision)):
            if done == crash_after:
                return
            self.writes += 1
            if isinstance(write, m.MachineStatus):
                assert self.machine is not None
                self.machine = attrs.evolve(_touched(self.machine), status=write)
            else:
                self._do(write)

    def _writes(self, decision: Decision[m.MachineStatus]) -> Iterator[m.MachineStatus | Effect]:
        assert self.machine is not None
        if decision.status is not None and decision.status != self.machine.status:
            assert decision.status.agent == self.machine.status.agent
            yield decision.status
        yield from decision.effects

    def _do(self, effect: Effect) -> None:
        match effect:
            case SetFinalizers():
                assert self.machine is not None
                assert effect.resource_version == self.machine.metadata.resource_version
                assert effect.object.uid == self.machine.metadata.uid
                self.machine = _touched(with_meta(self.machine, finalizers=effect.finalizers))
                if not effect.finalizers and self.machine.metadata.deletion_timestamp is not None:
                    self.machine = None
            case ApplyNode():
                self._check(effect)
                assert self.node is not None
                self.node = _touched(applied(self.node, effect))
            case PatchNode():
                self._check(effect)
                self.node = _patched(self.node, effect)
            case PatchNodeConditions():
                self._check(effect)
                assert self.node is not None
                self.node = _touched(
                    attrs.evolve(self.node, status=m.NodeStatus(conditions=effect.conditions))
                )
            case Evict():
                self.pods = tuple(
                    attrs.evolve(pod, deleting=True) if pod.uid == effect.pod.uid else pod
                    for pod in self.pods
                )
            case GuardInstance():
                assert self.sight is not None
                assert self.sight.known is not None
                told = attrs.evolve(self.sight.known, guard=effect.guard)
                self.sight = attrs.evolve(self.sight, known=told)
            case Delete():
                assert self.node is not None
                assert (effect.object.kind, effect.object.uid) == ("Node", self.node.metadata.uid)
                self.node = None
            case _:
                raise AssertionError(f"not the machine controller's to do: {effect}")

    def _check(self, effect: ApplyNode | PatchNode | PatchNodeConditions) -> None:
        assert self.node is not None
        assert effect.node.uid == self.node.metadata.uid
        assert effect.resource_version == self.node.metadata.resource_version

    def settle(self, most: int = 12) -> int:
        """Decide and apply until at rest; give how many decisions wrote something."""
        for wrote in range(most):
            if self.machine is None:
                return wrote
            before = self.writes
            self.apply(self.decide())
            if self.writes == before:
                return wrote
        raise AssertionError(f"not at rest after {most} decisions")

    def told(self) -> str:
        """One line for people: the phase, then each condition that is not True with its reason."""
        assert self.machine is not None
        status = self.machine.status
        rest = " ".join(
            f"{c.type}={c.status.value}/{c.reason}"
            for c in status.conditions
            if c.status is not m.Switch.TRUE
        )
        return f"{status.phase}: {rest or 'all True'}"

    def condition(self, type: str) -> Condition:
        """A condition of the machine."""
        assert self.machine is not None
        found = find(self.machine.status.conditions, type)
        assert found is not None
        return found


def _touched(one: T) -> T:
    version = str(int(one.metadata.resource_version) + 1)
    return attrs.evolve(one, metadata=attrs.evolve(one.metadata, resource_version=version))


def applied(one: m.Node, effect: ApplyNode) -> m.Node:
    """A Node after server-side apply by its one applier, who owns what the records say unless the value is another's now."""
    meta, annotations = one.metadata, with_records(effect)
    noted = {
        key: text
        for key in (SYNCED_LABELS, SYNCED_ANNOTATIONS)
        if (text := meta.annotations.get(key)) is not None
    }
    ours = recorded(noted.get(SYNCED_ANNOTATIONS, ""))
    return attrs.evolve(
        one,
        metadata=attrs.evolve(
            meta,
            labels=_as_applied(meta.labels, recorded(noted.get(SYNCED_LABELS, "")), effect.labels),
            annotations=_as_applied(meta.annotations, {**ours, **noted}, annotations),
        ),
    )


def _as_applied(
    there: Mapping[str, str], before: Mapping[str, str], wanted: Mapping[str, str]
) -> dict[str, str]:
    kept = {key: value for key, value in there.items() if before.get(key) != value}
    return {**kept, **wanted}


def _patched(one: m.Node | None, effect: PatchNode) -> m.Node:
    assert one is not None
    meta = attrs.evolve(
        one.metadata,
        annotations=_merged(one.metadata.annotations, effect.annotations),
    )
    spec = one.spec if effect.taints is None else attrs.evolve(one.spec, taints=effect.taints)
    if effect.unschedulable is not None:
        spec = attrs.evolve(spec, unschedulable=effect.unschedulable)
    return _touched(attrs.evolve(one, metadata=meta, spec=spec))


def _merged(old: object, patch: object) -> dict[str, str]:
    merged = {**old, **patch}  # type: ignore[dict-item]
    return {key: value for key, value in merged.items() if value is not None}
