"""`restart-unit`: restart one systemd unit, the mildest thing that mends a hung daemon."""

import attrs

from kubenode.core.hookspecs import Case
from kubenode.core.model.component import Disruption
from kubenode.core.naming import check_unit
from kubenode.core.step import RestartUnit, Step


@attrs.frozen(kw_only=True)
class RestartUnitParams:
    """Which unit.

    Raises:
        ValueError: `unit` is no name of a unit.
    """

    unit: str = attrs.field(validator=check_unit)


class RestartUnitRemedy:
    """Restart one unit. What runs on the node goes on, but for what the unit itself does."""

    name = "restart-unit"
    params = RestartUnitParams
    disruption = Disruption.RESTART

    def plan(self, case: Case[RestartUnitParams], /) -> tuple[Step, ...]:
        """Give the one step."""
        return (RestartUnit(unit=case.params.unit),)
