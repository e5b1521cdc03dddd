"""What has to happen so that a file that was written is read: shared by several drivers."""

import enum

from kubenode.core.errors import InvalidObjectError, Problem
from kubenode.core.model.component import Disruption
from kubenode.core.step import ReloadUnit, RestartUnit, Then


class Effect(enum.Enum):
    """What a changed file does to the node, mildest first.

    `drain` restarts its unit, if it has one, once the node is drained; with `reboot` the agent reboots the drained node.
    """

    NONE = "none"
    RELOAD = "reload"
    RESTART = "restart"
    DRAIN = "drain"
    REBOOT = "reboot"


_LEAST = {
    Effect.NONE: Disruption.NONE,
    Effect.RELOAD: Disruption.NONE,
    Effect.RESTART: Disruption.NONE,  # of a unit that the node itself does not need it disturbs nobody
    Effect.DRAIN: Disruption.DRAIN,
    Effect.REBOOT: Disruption.REBOOT,
}


def check_effect(effect: Effect | None, unit: str | None) -> None:
    """Refuse an effect on a unit when no unit is named.

    Raises:
        ValueError: with what to write.
    """
    if unit is None and effect in (Effect.RELOAD, Effect.RESTART):
        raise ValueError(f"effect: {effect.value} of which unit? Write unit, or effect: none")


def check_class(effect: Effect | None, disruption: Disruption) -> None:
    """Refuse an effect that is more than a component of this class has a permit for, or a drained node.

    Raises:
        InvalidObjectError: with the class that it takes.
    """
    least, order = _LEAST[effect or Effect.NONE], list(Disruption)
    if order.index(disruption) >= order.index(least):
        return
    what = f"effect {(effect or Effect.NONE).value} is more than disruption {disruption.value} allows"
    raise InvalidObjectError(
        (Problem(where="effect", what=what, fix=f"write spec.disruption: {least.value}"),)
    )


def foreign(path: str) -> Problem:
    """Say that a file is not removed, since it is not what was written."""
    what = f"{path} has another content than was written, so it is not removed"
    return Problem(
        where="state", what=what, fix="look at it, and remove it by hand; the entry is then at target"
    )


def loading(effect: Effect | None, unit: str | None) -> Then | None:
    """Give what loads a file; with no effect said, its unit is restarted if it has one."""
    match effect:
        case Effect.NONE | Effect.REBOOT:
            return None
        case Effect.RELOAD:
            return None if unit is None else ReloadUnit(unit=unit)
        case _:
            return None if unit is None else RestartUnit(unit=unit)
