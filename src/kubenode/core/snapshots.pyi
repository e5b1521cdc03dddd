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

def kind_of(seen: object) -> str: ...

__all__ = [
    "FleetSnapshot",
    "MachineSetSnapshot",
    "MachineSnapshot",
    "NodeSnapshot",
    "RemedySnapshot",
    "RepairSnapshot",
    "RolloutSnapshot",
    "Snapshot",
    "kind_of",
]
