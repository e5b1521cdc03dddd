"""A drain of a machine's Node: how its Pods are made to go, and how far that is."""

import enum
from datetime import timedelta
from typing import Annotated, ClassVar

import attrs

from kubenode.core.model.meta import OpId, Shape, Wire


class OnTimeout(enum.Enum):
    """What becomes of an act whose drain is not done in time."""

    GIVE_UP = "GiveUp"
    """It is not begun, and its permit goes back."""
    FORCE = "Force"
    """It goes on, and ends the Pods that are left."""


@attrs.frozen(kw_only=True)
class DrainPolicy:
    """How the Pods of a machine's Node are made to go before what would end them.

    Attributes:
        timeout: how long a drain may take in all.
        on_timeout: what becomes of the act that needs it then; a deletion is never given up, and goes on trying.
        pod_timeout: how long beyond its own grace a Pod that was evicted may take to end; then it is not waited for.
        grace: in place of the Pods' own, where it is shorter.
        keep_local_data: do not evict Pods with emptyDir volumes, which are lost with them.
        keep_unmanaged: do not evict Pods that nothing would make anew.
    """

    timeout: timedelta = timedelta(hours=1)
    on_timeout: OnTimeout = OnTimeout.GIVE_UP
    pod_timeout: timedelta = timedelta(minutes=5)
    grace: timedelta | None = None
    keep_local_data: bool = False
    keep_unmanaged: bool = False


class DrainState(enum.Enum):
    """How far a drain is."""

    DRAINING = "Draining"
    DRAINED = "Drained"
    FORCED = "Forced"
    """Its time was over, and `onTimeout` is Force."""
    GIVEN_UP = "GivenUp"
    """Its time was over, and `onTimeout` is GiveUp."""


@attrs.frozen(kw_only=True)
class DrainRecord:
    """The drain of a machine's Node, and for which act it is: what others go by; people read the condition Drained."""

    SHAPE: ClassVar[Shape] = Shape(atomic=True)

    op_id: Annotated[OpId, Wire(name="opID")]
    state: DrainState
