"""The snapshots that the library's face decides, each loaded when it is first used; for whoever looks into any of them."""

from functools import reduce
from operator import or_
from typing import Any

from kubenode.core.late import Late

_LATE = Late(__name__, {
    "kubenode.core.risk.decide": "FleetSnapshot",
    "kubenode.core.machineset.crew": "MachineSetSnapshot",
    "kubenode.core.machine.snapshot": "MachineSnapshot",
    "kubenode.core.host.snapshot": "NodeSnapshot",
    "kubenode.core.remedy.decide": "RemedySnapshot",
    "kubenode.core.rollout.decide": "RolloutSnapshot",
    "kubenode.core.remedy.repair": "RepairSnapshot",
})  # fmt: skip
"""The last one is in no public list: recorded runs hold it, and `kubenode explain` asks about it."""


def kind_of(seen: object) -> str:
    """Name the snapshot that something is, or is made from; empty when it is none. None is loaded for it."""
    names = (cls.__name__ for cls in type(seen).__mro__ if _LATE.home.get(cls.__name__) == cls.__module__)
    return next(names, "")


def __getattr__(name: str) -> Any:
    """Give a snapshot, or `Snapshot`: any of them."""
    if name == "Snapshot":
        return reduce(or_, map(_LATE.load, _LATE.home))
    return _LATE.load(name)
