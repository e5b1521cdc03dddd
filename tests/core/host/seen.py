"""Builders for tests of the agent's decider."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from kubenode.core import model as m
from kubenode.core.errors import Problem
from kubenode.core.hookspecs import Have
from kubenode.core.host.decide import HostSeen, NodeSnapshot
from kubenode.core.host.journal import JournalEntry, JournalState
from kubenode.core.step import InstallPackage, RestartUnit, Step

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SECOND = 1_000_000_000
BOOT = "boot-1"
RESTART = m.OperationStep(action=m.StepAction.RESTART_UNIT, unit="containerd.service")
REBOOT = m.OperationStep(action=m.StepAction.REBOOT)
INSTALL: tuple[Step, ...] = (
    InstallPackage(package="kubelet", version="1.2", then=RestartUnit(unit="kubelet.service")),
)
OLD = Have(version="1.1", config=m.ConfigState.CURRENT, state=m.Running.RUNNING)
NEW = Have(version="1.2", config=m.ConfigState.CURRENT, state=m.Running.RUNNING)


def operation(*steps: m.OperationStep, op_id: str = "remedy-1") -> m.Operation:
    """Make an operation of these steps, else of one restart."""
    return m.Operation(op_id=op_id, job="job", attempt=1, action="restart-unit", steps=steps or (RESTART,))


def component(name: str = "kubelet-1.2", version: str = "1.2") -> m.MachineComponent:
    """Make a MachineComponent of driver `package`."""
    return m.MachineComponent(
        metadata=m.ObjectMeta(name=name, uid=f"uid-{name}"),
        spec=m.MachineComponentSpec(version=version, driver="package"),
    )


def entry(name: str = "kubelet-1.2", revision: str = "2", **changes: Any) -> m.ComponentEntry:
    """Make an entry that wants that component."""
    return attrs.evolve(m.ComponentEntry(set="kubelet", component=name, revision=revision), **changes)


def seen(
    *, operation: m.Operation | None = None, entries: Mapping[str, m.ComponentEntry] | None = None,
    have: Mapping[str, Have] | None = None, plans: Mapping[str, tuple[Step, ...] | Problem] | None = None,
    before: m.AgentStatus | None = None, journal: Mapping[str, JournalEntry] | None = None,
    boot_id: str = BOOT, at: int = 0, sightings: Mapping[str, int] | None = None,
    conditions: tuple[m.Condition, ...] = (), meta: Mapping[str, Any] | None = None,
) -> NodeSnapshot:  # fmt: skip
    """Make a snapshot of machine n7; without plans every entry's is to install, or nothing where it is at 1.2."""
    entries = {} if entries is None else entries
    have = dict.fromkeys(entries, OLD) if have is None else have
    if plans is None:
        plans = {name: () if have.get(name) == NEW else INSTALL for name in entries}
    metadata = attrs.evolve(m.ObjectMeta(name="n7", uid="uid-n7"), **(meta or {}))
    names = {one.component for one in entries.values()}
    return NodeSnapshot(
        machine=m.Machine(
            metadata=metadata,
            spec=m.MachineSpec(host=m.Host(address="10.0.0.7"), operation=operation, components=entries),
            status=m.MachineStatus(agent=before),
        ),
        components={name: component(name) for name in names}, have=have, plans=plans,
        host=HostSeen(
            boot_id=boot_id, node_name="node-7", agent_version="1.0", conditions=conditions,
            journal={} if journal is None else journal,
        ),
        now=m.Now(wall=START, elapsed=at), sightings={} if sightings is None else sightings,
    )  # fmt: skip


def journalled(state: JournalState, boot_id: str = BOOT, message: str = "") -> JournalEntry:
    """Make a line of the journal."""
    return JournalEntry(state=state, boot_id=boot_id, message=message)
