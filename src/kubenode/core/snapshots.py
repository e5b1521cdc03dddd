"""The snapshots that the library's face decides: one name for all of them, for whoever looks into any."""

from typing import TypeAlias

from kubenode.core.host.snapshot import NodeSnapshot
from kubenode.core.machine.snapshot import MachineSnapshot
from kubenode.core.machineset.crew import MachineSetSnapshot
from kubenode.core.remedy.decide import RemedySnapshot
from kubenode.core.remedy.repair import RepairSnapshot
from kubenode.core.risk.decide import FleetSnapshot
from kubenode.core.rollout.decide import RolloutSnapshot

Snapshot: TypeAlias = (
    MachineSnapshot
    | MachineSetSnapshot
    | RolloutSnapshot
    | NodeSnapshot
    | RemedySnapshot
    | FleetSnapshot
    | RepairSnapshot
)
"""The last one is in no public list: recorded runs hold it, and `kubenode explain` asks about it."""

__all__ = [
    "FleetSnapshot", "MachineSetSnapshot", "MachineSnapshot", "NodeSnapshot", "RemedySnapshot", "RepairSnapshot",
    "RolloutSnapshot", "Snapshot",
]  # fmt: skip
