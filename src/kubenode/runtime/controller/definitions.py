"""Whether the CRD of a kind is being deleted: asked about each set, and each machine, that leaves; nobody waits for the answer.

Where there are no CRDs it is answered at once; `runtime/embed` asks the server.
"""

from collections.abc import Callable
from typing import TypeAlias

from kubenode.core.model import Object

CrdLeaving: TypeAlias = Callable[[str, Object | None], bool | None]
"""Takes a key and its object, which leaves, or None, which forgets one that is gone; gives None while the answer is not known."""


def no_crds(_: str, __: Object | None) -> bool:
    """Say that none is being deleted, where there are none."""
    return False
