"""A small world without a store: one set, its machines, and deciders that may see the past."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core.decision import Create, Decision, Delete, Effect, SetFinalizers, SetOwner
from kubenode.core.machineset.decide import MachineSetSnapshot, decide
from kubenode.core.machineset.order import zone_of
from kubenode.core.model.condition import Condition
from kubenode.core.model.machine import SetRef
from kubenode.core.model.machineset import MACHINESET_FINALIZER
from kubenode.core.policy import Policy

START = datetime(2026, 1, 1, tzinfo=UTC)
SET = "pool"
POOL = {"pool": "general"}
MINE = SetRef(name=SET, uid="uid-set")


def owner(replicas: int = 3, **spec: Any) -> m.MachineSet:
    """Give a set that has its finalizer."""
    template = m.MachineTemplate(
        labels=POOL, spec=m.MachineTemplateSpec(infrastructure=m.Infrastructure(provider="memory"))
    )
    wanted = m.MachineSetSpec(
        replicas=replicas, selector=m.Selector(match_labels=POOL), template=template, **spec
    )
    metadata = m.ObjectMeta(name=SET, uid="uid-set", resource_version="1", finalizers=(MACHINESET_FINALIZER,))
    return m.MachineSet(metadata=metadata, spec=wanted)


def machine(name: str, *, zone: str = "", mine: bool = True, up: bool = True, **metadata: Any) -> m.Machine:
    """Give a machine of the set that runs; `up=False`: that never ran."""
    labels = {**POOL, **({"topology.kubernetes.io/zone": zone} if zone else {})}
    known = {"uid": f"uid-{name}", "labels": labels, "creation_timestamp": START, **metadata}
    spec = m.MachineSpec(infrastructure=m.Infrastructure(provider="memory"), set_ref=MINE if mine else None)
    made = m.Machine(metadata=m.ObjectMeta(name=name, **known), spec=spec)
    return running(made) if up else made


def running(one: m.Machine, *, ready: bool = True, phase: str = "Running") -> m.Machine:
    """Give the machine as one that has run."""
    holds = m.Switch.TRUE if ready else m.Switch.FALSE
    told = Condition(type="NodeReady", status=holds, reason="Told", last_transition_time=START)
    return attrs.evolve(one, status=m.MachineStatus(phase=phase, first_running=START, conditions=(told,)))


@attrs.define
class World:
    """The set as stored, and its machines by name. `slow`: machines being deleted stay until `let_go`."""

    set: m.MachineSet
    machines: dict[str, m.Machine] = attrs.Factory(dict)
    slow: bool = False
    now: m.Now = m.Now(wall=START, elapsed=0)
    sightings: dict[str, int] = attrs.Factory(dict)
    contested: frozenset[str] = frozenset()
    crd_leaving: bool | None = False
    clash: int = 0
    gone: bool = False
    _version: int = 1
    _born: int = 0

    @classmethod
    def of(cls, replicas: int, count: int, **spec: Any) -> "World":
        """Give a world with machines that run, made by somebody."""
        known = {f"old-{number}": machine(f"old-{number}", zone="abc"[number % 3]) for number in range(count)}
        return cls(set=owner(replicas, **spec), machines=known)

    # What people do.

    def ask(self, **spec: Any) -> None:
        """Edit the set's spec."""
        self._version += 1
        metadata = attrs.evolve(
            self.set.metadata,
            generation=self.set.metadata.generation + 1,
            resource_version=str(self._version),
        )
        self.set = attrs.evolve(self.set, spec=attrs.evolve(self.set.spec, **spec), metadata=metadata)

    def delete(self, name: str) -> None:
        """Delete a machine, as a person would; it stays while its finalizer holds it."""
        one = self.machines[name]
        if one.metadata.deletion_timestamp is None:
            metadata = attrs.evolve(one.metadata, deletion_timestamp=START)
            self.machines[name] = attrs.evolve(one, metadata=metadata)

    def let_go(self) -> None:
        """Let the finalizers of all machines being deleted be removed."""
        self.machines = {
            name: one for name, one in self.machines.items() if one.metadata.deletion_timestamp is None
        }

    def start(self) -> None:
        """Let every machine that never ran run."""
        self.machines = {
            name: running(one) if one.status.first_running is None else one
            for name, one in self.machines.items()
        }

    def later(self, **span: float) -> None:
        """Let time pass."""
        self.now = self.now.plus(timedelta(**span))

    # What the controller sees and does.

    def snapshot(self, **changes: Any) -> MachineSetSnapshot:
        """Give what the decider may see now."""
        seen = MachineSetSnapshot(
            set=self.set, machines=tuple(self.machines.values()), contested=self.contested,
            crd_leaving=self.crd_leaving, now=self.now, sightings=self.sightings,
        )  # fmt: skip
        return attrs.evolve(seen, **changes)

    def step(self, *, until: int | None = None) -> bool:
        """Decide and apply; tell whether anything changed. `until`: crash after so many effects."""
        decision = decide(self.snapshot(), Policy())
        self.sightings = {} if until is not None else dict(decision.sightings)
        before = (self.set, dict(self.machines))
        self.apply(self.set, decision, until)
        return (self.set, self.machines) != before

    def apply(
        self, seen: m.MachineSet, decision: Decision[m.MachineSetStatus], until: int | None = None
    ) -> None:
        """Apply a Decision that was made on `seen`, as the engine and a server would."""
        if decision.status is not None and decision.status != seen.status:
            if seen.metadata.resource_version != self.set.metadata.resource_version:
                return  # a Conflict: the status was decided on an old set, and the first failure ends it
            self._version += 1
            metadata = attrs.evolve(self.set.metadata, resource_version=str(self._version))
            self.set = attrs.evolve(self.set, status=decision.status, metadata=metadata)
        for effect in decision.effects[:until]:
            if not self._do(effect):
                return

    def _do(self, effect: Effect) -> bool:
        match effect:
            case Create(object=m.Machine() as made):
                self._create(made)
            case Delete(object=where):
                known = self.machines.get(where.name)
                if known is not None and known.metadata.uid == where.uid:
                    self.delete(where.name)
                    _ = None if self.slow else self.machines.pop(where.name)
            case SetOwner():
                known = self.machines.get(effect.machine.name)
                if (
                    known is None
                    or known.metadata.uid != effect.machine.uid
                    or known.spec.set_ref != effect.expect
                ):
                    return False
                spec = attrs.evolve(known.spec, set_ref=effect.owner)
                self.machines[effect.machine.name] = attrs.evolve(known, spec=spec)
            case SetFinalizers():
                if effect.resource_version != self.set.metadata.resource_version:
                    return False
                self._version += 1
                metadata = attrs.evolve(
                    self.set.metadata, finalizers=effect.finalizers, resource_version=str(self._version)
                )
                self.set = attrs.evolve(self.set, metadata=metadata)
                self.gone = metadata.deletion_timestamp is not None and not metadata.finalizers
            case _:
                raise AssertionError(effect)
        return True

    def _create(self, made: m.Machine) -> None:
        if made.metadata.name in self.machines:
            self.clash += 1
            return
        self._born += 1
        metadata = attrs.evolve(
            made.metadata, uid=f"uid-{made.metadata.name}-{self._born}",
            creation_timestamp=START + timedelta(seconds=self._born),
        )  # fmt: skip
        self.machines[made.metadata.name] = attrs.evolve(made, metadata=metadata)

    def settle(self, limit: int = 100) -> int:
        """Decide until nothing changes; give the number of decisions."""
        for number in range(limit):
            if not self.step():
                return number
        raise AssertionError("no rest")

    # What one reads.

    def zones(self) -> str:
        """Give the number of live machines by zone, as text."""
        live = [one for one in self.machines.values() if one.metadata.deletion_timestamp is None]
        names = sorted({zone_of(one) for one in live})
        return " ".join(f"{zone}={sum(zone_of(one) == zone for one in live)}" for zone in names)

    def line(self) -> str:
        """Give the set in one line."""
        status = self.set.status
        scaled = status.conditions[0]
        return (
            f"{status.replicas}/{self.set.spec.replicas}: {status.starting} starting, {status.available} available, "
            f"{status.unavailable} unavailable, {status.deleting} deleting; {scaled.reason}"
        )
