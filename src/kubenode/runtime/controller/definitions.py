"""Whether the CRD of MachineSets is being deleted: asked about each set that leaves, and nobody waits for the answer.

Where there are no CRDs it is answered at once; `runtime/embed` asks the server.
"""

from collections.abc import Callable
from typing import TypeAlias

from kubenode.core.model import MachineSet

CrdLeaving: TypeAlias = Callable[[str, MachineSet | None], bool | None]
"""Takes a key and its set if that leaves, else None, which forgets; gives None while the answer is not known."""


def no_crds(_: str, __: MachineSet | None) -> bool:
    """Say that none is being deleted, where there are none."""
    return False
