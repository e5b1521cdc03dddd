"""What needs a permit and what needs none, as one table. Whoever adds an act adds its row.

Source: api.md section 3. Drift repair of class restart needs none either; that is the drift decider's exception.
"""

import enum
from collections.abc import Mapping

from kubenode.core.model.component import Disruption


class Act(enum.Enum):
    """Everything that is done to a machine or its Node."""

    LOOK = "look"
    STAGE = "stage"
    NONE = "class none"
    UNCORDON = "un-cordon"
    CANCEL = "cancel"
    UNFREEZE = "un-freeze"
    CORDON = "cordon"
    DRAIN = "drain"
    RESTART = "class restart"
    REBOOT = "reboot"
    POWER = "power"
    REIMAGE = "reimage"
    REPLACE = "replace"
    TERMINATE = "terminate"


NEEDS_PERMIT: Mapping[Act, bool] = {
    Act.LOOK: False,
    Act.STAGE: False,
    Act.NONE: False,
    Act.UNCORDON: False,
    Act.CANCEL: False,
    Act.UNFREEZE: False,
    Act.CORDON: True,
    Act.DRAIN: True,
    Act.RESTART: True,
    Act.REBOOT: True,
    Act.POWER: True,
    Act.REIMAGE: True,
    Act.REPLACE: True,
    Act.TERMINATE: True,
}
"""By act. Whatever happens to a machine before it was first Running needs none: see `needs_permit`."""

ACT_OF: Mapping[Disruption, Act] = {
    Disruption.NONE: Act.NONE,
    Disruption.RESTART: Act.RESTART,
    Disruption.DRAIN: Act.DRAIN,
    Disruption.REBOOT: Act.REBOOT,
}
"""The act that bringing in a component of a disruption class is."""


_DRAINS: Mapping[Disruption, bool] = {
    Disruption.NONE: False,
    Disruption.RESTART: False,
    Disruption.DRAIN: True,
    Disruption.REBOOT: True,
}


def drains(disruption: Disruption) -> bool:
    """Tell whether the Node is drained before an act of a disruption class is begun."""
    return _DRAINS[disruption]


def needs_permit(act: Act, *, has_run: bool = True) -> bool:
    """Tell whether an act needs a permit on a machine that was Running before, or was not.

    >>> needs_permit(Act.REBOOT), needs_permit(Act.REBOOT, has_run=False), needs_permit(Act.LOOK)
    (True, False, False)
    """
    return has_run and NEEDS_PERMIT[act]
